//! Their packets in their turn, each when it is due, and what is made up where one is missing.
//!
//! A stream begins **prompt**: a packet in order leaves as it comes, nothing is delayed. The first loss puts it on a
//! **schedule** that is one packet behind the smoothed arrivals: the lost one is rebuilt when its successor shows the
//! gap (which may carry it, as Opus FEC does), the successor follows a packet's time later, and from then on a lost
//! packet is replaced exactly when it is due. Packets that come too late for that, twice or more, move the schedule
//! back, up to a bound. When all is well for some seconds the stream catches up, a twentieth of a packet's time in
//! each, or at once in a pause of theirs, and is prompt again.

mod plan;

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::arrivals::Arrivals;
use crate::rtp::{MAX_PACKET, Packet};
use crate::timeline::Timeline;

/// Packets that may wait for their turn. When all but two places are taken the first one does not wait any longer.
const PLACES: usize = 12;
/// What fits in each place, in octets: the largest packet there is, some of 60 ms of G.711, and 30 ms of it or ordinary
/// Opus in the rest. All places for the largest would be a third of a call's memory.
const OCTETS: [usize; PLACES] = [
    MAX_PACKET, 480, 480, 480, 480, 256, 256, 256, 256, 256, 256, 256,
];
/// What is due within this time is done: the worker's clock is no finer.
const TOLERANCE: Duration = Duration::from_millis(1);
/// A packet that has not come is given so much more time at least before it is made up without its successor.
const SLACK: Duration = Duration::from_millis(4);
/// So long without loss the stream waits before it catches up.
const CALM: Duration = Duration::from_secs(4);
/// Late packets further apart than this are no jitter.
const JITTERY: Duration = Duration::from_secs(5);
/// So many packets too late in a row, over so much time, are a longer route.
const REROUTED: u32 = 3;
const REROUTED_FOR: Duration = Duration::from_millis(35);
/// A stream catches up by this part of a packet's time in each packet.
const EASE: u32 = 20;
/// A pause, where nothing was played for so long.
const PAUSE: Duration = Duration::from_millis(40);
/// Samples in a packet of those who have not sent one yet.
const USUAL: usize = 160;
/// A pause that was told of is filled for this long after their last word: Opus in DTX has one each 400 ms, RFC 3389
/// asks for none.
const DTX_LIFE: Duration = Duration::from_secs(2);
const COMFORT_NOISE_LIFE: Duration = Duration::from_secs(30);

/// What a packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Audio of so many samples at 8 kHz; more is to follow.
    Audio { samples: usize, opus: bool },
    /// Audio after which the sender pauses: an Opus packet of one or two octets (RFC 6716 §2.1.9).
    Dtx { samples: usize },
    /// Comfort noise (RFC 3389): the sender pauses.
    ComfortNoise,
    /// A telephone-event, or what nobody understands.
    Other,
}

/// A packet in its turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Packets that are missing right before this one, whether something was made up for them or not.
    pub(crate) lost: u64,
    /// The samples between what was played last and this one.
    pub(crate) gap: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame of a packet whose turn it is, `lost` packets and a pause of `gap` samples after the last one.
    pub(crate) fn of(packet: &Packet<'a>, lost: u64, gap: u64) -> Self {
        Self {
            lost,
            gap,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload_type: packet.payload_type,
            payload: packet.payload,
        }
    }
}

/// What is to be played now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn<'a> {
    /// A packet.
    Packet(Frame<'a>),
    /// Lost audio of so many samples, after a pause of `gap` samples. The packet behind it may hold it again.
    Lost {
        gap: u64,
        samples: usize,
        successor: Option<&'a [u8]>,
    },
    /// So many samples of a pause that the sender told of.
    Quiet { samples: usize },
}

/// What becomes of an offered packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is its turn, `lost` packets and a pause of `gap` samples after the last one; it was not copied.
    Now { lost: u64, gap: u64 },
    /// It waits.
    Held,
    /// Its time is over.
    Late,
}

/// How a stream is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// What is lost stays lost: the packets go on as they are.
    Forward,
    /// What is lost is made up.
    Conceal {
        /// Pauses that were told of are filled too.
        fill: bool,
    },
}

/// The playout of one source. Allocates when made, never after.
#[derive(Debug)]
pub(crate) struct Playout {
    style: Style,
    /// The most that is made up in a row, in samples.
    concealment: u64,
    max_delay: Duration,
    /// The number whose turn it is. The last `assumed` before it were made up without proof that they were sent.
    next: u64,
    assumed: u64,
    /// The number after the last packet that was played.
    after: u64,
    /// Delay and trouble before those.
    before: (Duration, Option<Instant>),
    /// Samples made up in a row.
    made: u64,
    last: Last,
    places: [Place; PLACES],
    /// How many of them are taken.
    taken: usize,
    timeline: Timeline,
    arrivals: Arrivals,
    /// How far behind the smoothed arrivals packets leave; zero: as they come.
    delay: Duration,
    /// The last loss or late packet.
    trouble: Option<Instant>,
    /// The last late packet, the delay that would have saved it, and how many of them followed each other.
    late: Option<(Instant, Duration)>,
    late_in_a_row: Option<(u32, Instant)>,
    /// What is done next, as long as nothing happens.
    planned: Cell<Option<Option<(Instant, Step)>>>,
}

/// What was played last.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// No audio: none is missed.
    Nothing,
    /// Audio, theirs or `ours`.
    Audio {
        at: Instant,
        samples: usize,
        ours: bool,
    },
    /// A pause that they told of.
    Quiet {
        at: Instant,
        samples: usize,
        until: Instant,
    },
}

#[derive(Debug)]
struct Place {
    held: Option<Held>,
    payload: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    sequence: u64,
    arrived: Instant,
    content: Content,
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    len: usize,
}

/// What is done next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Play(usize),
    Rebuild {
        successor: usize,
        gap: u64,
        samples: usize,
    },
    Conceal(usize),
    Quiet(usize),
}

impl Playout {
    /// A playout that makes up at most `concealment` samples in a row and delays by `max_delay` at most.
    pub(crate) fn new(concealment: u64, max_delay: Duration) -> Self {
        let place = |index: usize| Place {
            held: None,
            payload: vec![0; OCTETS[index]].into_boxed_slice(),
        };
        Self {
            style: Style::Forward,
            concealment,
            max_delay,
            next: 0,
            assumed: 0,
            after: 0,
            before: (Duration::ZERO, None),
            made: 0,
            last: Last::Nothing,
            places: std::array::from_fn(place),
            taken: 0,
            timeline: Timeline::new(1),
            arrivals: Arrivals::new(1),
            delay: Duration::ZERO,
            trouble: None,
            late: None,
            late_in_a_row: None,
            planned: Cell::new(None),
        }
    }

    /// How long packets are held back at the moment.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    /// Plays in another style from now on.
    pub(crate) fn set_style(&mut self, style: Style) {
        self.style = style;
        self.planned.set(None);
    }

    /// Their clock has `units` in a sample at 8 kHz from now on.
    pub(crate) fn set_clock(&mut self, units: u32) {
        self.planned.set(None);
        self.timeline.restart(units);
        self.arrivals.restart(units);
        self.last = Last::Nothing;
        self.made = 0;
    }

    /// Begins again with another source, behind its packet `first`; what waits is dropped.
    pub(crate) fn restart(&mut self, first: u64, units: u32) {
        self.next = first;
        self.after = first;
        self.assumed = 0;
        self.set_clock(units);
        self.places.iter_mut().for_each(|place| place.held = None);
        self.taken = 0;
    }

    /// Offers a packet that is no duplicate. After [`Offer::Now`] it is the caller's to use; then, and after
    /// [`Offer::Held`], it calls [`Playout::turn`] until there is no more.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: &Packet<'_>,
        content: Content,
    ) -> Offer {
        self.planned.set(None);
        let late = match content {
            Content::Audio { .. } | Content::Dtx { .. } => {
                self.arrivals.record(now, packet.timestamp)
            }
            Content::ComfortNoise | Content::Other => Duration::ZERO,
        };
        let timestamp = packet.timestamp;
        if sequence < self.next && !self.takes_back(now, sequence, timestamp, content, late) {
            return Offer::Late;
        }
        if self.is_over(now, timestamp, content) && !self.is_rerouted(now, timestamp, late) {
            self.next = self.next.max(sequence + 1);
            return Offer::Late;
        }
        let ahead = sequence.saturating_sub(self.next);
        let waiting = if self.taken == 0 {
            0
        } else {
            let held = self.places.iter().filter_map(|place| place.held);
            held.filter(|held| held.sequence < sequence).count()
        };
        if ahead > waiting as u64 {
            self.missed(now);
        } else if waiting == 0 && self.is_calm(now) && self.ends_pause(now, packet.timestamp) {
            // Nobody hears the schedule end here.
            self.delay = Duration::ZERO;
        }
        if ahead == 0 && self.lowest().is_none() && self.is_due(now, content) {
            let lost = sequence.saturating_sub(self.after);
            let gap = self.played(now, sequence, packet.timestamp, packet.marker, content);
            return Offer::Now { lost, gap };
        }
        let len = packet.payload.len();
        // From the back, so that the large places stay free for large packets.
        let mut places = self.places.iter_mut().rev();
        let Some(place) = places.find(|place| place.held.is_none() && place.payload.len() >= len)
        else {
            return Offer::Late;
        };
        let payload = &mut place.payload[..len];
        payload.copy_from_slice(packet.payload);
        self.taken += 1;
        place.held = Some(Held {
            sequence,
            arrived: now,
            content,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload_type: packet.payload_type,
            len,
        });
        Offer::Held
    }

    /// What is to be played now.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<Turn<'_>> {
        let (_, step) = self.plan().filter(|(at, _)| *at <= now + TOLERANCE)?;
        self.planned.set(None);
        match step {
            Step::Play(index) => {
                let place = &mut self.places[index];
                let held = place.held.take()?;
                self.taken -= 1;
                let lost = held.sequence.saturating_sub(self.after);
                let gap = self.played(
                    now,
                    held.sequence,
                    held.timestamp,
                    held.marker,
                    held.content,
                );
                Some(Turn::Packet(Frame {
                    lost,
                    gap,
                    timestamp: held.timestamp,
                    marker: held.marker,
                    payload_type: held.payload_type,
                    payload: &self.places[index].payload[..held.len],
                }))
            }
            Step::Rebuild {
                successor,
                gap,
                samples,
            } => {
                let held = self.places[successor].held?;
                self.made_up(now, gap + samples as u64, samples);
                self.next = held.sequence;
                self.assumed = 0;
                Some(Turn::Lost {
                    gap,
                    samples,
                    successor: Some(&self.places[successor].payload[..held.len]),
                })
            }
            Step::Conceal(samples) => {
                if self.assumed == 0 {
                    self.before = (self.delay, self.trouble);
                }
                self.missed(now);
                self.made_up(now, samples as u64, samples);
                self.next += 1;
                self.assumed += 1;
                Some(Turn::Lost {
                    gap: 0,
                    samples,
                    successor: None,
                })
            }
            Step::Quiet(samples) => {
                if let Last::Quiet { at, .. } = &mut self.last {
                    *at = now;
                }
                self.timeline.fill(now, samples as u64);
                Some(Turn::Quiet { samples })
            }
        }
    }

    /// When there is something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.plan().map(|(at, _)| at)
    }

    /// Whether a packet in order need not wait.
    fn is_due(&self, now: Instant, content: Content) -> bool {
        match (self.style, content) {
            (Style::Forward, _) | (_, Content::Other | Content::ComfortNoise) => true,
            (Style::Conceal { .. }, Content::Audio { .. } | Content::Dtx { .. }) => {
                let free = match self.last {
                    Last::Nothing | Last::Audio { ours: false, .. } => true,
                    Last::Audio { .. } | Last::Quiet { .. } => {
                        self.free_at().is_none_or(|free| free <= now + TOLERANCE)
                    }
                };
                self.delay.is_zero() && free
            }
        }
    }

    /// A packet that was passed by: whether it is played nevertheless.
    fn takes_back(
        &mut self,
        now: Instant,
        sequence: u64,
        timestamp: u32,
        content: Content,
        late: Duration,
    ) -> bool {
        let unproven = sequence + self.assumed >= self.next;
        let filled = match content {
            Content::Audio { .. } | Content::Dtx { .. } => {
                (1..=self.made).contains(&self.timeline.behind(timestamp))
            }
            Content::ComfortNoise | Content::Other => false,
        };
        // It was not lost, they paused: what was made up is no part of their stream.
        let resumed = unproven && !filled;
        if resumed && matches!(content, Content::Audio { .. } | Content::Dtx { .. }) {
            (self.delay, self.trouble) = self.before;
        }
        if resumed || self.is_rerouted(now, timestamp, late) {
            self.next = sequence;
            self.assumed = 0;
            return true;
        }
        false
    }

    /// Takes note of a late packet; says whether all come late now.
    fn is_rerouted(&mut self, now: Instant, timestamp: u32, late: Duration) -> bool {
        self.trouble = Some(now);
        let before = self.needed(now);
        let needed = (late + TOLERANCE).min(self.max_delay).max(before);
        if !before.is_zero() && self.style != Style::Forward {
            // Not the first one: this is jitter.
            self.delay = self.delay.max(needed);
        }
        self.late = Some((now, needed));
        let (count, since) = self.late_in_a_row.unwrap_or((0, now));
        self.late_in_a_row = Some((count + 1, since));
        let rerouted =
            count + 1 >= REROUTED && now.saturating_duration_since(since) >= REROUTED_FOR;
        if rerouted {
            self.arrivals.set(now, timestamp);
            self.late_in_a_row = None;
        }
        rerouted
    }

    /// Whether a packet is more behind than the schedule may ever be; all but the latest of those that a network held
    /// up are.
    fn is_over(&self, now: Instant, timestamp: u32, content: Content) -> bool {
        let scheduled = self.style != Style::Forward && !self.delay.is_zero();
        if !scheduled || !matches!(content, Content::Audio { .. }) {
            return false;
        }
        let due = self.arrivals.predict(timestamp);
        due.is_some_and(|at| now.saturating_duration_since(at + self.delay) > self.max_delay)
    }

    /// The delay that packets which came late asked for lately.
    fn needed(&self, now: Instant) -> Duration {
        match self.late {
            Some((at, needed)) if now.saturating_duration_since(at) < JITTERY => needed,
            _ => Duration::ZERO,
        }
    }

    /// A packet is missing: from now on packets are that much behind.
    fn missed(&mut self, now: Instant) {
        self.trouble = Some(now);
        if let (Style::Conceal { .. }, Last::Audio { samples, .. }) = (self.style, self.last) {
            let frame = time_of(samples);
            self.delay = self.delay.max(frame).max(self.needed(now));
        }
    }

    /// Keeps account of a packet's time; the pause before it, in samples.
    fn played(
        &mut self,
        now: Instant,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        content: Content,
    ) -> u64 {
        self.next = sequence + 1;
        self.after = self.next;
        self.assumed = 0;
        let (before, usual) = match self.last {
            Last::Audio { at, samples, .. } | Last::Quiet { at, samples, .. } => (at, samples),
            Last::Nothing => (now, USUAL),
        };
        let samples = match content {
            Content::Audio { samples, .. } | Content::Dtx { samples } => samples,
            Content::ComfortNoise => {
                self.last = Last::Quiet {
                    at: before,
                    samples: usual,
                    until: now + COMFORT_NOISE_LIFE,
                };
                return 0;
            }
            Content::Other => {
                self.last = Last::Nothing;
                return 0;
            }
        };
        let gap = self.timeline.gap(now, timestamp, marker);
        self.timeline.lay(now, timestamp, samples as u64);
        self.made = 0;
        self.late_in_a_row = None;
        self.last = match content {
            Content::Dtx { .. } => Last::Quiet {
                at: now,
                samples,
                until: now + DTX_LIFE,
            },
            _ => Last::Audio {
                at: now,
                samples,
                ours: false,
            },
        };
        if !self.delay.is_zero() && self.is_calm(now) {
            self.delay = self.delay.saturating_sub(time_of(samples) / EASE);
            if self.delay < TOLERANCE / 2 {
                self.delay = Duration::ZERO;
            }
        }
        gap
    }

    fn made_up(&mut self, now: Instant, laid: u64, samples: usize) {
        self.timeline.fill(now, laid);
        self.made += samples as u64;
        self.last = Last::Audio {
            at: now,
            samples,
            ours: true,
        };
    }

    /// Whether a packet comes after a pause of theirs.
    fn ends_pause(&self, now: Instant, timestamp: u32) -> bool {
        let silent = self.free_at().is_none_or(|free| now > free + PAUSE);
        silent && self.timeline.gap(now, timestamp, false) >= 480
    }

    fn is_calm(&self, now: Instant) -> bool {
        self.trouble
            .is_none_or(|at| now.saturating_duration_since(at) >= CALM)
    }
}

/// The time of samples at 8 kHz.
fn time_of(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 125)
}
