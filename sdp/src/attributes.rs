//! Attributes that have no place on the other side, and why.

use sdp_types::{Attribute, Session};

use crate::{Action, Note};

/// What browsers write that means nothing to a phone, or must not reach it.
const BROWSER_ONLY: [(&str, &str); 23] = [
    ("candidate", "ICE ends in the gateway (RFC 8839 §5.1)"),
    ("end-of-candidates", "ICE ends in the gateway (RFC 8840)"),
    ("ice-ufrag", "ICE ends in the gateway (RFC 8839 §5.4)"),
    ("ice-pwd", "ICE ends in the gateway (RFC 8839 §5.4)"),
    ("ice-options", "ICE ends in the gateway (RFC 8839 §5.6)"),
    ("fingerprint", "DTLS ends in the gateway (RFC 8122)"),
    ("setup", "DTLS ends in the gateway (RFC 8842)"),
    ("tls-id", "DTLS ends in the gateway (RFC 8842 §4)"),
    (
        "identity",
        "asserted to the gateway, not to the phone (RFC 8827)",
    ),
    ("group", "one stream needs no BUNDLE (RFC 9143)"),
    (
        "mid",
        "names a stream in a BUNDLE group; there is none (RFC 5888)",
    ),
    ("bundle-only", "there is no BUNDLE group (RFC 9143 §6)"),
    (
        "rtcp-mux",
        "the phone gets RTCP on a port of its own unless its profile says otherwise (RFC 5761)",
    ),
    (
        "rtcp-mux-only",
        "the phone gets RTCP on a port of its own (RFC 8858)",
    ),
    ("rtcp-rsize", "the gateway sends compound RTCP (RFC 5506)"),
    (
        "rtcp-fb",
        "feedback ends in the gateway; RTP/AVP has none (RFC 4585 §4)",
    ),
    ("rtcp-xr", "the gateway writes its own RTCP (RFC 3611 §5)"),
    (
        "extmap",
        "RTP header extensions end in the gateway (RFC 8285)",
    ),
    (
        "extmap-allow-mixed",
        "RTP header extensions end in the gateway (RFC 8285 §6)",
    ),
    ("msid", "names a track for JavaScript (RFC 8830)"),
    ("msid-semantic", "names tracks for JavaScript (RFC 8830)"),
    (
        "ssrc",
        "the phone hears the gateway's own source (RFC 5576)",
    ),
    (
        "ssrc-group",
        "the phone hears the gateway's own source (RFC 5576)",
    ),
];

/// What telephones write that a browser does not get from them.
const PHONE_ONLY: [(&str, &str); 12] = [
    (
        "candidate",
        "the phone's path ends in the gateway (RFC 8839 §5.1)",
    ),
    (
        "ice-ufrag",
        "the phone's path ends in the gateway (RFC 8839 §5.4)",
    ),
    (
        "ice-pwd",
        "the phone's path ends in the gateway (RFC 8839 §5.4)",
    ),
    (
        "crypto",
        "keys in the signalling never reach a browser (RFC 8827 §6.5)",
    ),
    (
        "fingerprint",
        "the browser gets the gateway's own (RFC 8122)",
    ),
    ("setup", "the browser gets the gateway's own (RFC 8842)"),
    (
        "ssrc",
        "a phone's source makes Chromium play silence (RFC 5576)",
    ),
    (
        "rtcp-mux",
        "the browser's side always has it (RFC 9429 §5.2.1)",
    ),
    ("rtcp-xr", "the gateway writes its own RTCP (RFC 3611 §5)"),
    ("rtcp-fb", "feedback ends in the gateway (RFC 4585 §4)"),
    ("label", "names a stream among the phone's own (RFC 4574)"),
    (
        "silencesupp",
        "silence ends in the gateway, which conceals it",
    ),
];

/// Lines that are spoken of elsewhere: by format, by direction, by transport.
const EXPLAINED: [&str; 9] = [
    "rtpmap", "fmtp", "sendrecv", "sendonly", "recvonly", "inactive", "ptime", "maxptime", "rtcp",
];

/// Which way a description is translated.
#[derive(Clone, Copy)]
pub(crate) enum Towards {
    Phone,
    Browser,
}

/// A section's and its session's attribute lines as written.
pub(crate) fn lines(session: &Session, own: &[Attribute]) -> Vec<String> {
    session
        .attributes
        .iter()
        .chain(own)
        .map(|attribute| match &attribute.value {
            Some(value) => format!("a={}:{value}", attribute.attribute),
            None => format!("a={}", attribute.attribute),
        })
        .collect()
}

/// Says of each kind of attribute that is not spoken of elsewhere why it stays behind.
pub(crate) fn note(attributes: &[String], towards: Towards, notes: &mut Vec<Note>) {
    let table: &[(&str, &str)] = match towards {
        Towards::Phone => &BROWSER_ONLY,
        Towards::Browser => &PHONE_ONLY,
    };
    let mut seen: Vec<(&str, &str, usize)> = Vec::new();
    for line in attributes {
        let name = line
            .strip_prefix("a=")
            .and_then(|rest| rest.split(':').next())
            .unwrap_or("");
        if EXPLAINED
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        {
            continue;
        }
        // More kinds of attribute than this are nobody's honest offer.
        let room = seen.len() < 64;
        match seen.iter_mut().find(|(other, ..)| *other == name) {
            Some((.., count)) => *count += 1,
            None if room => seen.push((name, line, 1)),
            None => {}
        }
    }
    for (name, line, count) in seen {
        let reason = table
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map_or(
                "not understood, so not passed on (RFC 8866 §5.13)",
                |(_, reason)| reason,
            );
        // A secret in a trace is a secret in a log.
        let subject = match (name.to_ascii_lowercase().as_str(), count) {
            ("ice-pwd" | "crypto", _) => format!("a={name}"),
            (_, 1) => line.to_owned(),
            _ => format!("a={name} ({count} lines)"),
        };
        notes.push(Note::new(Action::Dropped, subject, reason));
    }
}
