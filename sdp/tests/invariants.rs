//! What holds for every description we know, whichever side wrote it.

mod common;

use std::net::{IpAddr, SocketAddr};

use common::samples;
use sdp::{Codec, Preference, browser, explain, trunk};

fn trunk_options() -> trunk::OfferOptions {
    trunk::OfferOptions {
        codecs: Codec::ALL.to_vec(),
        ..trunk::OfferOptions::new(IpAddr::from([192, 0, 2, 1]), 20_000)
    }
}

fn parsed(name: &str, text: &str) -> sdp_types::Session {
    sdp_types::Session::parse(text.as_bytes())
        .unwrap_or_else(|error| panic!("{name}: {error}\n{text}"))
}

fn kinds(session: &sdp_types::Session) -> Vec<&str> {
    session
        .medias
        .iter()
        .map(|media| media.media.as_str())
        .collect()
}

fn mids(session: &sdp_types::Session) -> Vec<String> {
    session
        .medias
        .iter()
        .filter_map(|media| media.get_first_attribute_value("mid").flatten())
        .map(str::to_owned)
        .collect()
}

#[test]
fn answers_to_browsers_have_the_offers_shape() {
    for (name, text) in samples("browser") {
        for prefer in [Preference::Opus, Preference::G711] {
            let offer =
                browser::read_offer(&text).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            let options = browser::AnswerOptions {
                prefer,
                ..browser::AnswerOptions::placeholder()
            };
            let answer = browser::answer(&offer, &options).expect("an answer");
            let (ours, theirs) = (parsed(&name, &answer.text), parsed(&name, &text));
            assert_eq!(kinds(&ours), kinds(&theirs), "{name}");
            for (our, their) in ours.medias.iter().zip(&theirs.medias) {
                assert_eq!(our.proto, their.proto, "{name}");
            }
            assert_eq!(mids(&ours), mids(&theirs), "{name}");
            check_bundle(&name, &ours, &theirs);
            check_formats(&name, &ours, &theirs, offer.audio.index);
            let ssrcs = theirs
                .medias
                .iter()
                .flat_map(|media| media.get_attribute_values("ssrc"));
            for ssrc in ssrcs.flatten() {
                let number = ssrc.split(' ').next().unwrap_or("");
                assert!(!answer.text.contains(number), "{name}: {number}");
            }
        }
    }
}

/// Every mid of the group is accepted, and was in the offer's group.
fn check_bundle(name: &str, ours: &sdp_types::Session, theirs: &sdp_types::Session) {
    let group = |session: &sdp_types::Session| -> Vec<String> {
        session
            .get_first_attribute_value("group")
            .flatten()
            .map(|group| group.split(' ').skip(1).map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let offered = group(theirs);
    for mid in group(ours) {
        assert!(offered.contains(&mid), "{name}");
        let section = ours
            .medias
            .iter()
            .find(|media| media.get_first_attribute_value("mid").flatten() == Some(mid.as_str()));
        assert_ne!(section.expect("a section").port, 0, "{name}: {mid}");
    }
    for media in ours.medias.iter().filter(|media| media.port == 0) {
        let mid = media
            .get_first_attribute_value("mid")
            .flatten()
            .unwrap_or("");
        assert!(!group(ours).iter().any(|other| other == mid), "{name}");
    }
}

/// Formats are the offer's, each described as there, and events have the codec's rate or are not there.
fn check_formats(name: &str, ours: &sdp_types::Session, theirs: &sdp_types::Session, index: usize) {
    let (ours, theirs) = (&ours.medias[index], &theirs.medias[index]);
    let offered: Vec<_> = theirs.fmt.split(' ').collect();
    let maps: Vec<_> = ours.get_attribute_values("rtpmap").flatten().collect();
    assert_eq!(ours.fmt.split(' ').count(), maps.len(), "{name}");
    for number in ours.fmt.split(' ') {
        assert!(offered.contains(&number), "{name}: {number}");
    }
    let rate = |map: &str| map.split('/').nth(1).unwrap_or("").to_owned();
    let events: Vec<_> = maps
        .iter()
        .filter(|map| map.contains("telephone-event"))
        .collect();
    assert!(events.len() <= 1, "{name}");
    for event in &events {
        assert_eq!(rate(event), rate(maps[0]), "{name}");
    }
    let possible = theirs
        .get_attribute_values("rtpmap")
        .flatten()
        .any(|map| map.contains("telephone-event") && rate(map) == rate(maps[0]));
    assert_eq!(events.len(), usize::from(possible), "{name}");
}

#[test]
fn what_the_phone_is_offered_is_what_was_meant() {
    for (name, text) in samples("browser") {
        let offer = browser::read_offer(&text).expect("an offer");
        let options = trunk_options();
        let (translated, notes) = trunk::offer(&offer, &options);
        let reread = trunk::read_offer(&translated, &trunk::Keying::None)
            .unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(
            reread.notes,
            [],
            "{name}: nothing to repair in our own words"
        );
        assert_eq!(reread.audio.direction, offer.audio.direction, "{name}");
        assert_eq!(
            reread.audio.remote_rtp,
            Some(SocketAddr::new(options.address, options.port))
        );
        assert_eq!(
            reread.audio.remote_rtcp,
            Some(SocketAddr::new(options.address, options.port + 1))
        );
        let codecs: Vec<_> = reread
            .audio
            .formats
            .iter()
            .filter_map(sdp::Format::codec)
            .collect();
        assert_eq!(codecs, options.codecs, "{name}");
        assert!(!notes.is_empty());
        for browser_only in [
            "ice",
            "candidate",
            "fingerprint",
            "mid",
            "ssrc",
            "extmap",
            "SAVPF",
        ] {
            assert!(!translated.contains(browser_only), "{name}: {browser_only}");
        }
    }
}

#[test]
fn both_ends_of_ours_agree() {
    for codecs in [
        vec![Codec::Opus],
        vec![Codec::Pcmu, Codec::Pcma],
        Codec::ALL.to_vec(),
    ] {
        let caller = trunk::OfferOptions {
            codecs,
            ..trunk_options()
        };
        let callee = trunk::OfferOptions {
            codecs: Codec::ALL.to_vec(),
            ..trunk::OfferOptions::new("2001:db8::7".parse().expect("an address"), 30_000)
        };
        let offer = trunk::read_offer(&trunk::offer_fresh(&caller), &trunk::Keying::None)
            .expect("an offer");
        let (text, theirs, _) = trunk::answer(&offer, &callee).expect("an answer");
        let ours = trunk::read_answer(&text, &caller).expect("an answer");
        assert_eq!(ours.codec, theirs.codec);
        assert_eq!(ours.payload_type_in, theirs.payload_type_out);
        assert_eq!(ours.payload_type_out, theirs.payload_type_in);
        assert_eq!(ours.telephone_event_in, theirs.telephone_event_out);
        assert_eq!(ours.telephone_event_clock_rate, ours.codec.clock_rate());
        assert_eq!(theirs.telephone_event_clock_rate, theirs.codec.clock_rate());
        assert_eq!(
            ours.remote_rtp,
            Some(SocketAddr::new(callee.address, callee.port))
        );
        assert_eq!(
            theirs.remote_rtp,
            Some(SocketAddr::new(caller.address, caller.port))
        );
    }
}

#[test]
fn answers_to_phones_have_the_offers_shape() {
    for (name, text) in samples("sip") {
        let offer = trunk::read_offer(&text, &trunk::Keying::None)
            .unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let (answer, agreed, _) = trunk::answer(&offer, &trunk_options()).expect("an answer");
        let (ours, theirs) = (parsed(&name, &answer), parsed(&name, &text));
        assert_eq!(kinds(&ours), kinds(&theirs), "{name}");
        let accepted = ours.medias.iter().filter(|media| media.port != 0).count();
        assert_eq!(accepted, 1, "{name}");
        assert!(answer.matches("telephone-event").count() <= 1, "{name}");
        assert_eq!(agreed.direction, offer.audio.direction.reversed(), "{name}");
    }
}

#[test]
fn a_phones_source_and_address_never_reach_a_browser() {
    for (name, text) in samples("sip") {
        let explained = explain::to_browser(&text);
        let translated = explained.translated.unwrap_or_else(|| panic!("{name}"));
        let session = parsed(&name, &translated);
        assert_eq!(session.medias.len(), 1, "{name}");
        for line in text
            .lines()
            .filter(|line| line.starts_with("a=ssrc:") || line.starts_with("c="))
        {
            let value = line
                .split([':', ' '])
                .nth(if line.starts_with("a=") { 1 } else { 2 });
            let value = value.unwrap_or("");
            assert!(!translated.contains(value), "{name}: {value}");
        }
    }
}
