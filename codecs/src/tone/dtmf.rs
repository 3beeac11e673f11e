//! DTMF in the audio itself (ITU-T Q.23, Q.24).

use super::{Sine, goertzel::power_at, mean_square, power_level};

/// The sixteen keys, in RFC 4733's order: the event code of each is its index.
pub const DTMF_KEYS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];

const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const LAYOUT: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// A key held down.
#[derive(Debug, Clone)]
pub struct DtmfTone {
    row: Sine,
    column: Sine,
}

impl DtmfTone {
    /// The two tones of a key (one of [`DTMF_KEYS`], letters in either case), each at a level in dBm0.
    pub fn new(key: char, dbm0: f64) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        let row = LAYOUT.iter().position(|keys| keys.contains(&key))?;
        let column = LAYOUT[row].iter().position(|candidate| *candidate == key)?;
        Some(Self {
            row: Sine::new(ROWS[row], dbm0),
            column: Sine::new(COLUMNS[column], dbm0),
        })
    }

    /// Fills `pcm` with the next samples.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            let sum = self.row.next_sample() + self.column.next_sample();
            *sample = sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
        }
    }
}

/// A block is long enough to tell neighbouring rows apart, and two of them, one hop from each other,
/// fit into the shortest key press that counts (40 ms, Q.24) wherever it begins.
const BLOCK: usize = 205;
const HOP: usize = 51;
/// Blocks without the key after which it is up: more than a hole of 10 ms touches, fewer than the
/// shortest pause does (40 ms, Q.24).
const UP: u8 = 8;
/// Weaker keys are not heard (Q.24 asks for -24 dBm at the least sensitive), in dBm0 of each tone.
const THRESHOLD_DBM0: f64 = -30.0;
/// How much weaker the column may be than the row, and the other way round, as ratios of power (8 and 5 dB).
const TWIST: f64 = 6.3;
const REVERSE_TWIST: f64 = 3.2;
/// The best of four must be this much above the next (8 dB).
const SELECTIVITY: f64 = 6.3;
/// The two tones must be nearly all there is: speech has more.
const PURITY: f64 = 0.88;

/// Recognises keys in a stream of audio. A key is reported once for each press, when it is sure. For
/// tones made by machines: within half a percent of their frequencies.
#[derive(Debug, Clone)]
pub struct DtmfDetector {
    block: [i16; BLOCK],
    filled: usize,
    last: Option<char>,
    /// The key being held, and for how many blocks it has not been heard.
    held: Option<(char, u8)>,
}

impl Default for DtmfDetector {
    fn default() -> Self {
        Self {
            block: [0; BLOCK],
            filled: 0,
            last: None,
            held: None,
        }
    }
}

impl DtmfDetector {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears more audio, of any length; calls `pressed` for each key recognised in it.
    pub fn hear(&mut self, pcm: &[i16], mut pressed: impl FnMut(char)) {
        for sample in pcm {
            self.block[self.filled] = *sample;
            self.filled += 1;
            if self.filled == BLOCK {
                if let Some(key) = self.judge() {
                    pressed(key);
                }
                self.block.copy_within(HOP.., 0);
                self.filled = BLOCK - HOP;
            }
        }
    }

    fn judge(&mut self) -> Option<char> {
        let heard = key_in(&self.block);
        let sure = heard.filter(|_| heard == self.last);
        self.last = heard;
        match (&mut self.held, sure) {
            (Some((held, missed)), _) if heard == Some(*held) => {
                *missed = 0;
                None
            }
            (_, Some(key)) => {
                self.held = Some((key, 0));
                Some(key)
            }
            (Some((_, missed)), None) => {
                *missed += 1;
                if *missed >= UP {
                    self.held = None;
                }
                None
            }
            (None, None) => None,
        }
    }
}

fn key_in(block: &[i16; BLOCK]) -> Option<char> {
    let (row, low) = strongest(block, &ROWS)?;
    let (column, high) = strongest(block, &COLUMNS)?;
    let loud = power_level(low.min(high)) > THRESHOLD_DBM0;
    let balanced = low < high * TWIST && high < low * REVERSE_TWIST;
    let pure = low + high > PURITY * mean_square(block);
    (loud && balanced && pure).then(|| LAYOUT[row][column])
}

fn strongest(block: &[i16; BLOCK], frequencies: &[f64; 4]) -> Option<(usize, f64)> {
    let powers = frequencies.map(|frequency| power_at(block, frequency));
    let (best, power) = powers
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let distinct = powers
        .iter()
        .enumerate()
        .all(|(index, other)| index == best || *other * SELECTIVITY < power);
    distinct.then_some((best, power))
}
