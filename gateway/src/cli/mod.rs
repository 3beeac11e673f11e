//! The command line: `switchhook`, `switchhook check`, `switchhook explain`, `switchhook load`.
//!
//! Exit status: 0 when all went well; 1 when the settings have mistakes, the gateway could not
//! run, or a file to explain could not be read; 2 when the command line itself is wrong.

mod explain;
mod load;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use gateway::settings::{Overrides, Settings, Sources};

/// Read when no file is named and it is there.
const USUAL_FILE: &str = "switchhook.toml";

/// A SIP gateway: browsers call telephones.
///
/// Without a command: runs the gateway until SIGTERM or Ctrl-C, then ends its calls and exits.
#[derive(Debug, Parser)]
#[command(name = "switchhook", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists every mistake in the settings (exit status 1), or what would be bound and chosen (0).
    Check(SettingsArgs),
    /// Says what Switchhook makes of captured messages: one JSON object a line.
    ///
    /// Bad input gets a verdict, and the exit status is 0; it is 1 if a file could not be read.
    #[command(subcommand)]
    Explain(explain::Explain),
    /// Places calls against a running gateway, and prints how they went and what they cost it.
    ///
    /// It plays the browsers (WebSocket, ICE, DTLS-SRTP, Opus) and, with --answer, the telephones behind the trunk too.
    /// The simplest: start the gateway in one terminal, and in another run "switchhook load --calls 5".
    /// The exit status is 1 if a call failed.
    Load(Box<load::Load>),
}

/// Where the settings come from.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// The settings file [default: ./switchhook.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Where numbers go that are not the lab's, like sip:192.0.2.1 [trunk.uri]
    #[arg(long, value_name = "URI")]
    trunk: Option<String>,
    /// Where the page is served, like 0.0.0.0:8080 [http.listen]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Where SIP is heard, like 192.0.2.2:5060 [sip.listen]
    #[arg(long, value_name = "ADDR")]
    sip: Option<String>,
}

impl SettingsArgs {
    fn sources(self) -> Sources {
        let usual = || Path::new(USUAL_FILE).exists().then(|| USUAL_FILE.into());
        // A name or value that is not UTF-8 can be no setting, except one of ours spoilt: the
        // replacement characters make it a mistake.
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Sources {
            file: self.settings.or_else(usual),
            env: std::env::vars_os()
                .map(|(name, value)| (lossy(name), lossy(value)))
                .collect(),
            overrides: Overrides {
                trunk: self.trunk,
                http: self.http,
                sip: self.sip,
            },
        }
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => with_settings(cli.settings, run::run),
        Some(Command::Check(args)) => with_settings(args, |settings| {
            explain::print(&format!("The settings are fine.\n{}", settings.summary()))
        }),
        Some(Command::Explain(explain)) => explain::explain(&explain),
        Some(Command::Load(load)) => load.run(),
    }
}

fn with_settings(args: SettingsArgs, then: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    match Settings::load(&args.sources()) {
        Ok(settings) => then(settings),
        Err(mistakes) => {
            eprintln!("{mistakes}");
            ExitCode::FAILURE
        }
    }
}
