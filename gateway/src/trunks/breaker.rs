//! Whether a trunk is worth trying: a circuit breaker, told the time.

use std::time::{Duration, Instant};

/// So many failures in a row, and it is left alone.
const FAILURES: u32 = 3;

/// For how long at first, and at most.
const FIRST_REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What was well for this long begins anew; what fails again sooner rests twice as long as the last time.
const WELL_AGAIN: Duration = Duration::from_secs(600);

/// The one call that tries it again says within this time what came of it, or another may.
const TRIAL: Duration = Duration::from_secs(40);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    state: State,
    /// How long the last rest was, and when it was over.
    last_rest: Option<(Duration, Instant)>,
    /// It rests because a probe was not answered: one that is, ends that. What calls have found, calls must find mended.
    by_probe: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    /// It rests until then; after it, one call may try.
    Open { until: Instant },
    /// That call is under way.
    Trial { until: Instant },
}

impl Breaker {
    /// Whether a call may be tried.
    pub(super) fn allows(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } | State::Trial { until } => until <= now,
        }
    }

    /// A call is tried.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.state != State::Closed && self.allows(now) {
            self.state = State::Trial { until: now + TRIAL };
        }
    }

    /// A call that was tried came to nothing that says anything.
    pub(super) fn withdraw(&mut self, now: Instant) {
        if let State::Trial { .. } = self.state {
            self.state = State::Open { until: now };
        }
    }

    /// It answered. True where that is news.
    pub(super) fn succeeded(&mut self, now: Instant) -> bool {
        self.failures = 0;
        self.by_probe = false;
        if self.state == State::Closed {
            return false;
        }
        self.last_rest = self.last_rest.map(|(rest, _)| (rest, now));
        self.state = State::Closed;
        true
    }

    /// It did not answer, or said that it cannot serve, for so long at least. Says how long it rests now, where it begins
    /// to.
    pub(super) fn failed(&mut self, now: Instant, least: Option<Duration>) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            // Calls that were tried before it was left alone.
            State::Open { until } if now < until => return None,
            State::Closed if self.failures < FAILURES && least.is_none() => return None,
            _ => {}
        }
        let rest = match self.last_rest {
            Some((last, ended)) if now.saturating_duration_since(ended) < WELL_AGAIN => last * 2,
            _ => FIRST_REST,
        };
        let rest = rest.max(least.unwrap_or_default()).min(LONGEST_REST);
        let until = now + rest;
        self.last_rest = Some((rest, until));
        self.state = State::Open { until };
        Some(rest)
    }

    /// It is known to be gone: as if it had failed often enough.
    pub(super) fn lost(&mut self, now: Instant) -> Option<Duration> {
        self.failures = self.failures.max(FAILURES);
        let rest = self.failed(now, None);
        self.by_probe |= rest.is_some();
        rest
    }

    /// It is there: as far as a probe can tell. True where that is news.
    pub(super) fn found(&mut self, now: Instant) -> bool {
        self.by_probe && self.succeeded(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_in_a_row_and_it_rests_then_one_call_tries() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(start, None), None);
        assert_eq!(breaker.failed(start, None), None);
        assert!(!breaker.succeeded(start), "it was well all along");
        assert_eq!(breaker.failed(start, None), None);
        assert_eq!(breaker.failed(start, None), None);
        assert!(breaker.allows(start));
        assert_eq!(breaker.failed(start, None), Some(FIRST_REST));
        assert!(!breaker.allows(start + secs(9)));
        let again = start + FIRST_REST;
        assert!(breaker.allows(again));
        breaker.begin(again);
        assert!(!breaker.allows(again), "one tries, not all");
        assert!(
            breaker.allows(again + TRIAL),
            "and is not waited for for ever"
        );
        assert!(breaker.succeeded(again));
        assert!(breaker.allows(again));
    }

    #[test]
    fn what_comes_and_goes_rests_longer_each_time_and_is_forgiven_in_the_end() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        let mut rests = Vec::new();
        for _ in 0..7 {
            let rest = breaker.lost(now).unwrap();
            rests.push(rest.as_secs());
            now += rest;
            breaker.begin(now);
            breaker.succeeded(now);
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 300, 300]);
        now += WELL_AGAIN;
        assert_eq!(breaker.lost(now), Some(FIRST_REST));
    }

    #[test]
    fn it_rests_as_long_as_it_asks_and_calls_of_before_change_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(now, Some(secs(30))), Some(secs(30)));
        assert_eq!(breaker.failed(now + secs(1), None), None);
        assert!(!breaker.allows(now + secs(29)) && breaker.allows(now + secs(30)));
        let mut breaker = Breaker::default();
        let day = Some(secs(86_400));
        assert_eq!(breaker.failed(now, day), Some(LONGEST_REST));
    }

    #[test]
    fn a_probe_ends_the_rest_that_probes_began_and_no_other() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.lost(now);
        assert!(breaker.found(now) && breaker.allows(now));
        let asked_for = Some(secs(120));
        breaker.failed(now, asked_for);
        assert!(!breaker.found(now) && !breaker.allows(now));
        let mut silent = Breaker::default();
        for _ in 0..FAILURES {
            silent.failed(now, None);
            silent.found(now);
        }
        assert!(!silent.allows(now), "it answers probes, and no calls");
    }

    #[test]
    fn a_trial_that_says_nothing_leaves_room_for_another() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.lost(now);
        let again = now + FIRST_REST;
        breaker.begin(again);
        breaker.withdraw(again);
        assert!(breaker.allows(again));
    }
}
