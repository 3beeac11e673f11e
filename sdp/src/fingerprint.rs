//! DTLS certificate fingerprints (RFC 8122 §5).

use crate::{Refusal, description::Description};

/// The first SHA-256 fingerprint of a media section, or of the session where the section has none.
pub(crate) fn read(description: &Description<'_>, media: usize) -> Result<[u8; 32], Refusal> {
    let mut other = None;
    for value in description.values(media, "fingerprint") {
        let (hash, digits) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if hash.eq_ignore_ascii_case("sha-256") {
            let at = description.at(media, "a=fingerprint:");
            return parse(digits.trim()).ok_or(Refusal::BadFingerprint { at });
        }
        other.get_or_insert(hash);
    }
    match other {
        Some(hash) => Err(Refusal::FingerprintHash {
            hash: crate::note::shortened(hash.to_owned()),
            at: description.at(media, "a=fingerprint:"),
        }),
        None if description.has(media, "crypto") => Err(Refusal::SdesOnly {
            at: description.at(media, "a=crypto:"),
        }),
        None => Err(Refusal::NoFingerprint {
            at: description.at_media(media),
        }),
    }
}

/// Reads 32 hexadecimal pairs with colons between them.
pub(crate) fn parse(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut pairs = text.split(':');
    for byte in &mut bytes {
        let pair = pairs.next()?;
        if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(bytes)
}
