//! A certificate of our own, for where nobody has given one: made once, and kept in a file with its key.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::files::at;

/// Its file, in the folder that the settings name.
const FILE: &str = "self-signed.pem";

/// For how long one is valid: Apple's devices take none that is valid for longer.
const VALID: Duration = Duration::from_secs(825 * 86_400);

/// It is valid from a bit earlier on: clocks differ.
const EARLIER: Duration = Duration::from_secs(86_400);

/// The file of the certificate and its key. With none there yet, one is made, for these names and addresses.
///
/// # Errors
/// The folder or the file cannot be made; the message names it.
pub(super) fn ensure(folder: &Path, names: &[String], now: SystemTime) -> io::Result<PathBuf> {
    if !folder.is_dir() {
        let mut made = DirBuilder::new();
        let made = made.mode(0o700).create(folder);
        made.map_err(|error| at(folder, &format!("this folder cannot be made: {error}")))?;
    }
    let path = folder.join(FILE);
    if !path.exists() {
        make(&path, names, now)?;
    }
    Ok(path)
}

/// Makes a certificate and its key, and puts them where another may be. Nobody sees half of it.
///
/// # Errors
/// The file cannot be written; the message names it.
pub(super) fn make(path: &Path, names: &[String], now: SystemTime) -> io::Result<()> {
    let pem = certificate(names, now).map_err(|error| at(path, &error))?;
    let unfinished = path.with_extension("pem.new");
    // What is left of an attempt before: its permissions would stay.
    let _ = std::fs::remove_file(&unfinished);
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o600);
        let mut file = file.open(&unfinished)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    written().map_err(|error| at(path, &format!("cannot be written: {error}")))?;
    tracing::warn!(
        file = %path.display(),
        names = names.join(", "),
        "a certificate was made, which nobody but us has signed: browsers warn of it until they are told to trust it, or [https] certificate and key name better ones"
    );
    Ok(())
}

/// The certificate and its key, in PEM.
fn certificate(names: &[String], now: SystemTime) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let name = names.first().map_or("Switchhook", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - EARLIER).into();
    params.not_after = (now - EARLIER + VALID).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}
