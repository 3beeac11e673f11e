//! The power of one frequency (Goertzel's recurrence).

use std::f64::consts::TAU;

/// The mean square of the part of `pcm` that is at `frequency` Hz: for a sine of that frequency, its whole power.
/// The filter is as wide as the reciprocal of the audio's length: 50 Hz for 20 ms.
pub fn power_at(pcm: &[i16], frequency: f64) -> f64 {
    if pcm.is_empty() {
        return 0.0;
    }
    let coefficient = 2.0 * (TAU * frequency / f64::from(crate::SAMPLE_RATE)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in pcm {
        let next = f64::from(*sample) + coefficient * last - before;
        before = last;
        last = next;
    }
    let magnitude = last * last + before * before - coefficient * last * before;
    2.0 * magnitude / (pcm.len() as f64).powi(2)
}
