//! How often an unproven source is answered: in a table of fixed size, since who it is can be
//! forged.

use std::{
    fmt,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::client::{Keyed, Source};

/// 64 KiB, made once. Sources that share a place share its answers.
const PLACES: usize = 1 << 14;
const COUNT_BITS: u32 = 8;
const COUNT: u32 = (1 << COUNT_BITS) - 1;

/// How many answers each source had in this second, where a second begins with the first of them. Clones count together: a
/// stranger is the same to all servers of a process.
#[derive(Clone)]
pub struct Limiter {
    hasher: Keyed,
    began: Instant,
    /// 24 bits of begin in sixteenths of a second, eight of count.
    places: Arc<[AtomicU32]>,
}

impl Limiter {
    /// `key` must be secret: no stranger can choose whose place he shares. Time counts from `began`.
    pub fn new(key: &[u8; 16], began: Instant) -> Self {
        Self {
            hasher: Keyed::new(*key),
            began,
            places: (0..PLACES).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Whether one more answer to `source` is within so many a second; it is counted then.
    pub(crate) fn admits(&self, source: Source, per_second: u8, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.began).as_millis();
        // Never 0, which an untouched place says. It wraps after twelve days: then a source may
        // meet an old count once.
        let tick = (since * 16 / 1000 + 17) as u32 & (u32::MAX >> COUNT_BITS);
        let index = self.hasher.hash_one(source) as usize % PLACES;
        let Some(place) = self.places.get(index) else {
            return false;
        };
        let counted = place.fetch_update(Relaxed, Relaxed, |place| {
            let (begin, count) = (place >> COUNT_BITS, place & COUNT);
            let age = tick.wrapping_sub(begin) & (u32::MAX >> COUNT_BITS);
            let (begin, count) = match place == 0 || age > 16 {
                true => (tick, 0),
                false => (begin, count),
            };
            (count < per_second.into()).then_some(begin << COUNT_BITS | (count + 1))
        });
        counted.is_ok()
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter(..)")
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
        let limiter = Limiter::new(&[3; 16], start);
        let mut answered = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            answered += u32::from(limiter.admits(source(1), 10, now));
        }
        assert!((85..=100).contains(&answered), "{answered}");
        let later = start + Duration::from_secs(3600);
        let burst = (0..100)
            .filter(|_| limiter.admits(source(1), 10, later))
            .count();
        assert_eq!(burst, 10);
        let colleague = limiter.clone();
        assert!(!colleague.admits(source(1), 10, later), "of all together");
        assert!(limiter.admits(source(2), 10, later), "another source");
    }

    #[test]
    fn an_ipv6_source_is_its_64_bits_of_network() {
        let at = |text: &str| Source::of(format!("[{text}]:5").parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:198.51.100.1"), source(1));
    }
}
