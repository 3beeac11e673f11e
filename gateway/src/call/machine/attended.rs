//! Two calls of one browser become one of their two telephones, where the telephone will not do that itself, or cannot.
//!
//! This call keeps its own telephone. That one is offered what the other call's telephone last said of its media; when it
//! agrees, the other call gives its telephone away and is over, and that telephone is offered the answer (RFC 3725 §4).
//! Until then nothing has happened to the other call, and with a refusal nothing does.

use std::time::{Duration, Instant};

use super::legs::TrunkOffer;
use super::transfer::{ANSWER, Instead, Stage, Transfer};
use super::{Action, LegName, Machine, PhoneAction, State};
use crate::call::CallId;
use crate::call::cause::{Cause, CauseCode};
use crate::call::record::EndedBy;
use crate::call::route::Route;
use crate::call::timeline::Topic;
use crate::settings::TrunkSrtp;
use crate::sip_driver::{Leg, ReferTarget};
use crate::trunks::Seat;

/// How long another call of ours may take to answer.
const CONSULTATION: Duration = Duration::from_secs(5);

/// What one call of a browser asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What its telephone said of its media.
    Description,
    /// The telephone itself. The call that gives it is over.
    Telephone,
}

/// What a call says of its telephone.
#[derive(Debug)]
pub struct Consulted {
    /// The way to it.
    pub(super) route: Route,
    /// What it said last of its media.
    pub(super) sdp: Vec<u8>,
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
            sdp: self.their_sdp.clone(),
            ours: self.phone.as_ref()?.trunk.clone(),
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
                _ => self.offer_consulted(now, call, &said),
            },
            (Some(Stage::Taking { .. }), Some(said)) if wish == Wish::Telephone => {
                self.take_consulted(now, said);
            }
            (Some(Stage::Consulting { .. } | Stage::Taking { .. }), None) => {
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

    /// Our telephone is offered what the other said.
    fn offer_consulted(&mut self, now: Instant, call: CallId, said: &Consulted) {
        if let Err(cause) = self.may_be_joined(&said.route) {
            return self.transfer_failed(now, &cause);
        }
        let offer = self.told(LegName::Phone, &super::other_phone::both_ways(&said.sdp));
        let text = String::from_utf8_lossy(&offer);
        let title = "the telephone is offered the other's session";
        self.timeline.note_sdp(now, title, &text, &[]);
        self.phone_does(PhoneAction::Offer(offer));
        let told = said.sdp.clone();
        self.set_stage(now + ANSWER, Stage::Offering { call, told });
    }

    /// Whether the telephone can reach the other one by itself.
    fn is_same_trunk(&self, theirs: &Route) -> bool {
        let ours = self.route.as_ref().and_then(|route| route.id);
        ours.is_some() && ours == theirs.id
    }

    fn may_be_joined(&self, theirs: &Route) -> Result<(), Cause> {
        let srtp = |route: &Route| route.trunk.as_ref().map_or(TrunkSrtp::Off, |one| one.srtp);
        let ours = self.route.as_ref();
        let ours = ours.ok_or_else(|| CauseCode::Unavailable.cause())?;
        if (srtp(ours), srtp(theirs)) != (TrunkSrtp::Off, TrunkSrtp::Off) {
            let why = "their audio is protected by keys that each has with the gateway alone";
            return Err(CauseCode::NotAcceptable.because(why));
        }
        if !ours.reaches(theirs) || !theirs.reaches(ours) {
            let why = "a call between users of ours has no address that others reach";
            return Err(CauseCode::NotAcceptable.because(why));
        }
        Ok(())
    }

    /// Our telephone agrees to what the other said: now the other call is to give its telephone away. False where that was
    /// not what it was asked.
    pub(super) fn agrees_to_consulted(&mut self, now: Instant, body: Option<&[u8]>) -> bool {
        let has_audio = |phone: &super::PhoneLeg| {
            let answer = body.map(|body| phone.trunk.read_answer(body));
            answer.is_some_and(|read| read.is_ok())
        };
        let agreed = self.phone.as_ref().is_some_and(has_audio);
        let Some(Transfer {
            stage: stage @ Stage::Offering { .. },
            deadline,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return false;
        };
        let Stage::Offering { call, told } = std::mem::replace(stage, Stage::NOTHING) else {
            return false;
        };
        if !agreed {
            *stage = Stage::Offering { call, told };
            self.not_connected(
                now,
                "the telephone's answer has no audio that the other can have",
            );
            return true;
        }
        let answer = body.unwrap_or_default().to_vec();
        let text = String::from_utf8_lossy(&answer).into_owned();
        *stage = Stage::Taking { told, answer };
        *deadline = now + CONSULTATION;
        self.timeline
            .note_sdp(now, "the telephone answers anew", &text, &[]);
        let action = Action::Consult(call, Wish::Telephone);
        self.actions.push_back(action);
        true
    }

    /// Whether our telephone has agreed to what the other said, and the other is not ours yet.
    pub(super) fn is_being_given_away(&self) -> bool {
        let stage = self.transfer.as_deref().map(|transfer| &transfer.stage);
        matches!(stage, Some(Stage::Taking { .. }))
    }

    /// The other call's telephone is ours.
    fn take_consulted(&mut self, now: Instant, said: Consulted) {
        let State::Talking { deadline } = self.state else {
            return;
        };
        let stage = self.transfer.as_deref_mut().map(|one| &mut one.stage);
        let Some(Stage::Taking { told, answer }) = stage else {
            return;
        };
        let (told, answer) = (std::mem::take(told), std::mem::take(answer));
        self.other_up = true;
        self.other_told = Some(said.ours);
        let offer = self.told(LegName::Other, &super::other_phone::both_ways(&answer));
        self.other_does(PhoneAction::Offer(offer));
        self.leave_to_telephones(now, deadline, said.seat, [answer, told], true);
    }

    /// A description of the other's, as it is told in our session with that telephone: there the origin is ours, and
    /// each is another version of the same (RFC 3264 §8).
    pub(super) fn told(&mut self, leg: LegName, sdp: &[u8]) -> Vec<u8> {
        let ours = match leg {
            LegName::Phone => self.phone.as_mut().map(|phone| &mut phone.trunk),
            LegName::Other => self.other_told.as_mut(),
        };
        let Some(ours) = ours else {
            return sdp.to_vec();
        };
        ours.options.session_version += 1;
        let own = sdp::trunk::offer_fresh(&ours.options);
        let is_origin = |line: &&[u8]| line.starts_with(b"o=");
        let origin = own.as_bytes().split_inclusive(|byte| *byte == b'\n');
        let origin = origin.into_iter().find(is_origin).unwrap_or_default();
        let lines = sdp.split_inclusive(|byte| *byte == b'\n');
        lines
            .flat_map(|line| if is_origin(&line) { origin } else { line })
            .copied()
            .collect()
    }
}
