//! What a caller of the lab phone hears, by number: 8 kHz samples.

use std::time::Instant;

use codecs::tone::Sine;

use super::keys::Keys;
use super::number::Number;

/// North American ringback: 440 and 480 Hz together, at -19 dBm0 each.
const RINGBACK_HZ: [f64; 2] = [440.0, 480.0];
const RINGBACK_DBM0: f64 = -19.0;
/// It sounds for 2 s; the pause is shorter than a real one, so that 5 s hold two rings.
const RINGBACK_SOUNDS: usize = 2000 * codecs::SAMPLES_PER_MS;
const RINGBACK_PERIOD: usize = 3000 * codecs::SAMPLES_PER_MS;

/// The longest frame that is asked for: 60 ms.
const MAX_FRAME: usize = 60 * codecs::SAMPLES_PER_MS;

/// A source of sound.
#[derive(Debug)]
pub(super) enum Sound {
    /// Nothing of its own: what comes goes back.
    Echo,
    /// The test tone.
    Tone(Sine),
    /// Ringback.
    Ringback {
        sines: Box<[Sine; 2]>,
        position: usize,
    },
    /// Digits read back, silence between.
    Keys(Box<Keys>),
}

impl Sound {
    /// What this number sounds like, before it is answered or after.
    pub(super) fn of(number: Number, answered: bool) -> Self {
        match number {
            Number::Echo => Sound::Echo,
            Number::Dtmf => Sound::Keys(Box::new(Keys::new())),
            _ if answered => Sound::Tone(Sine::test_tone()),
            _ => Sound::Ringback {
                sines: Box::new(RINGBACK_HZ.map(|hz| Sine::new(hz, RINGBACK_DBM0))),
                position: 0,
            },
        }
    }

    /// The next samples; `pcm` is at most 60 ms. Untouched if the sound is an echo.
    pub(super) fn fill(&mut self, now: Instant, pcm: &mut [i16]) {
        match self {
            Sound::Echo => {}
            Sound::Tone(sine) => sine.fill(pcm),
            Sound::Keys(keys) => keys.fill(now, pcm),
            Sound::Ringback { sines, position } => {
                let mut other = [0; MAX_FRAME];
                let other = &mut other[..pcm.len().min(MAX_FRAME)];
                sines[0].fill(pcm);
                sines[1].fill(other);
                for (sample, other) in pcm.iter_mut().zip(other.iter()) {
                    let sounds = *position % RINGBACK_PERIOD < RINGBACK_SOUNDS;
                    *sample = if sounds { *sample + *other } else { 0 };
                    *position += 1;
                }
            }
        }
    }
}
