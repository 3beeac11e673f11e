//! Tokens of reserved ports (RFC 8656 §7.2) that every server of a process understands: the client's next 5-tuple may come to
//! another one, whose own ports are others. (Where relays are virtual all servers have the same ports, and each knows its own
//! reservations alone: nobody needs two of those.)
//!
//! Eight bytes: the step of time, the port, five of HMAC-SHA256 over both and the address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, hmac};

/// How long a port is reserved at least; a token holds for one to two of them.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);

/// What tokens are made with. Clones understand each other's.
#[derive(Clone)]
pub struct Reservations {
    key: hmac::Key,
    began: Instant,
}

impl Reservations {
    /// `key` must be secret; time counts from `began`.
    pub fn new(key: &[u8; 32], began: Instant) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, began }
    }

    fn step(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / LIFETIME.as_secs()
    }

    fn mac(&self, port: SocketAddr, step: u64) -> [u8; 5] {
        let mut message = [0; 26];
        match port.ip() {
            IpAddr::V4(ip) => message[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => message[..16].copy_from_slice(&ip.octets()),
        }
        message[16..18].copy_from_slice(&port.port().to_be_bytes());
        message[18..].copy_from_slice(&step.to_be_bytes());
        let tag = hmac::sign(&self.key, &message);
        let mut mac = [0; 5];
        mac.copy_from_slice(&tag.as_ref()[..5]);
        mac
    }

    pub(crate) fn token(&self, port: SocketAddr, now: Instant) -> [u8; 8] {
        let step = self.step(now);
        let [high, low] = port.port().to_be_bytes();
        let [a, b, c, d, e] = self.mac(port, step);
        [step as u8, high, low, a, b, c, d, e]
    }

    /// The port that a token is for, on one of these addresses.
    pub(crate) fn port(
        &self,
        token: [u8; 8],
        addresses: impl Iterator<Item = IpAddr>,
        now: Instant,
    ) -> Option<SocketAddr> {
        let [said, high, low, mac @ ..] = token;
        let step = self.step(now);
        let step = [step, step.saturating_sub(1)]
            .into_iter()
            .find(|step| *step as u8 == said)?;
        let number = u16::from_be_bytes([high, low]);
        let ports = addresses.map(|ip| SocketAddr::new(ip, number));
        let genuine = |port: &SocketAddr| {
            constant_time::verify_slices_are_equal(&self.mac(*port, step), &mac).is_ok()
        };
        let mut ports = ports.filter(genuine);
        ports.next()
    }
}

impl fmt::Debug for Reservations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reservations(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_port_for_a_while_and_to_who_has_the_key() {
        let began = Instant::now();
        let ours = Reservations::new(&[1; 32], began);
        let port: SocketAddr = "192.0.2.1:50001".parse().unwrap();
        let both = || ["2001:db8::1".parse().unwrap(), port.ip()].into_iter();
        let at = |seconds| began + Duration::from_secs(seconds);
        let token = ours.token(port, at(7701));
        assert_eq!(ours.clone().port(token, both(), at(7701)), Some(port));
        assert_eq!(ours.port(token, both(), at(7731)), Some(port));
        assert_eq!(ours.port(token, both(), at(7770)), None);
        assert_eq!(ours.port(token, both().take(1), at(7701)), None);
        let others = Reservations::new(&[2; 32], began);
        assert_eq!(others.port(token, both(), at(7701)), None);
        for place in 0..8 {
            let mut forged = token;
            forged[place] ^= 1;
            assert_eq!(ours.port(forged, both(), at(7701)), None, "{place}");
        }
    }
}
