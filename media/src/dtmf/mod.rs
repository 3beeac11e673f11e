//! Keys pressed during a call: telephone-events (RFC 4733), received, relayed and sent, each digit once.

use std::fmt;

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

/// The character is none of `0`-`9`, `*`, `#`, `A`-`D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a telephone")]
pub struct NotADigit;

/// More digits wait to be sent than the queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of digits is full")]
pub struct DtmfQueueFull;
