//! What a worker does with its TURN clients and with browsers' TCP connections.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mio::Registry;
use peer::{Path, Transport, demux};
use turn::Client;

use super::command::MediaCommand;
use super::inbox::BATCH;
use super::relay::{Inner, Relay};
use super::streams::{Carries, Filled, Incoming, Known, Streams};
use super::thread::{RELAYED, STREAMS, Turns, WorkerThread};

/// Reads of one connection before the others get their turn.
const STREAM_TURNS: usize = 16;

/// How often it is looked for connections that nobody uses.
const LOOK: Duration = Duration::from_secs(5);

impl WorkerThread {
    /// Gives a datagram of a browser's to its call.
    pub(super) fn deliver(&mut self, path: Path, packet: &mut [u8]) -> bool {
        let now = Instant::now();
        let known = self.calls.by_path(&path);
        // A check names its call; everything else belongs to a path that a check has opened.
        let slot = match demux::local_ufrag(packet) {
            Some(ufrag) => self.calls.by_ufrag(ufrag),
            None => known,
        };
        let Some(slot) = slot else {
            return false;
        };
        self.with_call(now, slot, |call, browsers| {
            call.handle_browser(now, path, packet, browsers)
        });
        if known != Some(slot) {
            self.calls.learn_path(path, slot);
        }
        true
    }

    /// Takes a batch of datagrams of TURN's clients; true when there may be more.
    pub(super) fn read_relay(&mut self, number: usize, turns: &mut Turns) -> bool {
        let (local, taken) = {
            let relay = self.browsers.relay.borrow();
            let socket = relay.as_ref().and_then(|relay| relay.socket(number));
            let Some((local, socket)) = socket else {
                return false;
            };
            (*local, turns.inbox.take::<BATCH>(socket, local.is_ipv6()))
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        };
        turns.taken += taken;
        for number in 0..taken {
            let (packet, remote) = turns.inbox.get(number);
            let client = Client {
                transport: turn::Transport::Udp,
                server: local,
                address: remote,
            };
            self.handle_client(client, packet);
        }
        taken == BATCH
    }

    /// Whatever a stranger sent, calls go on; but what is left of a server that panicked is not to be trusted.
    fn with_relay<R>(
        &self,
        act: impl FnOnce(&mut Relay, &mut Streams, &Registry) -> R,
    ) -> Option<R> {
        let acted = catch_unwind(AssertUnwindSafe(|| {
            let relay = &mut *self.browsers.relay.borrow_mut();
            let streams = &mut self.browsers.streams.borrow_mut();
            Some(act(relay.as_mut()?, streams, self.poll.registry()))
        }));
        acted.unwrap_or_else(|_| {
            tracing::error!("the TURN server of a worker panicked: it ends");
            self.browsers.relay.replace(None);
            None
        })
    }

    /// A message of one of TURN's clients.
    fn handle_client(&mut self, client: Client, message: &mut [u8]) {
        let inner = self.with_relay(|relay, streams, registry| {
            relay.handle_client(client, message, streams, (registry, RELAYED))
        });
        let inner = inner.flatten();
        if let Some(Inner { worker, path, data }) = inner {
            let Some(data) = message.get_mut(data) else {
                return;
            };
            if worker == self.browsers.number {
                self.deliver(path, data);
            } else if let Some(colleague) = self.browsers.colleague(worker) {
                colleague.relay(MediaCommand::FromRelay(path, (&*data).into()));
            }
        }
    }

    /// Takes a batch of datagrams of an open relay's peers; true when there may be more.
    pub(super) fn read_relayed(&mut self, number: usize, turns: &mut Turns) -> bool {
        let more = self.with_relay(|relay, streams, _| {
            let Some((relayed, socket)) = relay.relayed(number) else {
                return false;
            };
            let relayed = *relayed;
            let taken = match turns.inbox.take::<BATCH>(socket, relayed.is_ipv6()) {
                Ok(taken) => taken,
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            };
            turns.taken += taken;
            for number in 0..taken {
                let (packet, peer) = turns.inbox.get(number);
                relay.handle_peer(relayed, peer, packet, streams);
            }
            taken == BATCH
        });
        more.unwrap_or(false)
    }

    /// A browser's connection. One that carries ICE-TCP is for the worker that has the call.
    pub(super) fn take_stream(&mut self, incoming: Incoming, turns: &mut Turns) {
        if incoming.carries == Carries::Ice {
            let check = incoming.first_bytes.get(2..).unwrap_or_default();
            let ufrag = demux::local_ufrag(check);
            if ufrag.and_then(|ufrag| self.calls.by_ufrag(ufrag)).is_none() {
                return self.pass_on(incoming);
            }
        }
        // A client that has broken its connection may have made another from the same port before that is read.
        let ends = (incoming.local, incoming.remote);
        let before = self.browsers.streams.borrow().by_ends(ends.0, ends.1);
        before
            .into_iter()
            .for_each(|number| self.close_stream(number));
        let added = {
            let mut streams = self.browsers.streams.borrow_mut();
            streams.add(Instant::now(), incoming, self.poll.registry(), STREAMS)
        };
        match added {
            Ok(number) => {
                self.look_at_streams
                    .get_or_insert_with(|| Instant::now() + LOOK);
                if self.read_stream(number, turns) {
                    turns.unread.push(mio::Token(STREAMS + number));
                }
            }
            // As often as strangers like.
            Err(error) => tracing::debug!(%error, "a browser's connection is not taken"),
        }
    }

    /// Once around, past those that take nothing more; then nobody has it.
    fn pass_on(&self, incoming: Incoming) {
        let colleagues = self.browsers.colleagues.get().map_or(0, |all| all.len());
        let (mut incoming, mut next) = (Box::new(incoming), self.browsers.number);
        while incoming.passed + 1 < colleagues {
            incoming.passed += 1;
            next = (next + 1) % colleagues;
            let Some(colleague) = self.browsers.colleague(next) else {
                return;
            };
            match colleague.offer(MediaCommand::TakeStream(incoming)) {
                Err(MediaCommand::TakeStream(back)) => incoming = back,
                _ => return,
            }
        }
    }

    /// Takes what a connection brings; true when there may be more.
    pub(super) fn read_stream(&mut self, number: usize, turns: &mut Turns) -> bool {
        let known = self.browsers.streams.borrow().known(number);
        let Some(known) = known else {
            return false;
        };
        for _ in 0..STREAM_TURNS {
            if !self.take_messages(number, known, turns) {
                self.close_stream(number);
                return false;
            }
            let filled = self.browsers.streams.borrow_mut().fill(number);
            match filled {
                Filled::More => {}
                Filled::Nothing => return false,
                Filled::Closed => {
                    self.take_messages(number, known, turns);
                    self.close_stream(number);
                    return false;
                }
            }
        }
        true
    }

    /// Takes the messages that are there; false where nothing more can come of it.
    fn take_messages(&mut self, number: usize, known: Known, turns: &mut Turns) -> bool {
        loop {
            let taken = {
                let mut streams = self.browsers.streams.borrow_mut();
                streams.take(number, &mut turns.message[..])
            };
            let Ok(taken) = taken else {
                return false;
            };
            let Some(message) = taken.and_then(|len| turns.message.get_mut(..len)) else {
                return true;
            };
            match known.carries {
                Carries::Ice => {
                    let path = Path {
                        transport: Transport::Tcp,
                        local: known.local,
                        remote: known.remote,
                    };
                    if self.deliver(path, message) {
                        self.browsers.streams.borrow_mut().use_it(number);
                    }
                }
                Carries::Turn => {
                    self.handle_client(client_of(known), message);
                    self.prove(number, known);
                }
            }
            turns.taken += 1;
        }
    }

    /// Whoever has an allocation has shown who he is.
    fn prove(&mut self, number: usize, known: Known) {
        let streams = &mut self.browsers.streams.borrow_mut();
        let relay = self.browsers.relay.borrow();
        if streams.is_newcomer(number)
            && let Some(relay) = &*relay
            && relay.has_allocation(client_of(known))
        {
            streams.prove(number);
        }
    }

    fn close_stream(&mut self, number: usize) {
        let known = self.browsers.streams.borrow().known(number);
        if let Some(known) = known
            && known.carries == Carries::Turn
        {
            self.with_relay(|relay, streams, registry| {
                relay.client_closed(client_of(known), registry, streams);
            });
        }
        let streams = &mut self.browsers.streams.borrow_mut();
        streams.close(number, self.poll.registry());
    }

    /// When the relay, or connections that nobody uses, are to be looked after.
    pub(super) fn relay_timeout(&self) -> Option<Instant> {
        let relay = self.browsers.relay.borrow();
        let relay = relay.as_ref().and_then(|relay| relay.poll_timeout());
        relay.into_iter().chain(self.look_at_streams).min()
    }

    pub(super) fn handle_relay_timeout(&mut self, now: Instant) {
        self.with_relay(|relay, streams, registry| {
            if relay.poll_timeout().is_some_and(|at| at <= now) {
                relay.handle_timeout(now, registry, streams);
            }
        });
        if self.look_at_streams.take_if(|at| *at <= now).is_none() {
            return;
        }
        let unused = self.browsers.streams.borrow_mut().unused(now);
        for number in unused {
            let known = self.browsers.streams.borrow().known(number);
            let relay = self.browsers.relay.borrow();
            let has_allocation = known.is_some_and(|known| {
                known.carries == Carries::Turn
                    && relay
                        .as_ref()
                        .is_some_and(|relay| relay.has_allocation(client_of(known)))
            });
            drop(relay);
            if !has_allocation {
                self.close_stream(number);
            }
        }
        if !self.browsers.streams.borrow().is_empty() {
            self.look_at_streams = Some(now + LOOK);
        }
    }
}

fn client_of(known: Known) -> Client {
    Client {
        transport: match known.tls {
            true => turn::Transport::Tls,
            false => turn::Transport::Tcp,
        },
        server: known.local,
        address: known.remote,
    }
}
