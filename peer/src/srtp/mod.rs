//! SRTP and SRTCP (RFC 3711, RFC 7714), in place.
//!
//! A [`Context`] is one direction of one session: a sender's or a receiver's. It keeps the rollover
//! counter and a replay window for each SSRC, for a bounded number of SSRCs, and changes them only
//! after a packet has been authenticated.

mod cipher;
mod derive;
mod header;
mod window;

#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod tests;

use cipher::Cipher;
use window::{Slot, Streams, estimate};

/// The protection profiles of DTLS-SRTP that are spoken here (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// SRTP_AES128_CM_HMAC_SHA1_80, RFC 3711.
    Aes128CmSha1_80,
    /// SRTP_AEAD_AES_128_GCM, RFC 7714.
    AeadAes128Gcm,
    /// SRTP_AEAD_AES_256_GCM, RFC 7714.
    AeadAes256Gcm,
}

impl Profile {
    /// Length of the master key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt in bytes.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Bytes that protection adds to an RTP packet.
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes that protection adds to an RTCP packet: the tag and the index word.
    pub const fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + INDEX_WORD
    }

    /// The name registered for DTLS-SRTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The most bytes that protection adds to any packet, whatever the profile.
pub const MAX_OVERHEAD: usize = Profile::AeadAes256Gcm.rtcp_overhead();

/// The most SSRCs that one context follows, RTP and RTCP apart.
pub const MAX_STREAMS: usize = 64;

const INDEX_WORD: usize = 4;
/// RTCP's header and SSRC, which stay in the clear (RFC 3711 §3.4).
const RTCP_CLEAR: usize = 8;
const ENCRYPTED_FLAG: u32 = 1 << 31;

/// Why a packet was not protected or not accepted. The packet is to be dropped; the context is as
/// it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// The master key or salt does not have the profile's length.
    #[error("the master key or salt has the wrong length")]
    KeyLength,
    /// The packet is too short, or its header does not fit in it.
    #[error("not an RTP or RTCP packet")]
    Malformed,
    /// The buffer has no room for the tag.
    #[error("the buffer has no room for the tag")]
    BufferTooSmall,
    /// The index was seen before (RFC 3711 §3.3.2); on sending, the key stream would be reused.
    #[error("the packet's index was used before")]
    Replayed,
    /// The index is behind the replay window.
    #[error("the packet is older than the replay window")]
    TooOld,
    /// The tag is wrong.
    #[error("the authentication tag is wrong")]
    Authentication,
    /// An SRTCP packet without encryption, which no profile here negotiates.
    #[error("the RTCP packet is not encrypted")]
    NotEncrypted,
    /// More SSRCs than [`MAX_STREAMS`].
    #[error("too many SSRCs")]
    TooManyStreams,
    /// The key has been used for as many packets as it may (RFC 3711 §9.2).
    #[error("the master key has reached the end of its life")]
    Exhausted,
}

/// One direction of an SRTP session under one master key.
pub struct Context {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    rtp_streams: Streams,
    rtcp_streams: Streams,
    /// How often the numbers of a stream may have begun anew before its first packet came.
    rollovers: u64,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({})", self.profile)
    }
}

impl Context {
    /// A context from a master key and salt, whose lengths are the profile's.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, Error> {
        let (rtp, rtcp) = cipher::from_master(profile, key, salt)?;
        Ok(Self {
            profile,
            rtp,
            rtcp,
            rtp_streams: Streams::new(),
            rtcp_streams: Streams::new(),
            rollovers: 0,
        })
    }

    /// The streams that come may have begun before, under the same key: so many rollover counters beyond 0 are tried with
    /// the first packet of each (RFC 3711 §3.3.1 has it from elsewhere, and SDES does not tell it, RFC 4568 §6.4).
    #[must_use]
    pub fn joining_late(mut self, rollovers: u16) -> Self {
        self.rollovers = rollovers.into();
        self
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Encrypts the RTP packet in `buffer[..len]` in place, appends the tag and returns the new
    /// length. The buffer needs [`Profile::rtp_overhead`] bytes after the packet.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        let total = len + self.profile.rtp_overhead();
        let header = header::parse_rtp(buffer.get(..len).ok_or(Error::BufferTooSmall)?)?;
        let packet = buffer.get_mut(..total).ok_or(Error::BufferTooSmall)?;
        let slot = self.rtp_streams.find(header.ssrc)?;
        let highest = self.rtp_streams.highest(slot);
        let index = estimate(highest, header.sequence).ok_or(Error::TooOld)?;
        self.rtp_streams.check(slot, index)?;
        self.rtp.seal_rtp(packet, header.len, header.ssrc, index)?;
        self.rtp_streams.accept(slot, header.ssrc, index);
        Ok(total)
    }

    /// Authenticates and decrypts the SRTP packet in place and returns the plain packet's length.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let overhead = self.profile.rtp_overhead();
        let total = packet.len().checked_sub(overhead).ok_or(Error::Malformed)?;
        let header = header::parse_rtp(packet.get(..total).ok_or(Error::Malformed)?)?;
        let slot = self.rtp_streams.find(header.ssrc)?;
        if matches!(slot, Slot::New) && self.rollovers > 0 {
            let index = self.open_first(packet, &header)?;
            self.rtp_streams.accept(slot, header.ssrc, index);
            return Ok(total);
        }
        let highest = self.rtp_streams.highest(slot);
        let index = estimate(highest, header.sequence).ok_or(Error::TooOld)?;
        self.rtp_streams.check(slot, index)?;
        self.rtp.open_rtp(packet, header.len, header.ssrc, index)?;
        self.rtp_streams.accept(slot, header.ssrc, index);
        Ok(total)
    }

    /// Opens the first packet of a stream that may have begun before; its index. A packet that is not genuine stays as it
    /// was.
    fn open_first(&mut self, packet: &mut [u8], header: &header::RtpHeader) -> Result<u64, Error> {
        // A failed attempt may leave anything in the buffer.
        let sealed = packet.to_vec();
        let mut last = Error::Authentication;
        for rollover in 0..=self.rollovers {
            let index = rollover << 16 | u64::from(header.sequence);
            match self.rtp.open_rtp(packet, header.len, header.ssrc, index) {
                Ok(()) => return Ok(index),
                Err(error) => last = error,
            }
            packet.copy_from_slice(&sealed);
        }
        Err(last)
    }

    /// Encrypts the compound RTCP packet in `buffer[..len]` in place, appends tag and index and
    /// returns the new length. The buffer needs [`Profile::rtcp_overhead`] bytes after the packet.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        let total = len + self.profile.rtcp_overhead();
        let ssrc = header::parse_rtcp(buffer.get(..len).ok_or(Error::BufferTooSmall)?)?;
        let packet = buffer.get_mut(..total).ok_or(Error::BufferTooSmall)?;
        let slot = self.rtcp_streams.find(ssrc)?;
        let index = self.rtcp_streams.highest(slot).map_or(0, |last| last + 1);
        let index = u32::try_from(index).map_err(|_| Error::Exhausted)?;
        if index & ENCRYPTED_FLAG != 0 {
            return Err(Error::Exhausted);
        }
        self.rtcp.seal_rtcp(packet, ssrc, index)?;
        self.rtcp_streams.accept(slot, ssrc, u64::from(index));
        Ok(total)
    }

    /// Authenticates and decrypts the SRTCP packet in place and returns the plain packet's length.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let overhead = self.profile.rtcp_overhead();
        let total = packet.len().checked_sub(overhead).ok_or(Error::Malformed)?;
        let ssrc = header::parse_rtcp(packet.get(..total).ok_or(Error::Malformed)?)?;
        let word = self.rtcp.rtcp_index_word(packet).ok_or(Error::Malformed)?;
        if word & ENCRYPTED_FLAG == 0 {
            return Err(Error::NotEncrypted);
        }
        let index = word & !ENCRYPTED_FLAG;
        let slot = self.rtcp_streams.find(ssrc)?;
        self.rtcp_streams.check(slot, u64::from(index))?;
        self.rtcp.open_rtcp(packet, ssrc, index)?;
        self.rtcp_streams.accept(slot, ssrc, u64::from(index));
        Ok(total)
    }
}
