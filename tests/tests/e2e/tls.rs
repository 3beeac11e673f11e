//! baresip by TLS, as the trunk that is called and as the one that calls.

use std::time::Duration;

use switchhook_tests::baresip::Baresip;
use switchhook_tests::browser::Page;
use switchhook_tests::certificates::Certificates;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::Scene;

use crate::{LISTEN, SOON, talk};

const PHONE_HZ: f64 = 850.0;
const PHONE_DBFS: f64 = -15.05;

#[track_caller]
fn assert_hears_the_phone(page: &Page) {
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 3.0);
}

fn quoted(path: &std::path::Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

#[test]
fn a_trunk_is_called_by_tls_and_its_certificate_is_looked_at() {
    let scene = Scene::begin();
    let certificates = Certificates::of(&scene);
    let phone = Baresip::by_tls(&scene, PHONE_HZ, &certificates, None);
    let trunk = phone.trunk_by_tls();
    let ca = quoted(&certificates.ca);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &trunk), ("sip.tls_ca", &ca)]);
    let page = Page::open(&gateway);
    talk(&page, "phone");
    assert_hears_the_phone(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_trunk_whose_certificate_nobody_vouches_for_is_not_called() {
    let scene = Scene::begin();
    let certificates = Certificates::of(&scene);
    let phone = Baresip::by_tls(&scene, PHONE_HZ, &certificates, None);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk_by_tls())]);
    let page = Page::open(&gateway);
    page.dial("phone");
    page.assert_ended("unreachable", "The telephone network did not respond", SOON);
}

#[test]
fn a_trunk_calls_by_tls() {
    let scene = Scene::begin();
    let certificates = Certificates::of(&scene);
    let (ca, certificate, key) = (
        quoted(&certificates.ca),
        quoted(&certificates.certificate),
        quoted(&certificates.key),
    );
    let gateway = Gateway::start(
        &scene,
        &[
            ("trunk.uri", "\"sip:127.0.0.1;transport=tls\""),
            ("users.alice", "{ password = \"al1ce\" }"),
            ("sip.tls_listen", "\"127.0.0.1:0\""),
            ("sip.tls_certificate", &certificate),
            ("sip.tls_key", &key),
            ("sip.tls_client_ca", &ca),
        ],
    );
    let page = Page::open(&gateway);
    page.sign_in("alice", "al1ce");
    let listening = gateway.sip_tls.expect("it hears TLS");
    let uri = format!("sip:alice@127.0.0.1:{};transport=tls", listening.port());
    let _phone = Baresip::by_tls(&scene, PHONE_HZ, &certificates, Some(&uri));
    page.wait_for("incoming", SOON);
    page.answer();
    page.wait_for("in_call", SOON);
    assert_hears_the_phone(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}
