//! What a call sounds like when packets are lost, by the gateway's own [`media::Bridge`] in virtual time and by the
//! bare codecs. `scripts/quality` asks the questions and has the answers judged by PESQ.
//!
//! Each line of standard input is a [`job::Job`] as JSON; for each one the sound that the far side hears is written to
//! a WAV file, and a line of figures to standard output.

mod bare;
mod bridge;
mod encode;
mod job;
mod sound;

use std::io::{BufRead, Write};

use job::{Chain, Job};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        let speech = sound::read(&job.speech)?;
        let mut played = match job.chain {
            Chain::Gateway => bridge::play(&job, &speech),
            _ => bare::play(&job, &speech),
        };
        played
            .heard
            .drain(..(job.skip_ms * 8).min(played.heard.len()));
        sound::write(&job.out, &played.heard)?;
        serde_json::to_writer(&mut out, &played.figures)?;
        writeln!(out)?;
    }
    Ok(())
}
