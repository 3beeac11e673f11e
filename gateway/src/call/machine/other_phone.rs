//! The other telephone of a transfer: called, answered, in the place of the first, or gone.

use std::sync::Arc;
use std::time::Instant;

use sip::endpoint::{Event as SipEvent, Failure, Fork};
use sip::{Replaces, StatusCode};

use super::dialing::{PATIENCE, moves_on};
use super::early::{Agreed, EarlyLegs};
use super::hold::{Hold, PhoneLeg, not_now};
use super::phone::cause_of_failure;
use super::transfer::{Called, Stage};
use super::{Action, Dial, Input, LegName, Machine, PhoneAction, State};
use crate::call::cause::{Cause, CauseCode};
use crate::call::record::EndedBy;
use crate::call::route::Ways;
use crate::call::timeline::Topic;
use crate::settings::Trunk;
use crate::signaling::message::TransferState;
use crate::trunks::{Outcome, Seat};

impl Machine {
    /// Calls the other telephone, to take the place of the first, or of the browser (`joins`).
    pub(super) fn call_other(
        &mut self,
        now: Instant,
        mut ways: Ways,
        replaces: Option<Replaces>,
        joins: bool,
    ) -> Result<(), Cause> {
        // It takes the place of the first, or of the browser.
        let place = if joins { self.rtp[1] } else { self.rtp[0] };
        let nowhere = || CauseCode::Internal.because("its media has no port yet");
        let (rtp, rtcp) = place.ok_or_else(nowhere)?;
        let mut cause = CauseCode::NotFound.cause();
        let trunks = Arc::clone(&self.environment.routes.trunks);
        let (route, seat) = loop {
            let Some(route) = ways.routes.pop_front() else {
                return Err(cause);
            };
            match route.id.map(|id| trunks.begin(now, id, ways.help)) {
                None => break (route, None),
                Some(Ok(seat)) => break (route, Some(seat)),
                Some(Err(full)) => cause = CauseCode::Overloaded.because(full),
            }
        };
        let trunk = self.trunk_options(route.trunk.as_deref(), rtp, rtcp);
        let text = sdp::trunk::offer_fresh(&trunk.options);
        self.timeline
            .note_sdp(now, "the other telephone is offered", &text, &[]);
        let body = text.into_bytes();
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
            replaces: replaces.clone(),
            headers: self.headers_for(&route),
        };
        self.other_does(PhoneAction::Dial(Box::new(dial)));
        self.other_up = true;
        let patience = match ways.routes.is_empty() {
            true => self.environment.ring_timeout,
            false => PATIENCE,
        };
        let called = Box::new(Called {
            route,
            seat,
            trunk,
            forks: EarlyLegs::default(),
            rest: ways,
            replaces,
            heard: (false, false),
        });
        let stage = match joins {
            true => Stage::Joining(called),
            false => Stage::Replacing(called),
        };
        self.set_stage(now + patience, stage);
        Ok(())
    }

    fn tried(&mut self) -> Option<&mut Called> {
        match &mut self.transfer.as_deref_mut()?.stage {
            Stage::Replacing(called) | Stage::Joining(called) => Some(called),
            _ => None,
        }
    }

    /// Something came back from the way that is tried.
    pub(super) fn other_is_heard(&mut self, now: Instant, status: StatusCode) {
        let until = now + self.environment.ring_timeout;
        let Some(called) = self.tried() else { return };
        let before = called.heard.0;
        called.heard = (true, called.heard.1 || status != StatusCode::TRYING);
        if !before && let Some(transfer) = &mut self.transfer {
            transfer.deadline = until;
        }
    }

    /// The way that was tried came to nothing: on to another, where there is one. Somebody who has heard it ring is not
    /// called again.
    pub(super) fn call_another(&mut self, now: Instant) -> bool {
        let Some(called) = self.tried() else {
            return false;
        };
        if called.heard.1 || called.rest.routes.is_empty() {
            return false;
        }
        let routes = std::mem::take(&mut called.rest.routes);
        let rest = Ways {
            routes,
            ..called.rest.clone()
        };
        let replaces = called.replaces.take();
        let stage = self.transfer.as_deref().map(|transfer| &transfer.stage);
        let joins = matches!(stage, Some(Stage::Joining(_)));
        self.timeline.note(now, Topic::Sip, "on to the next way");
        self.call_other(now, rest, replaces, joins).is_ok()
    }

    /// Nothing at all came back: another way is tried, where there is one.
    pub(super) fn leave_silent_way(&mut self, now: Instant) -> bool {
        let silent = |called: &mut Called| !called.heard.0 && !called.rest.routes.is_empty();
        if !self.tried().is_some_and(silent) {
            return false;
        }
        self.called_failed(now);
        self.other_up = false;
        self.other_does(PhoneAction::Abandon(CauseCode::Unreachable.reason()));
        self.call_another(now)
    }

    /// The trunk that was tried did not answer.
    fn called_failed(&mut self, now: Instant) {
        if let Some(seat) = self.take_called_seat() {
            let trunks = &self.environment.routes.trunks;
            trunks.report(now, seat.trunk(), Outcome::Failed(None));
        }
    }

    /// Its INVITE came to nothing: whether another way is tried.
    pub(super) fn other_failed(&mut self, now: Instant, failure: &Failure) -> bool {
        self.report_called(now, failure);
        moves_on(failure).is_some() && self.call_another(now)
    }

    /// Its INVITE could not be sent: whether another way is tried.
    pub(super) fn other_not_sent(&mut self, now: Instant, why: &str) -> bool {
        self.timeline.note(now, Topic::Sip, why.to_owned());
        // It never left: that says nothing of the trunk.
        if let Some(seat) = self.take_called_seat() {
            seat.withdraw(now);
        }
        self.call_another(now)
    }

    /// What happens to the other telephone.
    pub(super) fn other(&mut self, now: Instant, input: Input) {
        match input {
            Input::Dialed { to, .. } => {
                let text = format!("the INVITE is out, to {to}");
                self.timeline.note(now, Topic::Sip, text);
            }
            Input::DialFailed(why) if self.other_not_sent(now, &why) => {}
            Input::DialFailed(why) => {
                self.other_ended(now, &CauseCode::Unreachable.because(why));
            }
            Input::LegLost if self.other_up => match self.state {
                State::Joined { .. } => {
                    self.other_up = false;
                    self.end(now, CauseCode::Normal.cause(), EndedBy::Phone);
                }
                _ => self.other_is_gone(now),
            },
            Input::Sip(event) => match self.state {
                State::Joined { .. } => self.joined(now, LegName::Other, *event),
                _ => self.other_sip(now, *event),
            },
            _ => {}
        }
        self.finish_if_both_ended(now);
    }

    pub(super) fn other_sip(&mut self, now: Instant, event: SipEvent) {
        match event {
            SipEvent::Progress {
                status, fork, body, ..
            } => {
                if let (Some(called), Some(body)) = (self.tried(), body)
                    && let Ok(agreed) = called.trunk.agree(&body)
                {
                    called.forks.put(fork, agreed);
                }
                let text = format!("the other telephone: {}", status.code());
                self.timeline.note(now, Topic::Sip, text);
                self.other_is_heard(now, status);
                if status == StatusCode::EARLY_DIALOG_TERMINATED {
                    if let Some(called) = self.tried() {
                        called.forks.forget(fork);
                    }
                    return;
                }
                if matches!(self.state, State::Forwarding { .. }) {
                    if status == StatusCode::RINGING {
                        self.forward_rings(now);
                    }
                    return;
                }
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
            SipEvent::Answered { fork, body, .. }
                if matches!(self.state, State::Forwarding { .. }) =>
            {
                self.forward_answered(now, fork, body.as_deref());
            }
            SipEvent::Answered { fork, body, .. } => {
                self.other_answered(now, fork, body.as_deref());
            }
            // What comes of an offer that its own call made before it was ours says nothing of ours.
            SipEvent::OfferAnswered { offer, .. } | SipEvent::OfferRefused { offer, .. }
                if !self.offers_other(&offer) => {}
            SipEvent::OfferAnswered { body, .. } => {
                self.taken(now, body.as_deref());
            }
            SipEvent::OfferRefused { .. } => {
                let why = "the other telephone does not take our media";
                self.give_other_up(now, &CauseCode::NotAcceptable.because(why));
            }
            SipEvent::Failed { failure, .. } if self.other_failed(now, &failure) => {}
            SipEvent::Failed { failure, .. } => {
                let (cause, _) = cause_of_failure(&failure);
                self.other_ended(now, &cause);
            }
            SipEvent::Ended { .. } | SipEvent::Cancelled { .. } => self.other_is_gone(now),
            SipEvent::Offer { fork, body, .. } => self.other_offers(now, fork, body.as_deref()),
            SipEvent::Referred { .. } => {
                self.other_does(PhoneAction::AnswerRefer(StatusCode::REQUEST_PENDING));
            }
            _ => {}
        }
    }

    /// It may change what it has said while it rings (RFC 3311 §5). One that is up already is not ours to change anything
    /// before it is in its place.
    fn other_offers(&mut self, now: Instant, fork: Option<Fork>, body: Option<&[u8]>) {
        let text = String::from_utf8_lossy(body.unwrap_or_default());
        self.timeline
            .note_sdp(now, "the other telephone offers anew", &text, &[]);
        let answered = match self.tried() {
            Some(called) => called.forks.answer(fork, &text),
            None => Err(not_now()),
        };
        let answer = match answered {
            Ok(answered) => {
                let title = "the other telephone is answered anew";
                self.timeline
                    .note_sdp(now, title, &answered.text, &answered.notes);
                Ok(answered.text.into_bytes())
            }
            Err((status, why)) => {
                let text = format!("the change is refused with {}: {why}", status.code());
                self.timeline.note(now, Topic::Sdp, text);
                Err(status)
            }
        };
        self.other_does(PhoneAction::AnswerOffer(answer));
    }

    /// What came of the INVITE says something of the trunk it went by.
    fn report_called(&mut self, now: Instant, failure: &Failure) {
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

    /// It was there, and is no longer.
    fn other_is_gone(&mut self, now: Instant) {
        let code = match self.state {
            State::Forwarding { .. } => CauseCode::Unavailable,
            _ => CauseCode::Normal,
        };
        self.other_ended(now, &code.cause());
    }

    /// The other telephone is no longer there.
    pub(super) fn other_ended(&mut self, now: Instant, cause: &Cause) {
        self.other_up = false;
        if matches!(self.state, State::Forwarding { .. }) {
            return self.forward_failed(now, cause.clone());
        }
        if let State::Ending { other_pending, .. } = &mut self.state {
            *other_pending = false;
            return;
        }
        if self.transfer.is_some() {
            self.transfer_failed(now, cause);
        }
    }

    pub(super) fn other_answered(&mut self, now: Instant, fork: Option<Fork>, body: Option<&[u8]>) {
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
                match called.forks.answered(&called.trunk, fork, body) {
                    Ok(Agreed {
                        trunk,
                        negotiated,
                        media,
                    }) => {
                        self.phone_does(PhoneAction::Notify(StatusCode::OK));
                        self.route = Some(called.route);
                        self.take_other(now, called.seat);
                        self.agreed(now, trunk, &negotiated, media, false);
                        self.changed_hands(now, EndedBy::Gateway, Some(&transfer.to), None);
                    }
                    Err(why) => {
                        transfer.stage = Stage::NOTHING;
                        self.transfer = Some(transfer);
                        self.other_does(PhoneAction::Bye(CauseCode::NotAcceptable.reason()));
                        self.transfer_failed(now, &CauseCode::NotAcceptable.because(why));
                    }
                }
            }
            Stage::Joining(called) => {
                self.seat_served(now, called.seat.as_ref());
                transfer.stage = Stage::NOTHING;
                self.transfer = Some(transfer);
                let State::Talking { deadline } = self.state else {
                    return;
                };
                match called.forks.answered(&called.trunk, fork, body) {
                    Ok(Agreed { trunk, media, .. }) => {
                        let other = PhoneLeg::new(trunk, media);
                        self.leave_to_telephones(now, deadline, other, called.seat);
                    }
                    Err(why) => self.give_other_up(now, &CauseCode::NotAcceptable.because(why)),
                }
            }
            stage => {
                transfer.stage = stage;
                self.transfer = Some(transfer);
            }
        }
    }

    /// The trunk that was tried does what it is there for.
    pub(super) fn called_served(&mut self, now: Instant) {
        if let Some(seat) = self.take_called_seat() {
            self.seat_served(now, Some(&seat));
            if let Some(called) = self.tried() {
                called.seat = Some(seat);
            }
        }
    }

    pub(super) fn seat_served(&self, now: Instant, seat: Option<&Seat>) {
        if let Some(seat) = seat {
            let trunks = &self.environment.routes.trunks;
            trunks.report(now, seat.trunk(), Outcome::Served);
        }
    }

    /// The other telephone takes the place of the first.
    pub(super) fn take_other(&mut self, now: Instant, seat: Option<Seat>) {
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
        self.offered[0] = None;
    }

    /// The other telephone, if there is one, is let go.
    pub(super) fn give_other_up(&mut self, now: Instant, cause: &Cause) {
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
}
