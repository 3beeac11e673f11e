//! UDP sockets with room for bursts.

use std::net::SocketAddr;

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

/// Default buffers lose packets at a few hundred calls; the kernel may grant less.
const BROWSER_BUFFER: usize = 8 << 20;

/// Half a second of one call's packets is plenty.
const CALL_BUFFER: usize = 64 << 10;

/// The socket that every browser of a worker sends to.
pub(super) fn browser_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    bind(address, BROWSER_BUFFER)
}

/// A socket of one call towards its telephone.
pub(super) fn call_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    bind(address, CALL_BUFFER)
}

/// A socket of TURN's clients. Several workers have the same address, and the kernel chooses by the client's.
pub(super) fn relay_socket(address: SocketAddr, shared: bool) -> std::io::Result<UdpSocket> {
    bind_as(address, BROWSER_BUFFER, shared)
}

fn bind(address: SocketAddr, buffer: usize) -> std::io::Result<UdpSocket> {
    bind_as(address, buffer, false)
}

fn bind_as(address: SocketAddr, buffer: usize, shared: bool) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Less than asked for is no fault: it only loses more under a burst.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}
