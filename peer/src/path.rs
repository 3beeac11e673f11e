//! The 5-tuple, transport being UDP.

use std::fmt;
use std::net::SocketAddr;

/// Where a datagram came in and where it came from; on the way out, the same two ends.
///
/// A browser with one socket reaches a gateway with several addresses on several paths, and sends
/// consent checks on each: media must leave by the very address that the nominated pair uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Our address.
    pub local: SocketAddr,
    /// The browser's, as we see it.
    pub remote: SocketAddr,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.remote, self.local)
    }
}
