//! Telephones call users in Chromium.

use std::time::Duration;

use serde_json::json;
use sip::Method;
use switchhook_tests::baresip::Baresip;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::record::Record;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sip_phone::SipPhone;
use switchhook_tests::sipp::Sipp;
use switchhook_tests::sound::{MICROPHONE_DBFS, MICROPHONE_HZ, usual_level_at};

use crate::{A_SECOND, LISTEN, SOON};

const PHONE_HZ: f64 = 850.0;

/// What a second one plays.
const OTHER_HZ: f64 = 1500.0;

/// What [`RtpPhone`] plays at -10 dBm0, in dB below full scale.
const RTP_PHONE_DBFS: f64 = -16.2;

/// What baresip plays.
const BARESIP_DBFS: f64 = -15.05;

/// A gateway with two users, whose trunk is on this machine.
#[track_caller]
fn gateway(scene: &Scene) -> Gateway {
    gateway_with(scene, &[])
}

#[track_caller]
fn gateway_with(scene: &Scene, settings: &[(&str, &str)]) -> Gateway {
    let own = [
        ("trunk.uri", "\"sip:127.0.0.1:9\""),
        (
            "users.alice",
            "{ password = \"al1ce\", display_name = \"Alice\", numbers = [\"+4930123\"] }",
        ),
        ("users.bob", "{ password = \"b0b\" }"),
    ];
    let settings: Vec<_> = own.iter().chain(settings).copied().collect();
    Gateway::start(scene, &settings)
}

#[track_caller]
fn signed_in(gateway: &Gateway) -> Page {
    let page = Page::open(gateway);
    page.sign_in("alice", "al1ce");
    page
}

#[test]
fn a_telephone_calls_a_user_and_both_hear_each_other() {
    let scene = Scene::begin();
    let gateway = gateway(&scene);
    let page = signed_in(&gateway);
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    let call = phone.call(gateway.sip, "4930123", &[], Some(&rtp));
    call.expect(180, SOON);
    let state = page.wait_for("incoming", SOON);
    assert_eq!(state["text"], "The Phone is calling", "{state}");
    page.answer();
    let answer = call.expect(200, SOON);
    call.acknowledge(&answer);
    page.wait_for("in_call", SOON);
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, RTP_PHONE_DBFS, 3.0);
    rtp.forget();
    let heard = wait_until("second of audio at the phone", SOON, || {
        Some(rtp.received().audio).filter(|audio| audio.len() >= 8000)
    });
    let level = usual_level_at(&heard, MICROPHONE_HZ, 8000);
    assert!((level - MICROPHONE_DBFS).abs() < 3.0, "{level} dBFS");
    call.hang_up(&answer);
    page.assert_ended("normal", "The call has ended.", A_SECOND);
    let record = gateway.only_record();
    record.assert_ended("normal", "phone");
    assert_eq!(record.text("/direction"), "inbound");
    assert_eq!(record.text("/user"), "alice");
    assert_eq!(record.text("/from"), "+4930");
    assert_eq!(record.text("/to"), "4930123");
}

/// baresip calls, and both hear each other, before a hold and after it; the record.
#[track_caller]
fn baresip_calls(scene: &Scene, srtp: &str, account: &str, modules: &[&str]) -> Record {
    let gateway = gateway_with(scene, &[("trunk.srtp", srtp)]);
    let page = signed_in(&gateway);
    let uri = format!("sip:alice@{}", gateway.sip);
    let mut phone = Baresip::calling(scene, PHONE_HZ, &uri, account, modules);
    page.wait_for("incoming", SOON);
    page.answer();
    page.wait_for("in_call", SOON);
    for held in [true, false] {
        page.listen(Duration::from_millis(400), &[]);
        page.listen(LISTEN, &[PHONE_HZ])
            .assert_tone(PHONE_HZ, BARESIP_DBFS, 3.0);
        if held {
            page.eval("switchhook.call.hold(true)");
            wait_until("hold", SOON, || {
                (page.eval("switchhook.call.held.here") == true).then_some(())
            });
            page.listen(Duration::from_millis(400), &[]);
            page.eval("switchhook.call.hold(false)");
        }
    }
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    let heard = phone.heard();
    assert!(heard.len() >= 8000, "baresip heard {} samples", heard.len());
    let tone = usual_level_at(&heard[heard.len() - 8000..], MICROPHONE_HZ, 8000);
    assert!((tone - MICROPHONE_DBFS).abs() < 3.0, "{tone} dBFS");
    record
}

#[test]
fn baresip_calls_a_user_who_holds_it_and_hangs_up() {
    let scene = Scene::begin();
    let record = baresip_calls(&scene, "\"off\"", "", &[]);
    assert!(record.0["phone_srtp"].is_null());
}

#[test]
fn baresip_calls_with_keys_in_the_sdp_and_stays_encrypted_through_a_hold() {
    let scene = Scene::begin();
    let record = baresip_calls(&scene, "\"sdes\"", ";mediaenc=srtp-mand", &["srtp.so"]);
    let suite = record.text("/phone_srtp");
    assert!(suite.starts_with("AE"), "{suite}");
}

#[test]
fn all_devices_ring_and_the_ones_that_did_not_answer_are_told() {
    let scene = Scene::begin();
    let gateway = gateway(&scene);
    let first = signed_in(&gateway);
    let second = first.another(&gateway);
    second.sign_in("alice", "al1ce");
    let bystander = first.another(&gateway);
    bystander.sign_in("bob", "b0b");
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    let call = phone.call(gateway.sip, "alice", &[], Some(&rtp));
    first.wait_for("incoming", SOON);
    second.wait_for("incoming", SOON);
    second.answer();
    let answer = call.expect(200, SOON);
    call.acknowledge(&answer);
    second.wait_for("in_call", SOON);
    first.assert_ended(
        "answered_elsewhere",
        "The call was answered elsewhere.",
        SOON,
    );
    assert_eq!(bystander.eval("switchhook.call === null"), json!(true));
    second.hang_up();
    phone.expect_bye(A_SECOND);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn sipp_calls_with_reliable_ringing_and_changes_by_update_re_invite_and_without_an_offer() {
    let scene = Scene::begin();
    let gateway = gateway(&scene);
    let page = signed_in(&gateway);
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phone = Sipp::calls(&scene, "calls_and_changes", "alice", gateway.sip, &rtp);
    page.wait_for("incoming", SOON);
    page.answer();
    page.wait_for("in_call", SOON);
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, RTP_PHONE_DBFS, 3.0);
    let held = |there: bool| {
        wait_until("the telephone's hold", SOON, || {
            (page.eval("switchhook.call.held.there") == there).then_some(())
        });
    };
    held(true);
    held(false);
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, RTP_PHONE_DBFS, 3.0);
    page.assert_ended("normal", "The call has ended.", SOON);
    phone.assert_done(SOON);
    gateway.only_record().assert_ended("normal", "phone");
}

#[test]
fn a_call_that_finds_nobody_goes_on_to_another_number() {
    let scene = Scene::begin();
    let (carrier, phone) = (SipPhone::start(), SipPhone::start());
    let (caller_rtp, other_rtp) = (RtpPhone::start(PHONE_HZ), RtpPhone::start(OTHER_HZ));
    let gateway = Gateway::start(
        &scene,
        &[
            ("trunk.uri", &carrier.trunk()),
            (
                "users.alice",
                "{ password = \"al1ce\", numbers = [\"+4930123\"], forward_unavailable = \"+4977\" }",
            ),
        ],
    );
    let call = phone.call(gateway.sip, "+4930123", &[], Some(&caller_rtp));
    let (invite, from) = carrier.expect(&Method::Invite, SOON);
    assert_eq!(invite.uri.user.as_deref(), Some("+4977"));
    let diversion = invite.headers.get("Diversion").unwrap_or_default();
    assert_eq!(diversion, "<sip:+4930123@127.0.0.1>;reason=unavailable");
    carrier.answer(&invite, from, 180, None);
    call.expect(180, SOON);
    carrier.answer(&invite, from, 200, Some(&other_rtp));
    let answer = call.expect(200, SOON);
    call.acknowledge(&answer);
    caller_rtp.speak_as_told(&answer.body);
    other_rtp.speak_as_told(&invite.body);
    caller_rtp.assert_hears(OTHER_HZ, RTP_PHONE_DBFS, SOON);
    other_rtp.assert_hears(PHONE_HZ, RTP_PHONE_DBFS, SOON);
    call.hang_up(&answer);
    carrier.expect_bye(A_SECOND);
    let record = gateway.only_record();
    record.assert_ended("normal", "phone");
    assert_eq!(record.text("/transfers/0/by"), "gateway");
    assert_eq!(record.text("/transfers/0/to"), "+4977");
}

#[test]
fn a_user_declines_and_a_caller_gives_up() {
    let scene = Scene::begin();
    let gateway = gateway(&scene);
    let page = signed_in(&gateway);
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));

    let call = phone.call(gateway.sip, "alice", &[], Some(&rtp));
    page.wait_for("incoming", SOON);
    page.hang_up();
    call.expect(603, SOON);
    page.assert_ended("rejected", "The call was declined.", SOON);

    let call = phone.call(gateway.sip, "alice", &[], Some(&rtp));
    page.wait_for("incoming", SOON);
    call.cancel();
    call.expect(487, SOON);
    page.assert_ended("cancelled", "The call was cancelled", SOON);

    let records = gateway.wait_for_records(2);
    records[0].assert_ended("rejected", "browser");
    records[1].assert_ended("cancelled", "phone");
}

#[test]
fn a_withheld_number_is_not_shown() {
    let scene = Scene::begin();
    let gateway = gateway(&scene);
    let page = signed_in(&gateway);
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    let headers = [
        ("From", "\"Eve\" <sip:+4930@127.0.0.1>;tag=eve"),
        ("Privacy", "id"),
    ];
    let call = phone.call(gateway.sip, "alice", &headers, Some(&rtp));
    let state = page.wait_for("incoming", SOON);
    assert_eq!(state["text"], "unknown number is calling", "{state}");
    call.cancel();
    call.expect(487, SOON);
    assert!(gateway.only_record().0["from"].is_null());
}

#[test]
fn an_invite_without_an_offer_is_offered_what_it_answers_in_its_ack() {
    let scene = Scene::begin();
    let gateway = gateway(&scene);
    let page = signed_in(&gateway);
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    let call = phone.call(gateway.sip, "alice", &[], None);
    page.wait_for("incoming", SOON);
    page.answer();
    let offer = call.expect(200, SOON);
    assert!(String::from_utf8_lossy(&offer.body).contains("m=audio"));
    call.acknowledge_with(&offer, &rtp);
    page.wait_for("in_call", SOON);
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, RTP_PHONE_DBFS, 3.0);
    call.hang_up(&offer);
    page.assert_ended("normal", "The call has ended.", A_SECOND);
}

#[test]
fn a_telephone_that_wants_our_offer_answers_it_by_dtls() {
    let scene = Scene::begin();
    let gateway = gateway_with(&scene, &[("trunk.srtp", "\"dtls\"")]);
    let page = signed_in(&gateway);
    let phone = SipPhone::start();
    let call = phone.call(gateway.sip, "alice", &[], None);
    page.wait_for("incoming", SOON);
    page.answer();
    let offer = call.expect(200, SOON);
    let text = String::from_utf8_lossy(&offer.body).into_owned();
    let rtp = RtpPhone::start_dtls(PHONE_HZ, &text, false);
    call.acknowledge_with(&offer, &rtp);
    page.wait_for("in_call", SOON);
    page.listen(Duration::from_millis(800), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, RTP_PHONE_DBFS, 3.0);
    call.hang_up(&offer);
    page.assert_ended("normal", "The call has ended.", A_SECOND);
    let record = gateway.only_record();
    assert!(!record.text("/phone_srtp").is_empty());
}

#[test]
fn who_cannot_be_reached_is_told_apart_from_who_does_not_exist() {
    let scene = Scene::begin();
    let table = scene.file("calls.csv");
    let csv = format!("{:?}", table.to_string_lossy());
    let gateway = gateway_with(&scene, &[("records.csv", &csv)]);
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    phone
        .call(gateway.sip, "carol", &[], Some(&rtp))
        .expect(404, SOON);
    phone
        .call(gateway.sip, "bob", &[], Some(&rtp))
        .expect(480, SOON);
    let records = gateway.wait_for_records(2);
    records[0].assert_ended("not_found", "gateway");
    records[1].assert_ended("unavailable", "gateway");
    let rows = wait_until("rows", SOON, || {
        let text = std::fs::read_to_string(&table).unwrap_or_default();
        (text.lines().count() == 3).then_some(text)
    });
    let rows: Vec<&str> = rows.lines().collect();
    assert!(rows[0].starts_with("id,direction,session,user,from,to,"));
    assert!(rows[1].contains(",inbound,,,+4930,carol,") && rows[1].contains(",not_found,"));
    assert!(rows[2].contains(",inbound,,bob,+4930,bob,") && rows[2].contains(",unavailable,"));
}

#[test]
fn a_stranger_learns_nothing_whatever_number_he_calls() {
    let scene = Scene::begin();
    let gateway = Gateway::start(
        &scene,
        &[
            ("trunk.uri", "\"sip:192.0.2.1\""),
            ("users.alice", "{ password = \"al1ce\" }"),
        ],
    );
    let page = signed_in(&gateway);
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    let answers = ["alice", "carol"].map(|number| {
        let call = phone.call(gateway.sip, number, &[], Some(&rtp));
        let response = call.expect(403, SOON);
        (response.status, response.reason)
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(page.eval("switchhook.call === null"), json!(true));
    assert!(gateway.records().is_empty());
}

#[test]
fn nobody_calls_before_he_has_signed_in_and_a_wrong_password_is_told() {
    let scene = Scene::begin();
    let gateway = gateway(&scene);
    let page = Page::open(&gateway);
    page.dial("echo");
    page.assert_ended("unauthorized", "The gateway could not take the call", SOON);
    page.eval("switchhook.signIn('alice', 'wrong')");
    wait_until("refusal", SOON, || {
        let notice = page.eval("document.querySelector('#notice').textContent");
        let text = notice.as_str().unwrap_or_default();
        text.contains("the user name or the password is wrong")
            .then_some(())
    });
    page.sign_in("alice", "al1ce");
    page.dial("echo");
    page.wait_for("in_call", SOON);
    page.hang_up();
    let record = gateway.only_record();
    assert_eq!(record.text("/user"), "alice");
    assert_eq!(record.text("/from"), "+4930123");
}

const SECRET: &str = "a secret of these end-to-end tests";

/// A token that lives for a minute.
fn token(claims: serde_json::Value) -> String {
    let mut claims = claims;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock");
    claims["exp"] = (now.as_secs() + 60).into();
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
}

#[test]
fn a_token_signs_in_and_bounds_what_its_owner_does() {
    let scene = Scene::begin();
    let secret = format!("{SECRET:?}");
    let gateway = Gateway::start(
        &scene,
        &[
            ("trunk.uri", "\"sip:127.0.0.1:9\""),
            ("sign_in.token_secret", &secret),
        ],
    );
    let page = Page::open(&gateway);
    let good = token(json!({
        "sub": "carol", "numbers": ["+4977"], "dial": ["+49*"], "max_calls": 1,
    }));
    page.eval(&format!("switchhook.client.signIn({{ token: {good:?} }})"));
    wait_until("sign-in", SOON, || {
        let signed_in = page.eval("switchhook.client.user?.user ?? null");
        (signed_in == "carol").then_some(())
    });
    page.dial("+1900");
    page.assert_ended("forbidden", "This number may not be called", SOON);

    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(PHONE_HZ));
    let call = phone.call(gateway.sip, "+4977", &[], Some(&rtp));
    page.wait_for("incoming", SOON);
    page.answer();
    let answer = call.expect(200, SOON);
    call.acknowledge(&answer);
    page.wait_for("in_call", SOON);
    phone
        .call(gateway.sip, "+4977", &[], Some(&rtp))
        .expect(486, SOON);
    call.hang_up(&answer);
    page.assert_ended("normal", "The call has ended.", SOON);

    let forged = good[..good.len() - 4].to_owned() + "AAAA";
    let stranger = page.another(&gateway);
    stranger.eval(&format!(
        "switchhook.client.signIn({{ token: {forged:?} }})"
    ));
    wait_until("refusal", SOON, || {
        let notice = stranger.eval("document.querySelector('#notice').textContent");
        let text = notice.as_str().unwrap_or_default();
        text.contains("its signature is wrong").then_some(())
    });
}

#[test]
fn a_user_calls_another_by_name_and_opus_passes_through() {
    let scene = Scene::begin();
    // Known by another address outside, which leads nowhere from here.
    let gateway = gateway_with(&scene, &[("sip.external_address", "\"192.0.2.1\"")]);
    let alice = signed_in(&gateway);
    let bob = alice.another(&gateway);
    bob.sign_in("bob", "b0b");
    alice.dial("bob");
    let state = bob.wait_for("incoming", SOON);
    assert_eq!(state["text"], "Alice is calling", "{state}");
    alice.wait_for("ringing", SOON);
    bob.answer();
    alice.wait_for("in_call", SOON);
    bob.wait_for("in_call", SOON);
    for page in [&alice, &bob] {
        page.listen(Duration::from_millis(400), &[]);
        page.listen(LISTEN, &[MICROPHONE_HZ])
            .assert_tone(MICROPHONE_HZ, MICROPHONE_DBFS, 3.0);
    }
    bob.eval("switchhook.call.hold(true)");
    wait_until("hold at the other side", SOON, || {
        (alice.eval("switchhook.call.held.there") == true).then_some(())
    });
    bob.hang_up();
    alice.assert_ended("normal", "The call has ended.", SOON);
    let records = gateway.wait_for_records(2);
    for record in &records {
        assert_eq!(record.text("/phone_codec"), "opus");
        assert_eq!(record.text("/browser_codec"), "opus");
        assert_eq!(record.text("/to"), "bob");
    }
    alice.dial("alice");
    alice.assert_ended("busy", "The number is busy", SOON);
}
