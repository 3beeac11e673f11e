//! One side of DTLS, for a browser always the server (RFC 5764, RFC 6347): the only file that names `dimpl`'s machine.
//!
//! Every error of `dimpl` is final for its handshake. A packet that breaks a handshake does not
//! end the call: the next ClientHello starts a fresh one, until the peer's own deadline.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{CertificateError, Output, SrtpProfile};

use crate::identity::{Fingerprint, Identity};
use crate::srtp::{self, Profile};

/// The first retransmission; browsers start at 50 ms. Doubled each time.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(250);
/// More than fit into any handshake deadline of ours, which is what ends a handshake.
const RETRANSMISSIONS: usize = 64;
const LIBRARY_DEADLINE: Duration = Duration::from_secs(3600);
/// A broken handshake costs a key exchange; this is how often one may be begun.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// How long after an attempt broke the browser may take to come with another, or to go on.
const BROKEN_FOR: Duration = Duration::from_secs(5);
/// Datagrams waiting to be sent; a flight has at most a handful.
const MAX_QUEUED: usize = 32;
/// Longer datagrams are dropped: no path to a browser carries them.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams of one flight that the library keeps until they are in order.
const MAX_REORDERED: usize = 30;
/// No certificate is longer than what those carry.
const MAX_OUTPUT: usize = MAX_DATAGRAM * MAX_REORDERED;

/// The library's settings, the same for every peer.
pub(crate) fn server_config() -> Result<Arc<dimpl::Config>, String> {
    dimpl::Config::builder()
        .require_client_certificate(true)
        // The 5-tuple has passed an authenticated check: a cookie would prove nothing more.
        .use_server_cookie(false)
        .flight_start_rto(FIRST_RETRANSMISSION)
        .flight_retries(RETRANSMISSIONS)
        .handshake_timeout(LIBRARY_DEADLINE)
        .max_queue_rx(MAX_REORDERED)
        .build()
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// What a step of the handshake led to.
pub(crate) enum Progress {
    Nothing,
    /// The peer has proved its certificate and it is the announced one.
    Connected(Box<Keys>),
    /// The peer proved another certificate than the announced one.
    FingerprintMismatch,
    /// The peer answered the request for a certificate with none.
    NoCertificate,
    /// The handshake ended without an SRTP profile in common (RFC 5764 §4.1).
    NoProfile,
    /// An attempt broke, and nothing better has come since.
    Broken,
    /// An authenticated close_notify.
    Closed,
}

/// The two directions of SRTP.
pub(crate) struct Keys {
    pub(crate) profile: Profile,
    pub(crate) inbound: srtp::Context,
    pub(crate) outbound: srtp::Context,
}

enum State {
    /// RFC 6347 §4.2.4 PREPARING and WAITING of a server: no ClientHello accepted yet.
    Waiting { not_before: Option<Instant> },
    /// Between ClientHello and the client's Finished.
    Handshaking {
        engine: Box<dimpl::Dtls>,
        handshake: Handshake,
    },
    /// Finished. The engine answers retransmissions of the client's last flight.
    Established { engine: Box<dimpl::Dtls> },
    /// The engine is gone: closed, failed, or broken after the keys were out.
    Ended,
}

/// What a handshake has shown so far.
#[derive(Default)]
struct Handshake {
    certificate: Option<Fingerprint>,
    keys: Option<Box<Keys>>,
    connected: bool,
}

/// Who begins (RFC 4145 §4: the active side is the client).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

pub(crate) struct Dtls {
    identity: Arc<Identity>,
    expected: Fingerprint,
    role: Role,
    state: State,
    queue: VecDeque<Vec<u8>>,
    timeout: Option<Instant>,
    last_error: Option<String>,
    /// When the attempts have to have come to something, after one that broke.
    broken_until: Option<Instant>,
}

impl Dtls {
    pub(crate) fn new(identity: Arc<Identity>, expected: Fingerprint) -> Self {
        Self {
            identity,
            expected,
            role: Role::Server,
            state: State::Waiting { not_before: None },
            queue: VecDeque::new(),
            timeout: None,
            last_error: None,
            broken_until: None,
        }
    }

    /// The client of a server; its ClientHello is ready.
    pub(crate) fn client(now: Instant, identity: Arc<Identity>, expected: Fingerprint) -> Self {
        let (config, certificate) = (identity.config(), identity.certificate());
        let mut engine = Box::new(dimpl::Dtls::new_12(config, certificate, now));
        engine.set_active(true);
        let begun = engine.handle_timeout(now);
        let mut dtls = Self::new(identity, expected);
        dtls.role = Role::Client;
        dtls.state = State::Handshaking {
            engine,
            handshake: Handshake::default(),
        };
        // A handshake that has only begun leads to nothing yet.
        let _ = dtls.after(now, begun);
        dtls
    }

    /// Why the latest attempt broke, in words.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.timeout, self.broken_until]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn pop_transmit(&mut self) -> Option<Vec<u8>> {
        self.queue.pop_front()
    }

    /// Takes a datagram of a validated 5-tuple.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Progress {
        let Some(record) = Record::first(packet) else {
            return Progress::Nothing;
        };
        if record.is_plain_alert() {
            // Anyone could have written it, so it ends nothing; it may explain a time-out.
            if let State::Handshaking { .. } = self.state {
                self.note_break(now, Record::describe_alert(packet));
            }
            return Progress::Nothing;
        }
        if let State::Waiting { not_before } = self.state {
            if self.role == Role::Client
                || !record.is_client_hello(packet)
                || not_before.is_some_and(|at| now < at)
            {
                return Progress::Nothing;
            }
            if Record::offers_dtls_1_0(packet) {
                self.note_break(now, "DTLS version 1.0 is refused".to_owned());
                return Progress::Nothing;
            }
            let (config, certificate) = (self.identity.config(), self.identity.certificate());
            self.state = State::Handshaking {
                engine: Box::new(dimpl::Dtls::new_12(config, certificate, now)),
                handshake: Handshake::default(),
            };
        }
        let result = match &mut self.state {
            State::Waiting { .. } | State::Ended => return Progress::Nothing,
            State::Handshaking { engine, .. } | State::Established { engine } => engine
                .handle_timeout(now)
                .and_then(|()| engine.handle_packet(packet)),
        };
        if result.is_ok() {
            self.broken_until = None;
        }
        self.after(now, result)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Progress {
        if self.broken_until.is_some_and(|at| now >= at) {
            self.end();
            return Progress::Broken;
        }
        if self.timeout.is_none_or(|at| now < at) {
            return Progress::Nothing;
        }
        let result = match &mut self.state {
            State::Waiting { .. } | State::Ended => {
                self.timeout = None;
                return Progress::Nothing;
            }
            State::Handshaking { engine, .. } | State::Established { engine } => {
                engine.handle_timeout(now)
            }
        };
        self.after(now, result)
    }

    /// Queues a close_notify when there is a session to close, and ends.
    pub(crate) fn close(&mut self, now: Instant) {
        if let State::Established { engine } = &mut self.state {
            let _ = engine.handle_timeout(now).and_then(|()| engine.close());
            let _ = self.drain();
        }
        self.end();
    }

    fn note_break(&mut self, now: Instant, error: String) {
        self.last_error = Some(error);
        self.broken_until = self.broken_until.or(now.checked_add(BROKEN_FOR));
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.broken_until = None;
        self.timeout = None;
    }

    fn after(&mut self, now: Instant, result: Result<(), dimpl::Error>) -> Progress {
        let mut progress = self.drain();
        if let (Err(error), Progress::Nothing) = (result, &progress) {
            if let State::Handshaking { .. } = self.state {
                self.note_break(now, error.to_string());
                self.timeout = None;
                self.state = State::Waiting {
                    not_before: now.checked_add(RESTART_PAUSE),
                };
                let none = CertificateError::NoClientCertificateReceived;
                if error == dimpl::Error::CertificateError(none) {
                    progress = Progress::NoCertificate;
                }
            } else {
                self.end();
            }
        }
        match progress {
            Progress::Nothing | Progress::Connected(_) => {}
            Progress::FingerprintMismatch
            | Progress::NoCertificate
            | Progress::NoProfile
            | Progress::Broken
            | Progress::Closed => self.end(),
        }
        progress
    }

    /// Takes everything out of the engine, up to its next deadline.
    fn drain(&mut self) -> Progress {
        let role = self.role;
        let (engine, handshake) = match &mut self.state {
            State::Waiting { .. } | State::Ended => return Progress::Nothing,
            State::Handshaking { engine, handshake } => (engine, Some(handshake)),
            State::Established { engine } => (engine, None),
        };
        let mut ignored = Handshake::default();
        let handshake = handshake.unwrap_or(&mut ignored);
        // The library asserts that a certificate fits. Not kept: a thousand peers have one each.
        let mut scratch = vec![0; MAX_OUTPUT];
        let mut closed = false;
        loop {
            match engine.poll_output(&mut scratch) {
                Output::Packet(packet) if self.queue.len() < MAX_QUEUED => {
                    self.queue.push_back(packet.to_vec());
                }
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    break;
                }
                Output::PeerCert(der) => handshake.certificate = Some(Fingerprint::of(der)),
                Output::KeyingMaterial(material, profile) => {
                    handshake.keys = Keys::from_material(&material, profile, role).map(Box::new);
                }
                Output::Connected => handshake.connected = true,
                Output::CloseNotify => closed = true,
                Output::BufferTooSmall { .. } => break,
                // Application data would be a data channel's; none is negotiated.
                _ => {}
            }
        }
        let finished = handshake.connected.then(|| std::mem::take(handshake));
        match finished {
            _ if closed => Progress::Closed,
            Some(handshake) => self.complete(handshake),
            None => Progress::Nothing,
        }
    }

    /// The client's Finished is verified: whoever sent it holds the key of the certificate shown.
    fn complete(&mut self, handshake: Handshake) -> Progress {
        let State::Handshaking { engine, .. } = std::mem::replace(&mut self.state, State::Ended)
        else {
            return Progress::Nothing;
        };
        match handshake {
            Handshake {
                certificate: None, ..
            } => Progress::NoCertificate,
            Handshake {
                certificate: Some(shown),
                ..
            } if shown != self.expected => Progress::FingerprintMismatch,
            Handshake { keys: None, .. } => Progress::NoProfile,
            Handshake {
                keys: Some(keys), ..
            } => {
                self.state = State::Established { engine };
                Progress::Connected(keys)
            }
        }
    }
}

impl Keys {
    /// Splits the exporter's output (RFC 5764 §4.2): client key, server key, client salt, server
    /// salt.
    fn from_material(material: &[u8], profile: SrtpProfile, role: Role) -> Option<Self> {
        let profile = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Profile::Aes128CmSha1_80,
            SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
            SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
            _ => return None,
        };
        let (client_key, rest) = material.split_at_checked(profile.key_len())?;
        let (server_key, rest) = rest.split_at_checked(profile.key_len())?;
        let (client_salt, rest) = rest.split_at_checked(profile.salt_len())?;
        let (server_salt, _) = rest.split_at_checked(profile.salt_len())?;
        let client = srtp::Context::new(profile, client_key, client_salt).ok()?;
        let server = srtp::Context::new(profile, server_key, server_salt).ok()?;
        let (inbound, outbound) = match role {
            Role::Server => (client, server),
            Role::Client => (server, client),
        };
        Some(Self {
            profile,
            inbound,
            outbound,
        })
    }
}

/// The header of a datagram's first record (RFC 6347 §4.1).
struct Record {
    content_type: u8,
    epoch: u16,
}

impl Record {
    const HEADER: usize = 13;
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;

    /// `None` for what is no DTLS datagram that a browser sends.
    fn first(packet: &[u8]) -> Option<Self> {
        let [content_type, 0xfe, 0xff | 0xfd, e1, e2, ..] = *packet else {
            return None;
        };
        let sized = (Self::HEADER..=MAX_DATAGRAM).contains(&packet.len());
        sized.then_some(Self {
            content_type,
            epoch: u16::from_be_bytes([e1, e2]),
        })
    }

    fn is_client_hello(&self, packet: &[u8]) -> bool {
        self.content_type == Self::HANDSHAKE
            && self.epoch == 0
            && packet.get(Self::HEADER) == Some(&Self::CLIENT_HELLO)
    }

    /// Whether a ClientHello's first fragment has DTLS 1.0 as its highest version (RFC 6347
    /// §4.2.1), behind the two headers.
    fn offers_dtls_1_0(packet: &[u8]) -> bool {
        const FRAGMENT_OFFSET: usize = Record::HEADER + 6;
        const VERSION: usize = Record::HEADER + 12;
        packet.get(FRAGMENT_OFFSET..FRAGMENT_OFFSET + 3) == Some(&[0, 0, 0])
            && packet.get(VERSION..VERSION + 2) == Some(&[0xfe, 0xff])
    }

    fn is_plain_alert(&self) -> bool {
        self.content_type == Self::ALERT && self.epoch == 0
    }

    fn describe_alert(packet: &[u8]) -> String {
        let description = packet.get(Self::HEADER + 1).copied().unwrap_or_default();
        format!("TLS alert {description} was received")
    }
}
