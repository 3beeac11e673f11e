//! Opus packets to mono audio at 8 or 16 kHz.

use bytemuck::cast_slice_mut;
use opusic_c::{Channels, SampleRate};

use super::{Error, GRANULE, MAX_PACKET_SAMPLES, packet_samples};
use crate::Bandwidth;

/// One stream's decoder. Allocates when made, never after.
pub struct Decoder {
    library: opusic_c::Decoder,
    bandwidth: Bandwidth,
}

impl Decoder {
    /// A decoder to mono audio of that bandwidth. Fails only for want of memory.
    pub fn new(bandwidth: Bandwidth) -> Result<Self, Error> {
        let rate = match bandwidth {
            Bandwidth::Narrow => SampleRate::Hz8000,
            Bandwidth::Wide => SampleRate::Hz16000,
        };
        let library = opusic_c::Decoder::new(Channels::Mono, rate)
            .map_err(|code| Error::from_library(code, 0))?;
        Ok(Self { library, bandwidth })
    }

    /// Decodes a packet of any duration, bandwidth and channel count to the front of `pcm`; says how many samples.
    /// Stereo is mixed down. On error the decoder is as before, and `pcm` untouched.
    pub fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        let samples = packet_samples(packet).ok_or(Error::InvalidPacket)?;
        self.run(packet, samples * self.bandwidth.scale(), pcm, false)
    }

    /// Rebuilds the `pcm.len()` samples just before `packet` from what `packet` carries of them (in-band FEC), and
    /// whatever it does not carry by concealment. Call it before [`Decoder::decode`] of the same packet.
    /// At 8 kHz the length is a multiple of [`GRANULE`], at most [`MAX_PACKET_SAMPLES`].
    pub fn decode_fec(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        packet_samples(packet).ok_or(Error::InvalidPacket)?;
        check_duration(pcm.len() / self.bandwidth.scale())?;
        self.run(packet, pcm.len(), pcm, true)
    }

    /// Conceals `samples` lost samples (counted at 8 kHz; a multiple of [`GRANULE`], at most [`MAX_PACKET_SAMPLES`]).
    pub fn conceal(&mut self, samples: usize, pcm: &mut [i16]) -> Result<usize, Error> {
        check_duration(samples)?;
        self.run(&[], samples * self.bandwidth.scale(), pcm, false)
    }

    /// Forgets the stream, as for a new source.
    pub fn reset(&mut self) {
        // Resetting cannot fail on a decoder that exists; if it did, the old state only fades out.
        let _ = self.library.reset();
    }

    fn run(
        &mut self,
        packet: &[u8],
        samples: usize,
        pcm: &mut [i16],
        fec: bool,
    ) -> Result<usize, Error> {
        let too_small = Error::BufferTooSmall(pcm.len());
        let pcm = pcm.get_mut(..samples).ok_or(too_small)?;
        // The binding takes samples as u16.
        let decoded = self
            .library
            .decode_to_slice(packet, cast_slice_mut(pcm), fec)
            .map_err(|code| Error::from_library(code, samples))?;
        Ok(decoded.min(samples))
    }
}

fn check_duration(samples: usize) -> Result<(), Error> {
    if samples == 0 || samples > MAX_PACKET_SAMPLES || !samples.is_multiple_of(GRANULE) {
        return Err(Error::InvalidDuration(samples));
    }
    Ok(())
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("opus::Decoder").finish_non_exhaustive()
    }
}
