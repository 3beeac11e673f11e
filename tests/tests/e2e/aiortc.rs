//! aiortc and the lab phone.

use serde_json::Value;
use switchhook_tests::aiortc;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::Scene;
use switchhook_tests::sipp::Sipp;

use crate::SOON;

#[track_caller]
fn assert_hears_itself(report: &Value) {
    let heard = &report["heard"];
    let (hz, dbfs) = (heard["dominant_hz"].as_f64(), heard["rms_dbfs"].as_f64());
    assert!(hz.is_some_and(|hz| (hz - 620.0).abs() < 3.0), "{report}");
    assert!(
        dbfs.is_some_and(|dbfs| (dbfs + 15.05).abs() < 3.0),
        "{report}"
    );
}

#[test]
fn aiortc_hears_itself_at_echo() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let report = aiortc::call(&scene, &gateway, "echo", &[]);
    assert_hears_itself(&report);
    assert_eq!(report["cause"]["code"], "normal", "{report}");
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn digits_in_a_message_reach_the_phone_once_each() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let report = aiortc::call(&scene, &gateway, "123", &["--digits", "1199*#D"]);
    assert_eq!(report["cause"]["code"], "normal", "{report}");
    assert_eq!(rtp.received().digits(), "1199*#D");
    for (key, duration, ended) in rtp.received().events.values() {
        // 100 ms are 800 units of 8 kHz.
        assert!(
            (640..=960).contains(duration) && *ended,
            "{key}: {duration}"
        );
    }
    phone.assert_done(SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_certificate_that_is_not_the_one_announced_ends_the_call() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let report = aiortc::call(
        &scene,
        &gateway,
        "echo",
        &["--wrong-fingerprint", "--seconds", "15"],
    );
    assert_eq!(report["cause"]["code"], "media_failed", "{report}");
    assert!(report["heard"].is_null(), "nothing is heard: {report}");
    let record = gateway.only_record();
    record.assert_ended("media_failed", "gateway");
    assert!(
        record.words().contains("certificate is not the one"),
        "{}",
        record.words()
    );
}
