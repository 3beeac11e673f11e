//! Comfort noise (RFC 3389): how loud a background is and how it sounds, measured, written, read and made again.
//!
//! A frame of it costs about a microsecond: no codec is asked.

#[cfg(test)]
mod tests;

/// Reflection coefficients that are measured and written: enough for the colour of a room.
const ORDER: usize = 8;
/// The most that are used of those that are read (RFC 3389 §3 leaves the number open).
const MAX_ORDER: usize = 12;
/// The payload we write, in octets: the level and the coefficients.
pub const PAYLOAD: usize = 1 + ORDER;
/// The quietest level there is, in -dBov (RFC 3389 §3.1).
const QUIETEST: u8 = 127;
/// No sample inside the filter is larger.
const BOUND: f32 = 1e6;
/// The level of full scale, 0 dBov.
const FULL_SCALE: f32 = 32_768.0;

/// A background noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// In -dBov: 0 is as loud as it gets, 127 silence.
    level: u8,
    /// Of the lattice filter that gives it its spectrum, each between -1 and 1.
    reflection: [f32; MAX_ORDER],
}

impl Default for Noise {
    /// The faint hiss of a quiet line, -68 dBov.
    fn default() -> Self {
        Self {
            level: 68,
            reflection: [0.0; MAX_ORDER],
        }
    }
}

impl Noise {
    /// Measures audio.
    pub fn of(pcm: &[i16]) -> Self {
        let mut correlation = [0.0_f32; ORDER + 1];
        for (lag, sum) in correlation.iter_mut().enumerate() {
            let later = pcm.get(lag..).unwrap_or_default();
            let products = pcm.iter().zip(later);
            *sum = products.map(|(a, b)| f32::from(*a) * f32::from(*b)).sum();
        }
        let mean = correlation[0] / pcm.len().max(1) as f32;
        let mut reflection = [0.0; MAX_ORDER];
        reflection[..ORDER].copy_from_slice(&durbin(&correlation));
        Self {
            level: level_of(mean.sqrt()),
            reflection,
        }
    }

    /// Reads a payload: a level and any number of coefficients. `None` for an empty one.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (level, coefficients) = payload.split_first()?;
        let mut reflection = [0.0; MAX_ORDER];
        for (to, from) in reflection.iter_mut().zip(coefficients) {
            // RFC 3389 §3.2: k = 258 * (N - 127) / 32768; 255 is reserved.
            *to = 258.0 * (f32::from((*from).min(254)) - 127.0) / FULL_SCALE;
        }
        Some(Self {
            // The first bit is always 0 (RFC 3389 §3.1).
            level: level & 0x7f,
            reflection,
        })
    }

    /// The payload that tells of it.
    pub fn to_bytes(self) -> [u8; PAYLOAD] {
        let mut bytes = [0; PAYLOAD];
        bytes[0] = self.level;
        for (to, from) in bytes[1..].iter_mut().zip(self.reflection) {
            *to = (from * FULL_SCALE / 258.0 + 127.0)
                .round()
                .clamp(0.0, 254.0) as u8;
        }
        bytes
    }

    /// Its level in -dBov.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The same sound, not louder than `level` (in -dBov).
    pub fn not_above(self, level: u8) -> Self {
        Self {
            level: self.level.max(level),
            ..self
        }
    }
}

/// Makes noise. Allocates nothing.
#[derive(Debug, Clone)]
pub struct Generator {
    random: u32,
    state: [f32; MAX_ORDER],
    /// The loudness of the last sample: changes are spread over a frame.
    gain: f32,
}

impl Default for Generator {
    fn default() -> Self {
        Self {
            random: 0x2545_f491,
            state: [0.0; MAX_ORDER],
            gain: 0.0,
        }
    }
}

impl Generator {
    /// A generator that has been silent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills `pcm` with `noise`.
    pub fn fill(&mut self, noise: &Noise, pcm: &mut [i16]) {
        let order = noise
            .reflection
            .iter()
            .rposition(|k| *k != 0.0)
            .map_or(0, |last| last + 1);
        let reflection = &noise.reflection[..order];
        // What the filter adds is taken off before it, so that the level is that of the noise.
        let residual: f32 = reflection.iter().map(|k| 1.0 - k * k).product();
        let loudness = if noise.level >= QUIETEST {
            0.0
        } else {
            FULL_SCALE * 10.0_f32.powf(-f32::from(noise.level) / 20.0)
        };
        // Uniform numbers between -1 and 1 have a power of a third.
        let target = loudness * (3.0 * residual.max(0.0)).sqrt();
        let step = (target - self.gain) / pcm.len().max(1) as f32;
        for sample in pcm {
            self.gain += step;
            self.random = self
                .random
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let white = (self.random >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let mut forward = white * self.gain;
            // An all-pole lattice, from the last stage to the first.
            for stage in (0..order).rev() {
                // The bound matters only where hostile coefficients at the edge of stability follow each other.
                forward = (forward - reflection[stage] * self.state[stage]).clamp(-BOUND, BOUND);
                let backward = self.state[stage] + reflection[stage] * forward;
                if let Some(next) = self.state.get_mut(stage + 1) {
                    *next = backward;
                }
            }
            self.state[0] = forward;
            *sample = forward.clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16;
        }
        // Residues far below a sample would only slow the processor down.
        for value in &mut self.state {
            if value.abs() < 1e-6 {
                *value = 0.0;
            }
        }
    }
}

/// The level of a loudness (root of the mean square) in -dBov.
fn level_of(loudness: f32) -> u8 {
    if loudness < 1e-3 {
        return QUIETEST;
    }
    let level = -20.0 * (loudness / FULL_SCALE).log10();
    level.round().clamp(0.0, f32::from(QUIETEST)) as u8
}

/// Reflection coefficients of an autocorrelation (Durbin's recursion). They are kept off the edge of stability.
fn durbin(correlation: &[f32; ORDER + 1]) -> [f32; ORDER] {
    let mut reflection = [0.0; ORDER];
    let mut error = correlation[0] * 1.0001;
    if error < 1.0 {
        return reflection;
    }
    let mut filter = [0.0_f32; ORDER + 1];
    for stage in 0..ORDER {
        let products = filter[1..=stage]
            .iter()
            .zip(correlation[1..=stage].iter().rev());
        let sum = correlation[stage + 1] + products.map(|(a, b)| a * b).sum::<f32>();
        let k = (-sum / error).clamp(-0.98, 0.98);
        reflection[stage] = k;
        let before = filter;
        for index in 1..=stage {
            filter[index] = before[index] + k * before[stage + 1 - index];
        }
        filter[stage + 1] = k;
        error *= 1.0 - k * k;
        if error <= 0.0 {
            break;
        }
    }
    reflection
}
