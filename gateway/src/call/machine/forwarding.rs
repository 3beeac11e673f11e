//! A telephone's call that the user does not take goes on to another number: the caller is answered with what the other
//! says, and the two are [`joined`](super::joined).

use std::time::Instant;

use sip::Replaces;
use sip::endpoint::Event as SipEvent;

use super::phone::cause_of_failure;
use super::{EndedBy, Input, Machine, PhoneAction, State};
use crate::call::cause::{Cause, CauseCode};
use crate::call::diverted::Why;
use crate::call::timeline::Topic;

/// How often a call is diverted (RFC 5806) before it is taken for a loop.
const MAX_DIVERSIONS: usize = 5;

/// Where the user's calls go on to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// All of them.
    pub always: Option<String>,
    /// Those that find every device busy.
    pub busy: Option<String>,
    /// Those that he does not answer.
    pub no_answer: Option<String>,
    /// Those that find him signed in nowhere.
    pub unavailable: Option<String>,
}

impl Forward {
    fn target(&self, why: Why) -> Option<&String> {
        match why {
            Why::Always => self.always.as_ref(),
            Why::Busy => self.busy.as_ref(),
            Why::NoAnswer => self.no_answer.as_ref(),
            Why::Unavailable => self.unavailable.as_ref(),
        }
    }
}

impl Machine {
    /// Sends the call on, if the user wants that; false where it ends instead.
    pub(super) fn forward(&mut self, now: Instant, why: Why) -> bool {
        let Some(to) = self.forward.target(why).cloned() else {
            return false;
        };
        if let Err(cause) = self.call_forward(now, &to, why) {
            let text = format!("it does not go on to {to}: {}", cause.text);
            self.timeline.note(now, Topic::Call, text);
            self.transfer_failed(now, &cause);
            return false;
        }
        let text = format!("the call goes on to {to}: {}", why.reason());
        self.timeline.note(now, Topic::Call, text);
        if let State::Ringing(ringing) = &self.state {
            let devices = ringing.devices();
            self.hang_up(devices, &CauseCode::NoAnswer.cause());
        }
        self.state = State::Forwarding {
            deadline: now + self.environment.ring_timeout,
        };
        true
    }

    fn call_forward(&mut self, now: Instant, to: &str, why: Why) -> Result<(), Cause> {
        self.begin_transfer(now, EndedBy::Gateway, to.to_owned(), false);
        if self.diverted.times() >= MAX_DIVERSIONS {
            return Err(CauseCode::Unavailable.because("it was diverted too often"));
        }
        if self.their_sdp.is_empty() {
            return Err(CauseCode::NotAcceptable.because("the caller made no offer"));
        }
        let found = self.environment.routes.find(now, to, &mut self.rng);
        let ways = found.map_err(|no| no.code.because(no.text))?;
        self.permits(&ways)?;
        let called = &self.story.parties.to;
        let host = self.route.as_ref().map(|route| route.target.host.clone());
        let host = host.map_or_else(String::new, |host| host.to_string());
        self.diverted.goes_on(&format!("sip:{called}@{host}"), why);
        let replaces: Option<Replaces> = None;
        self.call_other(now, ways, replaces, true)
    }

    /// What happens to the telephone that the call goes on to.
    pub(super) fn forwarded(&mut self, now: Instant, input: Input) {
        match input {
            Input::Dialed { to, .. } => {
                let text = format!("the INVITE is out, to {to}");
                self.timeline.note(now, Topic::Sip, text);
            }
            Input::DialFailed(why) if self.other_not_sent(now, &why) => {}
            Input::DialFailed(why) => {
                self.other_up = false;
                self.forward_failed(now, CauseCode::Unreachable.because(why));
            }
            Input::LegLost if self.other_up => {
                self.other_up = false;
                self.forward_failed(now, CauseCode::Unavailable.cause());
            }
            Input::Sip(event) => match *event {
                SipEvent::Progress { status, .. } => {
                    let text = format!("the other telephone: {}", status.code());
                    self.timeline.note(now, Topic::Sip, text);
                    self.other_is_heard(now, status);
                    if status == sip::StatusCode::RINGING {
                        self.story.ringing.get_or_insert(now);
                        self.phone_does(PhoneAction::Ring);
                    }
                }
                SipEvent::Answered { body, .. } => self.forward_answered(now, body),
                SipEvent::Failed { failure, .. } if self.other_failed(now, &failure) => {}
                SipEvent::Failed { failure, .. } => {
                    self.other_up = false;
                    let (cause, _) = cause_of_failure(&failure);
                    self.forward_failed(now, cause);
                }
                SipEvent::Ended { .. } => {
                    self.other_up = false;
                    self.forward_failed(now, CauseCode::Unavailable.cause());
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn forward_failed(&mut self, now: Instant, cause: Cause) {
        self.transfer_failed(now, &cause);
        self.end(now, cause, EndedBy::Phone);
    }

    fn forward_answered(&mut self, now: Instant, body: Option<Vec<u8>>) {
        let text = String::from_utf8_lossy(body.as_deref().unwrap_or_default()).into_owned();
        self.timeline
            .note_sdp(now, "the other telephone answers", &text, &[]);
        let Some(body) = body else {
            let cause = CauseCode::NotAcceptable.because("the answer had no SDP");
            return self.forward_failed(now, cause);
        };
        let said = [std::mem::take(&mut self.their_sdp), body.clone()];
        self.phone_does(PhoneAction::Accept(body));
        self.other_seat = self.take_called_seat();
        self.transfer_done(now, EndedBy::Gateway);
        self.story.answered = Some(now);
        self.state = State::Joined {
            deadline: now + self.max_duration,
            asked: None,
            said,
            settling: false,
        };
    }
}
