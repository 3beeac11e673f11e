//! Calls, either way, in which both sides change their minds: hold, other addresses, transfers. The gateway's cores and an
//! endpoint that is all the telephones there are, in virtual time. What the gateway's tasks do is done here.

mod outcome;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gateway::call::CallId;
use gateway::call::machine::{
    Action, Arrival, Caller, Device, Dial, Forward, Identity, Input, LegName, Machine, PhoneAction,
};
use gateway::call::record::CallRecord;
use gateway::permit::Permit;
use gateway::settings::Trunk;
use gateway::signaling::message::{
    AcceptCall, CallName, ClientMessage, Hangup, HoldCall, ServerMessage, TransferCall,
};
use gateway::sip_driver::ReferTarget;
use gateway::worker::{MediaCommand, MediaEvent};
use sdp::Direction;
use sip::endpoint::{Event, Flow, Invite, Referral, Session, Transport};
use sip::testing::{Conditions, Net, Packet, address};
use sip::{Host, ReferTo, StatusCode, Uri};

pub use self::outcome::{Outcome, Sabotage};
use super::Dice;
use super::call::{browsers_offer, environment, setup};

const GATEWAY: usize = 0;
const TELEPHONES: usize = 1;

/// Nothing goes on for longer than twice 64·T1 after what was done last (RFC 3261 §17), and the way there.
const QUIET: Duration = Duration::from_secs(70);

/// What somebody does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    BrowserAccepts,
    BrowserRejects,
    BrowserHolds(bool),
    BrowserTransfers,
    BrowserHangsUp,
    TelephoneCalls,
    TelephoneGivesUp,
    TelephoneRings(Session),
    TelephoneDecides(Session),
    TelephoneAnswersOffer(Session),
    TelephoneOffers(bool),
    TelephoneRefers,
    TelephoneTakesReferral(Session),
    TelephoneNotifies(Session, u16),
    TelephoneHangsUp,
}

#[derive(Debug)]
enum Happening {
    Media(MediaEvent),
    Resolved(LegName, Box<Dial>),
    Deed(Deed),
}

/// The telephones' side of a dialog.
#[derive(Debug)]
struct Line {
    session: Session,
    port: u16,
    version: u64,
    offered: Option<Vec<u8>>,
    over: bool,
}

struct World {
    dice: Dice,
    net: Net,
    machine: Option<Machine>,
    legs: [Option<Session>; 2],
    agenda: BTreeMap<(Instant, u64), Happening>,
    booked: u64,
    lines: Vec<Line>,
    browser: Vec<ServerMessage>,
    records: Vec<CallRecord>,
    last_act: Instant,
    outcome: Outcome,
    begun: bool,
    sabotage: Option<Sabotage>,
    seed: u64,
}

/// Plays the call of a seed on a wire that loses this share of what is sent each way.
///
/// # Errors
/// What was wrong at its end, and everything that went over the wire.
pub fn play(seed: u64, loss: f64, sabotage: Option<Sabotage>) -> Result<Outcome, String> {
    let mut world = World::new(seed, loss, sabotage);
    match world.play() {
        Ok(()) => Ok(world.outcome),
        Err(wrong) => Err(format!("seed {seed}: {wrong}\n{world:?}")),
    }
}

impl World {
    fn new(seed: u64, loss: f64, sabotage: Option<Sabotage>) -> Self {
        let mut dice = Dice::new(seed, 3);
        let conditions = Conditions {
            loss,
            duplication: dice.share(0.2),
            delay: dice.ms(1, 100),
            jitter: dice.ms(0, 200),
        };
        let mut net = Net::pair(seed, conditions);
        if sabotage == Some(Sabotage::ByeOnce) {
            let mut sent = std::collections::HashSet::new();
            net.set_filter(move |packet: &Packet| {
                let bye =
                    packet.from == address(GATEWAY) && packet.first_line().starts_with("BYE ");
                !bye || sent.insert(packet.bytes.clone())
            });
        }
        let inbound = dice.roll(2) == 0;
        let mut world = Self {
            dice,
            machine: None,
            legs: [None; 2],
            agenda: BTreeMap::new(),
            booked: 0,
            lines: Vec::new(),
            browser: Vec::new(),
            records: Vec::new(),
            last_act: net.now,
            outcome: Outcome {
                inbound,
                ..Outcome::default()
            },
            begun: false,
            sabotage,
            seed,
            net,
        };
        match inbound {
            true => world.book(Duration::ZERO, Happening::Deed(Deed::TelephoneCalls)),
            false => {
                let machine = Machine::new(world.net.now, Arc::new(environment()), setup(seed));
                world.machine = Some(machine);
            }
        }
        world
    }

    fn play(&mut self) -> Result<(), String> {
        self.run_until_quiet();
        let (talks, up) = (self.browser_talks(), self.lines_up());
        let ours = self.net.endpoints[GATEWAY].load().sessions;
        let begun = self.machine.is_some();
        match (talks, up) {
            _ if ours != up => Err(format!("{ours} legs are up here, {up} there")),
            (true, 1) | (false, 0) => Ok(()),
            (false, 2) => {
                self.outcome.joined = true;
                Ok(())
            }
            _ => Err(format!(
                "the browser talks: {talks}, and {up} telephones are up"
            )),
        }?;
        // Whoever is still there hangs up.
        let deed = match (talks, self.dice.roll(2)) {
            (true, 0) => Deed::BrowserHangsUp,
            _ => Deed::TelephoneHangsUp,
        };
        self.book(Duration::ZERO, Happening::Deed(deed));
        self.run_until_quiet();
        self.run(QUIET);
        if self.lines_up() > 0 {
            return Err("a telephone is still up".to_owned());
        }
        for (name, index) in [("gateway", GATEWAY), ("telephones", TELEPHONES)] {
            let load = self.net.endpoints[index].load();
            if load.sessions + load.client_transactions + load.server_transactions > 0 {
                return Err(format!("left in the {name}' endpoint: {load:?}"));
            }
        }
        let ended = self.machine.as_ref().is_none_or(Machine::is_ended);
        // One that never arrived leaves nothing.
        if !ended || self.records.len() != usize::from(begun) {
            return Err(format!("{} records, ended: {ended}", self.records.len()));
        }
        let told = self
            .browser
            .iter()
            .filter(|m| matches!(m, ServerMessage::Hangup { .. }));
        if told.count() != usize::from(begun) {
            return Err(format!("the browser was told {:?}", self.browser));
        }
        if let Some(record) = self.records.first() {
            let done = record.transfers.iter().filter(|one| one.done_by.is_some());
            self.outcome.transfers = (record.transfers.len(), done.count());
            self.outcome.answered = record.answered_ms.is_some();
        }
        Ok(())
    }

    fn browser_talks(&self) -> bool {
        let last = self.browser.iter().rev().find(|message| {
            matches!(
                message,
                ServerMessage::Accepted { .. } | ServerMessage::Hangup { .. }
            )
        });
        matches!(last, Some(ServerMessage::Accepted { .. }))
    }

    fn lines_up(&self) -> usize {
        let endpoint = &self.net.endpoints[TELEPHONES];
        self.lines
            .iter()
            .filter(|line| endpoint.is_up(line.session))
            .count()
    }

    fn run_until_quiet(&mut self) {
        loop {
            let end = self.last_act + QUIET;
            while self.step(end) {}
            if self.last_act + QUIET <= self.net.now && self.agenda.is_empty() {
                return;
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.net.now + time;
        while self.step(end) {}
    }

    fn step(&mut self, end: Instant) -> bool {
        self.settle();
        let booked = self.agenda.keys().next().map(|(at, _)| *at);
        // An hour's limit is no reason to wait.
        let soon = |at: &Instant| *at <= self.net.now + QUIET;
        let timeout = self
            .machine
            .as_ref()
            .and_then(Machine::poll_timeout)
            .filter(soon);
        match [booked, timeout].into_iter().flatten().min() {
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

    fn happen(&mut self) {
        let now = self.net.now;
        self.last_act = now;
        if let Some(machine) = &mut self.machine
            && machine.poll_timeout().is_some_and(|at| at <= now)
        {
            return machine.handle_timeout(now);
        }
        match self.agenda.pop_first() {
            Some((_, Happening::Media(event))) => self.tell_machine(Input::Media(event)),
            Some((_, Happening::Resolved(leg, dial))) => self.invite(leg, *dial),
            Some((_, Happening::Deed(deed))) => self.deed(deed),
            None => {}
        }
    }

    fn settle(&mut self) {
        loop {
            if let Some(action) = self.machine.as_mut().and_then(Machine::poll_action) {
                self.last_act = self.net.now;
                self.act(action);
            } else if let Some(event) = self.net.event(GATEWAY) {
                self.pass_on(event);
            } else if let Some(event) = self.net.event(TELEPHONES) {
                self.last_act = self.net.now;
                self.telephone_hears(event);
            } else {
                return;
            }
        }
    }

    fn tell_machine(&mut self, input: Input) {
        let now = self.net.now;
        if let Some(machine) = self.machine.as_mut().filter(|machine| !machine.is_ended()) {
            machine.handle(now, input);
        }
    }

    // What the gateway's task and driver do.

    fn act(&mut self, action: Action) {
        match action {
            Action::Browser(_, message) => self.browser_hears(message),
            Action::OpenMedia(_) => {
                let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port);
                let (rtp, rtcp) = (at(20_000), at(20_001));
                let opened = Happening::Media(MediaEvent::Opened { rtp, rtcp });
                self.book_within(20, opened);
            }
            Action::Media(MediaCommand::AddTelephone(..)) => {
                let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port);
                let (rtp, rtcp) = (at(20_002), at(20_003));
                let added = Happening::Media(MediaEvent::Added { rtp, rtcp });
                self.book_within(20, added);
            }
            Action::Media(MediaCommand::Close(_)) => {
                let closed = Happening::Media(MediaEvent::Closed(Box::default()));
                self.book_within(20, closed);
            }
            Action::Media(_) | Action::Consult(..) => {}
            Action::Phone(leg, action) => self.act_on(leg, action),
            Action::TakeOther(reason) => {
                if self.sabotage != Some(Sabotage::LeavesTheFirst) {
                    self.act_on(LegName::Phone, PhoneAction::Abandon(reason));
                }
                self.legs = [self.legs[1].take(), None];
            }
            Action::Finished(record) => self.records.push(*record),
        }
    }

    fn act_on(&mut self, name: LegName, action: PhoneAction) {
        let now = self.net.now;
        let slot = slot(name);
        if let PhoneAction::Dial(dial) = action {
            return self.book_within(50, Happening::Resolved(name, dial));
        }
        let Some(session) = self.legs[slot] else {
            if let PhoneAction::Cancel(_) | PhoneAction::Bye(_) = action {
                let of_leg = |happening: &Happening| matches!(happening, Happening::Resolved(of, _) if *of == name);
                self.agenda.retain(|_, happening| !of_leg(happening));
                let failed = Input::DialFailed("given up before it was sent".into());
                self.tell_machine(of(name, failed));
            }
            return;
        };
        let endpoint = &mut self.net.endpoints[GATEWAY];
        match action {
            PhoneAction::Cancel(reason) | PhoneAction::Bye(reason) => {
                endpoint.cancel(now, session, Some(reason));
            }
            PhoneAction::Abandon(reason) => {
                endpoint.cancel(now, session, Some(reason));
                self.legs[slot] = None;
            }
            PhoneAction::Ring => endpoint.ring(now, session, StatusCode::RINGING, None),
            PhoneAction::Accept(sdp) => endpoint.accept(now, session, sdp),
            PhoneAction::Reject(status, reason) => {
                endpoint.reject(now, session, status, Some(reason));
                self.legs[slot] = None;
            }
            PhoneAction::Offer(sdp) => drop(endpoint.offer(now, session, sdp)),
            PhoneAction::AnswerOffer(answer) => endpoint.answer_offer(now, session, answer),
            PhoneAction::Info(key) => drop(endpoint.info(now, session, key)),
            PhoneAction::Refer(ReferTarget::To(uri)) => {
                if endpoint.refer(now, session, &Referral::To(uri)).is_err() {
                    let status = None;
                    let refused = Event::ReferAnswered { session, status };
                    self.tell_machine(of(name, Input::Sip(Box::new(refused))));
                }
            }
            PhoneAction::AnswerRefer(status) => endpoint.answer_refer(now, session, status),
            PhoneAction::Notify(status) => endpoint.notify(now, session, status),
            PhoneAction::Refer(ReferTarget::Leg(_))
            | PhoneAction::Dial(_)
            | PhoneAction::DialNextAddress => {}
        }
    }

    fn invite(&mut self, name: LegName, dial: Dial) {
        let target = telephones();
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
                self.legs[slot(name)] = Some(session);
                Input::Dialed {
                    to: target.remote,
                    others: 0,
                }
            }
            Err(error) => Input::DialFailed(error.to_string()),
        };
        self.tell_machine(of(name, input));
    }

    fn pass_on(&mut self, event: Event) {
        let session = event.session();
        if let Event::Incoming { request, .. } = event {
            return self.arrives(session, request.body);
        }
        let last = matches!(
            event,
            Event::Failed { .. } | Event::Ended { .. } | Event::Cancelled { .. }
        );
        let ended = self.machine.as_ref().is_none_or(Machine::is_ended);
        let name = [LegName::Phone, LegName::Other]
            .into_iter()
            .find(|name| self.legs[slot(*name)] == Some(session));
        match name.filter(|_| !ended) {
            Some(name) => self.tell_machine(of(name, Input::Sip(Box::new(event)))),
            // The driver's rule: a leg whose call is gone must not stay up.
            None if !last => {
                let sabotaged = self.sabotage == Some(Sabotage::LeavesTheFirst);
                if !sabotaged {
                    self.net.endpoints[GATEWAY].bye(self.net.now, session, None);
                }
            }
            None => {}
        }
    }

    fn arrives(&mut self, session: Session, offer: Vec<u8>) {
        self.legs[0] = Some(session);
        let arrival = Arrival {
            id: CallId(self.seed),
            name: CallName::incoming(CallId(self.seed)),
            caller: Caller::default(),
            to: "100".into(),
            identity: Identity {
                user: "alice".into(),
                number: None,
                display_name: "Alice".into(),
                withheld: false,
                permit: Permit::default(),
            },
            forward: Forward::default(),
            ring_time: Duration::from_secs(20),
            headers: BTreeMap::new(),
            diverted: Default::default(),
            signed: Default::default(),
            offer,
            trunk: Arc::new(Trunk::at(Uri::sip(
                None,
                Host::Ip(address(TELEPHONES).ip()),
                Some(address(TELEPHONES).port()),
            ))),
            seat: None,
            sessions: vec!["session".into()],
            candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7000))],
            wall: SystemTime::UNIX_EPOCH,
            seed: Dice::new(self.seed, 4).bytes(),
        };
        let machine = Machine::called(self.net.now, Arc::new(environment()), arrival);
        self.machine = Some(machine);
    }

    // What people do.

    fn browser_hears(&mut self, message: ServerMessage) {
        match &message {
            ServerMessage::Incoming { .. } => {
                let deed = match self.dice.roll(10) {
                    0 => Deed::BrowserRejects,
                    _ => Deed::BrowserAccepts,
                };
                self.book_within(4000, Happening::Deed(deed));
            }
            ServerMessage::Accepted { .. } => self.plan_changes(),
            _ => {}
        }
        self.browser.push(message);
    }

    /// What the two will do while they talk.
    fn plan_changes(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for _ in 0..self.dice.roll(6) {
            let held = self.dice.roll(2) == 0;
            let deed = match self.dice.roll(12) {
                0..4 => Deed::BrowserHolds(held),
                4..7 => Deed::TelephoneOffers(held),
                7..9 => Deed::TelephoneRefers,
                9 | 10 => Deed::BrowserTransfers,
                _ => match held {
                    true => Deed::BrowserHangsUp,
                    false => Deed::TelephoneHangsUp,
                },
            };
            self.book_within(15_000, Happening::Deed(deed));
        }
    }

    fn says(&mut self, message: impl FnOnce(CallName) -> ClientMessage) {
        let name = match self.outcome.inbound {
            true => CallName::incoming(CallId(self.seed)),
            false => match CallName::try_from("call".to_owned()) {
                Ok(name) => name,
                Err(_) => return,
            },
        };
        self.tell_machine(Input::Browser(Device::CALLER, message(name)));
    }

    fn deed(&mut self, deed: Deed) {
        let now = self.net.now;
        match deed {
            Deed::BrowserAccepts => {
                let sdp = browsers_offer();
                self.says(|call| ClientMessage::Accept(AcceptCall { call, sdp }));
            }
            Deed::BrowserRejects | Deed::BrowserHangsUp => {
                self.says(|call| ClientMessage::Hangup(Hangup { call }));
            }
            Deed::BrowserHolds(held) => {
                self.outcome.changes += 1;
                self.says(|call| ClientMessage::Hold(HoldCall { call, held }));
            }
            Deed::BrowserTransfers => {
                let (to, with) = (Some("+4989".to_owned()), None);
                self.says(|call| ClientMessage::Transfer(TransferCall { call, to, with }));
            }
            Deed::TelephoneCalls => self.telephone_calls(),
            Deed::TelephoneGivesUp | Deed::TelephoneHangsUp => self.telephone_ends(),
            Deed::TelephoneRings(session) => {
                let endpoint = &mut self.net.endpoints[TELEPHONES];
                endpoint.ring(now, session, StatusCode::RINGING, None);
            }
            Deed::TelephoneDecides(session) => self.telephone_decides(session),
            Deed::TelephoneAnswersOffer(session) => self.telephone_answers_offer(session),
            Deed::TelephoneOffers(held) => {
                self.outcome.changes += 1;
                if let Some(line) = self.lines.iter_mut().find(|line| !line.over) {
                    line.version += 1;
                    // Now and then it is somewhere else.
                    line.port += u16::try_from(self.dice.roll(2) * 2).unwrap_or(0);
                    let mut options = options(line);
                    options.direction = Direction::new(true, !held);
                    let sdp = sdp::trunk::offer_fresh(&options).into_bytes();
                    let session = line.session;
                    let _ = self.net.endpoints[TELEPHONES].offer(now, session, sdp);
                }
            }
            Deed::TelephoneRefers => {
                if let Some(line) = self.lines.iter().find(|line| !line.over) {
                    let session = line.session;
                    let uri = Uri::sip(Some("+4977"), address(TELEPHONES).ip(), None);
                    let endpoint = &mut self.net.endpoints[TELEPHONES];
                    let _ = endpoint.refer(now, session, &Referral::To(uri));
                    // Some hang up at once.
                    if self.dice.roll(4) == 0 {
                        self.book_within(2000, Happening::Deed(Deed::TelephoneHangsUp));
                    }
                }
            }
            Deed::TelephoneTakesReferral(session) => {
                let endpoint = &mut self.net.endpoints[TELEPHONES];
                if self.dice.roll(2) == 0 {
                    return endpoint.answer_refer(now, session, StatusCode::DECLINE);
                }
                endpoint.answer_refer(now, session, StatusCode::ACCEPTED);
                let last = if self.dice.roll(2) == 0 { 200 } else { 486 };
                for status in [180, last] {
                    let deed = Deed::TelephoneNotifies(session, status);
                    self.book_within(3000, Happening::Deed(deed));
                }
            }
            Deed::TelephoneNotifies(session, status) => {
                if let Some(status) = StatusCode::new(status) {
                    self.net.endpoints[TELEPHONES].notify(now, session, status);
                }
            }
        }
    }

    /// One of those that are up hangs up; with none, one that is still to be answered gives up, or declines.
    fn telephone_ends(&mut self) {
        let now = self.net.now;
        let endpoint = &mut self.net.endpoints[TELEPHONES];
        let up: Vec<usize> = (0..self.lines.len())
            .filter(|index| endpoint.is_up(self.lines[*index].session))
            .collect();
        let waiting = self.lines.iter().position(|line| !line.over);
        let drawn = self.dice.roll(up.len().max(1) as u64);
        let chosen = up.get(drawn as usize).copied().or(waiting);
        if let Some(line) = chosen.and_then(|index| self.lines.get_mut(index)) {
            // Of one that was called and declines, there is nothing more to hear.
            line.over |= !endpoint.is_up(line.session) && !self.outcome.inbound;
            endpoint.bye(now, line.session, None);
        }
    }

    fn telephone_calls(&mut self) {
        let line = Line {
            session: self.placeholder(),
            port: 30_000,
            version: 1,
            offered: None,
            over: false,
        };
        let gateway = address(GATEWAY);
        let invite = Invite {
            account: None,
            to: Uri::sip(Some("100"), gateway.ip(), Some(gateway.port())),
            target: Flow {
                transport: Transport::Udp,
                remote: gateway,
            },
            from_user: "telephone".into(),
            from_display: None,
            body: sdp::trunk::offer_fresh(&options(&line)).into_bytes(),
            replaces: None,
            headers: Vec::new(),
            ring_timeout: Duration::from_secs(15),
        };
        if let Ok(session) = self.net.endpoints[TELEPHONES].invite(self.net.now, invite) {
            self.lines.push(Line { session, ..line });
        }
        if self.dice.roll(5) == 0 {
            self.book_within(5000, Happening::Deed(Deed::TelephoneGivesUp));
        }
    }

    /// A session that nobody has; the first that an endpoint of its own would give.
    fn placeholder(&self) -> Session {
        let mut net = Net::pair(0, Conditions::GOOD);
        let now = net.now;
        let invite = Invite {
            account: None,
            to: Uri::sip(None, address(GATEWAY).ip(), None),
            target: telephones(),
            from_user: "nobody".into(),
            from_display: None,
            body: Vec::new(),
            replaces: None,
            headers: Vec::new(),
            ring_timeout: QUIET,
        };
        match net.endpoints[0].invite(now, invite) {
            Ok(session) => session,
            Err(error) => panic!("{error}"),
        }
    }

    fn telephone_hears(&mut self, event: Event) {
        let session = event.session();
        match event {
            Event::Incoming { request, .. } => {
                let port = 30_000 + 100 * u16::try_from(self.lines.len()).unwrap_or(0);
                self.lines.push(Line {
                    session,
                    port,
                    version: 1,
                    offered: Some(request.body),
                    over: false,
                });
                if self.dice.roll(4) > 0 {
                    self.book_within(500, Happening::Deed(Deed::TelephoneRings(session)));
                }
                self.book_within(3000, Happening::Deed(Deed::TelephoneDecides(session)));
            }
            Event::Offer { body, .. } => {
                if let Some(line) = self.lines.iter_mut().find(|line| line.session == session) {
                    line.offered = body;
                }
                self.book_within(1000, Happening::Deed(Deed::TelephoneAnswersOffer(session)));
            }
            Event::Referred {
                to: ReferTo { .. }, ..
            } => {
                self.book_within(1000, Happening::Deed(Deed::TelephoneTakesReferral(session)));
            }
            Event::Failed { .. } | Event::Ended { .. } | Event::Cancelled { .. } => {
                if let Some(line) = self.lines.iter_mut().find(|line| line.session == session) {
                    line.over = true;
                }
            }
            _ => {}
        }
    }

    fn telephone_decides(&mut self, session: Session) {
        let now = self.net.now;
        let answer = self.answer(session);
        let busy = self.dice.roll(8) == 0;
        let endpoint = &mut self.net.endpoints[TELEPHONES];
        match answer.filter(|_| !busy) {
            Some(answer) => endpoint.accept(now, session, answer),
            None => {
                endpoint.reject(now, session, StatusCode::BUSY_HERE, None);
                if let Some(line) = self.lines.iter_mut().find(|line| line.session == session) {
                    line.over = true;
                }
            }
        }
    }

    fn telephone_answers_offer(&mut self, session: Session) {
        let now = self.net.now;
        let answer = self.answer(session);
        let refused = self.dice.roll(8) == 0;
        let answer = answer
            .filter(|_| !refused)
            .ok_or(StatusCode::NOT_ACCEPTABLE_HERE);
        self.net.endpoints[TELEPHONES].answer_offer(now, session, answer);
    }

    /// What a line says to what it was offered.
    fn answer(&mut self, session: Session) -> Option<Vec<u8>> {
        let line = self.lines.iter_mut().find(|line| line.session == session)?;
        line.version += 1;
        let options = options(line);
        let Some(offered) = line.offered.take() else {
            return Some(sdp::trunk::offer_fresh(&options).into_bytes());
        };
        let text = String::from_utf8(offered).ok()?;
        let offer = sdp::trunk::read_offer(&text, &sdp::trunk::Keying::None).ok()?;
        let (answer, _, _) = sdp::trunk::answer(&offer, &options).ok()?;
        Some(answer.into_bytes())
    }

    fn book(&mut self, after: Duration, happening: Happening) {
        self.booked += 1;
        let at = self.net.now + after;
        self.agenda.insert((at, self.booked), happening);
    }

    fn book_within(&mut self, ms: u64, happening: Happening) {
        let after = self.dice.ms(0, ms);
        self.book(after, happening);
    }
}

fn slot(name: LegName) -> usize {
    match name {
        LegName::Phone => 0,
        LegName::Other => 1,
    }
}

fn of(name: LegName, input: Input) -> Input {
    match name {
        LegName::Phone => input,
        LegName::Other => Input::Other(Box::new(input)),
    }
}

fn telephones() -> Flow {
    Flow {
        transport: Transport::Udp,
        remote: address(TELEPHONES),
    }
}

fn options(line: &Line) -> sdp::trunk::OfferOptions {
    sdp::trunk::OfferOptions {
        session_id: u64::from(line.port),
        session_version: line.version,
        ..sdp::trunk::OfferOptions::new(address(TELEPHONES).ip(), line.port)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "browser: {:?}", self.browser)?;
        writeln!(f, "lines: {:?}", self.lines)?;
        for record in &self.records {
            writeln!(f, "record: {record:#?}")?;
        }
        writeln!(f, "machine: {:?}\n{:?}", self.machine, self.net)
    }
}
