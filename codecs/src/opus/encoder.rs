//! Mono audio at 8 or 16 kHz to Opus packets.

use bytemuck::cast_slice;
use opusic_c::{Application, Bitrate, Channels, InbandFec, SampleRate, Signal};

use super::Error;
use crate::Bandwidth;

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Target in bit/s, 6000 to 510000.
    pub bitrate: u32,
    /// 0 (cheapest) to 10.
    pub complexity: u8,
    /// Whether a packet may carry the one before it again. libopus does so only when `expected_loss` is above zero
    /// and the bit rate has room.
    pub fec: bool,
    /// Whether silence is left out (RFC 6716 §2.1.9).
    pub dtx: bool,
    /// The loss to prepare for, in percent, 0 to 100.
    pub expected_loss: u8,
    /// What is encoded.
    pub bandwidth: Bandwidth,
}

impl Default for EncoderSettings {
    /// 32 kbit/s at complexity 0: hears like 24 kbit/s at 5 for less than half of the cycles. FEC is allowed, and
    /// spent once loss is expected.
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            complexity: 0,
            fec: true,
            dtx: false,
            expected_loss: 0,
            bandwidth: Bandwidth::Narrow,
        }
    }
}

/// One stream's encoder. Allocates when made, never after.
pub struct Encoder {
    library: opusic_c::Encoder,
    bandwidth: Bandwidth,
}

impl Encoder {
    /// An encoder of mono speech. Fails for settings out of range.
    pub fn new(settings: EncoderSettings) -> Result<Self, Error> {
        let library = build(settings).map_err(|code| Error::from_library(code, 0))?;
        Ok(Self {
            library,
            bandwidth: settings.bandwidth,
        })
    }

    /// Encodes all of `pcm` (as long as 20, 40, 80, 160, 320, 480, 640, 800 or 960 samples at 8 kHz) to the front of
    /// `packet`; says how many octets. With DTX, one or two octets mean that nothing need be sent.
    pub fn encode(&mut self, pcm: &[i16], packet: &mut [u8]) -> Result<usize, Error> {
        let samples = pcm.len() / self.bandwidth.scale();
        if !matches!(samples, 20 | 40 | 80 | 160 | 320 | 480 | 640 | 800 | 960) {
            return Err(Error::InvalidDuration(samples));
        }
        let room = packet.len();
        // The binding takes samples as u16.
        self.library
            .encode_to_slice(cast_slice(pcm), packet)
            .map_err(|code| Error::from_library(code, room))
    }

    /// Prepares for another rate of loss, in percent (capped at 100). Zero leaves FEC out.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), Error> {
        self.library
            .set_packet_loss(percent.min(100))
            .map_err(|code| Error::from_library(code, 0))
    }

    /// Another complexity, 0 (cheapest) to 10 (capped), from the next frame on.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), Error> {
        self.library
            .set_complexity(complexity.min(10))
            .map_err(|code| Error::from_library(code, 0))
    }

    /// Another target in bit/s, 6000 to 510000, from the next frame on.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error> {
        self.library
            .set_bitrate(Bitrate::Value(bitrate))
            .map_err(|code| Error::from_library(code, 0))
    }
}

fn build(settings: EncoderSettings) -> Result<opusic_c::Encoder, opusic_c::ErrorCode> {
    let (rate, bandwidth) = match settings.bandwidth {
        Bandwidth::Narrow => (SampleRate::Hz8000, opusic_c::Bandwidth::Narrow),
        Bandwidth::Wide => (SampleRate::Hz16000, opusic_c::Bandwidth::Wide),
    };
    let mut library = opusic_c::Encoder::new(Channels::Mono, rate, Application::Voip)?;
    library.set_bitrate(Bitrate::Value(settings.bitrate))?;
    library.set_complexity(settings.complexity)?;
    library.set_signal(Signal::Voice)?;
    library.set_max_bandwidth(bandwidth)?;
    library.set_inband_fec(if settings.fec {
        InbandFec::Mode1
    } else {
        InbandFec::Off
    })?;
    library.set_packet_loss(settings.expected_loss.min(100))?;
    library.set_dtx(settings.dtx)?;
    Ok(library)
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("opus::Encoder").finish_non_exhaustive()
    }
}
