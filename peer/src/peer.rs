//! A peer: ICE, DTLS and SRTP behind one port, as one machine.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::demux::{self, Kind};
use crate::dtls::{Dtls, Keys, Progress};
use crate::ice::{Agent, Change, Checked, IceCredentials, InvalidCredentials, MAX_ANSWER};
use crate::identity::{Fingerprint, Identity};
use crate::path::Path;
use crate::srtp::{self, Profile};

/// Answers and handshake datagrams that wait for [`Peer::poll_transmit`]; more are dropped, and
/// the browser repeats what they answered.
const MAX_TRANSMITS: usize = 64;
/// Events that wait for [`Peer::poll_event`]; more path changes are dropped.
const MAX_EVENTS: usize = 32;

/// What a peer is made of.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Our certificate, shared.
    pub identity: Arc<Identity>,
    /// Our ICE credentials, as answered.
    pub local: IceCredentials,
    /// The browser's ICE credentials, as offered.
    pub remote: IceCredentials,
    /// The SHA-256 of the browser's certificate, as offered in `a=fingerprint`.
    pub fingerprint: Fingerprint,
    /// How long a path lives after its last authenticated check: 30 s by RFC 7675 §5.1.
    pub consent_timeout: Duration,
    /// How long after [`Peer::new`] ICE and DTLS may take together.
    pub handshake_timeout: Duration,
}

/// Consent expires 30 s after the last check (RFC 7675 §5.1).
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A usual [`PeerConfig::handshake_timeout`].
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a datagram was, after authentication and in place decryption.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Nothing for the caller: STUN, DTLS, or dropped and counted.
    Nothing,
    /// A plain RTP packet.
    Rtp(&'a mut [u8]),
    /// A plain compound RTCP packet.
    Rtcp(&'a mut [u8]),
}

/// What the caller should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// The first nominated path, or the first after consent was lost.
    PathSelected(Path),
    /// Another path is selected: media goes there from now on.
    PathChanged(Path),
    /// DTLS has finished, the certificate is the announced one, SRTP keys are in place.
    Connected {
        /// The protection profile.
        profile: Profile,
    },
    /// No media will ever flow: the call ends. Nothing is accepted or sent any more.
    Failed(PeerFailure),
    /// No path has had a check for the consent timeout: nothing is sent until one has (RFC 7675).
    ConsentLost,
    /// The browser closed the session (an authenticated close_notify).
    Closed,
}

/// Why a peer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerFailure {
    /// The browser proved another certificate than its offer announced (RFC 8122 §6.2).
    #[error("the browser's certificate is not the one its offer announced")]
    FingerprintMismatch,
    /// The browser showed no certificate.
    #[error("the browser showed no certificate")]
    NoCertificate,
    /// The browser and we have no SRTP profile in common.
    #[error("no SRTP profile in common")]
    NoSrtpProfile,
    /// The handshake broke, and nothing better came within five seconds.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
    /// ICE went well and DTLS did not finish before the deadline.
    #[error("the DTLS handshake did not finish in time")]
    HandshakeTimeout,
    /// No authenticated check arrived before the deadline.
    #[error("no ICE check arrived in time")]
    IceTimeout,
}

/// Why a call to a [`Peer`] was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Credentials that ICE does not allow.
    #[error(transparent)]
    Credentials(#[from] InvalidCredentials),
    /// There are no SRTP keys (yet, or any more).
    #[error("not connected")]
    NotConnected,
    /// The packet could not be protected.
    #[error(transparent)]
    Srtp(#[from] srtp::Error),
}

/// Datagrams dropped, by reason, and checks answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Authenticated checks, answered.
    pub checks: u64,
    /// STUN that was malformed, not addressed to us or not authenticated.
    pub bad_checks: u64,
    /// DTLS, RTP or RTCP from a 5-tuple that no authenticated check has validated.
    pub unvalidated: u64,
    /// RTP or RTCP before there were keys.
    pub early: u64,
    /// SRTP or SRTCP with a wrong tag, or malformed.
    pub bad_media: u64,
    /// SRTP or SRTCP seen before, or older than the replay window.
    pub replayed: u64,
    /// Datagrams of no known kind.
    pub unknown: u64,
    /// Answers dropped because nobody polled for them.
    pub unsent: u64,
}

/// Where a peer is in its life.
enum Session {
    /// ICE (RFC 8445) and DTLS (RFC 6347) under way, until `deadline`.
    Connecting { deadline: Instant },
    /// SRTP keys in place (RFC 5764 §4.2).
    Connected(Box<Keys>),
    /// Failed or closed: deaf and mute.
    Ended,
}

/// One browser's transport.
pub struct Peer {
    agent: Agent,
    dtls: Dtls,
    session: Session,
    /// Where the latest DTLS datagram came from.
    dtls_path: Option<Path>,
    transmits: VecDeque<(Vec<u8>, Path)>,
    events: VecDeque<PeerEvent>,
    statistics: Statistics,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({:?})", self.agent.selected())
    }
}

impl Peer {
    /// A peer that waits for its browser's checks. Fails only on malformed credentials.
    pub fn new(now: Instant, config: PeerConfig) -> Result<Self, Error> {
        config.local.validate()?;
        config.remote.validate()?;
        Ok(Self {
            agent: Agent::new(&config.local, &config.remote, config.consent_timeout),
            dtls: Dtls::new(config.identity, config.fingerprint),
            session: Session::Connecting {
                deadline: now + config.handshake_timeout,
            },
            dtls_path: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            statistics: Statistics::default(),
        })
    }

    /// Takes a datagram from the shared port. Media is decrypted in place; a bad packet is dropped
    /// and counted and never ends anything. Allocates nothing for media.
    pub fn handle_packet<'a>(
        &mut self,
        now: Instant,
        path: Path,
        packet: &'a mut [u8],
    ) -> Received<'a> {
        if let Session::Ended = self.session {
            return Received::Nothing;
        }
        match demux::classify(packet) {
            Kind::Stun => self.handle_stun(now, path, packet),
            Kind::Unknown => self.statistics.unknown += 1,
            _ if !self.agent.is_validated(path) => self.statistics.unvalidated += 1,
            Kind::Dtls => {
                self.dtls_path = Some(path);
                let progress = self.dtls.handle_packet(now, packet);
                self.progress(progress);
            }
            Kind::Rtp => return self.handle_media(path, packet, false),
            Kind::Rtcp => return self.handle_media(path, packet, true),
        }
        Received::Nothing
    }

    /// Protects the RTP packet in `buffer[..len]` in place and returns its new length. The buffer
    /// needs [`srtp::MAX_OVERHEAD`] bytes after the packet.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        match &mut self.session {
            Session::Connected(keys) => Ok(keys.outbound.protect_rtp(buffer, len)?),
            _ => Err(Error::NotConnected),
        }
    }

    /// Protects the compound RTCP packet in `buffer[..len]` in place and returns its new length.
    /// The buffer needs [`srtp::MAX_OVERHEAD`] bytes after the packet.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        match &mut self.session {
            Session::Connected(keys) => Ok(keys.outbound.protect_rtcp(buffer, len)?),
            _ => Err(Error::NotConnected),
        }
    }

    /// Where media goes: the selected path, validated, nominated and consented to. With `None`
    /// nothing may be sent.
    pub fn selected_path(&self) -> Option<Path> {
        match self.session {
            Session::Ended => None,
            _ => self.agent.selected(),
        }
    }

    /// Whether an authenticated check has validated this 5-tuple, within the consent timeout.
    pub fn is_validated(&self, path: Path) -> bool {
        self.agent.is_validated(path)
    }

    /// Whether SRTP keys are in place.
    pub fn is_connected(&self) -> bool {
        matches!(self.session, Session::Connected(_))
    }

    /// RFC 8445 §9: new credentials after an offer with new ones. DTLS and SRTP live on; old paths
    /// and credentials serve until a pair is nominated with the new.
    pub fn restart_ice(&mut self, _now: Instant, local: IceCredentials, remote: IceCredentials) {
        self.agent.restart(&local, &remote);
    }

    /// Ends the session, with a close_notify if it was up: poll for it once more.
    pub fn close(&mut self, now: Instant) {
        self.dtls.close(now);
        self.queue_dtls();
        self.session = Session::Ended;
    }

    /// The next datagram to send: its length in `buffer` and where it goes. A datagram that does
    /// not fit is dropped; 1500 bytes always do.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<(usize, Path)> {
        loop {
            let (datagram, to) = self.transmits.pop_front()?;
            if let Some(room) = buffer.get_mut(..datagram.len()) {
                room.copy_from_slice(&datagram);
                return Some((datagram.len(), to));
            }
            self.statistics.unsent += 1;
        }
    }

    /// When [`Peer::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = match self.session {
            Session::Ended => return None,
            Session::Connecting { deadline } => Some(deadline),
            Session::Connected(_) => None,
        };
        let timers = [
            deadline,
            self.agent.poll_timeout(),
            self.dtls.poll_timeout(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Does what is due. Early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Session::Ended = self.session {
            return;
        }
        let change = self.agent.handle_timeout(now);
        self.changed(change);
        let progress = self.dtls.handle_timeout(now);
        self.progress(progress);
        if let Session::Connecting { deadline } = self.session
            && now >= deadline
        {
            let failure = match self.dtls.last_error() {
                Some(error) => PeerFailure::Handshake(error.to_owned()),
                None if self.agent.has_been_checked() => PeerFailure::HandshakeTimeout,
                None => PeerFailure::IceTimeout,
            };
            self.fail(failure);
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// Counts since the beginning.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    fn handle_stun(&mut self, now: Instant, path: Path, packet: &[u8]) {
        let mut answer = [0; MAX_ANSWER];
        match self.agent.handle_check(now, path, packet, &mut answer) {
            Checked::Dropped => self.statistics.bad_checks += 1,
            Checked::Answered { len, change } => {
                self.statistics.checks += 1;
                if let Some(answer) = answer.get(..len) {
                    self.queue(answer.to_vec(), path);
                }
                self.changed(change);
            }
        }
    }

    fn handle_media<'a>(
        &mut self,
        path: Path,
        packet: &'a mut [u8],
        is_rtcp: bool,
    ) -> Received<'a> {
        let Session::Connected(keys) = &mut self.session else {
            self.statistics.early += 1;
            return Received::Nothing;
        };
        let result = if is_rtcp {
            keys.inbound.unprotect_rtcp(packet)
        } else {
            keys.inbound.unprotect_rtp(packet)
        };
        let plain = match result {
            Ok(len) => packet.get_mut(..len),
            Err(srtp::Error::Replayed | srtp::Error::TooOld) => {
                self.statistics.replayed += 1;
                None
            }
            Err(_) => {
                self.statistics.bad_media += 1;
                None
            }
        };
        let Some(plain) = plain else {
            return Received::Nothing;
        };
        let change = self.agent.media_arrived(path);
        self.changed(change);
        if is_rtcp {
            Received::Rtcp(plain)
        } else {
            Received::Rtp(plain)
        }
    }

    fn changed(&mut self, change: Option<Change>) {
        let event = match change {
            None => return,
            Some(Change::Selected(to)) => PeerEvent::PathSelected(to),
            Some(Change::Moved(to)) => PeerEvent::PathChanged(to),
            Some(Change::ConsentLost) => PeerEvent::ConsentLost,
        };
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Nothing => self.queue_dtls(),
            Progress::Connected(keys) => {
                self.queue_dtls();
                self.events.push_back(PeerEvent::Connected {
                    profile: keys.profile,
                });
                self.session = Session::Connected(keys);
            }
            // Not even our Finished goes out.
            Progress::FingerprintMismatch => self.fail(PeerFailure::FingerprintMismatch),
            Progress::NoCertificate => {
                self.queue_dtls();
                self.fail(PeerFailure::NoCertificate);
            }
            Progress::Broken => {
                let error = self.dtls.last_error().unwrap_or_default().to_owned();
                self.fail(PeerFailure::Handshake(error));
            }
            Progress::NoProfile => self.fail(PeerFailure::NoSrtpProfile),
            Progress::Closed => {
                self.queue_dtls();
                self.events.push_back(PeerEvent::Closed);
                self.session = Session::Ended;
            }
        }
    }

    fn fail(&mut self, failure: PeerFailure) {
        self.events.push_back(PeerEvent::Failed(failure));
        self.session = Session::Ended;
    }

    /// Handshakes go where the browser's side of them last came from: it may begin before a
    /// nomination, and move with one.
    fn queue_dtls(&mut self) {
        let source = self.dtls_path.filter(|path| self.is_validated(*path));
        let to = source.or(self.agent.selected());
        while let Some(datagram) = self.dtls.pop_transmit() {
            if let Some(to) = to {
                self.queue(datagram, to);
            }
        }
    }

    fn queue(&mut self, datagram: Vec<u8>, to: Path) {
        if self.transmits.len() < MAX_TRANSMITS {
            self.transmits.push_back((datagram, to));
        } else {
            self.statistics.unsent += 1;
        }
    }
}
