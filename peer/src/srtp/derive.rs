//! Session keys from a master key (RFC 3711 §4.3, RFC 7714 §11), key derivation rate zero.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::{Error, Profile};

/// What a session key is for: RFC 3711 §4.3.2's labels.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// The pseudo-random function AES-CM under one master key (RFC 3711 §4.3.3, RFC 6188 §4).
pub(super) struct Derivation {
    key: EncryptingKey,
    salt: [u8; 14],
}

impl Derivation {
    pub(super) fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, Error> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(Error::KeyLength);
        }
        // RFC 7714 §11: a 96-bit salt is padded with zeros on the right.
        let mut padded = [0; 14];
        padded[..salt.len()].copy_from_slice(salt);
        Self::with_salt(key, padded)
    }

    pub(super) fn with_salt(key: &[u8], salt: [u8; 14]) -> Result<Self, Error> {
        let key = counter_mode(key)?;
        Ok(Self { key, salt })
    }

    /// Fills `out` with the session key of that label.
    pub(super) fn derive(&self, label: Label, out: &mut [u8]) -> Result<(), Error> {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[7] ^= label as u8;
        out.fill(0);
        apply_key_stream(&self.key, iv, out)
    }
}

/// AES in counter mode with a key of 16 or 32 bytes.
pub(super) fn counter_mode(key: &[u8]) -> Result<EncryptingKey, Error> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    UnboundCipherKey::new(algorithm, key)
        .and_then(EncryptingKey::ctr)
        .map_err(|_| Error::KeyLength)
}

/// Encrypts or decrypts in place (RFC 3711 §4.1.1).
pub(super) fn apply_key_stream(
    key: &EncryptingKey,
    iv: [u8; 16],
    data: &mut [u8],
) -> Result<(), Error> {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(data, context)
        .map(drop)
        .map_err(|_| Error::Malformed)
}
