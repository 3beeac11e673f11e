//! Hold, from the browser and from the telephone.

use std::time::Duration;

use serde_json::json;
use sip::Method;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sip_phone::SipPhone;
use switchhook_tests::sipp::Sipp;

use crate::{A_SECOND, LISTEN, SOON, talk};

const PHONE_HZ: f64 = 850.0;

/// What [`RtpPhone`] plays at -10 dBm0, in dB below full scale.
const PHONE_DBFS: f64 = -16.2;

/// What is as good as silence, in dB below full scale.
const SILENT: f64 = -60.0;

/// Waits until the page says this of its call.
#[track_caller]
fn wait_for_words(page: &Page, words: &str) {
    wait_until(words, SOON, || {
        let said = page.eval("document.querySelector('#state').textContent");
        (said == words).then_some(())
    });
}

#[track_caller]
fn press_hold(page: &Page) {
    page.eval("document.querySelector('#hold').click()");
}

/// Asserts that the page hears the phone's tone.
#[track_caller]
fn assert_hears(page: &Page, hz: f64, dbfs: f64) {
    page.listen(Duration::from_millis(500), &[]);
    page.listen(LISTEN, &[hz]).assert_tone(hz, dbfs, 3.0);
}

/// Asserts that the page comes to hear nothing: where it gets little time, what it makes up itself fades slowly.
#[track_caller]
fn assert_hears_nothing(page: &Page) {
    wait_until("silence on the page", SOON, || {
        (page.listen(LISTEN, &[]).level() < SILENT).then_some(())
    });
}

/// Asserts that no audio reaches the phone.
#[track_caller]
fn assert_gets_nothing(rtp: &RtpPhone, page: &Page) {
    page.listen(Duration::from_millis(300), &[]);
    rtp.forget();
    page.listen(LISTEN, &[]);
    let got = rtp.received().audio.len();
    assert!(got < 400, "the phone got {got} samples");
}

#[test]
fn a_page_holds_a_telephone_and_takes_it_back() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::scenario(&scene, "is_held", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "4930123456");
    assert_hears(&page, PHONE_HZ, PHONE_DBFS);
    press_hold(&page);
    wait_for_words(&page, "On hold");
    // This phone plays on, against what it was told.
    assert_hears_nothing(&page);
    assert_gets_nothing(&rtp, &page);
    press_hold(&page);
    wait_for_words(&page, "In call");
    assert_hears(&page, PHONE_HZ, PHONE_DBFS);
    page.hang_up();
    phone.assert_done(SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    let said = phone.messages();
    assert!(said.contains("a=sendonly"), "{said}");
}

#[test]
fn the_lab_phone_falls_silent_while_it_is_held() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[("media.timeout", "\"2s\"")]);
    let page = Page::open(&gateway);
    talk(&page, "tone");
    press_hold(&page);
    wait_for_words(&page, "On hold");
    // Longer than a telephone may be silent that is not held.
    page.listen(Duration::from_secs(3), &[]);
    assert_hears_nothing(&page);
    press_hold(&page);
    wait_for_words(&page, "In call");
    assert_hears(&page, 1004.0, -22.2);
    page.hang_up();
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_telephone_holds_a_page_in_every_spelling() {
    let scene = Scene::begin();
    let gateway = Gateway::start(
        &scene,
        &[
            ("trunk.uri", "\"sip:127.0.0.1:9\""),
            ("users.alice", "{ password = \"al1ce\" }"),
        ],
    );
    let page = Page::open(&gateway);
    page.sign_in("alice", "al1ce");
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    let call = phone.call(gateway.sip, "alice", &[], Some(&rtp));
    page.wait_for("incoming", SOON);
    page.answer();
    let answer = call.expect(200, SOON);
    call.acknowledge(&answer);
    page.wait_for("in_call", SOON);
    type Change = fn(String) -> String;
    let holds: [(Method, Change, &str); 4] = [
        (Method::Invite, |sdp| sdp + "a=sendonly\r\n", "a=recvonly"),
        (Method::Invite, |sdp| sdp + "a=inactive\r\n", "a=inactive"),
        (
            Method::Invite,
            |sdp| sdp.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"),
            "a=recvonly",
        ),
        (Method::Update, |sdp| sdp + "a=sendonly\r\n", "a=recvonly"),
    ];
    for (number, (method, change, expected)) in (2_u32..).step_by(2).zip(holds) {
        let sdp = call.offer(&answer, (method.clone(), number), &rtp, change);
        assert!(sdp.contains(expected), "{sdp}");
        wait_for_words(&page, "The other side holds the call");
        assert_gets_nothing(&rtp, &page);
        let back = |sdp: String| sdp + "a=sendrecv\r\n";
        call.offer(&answer, (method, number + 1), &rtp, back);
        wait_for_words(&page, "In call");
        rtp.forget();
        wait_until("audio at the phone", SOON, || {
            (rtp.received().audio.len() > 4000).then_some(())
        });
    }
    assert_hears(&page, PHONE_HZ, PHONE_DBFS);
    call.hang_up(&answer);
    page.assert_ended("normal", "The call has ended.", A_SECOND);
    assert_eq!(page.eval("switchhook.call.held.there"), json!(false));
}
