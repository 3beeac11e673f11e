//! The timers of RFC 3261 §17 (table 4), as amended by RFC 6026 §7.2 and §8.

use std::time::Duration;

/// The three base values every SIP timer is computed from (RFC 3261 §17.1.1.1, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// T1, the round trip estimate: 500 ms.
    pub t1: Duration,
    /// T2, the longest interval between retransmissions of non-INVITE requests and INVITE responses: 4 s.
    pub t2: Duration,
    /// T4, how long a message may stay in the network: 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// 64·T1: timers B, F, H, L and M, and the bound of everything that waits for a peer.
    pub fn transaction_timeout(&self) -> Duration {
        self.t1 * 64
    }

    /// Timer D, how long a client INVITE transaction absorbs repeated final responses.
    /// At least 32 s over UDP; zero over a reliable transport (§17.1.1.2).
    pub fn timer_d(&self, transport: Reliability) -> Duration {
        match transport {
            Reliability::Unreliable => self.transaction_timeout(),
            Reliability::Reliable => Duration::ZERO,
        }
    }

    /// Timers I and K, how long ACKs and non-INVITE responses are absorbed: T4, or zero if reliable.
    pub fn timer_i_k(&self, transport: Reliability) -> Duration {
        match transport {
            Reliability::Unreliable => self.t4,
            Reliability::Reliable => Duration::ZERO,
        }
    }

    /// Timer J, how long repeated non-INVITE requests are absorbed: 64·T1, or zero if reliable.
    pub fn timer_j(&self, transport: Reliability) -> Duration {
        match transport {
            Reliability::Unreliable => self.transaction_timeout(),
            Reliability::Reliable => Duration::ZERO,
        }
    }
}

/// Whether the transport below retransmits by itself (RFC 3261 §17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    /// TCP: the transaction retransmits nothing, except 2xx to INVITE (by the core).
    Reliable,
    /// UDP: the transaction retransmits.
    Unreliable,
}
