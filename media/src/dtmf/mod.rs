//! Keys pressed during a call: telephone-events (RFC 4733), received, relayed and sent, each digit once.

pub(crate) mod ear;
mod estimate;
pub(crate) mod payload;
mod play;
pub(crate) mod receive;
pub(crate) mod send;

use std::fmt;
use std::time::Duration;

/// One of the sixteen keys (RFC 4733 §3.2, events 0 to 15). Its `Debug` is redacted: digits are account numbers and
/// PINs. `char::from` gives the key to those who may know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The digit of an event code; `None` above 15 (flash, line tones, modem signals).
    pub fn from_event(code: u8) -> Option<Self> {
        (code < 16).then_some(Self(code))
    }

    /// Its event code, 0 to 15.
    pub fn event(self) -> u8 {
        self.0
    }
}

impl TryFrom<char> for Digit {
    type Error = NotADigit;

    fn try_from(key: char) -> Result<Self, NotADigit> {
        let key = key.to_ascii_uppercase();
        let code = codecs::tone::DTMF_KEYS
            .iter()
            .position(|candidate| *candidate == key);
        code.map(|code| Self(code as u8)).ok_or(NotADigit)
    }
}

impl From<Digit> for char {
    fn from(digit: Digit) -> char {
        codecs::tone::DTMF_KEYS[usize::from(digit.0 & 15)]
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(_)")
    }
}

/// How keys cross on the telephone's leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtmfWay {
    /// As telephone-events (RFC 4733), where they were agreed.
    #[default]
    Events,
    /// As tones in the audio (ITU-T Q.23): ours are played, theirs are heard, and not passed on as audio.
    Tones,
    /// Beside the media: the browser's are told as [`BridgeEvent::Dtmf`](crate::BridgeEvent::Dtmf), and somebody else
    /// sends them.
    Signalling,
}

/// The character is none of `0`-`9`, `*`, `#`, `A`-`D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a telephone")]
pub struct NotADigit;

/// More digits wait to be sent than the queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of digits is full")]
pub struct DtmfQueueFull;

/// The longest a key can be held in one call of ours: an hour. What claims more is cut.
const MAX_HELD: u64 = 3600 * Ticks::RATE;

/// A length of time in 48000ths of a second: every clock of telephone-events divides it, so nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(u64);

impl Ticks {
    const RATE: u64 = 48_000;

    fn from_units(units: u64, rate: u32) -> Self {
        Self((units.saturating_mul(Self::RATE) / u64::from(rate.max(1))).min(MAX_HELD))
    }

    fn plus_one(self) -> Self {
        Self(self.0 + 1)
    }

    fn to_units(self, rate: u32) -> u64 {
        self.0 * u64::from(rate) / Self::RATE
    }

    fn from_duration(duration: Duration) -> Self {
        let ticks = duration.as_nanos().saturating_mul(u128::from(Self::RATE)) / 1_000_000_000;
        Self(u64::try_from(ticks).unwrap_or(MAX_HELD).min(MAX_HELD))
    }

    pub(crate) fn to_duration(self) -> Duration {
        Duration::from_nanos(self.0 * 1_000_000_000 / Self::RATE)
    }
}
