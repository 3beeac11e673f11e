//! Chromium and telephones of several trunks: which is called, and what happens when one does not answer.

use sip::Method;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::name_server::NameServer;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sip_phone::SipPhone;

use crate::{A_SECOND, SOON};

/// The tone that the telephones play.
const PHONE_HZ: f64 = 600.0;

/// A gateway with two trunks, the first of which is tried first, with these settings too.
#[track_caller]
fn gateway(scene: &Scene, first: &SipPhone, second: &SipPhone, more: &str) -> Gateway {
    let second = format!("{{ uri = {}, priority = 20 }}", second.trunk());
    let first = format!("{{ uri = {}{more} }}", first.trunk());
    Gateway::start(
        scene,
        &[("trunks.first", &first), ("trunks.second", &second)],
    )
}

/// Answers the INVITE of a call, hangs up on the page, and says which trunk the record names.
#[track_caller]
fn answer_and_end(page: &Page, gateway: Gateway, phone: &SipPhone) -> String {
    let rtp = RtpPhone::start(PHONE_HZ);
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    phone.answer(&invite, from, 200, Some(&rtp));
    page.wait_for("in_call", SOON);
    page.hang_up();
    phone.expect_bye(A_SECOND);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    record.text("/trunk").to_owned()
}

#[test]
fn a_trunk_that_does_not_answer_is_left_for_the_next_within_four_seconds() {
    let scene = Scene::begin();
    let (silent, phone) = (SipPhone::start(), SipPhone::start());
    let gateway = gateway(&scene, &silent, &phone, "");
    let page = Page::open(&gateway);
    page.dial("4930");
    silent.expect(&Method::Invite, SOON);
    let trunk = answer_and_end(&page, gateway, &phone);
    assert_eq!(trunk, "second");
    let marks = &page.wait_for("ended", SOON)["marks"];
    let mark = |name: &str| {
        marks[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {marks}"))
    };
    let waited = mark("accepted") - mark("offer_sent");
    assert!((2900.0..4000.0).contains(&waited), "{waited} ms");
}

#[test]
fn an_answer_that_comes_too_late_is_acknowledged_and_its_call_ended() {
    let scene = Scene::begin();
    let (slow, phone) = (SipPhone::start(), SipPhone::start());
    let gateway = gateway(&scene, &slow, &phone, "");
    let page = Page::open(&gateway);
    page.dial("4930");
    let (late, late_from) = slow.expect(&Method::Invite, SOON);
    let rtp = RtpPhone::start(PHONE_HZ);
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    phone.answer(&invite, from, 200, Some(&rtp));
    page.wait_for("in_call", SOON);
    slow.answer(&late, late_from, 200, Some(&rtp));
    slow.expect(&Method::Ack, A_SECOND);
    slow.expect_bye(A_SECOND);
    assert_eq!(page.wait_for("in_call", A_SECOND)["state"], "in_call");
    page.hang_up();
    phone.expect_bye(A_SECOND);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_trunk_that_cannot_serve_is_left_for_the_next_at_once() {
    let scene = Scene::begin();
    let (full, phone) = (SipPhone::start(), SipPhone::start());
    let gateway = gateway(&scene, &full, &phone, "");
    let page = Page::open(&gateway);
    page.dial("4930");
    let (invite, from) = full.expect(&Method::Invite, SOON);
    full.answer(&invite, from, 503, None);
    full.expect(&Method::Ack, A_SECOND);
    assert_eq!(answer_and_end(&page, gateway, &phone), "second");
}

#[test]
fn a_trunk_that_is_asked_and_does_not_answer_costs_no_call_any_time() {
    let scene = Scene::begin();
    let (gone, phone) = (SipPhone::start(), SipPhone::start());
    let probed = ", probe_interval = \"5s\"";
    let gateway = gateway(&scene, &gone, &phone, probed);
    let (options, _) = gone.expect(&Method::Options, SOON);
    assert_eq!(options.uri.user, None);
    let log = scene.file("gateway.log");
    wait_until("word of the trunk", SOON, || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("the trunk fails").then_some(())
    });
    let page = Page::open(&gateway);
    page.dial("4930");
    let (invite, from) = phone.expect(&Method::Invite, A_SECOND);
    phone.answer(&invite, from, 486, None);
    page.wait_for("ended", SOON);
    // It rests for ten seconds, or until it answers: the first ones were given up.
    while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("the trunk is back")) {
        let (options, from) = gone.expect(&Method::Options, SOON);
        gone.answer(&options, from, 200, None);
    }
    page.dial("4930");
    gone.expect(&Method::Invite, A_SECOND);
}

#[test]
fn the_second_of_two_srv_records_is_tried_when_the_first_does_not_answer() {
    let scene = Scene::begin();
    let (silent, phone) = (SipPhone::start(), SipPhone::start());
    let names = NameServer::start(&[(1, silent.port()), (2, phone.port())]);
    let gateway = Gateway::start(
        &scene,
        &[
            ("trunk.uri", "\"sip:carrier.example\""),
            ("sip.dns_servers", &format!("[{:?}]", names.address())),
        ],
    );
    let page = Page::open(&gateway);
    page.dial("4930");
    silent.expect(&Method::Invite, SOON);
    let rtp = RtpPhone::start(PHONE_HZ);
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    assert_eq!(invite.uri.to_string(), "sip:4930@carrier.example");
    phone.answer(&invite, from, 200, Some(&rtp));
    page.wait_for("in_call", SOON);
    // Whoever SRV leads to is the trunk, and may call.
    let call = phone.call(gateway.sip, "nobody", &[], Some(&rtp));
    call.expect(404, SOON);
}

#[test]
fn a_redirection_within_the_trunk_is_followed() {
    let scene = Scene::begin();
    let (first, second) = (SipPhone::start(), SipPhone::start());
    let gateway = gateway(&scene, &first, &second, "");
    let page = Page::open(&gateway);
    page.dial("4930");
    let (invite, from) = first.expect(&Method::Invite, SOON);
    first.redirect(&invite, from, "<sip:4989@127.0.0.1>");
    let rtp = RtpPhone::start(PHONE_HZ);
    let (invite, from) = first.expect(&Method::Invite, A_SECOND);
    assert_eq!(invite.uri.user.as_deref(), Some("4989"));
    first.answer(&invite, from, 200, Some(&rtp));
    page.wait_for("in_call", SOON);
}
