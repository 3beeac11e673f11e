//! Two calls of one browser become one of their two telephones, where the telephone will not do that itself, or cannot.
//!
//! This call keeps its own telephone, which notices nothing. The other call gives its telephone away and is over; that
//! telephone is offered our media, on the worker of this call, and is in the browser's place when it has agreed.

use std::time::{Duration, Instant};

use super::hold::PhoneLeg;
use super::legs::TrunkOffer;
use super::transfer::{ANSWER, Instead, Stage};
use super::{Action, Machine, PhoneAction, State};
use crate::call::CallId;
use crate::call::cause::CauseCode;
use crate::call::record::EndedBy;
use crate::call::route::Route;
use crate::call::timeline::Topic;
use crate::sip_driver::{Leg, ReferTarget};
use crate::trunks::Seat;

/// How long another call of ours may take to answer.
const CONSULTATION: Duration = Duration::from_secs(5);

/// What one call of a browser asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What its telephone is.
    Description,
    /// The telephone itself. The call that gives it is over.
    Telephone,
}

/// What a call says of its telephone.
#[derive(Debug)]
pub struct Consulted {
    /// The way to it.
    pub(super) route: Route,
    /// What it was told last.
    pub(super) ours: TrunkOffer,
    /// Its place on a trunk, which comes with the telephone.
    pub(super) seat: Option<Seat>,
}

impl Machine {
    /// Another call of the browser's asks for our telephone. None where it cannot have it now.
    pub fn consulted(&mut self, now: Instant, by: CallId, wish: Wish) -> Option<Consulted> {
        if !self.may_be_replaced() || self.phone_gone {
            return None;
        }
        let mut consulted = Consulted {
            route: self.route.clone()?,
            ours: self.phones[0].as_ref()?.trunk.clone(),
            seat: None,
        };
        if wish == Wish::Telephone {
            consulted.seat = self.seat.take();
            self.begin_transfer(now, EndedBy::Browser, by.to_string(), true);
            self.transfer_done(now, EndedBy::Gateway);
            self.phone_gone = true;
            self.end(now, CauseCode::Transferred.cause(), EndedBy::Browser);
        }
        Some(consulted)
    }

    /// The browser wants the telephone to speak with that of another of its calls.
    pub(super) fn transfer_to(&mut self, now: Instant, leg: Leg, call: CallId) {
        if self.may_transfer().is_none() {
            return;
        }
        self.begin_transfer(now, EndedBy::Browser, call.to_string(), true);
        self.tell_trying();
        self.consult(now, call, Some(leg));
    }

    /// Asks the other call. With its telephone's leg, ours is to do it itself where it can.
    pub(super) fn consult(&mut self, now: Instant, call: CallId, leg: Option<Leg>) {
        self.set_stage(now + CONSULTATION, Stage::Consulting { call, leg });
        let action = Action::Consult(call, Wish::Description);
        self.actions.push_back(action);
    }

    /// What the other call says.
    pub(super) fn consultation(&mut self, now: Instant, wish: Wish, said: Option<Consulted>) {
        let stage = self.transfer.as_deref().map(|transfer| &transfer.stage);
        match (stage, said) {
            (Some(&Stage::Consulting { call, leg }), Some(said)) => match leg {
                Some(leg) if self.is_same_trunk(&said.route) => {
                    let text = format!("the telephone is asked to take our place in call {call}");
                    self.timeline.note(now, Topic::Sip, text);
                    self.phone_does(PhoneAction::Refer(ReferTarget::Leg(leg)));
                    let stage = Stage::Asked {
                        taken: false,
                        instead: Instead::Take(call),
                    };
                    self.set_stage(now + ANSWER, stage);
                }
                // What is beyond another trunk, the telephone may not reach.
                _ => self.join_telephones(now, Instead::Take(call)),
            },
            (Some(Stage::Taking), Some(said)) if wish == Wish::Telephone => {
                self.take_consulted(now, said);
            }
            (Some(Stage::Consulting { .. } | Stage::Taking), None) => {
                let why = "the other call is not answered, is over or is being transferred";
                self.transfer_failed(now, &CauseCode::Unavailable.because(why));
            }
            // It took too long.
            (_, Some(_)) if wish == Wish::Telephone => {
                self.other_does(PhoneAction::Abandon(CauseCode::Cancelled.reason()));
            }
            _ => {}
        }
    }

    /// Whether the telephone can reach the other one by itself.
    fn is_same_trunk(&self, theirs: &Route) -> bool {
        let ours = self.route.as_ref().and_then(|route| route.id);
        ours.is_some() && ours == theirs.id
    }

    /// There are ports for the other call's telephone: now it is to give it away.
    pub(super) fn take(&mut self, now: Instant, call: CallId) {
        self.set_stage(now + CONSULTATION, Stage::Taking);
        let action = Action::Consult(call, Wish::Telephone);
        self.actions.push_back(action);
    }

    /// The other call's telephone is ours: it is offered our media. What it agreed on for SRTP was with another worker.
    fn take_consulted(&mut self, now: Instant, said: Consulted) {
        let Some((rtp, rtcp)) = self.rtp[1] else {
            return;
        };
        self.other_up = true;
        let before = said.ours.options;
        let mut trunk = self.trunk_options(said.route.trunk.as_deref(), rtp, rtcp);
        trunk.options.session_id = before.session_id;
        trunk.options.session_version = before.session_version + 1;
        let text = sdp::trunk::offer_fresh(&trunk.options);
        let title = "the other telephone is offered our media";
        self.timeline.note_sdp(now, title, &text, &[]);
        self.other_does(PhoneAction::Offer(text.into_bytes()));
        self.set_stage(now + ANSWER, Stage::Offering(Box::new(trunk), said.seat));
    }

    /// Whether that is what it is offered now.
    pub(super) fn offers_other(&self, offer: &[u8]) -> bool {
        match self.transfer.as_deref().map(|transfer| &transfer.stage) {
            Some(Stage::Offering(trunk, _)) => {
                sdp::trunk::offer_fresh(&trunk.options).as_bytes() == offer
            }
            _ => false,
        }
    }

    /// What it makes of that; false where it was not asked.
    pub(super) fn taken(&mut self, now: Instant, body: Option<&[u8]>) -> bool {
        let stage = self.transfer.as_deref_mut().map(|one| &mut one.stage);
        let (Some(stage @ Stage::Offering(..)), State::Talking { deadline }) = (stage, &self.state)
        else {
            return false;
        };
        let deadline = *deadline;
        let Stage::Offering(trunk, seat) = std::mem::replace(stage, Stage::NOTHING) else {
            return false;
        };
        let text = String::from_utf8_lossy(body.unwrap_or_default());
        self.timeline
            .note_sdp(now, "the other telephone answers", &text, &[]);
        let read = body.ok_or_else(|| "the answer had no SDP".to_owned());
        match read.and_then(|body| trunk.read_answer(body)) {
            Ok((_, media)) => {
                let other = PhoneLeg::new(*trunk, media);
                self.leave_to_telephones(now, deadline, other, seat);
            }
            Err(why) => self.give_other_up(now, &CauseCode::NotAcceptable.because(why)),
        }
        true
    }
}
