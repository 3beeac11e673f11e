//! Reading a browser's offer.

use serde::Serialize;

use crate::{
    Action, Direction, Format, Note, Refusal, attributes,
    description::{Description, is_token, milliseconds},
    fingerprint, format,
};

/// A browser's offer that the gateway can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The audio stream of the call.
    pub audio: Audio,
    /// Every `m=` line in order, the audio's included; an answer has exactly these (RFC 3264 §6).
    pub sections: Vec<Section>,
    /// The section that must stay for its transport, where that is not the audio's own.
    pub carrier: Option<Carrier>,
    /// The mids of the offer's first BUNDLE group; empty without one (RFC 9143 §7.2).
    pub bundle: Vec<String>,
    /// The browser trickles candidates (RFC 8840).
    pub trickle: bool,
    /// `o=` session id.
    pub session_id: String,
    /// `o=` session version; goes up with every new offer of a session.
    pub session_version: u64,
    /// What was ignored or repaired while reading.
    pub notes: Vec<Note>,
    /// Attribute lines of the session and of the audio, as written; what a translation explains.
    pub(crate) attributes: Vec<String>,
}

/// A stream nobody wants that carries the transport of the audio.
///
/// Under `max-bundle` only the group's first section has a transport, and none other can take its place when it is
/// rejected (RFC 9143 §7.3.1). So it is answered as inactive instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Its place among the `m=` lines, from 0.
    pub index: usize,
    /// The one format the answer names.
    pub format: Format,
}

/// One `m=` line of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// `audio`, `video`, `application`, ...
    pub media: String,
    /// The port as written; 0 with `bundle-only` is not a rejection (RFC 9143 §6).
    pub port: u16,
    /// The protocol as written.
    pub proto: String,
    /// The formats as written.
    pub formats: String,
    /// `a=mid` (RFC 5888).
    pub mid: Option<String>,
    /// Why an answer rejects it; `None` for the audio of the call, and for a [`Carrier`].
    pub rejected: Option<String>,
}

/// The audio section of a browser's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// Its place among the `m=` lines, from 0.
    pub index: usize,
    /// `a=mid` (RFC 5888).
    pub mid: Option<String>,
    /// The formats the browser wants to receive, in its order.
    pub formats: Vec<Format>,
    /// What the browser does.
    pub direction: Direction,
    /// Packet length it prefers to receive, in milliseconds.
    pub ptime: Option<u32>,
    /// Longest packet it receives, in milliseconds.
    pub maxptime: Option<u32>,
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub pwd: String,
    /// SHA-256 of its DTLS certificate.
    pub fingerprint: [u8; 32],
    /// Its DTLS role.
    pub setup: Setup,
    /// Values of `a=candidate`, as written. ICE-lite needs none of them (DESIGN: nothing is sent to a candidate).
    pub candidates: Vec<String>,
    /// No candidate will follow (RFC 8840).
    pub end_of_candidates: bool,
}

/// The DTLS roles an offer may have towards a side that is always the server (RFC 8842 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setup {
    /// Either; what a browser offers.
    Actpass,
    /// The browser is the client, as in a new offer on a running call.
    Active,
}

/// Reads a browser's offer.
///
/// Takes the first `m=audio` that can be answered; every other stream will be rejected with port 0.
/// # Errors
/// A [`Refusal`] saying what is wrong, where, and what would be right.
pub fn read_offer(text: &str) -> Result<Offer, Refusal> {
    let description = Description::parse(text)?;
    let mut notes = Vec::new();
    description.note_missing(&mut notes);
    let mut sections = read_sections(&description)?;
    let bundle = read_bundle(&description, &sections, &mut notes);
    let audio = choose_audio(&description, &bundle, &sections, &mut notes)?;
    let carrier = read_carrier(&description, &audio, &bundle, &sections)?;
    for (index, section) in sections.iter_mut().enumerate() {
        let stays = index == audio.index || carrier.as_ref().is_some_and(|one| one.index == index);
        section.rejected = (!stays).then(|| why_rejected(section));
    }
    let session = &description.session;
    Ok(Offer {
        trickle: description
            .value(audio.index, "ice-options")
            .is_some_and(|options| options.split(' ').any(|option| option == "trickle")),
        session_id: session.origin.sess_id.clone(),
        session_version: session.origin.sess_version,
        attributes: attributes::lines(session, description.attributes(audio.index)),
        audio,
        carrier,
        sections,
        bundle,
        notes,
    })
}

fn read_sections(description: &Description<'_>) -> Result<Vec<Section>, Refusal> {
    let mut sections: Vec<Section> = Vec::new();
    for (index, media) in description.media() {
        let mid = media
            .get_first_attribute_value("mid")
            .map(|mid| mid.unwrap_or("").trim().to_owned());
        if let Some(mid) = &mid {
            let at = description.at(index, "a=mid");
            if mid.len() > 64 || !is_token(mid) {
                return Err(Refusal::BadMid { at });
            }
            if sections.iter().any(|other| other.mid.as_ref() == Some(mid)) {
                let mid = mid.clone();
                return Err(Refusal::DuplicateMid { mid, at });
            }
        }
        sections.push(Section {
            media: media.media.clone(),
            port: media.port,
            proto: media.proto.clone(),
            formats: media.fmt.clone(),
            mid,
            rejected: None,
        });
    }
    Ok(sections)
}

fn read_bundle(
    description: &Description<'_>,
    sections: &[Section],
    notes: &mut Vec<Note>,
) -> Vec<String> {
    let Some(group) = crate::description::named(&description.session.attributes, "group")
        .filter_map(|attribute| attribute.value.as_deref())
        .find(|group| group.split_ascii_whitespace().next() == Some("BUNDLE"))
    else {
        return Vec::new();
    };
    let mut mids: Vec<String> = Vec::new();
    for mid in group.split_ascii_whitespace().skip(1).take(64) {
        let known = sections.iter().any(|one| one.mid.as_deref() == Some(mid));
        if known && !mids.iter().any(|other| other == mid) {
            mids.push(mid.to_owned());
        } else {
            notes.push(Note::new(
                Action::Dropped,
                format!("{mid} in a=group:BUNDLE"),
                "no media section has that mid, or it is listed twice (RFC 9143 §7.2)",
            ));
        }
    }
    mids
}

fn choose_audio(
    description: &Description<'_>,
    bundle: &[String],
    sections: &[Section],
    notes: &mut Vec<Note>,
) -> Result<Audio, Refusal> {
    let mut first_refusal = None;
    for (index, section) in sections.iter().enumerate() {
        if section.media != "audio" {
            continue;
        }
        let mut own_notes = Vec::new();
        match read_audio(description, index, bundle, sections, &mut own_notes) {
            Ok(audio) => {
                notes.append(&mut own_notes);
                return Ok(audio);
            }
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    Err(first_refusal.unwrap_or(Refusal::NoAudio))
}

fn read_audio(
    description: &Description<'_>,
    index: usize,
    bundle: &[String],
    sections: &[Section],
    notes: &mut Vec<Note>,
) -> Result<Audio, Refusal> {
    let (Some(media), Some(section)) = (description.session.medias.get(index), sections.get(index))
    else {
        return Err(Refusal::NoAudio);
    };
    let at = description.at_media(index);
    let bundled = section.mid.as_ref().is_some_and(|mid| bundle.contains(mid));
    if media.port == 0 && !(bundled && media.has_attribute("bundle-only")) {
        return Err(Refusal::AudioRejected { at });
    }
    check_proto(description, index, &media.proto)?;
    // A bundle-only section has its transport attributes in the section that the group names first (RFC 9143 §7.1.3).
    let transport = transport_section(description, index, bundled, bundle, sections);
    let muxes =
        |media| description.has(media, "rtcp-mux") || description.has(media, "rtcp-mux-only");
    if !muxes(transport) && !muxes(index) {
        return Err(Refusal::NoRtcpMux { at });
    }
    let fingerprint = fingerprint::read(description, transport)?;
    let (ufrag, pwd) = read_credentials(description, transport)?;
    let setup = read_setup(description, transport)?;
    let formats = format::read_formats(media, true, notes);
    if !formats
        .iter()
        .any(|format| format.browser_codec().is_some())
    {
        return Err(Refusal::NoCommonCodec {
            theirs: format::names(&formats),
            ours: "opus/48000, PCMU/8000, PCMA/8000".into(),
            at,
        });
    }
    Ok(Audio {
        index,
        mid: section.mid.clone(),
        formats,
        direction: Direction::read(&description.session, media),
        ptime: milliseconds(description, index, "ptime"),
        maxptime: milliseconds(description, index, "maxptime"),
        ufrag,
        pwd,
        fingerprint,
        setup,
        candidates: media
            .get_attribute_values("candidate")
            .flatten()
            .map(str::to_owned)
            .collect(),
        end_of_candidates: description.has(index, "end-of-candidates"),
    })
}

fn read_carrier(
    description: &Description<'_>,
    audio: &Audio,
    bundle: &[String],
    sections: &[Section],
) -> Result<Option<Carrier>, Refusal> {
    let tagged = bundle.first().and_then(|tag| {
        sections
            .iter()
            .position(|one| one.mid.as_ref() == Some(tag))
    });
    let bundled = audio.mid.as_ref().is_some_and(|mid| bundle.contains(mid));
    let Some(index) = tagged.filter(|tagged| bundled && *tagged != audio.index) else {
        return Ok(None);
    };
    // Chromium writes no bundle-only under max-bundle, but the same credentials everywhere: one transport.
    let bundle_only = sections.get(audio.index).is_some_and(|one| one.port == 0);
    let shared = description.value(index, "ice-ufrag") == Some(audio.ufrag.as_str());
    if !bundle_only && !shared {
        return Ok(None);
    }
    let format = description
        .session
        .medias
        .get(index)
        .filter(|media| media.port != 0 && media.proto.contains("RTP/"))
        .and_then(|media| {
            format::read_formats(media, true, &mut Vec::new())
                .into_iter()
                .next()
        });
    match format {
        Some(format) => Ok(Some(Carrier { index, format })),
        None => Err(Refusal::BundleOnly {
            at: description.at_media(audio.index),
        }),
    }
}

/// RFC 9429 §5.1.2: the DTLS-SRTP protocols, and what older browsers wrote for the same thing.
fn check_proto(description: &Description<'_>, index: usize, proto: &str) -> Result<(), Refusal> {
    let known = [
        "UDP/TLS/RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "TCP/DTLS/RTP/SAVPF",
        "TCP/DTLS/RTP/SAVP",
        "RTP/SAVPF",
        "RTP/SAVP",
    ];
    if known.contains(&proto) {
        return Ok(());
    }
    Err(Refusal::Transport {
        found: crate::note::shortened(proto.to_owned()),
        wanted: "a browser's audio is UDP/TLS/RTP/SAVPF (RFC 9429 §5.1.2)",
        at: description.at_media(index),
    })
}

fn transport_section(
    description: &Description<'_>,
    index: usize,
    bundled: bool,
    bundle: &[String],
    sections: &[Section],
) -> usize {
    if !bundled || description.has(index, "ice-ufrag") {
        return index;
    }
    bundle
        .first()
        .and_then(|tag| {
            sections
                .iter()
                .position(|one| one.mid.as_ref() == Some(tag))
        })
        .unwrap_or(index)
}

fn read_credentials(
    description: &Description<'_>,
    media: usize,
) -> Result<(String, String), Refusal> {
    if description.session.has_attribute("ice-lite") {
        let at = description.at(media, "a=ice-lite");
        return Err(Refusal::IceLite { at });
    }
    let read = |name, what, shortest, wanted| {
        let Some(value) = description.value(media, name) else {
            return Err(Refusal::NoIce {
                what,
                at: description.at_media(media),
            });
        };
        if !is_ice_string(value, shortest) {
            return Err(Refusal::BadIce {
                what,
                wanted,
                at: description.at(media, what),
            });
        }
        Ok(value.to_owned())
    };
    Ok((
        read(
            "ice-ufrag",
            "a=ice-ufrag",
            4,
            "4 to 256 letters, digits, + or /",
        )?,
        read(
            "ice-pwd",
            "a=ice-pwd",
            22,
            "22 to 256 letters, digits, + or /",
        )?,
    ))
}

/// RFC 8839 §5.4: `ice-char`, at most 256 of them.
pub(crate) fn is_ice_string(text: &str, shortest: usize) -> bool {
    (shortest..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

fn read_setup(description: &Description<'_>, media: usize) -> Result<Setup, Refusal> {
    match description.value(media, "setup") {
        Some("actpass") => Ok(Setup::Actpass),
        // RFC 4145 §4.1: an offer that says nothing is active.
        Some("active") | None => Ok(Setup::Active),
        Some(other) => Err(Refusal::Setup {
            found: crate::note::shortened(other.to_owned()),
            at: description.at(media, "a=setup"),
        }),
    }
}

fn why_rejected(section: &Section) -> String {
    match section.media.as_str() {
        "audio" => "a call has one audio stream; an earlier m=audio is used (RFC 3264 §6)".into(),
        "application" => "the gateway has no data channel (RFC 3264 §6)".into(),
        "video" => "the gateway carries audio only (RFC 3264 §6)".into(),
        other => format!(
            "the gateway carries audio only, not {} (RFC 3264 §6)",
            crate::note::shortened(other.to_owned())
        ),
    }
}
