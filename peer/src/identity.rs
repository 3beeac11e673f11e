//! Who the gateway is to browsers: a self-signed certificate and its fingerprint (RFC 8122).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::{digest, signature};
use dimpl::DtlsCertificate;

/// A certificate and its private key, shared by every peer of the process.
///
/// The certificate is self-signed (ECDSA P-256): browsers trust the fingerprint in the signalling,
/// not an authority.
pub struct Identity {
    certificate: DtlsCertificate,
    fingerprint: Fingerprint,
    config: Arc<dimpl::Config>,
}

impl Identity {
    /// Makes a fresh key and certificate. Its randomness and its validity's start come from the
    /// operating system: call it at start-up, not in a state machine.
    pub fn generate() -> Result<Self, IdentityError> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|_| IdentityError::Generation)?;
        Self::from_der(certificate.certificate, certificate.private_key)
    }

    /// Takes an existing certificate (DER) and its ECDSA P-256 private key (PKCS #8, DER).
    pub fn from_der(certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Self, IdentityError> {
        let algorithm = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        signature::EcdsaKeyPair::from_pkcs8(algorithm, &private_key)
            .map_err(|_| IdentityError::PrivateKey)?;
        if certificate.is_empty() {
            return Err(IdentityError::Certificate);
        }
        Ok(Self {
            fingerprint: Fingerprint::of(&certificate),
            certificate: DtlsCertificate {
                certificate,
                private_key,
            },
            config: crate::dtls::server_config().map_err(IdentityError::Dtls)?,
        })
    }

    /// The SHA-256 fingerprint for `a=fingerprint`.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn certificate(&self) -> DtlsCertificate {
        self.certificate.clone()
    }

    pub(crate) fn config(&self) -> Arc<dimpl::Config> {
        self.config.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The private key is never shown.
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// Why an identity could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The key or the certificate could not be generated.
    #[error("the certificate could not be generated")]
    Generation,
    /// The certificate is empty.
    #[error("the certificate is empty")]
    Certificate,
    /// The private key is no ECDSA P-256 key in PKCS #8.
    #[error("the private key is not an ECDSA P-256 key in PKCS #8")]
    PrivateKey,
    /// The DTLS library refused its settings.
    #[error("DTLS could not be set up: {0}")]
    Dtls(String),
}

/// SHA-256 of a certificate in DER (RFC 8122 §5). Shown and read as `AB:CD:..`, 32 pairs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not 32 pairs of hexadecimal digits with colons between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 fingerprint is 32 pairs of hexadecimal digits with colons between them")]
pub struct InvalidFingerprint;

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut bytes = [0; 32];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().ok_or(InvalidFingerprint)?;
            if pair.len() != 2 || !pair.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(InvalidFingerprint);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidFingerprint)?;
        }
        match pairs.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(InvalidFingerprint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_shown_and_read_back() {
        let identity = Identity::generate().unwrap();
        let text = identity.fingerprint().to_string();
        assert_eq!(text.len(), 95);
        assert_eq!(text.parse(), Ok(identity.fingerprint()));
        assert_eq!(text.to_lowercase().parse(), Ok(identity.fingerprint()));
    }

    #[test]
    fn a_malformed_fingerprint_is_refused() {
        let good = Fingerprint([0xab; 32]).to_string();
        for bad in [
            "",
            "AB",
            &good[..92],
            &format!("{good}:00"),
            &good.replace(':', ""),
            &good.replacen("AB", "+B", 1),
            &good.replacen("AB", "GG", 1),
            &good.replacen("AB", "é", 1),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(InvalidFingerprint), "{bad}");
        }
    }

    #[test]
    fn every_identity_is_new_and_none_shows_its_key() {
        let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(format!("{a:?}"), format!("Identity({})", a.fingerprint()));
    }

    #[test]
    fn a_key_that_does_not_parse_is_refused_here_and_not_in_a_handshake() {
        let identity = Identity::generate().unwrap();
        let certificate = identity.certificate().certificate;
        let error = Identity::from_der(certificate, vec![1, 2, 3]).unwrap_err();
        assert_eq!(error, IdentityError::PrivateKey);
    }
}
