//! Offering a call to a browser.

use std::net::SocketAddr;

use super::{OpusOptions, Transport};
use crate::{
    Action, Codec, Format, Note, Refusal, attributes, limits, trunk,
    write::{self, flag, value},
};

/// What the gateway offers a browser with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferOptions {
    /// Codecs in order of preference; what the phone does not have the gateway transcodes.
    pub codecs: Vec<Codec>,
    /// Our ICE user name fragment (RFC 8839 §5.4).
    pub ufrag: String,
    /// Our ICE password.
    pub pwd: String,
    /// SHA-256 of our DTLS certificate, `AB:CD:..`.
    pub fingerprint: String,
    /// Our host candidates, the preferred first.
    pub candidates: Vec<SocketAddr>,
    /// `o=` session id.
    pub session_id: u64,
    /// `o=` session version.
    pub session_version: u64,
    /// SSRC of what we send.
    pub ssrc: u32,
    /// RTCP CNAME of what we send.
    pub cname: String,
    /// Packet length we would like to receive, in milliseconds.
    pub ptime_ms: u32,
    /// Offer telephone events.
    pub dtmf: bool,
    /// What we ask of the browser's Opus encoder.
    pub opus: OpusOptions,
}

impl OfferOptions {
    /// Values that are plainly not real, for a translation that is only to be looked at: addresses of TEST-NET-1
    /// (RFC 5737), a fingerprint of zeros, and names that say so.
    pub fn placeholder() -> Self {
        Self {
            codecs: Codec::BROWSERS.to_vec(),
            ufrag: "placeholderUfrag".into(),
            pwd: "placeholderPasswordOfTheGateway".into(),
            fingerprint: ["00"; 32].join(":"),
            candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7000))],
            session_id: 1,
            session_version: 1,
            ssrc: 1,
            cname: "placeholder-cname".into(),
            ptime_ms: 20,
            dtmf: true,
            opus: OpusOptions::default(),
        }
    }
}

/// Writes the offer a browser gets for a phone's offer: SIP to browser.
/// # Errors
/// [`Refusal::Options`] where the options make no right offer.
pub fn offer(from: &trunk::Offer, options: &OfferOptions) -> Result<(String, Vec<Note>), Refusal> {
    let transport = Transport {
        ufrag: &options.ufrag,
        pwd: &options.pwd,
        fingerprint: &options.fingerprint,
        candidates: &options.candidates,
    };
    let default = transport.check()?;
    if options.codecs.is_empty() {
        return Err(Refusal::Options {
            what: "codecs must name at least one codec",
        });
    }
    let formats = formats(options);
    let mut notes = from.notes.clone();
    explain(from, options, &formats, &mut notes);

    let mut session = write::session(
        None,
        options.session_id,
        options.session_version,
        default.ip(),
        "-",
    );
    session
        .attributes
        .extend([value("group", "BUNDLE 0"), flag("ice-lite")]);
    let mut media = write::media(
        "audio",
        default.port(),
        "UDP/TLS/RTP/SAVPF",
        write::fmt_list(&formats),
    );
    media.connections.push(write::connection(default.ip()));
    media.attributes.extend([
        value("mid", 0),
        flag("rtcp-mux"),
        value("ice-ufrag", &options.ufrag),
        value("ice-pwd", &options.pwd),
        value("ice-options", "ice2"),
        value("fingerprint", format!("sha-256 {}", options.fingerprint)),
        value("setup", "actpass"),
        flag(from.audio.direction.as_str()),
    ]);
    write::describe_formats(&mut media, &formats, true);
    media.attributes.extend([
        value("ptime", write::ptime(None, options.ptime_ms, None)),
        value("maxptime", limits::PTIME_MAX_MS),
        value("msid", format!("{} audio", options.cname)),
        value("ssrc", format!("{} cname:{}", options.ssrc, options.cname)),
    ]);
    write::candidates(&mut media, &options.candidates, &[]);
    session.medias.push(media);
    Ok((write::text(&session), notes))
}

/// Opus under Chromium's own number, the laws under theirs, events at every codec's clock rate:
/// an offer lists what may be chosen, and the browser's answer chooses.
fn formats(options: &OfferOptions) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    for codec in &options.codecs {
        let payload_type = codec.static_payload_type().unwrap_or(111);
        if formats.iter().all(|one| one.payload_type != payload_type) {
            let mut format = Format::of(*codec, payload_type);
            format.fmtp = (*codec == Codec::Opus).then(|| options.opus.fmtp());
            formats.push(format);
        }
    }
    let rates = [(48_000, 110), (8_000, 126)];
    for (clock_rate, payload_type) in rates {
        let used = options
            .codecs
            .iter()
            .any(|codec| codec.clock_rate() == clock_rate);
        if options.dtmf && used {
            formats.push(Format::telephone_event(payload_type, clock_rate, "0-15"));
        }
    }
    formats
}

fn explain(from: &trunk::Offer, options: &OfferOptions, formats: &[Format], notes: &mut Vec<Note>) {
    notes.push(Note::new(
        Action::Changed,
        format!("m=audio {}", from.audio.proto),
        "UDP/TLS/RTP/SAVPF: a browser's media is DTLS-SRTP (RFC 8827 §6.5, RFC 9429 §5.1.2)",
    ));
    for format in &from.audio.formats {
        let ours = formats.iter().find(|ours| {
            format.codec().is_some() && ours.codec() == format.codec()
                || format.is_telephone_event()
                    && ours.is_telephone_event()
                    && ours.clock_rate == format.clock_rate
        });
        let subject = format.to_string();
        notes.push(match ours {
            Some(ours) if ours.payload_type == format.payload_type => {
                Note::new(Action::Kept, subject, "the browser speaks it too")
            }
            Some(ours) => Note::new(
                Action::Renumbered,
                subject,
                format!(
                    "{} towards the browser; the two legs number for themselves (RFC 3264 §5.1)",
                    ours.payload_type
                ),
            ),
            None => Note::new(
                Action::Dropped,
                subject,
                "not spoken on the browser's side of the gateway",
            ),
        });
    }
    for format in formats {
        let theirs = from.audio.formats.iter().any(|theirs| {
            theirs.encoding.eq_ignore_ascii_case(&format.encoding)
                && theirs.clock_rate == format.clock_rate
        });
        if !theirs {
            notes.push(Note::new(
                Action::Added,
                format.to_string(),
                "the gateway converts between the two sides",
            ));
        }
    }
    let direction = from.audio.direction;
    notes.push(Note::new(
        Action::Kept,
        format!("a={direction}"),
        "the same for the browser (RFC 3264 §5.1)",
    ));
    let ptime = write::ptime(None, options.ptime_ms, None);
    if from.audio.ptime.is_some_and(|theirs| theirs != ptime) {
        notes.push(Note::new(
            Action::Changed,
            "a=ptime",
            format!("a=ptime:{ptime}: the gateway repacketises (RFC 8866 §6.4)"),
        ));
    }
    notes.push(Note::new(
        Action::Changed,
        "c= and a=rtcp",
        "the phone's address stays on its side; the browser gets the gateway's candidates (RFC 8839)",
    ));
    attributes::note(&from.attributes, attributes::Towards::Browser, notes);
    for (subject, reason) in [
        ("a=group:BUNDLE, a=mid", "RFC 9143 §7.2"),
        (
            "a=ice-lite, a=ice-ufrag, a=ice-pwd, a=candidate",
            "the browser makes the checks (RFC 8445 §2.5, RFC 8839 §5)",
        ),
        (
            "a=fingerprint, a=setup:actpass",
            "RFC 8122 §5, RFC 8842 §5.2",
        ),
        (
            "a=rtcp-mux",
            "one port for both (RFC 5761, RFC 9429 §5.2.1)",
        ),
        (
            "a=ssrc, a=msid",
            "the gateway's own source: the phone's would silence Chromium (RFC 5576, RFC 8830)",
        ),
    ] {
        notes.push(Note::new(Action::Added, subject, reason));
    }
    for section in &from.sections {
        if let Some(reason) = &section.rejected {
            let subject = format!("m={} {}", section.media, section.port);
            notes.push(Note::new(Action::Rejected, subject, reason));
        }
    }
}
