//! The transaction layer (RFC 3261 §17, amended by RFC 6026): four machines, and the layer that finds the machine a
//! message belongs to.

mod client_invite;
mod client_non_invite;
mod key;
mod layer;
#[cfg(test)]
pub(crate) mod samples;
mod server_invite;
mod server_non_invite;
mod timers;

use std::time::{Duration, Instant};

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use key::{ClientKey, ServerKey};
pub use layer::{ClientId, Layer, Output, Received, ServerId};
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;
pub use timers::{Reliability, Timers};

/// What a machine wants done after it was told something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// Bytes for the transport.
    pub send: Option<Vec<u8>>,
    /// News for the transaction user.
    pub inform: Option<Inform>,
}

impl Step {
    /// Nothing to do.
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    pub(crate) fn send(bytes: Vec<u8>) -> Self {
        Self {
            send: Some(bytes),
            inform: None,
        }
    }

    pub(crate) fn inform(inform: Inform) -> Self {
        Self {
            send: None,
            inform: Some(inform),
        }
    }
}

/// What the transaction user is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inform {
    /// The message just handled is for the transaction user.
    Message,
    /// Timer B, F or H: the other side does not answer.
    Timeout,
    /// The transport failed.
    TransportError,
}

/// A retransmission under way: when it is next due, and after how long once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retransmit {
    /// When it is due.
    pub at: Instant,
    /// What passed, or will pass, before it.
    pub interval: Duration,
}

impl Retransmit {
    /// The first one, `interval` from now.
    pub fn after(now: Instant, interval: Duration) -> Self {
        Self {
            at: now + interval,
            interval,
        }
    }

    /// The one after this, at twice the interval but at most `ceiling`. A late wake-up sends once, not a burst.
    pub fn doubled(self, now: Instant, ceiling: Duration) -> Self {
        Self::after(now, (self.interval * 2).min(ceiling))
    }
}

/// The earlier of a retransmission, if any, and a deadline.
fn earlier(retransmit: Option<Retransmit>, deadline: Instant) -> Instant {
    retransmit.map_or(deadline, |r| r.at.min(deadline))
}
