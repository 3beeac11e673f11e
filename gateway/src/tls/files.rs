//! Certificates and keys in PEM files, as rustls takes them: for SIP's TLS and for the TLS port.

use std::fmt::Display;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, RootCertStore};
use webpki::{EndEntityCert, KeyUsage};

/// All certificates of a file, at least one.
///
/// # Errors
/// The file cannot be read, or is not what it should be; the message names it. So it is with everything here.
pub(crate) fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| at(path, &error))?
        .collect();
    let certificates = certificates.map_err(|error| at(path, &error))?;
    match certificates.is_empty() {
        true => Err(at(path, &"has no certificate in PEM")),
        false => Ok(certificates),
    }
}

/// The first private key of a file.
pub(crate) fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| at(path, &error))
}

/// Adds all certificates of a file to those that are believed.
pub(crate) fn add_roots(roots: &mut RootCertStore, path: &Path) -> io::Result<()> {
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| at(path, &error))?;
    }
    Ok(())
}

/// A certificate, its chain behind it, and the key that it is of.
pub(crate) fn certified(certificate: &Path, key: &Path) -> io::Result<CertifiedKey> {
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| {
        match error {
            Error::InconsistentKeys(_) => {
                let of = format!(
                    "is not the key of the certificate in {}",
                    certificate.display()
                );
                at(key, &of)
            }
            error => at(key, &error),
        }
    })
}

/// Puts the file's name before what is wrong with it.
pub(crate) fn at(path: &Path, error: &impl Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// Whether users of this machine who are neither the file's owner nor of its group can read it.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.mode() & 0o007 != 0)
}

/// How a certificate stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// It is valid, and stays so for the time that was asked about.
    Valid,
    /// It is valid, but not for so long.
    Ends,
    /// It is not valid yet.
    NotYet,
    /// It is not valid any more.
    Over,
}

/// Whether a certificate is valid now, and for how long. One that webpki cannot read is left to the browsers to judge.
pub(crate) fn validity(
    certificate: &CertificateDer<'_>,
    now: SystemTime,
    ahead: Duration,
) -> Validity {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else {
        return Validity::Valid;
    };
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    // Nobody is believed here: the times are looked at before the chain is.
    let outcome = |since| {
        let time = UnixTime::since_unix_epoch(since);
        let usage = KeyUsage::server_auth();
        certificate.verify_for_usage(&[], &[], &[], time, usage, None, None)
    };
    match (outcome(since), outcome(since + ahead)) {
        (Err(webpki::Error::CertNotValidYet { .. }), _) => Validity::NotYet,
        (Err(webpki::Error::CertExpired { .. }), _) => Validity::Over,
        (_, Err(webpki::Error::CertExpired { .. })) => Validity::Ends,
        _ => Validity::Valid,
    }
}

/// Whether a certificate is for that host name or IP address.
pub(crate) fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else {
        return true;
    };
    ServerName::try_from(name)
        .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}
