//! Certificates of those who sign calls (RFC 8226, ATIS-1000080): chains to the roots that the settings name, and ES256.

use std::time::SystemTime;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use super::Failure;

/// The longest chain.
const MAX_CERTIFICATES: usize = 8;

/// How certificates may be signed: RFC 8226 §10 has ES256, and roots are often of the larger curve.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
];

/// Whose certificates are believed.
#[derive(Clone)]
pub struct Roots(Vec<TrustAnchor<'static>>);

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}

/// Why there are no roots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoots {
    /// It is no PEM.
    #[error("is not PEM: {0}")]
    NoPem(String),
    /// There is nothing in it.
    #[error("has no certificate in PEM")]
    Empty,
    /// One of them cannot be used.
    #[error("has a certificate that cannot be used, number {0}: {1}")]
    Unusable(usize, String),
}

/// A certificate, and those that sign it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    leaf: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// All of a PEM file.
    ///
    /// # Errors
    /// [`BadRoots`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadRoots> {
        let mut roots = Vec::new();
        for (count, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.map_err(|error| BadRoots::NoPem(error.to_string()))?;
            let root = webpki::anchor_from_trusted_cert(&certificate);
            let root = root.map_err(|error| BadRoots::Unusable(count + 1, error.to_string()))?;
            roots.push(root.to_owned());
        }
        match roots.is_empty() {
            true => Err(BadRoots::Empty),
            false => Ok(Self(roots)),
        }
    }
}

/// The certificate is for signing calls, and for nothing that has a name among extended key usages.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

impl Chain {
    /// Reads what stands at an address: PEM, the signer's own certificate first (RFC 8555 §9.1, ATIS-1000080 §6.3).
    ///
    /// # Errors
    /// [`Failure::Info`].
    pub fn read(body: &[u8]) -> Result<Self, Failure> {
        let bad =
            |why: &str| Failure::Info(format!("what stands where the certificate should be {why}"));
        let mut chain = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(body) {
            chain.push(certificate.map_err(|_| bad("is not PEM"))?);
            if chain.len() > MAX_CERTIFICATES {
                return Err(bad("are too many"));
            }
        }
        let mut chain = chain.into_iter();
        Ok(Self {
            leaf: chain.next().ok_or_else(|| bad("is none in PEM"))?,
            others: chain.collect(),
        })
    }

    /// Whether it leads to one of the roots, and is valid now.
    ///
    /// # Errors
    /// [`Failure::Credential`].
    pub fn verify(&self, roots: &Roots, now: SystemTime) -> Result<(), Failure> {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let now = UnixTime::since_unix_epoch(now);
        let certificate = self.certificate()?;
        certificate
            .verify_for_usage(
                ALGORITHMS,
                &roots.0,
                &self.others,
                now,
                AnyPurpose,
                None,
                None,
            )
            .map(|_| ())
            .map_err(|error| Failure::Credential(words(&error)))
    }

    /// Whether it signed one of these texts.
    ///
    /// # Errors
    /// [`Failure::Invalid`], or [`Failure::Credential`] where it has no key for ES256.
    pub fn verify_signature(&self, texts: &[String], signature: &[u8; 64]) -> Result<(), Failure> {
        let key = self.certificate()?.subject_public_key_info();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.as_ref().to_vec());
        key.clone()
            .parse()
            .map_err(|_| Failure::Credential("has no key of the curve P-256".to_owned()))?;
        let signed = |text: &String| key.verify(text.as_bytes(), signature).is_ok();
        match texts.iter().any(signed) {
            true => Ok(()),
            false => Err(Failure::Invalid("the signature is wrong".to_owned())),
        }
    }

    fn certificate(&self) -> Result<EndEntityCert<'_>, Failure> {
        EndEntityCert::try_from(&self.leaf)
            .map_err(|error| Failure::Credential(format!("cannot be read: {error}")))
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::CertExpired { .. } => "has expired".to_owned(),
        Error::CertNotValidYet { .. } => "is not valid yet".to_owned(),
        Error::UnknownIssuer => "is of nobody among [stir] roots".to_owned(),
        Error::InvalidSignatureForPublicKey => "is not signed by whom it names".to_owned(),
        Error::CaUsedAsEndEntity => "is an authority's own".to_owned(),
        other => format!("is not right: {other}"),
    }
}
