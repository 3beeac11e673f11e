//! Reading an offer from the SIP side.

use std::net::SocketAddr;

use super::keying::{Keying, OfferedKeys};
use super::read::{self, RemoteAudio};
use crate::{Direction, Format, Note, Refusal, attributes, description::Description, format};

pub use crate::browser::Section;

/// An offer of the SIP side that the gateway can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The audio stream of the call.
    pub audio: Audio,
    /// Every `m=` line in order, the audio's included; an answer has exactly these (RFC 3264 §6).
    pub sections: Vec<Section>,
    /// `o=` session id.
    pub session_id: String,
    /// `o=` session version; the same as before means nothing has changed (RFC 3264 §8).
    pub session_version: u64,
    /// What was ignored or repaired while reading.
    pub notes: Vec<Note>,
    /// Attribute lines of the session and of the audio, as written; what a translation explains.
    pub(crate) attributes: Vec<String>,
}

/// The audio section of a SIP offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// Its place among the `m=` lines, from 0.
    pub index: usize,
    /// The protocol: `RTP/AVP`, or `RTP/AVPF`, which an answer repeats.
    pub proto: String,
    /// The formats the phone wants to receive, in its order.
    pub formats: Vec<Format>,
    /// What the phone does; a held `c=0.0.0.0` does not receive (RFC 3264 §8.4).
    pub direction: Direction,
    /// Packet length it prefers to receive, in milliseconds.
    pub ptime: Option<u32>,
    /// Longest packet it receives, in milliseconds.
    pub maxptime: Option<u32>,
    /// Where it wants RTP; `None` while held by `c=0.0.0.0`.
    pub remote_rtp: Option<SocketAddr>,
    /// Where it wants RTCP (RFC 3605, else the next port).
    pub remote_rtcp: Option<SocketAddr>,
    /// It offers RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: bool,
    /// Where it takes RTCP if that is declined.
    pub(crate) remote_rtcp_unshared: Option<SocketAddr>,
    /// The keys for SRTP that it has.
    pub(crate) keys: OfferedKeys,
}

/// Reads an offer of the SIP side. Takes the first `m=audio` that can be answered, also by how it would get its keys; the
/// others will be rejected.
/// # Errors
/// A [`Refusal`] of the first audio stream where none can be answered.
pub fn read_offer(text: &str, keying: &Keying) -> Result<Offer, Refusal> {
    let description = Description::parse(text)?;
    let mut first_refusal = None;
    let mut found = None;
    for (index, media) in description.media() {
        if media.media != "audio" {
            continue;
        }
        let mut notes = Vec::new();
        description.note_missing(&mut notes);
        match read_usable(&description, index, keying, &mut notes) {
            Ok((remote, keys)) => {
                found = Some((index, remote, keys, notes));
                break;
            }
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    let Some((index, remote, keys, notes)) = found else {
        return Err(first_refusal.unwrap_or(Refusal::NoAudio));
    };
    Ok(Offer {
        sections: read_sections(&description, index),
        attributes: attributes::lines(&description.session, description.attributes(index)),
        audio: Audio {
            index,
            proto: remote.proto,
            formats: remote.formats,
            direction: remote.direction,
            ptime: remote.ptime,
            maxptime: remote.maxptime,
            remote_rtp: remote.rtp,
            remote_rtcp: remote.rtcp,
            rtcp_mux: remote.rtcp_mux,
            remote_rtcp_unshared: remote.rtcp_unshared,
            keys,
        },
        session_id: description.session.origin.sess_id.clone(),
        session_version: description.session.origin.sess_version,
        notes,
    })
}

fn read_usable(
    description: &Description<'_>,
    index: usize,
    keying: &Keying,
    notes: &mut Vec<Note>,
) -> Result<(RemoteAudio, OfferedKeys), Refusal> {
    let remote = read::read_audio(description, index, true, None, notes)?;
    let keys = OfferedKeys::read(description, index)?;
    keying
        .answer(&remote.proto, &keys, remote.rtcp_mux, &mut Vec::new())
        .map_err(|refusal| refusal.at(description.at_media(index)))?;
    if remote.formats.iter().any(|format| format.codec().is_some()) {
        return Ok((remote, keys));
    }
    Err(Refusal::NoCommonCodec {
        theirs: format::names(&remote.formats),
        ours: "opus/48000, PCMU/8000, PCMA/8000, G722/8000".into(),
        at: description.at_media(index),
    })
}

fn read_sections(description: &Description<'_>, chosen: usize) -> Vec<Section> {
    description
        .media()
        .map(|(index, media)| Section {
            media: media.media.clone(),
            port: media.port,
            proto: media.proto.clone(),
            formats: media.fmt.clone(),
            mid: None,
            rejected: (index != chosen)
                .then(|| why_rejected(&media.media, media.port, index < chosen)),
        })
        .collect()
}

fn why_rejected(media: &str, port: u16, before: bool) -> String {
    match media {
        _ if port == 0 => "offered with port 0, so it stays rejected (RFC 3264 §6)".into(),
        "audio" if before => {
            "cannot be answered as it is; a later m=audio can (RFC 3264 §6)".into()
        }
        "audio" => "a call has one audio stream; an earlier m=audio is used (RFC 3264 §6)".into(),
        "image" => "the gateway does not carry fax (T.38); RFC 3264 §6".into(),
        other => format!(
            "the gateway carries audio only, not {} (RFC 3264 §6)",
            crate::note::shortened(other.to_owned())
        ),
    }
}
