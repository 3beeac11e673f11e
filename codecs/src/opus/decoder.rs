//! Opus packets to 8 kHz mono.

use opusic_c::{Channels, SampleRate};

use super::{Error, GRANULE, MAX_PACKET_SAMPLES, packet_samples};

/// One stream's decoder. Allocates when made, never after.
pub struct Decoder {
    library: opusic_c::Decoder,
    // The binding takes u16; the copy costs a thousandth of the decoding and keeps us free of unsafe.
    scratch: [u16; MAX_PACKET_SAMPLES],
}

impl Decoder {
    /// A decoder to 8 kHz mono. Fails only for want of memory.
    pub fn new() -> Result<Self, Error> {
        let library = opusic_c::Decoder::new(Channels::Mono, SampleRate::Hz8000)
            .map_err(|code| Error::from_library(code, 0))?;
        Ok(Self {
            library,
            scratch: [0; MAX_PACKET_SAMPLES],
        })
    }

    /// Decodes a packet of any duration, bandwidth and channel count to the front of `pcm`; says how many samples.
    /// Stereo is mixed down. On error the decoder is as before, and `pcm` untouched.
    pub fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        let samples = packet_samples(packet).ok_or(Error::InvalidPacket)?;
        self.run(packet, samples, pcm, false)
    }

    /// Rebuilds the `pcm.len()` samples just before `packet` from what `packet` carries of them (in-band FEC), and
    /// whatever it does not carry by concealment. Call it before [`Decoder::decode`] of the same packet.
    /// The length is a multiple of [`GRANULE`], at most [`MAX_PACKET_SAMPLES`].
    pub fn decode_fec(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        packet_samples(packet).ok_or(Error::InvalidPacket)?;
        check_duration(pcm.len())?;
        self.run(packet, pcm.len(), pcm, true)
    }

    /// Conceals `samples` lost samples (a multiple of [`GRANULE`], at most [`MAX_PACKET_SAMPLES`]).
    pub fn conceal(&mut self, samples: usize, pcm: &mut [i16]) -> Result<usize, Error> {
        check_duration(samples)?;
        self.run(&[], samples, pcm, false)
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
        let scratch = self.scratch.get_mut(..samples).ok_or(too_small)?;
        let decoded = self
            .library
            .decode_to_slice(packet, scratch, fec)
            .map_err(|code| Error::from_library(code, samples))?
            .min(samples);
        for (to, from) in pcm.iter_mut().zip(&scratch[..decoded]) {
            *to = *from as i16;
        }
        Ok(decoded)
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
