//! Writing descriptions with `sdp-types`.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Origin, Session};

use crate::{Format, limits};

/// `o=`, `s=` and `t=0 0` (RFC 8866 §5).
pub(crate) fn session(
    username: Option<&str>,
    id: u64,
    version: u64,
    address: IpAddr,
    name: &str,
) -> Session {
    let mut origin = Origin::with_ip_addr(id, version, address);
    if let Some(username) = username.filter(|username| *username != "-") {
        origin.set_username(username);
    }
    Session::new(origin, name)
}

pub(crate) fn media(media: &str, port: u16, proto: &str, fmt: String) -> Media {
    Media {
        media: media.to_owned(),
        port,
        num_ports: None,
        proto: proto.to_owned(),
        fmt,
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

/// A stream answered with port 0; its formats are repeated because one at least must be there (RFC 3264 §6).
pub(crate) fn rejected(kind: &str, proto: &str, fmt: &str, mid: Option<&str>) -> Media {
    let mut section = media(kind, 0, proto, fmt.to_owned());
    if let Some(mid) = mid {
        section.attributes.push(value("mid", mid));
    }
    section.attributes.push(flag("inactive"));
    section
}

pub(crate) fn flag(name: &str) -> Attribute {
    Attribute {
        attribute: name.to_owned(),
        value: None,
    }
}

pub(crate) fn value(name: &str, value: impl ToString) -> Attribute {
    Attribute {
        attribute: name.to_owned(),
        value: Some(value.to_string()),
    }
}

pub(crate) fn connection(address: IpAddr) -> Connection {
    Connection::from_ip_addr(address)
}

/// The `fmt` list of an `m=` line.
pub(crate) fn fmt_list(formats: &[Format]) -> String {
    let numbers: Vec<_> = formats
        .iter()
        .map(|format| format.payload_type.to_string())
        .collect();
    numbers.join(" ")
}

/// `a=rtpmap` and `a=fmtp` of every format.
pub(crate) fn describe_formats(section: &mut Media, formats: &[Format], with_static: bool) {
    for format in formats {
        let fixed = format
            .codec()
            .and_then(crate::Codec::static_payload_type)
            .is_some_and(|fixed| fixed == format.payload_type);
        if with_static || !fixed {
            section.attributes.push(value("rtpmap", format.rtpmap()));
        }
        if let Some(fmtp) = &format.fmtp {
            let fmtp = format!("{} {fmtp}", format.payload_type);
            section.attributes.push(value("fmtp", fmtp));
        }
    }
}

/// Host candidates with the priorities of RFC 8445 §5.1.2, the first one preferred; and those of TCP, which are below all of
/// UDP, with RFC 6544 §4.2's for who makes no connections.
pub(crate) fn candidates(section: &mut Media, addresses: &[SocketAddr], by_tcp: &[SocketAddr]) {
    for (index, address) in addresses.iter().enumerate() {
        let preference = 65_535_u32.saturating_sub(u32::try_from(index).unwrap_or(u32::MAX));
        let priority = (126 << 24) | (preference << 8) | 255;
        section.attributes.push(value(
            "candidate",
            format!(
                "{} 1 udp {priority} {} {} typ host",
                index + 1,
                address.ip(),
                address.port()
            ),
        ));
    }
    for (index, address) in (0_u32..).zip(by_tcp) {
        let preference = (4 << 13) | 8191_u32.saturating_sub(index);
        let priority = (90 << 24) | (preference << 8) | 255;
        section.attributes.push(value(
            "candidate",
            format!(
                "{} 1 tcp {priority} {} {} typ host tcptype passive",
                101 + index,
                address.ip(),
                address.port()
            ),
        ));
    }
    section.attributes.push(flag("end-of-candidates"));
}

/// The text, with CRLF (RFC 8866 §5).
pub(crate) fn text(session: &Session) -> String {
    let mut bytes = Vec::with_capacity(1024);
    // Writing to a Vec does not fail.
    let _ = session.write(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A packetisation time the gateway can send: what is wanted, held to `maxptime`, 10 to 60 ms in steps of 10.
pub(crate) fn ptime(wanted: Option<u32>, ours: u32, longest: Option<u32>) -> u32 {
    let wanted = wanted.filter(|ms| *ms > 0).unwrap_or(ours);
    let longest = longest
        .filter(|ms| *ms > 0)
        .unwrap_or(limits::PTIME_MAX_MS)
        .clamp(limits::PTIME_MIN_MS, limits::PTIME_MAX_MS);
    let held = wanted.clamp(limits::PTIME_MIN_MS, longest);
    (held / 10 * 10).max(limits::PTIME_MIN_MS)
}
