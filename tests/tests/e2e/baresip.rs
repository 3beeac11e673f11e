//! Chromium and baresip.

use std::time::Duration;

use switchhook_tests::baresip::Baresip;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::Scene;
use switchhook_tests::sound::{MICROPHONE_DBFS, MICROPHONE_HZ, level, level_at};

use crate::{LISTEN, SOON, talk};

const PHONE_HZ: f64 = 850.0;
const PHONE_DBFS: f64 = -15.05;

#[test]
fn a_browser_and_baresip_hear_each_other() {
    let scene = Scene::begin();
    let mut phone = Baresip::start(&scene, PHONE_HZ);
    let gateway = Gateway::start(&scene, &[("trunk.uri", &phone.trunk())]);
    let page = Page::open(&gateway);
    talk(&page, "phone");
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[PHONE_HZ])
        .assert_tone(PHONE_HZ, PHONE_DBFS, 3.0);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    let heard = phone.heard();
    assert!(heard.len() >= 8000, "baresip heard {} samples", heard.len());
    let end = &heard[heard.len() - 8000..];
    let tone = level_at(end, MICROPHONE_HZ, 8000);
    assert!(
        (tone - MICROPHONE_DBFS).abs() < 3.0,
        "baresip hears {MICROPHONE_HZ} Hz at {tone} dBFS, all at {} dBFS",
        level(end)
    );
}
