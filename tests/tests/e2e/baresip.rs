//! Chromium and baresip.

use std::time::Duration;

use switchhook_tests::baresip::Baresip;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::record::Record;
use switchhook_tests::scene::Scene;
use switchhook_tests::sound::{MICROPHONE_DBFS, MICROPHONE_HZ, level, usual_level_at};

use crate::{LISTEN, SOON, talk};

const PHONE_HZ: f64 = 850.0;
const PHONE_DBFS: f64 = -15.05;

/// Calls it, and both hear each other; what the record says of SRTP with it.
#[track_caller]
fn talk_with(scene: &Scene, mut phone: Baresip, settings: &[(&str, &str)]) -> Record {
    let trunk = phone.trunk();
    let settings: Vec<_> = [("trunk.uri", trunk.as_str())]
        .into_iter()
        .chain(settings.iter().copied())
        .collect();
    let gateway = Gateway::start(scene, &settings);
    let page = Page::open(&gateway);
    talk(&page, "phone");
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 3.0);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    let (heard, second) = (phone.heard(), phone.rate() as usize);
    assert!(
        heard.len() >= second,
        "baresip heard {} samples",
        heard.len()
    );
    let end = &heard[heard.len() - second..];
    let tone = usual_level_at(end, MICROPHONE_HZ, phone.rate());
    assert!(
        (tone - MICROPHONE_DBFS).abs() < 3.0,
        "baresip hears {MICROPHONE_HZ} Hz at {tone} dBFS, all at {} dBFS",
        level(end)
    );
    record
}

#[test]
fn a_browser_and_baresip_hear_each_other() {
    let scene = Scene::begin();
    let phone = Baresip::start(&scene, PHONE_HZ);
    let record = talk_with(&scene, phone, &[]);
    assert!(record.0["phone_srtp"].is_null());
}

#[test]
fn with_keys_in_the_sdp_the_two_hear_each_other_and_with_nothing_less() {
    let scene = Scene::begin();
    let phone = Baresip::with(&scene, PHONE_HZ, 8000, ";mediaenc=srtp-mand", &["srtp.so"]);
    let record = talk_with(&scene, phone, &[("trunk.srtp", "\"sdes\"")]);
    let suite = record.text("/phone_srtp");
    assert!(suite.starts_with("AE"), "{suite}");
}

#[test]
fn opportunistic_keys_are_taken_up() {
    let scene = Scene::begin();
    let phone = Baresip::with(&scene, PHONE_HZ, 8000, ";mediaenc=srtp", &["srtp.so"]);
    let record = talk_with(&scene, phone, &[("trunk.srtp", "\"opportunistic\"")]);
    let suite = record.text("/phone_srtp");
    assert!(suite.starts_with("AE"), "{suite}");
}

#[test]
fn opportunistic_keys_that_nobody_takes_up_leave_plain_audio() {
    let scene = Scene::begin();
    let phone = Baresip::start(&scene, PHONE_HZ);
    let record = talk_with(&scene, phone, &[("trunk.srtp", "\"opportunistic\"")]);
    assert!(record.0["phone_srtp"].is_null());
}

#[test]
fn wideband_by_g722() {
    let scene = Scene::begin();
    let phone = Baresip::with(&scene, PHONE_HZ, 16_000, ";audio_codecs=G722", &["g722.so"]);
    let record = talk_with(
        &scene,
        phone,
        &[("trunk.profile", "{ codecs = [\"g722\", \"pcmu\"] }")],
    );
    assert_eq!(record.text("/phone_codec"), "G722");
}

#[test]
fn opus_passes_through_to_a_telephone_that_has_it() {
    let scene = Scene::begin();
    let phone = Baresip::with(&scene, PHONE_HZ, 48_000, ";audio_codecs=opus", &["opus.so"]);
    let record = talk_with(
        &scene,
        phone,
        &[("trunk.profile", "{ codecs = [\"opus\", \"pcmu\"] }")],
    );
    assert_eq!(record.text("/phone_codec"), "opus");
}

/// Calls it with that setting, which ends the call; its record.
#[track_caller]
fn ended_by(scene: &Scene, phone: &Baresip, srtp: &str) -> Record {
    let (trunk, srtp) = (phone.trunk(), format!("\"{srtp}\""));
    let gateway = Gateway::start(scene, &[("trunk.uri", &trunk), ("trunk.srtp", &srtp)]);
    let page = Page::open(&gateway);
    page.dial("phone");
    page.wait_for("ended", SOON);
    gateway.only_record()
}

#[test]
fn a_trunk_without_keys_gets_no_call_where_they_are_asked_for() {
    let scene = Scene::begin();
    let phone = Baresip::start(&scene, PHONE_HZ);
    let record = ended_by(&scene, &phone, "sdes");
    assert_eq!(record.code(), "not_acceptable", "{}", record.story());
}

/// This baresip has one, and the DTLS library takes none.
#[test]
fn a_telephone_with_an_rsa_certificate_is_told_of_in_words() {
    let scene = Scene::begin();
    let phone = Baresip::with(
        &scene,
        PHONE_HZ,
        8000,
        ";mediaenc=dtls_srtp",
        &["dtls_srtp.so"],
    );
    let record = ended_by(&scene, &phone, "dtls");
    assert_eq!(record.code(), "trunk_error", "{}", record.story());
    assert!(record.words().contains("ECDSA"), "{}", record.words());
}
