//! What a connection to the TLS port carries: said by ALPN (RFC 7301), or by its first bytes.

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// STUN or TURN (RFC 8489 §6.2.2, RFC 8656 §3.1).
    Stun,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// What it is.
    Is(Kind),
    /// That more are needed; never after [`ENOUGH`] bytes.
    TooLittle,
    /// That it is nothing that is spoken here.
    Foreign,
}

/// The protocols that are offered: RFC 7443 §3, RFC 9113 §3.2, RFC 7301 §6. Of several that a client takes, the first has
/// it: clients of TURN name HTTP among theirs, and browsers do not name TURN for pages.
pub(super) const OFFERED: [(&[u8], Kind); 4] = [
    (b"stun.turn", Kind::Stun),
    (b"stun.nat-discovery", Kind::Stun),
    (b"h2", Kind::Http2),
    (b"http/1.1", Kind::Http1),
];

/// How many bytes tell everything apart.
pub(super) const ENOUGH: usize = 8;

/// The beginning of every connection of HTTP/2 (RFC 9113 §3.4); no method of HTTP/1.1 is called so.
const PREFACE: &[u8] = b"PRI ";

/// RFC 8489 §5.
const MAGIC_COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();

/// What the negotiated protocol says.
pub(super) fn by_protocol(protocol: Option<&[u8]>) -> Option<Kind> {
    let same = |(offered, _): &&(&[u8], Kind)| Some(*offered) == protocol;
    OFFERED.iter().find(same).map(|(_, kind)| *kind)
}

/// What the first bytes say, where none was negotiated.
pub(super) fn by_first_bytes(bytes: &[u8]) -> Said {
    let Some(first) = bytes.first() else {
        return Said::TooLittle;
    };
    // A STUN message begins with two zero bits. ChannelData begins otherwise, but has no channel before an allocation.
    if first >> 6 == 0 {
        return match bytes.get(4..8) {
            None => Said::TooLittle,
            Some(cookie) if cookie == MAGIC_COOKIE => Said::Is(Kind::Stun),
            Some(_) => Said::Foreign,
        };
    }
    let begins = &bytes[..bytes.len().min(PREFACE.len())];
    if PREFACE.starts_with(begins) {
        return match begins.len() == PREFACE.len() {
            true => Said::Is(Kind::Http2),
            false => Said::TooLittle,
        };
    }
    // Methods are case-sensitive, and all registered ones are in capitals (RFC 9110 §9.1).
    match first.is_ascii_uppercase() {
        true => Said::Is(Kind::Http1),
        false => Said::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a Binding request.
    const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42";

    #[test]
    fn the_negotiated_protocol_says_what_a_connection_carries() {
        assert_eq!(by_protocol(Some(b"h2")), Some(Kind::Http2));
        assert_eq!(by_protocol(Some(b"http/1.1")), Some(Kind::Http1));
        assert_eq!(by_protocol(Some(b"stun.turn")), Some(Kind::Stun));
        assert_eq!(by_protocol(Some(b"stun.nat-discovery")), Some(Kind::Stun));
        assert_eq!(by_protocol(Some(b"imap")), None);
        assert_eq!(by_protocol(None), None);
    }

    #[test]
    fn first_bytes_tell_http_and_stun_apart() {
        let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert_eq!(by_first_bytes(http2), Said::Is(Kind::Http2));
        for request in ["GET / HTTP/1.1\r\n", "POST", "PUT /", "PRUNE /", "OPTIONS"] {
            let said = by_first_bytes(request.as_bytes());
            assert_eq!(said, Said::Is(Kind::Http1), "{request}");
        }
        assert_eq!(by_first_bytes(BINDING), Said::Is(Kind::Stun));
        let allocate = b"\x00\x03\x00\x24\x21\x12\xa4\x42\x01\x02\x03";
        assert_eq!(by_first_bytes(allocate), Said::Is(Kind::Stun));
    }

    #[test]
    fn what_nobody_speaks_here_is_foreign() {
        let channel_data = b"\x40\x00\x00\x04\x21\x12\xa4\x42";
        let old_stun = b"\x00\x01\x00\x00\x00\x00\x00\x00";
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01";
        for bytes in [
            b"get / HT",
            b"\r\nGET / ",
            b"\xff\0\0\0\0\0\0\0",
            old_stun,
            hello,
        ] {
            assert_eq!(by_first_bytes(bytes), Said::Foreign, "{bytes:?}");
        }
        // 0x40 is no capital letter; a channel above 0x4100 begins as a method would, and is refused as one.
        assert_eq!(by_first_bytes(channel_data), Said::Foreign);
    }

    #[test]
    fn no_beginning_of_what_is_spoken_here_is_foreign_and_enough_bytes_always_tell() {
        for whole in [BINDING, b"PRI * HTTP/2.0\r\n", b"PATCH / HTTP/1.1"] {
            for len in 0..whole.len() {
                let said = by_first_bytes(&whole[..len]);
                assert_ne!(said, Said::Foreign, "{len} of {whole:?}");
                assert!(
                    len < ENOUGH || said != Said::TooLittle,
                    "{len} of {whole:?}"
                );
            }
        }
    }
}
