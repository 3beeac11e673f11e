//! What a server is told at its start.

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use crate::{
    Users, limiter::Limiter, peers::RelayPolicy, ports::PortRange, quota::Quotas,
    reservations::Reservations,
};

/// The longest realm whose challenge still fits 2.6 times the smallest Allocate that a browser
/// sends (28 bytes).
pub const MAX_REALM: usize = 20;

/// Where a relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAddress {
    /// What a socket binds to, and what [`crate::Server`] calls the relay by.
    pub local: IpAddr,
    /// What clients are told; behind a 1:1 NAT another.
    pub advertised: IpAddr,
}

impl RelayAddress {
    /// Bound and told alike.
    pub fn at(ip: IpAddr) -> Self {
        Self {
            local: ip,
            advertised: ip,
        }
    }
}

/// How much anybody may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All allocations: 508 beyond.
    pub allocations: usize,
    /// One user's: 486 beyond.
    pub allocations_per_user: usize,
    /// One client address's, of IPv6 one /64's: 486 beyond.
    pub allocations_per_address: usize,
    /// One allocation's permissions, and as many channels: 508 beyond.
    pub permissions: usize,
    /// Bytes a second and allocation, both directions together, payload only. More is dropped.
    pub bandwidth_per_allocation: Option<u64>,
    /// Bytes a second and user, over all of a user's allocations.
    pub bandwidth_per_user: Option<u64>,
    /// Answers a second and source to those who have proven nothing, over UDP.
    pub challenges_per_second: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations: 10_000,
            allocations_per_user: 20,
            allocations_per_address: 1_000,
            permissions: 64,
            bandwidth_per_allocation: None,
            bandwidth_per_user: None,
            challenges_per_second: 10,
        }
    }
}

/// A server's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// REALM, 1 to [`MAX_REALM`] bytes.
    pub realm: String,
    /// Who may relay.
    pub users: Users,
    /// Where IPv4 relays are; without one they are refused with 440.
    pub relay_v4: Option<RelayAddress>,
    /// Where IPv6 relays are.
    pub relay_v6: Option<RelayAddress>,
    /// Relays' ports. Nobody else may use them.
    pub ports: PortRange,
    /// Whom relays lead to.
    pub policy: RelayPolicy,
    /// Quotas and caps.
    pub limits: Limits,
    /// What tokens of reserved ports are made with; none: by this server alone. Servers of one process share it.
    pub reservations: Option<Reservations>,
    /// Where allocations of users and addresses are counted; none: by this server alone.
    pub quotas: Option<Quotas>,
    /// Where answers to strangers are counted; none: by this server alone.
    pub limiter: Option<Limiter>,
    /// How long a nonce serves.
    pub nonce_lifetime: Duration,
    /// The longest LIFETIME that is granted (RFC 8656 §7.2: an hour).
    pub max_lifetime: Duration,
}

impl Config {
    /// Settings that nobody can come in with yet: no users, no relay address.
    pub fn new(realm: impl Into<String>, policy: RelayPolicy) -> Self {
        Self {
            realm: realm.into(),
            users: Users::default(),
            relay_v4: None,
            relay_v6: None,
            ports: PortRange::default(),
            policy,
            limits: Limits::default(),
            reservations: None,
            quotas: None,
            limiter: None,
            nonce_lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(3600),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let realm = &self.realm;
        let is_plain = |c: u8| c.is_ascii_graphic() && c != b'"' && c != b'\\' || c == b' ';
        if realm.is_empty() || realm.len() > MAX_REALM || !realm.bytes().all(is_plain) {
            return Err(ConfigError::Realm(realm.clone()));
        }
        if self.ports.first == 0 || self.ports.first > self.ports.last {
            return Err(ConfigError::Ports(self.ports));
        }
        let v4 = self.relay_v4.is_none_or(|at| both(at, IpAddr::is_ipv4));
        let v6 = self.relay_v6.is_none_or(|at| both(at, IpAddr::is_ipv6));
        if !v4 || !v6 {
            return Err(ConfigError::Family);
        }
        Ok(())
    }
}

fn both(at: RelayAddress, is: impl Fn(&IpAddr) -> bool) -> bool {
    is(&at.local) && is(&at.advertised)
}

/// Settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The realm is empty, too long, or has a character that would have to be quoted.
    #[error(
        "the TURN realm {0:?} must have 1 to {MAX_REALM} printable characters of ASCII, without quotes"
    )]
    Realm(String),
    /// No port is in the range.
    #[error("the range of relay ports {} to {} is empty", .0.first, .0.last)]
    Ports(PortRange),
    /// An IPv6 address where an IPv4 one belongs, or the reverse.
    #[error("a relay's IPv4 address is set to an IPv6 one, or the reverse")]
    Family,
}
