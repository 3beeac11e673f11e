use std::net::SocketAddr;

use super::{Answer, AnswerOptions, Offer, OfferOptions, Setup, answer, offer, read_offer};
use crate::{Action, Codec, Direction, Preference, Refusal, trunk};

const CHROMIUM: &str = include_str!("../../testdata/browser/chromium-audio.sdp");
const EVERYTHING: &str = include_str!("../../testdata/browser/chromium-audio_video_data.sdp");
const FIREFOX: &str = include_str!("../../testdata/browser/firefox-audio.sdp");
const MAX_BUNDLE: &str = include_str!("../../testdata/browser/chromium-video_first_max_bundle.sdp");

fn read(text: &str) -> Offer {
    read_offer(text).expect("a good offer")
}

fn options() -> AnswerOptions {
    AnswerOptions {
        ufrag: "abcd".into(),
        pwd: "0123456789012345678901".into(),
        candidates: vec![
            SocketAddr::from(([192, 0, 2, 9], 7001)),
            "[2001:db8::9]:7001".parse().expect("an address"),
        ],
        tcp_candidates: vec![SocketAddr::from(([192, 0, 2, 9], 3478))],
        session_id: 77,
        session_version: 3,
        ssrc: 0xdead_beef,
        cname: "gw".into(),
        ..AnswerOptions::placeholder()
    }
}

fn answered(text: &str, prefer: Preference) -> Answer {
    answer(
        &read(text),
        &AnswerOptions {
            prefer,
            ..options()
        },
    )
    .expect("an answer")
}

fn refused(text: &str) -> Refusal {
    read_offer(text).expect_err("a refusal")
}

/// The offer without the lines that start so.
fn without(text: &str, start: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| !line.starts_with(start))
        .collect()
}

fn lines<'a>(text: &'a str, start: &'a str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| line.starts_with(start))
        .collect()
}

#[test]
fn chromium_is_read_to_the_last_value() {
    let offer = read(CHROMIUM);
    let audio = &offer.audio;
    assert_eq!((audio.index, audio.mid.as_deref()), (0, Some("0")));
    assert_eq!(audio.ufrag, "7ia5");
    assert_eq!(audio.pwd, "iqjmpAROr3ZmFSiiynVFOnxU");
    assert_eq!(audio.fingerprint[..4], [0x0C, 0x5F, 0x8E, 0x0D]);
    assert_eq!(audio.fingerprint[31], 0x75);
    assert_eq!(audio.setup, Setup::Actpass);
    assert_eq!(audio.direction, Direction::SendRecv);
    assert_eq!(audio.candidates.len(), 4);
    assert!(offer.trickle);
    let numbers: Vec<_> = audio.formats.iter().map(|one| one.payload_type).collect();
    assert_eq!(numbers, [111, 63, 9, 0, 8, 13, 110, 126]);
    assert_eq!(offer.bundle, ["0"]);
    assert_eq!(offer.session_id, "3678757813523261550");
    assert_eq!(offer.session_version, 2);
}

#[test]
fn opus_is_answered_with_events_at_48000_hz_alone() {
    let answer = answered(CHROMIUM, Preference::Opus);
    assert_eq!(answer.audio.codec, Codec::Opus);
    assert_eq!(answer.audio.payload_type_in, 111);
    assert_eq!(answer.audio.payload_type_out, 111);
    assert_eq!(answer.audio.telephone_event_in, Some(110));
    assert_eq!(answer.audio.telephone_event_clock_rate, 48_000);
    assert_eq!(
        lines(&answer.text, "m="),
        ["m=audio 7001 UDP/TLS/RTP/SAVPF 111 110"]
    );
    assert_eq!(
        lines(&answer.text, "a=rtpmap"),
        [
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:110 telephone-event/48000"
        ]
    );
    let fmtp = lines(&answer.text, "a=fmtp:111").join("");
    for wanted in [
        "maxplaybackrate=8000",
        "sprop-maxcapturerate=8000",
        "stereo=0",
        "useinbandfec=1",
    ] {
        assert!(fmtp.contains(wanted), "{wanted} in {fmtp}");
    }
}

#[test]
fn g711_is_answered_with_both_laws_and_events_at_8000_hz_alone() {
    let answer = answered(CHROMIUM, Preference::G711);
    assert_eq!(answer.audio.codec, Codec::Pcmu);
    assert_eq!(answer.audio.telephone_event_out, Some(126));
    assert_eq!(answer.audio.telephone_event_clock_rate, 8_000);
    let also: Vec<_> = answer
        .audio
        .also_accepted
        .iter()
        .map(|one| one.payload_type)
        .collect();
    assert_eq!(also, [8]);
    assert_eq!(
        lines(&answer.text, "m="),
        ["m=audio 7001 UDP/TLS/RTP/SAVPF 0 8 126"]
    );
}

#[test]
fn the_answer_is_an_ice_lite_dtls_server_on_one_port() {
    let answer = answered(CHROMIUM, Preference::Opus);
    for wanted in [
        "o=- 77 3 IN IP4 192.0.2.9",
        "a=group:BUNDLE 0",
        "a=ice-lite",
        "c=IN IP4 192.0.2.9",
        "a=mid:0",
        "a=rtcp-mux",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        "a=setup:passive",
        "a=sendrecv",
        "a=candidate:1 1 udp 2130706431 192.0.2.9 7001 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::9 7001 typ host",
        "a=candidate:101 1 tcp 1520435199 192.0.2.9 3478 typ host tcptype passive",
        "a=end-of-candidates",
        "a=ssrc:3735928559 cname:gw",
    ] {
        assert!(answer.text.lines().any(|line| line == wanted), "{wanted}");
    }
    assert!(
        answer.text.split("\r\n").count() > 20,
        "lines end with CRLF"
    );
    assert!(answer.audio.rtcp_mux);
}

#[test]
fn video_and_data_are_rejected_in_their_place_and_leave_the_bundle() {
    let answer = answered(EVERYTHING, Preference::Opus);
    let media = lines(&answer.text, "m=");
    assert_eq!(media.len(), 3);
    assert!(media[0].starts_with("m=audio 7001 "));
    assert!(media[1].starts_with("m=video 0 UDP/TLS/RTP/SAVPF 96 "));
    assert_eq!(media[2], "m=application 0 UDP/DTLS/SCTP webrtc-datachannel");
    assert_eq!(lines(&answer.text, "a=group"), ["a=group:BUNDLE 0"]);
    let rejected = answer
        .notes
        .iter()
        .filter(|note| note.action == Action::Rejected);
    assert_eq!(rejected.count(), 2);
}

#[test]
fn a_video_that_carries_the_bundles_transport_stays_inactive() {
    let offer = read(MAX_BUNDLE);
    assert_eq!(offer.audio.index, 1);
    let answer = answered(MAX_BUNDLE, Preference::Opus);
    let media = lines(&answer.text, "m=");
    assert_eq!(media[0], "m=video 7001 UDP/TLS/RTP/SAVPF 96");
    assert!(media[1].starts_with("m=audio 7001 "));
    assert_eq!(lines(&answer.text, "a=group"), ["a=group:BUNDLE 0 1"]);
    assert_eq!(lines(&answer.text, "a=ice-ufrag").len(), 1);
    let video = answer.text.split("m=").nth(1).expect("the video section");
    assert!(video.contains("a=inactive") && video.contains("a=ice-ufrag:abcd"));
}

#[test]
fn a_bundle_only_audio_under_a_data_channel_is_refused() {
    let text = EVERYTHING
        .replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 2 0 1")
        .replacen("m=audio ", "m=audio 0 ", 1);
    // The port that was there becomes part of nothing: write the line anew.
    let text: String = text
        .split_inclusive('\n')
        .map(|line| {
            if line.starts_with("m=audio") {
                "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=bundle-only\r\n"
            } else {
                line
            }
        })
        .collect();
    assert_eq!(refused(&text).code(), "bundle_only");
}

#[test]
fn only_the_first_of_two_audio_streams_is_answered() {
    let text = include_str!("../../testdata/browser/chromium-two_audio.sdp");
    let answer = answered(text, Preference::Opus);
    let media = lines(&answer.text, "m=audio");
    assert!(media[0].starts_with("m=audio 7001 "));
    assert!(media[1].starts_with("m=audio 0 "));
    assert_eq!(lines(&answer.text, "a=group"), ["a=group:BUNDLE 0"]);
}

#[test]
fn an_audio_that_cannot_be_answered_makes_way_for_the_next() {
    let text = include_str!("../../testdata/browser/chromium-two_audio.sdp");
    let first = text.find("m=audio").expect("audio");
    let broken = format!(
        "{}{}",
        &text[..first],
        text[first..].replacen("a=rtcp-mux\r\n", "", 1)
    );
    assert_eq!(read(&broken).audio.index, 1);
}

#[test]
fn firefox_with_opus_gets_no_events_at_a_foreign_rate() {
    let answer = answered(FIREFOX, Preference::Opus);
    assert_eq!(answer.audio.telephone_event_in, None);
    assert!(!answer.text.contains("telephone-event"));
    let why = answer
        .notes
        .iter()
        .find(|note| note.subject == "telephone-event");
    assert!(why.expect("a note").reason.contains("signalling"));
    let answer = answered(FIREFOX, Preference::G711);
    assert_eq!(answer.audio.telephone_event_in, Some(101));
}

#[test]
fn values_of_the_session_count_where_the_section_has_none() {
    let offer = read(FIREFOX);
    assert_eq!(offer.audio.fingerprint[0], 0x3A);
    let moved = without(&without(FIREFOX, "a=ice-ufrag"), "a=setup");
    let moved = moved.replacen(
        "t=0 0\r\n",
        "t=0 0\r\na=ice-ufrag:wxyz\r\na=setup:active\r\n",
        1,
    );
    let moved = without(&moved, "a=sendrecv").replacen("t=0 0\r\n", "t=0 0\r\na=recvonly\r\n", 1);
    let audio = read(&moved).audio;
    assert_eq!(audio.ufrag, "wxyz");
    assert_eq!(audio.setup, Setup::Active);
    assert_eq!(audio.direction, Direction::RecvOnly);
}

#[test]
fn values_of_the_section_go_before_the_sessions() {
    let text = CHROMIUM.replacen(
        "t=0 0\r\n",
        "t=0 0\r\na=ice-ufrag:zzzz\r\na=inactive\r\n",
        1,
    );
    let audio = read(&text).audio;
    assert_eq!(audio.ufrag, "7ia5");
    assert_eq!(audio.direction, Direction::SendRecv);
}

#[test]
fn directions_are_answered_by_their_mirror() {
    for (offered, answered_with) in [
        ("sendrecv", Direction::SendRecv),
        ("sendonly", Direction::RecvOnly),
        ("recvonly", Direction::SendOnly),
        ("inactive", Direction::Inactive),
    ] {
        let text = CHROMIUM.replace("a=sendrecv", &format!("a={offered}"));
        let answer = answered(&text, Preference::Opus);
        assert_eq!(answer.audio.direction, answered_with, "{offered}");
        let wanted = format!("a={answered_with}");
        assert!(answer.text.lines().any(|line| line == wanted));
        assert_eq!(answer.text.contains("a=ssrc:"), answered_with.sends());
    }
}

#[test]
fn what_a_browser_must_have_is_asked_for_by_name() {
    let cases = [
        (without(CHROMIUM, "a=fingerprint"), "no_fingerprint"),
        (
            CHROMIUM.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "),
            "fingerprint_hash",
        ),
        (
            without(CHROMIUM, "a=fingerprint")
                + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n",
            "sdes_only",
        ),
        (
            CHROMIUM.replace("sha-256 0C:5F", "sha-256 0C5F"),
            "bad_fingerprint",
        ),
        (
            CHROMIUM.replace("sha-256 0C:5F", "sha-256 00:0C:5F"),
            "bad_fingerprint",
        ),
        (without(CHROMIUM, "a=ice-ufrag"), "no_ice"),
        (without(CHROMIUM, "a=ice-pwd"), "no_ice"),
        (
            CHROMIUM.replace("a=ice-ufrag:7ia5", "a=ice-ufrag:7i"),
            "bad_ice",
        ),
        (
            CHROMIUM.replace("a=ice-ufrag:7ia5", "a=ice-ufrag:7ia!"),
            "bad_ice",
        ),
        (without(CHROMIUM, "a=rtcp-mux"), "no_rtcp_mux"),
        (
            CHROMIUM.replace("a=setup:actpass", "a=setup:passive"),
            "setup",
        ),
        (
            CHROMIUM.replace("a=setup:actpass", "a=setup:holdconn"),
            "setup",
        ),
        (
            CHROMIUM.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
            "transport",
        ),
        (
            CHROMIUM.replacen("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1),
            "ice_lite",
        ),
        (
            CHROMIUM.replace("SAVPF 111 63 9 0 8", "SAVPF 63 9"),
            "no_common_codec",
        ),
        (without(CHROMIUM, "m="), "no_audio"),
        (
            CHROMIUM.replace("m=audio 50675", "m=audio 0"),
            "audio_rejected",
        ),
        (CHROMIUM.replace("a=mid:0", "a=mid:0 0"), "bad_mid"),
    ];
    for (text, code) in cases {
        let refusal = refused(&text);
        assert_eq!(refusal.code(), code, "{refusal}");
    }
}

#[test]
fn a_refusal_names_the_line() {
    let text = CHROMIUM.replace("a=setup:actpass", "a=setup:passive");
    let at = text
        .lines()
        .position(|line| line == "a=setup:passive")
        .map(|index| index + 1);
    assert_eq!(refused(&text).line(), at);
    assert!(refused(&text).to_string().contains("(line "));
}

#[test]
fn a_second_hash_beside_sha_256_does_no_harm() {
    let text = CHROMIUM.replace(
        "a=fingerprint:sha-256",
        "a=fingerprint:sha-1 00:11\r\na=fingerprint:SHA-256",
    );
    assert_eq!(read(&text).audio.fingerprint[0], 0x0C);
}

#[test]
fn one_mid_for_two_sections_is_refused() {
    let text = EVERYTHING.replace("a=mid:1", "a=mid:0");
    assert_eq!(refused(&text).code(), "duplicate_mid");
    assert_eq!(refused(&text).sip_status(), 400);
}

#[test]
fn an_offer_without_a_bundle_gets_none() {
    let text = without(CHROMIUM, "a=group");
    let answer = answered(&text, Preference::Opus);
    assert!(!answer.text.contains("BUNDLE"));
    assert!(answer.text.contains("a=mid:0"));
}

#[test]
fn packet_length_follows_the_browser_within_what_is_possible() {
    for (wanted, longest, sent) in [
        (None, None, 20),
        (Some(10), None, 10),
        (Some(40), None, 40),
        (Some(120), None, 60),
        (Some(25), None, 20),
        (None, Some(10), 10),
        (Some(60), Some(40), 40),
        (Some(3), None, 10),
    ] {
        let mut text = CHROMIUM.to_owned();
        for (name, value) in [("ptime", wanted), ("maxptime", longest)] {
            if let Some(ms) = value {
                text.push_str(&format!("a={name}:{ms}\r\n"));
            }
        }
        let answer = answered(&text, Preference::Opus);
        assert_eq!(answer.audio.ptime_ms, sent, "{wanted:?} {longest:?}");
    }
}

#[test]
fn payload_types_that_look_like_rtcp_are_not_used() {
    let text = CHROMIUM
        .replace("SAVPF 111", "SAVPF 72 111")
        .replace("a=rtpmap:111", "a=rtpmap:72 opus/48000/2\r\na=rtpmap:111");
    assert_eq!(answered(&text, Preference::Opus).audio.payload_type_in, 111);
}

#[test]
fn every_format_of_the_offer_is_spoken_of() {
    let answer = answered(CHROMIUM, Preference::Opus);
    for map in [
        "111 opus/48000/2",
        "63 red/48000/2",
        "9 G722/8000",
        "0 PCMU/8000",
        "8 PCMA/8000",
        "13 CN/8000",
        "110 telephone-event/48000",
        "126 telephone-event/8000",
    ] {
        let subject = format!("a=rtpmap:{map}");
        let said = answer
            .notes
            .iter()
            .filter(|note| note.subject == subject)
            .count();
        assert_eq!(said, 1, "{subject}");
    }
}

#[test]
fn options_that_make_no_right_answer_are_refused_not_written() {
    let offer = read(CHROMIUM);
    for broken in [
        AnswerOptions {
            ufrag: "a".into(),
            ..options()
        },
        AnswerOptions {
            pwd: "short".into(),
            ..options()
        },
        AnswerOptions {
            fingerprint: "AB".into(),
            ..options()
        },
        AnswerOptions {
            candidates: vec![],
            ..options()
        },
        AnswerOptions {
            cname: "a\r\na=x".into(),
            ..options()
        },
    ] {
        let refusal = answer(&offer, &broken).expect_err("a refusal");
        assert_eq!(refusal.code(), "options");
        assert_eq!(refusal.sip_status(), 500);
    }
}

#[test]
fn a_phones_offer_becomes_one_a_browser_can_answer() {
    let phone = trunk::read_offer(
        include_str!("../../testdata/sip/pjsua.sdp"),
        &trunk::Keying::None,
    )
    .expect("an offer");
    let (text, notes) = offer(&phone, &OfferOptions::placeholder()).expect("an offer");
    assert_eq!(
        lines(&text, "m="),
        ["m=audio 7000 UDP/TLS/RTP/SAVPF 111 0 8 110 126"]
    );
    assert_eq!(lines(&text, "a=setup"), ["a=setup:actpass"]);
    assert!(
        !text.contains("1188462012"),
        "a phone's source never reaches a browser"
    );
    assert!(!text.contains("192.0.2.77"), "nor does its address");
    assert!(notes.iter().any(
        |note| note.subject.starts_with("a=ssrc:1188462012") && note.action == Action::Dropped
    ));
    assert!(
        notes
            .iter()
            .any(|note| note.subject == "a=rtpmap:121 telephone-event/8000"
                && note.action == Action::Renumbered)
    );
}

#[test]
fn one_port_may_be_asked_for_by_either_name() {
    let text = CHROMIUM.replace("a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n");
    assert!(
        answered(&text, Preference::Opus)
            .text
            .contains("a=rtcp-mux\r\n")
    );
}

#[test]
fn a_missing_origin_is_noted_and_forgiven() {
    let notes = read(&without(CHROMIUM, "o=")).notes;
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].subject, "o=");
    assert_eq!(read(CHROMIUM).notes, []);
}
