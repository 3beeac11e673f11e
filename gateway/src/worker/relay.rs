//! STUN and TURN on a media worker: the server's sockets, and where its data goes. What is for the gateway's own media never
//! leaves the process: a relayed address is the browser's then, on a path of its own kind.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use peer::{Path, RelayOver, Transport};
use turn::{
    Client, Config, Event, HEADROOM, Handled, Limiter, Limits, MAX_REPLY, Now, Open, PeerRules,
    PortRange, Quotas, RelayAddress, RelayPolicy, Reservations, Server, TAILROOM, ToClient,
};

use super::inbox::DATAGRAM;
use super::sockets::{call_socket, relay_socket};
use super::streams::Streams;

/// Ports of relayed addresses behind which there is no socket: all that are not special.
const VIRTUAL_PORTS: PortRange = PortRange {
    first: 1024,
    last: 65_535,
};

/// What a worker's TURN server is made with.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Where clients are heard, on the addresses of browsers. 0: any free port.
    pub port: u16,
    /// REALM.
    pub realm: String,
    /// What credentials are made with.
    pub secret: turn::Secret,
    /// Where relays lead: none is to the gateway's own media alone.
    pub open: Option<OpenRelay>,
    /// Bounds: of allocations in all and of bandwidth, of each worker; the others, of all workers together.
    pub limits: Limits,
}

/// What relays to others have.
#[derive(Clone, Debug)]
pub struct OpenRelay {
    /// Their ports, of all workers.
    pub ports: RangeInclusive<u16>,
    /// Networks that they may reach although they are not public.
    pub allow: Vec<IpNet>,
    /// Networks that they may not reach.
    pub deny: Vec<IpNet>,
    /// What their addresses are told as (1:1 NAT).
    pub external: Vec<IpAddr>,
    /// Addresses of the gateway's at which other things than browsers' media are heard.
    pub own: Vec<IpAddr>,
}

/// What the relays of all workers have in common.
#[derive(Clone)]
pub(super) struct Shared<'a> {
    /// Where browsers reach each worker, as they are told and as it is.
    pub(super) media: &'a [(SocketAddr, usize)],
    pub(super) reservations: Reservations,
    pub(super) quotas: Quotas,
    pub(super) limiter: Limiter,
}

/// The sockets on which a worker's clients are heard by UDP.
pub(super) struct RelayPort {
    pub(super) sockets: Vec<(SocketAddr, UdpSocket)>,
}

impl RelayPort {
    /// Binds that port on these addresses. Several workers share it: the kernel keeps each client with one.
    pub(super) fn bind(addresses: &[IpAddr], mut port: u16, shared: bool) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for ip in addresses {
            let address = SocketAddr::new(*ip, port);
            let socket = relay_socket(address, shared).map_err(|error| {
                io::Error::new(error.kind(), format!("UDP {address} for TURN: {error}"))
            })?;
            let local = socket.local_addr()?;
            port = local.port();
            sockets.push((local, socket));
        }
        Ok(Self { sockets })
    }

    pub(super) fn port(&self) -> u16 {
        self.sockets.first().map_or(0, |(local, _)| local.port())
    }
}

/// See the module's documentation.
pub(super) struct Relay {
    server: Server,
    /// The worker's number, which paths name it by.
    number: u8,
    port: RelayPort,
    relayed: Relayed,
    reply: Box<[u8; MAX_REPLY]>,
    buffer: Box<[u8; HEADROOM + DATAGRAM + TAILROOM]>,
    /// The gateway's own media, and which worker has it.
    media: HashMap<SocketAddr, usize>,
}

/// Sockets of an open relay.
#[derive(Default)]
struct Relayed {
    slots: Vec<Option<(SocketAddr, UdpSocket)>>,
    free: Vec<usize>,
    by_address: HashMap<SocketAddr, usize>,
}

/// Where a client's data goes that is for the gateway's own media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inner {
    pub(super) worker: usize,
    pub(super) path: Path,
    pub(super) data: Range<usize>,
}

impl Relay {
    /// A server for a worker's clients.
    pub(super) fn new(
        settings: &RelaySettings,
        (number, workers): (usize, usize),
        port: RelayPort,
        shared: Shared<'_>,
        seed: [u8; 32],
    ) -> Result<Self, turn::ConfigError> {
        let own: Vec<SocketAddr> = shared.media.iter().map(|(address, _)| *address).collect();
        let local = port.sockets.iter().map(|(local, _)| local.ip());
        let (policy, ports, external) = match &settings.open {
            None => (RelayPolicy::Own(own), VIRTUAL_PORTS, &[][..]),
            Some(open) => {
                let rules = PeerRules {
                    own: local
                        .clone()
                        .chain(own.iter().map(SocketAddr::ip))
                        .chain(open.own.iter().copied())
                        .collect(),
                    media: own,
                    deny: open.deny.clone(),
                    allow: open.allow.clone(),
                };
                let ports = share(&open.ports, number, workers);
                (RelayPolicy::Open(rules), ports, &open.external[..])
            }
        };
        let at = |is_v4: bool| {
            let of = |ip: &IpAddr| ip.is_ipv4() == is_v4;
            // An address that others reach, where there is one.
            let found = local.clone().filter(of).min_by_key(|ip| ip.is_loopback());
            let advertised = external.iter().copied().find(of);
            found.map(|local| RelayAddress {
                local,
                advertised: advertised.unwrap_or(local),
            })
        };
        let mut config = Config::new(settings.realm.clone(), policy);
        config.users.secrets = vec![settings.secret.clone()];
        (config.relay_v4, config.relay_v6) = (at(true), at(false));
        config.ports = ports;
        config.limits = settings.limits.clone();
        config.reservations = Some(shared.reservations);
        config.quotas = Some(shared.quotas);
        config.limiter = Some(shared.limiter);
        Ok(Self {
            server: Server::new(config, seed, Instant::now())?,
            number: u8::try_from(number).unwrap_or(u8::MAX),
            port,
            relayed: Relayed::default(),
            reply: Box::new([0; MAX_REPLY]),
            buffer: Box::new([0; HEADROOM + DATAGRAM + TAILROOM]),
            media: shared.media.iter().copied().collect(),
        })
    }

    /// The socket of that number, and its address.
    pub(super) fn socket(&self, number: usize) -> Option<&(SocketAddr, UdpSocket)> {
        self.port.sockets.get(number)
    }

    /// The socket of an open relay's address.
    pub(super) fn relayed(&self, number: usize) -> Option<&(SocketAddr, UdpSocket)> {
        self.relayed.slots.get(number)?.as_ref()
    }

    pub(super) fn register(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        for (number, (_, socket)) in self.port.sockets.iter_mut().enumerate() {
            registry.register(socket, Token(first + number), Interest::READABLE)?;
        }
        Ok(())
    }

    /// A message of a client. What is for the gateway's own media is for the caller to deliver.
    pub(super) fn handle_client(
        &mut self,
        client: Client,
        message: &[u8],
        streams: &mut Streams,
        (registry, first_relayed): (&Registry, usize),
    ) -> Option<Inner> {
        let now = now();
        let mut handled = self
            .server
            .handle_client(client, message, now, &mut self.reply[..]);
        loop {
            match handled {
                Handled::Nothing => break,
                Handled::Reply(len) => {
                    let bytes = self.reply.get(..len).unwrap_or_default();
                    send(&self.port, client, bytes, streams);
                    break;
                }
                Handled::ToPeer {
                    relayed,
                    peer,
                    data,
                } => return self.to_peer(client, relayed, peer, data, message),
                Handled::Open(open) => {
                    let failed = self.relayed.open(&open, registry, first_relayed);
                    let reply = &mut self.reply[..];
                    handled = self.server.relay_opened(&open, &failed, now, reply);
                }
            }
        }
        self.close_ended(registry, streams);
        None
    }

    fn to_peer(
        &self,
        client: Client,
        relayed: SocketAddr,
        peer: SocketAddr,
        data: Range<usize>,
        message: &[u8],
    ) -> Option<Inner> {
        if let Some(worker) = self.media.get(&peer) {
            let over = match client.transport {
                turn::Transport::Udp => RelayOver::Udp,
                turn::Transport::Tcp => RelayOver::Tcp,
                turn::Transport::Tls => RelayOver::Tls,
            };
            let server = self.number;
            let path = Path {
                transport: Transport::Turn(peer::Relay { server, over }),
                local: peer,
                remote: relayed,
            };
            let worker = *worker;
            return Some(Inner { worker, path, data });
        }
        if let (Some((_, socket)), Some(data)) = (self.relayed.of(relayed), message.get(data)) {
            let _ = socket.send_to(data, peer);
        }
        None
    }

    /// A datagram for a relayed address: from our own media, or from an open relay's socket.
    pub(super) fn handle_peer(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        packet: &[u8],
        streams: &mut Streams,
    ) {
        let end = HEADROOM + packet.len();
        // One that fills the buffer was cut.
        if packet.len() >= DATAGRAM {
            return;
        }
        let Some(space) = self.buffer.get_mut(HEADROOM..end) else {
            return;
        };
        space.copy_from_slice(packet);
        let buffer = &mut self.buffer[..];
        let now = Instant::now();
        let sent = self
            .server
            .handle_peer(relayed, peer, buffer, packet.len(), now);
        if let Some(ToClient { client, bytes }) = sent {
            let bytes = self.buffer.get(bytes).unwrap_or_default();
            send(&self.port, client, bytes, streams);
        }
    }

    /// A client's connection is closed.
    pub(super) fn client_closed(
        &mut self,
        client: Client,
        registry: &Registry,
        streams: &mut Streams,
    ) {
        self.server.client_closed(client);
        self.close_ended(registry, streams);
    }

    pub(super) fn has_allocation(&self, client: Client) -> bool {
        self.server.has_allocation(client)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        registry: &Registry,
        streams: &mut Streams,
    ) {
        self.server.handle_timeout(now);
        self.close_ended(registry, streams);
    }

    /// Closes the sockets of relayed addresses that are no more.
    fn close_ended(&mut self, registry: &Registry, streams: &mut Streams) {
        while let Some(Event::Closed { relayed, client }) = self.server.poll_event() {
            self.relayed.close(relayed, registry);
            // A datagram client of the same address is somebody else.
            if client.transport.is_stream()
                && !self.server.has_allocation(client)
                && let Some(number) = streams.by_ends(client.server, client.address)
            {
                streams.close(number, registry);
            }
        }
    }
}

impl Relayed {
    fn of(&self, address: SocketAddr) -> Option<&(SocketAddr, UdpSocket)> {
        let number = *self.by_address.get(&address)?;
        self.slots.get(number)?.as_ref()
    }

    /// Binds what an allocation needs; what could not be.
    fn open(&mut self, open: &Open, registry: &Registry, first: usize) -> Vec<SocketAddr> {
        let mut failed = Vec::new();
        for address in open.addresses() {
            let number = self.free.last().copied().unwrap_or(self.slots.len());
            let bound = call_socket(address).and_then(|mut socket| {
                registry.register(&mut socket, Token(first + number), Interest::READABLE)?;
                Ok(socket)
            });
            match bound {
                Ok(socket) => {
                    if self.free.pop().is_none() {
                        self.slots.push(None);
                    }
                    self.slots[number] = Some((address, socket));
                    self.by_address.insert(address, number);
                }
                Err(error) => {
                    if error.kind() != ErrorKind::AddrInUse {
                        tracing::warn!(%address, %error, "no socket for a relay");
                    }
                    failed.push(address);
                }
            }
        }
        failed
    }

    fn close(&mut self, address: SocketAddr, registry: &Registry) {
        let Some(number) = self.by_address.remove(&address) else {
            return;
        };
        if let Some((_, mut socket)) = self.slots.get_mut(number).and_then(Option::take) {
            let _ = registry.deregister(&mut socket);
            self.free.push(number);
        }
    }
}

/// To a client, by the way that it has come.
fn send(port: &RelayPort, client: Client, bytes: &[u8], streams: &mut Streams) {
    match client.transport {
        turn::Transport::Udp => {
            let of = |(local, _): &&(SocketAddr, UdpSocket)| *local == client.server;
            if let Some((_, socket)) = port.sockets.iter().find(of) {
                let _ = socket.send_to(bytes, client.address);
            }
        }
        turn::Transport::Tcp | turn::Transport::Tls => {
            streams.send(client.server, client.address, bytes);
        }
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        unix: unix.map_or(0, |since| since.as_secs()),
    }
}

/// One worker's part of the ports, beginning with an even one.
fn share(ports: &RangeInclusive<u16>, number: usize, workers: usize) -> PortRange {
    let first = u32::from(*ports.start()).next_multiple_of(2);
    let pairs = (u32::from(*ports.end()) + 1).saturating_sub(first) / 2;
    let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    let share = pairs / workers;
    let start = first + 2 * share * u32::try_from(number).unwrap_or(0);
    PortRange {
        first: u16::try_from(start).unwrap_or(u16::MAX),
        last: u16::try_from(start + (2 * share).max(1) - 1).unwrap_or(u16::MAX),
    }
}
