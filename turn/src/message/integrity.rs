//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT.

use std::fmt;

use aws_lc_rs::hmac;

use super::{HEADER, Message, attribute};

/// With which hash a message is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// MESSAGE-INTEGRITY: HMAC-SHA1, 20 bytes (RFC 8489 §14.5).
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256, 32 bytes. TURN has no use for truncated ones (RFC
    /// 8489 §14.6), so they are not taken.
    Sha256,
}

impl Algorithm {
    /// The attribute that it makes.
    pub fn attribute(self) -> u16 {
        match self {
            Self::Sha1 => attribute::MESSAGE_INTEGRITY,
            Self::Sha256 => attribute::MESSAGE_INTEGRITY_SHA256,
        }
    }

    /// Bytes of the value.
    pub fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// The key of an integrity attribute, 16 or 32 bytes (RFC 8489 §9.2.2), or a short-term password.
/// Never shown by `Debug`.
#[derive(Clone)]
pub struct IntegrityKey(Box<[u8]>);

impl IntegrityKey {
    /// Keeps the key.
    pub fn new(key: &[u8]) -> Self {
        Self(key.into())
    }

    pub(super) fn sign(&self, algorithm: Algorithm, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.hmac(algorithm));
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }

    fn hmac(&self, algorithm: Algorithm) -> hmac::Key {
        let algorithm = match algorithm {
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::Key::new(algorithm, &self.0)
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(redacted)")
    }
}

impl Message<'_> {
    /// The strongest integrity attribute that it carries, the only one that counts (RFC 8489
    /// §9.2.4): a weaker one beside it proves nothing.
    pub fn integrity(&self) -> Option<Algorithm> {
        [Algorithm::Sha256, Algorithm::Sha1]
            .into_iter()
            .find(|algorithm| self.attribute(algorithm.attribute()).is_some())
    }

    /// Whether that attribute holds. The comparison takes the same time wherever the tags differ.
    pub fn integrity_holds(&self, key: &IntegrityKey, algorithm: Algorithm) -> bool {
        let Some(found) = self.attribute(algorithm.attribute()) else {
            return false;
        };
        let start = found.offset - 4;
        // The length counts up to the attribute's end, whatever follows.
        let length = (start + 4 + algorithm.size() - HEADER) as u16;
        let tag = key.sign(
            algorithm,
            &[
                &self.as_bytes()[..2],
                &length.to_be_bytes(),
                &self.as_bytes()[4..start],
            ],
        );
        // A truncated one is of another length, and so never equal.
        aws_lc_rs::constant_time::verify_slices_are_equal(tag.as_ref(), found.value).is_ok()
    }
}

/// RFC 8489 §14.7 over what stands before the attribute, with the length that counts it.
pub(super) fn fingerprint(before: &[u8]) -> u32 {
    crc32(before) ^ 0x5354_554e
}

/// CRC-32 of ITU V.42, a byte a step.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut crc = index as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from((crc as u8) ^ byte)]
    })
}
