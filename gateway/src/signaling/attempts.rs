//! How often somebody may try to sign in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How many attempts of one source may fail in a [`WINDOW`].
const MAX_FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// How many sources are remembered; the oldest is forgotten for one more.
const MAX_SOURCES: usize = 10_000;

/// Failed attempts by source: one address, or of IPv6 one /64, which is one customer's.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failures: HashMap<IpAddr, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Attempts {
    /// Whether one more may be made, whatever its password.
    pub(super) fn may_try(&self, now: Instant, from: IpAddr) -> bool {
        let failures = self.failures.get(&source(from));
        failures.is_none_or(|failures| {
            failures.count < MAX_FAILURES || now.saturating_duration_since(failures.since) >= WINDOW
        })
    }

    /// Notes one that failed.
    pub(super) fn failed(&mut self, now: Instant, from: IpAddr) {
        if self.failures.len() >= MAX_SOURCES {
            self.make_room(now);
        }
        let failures = self.failures.entry(source(from)).or_insert(Failures {
            count: 0,
            since: now,
        });
        if now.saturating_duration_since(failures.since) >= WINDOW {
            *failures = Failures {
                count: 0,
                since: now,
            };
        }
        failures.count += 1;
    }

    fn make_room(&mut self, now: Instant) {
        self.failures
            .retain(|_, failures| now.saturating_duration_since(failures.since) < WINDOW);
        if self.failures.len() >= MAX_SOURCES {
            let oldest = self
                .failures
                .iter()
                .min_by_key(|(_, failures)| failures.since)
                .map(|(source, _)| *source);
            oldest.map(|source| self.failures.remove(&source));
        }
    }
}

/// Whom an address stands for: itself, or of IPv6 its /64, which is one customer's.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_fails_too_often_waits_and_others_do_not() {
        let start = Instant::now();
        let mut attempts = Attempts::default();
        let guesser: IpAddr = "192.0.2.1".parse().unwrap();
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        for _ in 0..MAX_FAILURES {
            assert!(attempts.may_try(start, guesser));
            attempts.failed(start, guesser);
        }
        assert!(!attempts.may_try(start + WINDOW - Duration::from_millis(1), guesser));
        assert!(attempts.may_try(start, other));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(!attempts.may_try(start, mapped));
        assert!(attempts.may_try(start + WINDOW, guesser));
        attempts.failed(start + WINDOW, guesser);
        assert!(attempts.may_try(start + WINDOW, guesser));
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        for host in 0..MAX_FAILURES {
            attempts.failed(now, format!("2001:db8::{host:x}").parse().unwrap());
        }
        assert!(!attempts.may_try(now, "2001:db8::ffff:1".parse().unwrap()));
        assert!(attempts.may_try(now, "2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn memory_is_bounded_whoever_tries() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        for host in 0..20_000_u32 {
            attempts.failed(now, std::net::Ipv4Addr::from_bits(host).into());
        }
        assert_eq!(attempts.failures.len(), MAX_SOURCES);
    }
}
