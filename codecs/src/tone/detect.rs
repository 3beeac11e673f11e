//! DTMF heard in the audio itself (ITU-T Q.24): which key, from when to when, over gaps of lost audio.
//!
//! Audio is looked at in slots of 10 ms. Three in a row that hold two steady tones and little else are a key press: the
//! shortest that counts (40 ms) has three, wherever it begins. Where audio is missing next to them two must do. A key is
//! up after three slots without it: the shortest pause that counts (40 ms) has three, a hole of 10 ms has at most two.
//! Slots at the edges that are partly filled tell when exactly it began and ended.

#[cfg(test)]
mod tests;

use super::dtmf::LAYOUT;
use super::power_level;
use super::slot::{SLOT, Slot, Tone, strongest};

/// Slots that make a key press.
const SURE: usize = 3;
/// Slots without the key that end it.
const UP: u32 = 3;
/// Q.24: a tone within 1.5 % of its frequency is one, beyond 3.5 % it is none.
const DEVIATION: f32 = 0.024;
/// Weaker tones are not heard (Q.24 asks for -24 dBm at the least sensitive), in dBm0 of each.
const THRESHOLD_DBM0: f64 = -30.0;
/// How much weaker the column may be than the row, and the other way round, as ratios of power (8 and 5 dB).
const TWIST: f32 = 6.3;
const REVERSE_TWIST: f32 = 3.2;
/// The best of four must be this much above the next (7 dB).
const SELECTIVITY: f32 = 5.0;
/// The two tones must be nearly all there is: speech has more.
const PURITY: f32 = 0.9;
/// And they are steady: from slot to slot their amplitudes differ by at most this ratio.
const STEADY: f32 = 1.3;
/// A slot that has this much of both tones' amplitudes has the key.
const PRESENT: f32 = 0.6;
/// A slot with this much of it is full of it: in one that has less it began or ended.
const WHOLE: f32 = 0.92;
/// And of a slot that has less than this nothing is of it.
const LEAST: f32 = 0.15;
/// Lost audio longer than this, in samples (160 ms), ends a key: what comes after it is another press.
const MAX_LOST: u32 = 1280;
/// Q.24's shortest press, in samples.
const SHORTEST: u32 = 320;

/// What was heard of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DtmfHeard {
    /// A key is down, since so many samples.
    Began {
        /// One of [`DTMF_KEYS`](super::DTMF_KEYS).
        key: char,
        /// For how long it has been, in samples.
        held: u32,
        /// The level of both tones together, in dBm0.
        dbm0: f64,
    },
    /// It is up again.
    Ended {
        /// The same key.
        key: char,
        /// For how long it was down, in samples.
        held: u32,
    },
}

/// Recognises keys in a stream of audio, each press once. Allocates nothing.
#[derive(Debug, Clone)]
pub struct DtmfDetector {
    pcm: [i16; SLOT],
    filled: usize,
    /// The last slots in a row, the newest last; empty after lost audio.
    slots: [Slot; SURE],
    heard: usize,
    /// The slot before them, and what it is to an onset.
    before: Before,
    key: Option<Held>,
}

/// What was before the slots.
#[derive(Debug, Clone, Copy)]
enum Before {
    Slot(Slot),
    /// So many samples are missing, after these two slots.
    Lost(u32, [Slot; 2]),
}

impl Before {
    /// The slot right before; silence where audio is missing.
    fn last(&self) -> Slot {
        match self {
            Before::Slot(slot) => *slot,
            Before::Lost(..) => Slot::default(),
        }
    }
}

/// A key that is down.
#[derive(Debug, Clone, Copy)]
struct Held {
    row: usize,
    column: usize,
    /// The tones' amplitudes.
    amplitudes: (f32, f32),
    /// How long it was surely down, in samples.
    held: u32,
    /// Since then: slots without it, samples that are missing, and how many of those right after it.
    missed: u32,
    lost: u32,
    edge: u32,
    /// What the first slot without it had of it, and what the last one with it lacked of it, in samples.
    rest: u32,
    lacked: u32,
}

impl Default for DtmfDetector {
    fn default() -> Self {
        Self {
            pcm: [0; SLOT],
            filled: 0,
            slots: [Slot::default(); SURE],
            heard: 0,
            before: Before::Slot(Slot::default()),
            key: None,
        }
    }
}

impl DtmfDetector {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears more audio, of any length; calls `heard` for what it notices.
    pub fn hear(&mut self, pcm: &[i16], mut heard: impl FnMut(DtmfHeard)) {
        let mut rest = pcm;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(SLOT - self.filled));
            self.pcm[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = later;
            if self.filled == SLOT {
                self.filled = 0;
                self.take(Slot::of(&self.pcm), &mut heard);
            }
        }
    }

    /// So many samples are missing. What of them was tone is worked out of what comes before and after.
    pub fn lose(&mut self, samples: u32, mut heard: impl FnMut(DtmfHeard)) {
        if samples == 0 {
            return;
        }
        let samples = samples.saturating_add(self.filled as u32);
        self.filled = 0;
        if self.key.is_none() && self.heard >= SURE - 1 {
            self.recognise(SURE - 1, true, &mut heard);
        }
        self.before = match (self.heard, &self.before) {
            (0, Before::Lost(before, slots)) => {
                Before::Lost(before.saturating_add(samples), *slots)
            }
            (0, Before::Slot(slot)) => Before::Lost(samples, [Slot::default(), *slot]),
            (1, before) => Before::Lost(samples, [before.last(), self.slots[0]]),
            (count, _) => Before::Lost(samples, [self.slots[count - 2], self.slots[count - 1]]),
        };
        self.heard = 0;
        let Some(key) = &mut self.key else { return };
        key.lost = key.lost.saturating_add(samples);
        // A slot that had less of it than a whole one was its end.
        if key.missed == 0 && key.lacked == 0 {
            key.edge = key.edge.saturating_add(samples);
        }
        if key.lost > MAX_LOST {
            self.end(&mut heard);
        }
    }

    /// For how long the key that is down has surely been, in samples; none when none is.
    pub fn held(&self) -> Option<u32> {
        self.key.as_ref().map(|key| key.held)
    }

    /// Ends the key that is down: the stream is over, or another one.
    pub fn finish(&mut self, mut heard: impl FnMut(DtmfHeard)) {
        self.end(&mut heard);
        *self = Self::default();
    }

    fn take(&mut self, slot: Slot, heard: &mut impl FnMut(DtmfHeard)) {
        if self.heard == SURE {
            self.before = Before::Slot(self.slots[0]);
            self.slots.rotate_left(1);
            self.slots[SURE - 1] = slot;
        } else {
            self.slots[self.heard] = slot;
            self.heard += 1;
        }
        if let Some(key) = &mut self.key
            && key.goes_on(&slot)
        {
            return;
        }
        let lost_before = matches!(self.before, Before::Lost(..));
        let recognised = match self.heard {
            SURE => self.recognise(SURE, false, heard),
            // Right behind lost audio: what is missing may be the rest of a press.
            heard_of if heard_of == SURE - 1 && lost_before => {
                self.recognise(SURE - 1, true, heard)
            }
            _ => false,
        };
        if !recognised && self.key.is_some_and(|key| key.missed >= UP) {
            self.end(heard);
        }
    }

    /// Whether the newest slots are a key press; begins it.
    fn recognise(&mut self, count: usize, edge: bool, heard: &mut impl FnMut(DtmfHeard)) -> bool {
        let slots = &self.slots[self.heard - count..self.heard];
        let Some((row, column)) = key_in(slots, edge) else {
            return false;
        };
        // The first may be filled in part, the last ones are not.
        let (mut low, mut high) = (0.0, 0.0);
        for slot in &slots[1..] {
            let (row, column) = slot.split(row.index, column.index);
            low += row.amplitude() / (count - 1) as f32;
            high += column.amplitude() / (count - 1) as f32;
        }
        let mut held = Held {
            row: row.index,
            column: column.index,
            amplitudes: (low, high),
            held: (count * SLOT) as u32,
            missed: 0,
            lost: 0,
            edge: 0,
            rest: 0,
            lacked: 0,
        };
        let before = match self.heard > count {
            true => &Before::Slot(self.slots[self.heard - count - 1]),
            false => &self.before,
        };
        let first = held.samples_in(&slots[0]);
        let began_in_it = first < (WHOLE * SLOT as f32) as u32;
        if began_in_it {
            held.held -= SLOT as u32 - first;
        }
        held.held += match before {
            _ if began_in_it => 0,
            Before::Slot(slot) => held.samples_in(slot),
            Before::Lost(samples, [earlier, later]) => {
                let samples = (*samples).min(MAX_LOST);
                match held.samples_in(later) {
                    // Nothing says when in the gap it began: half of it errs least.
                    0 => samples / 2,
                    part if (part as f32) < WHOLE * SLOT as f32 => samples + part,
                    part => samples + part + held.samples_in(earlier),
                }
            }
        };
        self.end(heard);
        self.key = Some(held);
        heard(DtmfHeard::Began {
            key: held.key(),
            held: held.held,
            dbm0: power_level(f64::from(row.power + column.power)),
        });
        true
    }

    fn end(&mut self, heard: &mut impl FnMut(DtmfHeard)) {
        if let Some(key) = self.key.take() {
            heard(DtmfHeard::Ended {
                key: key.key(),
                held: key.whole(),
            });
        }
    }
}

impl Held {
    fn key(&self) -> char {
        LAYOUT[self.row][self.column]
    }

    /// Takes the next slot; says whether the key is still down in it.
    fn goes_on(&mut self, slot: &Slot) -> bool {
        let (part, pure) = self.part(slot);
        if part >= PRESENT && pure {
            // A hole, or lost audio, was in the middle of it.
            self.held += self.missed * SLOT as u32 + self.lost + SLOT as u32;
            (self.missed, self.lost, self.edge, self.rest) = (0, 0, 0, 0);
            self.lacked = match part < WHOLE {
                true => SLOT as u32 - self.samples_in(slot),
                false => 0,
            };
            return true;
        }
        if self.missed == 0 {
            self.rest = self.samples_in(slot);
            if self.rest > 0 {
                self.held += std::mem::take(&mut self.edge);
                self.lost = 0;
            }
        }
        self.missed += 1;
        false
    }

    /// How much of both tones a slot has, and whether they are most of it.
    fn part(&self, slot: &Slot) -> (f32, bool) {
        let (row, column) = slot.split(self.row, self.column);
        let (row, column) = (row.amplitude(), column.amplitude());
        let part = (row / self.amplitudes.0).min(column / self.amplitudes.1);
        // In a slot that has them for a part of its time both the amplitudes and the power are less by that part.
        let pure = row * row + column * column > slot.power() * part.min(1.0);
        (part, pure)
    }

    /// How many samples of a slot at the edge of the press are of it.
    fn samples_in(&self, slot: &Slot) -> u32 {
        match self.part(slot) {
            (part, true) if part > LEAST => (part.min(1.0) * SLOT as f32) as u32,
            _ => 0,
        }
    }

    /// The whole length, now that it is up.
    fn whole(&self) -> u32 {
        // If audio is missing there, it ended somewhere in it.
        let held = self.held - self.lacked.min(self.held);
        (held + self.rest + self.edge.min(MAX_LOST) / 2).max(SHORTEST)
    }
}

/// The key that slots hold from end to end. At the edge of lost audio they are fewer, and must be purer.
fn key_in(slots: &[Slot], edge: bool) -> Option<(Tone, Tone)> {
    let power = slots.iter().map(Slot::power).sum::<f32>() / slots.len() as f32;
    if power < quietest() {
        return None;
    }
    let (row, column) = strongest(slots, SELECTIVITY)?;
    let loud = row.power.min(column.power) > quietest();
    let balanced = row.power < column.power * TWIST && column.power < row.power * REVERSE_TWIST;
    let purity = if edge {
        1.0 - (1.0 - PURITY) / 2.0
    } else {
        PURITY
    };
    let pure = row.power + column.power > purity * power;
    let tuned = row.deviation.abs() < DEVIATION && column.deviation.abs() < DEVIATION;
    let steady = row.unsteady < STEADY && column.unsteady < STEADY;
    (loud && balanced && pure && tuned && steady).then_some((row, column))
}

/// The mean square of the weakest tone.
fn quietest() -> f32 {
    (super::amplitude(THRESHOLD_DBM0).powi(2) / 2.0) as f32
}
