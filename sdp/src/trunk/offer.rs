//! Offering a call to the SIP side.

use std::net::IpAddr;

use sdp_types::{Bandwidth, Media, Session};

use super::{ConnectionPlace, Keying, Profile, RtcpAttribute};
use crate::{
    Action, Codec, Direction, Format, Note, attributes, browser,
    write::{self, flag, value},
};

/// What the gateway offers, or answers, the SIP side with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferOptions {
    /// Where we receive RTP; what `c=` and `o=` say.
    pub address: IpAddr,
    /// The port of `m=`.
    pub port: u16,
    /// Where we receive RTCP; `None`: the port after RTP's.
    pub rtcp_port: Option<u16>,
    /// Codecs in order of preference; the profile's, where it names some, go before them.
    pub codecs: Vec<Codec>,
    /// Offer telephone events (RFC 4733).
    pub dtmf: bool,
    /// Packet length in milliseconds; the profile's, where it names one, goes before it.
    pub ptime_ms: u32,
    /// What we do; `SendRecv` but for hold.
    pub direction: Direction,
    /// `o=` session id; the same for the whole dialog.
    pub session_id: u64,
    /// `o=` session version; one more for each changed description (RFC 3264 §8).
    pub session_version: u64,
    /// How the media gets its keys, and which keys of theirs are taken.
    pub keying: Keying,
    /// The trunk's quirks.
    pub profile: Profile,
}

impl OfferOptions {
    /// The usual choices at an address: PCMU and PCMA, telephone events, 20 ms.
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            rtcp_port: None,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            dtmf: true,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            session_id: 1,
            session_version: 1,
            keying: Keying::None,
            profile: Profile::default(),
        }
    }

    /// Values that are plainly not real, for a translation that is only to be looked at: TEST-NET-1 (RFC 5737).
    pub fn placeholder() -> Self {
        Self::new(IpAddr::from([192, 0, 2, 1]), 20_000)
    }

    /// The codecs offered, each once.
    pub(super) fn codecs(&self) -> Vec<Codec> {
        let listed = if self.profile.codecs.is_empty() {
            &self.codecs
        } else {
            &self.profile.codecs
        };
        let mut codecs = Vec::new();
        for codec in listed {
            if !codecs.contains(codec) {
                codecs.push(*codec);
            }
        }
        codecs
    }

    pub(super) fn ptime_ms(&self) -> u32 {
        write::ptime(self.profile.ptime_ms, self.ptime_ms, None)
    }

    /// Offer RTP and RTCP on one port.
    pub(super) fn rtcp_mux(&self) -> bool {
        self.profile.rtcp_mux || self.keying.needs_mux()
    }

    /// The formats of our offer: the codecs, then telephone events at each of their clock rates.
    pub(super) fn formats(&self) -> Vec<Format> {
        let profile = &self.profile;
        let codecs = self.codecs();
        let mut formats: Vec<Format> = Vec::new();
        for codec in &codecs {
            let payload_type = codec
                .static_payload_type()
                .unwrap_or_else(|| free(&formats, profile.opus_payload_type));
            let mut format = Format::of(*codec, payload_type);
            if *codec == Codec::Opus {
                format.fmtp = Some(self.opus_fmtp());
            }
            formats.push(format);
        }
        if profile.comfort_noise {
            formats.push(Format::comfort_noise());
        }
        if !self.dtmf || !profile.telephone_event {
            return formats;
        }
        let rates = [
            (8_000, profile.telephone_event_payload_type),
            (48_000, profile.telephone_event_48k_payload_type),
        ];
        for (clock_rate, payload_type) in rates {
            // A phone that takes Opus may know events at 8000 Hz only.
            let used = clock_rate == 8_000 || codecs.contains(&Codec::Opus);
            if used && payload_type != 0 {
                let payload_type = free(&formats, payload_type);
                let range = &profile.telephone_event_range;
                formats.push(Format::telephone_event(payload_type, clock_rate, range));
            }
        }
        formats
    }

    /// Mono; what Opus has, for it is passed on to browsers.
    pub(super) fn opus_fmtp(&self) -> String {
        let opus = browser::OpusOptions {
            max_average_bitrate: self.profile.opus_max_average_bitrate,
            max_playback_rate: None,
            ..browser::OpusOptions::default()
        };
        opus.fmtp()
    }

    /// A session without media in the trunk's style.
    pub(super) fn session(&self) -> Session {
        let profile = &self.profile;
        let mut session = write::session(
            Some(&profile.origin_username),
            self.session_id,
            self.session_version,
            self.address,
            &profile.session_name,
        );
        if profile.connection != ConnectionPlace::Media {
            session.connection = Some(write::connection(self.address));
        }
        session
    }

    /// The audio section in the trunk's style.
    pub(super) fn section(
        &self,
        proto: &str,
        formats: &[Format],
        direction: Direction,
        rtcp_mux: bool,
    ) -> Media {
        let profile = &self.profile;
        let mut media = write::media("audio", self.port, proto, write::fmt_list(formats));
        if profile.connection != ConnectionPlace::Session {
            media.connections.push(write::connection(self.address));
        }
        if let Some(kbps) = profile.bandwidth_kbps {
            media.bandwidths.push(Bandwidth {
                bwtype: "AS".into(),
                bandwidth: u64::from(kbps),
            });
        }
        write::describe_formats(&mut media, formats, profile.static_rtpmap);
        if profile.write_ptime {
            media.attributes.push(value("ptime", self.ptime_ms()));
        }
        if let Some(ms) = profile.maxptime_ms {
            media.attributes.push(value("maxptime", ms));
        }
        if let Some(port) = self.rtcp_attribute(rtcp_mux) {
            media.attributes.push(value("rtcp", port));
        }
        if rtcp_mux {
            media.attributes.push(flag("rtcp-mux"));
        }
        if profile.rtcp_xr {
            media.attributes.push(value("rtcp-xr", "voip-metrics"));
        }
        if profile.write_sendrecv || direction != Direction::SendRecv {
            media.attributes.push(flag(direction.as_str()));
        }
        media
    }

    fn rtcp_attribute(&self, rtcp_mux: bool) -> Option<u16> {
        let next = self.port.checked_add(1);
        let port = if rtcp_mux {
            Some(self.port)
        } else {
            self.rtcp_port.or(next)
        };
        match self.profile.rtcp {
            RtcpAttribute::Never => None,
            RtcpAttribute::Always => port,
            RtcpAttribute::WhenNotNext => port.filter(|_| !rtcp_mux && port != next),
        }
    }
}

/// The wanted dynamic payload type, or the first one that nobody has.
fn free(formats: &[Format], wanted: u8) -> u8 {
    let taken = |number: u8| formats.iter().any(|format| format.payload_type == number);
    std::iter::once(wanted)
        .filter(|number| (96..=127).contains(number))
        .chain(96..=127)
        .find(|number| !taken(*number))
        .unwrap_or(96)
}

/// An offer of our own, such as for an INVITE that came without one (RFC 3261 §13.2.1).
pub fn offer_fresh(options: &OfferOptions) -> String {
    write_offer(options, &options.formats(), options.direction)
}

fn write_offer(options: &OfferOptions, formats: &[Format], direction: Direction) -> String {
    let mut session = options.session();
    let proto = options.keying.proto();
    let mut media = options.section(proto, formats, direction, options.rtcp_mux());
    options.keying.write(&mut media);
    session.medias.push(media);
    write::text(&session)
}

/// Writes the offer the SIP side gets for a browser's offer, and says what became of each of its lines.
pub fn offer(from: &browser::Offer, options: &OfferOptions) -> (String, Vec<Note>) {
    let formats = options.formats();
    let browsers = from.audio.direction;
    let direction = Direction::new(
        browsers.sends() && options.direction.sends(),
        browsers.receives() && options.direction.receives(),
    );
    let mut notes = from.notes.clone();
    note_transport(from, options, direction, &mut notes);
    note_formats(&from.audio.formats, &formats, &mut notes);
    attributes::note(&from.attributes, attributes::Towards::Phone, &mut notes);
    for section in &from.sections {
        if let Some(reason) = &section.rejected {
            let subject = format!(
                "m={} {}",
                section.media,
                section.mid.as_deref().unwrap_or("")
            );
            notes.push(Note::new(
                Action::Dropped,
                subject.trim(),
                format!("not offered to the SIP side, rejected towards the browser: {reason}"),
            ));
        }
    }
    (write_offer(options, &formats, direction), notes)
}

fn note_transport(
    from: &browser::Offer,
    options: &OfferOptions,
    direction: Direction,
    notes: &mut Vec<Note>,
) {
    let proto = from
        .sections
        .get(from.audio.index)
        .map_or("UDP/TLS/RTP/SAVPF", |section| section.proto.as_str());
    notes.push(Note::new(
        Action::Changed,
        format!("m=audio {proto}"),
        format!(
            "{}: the browser's DTLS-SRTP ends in the gateway (RFC 3551, RFC 5763)",
            options.keying.proto()
        ),
    ));
    notes.push(Note::new(
        Action::Changed,
        "c= and the port of m=",
        format!(
            "{} and {}: the gateway's own, where the phone's RTP is to arrive (RFC 8866 §5.7, §5.14)",
            options.address, options.port
        ),
    ));
    notes.push(if direction == from.audio.direction {
        Note::new(
            Action::Kept,
            format!("a={direction}"),
            "the same for the phone (RFC 3264 §5.1)",
        )
    } else {
        Note::new(
            Action::Changed,
            format!("a={}", from.audio.direction),
            format!("a={direction}: the gateway's side is limited too (RFC 3264 §5.1)"),
        )
    });
    let ptime = options.ptime_ms();
    match from.audio.ptime {
        Some(wanted) if wanted != ptime && options.profile.write_ptime => notes.push(Note::new(
            Action::Changed,
            format!("a=ptime:{wanted}"),
            format!("a=ptime:{ptime}: the gateway repacketises (RFC 8866 §6.4)"),
        )),
        None if options.profile.write_ptime => notes.push(Note::new(
            Action::Added,
            format!("a=ptime:{ptime}"),
            "phones expect to be told (RFC 8866 §6.4)",
        )),
        _ => {}
    }
}

fn note_formats(theirs: &[Format], ours: &[Format], notes: &mut Vec<Note>) {
    let same = |one: &Format, other: &Format| {
        one.encoding.eq_ignore_ascii_case(&other.encoding) && one.clock_rate == other.clock_rate
    };
    for format in theirs {
        let subject = format.to_string();
        notes.push(match ours.iter().find(|ours| same(ours, format)) {
            Some(ours) if ours.payload_type == format.payload_type => {
                Note::new(Action::Kept, subject, "offered to the phone as well")
            }
            Some(ours) => Note::new(
                Action::Renumbered,
                subject,
                format!(
                    "{} towards the phone; the two legs number for themselves (RFC 3264 §5.1)",
                    ours.payload_type
                ),
            ),
            None if format.codec().is_some() => Note::new(
                Action::Dropped,
                subject,
                "ends in the gateway, which transcodes to what the phone has",
            ),
            None if format.is_telephone_event() => Note::new(
                Action::Dropped,
                subject,
                "the gateway relays digits at the clock rate of the phone's codec (RFC 4733 §2.1)",
            ),
            None => Note::new(Action::Dropped, subject, "not spoken by the gateway"),
        });
    }
    for format in ours {
        if !theirs.iter().any(|theirs| same(theirs, format)) {
            notes.push(Note::new(
                Action::Added,
                format.to_string(),
                "the gateway converts between the two sides",
            ));
        }
    }
}
