//! When to register next (RFC 3261 §10.2.4; the back-off of RFC 5626 §4.5), as pure arithmetic.

use std::time::Duration;

/// The wait after the first failure, and the longest after many.
const BASE: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(1800);

/// The least time between two REGISTERs, whatever a registrar grants or asks for.
const SHORTEST: Duration = Duration::from_secs(5);

/// What is known of an account's registration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schedule {
    failures: u32,
}

impl Schedule {
    /// We are registered for `expires`: how long until it is to be renewed. Early enough for a renewal that must be
    /// repeated for 32 s (timer F), where there is time for that.
    pub fn registered(&mut self, expires: Duration) -> Duration {
        self.failures = 0;
        let early = expires.saturating_sub(Duration::from_secs(60));
        early.max(expires / 2).max(SHORTEST)
    }

    /// It came to nothing: how long to leave the registrar alone. `retry_after` is what it asked for, `random` (0 to 1) keeps
    /// many gateways from coming back at once.
    pub fn failed(&mut self, retry_after: Option<u32>, random: f64) -> Duration {
        let most = BASE
            .saturating_mul(2u32.saturating_pow(self.failures))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let wait = most.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
        match retry_after {
            Some(seconds) => wait.max(Duration::from_secs(seconds.into())).min(LONGEST),
            None => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_registration_is_renewed_before_it_ends() {
        for (expires, renewed) in [
            (s(3600), s(3540)),
            (s(300), s(240)),
            (s(100), s(50)),
            (s(20), s(10)),
            (s(1), s(5)),
            (s(0), s(5)),
        ] {
            assert_eq!(Schedule::default().registered(expires), renewed);
        }
    }

    #[test]
    fn a_registrar_that_fails_is_left_alone_for_longer_and_longer() {
        let mut schedule = Schedule::default();
        let waits: Vec<u64> = (0..9)
            .map(|_| schedule.failed(None, 1.0).as_secs())
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
        assert_eq!(schedule.failed(None, 0.0), s(900));
        schedule.registered(s(300));
        assert_eq!(schedule.failed(None, 1.0), s(30));
    }

    #[test]
    fn a_registrar_says_how_long_at_least_within_reason() {
        assert_eq!(Schedule::default().failed(Some(120), 1.0), s(120));
        assert_eq!(Schedule::default().failed(Some(3), 1.0), s(30));
        assert_eq!(Schedule::default().failed(Some(u32::MAX), 1.0), LONGEST);
    }
}
