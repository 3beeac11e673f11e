//! A virtual network in virtual time, for tests: endpoints that talk over a wire that loses, repeats, delays and
//! reorders, the same way for the same seed. Behind the feature `testing`.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::endpoint::{Endpoint, EndpointConfig, Event, Flow, Transmit, Transport, TransportError};

/// How bad the wire is.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// The share of datagrams lost, 0 to 1, each way.
    pub loss: f64,
    /// The share of datagrams that come twice.
    pub duplication: f64,
    /// The shortest way.
    pub delay: Duration,
    /// What may come on top, evenly spread: datagrams overtake each other.
    pub jitter: Duration,
}

impl Conditions {
    /// Nothing lost, 10 ms, in order.
    pub const GOOD: Conditions = Conditions {
        loss: 0.0,
        duplication: 0.0,
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
    };

    /// `loss` lost, a tenth repeated, 10 to 60 ms.
    pub fn lossy(loss: f64) -> Self {
        Conditions {
            loss,
            duplication: 0.1,
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(50),
        }
    }
}

/// A wire for anything: what is sent comes out later, once, twice or never.
#[derive(Debug)]
pub struct Wire<T> {
    conditions: Conditions,
    rng: ChaCha20Rng,
    under_way: BTreeMap<(Instant, u64), T>,
    sent: u64,
}

impl<T: Clone> Wire<T> {
    /// An empty wire. The same seed loses the same datagrams.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            conditions,
            rng: ChaCha20Rng::seed_from_u64(seed),
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// From now on it is this bad.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// A datagram.
    pub fn send(&mut self, now: Instant, payload: T) {
        if self.chance(self.conditions.duplication) {
            self.send_once(now, payload.clone());
        }
        self.send_once(now, payload);
    }

    /// Part of a stream: never lost, in order.
    pub fn send_reliably(&mut self, now: Instant, payload: T) {
        self.enqueue(now + self.conditions.delay, payload);
    }

    /// When the next thing comes out.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// What has come out by now, one at a time.
    pub fn receive(&mut self, now: Instant) -> Option<T> {
        let (key, _) = self.under_way.first_key_value()?;
        let key = *key;
        (key.0 <= now).then(|| self.under_way.remove(&key))?
    }

    fn send_once(&mut self, now: Instant, payload: T) {
        if self.chance(self.conditions.loss) {
            return;
        }
        let late = self.conditions.jitter.mul_f64(self.fraction());
        self.enqueue(now + self.conditions.delay + late, payload);
    }

    fn enqueue(&mut self, at: Instant, payload: T) {
        self.sent += 1;
        self.under_way.insert((at, self.sent), payload);
    }

    fn chance(&mut self, share: f64) -> bool {
        self.fraction() < share
    }

    fn fraction(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }
}

/// One message between two addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The transport.
    pub transport: Transport,
    /// The sender's address; for TCP the connection's.
    pub from: SocketAddr,
    /// The receiver's.
    pub to: SocketAddr,
    /// The message.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// The first line, for tests that look at what went by.
    pub fn first_line(&self) -> String {
        let line = self.bytes.split(|byte| *byte == b'\r').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    }
}

#[derive(Debug, Clone)]
enum Arrival {
    Packet(Packet),
    Failure {
        at: usize,
        flow: Flow,
        error: TransportError,
    },
}

/// A TCP connection between the address it was opened from and the listener.
#[derive(Debug, Clone, Copy)]
struct Connection {
    opener: usize,
    from: SocketAddr,
    to: SocketAddr,
}

type Filter = Box<dyn FnMut(&Packet) -> bool>;

/// Endpoints at 192.0.2.1:5060, 192.0.2.2:5060 and so on, and their network.
pub struct Net {
    /// The virtual time.
    pub now: Instant,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Every packet that was sent, also those that were lost.
    pub log: Vec<Packet>,
    /// What was sent to addresses where there is no endpoint: for tests that play a peer by hand.
    pub elsewhere: VecDeque<Packet>,
    /// Whether nobody listens on TCP.
    pub refuse_tcp: bool,
    /// Whether a datagram to nobody comes back as an ICMP error.
    pub icmp: bool,
    addresses: Vec<SocketAddr>,
    events: Vec<VecDeque<Event>>,
    wire: Wire<Arrival>,
    connections: Vec<Connection>,
    filter: Option<Filter>,
    next_port: u16,
}

/// The address of the endpoint with this index.
pub fn address(index: usize) -> SocketAddr {
    let last = u8::try_from(index + 1).unwrap_or(u8::MAX);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 5060)
}

impl Net {
    /// Two endpoints with the usual configuration. All randomness comes from `seed`.
    pub fn pair(seed: u64, conditions: Conditions) -> Self {
        let configs = (0..2).map(|index| config(seed, index)).collect();
        Self::new(seed, conditions, configs)
    }

    /// These endpoints, at the addresses in their configurations.
    pub fn new(seed: u64, conditions: Conditions, configs: Vec<EndpointConfig>) -> Self {
        Self {
            now: Instant::now(),
            addresses: configs.iter().map(|config| config.local).collect(),
            events: configs.iter().map(|_| VecDeque::new()).collect(),
            endpoints: configs.into_iter().map(Endpoint::new).collect(),
            log: Vec::new(),
            elsewhere: VecDeque::new(),
            refuse_tcp: false,
            icmp: false,
            wire: Wire::new(seed, conditions),
            connections: Vec::new(),
            filter: None,
            next_port: 40_000,
        }
    }

    /// From now on the wire is this bad.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.wire.set_conditions(conditions);
    }

    /// From now on only packets pass for which this is true.
    pub fn set_filter(&mut self, filter: impl FnMut(&Packet) -> bool + 'static) {
        self.filter = Some(Box::new(filter));
    }

    /// Everything passes again.
    pub fn clear_filter(&mut self) {
        self.filter = None;
    }

    /// Puts a packet on the wire as if it came from `from`.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let packet = Packet {
            transport: Transport::Udp,
            from,
            to,
            bytes: bytes.to_vec(),
        };
        self.wire.send(self.now, Arrival::Packet(packet));
    }

    /// Closes every TCP connection; both ends notice.
    pub fn break_connections(&mut self) {
        for connection in std::mem::take(&mut self.connections) {
            let ends = [(Some(connection.opener), connection.to), {
                (self.index_of(connection.to), connection.from)
            }];
            for (at, remote) in ends {
                if let Some(at) = at {
                    let flow = Flow {
                        transport: Transport::Tcp,
                        remote,
                    };
                    let error = TransportError::Closed;
                    self.wire
                        .send_reliably(self.now, Arrival::Failure { at, flow, error });
                }
            }
        }
    }

    /// The next event of an endpoint.
    pub fn event(&mut self, index: usize) -> Option<Event> {
        self.collect();
        self.events.get_mut(index)?.pop_front()
    }

    /// All events of an endpoint so far.
    pub fn events(&mut self, index: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.event(index)).collect()
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until an endpoint reports something, at most for `time`.
    pub fn run_to_event(&mut self, index: usize, time: Duration) -> Option<Event> {
        let end = self.now + time;
        loop {
            if let Some(event) = self.event(index) {
                return Some(event);
            }
            if !self.step(end) {
                return self.event(index);
            }
        }
    }

    /// The next thing that happens, if it happens by `end`; else time stands at `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        self.collect();
        let timers = self.endpoints.iter().filter_map(Endpoint::poll_timeout);
        let next = timers.chain(self.wire.next_arrival()).min();
        let Some(next) = next.filter(|at| *at <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(arrival) = self.wire.receive(self.now) {
            self.arrive(arrival);
        }
        for endpoint in &mut self.endpoints {
            if endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                endpoint.handle_timeout(self.now);
            }
        }
        self.collect();
        true
    }

    /// How often a request line or status line beginning like this was sent.
    pub fn count_sent(&self, from: usize, beginning: &str) -> usize {
        let address = self.addresses.get(from);
        self.log
            .iter()
            .filter(|packet| Some(&packet.from) == address)
            .filter(|packet| packet.first_line().starts_with(beginning))
            .count()
    }

    fn collect(&mut self) {
        for index in 0..self.endpoints.len() {
            while let Some(transmit) = self.endpoints[index].poll_transmit() {
                self.transmit(index, transmit);
            }
            while let Some(event) = self.endpoints[index].poll_event() {
                self.events[index].push_back(event);
            }
        }
    }

    fn transmit(&mut self, index: usize, transmit: Transmit) {
        let packet = Packet {
            transport: transmit.flow.transport,
            from: self.addresses[index],
            to: transmit.flow.remote,
            bytes: transmit.bytes,
        };
        self.log.push(packet.clone());
        if let Some(filter) = &mut self.filter
            && !filter(&packet)
        {
            return;
        }
        match packet.transport {
            Transport::Udp => self.transmit_datagram(index, packet),
            Transport::Tcp | Transport::Tls => {
                self.transmit_stream(index, packet, transmit.may_connect)
            }
        }
    }

    fn transmit_datagram(&mut self, index: usize, packet: Packet) {
        if self.icmp && self.index_of(packet.to).is_none() {
            let failure = Arrival::Failure {
                at: index,
                flow: Flow {
                    transport: Transport::Udp,
                    remote: packet.to,
                },
                error: TransportError::Unreachable,
            };
            self.wire.send_reliably(self.now, failure);
            return;
        }
        self.wire.send(self.now, Arrival::Packet(packet));
    }

    fn transmit_stream(&mut self, index: usize, mut packet: Packet, may_connect: bool) {
        let own = self.addresses[index];
        let known = self.connections.iter().find(|connection| {
            (connection.opener == index && connection.to == packet.to)
                || (connection.to == own && connection.from == packet.to)
        });
        match known {
            Some(connection) if connection.opener == index => packet.from = connection.from,
            Some(_) => {}
            None if !may_connect => return,
            None if self.refuse_tcp || self.index_of(packet.to).is_none() => {
                let flow = Flow {
                    transport: Transport::Tcp,
                    remote: packet.to,
                };
                let error = TransportError::ConnectFailed;
                let at = index;
                self.wire
                    .send_reliably(self.now, Arrival::Failure { at, flow, error });
                return;
            }
            None => {
                let from = SocketAddr::new(own.ip(), self.next_port);
                self.next_port += 1;
                self.connections.push(Connection {
                    opener: index,
                    from,
                    to: packet.to,
                });
                packet.from = from;
            }
        }
        self.wire.send_reliably(self.now, Arrival::Packet(packet));
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Failure { at, flow, error } => {
                self.endpoints[at].handle_transport_error(self.now, flow, error);
            }
            Arrival::Packet(packet) => match self.receiver_of(&packet) {
                Some(index) => {
                    let flow = Flow {
                        transport: packet.transport,
                        remote: packet.from,
                    };
                    self.endpoints[index].handle_packet(self.now, flow, &packet.bytes);
                }
                None => self.elsewhere.push_back(packet),
            },
        }
    }

    fn receiver_of(&self, packet: &Packet) -> Option<usize> {
        let opened = self
            .connections
            .iter()
            .find(|connection| connection.from == packet.to);
        match (packet.transport, opened) {
            (Transport::Tcp, Some(connection)) => Some(connection.opener),
            _ => self.index_of(packet.to),
        }
    }

    fn index_of(&self, address: SocketAddr) -> Option<usize> {
        self.addresses.iter().position(|known| *known == address)
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for packet in &self.log {
            writeln!(
                f,
                "{} -> {} {}",
                packet.from,
                packet.to,
                packet.first_line()
            )?;
        }
        Ok(())
    }
}

/// The usual configuration of the endpoint with this index.
pub fn config(seed: u64, index: usize) -> EndpointConfig {
    let mut bytes = [0; 32];
    let words = [seed, index as u64 + 1];
    for (chunk, word) in bytes.chunks_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    EndpointConfig::new(address(index), bytes)
}
