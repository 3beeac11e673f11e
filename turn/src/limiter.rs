//! How often an unproven source is answered: in a table of fixed size, since who it is can be
//! forged.

use std::hash::BuildHasher;
use std::time::Instant;

use crate::client::{Keyed, Source};

/// 64 KiB, made once. Sources that share a place share its answers.
const PLACES: usize = 1 << 14;
const COUNT_BITS: u32 = 8;

/// So many answers a source and second, where a second begins with the first of them.
pub(crate) struct Limiter {
    hasher: Keyed,
    began: Instant,
    per_second: u32,
    /// 24 bits of begin in sixteenths of a second, eight of count.
    places: Box<[u32]>,
}

impl Limiter {
    pub(crate) fn new(hasher: Keyed, began: Instant, per_second: u8) -> Self {
        Self {
            hasher,
            began,
            per_second: u32::from(per_second),
            places: vec![0; PLACES].into(),
        }
    }

    /// Whether one more answer to `source` is within its limit; it is counted then.
    pub(crate) fn admits(&mut self, source: Source, now: Instant) -> bool {
        const MASK: u32 = (1 << COUNT_BITS) - 1;
        let since = now.saturating_duration_since(self.began).as_millis();
        // Never 0, which an untouched place says. It wraps after twelve days: then a source may
        // meet an old count once.
        let tick = (since * 16 / 1000 + 17) as u32 & (u32::MAX >> COUNT_BITS);
        let index = self.hasher.hash_one(source) as usize % PLACES;
        let Some(place) = self.places.get_mut(index) else {
            return false;
        };
        let (begin, count) = (*place >> COUNT_BITS, *place & MASK);
        let age = tick.wrapping_sub(begin) & (u32::MAX >> COUNT_BITS);
        if *place == 0 || age > 16 {
            *place = tick << COUNT_BITS | 1;
            return self.per_second > 0;
        }
        if count >= self.per_second {
            return false;
        }
        *place += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn source(last: u8) -> Source {
        Source::of(([198, 51, 100, last], 1).into())
    }

    #[test]
    fn a_source_has_its_answers_and_no_more_until_the_next_second() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Keyed::new([3; 16]), start, 10);
        let mut answered = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            answered += u32::from(limiter.admits(source(1), now));
        }
        assert!((85..=100).contains(&answered), "{answered}");
        let later = start + Duration::from_secs(3600);
        let burst = (0..100)
            .filter(|_| limiter.admits(source(1), later))
            .count();
        assert_eq!(burst, 10);
        assert!(limiter.admits(source(2), later), "another source");
    }

    #[test]
    fn an_ipv6_source_is_its_64_bits_of_network() {
        let at = |text: &str| Source::of(format!("[{text}]:5").parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:198.51.100.1"), source(1));
    }
}
