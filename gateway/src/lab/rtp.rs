//! RTP (RFC 3550 §5.1) and telephone-events (RFC 4733 §2.3), as far as a telephone needs them.

/// The fixed header.
const HEADER: usize = 12;
const VERSION: u8 = 2;

/// The largest packet the lab phone sends or looks at.
pub(super) const MAX_PACKET: usize = 1500;

/// A packet that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) marker: bool,
    pub(super) payload_type: u8,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` if it is not RTP.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *header;
        if first >> 6 != VERSION {
            return None;
        }
        let contributing = usize::from(first & 0x0f) * 4;
        let mut payload = rest.get(contributing..)?;
        if first & 0x10 != 0 {
            let (extension, after) = payload.split_first_chunk::<4>()?;
            let words = u16::from_be_bytes([extension[2], extension[3]]);
            payload = after.get(usize::from(words) * 4..)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(*payload.last()?);
            let length = payload.len().checked_sub(padding).filter(|_| padding > 0)?;
            payload = payload.get(..length)?;
        }
        Some(Packet {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload,
        })
    }

    /// Writes the packet, without extensions and padding; `None` if it does not fit.
    pub(super) fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let length = HEADER + self.payload.len();
        let buffer = buffer.get_mut(..length)?;
        let (header, payload) = buffer.split_at_mut(HEADER);
        header[0] = VERSION << 6;
        header[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        header[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        payload.copy_from_slice(self.payload);
        Some(length)
    }
}

/// The event code of a telephone-event (RFC 4733 §2.3).
pub(super) fn event_code(payload: &[u8]) -> Option<u8> {
    let [code, _flags, _, _] = *payload.first_chunk::<4>()?;
    Some(code)
}
