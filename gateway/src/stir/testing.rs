//! Somebody who signs calls: a root, an intermediate, and a certificate of his own.

use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use super::certificate::{Chain, Roots};

pub(crate) struct Signer {
    pub(crate) root: String,
    pub(crate) chain: String,
    key: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// One whose own certificate is special.
    pub(crate) fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::below("root", change)
    }

    /// The same, below a root of that name.
    pub(crate) fn below(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let named = |name: &str, ca: bool| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            if ca {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }
            params
        };
        let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let root = CertifiedIssuer::self_signed(named(name, true), key()).unwrap();
        let middle = CertifiedIssuer::signed_by(named("middle", true), key(), &root).unwrap();
        let mut params = named("SHAKEN 1234", false);
        change(&mut params);
        let own = key();
        let leaf = params.signed_by(&own, &middle).unwrap();
        let pkcs8 = own.serialize_der();
        Self {
            root: root.pem(),
            chain: leaf.pem() + &middle.pem(),
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap(),
        }
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::from_pem(self.root.as_bytes()).unwrap()
    }

    pub(crate) fn chain(&self) -> Chain {
        Chain::read(self.chain.as_bytes()).unwrap()
    }

    /// What he signs a text with.
    pub(crate) fn sign(&self, text: &str) -> String {
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes());
        URL_SAFE_NO_PAD.encode(signature.unwrap())
    }

    /// A SHAKEN header.
    pub(crate) fn header(&self, info: &str, claims: &Value) -> String {
        let head = json!({"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": info});
        self.header_of(&head, info, claims)
    }

    pub(crate) fn header_of(&self, head: &Value, info: &str, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(head), encode(claims));
        let signature = self.sign(&text);
        format!("{text}.{signature};info=<{info}>;alg=ES256;ppt=\"shaken\"")
    }
}

/// The claims of a call from +12025551000 to +12025551001.
pub(crate) fn claims(attest: &str, now: SystemTime) -> Value {
    let iat = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    json!({
        "attest": attest,
        "dest": {"tn": ["12025551001"]},
        "iat": iat,
        "orig": {"tn": "12025551000"},
        "origid": "123e4567-e89b-12d3-a456-426655440000",
    })
}
