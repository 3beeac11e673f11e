use super::{Dialect, Verdict, to_browser, to_sip};

const CHROMIUM: &str = include_str!("../../testdata/browser/chromium-audio_video_data.sdp");
const LINPHONE: &str = include_str!("../../testdata/sip/linphone.sdp");

#[test]
fn a_browsers_offer_is_explained_for_sip() {
    let explained = to_sip(CHROMIUM);
    assert_eq!(explained.verdict, Verdict::Accept);
    assert_eq!(explained.dialect, Dialect::Browser);
    let understood = explained.understood.expect("understood");
    assert_eq!(understood.streams.len(), 3);
    assert_eq!(
        understood.formats.first().map(String::as_str),
        Some("111 opus/48000/2")
    );
    let translated = explained.translated.expect("a translation");
    assert!(translated.contains("m=audio 20000 RTP/AVP 0 8 101\r\n"));
    assert!(explained.notes.len() > 20);
}

#[test]
fn a_phone_that_writes_ice_beside_plain_rtp_is_a_phone() {
    let explained = to_browser(LINPHONE);
    assert_eq!(explained.dialect, Dialect::Sip);
    assert_eq!(explained.verdict, Verdict::Accept);
    let understood = explained.understood.expect("understood");
    assert_eq!(understood.rtp.map(|rtp| rtp.port()), Some(7078));
}

#[test]
fn either_dialect_may_be_asked_for_itself() {
    assert_eq!(to_sip(LINPHONE).verdict, Verdict::Accept);
    let explained = to_browser(CHROMIUM);
    let answer = explained.translated.expect("an answer");
    assert!(answer.contains("a=setup:passive"));
}

#[test]
fn bad_input_is_a_verdict_with_a_reason() {
    for text in [
        "",
        "v=0",
        "nonsense",
        "v=0\r\nm=audio x RTP/AVP 0\r\n",
        "\u{0}\u{7f}",
    ] {
        for explained in [to_sip(text), to_browser(text)] {
            assert_eq!(explained.verdict, Verdict::Refuse, "{text:?}");
            assert!(explained.code.is_some() && explained.reason.is_some());
            assert!(explained.translated.is_none());
        }
    }
    assert_eq!(to_sip("v=0\r\nm=audio x RTP/AVP 0\r\n").line, Some(2));
}

#[test]
fn an_explanation_is_one_json_object() {
    let json = serde_json::to_value(to_sip(CHROMIUM)).expect("JSON");
    assert_eq!(json["verdict"], "accept");
    assert_eq!(json["dialect"], "browser");
    assert_eq!(json["understood"]["direction"], "sendrecv");
    assert_eq!(json["notes"][0]["action"], "changed");
    let json = serde_json::to_value(to_sip("x")).expect("JSON");
    assert_eq!(json["verdict"], "refuse");
    assert_eq!(json["code"], "syntax");
    assert!(!serde_json::to_string(&json).expect("JSON").contains('\n'));
}
