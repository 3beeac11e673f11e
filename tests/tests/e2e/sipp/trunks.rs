//! What becomes of calls before a telephone rings: redirections, and challenges (RFC 3261 §8.1.3.4, §22).

use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::Scene;
use switchhook_tests::sipp::Sipp;

use super::{ENDED, PHONE_HZ};
use crate::SOON;

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
fn a_call_says_whose_it_is_to_a_proxy_and_to_the_server_behind_it() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(PHONE_HZ);
    let mut phones = vec![Sipp::scenario_with(
        &scene,
        "asks_who_calls_at_two_places",
        &rtp,
        1,
        &[],
    )];
    let account = ", username = \"4930\", password = \"secret\", auth_behind_proxy = true";
    let gateway = trunks(&scene, &phones, account);
    call_each(&gateway, &mut phones, &[ENDED]);
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
