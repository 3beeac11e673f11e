//! Opus (RFC 6716) at 8 or 16 kHz mono, by libopus.
//!
//! libopus resamples inside its own band splitting: asking it for 8 kHz costs less than decoding at 48 kHz and
//! resampling. The RTP clock of Opus is 48 kHz whatever is inside (RFC 7587 §4.1); durations here are counted in samples
//! at 8 kHz.

mod decoder;
mod encoder;
mod fullband;
mod packet;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::{Encoder, EncoderSettings};
pub use fullband::FullbandEncoder;
pub use packet::{has_fec, packet_samples};

/// The longest audio one Opus packet may hold (RFC 6716 §3.2.5: 120 ms), in samples at 8 kHz.
pub const MAX_PACKET_SAMPLES: usize = 960;

/// The finest duration Opus knows (2.5 ms), in samples at 8 kHz; every duration is a multiple of it.
pub const GRANULE: usize = 20;

/// What libopus refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The packet is not valid Opus (RFC 6716 §3.4). The peer's fault.
    #[error("not a valid Opus packet")]
    InvalidPacket,
    /// The buffer is shorter than the audio of the packet.
    #[error("a buffer of {0} samples is too short")]
    BufferTooSmall(usize),
    /// Opus has no frame of that many samples (at 8 kHz: 20, 40, 80, 160, 320, 480, 640, 800, 960).
    #[error("Opus has no duration of {0} samples")]
    InvalidDuration(usize),
    /// A setting that libopus does not take, or its own failure.
    #[error("libopus: {0}")]
    Library(&'static str),
}

impl Error {
    fn from_library(code: opusic_c::ErrorCode, buffer: usize) -> Self {
        match code {
            opusic_c::ErrorCode::InvalidPacket => Error::InvalidPacket,
            opusic_c::ErrorCode::BufferTooSmall => Error::BufferTooSmall(buffer),
            other => Error::Library(other.message()),
        }
    }
}
