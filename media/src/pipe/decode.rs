//! Their audio to 8 kHz linear, and what was lost of it made up.

use codecs::conceal::Concealer;
use codecs::g711::{self, Law};
use codecs::opus;

use super::{Figures, MAX_CONCEALED};
use crate::format::Codec;

/// A decoder and its way of concealing.
#[derive(Debug)]
pub(super) enum Decode {
    Opus(Box<opus::Decoder>),
    /// With the law of the last packet.
    G711(Box<Concealer>, Law),
}

impl Decode {
    pub(super) fn new(codec: Codec) -> Result<Self, opus::Error> {
        Ok(match codec.law() {
            None => Decode::Opus(Box::new(opus::Decoder::new()?)),
            Some(law) => Decode::G711(Box::new(Concealer::new()), law),
        })
    }

    /// Makes up `pcm`, audio that was lost, right before `successor` if that is here.
    pub(super) fn fill(
        &mut self,
        successor: Option<&[u8]>,
        pcm: &mut [i16],
        figures: &mut Figures,
    ) {
        debug_assert!(pcm.len() <= MAX_CONCEALED);
        figures.concealed += pcm.len() as u64;
        let decoder = match self {
            Decode::Opus(decoder) => decoder,
            Decode::G711(concealer, law) => return concealer.make_up(successor, *law, pcm),
        };
        let filled = match successor {
            Some(packet) => decoder.decode_fec(packet, pcm),
            None => decoder.conceal(pcm.len(), pcm),
        };
        if filled.is_err() {
            pcm.fill(0);
        }
        if let Some(packet) = successor.filter(|packet| opus::has_fec(packet)) {
            let covered = opus::packet_samples(packet).unwrap_or(0);
            figures.recovered += pcm.len().min(covered) as u64;
        }
    }

    /// Decodes a packet to `pcm`, as long as its audio. What cannot be decoded is concealed.
    pub(super) fn decode(
        &mut self,
        codec: Codec,
        packet: &[u8],
        pcm: &mut [i16],
        figures: &mut Figures,
    ) {
        match (self, codec.law()) {
            (Decode::Opus(decoder), None) => {
                if decoder.decode(packet, pcm).is_err() {
                    figures.undecodable += 1;
                    if decoder.conceal(pcm.len(), pcm).is_err() {
                        pcm.fill(0);
                    }
                }
            }
            (Decode::G711(concealer, before), Some(law)) => {
                *before = law;
                g711::decode_into(law, packet, pcm);
                concealer.receive(pcm);
            }
            _ => pcm.fill(0),
        }
    }
}
