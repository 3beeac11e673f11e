//! Symmetric RTP (RFC 4961) that cannot be stolen: where a telephone's packets may come from, and
//! where ours go.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long after a session description a source may still be learned.
const WINDOW: Duration = Duration::from_secs(5);

/// One stream's source.
#[derive(Debug)]
pub(super) struct Latch {
    announced: SocketAddr,
    any_address: bool,
    opened: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing came yet: ours go where the SDP said.
    Announced,
    /// The first source that was allowed; no other is, until a new session description.
    Locked(SocketAddr),
}

impl Latch {
    /// A stream announced at `announced`. With `any_address` (a trunk behind NAT) the first source
    /// within the window is taken, wherever it is; else only the announced address itself may
    /// choose another port.
    pub(super) fn new(now: Instant, announced: SocketAddr, any_address: bool) -> Self {
        Self {
            announced,
            any_address,
            opened: now,
            state: State::Announced,
        }
    }

    /// Opens the window anew, for a stream that has not been heard yet: a telephone may be silent
    /// until it answers.
    pub(super) fn reopen(&mut self, now: Instant) {
        if self.state == State::Announced {
            self.opened = now;
        }
    }

    /// Whether a packet from there belongs to the stream; the first one that does locks it.
    pub(super) fn accepts(&mut self, now: Instant, from: SocketAddr) -> bool {
        match self.state {
            State::Locked(source) => source == from,
            State::Announced => {
                let exact = from == self.announced;
                let in_window = now.saturating_duration_since(self.opened) <= WINDOW;
                let allowed =
                    exact || (in_window && (self.any_address || from.ip() == self.announced.ip()));
                if allowed {
                    self.state = State::Locked(from);
                }
                allowed
            }
        }
    }

    /// Where our packets go.
    pub(super) fn target(&self) -> SocketAddr {
        match self.state {
            State::Announced => self.announced,
            State::Locked(source) => source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    const ANNOUNCED: &str = "192.0.2.1:4000";

    #[test]
    fn a_stranger_is_not_learned_even_when_it_is_first() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), false);
        assert!(!latch.accepts(now, address("198.51.100.9:4000")));
        assert_eq!(latch.target(), address(ANNOUNCED));
        assert!(latch.accepts(now, address(ANNOUNCED)));
    }

    #[test]
    fn the_announced_address_may_use_another_port_within_the_window() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), false);
        assert!(latch.accepts(now, address("192.0.2.1:5000")));
        assert_eq!(latch.target(), address("192.0.2.1:5000"));

        let mut late = Latch::new(now, address(ANNOUNCED), false);
        let after = now + WINDOW + Duration::from_millis(1);
        assert!(!late.accepts(after, address("192.0.2.1:5000")));
        assert!(late.accepts(after, address(ANNOUNCED)));
    }

    #[test]
    fn a_phone_that_is_silent_until_it_answers_may_still_choose_its_port() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), false);
        latch.reopen(now + WINDOW * 2);
        assert!(latch.accepts(now + WINDOW * 3, address("192.0.2.1:5000")));
        latch.reopen(now + WINDOW * 4);
        assert!(!latch.accepts(now + WINDOW * 4, address("192.0.2.1:5001")));
    }

    #[test]
    fn a_locked_stream_cannot_be_taken_over() {
        let now = Instant::now();
        for any_address in [false, true] {
            let mut latch = Latch::new(now, address(ANNOUNCED), any_address);
            assert!(latch.accepts(now, address("192.0.2.1:5000")));
            assert!(!latch.accepts(now, address("192.0.2.1:5001")));
            assert!(!latch.accepts(now, address(ANNOUNCED)));
            assert!(!latch.accepts(now, address("198.51.100.9:1")));
            assert_eq!(latch.target(), address("192.0.2.1:5000"));
        }
    }

    #[test]
    fn a_trunk_behind_nat_is_found_where_it_sends_from_within_the_window() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address("10.0.0.5:4000"), true);
        assert!(latch.accepts(now + WINDOW, address("203.0.113.7:1234")));
        assert_eq!(latch.target(), address("203.0.113.7:1234"));
        let mut late = Latch::new(now, address("10.0.0.5:4000"), true);
        assert!(!late.accepts(now + WINDOW * 2, address("203.0.113.7:1234")));
    }
}
