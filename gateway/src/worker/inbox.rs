//! Datagrams taken from a socket several at a time: under load one system call takes many, and when there is only one,
//! the same call also says that there is no other. The only file that names `recvmmsg`.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;

/// The most datagrams that are taken at once.
pub(super) const BATCH: usize = 32;

/// Larger datagrams are cut by the kernel. What is cut fails its authentication; where there is none, one of this length may
/// have been cut.
pub(super) const DATAGRAM: usize = 2048;

/// What was taken last. It allocates when made, never after.
pub(super) struct Inbox {
    buffers: Box<[[u8; DATAGRAM]; BATCH]>,
    taken: [(usize, SocketAddr); BATCH],
    #[cfg(target_os = "linux")]
    headers: linux::Headers,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            buffers: Box::new([[0; DATAGRAM]; BATCH]),
            taken: [(0, nobody); BATCH],
            #[cfg(target_os = "linux")]
            headers: linux::Headers::new(),
        }
    }

    /// Takes at most `N` datagrams from a socket that does not block; says how many. Fewer than `N` were all there were.
    #[cfg(target_os = "linux")]
    pub(super) fn take<const N: usize>(
        &mut self,
        socket: &UdpSocket,
        is_ipv6: bool,
    ) -> io::Result<usize> {
        let (headers, buffers) = (&mut self.headers, &mut self.buffers);
        linux::receive::<N>(headers, socket, is_ipv6, buffers, &mut self.taken)
    }

    /// Takes at most `N` datagrams from a socket that does not block; says how many. Fewer than `N` were all there were.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn take<const N: usize>(
        &mut self,
        socket: &UdpSocket,
        _: bool,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (buffer, taken) in self.buffers.iter_mut().zip(&mut self.taken).take(N) {
            match socket.recv_from(buffer) {
                Ok(received) => *taken = received,
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
            count += 1;
        }
        Ok(count)
    }

    /// One of those that were taken, and where it came from.
    pub(super) fn get(&mut self, number: usize) -> (&mut [u8], SocketAddr) {
        let (len, from) = self.taken[number];
        (&mut self.buffers[number][..len], from)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSliceMut};
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use mio::net::UdpSocket;
    use nix::sys::socket::{
        MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
    };

    use super::{BATCH, DATAGRAM};

    /// The kernel leaves the length of the last address in the header, so each family has its own.
    pub(super) struct Headers {
        v4: MultiHeaders<SockaddrIn>,
        v6: MultiHeaders<SockaddrIn6>,
    }

    impl Headers {
        pub(super) fn new() -> Self {
            Self {
                v4: MultiHeaders::preallocate(BATCH, None),
                v6: MultiHeaders::preallocate(BATCH, None),
            }
        }
    }

    pub(super) fn receive<const N: usize>(
        headers: &mut Headers,
        socket: &UdpSocket,
        is_ipv6: bool,
        buffers: &mut [[u8; DATAGRAM]; BATCH],
        taken: &mut [(usize, SocketAddr); BATCH],
    ) -> io::Result<usize> {
        if is_ipv6 {
            take::<N, _>(&mut headers.v6, socket, buffers, taken, |address| {
                SocketAddr::V6((*address).into())
            })
        } else {
            take::<N, _>(&mut headers.v4, socket, buffers, taken, |address| {
                SocketAddr::V4((*address).into())
            })
        }
    }

    fn take<const N: usize, S: Copy + SockaddrLike>(
        headers: &mut MultiHeaders<S>,
        socket: &UdpSocket,
        buffers: &mut [[u8; DATAGRAM]; BATCH],
        taken: &mut [(usize, SocketAddr); BATCH],
        address: impl Fn(&S) -> SocketAddr,
    ) -> io::Result<usize> {
        const { assert!(N <= BATCH) };
        let mut rest = buffers.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; N] = std::array::from_fn(|_| {
            let buffer = rest.next().map_or(&mut [][..], |buffer| &mut buffer[..]);
            [IoSliceMut::new(buffer)]
        });
        let received = recvmmsg(
            socket.as_raw_fd(),
            headers,
            &mut slices,
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let mut count = 0;
        for (message, taken) in received.zip(taken.iter_mut()) {
            // UDP always says where a datagram came from; one that did not would come from nobody we know.
            let from = message.address.as_ref().map(&address);
            *taken = (
                message.bytes.min(DATAGRAM),
                from.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))),
            );
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    fn pair(ip: IpAddr) -> (UdpSocket, std::net::UdpSocket) {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        let other = std::net::UdpSocket::bind((ip, 0)).unwrap();
        other.connect(socket.local_addr().unwrap()).unwrap();
        (socket, other)
    }

    #[test]
    fn all_that_waits_is_taken_in_order_and_fewer_than_asked_for_are_the_last() {
        let mut inbox = Inbox::new();
        // Both families in turn: one must not leave its address's length to the other.
        for ip in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            let (socket, other) = pair(ip);
            for len in 1..=5_u8 {
                other.send(&vec![len; usize::from(len)]).unwrap();
            }
            let from = other.local_addr().unwrap();
            assert_eq!(inbox.take::<4>(&socket, ip.is_ipv6()).unwrap(), 4);
            for number in 0..4 {
                let expected = vec![number as u8 + 1; number + 1];
                assert_eq!(inbox.get(number), (&mut expected.clone()[..], from));
            }
            assert_eq!(inbox.take::<4>(&socket, ip.is_ipv6()).unwrap(), 1);
            assert_eq!(inbox.get(0), (&mut [5; 5][..], from));
            let none = inbox.take::<4>(&socket, ip.is_ipv6()).unwrap_err();
            assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_is_cut() {
        let mut inbox = Inbox::new();
        let (socket, other) = pair(IpAddr::V4(Ipv4Addr::LOCALHOST));
        other.send(&[7; DATAGRAM + 100]).unwrap();
        assert_eq!(inbox.take::<1>(&socket, false).unwrap(), 1);
        assert_eq!(inbox.get(0).0.len(), DATAGRAM);
    }
}
