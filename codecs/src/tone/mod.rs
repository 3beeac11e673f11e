//! Tones of the telephone network: levels in dBm0, the sine of a test number, DTMF made and recognised.

mod detect;
mod dtmf;
mod goertzel;
mod slot;
#[cfg(test)]
mod tests;

pub use detect::{DtmfDetector, DtmfHeard};
pub use dtmf::{DTMF_KEYS, DtmfTone};
pub use goertzel::power_at;

use std::f64::consts::TAU;

/// The frequency of the North American test tone, in Hz (a little off 1000, so that it does not repeat each 8 samples).
pub const TEST_TONE_HZ: f64 = 1004.0;
/// The level a test tone is sent at, in dBm0.
pub const TEST_TONE_DBM0: f64 = -16.0;

/// The largest magnitude of mu-law (8159 at 14 bits), in 16-bit samples: a sine of that peak is +3.17 dBm0 (G.711 §4).
const FULL_SCALE: f64 = 8159.0 * 4.0;
const FULL_SCALE_DBM0: f64 = 3.17;

/// The peak, in 16-bit samples, of a sine at a level in dBm0.
pub fn amplitude(dbm0: f64) -> f64 {
    FULL_SCALE * 10_f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// The level of audio in dBm0: its power against that of the reference sine. Silence is `f64::NEG_INFINITY`.
pub fn level(pcm: &[i16]) -> f64 {
    power_level(mean_square(pcm))
}

/// A mean square (of 16-bit samples) in dBm0, as [`level`] and [`power_at`] count it.
pub fn power_level(mean_square: f64) -> f64 {
    let reference = amplitude(0.0).powi(2) / 2.0;
    10.0 * (mean_square / reference).log10()
}

fn mean_square(pcm: &[i16]) -> f64 {
    let sum: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    sum / pcm.len().max(1) as f64
}

/// A sine that goes on from one call to the next without a step.
#[derive(Debug, Clone)]
pub struct Sine {
    peak: f64,
    phase: f64,
    step: f64,
}

impl Sine {
    /// A sine of a frequency in Hz (below 4000) at a level in dBm0.
    pub fn new(frequency: f64, dbm0: f64) -> Self {
        Self {
            peak: amplitude(dbm0),
            phase: 0.0,
            step: TAU * frequency / f64::from(crate::SAMPLE_RATE),
        }
    }

    /// 1004 Hz at -16 dBm0.
    pub fn test_tone() -> Self {
        Self::new(TEST_TONE_HZ, TEST_TONE_DBM0)
    }

    /// Fills `pcm` with the next samples.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            *sample = self.next_sample().round() as i16;
        }
    }

    fn next_sample(&mut self) -> f64 {
        let sample = self.peak * self.phase.sin();
        self.phase = (self.phase + self.step) % TAU;
        sample
    }
}
