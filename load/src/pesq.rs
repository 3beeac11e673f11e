//! What the calls sound like, judged by PESQ (ITU-T P.862) against what was said.
//!
//! The measure itself is not in this program: its reference code may not be shipped. A Python with the package `pesq`
//! (PyPI) is asked, once, when all calls are over.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use codecs::SAMPLE_RATE;

/// Each judged piece, in samples: eight seconds, as the recommendation's own material.
const PIECE: usize = 8 * SAMPLE_RATE as usize;
/// The beginning of a call is left out: jitter buffers still grow.
const SKIPPED: usize = 2 * SAMPLE_RATE as usize;
/// The most pieces of one side of a call.
const PIECES: usize = 4;

/// Reads pairs of recordings, reference first, each after its count of samples; prints one score a line.
const JUDGE: &str = "
import struct, sys
import numpy
from pesq import pesq
data, at = sys.stdin.buffer.read(), 0
def recording():
    global at
    count = struct.unpack_from('<I', data, at)[0]
    samples = numpy.frombuffer(data, '<i2', count, at + 4)
    at += 4 + 2 * count
    return samples
while at < len(data):
    said, heard = recording(), recording()
    try:
        print(pesq(8000, said, heard, 'nb'))
    except Exception as error:
        print('none', error)
";

/// What one side of a call heard, and from where in the other's speech on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// The place of its first sample in what the other side said.
    pub first: u64,
    /// At 8 kHz.
    pub pcm: Vec<i16>,
}

/// The scores of a direction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores(pub Vec<f64>);

impl Scores {
    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64)
    }

    /// The worst.
    pub fn least(&self) -> Option<f64> {
        self.0.iter().copied().reduce(f64::min)
    }
}

/// Judges the recordings of each direction against `said`, which each side says over and over.
///
/// # Errors
/// Python, or the package, is not there; in words.
pub fn judge(
    python: &Path,
    said: &[i16],
    directions: &[Vec<&Recording>],
) -> Result<Vec<Scores>, String> {
    let mut input = Vec::new();
    let mut counts = Vec::new();
    for recordings in directions {
        let pieces = recordings
            .iter()
            .flat_map(|recording| pieces(said, recording));
        let mut count = 0;
        for (reference, heard) in pieces {
            count += 1;
            for pcm in [&reference[..], heard] {
                input.extend((pcm.len() as u32).to_le_bytes());
                input.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
            }
        }
        counts.push(count);
    }
    let output = run(python, input)?;
    let mut lines = output.lines();
    Ok(counts
        .into_iter()
        .map(|count| {
            let scores = lines.by_ref().take(count);
            // A piece without speech has no score.
            Scores(scores.filter_map(|line| line.parse().ok()).collect())
        })
        .collect())
}

/// Pieces of what was said, and what was heard of each.
fn pieces<'a>(
    said: &'a [i16],
    recording: &'a Recording,
) -> impl Iterator<Item = (Vec<i16>, &'a [i16])> {
    let heard = recording.pcm.get(SKIPPED..).unwrap_or_default();
    let pieces = heard.chunks_exact(PIECE).take(PIECES).enumerate();
    pieces
        .filter(|_| !said.is_empty())
        .map(move |(index, heard)| {
            let first = recording.first as usize + SKIPPED + index * PIECE;
            let reference = (first..first + PIECE).map(|at| said[at % said.len()]);
            (reference.collect(), heard)
        })
}

fn run(python: &Path, input: Vec<u8>) -> Result<String, String> {
    let name = python.display();
    let mut child = Command::new(python)
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    // It reads all before it says anything; if it ends early, its error says why.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(&input);
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        return Err(format!(
            "{name} cannot judge by PESQ ({last}): it needs the packages pesq and numpy (pip install pesq)"
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_is_held_against_what_was_said_then() {
        let said: Vec<i16> = (0..12_000).map(|at| at as i16).collect();
        let first = 11_990;
        let pcm: Vec<i16> = (0..SKIPPED + 2 * PIECE + 5)
            .map(|at| said[(first + at) % said.len()])
            .collect();
        let recording = Recording {
            first: first as u64,
            pcm,
        };
        let pieces: Vec<_> = pieces(&said, &recording).collect();
        assert_eq!(pieces.len(), 2);
        for (reference, heard) in pieces {
            assert_eq!(reference, heard);
        }
    }

    #[test]
    fn a_call_that_is_too_short_has_no_piece() {
        let recording = Recording {
            first: 0,
            pcm: vec![1; PIECE],
        };
        assert_eq!(pieces(&[1, 2, 3], &recording).count(), 0);
        assert_eq!(Scores::default().mean(), None);
    }

    #[test]
    fn a_python_that_is_not_there_is_an_error_in_words() {
        let error = run(Path::new("/no/such/python"), Vec::new()).unwrap_err();
        assert!(error.contains("/no/such/python"), "{error}");
        let error = run(Path::new("false"), Vec::new()).unwrap_err();
        assert!(error.contains("pip install pesq"), "{error}");
    }
}
