//! Opus, G.711, G.722, tones and concealment. The only crate that links libopus.
//!
//! Linear audio is mono, 16 bit, and at 8 kHz, what most telephones carry; between Opus and G.722 it may be at 16 kHz
//! ([`Bandwidth`]). Opus is decoded to and encoded from either inside libopus, so no resampler stands between the worlds.
//! Durations are counted in samples at 8 kHz throughout.

pub mod comfort_noise;
pub mod conceal;
pub mod g711;
pub mod g722;
pub mod opus;
pub mod tone;

/// How much of a voice linear audio has (ITU-T P.10: narrowband, wideband).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Bandwidth {
    /// Up to 4 kHz, at 8 kHz.
    #[default]
    Narrow,
    /// Up to 8 kHz, at 16 kHz.
    Wide,
}

impl Bandwidth {
    /// Samples of it for each one at 8 kHz.
    pub const fn scale(self) -> usize {
        match self {
            Self::Narrow => 1,
            Self::Wide => 2,
        }
    }
}

/// Samples a second of narrowband audio, and of every count of samples.
pub const SAMPLE_RATE: u32 = 8000;

/// Samples in a millisecond of audio.
pub const SAMPLES_PER_MS: usize = 8;
