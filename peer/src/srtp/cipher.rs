//! The transforms: AES-CM with HMAC-SHA1-80 (RFC 3711 §4) and AES-GCM (RFC 7714), in place.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::{constant_time, hmac};

use super::derive::{Derivation, Label, apply_key_stream, counter_mode};
use super::{ENCRYPTED_FLAG, Error, INDEX_WORD, Profile, RTCP_CLEAR};

/// HMAC-SHA1 cut to 80 bits (RFC 3711 §4.2.1).
const SHORT_TAG: usize = 10;
const GCM_TAG: usize = 16;

/// The session keys of RTP or of RTCP.
pub(super) enum Cipher {
    /// RFC 3711 §4.1.1 and §4.2.1.
    Cm(Box<Cm>),
    /// RFC 7714 §8 and §9.
    Gcm { key: LessSafeKey, salt: [u8; 12] },
}

pub(super) struct Cm {
    key: EncryptingKey,
    salt: [u8; 14],
    authentication: hmac::Key,
}

/// The session keys of RTP and of RTCP.
pub(super) fn from_master(
    profile: Profile,
    key: &[u8],
    salt: &[u8],
) -> Result<(Cipher, Cipher), Error> {
    use Label::*;
    let derivation = Derivation::new(profile, key, salt)?;
    let rtp = [RtpEncryption, RtpAuthentication, RtpSalt];
    let rtcp = [RtcpEncryption, RtcpAuthentication, RtcpSalt];
    Ok((
        Cipher::derive(profile, &derivation, rtp)?,
        Cipher::derive(profile, &derivation, rtcp)?,
    ))
}

impl Cipher {
    fn derive(
        profile: Profile,
        derivation: &Derivation,
        [encryption, authentication, salting]: [Label; 3],
    ) -> Result<Self, Error> {
        let mut buffer = [0; 32];
        let (key, _) = buffer.split_at_mut(profile.key_len());
        derivation.derive(encryption, key)?;
        if profile == Profile::Aes128CmSha1_80 {
            let (mut tag_key, mut salt) = ([0; 20], [0; 14]);
            derivation.derive(authentication, &mut tag_key)?;
            derivation.derive(salting, &mut salt)?;
            return Ok(Self::Cm(Box::new(Cm {
                key: counter_mode(key)?,
                salt,
                authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &tag_key),
            })));
        }
        let mut salt = [0; 12];
        derivation.derive(salting, &mut salt)?;
        Self::gcm(profile, key, salt)
    }

    /// AES-GCM from session keys; the profile's key length tells 128 from 256.
    pub(super) fn gcm(profile: Profile, key: &[u8], salt: [u8; 12]) -> Result<Self, Error> {
        let algorithm = match profile {
            Profile::AeadAes256Gcm => &AES_256_GCM,
            Profile::AeadAes128Gcm | Profile::Aes128CmSha1_80 => &AES_128_GCM,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Error::KeyLength)?;
        Ok(Self::Gcm {
            key: LessSafeKey::new(key),
            salt,
        })
    }

    /// Encrypts `packet`, whose end is the tag's room.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), Error> {
        match self {
            Self::Cm(cm) => {
                let Cm {
                    key,
                    salt,
                    authentication,
                } = &**cm;
                let (data, tag) = split_end(packet, SHORT_TAG)?;
                let body = data.get_mut(header..).ok_or(Error::Malformed)?;
                apply_key_stream(key, cm_iv(salt, ssrc, index), body)?;
                let rollover = ((index >> 16) as u32).to_be_bytes();
                tag.copy_from_slice(&short_tag(authentication, data, &rollover));
                Ok(())
            }
            Self::Gcm { key, salt } => {
                let (data, tag) = split_end(packet, GCM_TAG)?;
                let (header, body) = data.split_at_mut_checked(header).ok_or(Error::Malformed)?;
                seal(key, gcm_rtp_nonce(salt, ssrc, index), header, body, tag)
            }
        }
    }

    /// Authenticates and decrypts `packet`, whose end is the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), Error> {
        match self {
            Self::Cm(cm) => {
                let Cm {
                    key,
                    salt,
                    authentication,
                } = &**cm;
                let (data, tag) = split_end(packet, SHORT_TAG)?;
                let rollover = ((index >> 16) as u32).to_be_bytes();
                verify(&short_tag(authentication, data, &rollover), tag)?;
                let body = data.get_mut(header..).ok_or(Error::Malformed)?;
                apply_key_stream(key, cm_iv(salt, ssrc, index), body)
            }
            Self::Gcm { key, salt } => {
                let (header, body) = packet
                    .split_at_mut_checked(header)
                    .ok_or(Error::Malformed)?;
                open(key, gcm_rtp_nonce(salt, ssrc, index), header, body)
            }
        }
    }

    /// The word with the encryption flag and the index: before the tag in RFC 3711 §3.4, after it
    /// in RFC 7714 §9.
    pub(super) fn rtcp_index_word(&self, packet: &[u8]) -> Option<u32> {
        let after = match self {
            Self::Cm(_) => SHORT_TAG,
            Self::Gcm { .. } => 0,
        };
        let end = packet.len().checked_sub(after)?;
        let word = packet.get(end.checked_sub(INDEX_WORD)?..end)?;
        Some(u32::from_be_bytes(word.try_into().ok()?))
    }

    /// Encrypts `packet`, whose end is the room for tag and index.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Result<(), Error> {
        let word = (index | ENCRYPTED_FLAG).to_be_bytes();
        match self {
            Self::Cm(cm) => {
                let Cm {
                    key,
                    salt,
                    authentication,
                } = &**cm;
                let (signed, tag) = split_end(packet, SHORT_TAG)?;
                let (data, trailer) = split_end(signed, INDEX_WORD)?;
                let body = data.get_mut(RTCP_CLEAR..).ok_or(Error::Malformed)?;
                apply_key_stream(key, cm_iv(salt, ssrc, u64::from(index)), body)?;
                trailer.copy_from_slice(&word);
                tag.copy_from_slice(&short_tag(authentication, signed, &[]));
                Ok(())
            }
            Self::Gcm { key, salt } => {
                let (sealed, trailer) = split_end(packet, INDEX_WORD)?;
                let (data, tag) = split_end(sealed, GCM_TAG)?;
                let (header, body) = data
                    .split_at_mut_checked(RTCP_CLEAR)
                    .ok_or(Error::Malformed)?;
                let aad = gcm_rtcp_aad(header, word)?;
                seal(key, gcm_rtcp_nonce(salt, ssrc, index), &aad, body, tag)?;
                trailer.copy_from_slice(&word);
                Ok(())
            }
        }
    }

    /// Authenticates and decrypts `packet`, whose end is tag and index.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Result<(), Error> {
        match self {
            Self::Cm(cm) => {
                let Cm {
                    key,
                    salt,
                    authentication,
                } = &**cm;
                let (signed, tag) = split_end(packet, SHORT_TAG)?;
                verify(&short_tag(authentication, signed, &[]), tag)?;
                let (data, _) = split_end(signed, INDEX_WORD)?;
                let body = data.get_mut(RTCP_CLEAR..).ok_or(Error::Malformed)?;
                apply_key_stream(key, cm_iv(salt, ssrc, u64::from(index)), body)
            }
            Self::Gcm { key, salt } => {
                let (sealed, _) = split_end(packet, INDEX_WORD)?;
                let (header, body) = sealed
                    .split_at_mut_checked(RTCP_CLEAR)
                    .ok_or(Error::Malformed)?;
                let aad = gcm_rtcp_aad(header, (index | ENCRYPTED_FLAG).to_be_bytes())?;
                open(key, gcm_rtcp_nonce(salt, ssrc, index), &aad, body)
            }
        }
    }
}

fn split_end(packet: &mut [u8], len: usize) -> Result<(&mut [u8], &mut [u8]), Error> {
    let at = packet.len().checked_sub(len).ok_or(Error::Malformed)?;
    packet.split_at_mut_checked(at).ok_or(Error::Malformed)
}

/// RFC 3711 §4.1.1: salt, SSRC and index, each in its place.
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
    iv
}

/// RFC 7714 §8.1: two zeros, SSRC, rollover counter and sequence, under the salt.
fn gcm_rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
    nonce
}

/// RFC 7714 §9.1: two zeros, SSRC, two zeros and the index, under the salt.
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[8..12], &index.to_be_bytes());
    nonce
}

/// RFC 7714 §9.2: the clear header and the index word.
fn gcm_rtcp_aad(header: &[u8], word: [u8; 4]) -> Result<[u8; 12], Error> {
    let mut aad = [0; 12];
    let header: &[u8; RTCP_CLEAR] = header.try_into().map_err(|_| Error::Malformed)?;
    aad[..RTCP_CLEAR].copy_from_slice(header);
    aad[RTCP_CLEAR..].copy_from_slice(&word);
    Ok(aad)
}

fn xor(target: &mut [u8], mask: &[u8]) {
    for (byte, mask) in target.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

fn short_tag(key: &hmac::Key, data: &[u8], more: &[u8]) -> [u8; SHORT_TAG] {
    let mut context = hmac::Context::with_key(key);
    context.update(data);
    context.update(more);
    let mut tag = [0; SHORT_TAG];
    tag.copy_from_slice(&context.sign().as_ref()[..SHORT_TAG]);
    tag
}

fn verify(expected: &[u8], tag: &[u8]) -> Result<(), Error> {
    constant_time::verify_slices_are_equal(expected, tag).map_err(|_| Error::Authentication)
}

fn seal(
    key: &LessSafeKey,
    nonce: [u8; 12],
    aad: &[u8],
    body: &mut [u8],
    tag: &mut [u8],
) -> Result<(), Error> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let sealed = key
        .seal_in_place_separate_tag(nonce, Aad::from(aad), body)
        .map_err(|_| Error::Malformed)?;
    tag.copy_from_slice(sealed.as_ref());
    Ok(())
}

fn open(key: &LessSafeKey, nonce: [u8; 12], aad: &[u8], body: &mut [u8]) -> Result<(), Error> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.open_in_place(nonce, Aad::from(aad), body)
        .map(drop)
        .map_err(|_| Error::Authentication)
}
