//! How a worker divides its time: when it rests so that packets come in batches, how busy it is, and how much work
//! it can afford for each packet.

use std::time::{Duration, Instant};

/// The least time from one turn of a worker that has much to do to the next. A packet waits for half of it on average.
const TURN: Duration = Duration::from_micros(400);

/// With fewer datagrams in a turn, resting would delay them and spare nothing.
const WORTH_RESTING: f64 = 1.2;

/// Over this time it is judged how busy a worker is.
const WINDOW: Duration = Duration::from_secs(1);

/// Below this share of its time a worker encodes with more effort, above the other with less. What one step of
/// complexity costs (see `cargo bench -p switchhook-codecs`) is less than the distance.
const SPARE: f64 = 0.35;
const BUSY: f64 = 0.6;
/// And above this it makes no effort at all.
const TIGHT: f64 = 0.8;

/// Says how long to rest after a turn.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// Datagrams in a second, of late.
    rate: f64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            rate: 0.0,
        }
    }

    /// A turn that began at `began` took so many datagrams and ends at `now`: how long until the next.
    pub(super) fn rest(&mut self, began: Instant, now: Instant, datagrams: usize) -> Duration {
        let since = began.saturating_duration_since(self.began);
        self.began = began;
        let seconds = since.max(Duration::from_micros(10)).as_secs_f64();
        // A tenth of a second of the past counts.
        let weight = (seconds / 0.1).min(1.0);
        self.rate += (datagrams as f64 / seconds - self.rate) * weight;
        if self.rate * TURN.as_secs_f64() < WORTH_RESTING {
            return Duration::ZERO;
        }
        TURN.saturating_sub(now.saturating_duration_since(began))
    }
}

/// Says how much effort a worker can make to encode, from the share of its time that it is busy.
#[derive(Debug)]
pub(super) struct Effort {
    least: u8,
    most: u8,
    complexity: u8,
    since: Instant,
    busy: Duration,
}

impl Effort {
    /// Between two complexities of Opus; it begins with the lower.
    pub(super) fn new(now: Instant, least: u8, most: u8) -> Self {
        Self {
            least,
            most: most.max(least),
            complexity: least,
            since: now,
            busy: Duration::ZERO,
        }
    }

    /// The complexity for now.
    #[cfg(test)]
    fn complexity(&self) -> u8 {
        self.complexity
    }

    /// A turn took so long and ended at `now`; the new complexity if it is another.
    pub(super) fn turn(&mut self, now: Instant, took: Duration) -> Option<u8> {
        self.busy += took;
        let wall = now.saturating_duration_since(self.since);
        if wall < WINDOW {
            return None;
        }
        let share = self.busy.as_secs_f64() / wall.as_secs_f64();
        (self.since, self.busy) = (now, Duration::ZERO);
        let before = self.complexity;
        self.complexity = match share {
            share if share > TIGHT => self.least,
            share if share > BUSY => before.saturating_sub(1).max(self.least),
            share if share < SPARE => (before + 1).min(self.most),
            _ => before,
        };
        (self.complexity != before).then_some(self.complexity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The rests of a worker that gets `rate` datagrams a second, each of which takes it 20 us, for a second.
    fn rests(rate: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let gap = Duration::from_secs(1) / rate;
        let (mut now, mut taken, mut rests) = (start, 0, Vec::new());
        while now < start + Duration::from_secs(1) {
            let came = (now - start).div_duration_f64(gap) as usize;
            let began = now;
            now += Duration::from_micros(20) * (came - taken) as u32;
            let rest = pace.rest(began, now, came - taken);
            taken = came;
            rests.push(rest);
            // Without rest it sleeps until the next datagram.
            now = (now + rest).max(start + gap * (taken as u32 + 1));
        }
        rests
    }

    #[test]
    fn few_datagrams_are_never_kept_waiting() {
        assert!(rests(1000).iter().all(Duration::is_zero));
        assert!(rests(2500).iter().all(Duration::is_zero));
    }

    #[test]
    fn many_come_in_batches_and_wait_for_less_than_a_turn() {
        let rests = rests(20_000);
        let late = &rests[rests.len() / 2..];
        assert!(
            late.iter().all(|rest| !rest.is_zero() && *rest <= TURN),
            "{late:?}"
        );
        // 20 000 datagrams in about 2 500 turns.
        assert!(rests.len() < 4000, "{}", rests.len());
    }

    #[test]
    fn a_worker_without_a_moment_to_spare_does_not_rest() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for turn in 0..100 {
            let began = start + MS * turn;
            let rest = pace.rest(began, began + MS, 50);
            assert_eq!(rest, Duration::ZERO);
        }
    }

    /// The complexities of so many seconds at this share of the time.
    fn seconds(effort: &mut Effort, start: Instant, first: u32, count: u32, share: u32) -> u8 {
        for turn in first * 100..(first + count) * 100 {
            let now = start + MS * 10 * (turn + 1);
            effort.turn(now, Duration::from_micros(u64::from(share) * 100));
        }
        effort.complexity()
    }

    #[test]
    fn effort_rises_step_by_step_with_time_to_spare_and_falls_when_there_is_none() {
        let start = Instant::now();
        let mut effort = Effort::new(start, 0, 5);
        assert_eq!(seconds(&mut effort, start, 0, 1, 10), 1);
        assert_eq!(seconds(&mut effort, start, 1, 9, 10), 5);
        assert_eq!(seconds(&mut effort, start, 10, 3, 50), 5);
        assert_eq!(seconds(&mut effort, start, 13, 2, 70), 3);
        assert_eq!(seconds(&mut effort, start, 15, 1, 90), 0);
    }

    #[test]
    fn the_bounds_are_kept_and_may_be_the_same() {
        let start = Instant::now();
        let mut pinned = Effort::new(start, 3, 0);
        assert_eq!(seconds(&mut pinned, start, 0, 5, 1), 3);
        assert_eq!(seconds(&mut pinned, start, 5, 5, 95), 3);
    }
}
