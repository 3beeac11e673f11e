//! Reading the SIP side's answer to our offer (RFC 3264 §7).

use super::{
    OfferOptions, keying,
    read::{self, RemoteAudio},
};
use crate::{
    Action, Codec, Direction, Format, Negotiated, Note, Refusal, description::Description, format,
    write,
};

/// Reads the answer to an offer that [`super::offer`] or [`super::offer_fresh`] wrote with the same options.
///
/// The first format of the answer that was offered counts; the others go to [`Negotiated::also_accepted`].
/// # Errors
/// A [`Refusal`]; [`Refusal::AudioRejected`] where the answer has port 0.
pub fn read_answer(text: &str, offered: &OfferOptions) -> Result<Negotiated, Refusal> {
    let description = Description::parse(text)?;
    let mut notes = Vec::new();
    description.note_missing(&mut notes);
    check_media_count(&description, &mut notes)?;
    let keying = &offered.keying;
    let remote = read::read_audio(
        &description,
        0,
        offered.rtcp_mux(),
        Some(keying),
        &mut notes,
    )?;
    let srtp = keying.read_answer(&description, 0, &mut notes)?;
    if keying.needs_mux() && !remote.rtcp_mux {
        return Err(keying::no_mux(description.at_media(0)));
    }
    if remote.proto != keying.proto() {
        notes.push(Note::new(
            Action::Changed,
            format!("m=audio {}", remote.proto),
            format!(
                "{} was offered; an answer repeats the protocol (RFC 3264 §6)",
                keying.proto()
            ),
        ));
    }
    let ours = offered.formats();
    let Some((codec, theirs, also_accepted)) = choose(&remote, &ours, &mut notes) else {
        return Err(Refusal::NoCommonCodec {
            theirs: format::names(&remote.formats),
            ours: format::names(&ours),
            at: description.at_media(0),
        });
    };
    let payload_type_in = ours
        .iter()
        .find(|format| format.codec() == Some(codec))
        .map_or(theirs.payload_type, |format| format.payload_type);
    let events = telephone_event(&remote, &ours, codec, offered, &mut notes);
    let wanted = remote.direction.reversed();
    Ok(Negotiated {
        codec,
        payload_type_in,
        payload_type_out: theirs.payload_type,
        telephone_event_in: events.map(|events| events.0),
        telephone_event_out: events.map(|events| events.1),
        telephone_event_clock_rate: events.map_or(codec.clock_rate(), |events| events.2),
        comfort_noise: offered
            .profile
            .comfort_noise
            .then(|| {
                remote
                    .formats
                    .iter()
                    .find(|format| format.is_comfort_noise())
            })
            .flatten()
            .map(|format| format.payload_type),
        ptime_ms: write::ptime(remote.ptime, offered.ptime_ms(), remote.maxptime),
        direction: Direction::new(
            wanted.sends() && offered.direction.sends(),
            wanted.receives() && offered.direction.receives(),
        ),
        remote_rtp: remote.rtp,
        remote_rtcp: remote.rtcp,
        rtcp_mux: remote.rtcp_mux,
        srtp,
        also_accepted,
        notes,
    })
}

/// One `m=` line was offered. A surplus is a mistake that does no harm; another order is one that does.
fn check_media_count(description: &Description<'_>, notes: &mut Vec<Note>) -> Result<(), Refusal> {
    let medias = &description.session.medias;
    match medias.first() {
        Some(first) if first.media == "audio" => {}
        Some(_) if medias.iter().any(|media| media.media == "audio") => {
            return Err(Refusal::MediaCount {
                found: medias.len(),
                offered: 1,
            });
        }
        _ => return Err(Refusal::NoAudio),
    }
    for media in medias.iter().skip(1) {
        notes.push(Note::new(
            Action::Dropped,
            format!("m={} {}", media.media, media.port),
            "was not offered; an answer has as many m= lines as the offer (RFC 3264 §6)",
        ));
    }
    Ok(())
}

/// The first format of theirs that we offered, and the others that were offered too.
fn choose(
    remote: &RemoteAudio,
    ours: &[Format],
    notes: &mut Vec<Note>,
) -> Option<(Codec, Format, Vec<Format>)> {
    let offered = |codec: Codec| ours.iter().any(|format| format.codec() == Some(codec));
    let mut usable = Vec::new();
    for format in &remote.formats {
        match format.codec() {
            Some(codec) if offered(codec) => usable.push((codec, format.clone())),
            _ if format.is_telephone_event() => {}
            _ if format.encoding.eq_ignore_ascii_case("CN") => {}
            _ => notes.push(Note::new(
                Action::Dropped,
                format.to_string(),
                "was not offered, so it is not sent (RFC 3264 §6.1)",
            )),
        }
    }
    let mut usable = usable.into_iter();
    let (codec, format) = usable.next()?;
    // They come under our numbers: a description numbers what its writer receives (RFC 3264 §5.1).
    let others: Vec<_> = usable
        .filter(|(other, _)| *other != codec)
        .filter_map(|(other, _)| ours.iter().find(|format| format.codec() == Some(other)))
        .cloned()
        .collect();
    if !others.is_empty() {
        notes.push(Note::new(
            Action::Kept,
            format::names(&others),
            format!("answered after {codec}, the first, which is used; the others may still come (RFC 3264 §7)"),
        ));
    }
    Some((codec, format, others))
}

/// Payload types in and out and the clock rate.
fn telephone_event(
    remote: &RemoteAudio,
    ours: &[Format],
    codec: Codec,
    offered: &OfferOptions,
    notes: &mut Vec<Note>,
) -> Option<(u8, u8, u32)> {
    let mine = |clock_rate| {
        ours.iter()
            .find(|format| format.is_telephone_event() && format.clock_rate == clock_rate)
            .map(|format| format.payload_type)
    };
    let Some(theirs) = read::telephone_event(&remote.formats, codec) else {
        let own = read::telephone_event(ours, codec)?;
        if !offered.profile.assume_telephone_event {
            notes.push(Note::new(
                Action::Dropped,
                own.to_string(),
                "not in the answer: digits cannot be sent as events (RFC 4733 §2.4.1)",
            ));
            return None;
        }
        notes.push(Note::new(
            Action::Added,
            own.to_string(),
            "not in the answer, but the trunk's profile says it takes them",
        ));
        return Some((own.payload_type, own.payload_type, own.clock_rate));
    };
    if theirs.clock_rate != codec.clock_rate() {
        notes.push(Note::new(
            Action::Kept,
            theirs.to_string(),
            format!("another clock rate than {codec}'s, as many phones answer; events are timed by it (RFC 4733 §2.1)"),
        ));
    }
    let own = mine(theirs.clock_rate)?;
    Some((own, theirs.payload_type, theirs.clock_rate))
}
