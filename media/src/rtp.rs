//! RTP packets (RFC 3550 §5.1), read and written in place.
//!
//! [`read`] gives a view of a datagram, [`Header::write`] puts a packet into a buffer. Neither copies more than it
//! must, and neither allocates.

use rtp_types::{RtpPacket, RtpPacketBuilder};

/// The longest datagram that is looked at or made.
pub const MAX_PACKET: usize = 1500;
/// The octets of the header we write.
pub const HEADER: usize = 12;

/// A received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Whose stream it belongs to.
    pub ssrc: u32,
    /// Its number in the stream.
    pub sequence: u16,
    /// The moment of its first sample, in units of the payload's clock.
    pub timestamp: u32,
    /// For audio: the first packet after a pause (RFC 3551 §4.1).
    pub marker: bool,
    /// Seven bits.
    pub payload_type: u8,
    /// What it carries, without CSRCs, extension and padding.
    pub payload: &'a [u8],
}

/// Why a datagram is not taken as RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_PACKET`].
    #[error("{0} octets are too many")]
    Oversize(usize),
    /// Not version 2, or lengths that do not fit together.
    #[error("not RTP")]
    NotRtp,
}

/// Reads a datagram.
///
/// # Errors
/// It is longer than [`MAX_PACKET`] or no RTP packet.
pub fn read(datagram: &[u8]) -> Result<Packet<'_>, Malformed> {
    if datagram.len() > MAX_PACKET {
        return Err(Malformed::Oversize(datagram.len()));
    }
    let view = RtpPacket::parse(datagram).map_err(|_| Malformed::NotRtp)?;
    let start = view.payload_offset();
    let payload = datagram
        .get(start..start + view.payload_len())
        .ok_or(Malformed::NotRtp)?;
    Ok(Packet {
        ssrc: view.ssrc(),
        sequence: view.sequence_number(),
        timestamp: view.timestamp(),
        marker: view.marker_bit(),
        payload_type: view.payload_type(),
        payload,
    })
}

/// The header of a packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose stream it belongs to.
    pub ssrc: u32,
    /// Its number in the stream.
    pub sequence: u16,
    /// The moment of its first sample, in units of the payload's clock.
    pub timestamp: u32,
    /// For audio: the first packet after a pause (RFC 3551 §4.1).
    pub marker: bool,
    /// Seven bits.
    pub payload_type: u8,
}

impl Header {
    /// The header's octets.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let builder = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(self.payload_type & 0x7f)
            .marker_bit(self.marker)
            .sequence_number(self.sequence)
            .timestamp(self.timestamp)
            .ssrc(self.ssrc);
        // It cannot fail: the type has seven bits, there are no CSRCs and no extension, and twelve octets are room.
        let _ = builder.write_into(&mut bytes);
        bytes
    }

    /// Writes a packet to the front of `buffer`; its length, or `None` if it does not fit.
    pub fn write(self, payload: &[u8], buffer: &mut [u8]) -> Option<usize> {
        let len = HEADER + payload.len();
        let (header, rest) = buffer.get_mut(..len)?.split_at_mut(HEADER);
        header.copy_from_slice(&self.to_bytes());
        rest.copy_from_slice(payload);
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_with_sources_extension_and_padding_are_understood() {
        let mut bytes = vec![0xb1, 0x80, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([0, 0, 0, 9]);
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend([0x11, 0x22, 0, 0, 3]);
        let packet = Packet {
            ssrc: 3,
            sequence: 1,
            timestamp: 2,
            marker: true,
            payload_type: 0,
            payload: &[0x11, 0x22],
        };
        assert_eq!(read(&bytes), Ok(packet));
    }

    #[test]
    fn what_is_written_is_read_and_must_fit() {
        let header = Header {
            ssrc: 0x0102_0304,
            sequence: 65_535,
            timestamp: 7,
            marker: true,
            payload_type: 101,
        };
        let mut buffer = [0; 16];
        assert_eq!(header.write(&[5; 4], &mut buffer), Some(16));
        let packet = read(&buffer).expect("RTP");
        assert_eq!((packet.ssrc, packet.sequence), (0x0102_0304, 65_535));
        assert_eq!((packet.marker, packet.payload_type), (true, 101));
        assert_eq!(packet.payload, [5; 4]);
        assert_eq!(header.write(&[5; 5], &mut buffer), None);
    }
}
