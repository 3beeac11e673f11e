//! When the packets of a source come, as their timestamps and the network have it on average.

use std::time::{Duration, Instant};

/// A packet's part in the average: at 50 packets a second it follows a clock that is 300 ppm off within 0.2 ms.
const SMOOTHING: u32 = 32;
/// The most that one packet counts.
const MOST: i64 = 20_000_000;
/// Further off than this, in nanoseconds, it is another clock.
const OTHER_CLOCK: i64 = 1_000_000_000;
/// The worst lateness is that of the last two windows of this length.
const WINDOW: Duration = Duration::from_secs(2);

/// The smoothed arrivals of one source.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    /// RTP clock units in one sample at 8 kHz.
    units: u32,
    /// A timestamp and when it comes on average.
    anchor: Option<(u32, Instant)>,
    /// Packets in the average, at most [`SMOOTHING`].
    count: u32,
    worst: [Duration; 2],
    window: Option<Instant>,
}

impl Arrivals {
    /// A source whose clock has `units` in a sample at 8 kHz.
    pub(crate) fn new(units: u32) -> Self {
        Self {
            units: units.max(1),
            anchor: None,
            count: 0,
            worst: [Duration::ZERO; 2],
            window: None,
        }
    }

    /// Another source, or another clock. How late packets were stays known: the network is the same.
    pub(crate) fn restart(&mut self, units: u32) {
        self.units = units.max(1);
        self.anchor = None;
    }

    /// Takes an arrival; by how much it is later than the average.
    pub(crate) fn record(&mut self, now: Instant, timestamp: u32) -> Duration {
        let Some((anchor, _)) = self.anchor else {
            self.anchor = Some((timestamp, now));
            self.count = 1;
            return Duration::ZERO;
        };
        let predicted = self.predict(timestamp).unwrap_or(now);
        let late = signed_nanoseconds(now, predicted);
        if late.abs() > OTHER_CLOCK {
            self.anchor = Some((timestamp, now));
            self.count = 1;
            return Duration::ZERO;
        }
        self.count = (self.count + 1).min(SMOOTHING);
        // Much too early is no jitter: the way has become shorter, or the clock runs ahead.
        let step = if late < -MOST {
            late / 4
        } else {
            late.min(MOST) / i64::from(self.count)
        };
        let newer = (timestamp.wrapping_sub(anchor) as i32) > 0;
        let at = if newer { timestamp } else { anchor };
        let average = self.predict(at).unwrap_or(now);
        self.anchor = Some((at, shifted(average, step)));
        let late = Duration::from_nanos(late.max(0) as u64);
        self.remember(now, late);
        late
    }

    /// The route changed: from now on this packet is on time.
    pub(crate) fn set(&mut self, now: Instant, timestamp: u32) {
        self.anchor = Some((timestamp, now));
        self.count = SMOOTHING / 4;
    }

    /// When a timestamp comes on average.
    pub(crate) fn predict(&self, timestamp: u32) -> Option<Instant> {
        let (anchor, at) = self.anchor?;
        let ahead = i64::from(timestamp.wrapping_sub(anchor) as i32);
        Some(shifted(at, ahead * 125_000 / i64::from(self.units)))
    }

    /// How late packets were lately.
    pub(crate) fn spread(&self) -> Duration {
        self.worst[0].max(self.worst[1])
    }

    fn remember(&mut self, now: Instant, late: Duration) {
        let since = *self.window.get_or_insert(now);
        if now.saturating_duration_since(since) >= WINDOW {
            self.worst = [Duration::ZERO, self.worst[0]];
            self.window = Some(now);
        }
        self.worst[0] = self.worst[0].max(late);
    }
}

fn signed_nanoseconds(now: Instant, then: Instant) -> i64 {
    let part = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match now.checked_duration_since(then) {
        Some(after) => part(after),
        None => -part(then.saturating_duration_since(now)),
    }
}

fn shifted(at: Instant, nanoseconds: i64) -> Instant {
    let by = Duration::from_nanos(nanoseconds.unsigned_abs());
    let moved = if nanoseconds < 0 {
        at.checked_sub(by)
    } else {
        at.checked_add(by)
    };
    moved.unwrap_or(at)
}
