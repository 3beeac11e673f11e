//! The four octets of a telephone-event (RFC 4733 §2.3).

/// One report of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventPayload {
    pub(crate) event: u8,
    /// The E bit: the duration is final.
    pub(crate) end: bool,
    /// The power level in dBm0 without its sign, 0 to 63.
    pub(crate) volume: u8,
    /// So far, in units of the event's clock.
    pub(crate) duration: u16,
}

impl EventPayload {
    /// Reads the first event of a payload. What follows it (RFC 4733 knows no such thing) is not looked at.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low, ..] = *payload else {
            return None;
        };
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// Its octets.
    pub(crate) fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [
            self.event,
            u8::from(self.end) << 7 | self.volume & 0x3f,
            high,
            low,
        ]
    }
}
