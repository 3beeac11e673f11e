//! What becomes of the telephone's media, and what the browser is told of it.

use super::*;
use crate::signaling::message::Via;

/// A call by way of a trunk that is set so.
pub(super) fn talking_over(dtmf: TrunkDtmf, srtp: TrunkSrtp, sdp: &str) -> Story {
    let mut story = ringing_over(dtmf, srtp);
    story.answered(Some(sdp));
    story
}

/// The same, before the answer.
pub(super) fn ringing_over(dtmf: TrunkDtmf, srtp: TrunkSrtp) -> Story {
    let trunk = crate::settings::Trunk {
        dtmf,
        srtp,
        ..crate::settings::Trunk::at("sip:192.0.2.9".parse().unwrap())
    };
    let mut story = Story::dial_by("12345", OFFER, Some(trunk));
    story.media(MediaEvent::Opened {
        rtp: RTP.parse().unwrap(),
        rtcp: RTCP.parse().unwrap(),
    });
    story.is_out(0);
    story
}

#[test]
fn one_way_audio_is_named_to_the_browser_and_in_the_record() {
    let mut story = Story::talking();
    let silent = OneWay::PhoneSendsNothing;
    story.media(MediaEvent::OneWay(Some(silent)));
    story.media(MediaEvent::Moved {
        leg: ::media::Leg::Trunk,
        from: "192.0.2.9:4000".parse().unwrap(),
        to: "192.0.2.9:4002".parse().unwrap(),
    });
    story.media(MediaEvent::OneWay(None));
    story.media(MediaEvent::OneWay(Some(OneWay::PhoneHearsNothing)));
    assert_eq!(story.told()[story.told().len() - 3..], ["audio"; 3]);
    story.hangs_up();
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    let record = story.record();
    let spells: Vec<_> = record
        .one_way
        .iter()
        .map(|spell| (spell.trouble, spell.until_ms.is_some()))
        .collect();
    assert_eq!(spells, [(silent, true), (OneWay::PhoneHearsNothing, false)]);
    let timeline = serde_json::to_string(&record.timeline).unwrap();
    assert!(timeline.contains("moved from 192.0.2.9:4000 to 192.0.2.9:4002"));
}

#[test]
fn the_browser_and_the_record_are_told_which_way_the_media_goes() {
    let udp = peer::Path::udp(
        "192.0.2.5:40000".parse().unwrap(),
        "203.0.113.7:5000".parse().unwrap(),
    );
    let elsewhere = peer::Path {
        remote: "203.0.113.7:5001".parse().unwrap(),
        ..udp
    };
    let relayed = peer::Path {
        transport: peer::Transport::Turn(peer::Relay {
            server: 0,
            over: peer::RelayOver::Tls,
        }),
        ..udp
    };
    let mut story = Story::talking();
    assert!(!story.told().contains(&"path"));
    for path in [udp, elsewhere, relayed] {
        story.media(MediaEvent::PathSelected(path));
    }
    let told: Vec<_> = story
        .browser
        .iter()
        .filter_map(|message| match message {
            ServerMessage::Path { call, via, text } => Some((call, *via, text.as_str())),
            _ => None,
        })
        .collect();
    let name = &story.machine.name;
    let told_of = |via: Via| (name, via, via.text());
    assert_eq!(told, [told_of(Via::Udp), told_of(Via::TurnTls)]);
    story.hangs_up();
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    let record = story.record();
    assert_eq!(record.path, Some(Via::TurnTls));
    let timeline = serde_json::to_string(&record.timeline).unwrap();
    for step in [
        "the browser is at 203.0.113.7:5000, by UDP",
        "the browser is at 203.0.113.7:5001, by UDP",
        "the browser is at 203.0.113.7:5000, by TURN over TLS",
    ] {
        assert!(timeline.contains(step), "{step}: {timeline}");
    }
}

#[test]
fn trouble_without_end_leaves_a_bounded_record() {
    let mut story = Story::talking();
    for _ in 0..1000 {
        story.media(MediaEvent::OneWay(Some(OneWay::PhoneSendsNothing)));
        story.media(MediaEvent::OneWay(None));
    }
    story.hangs_up();
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    assert_eq!(story.record().one_way.len(), 16);
}

#[test]
fn keys_of_the_telephone_reach_the_worker_and_no_record() {
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
    let answer = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
         m=audio 4000 RTP/SAVP 0\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"
    );
    let mut story = talking_over(TrunkDtmf::Auto, TrunkSrtp::Sdes, &answer);
    let ours = story.media.iter().find_map(|command| match command {
        MediaCommand::Bridge(_, _, media) => match &media.srtp {
            sdp::trunk::Srtp::Sdes { ours, .. } => Some(ours.clone()),
            _ => None,
        },
        _ => None,
    });
    let ours = ours.expect("keys");
    assert_ne!(ours.key(), [0; 16]);
    let again = talking_over(TrunkDtmf::Auto, TrunkSrtp::Sdes, &answer);
    assert!(again.told().contains(&"accepted"));
    story.hangs_up();
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    let record = story.record();
    assert_eq!(
        record.phone_srtp.as_deref(),
        Some("AES_CM_128_HMAC_SHA1_80")
    );
    let text = serde_json::to_string(record).unwrap();
    assert!(text.contains("a=crypto:(redacted)"));
    assert!(!text.contains("inline:") && !text.contains(KEY), "{text}");
}

#[test]
fn a_telephone_that_answers_without_keys_is_hung_up_on_where_they_are_asked_for() {
    let plain = talking_over(TrunkDtmf::Auto, TrunkSrtp::Off, PHONE_SDP);
    assert!(plain.told().contains(&"accepted"));
    for srtp in [TrunkSrtp::Sdes, TrunkSrtp::Dtls] {
        let story = talking_over(TrunkDtmf::Auto, srtp, PHONE_SDP);
        assert_eq!(story.cause(), CauseCode::NotAcceptable, "{srtp:?}");
        assert!(
            !story
                .media
                .iter()
                .any(|command| matches!(command, MediaCommand::Bridge(..)))
        );
    }
}

#[test]
fn the_browser_is_asked_for_a_bit_rate_that_has_room_for_fec() {
    let story = Story::calling();
    let answer = story.browser.iter().find_map(|message| match message {
        ServerMessage::Answer { sdp, .. } => Some(sdp.to_string()),
        _ => None,
    });
    let answer = answer.expect("an answer");
    assert!(answer.contains("maxaveragebitrate=32000"), "{answer}");
}

#[test]
fn a_browser_is_told_what_its_telephone_can_hear() {
    for (codecs, wanted) in [
        (vec![], Some("maxplaybackrate=8000")),
        (
            vec![sdp::Codec::Pcmu, sdp::Codec::Opus],
            Some("maxplaybackrate=8000"),
        ),
        (
            vec![sdp::Codec::G722, sdp::Codec::Pcmu],
            Some("maxplaybackrate=16000"),
        ),
        (vec![sdp::Codec::Opus, sdp::Codec::Pcmu], None),
    ] {
        let trunk = crate::settings::Trunk {
            profile: sdp::trunk::Profile {
                codecs: codecs.clone(),
                ..sdp::trunk::Profile::default()
            },
            ..crate::settings::Trunk::at("sip:192.0.2.9".parse().unwrap())
        };
        let mut story = Story::dial_by("12345", OFFER, Some(trunk));
        story.media(MediaEvent::Opened {
            rtp: RTP.parse().unwrap(),
            rtcp: RTCP.parse().unwrap(),
        });
        let answer = story.browser.iter().find_map(|message| match message {
            ServerMessage::Answer { sdp, .. } => Some(sdp.clone()),
            _ => None,
        });
        let answer = answer.expect("an answer");
        match wanted {
            Some(wanted) => assert!(answer.contains(wanted), "{codecs:?}: {answer}"),
            None => assert!(!answer.contains("maxplaybackrate"), "{codecs:?}: {answer}"),
        }
    }
}

#[test]
fn only_calls_to_the_lab_have_a_network_that_is_bad_on_purpose() {
    let trunk = crate::settings::Trunk::at("sip:192.0.2.9".parse().unwrap());
    for (to, bad) in [("echo", true), ("12345", false)] {
        let story = Story::dial_by(to, OFFER, Some(trunk.clone()));
        let opened = story.opened.expect("the media is opened");
        assert_eq!(!opened.impairments.is_none(), bad, "{to}");
        let told = serde_json::to_string(story.machine.timeline.entries()).unwrap();
        assert_eq!(told.contains("bad on purpose"), bad, "{to}");
    }
}
