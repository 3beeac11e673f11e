//! Transfers: somebody at one end is to speak with somebody else instead.
//!
//! The telephone may ask for it ([`referred`](super::referred)), another telephone may come in its place
//! ([`replaced`](super::replaced)), or the browser gives it away ([`giving_away`](super::giving_away)). Here is what these
//! share: that one is under way, and what comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{Replaces, StatusCode};

use super::early::EarlyLegs;
use super::legs::TrunkOffer;
use super::{Machine, PhoneAction};
use crate::call::CallId;
use crate::call::cause::{Cause, CauseCode};
use crate::call::record::{EndedBy, TransferRecord, millis};
use crate::call::route::{Route, Ways};
use crate::call::timeline::Topic;
use crate::settings::Trunk;
use crate::signaling::message::{ServerMessage, TransferState};
use crate::sip_driver::Leg;
use crate::trunks::Seat;

/// How long a telephone that was asked to transfer may take to say whether it will: its transaction's own time (timer F).
pub(super) const ANSWER: Duration = Duration::from_secs(33);

/// How many transfers of one call its record tells of.
const MAX_RECORDED: usize = 32;

/// A transfer that is under way.
#[derive(Debug)]
pub(super) struct Transfer {
    by: EndedBy,
    pub(super) to: String,
    pub(super) deadline: Instant,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The telephone was asked to do it.
    Asked { taken: bool, instead: Instead },
    /// Another telephone is called, to take the place of the first.
    Replacing(Box<Called>),
    /// Another telephone is called, to speak with the first in the browser's place.
    Joining(Box<Called>),
    /// The worker makes the ports for the other telephone, which is then called or taken.
    Adding(Instead),
    /// Another call of the browser's is asked what its telephone is.
    Consulting { call: CallId, leg: Option<Leg> },
    /// The other call is to give its telephone away.
    Taking,
    /// It is ours, and is offered our media.
    Offering(Box<TrunkOffer>, Option<Seat>),
}

impl Stage {
    /// The one to begin with.
    pub(super) const NOTHING: Self = Self::Asked {
        taken: false,
        instead: Instead::Nothing,
    };
}

/// What the gateway does itself where the telephone will not.
#[derive(Debug)]
pub(super) enum Instead {
    Nothing,
    /// Calls the other.
    Call(Ways),
    /// Takes the telephone of another call of the browser's.
    Take(CallId),
}

/// The other telephone.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) route: Route,
    pub(super) seat: Option<Seat>,
    pub(super) trunk: TrunkOffer,
    /// What it has said before it answered.
    pub(super) forks: EarlyLegs,
    /// The other ways to it.
    pub(super) rest: Ways,
    /// The call that it takes the place of.
    pub(super) replaces: Option<Replaces>,
    /// Anything at all came back, and that it rings.
    pub(super) heard: (bool, bool),
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
            stage: Stage::NOTHING,
        }));
    }

    pub(super) fn set_stage(&mut self, deadline: Instant, stage: Stage) {
        if let Some(transfer) = &mut self.transfer {
            transfer.deadline = deadline;
            transfer.stage = stage;
        }
    }

    /// The browser speaks with somebody else now.
    pub(super) fn changed_hands(
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

    /// Who was to do something about it has not.
    pub(super) fn transfer_times_out(&mut self, now: Instant) {
        if self.leave_silent_way(now) {
            return;
        }
        self.give_other_up(now, &CauseCode::NoAnswer.cause());
    }

    pub(super) fn tell_transfer(&mut self, state: TransferState, text: &str) {
        self.tell(ServerMessage::Transfer {
            call: self.name.clone(),
            state,
            to: None,
            name: None,
            text: text.to_owned(),
        });
    }
}
