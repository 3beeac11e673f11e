//! What `auto` needs to know of the machine: which of its addresses a destination is reached from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

/// How long start-up waits for a trunk's name.
const NAME_DEADLINE: Duration = Duration::from_secs(2);

/// The machine's routes.
pub(super) trait Routes {
    /// The local address from which packets to `destination` leave.
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr>;
    /// An address of a host.
    fn resolve(&self, host: &str) -> Option<IpAddr>;

    /// The local address of the default route. The destinations are documentation's: nobody's.
    fn default_source(&self) -> Option<IpAddr> {
        self.source_for(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))
            .or_else(|| self.source_for(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))))
    }
}

/// The routes of the machine we run on.
pub(super) struct SystemRoutes;

impl Routes for SystemRoutes {
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        let any: IpAddr = match destination {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Connecting a UDP socket looks up the route and sends nothing.
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(SocketAddr::new(destination, 9)).ok()?;
        let source = socket.local_addr().ok()?.ip();
        (!source.is_unspecified()).then_some(source)
    }

    fn resolve(&self, host: &str) -> Option<IpAddr> {
        let host = host.to_owned();
        let (sender, receiver) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let addresses = (host.as_str(), 0).to_socket_addrs();
            let address = addresses.ok().and_then(|mut found| found.next());
            // The receiver may have given up waiting.
            let _ = sender.send(address.map(|address| address.ip()));
        });
        receiver.recv_timeout(NAME_DEADLINE).ok().flatten()
    }
}
