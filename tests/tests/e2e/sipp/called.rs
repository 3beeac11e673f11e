//! What a telephone does that is called.

use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::Scene;

use super::{
    OTHER_HZ, PHONE_HZ, assert_hears, calling, calling_two, hang_up, press_hold, voices,
    wait_for_message, wait_for_words,
};
use crate::SOON;

#[test]
fn ringing_is_acknowledged_where_it_wants_to_be_and_the_answer_in_it_counts() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = calling(&scene, "rings_reliably", &rtp);
    page.wait_for("early", SOON);
    assert_hears(&page, PHONE_HZ);
    page.wait_for("in_call", SOON);
    assert_hears(&page, PHONE_HZ);
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn one_that_rings_may_let_another_be_heard_instead() {
    let scene = Scene::begin();
    let [rtp, other] = voices();
    let scenario = "changes_while_it_rings";
    let (mut phone, gateway, page) = calling_two(&scene, scenario, [&rtp, &other], 1);
    page.wait_for("early", SOON);
    assert_hears(&page, PHONE_HZ);
    assert_hears(&page, OTHER_HZ);
    page.wait_for("in_call", SOON);
    assert_hears(&page, OTHER_HZ);
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn of_two_telephones_that_ring_the_one_that_answers_is_heard() {
    let scene = Scene::begin();
    let [rtp, other] = voices();
    let scenario = "rings_at_two_places";
    let (mut phone, gateway, page) = calling_two(&scene, scenario, [&rtp, &other], 1);
    page.wait_for("early", SOON);
    assert_hears(&page, PHONE_HZ);
    page.wait_for("in_call", SOON);
    assert_hears(&page, OTHER_HZ);
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up_on() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = calling(&scene, "answers_as_it_is_cancelled", &rtp);
    page.wait_for("ringing", SOON);
    page.hang_up();
    let words = "The call was cancelled before it was answered.";
    page.assert_ended("cancelled", words, SOON);
    phone.assert_done(SOON);
    gateway.only_record().assert_ended("cancelled", "browser");
}

#[test]
fn a_hold_that_meets_a_change_of_the_telephones_comes_again() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = calling(&scene, "collides", &rtp);
    page.wait_for("in_call", SOON);
    press_hold(&page);
    wait_for_words(&page, "On hold");
    wait_for_message(&phone, "CSeq: 2 ACK");
    assert_eq!(page.eval("switchhook.call.held.there"), false);
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn a_session_is_refreshed_by_either_side_and_no_interval_is_too_short() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = calling(&scene, "refreshes", &rtp);
    page.wait_for("in_call", SOON);
    wait_for_message(&phone, "CSeq: 4 ACK");
    assert_hears(&page, PHONE_HZ);
    press_hold(&page);
    wait_for_words(&page, "On hold");
    wait_for_message(&phone, "Session-Expires: 3600;refresher=uac");
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn a_telephone_that_was_called_changes_the_call_by_update_and_without_an_offer() {
    let scene = Scene::begin();
    let [rtp, other] = voices();
    let scenario = "changes_the_call";
    let (mut phone, gateway, page) = calling_two(&scene, scenario, [&rtp, &other], 1);
    wait_for_words(&page, "The other side holds the call");
    wait_for_words(&page, "In call");
    wait_for_message(&phone, "CSeq: 3 ACK");
    assert_hears(&page, OTHER_HZ);
    hang_up(&page, &mut phone, gateway);
}
