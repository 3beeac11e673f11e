//! The tones of keys (ITU-T Q.23).

use super::Sine;

/// The sixteen keys, in RFC 4733's order: the event code of each is its index.
pub const DTMF_KEYS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];

pub(super) const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
pub(super) const LAYOUT: [[char; 4]; 4] = [
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
        Self::with_twist(key, dbm0, 0.0)
    }

    /// The same, with the higher tone `twist` dB above the lower one, which is at `dbm0`: lines lose more of the higher.
    pub fn with_twist(key: char, dbm0: f64, twist: f64) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        let row = LAYOUT.iter().position(|keys| keys.contains(&key))?;
        let column = LAYOUT[row].iter().position(|candidate| *candidate == key)?;
        Some(Self {
            row: Sine::new(ROWS[row], dbm0),
            column: Sine::new(COLUMNS[column], dbm0 + twist),
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
