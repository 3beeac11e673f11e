//! Sounds for microphones and telephones, and what a recording has in it.

use std::f64::consts::TAU;
use std::path::Path;

/// What the browser's microphone hears, in hertz.
pub const MICROPHONE_HZ: f64 = 620.0;

/// Its level: RMS in dB below full scale.
pub const MICROPHONE_DBFS: f64 = -15.05;

/// A sine with that amplitude (of full scale), as 16-bit samples.
pub fn sine(hz: f64, amplitude: f64, rate: u32, seconds: u32) -> Vec<i16> {
    let step = TAU * hz / f64::from(rate);
    let sample = |n: u32| (amplitude * 32_767.0 * (step * f64::from(n)).sin()).round();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an amplitude of at most one stays within i16"
    )]
    (0..rate * seconds).map(|n| sample(n) as i16).collect()
}

/// Writes mono samples as a WAV file.
///
/// # Panics
/// The file cannot be written.
pub fn write_wav(path: &Path, samples: &[i16], rate: u32) {
    let data = u32::try_from(samples.len() * 2).expect("a short sound");
    let mut wav = Vec::with_capacity(samples.len() * 2 + 44);
    wav.extend(b"RIFF");
    wav.extend((36 + data).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend([1u16, 1].into_iter().flat_map(u16::to_le_bytes));
    wav.extend([rate, rate * 2].into_iter().flat_map(u32::to_le_bytes));
    wav.extend([2u16, 16].into_iter().flat_map(u16::to_le_bytes));
    wav.extend(b"data");
    wav.extend(data.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::write(path, wav).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The samples of a 16-bit mono WAV file, also of one whose header was never completed.
pub fn read_wav(path: &Path) -> Vec<i16> {
    let wav = std::fs::read(path).unwrap_or_default();
    let data = wav
        .windows(4)
        .position(|chunk| chunk == b"data")
        .map_or(wav.len(), |at| at + 8);
    wav.get(data..)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// RMS in dB below full scale.
pub fn level(samples: &[i16]) -> f64 {
    let square = |sample: &i16| f64::from(*sample) * f64::from(*sample);
    let mean = samples.iter().map(square).sum::<f64>() / samples.len().max(1) as f64;
    10.0 * (mean / (32_768.0 * 32_768.0)).max(1e-10).log10()
}

/// The level at a frequency as it mostly is, in dB below full scale: the median of a fifth of a second each. A busy
/// machine makes a telephone's audio jump now and then, and a jump in phase hides a tone from a longer look.
pub fn usual_level_at(samples: &[i16], hz: f64, rate: u32) -> f64 {
    let mut levels: Vec<f64> = samples
        .chunks_exact(rate as usize / 5)
        .map(|piece| level_at(piece, hz, rate))
        .collect();
    levels.sort_by(f64::total_cmp);
    levels
        .get(levels.len() / 2)
        .copied()
        .unwrap_or(f64::NEG_INFINITY)
}

/// The level of one frequency: RMS in dB below full scale (Goertzel).
pub fn level_at(samples: &[i16], hz: f64, rate: u32) -> f64 {
    let step = TAU * hz / f64::from(rate);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = step * n as f64;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    let amplitude = 2.0 * (re * re + im * im).sqrt() / samples.len().max(1) as f64 / 32_768.0;
    20.0 * (amplitude / std::f64::consts::SQRT_2).max(1e-5).log10()
}
