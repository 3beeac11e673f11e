//! Concealment between two frames that are there: the voice is carried on to arrive at the one behind the loss in
//! phase and in loudness, and that one's beginning is carried back to meet it.

use crate::g711::{self, Law};

use super::{Concealer, MAX_PITCH, MIN_PITCH, State, Synthesis, round};

/// The most samples that are made up between two frames: what is longer is carried on first.
pub(super) const MAX_BETWEEN: usize = 160;
/// How much of the frame behind the loss is compared: 10 ms, and a little for the search around it.
const MATCH: usize = 80;
/// A voice whose periods are as alike as this is carried; anything else is noise.
const VOICED: f32 = 0.5;
/// How much likeness a sample of distance outweighs.
const FAR: f32 = 0.004;
/// Room for what is carried on: the loss, the search on both sides of its end, and the comparison.
const CARRIED: usize = MAX_BETWEEN + MAX_PITCH + MATCH;

/// Where a voice that is carried on would be most like the frame behind the loss.
struct Meeting {
    /// Samples by which it comes late (above zero) or early.
    shift: isize,
    /// How alike they are there, at most 1.
    likeness: f32,
    /// By how much the frame is louder.
    gain: f32,
}

impl Concealer {
    /// Makes up `pcm`, which was lost; where the packet behind it is here already, in `law`, so that it leads there.
    pub fn make_up(&mut self, successor: Option<&[u8]>, law: Law, pcm: &mut [i16]) {
        let Some(octets) = successor else {
            return self.conceal(pcm);
        };
        let mut next = [0; MAX_BETWEEN];
        let len = octets.len().min(MAX_BETWEEN);
        g711::decode_into(law, &octets[..len], &mut next[..len]);
        self.interpolate(pcm, &next[..len]);
    }

    /// Makes up `pcm`, which was lost right before `next`. Nothing that comes after it needs a cross-fade.
    pub fn interpolate(&mut self, pcm: &mut [i16], next: &[i16]) {
        let before = pcm.len().saturating_sub(MAX_BETWEEN);
        let (early, between) = pcm.split_at_mut(before);
        if !early.is_empty() {
            self.conceal(early);
        }
        if between.is_empty() {
            return;
        }
        if next.len() < MATCH {
            return self.conceal(between);
        }
        if matches!(self.state, State::Receiving) {
            self.state = State::Concealing(Synthesis::new(&self.history));
        }
        let State::Concealing(synthesis) = &mut self.state else {
            return;
        };
        let mut carried = [0.0; CARRIED];
        carried
            .iter_mut()
            .for_each(|sample| *sample = synthesis.next());
        let pitch = synthesis.pitch;
        join(&carried, between, next, pitch);
        self.state = State::Receiving;
        self.remember(between);
    }
}

/// Fills `between` with what is carried on, stretched to meet what is carried back.
fn join(carried: &[f32; CARRIED], between: &mut [i16], next: &[i16], pitch: usize) {
    let len = between.len();
    let meeting = meet(carried, len, next, pitch);
    let voiced = meeting.likeness > VOICED;
    let shift = if voiced { meeting.shift } else { 0 };
    let period = back_period(next, pitch);
    let stretch = (len as isize + shift) as f32 / len as f32;
    for (index, sample) in between.iter_mut().enumerate() {
        let way = (index + 1) as f32 / (len + 1) as f32;
        let forward = at(carried, index as f32 * stretch) * (1.0 + (meeting.gain - 1.0) * way);
        let back = len - index;
        let backward = if voiced {
            // The first period of the next frame, as often as it takes.
            next[(period - back % period) % period]
        } else {
            // Noise backwards is noise.
            next[(back - 1).min(next.len() - 1)]
        };
        // What is alike adds up by amplitude, noise by power.
        let (on, off) = if voiced {
            let smooth = way * way * (3.0 - 2.0 * way);
            (1.0 - smooth, smooth)
        } else {
            ((1.0 - way).sqrt(), way.sqrt())
        };
        *sample = round(forward * on + f32::from(backward) * off);
    }
}

/// Looks for the frame's beginning half a period around where it is due in what is carried on. Of two places that are
/// about as good the nearer one is right: a high voice has several periods there.
fn meet(carried: &[f32; CARRIED], len: usize, next: &[i16], pitch: usize) -> Meeting {
    let reach = (pitch / 2).min(len / 3) as isize;
    let energy_next: f32 = next[..MATCH]
        .iter()
        .map(|one| f32::from(*one).powi(2))
        .sum();
    let mut best = Meeting {
        shift: 0,
        likeness: 0.0,
        gain: 1.0,
    };
    let mut best_worth = f32::MIN;
    for shift in -reach..=reach {
        let start = (len as isize + shift) as usize;
        let there = &carried[start..start + MATCH];
        let (mut product, mut energy) = (0.0, 1.0);
        for (a, b) in there.iter().zip(next) {
            product += a * f32::from(*b);
            energy += a * a;
        }
        let likeness = product / (energy * (energy_next + 1.0)).sqrt();
        let worth = likeness - FAR * shift.unsigned_abs() as f32;
        if worth > best_worth {
            best_worth = worth;
            best = Meeting {
                shift,
                likeness,
                gain: ((energy_next + 1.0) / energy).sqrt().clamp(0.1, 1.6),
            };
        }
    }
    best
}

/// The pitch period of the next frame's beginning, near the one before the loss.
fn back_period(next: &[i16], pitch: usize) -> usize {
    let around = pitch / 5;
    let least = (pitch - around).max(MIN_PITCH);
    let most = (pitch + around)
        .min(MAX_PITCH)
        .min(next.len().saturating_sub(MIN_PITCH));
    let mut best = (pitch.min(next.len()), f32::MIN);
    for lag in least..=most {
        let (mut product, mut energy) = (0.0_f32, 1.0_f32);
        for (a, b) in next.iter().zip(&next[lag..]) {
            product += f32::from(*a) * f32::from(*b);
            energy += f32::from(*b).powi(2);
        }
        let likeness = product / energy.sqrt() / ((next.len() - lag) as f32).sqrt();
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}

/// The signal between two samples.
fn at(signal: &[f32; CARRIED], position: f32) -> f32 {
    let index = (position as usize).min(CARRIED - 2);
    let part = position - index as f32;
    signal[index] * (1.0 - part) + signal[index + 1] * part
}
