//! 8 kHz linear to our audio.

use codecs::g711::{self, Law};
use codecs::opus::{self, EncoderSettings};

use crate::format::Codec;

/// The longest packet an encoder makes: Opus' largest frame (RFC 6716 §3.2.1) and its table of contents.
pub(super) const MAX_ENCODED: usize = 1276;

#[derive(Debug)]
pub(super) enum Encode {
    Opus(Box<opus::Encoder>),
    G711(Law),
}

impl Encode {
    pub(super) fn new(codec: Codec, settings: EncoderSettings) -> Result<Self, opus::Error> {
        Ok(match codec.law() {
            None => Encode::Opus(Box::new(opus::Encoder::new(settings)?)),
            Some(law) => Encode::G711(law),
        })
    }

    /// Encodes one frame; `None` when nothing need be sent for it (DTX).
    pub(super) fn encode<'a>(
        &mut self,
        pcm: &[i16],
        packet: &'a mut [u8; MAX_ENCODED],
    ) -> Option<&'a [u8]> {
        let len = match self {
            // libopus says with one or two octets that the frame need not be sent.
            Encode::Opus(encoder) => encoder.encode(pcm, packet).ok().filter(|len| *len > 2)?,
            Encode::G711(law) => {
                g711::encode_into(*law, pcm, packet);
                pcm.len()
            }
        };
        packet.get(..len)
    }
}
