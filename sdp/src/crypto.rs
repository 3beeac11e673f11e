//! SDES: SRTP keys in the description itself (RFC 4568), with the suites of RFC 4568 §6.2 and RFC 7714 §14.
//!
//! Keys travel through the types of this module only, and their `Debug` shows none of their bytes.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

/// The longest tag, in digits (RFC 4568 §9.1).
const MAX_TAG: usize = 9;

/// How SRTP packets are encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES in counter mode with a tag of 80 bits (RFC 4568 §6.2.1).
    AesCm128HmacSha1_80,
    /// AES in counter mode with a tag of 32 bits (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// AES-GCM with a key of 128 bits (RFC 7714 §14.2).
    AeadAes128Gcm,
    /// AES-GCM with a key of 256 bits (RFC 7714 §14.2).
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite that is understood.
    pub const ALL: [Self; 4] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Length of its master key, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Length of its master salt, in bytes.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }
}

/// A master key with its salt. Its bytes are shown by no formatter.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySalt {
    bytes: Vec<u8>,
    key_len: usize,
}

impl KeySalt {
    /// The key and salt of `suite` out of as many random bytes; `None` for another length.
    pub fn new(suite: Suite, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == suite.key_len() + suite.salt_len()).then(|| Self {
            bytes: bytes.to_vec(),
            key_len: suite.key_len(),
        })
    }

    /// The master key.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len]
    }

    /// The master salt.
    pub fn salt(&self) -> &[u8] {
        &self.bytes[self.key_len..]
    }
}

impl fmt::Debug for KeySalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySalt(redacted)")
    }
}

/// One `a=crypto` line that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Its number among the lines of its media section.
    pub tag: u32,
    /// The suite.
    pub suite: Suite,
    /// What its writer encrypts with.
    pub key: KeySalt,
}

/// Why an `a=crypto` line cannot be used. No variant holds any of the line's text: it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not `tag suite inline:…`.
    #[error("it is not of the form of RFC 4568 §9.1")]
    Malformed,
    /// A suite outside of [`Suite::ALL`].
    #[error("its suite is not supported")]
    Suite,
    /// A key that is not base64, or not as long as its suite's.
    #[error("its key is not base64 of its suite's length")]
    Key,
    /// A lifetime that is no number of packets from 1 to 2^48.
    #[error("its lifetime is not from 1 to 2^48 packets")]
    Lifetime,
    /// Packets would carry a master key identifier.
    #[error("it has a master key identifier (MKI), which is not supported")]
    Mki,
    /// More than one key, which only an MKI tells apart.
    #[error("it has several keys, which need a master key identifier (MKI)")]
    SeveralKeys,
    /// A session parameter that changes how packets are protected (RFC 4568 §6.3).
    #[error("a session parameter of it is not supported")]
    Parameter,
}

impl Crypto {
    /// Reads the value of an `a=crypto` attribute, what follows its colon.
    pub fn parse(value: &str) -> Result<Self, Unusable> {
        let mut fields = value.split_ascii_whitespace();
        let mut field = || fields.next().ok_or(Unusable::Malformed);
        let (tag, suite, keys) = (field()?, field()?, field()?);
        let tag = digits(tag)
            .filter(|_| tag.len() <= MAX_TAG)
            .and_then(|tag| u32::try_from(tag).ok())
            .ok_or(Unusable::Malformed)?;
        let suite = Suite::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(suite))
            .ok_or(Unusable::Suite)?;
        if keys.contains(';') {
            return Err(Unusable::SeveralKeys);
        }
        let key = parse_key(suite, keys)?;
        if fields.all(is_harmless) {
            Ok(Self { tag, suite, key })
        } else {
            Err(Unusable::Parameter)
        }
    }

    /// The attribute's value **with its key**: for the wire, never for a log.
    pub fn to_wire(&self) -> String {
        let key = STANDARD.encode(&self.key.bytes);
        format!("{} {} inline:{key}", self.tag, self.suite.name())
    }
}

fn parse_key(suite: Suite, text: &str) -> Result<KeySalt, Unusable> {
    let (method, info) = text.split_once(':').ok_or(Unusable::Malformed)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(Unusable::Malformed);
    }
    let mut parts = info.split('|');
    let key = parts.next().unwrap_or_default();
    let mut rest = parts.next();
    // A lifetime has no colon, an MKI has one; either may be missing (RFC 4568 §6.1).
    if let Some(lifetime) = rest.filter(|part| !part.contains(':')) {
        check_lifetime(lifetime)?;
        rest = parts.next();
    }
    match rest {
        Some(mki) if mki.contains(':') => return Err(Unusable::Mki),
        Some(_) => return Err(Unusable::Malformed),
        None => {}
    }
    // The length is known before anything is decoded: nothing long is allocated for.
    let length = (suite.key_len() + suite.salt_len()).div_ceil(3) * 4;
    if key.len() != length {
        return Err(Unusable::Key);
    }
    let bytes = STANDARD.decode(key).map_err(|_| Unusable::Key)?;
    KeySalt::new(suite, &bytes).ok_or(Unusable::Key)
}

/// A lifetime is read and held to RFC 3711's limit, 2^48 packets.
fn check_lifetime(text: &str) -> Result<(), Unusable> {
    let packets = match text.strip_prefix("2^") {
        Some(power) => digits(power)
            .and_then(|power| u32::try_from(power).ok())
            .and_then(|power| 1u64.checked_shl(power)),
        None => digits(text),
    };
    match packets {
        Some(1..=0x1_0000_0000_0000) => Ok(()),
        _ => Err(Unusable::Lifetime),
    }
}

/// A window's size hint binds nobody, and what begins with `-` may be ignored (RFC 4568 §6.3.6, §6.3.7).
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.starts_with("WSH=")
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 4568's examples.
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn with(info: &str) -> Result<Crypto, Unusable> {
        Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{info}"))
    }

    #[test]
    fn every_suite_is_written_and_read_back() {
        for suite in Suite::ALL {
            let bytes: Vec<u8> = (1..).take(suite.key_len() + suite.salt_len()).collect();
            let key = KeySalt::new(suite, &bytes).unwrap();
            assert_eq!([key.key(), key.salt()].concat(), bytes);
            let crypto = Crypto { tag: 7, suite, key };
            assert_eq!(Crypto::parse(&crypto.to_wire()), Ok(crypto));
        }
    }

    #[test]
    fn a_lifetime_and_a_window_hint_are_accepted() {
        assert_eq!(with(&format!("{KEY}|2^20 WSH=64")).unwrap().tag, 1);
        assert!(with(&format!("{KEY}|1000 -later=1")).is_ok());
        for bad in ["2^49", "2^64", "2^99999999999", "0", "", "-1", "x"] {
            assert_eq!(with(&format!("{KEY}|{bad}")), Err(Unusable::Lifetime));
        }
    }

    #[test]
    fn identifiers_and_several_keys_are_refused() {
        assert_eq!(with(&format!("{KEY}|2^20|1:4")), Err(Unusable::Mki));
        assert_eq!(with(&format!("{KEY}|1:4")), Err(Unusable::Mki));
        let two = format!("{KEY};inline:{KEY}");
        assert_eq!(with(&two), Err(Unusable::SeveralKeys));
    }

    #[test]
    fn parameters_that_weaken_or_change_protection_are_refused() {
        for bad in [
            "UNENCRYPTED_SRTP",
            "UNENCRYPTED_SRTCP",
            "UNAUTHENTICATED_SRTP",
            "KDR=1",
            "x",
        ] {
            assert_eq!(with(&format!("{KEY} {bad}")), Err(Unusable::Parameter));
        }
    }

    #[test]
    fn keys_of_another_length_or_alphabet_are_refused() {
        let long = "A".repeat(1 << 20);
        for bad in ["", "AAAA", &KEY[1..], &KEY.replace('d', "*"), &long] {
            assert_eq!(with(bad), Err(Unusable::Key));
        }
        let gcm = format!("1 AEAD_AES_128_GCM inline:{KEY}");
        assert_eq!(Crypto::parse(&gcm), Err(Unusable::Key));
    }

    #[test]
    fn malformed_lines_are_refused() {
        for bad in [
            "",
            "1",
            "x AES_CM_128_HMAC_SHA1_80 inline:A",
            "1 AES_CM_128_HMAC_SHA1_80 A",
        ] {
            assert_eq!(Crypto::parse(bad), Err(Unusable::Malformed));
        }
        let tag = format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        assert_eq!(Crypto::parse(&tag), Err(Unusable::Malformed));
        assert_eq!(
            Crypto::parse("1 F8_128_HMAC_SHA1_80 inline:A"),
            Err(Unusable::Suite)
        );
    }

    #[test]
    fn no_key_is_shown_by_debug() {
        let crypto = with(KEY).unwrap();
        let shown = format!("{crypto:?}");
        assert!(shown.contains("redacted") && !shown.contains(KEY) && !shown.contains("119, 68"));
    }
}
