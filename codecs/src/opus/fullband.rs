//! 48 kHz mono to Opus packets: what a browser sends that was not told what a telephone can use. The gateway itself
//! never encodes so; load callers do.

use opusic_c::{Application, Bandwidth, Bitrate, Channels, InbandFec, SampleRate};

use super::Error;

/// One stream's encoder.
pub struct FullbandEncoder {
    library: opusic_c::Encoder,
    scratch: [u16; Self::FRAME],
}

impl FullbandEncoder {
    /// Of what it encodes, in Hz.
    pub const SAMPLE_RATE: u32 = 48_000;
    /// Samples in 20 ms.
    pub const FRAME: usize = 960;

    /// An encoder of speech at so many bit/s, with FEC, that uses the whole band whatever is in it. Fails for settings out of range.
    pub fn new(bitrate: u32, complexity: u8) -> Result<Self, Error> {
        let build = || {
            let mut library =
                opusic_c::Encoder::new(Channels::Mono, SampleRate::Hz48000, Application::Voip)?;
            library.set_bitrate(Bitrate::Value(bitrate))?;
            library.set_bandwidth(Bandwidth::Full)?;
            library.set_complexity(complexity)?;
            library.set_inband_fec(InbandFec::Mode1)?;
            Ok(library)
        };
        let library = build().map_err(|code| Error::from_library(code, 0))?;
        Ok(Self {
            library,
            scratch: [0; Self::FRAME],
        })
    }

    /// Encodes 20 ms to the front of `packet`; says how many octets.
    pub fn encode(&mut self, pcm: &[i16], packet: &mut [u8]) -> Result<usize, Error> {
        if pcm.len() != Self::FRAME {
            return Err(Error::InvalidDuration(pcm.len()));
        }
        for (to, from) in self.scratch.iter_mut().zip(pcm) {
            *to = *from as u16;
        }
        let room = packet.len();
        self.library
            .encode_to_slice(&self.scratch, packet)
            .map_err(|code| Error::from_library(code, room))
    }
}

impl std::fmt::Debug for FullbandEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("opus::FullbandEncoder")
            .finish_non_exhaustive()
    }
}
