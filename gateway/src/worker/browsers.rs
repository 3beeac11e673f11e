//! The ways in which a worker's browsers are reached, and the buffer in which its calls write what leaves.

use std::cell::{RefCell, RefMut};
use std::net::SocketAddr;

use mio::net::UdpSocket;
use peer::{Path, Transport};

use super::command::MediaCommand;
use super::relay::Relay;
use super::streams::Streams;
use super::{Colleagues, WorkerHandle};

/// Room for the largest packet we make and its SRTP tag and index.
const OUT: usize = 1600;

/// See the module's documentation.
pub(super) struct BrowserSockets {
    pub(super) sockets: Vec<(SocketAddr, UdpSocket)>,
    /// TCP and TLS connections.
    pub(super) streams: RefCell<Streams>,
    /// This worker's TURN server.
    pub(super) relay: RefCell<Option<Relay>>,
    /// All workers, this one among them.
    pub(super) colleagues: Colleagues,
    /// The place of this one.
    pub(super) number: usize,
    out: RefCell<Box<[u8; OUT]>>,
}

impl BrowserSockets {
    pub(super) fn new(number: usize, sockets: Vec<(SocketAddr, UdpSocket)>) -> Self {
        Self {
            sockets,
            streams: RefCell::default(),
            relay: RefCell::default(),
            colleagues: Colleagues::default(),
            number,
            out: RefCell::new(Box::new([0; OUT])),
        }
    }

    /// Where calls write what leaves.
    pub(super) fn out(&self) -> RefMut<'_, Box<[u8; OUT]>> {
        self.out.borrow_mut()
    }

    /// A send that there is no room for is a lost packet, as on any network.
    pub(super) fn send(&self, packet: &[u8], path: Path) {
        match path.transport {
            Transport::Udp => {
                let of = |(local, _): &&(SocketAddr, UdpSocket)| *local == path.local;
                if let Some((_, socket)) = self.sockets.iter().find(of) {
                    let _ = socket.send_to(packet, path.remote);
                }
            }
            Transport::Tcp => {
                let mut streams = self.streams.borrow_mut();
                streams.send_packet(path.local, path.remote, packet);
            }
            Transport::Turn(relay) if usize::from(relay.server) == self.number => {
                self.relay_to_client(path, packet);
            }
            Transport::Turn(relay) => {
                if let Some(colleague) = self.colleague(relay.server.into()) {
                    colleague.relay(MediaCommand::ToRelay(path, packet.into()));
                }
            }
        }
    }

    /// What our media sends to a relayed address of this worker's.
    pub(super) fn relay_to_client(&self, path: Path, packet: &[u8]) {
        if let Some(relay) = &mut *self.relay.borrow_mut() {
            let streams = &mut self.streams.borrow_mut();
            relay.handle_peer(path.remote, path.local, packet, streams);
        }
    }

    pub(super) fn colleague(&self, number: usize) -> Option<&WorkerHandle> {
        self.colleagues.get()?.get(number)
    }
}
