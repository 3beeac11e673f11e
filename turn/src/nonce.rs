//! Nonces that nothing remembers (RFC 8489 §9.2): time and a MAC over time, client and features.
//!
//! Twelve bytes in base 64: three of time in steps of four seconds since the server began, nine of
//! HMAC-SHA256. A challenge that has room for it puts the nonce cookie and the security-feature
//! bits before that; what is offered there is under the MAC too, so it cannot be bid down.

use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::client::{Client, source_bytes};

/// Nonce cookie and feature bits: bit 0, password algorithms, is the leftmost of 24 (RFC 8489
/// §18.1).
const PREFIX: &[u8] = b"obMatJos2gAAA";
const BODY: usize = 16;
/// Bytes of a nonce without feature bits.
pub(crate) const SHORT: usize = BODY;
/// Bytes of a nonce with them.
pub(crate) const LONG: usize = PREFIX.len() + BODY;
/// What the time counts in.
const STEP: u64 = 4;
const TIME_BITS: u32 = 24;

/// What a nonce offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// Nothing beyond RFC 5389: MD5.
    Nothing,
    /// PASSWORD-ALGORITHMS.
    PasswordAlgorithms,
}

/// What a nonce that came back is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fresh(Offered),
    /// Expired, another client's, or never ours: 438.
    Stale,
}

pub(crate) struct Nonces {
    key: hmac::Key,
    began: Instant,
    lifetime: u64,
}

impl Nonces {
    pub(crate) fn new(key: &[u8; 32], began: Instant, lifetime: Duration) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            began,
            lifetime: lifetime.as_secs().div_ceil(STEP),
        }
    }

    fn step(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / STEP
    }

    /// Writes a nonce and returns its length, [`SHORT`] or [`LONG`].
    pub(crate) fn write(
        &self,
        client: Client,
        offered: Offered,
        now: Instant,
        out: &mut [u8; LONG],
    ) -> usize {
        let raw = self.raw(client, offered, self.step(now));
        let start = match offered {
            Offered::Nothing => 0,
            Offered::PasswordAlgorithms => {
                out[..PREFIX.len()].copy_from_slice(PREFIX);
                PREFIX.len()
            }
        };
        let written = STANDARD.encode_slice(raw, &mut out[start..start + BODY]);
        debug_assert_eq!(written, Ok(BODY));
        start + BODY
    }

    fn raw(&self, client: Client, offered: Offered, step: u64) -> [u8; 12] {
        let mut covered = [0; 29];
        covered[..8].copy_from_slice(&step.to_be_bytes());
        covered[8..28].copy_from_slice(&source_bytes(client));
        covered[28] = u8::from(offered == Offered::PasswordAlgorithms);
        let tag = hmac::sign(&self.key, &covered);
        let mut raw = [0; 12];
        raw[..3].copy_from_slice(&covered[5..8]);
        raw[3..].copy_from_slice(&tag.as_ref()[..9]);
        raw
    }

    pub(crate) fn check(&self, nonce: &[u8], client: Client, now: Instant) -> Verdict {
        let (offered, body) = match nonce.strip_prefix(PREFIX) {
            Some(body) => (Offered::PasswordAlgorithms, body),
            None => (Offered::Nothing, nonce),
        };
        let mut raw = [0; 12];
        if body.len() != BODY || STANDARD.decode_slice(body, &mut raw) != Ok(raw.len()) {
            return Verdict::Stale;
        }
        let now = self.step(now);
        let said = u64::from(u32::from_be_bytes([0, raw[0], raw[1], raw[2]]));
        // The MAC is over the whole time, so one of a former round of the 24 bits does not hold.
        let age = now.wrapping_sub(said) & ((1 << TIME_BITS) - 1);
        let Some(step) = now.checked_sub(age) else {
            return Verdict::Stale;
        };
        let expected = self.raw(client, offered, step);
        let holds = constant_time::verify_slices_are_equal(&expected, &raw).is_ok();
        if holds && age < self.lifetime {
            Verdict::Fresh(offered)
        } else {
            Verdict::Stale
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    fn client(port: u16) -> Client {
        Client {
            transport: Transport::Udp,
            server: ([192, 0, 2, 1], 3478).into(),
            address: ([198, 51, 100, 1], port).into(),
        }
    }

    fn make(nonces: &Nonces, offered: Offered, now: Instant) -> Vec<u8> {
        let mut out = [0; LONG];
        let len = nonces.write(client(1), offered, now, &mut out);
        out[..len].to_vec()
    }

    #[test]
    fn a_nonce_holds_for_its_client_and_its_time() {
        let start = Instant::now();
        let nonces = Nonces::new(&[1; 32], start, Duration::from_secs(600));
        for offered in [Offered::Nothing, Offered::PasswordAlgorithms] {
            let nonce = make(&nonces, offered, start);
            let at = |secs| start + Duration::from_secs(secs);
            let check = |secs, port| nonces.check(&nonce, client(port), at(secs));
            assert_eq!(check(0, 1), Verdict::Fresh(offered));
            assert_eq!(check(599, 1), Verdict::Fresh(offered));
            assert_eq!(check(600, 1), Verdict::Stale);
            assert_eq!(check(0, 2), Verdict::Stale);
            let over_tcp = Client {
                transport: Transport::Tcp,
                ..client(1)
            };
            assert_eq!(nonces.check(&nonce, over_tcp, start), Verdict::Stale);
            // When the 24 bits have gone round, it is not fresh again.
            assert_eq!(check(STEP << TIME_BITS, 1), Verdict::Stale);
        }
    }

    #[test]
    fn no_changed_byte_holds_and_features_are_not_bid_down() {
        let start = Instant::now();
        let nonces = Nonces::new(&[1; 32], start, Duration::from_secs(600));
        let now = start + Duration::from_secs(100);
        let nonce = make(&nonces, Offered::PasswordAlgorithms, now);
        for index in 0..nonce.len() {
            let mut forged = nonce.clone();
            forged[index] ^= 1;
            assert_eq!(nonces.check(&forged, client(1), now), Verdict::Stale);
        }
        let stripped = &nonce[PREFIX.len()..];
        assert_eq!(nonces.check(stripped, client(1), now), Verdict::Stale);
        let mut added = PREFIX.to_vec();
        added.extend(make(&nonces, Offered::Nothing, now));
        assert_eq!(nonces.check(&added, client(1), now), Verdict::Stale);
        let other = Nonces::new(&[2; 32], start, Duration::from_secs(600));
        assert_eq!(other.check(&nonce, client(1), now), Verdict::Stale);
        assert_eq!(nonces.check(b"", client(1), now), Verdict::Stale);
    }

    #[test]
    fn nonces_are_of_the_characters_that_clients_repeat() {
        let nonces = Nonces::new(&[1; 32], Instant::now(), Duration::from_secs(600));
        let nonce = make(&nonces, Offered::PasswordAlgorithms, Instant::now());
        assert!(nonce.starts_with(b"obMatJos2gAAA"));
        assert!(
            nonce
                .iter()
                .all(|c| c.is_ascii_graphic() && *c != b'"' && *c != b'\\')
        );
    }
}
