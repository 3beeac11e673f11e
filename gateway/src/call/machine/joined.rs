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
            stage: Stage::Connecting(seat),
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return false;
        };
        let State::Talking { deadline } = self.state else {
            return false;
        };
        let seat = seat.take();
        let text = String::from_utf8_lossy(body.unwrap_or_default());
        self.timeline
            .note_sdp(now, "the telephone answers anew", &text, &[]);
        // The other has been offered what the telephone said before.
        if body.is_some_and(|body| !is_same(body, &self.their_sdp)) {
            let body = self.told(LegName::Other, body.unwrap_or_default());
            self.other_does(PhoneAction::Offer(body));
        }
        self.leave_to_telephones(now, deadline, seat, None);
        true
    }

    /// The two telephones talk, and the browser is out of it. `told` is what the first was told of a second that has not
    /// answered yet.
    pub(super) fn leave_to_telephones(
        &mut self,
        now: Instant,
        deadline: Instant,
        seat: Option<Seat>,
        told: Option<Vec<u8>>,
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
            told,
        };
    }

    /// What happens to one of two telephones that are joined concerns the other.
    pub(super) fn joined(&mut self, now: Instant, from: LegName, event: SipEvent) {
        let to = from.opposite();
        let State::Joined { asked, told, .. } = &mut self.state else {
            return;
        };
        match event {
            SipEvent::Offer { body, .. } => {
                // One at a time: whose offer meets the other's tries again (RFC 3261 §14.1).
                let refused = match (asked.is_some(), &body) {
                    (true, _) => Some(StatusCode::REQUEST_PENDING),
                    (false, None) => Some(StatusCode::NOT_ACCEPTABLE_HERE),
                    (false, Some(_)) => None,
                };
                match (refused, body) {
                    (None, Some(body)) => {
                        *asked = Some(from);
                        let body = self.told(to, &body);
                        self.does(to, PhoneAction::Offer(body));
                    }
                    (status, _) => {
                        let status = status.unwrap_or(StatusCode::REQUEST_PENDING);
                        self.does(from, PhoneAction::AnswerOffer(Err(status)));
                    }
                }
            }
            SipEvent::OfferAnswered { body, .. } if *asked == Some(to) => {
                *asked = None;
                let answer = body.map(|body| self.told(to, &body));
                let answer = answer.ok_or(StatusCode::NOT_ACCEPTABLE_HERE);
                self.does(to, PhoneAction::AnswerOffer(answer));
            }
            // The second has been offered what the first says; the first was told what the second had said before.
            SipEvent::OfferAnswered { body, .. } if from == LegName::Other => {
                let told = told.take();
                let changed = |body: &Vec<u8>| told.is_some_and(|told| !is_same(body, &told));
                if let Some(body) = body.filter(changed) {
                    let body = self.told(to, &body);
                    self.does(to, PhoneAction::Offer(body));
                }
            }
            SipEvent::OfferRefused { .. } if from == LegName::Other && told.is_some() => {
                let why = "the other telephone does not take the first one's session";
                let cause = CauseCode::NotAcceptable.because(why);
                self.end(now, cause, EndedBy::Gateway);
            }
            SipEvent::OfferRefused { status, .. } if *asked == Some(to) => {
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
