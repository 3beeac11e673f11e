//! Answering a browser's offer.

use std::net::SocketAddr;

use sdp_types::Media;

use super::{Carrier, Offer, Section, Transport, choose::choose};
use crate::{
    Action, Negotiated, Note, Preference, Refusal,
    write::{self, flag, value},
};

/// What the gateway answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Which codec to take where both are offered.
    pub prefer: Preference,
    /// Our ICE user name fragment (RFC 8839 §5.4).
    pub ufrag: String,
    /// Our ICE password.
    pub pwd: String,
    /// SHA-256 of our DTLS certificate, `AB:CD:..`.
    pub fingerprint: String,
    /// Our host candidates, the preferred first; the first is also what `m=` and `c=` say.
    pub candidates: Vec<SocketAddr>,
    /// Where we are reached by TCP, too (RFC 6544); we make no connections.
    pub tcp_candidates: Vec<SocketAddr>,
    /// `o=` session id; the same for the whole call.
    pub session_id: u64,
    /// `o=` session version; one more for each answer of a call (RFC 3264 §8).
    pub session_version: u64,
    /// SSRC of what we send.
    pub ssrc: u32,
    /// RTCP CNAME of what we send.
    pub cname: String,
    /// Packet length we would like to receive, in milliseconds.
    pub ptime_ms: u32,
    /// Take telephone events where they are offered at the codec's clock rate.
    pub dtmf: bool,
    /// What we ask of the browser's Opus encoder.
    pub opus: OpusOptions,
}

impl Default for AnswerOptions {
    /// Only the choices; ICE, DTLS and candidates are empty and must be given.
    fn default() -> Self {
        Self {
            prefer: Preference::Opus,
            ufrag: String::new(),
            pwd: String::new(),
            fingerprint: String::new(),
            candidates: Vec::new(),
            tcp_candidates: Vec::new(),
            session_id: 1,
            session_version: 1,
            ssrc: 1,
            cname: "switchhook".into(),
            ptime_ms: 20,
            dtmf: true,
            opus: OpusOptions::default(),
        }
    }
}

impl AnswerOptions {
    /// Values that are plainly not real, for an answer that is only to be looked at: an address of TEST-NET-1
    /// (RFC 5737), a fingerprint of zeros, and names that say so.
    pub fn placeholder() -> Self {
        let offer = super::OfferOptions::placeholder();
        Self {
            ufrag: offer.ufrag,
            pwd: offer.pwd,
            fingerprint: offer.fingerprint,
            candidates: offer.candidates,
            cname: offer.cname,
            ..Self::default()
        }
    }
}

/// The Opus parameters of RFC 7587 §6.1 as the gateway sets them: mono, and narrowband unless the telephone has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusOptions {
    /// `maxaveragebitrate` in bit/s; `None` leaves it to the browser. Chromium takes it as the rate to use; by itself
    /// it takes 12 kbit/s for narrowband, too little for FEC to fit in.
    pub max_average_bitrate: Option<u32>,
    /// `maxplaybackrate` and `sprop-maxcapturerate` in Hz: what the other side of the call can hear and say. 8000 is a
    /// telephone; `None`: all that Opus has.
    pub max_playback_rate: Option<u32>,
    /// `useinbandfec`: loss is repaired from the next packet.
    pub inband_fec: bool,
    /// `usedtx`: nearly nothing is sent in pauses.
    pub dtx: bool,
}

impl Default for OpusOptions {
    fn default() -> Self {
        Self {
            max_average_bitrate: None,
            max_playback_rate: Some(8_000),
            inband_fec: true,
            dtx: false,
        }
    }
}

impl OpusOptions {
    /// The parameters of `a=fmtp`.
    pub(crate) fn fmtp(self) -> String {
        let rate = self.max_playback_rate.map_or(String::new(), |rate| {
            format!("maxplaybackrate={rate};sprop-maxcapturerate={rate};")
        });
        let mut fmtp = format!(
            "minptime=10;{rate}stereo=0;sprop-stereo=0;useinbandfec={}",
            u8::from(self.inband_fec)
        );
        if self.dtx {
            fmtp.push_str(";usedtx=1");
        }
        if let Some(rate) = self.max_average_bitrate {
            fmtp.push_str(&format!(
                ";maxaveragebitrate={}",
                rate.clamp(6_000, 510_000)
            ));
        }
        fmtp
    }
}

/// An answer and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The SDP.
    pub text: String,
    /// What was agreed on for the audio.
    pub audio: Negotiated,
    /// What was kept, dropped, changed, added and rejected, and why.
    pub notes: Vec<Note>,
}

/// Answers a browser's offer as an ICE-lite DTLS server.
///
/// A new offer on a running call is answered by the same function with a higher `session_version` and, for an ICE
/// restart, new credentials.
/// # Errors
/// [`Refusal::NoCommonCodec`], or [`Refusal::Options`] where the options make no right answer.
pub fn answer(offer: &Offer, options: &AnswerOptions) -> Result<Answer, Refusal> {
    let transport = Transport {
        ufrag: &options.ufrag,
        pwd: &options.pwd,
        fingerprint: &options.fingerprint,
        candidates: &options.candidates,
    };
    let default = transport.check()?;
    if !crate::description::is_token(&options.cname) {
        return Err(Refusal::Options {
            what: "cname must be a token",
        });
    }
    let mut notes = offer.notes.clone();
    let chosen = choose(&offer.audio, options, &mut notes)?;
    let negotiated = chosen.negotiated(&offer.audio, options);

    let mut session = write::session(
        None,
        options.session_id,
        options.session_version,
        default.ip(),
        "-",
    );
    write_bundle(offer, &mut session.attributes, &mut notes);
    session.attributes.push(flag("ice-lite"));
    for (index, section) in offer.sections.iter().enumerate() {
        let carrier = offer.carrier.as_ref();
        let mut media = if index == offer.audio.index {
            chosen.section(section, default, negotiated.direction, options)
        } else if let Some(carrier) = carrier.filter(|carrier| carrier.index == index) {
            carry(section, carrier, default, &mut notes)
        } else {
            reject(section, &mut notes)
        };
        if index == carrier.map_or(offer.audio.index, |carrier| carrier.index) {
            write_transport(&mut media, options);
        }
        session.medias.push(media);
    }
    Ok(Answer {
        text: write::text(&session),
        audio: negotiated,
        notes,
    })
}

fn subject(section: &Section) -> String {
    format!(
        "m={} {}",
        section.media,
        section.mid.as_deref().unwrap_or("")
    )
    .trim()
    .to_owned()
}

fn reject(section: &Section, notes: &mut Vec<Note>) -> Media {
    let reason = section
        .rejected
        .as_deref()
        .unwrap_or("not the call's audio");
    notes.push(Note::new(Action::Rejected, subject(section), reason));
    let mid = section.mid.as_deref();
    write::rejected(&section.media, &section.proto, &section.formats, mid)
}

fn carry(
    section: &Section,
    carrier: &Carrier,
    default: SocketAddr,
    notes: &mut Vec<Note>,
) -> Media {
    notes.push(Note::new(
        Action::Changed,
        subject(section),
        "kept as inactive, not rejected: the bundled audio has its transport there (RFC 9143 §7.3.1)",
    ));
    let formats = std::slice::from_ref(&carrier.format);
    let fmt = write::fmt_list(formats);
    let mut media = write::media(&section.media, default.port(), &section.proto, fmt);
    media.connections.push(write::connection(default.ip()));
    media
        .attributes
        .extend(section.mid.as_ref().map(|mid| value("mid", mid)));
    media
        .attributes
        .extend([flag("rtcp-mux"), flag("inactive")]);
    write::describe_formats(&mut media, formats, true);
    media
}

/// ICE and DTLS, once for a BUNDLE group (RFC 9143 §7.1.3).
fn write_transport(media: &mut Media, options: &AnswerOptions) {
    media.attributes.extend([
        value("ice-ufrag", &options.ufrag),
        value("ice-pwd", &options.pwd),
        value("ice-options", "ice2"),
        value("fingerprint", format!("sha-256 {}", options.fingerprint)),
        value("setup", "passive"),
    ]);
    write::candidates(media, &options.candidates, &options.tcp_candidates);
}

fn write_bundle(offer: &Offer, attributes: &mut Vec<sdp_types::Attribute>, notes: &mut Vec<Note>) {
    if !offer
        .audio
        .mid
        .as_ref()
        .is_some_and(|mid| offer.bundle.contains(mid))
    {
        return;
    }
    let stays = |other: &&String| {
        let section = offer
            .sections
            .iter()
            .find(|section| section.mid.as_ref() == Some(*other));
        section.is_some_and(|section| section.rejected.is_none())
    };
    let mut group = String::from("BUNDLE");
    for mid in offer.bundle.iter().filter(stays) {
        group.push(' ');
        group.push_str(mid);
    }
    attributes.push(value("group", group));
    let removed: Vec<_> = offer
        .bundle
        .iter()
        .filter(|mid| !stays(mid))
        .map(String::as_str)
        .collect();
    if !removed.is_empty() {
        notes.push(Note::new(
            Action::Changed,
            "a=group:BUNDLE",
            format!(
                "{} taken out: a rejected stream is in no group (RFC 9143 §7.3.3)",
                removed.join(" ")
            ),
        ));
    }
}
