//! Two telephones that the gateway has joined: their media goes from one to the other, and the gateway passes on what
//! changes (RFC 3725), until one of them hangs up.

use std::time::Instant;

use sip::StatusCode;
use sip::endpoint::Event as SipEvent;

use super::transfer::{Stage, Transfer};
use super::{Action, LegName, Machine, PhoneAction, State};
use crate::call::cause::{self, CauseCode};
use crate::call::record::EndedBy;
use crate::call::timeline::Topic;
use crate::trunks::Seat;
use crate::worker::MediaCommand;

impl Machine {
    /// The telephone has said what it makes of the other's session: false where that is not what was asked.
    pub(super) fn connected(&mut self, now: Instant, body: Option<&[u8]>) -> bool {
        if self.agrees_to_consulted(now, body) {
            return true;
        }
        let Some(Transfer {
            stage: Stage::Connecting(seat, other),
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return false;
        };
        let State::Talking { deadline } = self.state else {
            return false;
        };
        let (seat, other) = (seat.take(), std::mem::take(other));
        let text = String::from_utf8_lossy(body.unwrap_or_default());
        self.timeline
            .note_sdp(now, "the telephone answers anew", &text, &[]);
        // The other has been offered what the telephone said before.
        let changed = body.is_some_and(|body| !is_same(body, &self.their_sdp));
        if changed {
            let body = self.told(LegName::Other, body.unwrap_or_default());
            self.other_does(PhoneAction::Offer(body));
        }
        let said = [body.unwrap_or_default().to_vec(), other];
        self.leave_to_telephones(now, deadline, seat, said, changed);
        true
    }

    /// The two telephones talk, and the browser is out of it. `said` is what each said last of its media; it is `settling` while the
    /// second has not answered what the first said.
    pub(super) fn leave_to_telephones(
        &mut self,
        now: Instant,
        deadline: Instant,
        seat: Option<Seat>,
        said: [Vec<u8>; 2],
        settling: bool,
    ) {
        self.other_seat = seat;
        self.transfer_done(now, EndedBy::Gateway);
        let cause = CauseCode::Transferred.cause();
        self.hang_up(vec![self.device], &cause);
        if self.browser.take().is_some_and(|leg| leg.agreed.is_some()) {
            let close = MediaCommand::Close(self.id);
            self.actions.push_back(Action::Media(close));
        }
        self.gone_at = None;
        self.state = State::Joined {
            deadline,
            asked: None,
            said,
            settling,
        };
    }

    /// What happens to one of two telephones that are joined concerns the other.
    pub(super) fn joined(&mut self, now: Instant, from: LegName, event: SipEvent) {
        let to = from.opposite();
        let State::Joined {
            asked,
            said,
            settling,
            ..
        } = &mut self.state
        else {
            return;
        };
        match event {
            // One at a time: whose offer meets the other's tries again (RFC 3261 §14.1).
            SipEvent::Offer { .. } if asked.is_some() => {
                let refused = Err(StatusCode::REQUEST_PENDING);
                self.does(from, PhoneAction::AnswerOffer(refused));
            }
            SipEvent::Offer { body, .. } => {
                let wants_ours = body.is_none();
                let offer = body.unwrap_or_default();
                *asked = Some((from, offer.clone()));
                if wants_ours {
                    // What the other said last is offered; the answer in the ACK is news to it (RFC 3725 §7).
                    let last = said[to.index()].clone();
                    let last = self.told(from, &last);
                    self.does(from, PhoneAction::AnswerOffer(Ok(last)));
                } else {
                    let offer = self.told(to, &offer);
                    self.does(to, PhoneAction::Offer(offer));
                }
            }
            SipEvent::Confirmed { body, .. } => {
                let wanted_ours = |one: &mut (LegName, Vec<u8>)| one.0 == from && one.1.is_empty();
                if asked.take_if(wanted_ours).is_none() {
                    return;
                }
                let changed = |body: &Vec<u8>| !is_same(body, &said[from.index()]);
                if let Some(body) = body.filter(changed) {
                    said[from.index()].clone_from(&body);
                    let body = self.told(to, &body);
                    self.does(to, PhoneAction::Offer(body));
                }
            }
            SipEvent::OfferAnswered { body, .. }
                if asked
                    .as_ref()
                    .is_some_and(|one| one.0 == to && !one.1.is_empty()) =>
            {
                if let (Some((_, offer)), Some(body)) = (asked.take(), &body) {
                    said[to.index()] = offer;
                    said[from.index()].clone_from(body);
                }
                let answer = body.map(|body| self.told(to, &body));
                let answer = answer.ok_or(StatusCode::NOT_ACCEPTABLE_HERE);
                self.does(to, PhoneAction::AnswerOffer(answer));
            }
            // The second has been offered what the first says; the first was told what the second had said before.
            SipEvent::OfferAnswered { body, .. } if from == LegName::Other && *settling => {
                *settling = false;
                let changed = |body: &Vec<u8>| !is_same(body, &said[from.index()]);
                if let Some(body) = body.filter(changed) {
                    said[from.index()].clone_from(&body);
                    let body = self.told(to, &body);
                    self.does(to, PhoneAction::Offer(body));
                }
            }
            SipEvent::OfferRefused { .. } if from == LegName::Other && *settling => {
                let why = "the other telephone does not take the first one's session";
                let cause = CauseCode::NotAcceptable.because(why);
                self.end(now, cause, EndedBy::Gateway);
            }
            SipEvent::OfferRefused { status, .. }
                if asked
                    .as_ref()
                    .is_some_and(|one| one.0 == to && !one.1.is_empty()) =>
            {
                *asked = None;
                let status = status.unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE);
                self.does(to, PhoneAction::AnswerOffer(Err(status)));
            }
            SipEvent::Info { key, .. } => self.does(to, PhoneAction::Info(key)),
            SipEvent::Referred { .. } => {
                self.does(from, PhoneAction::AnswerRefer(StatusCode::FORBIDDEN));
            }
            // A CANCEL may cross our 200: its caller is gone all the same.
            SipEvent::Ended { reason, .. } | SipEvent::Cancelled { reason, .. } => {
                let which = match from {
                    LegName::Phone => "the telephone",
                    LegName::Other => "the other telephone",
                };
                let text = format!("the dialog ended: {which} hung up");
                self.timeline.note(now, Topic::Sip, text);
                match from {
                    LegName::Phone => self.phone_gone = true,
                    LegName::Other => self.other_up = false,
                }
                self.end(now, cause::from_bye(reason.as_ref()), EndedBy::Phone);
            }
            _ => {}
        }
        self.finish_if_both_ended(now);
    }

    fn does(&mut self, leg: LegName, action: PhoneAction) {
        self.actions.push_back(Action::Phone(leg, action));
    }
}

/// Whether two descriptions ask for the same media, whoever's session it is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    fn media(sdp: &[u8]) -> Vec<&[u8]> {
        let lines = sdp.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines
            .filter(|line| line.starts_with(b"c=") || line.starts_with(b"m="))
            .collect()
    }
    media(one) == media(other)
}
