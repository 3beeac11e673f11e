//! Symmetric RTP (RFC 4961) that cannot be stolen: where a telephone's packets may come from, and
//! where ours go.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long after a session description a source may still be learned.
const WINDOW: Duration = Duration::from_secs(5);

/// A source that is silent for so long may have moved: a NAT forgot it, or the trunk another media server.
const QUIET: Duration = Duration::from_secs(2);

/// A stream that goes on after a move has lost no more packets than that: a minute's.
const MAX_MISSED: u16 = 3000;

/// One stream's source.
#[derive(Debug)]
pub(super) struct Latch {
    announced: SocketAddr,
    any_address: bool,
    opened: Instant,
    source: Option<Source>,
    /// Where another stream came from that this one takes the place of. It may go on for a moment, and from the same
    /// address: both telephones may be behind one media server.
    left: Option<SocketAddr>,
}

/// The source that is locked.
#[derive(Clone, Copy, Debug)]
struct Source {
    address: SocketAddr,
    heard: Instant,
    mark: Option<Mark>,
}

/// What a packet says of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    ssrc: u32,
    sequence: u16,
}

impl Mark {
    /// That of an RTP packet (RFC 3550 §5.1).
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        let sequence = packet.get(2..4)?.try_into().ok()?;
        let ssrc = packet.get(8..12)?.try_into().ok()?;
        Some(Self {
            ssrc: u32::from_be_bytes(ssrc),
            sequence: u16::from_be_bytes(sequence),
        })
    }

    /// It may be a later packet of the same stream.
    fn follows(self, last: Mark) -> bool {
        self.ssrc == last.ssrc
            && (1..=MAX_MISSED).contains(&self.sequence.wrapping_sub(last.sequence))
    }
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
            source: None,
            left: None,
        }
    }

    /// The stream that takes the place of this one.
    pub(super) fn left_for(&self, next: Self) -> Self {
        let moved = next.announced != self.announced;
        Self {
            left: moved.then(|| self.target()),
            ..next
        }
    }

    /// Opens the window anew, for a stream that has not been heard yet: a telephone may be silent
    /// until it answers.
    pub(super) fn reopen(&mut self, now: Instant) {
        if self.source.is_none() {
            self.opened = now;
        }
    }

    /// Whether a packet from there may belong to the stream. It is learned by [`Latch::learn`], once it is known to be
    /// genuine.
    pub(super) fn admits(&self, now: Instant, from: SocketAddr, mark: Option<Mark>) -> bool {
        let leaving = now.saturating_duration_since(self.opened) < QUIET;
        if leaving && self.left == Some(from) && from != self.announced {
            return false;
        }
        let Some(source) = &self.source else {
            let in_window = now.saturating_duration_since(self.opened) <= WINDOW;
            return from == self.announced
                || (in_window && (self.any_address || from.ip() == self.announced.ip()));
        };
        if source.address == from {
            return true;
        }
        // Where it was said to come from outranks whoever was faster.
        if from == self.announced && source.address.ip() != self.announced.ip() {
            return true;
        }
        if now.saturating_duration_since(source.heard) < QUIET {
            return false;
        }
        let goes_on = || {
            let (mark, last) = (mark?, source.mark?);
            Some(mark.follows(last))
        };
        from.ip() == self.announced.ip() || (self.any_address && goes_on().unwrap_or(false))
    }

    /// Learns that a packet of the stream came from there; the address before, if it has moved.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        from: SocketAddr,
        mark: Option<Mark>,
    ) -> Option<SocketAddr> {
        let new = Source {
            address: from,
            heard: now,
            mark,
        };
        let before = self.source.replace(new)?.address;
        (before != from).then_some(before)
    }

    /// Where our packets go.
    pub(super) fn target(&self) -> SocketAddr {
        self.source.map_or(self.announced, |source| source.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOUNCED: &str = "192.0.2.1:4000";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn mark(ssrc: u32, sequence: u16) -> Option<Mark> {
        Some(Mark { ssrc, sequence })
    }

    /// A packet comes; whether it was taken.
    fn comes(latch: &mut Latch, now: Instant, from: &str, mark: Option<Mark>) -> bool {
        let admitted = latch.admits(now, address(from), mark);
        if admitted {
            latch.learn(now, address(from), mark);
        }
        admitted
    }

    #[test]
    fn a_stranger_is_not_learned_even_when_it_is_first() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), false);
        assert!(!comes(&mut latch, now, "198.51.100.9:4000", None));
        assert_eq!(latch.target(), address(ANNOUNCED));
        assert!(comes(&mut latch, now, ANNOUNCED, None));
    }

    #[test]
    fn what_still_comes_of_a_telephone_that_was_left_is_not_taken_for_the_next() {
        let now = Instant::now();
        let mut first = Latch::new(now, address(ANNOUNCED), false);
        assert!(comes(&mut first, now, "192.0.2.1:5000", None));
        // The next is behind the same media server.
        let mut next = first.left_for(Latch::new(now, address("192.0.2.1:6000"), false));
        for at in [0, 20, 1900] {
            assert!(!comes(&mut next, now + ms(at), "192.0.2.1:5000", None));
        }
        assert!(comes(&mut next, now, "192.0.2.1:6001", None));
        // One that only says anew where it is, is the same.
        let mut same = first.left_for(Latch::new(now, address(ANNOUNCED), false));
        assert!(comes(&mut same, now, "192.0.2.1:5000", None));
    }

    #[test]
    fn what_is_not_genuine_is_not_learned() {
        let now = Instant::now();
        let latch = Latch::new(now, address(ANNOUNCED), false);
        assert!(latch.admits(now, address("192.0.2.1:5000"), None));
        assert_eq!(latch.target(), address(ANNOUNCED));
    }

    #[test]
    fn the_announced_address_may_use_another_port_within_the_window() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), false);
        assert!(comes(&mut latch, now, "192.0.2.1:5000", None));
        assert_eq!(latch.target(), address("192.0.2.1:5000"));

        let mut late = Latch::new(now, address(ANNOUNCED), false);
        let after = now + WINDOW + ms(1);
        assert!(!comes(&mut late, after, "192.0.2.1:5000", None));
        assert!(comes(&mut late, after, ANNOUNCED, None));
    }

    #[test]
    fn a_phone_that_is_silent_until_it_answers_may_still_choose_its_port() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), false);
        latch.reopen(now + WINDOW * 2);
        assert!(comes(&mut latch, now + WINDOW * 3, "192.0.2.1:5000", None));
    }

    #[test]
    fn a_stream_that_flows_cannot_be_taken_over() {
        let now = Instant::now();
        for any_address in [false, true] {
            let mut latch = Latch::new(now, address(ANNOUNCED), any_address);
            assert!(comes(&mut latch, now, "192.0.2.1:5000", mark(1, 1)));
            for packet in 1..500 {
                let now = now + ms(20) * u32::from(packet);
                for thief in ["192.0.2.1:5001", ANNOUNCED, "198.51.100.9:1"] {
                    assert!(
                        !comes(&mut latch, now, thief, mark(1, packet + 1)),
                        "{thief}"
                    );
                }
                assert!(comes(
                    &mut latch,
                    now,
                    "192.0.2.1:5000",
                    mark(1, packet + 1)
                ));
            }
            assert_eq!(latch.target(), address("192.0.2.1:5000"));
        }
    }

    #[test]
    fn a_telephone_that_was_silent_may_come_back_from_another_port_of_its_address() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), false);
        assert!(comes(&mut latch, now, ANNOUNCED, mark(1, 1)));
        assert!(!comes(
            &mut latch,
            now + ms(1_999),
            "192.0.2.1:5001",
            mark(1, 2)
        ));
        assert!(!comes(
            &mut latch,
            now + ms(60_000),
            "198.51.100.9:4000",
            mark(1, 2)
        ));
        assert!(latch.admits(now + ms(2_000), address("192.0.2.1:5001"), mark(9, 7)));
        let moved = latch.learn(now + ms(2_000), address("192.0.2.1:5001"), mark(9, 7));
        assert_eq!(moved, Some(address(ANNOUNCED)));
        assert_eq!(latch.target(), address("192.0.2.1:5001"));
    }

    #[test]
    fn a_trunk_behind_nat_is_found_where_it_sends_from_within_the_window() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address("10.0.0.5:4000"), true);
        assert!(comes(&mut latch, now + WINDOW, "203.0.113.7:1234", None));
        assert_eq!(latch.target(), address("203.0.113.7:1234"));
        let mut late = Latch::new(now, address("10.0.0.5:4000"), true);
        assert!(!comes(
            &mut late,
            now + WINDOW * 2,
            "203.0.113.7:1234",
            None
        ));
    }

    #[test]
    fn a_nat_that_forgot_a_trunk_gives_it_another_port_and_its_stream_goes_on_there() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address("10.0.0.5:4000"), true);
        assert!(comes(&mut latch, now, "203.0.113.7:1234", mark(7, 65_530)));
        let later = now + ms(30_000);
        for stranger in [None, mark(8, 65_531), mark(7, 65_530), mark(7, 40_000)] {
            assert!(
                !comes(&mut latch, later, "203.0.113.7:4321", stranger),
                "{stranger:?}"
            );
        }
        assert!(comes(&mut latch, later, "203.0.113.7:4321", mark(7, 900)));
        assert_eq!(latch.target(), address("203.0.113.7:4321"));
    }

    #[test]
    fn the_announced_address_takes_its_stream_back_from_a_faster_stranger() {
        let now = Instant::now();
        let mut latch = Latch::new(now, address(ANNOUNCED), true);
        assert!(comes(&mut latch, now, "198.51.100.9:1", mark(1, 1)));
        assert!(comes(&mut latch, now + ms(5), ANNOUNCED, mark(2, 1)));
        assert!(!comes(
            &mut latch,
            now + ms(10),
            "198.51.100.9:1",
            mark(1, 2)
        ));
        assert_eq!(latch.target(), address(ANNOUNCED));
    }

    #[test]
    fn marks_are_read_from_whole_headers_only() {
        let mut packet = [0; 12];
        packet[2..4].copy_from_slice(&[0x12, 0x34]);
        packet[8..12].copy_from_slice(&[0, 0, 0, 5]);
        assert_eq!(Mark::of(&packet), mark(5, 0x1234));
        assert_eq!(Mark::of(&packet[..11]), None);
    }
}
