//! What one leg sends us: which of its sources we follow, in order, and how well it arrives.

use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::losses::Losses;
use crate::playout::{Content, Offer, Playout, Style, Turn};
use crate::rtp::Packet;
use crate::sequence::{Arrival, Jitter, Tracker};

/// A source that has been silent for this long gives way to another one at its first packet. Before that, two
/// packets in a row are needed: a stray packet does not take a stream over.
const QUIET: Duration = Duration::from_millis(60);

/// Receives one leg's stream. Allocates when made, never after.
#[derive(Debug)]
pub(crate) struct Receiver {
    epoch: Instant,
    source: Option<Source>,
    /// The last packet of another source.
    candidate: Option<(u32, u16)>,
    playout: Playout,
    /// RTP clock units of their audio in a sample at 8 kHz.
    units: u32,
    /// Lost by the sources before this one.
    lost_before: u64,
    /// How the losses of the current source lie.
    pub(crate) losses: Losses,
    /// Samples at 8 kHz in their last packet of audio.
    packet_samples: usize,
    pub(crate) figures: Figures,
}

/// The source that is followed.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) ssrc: u32,
    pub(crate) tracker: Tracker,
    pub(crate) jitter: Jitter,
    last: Instant,
}

/// Counts over all sources.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicates: u64,
    pub(crate) late: u64,
    pub(crate) bad: u64,
    pub(crate) source_changes: u64,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is to be played, then whatever [`Receiver::turn`] has.
    Play {
        /// It begins a new source.
        restarted: bool,
        /// The packets that are missing before it.
        lost: u64,
        /// The samples of their pause before it.
        gap: u64,
    },
    /// It waits; [`Receiver::turn`] may have something.
    Wait {
        /// It begins a new source.
        restarted: bool,
    },
    /// It is dropped.
    Drop,
}

impl Receiver {
    /// A receiver that has heard nothing.
    pub(crate) fn new(now: Instant, limits: &Limits) -> Self {
        let concealment = limits.concealment.as_millis() as u64 * 8;
        Self {
            epoch: now,
            source: None,
            candidate: None,
            playout: Playout::new(concealment, limits.delay),
            units: 1,
            lost_before: 0,
            losses: Losses::default(),
            packet_samples: 160,
            figures: Figures::default(),
        }
    }

    /// Takes a packet. `clock_rate` is that of its audio, or `None` for what says nothing about jitter.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        clock_rate: Option<u32>,
        content: Content,
    ) -> Accepted {
        let Some(source) = self
            .source
            .as_mut()
            .filter(|source| source.ssrc == packet.ssrc)
        else {
            return self.consider(now, packet, content);
        };
        self.candidate = None;
        let arrival = source.tracker.record(packet.sequence);
        if arrival == Arrival::Jump {
            self.figures.bad += 1;
            return Accepted::Drop;
        }
        source.last = now;
        if let Some(rate) = clock_rate {
            let elapsed = now.saturating_duration_since(self.epoch).as_micros() as u64;
            source.jitter.record(
                (elapsed * u64::from(rate) / 1_000_000) as u32,
                packet.timestamp,
            );
        }
        self.figures.packets += 1;
        self.figures.octets += packet.payload.len() as u64;
        let sequence = match arrival {
            Arrival::Ahead(sequence) => sequence,
            Arrival::Behind(sequence) => {
                self.figures.reordered += 1;
                sequence
            }
            Arrival::Restart(first) => {
                source.jitter.restart();
                self.figures.source_changes += 1;
                return self.start(now, first, packet, content);
            }
            Arrival::Duplicate | Arrival::Jump => {
                self.figures.duplicates += 1;
                return Accepted::Drop;
            }
        };
        self.offer(now, sequence, packet, content, false)
    }

    /// What is to be played now.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<Turn<'_>> {
        let turn = self.playout.turn(now)?;
        if let Turn::Packet(frame) = &turn {
            self.losses.record(frame.lost);
        }
        Some(turn)
    }

    /// How long packets are held back at the moment.
    pub(crate) fn delay(&self) -> Duration {
        self.playout.delay()
    }

    /// How long their packets are.
    pub(crate) fn packet_time(&self) -> Duration {
        Duration::from_micros(self.packet_samples as u64 * 125)
    }

    /// Packets of the current source that came, and those that never did.
    pub(crate) fn of_source(&self) -> (u64, u64) {
        let source = self.source.as_ref();
        source.map_or((0, 0), |source| {
            (source.tracker.received(), source.tracker.lost())
        })
    }

    /// When there is something to be played.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.playout.poll_timeout()
    }

    /// Plays in another style from now on.
    pub(crate) fn set_style(&mut self, style: Style) {
        self.playout.set_style(style);
    }

    /// The source that is followed, once there is one.
    pub(crate) fn source(&mut self) -> Option<&mut Source> {
        self.source.as_mut()
    }

    /// When the last packet of a followed source came.
    pub(crate) fn last_packet(&self) -> Option<Instant> {
        self.source.as_ref().map(|source| source.last)
    }

    /// Packets that never came.
    pub(crate) fn lost(&self) -> u64 {
        self.lost_before
            + self
                .source
                .as_ref()
                .map_or(0, |source| source.tracker.lost())
    }

    /// The jitter of the current source, in RTP clock units.
    pub(crate) fn jitter(&self) -> u32 {
        self.source
            .as_ref()
            .map_or(0, |source| source.jitter.units())
    }

    /// Their audio's clock has `units` in a sample at 8 kHz from now on.
    pub(crate) fn set_clock(&mut self, units: u32) {
        self.units = units;
        self.playout.set_clock(units);
        if let Some(source) = &mut self.source {
            source.jitter = Jitter::default();
        }
    }

    /// A packet of a source that is not followed.
    fn consider(&mut self, now: Instant, packet: &Packet<'_>, content: Content) -> Accepted {
        let follows = self.candidate == Some((packet.ssrc, packet.sequence.wrapping_sub(1)));
        let quiet = match &self.source {
            None => true,
            Some(source) => now.saturating_duration_since(source.last) > QUIET,
        };
        if !quiet && !follows {
            self.candidate = Some((packet.ssrc, packet.sequence));
            self.figures.bad += 1;
            return Accepted::Drop;
        }
        self.lost_before = self.lost();
        self.figures.source_changes += u64::from(self.source.is_some());
        self.candidate = None;
        let tracker = Tracker::new(packet.sequence);
        let first = tracker.first();
        self.source = Some(Source {
            ssrc: packet.ssrc,
            tracker,
            jitter: Jitter::default(),
            last: now,
        });
        self.figures.packets += 1;
        self.figures.octets += packet.payload.len() as u64;
        self.start(now, first, packet, content)
    }

    fn start(
        &mut self,
        now: Instant,
        first: u64,
        packet: &Packet<'_>,
        content: Content,
    ) -> Accepted {
        self.playout.restart(first, self.units);
        self.losses = Losses::default();
        self.offer(now, first, packet, content, true)
    }

    fn offer(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: &Packet<'_>,
        content: Content,
        restarted: bool,
    ) -> Accepted {
        if let Content::Audio { samples, .. } = content {
            self.packet_samples = samples;
        }
        match self.playout.offer(now, sequence, packet, content) {
            Offer::Now { lost, gap } => {
                self.losses.record(lost);
                Accepted::Play {
                    restarted,
                    lost,
                    gap,
                }
            }
            Offer::Held => Accepted::Wait { restarted },
            Offer::Late => {
                self.figures.late += 1;
                Accepted::Drop
            }
        }
    }
}
