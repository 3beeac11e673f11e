//! Where a packet's audio belongs: their timestamps turned into pauses of ours, whatever their clock does.

use std::time::Instant;

/// How far their timestamps may run ahead of real time before they are disbelieved, in samples (1 s).
const TOLERANCE: u64 = 8_000;
/// A pause that their timestamps deny is believed from here on, in samples: 3 s, or 400 ms before a marked packet.
const PAUSE: u64 = 24_000;
const MARKED_PAUSE: u64 = 3_200;

/// The audio of one source, laid end to end.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    /// RTP clock units in one sample at 8 kHz.
    units: u32,
    /// The timestamp that follows the last audio.
    expected: Option<u32>,
    /// When the last audio was played, and how many samples it had.
    last: Option<(Instant, u64)>,
}

impl Timeline {
    /// A source whose clock has `units` in a sample at 8 kHz.
    pub(crate) fn new(units: u32) -> Self {
        Self {
            units,
            expected: None,
            last: None,
        }
    }

    /// Another source goes on: its timestamps say nothing about the last one's.
    pub(crate) fn restart(&mut self, units: u32) {
        self.units = units;
        self.expected = None;
    }

    /// The timestamp that follows the last audio.
    pub(crate) fn expected(&self) -> Option<u32> {
        self.expected
    }

    /// How many samples before the end of what was played a timestamp is; none when it is not behind it.
    pub(crate) fn behind(&self, timestamp: u32) -> u64 {
        let behind = |expected: u32| i64::from(expected.wrapping_sub(timestamp) as i32);
        self.expected
            .map_or(0, |expected| behind(expected).max(0) as u64)
            / u64::from(self.units)
    }

    /// The samples between the last audio and this packet's: lost or never sent.
    pub(crate) fn gap(&self, now: Instant, timestamp: u32, marker: bool) -> u64 {
        let by_clock = match self.last {
            None => return 0,
            Some((at, samples)) => samples_in(now, at).saturating_sub(samples),
        };
        let Some(expected) = self.expected else {
            return by_clock;
        };
        // Behind what was played, or implausibly far ahead: real time decides.
        let Ok(ahead) = u64::try_from(timestamp.wrapping_sub(expected) as i32) else {
            return by_clock;
        };
        let by_timestamp = ahead / u64::from(self.units);
        let denied = if marker { MARKED_PAUSE } else { PAUSE };
        if by_timestamp > by_clock + TOLERANCE || by_clock > by_timestamp + denied {
            return by_clock;
        }
        by_timestamp
    }

    /// A packet's audio was laid.
    pub(crate) fn lay(&mut self, now: Instant, timestamp: u32, samples: u64) {
        self.expected = Some(timestamp.wrapping_add(samples as u32 * self.units));
        self.last = Some((now, samples));
    }

    /// Audio of ours was laid where theirs is missing.
    pub(crate) fn fill(&mut self, now: Instant, samples: u64) {
        if let Some(expected) = &mut self.expected {
            *expected = expected.wrapping_add(samples as u32 * self.units);
        }
        self.last = Some((now, samples));
    }
}

/// Samples at 8 kHz from `earlier` to `now`.
pub(crate) fn samples_in(now: Instant, earlier: Instant) -> u64 {
    now.saturating_duration_since(earlier).as_micros() as u64 * 8 / 1000
}
