//! Attended transfers (RFC 3891), from every side.

use switchhook_tests::record::Record;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sipp::Sipp;

use super::{OTHER_HZ, answer, assert_hears, calling_two, hang_up, signed_in, voices};
use crate::SOON;

#[test]
fn a_telephone_gives_the_call_to_another_that_is_behind_the_same_trunk() {
    let scene = Scene::begin();
    let [rtp, other] = voices();
    let scenario = "gives_the_call_away";
    let (mut phone, gateway, page) = calling_two(&scene, scenario, [&rtp, &other], 2);
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
    let [rtp, other] = voices();
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
    let [rtp, other] = voices();
    let scenario = "is_asked_to_give_the_call_away";
    let (mut phone, gateway, page) = calling_two(&scene, scenario, [&rtp, &other], 2);
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
    // The two calls end within a millisecond; whose record comes first is chance.
    let mut codes: Vec<_> = records.iter().map(Record::code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["normal", "transferred"]);
    let transferred = records.iter().find(|one| one.code() == "transferred");
    let transferred = transferred.expect("that of the first");
    assert_eq!(transferred.text("/transfers/0/done_by"), "phone");
}

#[test]
fn an_invite_takes_the_place_of_a_telephone_in_its_call() {
    let scene = Scene::begin();
    let [rtp, other] = voices();
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
