//! `switchhook load`: the load caller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use codecs::opus::EncoderSettings;
use load::{Codec, Options};
use media::ImpairmentSettings;

use super::explain::print;

/// What is asked for.
#[derive(Debug, Args)]
pub(super) struct Load {
    /// The gateway's signalling
    #[arg(long, default_value = "ws://127.0.0.1:8080/v1/signaling")]
    url: String,
    /// What to dial; with --answer, the beginning of it: each call has a number of its own
    #[arg(long, default_value = "echo")]
    to: String,
    /// How many calls
    #[arg(long, default_value_t = 20)]
    calls: usize,
    /// How many begin in a second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// How long each lasts once it is accepted
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// The gateway's process: its CPU time and memory are printed, and what the codecs alone would take
    #[arg(long)]
    pid: Option<u32>,
    /// Be the telephones too, by SIP over UDP here: the gateway runs with --trunk sip:ADDRESS
    #[arg(long, value_name = "ADDRESS")]
    answer: Option<SocketAddr>,
    /// What the browsers speak
    #[arg(long, value_enum, default_value_t = Speech::Opus)]
    codec: Speech,
    /// They send Opus at 48 kHz, as if nobody had told them what a telephone can use
    #[arg(long)]
    fullband: bool,
    /// What everybody says: WAV files (16 bits, mono, 8, 16 or 48 kHz) [default: a synthetic voice]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    speech: Vec<PathBuf>,
    /// A bad network for the browsers, both ways, like loss=5,burst=3,delay=40ms,jitter=20ms,reorder=1,duplicate=1,rate=64k
    #[arg(long, value_name = "IMPAIRMENT", default_value = "none")]
    impair_browser: ImpairmentSettings,
    /// The same for the telephones of --answer
    #[arg(
        long,
        value_name = "IMPAIRMENT",
        default_value = "none",
        requires = "answer"
    )]
    impair_phone: ImpairmentSettings,
    /// Judge what the first calls sound like by PESQ: a Python that has the package pesq (pip install pesq). Calls of 10 s
    /// at least; best with --speech
    #[arg(long, value_name = "PYTHON")]
    pesq: Option<PathBuf>,
    /// Write everything as JSON, too; "-" is standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Say nothing while it runs
    #[arg(long)]
    quiet: bool,
    /// The gateway's `[opus]` bitrate, for the floor
    #[arg(long, default_value_t = 32_000)]
    bitrate: u32,
    /// The gateway's `[opus]` complexity, for the floor
    #[arg(long, default_value_t = 0)]
    complexity: u8,
    /// The gateway's `[opus]` fec, for the floor
    #[arg(long)]
    fec: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Speech {
    Opus,
    Pcmu,
}

impl Load {
    /// Places the calls; 1 if one failed, 2 if the command line is wrong.
    pub(super) fn run(self) -> ExitCode {
        if let Some(why) = self.mistake() {
            eprintln!("switchhook: {why}");
            return ExitCode::from(2);
        }
        let json = self.json.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let report = runtime
            .map_err(|error| error.to_string())
            .and_then(|runtime| {
                runtime.block_on(async {
                    let (stop, stopped) = tokio::sync::watch::channel(false);
                    tokio::spawn(async move {
                        // The second one ends the program at once.
                        if tokio::signal::ctrl_c().await.is_ok() {
                            let _ = stop.send(true);
                            let _ = tokio::signal::ctrl_c().await;
                            std::process::exit(130);
                        }
                        std::future::pending::<()>().await;
                    });
                    load::run_until(self.options(), stopped).await
                })
            });
        let report = match report {
            Ok(report) => report,
            Err(why) => {
                eprintln!("switchhook: {why}");
                return ExitCode::FAILURE;
            }
        };
        let status = match json.as_deref() {
            Some(path) if path.as_os_str() == "-" => print(&format!("{:#}\n", report.json())),
            Some(path) => match std::fs::write(path, format!("{:#}\n", report.json())) {
                Ok(()) => print(&report.to_string()),
                Err(error) => {
                    eprintln!("switchhook: {}: {error}", path.display());
                    ExitCode::FAILURE
                }
            },
            None => print(&report.to_string()),
        };
        match report.failed() {
            0 => status,
            _ => ExitCode::FAILURE,
        }
    }

    fn mistake(&self) -> Option<&'static str> {
        if self.calls == 0 || !(0.01..=10_000.0).contains(&self.rate) {
            return Some("at least one call, and 0.01 to 10000 a second");
        }
        if !(1.0..=86_400.0).contains(&self.seconds) {
            return Some("a call lasts 1 s to a day");
        }
        (self.fullband && (!self.speech.is_empty() || self.codec == Speech::Pcmu)).then_some(
            "--fullband has a synthetic voice and is Opus: leave --speech and --codec out",
        )
    }

    fn options(self) -> Options {
        Options {
            url: self.url,
            to: self.to,
            calls: self.calls,
            rate: self.rate,
            seconds: self.seconds,
            pid: self.pid,
            answer: self.answer,
            codec: match (self.codec, self.fullband) {
                (Speech::Opus, false) => Codec::Opus,
                (Speech::Opus, true) => Codec::Fullband,
                (Speech::Pcmu, _) => Codec::Pcmu,
            },
            speech: self.speech,
            impair_browser: self.impair_browser,
            impair_phone: self.impair_phone,
            progress: !self.quiet,
            opus: EncoderSettings {
                bitrate: self.bitrate,
                complexity: self.complexity,
                fec: self.fec,
                ..EncoderSettings::default()
            },
            pesq: self.pesq,
        }
    }
}
