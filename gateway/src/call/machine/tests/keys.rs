//! Keys, as the trunk takes them.

use ::media::Leg;

use super::media::{ringing_over, talking_over};
use super::*;

#[test]
fn digits_wait_for_open_audio() {
    let digits = |story: &mut Story| {
        let call = story.machine.name.clone();
        story.input(Input::Browser(
            Device::CALLER,
            ClientMessage::Dtmf(SendDtmf {
                call,
                digits: "12".into(),
                duration_ms: 100,
            }),
        ));
    };
    let mut early = Story::calling();
    digits(&mut early);
    assert_eq!(early.told().last(), Some(&"error"));
    let mut story = Story::talking();
    digits(&mut story);
    assert_eq!(
        story
            .media
            .iter()
            .filter(|command| matches!(command, MediaCommand::Dtmf(..)))
            .count(),
        2
    );
}

/// A call by way of a trunk that is set so.
fn talking_with_trunk(dtmf: TrunkDtmf, sdp: &str) -> Story {
    talking_over(dtmf, TrunkSrtp::Off, sdp)
}

#[test]
fn keys_cross_as_the_trunk_is_set_and_as_it_answers() {
    const NO_EVENTS: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0\r\n";
    for (set, sdp, way) in [
        (TrunkDtmf::Auto, PHONE_SDP, DtmfWay::Events),
        (TrunkDtmf::Auto, NO_EVENTS, DtmfWay::Tones),
        (TrunkDtmf::Rfc4733, NO_EVENTS, DtmfWay::Events),
        (TrunkDtmf::Info, NO_EVENTS, DtmfWay::Signalling),
        (TrunkDtmf::Inband, NO_EVENTS, DtmfWay::Tones),
    ] {
        let story = talking_with_trunk(set, sdp);
        let bridged = story.media.iter().find_map(|command| match command {
            MediaCommand::Bridge(_, _, media) => Some(media.dtmf),
            _ => None,
        });
        assert_eq!(bridged, Some(way), "{set:?}");
        let offer = serde_json::to_string(story.machine.timeline.entries()).unwrap();
        let offered = offer.split("the telephone is offered").nth(1).unwrap();
        let events = offered.contains("a=rtpmap:101 telephone-event/8000");
        let wanted = matches!(set, TrunkDtmf::Auto | TrunkDtmf::Rfc4733);
        assert_eq!(events, wanted, "{set:?}");
    }
}

#[test]
fn keys_cross_by_info_both_ways_each_once_and_unseen() {
    let mut story = talking_with_trunk(TrunkDtmf::Info, PHONE_SDP);
    let call = story.machine.name.clone();
    story.input(Input::Browser(
        Device::CALLER,
        ClientMessage::Dtmf(SendDtmf {
            call,
            digits: "12".into(),
            duration_ms: 100,
        }),
    ));
    let key = Digit::try_from('3').unwrap();
    let duration = Duration::from_millis(100);
    story.media(MediaEvent::Dtmf(Leg::Browser, key, duration));
    assert_eq!(story.sip, ["INVITE", "INFO", "INFO", "INFO"]);
    let info = SipEvent::Info {
        session: session(),
        key: DtmfInfo { key: '7', duration },
    };
    let to_browser = |story: &Story| {
        let events = story
            .media
            .iter()
            .filter(|command| matches!(command, MediaCommand::Dtmf(_, Leg::Browser, _, _)));
        let told = story.told();
        let messages = told.iter().filter(|message| **message == "dtmf");
        (events.count(), messages.count())
    };
    story.sip(info.clone());
    assert_eq!(to_browser(&story), (1, 1));
    // Telephones that send a key both ways are heard once.
    story.media(MediaEvent::Dtmf(Leg::Trunk, key, duration));
    story.sip(info);
    assert_eq!(to_browser(&story), (1, 2));
    story.sip(SipEvent::InfoFailed {
        session: session(),
        status: StatusCode::new(415),
    });
    let trace = format!("{:?}", story.machine.timeline.entries());
    assert!(trace.contains("does not take keys by INFO: 415"), "{trace}");
    assert!(
        !trace.contains("'7'") && !trace.contains("Signal"),
        "{trace}"
    );
}

#[test]
fn keys_pressed_before_the_answer_go_by_info_behind_it() {
    let mut story = ringing_over(TrunkDtmf::Info, TrunkSrtp::Off);
    story.progress(183, Some(PHONE_SDP));
    let call = story.machine.name.clone();
    let duration = Duration::from_millis(100);
    let press = SendDtmf {
        call,
        digits: "1".into(),
        duration_ms: 100,
    };
    story.input(Input::Browser(Device::CALLER, ClientMessage::Dtmf(press)));
    let key = Digit::try_from('2').unwrap();
    for _ in 0..100 {
        story.media(MediaEvent::Dtmf(Leg::Browser, key, duration));
    }
    assert_eq!(story.sip, ["INVITE"]);
    story.answered(Some(PHONE_SDP));
    assert_eq!(story.sip.len(), 1 + 32, "no more wait than that");
    assert!(story.sip[1..].iter().all(|method| *method == "INFO"));
    story.media(MediaEvent::Dtmf(Leg::Browser, key, duration));
    assert_eq!(story.sip.len(), 1 + 32 + 1);
}
