//! One call through the gateway's cores: the call machine, the gateway's SIP endpoint and a simulated telephone. What
//! the gateway's tasks and media workers do between them is done here in a few lines of virtual time.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gateway::call::CallId;
use gateway::call::machine::{
    Action, Device, Dial, Environment, Input, LegName, Machine, PhoneAction, Setup,
};
use gateway::call::record::CallRecord;
use gateway::call::route::Routes;
use gateway::settings::Trunk;
use gateway::signaling::message::{CallName, ClientMessage, Hangup, ServerMessage};
use gateway::trunks::Trunks;
use gateway::worker::{MediaCommand, MediaEvent};
use sip::endpoint::{Event, Flow, Invite, Session, Transport};
use sip::testing::{Net, Packet, address};
use sip::{Host, Uri};

use super::Dice;
use super::plan::{Course, Fault, Plan};
use super::telephone::{Step, Telephone};
use crate::offer::Offerer;

/// The endpoints of the network.
const GATEWAY: usize = 0;
const TELEPHONE: usize = 1;

/// The longest that a SIP transaction goes on (RFC 3261 §17).
const SIXTY_FOUR_T1: Duration = Duration::from_secs(32);

/// What lies between a side's last timer and the other side's hearing of it: the way there.
const MARGIN: Duration = Duration::from_secs(2);

/// How long a number may ring; shorter than the usual minute, so that a test sees it end.
const RING_TIMEOUT: Duration = Duration::from_secs(20);

/// How a call went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it was meant to do.
    pub plan: Plan,
    /// The two could talk, until the test hung up.
    pub talked: bool,
    /// Both legs were in the same state 64·T1 after the last thing anybody did, and not only after twice that.
    pub agreed_at_once: bool,
    /// Its record.
    pub record: CallRecord,
}

/// Something broken on purpose, to see that the checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The gateway sends each ACK once, instead of once for each 200 that comes.
    AckOnce,
    /// The gateway sends no BYE again.
    ByeOnce,
    /// The telephone's BYE never arrives.
    TelephoneByeLost,
}

/// Plays the call of a seed on a wire that loses this share of what is sent each way.
///
/// # Errors
/// What was wrong at its end, and everything that went over the wire.
pub fn play(seed: u64, loss: f64, sabotage: Option<Sabotage>) -> Result<Outcome, String> {
    let mut world = World::new(seed, Plan::of(seed, loss), sabotage);
    world
        .play(seed)
        .map_err(|wrong| format!("seed {seed}: {wrong}\n{:#?}\n{world:?}", world.plan))
}

/// Something that is going to happen.
#[derive(Debug)]
enum Happening {
    Media(MediaEvent),
    Resolved(Box<Dial>),
    Telephone(Step),
    Machine(Input),
}

struct World {
    plan: Plan,
    net: Net,
    machine: Machine,
    agenda: BTreeMap<(Instant, u64), Happening>,
    booked: u64,
    telephone: Telephone,
    session: Option<Session>,
    dialing: bool,
    last_act: Instant,
    browser: Vec<ServerMessage>,
    records: Vec<CallRecord>,
    opened: usize,
    closed: usize,
    wrong: Option<String>,
}

impl World {
    fn new(seed: u64, plan: Plan, sabotage: Option<Sabotage>) -> Self {
        let mut net = Net::pair(seed, plan.conditions);
        if let Some(sabotage) = sabotage {
            net.set_filter(sabotaged(sabotage));
        }
        let now = net.now;
        let media = SocketAddr::new(address(TELEPHONE).ip(), 30_000);
        let machine = Machine::new(now, Arc::new(environment()), setup(seed));
        let mut world = Self {
            telephone: Telephone::new(plan.clone(), media),
            machine,
            agenda: BTreeMap::new(),
            booked: 0,
            session: None,
            dialing: false,
            last_act: now,
            browser: Vec::new(),
            records: Vec::new(),
            opened: 0,
            closed: 0,
            wrong: None,
            plan,
            net,
        };
        match world.plan.course {
            Course::CallerHangsUp(after) => world.book(after, hang_up()),
            Course::Fault(fault, after) => world.book(after, happening(fault)),
            _ => {}
        }
        world
    }

    fn play(&mut self, seed: u64) -> Result<Outcome, String> {
        self.run_until_quiet_for(SIXTY_FOUR_T1 + MARGIN);
        let agreed_at_once = self.browser_talks() == self.telephone_is_up();
        // A callee whose 200 nobody acknowledged sends BYE at 64·T1, and that may take as long again.
        self.run_until_quiet_for(2 * (SIXTY_FOUR_T1 + MARGIN));
        let talked = self.browser_talks();
        if talked != self.telephone_is_up() {
            return Err(format!(
                "the browser talks: {talked}, the telephone does not agree"
            ));
        }
        if talked {
            let happening = match seed % 2 {
                0 => hang_up(),
                _ => Happening::Telephone(Step::HangUp),
            };
            self.book(Duration::ZERO, happening);
            self.run_until_quiet_for(2 * (SIXTY_FOUR_T1 + MARGIN));
        }
        // The transactions' last timers (RFC 3261 §17, RFC 6026 §7: 64·T1).
        self.run(2 * SIXTY_FOUR_T1);
        self.check_end()?;
        let record = self.records.pop().ok_or("no record")?;
        Ok(Outcome {
            plan: self.plan.clone(),
            talked,
            agreed_at_once,
            record,
        })
    }

    fn check_end(&mut self) -> Result<(), String> {
        let wrong = |what: &str| Err(what.to_owned());
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        if !self.machine.is_ended() || self.browser_talks() || self.telephone_is_up() {
            return wrong("somebody is still in the call");
        }
        if self.telephone.incoming > 1 {
            return wrong("the telephone was called twice");
        }
        let rejected = matches!(self.plan.course, Course::Busy | Course::Decline);
        if self.telephone.incoming == 1 && self.telephone.ends != 1 && !rejected {
            return wrong("the telephone did not hear of the end once");
        }
        let [record] = &self.records[..] else {
            return Err(format!("{} records", self.records.len()));
        };
        if !self.plan.may_end_for(record.cause.code) {
            return Err(format!("it ended for {:?}", record.cause));
        }
        let told =
            |wanted: fn(&ServerMessage) -> bool| self.browser.iter().filter(|m| wanted(m)).count();
        if told(|message| matches!(message, ServerMessage::Hangup { .. })) != 1
            || told(|message| matches!(message, ServerMessage::Answer { .. })) > 1
            || told(|message| matches!(message, ServerMessage::Accepted { .. })) > 1
            || !matches!(self.browser.last(), Some(ServerMessage::Hangup { .. }))
        {
            return Err(format!("the browser was told {:?}", self.browser));
        }
        if record.answered_ms.is_some()
            != (told(|m| matches!(m, ServerMessage::Accepted { .. })) == 1)
        {
            return wrong("the record and the browser do not agree about the answer");
        }
        let panicked = matches!(self.plan.course, Course::Fault(Fault::Panicked, _));
        if self.opened != self.closed && !panicked {
            return Err(format!(
                "media: {} opened, {} closed",
                self.opened, self.closed
            ));
        }
        for (name, index) in [("gateway", GATEWAY), ("telephone", TELEPHONE)] {
            let load = self.net.endpoints[index].load();
            if load.sessions + load.client_transactions + load.server_transactions > 0 {
                return Err(format!("left in the {name}'s endpoint: {load:?}"));
            }
        }
        Ok(())
    }

    /// The browser was told that it can talk, and not that it is over.
    fn browser_talks(&self) -> bool {
        let last = self.browser.iter().rev().find(|message| {
            matches!(
                message,
                ServerMessage::Accepted { .. } | ServerMessage::Hangup { .. }
            )
        });
        matches!(last, Some(ServerMessage::Accepted { .. }))
    }

    fn telephone_is_up(&self) -> bool {
        self.telephone.is_up(&self.net.endpoints[TELEPHONE])
    }

    /// Lets time pass until nobody has done anything for so long.
    fn run_until_quiet_for(&mut self, quiet: Duration) {
        loop {
            let end = self.last_act + quiet;
            while self.step(end) {}
            if self.last_act + quiet <= self.net.now && self.agenda.is_empty() {
                return;
            }
            if self.last_act + quiet == end {
                // Only what is booked for later is left.
                let next = self.agenda.keys().next().map_or(end, |(at, _)| *at);
                while self.step(next) && self.last_act + quiet == end {}
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.net.now + time;
        while self.step(end) {}
    }

    /// The next thing that happens, if it happens by `end`; else time stands at `end`.
    fn step(&mut self, end: Instant) -> bool {
        self.settle();
        let booked = self.agenda.keys().next().map(|(at, _)| *at);
        let own = [booked, self.machine.poll_timeout()]
            .into_iter()
            .flatten()
            .min();
        match own {
            Some(at) if at <= self.net.now => {
                self.happen();
                self.settle();
                true
            }
            Some(at) if at <= end => {
                self.net.step(at);
                true
            }
            _ => self.net.step(end),
        }
    }

    /// Does what is due by now.
    fn happen(&mut self) {
        let now = self.net.now;
        self.last_act = now;
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
            return;
        }
        let Some((_, happening)) = self.agenda.pop_first() else {
            return;
        };
        match happening {
            // A call's task ends with its record: what comes later nobody takes.
            Happening::Media(event) if !self.machine.is_ended() => {
                self.machine.handle(now, Input::Media(event));
            }
            Happening::Machine(input) if !self.machine.is_ended() => {
                self.machine.handle(now, input)
            }
            Happening::Media(_) | Happening::Machine(_) => {}
            Happening::Resolved(dial) => self.invite(*dial),
            Happening::Telephone(step) => {
                let endpoint = &mut self.net.endpoints[TELEPHONE];
                if let Some((after, step)) = self.telephone.act(now, endpoint, step) {
                    self.book(after, Happening::Telephone(step));
                }
            }
        }
    }

    /// Carries what is ready from one part to the next, until nothing is.
    fn settle(&mut self) {
        loop {
            if let Some(action) = self.machine.poll_action() {
                self.last_act = self.net.now;
                self.act(action);
            } else if let Some(event) = self.net.event(GATEWAY) {
                self.pass_on(event);
            } else if let Some(event) = self.net.event(TELEPHONE) {
                self.last_act = self.net.now;
                self.pass_on_to_telephone(event);
            } else {
                return;
            }
        }
    }

    /// What the call's task does.
    fn act(&mut self, action: Action) {
        let now = self.net.now;
        if !self.records.is_empty() {
            self.wrong = Some(format!("{action:?} came after the record"));
        }
        match action {
            Action::Browser(_, message) => self.browser.push(message),
            Action::OpenMedia(_) => {
                self.opened += 1;
                let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port);
                let (rtp, rtcp) = (at(20_000), at(20_001));
                let opened = Happening::Media(MediaEvent::Opened { rtp, rtcp });
                self.book(self.plan.worker_delay, opened);
            }
            Action::Media(MediaCommand::Close(_)) => {
                self.closed += 1;
                let closed = MediaEvent::Closed(Box::default());
                self.book(self.plan.worker_delay, Happening::Media(closed));
            }
            Action::Media(_) => {}
            Action::Phone(LegName::Phone, PhoneAction::Dial(dial)) => {
                self.dialing = true;
                self.book(self.plan.resolve_delay, Happening::Resolved(dial));
            }
            Action::Phone(
                LegName::Phone,
                PhoneAction::Cancel(reason) | PhoneAction::Bye(reason),
            ) => match self.session {
                Some(session) => self.net.endpoints[GATEWAY].cancel(now, session, Some(reason)),
                None => {
                    self.dialing = false;
                    let failed = Input::DialFailed("given up before it was sent".into());
                    self.machine.handle(now, failed);
                }
            },
            // This telephone takes telephone-events.
            Action::Phone(LegName::Phone, PhoneAction::Info(_)) => {}
            Action::Phone(..) | Action::TakeOther(_) | Action::Consult(..) => {
                self.wrong = Some(format!("{action:?} in a call that nobody changes"));
            }
            Action::Finished(record) => self.records.push(*record),
        }
    }

    fn invite(&mut self, dial: Dial) {
        if !self.dialing {
            return;
        }
        let target = Flow {
            transport: Transport::Udp,
            remote: address(TELEPHONE),
        };
        let invite = Invite {
            account: None,
            to: dial.target,
            target,
            from_user: "switchhook".into(),
            from_display: None,
            body: dial.body,
            replaces: None,
            headers: Vec::new(),
            ring_timeout: dial.ring_timeout + Duration::from_secs(5),
        };
        let input = match self.net.endpoints[GATEWAY].invite(self.net.now, invite) {
            Ok(session) => {
                self.session = Some(session);
                Input::Dialed {
                    to: target.remote,
                    others: 0,
                }
            }
            Err(error) => Input::DialFailed(error.to_string()),
        };
        self.machine.handle(self.net.now, input);
    }

    /// What the SIP driver does with an event: a leg whose call is gone must not stay up.
    fn pass_on(&mut self, event: Event) {
        let now = self.net.now;
        if !self.machine.is_ended() {
            self.machine.handle(now, Input::Sip(Box::new(event)));
        } else if !matches!(event, Event::Failed { .. } | Event::Ended { .. }) {
            self.net.endpoints[GATEWAY].bye(now, event.session(), None);
        }
    }

    fn pass_on_to_telephone(&mut self, event: Event) {
        match self.telephone.handle(event) {
            Ok(steps) => {
                for (after, step) in steps {
                    if let (Step::Decide, Course::Crossing(moment)) = (step, self.plan.course) {
                        self.book((after + moment).saturating_sub(Course::LEAD), hang_up());
                    }
                    self.book(after, Happening::Telephone(step));
                }
            }
            Err(wrong) => self.wrong = Some(wrong),
        }
    }

    fn book(&mut self, after: Duration, happening: Happening) {
        self.booked += 1;
        self.agenda
            .insert((self.net.now + after, self.booked), happening);
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "browser: {:?}\nrecords: {:#?}",
            self.browser, self.records
        )?;
        writeln!(f, "machine: {:?}\n{:?}", self.machine, self.net)
    }
}

fn name() -> CallName {
    CallName::try_from("call".to_owned()).unwrap_or_else(|why| panic!("{why}"))
}

fn hang_up() -> Happening {
    let hangup = Hangup { call: name() };
    Happening::Machine(Input::Browser(
        Device::CALLER,
        ClientMessage::Hangup(hangup),
    ))
}

fn happening(fault: Fault) -> Happening {
    match fault {
        Fault::BrowserGone => Happening::Machine(Input::BrowserGone(Device::CALLER)),
        Fault::Shutdown => Happening::Machine(Input::Shutdown),
        Fault::ConsentLost => Happening::Media(MediaEvent::ConsentLost),
        Fault::Silent => Happening::Media(MediaEvent::Silent(
            media::Leg::Trunk,
            Duration::from_secs(30),
        )),
        Fault::Panicked => Happening::Media(MediaEvent::Panicked),
    }
}

pub(super) fn environment() -> Environment {
    let telephone = address(TELEPHONE);
    let trunk = Trunk::at(Uri::sip(
        None,
        Host::Ip(telephone.ip()),
        Some(telephone.port()),
    ));
    Environment {
        routes: Routes {
            lab: None,
            trunks: Trunks::new([(trunk, None)]),
            ..Routes::default()
        },
        opus_bitrate: 32_000,
        lab_impairments: Default::default(),
        prefer: Default::default(),
        ptime: Duration::from_millis(20),
        ring_timeout: RING_TIMEOUT,
        max_duration: Duration::from_secs(3600),
        fingerprint: peer::Fingerprint([7; 32]),
        tcp_candidates: Vec::new(),
    }
}

/// What a browser offers.
pub(super) fn browsers_offer() -> String {
    let fingerprint = peer::Fingerprint([9; 32]).to_string();
    let offer = Offerer {
        ufrag: "brow",
        pwd: "passwordOfTheBrowser0123",
        fingerprint: &fingerprint,
        ssrc: 0xb0b0,
    };
    offer.offer()
}

pub(super) fn setup(seed: u64) -> Setup {
    Setup {
        id: CallId(seed),
        name: name(),
        session: "session".into(),
        identity: None,
        to: "+493012345".into(),
        offer: browsers_offer(),
        headers: BTreeMap::new(),
        candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7000))],
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        seed: Dice::new(seed, 2).bytes(),
    }
}

fn sabotaged(sabotage: Sabotage) -> impl FnMut(&Packet) -> bool {
    let mut sent = HashSet::new();
    move |packet| {
        let line = packet.first_line();
        let by_gateway = packet.from == address(GATEWAY);
        match sabotage {
            Sabotage::AckOnce if by_gateway && line.starts_with("ACK ") => {
                sent.insert(packet.bytes.clone())
            }
            Sabotage::ByeOnce if by_gateway && line.starts_with("BYE ") => {
                sent.insert(packet.bytes.clone())
            }
            Sabotage::TelephoneByeLost => by_gateway || !line.starts_with("BYE "),
            _ => true,
        }
    }
}
