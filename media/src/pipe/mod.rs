//! One direction of a call: their packets in, ours out.
//!
//! ```text
//! Turn: packet, loss, pause ─▶ decode (FEC, conceal) ─▶ frames of our ptime ─▶ encode ─▶ Outgoing
//! ```
//! With the same family of codec on both sides the middle is shorter: see [`passthrough`].

mod decode;
mod encode;
mod passthrough;
mod quiet;
mod transcode;

use std::time::Instant;

use codecs::g711::Law;
use codecs::opus::{self, EncoderSettings};

use crate::format::{Codec, RtpFormat};
use crate::level::Level;
use crate::outgoing::Outgoing;
use crate::playout::{Frame, Style};
use passthrough::{CopyG711, ForwardOpus};
use quiet::Background;
use transcode::Transcode;

/// The most samples that are made up in a row.
pub(crate) const MAX_CONCEALED: usize = opus::MAX_PACKET_SAMPLES;

/// An Opus packet of no more octets holds no voice: digital silence takes three to five, a pause one or two.
const SILENT_OPUS: usize = 8;

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    chain: Chain,
    background: Background,
    /// The payload type of comfort noise that they understand.
    comfort_noise: Option<u8>,
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
    /// How loud the audio was that came.
    pub(crate) level: Level,
}

impl Pipe {
    /// A pipe from what `from` sends to what `to` wants.
    pub(crate) fn new(
        from: &RtpFormat,
        to: &RtpFormat,
        settings: EncoderSettings,
        dtx: bool,
    ) -> Result<Self, opus::Error> {
        let chain = match (from.codec, to.codec) {
            (Codec::Opus, Codec::Opus) => Chain::ForwardOpus(ForwardOpus),
            (Codec::Pcmu | Codec::Pcma, Codec::Pcmu) => {
                Chain::CopyG711(Box::new(CopyG711::new(Law::Mu, to.packet_samples())))
            }
            (Codec::Pcmu | Codec::Pcma, Codec::Pcma) => {
                Chain::CopyG711(Box::new(CopyG711::new(Law::A, to.packet_samples())))
            }
            _ => Chain::Transcode(Box::new(Transcode::new(from.codec, to, settings, dtx)?)),
        };
        Ok(Self {
            chain,
            background: Background::default(),
            // RFC 3389 is for codecs without a way of their own.
            comfort_noise: to.comfort_noise.filter(|_| to.codec != Codec::Opus),
            figures: Figures::default(),
        })
    }

    /// Takes the place of a pipe whose formats have changed: the figures go on.
    pub(crate) fn replace(&mut self, mut new: Pipe) {
        new.figures = self.figures;
        *self = new;
    }

    /// How its input is to be played.
    pub(crate) fn style(&self) -> Style {
        match self.chain {
            Chain::ForwardOpus(_) => Style::Forward,
            Chain::Transcode(_) | Chain::CopyG711(_) => Style::Conceal { fill: true },
        }
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
        let samples = codec.samples_of(frame.payload);
        let Some(samples) = samples.filter(|_| self.chain.takes(codec)) else {
            self.figures.undecodable += 1;
            return;
        };
        let pass = Pass::new(now, samples);
        self.chain.pause(pass, frame.gap, out);
        if codec != Codec::Opus || frame.payload.len() > 2 {
            self.background.end();
        }
        let figures = &mut self.figures;
        match &mut self.chain {
            Chain::Transcode(chain) => chain.play(pass, codec, frame.payload, muted, out, figures),
            Chain::CopyG711(chain) => {
                chain.play(pass, codec, frame.payload, muted, out, &mut figures.level);
            }
            Chain::ForwardOpus(chain) => {
                if frame.payload.len() > SILENT_OPUS {
                    figures.level.pass();
                }
                chain.play(pass, frame, muted, out);
            }
        }
    }

    /// Makes up `samples` that were lost, after a pause of `gap` samples. The packet behind them may hold them again.
    pub(crate) fn make_up(
        &mut self,
        now: Instant,
        gap: u64,
        samples: usize,
        successor: Option<&[u8]>,
        muted: bool,
        out: &mut Outgoing,
    ) {
        let samples = samples.min(MAX_CONCEALED);
        let pass = Pass::new(now, samples);
        self.chain.pause(pass, gap, out);
        let figures = &mut self.figures;
        if muted {
            return self.chain.pause(pass, samples as u64, out);
        }
        match &mut self.chain {
            Chain::Transcode(chain) => chain.make_up(pass, successor, out, figures),
            Chain::CopyG711(chain) => chain.make_up(pass, successor, out, figures),
            Chain::ForwardOpus(_) => out.skip(now, samples as u64),
        }
    }

    /// Takes comfort noise (RFC 3389): how the pause sounds that begins or goes on.
    pub(crate) fn comfort_noise(&mut self, payload: &[u8]) {
        self.background.hear(payload);
    }

    /// Plays `samples` of a pause that the sender told of: as comfort noise where they understand it, else as noise.
    pub(crate) fn quiet(&mut self, now: Instant, samples: usize, muted: bool, out: &mut Outgoing) {
        let samples = samples.min(MAX_CONCEALED);
        let pass = Pass::new(now, samples);
        if let Chain::Transcode(chain) = &self.chain {
            self.background.measure(chain.heard());
        }
        if muted {
            return self.chain.pause(pass, samples as u64, out);
        }
        if let Some(payload_type) = self.comfort_noise {
            let payload = self.background.tell(samples as u64);
            if let Some(payload) = payload {
                out.comfort_noise(now, payload_type, &payload);
            }
            return self.chain.pause(pass, samples as u64, out);
        }
        let mut pcm = [0; MAX_CONCEALED];
        let noise = &mut pcm[..samples];
        self.background.fill(noise);
        match &mut self.chain {
            Chain::Transcode(chain) => chain.noise(pass, noise, out),
            Chain::CopyG711(chain) => chain.sound(pass, noise, out),
            Chain::ForwardOpus(_) => out.skip(now, samples as u64),
        }
    }

    /// Sends audio of our own, as long as a packet, in place of theirs.
    pub(crate) fn sound(&mut self, now: Instant, pcm: &[i16], out: &mut Outgoing) {
        let pass = Pass::new(now, pcm.len());
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

    /// Whether what is lost of our stream can be rebuilt from the next packet.
    pub(crate) fn has_fec(&self) -> bool {
        matches!(&self.chain, Chain::Transcode(chain) if chain.has_fec())
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
}

/// What all packets made of one have in common.
#[derive(Debug, Clone, Copy)]
struct Pass {
    now: Instant,
    /// Its samples, or those made up for one.
    burst: usize,
    /// Nothing was sent because of it yet.
    first: bool,
}

impl Pass {
    fn new(now: Instant, burst: usize) -> Self {
        Self {
            now,
            burst,
            first: true,
        }
    }
}

impl Chain {
    /// Whether it reads that codec.
    fn takes(&self, codec: Codec) -> bool {
        match self {
            Chain::Transcode(chain) => chain.input().is_family_of(codec),
            Chain::CopyG711(_) => codec.law().is_some(),
            Chain::ForwardOpus(_) => codec == Codec::Opus,
        }
    }

    fn pause(&mut self, pass: Pass, samples: u64, out: &mut Outgoing) {
        match self {
            Chain::Transcode(chain) => chain.pause(pass, samples, out),
            Chain::CopyG711(chain) => chain.pause(pass, samples, out),
            Chain::ForwardOpus(_) => out.skip(pass.now, samples),
        }
    }
}
