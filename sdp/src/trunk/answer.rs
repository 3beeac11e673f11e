//! Answering an offer of the SIP side: what a phone of ours, or the gateway for a browser, says.

use sdp_types::Media;

use super::{Offer, OfferOptions, read};
use crate::{Action, Codec, Direction, Format, Negotiated, Note, Refusal, format, write};

/// Answers an offer of the SIP side.
/// # Errors
/// [`Refusal::NoCommonCodec`] where none of the options' codecs is offered; [`Refusal::NoSrtp`] or [`Refusal::Transport`]
/// where its keys, or that it has none, are not what [`OfferOptions::keying`] takes.
pub fn answer(
    offer: &Offer,
    options: &OfferOptions,
) -> Result<(String, Negotiated, Vec<Note>), Refusal> {
    let audio = &offer.audio;
    let mut notes = offer.notes.clone();
    let common = common(&audio.formats, options);
    let Some((codec, first)) = common.first().copied() else {
        return Err(Refusal::NoCommonCodec {
            theirs: format::names(&audio.formats),
            ours: format::names(&options.formats()),
            at: crate::At(None),
        });
    };
    let listed = if options.profile.answer_all_codecs {
        common.len()
    } else {
        1
    };
    let mut formats: Vec<Format> = common
        .iter()
        .take(listed)
        .map(|(codec, format)| Format {
            fmtp: (*codec == Codec::Opus).then(|| options.opus_fmtp()),
            ..(*format).clone()
        })
        .collect();
    let events = (options.dtmf && options.profile.telephone_event)
        .then(|| read::telephone_event(&audio.formats, codec))
        .flatten();
    formats.extend(events.map(|events| Format {
        fmtp: Some(options.profile.telephone_event_range.clone()),
        ..events.clone()
    }));
    let comfort_noise = options
        .profile
        .comfort_noise
        .then(|| {
            audio
                .formats
                .iter()
                .find(|format| format.is_comfort_noise())
        })
        .flatten();
    formats.extend(comfort_noise.cloned());
    note_formats(&audio.formats, &formats, codec, &mut notes);

    let wanted = audio.direction.reversed();
    let direction = Direction::new(
        wanted.sends() && options.direction.sends(),
        wanted.receives() && options.direction.receives(),
    );
    let rtcp_mux = audio.rtcp_mux && options.rtcp_mux();
    let (srtp, keys) =
        options
            .keying
            .answer(&audio.proto, &audio.keys, audio.rtcp_mux, &mut notes)?;
    let negotiated = Negotiated {
        codec,
        payload_type_in: first.payload_type,
        payload_type_out: first.payload_type,
        telephone_event_in: events.map(|events| events.payload_type),
        telephone_event_out: events.map(|events| events.payload_type),
        telephone_event_clock_rate: events.map_or(codec.clock_rate(), |events| events.clock_rate),
        comfort_noise: comfort_noise.map(|format| format.payload_type),
        ptime_ms: write::ptime(audio.ptime, options.ptime_ms(), audio.maxptime),
        direction,
        remote_rtp: audio.remote_rtp,
        remote_rtcp: remote_rtcp(offer, rtcp_mux),
        rtcp_mux,
        srtp,
        also_accepted: formats
            .iter()
            .skip(1)
            .filter(|format| format.codec().is_some())
            .cloned()
            .collect(),
        notes: Vec::new(),
    };
    let mut media = options.section(&audio.proto, &formats, direction, rtcp_mux);
    media.attributes.extend(keys);
    let text = write_answer(offer, options, &media, &mut notes);
    Ok((text, negotiated, notes))
}

/// The codecs in common, in the order that counts for this trunk.
fn common<'a>(theirs: &'a [Format], options: &OfferOptions) -> Vec<(Codec, &'a Format)> {
    let codecs = options.codecs();
    let find = |wanted: Codec| theirs.iter().find(|format| format.codec() == Some(wanted));
    let mut common: Vec<_> = codecs
        .iter()
        .filter_map(|codec| Some((*codec, find(*codec)?)))
        .collect();
    if !options.profile.prefer_own_codecs {
        common.sort_by_key(|(_, format)| {
            theirs
                .iter()
                .position(|other| other.payload_type == format.payload_type)
        });
    }
    common
}

/// Where the phone takes RTCP. Its offer to share a port that we do not take leaves the usual two (RFC 5761 §5.1.1).
fn remote_rtcp(offer: &Offer, rtcp_mux: bool) -> Option<std::net::SocketAddr> {
    let audio = &offer.audio;
    if !audio.rtcp_mux || rtcp_mux {
        return audio.remote_rtcp;
    }
    audio.remote_rtcp_unshared
}

fn note_formats(theirs: &[Format], answered: &[Format], codec: Codec, notes: &mut Vec<Note>) {
    for format in theirs {
        let taken = answered
            .iter()
            .any(|one| one.payload_type == format.payload_type);
        let subject = format.to_string();
        notes.push(match (taken, format.codec()) {
            (true, Some(_)) => Note::new(Action::Kept, subject, "chosen (RFC 3264 §6.1)"),
            (true, None) if format.is_comfort_noise() => {
                Note::new(Action::Kept, subject, "pauses are told of (RFC 3389)")
            }
            (true, None) => Note::new(
                Action::Kept,
                subject,
                format!("digits beside {codec} (RFC 4733)"),
            ),
            (false, Some(_)) => Note::new(
                Action::Dropped,
                subject,
                format!("{codec} is taken; one codec leaves nothing to guess (RFC 3264 §6.1)"),
            ),
            (false, None) if format.is_telephone_event() => Note::new(
                Action::Dropped,
                subject,
                format!("one clock rate of events is enough beside {codec} (RFC 4733 §2.1)"),
            ),
            (false, None) => Note::new(Action::Dropped, subject, "not spoken here"),
        });
    }
}

fn write_answer(
    offer: &Offer,
    options: &OfferOptions,
    audio: &Media,
    notes: &mut Vec<Note>,
) -> String {
    let mut session = options.session();
    for (index, section) in offer.sections.iter().enumerate() {
        if index == offer.audio.index {
            session.medias.push(audio.clone());
            continue;
        }
        let reason = section
            .rejected
            .as_deref()
            .unwrap_or("not the call's audio");
        let subject = format!("m={} {}", section.media, section.port);
        notes.push(Note::new(Action::Rejected, subject, reason));
        let media = write::rejected(&section.media, &section.proto, &section.formats, None);
        session.medias.push(media);
    }
    write::text(&session)
}
