//! Chromium and SIPp: what telephones do that is seldom done, each as the one who is called and, where it makes sense, as
//! the one who calls. A scenario of `tests/sipp/` that ends well has seen every message that it waits for, and no other.

use std::time::Duration;

use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::record::Record;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sipp::Sipp;

use crate::{A_SECOND, SOON};

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

#[track_caller]
fn assert_hears(page: &Page, hz: f64) {
    page.listen(Duration::from_millis(400), &[]);
    page.listen(SHORTLY, &[hz]).assert_tone(hz, PHONE_DBFS, 3.0);
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
    let phone = Sipp::scenario(scene, scenario, rtp);
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

/// One gateway with a trunk for each of these telephones: numbers that begin with 491 go by the first, and so on.
#[track_caller]
fn trunks(scene: &Scene, phones: &[Sipp], account: &str) -> Gateway {
    let trunk = |(row, phone): (usize, &Sipp)| {
        let uri = phone.trunk();
        let trunk = format!("{{ uri = {uri}, numbers = [\"49{row}*\"]{account} }}");
        (format!("trunks.row{row}"), trunk)
    };
    let settings: Vec<_> = (1..).zip(phones).map(trunk).collect();
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Gateway::start(scene, &settings)
}

/// Calls the telephone of each row, hangs up where it answers, and asserts that the call ends so, and leaves one record.
#[track_caller]
fn call_each(gateway: &Gateway, phones: &mut [Sipp], ends: &[(&str, &str)]) {
    let page = Page::open(gateway);
    for (row, (phone, (code, words))) in (1..).zip(phones.iter_mut().zip(ends)) {
        page.dial(&format!("49{row}0"));
        if *code == ENDED.0 {
            page.wait_for("in_call", SOON);
            page.hang_up();
        }
        page.wait_for_mark("ended", SOON);
        page.assert_ended(code, words, SOON);
        phone.assert_done(SOON);
        let records = gateway.wait_for_records(row);
        assert_eq!(records.len(), row, "one call leaves one record");
        let record = &records[row - 1];
        assert_eq!(record.code(), *code, "{}", record.story());
    }
}

#[test]
fn redirections_are_followed_within_the_trunk_and_not_for_ever() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let forbidden = ("forbidden", "This number may not be called from here.");
    let words = "The telephone network reported a fault: it was redirected too often";
    let too_often = ("trunk_error", words);
    // Where to, the calls that come of it, and how the last one ends.
    let rows = [
        ("<sip:4919@127.0.0.1>", 2, ENDED),
        (
            "<sip:4929@192.0.2.7>;q=0.9, <sip:4929@127.0.0.1>;q=0.1",
            2,
            ENDED,
        ),
        ("<sip:4939@192.0.2.7>", 1, forbidden),
        ("<sip:4948@127.0.0.1>", 6, too_often),
    ];
    let phone = |(row, (contact, calls, _)): (usize, &(&str, u8, _))| {
        let elsewhere = format!("49{row}9");
        let keywords = [("contact", *contact), ("elsewhere", elsewhere.as_str())];
        Sipp::scenario_with(&scene, "redirects", &rtp, *calls, &keywords)
    };
    let mut phones: Vec<_> = (1..).zip(&rows).map(phone).collect();
    let gateway = trunks(&scene, &phones, "");
    call_each(&gateway, &mut phones, &rows.map(|(.., end)| end));
}

#[test]
fn calls_say_whose_they_are_in_every_way_that_a_trunk_may_ask_for() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (server, proxy) = ("asks_who_calls", "asks_who_calls_as_a_proxy");
    // Who asks, what else is in the challenge, and what is in the answer.
    let counted = ", nc=00000001, cnonce=\"";
    let rows: [(&str, &str, &[&str]); 6] = [
        (
            server,
            ", algorithm=MD5, qop=\"auth\"",
            &[", algorithm=MD5,", ", qop=auth,", counted],
        ),
        (server, "", &[]),
        (proxy, ", qop=\"auth-int,auth\"", &[", qop=auth,", counted]),
        (
            server,
            ", algorithm=SHA-256, qop=\"auth\"",
            &[", algorithm=SHA-256,", ", qop=auth,", counted],
        ),
        (
            proxy,
            ", algorithm=SHA-512-256, qop=\"auth\"",
            &[", algorithm=SHA-512-256,", ", qop=auth,", counted],
        ),
        (
            server,
            ", algorithm=SHA-256-sess, qop=\"auth-int\"",
            &[", algorithm=SHA-256-sess,", ", qop=auth-int,", counted],
        ),
    ];
    let hash = |params: &str| if params.contains("SHA") { "SHA" } else { "MD5" };
    let phone = |(scenario, params, _): &(&str, &str, _)| {
        let keywords = [("hash", hash(params)), ("params", *params)];
        Sipp::scenario_with(&scene, scenario, &rtp, 1, &keywords)
    };
    let mut phones: Vec<_> = rows.iter().map(phone).collect();
    let account = ", username = \"4930\", password = \"secret\", realm = \"carrier\"";
    let gateway = trunks(&scene, &phones, account);
    call_each(&gateway, &mut phones, &[ENDED; 6]);
    for (phone, (_, params, expected)) in phones.iter().zip(rows) {
        let said = phone.messages();
        let answers: Vec<_> = said
            .lines()
            .filter(|line| line.contains("uthorization: Digest "))
            .collect();
        assert_eq!(answers.len(), 2, "{said}");
        for answer in answers {
            let response = answer.split(" response=\"").nth(1).unwrap_or_default();
            let digits = response.split('"').next().unwrap_or_default();
            assert_eq!(
                digits.len(),
                if hash(params) == "MD5" { 32 } else { 64 },
                "{answer}"
            );
            for part in expected {
                assert!(answer.contains(part), "no {part} in {answer}");
            }
            assert_eq!(answer.contains("qop="), params.contains("qop="), "{answer}");
        }
    }
}

#[test]
fn credentials_are_for_their_realm_and_never_in_clear() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let rows = [
        (
            "Digest realm=\"elsewhere\", nonce=\"1\", algorithm=MD5",
            "it names realm",
        ),
        (
            "Digest realm=\"carrier\", nonce=\"1\", algorithm=SHA3-256",
            "it asks for Digest with algorithm SHA3-256",
        ),
        ("Basic realm=\"carrier\"", "not by Digest"),
    ];
    let phone = |(challenge, _): &(&str, _)| {
        let keywords = [("challenge", *challenge)];
        Sipp::scenario_with(&scene, "asks_for_what_it_is_not_told", &rtp, 1, &keywords)
    };
    let mut phones: Vec<_> = rows.iter().map(phone).collect();
    let account = ", username = \"4930\", password = \"secret\", realm = \"carrier\"";
    let gateway = trunks(&scene, &phones, account);
    let words = "The telephone network reported a fault";
    call_each(&gateway, &mut phones, &[("trunk_error", words); 3]);
    for (phone, (record, (_, why))) in phones.iter().zip(gateway.records().iter().zip(rows)) {
        assert!(!phone.messages().contains("uthorization:"));
        assert!(record.words().contains(why), "{}", record.words());
    }
}

#[test]
fn ringing_is_acknowledged_where_it_wants_to_be_and_the_answer_in_it_counts() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let (mut phone, gateway, page) = calling(&scene, "rings_reliably", &rtp);
    page.wait_for("early", SOON);
    page.listen(SHORTLY, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 3.0);
    page.wait_for("in_call", SOON);
    assert_hears(&page, PHONE_HZ);
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
fn a_telephone_that_was_called_changes_the_call_by_update_and_without_an_offer() {
    let scene = Scene::begin();
    let (rtp, other) = (RtpPhone::start(PHONE_HZ), RtpPhone::start(OTHER_HZ));
    let port = other.port().to_string();
    let keywords = [("other_rtp_port", port.as_str())];
    let mut phone = Sipp::scenario_with(&scene, "changes_the_call", &rtp, 1, &keywords);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930");
    page.wait_for("in_call", SOON);
    assert_hears(&page, PHONE_HZ);
    wait_for_words(&page, "The other side holds the call");
    wait_for_words(&page, "In call");
    wait_for_message(&phone, "CSeq: 3 ACK");
    assert_hears(&page, OTHER_HZ);
    hang_up(&page, &mut phone, gateway);
}

#[test]
fn a_telephone_gives_the_call_to_another_that_is_behind_the_same_trunk() {
    let scene = Scene::begin();
    let (rtp, other) = (RtpPhone::start(PHONE_HZ), RtpPhone::start(OTHER_HZ));
    let port = other.port().to_string();
    let keywords = [("other_rtp_port", port.as_str())];
    let mut phone = Sipp::scenario_with(&scene, "gives_the_call_away", &rtp, 2, &keywords);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930");
    wait_until("the other", SOON, || {
        let peer = page.eval("switchhook.call.peer");
        peer.as_str()?.starts_with("sip:4989@").then_some(())
    });
    drop(rtp);
    assert_hears(&page, OTHER_HZ);
    let record = hang_up(&page, &mut phone, gateway);
    assert_eq!(record.text("/transfers/0/by"), "phone");
    assert_eq!(record.0["transfers"][0]["attended"], true);
    assert!(record.0["transfers"][0]["failure"].is_null());
}

#[test]
fn a_telephone_that_called_gives_the_call_to_another() {
    let scene = Scene::begin();
    let (rtp, other) = (RtpPhone::start(PHONE_HZ), RtpPhone::start(OTHER_HZ));
    let port = other.port().to_string();
    let keywords = [("other_rtp_port", port.as_str())];
    let mut taker = Sipp::scenario_with(&scene, "takes_a_call_over", &rtp, 1, &keywords);
    let (gateway, page) = signed_in(&scene, &taker.trunk());
    let port = taker.port().to_string();
    let keywords = [("trunk_port", port.as_str())];
    let giver = "calls_and_gives_the_call_away";
    let mut giver = Sipp::calls_with(&scene, giver, "alice", gateway.sip, &rtp, &keywords);
    page.wait_for("incoming", SOON);
    answer(&page);
    giver.assert_done(SOON);
    drop(rtp);
    assert_hears(&page, OTHER_HZ);
    let record = hang_up(&page, &mut taker, gateway);
    assert_eq!(record.text("/transfers/0/by"), "phone");
    assert_eq!(record.0["transfers"][0]["attended"], true);
}

#[test]
fn a_telephone_is_asked_to_speak_with_the_one_that_the_page_has_asked() {
    let scene = Scene::begin();
    let (rtp, other) = (RtpPhone::start(PHONE_HZ), RtpPhone::start(OTHER_HZ));
    let port = other.port().to_string();
    let keywords = [("other_rtp_port", port.as_str())];
    let name = "is_asked_to_give_the_call_away";
    let mut phone = Sipp::scenario_with(&scene, name, &rtp, 2, &keywords);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    page.dial("4930");
    page.wait_for("in_call", SOON);
    page.eval("switchhook.ask('4989')");
    wait_until("the other", SOON, || {
        (page.eval("switchhook.call.peer") == "4989").then_some(())
    });
    page.wait_for("in_call", SOON);
    assert_hears(&page, OTHER_HZ);
    page.eval("switchhook.connect()");
    phone.assert_done(SOON);
    let records = gateway.wait_for_records(2);
    let codes: Vec<_> = records.iter().map(Record::code).collect();
    assert_eq!(codes, ["transferred", "normal"]);
    assert_eq!(records[0].text("/transfers/0/done_by"), "phone");
}

#[test]
fn an_invite_takes_the_place_of_a_telephone_in_its_call() {
    let scene = Scene::begin();
    let (rtp, other) = (RtpPhone::start(PHONE_HZ), RtpPhone::start(OTHER_HZ));
    let mut first = Sipp::scenario(&scene, "answers", &rtp);
    let (gateway, page) = signed_in(&scene, &first.trunk());
    page.dial("4930");
    page.wait_for("in_call", SOON);
    let said = first.messages();
    let header = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().trim().to_owned()
    };
    let answer = &said[said.find("SIP/2.0 200").unwrap_or_default()..];
    let to = answer.lines().find_map(|line| line.strip_prefix("To:"));
    let tag = |header: &str| header.split(";tag=").nth(1).unwrap_or_default().to_owned();
    // For whom the INVITE is for, to-tag is the gateway's.
    let replaces = format!(
        "{};to-tag={};from-tag={}",
        header("Call-ID:"),
        tag(&header("From:")),
        tag(to.unwrap_or_default())
    );
    let keywords = [("replaces", replaces.as_str())];
    let name = "calls_in_place_of_another";
    let mut second = Sipp::calls_with(&scene, name, "alice", gateway.sip, &other, &keywords);
    first.assert_done(SOON);
    drop(rtp);
    assert_hears(&page, OTHER_HZ);
    let record = hang_up(&page, &mut second, gateway);
    assert_eq!(record.0["transfers"][0]["attended"], true);
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
