//! Chromium and SIPp: calls over the trunk that are answered, and trunks that cannot be reached.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::json;
use sip::Method;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, free_port, wait_until};
use switchhook_tests::sip_phone::SipPhone;
use switchhook_tests::sipp::Sipp;
use switchhook_tests::sound::{MICROPHONE_DBFS, MICROPHONE_HZ};

use crate::{A_SECOND, LISTEN, SOON, assert_hears_itself, talk};

/// What [`RtpPhone`] plays at -10 dBm0, in dB below full scale.
const PHONE_DBFS: f64 = -16.2;

const PHONE_HZ: f64 = 850.0;

/// Asserts that the phone hears the browser's microphone.
#[track_caller]
fn assert_hears_the_microphone(phone: &RtpPhone) {
    phone.assert_hears(MICROPHONE_HZ, MICROPHONE_DBFS, SOON);
}

/// Hangs up in the page; the phone's scenario must end within a second.
#[track_caller]
fn hang_up(page: &Page, phone: &mut Sipp) {
    page.hang_up();
    let hung_up = Instant::now();
    phone.assert_done(A_SECOND + Duration::from_millis(500));
    assert!(
        hung_up.elapsed() < A_SECOND,
        "the phone was told after {:?}",
        hung_up.elapsed()
    );
    page.assert_ended("normal", "The call has ended.", SOON);
}

#[test]
fn sipp_returns_what_the_caller_says() {
    let scene = Scene::begin();
    let mut phone = Sipp::uas(&scene, true);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    assert_hears_itself(&page);
    page.hang_up();
    let hung_up = Instant::now();
    // SIPp's own scenario stays 4 s for a BYE that comes again; its log says when it came.
    wait_until("BYE at the phone", A_SECOND, || {
        phone.messages().contains("BYE sip:").then_some(())
    });
    assert!(hung_up.elapsed() < A_SECOND);
    page.assert_ended("normal", "The call has ended.", SOON);
    phone.assert_done(SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn both_sides_of_a_trunk_call_hear_each_other() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 2.0);
    assert_hears_the_microphone(&rtp);
    hang_up(&page, &mut phone);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn early_audio_of_the_trunk_is_heard_and_goes_on_after_the_answer() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::scenario(&scene, "early_media", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930123456");
    page.wait_for("early", SOON);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 2.0);
    assert_eq!(page.ask("state", json!({}))["state"], "early");
    page.wait_for("in_call", SOON);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 2.0);
    hang_up(&page, &mut phone);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert!(
        record.number("/answered_ms").is_some_and(|ms| ms > 2900.0),
        "{}",
        record.story()
    );
}

#[test]
fn each_key_reaches_the_phone_once_and_the_phones_keys_the_page() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    page.wait_for_mark("media_connected", SOON);
    let pressed = "0123456789*#55";
    page.ask("press", json!({ "keys": pressed }));
    let received = wait_until("all the keys at the phone", SOON, || {
        Some(rtp.received()).filter(|received| {
            received.events.len() >= pressed.len()
                && received.events.values().all(|(.., ended)| *ended)
        })
    });
    // One more would still be on its way.
    page.listen(Duration::from_millis(500), &[]);
    assert_eq!(rtp.received().digits(), pressed, "{:?}", received.events);
    for (key, duration, _) in rtp.received().events.values() {
        // The page holds a key for 160 ms, 1280 units of 8 kHz.
        assert!(
            (960..=1760).contains(duration),
            "{key} lasts {duration} units: {:?}",
            received.events
        );
    }
    "42#".chars().for_each(|key| rtp.press(key));
    wait_until("the phone's keys on the page", SOON, || {
        page.ask("state", json!({}))["received_digits"]
            .as_str()
            .is_some_and(|digits| digits.len() >= 3)
            .then_some(())
    });
    assert_eq!(page.ask("state", json!({}))["received_digits"], "42#");
    hang_up(&page, &mut phone);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert!(
        !record.0.to_string().contains("42#"),
        "digits stay out of records"
    );
}

#[test]
fn a_phone_that_hangs_up_ends_the_call() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::scenario(&scene, "hangs_up", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    phone.assert_done(SOON);
    page.assert_ended("normal", "The call has ended.", A_SECOND);
    gateway.only_record().assert_ended("normal", "phone");
}

#[test]
fn the_lab_phone_hangs_up_after_five_seconds() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    talk(&page, "hangup");
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "phone");
    let talked = record.number("/talk_ms").unwrap_or_default();
    assert!((4_700.0..6_000.0).contains(&talked), "{talked}");
}

#[test]
fn an_answer_that_comes_twice_is_acknowledged_twice_and_is_one_call() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let phone = SipPhone::start();
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930123456");
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    for _ in 0..3 {
        phone.answer(&invite, from, 200, Some(&rtp));
        phone.expect(&Method::Ack, SOON);
    }
    page.wait_for("in_call", SOON);
    assert_hears_the_microphone(&rtp);
    page.hang_up();
    phone.expect_bye(A_SECOND);
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_cancel_that_crosses_the_answer_leaves_no_call() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let phone = SipPhone::start();
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930123456");
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    phone.answer(&invite, from, 180, None);
    page.wait_for("ringing", SOON);
    page.hang_up();
    let (cancel, _) = phone.expect(&Method::Cancel, A_SECOND);
    // It was answered at the very moment.
    phone.answer(&invite, from, 200, Some(&rtp));
    phone.answer(&cancel, from, 200, None);
    phone.expect(&Method::Ack, A_SECOND);
    phone.expect_bye(A_SECOND);
    page.assert_ended(
        "cancelled",
        "The call was cancelled before it was answered.",
        SOON,
    );
    gateway.only_record().assert_ended("cancelled", "browser");
}

#[test]
fn with_dtls_on_the_trunk_both_sides_hear_each_other_whoever_begins() {
    let scene = Scene::begin();
    let phone = SipPhone::start();
    let trunk = phone.trunk();
    let gateway = Gateway::start(&scene, &[("trunk.uri", &trunk), ("trunk.srtp", "\"dtls\"")]);
    for active in [true, false] {
        let page = Page::open(&gateway);
        page.dial("4930123456");
        let (invite, from) = phone.expect(&Method::Invite, SOON);
        let offer = String::from_utf8_lossy(&invite.body).into_owned();
        let rtp = RtpPhone::start_dtls(PHONE_HZ, &offer, active);
        let port = offer
            .split("m=audio ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse::<u16>().ok());
        rtp.speak_to(([127, 0, 0, 1], port.expect("a port in the offer")).into());
        phone.answer(&invite, from, 200, Some(&rtp));
        phone.expect(&Method::Ack, SOON);
        page.wait_for("in_call", SOON);
        assert_hears_the_microphone(&rtp);
        page.listen(LISTEN, &[PHONE_HZ])
            .assert_tone(PHONE_HZ, PHONE_DBFS, 2.0);
        page.hang_up();
        phone.expect_bye(A_SECOND);
    }
    for record in gateway.records() {
        record.assert_ended("normal", "browser");
        let profile = record.text("/phone_srtp");
        assert!(profile.starts_with("SRTP_AEAD"), "{profile}");
    }
}

#[test]
fn one_way_audio_is_named_and_mended_when_the_phone_comes_back_from_another_port() {
    const ELSEWHERE_HZ: f64 = 600.0;
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    assert_hears_the_microphone(&rtp);
    let peer = wait_until("the gateway's address", SOON, || rtp.peer());
    // Its NAT forgets it: what is sent to it meets nobody.
    drop(rtp);
    wait_until("the page's notice", SOON, || {
        let notice = page.ask("state", json!({}))["notice"].to_string();
        notice
            .contains("No audio comes from the telephone")
            .then_some(())
    });
    let moved = RtpPhone::start(ELSEWHERE_HZ);
    moved.speak_to(peer);
    assert_hears_the_microphone(&moved);
    page.listen(LISTEN, &[ELSEWHERE_HZ])
        .assert_tone(ELSEWHERE_HZ, PHONE_DBFS, 2.0);
    wait_until("the end of the notice", SOON, || {
        (page.ask("state", json!({}))["notice"] == "").then_some(())
    });
    hang_up(&page, &mut phone);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert_eq!(record.text("/one_way/0/trouble"), "phone_sends_nothing");
    assert!(record.number("/one_way/0/until_ms").is_some());
    let steps = record.0["timeline"].to_string();
    assert!(steps.contains("and ours follows it"), "{}", record.story());
    for heard in ["/media/to_phone/mos", "/media/to_browser/mos"] {
        let mos = record.number(heard).unwrap_or_default();
        assert!((1.0..=4.5).contains(&mos), "{heard} {mos}");
    }
}

#[test]
fn of_two_phones_that_answer_one_talks_and_the_other_is_hung_up_on() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::scenario(&scene, "answers_at_two_places", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 2.0);
    hang_up(&page, &mut phone);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_trunk_named_with_tcp_is_called_by_tcp() {
    let scene = Scene::begin();
    let mut phone = Sipp::uas_by_tcp(&scene);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk_by_tcp())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    assert_hears_itself(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    phone.assert_done(SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn an_invite_beyond_1300_bytes_goes_by_tcp() {
    let scene = Scene::begin();
    let mut phone = Sipp::uas_by_tcp(&scene);
    let trunk = phone.trunk().trim_matches('"').to_owned();
    let long = format!("\"{}\"", "x".repeat(120));
    let gateway = Gateway::start(
        &scene,
        &[
            (
                "trunk.uri",
                &format!("\"{trunk};tgrp={}\"", "x".repeat(400)),
            ),
            ("sip.user_agent", &long),
        ],
    );
    let page = Page::open(&gateway);
    // Nobody is at the UDP port: this is answered by TCP or not at all.
    talk(&page, &"9".repeat(64));
    assert_hears_itself(&page);
    let messages = phone.messages();
    let invite = messages
        .find("INVITE sip:")
        .map_or("", |at| &messages[at..]);
    let invite = invite.split("-----------").next().unwrap_or_default();
    assert!(
        invite.len() > 1300,
        "this INVITE would fit by UDP: {} bytes\n{invite}",
        invite.len()
    );
    assert!(invite.contains("SIP/2.0/TCP"), "{invite}");
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    phone.assert_done(SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_trunk_with_nobody_at_its_port_is_unreachable_at_once() {
    let scene = Scene::begin();
    let gateway = Gateway::start(
        &scene,
        &[("trunk.uri", &format!("\"sip:127.0.0.1:{}\"", free_port()))],
    );
    let page = Page::open(&gateway);
    page.dial("123");
    page.assert_ended(
        "unreachable",
        "The telephone network did not respond.",
        SOON,
    );
    let record = gateway.only_record();
    record.assert_ended("unreachable", "gateway");
    let ended = record.number("/ended_ms").unwrap_or_default();
    assert!(
        ended < 1000.0,
        "the refusal of the port was not heard: {ended} ms\n{}",
        record.story()
    );
}

#[test]
fn a_trunk_that_takes_no_connection_is_unreachable_at_once() {
    let scene = Scene::begin();
    let trunk = format!("\"sip:127.0.0.1:{};transport=tcp\"", free_port());
    let gateway = Gateway::start(&scene, &[("trunk.uri", &trunk)]);
    let page = Page::open(&gateway);
    page.dial("123");
    page.assert_ended(
        "unreachable",
        "The telephone network did not respond.",
        SOON,
    );
    let record = gateway.only_record();
    record.assert_ended("unreachable", "gateway");
    assert!(
        record.number("/ended_ms").is_some_and(|ms| ms < 1000.0),
        "{}",
        record.story()
    );
}

#[test]
fn an_answer_without_audio_is_hung_up_on() {
    let scene = Scene::begin();
    let phone = SipPhone::start();
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("123");
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    phone.answer(&invite, from, 200, None);
    phone.expect(&Method::Ack, A_SECOND);
    phone.expect_bye(A_SECOND);
    page.assert_ended(
        "not_acceptable",
        "The two sides have no audio format in common.",
        SOON,
    );
    gateway
        .only_record()
        .assert_ended("not_acceptable", "gateway");
}

#[test]
fn a_stranger_cannot_speak_into_a_call() {
    let scene = Scene::begin();
    let (rtp, stranger) = (RtpPhone::start(PHONE_HZ), RtpPhone::start(2000.0));
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "123");
    assert_hears_the_microphone(&rtp);
    stranger.speak_to(rtp.peer().expect("the phone was spoken to"));
    page.listen(Duration::from_millis(400), &[]);
    let heard = page.listen(LISTEN, &[PHONE_HZ, 2000.0]);
    heard.assert_tone(PHONE_HZ, PHONE_DBFS, 2.0);
    assert!(
        heard.0["frequencies"]["2000"]
            .as_f64()
            .is_some_and(|level| level < -50.0),
        "{}",
        heard.0
    );
    assert!(
        stranger.received().audio.is_empty(),
        "a stranger hears nothing"
    );
    assert_hears_the_microphone(&rtp);
    hang_up(&page, &mut phone);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_trunk_that_gives_no_sign_of_life_is_unreachable() {
    let scene = Scene::begin();
    let hole = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = hole.local_addr().expect("a bound socket");
    let gateway = Gateway::start(&scene, &[("trunk.uri", &format!("\"sip:{address}\""))]);
    let page = Page::open(&gateway);
    page.dial("123");
    // Timer B of RFC 3261 §17.1.1.2: 64 times T1.
    page.assert_ended(
        "unreachable",
        "The telephone network did not respond.",
        Duration::from_secs(40),
    );
    let record = gateway.only_record();
    record.assert_ended("unreachable", "gateway");
    let ended = record.number("/ended_ms").unwrap_or_default();
    assert!((30_000.0..35_000.0).contains(&ended), "{ended}");
}
