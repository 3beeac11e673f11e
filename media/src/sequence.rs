//! Extended sequence numbers of one source (RFC 3550 A.1, A.3).

/// A jump ahead by more than this (two seconds of 20 ms packets) is loss only if the next packet
/// agrees: one forged packet must not make all that follow look old.
const MAX_GAP: u16 = 100;
/// A jump ahead by more than this is a restart.
const MAX_DROPOUT: u16 = 3000;
/// A packet further behind than this is no late one.
const MAX_MISORDER: u16 = 100;
/// Extended numbers begin here, so that a packet before the first one has a number too.
const FIRST_CYCLE: u64 = 1 << 16;

/// What a sequence number says of its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is ahead of all others: the next one, or with a gap before it.
    Ahead(u64),
    /// It was overtaken by another one.
    Behind(u64),
    /// It was here before, or is too old to tell.
    Duplicate,
    /// It is far from all others. Not believed until the next one agrees.
    Jump,
    /// The second in a row that is far away: the source counts anew from here.
    Restart(u64),
}

/// The numbers of one source.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    base: u64,
    highest: u64,
    /// Bit `n` is set when `highest - n` has come.
    seen: u64,
    received: u64,
    /// The number that would confirm a jump.
    expected_jump: Option<u16>,
    /// Expected and received when the last report was made.
    reported: (u64, u64),
    /// Lost before the last restart.
    lost_before: u64,
}

impl Tracker {
    /// A source of which this is the first packet.
    pub(crate) fn new(first: u16) -> Self {
        let first = FIRST_CYCLE + u64::from(first);
        Self {
            base: first,
            highest: first,
            seen: 1,
            received: 1,
            expected_jump: None,
            reported: (0, 0),
            lost_before: 0,
        }
    }

    /// The first packet's extended number.
    pub(crate) fn first(&self) -> u64 {
        self.base
    }

    /// Takes the next packet's number.
    pub(crate) fn record(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        let confirmed = self.expected_jump == Some(sequence);
        let most = if confirmed { MAX_DROPOUT } else { MAX_GAP };
        let arrival = if ahead != 0 && ahead <= most {
            self.highest += u64::from(ahead);
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            Arrival::Ahead(self.highest)
        } else if behind <= MAX_MISORDER {
            self.record_behind(behind)
        } else if confirmed {
            *self = Self {
                lost_before: self.lost(),
                ..Self::new(sequence)
            };
            return Arrival::Restart(self.base);
        } else {
            self.expected_jump = Some(sequence.wrapping_add(1));
            return Arrival::Jump;
        };
        self.expected_jump = None;
        if arrival != Arrival::Duplicate {
            self.received += 1;
        }
        arrival
    }

    fn record_behind(&mut self, behind: u16) -> Arrival {
        let number = self.highest - u64::from(behind);
        let bit = 1_u64.checked_shl(u32::from(behind)).unwrap_or(0);
        if bit == 0 || self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        self.base = self.base.min(number);
        Arrival::Behind(number)
    }

    /// The highest extended number as RTCP writes it: cycles in the upper half, from zero.
    pub(crate) fn extended_highest(&self) -> u32 {
        (self.highest - FIRST_CYCLE) as u32
    }

    /// Packets that have come, duplicates not counted.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Packets that have not come, up to the highest number.
    pub(crate) fn lost(&self) -> u64 {
        self.lost_before + self.expected().saturating_sub(self.received)
    }

    /// The loss since the last call, in 256ths (RFC 3550 A.3).
    pub(crate) fn take_fraction_lost(&mut self) -> u8 {
        let expected = self.expected() - self.reported.0.min(self.expected());
        let received = self.received - self.reported.1.min(self.received);
        self.reported = (self.expected(), self.received);
        let lost = expected.saturating_sub(received);
        (lost * 256)
            .checked_div(expected)
            .map_or(0, |fraction| fraction.min(255) as u8)
    }

    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }
}

/// Interarrival jitter (RFC 3550 A.8), in RTP clock units.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jitter {
    transit: Option<u32>,
    /// Sixteen times the jitter.
    scaled: u32,
}

impl Jitter {
    /// Takes a packet's arrival and its timestamp, both in RTP clock units.
    pub(crate) fn record(&mut self, arrival: u32, timestamp: u32) {
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(last) as i32).unsigned_abs();
            // A clock that was set is no jitter: more than about a second at the slowest clock.
            if difference < 1 << 17 {
                self.scaled = self.scaled.saturating_add(difference) - ((self.scaled + 8) >> 4);
            }
        }
    }

    /// The timestamps go on from elsewhere.
    pub(crate) fn restart(&mut self) {
        self.transit = None;
    }

    /// The jitter in RTP clock units.
    pub(crate) fn units(&self) -> u32 {
        self.scaled >> 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_over_the_wrap() {
        let mut tracker = Tracker::new(65_534);
        let first = tracker.first();
        assert_eq!(tracker.record(65_535), Arrival::Ahead(first + 1));
        assert_eq!(tracker.record(1), Arrival::Ahead(first + 3));
        assert_eq!(tracker.record(0), Arrival::Behind(first + 2));
        assert_eq!(tracker.record(0), Arrival::Duplicate);
        assert_eq!(tracker.record(65_533), Arrival::Behind(first - 1));
        assert_eq!(tracker.extended_highest(), (1 << 16) + 1);
        assert_eq!(tracker.lost(), 0);
    }

    #[test]
    fn loss_is_counted_in_all_and_since_the_last_report() {
        let mut tracker = Tracker::new(0);
        (1..100)
            .filter(|n| n % 4 != 0)
            .for_each(|n| assert_ne!(tracker.record(n), Arrival::Jump));
        assert_eq!((tracker.lost(), tracker.take_fraction_lost()), (24, 61));
        (100..200).for_each(|n| assert_ne!(tracker.record(n), Arrival::Jump));
        assert_eq!((tracker.lost(), tracker.take_fraction_lost()), (24, 0));
        assert_eq!(tracker.take_fraction_lost(), 0);
    }

    #[test]
    fn a_long_gap_is_loss_when_the_next_packet_agrees() {
        let mut tracker = Tracker::new(10);
        assert_eq!(tracker.record(1010), Arrival::Jump);
        assert_eq!(tracker.record(1011), Arrival::Ahead(tracker.first() + 1001));
        assert_eq!(tracker.lost(), 1000);
    }

    #[test]
    fn a_restart_keeps_what_was_lost_before() {
        let mut tracker = Tracker::new(10);
        assert!(matches!(tracker.record(15), Arrival::Ahead(_)));
        assert_eq!(tracker.record(40_000), Arrival::Jump);
        assert!(matches!(tracker.record(40_001), Arrival::Restart(_)));
        assert!(matches!(tracker.record(40_003), Arrival::Ahead(_)));
        assert_eq!(tracker.lost(), 4 + 1);
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let mut jitter = Jitter::default();
        // The reference recurrence, in floating point.
        let (mut expected, mut last) = (0.0_f64, None);
        for n in 0..500_u32 {
            let arrival = n * 160 + n * 7919 % 97;
            jitter.record(arrival, n * 160);
            let transit = f64::from(n * 7919 % 97);
            if let Some(last) = last.replace(transit) {
                let difference: f64 = transit - last;
                expected += (difference.abs() - expected) / 16.0;
            }
        }
        assert!(
            (f64::from(jitter.units()) - expected).abs() < 2.0,
            "{expected}"
        );
    }
}
