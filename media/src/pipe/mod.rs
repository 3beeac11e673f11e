//! One direction of a call: their packets in, ours out.
//!
//! ```text
//! Frame ─▶ timeline: lost? paused? ─▶ decode (FEC, conceal) ─▶ frames of our ptime ─▶ encode ─▶ Outgoing
//! ```
//! With the same family of codec on both sides the middle is shorter: see [`passthrough`].

mod decode;
mod encode;
mod passthrough;
mod transcode;

use std::time::{Duration, Instant};

use codecs::opus::{self, EncoderSettings};

use crate::format::{Codec, RtpFormat};
use crate::outgoing::Outgoing;
use crate::reorder::Frame;
use crate::timeline::Timeline;
use passthrough::{CopyG711, ForwardOpus};
use transcode::Transcode;

/// The most samples that one gap may be filled with.
pub(crate) const MAX_CONCEALED: usize = opus::MAX_PACKET_SAMPLES;

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    timeline: Timeline,
    /// The most that is made up for one gap, in samples.
    concealment: u64,
    chain: Chain,
    pub(crate) figures: Figures,
}

/// How audio gets from one side to the other.
#[derive(Debug)]
enum Chain {
    /// Different codecs, by way of linear samples.
    Transcode(Box<Transcode>),
    /// G.711 on both sides: octets, at most exchanged for the other law's.
    CopyG711(Box<CopyG711>),
    /// Opus on both sides.
    ForwardOpus(ForwardOpus),
}

/// What a pipe counts, in samples at 8 kHz and packets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) concealed: u64,
    pub(crate) recovered: u64,
    pub(crate) undecodable: u64,
}

impl Pipe {
    /// A pipe from what `from` sends to what `to` wants.
    pub(crate) fn new(
        from: &RtpFormat,
        to: &RtpFormat,
        settings: EncoderSettings,
        concealment: Duration,
    ) -> Result<Self, opus::Error> {
        let chain = match (from.codec.law(), to.codec.law()) {
            (Some(_), Some(law)) => {
                Chain::CopyG711(Box::new(CopyG711::new(law, to.packet_samples())))
            }
            (None, None) => Chain::ForwardOpus(ForwardOpus),
            _ => Chain::Transcode(Box::new(Transcode::new(from.codec, to, settings)?)),
        };
        let concealment = (concealment.as_millis() as u64 * 8).min(MAX_CONCEALED as u64);
        let timeline = Timeline::new(from.codec.units_per_sample());
        Ok(Self {
            timeline,
            concealment,
            chain,
            figures: Figures::default(),
        })
    }

    /// Takes the place of a pipe whose formats have changed: time and figures go on.
    pub(crate) fn replace(&mut self, mut new: Pipe) {
        std::mem::swap(&mut new.timeline, &mut self.timeline);
        new.timeline.restart(self.timeline_units());
        new.figures = self.figures;
        *self = new;
    }

    /// Another source goes on where the last one was.
    pub(crate) fn restart(&mut self) {
        self.timeline.restart(self.timeline_units());
    }

    /// Plays a packet of audio. While `muted` (an event is being sent) its time passes unheard.
    pub(crate) fn play(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        codec: Codec,
        muted: bool,
        out: &mut Outgoing,
    ) {
        let gap = self.timeline.gap(now, frame.timestamp, frame.marker);
        let Some(samples) = self.chain.samples_of(frame, codec) else {
            self.figures.undecodable += 1;
            return;
        };
        let concealed = if muted {
            0
        } else {
            self.concealable(gap, frame, samples)
        };
        let pass = Pass {
            now,
            codec,
            burst: samples,
            first: true,
        };
        self.chain.pause(pass, gap - concealed as u64, out);
        let figures = &mut self.figures;
        match &mut self.chain {
            Chain::Transcode(chain) => {
                chain.play(pass, frame.payload, concealed, muted, out, figures)
            }
            Chain::CopyG711(chain) => {
                chain.play(pass, frame.payload, concealed, muted, out, figures)
            }
            Chain::ForwardOpus(chain) => chain.play(pass, frame, samples, muted, out),
        }
        self.timeline.lay(now, frame.timestamp, samples as u64);
    }

    /// Sends audio of our own, as long as a packet, in place of theirs.
    pub(crate) fn sound(&mut self, now: Instant, pcm: &[i16], out: &mut Outgoing) {
        let pass = Pass {
            now,
            codec: Codec::Pcmu,
            burst: pcm.len(),
            first: true,
        };
        match &mut self.chain {
            Chain::Transcode(chain) => chain.sound(pass, pcm, out),
            Chain::CopyG711(chain) => chain.sound(pass, pcm, out),
            // There is no encoder.
            Chain::ForwardOpus(_) => {}
        }
    }

    /// The loss that Opus should prepare for, in percent.
    pub(crate) fn set_expected_loss(&mut self, percent: u8) {
        if let Chain::Transcode(chain) = &mut self.chain {
            chain.set_expected_loss(percent);
        }
    }

    /// The complexity that Opus is encoded with.
    pub(crate) fn set_complexity(&mut self, complexity: u8) {
        if let Chain::Transcode(chain) = &mut self.chain {
            chain.set_complexity(complexity);
        }
    }

    /// The target that Opus is encoded for, in bit/s.
    pub(crate) fn set_bitrate(&mut self, bitrate: u32) {
        if let Chain::Transcode(chain) = &mut self.chain {
            chain.set_bitrate(bitrate);
        }
    }

    /// How much of a gap is filled: all of a short loss; of a long one what the packet itself brings; none of a pause.
    fn concealable(&self, gap: u64, frame: &Frame<'_>, samples: usize) -> usize {
        if frame.lost == 0 || matches!(self.chain, Chain::ForwardOpus(_)) {
            return 0;
        }
        let fill = if gap <= self.concealment {
            gap as usize
        } else if matches!(self.chain, Chain::Transcode(_)) && opus::has_fec(frame.payload) {
            samples.min(gap as usize)
        } else {
            0
        };
        fill / opus::GRANULE * opus::GRANULE
    }

    fn timeline_units(&self) -> u32 {
        match &self.chain {
            Chain::Transcode(chain) => chain.input().units_per_sample(),
            Chain::CopyG711(_) => Codec::Pcmu.units_per_sample(),
            Chain::ForwardOpus(_) => Codec::Opus.units_per_sample(),
        }
    }
}

/// What all packets made of one have in common.
#[derive(Debug, Clone, Copy)]
struct Pass {
    now: Instant,
    /// The codec of the packet that came.
    codec: Codec,
    /// Its samples.
    burst: usize,
    /// Nothing was sent because of it yet.
    first: bool,
}

impl Chain {
    /// The samples of a packet, or `None` if it is not audio that this chain reads.
    fn samples_of(&self, frame: &Frame<'_>, codec: Codec) -> Option<usize> {
        let samples = match codec {
            Codec::Opus => opus::packet_samples(frame.payload)?,
            Codec::Pcmu | Codec::Pcma => frame.payload.len(),
        };
        let takes = match self {
            Chain::Transcode(chain) => (chain.input() == Codec::Opus) == (codec == Codec::Opus),
            Chain::CopyG711(_) => codec != Codec::Opus,
            Chain::ForwardOpus(_) => codec == Codec::Opus,
        };
        (takes && (1..=opus::MAX_PACKET_SAMPLES).contains(&samples)).then_some(samples)
    }

    fn pause(&mut self, pass: Pass, samples: u64, out: &mut Outgoing) {
        match self {
            Chain::Transcode(chain) => chain.pause(pass, samples, out),
            Chain::CopyG711(chain) => chain.pause(pass, samples, out),
            Chain::ForwardOpus(_) => out.skip(pass.now, samples),
        }
    }
}
