//! What a datagram on a browser's port is (RFC 7983 and, for RTCP, RFC 5761 §4).

/// The kinds of datagram that share a browser's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// STUN: first byte 0 to 3.
    Stun,
    /// DTLS: first byte 20 to 63.
    Dtls,
    /// RTP or SRTP: first byte 128 to 191, payload type outside RTCP's range.
    Rtp,
    /// RTCP or SRTCP: first byte 128 to 191, second byte 192 to 223.
    Rtcp,
    /// Anything else (ZRTP, TURN channels, noise): to be dropped.
    Unknown,
}

/// Classifies a datagram by its first bytes (RFC 7983 §7). Says nothing about its validity.
pub fn classify(packet: &[u8]) -> Kind {
    match packet {
        [0..=3, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, _, ..] => Kind::Rtp,
        _ => Kind::Unknown,
    }
}

const STUN_HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;

/// The receiver's ICE username fragment that a STUN Binding request is addressed to: the part of
/// USERNAME before the colon (RFC 8445 §7.2.2). It routes a datagram from an unknown 5-tuple to
/// its peer; the peer then authenticates it. `None` for anything but such a request.
pub fn local_ufrag(packet: &[u8]) -> Option<&str> {
    if packet.get(..2)? != BINDING_REQUEST || packet.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    let mut rest = packet.get(STUN_HEADER..)?;
    while let [t1, t2, l1, l2, ..] = *rest {
        let len = usize::from(u16::from_be_bytes([l1, l2]));
        let value = rest.get(4..4 + len)?;
        if u16::from_be_bytes([t1, t2]) == USERNAME {
            let (ufrag, _) = std::str::from_utf8(value).ok()?.split_once(':')?;
            return Some(ufrag);
        }
        rest = rest.get(4 + len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides_and_rtcp_is_told_by_the_second() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => Kind::Stun,
                20..=63 => Kind::Dtls,
                128..=191 => Kind::Rtp,
                _ => Kind::Unknown,
            };
            assert_eq!(classify(&[first, 0x80 | 111]), expected, "{first}");
        }
        for second in 0..=255u8 {
            let rtcp = matches!(second & 0x7f, 64..=95) && second & 0x80 != 0;
            assert_eq!(classify(&[0x80, second]) == Kind::Rtcp, rtcp, "{second}");
        }
        assert_eq!(classify(&[]), Kind::Unknown);
        assert_eq!(classify(&[0x80]), Kind::Unknown);
    }

    fn binding(attributes: &[u8]) -> Vec<u8> {
        let mut packet = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        packet.extend([7; 12]);
        packet.extend(attributes);
        packet
    }

    #[test]
    fn the_ufrag_before_the_colon_is_found_behind_other_attributes() {
        let packet = binding(b"\x80\x22\x00\x05hello\0\0\0\x00\x06\x00\x09ours:them\0\0\0");
        assert_eq!(local_ufrag(&packet), Some("ours"));
    }

    #[test]
    fn a_truncated_or_foreign_packet_has_no_ufrag() {
        let packet = binding(b"\x80\x22\x00\x05hello\0\0\0\x00\x06\x00\x09ours:them\0\0\0");
        for len in 0..packet.len() - 3 {
            assert_eq!(local_ufrag(&packet[..len]), None, "{len}");
        }
        let mut response = packet.clone();
        response[0] = 1;
        assert_eq!(local_ufrag(&response), None);
        let mut other = packet;
        other[4] = 0;
        assert_eq!(local_ufrag(&other), None);
        assert_eq!(local_ufrag(&binding(b"\x00\x06\x00\x04ours")), None);
        assert_eq!(local_ufrag(&binding(b"\x00\x06\x00\x04\xff\xfe:a")), None);
        assert_eq!(local_ufrag(&binding(b"\x00\x06\xff\xffours:them")), None);
    }
}
