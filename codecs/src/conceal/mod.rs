//! Concealment of lost G.711 audio over linear samples, after the idea of ITU-T G.711 Appendix I: repeat the last
//! pitch periods of the voice, seam by overlap-add, fade the longer the loss lasts, and cross-fade into the audio
//! that comes after it. Without the delay of the appendix: good audio passes at once. Where the audio behind the loss
//! is known already, the voice is led there (`interpolate`).

mod interpolate;
#[cfg(test)]
mod tests;

/// The longest pitch period looked for: 15 ms, a voice of 66 Hz.
const MAX_PITCH: usize = 120;
/// The shortest: 5 ms, a voice of 200 Hz (a higher voice is found as a multiple).
const MIN_PITCH: usize = 40;
/// How much of the past is compared with itself to find the pitch: 20 ms.
const MATCH_WINDOW: usize = 160;
/// The past that is kept, in samples: what the search, the three periods and their seams need.
pub const HISTORY: usize = 3 * MAX_PITCH + MAX_PITCH / 4 + 10;
/// The loudness is kept for 20 ms, then fades by a twentieth each 10 ms. Faster, as the appendix has it, is worse than
/// a frame that is repeated as soon as losses come in bursts (`scripts/quality`).
const FADE_AFTER: usize = 160;
/// Samples from full loudness to silence.
const FADE_OVER: usize = 1600;

/// Conceals losses of one stream. Allocates nothing.
#[derive(Debug, Clone)]
pub struct Concealer {
    history: [i16; HISTORY],
    state: State,
}

#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box would allocate in the middle of a call"
)]
enum State {
    /// The last audio was real.
    Receiving,
    /// The last audio was made up.
    Concealing(Synthesis),
}

/// A voice carried on.
#[derive(Debug, Clone)]
struct Synthesis {
    /// The pitch periods that are repeated, in `cycle[..len]`, seamed at their end.
    cycle: [f32; 3 * MAX_PITCH],
    len: usize,
    pitch: usize,
    position: usize,
    /// Samples made so far.
    made: usize,
    /// What the first sample would jump by, spread over a quarter of a period.
    offset: f32,
}

impl Default for Concealer {
    fn default() -> Self {
        Self {
            history: [0; HISTORY],
            state: State::Receiving,
        }
    }
}

impl Concealer {
    /// A concealer that has heard nothing but silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes real audio, which is to be played next. Right after a loss its beginning is cross-faded with the
    /// made-up voice, in place; says whether it changed anything.
    pub fn receive(&mut self, pcm: &mut [i16]) -> bool {
        let mut changed = false;
        if let State::Concealing(synthesis) = &mut self.state {
            // A quarter of a period, and 4 ms more for each 10 ms lost, to at most 10 ms.
            let overlap = (synthesis.pitch / 4 + synthesis.made / 80 * 32)
                .min(80)
                .min(pcm.len());
            for (index, sample) in pcm[..overlap].iter_mut().enumerate() {
                let real = (index + 1) as f32 / (overlap + 1) as f32;
                *sample = round(f32::from(*sample) * real + synthesis.next() * (1.0 - real));
            }
            changed = overlap > 0;
            self.state = State::Receiving;
        }
        self.remember(pcm);
        changed
    }

    /// Makes up `pcm.len()` samples that were lost.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        if matches!(self.state, State::Receiving) {
            self.state = State::Concealing(Synthesis::new(&self.history));
        }
        if let State::Concealing(synthesis) = &mut self.state {
            for sample in pcm.iter_mut() {
                *sample = round(synthesis.next());
            }
        }
        self.remember(pcm);
    }

    /// Forgets the stream, as for a new source.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn remember(&mut self, pcm: &[i16]) {
        let keep = HISTORY.saturating_sub(pcm.len());
        self.history.copy_within(HISTORY - keep.., 0);
        self.history[keep..].copy_from_slice(&pcm[pcm.len() - (HISTORY - keep)..]);
    }
}

impl Synthesis {
    fn new(history: &[i16; HISTORY]) -> Self {
        let pitch = find_pitch(history);
        // Three periods where the past has them: a longer cycle sounds less like a buzzer than one period does.
        let len = (3 * pitch).min(HISTORY - MAX_PITCH / 4 - 1) / pitch * pitch;
        let start = HISTORY - len;
        let mut cycle = [0.0; 3 * MAX_PITCH];
        for (to, from) in cycle.iter_mut().zip(&history[start..]) {
            *to = f32::from(*from);
        }
        // The end of the cycle turns into what came before its beginning, so that it can go round.
        let seam = pitch / 4;
        for index in 0..seam {
            let weight = (index + 1) as f32 / (seam + 1) as f32;
            let end = len - seam + index;
            let before = f32::from(history[start - seam + index]);
            cycle[end] = cycle[end] * (1.0 - weight) + before * weight;
        }
        // The voice goes on where it was one period ago.
        let position = len - pitch;
        let offset = f32::from(history[HISTORY - 1]) - f32::from(history[HISTORY - 1 - pitch]);
        Self {
            cycle,
            len,
            pitch,
            position,
            made: 0,
            offset,
        }
    }

    fn next(&mut self) -> f32 {
        let seam = self.pitch / 4;
        let mut sample = self.cycle[self.position];
        if self.made < seam {
            sample += self.offset * (seam - self.made) as f32 / (seam + 1) as f32;
        }
        let faded = self.made.saturating_sub(FADE_AFTER).min(FADE_OVER);
        let gain = 1.0 - faded as f32 / FADE_OVER as f32;
        self.made += 1;
        self.position = (self.position + 1) % self.len;
        sample * gain
    }
}

/// The lag at which the last 20 ms look most like what was before them.
fn find_pitch(history: &[i16; HISTORY]) -> usize {
    let coarse = (MIN_PITCH..=MAX_PITCH).step_by(2);
    let best = best_lag(history, coarse, 2);
    let fine = best.saturating_sub(1).max(MIN_PITCH)..=(best + 1).min(MAX_PITCH);
    best_lag(history, fine, 1)
}

fn best_lag(history: &[i16; HISTORY], lags: impl Iterator<Item = usize>, step: usize) -> usize {
    let now = &history[HISTORY - MATCH_WINDOW..];
    let mut best = (MAX_PITCH, f32::MIN);
    for lag in lags {
        let then = &history[HISTORY - MATCH_WINDOW - lag..HISTORY - lag];
        let (mut product, mut energy) = (0.0_f32, 1.0_f32);
        for (a, b) in now.iter().zip(then).step_by(step) {
            product += f32::from(*a) * f32::from(*b);
            energy += f32::from(*b) * f32::from(*b);
        }
        let likeness = product / energy.sqrt();
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}

fn round(sample: f32) -> i16 {
    sample
        .round()
        .clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}
