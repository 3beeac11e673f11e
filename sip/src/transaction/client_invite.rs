//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 figure 5).

use std::time::{Duration, Instant};

use super::{Inform, Reliability, Retransmit, Step, Timers, earlier};
use crate::{
    message::{Request, Response},
    method::Method,
};

/// Figure 5, with each state's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The INVITE is out; timer A repeats it over UDP, timer B gives up.
    Calling {
        /// Timer A; none over a reliable transport.
        timer_a: Option<Retransmit>,
        /// When to give up.
        timer_b: Instant,
    },
    /// A provisional response came. No timer: the core bounds the ringing.
    Proceeding,
    /// 300 to 699 came and was ACKed; the ACK is repeated for each repeated response.
    Completed {
        /// The ACK (§17.1.1.3).
        ack: Vec<u8>,
        /// When the last repeated response may have come.
        timer_d: Instant,
    },
    /// 2xx came (RFC 6026 §7.2): further 2xx, also from forks, go up to the core, which ACKs each.
    Accepted {
        /// When the last 2xx may have come.
        timer_m: Instant,
    },
    /// Over.
    Terminated,
}

/// An INVITE of ours.
#[derive(Debug)]
pub struct ClientInvite {
    request: Request,
    bytes: Vec<u8>,
    transport: Reliability,
    timers: Timers,
    state: State,
}

impl ClientInvite {
    /// Begins: the bytes in the step go out first.
    pub fn new(
        now: Instant,
        request: Request,
        transport: Reliability,
        timers: Timers,
    ) -> (Self, Step) {
        let bytes = request.to_bytes();
        let timer_a =
            (transport == Reliability::Unreliable).then(|| Retransmit::after(now, timers.t1));
        let state = State::Calling {
            timer_a,
            timer_b: now + timers.transaction_timeout(),
        };
        let step = Step::send(bytes.clone());
        let machine = Self {
            request,
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

    /// The INVITE.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Whether no final response has come yet.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding)
    }

    /// A response to it.
    pub fn handle_response(&mut self, now: Instant, response: &Response) -> Step {
        let status = response.status;
        match &self.state {
            State::Calling { .. } | State::Proceeding if status.is_provisional() => {
                self.state = State::Proceeding;
                Step::inform(Inform::Message)
            }
            State::Calling { .. } | State::Proceeding if status.is_success() => {
                self.state = State::Accepted {
                    timer_m: now + self.timers.transaction_timeout(),
                };
                Step::inform(Inform::Message)
            }
            State::Calling { .. } | State::Proceeding => {
                let ack = ack_for_failure(&self.request, response).to_bytes();
                self.state = State::Completed {
                    ack: ack.clone(),
                    timer_d: now + self.timers.timer_d(self.transport),
                };
                Step {
                    send: Some(ack),
                    inform: Some(Inform::Message),
                }
            }
            State::Completed { ack, .. } if status.is_final() && !status.is_success() => {
                Step::send(ack.clone())
            }
            State::Accepted { .. } if status.is_success() => Step::inform(Inform::Message),
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// The transport could not deliver the INVITE or the ACK (§17.1.4).
    pub fn handle_transport_error(&mut self) -> Step {
        match self.state {
            State::Calling { .. } | State::Proceeding | State::Completed { .. } => {
                self.state = State::Terminated;
                Step::inform(Inform::TransportError)
            }
            State::Accepted { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// When a timer is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Calling { timer_a, timer_b } => Some(earlier(*timer_a, *timer_b)),
            State::Completed { timer_d, .. } => Some(*timer_d),
            State::Accepted { timer_m } => Some(*timer_m),
            State::Proceeding | State::Terminated => None,
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Step {
        match &mut self.state {
            State::Calling { timer_b, .. } if now >= *timer_b => {
                self.state = State::Terminated;
                Step::inform(Inform::Timeout)
            }
            State::Calling {
                timer_a: Some(timer_a),
                ..
            } if now >= timer_a.at => {
                *timer_a = timer_a.doubled(now, Duration::MAX);
                Step::send(self.bytes.clone())
            }
            State::Completed { timer_d: due, .. } | State::Accepted { timer_m: due }
                if now >= *due =>
            {
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

/// The ACK of a 300 to 699, part of the transaction (§17.1.1.3).
fn ack_for_failure(invite: &Request, response: &Response) -> Request {
    let mut ack = Request::new(Method::Ack, invite.uri.clone());
    let copied = [
        ("Via", invite.headers.get("Via")),
        ("From", invite.headers.get("From")),
        ("To", response.headers.get("To")),
        ("Call-ID", invite.headers.call_id()),
    ];
    for (name, value) in copied {
        // The values come from parsed or printed messages, so none holds a CR or LF.
        let _ = value.map(|value| ack.headers.push(name, value));
    }
    let number = invite.headers.cseq().map_or(1, |cseq| cseq.number);
    let _ = ack.headers.push("CSeq", format_args!("{number} ACK"));
    let _ = ack.headers.push("Max-Forwards", "70");
    for route in invite.headers.get_all("Route") {
        let _ = ack.headers.push("Route", route);
    }
    ack
}

#[cfg(test)]
mod tests;
