//! The simulated telephone: a SIP endpoint whose owner does what the plan says.

use std::net::SocketAddr;
use std::time::Duration;

use sip::StatusCode;
use sip::endpoint::{Endpoint, Event, Session};

use super::plan::{Course, Plan};

/// What its owner does next, and how long after.
pub(super) type Then = (Duration, Step);

/// What its owner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Ring,
    Early,
    Decide,
    HangUp,
}

#[derive(Debug)]
pub(super) struct Telephone {
    plan: Plan,
    media: SocketAddr,
    session: Option<Session>,
    answer: Vec<u8>,
    /// It wants to talk: it has answered and nobody has hung up since.
    pub(super) answered: bool,
    /// How often it heard that the call is over.
    pub(super) ends: usize,
    pub(super) incoming: usize,
}

impl Telephone {
    pub(super) fn new(plan: Plan, media: SocketAddr) -> Self {
        Self {
            plan,
            media,
            session: None,
            answer: Vec::new(),
            answered: false,
            ends: 0,
            incoming: 0,
        }
    }

    /// Whether its dialog is up.
    pub(super) fn is_up(&self, endpoint: &Endpoint) -> bool {
        self.session.is_some_and(|session| endpoint.is_up(session))
    }

    /// Takes an event of its endpoint; says what follows.
    pub(super) fn handle(&mut self, event: Event) -> Result<Vec<Then>, String> {
        match event {
            Event::Incoming {
                session, request, ..
            } => {
                self.incoming += 1;
                self.session = Some(session);
                self.answer = self.answer_to(&request.body)?;
                Ok(self.steps())
            }
            Event::Cancelled { .. } | Event::Ended { .. } => {
                self.ends += 1;
                Ok(Vec::new())
            }
            Event::Confirmed { .. } => Ok(Vec::new()),
            other => Err(format!("the telephone called nobody: {other:?}")),
        }
    }

    /// Does a step. One that comes too late, because the call is over, is the endpoint's to ignore.
    pub(super) fn act(
        &mut self,
        now: std::time::Instant,
        endpoint: &mut Endpoint,
        step: Step,
    ) -> Option<Then> {
        let session = self.session?;
        match step {
            Step::Ring => endpoint.ring(now, session, StatusCode::RINGING, None),
            Step::Early => {
                let body = Some(self.answer.clone());
                endpoint.ring(now, session, StatusCode::SESSION_PROGRESS, body);
            }
            Step::HangUp => endpoint.bye(now, session, None),
            Step::Decide => return self.decide(now, endpoint, session),
        }
        None
    }

    fn decide(
        &mut self,
        now: std::time::Instant,
        endpoint: &mut Endpoint,
        session: Session,
    ) -> Option<Then> {
        match self.plan.course {
            Course::NoAnswer => None,
            Course::Busy => {
                endpoint.reject(now, session, StatusCode::BUSY_HERE, None);
                None
            }
            Course::Decline => {
                endpoint.reject(now, session, StatusCode::DECLINE, None);
                None
            }
            course => {
                endpoint.accept(now, session, self.answer.clone());
                self.answered = endpoint.is_up(session);
                match course {
                    Course::TelephoneHangsUp(after) => Some((after, Step::HangUp)),
                    _ => None,
                }
            }
        }
    }

    fn steps(&self) -> Vec<Then> {
        let mut steps = vec![(self.plan.decide_after, Step::Decide)];
        if let Some(after) = self.plan.ring_after {
            steps.push((after, Step::Ring));
        }
        if self.plan.early_media {
            steps.push((self.plan.decide_after / 2, Step::Early));
        }
        steps
    }

    fn answer_to(&self, offer: &[u8]) -> Result<Vec<u8>, String> {
        let text = std::str::from_utf8(offer).map_err(|error| error.to_string())?;
        let offer = sdp::trunk::read_offer(text, &sdp::trunk::Keying::None)
            .map_err(|refusal| refusal.to_string())?;
        let options = sdp::trunk::OfferOptions::new(self.media.ip(), self.media.port());
        let (answer, _, _) =
            sdp::trunk::answer(&offer, &options).map_err(|refusal| refusal.to_string())?;
        Ok(answer.into_bytes())
    }
}
