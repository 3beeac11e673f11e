//! The machine in virtual time: each test is a story of what happens and what the two sides see.

mod attended;
mod calls;
mod dialing;
mod early;
mod forwarding;
mod hold;
mod keys;
mod media;
mod ringing;
mod signed;
mod transfer;

use ::media::Digit;
use sip::StatusCode;
use sip::endpoint::{EndedBy as SipEndedBy, Event as SipEvent, Failure, Fork};

use super::*;
use crate::call::dial_plan::DialPlan;
use crate::call::record::CallRecord;
use crate::settings::{TrunkDtmf, TrunkSrtp};
use crate::signaling::message::{ClientMessage, Hangup, Reoffer, SendDtmf};
use crate::sip_driver::{Leg, ReferTarget};
use crate::trunks::Trunks;
use crate::worker::{MediaEvent, OneWay, OpenCall};

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
        self.progress_of(Fork(1), status, sdp);
    }

    fn progress_of(&mut self, fork: Fork, status: u16, sdp: Option<&str>) {
        let body = sdp.map(|sdp| sdp.as_bytes().to_vec());
        self.sip(SipEvent::Progress {
            session: session(),
            status: StatusCode::new(status).unwrap(),
            fork: Some(fork),
            body,
        });
    }

    fn answered(&mut self, sdp: Option<&str>) {
        self.answered_by(Fork(1), sdp);
    }

    fn answered_by(&mut self, fork: Fork, sdp: Option<&str>) {
        self.sip(SipEvent::Answered {
            session: session(),
            fork: Some(fork),
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
        ServerMessage::Path { .. } => "path",
        ServerMessage::Error { .. } => "error",
        ServerMessage::Authenticated { .. } => "authenticated",
        ServerMessage::Transfer { .. } => "transfer",
        ServerMessage::Presence { .. } => "presence",
        ServerMessage::Incoming { .. } => "incoming",
        ServerMessage::Welcome { .. } => "welcome",
        ServerMessage::IceServers { .. } => "ice_servers",
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
        tcp_candidates: Vec::new(),
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
