//! Places calls against a running gateway and prints what they cost it. See `tests/README.md`.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use codecs::opus::EncoderSettings;
use switchhook_tests::load::{self, Codec, Options};

/// Places calls against a running gateway, and prints how they went and what they cost it.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Arguments {
    /// The gateway's signalling
    #[arg(long, default_value = "ws://127.0.0.1:8080/v1/signaling")]
    url: String,
    /// What to dial; with --answer, the beginning of it
    #[arg(long, default_value = "echo")]
    to: String,
    /// How many calls
    #[arg(long, default_value_t = 20)]
    calls: usize,
    /// How many begin in a second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// How long each lasts
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// The gateway's process
    #[arg(long)]
    pid: Option<u32>,
    /// Answer the calls here, by SIP over UDP: the gateway runs with --trunk sip:ADDRESS
    #[arg(long, value_name = "ADDRESS")]
    answer: Option<SocketAddr>,
    /// What the browsers speak
    #[arg(long, value_enum, default_value_t = Speech::Opus)]
    codec: Speech,
    /// They send Opus at 48 kHz, as if nobody had told them what a telephone can use
    #[arg(long)]
    fullband: bool,
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

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.calls == 0
        || !(0.01..=10_000.0).contains(&arguments.rate)
        || !(1.0..=86_400.0).contains(&arguments.seconds)
    {
        eprintln!("load: at least one call, 0.01 to 10000 a second, each of 1 s to a day");
        return ExitCode::from(2);
    }
    let options = Options {
        url: arguments.url,
        to: arguments.to,
        calls: arguments.calls,
        rate: arguments.rate,
        seconds: arguments.seconds,
        pid: arguments.pid,
        answer: arguments.answer,
        codec: match (arguments.codec, arguments.fullband) {
            (Speech::Opus, false) => Codec::Opus,
            (Speech::Opus, true) => Codec::Fullband,
            (Speech::Pcmu, _) => Codec::Pcmu,
        },
        opus: EncoderSettings {
            bitrate: arguments.bitrate,
            complexity: arguments.complexity,
            fec: arguments.fec,
            ..EncoderSettings::default()
        },
    };
    match load::run(options).await {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(report.failed() > 0))
        }
        Err(why) => {
            eprintln!("load: {why}");
            ExitCode::FAILURE
        }
    }
}
