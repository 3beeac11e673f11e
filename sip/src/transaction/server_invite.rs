//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 figure 7).

use std::time::Instant;

use super::{Inform, Reliability, Retransmit, Step, Timers, earlier};
use crate::message::Response;

/// Figure 7, with each state's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The core has not answered finally. The last provisional response is repeated for each repeated INVITE.
    Proceeding {
        /// That response.
        provisional: Vec<u8>,
    },
    /// 300 to 699 was sent; repeated until the ACK.
    Completed {
        /// That response.
        response: Vec<u8>,
        /// Repeats it over UDP.
        timer_g: Option<Retransmit>,
        /// When to give up waiting for the ACK.
        timer_h: Instant,
    },
    /// The ACK came; repeated ones are absorbed.
    Confirmed {
        /// When the last of them may have come.
        timer_i: Instant,
    },
    /// 2xx was sent (RFC 6026 §7.1): repeated INVITEs are absorbed, the core repeats the 2xx.
    Accepted {
        /// When the last repeated INVITE may have come.
        timer_l: Instant,
    },
    /// Over.
    Terminated,
}

/// An INVITE of theirs.
#[derive(Debug)]
pub struct ServerInvite {
    transport: Reliability,
    timers: Timers,
    state: State,
}

impl ServerInvite {
    /// Begins by sending 100 Trying at once, whatever the core does next.
    pub fn new(trying: &Response, transport: Reliability, timers: Timers) -> (Self, Step) {
        let provisional = trying.to_bytes();
        let step = Step::send(provisional.clone());
        let machine = Self {
            transport,
            timers,
            state: State::Proceeding { provisional },
        };
        (machine, step)
    }

    /// The state it is in.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The core answers.
    pub fn respond(&mut self, now: Instant, response: &Response) -> Step {
        let status = response.status;
        match &mut self.state {
            State::Proceeding { provisional } if status.is_provisional() => {
                *provisional = response.to_bytes();
                Step::send(provisional.clone())
            }
            State::Proceeding { .. } if status.is_success() => {
                self.state = State::Accepted {
                    timer_l: now + self.timers.transaction_timeout(),
                };
                Step::send(response.to_bytes())
            }
            State::Proceeding { .. } => {
                let response = response.to_bytes();
                self.state = State::Completed {
                    response: response.clone(),
                    timer_g: (self.transport == Reliability::Unreliable)
                        .then(|| Retransmit::after(now, self.timers.t1)),
                    timer_h: now + self.timers.transaction_timeout(),
                };
                Step::send(response)
            }
            State::Accepted { .. } if status.is_success() => Step::send(response.to_bytes()),
            _ => Step::nothing(),
        }
    }

    /// The INVITE once more.
    pub fn handle_retransmission(&mut self) -> Step {
        match &self.state {
            State::Proceeding { provisional } => Step::send(provisional.clone()),
            State::Completed { response, .. } => Step::send(response.clone()),
            State::Accepted { .. } | State::Confirmed { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// An ACK with this transaction's branch.
    pub fn handle_ack(&mut self, now: Instant) -> Step {
        match &self.state {
            State::Completed { .. } => {
                self.state = State::Confirmed {
                    timer_i: now + self.timers.timer_i_k(self.transport),
                };
                Step::nothing()
            }
            // The ACK of a 2xx has a branch of its own, but not from every client.
            State::Accepted { .. } => Step::inform(Inform::Message),
            State::Proceeding { .. } | State::Confirmed { .. } | State::Terminated => {
                Step::nothing()
            }
        }
    }

    /// A response could not be sent: the core is told, the state stays (RFC 6026 §7.1).
    pub fn handle_transport_error(&mut self) -> Step {
        match self.state {
            State::Proceeding { .. } | State::Completed { .. } | State::Accepted { .. } => {
                Step::inform(Inform::TransportError)
            }
            State::Confirmed { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// When a timer is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Completed {
                timer_g, timer_h, ..
            } => Some(earlier(*timer_g, *timer_h)),
            State::Confirmed { timer_i } => Some(*timer_i),
            State::Accepted { timer_l } => Some(*timer_l),
            State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Step {
        let t2 = self.timers.t2;
        match &mut self.state {
            State::Completed { timer_h, .. } if now >= *timer_h => {
                self.state = State::Terminated;
                Step::inform(Inform::Timeout)
            }
            State::Completed {
                response,
                timer_g: Some(timer_g),
                ..
            } if now >= timer_g.at => {
                *timer_g = timer_g.doubled(now, t2);
                Step::send(response.clone())
            }
            State::Confirmed { timer_i: due } | State::Accepted { timer_l: due } if now >= *due => {
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
