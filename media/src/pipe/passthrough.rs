//! The same kind of codec on both sides: what came goes on, untouched where it can.

use codecs::conceal::Concealer;
use codecs::g711::{self, Law};

use super::{Figures, MAX_CONCEALED, Pass};
use crate::format::Codec;
use crate::level::Level;
use crate::outgoing::{Audio, Outgoing};
use crate::playout::Frame;

/// The longest frame of ours: 60 ms.
const MAX_FRAME: usize = 480;

/// G.711 to G.711: octets are copied, or exchanged for the other law's. They are decoded only to know what to make up
/// when some are lost.
#[derive(Debug)]
pub(super) struct CopyG711 {
    law: Law,
    /// That of the last packet.
    heard: Law,
    concealer: Box<Concealer>,
    frame: [u8; MAX_FRAME],
    filled: usize,
    size: usize,
}

impl CopyG711 {
    pub(super) fn new(law: Law, size: usize) -> Self {
        Self {
            law,
            heard: law,
            concealer: Box::new(Concealer::new()),
            frame: [0; MAX_FRAME],
            filled: 0,
            size,
        }
    }

    pub(super) fn play(
        &mut self,
        mut pass: Pass,
        codec: Codec,
        payload: &[u8],
        muted: bool,
        out: &mut Outgoing,
        level: &mut Level,
    ) {
        let Some(law) = codec.law() else {
            return;
        };
        self.heard = law;
        let mut pcm = [0; MAX_CONCEALED];
        let mut octets = [0; MAX_CONCEALED];
        let audio = &mut pcm[..payload.len().min(MAX_CONCEALED)];
        g711::decode_into(law, payload, audio);
        level.hear(audio);
        let changed = self.concealer.receive(audio);
        let octets = &mut octets[..audio.len()];
        if changed {
            g711::encode_into(self.law, audio, octets);
        } else {
            g711::transcode(law, self.law, payload, octets);
        }
        if muted {
            self.pause(pass, octets.len() as u64, out);
        } else {
            self.write(&mut pass, octets, out);
        }
    }

    /// Audio of our own.
    pub(super) fn sound(&mut self, mut pass: Pass, pcm: &[i16], out: &mut Outgoing) {
        let mut octets = [0; MAX_CONCEALED];
        let octets = &mut octets[..pcm.len().min(MAX_CONCEALED)];
        g711::encode_into(self.law, pcm, octets);
        self.write(&mut pass, octets, out);
    }

    /// Makes up audio that was lost.
    pub(super) fn make_up(
        &mut self,
        mut pass: Pass,
        successor: Option<&[u8]>,
        out: &mut Outgoing,
        figures: &mut Figures,
    ) {
        let (mut pcm, mut octets) = ([0; MAX_CONCEALED], [0; MAX_CONCEALED]);
        let lost = &mut pcm[..pass.burst];
        self.concealer.make_up(successor, self.heard, lost);
        figures.concealed += lost.len() as u64;
        let octets = &mut octets[..lost.len()];
        g711::encode_into(self.law, lost, octets);
        self.write(&mut pass, octets, out);
    }

    pub(super) fn pause(&mut self, mut pass: Pass, samples: u64, out: &mut Outgoing) {
        let mut rest = samples;
        if self.filled > 0 && rest > 0 {
            let padding =
                (self.size - self.filled).min(usize::try_from(rest).unwrap_or(usize::MAX));
            let silence = [self.law.silence(); MAX_FRAME];
            self.write(&mut pass, &silence[..padding], out);
            rest -= padding as u64;
        }
        out.skip(pass.now, rest);
    }

    fn write(&mut self, pass: &mut Pass, mut octets: &[u8], out: &mut Outgoing) {
        while !octets.is_empty() {
            if self.filled == 0 && octets.len() >= self.size {
                let (whole, later) = octets.split_at(self.size);
                octets = later;
                send(pass, whole, out);
                continue;
            }
            let (now, later) = octets.split_at(octets.len().min(self.size - self.filled));
            self.frame[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            octets = later;
            if self.filled == self.size {
                self.filled = 0;
                send(pass, &self.frame[..self.size], out);
            }
        }
    }
}

fn send(pass: &mut Pass, octets: &[u8], out: &mut Outgoing) {
    let first = std::mem::take(&mut pass.first);
    out.audio(
        pass.now,
        Audio {
            payload: octets,
            samples: octets.len(),
            burst: pass.burst,
            first,
        },
    );
}

/// Opus to Opus: packets go on as they are. A lost one stays lost, so that the far decoder can use its own FEC.
#[derive(Debug)]
pub(super) struct ForwardOpus;

impl ForwardOpus {
    pub(super) fn play(&mut self, pass: Pass, frame: &Frame<'_>, muted: bool, out: &mut Outgoing) {
        let samples = pass.burst;
        if muted {
            out.skip(pass.now, samples as u64);
        } else {
            out.lose(frame.lost);
            out.audio(
                pass.now,
                Audio {
                    payload: frame.payload,
                    samples,
                    burst: samples,
                    first: true,
                },
            );
        }
    }
}
