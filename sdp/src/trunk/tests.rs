use std::net::{IpAddr, SocketAddr};

use super::{
    ConnectionPlace, Offer, OfferOptions, Profile, RtcpAttribute, answer, offer, offer_fresh,
    read_answer, read_offer,
};
use crate::{Action, Codec, Direction, Negotiated, Refusal, browser};

const CHROMIUM: &str = include_str!("../../testdata/browser/chromium-audio.sdp");
const ASTERISK: &str = include_str!("../../testdata/sip/asterisk.sdp");
const FREESWITCH: &str = include_str!("../../testdata/sip/freeswitch.sdp");
const CISCO: &str = include_str!("../../testdata/sip/cisco.sdp");
const LINPHONE: &str = include_str!("../../testdata/sip/linphone.sdp");
const PJSUA: &str = include_str!("../../testdata/sip/pjsua.sdp");

pub(super) fn options() -> OfferOptions {
    OfferOptions::new(IpAddr::from([192, 0, 2, 1]), 20_000)
}

fn with_opus() -> OfferOptions {
    OfferOptions {
        codecs: Codec::BROWSERS.to_vec(),
        ..options()
    }
}

fn profiled(profile: Profile) -> OfferOptions {
    OfferOptions {
        profile,
        ..options()
    }
}

fn read(text: &str) -> Offer {
    read_offer(text, &crate::trunk::Keying::None).expect("a good offer")
}

/// An answer with these lines after `t=`.
pub(super) fn sdp(media: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.50\r\ns=-\r\nc=IN IP4 192.0.2.50\r\nt=0 0\r\n{}\r\n",
        media.replace('\n', "\r\n")
    )
}

pub(super) fn agreed(media: &str, offered: &OfferOptions) -> Negotiated {
    read_answer(&sdp(media), offered).expect("a good answer")
}

fn refused(text: &str) -> Refusal {
    read_answer(text, &options()).expect_err("a refusal")
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().expect("an address"))
}

#[test]
fn a_browsers_offer_becomes_a_telephones() {
    let chromium = browser::read_offer(CHROMIUM).expect("an offer");
    let (text, notes) = offer(&chromium, &options());
    let wanted = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                  m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
                  a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp-xr:voip-metrics\r\na=sendrecv\r\n";
    assert_eq!(text, wanted);
    for (action, subject) in [
        (Action::Changed, "m=audio UDP/TLS/RTP/SAVPF"),
        (Action::Dropped, "a=rtpmap:111 opus/48000/2"),
        (Action::Dropped, "a=rtpmap:63 red/48000/2"),
        (Action::Kept, "a=rtpmap:0 PCMU/8000"),
        (Action::Dropped, "a=rtpmap:110 telephone-event/48000"),
        (Action::Renumbered, "a=rtpmap:126 telephone-event/8000"),
        (Action::Dropped, "a=candidate (4 lines)"),
        (Action::Dropped, "a=ice-pwd"),
        (Action::Dropped, "a=ssrc (2 lines)"),
    ] {
        let found = notes
            .iter()
            .any(|note| note.action == action && note.subject == subject);
        assert!(found, "{action} {subject}");
    }
    let secret = notes
        .iter()
        .any(|note| note.to_string().contains("iqjmpAROr3ZmFSiiynVFOnxU"));
    assert!(!secret, "a password is not for a trace");
}

#[test]
fn a_browser_that_only_listens_is_offered_so() {
    let text = include_str!("../../testdata/browser/chromium-recvonly.sdp");
    let chromium = browser::read_offer(text).expect("an offer");
    let (text, _) = offer(&chromium, &options());
    assert!(text.contains("a=recvonly\r\n"));
}

#[test]
fn opus_is_offered_with_events_at_both_rates() {
    let text = offer_fresh(&with_opus());
    assert!(text.contains("m=audio 20000 RTP/AVP 107 0 8 101 102\r\n"));
    assert!(text.contains("a=rtpmap:107 opus/48000/2\r\n"));
    assert!(text.contains("a=rtpmap:101 telephone-event/8000\r\n"));
    assert!(text.contains("a=rtpmap:102 telephone-event/48000\r\n"));
}

#[test]
fn a_trunks_quirks_are_data() {
    let text = offer_fresh(&OfferOptions {
        rtcp_port: Some(20_001),
        ..profiled(Profile {
            codecs: vec![Codec::Pcma],
            telephone_event_payload_type: 96,
            telephone_event_range: "0-16".into(),
            ptime_ms: Some(30),
            maxptime_ms: Some(60),
            static_rtpmap: false,
            write_sendrecv: false,
            rtcp: RtcpAttribute::Always,
            rtcp_xr: false,
            connection: ConnectionPlace::Media,
            origin_username: "gw".into(),
            session_name: "call".into(),
            bandwidth_kbps: Some(80),
            ..Profile::default()
        })
    });
    let wanted = "v=0\r\no=gw 1 1 IN IP4 192.0.2.1\r\ns=call\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8 96\r\n\
                  c=IN IP4 192.0.2.1\r\nb=AS:80\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\n\
                  a=ptime:30\r\na=maxptime:60\r\na=rtcp:20001\r\n";
    assert_eq!(text, wanted);
    let none = offer_fresh(&profiled(Profile {
        telephone_event: false,
        write_ptime: false,
        ..Profile::default()
    }));
    assert!(!none.contains("telephone-event") && !none.contains("ptime"));
}

#[test]
fn rtcp_is_named_where_it_is_not_next_door() {
    let with = |rtcp_port, rtcp| {
        offer_fresh(&OfferOptions {
            rtcp_port,
            ..profiled(Profile {
                rtcp,
                ..Profile::default()
            })
        })
    };
    assert!(!with(None, RtcpAttribute::WhenNotNext).contains("a=rtcp:"));
    assert!(!with(Some(20_001), RtcpAttribute::WhenNotNext).contains("a=rtcp:"));
    assert!(with(Some(30_000), RtcpAttribute::WhenNotNext).contains("a=rtcp:30000\r\n"));
    assert!(!with(Some(30_000), RtcpAttribute::Never).contains("a=rtcp:"));
}

#[test]
fn mistakes_in_a_profile_are_all_named() {
    assert_eq!(Profile::default().mistakes(), []);
    let fields: Vec<_> = Profile {
        opus_payload_type: 8,
        telephone_event_payload_type: 200,
        telephone_event_range: "0-".into(),
        ptime_ms: Some(15),
        session_name: "a\r\nb".into(),
        ..Profile::default()
    }
    .mistakes()
    .into_iter()
    .map(|(field, _)| field)
    .collect();
    assert_eq!(
        fields,
        [
            "opus_payload_type",
            "telephone_event_payload_type",
            "ptime_ms",
            "telephone_event_range",
            "session_name"
        ]
    );
}

#[test]
fn payload_types_are_by_direction() {
    let agreed = agreed(
        "m=audio 4000 RTP/AVP 120 97\na=rtpmap:120 opus/48000/2\na=rtpmap:97 telephone-event/48000",
        &with_opus(),
    );
    assert_eq!(agreed.codec, Codec::Opus);
    assert_eq!(
        (agreed.payload_type_in, agreed.payload_type_out),
        (107, 120)
    );
    assert_eq!(
        (agreed.telephone_event_in, agreed.telephone_event_out),
        (Some(102), Some(97))
    );
    assert_eq!(agreed.telephone_event_clock_rate, 48_000);
    assert_eq!(agreed.remote_rtp, address("192.0.2.50:4000"));
    assert_eq!(agreed.remote_rtcp, address("192.0.2.50:4001"));
}

#[test]
fn opus_with_events_at_8000_hz_is_how_many_phones_answer() {
    let agreed = agreed(
        "m=audio 4000 RTP/AVP 107 101\na=rtpmap:107 opus/48000/2\na=rtpmap:101 telephone-event/8000",
        &with_opus(),
    );
    assert_eq!(agreed.telephone_event_out, Some(101));
    assert_eq!(agreed.telephone_event_clock_rate, 8_000);
}

#[test]
fn the_first_codec_of_an_answer_counts_and_the_others_may_come() {
    let agreed = agreed(
        "m=audio 4000 RTP/AVP 18 8 0 101\na=rtpmap:101 telephone-event/8000",
        &options(),
    );
    assert_eq!(agreed.codec, Codec::Pcma);
    let also: Vec<_> = agreed
        .also_accepted
        .iter()
        .map(|one| one.payload_type)
        .collect();
    assert_eq!(also, [0]);
    let g729 = agreed
        .notes
        .iter()
        .find(|note| note.subject.contains("G729"));
    assert!(g729.expect("a note").reason.contains("not offered"));
}

#[test]
fn an_answer_without_events_has_none_unless_the_profile_knows_better() {
    assert_eq!(
        agreed("m=audio 4000 RTP/AVP 0", &options()).telephone_event_out,
        None
    );
    let sure = profiled(Profile {
        assume_telephone_event: true,
        ..Profile::default()
    });
    assert_eq!(
        agreed("m=audio 4000 RTP/AVP 0", &sure).telephone_event_out,
        Some(101)
    );
}

#[test]
fn hold_is_understood_in_every_spelling() {
    for (media, direction, remote) in [
        (
            "m=audio 4000 RTP/AVP 0\na=sendonly",
            Direction::RecvOnly,
            true,
        ),
        (
            "m=audio 4000 RTP/AVP 0\na=recvonly",
            Direction::SendOnly,
            true,
        ),
        (
            "m=audio 4000 RTP/AVP 0\na=inactive",
            Direction::Inactive,
            true,
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0",
            Direction::RecvOnly,
            false,
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=inactive",
            Direction::Inactive,
            false,
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP6 ::",
            Direction::RecvOnly,
            false,
        ),
    ] {
        let agreed = agreed(media, &options());
        assert_eq!(agreed.direction, direction, "{media}");
        assert_eq!(agreed.remote_rtp.is_some(), remote, "{media}");
    }
}

#[test]
fn what_we_do_not_offer_to_do_we_do_not() {
    let holding = OfferOptions {
        direction: Direction::SendOnly,
        ..options()
    };
    assert!(offer_fresh(&holding).contains("a=sendonly\r\n"));
    let agreed = agreed("m=audio 4000 RTP/AVP 0\na=sendrecv", &holding);
    assert_eq!(agreed.direction, Direction::SendOnly);
    let listening = OfferOptions {
        direction: Direction::RecvOnly,
        ..options()
    };
    let agreed = self::agreed("m=audio 4000 RTP/AVP 0\na=sendrecv", &listening);
    assert_eq!(agreed.direction, Direction::RecvOnly);
}

#[test]
fn addresses_of_both_families_and_places_are_found() {
    for (media, rtp, rtcp) in [
        (
            "m=audio 4000 RTP/AVP 0",
            "192.0.2.50:4000",
            "192.0.2.50:4001",
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP4 198.51.100.1",
            "198.51.100.1:4000",
            "198.51.100.1:4001",
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1",
            "[2001:db8::1]:4000",
            "[2001:db8::1]:4001",
        ),
        (
            "m=audio 4000 RTP/AVP 0\nc=IN IP6 ::ffff:198.51.100.1",
            "198.51.100.1:4000",
            "198.51.100.1:4001",
        ),
        (
            "m=audio 4000 RTP/AVP 0\na=rtcp:5000",
            "192.0.2.50:4000",
            "192.0.2.50:5000",
        ),
        (
            "m=audio 4000 RTP/AVP 0\na=rtcp:5000 IN IP4 198.51.100.2",
            "192.0.2.50:4000",
            "198.51.100.2:5000",
        ),
        (
            "m=audio 4000 RTP/AVP 0\na=rtcp:0",
            "192.0.2.50:4000",
            "192.0.2.50:4001",
        ),
    ] {
        let agreed = agreed(media, &options());
        assert_eq!(agreed.remote_rtp, address(rtp), "{media}");
        assert_eq!(agreed.remote_rtcp, address(rtcp), "{media}");
    }
    let top = agreed("m=audio 65535 RTP/AVP 0", &options());
    assert_eq!(top.remote_rtcp, None, "there is no port after the last");
}

#[test]
fn one_port_for_both_only_where_it_was_offered() {
    let media = "m=audio 4000 RTP/AVP 0\na=rtcp-mux";
    assert!(!agreed(media, &options()).rtcp_mux);
    let muxed = profiled(Profile {
        rtcp_mux: true,
        ..Profile::default()
    });
    assert!(offer_fresh(&muxed).contains("a=rtcp-mux\r\n"));
    let agreed = agreed(media, &muxed);
    assert!(agreed.rtcp_mux);
    assert_eq!(agreed.remote_rtcp, agreed.remote_rtp);
}

#[test]
fn answers_that_make_no_call_are_refused_by_name() {
    let named =
        sdp("m=audio 4000 RTP/AVP 0").replace("c=IN IP4 192.0.2.50", "c=IN IP4 media.example.com");
    for (text, code, status) in [
        (sdp("m=audio 0 RTP/AVP 0"), "audio_rejected", 488),
        (sdp("m=audio 4000 RTP/AVP 18"), "no_common_codec", 488),
        (sdp("m=audio 4000 RTP/SAVP 0"), "transport", 488),
        (sdp("m=audio 4000 UDP/TLS/RTP/SAVPF 0"), "transport", 488),
        (named, "hostname", 488),
        (
            sdp("m=audio 4000 RTP/AVP 0").replace("c=IN IP4 192.0.2.50\r\n", ""),
            "no_connection",
            488,
        ),
        (
            sdp("m=audio 4000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127"),
            "address",
            488,
        ),
        (
            sdp("m=audio 4000 RTP/AVP 0\nc=IN IP4 255.255.255.255"),
            "address",
            488,
        ),
        (
            sdp("m=audio 4000 RTP/AVP 0\nc=IN IP4 1.2.3.4.5"),
            "address",
            488,
        ),
        (sdp("m=video 4000 RTP/AVP 31"), "no_audio", 488),
        (
            sdp("m=video 0 RTP/AVP 31\nm=audio 4000 RTP/AVP 0"),
            "media_count",
            488,
        ),
        (sdp("m=audio 70000 RTP/AVP 0"), "syntax", 400),
        ("hello".into(), "syntax", 400),
        (String::new(), "syntax", 400),
    ] {
        let refusal = refused(&text);
        assert_eq!(
            (refusal.code(), refusal.sip_status()),
            (code, status),
            "{refusal}"
        );
    }
}

#[test]
fn a_surplus_stream_in_an_answer_is_ignored_and_noted() {
    let agreed = agreed(
        "m=audio 4000 RTP/AVP 0\nm=video 5000 RTP/AVP 31",
        &options(),
    );
    assert_eq!(agreed.codec, Codec::Pcmu);
    assert!(
        agreed
            .notes
            .iter()
            .any(|note| note.subject == "m=video 5000")
    );
}

#[test]
fn packet_length_follows_the_phone() {
    for (lines, sent) in [
        ("", 20),
        ("\na=ptime:30", 30),
        ("\na=ptime:30.0", 30),
        ("\na=maxptime:10", 10),
        ("\na=ptime:200", 60),
        ("\na=ptime:0", 20),
        ("\na=ptime:-20", 20),
    ] {
        let media = format!("m=audio 4000 RTP/AVP 0{lines}");
        assert_eq!(agreed(&media, &options()).ptime_ms, sent, "{lines}");
    }
}

#[test]
fn an_offer_is_answered_in_its_own_order_and_numbers() {
    let (text, agreed, _) = answer(&read(ASTERISK), &with_opus()).expect("an answer");
    assert!(text.contains("m=audio 20000 RTP/AVP 8 101\r\n"));
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(agreed.telephone_event_clock_rate, 8_000);
    let own = OfferOptions {
        profile: Profile {
            prefer_own_codecs: true,
            ..Profile::default()
        },
        ..with_opus()
    };
    let (text, agreed, _) = answer(&read(ASTERISK), &own).expect("an answer");
    assert!(text.contains("m=audio 20000 RTP/AVP 107 102\r\n"), "{text}");
    assert_eq!(agreed.codec, Codec::Opus);
    assert_eq!(agreed.telephone_event_clock_rate, 48_000);
    assert_eq!(text.matches("telephone-event").count(), 1);
}

#[test]
fn every_codec_in_common_is_listed_where_the_profile_says_so() {
    let all = profiled(Profile {
        answer_all_codecs: true,
        ..Profile::default()
    });
    let (text, agreed, _) = answer(&read(ASTERISK), &all).expect("an answer");
    assert!(text.contains("m=audio 20000 RTP/AVP 8 0 101\r\n"));
    assert_eq!(agreed.also_accepted.len(), 1);
}

#[test]
fn the_plain_one_of_two_audio_streams_is_taken() {
    let offer = read(FREESWITCH);
    assert_eq!(offer.audio.index, 1);
    let (text, agreed, notes) = answer(&offer, &options()).expect("an answer");
    let media: Vec<_> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        media,
        [
            "m=audio 0 RTP/SAVP 102 0 8 103 101",
            "m=audio 20000 RTP/AVP 0 101"
        ]
    );
    assert_eq!(agreed.remote_rtcp, address("198.51.100.20:24877"));
    assert!(notes.iter().any(|note| note.action == Action::Rejected));
}

#[test]
fn fax_and_video_beside_the_audio_are_rejected() {
    let (text, agreed, _) = answer(&read(CISCO), &options()).expect("an answer");
    assert!(text.contains("m=image 0 udptl t38\r\n"));
    assert_eq!(agreed.ptime_ms, 30);
    let (text, _, _) = answer(&read(LINPHONE), &options()).expect("an answer");
    assert!(text.contains("m=audio 20000 RTP/AVPF 0 100\r\n"), "{text}");
    assert!(text.contains("m=video 0 RTP/AVPF 96 97\r\n"));
}

#[test]
fn events_are_answered_at_the_codecs_rate() {
    let (text, agreed, _) = answer(&read(PJSUA), &options()).expect("an answer");
    assert_eq!(agreed.telephone_event_in, Some(121));
    assert!(text.contains("m=audio 20000 RTP/AVP 0 121\r\n"), "{text}");
}

#[test]
fn a_held_offer_is_answered_by_listening() {
    let offer = read(include_str!("../../testdata/sip/old-hold.sdp"));
    assert_eq!(offer.audio.direction, Direction::SendOnly);
    assert_eq!(offer.audio.remote_rtp, None);
    let (text, agreed, _) = answer(&offer, &options()).expect("an answer");
    assert!(text.contains("a=recvonly\r\n"));
    assert_eq!(agreed.direction, Direction::RecvOnly);
}

#[test]
fn an_offer_to_share_a_port_that_is_declined_leaves_two() {
    let text = sdp("m=audio 4000 RTP/AVP 0\na=rtcp-mux");
    let (answered, agreed, _) = answer(&read(&text), &options()).expect("an answer");
    assert!(!answered.contains("rtcp-mux"));
    assert_eq!(agreed.remote_rtcp, address("192.0.2.50:4001"));
}

#[test]
fn a_static_number_may_be_remapped() {
    let agreed = agreed(
        "m=audio 4000 RTP/AVP 99 0\na=rtpmap:99 PCMA/8000\na=rtpmap:0 pcmu/8000/1",
        &options(),
    );
    assert_eq!((agreed.codec, agreed.payload_type_out), (Codec::Pcma, 99));
    assert_eq!(agreed.payload_type_in, 8);
}

#[test]
fn a_profile_is_read_from_settings_and_unknown_keys_are_mistakes() {
    let profile: Profile = toml::from_str(
        "codecs = [\"pcma\", \"opus\"]\ntelephone_event_payload_type = 96\nrtcp = \"always\"\nconnection = \"both\"",
    )
    .expect("a profile");
    assert_eq!(profile.codecs, [Codec::Pcma, Codec::Opus]);
    assert_eq!(profile.rtcp, RtcpAttribute::Always);
    assert_eq!(profile.telephone_event_range, "0-15", "the default");
    assert!(toml::from_str::<Profile>("codec = []").is_err());
    assert_eq!(toml::from_str::<Profile>("").ok(), Some(Profile::default()));
}

#[test]
fn other_codecs_of_an_answer_come_under_our_numbers() {
    let agreed = agreed(
        "m=audio 4000 RTP/AVP 0 120\na=rtpmap:120 opus/48000/2",
        &with_opus(),
    );
    let also: Vec<_> = agreed
        .also_accepted
        .iter()
        .map(|one| one.payload_type)
        .collect();
    assert_eq!(also, [107]);
}

#[test]
fn g722_is_offered_where_a_trunk_has_it_and_counts_8000_hz() {
    let offered = profiled(Profile {
        codecs: vec![Codec::G722, Codec::Pcma],
        ..Profile::default()
    });
    let text = offer_fresh(&offered);
    assert!(
        text.contains("RTP/AVP 9 8 101\r\na=rtpmap:9 G722/8000\r\n"),
        "{text}"
    );
    let agreed = agreed(
        "m=audio 4000 RTP/AVP 9 101\na=rtpmap:101 telephone-event/8000",
        &offered,
    );
    assert_eq!((agreed.codec, agreed.payload_type_out), (Codec::G722, 9));
    assert_eq!(agreed.telephone_event_out, Some(101));
}

#[test]
fn comfort_noise_is_agreed_on_only_where_both_have_it() {
    let offered = profiled(Profile {
        comfort_noise: true,
        ..Profile::default()
    });
    let text = offer_fresh(&offered);
    assert!(
        text.contains("RTP/AVP 0 8 13 101") && text.contains("a=rtpmap:13 CN/8000"),
        "{text}"
    );
    let with = "m=audio 4000 RTP/AVP 0 13";
    assert_eq!(agreed(with, &offered).comfort_noise, Some(13));
    assert_eq!(
        agreed("m=audio 4000 RTP/AVP 0", &offered).comfort_noise,
        None
    );
    assert_eq!(agreed(with, &options()).comfort_noise, None);
    let theirs = read(&sdp(with));
    let (text, negotiated, _) = answer(&theirs, &offered).expect("an answer");
    assert!(text.contains("RTP/AVP 0 13"), "{text}");
    assert_eq!(negotiated.comfort_noise, Some(13));
    let (text, ..) = answer(&theirs, &options()).expect("an answer");
    assert!(!text.contains("CN/8000"), "{text}");
}
