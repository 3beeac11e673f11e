//! Calls of telephones.

use super::*;
use crate::settings::Trunk;
use crate::signaling::message::{AcceptCall, RejectCall, RejectReason};

const CALLER_SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

impl Story {
    /// A call to a user with so many devices.
    pub(super) fn called(devices: usize, offer: &str, trunk: Trunk) -> Self {
        let start = Instant::now();
        let arrival = Arrival {
            id: CallId(1),
            name: CallName::incoming(CallId(1)),
            caller: Caller {
                number: Some("+4930".into()),
                display_name: Some("Bob".into()),
            },
            to: "100".into(),
            identity: identity(Permit::default()),
            forward: Forward::default(),
            ring_time: Duration::from_secs(20),
            headers: BTreeMap::new(),
            diverted: Default::default(),
            signed: Default::default(),
            offer: offer.as_bytes().to_vec(),
            trunk: Arc::new(trunk),
            seat: None,
            sessions: (0..devices).map(|device| format!("s{device}")).collect(),
            candidates: vec!["127.0.0.1:7000".parse().unwrap()],
            wall: SystemTime::UNIX_EPOCH,
            seed: [1; 32],
        };
        let machine = Machine::called(start, environment(None), arrival);
        Self::of(machine, start)
    }

    fn rings(devices: usize) -> Self {
        let trunk = Trunk::at("sip:192.0.2.9".parse().unwrap());
        Self::called(devices, CALLER_SDP, trunk)
    }

    fn says(&mut self, device: u8, message: ClientMessage) {
        self.input(Input::Browser(Device(device), message));
    }

    fn accepts(&mut self, device: u8, sdp: &str) {
        let (call, sdp) = (self.machine.name.clone(), sdp.to_owned());
        self.says(device, ClientMessage::Accept(AcceptCall { call, sdp }));
    }

    fn rejects(&mut self, device: u8, reason: RejectReason) {
        let call = self.machine.name.clone();
        self.says(device, ClientMessage::Reject(RejectCall { call, reason }));
    }

    fn media_opens(&mut self) {
        self.media(MediaEvent::Opened {
            rtp: RTP.parse().unwrap(),
            rtcp: RTCP.parse().unwrap(),
        });
    }

    fn confirmed(&mut self, sdp: Option<&str>) {
        self.sip(SipEvent::Confirmed {
            session: session(),
            body: sdp.map(|sdp| sdp.as_bytes().to_vec()),
        });
    }

    fn cancelled(&mut self) {
        self.sip(SipEvent::Cancelled {
            session: session(),
            reason: None,
        });
    }

    fn hangup_of(&self, device: u8) -> CauseCode {
        let mut messages = self.devices.iter().zip(&self.browser);
        let hangup = messages.find_map(|(one, message)| match message {
            ServerMessage::Hangup { cause, .. } if *one == Device(device) => Some(cause.code),
            _ => None,
        });
        hangup.expect("the end")
    }
}

#[test]
fn every_device_rings_and_the_first_that_accepts_has_the_call() {
    let mut story = Story::rings(3);
    assert_eq!(story.told(), ["incoming"; 3]);
    assert_eq!(story.sip, ["180"]);
    let Some(ServerMessage::Incoming { from, name, to, .. }) = story.browser.first() else {
        panic!("{:?}", story.browser);
    };
    assert_eq!(
        (from.as_deref(), name.as_deref(), to.as_str()),
        (Some("+4930"), Some("Bob"), "100")
    );

    story.accepts(1, OFFER);
    story.accepts(2, OFFER);
    assert_eq!(story.hangup_of(0), CauseCode::AnsweredElsewhere);
    assert_eq!(story.hangup_of(2), CauseCode::AnsweredElsewhere);
    story.media_opens();
    assert_eq!(story.told_device(1), ["incoming", "answer", "accepted"]);
    assert_eq!(story.told_device(2), ["incoming", "hangup"]);
    assert!(story.browser.iter().any(|message| matches!(
        message,
        ServerMessage::Answer {
            provisional: false,
            ..
        }
    )));
    assert_eq!(story.sip, ["180", "200"]);
    assert!(story.bodies[0].contains("m=audio 20000 RTP/AVP"));
    assert!(
        story
            .media
            .iter()
            .any(|command| matches!(command, MediaCommand::Bridge(_, _, media) if media.rtp == "192.0.2.9:4000".parse().unwrap()))
    );
    story.confirmed(None);

    story.phone_ends(SipEndedBy::Remote);
    story.media_closes();
    assert_eq!(story.hangup_of(1), CauseCode::Normal);
    let record = story.record();
    assert_eq!(record.direction, Direction::Inbound);
    assert_eq!(record.session, "s1");
    assert_eq!(record.user.as_deref(), Some("alice"));
    assert_eq!(record.from.as_deref(), Some("+4930"));
    assert_eq!(record.ended_by, EndedBy::Phone);
    assert_eq!(story.sip, ["180", "200"]);
}

#[test]
fn a_user_who_declines_declines_for_all_his_devices() {
    let mut story = Story::rings(2);
    story.rejects(1, RejectReason::Declined);
    assert_eq!(story.sip, ["180", "603"]);
    assert_eq!(story.hangup_of(0), CauseCode::Rejected);
    assert_eq!(story.hangup_of(1), CauseCode::Rejected);
    assert_eq!(story.record().cause.code, CauseCode::Rejected);
    assert_eq!(story.record().ended_by, EndedBy::Browser);
}

#[test]
fn a_user_who_hangs_up_as_he_answers_declines() {
    let mut story = Story::rings(2);
    story.accepts(0, OFFER);
    story.hangs_up();
    story.media_closes();
    assert_eq!(story.sip, ["180", "603"]);
    assert_eq!(story.record().cause.code, CauseCode::Rejected);
}

#[test]
fn a_busy_device_leaves_the_others_ringing_and_the_last_one_ends_the_call() {
    let mut story = Story::rings(2);
    story.rejects(0, RejectReason::Busy);
    assert_eq!(story.told_device(0), ["incoming", "hangup"]);
    assert_eq!(story.sip, ["180"]);
    story.input(Input::BrowserGone(Device(1)));
    assert_eq!(story.sip, ["180", "486"]);
    assert_eq!(story.record().cause.code, CauseCode::Busy);
}

#[test]
fn with_every_device_gone_the_user_cannot_be_reached() {
    let mut story = Story::rings(2);
    story.input(Input::BrowserGone(Device(0)));
    story.input(Input::BrowserGone(Device(0)));
    assert_eq!(story.sip, ["180"]);
    story.input(Input::BrowserGone(Device(1)));
    assert_eq!(story.sip, ["180", "480"]);
    assert_eq!(story.record().cause.code, CauseCode::Unavailable);
}

#[test]
fn a_caller_who_gives_up_ends_the_ringing() {
    let mut story = Story::rings(2);
    story.cancelled();
    assert_eq!(story.hangup_of(0), CauseCode::Cancelled);
    assert_eq!(story.hangup_of(1), CauseCode::Cancelled);
    assert_eq!(story.sip, ["180"], "the endpoint has answered already");
    assert_eq!(story.record().ended_by, EndedBy::Phone);
}

#[test]
fn a_caller_who_gives_up_as_a_device_accepts_ends_the_call_once() {
    let mut story = Story::rings(2);
    story.accepts(0, OFFER);
    story.cancelled();
    story.media_opens();
    story.media_closes();
    assert_eq!(story.told_device(0), ["incoming", "hangup"]);
    assert_eq!(story.sip, ["180"]);
    assert_eq!(story.record().cause.code, CauseCode::Cancelled);
}

#[test]
fn nobody_who_answers_is_a_call_without_answer() {
    let mut story = Story::rings(1);
    assert_eq!(story.time_passes(), Duration::from_secs(60));
    assert_eq!(story.sip, ["180", "480"]);
    assert_eq!(story.hangup_of(0), CauseCode::NoAnswer);
    assert_eq!(story.record().cause.code, CauseCode::NoAnswer);
}

#[test]
fn a_device_with_a_bad_offer_may_try_again_and_the_others_may_take_the_call() {
    let mut story = Story::rings(2);
    story.accepts(0, "v=0\r\n");
    assert_eq!(story.told_device(0), ["incoming", "error"]);
    assert_eq!(story.told_device(1), ["incoming"]);
    assert_eq!(story.sip, ["180"]);
    story.accepts(0, OFFER);
    assert_eq!(story.hangup_of(1), CauseCode::AnsweredElsewhere);
}

#[test]
fn what_belongs_to_a_call_that_is_up_is_an_error_while_it_rings() {
    let mut story = Story::rings(1);
    let call = story.machine.name.clone();
    let digits = SendDtmf {
        call,
        digits: "1".into(),
        duration_ms: 100,
    };
    story.says(0, ClientMessage::Dtmf(digits));
    assert_eq!(story.told(), ["incoming", "error"]);
    story.accepts(0, OFFER);
    story.media_opens();
    story.rejects(0, RejectReason::Declined);
    assert_eq!(story.told().last(), Some(&"error"));
    assert_eq!(story.sip, ["180", "200"]);
}

#[test]
fn the_media_that_cannot_be_opened_is_the_gateways_fault_to_the_caller() {
    let mut story = Story::rings(1);
    story.accepts(0, OFFER);
    story.media(MediaEvent::Refused(crate::worker::OpenError::NoPort(
        "127.0.0.1".parse().unwrap(),
    )));
    assert_eq!(story.sip, ["180", "503"]);
    assert_eq!(story.record().cause.code, CauseCode::Overloaded);
}

#[test]
fn a_call_that_cannot_be_answered_does_not_ring() {
    let trunk = || Trunk::at("sip:192.0.2.9".parse().unwrap());
    let secure = Trunk {
        srtp: TrunkSrtp::Sdes,
        ..trunk()
    };
    let video = CALLER_SDP.replace("m=audio", "m=video");
    let foreign = CALLER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 18");
    for (offer, trunk) in [
        (video.as_str(), trunk()),
        (foreign.as_str(), trunk()),
        ("rubbish", trunk()),
        (CALLER_SDP, secure),
    ] {
        let story = Story::called(2, offer, trunk);
        assert_eq!(story.sip, ["488"], "{offer}");
        assert!(story.browser.is_empty());
        assert_eq!(story.record().cause.code, CauseCode::NotAcceptable);
    }
}

#[test]
fn an_invite_without_an_offer_is_answered_with_one_and_the_ack_joins_the_media() {
    let trunk = Trunk::at("sip:192.0.2.9".parse().unwrap());
    let mut story = Story::called(1, "", trunk);
    story.accepts(0, OFFER);
    story.media_opens();
    assert_eq!(story.sip, ["180", "200"]);
    assert!(story.bodies[0].contains("m=audio 20000 RTP/AVP 0 8 101"));
    let bridged = |story: &Story| {
        let bridges = |command: &&MediaCommand| matches!(command, MediaCommand::Bridge(..));
        story.media.iter().filter(bridges).count()
    };
    assert_eq!(bridged(&story), 0);
    story.confirmed(Some(PHONE_SDP));
    assert_eq!(bridged(&story), 1);
    story.confirmed(Some(PHONE_SDP));
    assert_eq!(bridged(&story), 1, "once");
    assert_eq!(story.told(), ["incoming", "answer", "accepted"]);

    let trunk = Trunk::at("sip:192.0.2.9".parse().unwrap());
    let mut story = Story::called(1, "", trunk);
    story.accepts(0, OFFER);
    story.media_opens();
    story.confirmed(None);
    assert_eq!(story.sip, ["180", "200", "BYE"]);
    assert_eq!(story.hangup_of(0), CauseCode::NotAcceptable);
}

#[test]
fn a_gateway_that_goes_down_stops_the_ringing() {
    let mut story = Story::rings(2);
    story.input(Input::Shutdown);
    assert_eq!(story.sip, ["180", "503"]);
    assert_eq!(story.hangup_of(1), CauseCode::ShuttingDown);
    assert_eq!(story.record().cause.code, CauseCode::ShuttingDown);
}
