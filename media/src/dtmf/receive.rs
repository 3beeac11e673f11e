//! The digits in a stream of telephone-events: each exactly once, whatever the network does to its packets.

use std::time::{Duration, Instant};

use super::{Digit, Ticks, payload::EventPayload};

/// An event whose timestamp is this much behind the last one is a straggler (1 s at 48 kHz, 6 s at 8 kHz).
const STRAGGLER: u32 = 48_000;
/// An event of the same digit that begins this far after the last one carries it on (RFC 4733 §2.5.1.3: a segment
/// ends at 0xFFFF; some begin the next one a little later).
const SEGMENT: std::ops::RangeInclusive<u32> = 0xf000..=0x1_3000;

/// No key press is shorter (ITU-T Q.24), however little was heard of it.
const SHORTEST: Duration = Duration::from_millis(40);

/// What a packet or the lack of one says of a digit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A key went down.
    Began(Digit, Ticks, Volume),
    /// It is held for this long so far.
    Held(Ticks),
    /// It was let go after this long.
    Ended(Digit, Ticks),
}

/// The level of an event, as the payload has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Volume(pub(crate) u8);

/// Receives one leg's events.
#[derive(Debug)]
pub(crate) struct Receiver {
    clock_rate: u32,
    timeout: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No key is down. The timestamp is the last event's: what more comes of it was heard already.
    Idle { last: Option<u32> },
    /// A key is down.
    Active(Active),
}

#[derive(Debug)]
struct Active {
    digit: Digit,
    /// The timestamp of the segment that is being sent.
    timestamp: u32,
    /// The length of the segments before it, and of it so far, in clock units.
    before: u64,
    segment: u16,
    updated: Instant,
}

impl Receiver {
    /// A receiver of events at `clock_rate` Hz that ends one after `timeout` without news.
    pub(crate) fn new(clock_rate: u32, timeout: Duration) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            timeout,
            state: State::Idle { last: None },
        }
    }

    /// Takes an event's packet, in the order of sequence numbers. What it says is at most an end and a beginning
    /// (and, when all but the end of a digit was lost, that end).
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> [Option<Heard>; 3] {
        let Some(report) = EventPayload::read(payload) else {
            return [None; 3];
        };
        let Some(digit) = Digit::from_event(report.event) else {
            return [None; 3];
        };
        let mut ended = None;
        match &mut self.state {
            State::Active(active) if active.timestamp == timestamp => {
                return if active.digit == digit {
                    self.update(now, report)
                } else {
                    [None; 3]
                };
            }
            State::Active(active) if active.is_continued_by(digit, timestamp, marker) => {
                active.before += u64::from(timestamp.wrapping_sub(active.timestamp));
                active.timestamp = timestamp;
                active.segment = 0;
                return self.update(now, report);
            }
            State::Active(active) if is_straggler(timestamp, active.timestamp) => return [None; 3],
            State::Active(_) => ended = self.end(false),
            State::Idle { last: Some(last) }
                if *last == timestamp || is_straggler(timestamp, *last) =>
            {
                return [None; 3];
            }
            State::Idle { .. } => {}
        }
        self.state = State::Active(Active {
            digit,
            timestamp,
            before: 0,
            segment: report.duration,
            updated: now,
        });
        let held = self.ticks(u64::from(report.duration));
        let began = Some(Heard::Began(digit, held, Volume(report.volume)));
        let over = if report.end { self.end(true) } else { None };
        [ended, began, over]
    }

    /// When the event that is going on is given up.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Active(active) => Some(active.updated + self.timeout),
            State::Idle { .. } => None,
        }
    }

    /// Ends an event whose sender is silent.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Heard> {
        if self.poll_timeout()? <= now {
            self.end(false)
        } else {
            None
        }
    }

    /// Another source goes on: its timestamps have nothing to do with the last one's.
    pub(crate) fn restart(&mut self) -> Option<Heard> {
        let ended = self.end(false);
        self.state = State::Idle { last: None };
        ended
    }

    fn update(&mut self, now: Instant, report: EventPayload) -> [Option<Heard>; 3] {
        let State::Active(active) = &mut self.state else {
            return [None; 3];
        };
        active.segment = active.segment.max(report.duration);
        active.updated = now;
        let held = active.before + u64::from(active.segment);
        let heard = if report.end {
            self.end(true)
        } else {
            Some(Heard::Held(self.ticks(held)))
        };
        [heard, None, None]
    }

    /// Ends the event; whether its sender `told` so, or its length is only what was heard of it.
    fn end(&mut self, told: bool) -> Option<Heard> {
        let State::Active(active) = &self.state else {
            return None;
        };
        let held = self.ticks(active.before + u64::from(active.segment));
        let held = if told {
            held
        } else {
            held.max(Ticks::from_duration(SHORTEST))
        };
        let ended = Heard::Ended(active.digit, held);
        self.state = State::Idle {
            last: Some(active.timestamp),
        };
        Some(ended)
    }

    fn ticks(&self, units: u64) -> Ticks {
        Ticks::from_units(units, self.clock_rate)
    }
}

impl Active {
    fn is_continued_by(&self, digit: Digit, timestamp: u32, marker: bool) -> bool {
        digit == self.digit && !marker && SEGMENT.contains(&timestamp.wrapping_sub(self.timestamp))
    }
}

fn is_straggler(timestamp: u32, last: u32) -> bool {
    let behind = last.wrapping_sub(timestamp);
    behind != 0 && behind < STRAGGLER
}
