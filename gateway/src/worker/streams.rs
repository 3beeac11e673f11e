//! TCP and TLS connections of browsers: TURN's messages, or ICE-TCP's datagrams with their length before them (RFC 6544, RFC
//! 4571). They are taken here after somebody else has accepted them and knows what they carry.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use tokio_rustls::rustls::ServerConnection;
use turn::framing::{Framing, StreamReader, rfc4571_head};

use crate::newcomers::Newcomers;
use crate::signaling::source;

/// The longest message: media packets and STUN are far below.
pub(super) const MAX_MESSAGE: usize = 4096;

/// Connections of one worker at once, and from one address, or one /64 of IPv6: a large office is behind one.
const MAX_STREAMS: usize = 8192;
pub(super) const MAX_OF_SOURCE: usize = 256;

/// Those among them that have not shown yet that they are somebody's: a check of a call of ours, or an allocation.
pub(super) const MAX_NEWCOMERS: usize = 1024;

/// What may wait to be sent on one: half a second of audio and more. What comes on top is lost, as on any network.
const MAX_WAITING: usize = 64 * 1024;

/// One that nobody uses is closed after that time.
const UNUSED: Duration = Duration::from_secs(30);

/// A connection, accepted and told apart.
pub struct Incoming {
    /// The socket; it does not block.
    pub socket: std::net::TcpStream,
    /// What is inside it is TLS.
    pub tls: Option<Box<ServerConnection>>,
    /// What it carries.
    pub carries: Carries,
    /// Where it arrived.
    pub local: SocketAddr,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// What was read of it already.
    pub first_bytes: Vec<u8>,
    /// How many workers have passed it on.
    pub passed: usize,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Incoming({:?} from {} at {})",
            self.carries, self.remote, self.local
        )
    }
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// TURN (RFC 8656 §3.1).
    Turn,
    /// ICE-TCP (RFC 6544).
    Ice,
}

/// Both ends of a connection: ours, and theirs.
type Ends = (SocketAddr, SocketAddr);

/// All connections of a worker.
#[derive(Default)]
pub(super) struct Streams {
    slots: Vec<Option<Stream>>,
    free: Vec<usize>,
    by_ends: HashMap<Ends, usize>,
    of_source: HashMap<IpAddr, usize>,
    newcomers: Newcomers<usize>,
}

struct Stream {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    reader: StreamReader,
    carries: Carries,
    ends: Ends,
    /// What is not out yet; of TLS, how much of it that may be.
    waiting: Vec<u8>,
    behind: usize,
    /// When it is looked whether anybody uses it.
    look: Instant,
    used: bool,
    /// Its number among the newcomers, while it is one.
    newcomer: Option<u64>,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There are new bytes.
    More,
    /// There is nothing for now.
    Nothing,
    /// It is closed, or broken.
    Closed,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) carries: Carries,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) tls: bool,
}

impl Streams {
    /// Takes a connection; its number. Where there are too many, a newcomer has to go for it. An error: there is none.
    pub(super) fn add(
        &mut self,
        now: Instant,
        incoming: Incoming,
        registry: &Registry,
        first_token: usize,
    ) -> io::Result<usize> {
        let source = source(incoming.remote.ip());
        self.make_room(source, registry)?;
        let number = self.free.last().copied().unwrap_or(self.slots.len());
        let mut socket = TcpStream::from_std(incoming.socket);
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, Token(first_token + number), interest)?;
        let framing = match incoming.carries {
            Carries::Turn => Framing::Turn,
            Carries::Ice => Framing::Rfc4571,
        };
        let mut reader = StreamReader::new(framing, MAX_MESSAGE);
        for part in incoming.first_bytes.chunks(1024) {
            if let Some(space) = reader.space().get_mut(..part.len()) {
                space.copy_from_slice(part);
            }
            reader.filled(part.len());
        }
        let mut tls = incoming.tls;
        if let Some(tls) = &mut tls {
            // The bound is ours: its own would cut messages.
            tls.set_buffer_limit(None);
        }
        let ends = (incoming.local, incoming.remote);
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        self.by_ends.insert(ends, number);
        *self.of_source.entry(source).or_default() += 1;
        self.slots[number] = Some(Stream {
            socket,
            tls,
            reader,
            carries: incoming.carries,
            ends,
            waiting: Vec::new(),
            behind: 0,
            look: now + UNUSED,
            used: false,
            newcomer: Some(self.newcomers.enter(source, number)),
        });
        Ok(number)
    }

    fn make_room(&mut self, source: IpAddr, registry: &Registry) -> io::Result<()> {
        let of_source = self.of_source.get(&source).copied().unwrap_or(0);
        let (goes, most) = if of_source >= MAX_OF_SOURCE {
            (self.newcomers.take_oldest_of(source), "from one address")
        } else if self.by_ends.len() >= MAX_STREAMS || self.newcomers.len() >= MAX_NEWCOMERS {
            (self.newcomers.take_oldest(), "of browsers")
        } else {
            return Ok(());
        };
        let Some(goes) = goes else {
            return Err(io::Error::other(format!("too many TCP connections {most}")));
        };
        self.close(goes, registry);
        Ok(())
    }

    fn get_mut(&mut self, number: usize) -> Option<&mut Stream> {
        self.slots.get_mut(number)?.as_mut()
    }

    pub(super) fn known(&self, number: usize) -> Option<Known> {
        let stream = self.slots.get(number)?.as_ref()?;
        Some(Known {
            carries: stream.carries,
            local: stream.ends.0,
            remote: stream.ends.1,
            tls: stream.tls.is_some(),
        })
    }

    pub(super) fn by_ends(&self, local: SocketAddr, remote: SocketAddr) -> Option<usize> {
        self.by_ends.get(&(local, remote)).copied()
    }

    /// Reads what is there, and sends what waits.
    pub(super) fn fill(&mut self, number: usize) -> Filled {
        let Some(stream) = self.get_mut(number) else {
            return Filled::Closed;
        };
        if stream.flush().is_err() {
            return Filled::Closed;
        }
        stream.fill()
    }

    /// The next message, copied to `out`; its length. An error: the stream cannot be cut any further.
    pub(super) fn take(&mut self, number: usize, out: &mut [u8]) -> Result<Option<usize>, ()> {
        let Some(stream) = self.get_mut(number) else {
            return Err(());
        };
        match stream.reader.next() {
            Ok(Some(message)) => {
                let len = message.len();
                out.get_mut(..len).ok_or(())?.copy_from_slice(message);
                Ok(Some(len))
            }
            Ok(None) => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// Whether it has not shown yet that it is somebody's.
    pub(super) fn is_newcomer(&self, number: usize) -> bool {
        let stream = self.slots.get(number).and_then(Option::as_ref);
        stream.is_some_and(|stream| stream.newcomer.is_some())
    }

    /// It is somebody's: no stranger takes its place.
    pub(super) fn prove(&mut self, number: usize) {
        if let Some(stream) = self.get_mut(number)
            && let Some(newcomer) = stream.newcomer.take()
        {
            let source = source(stream.ends.1.ip());
            self.newcomers.leave(source, newcomer);
        }
    }

    /// Somebody uses it.
    pub(super) fn use_it(&mut self, number: usize) {
        if let Some(stream) = self.get_mut(number) {
            stream.used = true;
        }
        self.prove(number);
    }

    /// Sends a message as it is: one of TURN's, padded already.
    pub(super) fn send(&mut self, local: SocketAddr, remote: SocketAddr, message: &[u8]) {
        if let Some(stream) = self.of(local, remote) {
            stream.send(&[message]);
        }
    }

    /// Sends a datagram with its length before it.
    pub(super) fn send_packet(&mut self, local: SocketAddr, remote: SocketAddr, packet: &[u8]) {
        if let (Some(stream), Some(head)) = (self.of(local, remote), rfc4571_head(packet)) {
            stream.send(&[&head, packet]);
        }
    }

    fn of(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<&mut Stream> {
        let number = self.by_ends(local, remote)?;
        self.get_mut(number)
    }

    pub(super) fn close(&mut self, number: usize, registry: &Registry) {
        let Some(mut stream) = self.slots.get_mut(number).and_then(Option::take) else {
            return;
        };
        if let Some(tls) = &mut stream.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut stream.socket);
        }
        let _ = registry.deregister(&mut stream.socket);
        self.by_ends.remove(&stream.ends);
        let source = source(stream.ends.1.ip());
        if let Some(newcomer) = stream.newcomer {
            self.newcomers.leave(source, newcomer);
        }
        if let Entry::Occupied(mut of_source) = self.of_source.entry(source) {
            *of_source.get_mut() -= 1;
            if *of_source.get() == 0 {
                of_source.remove();
            }
        }
        self.free.push(number);
    }

    /// Those that nobody has used for a while.
    pub(super) fn unused(&mut self, now: Instant) -> Vec<usize> {
        let mut unused = Vec::new();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if let Some(stream) = slot
                && stream.look <= now
            {
                match std::mem::take(&mut stream.used) {
                    true => stream.look = now + UNUSED,
                    false => unused.push(number),
                }
            }
        }
        unused
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_ends.is_empty()
    }
}

impl Stream {
    fn fill(&mut self) -> Filled {
        let read = match &mut self.tls {
            None => self.socket.read(self.reader.space()),
            Some(tls) => loop {
                match tls.reader().read(self.reader.space()) {
                    Ok(0) => break Ok(0),
                    Ok(len) => break Ok(len),
                    Err(error) if error.kind() != ErrorKind::WouldBlock => break Err(error),
                    Err(_) => {}
                }
                match tls.read_tls(&mut self.socket) {
                    Ok(0) => break Ok(0),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
                if let Err(error) = tls.process_new_packets() {
                    break Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            },
        };
        // An answer to what was read may be due of TLS itself.
        if self.flush().is_err() {
            return Filled::Closed;
        }
        match read {
            Ok(0) => Filled::Closed,
            Ok(len) => {
                self.reader.filled(len);
                Filled::More
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Filled::Nothing,
                ErrorKind::Interrupted => Filled::More,
                _ => Filled::Closed,
            },
        }
    }

    /// All of it or nothing: a message that is cut would cut off all that follow.
    fn send(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.behind + len > MAX_WAITING {
            return;
        }
        match &mut self.tls {
            Some(tls) => {
                for part in parts {
                    let _ = tls.writer().write_all(part);
                }
            }
            None => parts
                .iter()
                .for_each(|part| self.waiting.extend_from_slice(part)),
        }
        self.behind += len;
        // A broken connection shows when it is read.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        let out = match &mut self.tls {
            Some(tls) => {
                let mut out = Ok(());
                while tls.wants_write() && out.is_ok() {
                    out = tls.write_tls(&mut self.socket).map(drop);
                }
                out
            }
            None => {
                let mut sent = 0;
                let mut out = Ok(());
                while let Some(rest) = self.waiting.get(sent..).filter(|rest| !rest.is_empty()) {
                    match self.socket.write(rest) {
                        Ok(0) => {
                            out = Err(ErrorKind::WriteZero.into());
                            break;
                        }
                        Ok(len) => sent += len,
                        Err(error) => {
                            out = Err(error);
                            break;
                        }
                    }
                }
                self.waiting.drain(..sent);
                self.behind = self.waiting.len();
                out
            }
        };
        match out {
            Ok(()) => {
                self.behind = 0;
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::NotConnected
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
