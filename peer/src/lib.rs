//! One browser's transport: ICE-lite, DTLS and SRTP on one 5-tuple, sans-IO.
//!
//! A [`Peer`] is told datagrams, their source and the time; it gives back decrypted RTP and RTCP,
//! datagrams to send, events and its next deadline. It opens no socket and reads no clock.
//!
//! ```text
//!            ┌ demux (RFC 7983) ┬ STUN ─▶ ice   validates 5-tuples, nominates, keeps consent
//! datagram ──┤                  ├ DTLS ─▶ dtls  only from a validated 5-tuple; yields keys
//!            └                  └ RTP  ─▶ srtp  only from a validated 5-tuple, only with keys
//! ```
//!
//! A trunk that has DTLS-SRTP but no ICE has a [`DtlsSession`].
//!
//! One piece of randomness is not handed in: `dimpl` and `aws-lc-rs`, the cryptographic libraries,
//! take the key exchange's and the signatures' from the operating system themselves.

pub mod demux;
mod dtls;
mod ice;
mod identity;
mod path;
mod peer;
mod session;
pub mod srtp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use ice::{IceCredentials, InvalidCredentials};
pub use identity::{Fingerprint, Identity, IdentityError, InvalidFingerprint};
pub use path::{Path, Relay, RelayOver, Transport};
pub use peer::{
    CONSENT_TIMEOUT, Error, HANDSHAKE_TIMEOUT, Peer, PeerConfig, PeerEvent, PeerFailure, Received,
    Statistics,
};
pub use session::{DtlsSession, SessionEvent, SessionFailure};
