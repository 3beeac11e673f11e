//! Chromium and SIPp: what telephones do that is seldom done, each as the one who is called and, where it makes sense, as
//! the one who calls. A scenario of `tests/sipp/` that ends well has seen every message that it waits for, and no other.

mod called;
mod calls;
mod transfers;
mod trunks;

use std::time::{Duration, Instant};

use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::record::Record;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sipp::Sipp;

use crate::SOON;

/// The tones that the telephones play, and how loud, in dB below full scale.
const PHONE_HZ: f64 = 850.0;
const OTHER_HZ: f64 = 1500.0;
const PHONE_DBFS: f64 = -16.2;

/// How long we listen: these tests ask whom the page hears, and others how well.
const SHORTLY: Duration = Duration::from_millis(800);

const ALICE: (&str, &str) = (
    "users.alice",
    "{ password = \"al1ce\", numbers = [\"100\"] }",
);

/// What the page says of a call that one of the two hung up.
const ENDED: (&str, &str) = ("normal", "The call has ended.");

/// Asserts that the page hears a telephone, soon: what has just begun may be late on a machine that is busy.
#[track_caller]
fn assert_hears(page: &Page, hz: f64) {
    let deadline = Instant::now() + SOON;
    loop {
        let heard = page.listen(SHORTLY, &[hz]);
        match heard.is_tone(hz, PHONE_DBFS, 3.0) {
            Ok(()) => return,
            Err(why) => assert!(Instant::now() < deadline, "{why}: {}", heard.0),
        }
    }
}

/// Waits until the page says this of its call.
#[track_caller]
fn wait_for_words(page: &Page, words: &str) {
    wait_until(words, SOON, || {
        let said = page.eval("document.querySelector('#state').textContent");
        (said == words).then_some(())
    });
}

/// Waits until these words have passed at SIPp.
#[track_caller]
fn wait_for_message(phone: &Sipp, words: &str) {
    wait_until(words, SOON, || {
        phone.messages().contains(words).then_some(())
    });
}

/// What two telephones say.
fn voices() -> [RtpPhone; 2] {
    [PHONE_HZ, OTHER_HZ].map(RtpPhone::start)
}

#[track_caller]
fn press_hold(page: &Page) {
    page.eval("document.querySelector('#hold').click()");
}

/// The page hangs up, the scenario is over, and one call was recorded.
#[track_caller]
fn hang_up(page: &Page, phone: &mut Sipp, gateway: Gateway) -> Record {
    page.hang_up();
    page.assert_ended(ENDED.0, ENDED.1, SOON);
    phone.assert_done(SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    record
}

/// A page that has called SIPp, which is the trunk.
#[track_caller]
fn calling(scene: &Scene, scenario: &str, rtp: &RtpPhone) -> (Sipp, Gateway, Page) {
    calling_two(scene, scenario, [rtp, rtp], 1)
}

/// A page that has called SIPp, which plays two telephones in so many calls.
#[track_caller]
fn calling_two(
    scene: &Scene,
    scenario: &str,
    [rtp, other]: [&RtpPhone; 2],
    calls: u8,
) -> (Sipp, Gateway, Page) {
    let port = other.port().to_string();
    let keywords = [("other_rtp_port", port.as_str())];
    let phone = Sipp::scenario_with(scene, scenario, rtp, calls, &keywords);
    let gateway = Gateway::start(scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930");
    (phone, gateway, page)
}

/// Alice's page at a gateway whose trunk is that one.
#[track_caller]
fn signed_in(scene: &Scene, trunk: &str) -> (Gateway, Page) {
    let gateway = Gateway::start(scene, &[("trunk.uri", trunk), ALICE]);
    let page = Page::open(&gateway);
    page.sign_in("alice", "al1ce");
    (gateway, page)
}

/// Alice's page, which SIPp calls.
#[track_caller]
fn called(scene: &Scene, scenario: &str, rtp: &RtpPhone) -> (Sipp, Gateway, Page) {
    let (gateway, page) = signed_in(scene, "\"sip:127.0.0.1:9\"");
    let phone = Sipp::calls(scene, scenario, "alice", gateway.sip, rtp);
    page.wait_for("incoming", SOON);
    (phone, gateway, page)
}

#[track_caller]
fn answer(page: &Page) {
    page.answer();
    page.wait_for("in_call", SOON);
}
