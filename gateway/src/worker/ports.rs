//! The telephone-side ports of one worker: pairs of an even port for RTP and the next for RTCP
//! (RFC 3550 §11). A port rests after its call, so that the next caller does not hear the last one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Free and resting port pairs.
#[derive(Debug)]
pub(super) struct PortPool {
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
    rest: Duration,
}

impl PortPool {
    /// `pairs` pairs from the even port `start` on.
    pub(super) fn new(start: u16, pairs: u16, rest: Duration) -> Self {
        let free = (0..pairs)
            .filter_map(|n| start.checked_add(n.checked_mul(2)?))
            .collect();
        Self {
            free,
            resting: VecDeque::with_capacity(usize::from(pairs)),
            rest,
        }
    }

    /// How many pairs could be taken now or after their rest.
    pub(super) fn len(&self) -> usize {
        self.free.len() + self.resting.len()
    }

    /// Takes the even port of the pair that has been free the longest.
    pub(super) fn take(&mut self, now: Instant) -> Option<u16> {
        while let Some((since, port)) = self.resting.front().copied() {
            if now.saturating_duration_since(since) < self.rest {
                break;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
        self.free.pop_front()
    }

    /// Puts back a pair that was not used at all: it is the next to be taken.
    pub(super) fn put_back(&mut self, port: u16) {
        self.free.push_front(port);
    }

    /// Gives a pair back, to rest.
    pub(super) fn give_back(&mut self, now: Instant, port: u16) {
        self.resting.push_back((now, port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_rests_before_it_is_used_again() {
        let start = Instant::now();
        let rest = Duration::from_secs(30);
        let mut pool = PortPool::new(20000, 2, rest);
        assert_eq!(
            (pool.take(start), pool.take(start), pool.take(start)),
            (Some(20000), Some(20002), None)
        );
        pool.give_back(start, 20002);
        assert_eq!(pool.take(start + rest - Duration::from_millis(1)), None);
        assert_eq!(pool.take(start + rest), Some(20002));
    }

    #[test]
    fn a_port_that_was_not_used_needs_no_rest() {
        let start = Instant::now();
        let mut pool = PortPool::new(20000, 2, Duration::from_secs(30));
        let port = pool.take(start).unwrap();
        pool.put_back(port);
        assert_eq!(pool.take(start), Some(port));
    }

    #[test]
    fn the_port_that_rested_longest_goes_first() {
        let start = Instant::now();
        let mut pool = PortPool::new(20000, 2, Duration::ZERO);
        let first = pool.take(start).unwrap();
        pool.give_back(start, first);
        assert_eq!(pool.take(start), Some(20002));
        assert_eq!(pool.take(start), Some(20000));
    }

    #[test]
    fn the_last_port_of_all_is_no_overflow() {
        assert_eq!(PortPool::new(65534, 5, Duration::ZERO).len(), 1);
    }
}
