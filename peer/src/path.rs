//! The 5-tuple, with what carries it.

use std::fmt;
use std::net::SocketAddr;

/// What carries a browser's datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Themselves.
    Udp,
    /// A TCP connection, each with its length before it (RFC 6544, RFC 4571).
    Tcp,
    /// A TURN server in this process (RFC 8656): its relayed address is the browser's, and no datagram is sent to it.
    Turn(Relay),
}

/// Which of the process's TURN servers, and how its client reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relay {
    /// The number of the server.
    pub server: u8,
    /// How the client reaches it.
    pub over: RelayOver,
}

/// How a TURN client reaches its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelayOver {
    /// By datagrams.
    Udp,
    /// By a TCP connection.
    Tcp,
    /// By TLS.
    Tls,
}

/// Where a datagram came in and where it came from; on the way out, the same two ends.
///
/// A browser with one socket reaches a gateway with several addresses on several paths, and sends
/// consent checks on each: media must leave by the very address that the nominated pair uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// What carries it.
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// The browser's, as we see it.
    pub remote: SocketAddr,
}

impl Path {
    /// A path of plain datagrams.
    pub fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            transport: Transport::Udp,
            local,
            remote,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} from {}, by {}",
            self.remote, self.local, self.transport
        )
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "ICE-TCP",
            Self::Turn(Relay { over, .. }) => match over {
                RelayOver::Udp => "TURN over UDP",
                RelayOver::Tcp => "TURN over TCP",
                RelayOver::Tls => "TURN over TLS",
            },
        })
    }
}
