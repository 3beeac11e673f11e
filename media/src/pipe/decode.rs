//! Their audio to linear, and what was lost of it made up.

use codecs::Bandwidth;
use codecs::conceal::Concealer;
use codecs::g711::{self, Law};
use codecs::{g722, opus};

use super::{Figures, MAX_CONCEALED};
use crate::format::Codec;

/// A decoder and its way of concealing.
#[derive(Debug)]
pub(super) enum Decode {
    Opus(Box<opus::Decoder>),
    /// With the law of the last packet.
    G711(Box<Concealer>, Law),
    G722(Box<G722>),
}

/// G.722: what is lost is made up in the low band, where the voice is; the high band pauses.
#[derive(Debug)]
pub(super) struct G722 {
    decoder: g722::Decoder,
    concealer: Concealer,
    /// Where wideband is wanted.
    joint: Option<g722::Joint>,
}

impl Decode {
    pub(super) fn new(codec: Codec, bandwidth: Bandwidth) -> Result<Self, opus::Error> {
        Ok(match codec {
            Codec::Opus => Decode::Opus(Box::new(opus::Decoder::new(bandwidth)?)),
            Codec::Pcmu => Decode::G711(Box::new(Concealer::new()), Law::Mu),
            Codec::Pcma => Decode::G711(Box::new(Concealer::new()), Law::A),
            Codec::G722 => Decode::G722(Box::new(G722 {
                decoder: g722::Decoder::new(),
                concealer: Concealer::new(),
                joint: (bandwidth == Bandwidth::Wide).then(g722::Joint::default),
            })),
        })
    }

    /// Makes up `pcm`, audio of `samples` at 8 kHz that was lost, right before `successor` if that is here.
    pub(super) fn fill(
        &mut self,
        successor: Option<&[u8]>,
        samples: usize,
        pcm: &mut [i16],
        figures: &mut Figures,
    ) {
        debug_assert!(samples <= MAX_CONCEALED);
        figures.concealed += samples as u64;
        let decoder = match self {
            Decode::Opus(decoder) => decoder,
            Decode::G711(concealer, law) => return concealer.make_up(successor, *law, pcm),
            Decode::G722(codec) => return codec.conceal(samples, pcm),
        };
        let filled = match successor {
            Some(packet) => decoder.decode_fec(packet, pcm),
            None => decoder.conceal(samples, pcm),
        };
        if filled.is_err() {
            pcm.fill(0);
        }
        if let Some(packet) = successor.filter(|packet| opus::has_fec(packet)) {
            let covered = opus::packet_samples(packet).unwrap_or(0);
            figures.recovered += samples.min(covered) as u64;
        }
    }

    /// Decodes a packet of `samples` at 8 kHz to `pcm`, as long as its audio. What cannot be decoded is concealed.
    pub(super) fn decode(
        &mut self,
        codec: Codec,
        packet: &[u8],
        samples: usize,
        pcm: &mut [i16],
        figures: &mut Figures,
    ) {
        match (self, codec.law()) {
            (Decode::Opus(decoder), None) => {
                if decoder.decode(packet, pcm).is_err() {
                    figures.undecodable += 1;
                    if decoder.conceal(samples, pcm).is_err() {
                        pcm.fill(0);
                    }
                }
            }
            (Decode::G711(concealer, before), Some(law)) => {
                *before = law;
                g711::decode_into(law, packet, pcm);
                concealer.receive(pcm);
            }
            (Decode::G722(codec), None) => codec.decode(packet, pcm),
            _ => pcm.fill(0),
        }
    }
}

impl G722 {
    fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) {
        let Some(joint) = &mut self.joint else {
            self.decoder.decode_narrow(packet, pcm);
            self.concealer.receive(pcm);
            return;
        };
        let (mut low, mut high) = ([0; MAX_CONCEALED], [0; MAX_CONCEALED]);
        let len = packet.len().min(MAX_CONCEALED);
        let low = &mut low[..len];
        self.decoder.decode_bands(packet, low, &mut high);
        self.concealer.receive(low);
        joint.join(low, &high, pcm);
    }

    fn conceal(&mut self, samples: usize, pcm: &mut [i16]) {
        let Some(joint) = &mut self.joint else {
            return self.concealer.conceal(pcm);
        };
        let mut low = [0; MAX_CONCEALED];
        let low = &mut low[..samples.min(MAX_CONCEALED)];
        self.concealer.conceal(low);
        joint.join(low, &[], pcm);
    }
}
