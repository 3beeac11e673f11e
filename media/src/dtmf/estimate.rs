//! How long a key was held whose end was lost: worked out of what came instead.
//!
//! Sequence numbers say how many packets are missing, the timestamps of audio say how many of them were audio, and
//! what is missing beyond that were reports, the last three of them ends (RFC 4733 §2.5.1.4). Senders differ in what
//! their audio does meanwhile:
//!
//! ```text
//! it pauses:                     U U U U [E E E] A A A      Chromium, many telephones
//! it pauses until the first end: U U U U [E] A [E] A [E] A  Switchhook
//! it goes on:                    U A U A U A [E] A [E] A    baresip
//! ```

use std::time::{Duration, Instant};

use super::receive::AudioPacket;

/// How often an end is said.
const ENDS: u64 = 3;
/// What is missing by more than this (a second of packets) is an outage, and says nothing about a key.
const OUTAGE: u64 = 50;
/// Where audio pauses for events, its return for this long is their end: three ends, 20 ms apart, and what may be lost
/// or late behind them.
const RETURNED: Duration = Duration::from_millis(120);

/// What a sender does with its audio while a key is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audio {
    Unknown,
    Pauses,
    GoesOn,
}

/// What was learned of a sender's ways.
#[derive(Debug)]
pub(super) struct Style {
    audio: Audio,
    /// Between two reports, in units of the event's clock.
    interval: u64,
    clock_rate: u32,
    /// The last length that was told to its end, and how often in a row it was the same: machines press all keys alike.
    told: Option<(u64, u32)>,
    /// How many in a row were told that end with a report's interval.
    whole: u32,
    /// The timestamp that the next audio should have, and the length of a packet of it.
    expected: Option<(u32, u32)>,
}

impl Style {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self {
            audio: Audio::Unknown,
            interval: u64::from(clock_rate) / 50,
            clock_rate,
            told: None,
            whole: 0,
            expected: None,
        }
    }

    /// Audio came.
    pub(super) fn audio(&mut self, packet: AudioPacket) {
        let next = packet.timestamp.wrapping_add(packet.units);
        self.expected = Some((next, packet.units.max(1)));
    }

    /// An event was told to its end.
    pub(super) fn told(&mut self, held: u64) {
        self.told = match self.told {
            Some((before, times)) if before == held => Some((held, times.saturating_add(1))),
            _ => Some((held, 1)),
        };
        self.whole = match held.is_multiple_of(self.interval) {
            true => self.whole.saturating_add(1),
            false => 0,
        };
    }

    /// The length that all keys have, as far as is known.
    fn habit(&self) -> Option<u64> {
        self.told
            .filter(|(_, times)| *times > 1)
            .map(|(held, _)| held)
    }

    /// Whether keys end with a report's interval, as where they are counted in packets.
    fn is_whole(&self) -> bool {
        self.told.is_none() || self.whole > 1
    }

    /// A report came that is no end, `step` units after the one before it.
    pub(super) fn update(&mut self, lost: u64, step: u16, after: &After) {
        if after.heard_audio() {
            self.audio = Audio::GoesOn;
        } else if lost == 0 {
            self.audio = Audio::Pauses;
        }
        // One packet after another, or with one of audio between them, in 5 to 100 ms.
        let step = u64::from(step);
        let rate = u64::from(self.clock_rate);
        if lost == 0 && after.missing() == 0 && (rate / 200..=rate / 10).contains(&step) {
            self.interval = step;
        }
    }

    /// The packets of audio missing before this one, by its timestamp.
    fn lost_audio(&self, packet: AudioPacket) -> u64 {
        let Some((expected, units)) = self.expected else {
            return packet.lost;
        };
        let ahead = packet.timestamp.wrapping_sub(expected) as i32;
        u64::try_from(ahead).map_or(packet.lost, |ahead| {
            (ahead + u64::from(units) / 2) / u64::from(units)
        })
    }
}

/// What came after the last report of an event.
#[derive(Debug, Default)]
pub(super) struct After {
    /// The first audio: when it came, and what was missing before it.
    audio: Option<(Instant, Missing)>,
    /// Reports missing since.
    later: u64,
    /// The next event: packets missing before its first report.
    event: Option<u64>,
    /// What came next began this much after the event, in units of its clock.
    bound: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    packets: u64,
    reports: u64,
}

impl After {
    pub(super) fn audio(
        &mut self,
        now: Instant,
        packet: AudioPacket,
        ahead: Option<u32>,
        style: &Style,
    ) {
        let reports = packet.lost.saturating_sub(style.lost_audio(packet));
        if self.audio.is_some() {
            self.later += reports;
            return;
        }
        let missing = Missing {
            packets: packet.lost,
            reports,
        };
        self.audio = Some((now, missing));
        if style.audio != Audio::GoesOn {
            self.bound = ahead.filter(|ahead| (*ahead as i32) > 0).map(u64::from);
        }
    }

    /// The next event came, `ahead` units after the one before, by a report of `duration`.
    pub(super) fn event(&mut self, lost: u64, (ahead, duration): (u32, u16), style: &Style) {
        // Its own first reports are missing too: not those of the event before it.
        let own = (u64::from(duration) / style.interval).saturating_sub(1);
        self.event = Some(lost.saturating_sub(own));
        self.later = self.later.saturating_sub(own.saturating_sub(lost));
        if (ahead as i32) > 0 {
            let bound = u64::from(ahead);
            self.bound = Some(self.bound.map_or(bound, |before| before.min(bound)));
        }
    }

    /// When enough audio has come to say that the event is over.
    pub(super) fn over(&self, style: &Style) -> Option<Instant> {
        let (at, _) = self.audio?;
        (style.audio == Audio::Pauses).then_some(at + RETURNED)
    }

    fn heard_audio(&self) -> bool {
        self.audio.is_some()
    }

    fn missing(&self) -> u64 {
        self.audio.map_or(0, |(_, missing)| missing.packets) + self.later
    }

    /// The whole length of an event of which `heard` units were told; `before` of them in segments before this one.
    pub(super) fn estimate(&self, heard: u64, before: u64, style: &Style) -> u64 {
        let (least, most) = self.unheard_reports(style);
        // The end is anywhere in the interval that its report closes.
        let shortest = heard + least.saturating_sub(1) * style.interval;
        let longest = heard + most * style.interval;
        let held = match style.habit() {
            Some(habit) if shortest < habit && habit <= longest => habit,
            // The middle errs least.
            _ if style.is_whole() => heard + (least + most) * style.interval / 2,
            _ => (shortest + longest) / 2,
        };
        // The bound counts from the beginning of the segment.
        self.bound
            .map_or(held, |bound| held.min(before + bound).max(heard))
    }

    /// How many reports up to the first end were not heard, at least and at most.
    fn unheard_reports(&self, style: &Style) -> (u64, u64) {
        let exactly = |reports: u64| (reports, reports);
        let beyond_ends = |reports: u64| match reports {
            0 => exactly(0),
            some if !(ENDS..=OUTAGE).contains(&some) => exactly(1),
            some => exactly(some + 1 - ENDS),
        };
        let Some((_, first)) = self.audio else {
            // Without a word from the sender nothing is known but that an end was said.
            return self.event.map_or(exactly(1), beyond_ends);
        };
        if style.audio == Audio::GoesOn {
            return beyond_ends(first.reports + self.later);
        }
        let gap = first.packets;
        if gap <= ENDS || gap > OUTAGE {
            // More ends between the audio that followed: those in the gap were fewer, its reports more.
            return match (gap, self.later) {
                (0, _) => exactly(0),
                (1..=ENDS, later) if later > 0 => exactly(self.reports_before(later, gap)),
                _ => exactly(1),
            };
        }
        match self.later {
            // All three ends are in the gap. What else is in it was reports before them or audio behind them, and
            // nothing says which.
            0 => (1, 1 + gap - ENDS),
            later => exactly(self.reports_before(later, gap)),
        }
    }

    /// Where `later` ends were lost between audio, each end in the gap but the last had audio behind it too.
    fn reports_before(&self, later: u64, gap: u64) -> u64 {
        let ends = ENDS - later.min(ENDS - 1);
        1 + (gap + 1).saturating_sub(2 * ends)
    }
}
