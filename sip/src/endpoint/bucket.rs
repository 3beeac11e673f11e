//! How many refusals may go out: so many a second, then silence.

use std::time::{Duration, Instant};

/// A budget that is full again every second.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u32,
    left: u32,
    since: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            left: per_second,
            since: None,
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let fresh = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1));
        if fresh {
            self.since = Some(now);
            self.left = self.per_second;
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}
