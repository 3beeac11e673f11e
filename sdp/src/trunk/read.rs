//! What offers and answers of the SIP side have in common.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Connection, Media, NetType};

use super::Keying;
use crate::{
    Action, Direction, Format, Note, Refusal,
    description::{Description, is_token, milliseconds},
    format,
};

/// One `m=audio` of the SIP side.
pub(super) struct RemoteAudio {
    pub(super) proto: String,
    pub(super) formats: Vec<Format>,
    /// What the other side does, a held `0.0.0.0` included.
    pub(super) direction: Direction,
    pub(super) ptime: Option<u32>,
    pub(super) maxptime: Option<u32>,
    pub(super) rtp: Option<SocketAddr>,
    pub(super) rtcp: Option<SocketAddr>,
    pub(super) rtcp_mux: bool,
    /// Where RTCP goes if the shared port is declined.
    pub(super) rtcp_unshared: Option<SocketAddr>,
}

/// Reads one audio section; `may_mux`: shared ports are understood in it; `offered`: how we offered keys, if it is an
/// answer.
pub(super) fn read_audio(
    description: &Description<'_>,
    index: usize,
    may_mux: bool,
    offered: Option<&Keying>,
    notes: &mut Vec<Note>,
) -> Result<RemoteAudio, Refusal> {
    let Some(media) = description.session.medias.get(index) else {
        return Err(Refusal::NoAudio);
    };
    if media.port == 0 {
        let at = description.at_media(index);
        return Err(Refusal::AudioRejected { at });
    }
    check_proto(description, index, media, offered)?;
    let address = read_address(description, index, media, notes)?;
    let mut direction = Direction::read(&description.session, media);
    if address.is_none() {
        let held = Direction::new(direction.sends(), false);
        notes.push(Note::new(
            Action::Changed,
            format!("a={direction} with an unspecified address in c="),
            format!("the old spelling of hold, read as a={held} (RFC 3264 §8.4)"),
        ));
        direction = held;
    }
    let rtcp_mux = may_mux && media.has_attribute("rtcp-mux");
    let rtp = address.map(|ip| SocketAddr::new(ip, media.port));
    let rtcp_unshared = rtp.and_then(|rtp| read_rtcp(media, rtp, notes));
    if media.num_ports.is_some_and(|ports| ports > 1) {
        notes.push(Note::new(
            Action::Dropped,
            "number of ports in m=audio",
            "layered encodings only; the first port is used (RFC 8866 §5.14)",
        ));
    }
    Ok(RemoteAudio {
        proto: media.proto.clone(),
        formats: format::read_formats(media, rtcp_mux, notes),
        direction,
        ptime: milliseconds(description, index, "ptime"),
        maxptime: milliseconds(description, index, "maxptime"),
        rtcp: if rtcp_mux { rtp } else { rtcp_unshared },
        rtcp_unshared,
        rtp,
        rtcp_mux,
    })
}

fn check_proto(
    description: &Description<'_>,
    index: usize,
    media: &Media,
    offered: Option<&Keying>,
) -> Result<(), Refusal> {
    let taken = match offered {
        Some(keying) => keying.takes(&media.proto),
        None => is_spoken(&media.proto),
    };
    if taken {
        return Ok(());
    }
    let wanted = match offered {
        Some(keying) if *keying != Keying::None => keying.wanted(),
        _ => "RTP/AVP is spoken on the SIP side (RFC 3551), and RTP/SAVP",
    };
    Err(Refusal::Transport {
        found: crate::note::shortened(media.proto.clone()),
        wanted,
        at: description.at_media(index),
    })
}

/// The protocols of offers that can be read; whether one is taken is for the answer to say.
fn is_spoken(proto: &str) -> bool {
    matches!(
        proto,
        "RTP/AVP"
            | "RTP/AVPF"
            | "RTP/SAVP"
            | "RTP/SAVPF"
            | "UDP/TLS/RTP/SAVP"
            | "UDP/TLS/RTP/SAVPF"
    )
}

/// The address of a section, the session's where it has none; `None` for the unspecified address of an old hold.
fn read_address(
    description: &Description<'_>,
    index: usize,
    media: &Media,
    notes: &mut Vec<Note>,
) -> Result<Option<IpAddr>, Refusal> {
    let Some(connection) = media
        .connections
        .first()
        .or(description.session.connection.as_ref())
    else {
        let at = description.at_media(index);
        return Err(Refusal::NoConnection { at });
    };
    let at = description.at(index, "c=");
    let text = connection.connection_address.trim();
    let refuse = |why| {
        let address = crate::note::shortened(text.to_owned());
        Err(Refusal::Address { address, why, at })
    };
    if connection.nettype != NetType::In {
        return refuse("the network type is not IN");
    }
    let Some(address) = parse_address(connection) else {
        if is_token(text) && text.contains(|letter: char| letter.is_ascii_alphabetic()) {
            let host = crate::note::shortened(text.to_owned());
            return Err(Refusal::Hostname { host, at });
        }
        return refuse("it is not an IP address");
    };
    if address.is_multicast() {
        return refuse("a call is not multicast");
    }
    if address == IpAddr::from([255, 255, 255, 255]) {
        return refuse("it is the broadcast address");
    }
    if media.connections.len() > 1 {
        notes.push(Note::new(
            Action::Dropped,
            "further c= lines",
            "the first one is used (RFC 8866 §5.7)",
        ));
    }
    Ok(Some(address).filter(|address| !address.is_unspecified()))
}

fn parse_address(connection: &Connection) -> Option<IpAddr> {
    let text = connection.connection_address.trim();
    let text = text.split('/').next().unwrap_or(text);
    let text = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(text);
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// RFC 3605: `a=rtcp:port [IN IP4 address]`; else the port after RTP's (RFC 3550 §11).
fn read_rtcp(media: &Media, rtp: SocketAddr, notes: &mut Vec<Note>) -> Option<SocketAddr> {
    let next = rtp
        .port()
        .checked_add(1)
        .map(|port| SocketAddr::new(rtp.ip(), port));
    let Some(value) = media.get_first_attribute_value("rtcp").flatten() else {
        return next;
    };
    let mut parts = value.split_ascii_whitespace();
    let port = parts.next().and_then(|port| port.parse().ok());
    let Some(port) = port.filter(|port: &u16| *port != 0) else {
        notes.push(Note::new(
            Action::Dropped,
            format!("a=rtcp:{value}"),
            "no port in it; RTCP goes to the port after RTP's (RFC 3605 §2.1)",
        ));
        return next;
    };
    let ip = match parts.nth(2) {
        None => rtp.ip(),
        Some(text) => match text.parse::<IpAddr>() {
            Ok(ip) if !ip.is_unspecified() && !ip.is_multicast() => ip.to_canonical(),
            _ => {
                notes.push(Note::new(
                    Action::Changed,
                    format!("a=rtcp:{value}"),
                    "no usable address in it; RTP's is used (RFC 3605 §2.1)",
                ));
                rtp.ip()
            }
        },
    };
    Some(SocketAddr::new(ip, port))
}

/// Whether somebody's telephone events go with a codec: at its own rate, or at 8000 Hz beside Opus as many phones do.
pub(super) fn telephone_event(formats: &[Format], codec: crate::Codec) -> Option<&Format> {
    let at = |clock_rate| {
        formats
            .iter()
            .find(|format| format.is_telephone_event() && format.clock_rate == clock_rate)
    };
    at(codec.clock_rate()).or_else(|| at(8_000))
}
