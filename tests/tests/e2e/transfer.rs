//! Chromium and telephones: somebody at one end is to speak with somebody else instead.

use std::time::Duration;

use sip::{Method, Request};
use switchhook_tests::baresip::Baresip;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sip_phone::SipPhone;

use crate::{A_SECOND, LISTEN, SOON};

/// The tones that the two telephones play, and how loud.
const FIRST_HZ: f64 = 600.0;
const SECOND_HZ: f64 = 1500.0;
const PHONE_DBFS: f64 = -16.0;

/// What two telephones say.
fn voices() -> [RtpPhone; 2] {
    [FIRST_HZ, SECOND_HZ].map(RtpPhone::start)
}

/// A gateway whose trunk is that telephone.
#[track_caller]
fn gateway(scene: &Scene, phone: &SipPhone) -> Gateway {
    Gateway::start(
        scene,
        &[
            ("trunk.uri", &phone.trunk()),
            (
                "users.alice",
                "{ password = \"al1ce\", numbers = [\"100\"] }",
            ),
            (
                "users.bob",
                "{ password = \"b0b\", display_name = \"Bob\" }",
            ),
        ],
    )
}

/// Alice's page, in a call with the first telephone.
#[track_caller]
fn talking(gateway: &Gateway, phone: &SipPhone, rtp: &RtpPhone) -> (Page, Request) {
    let page = Page::open(gateway);
    page.sign_in("alice", "al1ce");
    page.dial("4930");
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    phone.answer(&invite, from, 200, Some(rtp));
    page.wait_for("in_call", SOON);
    (page, invite)
}

#[track_caller]
fn assert_hears(page: &Page, hz: f64) {
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[hz]).assert_tone(hz, PHONE_DBFS, 3.0);
}

/// Each of two telephones hears the other.
#[track_caller]
fn assert_talk([first, second]: [&RtpPhone; 2]) {
    first.assert_hears(SECOND_HZ, PHONE_DBFS, SOON);
    second.assert_hears(FIRST_HZ, PHONE_DBFS, SOON);
}

/// The status line of the next NOTIFY, which is taken.
#[track_caller]
fn notified(phone: &SipPhone) -> String {
    let (notify, from) = phone.expect(&Method::Notify, A_SECOND);
    phone.answer(&notify, from, 200, None);
    String::from_utf8_lossy(&notify.body).trim().to_owned()
}

#[test]
fn a_telephone_gives_the_browser_to_another() {
    let scene = Scene::begin();
    let (phone, [first, second]) = (SipPhone::start(), voices());
    let gateway = gateway(&scene, &phone);
    let (page, invite) = talking(&gateway, &phone, &first);
    assert_hears(&page, FIRST_HZ);
    let taken = phone.in_dialog(
        &invite,
        gateway.sip,
        "REFER",
        "Refer-To: <sip:4989@127.0.0.1>\r\n",
    );
    assert_eq!(taken, 202);
    assert_eq!(notified(&phone), "SIP/2.0 100 Trying");
    let (invite, from) = phone.expect(&Method::Invite, A_SECOND);
    assert_eq!(invite.uri.user.as_deref(), Some("4989"));
    phone.answer(&invite, from, 180, None);
    assert_eq!(notified(&phone), "SIP/2.0 180 Ringing");
    phone.answer(&invite, from, 200, Some(&second));
    assert_eq!(notified(&phone), "SIP/2.0 200 OK");
    phone.expect_bye(A_SECOND);
    drop(first);
    assert_hears(&page, SECOND_HZ);
    assert_eq!(page.eval("switchhook.call.peer"), "sip:4989@127.0.0.1");
    page.hang_up();
    phone.expect_bye(A_SECOND);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert_eq!(record.text("/transfers/0/by"), "phone");
    assert_eq!(record.text("/transfers/0/done_by"), "gateway");
}

#[test]
fn a_telephone_gives_the_browser_to_another_it_has_spoken_to() {
    let scene = Scene::begin();
    let (phone, [first, second]) = (SipPhone::start(), voices());
    let gateway = gateway(&scene, &phone);
    let (page, invite) = talking(&gateway, &phone, &first);
    let port = phone.port();
    let to = format!(
        "Refer-To: <sip:4989@127.0.0.1:{port}?Replaces=its-call%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\n"
    );
    assert_eq!(phone.in_dialog(&invite, gateway.sip, "REFER", &to), 202);
    let (replacing, from) = phone.expect(&Method::Invite, A_SECOND);
    let replaces = replacing.headers.get("Replaces");
    assert_eq!(replaces, Some("its-call;to-tag=a;from-tag=b"));
    assert_eq!(replacing.headers.get("Require"), Some("replaces"));
    phone.answer(&replacing, from, 200, Some(&second));
    // It hangs up by itself, as soon as it knows.
    while notified(&phone) != "SIP/2.0 200 OK" {}
    phone.expect_bye(A_SECOND);
    drop(first);
    assert_hears(&page, SECOND_HZ);
    page.hang_up();
}

#[test]
fn baresip_calls_the_browser_and_gives_it_to_another() {
    let scene = Scene::begin();
    let (phone, second) = (SipPhone::start(), RtpPhone::start(SECOND_HZ));
    let gateway = gateway(&scene, &phone);
    let page = Page::open(&gateway);
    page.sign_in("alice", "al1ce");
    let baresip = Baresip::commanded(&scene, FIRST_HZ, &format!("sip:alice@{}", gateway.sip));
    page.wait_for("incoming", SOON);
    page.answer();
    page.wait_for("in_call", SOON);
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[FIRST_HZ])
        .assert_tone(FIRST_HZ, -15.0, 3.0);
    baresip.tell("transfer", "sip:4989@127.0.0.1");
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    assert_eq!(invite.uri.user.as_deref(), Some("4989"));
    phone.answer(&invite, from, 200, Some(&second));
    let peer = || (page.eval("switchhook.call.peer") == "sip:4989@127.0.0.1").then_some(());
    wait_until("the other", SOON, peer);
    assert_hears(&page, SECOND_HZ);
    page.hang_up();
    phone.expect_bye(A_SECOND);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert_eq!(record.text("/transfers/0/by"), "phone");
}

#[test]
fn the_browser_gives_its_telephone_away_by_asking_it() {
    let scene = Scene::begin();
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(FIRST_HZ));
    let gateway = gateway(&scene, &phone);
    let (page, invite) = talking(&gateway, &phone, &rtp);
    page.eval("switchhook.transfer('4989')");
    let (refer, from) = phone.expect(&Method::Refer, A_SECOND);
    let to = refer.headers.get("Refer-To").unwrap_or_default().to_owned();
    assert!(to.contains("sip:4989@127.0.0.1"), "{to}");
    phone.answer(&refer, from, 202, None);
    let said = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n\
        Content-Type: message/sipfrag\r\n";
    let told = phone.in_dialog_with(&invite, gateway.sip, "NOTIFY", said, "SIP/2.0 200 OK");
    assert_eq!(told, 200);
    phone.expect_bye(A_SECOND);
    page.assert_ended("transferred", "The call was transferred.", SOON);
    let record = gateway.only_record();
    record.assert_ended("transferred", "browser");
    assert_eq!(record.text("/transfers/0/done_by"), "phone");
}

#[test]
fn the_browser_asks_first_and_then_connects_the_two() {
    let scene = Scene::begin();
    let (phone, [first, second]) = (SipPhone::start(), voices());
    let gateway = gateway(&scene, &phone);
    let (page, _) = talking(&gateway, &phone, &first);
    page.eval("switchhook.ask('4989')");
    // The first is put on hold; the second is called.
    let (hold, from) = phone.expect(&Method::Invite, A_SECOND);
    assert!(String::from_utf8_lossy(&hold.body).contains("a=sendonly"));
    phone.answer(&hold, from, 200, Some(&first));
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    let call_id = invite.headers.call_id().unwrap_or_default().to_owned();
    phone.answer(&invite, from, 200, Some(&second));
    page.wait_for("in_call", SOON);
    assert_hears(&page, SECOND_HZ);
    page.eval("switchhook.connect()");
    let (refer, from) = phone.expect(&Method::Refer, A_SECOND);
    let to = refer.headers.get("Refer-To").unwrap_or_default().to_owned();
    assert!(to.contains("Replaces=") && to.contains(&call_id), "{to}");
    phone.answer(&refer, from, 202, None);
    phone.hang_up_dialog(&hold, gateway.sip);
    phone.hang_up_dialog(&invite, gateway.sip);
    let records = gateway.wait_for_records(2);
    let given = records
        .iter()
        .find(|record| record.0["transfers"] != serde_json::json!([]));
    let given = given.expect("the record of the call that was given away");
    given.assert_ended("transferred", "phone");
    assert_eq!(given.0["transfers"][0]["attended"], true);
}

#[test]
fn nobody_takes_the_call_and_the_browser_takes_it_back() {
    let scene = Scene::begin();
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(FIRST_HZ));
    let gateway = gateway(&scene, &phone);
    let (page, _) = talking(&gateway, &phone, &rtp);
    page.eval("switchhook.ask('4989')");
    let (hold, from) = phone.expect(&Method::Invite, A_SECOND);
    phone.answer(&hold, from, 200, Some(&rtp));
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    phone.answer(&invite, from, 486, None);
    let (resume, from) = phone.expect(&Method::Invite, SOON);
    assert!(!String::from_utf8_lossy(&resume.body).contains("a=sendonly"));
    phone.answer(&resume, from, 200, Some(&rtp));
    page.wait_for("in_call", SOON);
    assert_eq!(page.eval("switchhook.waiting === null"), true);
    assert_hears(&page, FIRST_HZ);
}

#[test]
fn where_the_telephone_will_not_the_gateway_joins_the_two() {
    let scene = Scene::begin();
    let (phone, [first, second]) = (SipPhone::start(), voices());
    let gateway = gateway(&scene, &phone);
    let (page, first_invite) = talking(&gateway, &phone, &first);
    // The call may be transferred before anything was said in it; telephones speak all the same.
    first.speak_as_told(&first_invite.body);
    page.eval("switchhook.transfer('4989')");
    let (refer, from) = phone.expect(&Method::Refer, A_SECOND);
    phone.answer(&refer, from, 603, None);
    let (invite, from) = phone.expect(&Method::Invite, A_SECOND);
    phone.answer(&invite, from, 200, Some(&second));
    page.assert_ended("transferred", "The call was transferred.", SOON);
    // The two talk on; one hangs up, and the other is told.
    assert_talk([&first, &second]);
    phone.hang_up_dialog(&invite, gateway.sip);
    let bye = phone.expect_bye(A_SECOND);
    assert_eq!(bye.headers.call_id(), first_invite.headers.call_id());

    let record = gateway.only_record();
    record.assert_ended("normal", "phone");
    assert_eq!(record.text("/transfers/0/done_by"), "gateway");
}

#[test]
fn where_the_telephone_will_not_the_gateway_joins_the_one_that_was_asked() {
    let scene = Scene::begin();
    let (phone, [first, second]) = (SipPhone::start(), voices());
    let gateway = gateway(&scene, &phone);
    let (page, _) = talking(&gateway, &phone, &first);
    page.eval("switchhook.ask('4989')");
    let (hold, from) = phone.expect(&Method::Invite, A_SECOND);
    phone.answer(&hold, from, 200, Some(&first));
    let (invite, from) = phone.expect(&Method::Invite, SOON);
    phone.answer(&invite, from, 200, Some(&second));
    page.wait_for("in_call", SOON);
    assert_hears(&page, SECOND_HZ);
    page.eval("switchhook.connect()");
    let (refer, from) = phone.expect(&Method::Refer, A_SECOND);
    phone.answer(&refer, from, 405, None);
    // The second goes on in the session that it has with us, and the first is no longer on hold.
    for (before, rtp) in [(&invite, &second), (&hold, &first)] {
        let (change, from) = phone.expect(&Method::Invite, A_SECOND);
        assert_eq!(change.headers.call_id(), before.headers.call_id());
        let [offer, before] = [&change, before].map(|one| String::from_utf8_lossy(&one.body));
        assert!(offer.contains("a=sendrecv"), "{offer}");
        let session = |sdp: &str| {
            let origin = sdp.lines().find(|line| line.starts_with("o="));
            origin
                .and_then(|line| line.split(' ').nth(1))
                .map(str::to_owned)
        };
        assert_eq!(session(&offer), session(&before));
        rtp.speak_as_told(&change.body);
        phone.answer(&change, from, 200, Some(rtp));
    }
    page.assert_ended("transferred", "The call was transferred.", SOON);
    assert_eq!(page.eval("switchhook.waiting === null"), true);
    // The two talk on; one hangs up, and the other is told.
    assert_talk([&first, &second]);
    phone.hang_up_dialog(&invite, gateway.sip);
    let bye = phone.expect_bye(A_SECOND);
    assert_eq!(bye.headers.call_id(), hold.headers.call_id());
    let records = gateway.wait_for_records(2);
    for record in &records {
        assert_eq!(record.text("/transfers/0/done_by"), "gateway");
        assert_eq!(record.0["transfers"][0]["attended"], true);
    }
}

#[test]
fn a_call_that_replaces_the_telephones_is_put_through_to_the_browser() {
    let scene = Scene::begin();
    let (phone, other, [first, second]) = (SipPhone::start(), SipPhone::start(), voices());
    let gateway = gateway(&scene, &phone);
    let (page, invite) = talking(&gateway, &phone, &first);
    let from = invite.headers.from().expect("a From");
    let replaces = format!(
        "{};to-tag={};from-tag=the-phone",
        invite.headers.call_id().unwrap_or_default(),
        from.tag().unwrap_or_default()
    );
    let headers = [("Replaces", replaces.as_str())];
    let call = other.call(gateway.sip, "alice", &headers, Some(&second));
    let answer = call.expect(200, SOON);
    call.acknowledge(&answer);
    phone.expect_bye(A_SECOND);
    drop(first);
    assert_hears(&page, SECOND_HZ);
    let wrong = [("Replaces", "nobody;to-tag=1;from-tag=2")];
    let stray = other.call(gateway.sip, "alice", &wrong, Some(&second));
    stray.expect(481, SOON);
    page.hang_up();
    other.expect_bye(A_SECOND);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
}

#[test]
fn users_see_who_is_there() {
    let scene = Scene::begin();
    let phone = SipPhone::start();
    let gateway = gateway(&scene, &phone);
    let alice = Page::open(&gateway);
    alice.sign_in("alice", "al1ce");
    let seen = |presence: &str| {
        let script = "document.querySelector('#people [data-number=bob]')?.dataset.presence ?? ''";
        wait_until(presence, SOON, || {
            (alice.eval(script) == presence).then_some(())
        });
    };
    seen("offline");
    let bob = alice.another(&gateway);
    bob.sign_in("bob", "b0b");
    seen("online");
    bob.dial("echo");
    bob.wait_for("in_call", SOON);
    seen("in_call");
    bob.hang_up();
    seen("online");
}
