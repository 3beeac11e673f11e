//! The call machine: one call between a browser and a telephone, told what happens on both sides and what
//! time it is, saying what is to be done. No socket, no task, no clock.
//!
//! ```text
//! a browser calls:    Opening ──Opened──▶ Calling ──Answered──▶ Talking ──hang-up──▶ Ending ──▶ Ended
//! a telephone calls:  Ringing ──accept──▶ Opening ──Opened────────▲                     ▲
//!                        └──────────┴─────── refused, failed, cancelled ────────────────┘
//! ```
//!
//! A call that nobody takes may go on to another telephone (`Forwarding`). While it talks, another telephone may take the place of the telephone, or of the browser: then two telephones are
//! `Joined` until one hangs up.

mod attended;
mod browser;
mod dialing;
mod early;
mod forwarding;
mod giving_away;
mod hold;
mod inout;
mod joined;
mod keys;
mod legs;
mod media_events;
mod other_phone;
mod phone;
mod referred;
mod replaced;
mod ringing;
mod signed;
mod story;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use media::DtmfWay;
use peer::Fingerprint;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sip::{DtmfInfo, StatusCode};

pub use self::attended::{Consulted, Wish};
use self::dialing::Attempt;
use self::early::EarlyLegs;
pub use self::forwarding::Forward;
use self::hold::{Hold, PhoneLeg};
pub use self::inout::{Action, Dial, Input, LegName, PhoneAction};
use self::legs::{BrowserLeg, TrunkOffer};
pub use self::replaced::Replacement;
pub use self::ringing::{Arrival, Caller};
use self::ringing::{Called, Ringing};
use self::story::Story;
use self::transfer::Transfer;
use super::CallId;
use super::cause::{Cause, CauseCode};
use super::diverted::{Diverted, Why};
use super::record::{Direction, EndedBy, Parties};
use super::route::{Route, Routes, Ways};
use super::timeline::{Timeline, Topic};
use crate::permit::Permit;
use crate::settings::{Prefer, User};
use crate::signaling::message::{CallName, ServerMessage};
use crate::stir::Signed;
use crate::trunks::Seat;
use crate::worker::{Impairments, MediaCommand, TrunkMedia};

/// How long a worker may take to open a call's media.
const OPEN_DEADLINE: Duration = Duration::from_secs(2);

/// How long the end of both legs is awaited before the record is written without it; the SIP leg's
/// own retransmissions go on beyond it (RFC 3261 §17.1.2.2).
const END_DEADLINE: Duration = Duration::from_millis(900);

/// How long after its media a browser's hang-up may come: a page that hangs up closes both, and the
/// media is often the faster.
const HANGUP_GRACE: Duration = Duration::from_millis(500);

/// How many trickled candidates are listened to; an ICE-lite agent uses none of them.
const MAX_CANDIDATES: u32 = 64;

/// What every call of a gateway shares.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where numbers lead.
    pub routes: Routes,
    /// Which codec a browser is answered with.
    pub prefer: Prefer,
    /// What its Opus encoder is asked to use, in bit/s.
    pub opus_bitrate: u32,
    /// The network of calls to the lab phone.
    pub lab_impairments: Impairments,
    /// Packet time towards the telephone.
    pub ptime: Duration,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// The longest call.
    pub max_duration: Duration,
    /// The certificate that every browser sees.
    pub fingerprint: Fingerprint,
}

/// One of the browsers that a call concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device(pub u8);

impl Device {
    /// The browser that placed the call.
    pub const CALLER: Self = Self(0);
}

/// Who a browser's user is to telephones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub user: String,
    /// The number that the called sees; none for the gateway's own.
    pub number: Option<String>,
    /// The name that the called sees.
    pub display_name: String,
    /// He sees neither (RFC 3323).
    pub withheld: bool,
    /// What the user may do.
    pub permit: Permit,
}

impl Identity {
    /// Who that user is.
    pub fn of(user: &User) -> Self {
        Self {
            user: user.name.clone(),
            number: user.numbers.first().cloned(),
            display_name: user.display_name.clone(),
            withheld: user.withheld,
            permit: user.permit.clone(),
        }
    }
}

/// What makes a browser's call.
#[derive(Debug)]
pub struct Setup {
    /// The call's name in the gateway.
    pub id: CallId,
    /// Its name in the browser's session.
    pub name: CallName,
    /// The browser's session.
    pub session: String,
    /// Whose session that is, where there are users.
    pub identity: Option<Identity>,
    /// What was dialled.
    pub to: String,
    /// The browser's offer.
    pub offer: String,
    /// Headers that the browser wants the telephone to see.
    pub headers: BTreeMap<String, String>,
    /// Where browsers reach the worker that will carry the call.
    pub candidates: Vec<SocketAddr>,
    /// The wall clock, for the record.
    pub wall: SystemTime,
    /// Randomness for credentials, SSRCs and the like.
    pub seed: [u8; 32],
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Machine {
    environment: Arc<Environment>,
    id: CallId,
    name: CallName,
    /// The browser that the call is with; while several ring, none of them.
    device: Device,
    identity: Option<Identity>,
    /// The longest that it may last.
    max_duration: Duration,
    /// Its place on a trunk.
    seat: Option<Seat>,
    state: State,
    actions: VecDeque<Action>,
    timeline: Timeline,
    story: Story,
    browser: Option<BrowserLeg>,
    candidates: Vec<SocketAddr>,
    candidates_heard: u32,
    /// When a browser that closed its media is taken for gone.
    gone_at: Option<Instant>,
    /// How keys cross on the telephone's leg, once that is known.
    dtmf: DtmfWay,
    /// Keys for INFO that were pressed before the answer.
    waiting_keys: Vec<DtmfInfo>,
    /// Keys of that telephone have come in its media: what comes by INFO are the same.
    keys_in_media: [bool; 2],
    /// What each telephone was offered in the answer to an INVITE without an offer; its own answer is in the ACK.
    offered: [Option<Box<TrunkOffer>>; 2],
    /// The telephones' legs, once they are agreed on: that of the other is, once the two are joined.
    phones: [Option<PhoneLeg>; 2],
    hold: Hold,
    told_hold: Hold,
    /// The way to the telephone.
    route: Option<Route>,
    /// Where the worker hears each of them.
    rtp: [Option<(SocketAddr, SocketAddr)>; 2],
    /// The worker has the call.
    media_open: bool,
    /// It has hung up, and another is called in its place.
    phone_gone: bool,
    /// Headers that the browser wants the telephone to see.
    headers: BTreeMap<String, String>,
    /// Where the call goes on to, if the user does not take it.
    forward: Forward,
    /// By whom it was sent on before.
    diverted: Diverted,
    /// What is known of who signed it.
    signed: Signed,
    /// A transfer that is under way.
    transfer: Option<Box<Transfer>>,
    /// The other telephone is called, or up.
    other_up: bool,
    /// Its place on a trunk, where it stays beside the first.
    other_seat: Option<Seat>,
    rng: StdRng,
}

#[derive(Debug)]
enum State {
    /// The user's devices ring (RFC 3261 §13.3.1.1).
    Ringing(Box<Ringing>),
    /// The worker is opening the media; nothing has gone out yet.
    Opening { other: Other, deadline: Instant },
    /// The browser has its answer, the INVITE is out (RFC 3261 §13.2).
    Calling(Box<Calling>),
    /// Both sides can talk (RFC 3261 §13.2.2.4).
    Talking { deadline: Instant },
    /// The call goes on to another telephone, and neither is answered.
    Forwarding {
        called: Box<Called>,
        deadline: Instant,
    },
    /// Two telephones talk, and the browser is no longer in it.
    Joined { deadline: Instant },
    /// Both legs have been told that the call is over.
    Ending {
        sip_pending: bool,
        other_pending: bool,
        media_pending: bool,
        deadline: Instant,
    },
    /// The record is out.
    Ended,
}

/// Whom the browser's media is being opened for.
#[derive(Debug)]
enum Other {
    /// A telephone that is still to be called.
    Dial(Box<Ways>),
    /// A telephone that called.
    Caller(Box<Called>),
}

#[derive(Debug)]
struct Calling {
    /// What all whom the INVITE has reached were offered.
    trunk: Box<TrunkOffer>,
    attempt: Box<Attempt>,
    ring_deadline: Instant,
    /// Anything at all came back.
    heard: bool,
    ringing: bool,
    /// The early media joined last (RFC 3960).
    early: Option<TrunkMedia>,
    forks: EarlyLegs,
}

impl Machine {
    /// Begins a call. What comes of it is in [`Machine::poll_action`], a refusal included.
    pub fn new(now: Instant, environment: Arc<Environment>, setup: Setup) -> Self {
        let Setup {
            id,
            name,
            session,
            identity,
            to,
            offer,
            headers,
            candidates,
            wall,
            seed,
        } = setup;
        let parties = Parties {
            direction: Direction::Outbound,
            session,
            user: identity.as_ref().map(|identity| identity.user.clone()),
            from: identity
                .as_ref()
                .and_then(|identity| identity.number.clone()),
            to,
        };
        let own = identity.as_ref();
        let own = own.and_then(|identity| identity.permit.max_call_duration);
        let mut machine = Self {
            max_duration: own.map_or(environment.max_duration, |own| {
                own.min(environment.max_duration)
            }),
            identity,
            ..Self::idle(
                now,
                Arc::clone(&environment),
                (id, name),
                parties,
                wall,
                seed,
            )
        };
        machine.candidates = candidates;
        machine.headers = headers;
        machine.dial(now, &offer);
        machine
    }

    /// A machine to which nothing has happened.
    fn idle(
        now: Instant,
        environment: Arc<Environment>,
        (id, name): (CallId, CallName),
        parties: Parties,
        wall: SystemTime,
        seed: [u8; 32],
    ) -> Self {
        Self {
            max_duration: environment.max_duration,
            environment,
            id,
            name,
            device: Device::CALLER,
            identity: None,
            seat: None,
            state: State::Ending {
                sip_pending: false,
                other_pending: false,
                media_pending: false,
                deadline: now,
            },
            actions: VecDeque::new(),
            timeline: Timeline::new(id.to_string(), now),
            story: Story::new(parties, wall),
            browser: None,
            candidates: Vec::new(),
            candidates_heard: 0,
            gone_at: None,
            dtmf: DtmfWay::Events,
            waiting_keys: Vec::new(),
            keys_in_media: [false; 2],
            offered: [None, None],
            phones: [None, None],
            hold: Hold::default(),
            told_hold: Hold::default(),
            route: None,
            rtp: [None, None],
            media_open: false,
            phone_gone: false,
            headers: BTreeMap::new(),
            forward: Forward::default(),
            diverted: Diverted::default(),
            signed: Signed::default(),
            transfer: None,
            other_up: false,
            other_seat: None,
            rng: StdRng::from_seed(seed),
        }
    }

    /// The next thing to be done; poll until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Machine::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = match &self.state {
            State::Opening { deadline, .. } | State::Joined { deadline } => *deadline,
            State::Talking { deadline } | State::Forwarding { deadline, .. } => {
                match &self.transfer {
                    Some(transfer) => transfer.deadline.min(*deadline),
                    None => *deadline,
                }
            }
            State::Calling(calling) => calling.deadline(),
            State::Ringing(ringing) => ringing.deadline,
            State::Ending { deadline, .. } => return Some(*deadline),
            State::Ended => return None,
        };
        Some(
            self.gone_at
                .map_or(deadline, |gone_at| gone_at.min(deadline)),
        )
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &self.state {
            State::Ending { .. } => self.finish(now),
            State::Ended => {}
            _ if self.gone_at.is_some_and(|gone_at| gone_at <= now) => {
                self.end(
                    now,
                    CauseCode::BrowserGone.because("it closed its media"),
                    EndedBy::Browser,
                );
            }
            State::Opening { .. } => self.end(
                now,
                CauseCode::Internal.because("the media worker did not answer"),
                EndedBy::Gateway,
            ),
            State::Calling(calling) if now < calling.ring_deadline => self.give_way_up(now),
            State::Calling(calling) => {
                let code = match calling.heard {
                    true => CauseCode::NoAnswer,
                    false => CauseCode::Unreachable,
                };
                self.end(now, code.cause(), EndedBy::Gateway);
            }
            State::Ringing(_) => {
                if !self.forward(now, Why::NoAnswer) {
                    self.end(now, CauseCode::NoAnswer.cause(), EndedBy::Gateway);
                }
            }
            State::Forwarding { deadline, .. } => {
                let over = now >= *deadline;
                if over || !self.leave_silent_way(now) {
                    self.end(now, CauseCode::NoAnswer.cause(), EndedBy::Gateway);
                }
            }
            State::Talking { deadline } if now < *deadline => self.transfer_times_out(now),
            State::Talking { .. } | State::Joined { .. } => {
                self.end(now, CauseCode::TooLong.cause(), EndedBy::Gateway);
            }
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            // The browser has nothing more to do with it.
            Input::Browser(..) | Input::BrowserGone(_) if self.is_without_browser() => {}
            Input::Browser(device, message) => match &self.state {
                State::Ringing(_) => self.handle_ringing(now, device, message),
                _ if device == self.device => self.handle_browser(now, message),
                // It rang, and has been told that it no longer does.
                _ => {}
            },
            Input::BrowserGone(device) => match &self.state {
                State::Ringing(_) => self.stop_ringing(now, device, CauseCode::Unavailable),
                _ if device == self.device => {
                    self.end(now, CauseCode::BrowserGone.cause(), EndedBy::Browser);
                }
                _ => {}
            },
            Input::Media(event) => self.handle_media(now, event),
            Input::MediaOverloaded => {
                self.media_is_gone();
                self.end(
                    now,
                    CauseCode::Overloaded.because("the media workers are busy"),
                    EndedBy::Gateway,
                );
            }
            Input::Sip(event) => self.handle_sip(now, *event),
            Input::Dialed { to, others } => self.dialed(now, to, others),
            Input::DialFailed(why) => self.not_sent(now, why),
            // Of one that has hung up, nothing more was expected.
            Input::LegLost if self.phone_gone => {}
            Input::LegLost => {
                let cause = CauseCode::Internal.because("the telephone's leg was lost");
                self.sip_failed(now, cause, EndedBy::Gateway);
            }
            Input::TransferTo(leg, call) => self.transfer_to(now, leg, call),
            Input::Consulted(wish, said) => self.consultation(now, wish, said.map(|said| *said)),
            Input::Replaced(replacement) => self.replaced(now, *replacement),
            Input::Other(input) => self.other(now, *input),
            Input::Shutdown => self.end(now, CauseCode::ShuttingDown.cause(), EndedBy::Gateway),
        }
    }

    /// The call's name in the gateway.
    pub fn id(&self) -> CallId {
        self.id
    }

    fn phone_does(&mut self, action: PhoneAction) {
        self.actions
            .push_back(Action::Phone(LegName::Phone, action));
    }

    fn other_does(&mut self, action: PhoneAction) {
        self.actions
            .push_back(Action::Phone(LegName::Other, action));
    }

    /// Whether two telephones talk, or are to, and no browser is in it any more.
    pub fn is_without_browser(&self) -> bool {
        matches!(self.state, State::Joined { .. } | State::Forwarding { .. })
    }

    /// Whether the call is over and its record is out.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Ends both legs, once; each gets its cause.
    fn end(&mut self, now: Instant, cause: Cause, by: EndedBy) {
        if self.story.ended.is_some() {
            return;
        }
        self.timeline.note(
            now,
            Topic::Call,
            format!("ended by the {by:?}: {}", cause.text),
        );
        let sip_pending = match &self.state {
            State::Ringing(_)
            | State::Forwarding { .. }
            | State::Opening {
                other: Other::Caller(_),
                ..
            } => {
                let status = StatusCode::new(cause.code.status());
                self.phone_does(PhoneAction::Reject(
                    status.unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE),
                    cause.code.reason(),
                ));
                false
            }
            State::Calling(_) => {
                self.phone_does(PhoneAction::Cancel(cause.code.reason()));
                true
            }
            State::Talking { .. } | State::Joined { .. } if !self.phone_gone => {
                self.phone_does(PhoneAction::Bye(cause.code.reason()));
                true
            }
            _ => false,
        };
        let other_pending = self.other_up;
        if other_pending {
            self.other_does(PhoneAction::Bye(cause.code.reason()));
        }
        self.transfer = None;
        let media_pending = self.media_open;
        if media_pending {
            self.actions
                .push_back(Action::Media(MediaCommand::Close(self.id)));
        }
        let devices = match &self.state {
            State::Ringing(ringing) => ringing.devices(),
            _ => vec![self.device],
        };
        if !self.is_without_browser() {
            self.hang_up(devices, &cause);
        }
        self.story.ended = Some((now, cause, by));
        self.state = State::Ending {
            sip_pending,
            other_pending,
            media_pending,
            deadline: now + END_DEADLINE,
        };
        self.finish_if_both_ended(now);
    }

    /// Tells the browser, if there is one.
    fn tell(&mut self, message: ServerMessage) {
        if self.is_without_browser() {
            return;
        }
        self.actions
            .push_back(Action::Browser(self.device, message));
    }

    /// Tells these that the call is over for them.
    fn hang_up(&mut self, devices: Vec<Device>, cause: &Cause) {
        for device in devices {
            let hangup = ServerMessage::Hangup {
                call: self.name.clone(),
                cause: cause.clone(),
            };
            self.actions.push_back(Action::Browser(device, hangup));
        }
    }

    fn finish_if_both_ended(&mut self, now: Instant) {
        if let State::Ending {
            sip_pending: false,
            other_pending: false,
            media_pending: false,
            ..
        } = self.state
        {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: Instant) {
        if let State::Ending {
            sip_pending: true, ..
        } = self.state
        {
            self.timeline.note(
                now,
                Topic::Sip,
                "the telephone has not confirmed the end yet",
            );
        }
        self.state = State::Ended;
        if let Some(seat) = self.seat.take() {
            seat.withdraw(now);
        }
        let record = self.story.record(now, self.id, &self.timeline);
        self.actions.push_back(Action::Finished(Box::new(record)));
    }
}
