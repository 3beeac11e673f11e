//! Bandwidth: a token bucket kept as one moment.

use std::time::{Duration, Instant};

/// Bytes a second, with one second's worth (at least 16 KiB) at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// When all that was taken will have flowed in again.
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes `bytes` if they are there.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize, rate: u64, now: Instant) -> bool {
        let rate = rate.max(1);
        let nanos = |bytes: u64| Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate);
        let next = self.full_at.max(now) + nanos(bytes as u64);
        if next.saturating_duration_since(now) > nanos(rate.max(16 * 1024)) {
            return false;
        }
        self.full_at = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flows_is_the_rate_after_the_first_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let sent = |bucket: &mut Bucket, from: u64| {
            let mut sent = 0;
            for millis in from..from + 1000 {
                for _ in 0..10 {
                    let now = start + Duration::from_millis(millis);
                    sent += 100 * u32::from(bucket.take(100, 100_000, now));
                }
            }
            sent
        };
        let (first, second) = (sent(&mut bucket, 0), sent(&mut bucket, 1000));
        assert!((199_000..=201_000).contains(&first), "{first}");
        assert!((99_000..=101_000).contains(&second), "{second}");
    }
}
