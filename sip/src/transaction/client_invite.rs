//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 figure 5).

use std::mem;
use std::time::{Duration, Instant};

use super::{Inform, Reliability, Retransmit, Step, Timers, earlier};
use crate::{
    message::{Request, Response},
    method::Method,
};

/// Figure 5, with each state's data: nothing is kept of the INVITE once it needs no answer any more, which is for most of a
/// transaction's life.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// The INVITE is out; timer A repeats it over UDP, timer B gives up.
    Calling {
        /// The INVITE.
        invite: Box<Request>,
        /// As it is sent.
        bytes: Vec<u8>,
        /// Timer A; none over a reliable transport.
        timer_a: Option<Retransmit>,
        /// When to give up.
        timer_b: Instant,
    },
    /// A provisional response came. No timer: the core bounds the ringing.
    Proceeding {
        /// The INVITE.
        invite: Box<Request>,
    },
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
        let step = Step::send(bytes.clone());
        let timer_a =
            (transport == Reliability::Unreliable).then(|| Retransmit::after(now, timers.t1));
        let state = State::Calling {
            invite: Box::new(request),
            bytes,
            timer_a,
            timer_b: now + timers.transaction_timeout(),
        };
        let machine = Self {
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
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    /// A response to it.
    pub fn handle_response(&mut self, now: Instant, response: &Response) -> Step {
        let status = response.status;
        let (state, step) = match mem::replace(&mut self.state, State::Terminated) {
            State::Calling { invite, .. } | State::Proceeding { invite }
                if status.is_provisional() =>
            {
                let step = Step::inform(Inform::Message);
                (State::Proceeding { invite }, step)
            }
            State::Calling { .. } | State::Proceeding { .. } if status.is_success() => {
                let timer_m = now + self.timers.transaction_timeout();
                let step = Step::inform(Inform::Message);
                (State::Accepted { timer_m }, step)
            }
            State::Calling { invite, .. } | State::Proceeding { invite } => {
                let ack = ack_for_failure(&invite, response).to_bytes();
                let step = Step {
                    send: Some(ack.clone()),
                    inform: Some(Inform::Message),
                };
                let timer_d = now + self.timers.timer_d(self.transport);
                (State::Completed { ack, timer_d }, step)
            }
            State::Completed { ack, timer_d } if status.is_final() && !status.is_success() => {
                let step = Step::send(ack.clone());
                (State::Completed { ack, timer_d }, step)
            }
            accepted @ State::Accepted { .. } if status.is_success() => {
                (accepted, Step::inform(Inform::Message))
            }
            over @ (State::Completed { .. } | State::Accepted { .. } | State::Terminated) => {
                (over, Step::nothing())
            }
        };
        self.state = state;
        step
    }

    /// The transport could not deliver the INVITE or the ACK (§17.1.4).
    pub fn handle_transport_error(&mut self) -> Step {
        match self.state {
            State::Calling { .. } | State::Proceeding { .. } | State::Completed { .. } => {
                self.state = State::Terminated;
                Step::inform(Inform::TransportError)
            }
            State::Accepted { .. } | State::Terminated => Step::nothing(),
        }
    }

    /// When a timer is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Calling {
                timer_a, timer_b, ..
            } => Some(earlier(*timer_a, *timer_b)),
            State::Completed { timer_d, .. } => Some(*timer_d),
            State::Accepted { timer_m } => Some(*timer_m),
            State::Proceeding { .. } | State::Terminated => None,
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
                bytes,
                ..
            } if now >= timer_a.at => {
                *timer_a = timer_a.doubled(now, Duration::MAX);
                Step::send(bytes.clone())
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
