//! Calls that are never answered, each with its cause.

use std::time::{Duration, Instant};

use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::Scene;
use switchhook_tests::sipp::Sipp;

use crate::{A_SECOND, SOON};

#[test]
fn a_busy_phone_is_told_as_busy() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    page.dial("busy");
    let state = page.assert_ended("busy", "The number is busy.", SOON);
    assert_eq!(
        (&state["cause"]["sip"], &state["cause"]["q850"]),
        (&486.into(), &17.into())
    );
    let record = gateway.only_record();
    record.assert_ended("busy", "phone");
    assert_eq!(record.number("/cause/sip"), Some(486.0));
}

#[test]
fn a_phone_that_declines_is_told_as_declined() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    page.dial("reject");
    page.assert_ended("rejected", "The call was declined.", SOON);
    let record = gateway.only_record();
    record.assert_ended("rejected", "phone");
    assert_eq!(record.number("/cause/sip"), Some(603.0));
}

#[test]
fn ringing_ends_when_its_time_is_up() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[("calls.ring_timeout", "\"2s\"")]);
    let page = Page::open(&gateway);
    page.dial("noanswer");
    page.wait_for("ringing", SOON);
    page.assert_ended("no_answer", "Nobody answered.", SOON);
    let record = gateway.only_record();
    record.assert_ended("no_answer", "gateway");
    let ended = record.number("/ended_ms").unwrap_or_default();
    assert!((2000.0..3000.0).contains(&ended), "{ended}");
}

#[test]
fn a_caller_who_gives_up_cancels_the_ringing() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "rings", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930123456");
    page.wait_for("ringing", SOON);
    page.hang_up();
    let gave_up = Instant::now();
    page.assert_ended(
        "cancelled",
        "The call was cancelled before it was answered.",
        SOON,
    );
    phone.assert_done(A_SECOND.saturating_sub(gave_up.elapsed()) + Duration::from_millis(500));
    gateway.only_record().assert_ended("cancelled", "browser");
}

#[test]
fn a_trunk_that_is_busy_is_told_as_busy() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "busy", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("+49 (30) 123-456");
    page.assert_ended("busy", "The number is busy.", SOON);
    phone.assert_done(A_SECOND);
    assert!(
        phone
            .messages()
            .contains("INVITE sip:+4930123456@127.0.0.1"),
        "{}",
        phone.messages()
    );
    gateway.only_record().assert_ended("busy", "phone");
}

#[test]
fn a_trunk_that_declines_while_it_rings_is_told_as_declined() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "declines", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("123");
    page.assert_ended("rejected", "The call was declined.", SOON);
    phone.assert_done(A_SECOND);
    gateway.only_record().assert_ended("rejected", "phone");
}

#[test]
fn a_q850_reason_tells_more_than_the_status_it_comes_with() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "busy_by_reason", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("123");
    page.assert_ended("busy", "The number is busy.", SOON);
    phone.assert_done(A_SECOND);
    let record = gateway.only_record();
    record.assert_ended("busy", "phone");
    assert_eq!(
        (record.number("/cause/sip"), record.number("/cause/q850")),
        (Some(480.0), Some(17.0))
    );
}

#[test]
fn a_number_that_is_none_is_told_as_such() {
    let scene = Scene::begin();
    let mut gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    page.dial("4930123456");
    page.assert_ended("not_found", "This number does not exist.", SOON);
    page.dial("sip:bob@198.51.100.7");
    page.wait_for_mark("ended", SOON);
    page.assert_ended(
        "forbidden",
        "This number may not be called from here.",
        SOON,
    );
    let records = gateway.wait_for_records(2);
    assert_eq!(
        (records[0].code(), records[1].code()),
        ("not_found", "forbidden")
    );
    assert!(gateway.stop().is_some_and(|status| status.success()));
}
