//! The non-INVITE server transaction (RFC 3261 §17.2.2, figure 8).

use std::time::Instant;

use super::{Inform, Reliability, Step, Timers};
use crate::message::Response;

/// Figure 8, with each state's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The core has not answered; repeated requests are absorbed.
    Trying,
    /// The core has answered provisionally; that answer is repeated for each repeated request.
    Proceeding {
        /// That response.
        provisional: Vec<u8>,
    },
    /// The final response is out, and repeated for each repeated request.
    Completed {
        /// That response.
        response: Vec<u8>,
        /// When the last repeated request may have come.
        timer_j: Instant,
    },
    /// Over.
    Terminated,
}

/// A request of theirs other than INVITE and ACK.
#[derive(Debug)]
pub struct ServerNonInvite {
    transport: Reliability,
    timers: Timers,
    state: State,
}

impl ServerNonInvite {
    /// Begins, silently.
    pub fn new(transport: Reliability, timers: Timers) -> Self {
        Self {
            transport,
            timers,
            state: State::Trying,
        }
    }

    /// The state it is in.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The core answers. After a final response any other is discarded (§17.2.2).
    pub fn respond(&mut self, now: Instant, response: &Response) -> Step {
        match self.state {
            State::Trying | State::Proceeding { .. } => {
                let bytes = response.to_bytes();
                self.state = if response.status.is_provisional() {
                    State::Proceeding {
                        provisional: bytes.clone(),
                    }
                } else {
                    State::Completed {
                        response: bytes.clone(),
                        timer_j: now + self.timers.timer_j(self.transport),
                    }
                };
                Step::send(bytes)
            }
            State::Completed { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// The request once more.
    pub fn handle_retransmission(&mut self) -> Step {
        match &self.state {
            State::Proceeding {
                provisional: response,
            }
            | State::Completed { response, .. } => Step::send(response.clone()),
            State::Trying | State::Terminated => Step::nothing(),
        }
    }

    /// A response could not be sent (§17.2.4).
    pub fn handle_transport_error(&mut self) -> Step {
        match self.state {
            State::Proceeding { .. } | State::Completed { .. } => {
                self.state = State::Terminated;
                Step::inform(Inform::TransportError)
            }
            State::Trying | State::Terminated => Step::nothing(),
        }
    }

    /// When a timer is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Completed { timer_j, .. } => Some(*timer_j),
            State::Trying | State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Step {
        match &self.state {
            State::Completed { timer_j, .. } if now >= *timer_j => {
                self.state = State::Terminated;
            }
            _ => {}
        }
        Step::nothing()
    }

    /// Whether it is over and can be forgotten.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
mod tests;
