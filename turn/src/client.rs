//! Who sends: the 5-tuple.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// What carries STUN between a client and us (RFC 8656 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One message a datagram.
    Udp,
    /// A stream (see [`crate::framing`]).
    Tcp,
    /// A stream inside TLS.
    Tls,
}

impl Transport {
    /// Whether messages follow each other in a stream, ChannelData padded to four bytes (RFC 8656
    /// §12.5), from an address that cannot be forged.
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }

    fn number(self) -> u8 {
        match self {
            Self::Udp => 0,
            Self::Tcp => 1,
            Self::Tls => 2,
        }
    }
}

/// A client, by its 5-tuple (RFC 8656 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// How it reaches us.
    pub transport: Transport,
    /// Our address.
    pub server: SocketAddr,
    /// Its address, as we see it.
    pub address: SocketAddr,
}

impl Hash for Client {
    /// In one piece: a hash of many small writes takes twice as long.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = [0; 40];
        let (ours, theirs) = bytes.split_at_mut(20);
        write_address(ours, self.server);
        write_address(theirs, self.address);
        bytes[18] = self.transport.number();
        state.write(&bytes);
    }
}

/// Sixteen bytes of address, two of port, one of family.
fn write_address(out: &mut [u8], address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => out[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out[..16].copy_from_slice(&ip.octets()),
    }
    out[16..18].copy_from_slice(&address.port().to_be_bytes());
    out[19] = u8::from(address.is_ipv6());
}

/// What a nonce is bound to: transport and address of the client, 20 bytes.
pub(crate) fn source_bytes(client: Client) -> [u8; 20] {
    let mut bytes = [0; 20];
    write_address(&mut bytes, client.address);
    bytes[18] = client.transport.number();
    bytes
}

/// An address and port as a key of a map, hashed in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = [0; 20];
        write_address(&mut bytes, self.0);
        state.write(&bytes);
    }
}

/// Where somebody is, as far as quotas and limits count: an IPv4 address, or an IPv6 /64, since
/// anybody has a whole one of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(u64, bool);

impl Source {
    pub(crate) fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits()), false),
            IpAddr::V6(ip) => Self((ip.to_bits() >> 64) as u64, true),
        }
    }
}

/// Both clocks: one that never jumps for everything that runs out, and the calendar's for
/// credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// Seconds since 1970, UTC.
    pub unix: u64,
}

/// SipHash under a secret: whoever chooses keys cannot choose where they collide.
#[derive(Debug, Clone)]
pub(crate) struct Keyed(DefaultHasher);

impl Keyed {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let mut state = DefaultHasher::new();
        state.write(&key);
        Self(state)
    }
}

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}
