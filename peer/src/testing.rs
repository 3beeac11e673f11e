//! A browser for tests, benchmarks and load: a scripted full-ICE client, a DTLS client and SRTP, sans-IO. Behind the
//! feature `testing`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::srtp::{Context, Profile};
use crate::{Fingerprint, IceCredentials};
use dimpl::{Dtls, Output};

/// What a browser proves itself with in the DTLS handshake.
pub use dimpl::DtlsCertificate;
use stun_types::attribute::{AttributeType, ErrorCode, RawAttribute, Username, XorMappedAddress};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt,
    MessageWriteVec, ShortTermCredentials,
};

/// What a check carries besides USERNAME, MESSAGE-INTEGRITY and FINGERPRINT.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// PRIORITY.
    pub priority: u32,
    /// Whether it nominates.
    pub use_candidate: bool,
    /// Whether it claims the role of the controlled agent, as no browser may to an ICE-lite one.
    pub controlled: bool,
    /// An attribute that nobody understands, which must be (below 0x8000) or need not be.
    pub extra: Option<u16>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            priority: 1000,
            use_candidate: true,
            controlled: false,
            extra: None,
        }
    }
}

/// The answer to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It went well; where the check came from, as the gateway saw it.
    Success(SocketAddr),
    /// It was refused with this code.
    Error(u16),
}

/// The browser.
pub struct Browser {
    /// Its ICE credentials.
    pub credentials: IceCredentials,
    /// The gateway's.
    pub gateway: IceCredentials,
    /// Its certificate's fingerprint, for its offer.
    pub fingerprint: Fingerprint,
    /// The fingerprint of the certificate that the gateway showed.
    pub gateway_certificate: Option<Fingerprint>,
    dtls: Dtls,
    /// When [`Browser::handle_timeout`] is due.
    pub timeout: Option<Instant>,
    /// What it sends with and what it receives with, once DTLS is up.
    pub keys: Option<(Context, Context, Profile)>,
    /// DTLS is up.
    pub connected: bool,
    /// Why DTLS failed.
    pub failed: Option<String>,
    transaction: u128,
    scratch: Vec<u8>,
}

/// A certificate costs a key pair: tests make few.
pub fn certificate() -> DtlsCertificate {
    dimpl::certificate::generate_self_signed_certificate().unwrap()
}

/// What a browser's DTLS is set to: it retransmits from 50 ms on.
pub fn config(seed: u64) -> Arc<dimpl::Config> {
    let config = dimpl::Config::builder()
        .flight_start_rto(Duration::from_millis(50))
        .flight_retries(64)
        .dangerously_set_rng_seed(seed)
        .build();
    Arc::new(config.unwrap())
}

impl Browser {
    /// A browser that knows the gateway's ICE credentials. It does nothing yet.
    pub fn new(
        now: Instant,
        config: Arc<dimpl::Config>,
        certificate: DtlsCertificate,
        credentials: IceCredentials,
        gateway: IceCredentials,
    ) -> Self {
        let fingerprint = Fingerprint::of(&certificate.certificate);
        let mut dtls = Dtls::new_12(config, certificate, now);
        dtls.set_active(true);
        Self {
            credentials,
            gateway,
            fingerprint,
            gateway_certificate: None,
            dtls,
            timeout: None,
            keys: None,
            connected: false,
            failed: None,
            transaction: 1,
            scratch: vec![0; 4096],
        }
    }

    /// Starts over with a ClientHello for DTLS 1.3 and 1.2.
    pub fn offer_dtls_1_3(&mut self, now: Instant, certificate: DtlsCertificate) {
        self.dtls = Dtls::new_auto(config(1), certificate, now);
        self.dtls.set_active(true);
    }

    /// A Binding request as RFC 8445 §7.2.2 has it.
    pub fn check(&mut self, check: Check) -> Vec<u8> {
        self.transaction += 1;
        let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
        let id = self.transaction.into();
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        let username = format!("{}:{}", self.gateway.ufrag, self.credentials.ufrag);
        message
            .add_attribute(&Username::new(&username).unwrap())
            .unwrap();
        let mut add = |kind: u16, value: &[u8]| {
            let attribute = RawAttribute::new(AttributeType::new(kind), value);
            message.add_attribute(&attribute).unwrap();
        };
        add(0x0024, &check.priority.to_be_bytes());
        if check.use_candidate {
            add(0x0025, &[]);
        }
        add(if check.controlled { 0x8029 } else { 0x802a }, &[7; 8]);
        if let Some(kind) = check.extra {
            add(kind, &[1, 2, 3]);
        }
        let key = ShortTermCredentials::new(self.gateway.pwd.clone()).make_key();
        let algorithm = IntegrityAlgorithm::Sha1;
        message
            .add_message_integrity_with_key(&key, algorithm)
            .unwrap();
        message.add_fingerprint().unwrap();
        message.finish()
    }

    /// Reads the answer to a check and holds it to its integrity.
    pub fn read_answer(&self, packet: &[u8]) -> Answer {
        let message = Message::from_bytes(packet).unwrap();
        let key = ShortTermCredentials::new(self.gateway.pwd.clone()).make_key();
        message.validate_integrity_with_key(&key).unwrap();
        if message.has_class(MessageClass::Error) {
            return Answer::Error(message.attribute::<ErrorCode>().unwrap().code());
        }
        assert!(message.has_class(MessageClass::Success));
        let mapped = message.attribute::<XorMappedAddress>().unwrap();
        Answer::Success(mapped.addr(message.transaction_id()))
    }

    /// Begins the DTLS handshake, or does what is due in it; returns what it sends.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let result = self.dtls.handle_timeout(now);
        self.after(result)
    }

    /// Takes a DTLS packet; returns what it sends.
    pub fn handle_dtls(&mut self, now: Instant, packet: &[u8]) -> Vec<Vec<u8>> {
        let result = self
            .dtls
            .handle_timeout(now)
            .and_then(|()| self.dtls.handle_packet(packet));
        self.after(result)
    }

    /// Sends close_notify.
    pub fn close(&mut self) -> Vec<Vec<u8>> {
        let result = self.dtls.close();
        self.after(result)
    }

    fn after(&mut self, result: Result<(), dimpl::Error>) -> Vec<Vec<u8>> {
        if let Err(error) = result {
            self.failed = Some(error.to_string());
            self.timeout = None;
            return Vec::new();
        }
        let mut packets = Vec::new();
        loop {
            match self.dtls.poll_output(&mut self.scratch) {
                Output::Packet(packet) => packets.push(packet.to_vec()),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return packets;
                }
                Output::Connected => self.connected = true,
                Output::PeerCert(der) => self.gateway_certificate = Some(Fingerprint::of(der)),
                Output::KeyingMaterial(material, profile) => {
                    self.keys = Some(split_keys(&material, profile));
                }
                Output::BufferTooSmall { needed } => self.scratch.resize(needed, 0),
                _ => {}
            }
        }
    }
}

/// RFC 5764 §4.2, from the client's side: what it sends with, what it receives with.
fn split_keys(material: &[u8], profile: dimpl::SrtpProfile) -> (Context, Context, Profile) {
    let profile = match profile {
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        _ => Profile::Aes128CmSha1_80,
    };
    let (k, s) = (profile.key_len(), profile.salt_len());
    let client = Context::new(profile, &material[..k], &material[2 * k..2 * k + s]);
    let server = Context::new(
        profile,
        &material[k..2 * k],
        &material[2 * k + s..2 * k + 2 * s],
    );
    (client.unwrap(), server.unwrap(), profile)
}
