//! A description in either dialect: what is accepted is answered, and answers have the offer's shape.
//!
//! The first byte makes choices, the rest is the description.

#![no_main]

use std::net::IpAddr;

use fuzz::{Input, within_limit};
use libfuzzer_sys::fuzz_target;
use sdp::{Codec, Preference, browser, explain, trunk};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let choices = input.byte();
    if let Ok(text) = std::str::from_utf8(input.0) {
        within_limit(|| check(choices, text));
    }
});

fn check(choices: u8, text: &str) {
    let options = options(choices);
    match browser::read_offer(text) {
        Ok(offer) => from_browser(choices, &offer, text, &options),
        Err(refusal) => refused(&refusal, text),
    }
    match trunk::read_offer(text, &trunk::Keying::None) {
        Ok(offer) => from_trunk(&offer, text, &options),
        Err(refusal) => refused(&refusal, text),
    }
    if let Err(refusal) = trunk::read_answer(text, &options) {
        refused(&refusal, text);
    }
    for explained in [explain::to_sip(text), explain::to_browser(text)] {
        assert!(serde_json::to_string(&explained).is_ok());
        assert_eq!(
            explained.translated.is_some(),
            explained.verdict == explain::Verdict::Accept
        );
        if let Some(translated) = &explained.translated {
            parsed(translated);
        }
    }
}

fn options(choices: u8) -> trunk::OfferOptions {
    let mut options = trunk::OfferOptions::new(IpAddr::from([192, 0, 2, 1]), 20_000);
    options.codecs = match choices & 3 {
        0 => vec![Codec::Pcmu, Codec::Pcma],
        1 => vec![Codec::Pcma],
        _ => Codec::ALL.to_vec(),
    };
    options.dtmf = choices & 4 == 0;
    options.profile.rtcp_mux = choices & 8 != 0;
    options.profile.answer_all_codecs = choices & 16 != 0;
    options.profile.prefer_own_codecs = choices & 32 != 0;
    options.profile.assume_telephone_event = choices & 64 != 0;
    options
}

fn refused(refusal: &sdp::Refusal, text: &str) {
    assert!(!refusal.code().is_empty());
    assert!((400..700).contains(&refusal.sip_status()));
    assert!(
        refusal
            .line()
            .is_none_or(|line| line <= text.lines().count() + 1)
    );
    assert!(refusal.to_string().len() < 4096, "a refusal is brief");
}

fn from_browser(choices: u8, offer: &browser::Offer, text: &str, options: &trunk::OfferOptions) {
    let prefer = if choices & 128 == 0 {
        Preference::Opus
    } else {
        Preference::G711
    };
    let answer_options = browser::AnswerOptions {
        prefer,
        ..browser::AnswerOptions::placeholder()
    };
    let answer = browser::answer(offer, &answer_options)
        .unwrap_or_else(|refusal| panic!("accepted, and then {refusal}"));
    same_shape(&answer.text, text);
    assert!((10..=60).contains(&answer.audio.ptime_ms));
    let (translated, _) = trunk::offer(offer, options);
    parsed(&translated);
    let again =
        trunk::read_offer(&translated, &trunk::Keying::None).unwrap_or_else(|refusal| panic!("{refusal}\n{translated}"));
    assert_eq!(again.audio.direction, offer.audio.direction);
}

fn from_trunk(offer: &trunk::Offer, text: &str, options: &trunk::OfferOptions) {
    match trunk::answer(offer, options) {
        Ok((answer, agreed, _)) => {
            same_shape(&answer, text);
            assert!((10..=60).contains(&agreed.ptime_ms));
        }
        Err(refusal) => refused(&refusal, text),
    }
    if let Ok((translated, _)) = browser::offer(offer, &browser::OfferOptions::placeholder()) {
        assert_eq!(parsed(&translated).medias.len(), 1);
    }
}

/// An answer has the offer's `m=` lines, in number, kind and protocol (RFC 3264 §6).
fn same_shape(answer: &str, offer: &str) {
    let ours = parsed(answer);
    let lines: Vec<_> = offer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(ours.medias.len(), lines.len(), "{answer}");
    for (media, line) in ours.medias.iter().zip(lines) {
        assert!(
            line["m=".len()..].starts_with(&media.media),
            "{line}\n{answer}"
        );
    }
    // One audio is taken; another may stay, inactive, for the transport that it carries (RFC 9143 §7.3.1).
    let taken = |media: &&sdp_types::Media| {
        media.media == "audio" && media.port != 0 && !media.has_attribute("inactive")
    };
    assert!(ours.medias.iter().filter(taken).count() <= 1);
}

/// Our own text: every line is `letter=..`, and it reads back.
fn parsed(text: &str) -> sdp_types::Session {
    for line in text.split_terminator("\r\n") {
        let mut bytes = line.bytes();
        assert!(
            bytes
                .next()
                .is_some_and(|letter| letter.is_ascii_lowercase()),
            "{line:?}"
        );
        assert_eq!(bytes.next(), Some(b'='), "{line:?}");
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
    sdp_types::Session::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
