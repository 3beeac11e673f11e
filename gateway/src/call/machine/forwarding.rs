//! A telephone's call that the user does not take goes on to another number: the caller is answered with what the other
//! says, and the two are [`joined`](super::joined).

use std::time::Instant;

use sip::endpoint::Fork;

use super::early::Agreed;
use super::hold::PhoneLeg;
use super::legs::open_call;
use super::ringing::Called;
use super::transfer::{Instead, Stage};
use super::{Action, EndedBy, Machine, PhoneAction, State};
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
        let State::Ringing(ringing) = &self.state else {
            return false;
        };
        let (called, devices) = (ringing.called.clone(), ringing.devices());
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
        self.hang_up(devices, &CauseCode::NoAnswer.cause());
        self.state = State::Forwarding {
            called,
            deadline: now + self.environment.ring_timeout,
        };
        true
    }

    fn call_forward(&mut self, now: Instant, to: &str, why: Why) -> Result<(), Cause> {
        self.begin_transfer(now, EndedBy::Gateway, to.to_owned(), false);
        if self.diverted.times() >= MAX_DIVERSIONS {
            return Err(CauseCode::Unavailable.because("it was diverted too often"));
        }
        let found = self.environment.routes.find(now, to, &mut self.rng);
        let ways = found.map_err(|no| no.code.because(no.text))?;
        self.permits(&ways)?;
        let called = &self.story.parties.to;
        let host = self.route.as_ref().map(|route| route.target.host.clone());
        let host = host.map_or_else(String::new, |host| host.to_string());
        self.diverted.goes_on(&format!("sip:{called}@{host}"), why);
        let open = open_call(self.id, None, self.story.wall, &mut self.rng);
        self.media_open = true;
        self.actions.push_back(Action::OpenMedia(Box::new(open)));
        self.join_telephones(now, Instead::Call(ways));
        Ok(())
    }

    /// It rings where the call goes on to.
    pub(super) fn forward_rings(&mut self, now: Instant) {
        self.story.ringing.get_or_insert(now);
        self.phone_does(PhoneAction::Ring);
    }

    pub(super) fn forward_failed(&mut self, now: Instant, cause: Cause) {
        self.transfer_failed(now, &cause);
        self.end(now, cause, EndedBy::Phone);
    }

    pub(super) fn forward_answered(
        &mut self,
        now: Instant,
        fork: Option<Fork>,
        body: Option<&[u8]>,
    ) {
        let text = String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
        self.timeline
            .note_sdp(now, "the other telephone answers", &text, &[]);
        self.called_served(now);
        let stage = self.transfer.as_deref_mut().map(|one| &mut one.stage);
        let (
            State::Forwarding { called: caller, .. },
            Some(Stage::Joining(called)),
            Some((rtp, rtcp)),
        ) = (&self.state, stage, self.rtp[0])
        else {
            return;
        };
        let caller = Called::clone(caller);
        let seat = called.seat.take();
        let other = match called.forks.answered(&called.trunk, fork, body) {
            Ok(Agreed { trunk, media, .. }) => PhoneLeg::new(trunk, media),
            Err(why) => return self.forward_failed(now, CauseCode::NotAcceptable.because(why)),
        };
        self.phones[1] = Some(other.clone());
        if let Err(cause) = self.accept_caller(now, caller, rtp, rtcp) {
            return self.forward_failed(now, cause);
        }
        self.story.answered = Some(now);
        let deadline = now + self.max_duration;
        self.leave_to_telephones(now, deadline, other, seat);
    }
}
