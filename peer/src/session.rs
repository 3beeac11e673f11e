//! DTLS-SRTP without ICE: with a trunk, whose address its session description has told (RFC 5763).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dtls::{Dtls, Keys, Progress};
use crate::identity::{Fingerprint, Identity};
use crate::srtp::{self, Profile};

/// One side of a session: its handshake, then its keys. Sans-IO.
pub struct DtlsSession {
    dtls: Dtls,
    keys: Option<Box<Keys>>,
    /// When the handshake must have finished.
    deadline: Option<Instant>,
}

/// What the caller should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The handshake has finished, the certificate is the announced one, SRTP keys are in place.
    Connected {
        /// The protection profile.
        profile: Profile,
    },
    /// No media will ever flow.
    Failed(SessionFailure),
    /// They closed the session (an authenticated close_notify).
    Closed,
}

/// Why a session failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionFailure {
    /// They proved another certificate than the announced one (RFC 8122 §6.2).
    #[error("the certificate is not the one that the session description announced")]
    FingerprintMismatch,
    /// They showed no certificate.
    #[error(
        "no certificate was shown; ours is ECDSA P-256, and theirs must be ECDSA too: RSA is not taken"
    )]
    NoCertificate,
    /// There is no SRTP profile in common.
    #[error("no SRTP profile in common")]
    NoSrtpProfile,
    /// The handshake broke, and nothing better came within five seconds.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
    /// The handshake did not finish before the deadline.
    #[error("the DTLS handshake did not finish within {0:?}")]
    Timeout(Duration),
}

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

impl std::fmt::Debug for DtlsSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let profile = self.keys.as_ref().map(|keys| keys.profile);
        write!(f, "DtlsSession({profile:?})")
    }
}

impl DtlsSession {
    /// A session with the owner of the certificate of that fingerprint. The active side begins the handshake
    /// (RFC 4145 §4): its first datagram is ready at once.
    pub fn new(
        now: Instant,
        identity: Arc<Identity>,
        fingerprint: Fingerprint,
        active: bool,
    ) -> Self {
        let dtls = match active {
            true => Dtls::client(now, identity, fingerprint),
            false => Dtls::new(identity, fingerprint),
        };
        Self {
            dtls,
            keys: None,
            deadline: now.checked_add(HANDSHAKE_TIMEOUT),
        }
    }

    /// Takes a DTLS datagram from them.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Option<SessionEvent> {
        let progress = self.dtls.handle_packet(now, datagram);
        self.event(progress)
    }

    /// Writes nothing, allocates nothing: the next datagram to send, if there is one.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.dtls.pop_transmit()
    }

    /// When [`DtlsSession::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.dtls.poll_timeout(), self.deadline];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<SessionEvent> {
        if self.deadline.take_if(|at| *at <= now).is_some() {
            self.dtls.close(now);
            let failure = match self.dtls.last_error() {
                Some(error) => SessionFailure::Handshake(error.to_owned()),
                None => SessionFailure::Timeout(HANDSHAKE_TIMEOUT),
            };
            return Some(SessionEvent::Failed(failure));
        }
        let progress = self.dtls.handle_timeout(now);
        self.event(progress)
    }

    /// Says goodbye, if there is a session; the datagram is ready.
    pub fn close(&mut self, now: Instant) {
        self.deadline = None;
        self.dtls.close(now);
    }

    /// Both directions' keys, once there are any.
    pub fn keys(&mut self) -> Option<(&mut srtp::Context, &mut srtp::Context)> {
        let keys = self.keys.as_mut()?;
        Some((&mut keys.inbound, &mut keys.outbound))
    }

    fn event(&mut self, progress: Progress) -> Option<SessionEvent> {
        let failure = match progress {
            Progress::Nothing => return None,
            Progress::Connected(keys) => {
                let profile = keys.profile;
                self.keys = Some(keys);
                self.deadline = None;
                return Some(SessionEvent::Connected { profile });
            }
            Progress::Closed => return Some(SessionEvent::Closed),
            Progress::FingerprintMismatch => SessionFailure::FingerprintMismatch,
            Progress::NoCertificate => SessionFailure::NoCertificate,
            Progress::NoProfile => SessionFailure::NoSrtpProfile,
            Progress::Broken => {
                let error = self.dtls.last_error().unwrap_or_default();
                SessionFailure::Handshake(error.to_owned())
            }
        };
        self.deadline = None;
        Some(SessionEvent::Failed(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Arc<Identity> {
        Arc::new(Identity::generate().unwrap())
    }

    /// Two sides and what they have told so far. Datagrams cross at once, the first `lost` of them not at all.
    fn meet(
        now: &mut Instant,
        sides: &mut [DtlsSession; 2],
        mut lost: usize,
    ) -> [Vec<SessionEvent>; 2] {
        let mut told = [Vec::new(), Vec::new()];
        for _ in 0..200 {
            let mut quiet = true;
            for from in [0, 1] {
                let to = 1 - from;
                while let Some(datagram) = sides[from].poll_transmit() {
                    quiet = false;
                    if lost > 0 {
                        lost -= 1;
                        continue;
                    }
                    told[to].extend(sides[to].handle_datagram(*now, &datagram));
                }
            }
            let deadlines = sides.iter().filter_map(DtlsSession::poll_timeout);
            match deadlines.min() {
                Some(at) if quiet => {
                    *now = (*now).max(at);
                    for (side, told) in sides.iter_mut().zip(&mut told) {
                        told.extend(side.handle_timeout(*now));
                    }
                }
                None if quiet => break,
                _ => {}
            }
        }
        told
    }

    fn pair(now: Instant) -> [DtlsSession; 2] {
        let (a, b) = (identity(), identity());
        [
            DtlsSession::new(now, Arc::clone(&a), b.fingerprint(), true),
            DtlsSession::new(now, b, a.fingerprint(), false),
        ]
    }

    fn profile(told: &[SessionEvent]) -> Profile {
        match told {
            [SessionEvent::Connected { profile }] => *profile,
            other => panic!("not connected: {other:?}"),
        }
    }

    #[test]
    fn both_roles_meet_and_understand_each_other() {
        for lost in [0, 1, 3] {
            let mut now = Instant::now();
            let mut sides = pair(now);
            let told = meet(&mut now, &mut sides, lost);
            assert_eq!(profile(&told[0]), profile(&told[1]));
            for from in [0, 1] {
                let header = [0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
                let plain = [&header[..], &[42; 16]].concat();
                let mut packet = [0; 64];
                packet[..28].copy_from_slice(&plain);
                let (_, outbound) = sides[from].keys().unwrap();
                let len = outbound.protect_rtp(&mut packet, 28).unwrap();
                assert_ne!(packet[12..28], plain[12..]);
                let (inbound, _) = sides[1 - from].keys().unwrap();
                let len = inbound.unprotect_rtp(&mut packet[..len]).unwrap();
                assert_eq!(packet[..len], plain);
            }
        }
    }

    #[test]
    fn another_certificate_than_the_announced_one_is_refused_by_either_role() {
        for stranger in [0, 1] {
            let mut now = Instant::now();
            let (a, b) = (identity(), identity());
            let announced = identity().fingerprint();
            let of =
                |side: usize, real: Fingerprint| if side == stranger { announced } else { real };
            let mut sides = [
                DtlsSession::new(now, Arc::clone(&a), of(1, b.fingerprint()), true),
                DtlsSession::new(now, b, of(0, a.fingerprint()), false),
            ];
            let told = meet(&mut now, &mut sides, 0);
            let refused = SessionEvent::Failed(SessionFailure::FingerprintMismatch);
            assert!(
                told[1 - stranger].contains(&refused),
                "{stranger}: {told:?}"
            );
            assert!(sides[1 - stranger].keys().is_none());
        }
    }

    #[test]
    fn who_never_answers_is_given_up() {
        let mut now = Instant::now();
        let mut sides = pair(now);
        let told = meet(&mut now, &mut sides, usize::MAX);
        let failed = SessionEvent::Failed(SessionFailure::Timeout(HANDSHAKE_TIMEOUT));
        assert_eq!(told[0], std::slice::from_ref(&failed));
        assert_eq!(told[1], [failed]);
    }

    #[test]
    fn closing_is_told() {
        let mut now = Instant::now();
        let mut sides = pair(now);
        meet(&mut now, &mut sides, 0);
        sides[0].close(now);
        let told = meet(&mut now, &mut sides, 0);
        assert_eq!(told[1], [SessionEvent::Closed]);
    }
}
