//! `switchhook`: the gateway itself.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use gateway::settings::{Log, LogFormat, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// Ended by a second signal: as the shell reports a program ended by SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Runs the gateway until it is told to end.
pub(super) fn run(settings: Settings) -> ExitCode {
    start_log(&settings.log);
    match run_to_the_end(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchhook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_to_the_end(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = shutdown()?;
        gateway::server::run(settings, shutdown).await
    })
}

/// Ready when SIGTERM or SIGINT has come. A second one ends the program where it stands.
fn shutdown() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = next_signal(&mut terminate, &mut interrupt).await;
        info!(
            signal = name,
            "ending: calls get a BYE; a second signal ends at once"
        );
        tokio::spawn(async move {
            next_signal(&mut terminate, &mut interrupt).await;
            std::process::exit(EXIT_INTERRUPTED);
        });
    })
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// The log goes to standard error: standard output is for call records.
fn start_log(log: &Log) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.level))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
