//! Transfers: somebody at one end is to speak with somebody else instead.
//!
//! The telephone may ask for it (REFER, RFC 3515): then the gateway calls the other, who takes its place; or the other, or
//! what stands before it, calls with Replaces (RFC 3891). The browser may ask for it: then the telephone is asked to do
//! it, and where it will not, the gateway calls the other and joins the two telephones ([`joined`](super::joined)).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::endpoint::{Event as SipEvent, Failure};
use sip::{Host, ReferTo, Replaces, StatusCode};

use super::dialing::moves_on;
use super::hold::Hold;
use super::legs::TrunkOffer;
use super::phone::cause_of_failure;
use super::ringing::Caller;
use super::{Action, Dial, Input, Machine, PhoneAction, State};
use crate::call::CallId;
use crate::call::cause::{Cause, CauseCode};
use crate::call::negotiation::trunk_media;
use crate::call::record::{EndedBy, TransferRecord, millis};
use crate::call::route::{Route, Ways};
use crate::call::timeline::Topic;
use crate::settings::{Trunk, TrunkSrtp};
use crate::signaling::message::{ErrorCode, ServerMessage, TransferCall, TransferState};
use crate::sip_driver::{Leg, ReferTarget};
use crate::trunks::{Outcome, Seat};

/// How long a telephone that was asked to transfer may take to say whether it will: its transaction's own time (timer F).
const ANSWER: Duration = Duration::from_secs(33);

/// The longest number that a telephone of a PBX has, in digits.
const EXTENSION: usize = 6;

/// How many transfers of one call its record tells of.
const MAX_RECORDED: usize = 32;

/// A telephone's call that is to take the place of one that is up.
#[derive(Debug)]
pub struct Replacement {
    /// Who calls.
    pub caller: Caller,
    /// The INVITE's SDP; empty where it has none.
    pub offer: Vec<u8>,
    /// Where it comes from.
    pub trunk: Arc<Trunk>,
    /// Its place there.
    pub seat: Option<Seat>,
}

/// A transfer that is under way.
#[derive(Debug)]
pub(super) struct Transfer {
    by: EndedBy,
    to: String,
    deadline: Instant,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The telephone was asked to do it; these are the ways to do it ourselves, if it will not.
    Asked { taken: bool, ways: Option<Ways> },
    /// Another telephone is called, to take the place of the first.
    Replacing(Box<Called>),
    /// Another telephone is called, to speak with the first in the browser's place.
    Joining(Box<Called>),
    /// It has answered, and the first is offered what it said.
    Connecting(Option<Seat>),
}

/// The other telephone.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) route: Route,
    pub(super) seat: Option<Seat>,
    pub(super) trunk: TrunkOffer,
}

impl Transfer {
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Machine {
    /// The way to a telephone that called.
    pub(super) fn route_of(&self, trunk: &Arc<Trunk>, seat: Option<&Seat>) -> Option<Route> {
        let id = seat.map(Seat::trunk);
        let account = id.and_then(|id| self.environment.routes.trunks.get(id).1);
        Some(Route {
            target: trunk.uri.clone(),
            next_hop: trunk.next_hop().clone(),
            trunk: Some(Arc::clone(trunk)),
            id,
            account,
        })
    }

    /// The telephone wants us to call somebody else in its place.
    pub(super) fn referred(&mut self, now: Instant, to: &ReferTo) {
        let text = format!("the telephone transfers us to {}", to.uri);
        self.timeline.note(now, Topic::Sip, text);
        let refused = match self.refer_ways(now, to) {
            Ok(ways) => {
                self.phone_does(PhoneAction::AnswerRefer(StatusCode::ACCEPTED));
                let attended = to.replaces.is_some();
                self.begin_transfer(now, EndedBy::Phone, to.uri.to_string(), attended);
                return match self.call_other(now, ways, to.replaces.clone(), false) {
                    Ok(()) => {}
                    Err(cause) => self.transfer_failed(now, &cause),
                };
            }
            Err(refused) => refused,
        };
        let (status, why) = refused;
        let text = format!("that is refused with {}: {why}", status.code());
        self.timeline.note(now, Topic::Sip, text);
        self.phone_does(PhoneAction::AnswerRefer(status));
    }

    fn refer_ways(&mut self, now: Instant, to: &ReferTo) -> Result<Ways, (StatusCode, String)> {
        let refuse = |status, why: &str| Err((status, why.to_owned()));
        if !matches!(self.state, State::Talking { .. }) || self.transfer.is_some() {
            let why = "another transfer is under way, or the call is not that far";
            return refuse(StatusCode::REQUEST_PENDING, why);
        }
        let Some(route) = self.route.clone() else {
            return refuse(StatusCode::REQUEST_PENDING, "the call is not that far");
        };
        if !route.trunk.as_ref().is_some_and(|trunk| trunk.transfers) {
            let why = "this trunk may not transfer (transfers = false, or the lab)";
            return refuse(StatusCode::FORBIDDEN, why);
        }
        let found = self
            .environment
            .routes
            .referred(now, &route, to, &mut self.rng);
        let ways = found.map_err(|no| (StatusCode::FORBIDDEN, no.text))?;
        // A call that is up already costs nothing anew, if it is one: only what may be an extension is not asked about.
        let extension =
            ways.number.len() <= EXTENSION && ways.number.bytes().all(|b| b.is_ascii_digit());
        let named = ways.number.bytes().any(|b| b.is_ascii_alphabetic());
        if to.replaces.is_none() || !(extension || named) {
            self.permits(&ways)
                .map_err(|cause| (StatusCode::FORBIDDEN, cause.text))?;
        }
        Ok(ways)
    }

    /// The browser wants the telephone to speak with somebody else.
    pub(super) fn transfer(&mut self, now: Instant, transfer: &TransferCall) {
        // That to another call comes with its leg, by `transfer_to`.
        let Some(to) = transfer.to.as_deref() else {
            return;
        };
        let Some(route) = self.may_transfer() else {
            return;
        };
        let found = self.environment.routes.find(now, to, &mut self.rng);
        let ways = found.map_err(|no| no.code.because(no.text));
        let ways = match ways.and_then(|ways| self.permits(&ways).map(|()| ways)) {
            Ok(ways) => ways,
            Err(cause) => return self.browser_error(ErrorCode::BadField, Some("to"), cause.text),
        };
        self.begin_transfer(now, EndedBy::Browser, to.to_owned(), false);
        self.tell_transfer(TransferState::Trying, "The call is being transferred.");
        let same_trunk = |way: &&Route| way.id.is_some() && way.id == route.id;
        match ways.routes.front().filter(same_trunk) {
            Some(way) => {
                let target = way.target.clone();
                let text = format!("the telephone is asked to call {target}");
                self.timeline.note(now, Topic::Sip, text);
                self.phone_does(PhoneAction::Refer(ReferTarget::To(target)));
                self.set_stage(
                    now + ANSWER,
                    Stage::Asked {
                        taken: false,
                        ways: Some(ways),
                    },
                );
            }
            // What is beyond another trunk, the telephone may not reach.
            None => self.join_telephones(now, ways),
        }
    }

    /// The browser wants the telephone to speak with that of another of its calls.
    pub(super) fn transfer_to(&mut self, now: Instant, leg: Leg, call: CallId) {
        if self.may_transfer().is_none() {
            return;
        }
        self.begin_transfer(now, EndedBy::Browser, call.to_string(), true);
        self.tell_transfer(TransferState::Trying, "The call is being transferred.");
        let text = format!("the telephone is asked to take our place in call {call}");
        self.timeline.note(now, Topic::Sip, text);
        self.phone_does(PhoneAction::Refer(ReferTarget::Leg(leg)));
        let stage = Stage::Asked {
            taken: false,
            ways: None,
        };
        self.set_stage(now + ANSWER, stage);
    }

    /// The way to the telephone, where the call can be transferred now.
    fn may_transfer(&mut self) -> Option<Route> {
        let talking = matches!(self.state, State::Talking { .. }) && !self.phone_gone;
        if !talking || self.transfer.is_some() {
            let text = match talking {
                true => "the call is being transferred already",
                false => "only a call that is answered can be transferred",
            };
            self.browser_error(ErrorCode::WrongState, None, text);
            return None;
        }
        self.route.clone()
    }

    pub(super) fn begin_transfer(&mut self, now: Instant, by: EndedBy, to: String, attended: bool) {
        let since = now.saturating_duration_since(self.timeline.start());
        if self.story.transfers.len() < MAX_RECORDED {
            self.story.transfers.push(TransferRecord {
                at_ms: millis(since),
                by,
                to: to.clone(),
                attended,
                done_by: None,
                ended_ms: None,
                failure: None,
            });
        }
        self.transfer = Some(Box::new(Transfer {
            by,
            to,
            deadline: now + ANSWER,
            stage: Stage::Asked {
                taken: false,
                ways: None,
            },
        }));
    }

    pub(super) fn set_stage(&mut self, deadline: Instant, stage: Stage) {
        if let Some(transfer) = &mut self.transfer {
            transfer.deadline = deadline;
            transfer.stage = stage;
        }
    }

    /// Calls the other telephone, to take the place of the first, or of the browser (`joins`).
    pub(super) fn call_other(
        &mut self,
        now: Instant,
        mut ways: Ways,
        replaces: Option<Replaces>,
        joins: bool,
    ) -> Result<(), Cause> {
        // Two telephones that are joined need none of ours.
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (rtp, rtcp) = self.rtp.unwrap_or((nowhere, nowhere));
        let mut cause = CauseCode::NotFound.cause();
        let trunks = Arc::clone(&self.environment.routes.trunks);
        let ours = self.route.as_ref().and_then(|route| route.trunk.as_ref());
        let ours = ours.map_or(TrunkSrtp::Off, |trunk| trunk.srtp);
        let (route, seat) = loop {
            let Some(route) = ways.routes.pop_front() else {
                return Err(cause);
            };
            let theirs = route
                .trunk
                .as_ref()
                .map_or(TrunkSrtp::Off, |trunk| trunk.srtp);
            if joins && !self.reaches(&route) {
                let why = "a call between users of ours has no address that others reach";
                cause = CauseCode::NotAcceptable.because(why);
                continue;
            }
            if joins && theirs != ours {
                // Keys that one of them keeps secret are not told the other.
                let why = "the two trunks protect audio in different ways";
                cause = CauseCode::NotAcceptable.because(why);
                continue;
            }
            match route.id.map(|id| trunks.begin(now, id, ways.help)) {
                None => break (route, None),
                Some(Ok(seat)) => break (route, Some(seat)),
                Some(Err(full)) => cause = CauseCode::Overloaded.because(full),
            }
        };
        let trunk = self.trunk_options(route.trunk.as_deref(), rtp, rtcp);
        let body = match joins {
            // What the first said of its media: the two send to each other.
            true => both_ways(&self.their_sdp),
            false => {
                let text = sdp::trunk::offer_fresh(&trunk.options);
                self.timeline
                    .note_sdp(now, "the other telephone is offered", &text, &[]);
                text.into_bytes()
            }
        };
        let text = format!("INVITE {} by way of {}", route.target, route.next_hop);
        self.timeline.note(now, Topic::Sip, text);
        let internal = |trunk: &Arc<Trunk>| trunk.internal.is_some();
        let dial = Dial {
            target: route.target.clone(),
            next_hop: route.next_hop.clone(),
            account: route.account,
            identity: self.identity.clone(),
            internal: route.trunk.as_ref().is_some_and(internal),
            body,
            ring_timeout: self.environment.ring_timeout,
            replaces,
            headers: self.headers_for(&route),
        };
        self.other_does(PhoneAction::Dial(Box::new(dial)));
        self.other_up = true;
        let called = Box::new(Called { route, seat, trunk });
        let stage = match joins {
            true => Stage::Joining(called),
            false => Stage::Replacing(called),
        };
        self.set_stage(now + self.environment.ring_timeout, stage);
        Ok(())
    }

    /// Whether what the telephone said of its media means something where that way leads: between users of ours it is our
    /// own address that is said, and it may be one of this machine alone.
    fn reaches(&self, route: &Route) -> bool {
        let ours = self.route.as_ref().and_then(|route| route.trunk.as_ref());
        let ours = ours.and_then(|trunk| trunk.internal);
        let here = |host: &Host| host.ip().is_some_and(|ip| ip.is_loopback());
        ours.is_none_or(|ip| !ip.is_loopback() || here(&route.next_hop.host))
    }

    /// Whether a call may take the telephone's place now.
    pub fn may_be_replaced(&self) -> bool {
        matches!(self.state, State::Talking { .. }) && self.transfer.is_none() && !self.other_up
    }

    /// The gateway carries out the browser's wish itself.
    fn join_telephones(&mut self, now: Instant, ways: Ways) {
        if let Err(cause) = self.call_other(now, ways, None, true) {
            self.transfer_failed(now, &cause);
        }
    }

    /// What the telephone says to being asked.
    pub(super) fn refer_answered(&mut self, now: Instant, status: Option<StatusCode>) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let Stage::Asked { taken, ways } = &mut transfer.stage else {
            return;
        };
        if status.is_some_and(StatusCode::is_success) {
            *taken = true;
            transfer.deadline = now + self.environment.ring_timeout;
            return;
        }
        let ways = ways.take();
        let text = match status {
            Some(status) => format!("the telephone does not transfer: {}", status.code()),
            None => "the telephone does not answer to being transferred".to_owned(),
        };
        self.timeline.note(now, Topic::Sip, text.clone());
        match ways {
            Some(ways) => self.join_telephones(now, ways),
            None => self.transfer_failed(now, &CauseCode::TrunkError.because(text)),
        }
    }

    /// How far the telephone is with it.
    pub(super) fn refer_progress(&mut self, now: Instant, status: StatusCode, last: bool) {
        let Some(Transfer {
            stage: Stage::Asked { taken, .. },
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        *taken = true;
        let text = format!("the telephone transfers: {}", status.code());
        self.timeline.note(now, Topic::Sip, text);
        match (status.is_provisional(), status.is_success()) {
            (true, _) if !last => {
                if status == StatusCode::RINGING {
                    self.tell_transfer(TransferState::Ringing, "It rings.");
                }
            }
            // One that ends without a word of how: it has let go of us, and so do we.
            (true, _) | (_, true) => {
                self.transfer_done(now, EndedBy::Phone);
                self.end(now, CauseCode::Transferred.cause(), EndedBy::Browser);
            }
            _ => {
                let cause = crate::call::cause::from_status(status, None);
                self.transfer_failed(now, &cause);
            }
        }
    }

    /// Whether a BYE of the telephone's means that it speaks with the other now.
    pub(super) fn was_transferred(&mut self) -> bool {
        let taken = matches!(
            self.transfer.as_deref(),
            Some(Transfer {
                stage: Stage::Asked { taken: true, .. },
                ..
            })
        );
        if taken && let Some(record) = self.story.transfers.last_mut() {
            record.done_by = Some(EndedBy::Phone);
        }
        taken
    }

    /// The telephone has hung up while another is called in its place: whether the call goes on.
    pub(super) fn goes_on_without_phone(&mut self, _now: Instant) -> bool {
        let replacing = matches!(
            self.transfer.as_deref(),
            Some(Transfer {
                stage: Stage::Replacing(_),
                ..
            })
        );
        if replacing && matches!(self.state, State::Talking { .. }) {
            self.phone_gone = true;
            self.set_media();
        }
        replacing && self.phone_gone
    }

    /// What happens to the other telephone.
    pub(super) fn other(&mut self, now: Instant, input: Input) {
        match input {
            Input::Dialed { to, .. } => {
                let text = format!("the INVITE is out, to {to}");
                self.timeline.note(now, Topic::Sip, text);
            }
            Input::DialFailed(why) => {
                self.other_ended(now, &CauseCode::Unreachable.because(why));
            }
            Input::LegLost if self.other_up => match self.state {
                State::Joined { .. } => {
                    self.other_up = false;
                    self.end(now, CauseCode::Normal.cause(), EndedBy::Phone);
                }
                _ => self.other_ended(now, &CauseCode::Normal.cause()),
            },
            Input::Sip(event) => match self.state {
                State::Joined { .. } => self.joined(now, super::LegName::Other, *event),
                _ => self.other_sip(now, *event),
            },
            _ => {}
        }
        self.finish_if_both_ended(now);
    }

    fn other_sip(&mut self, now: Instant, event: SipEvent) {
        match event {
            SipEvent::Progress { status, .. } => {
                let text = format!("the other telephone: {}", status.code());
                self.timeline.note(now, Topic::Sip, text);
                match self.transfer.as_deref().map(|transfer| &transfer.stage) {
                    Some(Stage::Replacing(_)) if status != StatusCode::TRYING => {
                        self.phone_does(PhoneAction::Notify(status));
                        if self.phone_gone && status == StatusCode::RINGING {
                            self.tell_transfer(TransferState::Ringing, "It rings.");
                        }
                    }
                    Some(Stage::Joining(_)) if status == StatusCode::RINGING => {
                        self.tell_transfer(TransferState::Ringing, "It rings.");
                    }
                    _ => {}
                }
            }
            SipEvent::Answered { body, .. } => self.other_answered(now, body.as_deref()),
            SipEvent::Failed { failure, .. } => {
                let (cause, _) = cause_of_failure(&failure);
                self.report_called(now, &failure);
                self.other_ended(now, &cause);
            }
            SipEvent::Ended { .. } | SipEvent::Cancelled { .. } => {
                self.other_ended(now, &CauseCode::Normal.cause());
            }
            // It is not ours to change anything before it is in its place.
            SipEvent::Offer { .. } => {
                let refused = Err(StatusCode::REQUEST_PENDING);
                self.other_does(PhoneAction::AnswerOffer(refused));
            }
            SipEvent::Referred { .. } => {
                self.other_does(PhoneAction::AnswerRefer(StatusCode::REQUEST_PENDING));
            }
            _ => {}
        }
    }

    /// What came of the INVITE says something of the trunk it went by.
    pub(super) fn report_called(&mut self, now: Instant, failure: &Failure) {
        let Some(seat) = self.take_called_seat() else {
            return;
        };
        let trunks = &self.environment.routes.trunks;
        match (moves_on(failure), failure) {
            (Some(outcome), _) => trunks.report(now, seat.trunk(), outcome),
            (None, Failure::Status { .. }) => trunks.report(now, seat.trunk(), Outcome::Served),
            (None, _) => seat.withdraw(now),
        }
    }

    /// The other telephone is no longer there.
    fn other_ended(&mut self, now: Instant, cause: &Cause) {
        self.other_up = false;
        if let State::Ending { other_pending, .. } = &mut self.state {
            *other_pending = false;
            return;
        }
        if self.transfer.is_some() {
            self.transfer_failed(now, cause);
        }
    }

    fn other_answered(&mut self, now: Instant, body: Option<&[u8]>) {
        let text = String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
        self.timeline
            .note_sdp(now, "the other telephone answers", &text, &[]);
        let Some(mut transfer) = self.transfer.take() else {
            // Nobody waits for it any more.
            return self.other_does(PhoneAction::Bye(CauseCode::Cancelled.reason()));
        };
        match transfer.stage {
            Stage::Replacing(called) => {
                let called = *called;
                let read = body.ok_or_else(|| "the answer had no SDP".to_owned());
                match read.and_then(|body| called.trunk.read_answer(body)) {
                    Ok((agreed, media)) => {
                        self.phone_does(PhoneAction::Notify(StatusCode::OK));
                        self.their_sdp = text.into_bytes();
                        self.route = Some(called.route);
                        self.take_other(now, called.seat);
                        self.agreed(now, called.trunk, &agreed, media, false);
                        self.changed_hands(now, EndedBy::Gateway, Some(&transfer.to), None);
                    }
                    Err(why) => {
                        transfer.stage = Stage::Asked {
                            taken: false,
                            ways: None,
                        };
                        self.transfer = Some(transfer);
                        self.other_does(PhoneAction::Bye(CauseCode::NotAcceptable.reason()));
                        self.transfer_failed(now, &CauseCode::NotAcceptable.because(why));
                    }
                }
            }
            Stage::Joining(called) => {
                transfer.stage = Stage::Connecting(called.seat);
                transfer.deadline = now + ANSWER;
                self.transfer = Some(transfer);
                self.phone_does(PhoneAction::Offer(both_ways(text.as_bytes())));
            }
            stage => {
                transfer.stage = stage;
                self.transfer = Some(transfer);
            }
        }
    }

    /// The other telephone takes the place of the first.
    fn take_other(&mut self, now: Instant, seat: Option<Seat>) {
        self.actions
            .push_back(Action::TakeOther(CauseCode::Transferred.reason()));
        self.seat = seat;
        self.trunk_served(now);
        self.story.trunk = self.route.as_ref().and_then(|route| {
            let name = route.trunk.as_ref().map(|trunk| trunk.name.clone());
            route.id.and(name)
        });
        self.other_up = false;
        self.phone_gone = false;
        self.hold = Hold::default();
        self.offered = None;
    }

    /// The browser speaks with somebody else now.
    fn changed_hands(
        &mut self,
        now: Instant,
        done_by: EndedBy,
        number: Option<&str>,
        name: Option<String>,
    ) {
        self.transfer_done(now, done_by);
        self.tell_hold();
        let to = number.map(str::to_owned);
        self.tell(ServerMessage::Transfer {
            call: self.name.clone(),
            state: TransferState::Done,
            to,
            name,
            text: "You speak with somebody else now.".to_owned(),
        });
    }

    pub(super) fn transfer_done(&mut self, now: Instant, by: EndedBy) {
        self.transfer = None;
        self.timeline.note(now, Topic::Call, "the transfer is done");
        let since = millis(now.saturating_duration_since(self.timeline.start()));
        if let Some(record) = self.story.transfers.last_mut() {
            record.done_by = Some(by);
            record.ended_ms = Some(since);
        }
    }

    /// Nothing comes of it: those who talked go on, if both are still there.
    pub(super) fn transfer_failed(&mut self, now: Instant, cause: &Cause) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        let text = format!("the transfer failed: {}", cause.text);
        self.timeline.note(now, Topic::Call, text);
        let since = millis(now.saturating_duration_since(self.timeline.start()));
        if let Some(record) = self.story.transfers.last_mut() {
            record.ended_ms = Some(since);
            record.failure = Some(cause.text.clone());
        }
        if let (Stage::Connecting(_), State::Talking { .. }) = (&transfer.stage, &self.state) {
            // It may have taken the other's session: ours is offered to it again.
            self.offer_again(now);
            self.set_media();
        }
        match transfer.by {
            EndedBy::Phone if self.phone_gone => {
                let cause = cause.clone();
                self.end(now, cause, EndedBy::Phone);
            }
            EndedBy::Phone => {
                let status = cause.sip.unwrap_or(cause.code.status());
                let status = StatusCode::new(status).filter(|status| status.code() >= 300);
                let status = status.unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
                self.phone_does(PhoneAction::Notify(status));
            }
            EndedBy::Browser => self.tell_transfer(TransferState::Failed, &cause.text),
            // Nobody asked for it.
            EndedBy::Gateway => {}
        }
    }

    /// The telephone does not take the other's session: the two cannot be joined.
    pub(super) fn not_connected(&mut self, now: Instant, why: &str) {
        if let Some(Transfer {
            stage: Stage::Connecting(_),
            ..
        }) = self.transfer.as_deref()
        {
            self.give_other_up(now, &CauseCode::NotAcceptable.because(why));
        }
    }

    /// Who was to do something about it has not.
    pub(super) fn transfer_times_out(&mut self, now: Instant) {
        self.give_other_up(now, &CauseCode::NoAnswer.cause());
    }

    /// The other telephone, if there is one, is let go.
    fn give_other_up(&mut self, now: Instant, cause: &Cause) {
        if self.other_up {
            self.other_up = false;
            self.other_does(PhoneAction::Abandon(CauseCode::NoAnswer.reason()));
        }
        self.transfer_failed(now, cause);
    }

    /// The place on its trunk of the telephone that is called.
    pub(super) fn take_called_seat(&mut self) -> Option<Seat> {
        match self
            .transfer
            .as_deref_mut()
            .map(|transfer| &mut transfer.stage)
        {
            Some(Stage::Replacing(called) | Stage::Joining(called)) => called.seat.take(),
            _ => None,
        }
    }

    fn tell_transfer(&mut self, state: TransferState, text: &str) {
        self.tell(ServerMessage::Transfer {
            call: self.name.clone(),
            state,
            to: None,
            name: None,
            text: text.to_owned(),
        });
    }

    /// A telephone's call is to take the place of ours (RFC 3891): as if it had always been with it.
    pub(super) fn replaced(&mut self, now: Instant, replacement: Replacement) {
        let Replacement {
            caller,
            offer,
            trunk,
            seat,
        } = replacement;
        let number = caller.number.clone();
        let text = match &number {
            Some(number) => format!("{number} takes the telephone's place"),
            None => "another takes the telephone's place".to_owned(),
        };
        self.timeline.note(now, Topic::Sip, text);
        let answered = self.answer_replacement(now, &offer, &trunk);
        let (trunk_offer, answer, agreed) = match answered {
            Ok(answered) => answered,
            Err((status, why)) => {
                let text = format!("that is refused with {}: {why}", status.code());
                self.timeline.note(now, Topic::Sip, text);
                let reason = CauseCode::NotAcceptable.reason();
                return self.other_does(PhoneAction::Reject(status, reason));
            }
        };
        let to = number.clone().unwrap_or_default();
        self.begin_transfer(now, EndedBy::Phone, to, true);
        self.other_does(PhoneAction::Accept(answer));
        self.their_sdp = offer;
        self.route = self.route_of(&trunk, seat.as_ref());
        self.take_other(now, seat);
        match agreed {
            Some((agreed, media)) => self.agreed(now, trunk_offer, &agreed, media, false),
            // Its answer is in the ACK.
            None => self.offered = Some(Box::new(trunk_offer)),
        }
        self.changed_hands(now, EndedBy::Phone, number.as_deref(), caller.display_name);
    }

    #[allow(clippy::type_complexity)]
    fn answer_replacement(
        &mut self,
        now: Instant,
        offer: &[u8],
        trunk: &Arc<Trunk>,
    ) -> Result<
        (
            TrunkOffer,
            Vec<u8>,
            Option<(sdp::Negotiated, crate::worker::TrunkMedia)>,
        ),
        (StatusCode, String),
    > {
        let not_now = || (StatusCode::REQUEST_PENDING, "not at this moment".to_owned());
        if !self.may_be_replaced() {
            return Err(not_now());
        }
        let (rtp, rtcp) = self.rtp.ok_or_else(not_now)?;
        if offer.is_empty() {
            let options = self.trunk_options(Some(trunk), rtp, rtcp);
            let text = sdp::trunk::offer_fresh(&options.options);
            self.timeline
                .note_sdp(now, "the other telephone is offered", &text, &[]);
            return Ok((options, text.into_bytes(), None));
        }
        let text = String::from_utf8_lossy(offer);
        self.timeline
            .note_sdp(now, "the other telephone offers", &text, &[]);
        let refuse = |refusal: sdp::Refusal| (StatusCode::NOT_ACCEPTABLE_HERE, refusal.to_string());
        let options = self.trunk_options(Some(trunk), rtp, rtcp);
        let offer = sdp::trunk::read_offer(&text, &options.options.keying).map_err(refuse)?;
        let (answer, agreed, notes) =
            sdp::trunk::answer(&offer, &options.options).map_err(refuse)?;
        let xr = options.options.profile.rtcp_xr;
        let media =
            trunk_media(&agreed, options.behind_nat, options.dtmf, xr).ok_or_else(|| {
                let why = "the SDP names no address for audio".to_owned();
                (StatusCode::NOT_ACCEPTABLE_HERE, why)
            })?;
        self.timeline
            .note_sdp(now, "the other telephone is answered", &answer, &notes);
        Ok((options, answer.into_bytes(), Some((agreed, media))))
    }
}

/// A description whose media goes both ways: what was on hold is not, for somebody else (RFC 3264 §5.1).
fn both_ways(sdp: &[u8]) -> Vec<u8> {
    let directions: [&[u8]; 3] = [b"a=sendonly", b"a=recvonly", b"a=inactive"];
    let lines = sdp.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !directions.contains(&line.trim_ascii()))
        .flatten()
        .copied()
        .collect()
}
