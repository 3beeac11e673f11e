//! As much of RTP's and RTCP's headers as SRTP needs.

use super::{Error, RTCP_CLEAR};

/// What SRTP needs of an RTP header (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RtpHeader {
    /// Fixed header, CSRCs and extension: what stays in the clear.
    pub(super) len: usize,
    pub(super) sequence: u16,
    pub(super) ssrc: u32,
}

const FIXED: usize = 12;

/// Reads the header of a packet without its tag.
pub(super) fn parse_rtp(packet: &[u8]) -> Result<RtpHeader, Error> {
    let [first, _, s1, s2, _, _, _, _, a, b, c, d, ..] = *packet else {
        return Err(Error::Malformed);
    };
    if first >> 6 != 2 {
        return Err(Error::Malformed);
    }
    let mut len = FIXED + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let Some(&[_, _, l1, l2]) = packet.get(len..len + 4) else {
            return Err(Error::Malformed);
        };
        len += 4 + 4 * usize::from(u16::from_be_bytes([l1, l2]));
    }
    if len > packet.len() {
        return Err(Error::Malformed);
    }
    Ok(RtpHeader {
        len,
        sequence: u16::from_be_bytes([s1, s2]),
        ssrc: u32::from_be_bytes([a, b, c, d]),
    })
}

/// The SSRC of a compound RTCP packet's first packet.
pub(super) fn parse_rtcp(packet: &[u8]) -> Result<u32, Error> {
    match *packet {
        [first, _, _, _, a, b, c, d, ..] if first >> 6 == 2 && packet.len() >= RTCP_CLEAR => {
            Ok(u32::from_be_bytes([a, b, c, d]))
        }
        _ => Err(Error::Malformed),
    }
}
