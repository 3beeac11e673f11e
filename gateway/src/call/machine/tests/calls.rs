//! A browser's call, from its offer to its record, whatever ends it.

use super::*;

#[test]
fn the_browser_is_answered_and_the_phone_invited_before_anything_rings() {
    let story = Story::calling();
    assert_eq!(story.told(), ["answer"]);
    assert_eq!(story.sip, ["INVITE"]);
    assert!(
        matches!(&story.browser[0], ServerMessage::Answer { provisional: true, sdp, .. } if sdp.contains("a=ice-lite"))
    );
}

#[test]
fn a_call_rings_is_answered_and_hung_up_by_the_browser() {
    let mut story = Story::calling();
    story.progress(180, None);
    story.progress(180, None);
    story.answered(Some(PHONE_SDP));
    assert_eq!(story.told(), ["answer", "ringing", "accepted"]);
    assert!(matches!(
        story.media[..],
        [MediaCommand::Bridge(..), MediaCommand::Answered(_)]
    ));
    story.now += Duration::from_secs(5);
    story.hangs_up();
    assert_eq!(story.sip, ["INVITE", "BYE"]);
    assert!(story.records.is_empty(), "the record waits for both legs");
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    assert_eq!(
        (story.record().cause.code, story.record().ended_by),
        (CauseCode::Normal, EndedBy::Browser)
    );
    assert_eq!(story.record().talk_ms, 5000);
    assert_eq!(story.record().phone_codec.as_deref(), Some("PCMU"));
}

#[test]
fn the_phone_hangs_up() {
    let mut story = Story::talking();
    story.phone_ends(SipEndedBy::Remote);
    assert_eq!(story.cause(), CauseCode::Normal);
    story.media_closes();
    assert_eq!(story.record().ended_by, EndedBy::Phone);
    assert_eq!(
        story.sip,
        ["INVITE"],
        "a call that the phone ended is not ended again"
    );
}

#[test]
fn hanging_up_while_it_rings_cancels() {
    let mut story = Story::calling();
    story.progress(180, None);
    story.hangs_up();
    assert_eq!(story.sip, ["INVITE", "CANCEL"]);
    assert_eq!(story.cause(), CauseCode::Cancelled);
    story.media_closes();
    story.sip(SipEvent::Failed {
        session: session(),
        failure: Failure::Cancelled,
    });
    assert_eq!(story.record().cause.code, CauseCode::Cancelled);
}

#[test]
fn an_answer_that_crosses_the_cancel_does_not_revive_the_call() {
    let mut story = Story::calling();
    story.hangs_up();
    story.answered(Some(PHONE_SDP));
    assert_eq!(story.told(), ["answer", "hangup"]);
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    assert_eq!(story.record().cause.code, CauseCode::Cancelled);
}

#[test]
fn a_final_status_becomes_its_cause_on_both_sides() {
    for (status, code) in [
        (486, CauseCode::Busy),
        (603, CauseCode::Rejected),
        (404, CauseCode::NotFound),
        (488, CauseCode::NotAcceptable),
    ] {
        let mut story = Story::calling();
        story.fails(status);
        assert_eq!(story.cause(), code);
        story.media_closes();
        assert_eq!(story.record().cause.sip, Some(status));
        assert_eq!(story.sip, ["INVITE"], "there is nothing to cancel");
    }
}

#[test]
fn nobody_answers_until_the_ring_timeout() {
    let mut story = Story::calling();
    story.progress(180, None);
    assert_eq!(story.time_passes(), Duration::from_secs(60));
    assert_eq!(story.sip, ["INVITE", "CANCEL"]);
    assert_eq!(story.cause(), CauseCode::NoAnswer);
}

#[test]
fn a_trunk_that_gave_no_sign_of_life_until_the_ring_timeout_is_unreachable() {
    let mut story = Story::calling();
    assert_eq!(story.time_passes(), Duration::from_secs(60));
    assert_eq!(story.cause(), CauseCode::Unreachable);
}

#[test]
fn a_trunk_that_gives_no_sign_of_life_is_unreachable() {
    for failure in [
        Failure::Timeout,
        Failure::Transport(sip::endpoint::TransportError::ConnectFailed),
    ] {
        let mut story = Story::calling();
        story.sip(SipEvent::Failed {
            session: session(),
            failure,
        });
        assert_eq!(story.cause(), CauseCode::Unreachable);
    }
    let mut story = Story::calling();
    story.input(Input::DialFailed("pbx.example has no address".into()));
    assert_eq!(story.cause(), CauseCode::Unreachable);
}

#[test]
fn early_media_is_heard_before_the_answer_and_kept_by_it() {
    let mut story = Story::calling();
    story.progress(183, Some(PHONE_SDP));
    story.progress(183, Some(PHONE_SDP));
    assert_eq!(story.told(), ["answer", "early"]);
    assert!(matches!(story.media[..], [MediaCommand::Bridge(..)]));
    story.answered(None);
    assert_eq!(story.told(), ["answer", "early", "accepted"]);
    assert!(
        matches!(
            story.media[..],
            [MediaCommand::Bridge(..), MediaCommand::Answered(_)]
        ),
        "the same media is not joined twice"
    );
}

#[test]
fn a_final_answer_elsewhere_moves_the_media() {
    let mut story = Story::calling();
    story.progress(183, Some(PHONE_SDP));
    story.answered(Some(&PHONE_SDP.replace("4000", "4002")));
    assert!(
        matches!(&story.media[1], MediaCommand::Bridge(_, _, media) if media.rtp.port() == 4002)
    );
}

#[test]
fn an_answer_without_usable_sdp_ends_the_call_with_bye() {
    for sdp in [
        None,
        Some("nonsense"),
        Some(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n",
        ),
    ] {
        let mut story = Story::calling();
        story.answered(sdp);
        assert_eq!(story.sip, ["INVITE", "BYE"], "{sdp:?}");
        assert_eq!(story.cause(), CauseCode::NotAcceptable);
    }
}

#[test]
fn a_number_that_leads_nowhere_never_reaches_the_media_worker() {
    let mut story = Story::dial("+4930123456", OFFER);
    assert_eq!(story.cause(), CauseCode::NotFound);
    assert!(story.machine.poll_timeout().is_none());
    story.take_actions();
    assert_eq!(story.record().cause.code, CauseCode::NotFound);
}

#[test]
fn an_offer_that_cannot_be_read_says_why() {
    let story = Story::dial("echo", "v=0\r\nnonsense");
    assert_eq!(story.cause(), CauseCode::BadRequest);
    assert!(
        story.record().cause.text.len() > CauseCode::BadRequest.cause().text.len(),
        "{}",
        story.record().cause.text
    );
}

#[test]
fn a_browser_that_closes_its_media_and_then_hangs_up_has_hung_up() {
    let mut story = Story::talking();
    story.media(MediaEvent::PeerClosed);
    assert_eq!(story.told().last(), Some(&"accepted"));
    story.hangs_up();
    assert_eq!(story.cause(), CauseCode::Normal);
}

#[test]
fn a_browser_that_closes_its_media_and_says_nothing_is_gone() {
    let mut story = Story::talking();
    story.media(MediaEvent::PeerClosed);
    assert!(story.time_passes() <= Duration::from_secs(1));
    assert_eq!(story.cause(), CauseCode::BrowserGone);
    assert_eq!(story.sip, ["INVITE", "BYE"]);
}

#[test]
fn every_fault_of_the_media_ends_both_legs_with_its_cause() {
    let faults = [
        (
            MediaEvent::PeerFailed(peer::PeerFailure::FingerprintMismatch),
            CauseCode::MediaFailed,
        ),
        (MediaEvent::ConsentLost, CauseCode::BrowserGone),
        (
            MediaEvent::Silent(::media::Leg::Trunk, Duration::from_secs(30)),
            CauseCode::MediaTimeout,
        ),
        (MediaEvent::Panicked, CauseCode::Internal),
    ];
    for (fault, code) in faults {
        let mut story = Story::talking();
        story.media(fault);
        assert_eq!(story.cause(), code);
        assert_eq!(story.sip, ["INVITE", "BYE"]);
    }
}

#[test]
fn a_worker_that_refuses_ends_the_call_before_the_phone_hears_of_it() {
    let mut story = Story::dial("echo", OFFER);
    story.media(MediaEvent::Refused(crate::worker::OpenError::NoPort(
        "127.0.0.1".parse().unwrap(),
    )));
    assert_eq!(story.cause(), CauseCode::Overloaded);
    assert!(story.sip.is_empty());
    assert_eq!(story.record().cause.code, CauseCode::Overloaded);
}

#[test]
fn a_worker_that_does_not_answer_ends_the_call() {
    let mut story = Story::dial("echo", OFFER);
    story.time_passes();
    assert_eq!(story.cause(), CauseCode::Internal);
}

#[test]
fn the_record_does_not_wait_for_a_phone_that_is_gone() {
    let mut story = Story::talking();
    story.hangs_up();
    story.media_closes();
    assert!(story.time_passes() < Duration::from_secs(1));
    assert_eq!(story.record().cause.code, CauseCode::Normal);
    story.phone_ends(SipEndedBy::Timeout);
    assert_eq!(story.records.len(), 1);
}

#[test]
fn going_down_says_so_on_both_sides() {
    let mut story = Story::talking();
    story.input(Input::Shutdown);
    assert_eq!(story.cause(), CauseCode::ShuttingDown);
    assert_eq!(story.sip, ["INVITE", "BYE"]);
}

#[test]
fn a_call_ends_at_its_greatest_length() {
    let mut story = Story::talking();
    assert_eq!(story.time_passes(), Duration::from_secs(3600));
    assert_eq!(story.cause(), CauseCode::TooLong);
}

#[test]
fn an_ice_restart_gets_new_credentials_and_keeps_the_rest() {
    let mut story = Story::talking();
    let restart = OFFER.replace("a=ice-ufrag:", "a=ice-ufrag:new");
    let call = story.machine.name.clone();
    story.input(Input::Browser(
        Device::CALLER,
        ClientMessage::Offer(Reoffer { call, sdp: restart }),
    ));
    assert!(
        matches!(story.media.last(), Some(MediaCommand::RestartIce(_, _, remote)) if remote.ufrag.starts_with("new"))
    );
    let sdp = |message: &ServerMessage| match message {
        ServerMessage::Answer { sdp, .. } => sdp.clone(),
        other => panic!("{other:?}"),
    };
    let line = |sdp: &str, prefix: &str| {
        sdp.lines()
            .find(|line| line.starts_with(prefix))
            .map(str::to_owned)
    };
    let (first, second) = (sdp(&story.browser[0]), sdp(story.browser.last().unwrap()));
    assert_ne!(line(&first, "a=ice-ufrag"), line(&second, "a=ice-ufrag"));
    assert_eq!(line(&first, "m=audio"), line(&second, "m=audio"));
    assert_eq!(
        line(&first, "a=fingerprint"),
        line(&second, "a=fingerprint")
    );
}

#[test]
fn another_certificate_in_a_new_offer_is_refused_and_the_call_goes_on() {
    let mut story = Story::talking();
    let start = OFFER.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
    let forged = format!("{}00:11{}", &OFFER[..start], &OFFER[start + 5..]);
    let call = story.machine.name.clone();
    story.input(Input::Browser(
        Device::CALLER,
        ClientMessage::Offer(Reoffer { call, sdp: forged }),
    ));
    assert_eq!(story.told().last(), Some(&"error"));
    assert!(matches!(story.machine.state, State::Talking { .. }));
}

#[test]
fn a_flood_of_candidates_leaves_a_bounded_trace() {
    let mut story = Story::calling();
    for _ in 0..10_000 {
        let call = story.machine.name.clone();
        let candidate = crate::signaling::message::Candidate {
            call,
            candidate: "candidate:1 1 udp 1 192.0.2.1 1 typ host".into(),
            mid: None,
        };
        story.input(Input::Browser(
            Device::CALLER,
            ClientMessage::Candidate(candidate),
        ));
    }
    assert!(story.machine.timeline.entries().len() < 100);
}

#[test]
fn secrets_stay_out_of_the_record() {
    let mut story = Story::talking();
    let pwd = story.machine.browser.as_ref().unwrap().local.pwd.clone();
    story.hangs_up();
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    let record = serde_json::to_string(story.record()).unwrap();
    assert!(!record.contains(&pwd) && record.contains("a=ice-pwd:(redacted)"));
}

#[test]
fn a_user_calls_whom_he_may_and_nobody_else() {
    let permit = || Permit {
        dial: crate::permit::Pattern::parse("+49*").map(|pattern| vec![pattern]),
        ..Permit::default()
    };
    for to in ["+1900", "tel:+1-900", "sip:+1900@192.0.2.9"] {
        let story = Story::dial_permitted(to, permit());
        assert_eq!(story.cause(), CauseCode::Forbidden, "{to}");
        assert!(story.sip.is_empty() && story.opened.is_none());
    }
    for to in ["+49 30 123", "echo"] {
        let story = Story::dial_permitted(to, permit());
        assert!(story.opened.is_some(), "{to}");
    }
}

#[test]
fn a_users_calls_last_as_long_as_they_may() {
    let permit = Permit {
        max_call_duration: Some(Duration::from_secs(60)),
        ..Permit::default()
    };
    let mut story = Story::dial_permitted("+4930", permit);
    story.media(MediaEvent::Opened {
        rtp: RTP.parse().unwrap(),
        rtcp: RTCP.parse().unwrap(),
    });
    story.answered(Some(PHONE_SDP));
    assert_eq!(story.time_passes(), Duration::from_secs(60));
    assert_eq!(story.cause(), CauseCode::TooLong);
}
