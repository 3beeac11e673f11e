//! An authority for tests of TLS, and certificates that it signs.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::scene::Scene;

/// Its certificate, and one for this machine with its key, in files of the scene.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's.
    pub ca: PathBuf,
    /// For `localhost` and 127.0.0.1.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both of these in one file.
    pub both: PathBuf,
}

impl Certificates {
    /// New ones.
    ///
    /// # Panics
    /// They cannot be made or written.
    pub fn of(scene: &Scene) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("parameters");
        let own = params.signed_by(&key, &issuer).expect("a certificate");
        let (own, key) = (own.pem(), key.serialize_pem());
        let write = |name: &str, text: &str| {
            let path = scene.file(name);
            std::fs::write(&path, text).expect("the file can be written");
            path
        };
        Self {
            ca: write("ca.pem", &issuer.pem()),
            certificate: write("own.pem", &own),
            key: write("own.key", &key),
            both: write("both.pem", &(key.clone() + &own)),
        }
    }
}
