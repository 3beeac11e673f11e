//! Recorded speech: PCM WAV files of 16 bits, mono, at 8, 16 or 48 kHz.

use std::f64::consts::PI;
use std::path::Path;

/// Longer speech is cut off: 10 minutes.
const MOST_SAMPLES: usize = 600 * 8000;
/// The longest file that is read.
const MOST_OCTETS: u64 = 64 << 20;

/// The audio of a file at 8 kHz.
///
/// # Errors
/// It cannot be read, or is no such file; in words.
pub fn read(path: &Path) -> Result<Vec<i16>, String> {
    let name = path.display();
    let length = std::fs::metadata(path).map_err(|error| format!("{name}: {error}"))?;
    if length.len() > MOST_OCTETS {
        return Err(format!("{name}: longer than {} MB", MOST_OCTETS >> 20));
    }
    let octets = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    parse(&octets).map_err(|why| format!("{name}: {why}"))
}

fn parse(octets: &[u8]) -> Result<Vec<i16>, String> {
    let Some((b"RIFF", rest)) = octets.split_first_chunk() else {
        return Err("not a WAV file".into());
    };
    let mut rest = rest.get(8..).ok_or("not a WAV file")?;
    let mut rate = None;
    while let (Some(name), Some(length)) = (rest.first_chunk::<4>(), rest.get(4..8)) {
        let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
        let body = &rest[8..];
        let chunk = &body[..length.min(body.len())];
        match name {
            b"fmt " => rate = Some(format(chunk)?),
            b"data" => {
                let rate = rate.ok_or("no format before the data")?;
                let pairs = chunk.chunks_exact(2);
                let pcm: Vec<i16> = pairs
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect();
                let mut pcm = narrow(&pcm, rate / 8000);
                pcm.truncate(MOST_SAMPLES);
                return match pcm.len() {
                    0..160 => Err("no audio in it".into()),
                    _ => Ok(pcm),
                };
            }
            _ => {}
        }
        // Chunks begin at even places.
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    Err("no audio in it".into())
}

/// The sample rate.
fn format(chunk: &[u8]) -> Result<usize, String> {
    let field = |at: usize| {
        chunk
            .get(at..at + 2)
            .map(|two| u16::from_le_bytes([two[0], two[1]]))
    };
    let rate = chunk
        .get(4..8)
        .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    match (field(0), field(2), field(14), rate) {
        // 0xfffe is the extensible form of the same.
        (Some(1 | 0xfffe), Some(1), Some(16), Some(rate @ (8000 | 16_000 | 48_000))) => {
            Ok(rate as usize)
        }
        _ => Err("not 16 bits of PCM, mono, at 8, 16 or 48 kHz".into()),
    }
}

/// Every so manieth sample, after a low pass (a windowed sinc to 0.92 of the new band).
fn narrow(pcm: &[i16], factor: usize) -> Vec<i16> {
    if factor <= 1 {
        return pcm.to_vec();
    }
    let half = (24 * factor) as i64;
    let cutoff = 0.46 / factor as f64;
    let tap = |at: i64| {
        let x = at as f64;
        let sinc = if at == 0 {
            2.0 * cutoff
        } else {
            (2.0 * PI * cutoff * x).sin() / (PI * x)
        };
        sinc * (0.54 + 0.46 * (PI * x / half as f64).cos())
    };
    let taps: Vec<f64> = (-half..=half).map(tap).collect();
    let outputs = (0..pcm.len()).step_by(factor).map(|center| {
        let sum: f64 = taps
            .iter()
            .zip(-half..)
            .filter_map(|(tap, at)| {
                let sample = pcm.get(usize::try_from(center as i64 + at).ok()?)?;
                Some(tap * f64::from(*sample))
            })
            .sum();
        sum.round().clamp(-32_768.0, 32_767.0) as i16
    });
    outputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rate: u32, pcm: &[i16]) -> Vec<u8> {
        let mut octets = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
        octets.extend(rate.to_le_bytes());
        octets.extend((rate * 2).to_le_bytes());
        octets.extend(*b"\x02\0\x10\0data");
        octets.extend((pcm.len() as u32 * 2).to_le_bytes());
        octets.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
        octets
    }

    fn tone(rate: u32, frequency: f64) -> Vec<i16> {
        let samples = 0..rate / 2;
        let sine = samples.map(|at| (2.0 * PI * frequency * f64::from(at) / f64::from(rate)).sin());
        sine.map(|sample| (sample * 10_000.0) as i16).collect()
    }

    fn loudness(pcm: &[i16]) -> f64 {
        let squares = pcm[400..3600]
            .iter()
            .map(|sample| f64::from(*sample).powi(2));
        (squares.sum::<f64>() / 3200.0).sqrt()
    }

    #[test]
    fn speech_of_any_rate_becomes_8_khz_without_what_that_cannot_hold() {
        for rate in [8000, 16_000, 48_000] {
            let pcm = parse(&file(rate, &tone(rate, 1000.0))).expect("audio");
            assert_eq!(pcm.len(), 4000);
            assert!(
                (loudness(&pcm) - 7071.0).abs() < 50.0,
                "{rate}: {}",
                loudness(&pcm)
            );
        }
        let pcm = parse(&file(16_000, &tone(16_000, 5000.0))).expect("audio");
        assert!(loudness(&pcm) < 50.0, "{}", loudness(&pcm));
    }

    #[test]
    fn what_is_no_such_file_is_refused_in_words() {
        let good = file(8000, &tone(8000, 1000.0));
        for end in 0..44 {
            assert!(parse(&good[..end]).is_err());
        }
        assert!(
            parse(&file(44_100, &[0; 1000]))
                .unwrap_err()
                .contains("8, 16 or 48 kHz")
        );
        assert!(parse(&file(8000, &[])).unwrap_err().contains("no audio"));
    }
}
