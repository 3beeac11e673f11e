//! What the audio goes through.

use std::time::Duration;

use serde_json::json;
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::{Scene, wait_until};
use switchhook_tests::sipp::Sipp;
use switchhook_tests::sound::{MICROPHONE_DBFS, MICROPHONE_HZ, level_at};

use crate::{LISTEN, SOON, assert_hears_itself, talk};

#[test]
fn g711_goes_straight_through_where_settings_prefer_it() {
    let scene = Scene::begin();
    let rtp = RtpPhone::start(850.0);
    let mut phone = Sipp::scenario(&scene, "answers", &rtp);
    let gateway = Gateway::start(
        &scene,
        &[("trunk.uri", &phone.trunk()), ("media.prefer", "\"g711\"")],
    );
    let page = Page::open(&gateway);
    talk(&page, "123");
    page.listen(Duration::from_millis(400), &[]);
    page.listen(LISTEN, &[850.0]).assert_tone(850.0, -16.2, 1.5);
    rtp.forget();
    let heard = wait_until("second of audio at the phone", SOON, || {
        Some(rtp.received()).filter(|received| received.audio.len() >= 8000)
    });
    let level = level_at(&heard.audio, MICROPHONE_HZ, 8000);
    assert!((level - MICROPHONE_DBFS).abs() < 2.0, "{level}");
    // Keys cross too, at the one clock rate there is.
    page.ask("press", json!({ "keys": "7#" }));
    wait_until("the keys at the phone", SOON, || {
        Some(rtp.received().digits()).filter(|digits| digits == "7#")
    });
    page.hang_up();
    phone.assert_done(SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert_eq!(
        (record.text("/browser_codec"), record.text("/phone_codec")),
        ("PCMU", "PCMU")
    );
}

#[test]
fn an_offer_with_video_and_data_gets_them_refused_and_the_call_works() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    page.eval(
        "{ const createOffer = RTCPeerConnection.prototype.createOffer; \
           RTCPeerConnection.prototype.createOffer = function (...options) { \
             if (this.getTransceivers().length === 1) { this.addTransceiver('video'); this.createDataChannel('data'); } \
             return createOffer.apply(this, options); }; }",
    );
    talk(&page, "echo");
    assert_hears_itself(&page);
    let answer = page.eval("switchhook.call.peerConnection.remoteDescription.sdp");
    let answer = answer.as_str().unwrap_or_default();
    let media: Vec<(&str, bool)> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("m=")?.split_once(' '))
        .map(|(kind, rest)| (kind, rest.starts_with("0 ")))
        .collect();
    assert_eq!(
        media,
        [("audio", false), ("video", true), ("application", true)],
        "{answer}"
    );
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

#[test]
fn a_call_survives_an_ice_restart() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    talk(&page, "echo");
    assert_hears_itself(&page);
    let credentials = |page: &Page| {
        let sdp = page.eval("switchhook.call.peerConnection.remoteDescription.sdp");
        sdp.as_str()
            .unwrap_or_default()
            .lines()
            .find(|line| line.starts_with("a=ice-ufrag:"))
            .map(str::to_owned)
    };
    let before = credentials(&page);
    // The page restarts ICE when its connection fails; it is made to see that.
    page.eval(
        "{ const pc = switchhook.call.peerConnection; \
           Object.defineProperty(pc, 'connectionState', { value: 'failed', configurable: true }); \
           pc.onconnectionstatechange(); delete pc.connectionState; }",
    );
    wait_until("new credentials", SOON, || {
        Some(credentials(&page)).filter(|now| *now != before && now.is_some())
    });
    page.eval(
        "new Promise((done, failed) => { const pc = switchhook.call.peerConnection; const until = Date.now() + 10000; \
           const look = () => pc.signalingState === 'stable' && pc.iceConnectionState !== 'checking' ? done(true) \
             : Date.now() > until ? failed(new Error(pc.iceConnectionState)) : setTimeout(look, 20); look(); })",
    );
    assert_hears_itself(&page);
    assert_eq!(page.ask("state", json!({}))["state"], "in_call");
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert!(record.step("ICE restarts").is_some(), "{}", record.story());
    let transport = record.story();
    assert_eq!(
        transport.matches("DTLS is up").count(),
        1,
        "DTLS lives on:\n{transport}"
    );
}
