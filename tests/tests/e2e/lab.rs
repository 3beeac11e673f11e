//! Chromium and the numbers of the lab phone that answer.

use std::time::Duration;

use serde_json::json;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::{Scene, wait_until};

use crate::{LISTEN, SOON, assert_hears_itself, talk};

/// The lab's test tone, -16 dBm0, in dB below full scale.
const TEST_TONE_DBFS: f64 = -22.2;

#[test]
fn a_caller_hears_herself_at_echo_and_hangs_up() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    talk(&page, "echo");
    assert_hears_itself(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert_eq!(
        (
            record.text("/to"),
            record.text("/browser_codec"),
            record.text("/phone_codec")
        ),
        ("echo", "opus", "PCMU")
    );
    assert!(
        record
            .number("/media/browser/packets_in")
            .is_some_and(|packets| packets > 50.0),
        "{}",
        record.0
    );
    assert!(
        record
            .number("/media/phone/packets_in")
            .is_some_and(|packets| packets > 50.0),
        "{}",
        record.0
    );
    assert!(
        record.number("/talk_ms").is_some_and(|ms| ms > 1500.0),
        "{}",
        record.0
    );
}

#[test]
fn the_test_tone_is_heard_at_its_frequency_and_level_without_gaps() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    talk(&page, "tone");
    page.listen(Duration::from_millis(400), &[]);
    let heard = page.listen(LISTEN, &[1004.0]);
    heard.assert_tone(1004.0, TEST_TONE_DBFS, 1.0);
    assert!(
        heard.0["silent_ms"].as_f64().is_some_and(|ms| ms < 200.0),
        "{}",
        heard.0
    );
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn audio_is_heard_before_the_phone_answers() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    page.dial("early");
    page.wait_for("early", SOON);
    let heard = page.listen(LISTEN, &[425.0, 440.0, 480.0]);
    assert!(heard.level() > -40.0, "ringback is heard: {}", heard.0);
    let state = page.ask("state", json!({}));
    assert_eq!(state["state"], "early", "it is not answered yet: {state}");
    page.wait_for("in_call", SOON);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    let answered = record.number("/answered_ms").expect("it was answered");
    assert!(
        (4500.0..9000.0).contains(&answered),
        "`early` answers after 5 s: {answered}"
    );
}

#[test]
fn pressed_keys_are_read_back_once_each() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    talk(&page, "dtmf");
    page.ask("wait_for_mark", json!({ "mark": "media_connected" }));
    page.ask("record_start", json!({}));
    page.ask("press", json!({ "keys": "15590#" }));
    // The lab waits 1.5 s after the last key, and plays each for 200 ms with 100 ms between them.
    page.eval("new Promise((done) => setTimeout(done, 5000))");
    let heard = page.ask("record_stop", json!({}));
    let digits: String = heard["dtmf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| key["digit"].as_str())
        .collect();
    assert_eq!(digits, "15590#", "{heard}");
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_phone_that_rings_long_is_waited_for() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    page.dial("late");
    page.wait_for("ringing", SOON);
    page.wait_for("in_call", Duration::from_secs(15));
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[1004.0])
        .assert_tone(1004.0, TEST_TONE_DBFS, 1.0);
    page.hang_up();
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    let (ringing, answered) = (record.number("/ringing_ms"), record.number("/answered_ms"));
    let (Some(ringing), Some(answered)) = (ringing, answered) else {
        panic!("{}", record.story())
    };
    assert!(
        (9_500.0..12_000.0).contains(&(answered - ringing)),
        "`late` rings 10 s:\n{}",
        record.story()
    );
}

#[test]
fn two_calls_at_once_do_not_hear_each_other() {
    let scene = Scene::begin();
    let mut gateway = Gateway::start(&scene, &[]);
    let echo = Page::open(&gateway);
    let tone = echo.another(&gateway);
    talk(&echo, "echo");
    talk(&tone, "tone");
    tone.listen(Duration::from_millis(400), &[]);
    let heard = tone.listen(LISTEN, &[1004.0, 620.0]);
    heard.assert_tone(1004.0, TEST_TONE_DBFS, 1.0);
    assert!(
        heard.0["frequencies"]["620"]
            .as_f64()
            .is_some_and(|level| level < -55.0),
        "{}",
        heard.0
    );
    assert_hears_itself(&echo);
    tone.hang_up();
    tone.assert_ended("normal", "The call has ended.", SOON);
    // The other call goes on.
    assert_hears_itself(&echo);
    echo.hang_up();
    echo.assert_ended("normal", "The call has ended.", SOON);
    let records = gateway.wait_for_records(2);
    records
        .iter()
        .for_each(|record| record.assert_ended("normal", "browser"));
    assert!(gateway.stop().is_some_and(|status| status.success()));
    assert_eq!(gateway.records().len(), 2);
}

#[test]
fn a_network_that_is_bad_on_purpose_is_told_of_and_heard_through() {
    let scene = Scene::begin();
    let settings = [("lab.impair_browser", "\"loss=10,jitter=5ms\"")];
    let gateway = Gateway::start(&scene, &settings);
    let page = Page::open(&gateway);
    talk(&page, "echo");
    assert_hears_itself(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    assert!(
        record.step("the network is bad on purpose").is_some(),
        "{}",
        record.story()
    );
    let lost = |leg| record.number(&format!("/media/{leg}/lost"));
    assert!(
        lost("browser").is_some_and(|lost| lost > 2.0),
        "{}",
        record.0
    );
    assert_eq!(lost("phone"), Some(0.0), "{}", record.0);
}

/// What Chromium has counted of the audio that came.
fn inbound(page: &Page, name: &str) -> f64 {
    let stats = page.ask("stats", json!({}));
    let reports = stats["reports"].as_array().cloned().unwrap_or_default();
    reports
        .iter()
        .filter(|report| report["type"] == "inbound-rtp")
        .find_map(|report| report[name].as_f64())
        .unwrap_or_default()
}

#[test]
fn a_browser_that_loses_packets_is_sent_redundancy() {
    let scene = Scene::begin();
    let settings = [("lab.impair_browser", "\"loss=10\"")];
    let bad = Gateway::start(&scene, &settings);
    let page = Page::open(&bad);
    talk(&page, "echo");
    wait_until("packets with redundancy", SOON * 2, || {
        (inbound(&page, "fecPacketsReceived") > 10.0).then_some(())
    });
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
}

#[test]
fn a_browser_that_loses_nothing_is_sent_no_redundancy() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    talk(&page, "echo");
    wait_until("six seconds of audio", SOON * 2, || {
        (inbound(&page, "packetsReceived") > 300.0).then_some(())
    });
    assert_eq!(inbound(&page, "fecPacketsReceived"), 0.0);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
}
