//! The non-INVITE client transaction (RFC 3261 §17.1.2, figure 6).

use std::time::Instant;

use super::{Inform, Reliability, Retransmit, Step, Timers, earlier};
use crate::message::{Request, Response};

/// Figure 6, with each state's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The request is out; timer E repeats it over UDP, timer F gives up.
    Trying {
        /// Timer E; none over a reliable transport.
        timer_e: Option<Retransmit>,
        /// When to give up.
        timer_f: Instant,
    },
    /// A provisional response came: repeated every T2, still until timer F.
    Proceeding {
        /// Timer E; none over a reliable transport.
        timer_e: Option<Retransmit>,
        /// When to give up.
        timer_f: Instant,
    },
    /// The final response came; repeated ones are absorbed.
    Completed {
        /// When the last repeated response may have come.
        timer_k: Instant,
    },
    /// Over.
    Terminated,
}

/// A request of ours other than INVITE and ACK.
#[derive(Debug)]
pub struct ClientNonInvite {
    bytes: Vec<u8>,
    transport: Reliability,
    timers: Timers,
    state: State,
}

impl ClientNonInvite {
    /// Begins: the bytes in the step go out first.
    pub fn new(
        now: Instant,
        request: &Request,
        transport: Reliability,
        timers: Timers,
    ) -> (Self, Step) {
        let bytes = request.to_bytes();
        let state = State::Trying {
            timer_e: (transport == Reliability::Unreliable)
                .then(|| Retransmit::after(now, timers.t1)),
            timer_f: now + timers.transaction_timeout(),
        };
        let step = Step::send(bytes.clone());
        let machine = Self {
            bytes,
            transport,
            timers,
            state,
        };
        (machine, step)
    }

    /// The state it is in.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether no final response has come yet.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// A response to it.
    pub fn handle_response(&mut self, now: Instant, response: &Response) -> Step {
        match self.state {
            State::Trying { timer_e, timer_f } if response.status.is_provisional() => {
                self.state = State::Proceeding { timer_e, timer_f };
                Step::inform(Inform::Message)
            }
            State::Proceeding { .. } if response.status.is_provisional() => {
                Step::inform(Inform::Message)
            }
            State::Trying { .. } | State::Proceeding { .. } => {
                self.state = State::Completed {
                    timer_k: now + self.timers.timer_i_k(self.transport),
                };
                Step::inform(Inform::Message)
            }
            State::Completed { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// The transport could not deliver the request (§17.1.4).
    pub fn handle_transport_error(&mut self) -> Step {
        match self.state {
            State::Trying { .. } | State::Proceeding { .. } => {
                self.state = State::Terminated;
                Step::inform(Inform::TransportError)
            }
            State::Completed { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// When a timer is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying { timer_e, timer_f } | State::Proceeding { timer_e, timer_f } => {
                Some(earlier(timer_e, timer_f))
            }
            State::Completed { timer_k } => Some(timer_k),
            State::Terminated => None,
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Step {
        let t2 = self.timers.t2;
        match &mut self.state {
            State::Trying { timer_f, .. } | State::Proceeding { timer_f, .. }
                if now >= *timer_f =>
            {
                self.state = State::Terminated;
                Step::inform(Inform::Timeout)
            }
            State::Trying {
                timer_e: Some(timer_e),
                ..
            } if now >= timer_e.at => {
                *timer_e = timer_e.doubled(now, t2);
                Step::send(self.bytes.clone())
            }
            State::Proceeding {
                timer_e: Some(timer_e),
                ..
            } if now >= timer_e.at => {
                *timer_e = Retransmit::after(now, t2);
                Step::send(self.bytes.clone())
            }
            State::Completed { timer_k } if now >= *timer_k => {
                self.state = State::Terminated;
                Step::nothing()
            }
            _ => Step::nothing(),
        }
    }

    /// Whether it is over and can be forgotten.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
mod tests;
