//! The digits in a stream of telephone-events: each exactly once, whatever the network does to its packets.

use std::time::{Duration, Instant};

use super::{
    Digit, Ticks,
    estimate::{After, Style},
    payload::EventPayload,
};
use crate::format::Codec;
use crate::playout::Frame;

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

/// A packet of audio among the events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AudioPacket {
    /// Packets missing right before it.
    pub(crate) lost: u64,
    pub(crate) timestamp: u32,
    /// Its length, in units of its clock.
    pub(crate) units: u32,
    /// Hz.
    pub(crate) clock_rate: u32,
}

impl AudioPacket {
    /// The packet of a frame of a codec.
    pub(crate) fn of(frame: &Frame<'_>, codec: Codec) -> Self {
        let samples = match codec {
            Codec::Opus => codecs::opus::packet_samples(frame.payload).unwrap_or(160) as u32,
            Codec::Pcmu | Codec::Pcma | Codec::G722 => frame.payload.len() as u32,
        };
        Self {
            lost: frame.lost,
            timestamp: frame.timestamp,
            units: samples.wrapping_mul(codec.units_per_sample()),
            clock_rate: codec.clock_rate(),
        }
    }
}

/// Receives one leg's events.
#[derive(Debug)]
pub(crate) struct Receiver {
    clock_rate: u32,
    timeout: Duration,
    state: State,
    /// What was learned of the sender's ways.
    style: Style,
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
    /// What came after the last report.
    after: After,
}

impl Receiver {
    /// A receiver of events at `clock_rate` Hz that ends one after `timeout` without news.
    pub(crate) fn new(clock_rate: u32, timeout: Duration) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            timeout,
            state: State::Idle { last: None },
            style: Style::new(clock_rate.max(1)),
        }
    }

    /// Takes an event's packet, in the order of sequence numbers, `lost` of which are missing right before it. What it
    /// says is at most an end and a beginning (and, when all but the end of a digit was lost, that end).
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        timestamp: u32,
        marker: bool,
        lost: u64,
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
                    self.update(now, lost, report)
                } else {
                    [None; 3]
                };
            }
            State::Active(active) if active.is_continued_by(digit, timestamp, marker) => {
                active.before += u64::from(timestamp.wrapping_sub(active.timestamp));
                active.timestamp = timestamp;
                active.segment = 0;
                return self.update(now, lost, report);
            }
            State::Active(active) if is_straggler(timestamp, active.timestamp) => return [None; 3],
            State::Active(active) => {
                let next = (timestamp.wrapping_sub(active.timestamp), report.duration);
                active.after.event(lost, next, &self.style);
                ended = self.end(false);
            }
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
            after: After::default(),
        });
        let held = self.ticks(u64::from(report.duration));
        let began = Some(Heard::Began(digit, held, Volume(report.volume)));
        let over = if report.end { self.end(true) } else { None };
        [ended, began, over]
    }

    /// Notes a packet of audio, in the order of sequence numbers. While a key is down it tells whether reports are
    /// missing.
    pub(crate) fn audio(&mut self, now: Instant, packet: AudioPacket) {
        let Self {
            state,
            style,
            clock_rate,
            ..
        } = self;
        if let State::Active(active) = state {
            let ahead = (packet.clock_rate == *clock_rate)
                .then(|| packet.timestamp.wrapping_sub(active.timestamp));
            active.after.audio(now, packet, ahead, style);
        }
        style.audio(packet);
    }

    /// When the event that is going on is given up.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Active(active) => {
                let silent = active.updated + self.timeout;
                // Where audio makes room for events, its return is their end.
                Some(
                    active
                        .after
                        .over(&self.style)
                        .map_or(silent, |over| over.min(silent)),
                )
            }
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

    fn update(&mut self, now: Instant, lost: u64, report: EventPayload) -> [Option<Heard>; 3] {
        let State::Active(active) = &mut self.state else {
            return [None; 3];
        };
        if !report.end {
            let step = report.duration.saturating_sub(active.segment);
            self.style.update(lost, step, &active.after);
        }
        active.after = After::default();
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

    /// Ends the event; whether its sender `told` so, or its length is worked out of what was heard.
    fn end(&mut self, told: bool) -> Option<Heard> {
        let State::Active(active) = &self.state else {
            return None;
        };
        let heard = active.before + u64::from(active.segment);
        let held = if told {
            self.style.told(heard);
            self.ticks(heard)
        } else {
            let held = active.after.estimate(heard, active.before, &self.style);
            self.ticks(held).max(Ticks::from_duration(SHORTEST))
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
