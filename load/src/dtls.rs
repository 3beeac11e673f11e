//! A browser's DTLS: the client (RFC 8842: `actpass` answered by an ICE-lite `passive`), and the keys that it agrees
//! upon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Output, SrtpProfile};
use peer::Fingerprint;
use peer::srtp::{Context, Profile};

pub use dimpl::DtlsCertificate;

/// How SRTP is sent, and how it is received.
pub struct Keys {
    /// Of what leaves.
    pub sender: Context,
    /// Of what comes.
    pub receiver: Context,
}

/// One handshake.
pub struct Client {
    dtls: Dtls,
    scratch: Vec<u8>,
    timeout: Option<Instant>,
    keys: Option<Keys>,
    certificate: Option<Fingerprint>,
    connected: bool,
}

/// A key pair and its certificate.
///
/// # Errors
/// The library's.
pub fn certificate() -> Result<DtlsCertificate, String> {
    dimpl::certificate::generate_self_signed_certificate().map_err(|error| error.to_string())
}

impl Client {
    /// Begins; the first flight is due at once.
    pub fn new(now: Instant, certificate: DtlsCertificate) -> Result<Self, String> {
        // As Chromium: the first flight is sent again after 50 ms, not after the second that RFC 6347 §4.2.4.1 has.
        let config = Config::builder()
            .flight_start_rto(Duration::from_millis(50))
            .build()
            .map_err(|error| error.to_string())?;
        let mut dtls = Dtls::new_12(Arc::new(config), certificate, now);
        dtls.set_active(true);
        Ok(Self {
            dtls,
            scratch: vec![0; 4096],
            timeout: Some(now),
            keys: None,
            certificate: None,
            connected: false,
        })
    }

    /// When [`Client::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// What is due in the handshake; the packets to send.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Vec<Vec<u8>>, String> {
        let result = self.dtls.handle_timeout(now);
        self.after(result)
    }

    /// Takes a packet; the packets to send.
    pub fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let result = self
            .dtls
            .handle_timeout(now)
            .and_then(|()| self.dtls.handle_packet(packet));
        self.after(result)
    }

    /// The keys, once, when the handshake is over; an error if the other's certificate is not the one that its
    /// fingerprint told of (RFC 8122 §5).
    pub fn finish(&mut self, fingerprint: &str) -> Result<Option<Keys>, String> {
        if !self.connected {
            return Ok(None);
        }
        let shown = self.certificate.map(|shown| shown.to_string());
        if !shown
            .as_ref()
            .is_some_and(|shown| shown.eq_ignore_ascii_case(fingerprint))
        {
            return Err(format!(
                "the gateway's certificate is {shown:?}, not {fingerprint}"
            ));
        }
        Ok(self.keys.take())
    }

    fn after(&mut self, result: Result<(), dimpl::Error>) -> Result<Vec<Vec<u8>>, String> {
        result.map_err(|error| format!("DTLS: {error}"))?;
        let mut packets = Vec::new();
        loop {
            match self.dtls.poll_output(&mut self.scratch) {
                Output::Packet(packet) => packets.push(packet.to_vec()),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return Ok(packets);
                }
                Output::Connected => self.connected = true,
                Output::PeerCert(der) => self.certificate = Some(Fingerprint::of(der)),
                Output::KeyingMaterial(material, profile) => {
                    self.keys = Some(split(&material, profile)?);
                }
                Output::BufferTooSmall { needed } => self.scratch.resize(needed, 0),
                _ => {}
            }
        }
    }
}

/// RFC 5764 §4.2: the client's key, the server's, the client's salt, the server's.
fn split(material: &[u8], profile: SrtpProfile) -> Result<Keys, String> {
    let profile = match profile {
        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        _ => Profile::Aes128CmSha1_80,
    };
    let (key, salt) = (profile.key_len(), profile.salt_len());
    let context = |side: usize| {
        let salts = 2 * key + side * salt;
        let parts = (
            material.get(side * key..(side + 1) * key),
            material.get(salts..salts + salt),
        );
        let (Some(key), Some(salt)) = parts else {
            return Err("DTLS: too little keying material".to_owned());
        };
        Context::new(profile, key, salt).map_err(|error| error.to_string())
    };
    Ok(Keys {
        sender: context(0)?,
        receiver: context(1)?,
    })
}
