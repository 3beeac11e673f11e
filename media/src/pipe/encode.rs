//! Linear to our audio.

use codecs::Bandwidth;
use codecs::g711::{self, Law};
use codecs::g722;
use codecs::opus::{self, EncoderSettings};

use crate::format::Codec;

/// The longest packet an encoder makes: Opus' largest frame (RFC 6716 §3.2.1) and its table of contents.
pub(super) const MAX_ENCODED: usize = 1276;

#[derive(Debug)]
pub(super) enum Encode {
    Opus(Box<opus::Encoder>),
    G711(Law),
    /// With the bandwidth of what comes in.
    G722(Box<g722::Encoder>, Bandwidth),
}

impl Encode {
    pub(super) fn new(
        codec: Codec,
        settings: EncoderSettings,
        bandwidth: Bandwidth,
    ) -> Result<Self, opus::Error> {
        let settings = EncoderSettings {
            bandwidth,
            ..settings
        };
        Ok(match codec {
            Codec::Opus => Encode::Opus(Box::new(opus::Encoder::new(settings)?)),
            Codec::Pcmu => Encode::G711(Law::Mu),
            Codec::Pcma => Encode::G711(Law::A),
            Codec::G722 => Encode::G722(Box::default(), bandwidth),
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
            Encode::G722(encoder, Bandwidth::Narrow) => {
                encoder.encode_narrow(pcm, packet);
                pcm.len()
            }
            Encode::G722(encoder, Bandwidth::Wide) => {
                encoder.encode(pcm, packet);
                pcm.len() / 2
            }
        };
        packet.get(..len)
    }
}
