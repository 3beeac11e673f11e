//! Somebody at one end is to speak with somebody else instead.

use super::dialing::{calling, trunks};
use super::*;
use crate::permit::Pattern;
use crate::signaling::message::{TransferCall, TransferState};

const OTHER_SDP: &str = "v=0\r\no=- 7 7 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\n\
    m=audio 7000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// A call by a trunk, which is answered.
fn talking() -> Story {
    talking_permitted(Permit::default())
}

fn talking_permitted(permit: Permit) -> Story {
    talking_where(permit, DialPlan::default())
}

fn talking_where(permit: Permit, plan: DialPlan) -> Story {
    let environment = environment_of(trunks(&["pbx.example"]), plan);
    let mut story = calling("+4930", &environment, permit);
    story.is_out(0);
    story.answered(Some(PHONE_SDP));
    story.sip.clear();
    story
}

impl Story {
    fn referred(&mut self, to: &str) {
        self.sip(SipEvent::Referred {
            session: session(),
            to: to.parse().unwrap(),
        });
    }

    fn other(&mut self, event: SipEvent) {
        let input = Input::Sip(Box::new(event));
        self.input(Input::Other(Box::new(input)));
    }

    fn other_rings(&mut self) {
        self.other(SipEvent::Progress {
            session: session(),
            status: StatusCode::RINGING,
            fork: Some(Fork(1)),
            body: None,
        });
    }

    fn other_answers(&mut self) {
        self.other(SipEvent::Answered {
            session: session(),
            fork: Some(Fork(1)),
            body: Some(OTHER_SDP.into()),
        });
    }

    fn other_fails(&mut self, status: u16) {
        let failure = Failure::Status {
            status: StatusCode::new(status).unwrap(),
            reason: String::new(),
            reason_header: None,
            retry_after: None,
            contacts: Vec::new(),
        };
        self.other(SipEvent::Failed {
            session: session(),
            failure,
        });
    }

    fn other_ends(&mut self) {
        self.other(SipEvent::Ended {
            session: session(),
            reason: None,
            by: SipEndedBy::Remote,
        });
    }

    /// The browser gives its telephone to that number.
    fn gives_to(&mut self, to: &str) {
        let transfer = TransferCall {
            call: self.machine.name.clone(),
            to: Some(to.into()),
            with: None,
        };
        self.input(Input::Browser(
            Device::CALLER,
            ClientMessage::Transfer(transfer),
        ));
    }

    fn refer_answered(&mut self, status: Option<u16>) {
        self.sip(SipEvent::ReferAnswered {
            session: session(),
            status: status.map(|status| StatusCode::new(status).unwrap()),
        });
    }

    fn refer_progress(&mut self, status: u16) {
        self.sip(SipEvent::ReferProgress {
            session: session(),
            status: StatusCode::new(status).unwrap(),
            last: status >= 200,
        });
    }

    /// What the browser was told of transfers.
    fn transfers(&self) -> Vec<TransferState> {
        let state = |message: &ServerMessage| match message {
            ServerMessage::Transfer { state, .. } => Some(*state),
            _ => None,
        };
        self.browser.iter().filter_map(state).collect()
    }

    /// Where the worker sends the browser's audio.
    fn media_goes_to(&self) -> String {
        let bridge = |command: &MediaCommand| match command {
            MediaCommand::Bridge(_, _, media) => Some(media.rtp.to_string()),
            _ => None,
        };
        self.media.iter().rev().find_map(bridge).unwrap()
    }

    fn ends_cleanly(&mut self) {
        self.hangs_up();
        self.media_closes();
        self.phone_ends(SipEndedBy::Local);
    }
}

#[test]
fn the_telephone_gives_us_to_another_who_takes_its_place() {
    let mut story = talking();
    story.referred("sip:+4989@pbx.example");
    assert_eq!(story.sip, ["REFER 202"]);
    assert_eq!(story.other, ["INVITE"]);
    assert_eq!(story.targets.last().unwrap(), "sip:+4989@pbx.example");
    story.other_rings();
    story.other_answers();
    assert_eq!(story.sip[1..], ["NOTIFY 180", "NOTIFY 200", "other taken"]);
    assert_eq!(story.media_goes_to(), "192.0.2.77:7000");
    assert_eq!(story.transfers(), [TransferState::Done]);
    // From now on it is the telephone.
    story.sip.clear();
    story.ends_cleanly();
    assert_eq!((story.sip.as_slice(), story.other.len()), (&["BYE"][..], 1));
    let record = story.record();
    assert_eq!(record.cause.code, CauseCode::Normal);
    let [transfer] = record.transfers.as_slice() else {
        panic!("{:?}", record.transfers);
    };
    assert_eq!(transfer.by, EndedBy::Phone);
    assert_eq!(transfer.done_by, Some(EndedBy::Gateway));
    assert!(!transfer.attended && transfer.failure.is_none());
}

#[test]
fn one_that_has_spoken_to_the_other_before_names_the_call_that_ours_replaces() {
    let mut story = talking();
    story.referred("<sip:4989@pbx.example?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>");
    let dial = story.dialed.last().unwrap();
    assert_eq!(dial.replaces.as_ref().unwrap().call_id, "a@b");
    assert_eq!(dial.target.to_string(), "sip:4989@pbx.example");
    story.other_answers();
    story.ends_cleanly();
    assert!(story.record().transfers[0].attended);
}

#[test]
fn a_telephone_that_hangs_up_at_once_has_still_given_us_to_the_other() {
    let mut story = talking();
    story.referred("sip:+4989@pbx.example");
    story.phone_ends(SipEndedBy::Remote);
    assert!(story.records.is_empty());
    story.other_rings();
    assert_eq!(story.transfers(), [TransferState::Ringing]);
    story.other_answers();
    assert_eq!(story.media_goes_to(), "192.0.2.77:7000");
    story.ends_cleanly();
    assert_eq!(story.record().cause.code, CauseCode::Normal);
}

#[test]
fn where_the_other_does_not_answer_we_go_on_with_the_one_who_is_there() {
    let mut story = talking();
    story.referred("sip:+4989@pbx.example");
    story.other_fails(486);
    assert_eq!(story.sip, ["REFER 202", "NOTIFY 486"]);
    assert_eq!(story.transfers(), []);
    story.referred("sip:+4989@pbx.example");
    story.time_passes();
    assert_eq!(story.sip[2..], ["REFER 202", "NOTIFY 480"]);
    assert_eq!(story.other.last(), Some(&"abandoned"));
    story.ends_cleanly();
    let failures = story.record().transfers.iter();
    assert!(failures.clone().all(|transfer| transfer.failure.is_some()));
    assert_eq!(failures.count(), 2);
    // And where nobody is there, the call is over, for the reason that it was.
    let mut story = talking();
    story.referred("sip:+4989@pbx.example");
    story.phone_ends(SipEndedBy::Remote);
    story.other_fails(486);
    story.media_closes();
    assert_eq!(story.record().cause.code, CauseCode::Busy);
}

#[test]
fn nobody_is_given_where_he_may_not_call() {
    let permit = || Permit {
        dial: Some(vec![Pattern::parse("+49*").unwrap()]),
        ..Permit::default()
    };
    for to in [
        "sip:+1900@pbx.example",
        "sip:+4930@elsewhere.example",
        "tel:+1900",
        "<sip:+1900@pbx.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        "<sip:0900123;x=1@pbx.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        "<sip:*31%230900123@pbx.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        "<sip:118118@pbx.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        "<sip:0900123a@pbx.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        "sip:pbx.example",
    ] {
        let mut story = talking_permitted(permit());
        story.referred(to);
        assert_eq!(story.sip, ["REFER 403"], "{to}");
        assert!(story.other.is_empty());
    }
    let mut story = talking_permitted(permit());
    story.referred("tel:+4989");
    assert_eq!(story.sip, ["REFER 202"]);
    story.referred("tel:+4989");
    assert_eq!(story.sip[1..], ["REFER 491"]);
}

#[test]
fn a_call_in_place_of_another_goes_to_no_blocked_number_however_it_is_written() {
    let plan = || DialPlan {
        country_code: "49".into(),
        blocked: vec![Pattern::parse("+49900*").unwrap()],
        ..DialPlan::default()
    };
    for (user, status) in [
        ("0900123", "REFER 403"),
        ("0900123a", "REFER 403"),
        ("09-00x123", "REFER 403"),
        ("1042", "REFER 202"),
        ("line-2", "REFER 202"),
    ] {
        let mut story = talking_where(Permit::default(), plan());
        let to = format!("<sip:{user}@pbx.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>");
        story.referred(&to);
        assert_eq!(story.sip, [status], "{user}");
    }
}

#[test]
fn a_trunk_that_may_not_transfer_does_not() {
    let mut trunks = trunks(&["pbx.example"]);
    trunks[0].transfers = false;
    let environment = environment_of(trunks, DialPlan::default());
    let mut story = calling("+4930", &environment, Permit::default());
    story.is_out(0);
    story.answered(Some(PHONE_SDP));
    story.sip.clear();
    story.referred("sip:+4989@pbx.example");
    assert_eq!(story.sip, ["REFER 403"]);
}

#[test]
fn a_browser_that_hangs_up_meanwhile_ends_both() {
    let mut story = talking();
    story.referred("sip:+4989@pbx.example");
    story.hangs_up();
    assert_eq!(
        (story.sip.last(), story.other.last()),
        (Some(&"BYE"), Some(&"BYE"))
    );
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    assert!(story.records.is_empty(), "the other is waited for too");
    story.other_fails(487);
    assert_eq!(story.record().cause.code, CauseCode::Normal);
}

#[test]
fn the_browser_gives_its_telephone_to_another_and_is_out_of_it() {
    let mut story = talking();
    story.gives_to("+4989");
    assert_eq!(story.sip, ["REFER"]);
    story.refer_answered(Some(202));
    story.refer_progress(100);
    story.refer_progress(180);
    story.refer_progress(200);
    use TransferState::{Ringing, Trying};
    assert_eq!(story.transfers(), [Trying, Ringing]);
    assert_eq!(story.cause(), CauseCode::Transferred);
    assert_eq!(story.sip, ["REFER", "BYE"]);
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    let record = story.record();
    assert_eq!(record.transfers[0].done_by, Some(EndedBy::Phone));
    assert_eq!(record.ended_by, EndedBy::Browser);
}

#[test]
fn a_telephone_that_hangs_up_because_it_was_given_away_says_no_more() {
    let mut story = talking();
    story.gives_to("+4989");
    story.refer_answered(Some(202));
    story.phone_ends(SipEndedBy::Remote);
    assert_eq!(story.cause(), CauseCode::Transferred);
}

#[test]
fn what_becomes_of_nothing_is_told_and_the_call_goes_on() {
    let mut story = talking();
    story.gives_to("+4989");
    story.refer_answered(Some(202));
    story.refer_progress(486);
    use TransferState::{Failed, Trying};
    assert_eq!(story.transfers(), [Trying, Failed]);
    // They may say nothing at all.
    story.gives_to("+4989");
    story.refer_answered(Some(202));
    story.time_passes();
    assert_eq!(story.transfers(), [Trying, Failed, Trying, Failed]);
    story.ends_cleanly();
    assert_eq!(story.record().cause.code, CauseCode::Normal);
}

#[test]
fn where_the_telephone_will_not_the_gateway_joins_the_two_itself() {
    for refused in [Some(603), Some(405), Some(403), None] {
        let mut story = talking();
        story.gives_to("+4989");
        story.refer_answered(refused);
        assert_eq!(story.other, ["INVITE"], "{refused:?}");
        let offer = String::from_utf8(story.dialed.last().unwrap().body.clone()).unwrap();
        assert!(
            offer.contains("192.0.2.5") && offer.contains("m=audio 20100"),
            "its media has a place of its own: {offer}"
        );
        story.other_rings();
        story.other_answers();
        assert_eq!(story.sip, ["REFER"], "the first notices nothing");
        assert_eq!(story.cause(), CauseCode::Transferred);
        let other = story.reached(LegName::Other).unwrap();
        assert_eq!(other.rtp.to_string(), "192.0.2.77:7000");
        assert!(!matches!(story.media.last(), Some(MediaCommand::Close(_))));
        story.media(MediaEvent::BrowserLeft(Box::default()));
        story.media(MediaEvent::NotAdded(crate::worker::OpenError::NoPort(
            "192.0.2.5".parse().unwrap(),
        )));
        story.media(MediaEvent::PeerClosed);
        story.input(Input::BrowserGone(Device::CALLER));
        assert!(story.records.is_empty(), "the two go on");
        story.now += Duration::from_secs(60);
        story.other_ends();
        assert_eq!(story.sip.last(), Some(&"BYE"));
        story.media_closes();
        story.phone_ends(SipEndedBy::Local);
        let record = story.record();
        assert_eq!(record.transfers[0].done_by, Some(EndedBy::Gateway));
        assert!(record.talk_ms >= 60_000);
    }
}

#[test]
fn that_there_are_no_ports_is_of_who_waits_for_them_alone() {
    let mut story = talking();
    story.gives_to("+4989");
    story.refer_answered(Some(603));
    story.media(MediaEvent::NotAdded(crate::worker::OpenError::NoPort(
        "192.0.2.5".parse().unwrap(),
    )));
    story.other_answers();
    assert_eq!(story.cause(), CauseCode::Transferred);
}

#[test]
fn the_record_is_of_the_browsers_part_and_of_its_telephone() {
    let mut story = talking();
    let trouble = Some(OneWay::PhoneSendsNothing);
    story.media(MediaEvent::OneWay(trouble));
    story.gives_to("+4989");
    story.refer_answered(Some(603));
    story.other_answers();
    for leg in [::media::Leg::Browser, ::media::Leg::Trunk] {
        story.media(MediaEvent::FirstPacket(leg));
    }
    story.media(MediaEvent::TrunkConnected {
        leg: ::media::Leg::Browser,
        profile: "of the other".into(),
    });
    let (leg, silence) = (::media::Leg::Browser, Duration::from_secs(30));
    story.media(MediaEvent::Silent(leg, silence));
    // What was counted until the browser left is lost: these figures are not its own.
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    story.other_ends();
    let record = story.record();
    assert_eq!(record.phone_srtp, None);
    assert!(record.one_way[0].until_ms.is_some());
    assert!(record.media.is_none());
    let timeline = serde_json::to_string(&record.timeline).unwrap();
    for told in [
        "first audio from the other telephone",
        "first audio from the telephone",
        "DTLS with the other telephone is up",
        "nothing from the other telephone for 30 s",
    ] {
        assert!(timeline.contains(told), "{told}: {timeline}");
    }
}

#[test]
fn a_number_of_another_trunk_is_joined_and_not_asked_of_the_telephone() {
    let mut both = trunks(&["pbx.example", "carrier.example"]);
    both[0].choice.numbers = vec![Pattern::parse("1*").unwrap()];
    let environment = environment_of(both, DialPlan::default());
    let mut story = calling("100", &environment, Permit::default());
    story.is_out(0);
    story.answered(Some(PHONE_SDP));
    story.sip.clear();
    story.gives_to("+4989");
    assert!(story.sip.is_empty());
    assert_eq!(story.targets.last().unwrap(), "sip:+4989@carrier.example");
    story.other_fails(486);
    assert_eq!(story.transfers().last(), Some(&TransferState::Failed));
    story.ends_cleanly();
}

#[test]
fn two_that_are_joined_have_each_its_own_keys_changes_and_hold() {
    let mut both = trunks(&["pbx.example", "carrier.example"]);
    both[0].choice.numbers = vec![Pattern::parse("1*").unwrap()];
    both[1].srtp = TrunkSrtp::Dtls;
    let environment = environment_of(both, DialPlan::default());
    let mut story = calling("100", &environment, Permit::default());
    story.is_out(0);
    story.answered(Some(PHONE_SDP));
    story.sip.clear();
    story.gives_to("+4989");
    let offer = String::from_utf8(story.dialed.last().unwrap().body.clone()).unwrap();
    assert!(offer.contains("UDP/TLS/RTP/SAVP"), "{offer}");
    let fingerprint = offer.lines().find(|line| line.starts_with("a=fingerprint"));
    let secure = OTHER_SDP.replace("RTP/AVP", "UDP/TLS/RTP/SAVP");
    let secure = format!(
        "{secure}a=rtcp-mux\r\na=setup:active\r\n{}\r\n",
        fingerprint.unwrap()
    );
    let session = session();
    let body = Some(secure.clone().into());
    story.other(SipEvent::Answered {
        session,
        fork: None,
        body,
    });
    assert_eq!(story.cause(), CauseCode::Transferred);
    let srtp = |leg| story.reached(leg).unwrap().srtp.name();
    assert_eq!(
        (srtp(LegName::Phone), srtp(LegName::Other)),
        ("none", "DTLS-SRTP")
    );
    // Each is answered for itself, and the other hears nothing of it.
    let held = secure.replace("o=- 7 7", "o=- 7 8") + "a=sendonly\r\n";
    let body = Some(held.into());
    story.other(SipEvent::Offer {
        session,
        fork: None,
        body,
    });
    assert_eq!(story.other.last(), Some(&"re-200"));
    assert!(story.bodies.last().unwrap().contains("a=recvonly"));
    assert!(!story.reached(LegName::Other).unwrap().send);
    assert!(story.reached(LegName::Phone).unwrap().send);
    let moved = PHONE_SDP.replace("192.0.2.9", "192.0.2.10");
    let body = Some(moved.into());
    story.sip(SipEvent::Offer {
        session,
        fork: None,
        body,
    });
    assert_eq!(story.sip, ["re-200"]);
    let reached = story.reached(LegName::Phone).unwrap();
    assert_eq!(reached.rtp.to_string(), "192.0.2.10:4000");
    assert!(story.told().iter().all(|told| *told != "hold"));
}

#[test]
fn a_key_of_one_that_is_joined_reaches_the_other_as_that_takes_it() {
    let mut both = trunks(&["pbx.example", "carrier.example"]);
    both[0].choice.numbers = vec![Pattern::parse("1*").unwrap()];
    both[1].dtmf = TrunkDtmf::Info;
    let mut story = calling(
        "100",
        &environment_of(both, DialPlan::default()),
        Permit::default(),
    );
    story.is_out(0);
    story.answered(Some(PHONE_SDP));
    story.gives_to("+4989");
    story.other_answers();
    let session = session();
    let (key, duration) = ('5', Duration::from_millis(100));
    let digit = ::media::Digit::try_from(key).unwrap();
    let pressed = |leg| MediaEvent::Dtmf(leg, digit, duration);
    story.media(pressed(::media::Leg::Trunk));
    assert_eq!(story.other.last(), Some(&"INFO"));
    let key = DtmfInfo { key, duration };
    story.other(SipEvent::Info { session, key });
    let sent = |command: &MediaCommand| matches!(command, MediaCommand::Dtmf(_, ::media::Leg::Trunk, sent, _) if *sent == digit);
    let crossed = |story: &Story| story.media.iter().filter(|command| sent(command)).count();
    assert_eq!(crossed(&story), 1);
    // Each of them that sends a key both ways is heard once; its media cross by themselves.
    story.media(pressed(::media::Leg::Browser));
    story.other(SipEvent::Info { session, key });
    assert_eq!(crossed(&story), 1);
    let asked = story.other.len();
    story.sip(SipEvent::Info { session, key });
    assert_eq!(story.other.len(), asked);
}

#[test]
fn a_call_without_an_offer_may_take_the_telephones_place_too() {
    let mut story = talking();
    let trunk = crate::settings::Trunk::at("sip:pbx.example".parse().unwrap());
    story.input(Input::Replaced(Box::new(Replacement {
        caller: Caller::default(),
        offer: Vec::new(),
        trunk: Arc::new(trunk),
        seat: None,
    })));
    assert_eq!(
        (story.other.as_slice(), story.sip.as_slice()),
        (&["200"][..], &["other taken"][..])
    );
    assert!(story.bodies.last().unwrap().contains("m=audio 20000"));
    let (session, body) = (session(), Some(OTHER_SDP.into()));
    story.sip(SipEvent::Confirmed { session, body });
    assert_eq!(story.media_goes_to(), "192.0.2.77:7000");
    story.ends_cleanly();
}

#[test]
fn nobody_takes_the_place_of_a_telephone_that_is_being_replaced_or_joined() {
    let mut story = talking();
    assert!(story.machine.may_be_replaced());
    story.referred("sip:+4989@pbx.example");
    assert!(!story.machine.may_be_replaced());
    let mut joined = talking();
    joined.gives_to("+4989");
    joined.refer_answered(Some(603));
    joined.other_answers();
    assert!(!joined.machine.may_be_replaced());
    // Whatever becomes of one of the two, the other is told.
    joined.input(Input::Other(Box::new(Input::LegLost)));
    assert_eq!(joined.sip.last(), Some(&"BYE"));
}

#[test]
fn where_there_is_no_port_for_another_the_browser_keeps_the_telephone() {
    let mut story = talking();
    story.no_ports = true;
    story.gives_to("+4989");
    story.refer_answered(Some(603));
    assert!(story.other.is_empty());
    assert_eq!(story.transfers().last(), Some(&TransferState::Failed));
    // A worker that says nothing at all is not waited for either.
    story.gives_to("+4989");
    story.refer_answered(Some(603));
    story.ends_cleanly();
}

#[test]
fn an_answer_that_nobody_waits_for_is_hung_up_on() {
    let mut story = talking();
    story.other_answers();
    assert_eq!(story.other, ["BYE"]);
}

#[test]
fn a_browser_gives_nobody_where_it_may_not_call_itself() {
    let mut story = talking_permitted(Permit {
        dial: Some(vec![Pattern::parse("+49*").unwrap()]),
        ..Permit::default()
    });
    story.gives_to("+1900");
    assert!(story.sip.is_empty() && story.other.is_empty());
    assert_eq!(story.told().last(), Some(&"error"));
    let mut ringing = Story::calling();
    ringing.gives_to("+4989");
    assert_eq!(ringing.told().last(), Some(&"error"));
}

#[test]
fn another_call_may_take_the_telephones_place() {
    let mut story = talking();
    let trunk = crate::settings::Trunk::at("sip:pbx.example".parse().unwrap());
    let replacement = |offer: &str, trunk: &crate::settings::Trunk| {
        Input::Replaced(Box::new(Replacement {
            caller: Caller {
                number: Some("+4989".into()),
                display_name: Some("Carol".into()),
            },
            offer: offer.into(),
            trunk: Arc::new(trunk.clone()),
            seat: None,
        }))
    };
    story.input(replacement("nonsense", &trunk));
    assert_eq!(story.other, ["488"]);
    story.input(replacement(OTHER_SDP, &trunk));
    assert_eq!(story.other, ["488", "200"]);
    assert_eq!(story.sip, ["other taken"]);
    assert_eq!(story.media_goes_to(), "192.0.2.77:7000");
    let told = story.browser.last().unwrap();
    assert!(
        matches!(told, ServerMessage::Transfer { to: Some(to), name: Some(name), .. } if to == "+4989" && name == "Carol"),
        "{told:?}"
    );
    story.ends_cleanly();
    assert!(story.record().transfers[0].attended);
}

#[test]
fn where_a_trunk_does_not_serve_the_other_is_called_by_the_next() {
    let both = || environment_of(trunks(&["pbx.example", "b.example"]), DialPlan::default());
    let up = || {
        let mut story = calling("+4930", &both(), Permit::default());
        story.is_out(0);
        story.answered(Some(PHONE_SDP));
        story.gives_to("+4989");
        // It is asked itself where its own trunk is the first; else the gateway calls.
        if story.sip.last() == Some(&"REFER") {
            story.refer_answered(Some(603));
        }
        story
    };
    let mut refused = up();
    refused.other_fails(503);
    assert_eq!(refused.other, ["INVITE", "INVITE"]);
    let [.., first, second] = refused.targets.as_slice() else {
        panic!("{:?}", refused.targets);
    };
    assert_ne!(first, second);
    refused.other_fails(503);
    assert_eq!(refused.transfers().last(), Some(&TransferState::Failed));
    let mut silent = up();
    let before = silent.now - silent.start;
    assert_eq!(silent.time_passes() - before, Duration::from_secs(3));
    assert_eq!(silent.other, ["INVITE", "abandoned", "INVITE"]);
    silent.other_answers();
    assert_eq!(silent.cause(), CauseCode::Transferred);
    // One that has rung is not called again, and none that is busy.
    let mut rang = up();
    rang.other_rings();
    rang.other_fails(503);
    let mut busy = up();
    busy.other_fails(486);
    for story in [rang, busy] {
        assert_eq!(story.other, ["INVITE"]);
        assert_eq!(story.transfers().last(), Some(&TransferState::Failed));
    }
}

#[test]
fn of_two_that_are_joined_one_that_asks_for_an_offer_gets_ours() {
    let mut story = talking();
    story.gives_to("+4989");
    story.refer_answered(Some(603));
    story.other_answers();
    let session = session();
    story.sip(SipEvent::Offer {
        session,
        fork: None,
        body: None,
    });
    assert_eq!(story.sip.last(), Some(&"re-200"));
    assert!(story.bodies.last().unwrap().contains("m=audio 20000"));
    story.other(SipEvent::Offer {
        session,
        fork: None,
        body: None,
    });
    assert!(story.bodies.last().unwrap().contains("m=audio 20100"));
    let moved = OTHER_SDP.replace("192.0.2.77", "192.0.2.78");
    let body = Some(moved.into());
    story.other(SipEvent::Confirmed { session, body });
    let moved = PHONE_SDP.replace("192.0.2.9", "192.0.2.10");
    let body = Some(moved.into());
    story.sip(SipEvent::Confirmed { session, body });
    let reached = |leg| story.reached(leg).unwrap().rtp.to_string();
    assert_eq!(reached(LegName::Other), "192.0.2.78:7000");
    assert_eq!(reached(LegName::Phone), "192.0.2.10:4000");
}

#[test]
fn one_that_answers_without_sdp_is_joined_with_nobody() {
    let mut story = talking();
    story.gives_to("+4989");
    story.refer_answered(Some(603));
    story.other(SipEvent::Answered {
        session: session(),
        fork: None,
        body: None,
    });
    assert_eq!(story.other, ["INVITE", "abandoned"]);
    assert_eq!(story.sip, ["REFER"]);
    assert_eq!(story.transfers().last(), Some(&TransferState::Failed));
    story.ends_cleanly();
}
