//! The machine in virtual time: each test is a story of what happens and what the two sides see.

mod attended;
mod dialing;
mod forwarding;
mod hold;
mod keys;
mod media;
mod ringing;
mod signed;
mod transfer;

use ::media::Digit;
use sip::StatusCode;
use sip::endpoint::{EndedBy as SipEndedBy, Failure};

use super::*;
use crate::call::dial_plan::DialPlan;
use crate::settings::{TrunkDtmf, TrunkSrtp};
use crate::signaling::message::{Hangup, Reoffer, SendDtmf};
use crate::trunks::Trunks;
use crate::worker::OneWay;

const OFFER: &str = include_str!("../../../../../sdp/testdata/browser/chromium-audio.sdp");
const RTP: &str = "127.0.0.1:20000";
const RTCP: &str = "127.0.0.1:20001";
const OTHER_RTP: &str = "192.0.2.5:20100";
const OTHER_RTCP: &str = "192.0.2.5:20101";
const PHONE_SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// A call, and everything it asked for so far.
struct Story {
    machine: Machine,
    start: Instant,
    now: Instant,
    browser: Vec<ServerMessage>,
    /// Whom each of them was for.
    devices: Vec<Device>,
    media: Vec<MediaCommand>,
    opened: Option<OpenCall>,
    sip: Vec<&'static str>,
    /// The same with the other telephone.
    other: Vec<&'static str>,
    dialed: Vec<Dial>,
    /// Whom each INVITE was for.
    targets: Vec<String>,
    /// The SDP of each answer to the telephone.
    bodies: Vec<String>,
    /// What other calls are asked.
    consults: Vec<(CallId, Wish)>,
    records: Vec<CallRecord>,
    /// The worker has no ports for another telephone.
    no_ports: bool,
}

impl Story {
    fn dial(to: &str, offer: &str) -> Self {
        Self::dial_by(to, offer, None)
    }

    /// A call of a user who may do that.
    fn dial_permitted(to: &str, permit: Permit) -> Self {
        let start = Instant::now();
        let setup = Setup {
            identity: Some(identity(permit)),
            ..setup(to, OFFER)
        };
        let trunk = crate::settings::Trunk::at("sip:192.0.2.9".parse().unwrap());
        let machine = Machine::new(start, environment(Some(trunk)), setup);
        Self::of(machine, start)
    }

    fn dial_by(to: &str, offer: &str, trunk: Option<crate::settings::Trunk>) -> Self {
        let start = Instant::now();
        let setup = setup(to, offer);
        let machine = Machine::new(start, environment(trunk), setup);
        Self::of(machine, start)
    }

    fn of(machine: Machine, start: Instant) -> Self {
        let mut story = Self {
            machine,
            start,
            now: start,
            browser: vec![],
            devices: vec![],
            media: vec![],
            opened: None,
            sip: vec![],
            other: vec![],
            dialed: vec![],
            targets: vec![],
            bodies: vec![],
            records: vec![],
            consults: vec![],
            no_ports: false,
        };
        story.take_actions();
        story
    }

    /// A call whose INVITE is out.
    fn calling() -> Self {
        let mut story = Self::dial("echo", OFFER);
        story.media(MediaEvent::Opened {
            rtp: RTP.parse().unwrap(),
            rtcp: RTCP.parse().unwrap(),
        });
        story.is_out(0);
        story
    }

    fn talking() -> Self {
        let mut story = Self::calling();
        story.answered(Some(PHONE_SDP));
        story
    }

    /// The INVITE is out, to the first of so many addresses more.
    fn is_out(&mut self, others: usize) {
        let to = "192.0.2.9:5060".parse().unwrap();
        self.input(Input::Dialed { to, others });
    }

    fn take_actions(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Browser(device, message) => {
                    self.devices.push(device);
                    self.browser.push(message);
                }
                // Between telephones the worker is quick; what a browser's waits for is told by the tests.
                Action::OpenMedia(open) => {
                    if open.browser.is_none() {
                        let (rtp, rtcp) = (RTP.parse().unwrap(), RTCP.parse().unwrap());
                        let opened = Input::Media(MediaEvent::Opened { rtp, rtcp });
                        self.machine.handle(self.now, opened);
                    }
                    self.opened = Some(*open);
                }
                Action::Media(MediaCommand::AddTelephone(..)) => {
                    let (rtp, rtcp) = (OTHER_RTP.parse().unwrap(), OTHER_RTCP.parse().unwrap());
                    let added = match self.no_ports {
                        false => MediaEvent::Added { rtp, rtcp },
                        true => MediaEvent::NotAdded(crate::worker::OpenError::NoPort(rtp.ip())),
                    };
                    self.machine.handle(self.now, Input::Media(added));
                }
                Action::Media(command) => self.media.push(command),
                Action::Phone(LegName::Phone, action) => {
                    let what = self.phone_action(action);
                    self.sip.push(what);
                }
                Action::Phone(LegName::Other, action) => {
                    let what = self.phone_action(action);
                    self.other.push(what);
                }
                Action::TakeOther(_) => self.sip.push("other taken"),
                Action::Consult(call, wish) => self.consults.push((call, wish)),
                Action::Finished(record) => self.records.push(*record),
            }
        }
    }

    fn phone_action(&mut self, action: PhoneAction) -> &'static str {
        let body = match &action {
            PhoneAction::Offer(body)
            | PhoneAction::AnswerOffer(Ok(body))
            | PhoneAction::Accept(body) => Some(body),
            PhoneAction::Dial(dial) => {
                self.targets.push(dial.target.to_string());
                self.dialed.push(Dial::clone(dial));
                None
            }
            _ => None,
        };
        if let Some(body) = body {
            self.bodies.push(String::from_utf8(body.clone()).unwrap());
        }
        match action {
            PhoneAction::Dial(_) => "INVITE",
            PhoneAction::DialNextAddress => "next address",
            PhoneAction::Abandon(_) => "abandoned",
            PhoneAction::Cancel(_) => "CANCEL",
            PhoneAction::Bye(_) => "BYE",
            PhoneAction::Info(_) => "INFO",
            PhoneAction::Offer(_) => "re-INVITE",
            PhoneAction::AnswerOffer(Ok(_)) => "re-200",
            PhoneAction::AnswerOffer(Err(status)) => match status.code() {
                403 => "re-403",
                488 => "re-488",
                491 => "re-491",
                other => panic!("refused with {other}"),
            },
            PhoneAction::Ring => "180",
            PhoneAction::Accept(_) => "200",
            PhoneAction::Reject(status, _) => match status.code() {
                480 => "480",
                486 => "486",
                488 => "488",
                491 => "491",
                503 => "503",
                603 => "603",
                other => panic!("refused with {other}"),
            },
            PhoneAction::Refer(ReferTarget::To(_)) => "REFER",
            PhoneAction::Refer(ReferTarget::Leg(_)) => "REFER to another call",
            PhoneAction::AnswerRefer(status) => match status.code() {
                202 => "REFER 202",
                403 => "REFER 403",
                491 => "REFER 491",
                other => panic!("a transfer is answered with {other}"),
            },
            PhoneAction::Notify(status) => match status.code() {
                180 => "NOTIFY 180",
                200 => "NOTIFY 200",
                480 => "NOTIFY 480",
                486 => "NOTIFY 486",
                other => panic!("NOTIFY {other}"),
            },
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        self.take_actions();
    }

    fn media(&mut self, event: MediaEvent) {
        self.input(Input::Media(event));
    }

    /// How the worker is told to reach the telephone on that leg: the last word.
    fn reached(&self, leg: LegName) -> Option<&crate::worker::TrunkMedia> {
        self.media.iter().rev().find_map(|command| match command {
            MediaCommand::Bridge(_, of, media) if *of == leg.in_media() => Some(&**media),
            _ => None,
        })
    }

    fn media_closes(&mut self) {
        self.media(MediaEvent::Closed(Box::default()));
    }

    fn sip(&mut self, event: SipEvent) {
        self.input(Input::Sip(Box::new(event)));
    }

    fn progress(&mut self, status: u16, sdp: Option<&str>) {
        let body = sdp.map(|sdp| sdp.as_bytes().to_vec());
        self.sip(SipEvent::Progress {
            session: session(),
            status: StatusCode::new(status).unwrap(),
            body,
        });
    }

    fn answered(&mut self, sdp: Option<&str>) {
        self.sip(SipEvent::Answered {
            session: session(),
            body: sdp.map(|sdp| sdp.as_bytes().to_vec()),
        });
    }

    fn fails(&mut self, status: u16) {
        self.fails_to(status, &[]);
    }

    fn fails_to(&mut self, status: u16, contacts: &[&str]) {
        let failure = Failure::Status {
            status: StatusCode::new(status).unwrap(),
            reason: String::new(),
            reason_header: None,
            retry_after: None,
            contacts: contacts.iter().map(|one| one.parse().unwrap()).collect(),
        };
        self.fails_because(failure);
    }

    fn fails_because(&mut self, failure: Failure) {
        self.sip(SipEvent::Failed {
            session: session(),
            failure,
        });
    }

    fn phone_ends(&mut self, by: SipEndedBy) {
        self.sip(SipEvent::Ended {
            session: session(),
            reason: None,
            by,
        });
    }

    fn hangs_up(&mut self) {
        let call = self.machine.name.clone();
        self.input(Input::Browser(
            Device::CALLER,
            ClientMessage::Hangup(Hangup { call }),
        ));
    }

    /// Lets the machine's next deadline pass.
    fn time_passes(&mut self) -> Duration {
        self.now = self.machine.poll_timeout().expect("a deadline");
        self.machine.handle_timeout(self.now);
        self.take_actions();
        self.now - self.start
    }

    fn told(&self) -> Vec<&'static str> {
        self.browser.iter().map(name).collect()
    }

    /// What one device was told.
    fn told_device(&self, device: u8) -> Vec<&'static str> {
        let messages = self.devices.iter().zip(&self.browser);
        messages
            .filter(|(one, _)| **one == Device(device))
            .map(|(_, message)| name(message))
            .collect()
    }

    fn cause(&self) -> CauseCode {
        match self.browser.last() {
            Some(ServerMessage::Hangup { cause, .. }) => cause.code,
            other => panic!("not the end: {other:?}"),
        }
    }

    /// The one record, after everything has ended.
    fn record(&self) -> &CallRecord {
        assert!(self.machine.is_ended());
        assert_eq!(self.records.len(), 1, "exactly one record");
        &self.records[0]
    }
}

fn name(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Answer { .. } => "answer",
        ServerMessage::Ringing { .. } => "ringing",
        ServerMessage::Early { .. } => "early",
        ServerMessage::Accepted { .. } => "accepted",
        ServerMessage::Hangup { .. } => "hangup",
        ServerMessage::Dtmf { .. } => "dtmf",
        ServerMessage::Hold { .. } => "hold",
        ServerMessage::Audio { .. } => "audio",
        ServerMessage::Error { .. } => "error",
        ServerMessage::Authenticated { .. } => "authenticated",
        ServerMessage::Transfer { .. } => "transfer",
        ServerMessage::Presence { .. } => "presence",
        ServerMessage::Incoming { .. } => "incoming",
        ServerMessage::Welcome { .. } => "welcome",
    }
}

fn identity(permit: Permit) -> Identity {
    Identity {
        user: "alice".into(),
        number: None,
        display_name: "Alice".into(),
        withheld: false,
        permit,
    }
}

fn setup(to: &str, offer: &str) -> Setup {
    Setup {
        id: CallId(1),
        name: CallName::try_from("c1".to_owned()).unwrap(),
        session: "s1".into(),
        identity: None,
        to: to.into(),
        offer: offer.into(),
        headers: BTreeMap::new(),
        candidates: vec!["127.0.0.1:7000".parse().unwrap()],
        wall: SystemTime::UNIX_EPOCH,
        seed: [1; 32],
    }
}

fn environment(trunk: Option<crate::settings::Trunk>) -> Arc<Environment> {
    environment_of(trunk.into_iter().collect(), DialPlan::default())
}

fn environment_of(trunks: Vec<crate::settings::Trunk>, plan: DialPlan) -> Arc<Environment> {
    let routes = Routes {
        lab: Some("127.0.0.1:5070".parse().unwrap()),
        trunks: Trunks::new(trunks.into_iter().map(|trunk| (trunk, None))),
        plan,
        ..Routes::default()
    };
    Arc::new(Environment {
        routes,
        opus_bitrate: 32_000,
        lab_impairments: Impairments {
            browser: "loss=5".parse().unwrap(),
            phone: Default::default(),
        },
        prefer: Prefer::Opus,
        ptime: Duration::from_millis(20),
        ring_timeout: Duration::from_secs(60),
        max_duration: Duration::from_secs(3600),
        fingerprint: Fingerprint([7; 32]),
    })
}

/// A session handle: the machine does not look at it.
fn session() -> sip::endpoint::Session {
    let mut endpoint = sip::endpoint::Endpoint::new(sip::endpoint::EndpointConfig::new(
        RTP.parse().unwrap(),
        [0; 32],
    ));
    let flow = sip::endpoint::Flow {
        transport: sip::endpoint::Transport::Udp,
        remote: RTP.parse().unwrap(),
    };
    let invite = sip::endpoint::Invite {
        to: "sip:a@127.0.0.1".parse().unwrap(),
        target: flow,
        account: None,
        from_user: "b".into(),
        from_display: None,
        body: Vec::new(),
        replaces: None,
        headers: Vec::new(),
        ring_timeout: Duration::from_secs(1),
    };
    endpoint.invite(Instant::now(), invite).unwrap()
}

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
            MediaEvent::Silent(Duration::from_secs(30)),
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
