//! Opus, G.711, G.722, tones and concealment. The only crate that links libopus.
//!
//! Everything here is 8 kHz mono 16-bit linear audio: what a telephone carries. Opus is decoded to and encoded from
//! 8 kHz inside libopus, so no resampler stands between the two worlds. G.722 can do 16 kHz too.

pub mod comfort_noise;
pub mod conceal;
pub mod g711;
pub mod g722;
pub mod opus;
pub mod tone;

/// Samples a second of every linear signal in this crate.
pub const SAMPLE_RATE: u32 = 8000;

/// Samples in a millisecond of audio.
pub const SAMPLES_PER_MS: usize = 8;
