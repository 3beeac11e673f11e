//! Calls that something else ends than a person who hangs up.

use std::time::{Duration, Instant};

use serde_json::json;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sipp::Sipp;

use crate::{A_SECOND, SOON, assert_hears_itself, talk};

/// What the machine may take besides.
const GRACE: Duration = Duration::from_millis(500);

#[test]
fn sigterm_ends_the_calls_on_both_sides_and_the_program_with_success() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let mut gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    gateway.terminate();
    let told = Instant::now();
    phone.assert_done(A_SECOND + GRACE);
    assert!(
        told.elapsed() < A_SECOND + GRACE,
        "the phone was told after {:?}",
        told.elapsed()
    );
    page.assert_ended("shutting_down", "The gateway is shutting down.", SOON);
    let status = gateway.wait_for_exit();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    let records = gateway.records();
    assert_eq!(records.len(), 1);
    records[0].assert_ended("shutting_down", "gateway");
}

#[test]
fn a_gateway_that_goes_down_refuses_new_calls_with_the_reason() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    // It does not confirm its end for 1.5 s, and so the gateway is going down for a while.
    let phone = Sipp::scenario(&scene, "answers_byes_late", &rtp);
    let mut gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    let other = page.another(&gateway);
    talk(&page, "4930123456");
    gateway.terminate();
    wait_until("BYE at the phone", A_SECOND + GRACE, || {
        phone.messages().contains("BYE sip:").then_some(())
    });
    other.dial("echo");
    other.assert_ended("shutting_down", "The gateway is shutting down.", SOON);
    page.assert_ended("shutting_down", "The gateway is shutting down.", SOON);
    let status = gateway.wait_for_exit();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    let records = gateway.records();
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(
        records
            .iter()
            .all(|record| record.code() == "shutting_down"),
        "{records:?}"
    );
}

#[test]
fn a_phone_without_audio_ends_the_call() {
    let scene = Scene::begin();
    let mut phone = Sipp::uas(&scene, false);
    let gateway = Gateway::start(
        &scene,
        &[("trunk.uri", &phone.trunk()), ("media.timeout", "\"2s\"")],
    );
    let page = Page::open(&gateway);
    talk(&page, "123");
    page.assert_ended(
        "media_timeout",
        "The call was ended because no audio arrived from the other side.",
        SOON,
    );
    wait_until("BYE at the phone", A_SECOND, || {
        phone.messages().contains("BYE sip:").then_some(())
    });
    phone.assert_done(SOON);
    let record = gateway.only_record();
    record.assert_ended("media_timeout", "gateway");
    assert!(
        record
            .number("/talk_ms")
            .is_some_and(|ms| (2000.0..4000.0).contains(&ms)),
        "{}",
        record.story()
    );
}

#[test]
fn a_browser_that_crashes_ends_the_phones_call() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "123");
    page.wait_for_mark("media_connected", SOON);
    page.kill();
    phone.assert_done(A_SECOND + GRACE);
    gateway
        .only_record()
        .assert_ended("browser_gone", "browser");
}

#[test]
fn a_page_that_is_closed_ends_the_phones_call() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "123");
    page.wait_for_mark("media_connected", SOON);
    drop(page);
    phone.assert_done(A_SECOND + GRACE);
    let record = gateway.only_record();
    // A page may say goodbye, or be gone before it can.
    assert!(
        matches!(record.code(), "browser_gone" | "normal"),
        "{}",
        record.words()
    );
    record.assert_ended(record.code(), "browser");
}

#[test]
fn a_call_reaches_its_greatest_length() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[("calls.max_duration", "\"3s\"")]);
    let page = Page::open(&gateway);
    talk(&page, "echo");
    assert_hears_itself(&page);
    page.assert_ended(
        "too_long",
        "The call reached its greatest permitted length.",
        SOON,
    );
    gateway.only_record().assert_ended("too_long", "gateway");
}

#[test]
fn calls_beyond_the_most_are_refused_and_the_others_go_on() {
    let scene = Scene::begin();
    let mut gateway = Gateway::start(&scene, &[("calls.max", "1")]);
    let page = Page::open(&gateway);
    let other = page.another(&gateway);
    talk(&page, "echo");
    other.dial("echo");
    other.assert_ended("overloaded", "Too many calls at the moment", SOON);
    assert_hears_itself(&page);
    assert_eq!(page.ask("state", json!({}))["state"], "in_call");
    page.hang_up();
    let records = gateway.wait_for_records(2);
    assert_eq!(
        (records[0].code(), records[1].code()),
        ("overloaded", "normal")
    );
    assert!(gateway.stop().is_some_and(|status| status.success()));
}
