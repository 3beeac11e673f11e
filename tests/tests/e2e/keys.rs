//! Keys on trunks that take no telephone-events: as tones in the audio, and by INFO.

use codecs::tone::{DtmfDetector, DtmfHeard};
use serde_json::json;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sipp::Sipp;

use crate::{SOON, talk};

/// The keys in audio, with their lengths in milliseconds.
fn keys_in(pcm: &[i16]) -> Vec<(char, u32)> {
    let mut detector = DtmfDetector::new();
    let mut keys = Vec::new();
    detector.hear(pcm, |heard| {
        if let DtmfHeard::Ended { key, held } = heard {
            keys.push((key, held / 8));
        }
    });
    keys
}

#[test]
fn keys_are_tones_where_the_phone_takes_no_events() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "answers_without_events", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    page.wait_for_mark("media_connected", SOON);
    page.ask("press", json!({ "keys": "159#" }));
    let keys = wait_until("the tones at the phone", SOON, || {
        Some(keys_in(&rtp.received().audio)).filter(|keys| keys.len() >= 4)
    });
    let pressed: String = keys.iter().map(|(key, _)| *key).collect();
    assert_eq!(pressed, "159#", "{keys:?}");
    for (key, milliseconds) in &keys {
        // The page holds a key for 160 ms; Chromium counts in packets, and leaves some out where it gets no time. How exact
        // we are is seen in virtual time (`media`).
        assert!((95..=205).contains(milliseconds), "{key}: {keys:?}");
    }
    assert!(rtp.received().events.is_empty());
    "80*".chars().for_each(|key| rtp.sound(key));
    wait_until("the phone's keys on the page", SOON, || {
        page.ask("state", json!({}))["received_digits"]
            .as_str()
            .is_some_and(|digits| digits.len() >= 3)
            .then_some(())
    });
    assert_eq!(page.ask("state", json!({}))["received_digits"], "80*");
    page.hang_up();
    phone.assert_done(SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    let story = record.0.to_string();
    assert!(record.step("keys cross as tones").is_some(), "{story}");
    assert!(!story.contains("80*") && !story.contains("159#"), "{story}");
}

#[test]
fn keys_cross_by_info_where_the_trunk_is_set_so() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "keys_by_info", &rtp);
    let gateway = Gateway::start(
        &scene,
        &[("trunk.uri", &phone.trunk()), ("trunk.dtmf", "\"info\"")],
    );
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    page.wait_for_mark("media_connected", SOON);
    page.ask("press", json!({ "keys": "42" }));
    wait_until("the phone's key on the page", SOON, || {
        (page.ask("state", json!({}))["received_digits"] == "#").then_some(())
    });
    phone.assert_done(SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "phone");
    let story = record.0.to_string();
    assert!(record.step("keys cross by INFO").is_some(), "{story}");
    assert!(!story.contains("Signal"), "{story}");
}
