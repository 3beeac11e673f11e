//! Datagrams that were not delivered: ICMP errors, by way of the socket's error queue (ip(7),
//! `IP_RECVERR`). A socket that talks to many hears of them in no other way.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// Whether sending failed for an ICMP error that an earlier datagram had met: the kernel tells it
/// once, at whatever is done next, and does not send.
pub(super) fn is_of_an_earlier_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | HostUnreachable | NetworkUnreachable
    )
}

#[cfg(target_os = "linux")]
pub(super) use linux::{ask_for, next, noticed};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{ask_for, next, noticed};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::IoSliceMut;
    use std::net::{SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
    use tokio::io::Interest;

    use super::{SocketAddr, UdpSocket, io};

    /// How often the queue is looked at.
    const LOOK: Duration = Duration::from_millis(100);

    /// Turns the error queue on.
    pub(in super::super) fn ask_for(udp: &UdpSocket) -> io::Result<()> {
        match udp.local_addr()? {
            SocketAddr::V4(_) => setsockopt(udp, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(udp, sockopt::Ipv6RecvErr, &true)?,
        }
        Ok(())
    }

    /// Done when there may be something in the queue. While calls are being set up (`busy`) it is
    /// looked at now and then too: readiness for errors has been seen to come late.
    pub(in super::super) async fn noticed(udp: &UdpSocket, busy: bool) {
        let ready = udp.ready(Interest::ERROR);
        if busy {
            let _ = tokio::time::timeout(LOOK, ready).await;
        } else if ready.await.is_err() {
            std::future::pending().await
        }
    }

    /// Whom the next undelivered datagram was meant for.
    pub(in super::super) fn next(udp: &UdpSocket) -> Option<SocketAddr> {
        // The datagram itself is of no interest; its address is.
        let look = || {
            let mut start = [0; 64];
            let mut parts = [IoSliceMut::new(&mut start)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrStorage>(udp.as_raw_fd(), &mut parts, None, flags)?;
            io::Result::Ok(message.address)
        };
        let mut found = look();
        if found.is_err() {
            // Empty: this clears the readiness, unless something comes at this moment.
            found = udp.try_io(Interest::ERROR, look);
        }
        found.ok().flatten().and_then(|address| {
            let v4 = address
                .as_sockaddr_in()
                .map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
            v4.or_else(|| {
                address
                    .as_sockaddr_in6()
                    .map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
            })
        })
    }
}

/// Elsewhere nothing is noticed, and transactions time out.
#[cfg(not(target_os = "linux"))]
mod other {
    use super::{SocketAddr, UdpSocket, io};

    pub(in super::super) fn ask_for(_: &UdpSocket) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) async fn noticed(_: &UdpSocket, _: bool) {
        std::future::pending().await
    }

    pub(in super::super) fn next(_: &UdpSocket) -> Option<SocketAddr> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_datagram_to_a_closed_port_is_noticed_and_the_next_one_elsewhere_is_sent() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        ask_for(&udp).unwrap();
        let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let closed = {
            let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        udp.send_to(b"anybody there?", closed).await.unwrap();
        let patience = Duration::from_secs(5);
        tokio::time::timeout(patience, noticed(&udp, false))
            .await
            .unwrap();
        let error = udp.try_send_to(b"hello", listener.local_addr().unwrap());
        assert!(error.is_err_and(|error| is_of_an_earlier_one(&error)));
        udp.try_send_to(b"hello", listener.local_addr().unwrap())
            .unwrap();
        assert_eq!(next(&udp), Some(closed));
        assert_eq!(next(&udp), None);
        let mut heard = [0; 16];
        let (len, _) = tokio::time::timeout(patience, listener.recv_from(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&heard[..len], b"hello");
    }
}
