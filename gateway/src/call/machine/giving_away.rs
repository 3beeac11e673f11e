//! The browser asks for a transfer: the telephone is asked to do it, and where it will not, the gateway calls the other, or
//! takes the one that the browser has called already ([`attended`](super::attended)), and joins the two telephones
//! ([`joined`](super::joined)).

use std::net::SocketAddr;
use std::time::Instant;

use sip::StatusCode;

use super::legs::stream_start;
use super::transfer::{ANSWER, Instead, Stage, Transfer};
use super::{Action, Machine, OPEN_DEADLINE, PhoneAction, State};
use crate::call::cause::{Cause, CauseCode};
use crate::call::record::EndedBy;
use crate::call::route::Route;
use crate::call::timeline::Topic;
use crate::signaling::message::{ErrorCode, TransferCall, TransferState};
use crate::sip_driver::ReferTarget;
use crate::worker::MediaCommand;

impl Machine {
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
        self.tell_trying();
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
                        instead: Instead::Call(ways),
                    },
                );
            }
            // What is beyond another trunk, the telephone may not reach.
            None => self.join_telephones(now, Instead::Call(ways)),
        }
    }

    /// The way to the telephone, where the call can be transferred now.
    pub(super) fn may_transfer(&mut self) -> Option<Route> {
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

    pub(super) fn tell_trying(&mut self) {
        self.tell_transfer(TransferState::Trying, "The call is being transferred.");
    }

    /// The gateway carries out the browser's wish itself.
    pub(super) fn join_telephones(&mut self, now: Instant, instead: Instead) {
        let start = stream_start(&mut self.rng);
        let add = MediaCommand::AddTelephone(self.id, start);
        self.actions.push_back(Action::Media(add));
        self.set_stage(now + OPEN_DEADLINE, Stage::Adding(instead));
    }

    /// The worker listens for the other telephone.
    pub(super) fn added(&mut self, now: Instant, rtp: SocketAddr, rtcp: SocketAddr) {
        self.rtp[1] = Some((rtp, rtcp));
        let stage = self.transfer.as_deref_mut().map(|one| &mut one.stage);
        let Some(stage @ Stage::Adding(_)) = stage else {
            return;
        };
        match std::mem::replace(stage, Stage::NOTHING) {
            Stage::Adding(Instead::Call(ways)) => {
                if let Err(cause) = self.call_other(now, ways, None, true) {
                    self.other_ended(now, &cause);
                }
            }
            Stage::Adding(Instead::Take(call)) => self.take(now, call),
            _ => {}
        }
    }

    /// There are no ports for the other telephone. One that comes late is of a transfer that is over.
    pub(super) fn not_added(&mut self, now: Instant, cause: &Cause) {
        let stage = self.transfer.as_deref().map(|transfer| &transfer.stage);
        match (stage, &self.state) {
            (Some(Stage::Adding(_)), State::Forwarding { .. }) => {
                self.forward_failed(now, cause.clone());
            }
            (Some(Stage::Adding(_)), _) => self.transfer_failed(now, cause),
            _ => {}
        }
    }

    /// What the telephone says to being asked.
    pub(super) fn refer_answered(&mut self, now: Instant, status: Option<StatusCode>) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let Stage::Asked { taken, instead } = &mut transfer.stage else {
            return;
        };
        if status.is_some_and(StatusCode::is_success) {
            *taken = true;
            transfer.deadline = now + self.environment.ring_timeout;
            return;
        }
        let instead = std::mem::replace(instead, Instead::Nothing);
        let text = match status {
            Some(status) => format!("the telephone does not transfer: {}", status.code()),
            None => "the telephone does not answer to being transferred".to_owned(),
        };
        self.timeline.note(now, Topic::Sip, text.clone());
        match instead {
            instead @ (Instead::Call(_) | Instead::Take(_)) => self.join_telephones(now, instead),
            Instead::Nothing => self.transfer_failed(now, &CauseCode::TrunkError.because(text)),
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
}
