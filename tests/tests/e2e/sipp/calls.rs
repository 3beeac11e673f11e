//! What a telephone does that calls.

use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};

use super::{
    ENDED, PHONE_HZ, answer, assert_hears, called, hang_up, press_hold, wait_for_message,
    wait_for_words,
};
use crate::{A_SECOND, SOON};

#[test]
fn a_hold_of_a_telephone_that_called_comes_again_and_so_does_the_telephones_change() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = called(&scene, "calls_and_collides", &rtp);
    answer(&page);
    press_hold(&page);
    wait_for_words(&page, "On hold");
    wait_for_message(&phone, "CSeq: 3 ACK");
    wait_until("the telephone's hold", SOON, || {
        (page.eval("switchhook.call.held.there") == true).then_some(())
    });
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn a_telephone_that_calls_refreshes_its_session_after_its_interval_was_too_short() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = called(&scene, "calls_with_a_timer", &rtp);
    answer(&page);
    wait_for_message(&phone, "CSeq: 4 ACK");
    assert_hears(&page, PHONE_HZ);
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn a_telephone_that_calls_without_an_offer_answers_ours_in_its_ack() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = called(&scene, "calls_without_an_offer", &rtp);
    answer(&page);
    assert_hears(&page, PHONE_HZ);
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn the_200_comes_again_until_it_is_acknowledged_and_nobody_hangs_up_before() {
    for patient in [true, false] {
        let scene = Scene::begin();
        let rtp = RtpPhone::start(PHONE_HZ);
        let (mut phone, gateway, page) = called(&scene, "acknowledges_late", &rtp);
        page.answer();
        if patient {
            page.wait_for("in_call", SOON);
            wait_for_message(&phone, "CSeq: 1 ACK");
            assert_hears(&page, PHONE_HZ);
        } else {
            wait_for_message(&phone, "SIP/2.0 200");
        }
        page.hang_up();
        phone.assert_done(SOON);
        let answers = phone.messages().matches("SIP/2.0 200 OK").count();
        // Three of ours, and the one to our BYE.
        assert_eq!(answers, 4, "{}", phone.messages());
        gateway.only_record().assert_ended("normal", "browser");
    }
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = called(&scene, "cancels_too_late", &rtp);
    answer(&page);
    page.assert_ended(ENDED.0, ENDED.1, SOON);
    phone.assert_done(A_SECOND);
    gateway.only_record().assert_ended("normal", "phone");
}

#[test]
fn a_telephone_acknowledges_the_ringing_late_and_changes_its_mind_before_it_is_answered() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let name = "calls_and_updates_while_it_rings";
    let (mut phone, gateway, page) = called(&scene, name, &rtp);
    wait_for_message(&phone, "CSeq: 5 PRACK");
    answer(&page);
    assert_hears(&page, PHONE_HZ);
    let rings = phone.messages().matches("SIP/2.0 180").count();
    assert_eq!(rings, 2, "{}", phone.messages());
    hang_up(&page, &mut phone, gateway);
}
