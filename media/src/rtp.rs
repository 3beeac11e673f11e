//! RTP packets (RFC 3550 §5.1), read and written in place.

use rtp_types::{RtpPacket, RtpPacketBuilder};

/// The longest datagram that is looked at or made.
pub(crate) const MAX_PACKET: usize = 1500;
/// The octets of the header we write.
pub(crate) const HEADER: usize = 12;

/// A received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    /// Without CSRCs, extension and padding.
    pub(crate) payload: &'a [u8],
}

/// Why a datagram is not taken as RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Longer than [`MAX_PACKET`].
    #[error("{0} octets are too many")]
    Oversize(usize),
    /// Not version 2, or lengths that do not fit together.
    #[error("not RTP")]
    NotRtp,
}

/// Reads a datagram.
pub(crate) fn read(datagram: &[u8]) -> Result<Packet<'_>, Malformed> {
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
pub(crate) struct Header {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
}

impl Header {
    /// The header's octets.
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
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
}
