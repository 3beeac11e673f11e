//! Chromium, Kamailio and SIPp: a trunk that wants to know who calls.

use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::kamailio::Kamailio;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sipp::Sipp;

use crate::{SOON, assert_hears_itself, talk};

/// Waits until the gateway's log has these words.
#[track_caller]
fn wait_for_log(scene: &Scene, words: &str) -> String {
    wait_until(words, SOON, || {
        let log = std::fs::read_to_string(scene.file("gateway.log")).unwrap_or_default();
        log.contains(words).then_some(log)
    })
}

fn start(scene: &Scene, carrier: &Kamailio, password: &str, register: &str) -> Gateway {
    let settings = [
        ("trunk.uri", carrier.trunk()),
        ("trunk.username", "\"4930\"".to_owned()),
        ("trunk.password", format!("{password:?}")),
        ("trunk.realm", "\"carrier\"".to_owned()),
        ("trunk.register", register.to_owned()),
    ];
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    Gateway::start(scene, &settings)
}

#[test]
fn a_registered_account_calls_through_a_proxy_that_authenticates_by_md5() {
    call_by_account("MD5");
}

#[test]
fn a_registered_account_calls_through_a_proxy_that_authenticates_by_sha_256() {
    call_by_account("SHA-256");
}

#[track_caller]
fn call_by_account(algorithm: &str) {
    let scene = Scene::begin();
    let mut phone = Sipp::uas(&scene, true);
    let carrier = Kamailio::start(&scene, algorithm, phone.port());
    let mut gateway = start(&scene, &carrier, "secret", "true");
    wait_for_log(&scene, "registration: registered");
    let page = Page::open(&gateway);
    talk(&page, "4940123456");
    assert_hears_itself(&page);
    page.hang_up();
    phone.assert_done(SOON);
    page.assert_ended("normal", "The call has ended.", SOON);
    let seen = phone.messages();
    assert!(seen.contains("From: <sip:4930@"), "{seen}");
    assert!(!seen.contains("Authorization"), "{seen}");
    assert!(gateway.stop().is_some_and(|status| status.success()));
    let log = wait_for_log(&scene, "no longer registered");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn a_wrong_password_is_said_in_words_and_calls_end_with_them() {
    let scene = Scene::begin();
    let phone = Sipp::uas(&scene, true);
    let carrier = Kamailio::start(&scene, "MD5", phone.port());
    let gateway = start(&scene, &carrier, "wrong", "true");
    wait_for_log(&scene, "it does not accept the user name or the password");
    let page = Page::open(&gateway);
    page.dial("4940123456");
    let state = page.wait_for("ended", SOON);
    assert_eq!(state["cause"]["code"], "trunk_error", "{state}");
    let text = state["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("it does not accept the user name or the password"),
        "{text}"
    );
}

#[test]
fn a_registrar_that_does_not_know_us_lets_nobody_call() {
    let scene = Scene::begin();
    let phone = Sipp::uas(&scene, true);
    let carrier = Kamailio::start(&scene, "SHA-256", phone.port());
    let gateway = start(&scene, &carrier, "secret", "false");
    let page = Page::open(&gateway);
    page.dial("4940123456");
    page.wait_for("ended", SOON);
    gateway.only_record().assert_ended("unavailable", "phone");
}
