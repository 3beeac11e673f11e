//! Which of a browser's formats an answer takes.

use std::net::SocketAddr;

use sdp_types::Media;

use super::{AnswerOptions, Audio, Section};
use crate::{
    Action, Codec, Direction, Format, Negotiated, Note, Preference, Refusal, format, limits,
    write::{self, flag, value},
};

/// The formats of the answer.
pub(super) struct Chosen {
    codec: Codec,
    /// The codec first, the other law of G.711, the telephone events.
    formats: Vec<Format>,
    telephone_event: Option<u8>,
}

pub(super) fn choose(
    audio: &Audio,
    options: &AnswerOptions,
    notes: &mut Vec<Note>,
) -> Result<Chosen, Refusal> {
    let g711 = audio
        .formats
        .iter()
        .filter(|format| format.codec().is_some_and(Codec::is_g711));
    let opus = audio
        .formats
        .iter()
        .filter(|format| format.codec() == Some(Codec::Opus));
    let ordered: Vec<&Format> = match options.prefer {
        Preference::Opus => opus.chain(g711).collect(),
        Preference::G711 => g711.chain(opus).collect(),
    };
    let Some((first, codec)) = ordered
        .first()
        .and_then(|first| Some((*first, first.codec()?)))
    else {
        return Err(Refusal::NoCommonCodec {
            theirs: format::names(&audio.formats),
            ours: "opus/48000, PCMU/8000, PCMA/8000".into(),
            at: crate::At(None),
        });
    };
    let mut formats = vec![Format {
        fmtp: (codec == Codec::Opus).then(|| options.opus.fmtp()),
        ..first.clone()
    }];
    // With both laws in the answer a trunk of either passes through: payload types are by direction.
    formats.extend(
        ordered
            .iter()
            .find(|other| {
                codec.is_g711()
                    && other.codec() != Some(codec)
                    && other.codec().is_some_and(Codec::is_g711)
            })
            .map(|other| Format {
                fmtp: None,
                ..(*other).clone()
            }),
    );
    let telephone_event = choose_telephone_event(audio, codec, options, notes);
    formats.extend(
        telephone_event
            .map(|payload_type| Format::telephone_event(payload_type, codec.clock_rate(), "0-15")),
    );
    note_formats(audio, codec, &formats, notes);
    Ok(Chosen {
        codec,
        formats,
        telephone_event,
    })
}

/// One rate only, the codec's: with another one Chromium sends nothing but the end of each event.
fn choose_telephone_event(
    audio: &Audio,
    codec: Codec,
    options: &AnswerOptions,
    notes: &mut Vec<Note>,
) -> Option<u8> {
    if !options.dtmf {
        return None;
    }
    let events = || {
        audio
            .formats
            .iter()
            .filter(|format| format.is_telephone_event())
    };
    let found = events().find(|format| format.clock_rate == codec.clock_rate());
    if found.is_none() && events().next().is_some() {
        notes.push(Note::new(
            Action::Dropped,
            "telephone-event",
            format!(
                "none is offered at {codec}'s {} Hz, and one stream has one clock rate (RFC 4733 §2.1): digits must come by signalling",
                codec.clock_rate()
            ),
        ));
    } else if found.is_none() {
        notes.push(Note::new(
            Action::Dropped,
            "telephone-event",
            "not offered (RFC 4733): digits must come by signalling",
        ));
    }
    found.map(|format| format.payload_type)
}

fn note_formats(audio: &Audio, codec: Codec, answered: &[Format], notes: &mut Vec<Note>) {
    for format in &audio.formats {
        let subject = format.to_string();
        let taken = answered
            .iter()
            .any(|one| one.payload_type == format.payload_type);
        let note = match (taken, format.browser_codec()) {
            (true, Some(Codec::Opus)) => Note::new(
                Action::Changed,
                subject,
                "chosen; a=fmtp asks for mono, and for what the telephone on the other side can hear (RFC 7587 §6.1)",
            ),
            (true, Some(_)) => Note::new(Action::Kept, subject, "chosen (RFC 3264 §6.1)"),
            (true, None) => Note::new(
                Action::Kept,
                subject,
                format!("the same clock rate as {codec} (RFC 4733 §2.1)"),
            ),
            (false, Some(_)) => {
                Note::new(Action::Dropped, subject, format!("{codec} is preferred"))
            }
            (false, None) => {
                let reason = why_dropped(format, codec);
                Note::new(Action::Dropped, subject, reason)
            }
        };
        notes.push(note);
    }
}

fn why_dropped(format: &Format, codec: Codec) -> String {
    match format.encoding.to_ascii_lowercase().as_str() {
        "telephone-event" => format!(
            "{} Hz is not {codec}'s clock rate (RFC 4733 §2.1)",
            format.clock_rate
        ),
        "red" => "redundant audio (RFC 2198) is not spoken; Opus has its own FEC".into(),
        "cn" => "comfort noise (RFC 3389) is not spoken".into(),
        other => format!("the gateway does not speak {other}"),
    }
}

impl Chosen {
    /// What they mean to the gateway.
    pub(super) fn negotiated(&self, audio: &Audio, options: &AnswerOptions) -> Negotiated {
        let payload_type = self.formats.first().map_or(0, |format| format.payload_type);
        Negotiated {
            codec: self.codec,
            payload_type_in: payload_type,
            payload_type_out: payload_type,
            telephone_event_in: self.telephone_event,
            telephone_event_out: self.telephone_event,
            telephone_event_clock_rate: self.codec.clock_rate(),
            // Opus has a way of its own, and for G.711 a browser is better off with audio.
            comfort_noise: None,
            ptime_ms: write::ptime(audio.ptime, options.ptime_ms, audio.maxptime),
            direction: audio.direction.reversed(),
            remote_rtp: None,
            remote_rtcp: None,
            rtcp_mux: true,
            srtp: crate::trunk::Srtp::Plain,
            also_accepted: self
                .formats
                .iter()
                .skip(1)
                .filter(|format| format.codec().is_some())
                .cloned()
                .collect(),
            notes: Vec::new(),
        }
    }

    /// The audio section without its transport.
    pub(super) fn section(
        &self,
        offered: &Section,
        default: SocketAddr,
        direction: Direction,
        options: &AnswerOptions,
    ) -> Media {
        let fmt = write::fmt_list(&self.formats);
        let mut media = write::media("audio", default.port(), &offered.proto, fmt);
        media.connections.push(write::connection(default.ip()));
        media
            .attributes
            .extend(offered.mid.as_ref().map(|mid| value("mid", mid)));
        media
            .attributes
            .extend([flag("rtcp-mux"), flag(direction.as_str())]);
        write::describe_formats(&mut media, &self.formats, true);
        media.attributes.extend([
            value("ptime", write::ptime(None, options.ptime_ms, None)),
            value("maxptime", limits::PTIME_MAX_MS),
        ]);
        if direction.sends() {
            media.attributes.extend([
                value("msid", format!("{} audio", options.cname)),
                value("ssrc", format!("{} cname:{}", options.ssrc, options.cname)),
            ]);
        }
        media
    }
}
