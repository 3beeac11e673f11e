//! `switchhook explain`: files in, one JSON object a line out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use gateway::explain::{self, Direction};

/// No message is longer by far; what is gets its verdict from the beginning.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;
/// The name of standard input.
const STANDARD_INPUT: &str = "-";

/// What is to be explained.
#[derive(Debug, Subcommand)]
pub(super) enum Explain {
    /// SIP messages, one a file.
    Sip {
        /// Files; "-" is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Offers (SDP), one a file: what they say and what the other side is told.
    Sdp {
        /// The side it is translated for
        #[arg(long, value_enum)]
        to: Side,
        /// Files; "-" is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Side {
    /// From a browser to SIP
    Sip,
    /// From SIP to a browser
    Browser,
}

/// Makes a line of a file's name and content.
type Explainer = dyn Fn(&str, &[u8]) -> String;

/// Explains every file that can be read.
pub(super) fn explain(what: &Explain) -> ExitCode {
    let (files, explain): (_, &Explainer) = match what {
        Explain::Sip { files } => (files, &explain::sip),
        Explain::Sdp {
            to: Side::Sip,
            files,
        } => (files, &|name, bytes| {
            explain::sdp(Direction::ToSip, name, bytes)
        }),
        Explain::Sdp {
            to: Side::Browser,
            files,
        } => (files, &|name, bytes| {
            explain::sdp(Direction::ToBrowser, name, bytes)
        }),
    };
    let mut status = ExitCode::SUCCESS;
    for file in files {
        let name = file.display().to_string();
        match read(file) {
            Ok(bytes) => {
                let printed = print(&format!("{}\n", explain(&name, &bytes)));
                if printed != ExitCode::SUCCESS {
                    return printed;
                }
            }
            Err(error) => {
                eprintln!("switchhook: {name} cannot be read: {error}");
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut input: Box<dyn Read> = match file.to_str() {
        Some(STANDARD_INPUT) => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(file)?),
    };
    input
        .by_ref()
        .take(MAX_INPUT_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Prints to standard output; whoever closed it has read enough.
pub(super) fn print(text: &str) -> ExitCode {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(141),
        Err(error) => {
            eprintln!("switchhook: standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
