//! The server (RFC 8656 §5): told messages, datagrams and the time; gives answers and where data
//! goes.

mod allocate;
mod binding;
mod control;
mod data;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    ops::Range,
    time::Instant,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{
    allocation::{Allocation, Family, State},
    auth::{Gate, Proven},
    client::{Address, Client, Keyed, Now, Source},
    config::{Config, ConfigError, RelayAddress},
    credentials::Users,
    limiter::Limiter,
    message::{
        Class, Message, Method, Writer, attribute as kind, comprehension_required, is_proof,
    },
    peers::RelayPolicy,
    ports::Ports,
    quota::{Quota, Quotas},
    reservations::Reservations,
    slab::{Key, Slab},
};

pub use data::{HEADROOM, TAILROOM, ToClient};

/// No answer is longer.
pub const MAX_REPLY: usize = 256;
/// A request has some 200 bytes; a long user name and a score of peers fit.
const MAX_REQUEST: usize = 2048;
/// How many unknown attributes a 420 names.
const MAX_UNKNOWN: usize = 8;

/// What is to be done with a message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// Nothing.
    Nothing,
    /// Send the first bytes of the reply's buffer back to the client.
    Reply(usize),
    /// Send a part of the message to a peer.
    ToPeer {
        /// From here.
        relayed: SocketAddr,
        /// To here.
        peer: SocketAddr,
        /// Where the payload lies in the message.
        data: Range<usize>,
    },
    /// Bind these and call [`Server::relay_opened`]. Of an open relay alone.
    Open(Box<Open>),
}

/// UDP sockets that an allocation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    key: Key,
    client: Client,
    sockets: [Option<SocketAddr>; 2],
}

impl Open {
    /// The addresses to bind, one or one of each family.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.into_iter().flatten()
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A relayed address is no more: its socket is to be closed.
    Closed {
        /// As [`Open`] or [`Handled::ToPeer`] named it.
        relayed: SocketAddr,
        /// Whose it was.
        client: Client,
    },
}

/// Counts since the start. Of packets and bytes: of payload.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub allocations_made: u64,
    pub packets_to_peers: u64,
    pub bytes_to_peers: u64,
    pub packets_to_clients: u64,
    pub bytes_to_clients: u64,
    pub dropped_no_permission: u64,
    pub dropped_forbidden: u64,
    pub dropped_bandwidth: u64,
    /// Requests without proof that got no answer, since their source had had its answers.
    pub unanswered: u64,
    pub refused_quota: u64,
    pub refused_forbidden: u64,
    pub refused_credentials: u64,
}

/// What runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Relay(Key, Family),
    Opening(Key),
    Reservation([u8; 8]),
}

/// A port beside an even one, kept for who has the token (RFC 8656 §7.2).
#[derive(Debug, Clone, Copy)]
struct Reservation {
    /// Its own allocation: the port goes with it if nobody came.
    by: Key,
    port: SocketAddr,
    expires: Instant,
}

/// A STUN and TURN server without sockets.
pub struct Server {
    config: Config,
    gate: Gate,
    random: ChaCha8Rng,
    clients: HashMap<Client, Key, Keyed>,
    relays: HashMap<Address, Key, Keyed>,
    allocations: Slab<Allocation>,
    quota: Quota,
    /// By [`Family::index`].
    ports: [Option<Ports>; 2],
    reservations: HashMap<[u8; 8], Reservation, Keyed>,
    tokens: Reservations,
    deadlines: BTreeSet<(Instant, Due)>,
    /// Two for every allocation that ends. They are to be taken after every call.
    events: VecDeque<Event>,
    statistics: Statistics,
}

/// What its clients had, others may have.
impl Drop for Server {
    fn drop(&mut self) {
        for key in self.clients.values() {
            if let Some(allocation) = self.allocations.get(*key) {
                let source = Source::of(allocation.client.address);
                self.quota.release(allocation.user, source);
            }
        }
    }
}

impl Server {
    /// A server. All its randomness and keys come of `seed`, which must be secret.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        let mut random = ChaCha8Rng::from_seed(seed);
        let mut keys = [[0; 32]; 2];
        keys.iter_mut().for_each(|key| random.fill_bytes(key));
        let mut key = [0; 16];
        random.fill_bytes(&mut key);
        let hasher = Keyed::new(key);
        let mut own_tokens = [0; 32];
        random.fill_bytes(&mut own_tokens);
        let tokens = config.reservations.clone();
        let tokens = tokens.unwrap_or_else(|| Reservations::new(&own_tokens, now));
        let quotas = config.quotas.clone();
        let quotas = quotas.unwrap_or_else(|| Quotas::new(&key));
        let limiter = config.limiter.clone();
        let limiter = limiter.unwrap_or_else(|| Limiter::new(&key, now));
        let ports = |at: Option<RelayAddress>| at.map(|_| Ports::new(config.ports));
        Ok(Self {
            gate: Gate::new(&config, keys, limiter, now),
            random,
            clients: HashMap::with_hasher(hasher.clone()),
            relays: HashMap::with_hasher(hasher.clone()),
            allocations: Slab::new(),
            quota: Quota::new(quotas, &hasher),
            ports: [ports(config.relay_v4), ports(config.relay_v6)],
            reservations: HashMap::with_hasher(hasher),
            tokens,
            deadlines: BTreeSet::new(),
            events: VecDeque::new(),
            statistics: Statistics::default(),
            config,
        })
    }

    /// Takes one message of a client: a datagram, or what [`crate::framing`] cut from a stream. An
    /// answer is written to `reply` ([`MAX_REPLY`] bytes). What is not STUN is dropped.
    pub fn handle_client(
        &mut self,
        client: Client,
        message: &[u8],
        now: Now,
        reply: &mut [u8],
    ) -> Handled {
        match message.first() {
            Some(0x40..=0x7f) => self.channel_data(client, message, now.instant),
            Some(0..=3) => self.stun(client, message, now, reply),
            _ => Handled::Nothing,
        }
    }

    fn stun(&mut self, client: Client, message: &[u8], now: Now, reply: &mut [u8]) -> Handled {
        let Some(message) = Message::parse(message) else {
            return Handled::Nothing;
        };
        let (class, method) = (message.class(), message.method());
        if (class, method) == (Class::Indication, Method::Send) {
            return self.send_indication(client, &message, now.instant);
        }
        let too_long = message.as_bytes().len() > MAX_REQUEST;
        if class != Class::Request || too_long || !message.fingerprint_holds() {
            return Handled::Nothing;
        }
        match method {
            Method::Binding => self.binding(client, &message, now.instant, reply),
            Method::Allocate | Method::Refresh | Method::CreatePermission | Method::ChannelBind => {
                self.request(client, &message, now, reply)
            }
            Method::Send | Method::Data | Method::Other(_) => Handled::Nothing,
        }
    }

    /// A request of TURN: proof first, then what it says.
    fn request(
        &mut self,
        client: Client,
        request: &Message<'_>,
        now: Now,
        reply: &mut [u8],
    ) -> Handled {
        let key = self.clients.get(&client).copied();
        let holder = key
            .and_then(|key| self.allocations.get(key))
            .map(|allocation| &*allocation.username);
        let proven = match self.gate.authenticate(client, request, holder, now) {
            Ok(proven) => proven,
            Err(refusal) => {
                if request.integrity().is_some() {
                    self.statistics.refused_credentials += 1;
                }
                let len = self
                    .gate
                    .refuse(client, request, refusal, now.instant, reply);
                self.statistics.unanswered += u64::from(len == 0);
                return answered(len);
            }
        };
        let unknown = |kind| self.is_unknown(kind);
        if let Some(len) = unknown_attributes(request, unknown, Some(&proven), reply) {
            return answered(len);
        }
        let instant = now.instant;
        let done = match request.method() {
            Method::Allocate => return self.allocate(client, request, &proven, now, reply),
            Method::Refresh => self.refresh(key, request, &proven, instant).map(Some),
            Method::CreatePermission => {
                let done = self.create_permission(key, request, &proven, instant);
                done.map(|()| None)
            }
            _ => {
                let done = self.channel_bind(key, request, &proven, instant);
                done.map(|()| None)
            }
        };
        answered(match done {
            Ok(lifetime) => {
                let mut answer = Writer::answer(reply, Class::Success, request);
                if let Some(lifetime) = lifetime {
                    answer.number(kind::LIFETIME, lifetime);
                }
                proven.signer.finish(answer)
            }
            Err(error) => {
                self.statistics.refused_forbidden += u64::from(error == Error::Forbidden);
                refuse(request, &proven, error, reply)
            }
        })
    }

    /// Attributes that have to be understood and are not (RFC 8489 §14). DONT-FRAGMENT is
    /// understood where no datagram is sent at all: an open relay's sockets set no DF bit, since
    /// that is the socket's, not the datagram's, and so it says that it cannot (RFC 8656 §7.2).
    fn is_unknown(&self, attribute: u16) -> bool {
        match attribute {
            kind::CHANNEL_NUMBER
            | kind::LIFETIME
            | kind::XOR_PEER_ADDRESS
            | kind::DATA
            | kind::REQUESTED_ADDRESS_FAMILY
            | kind::EVEN_PORT
            | kind::REQUESTED_TRANSPORT
            | kind::RESERVATION_TOKEN => false,
            kind::DONT_FRAGMENT => matches!(self.config.policy, RelayPolicy::Open(_)),
            other => comprehension_required(other) && !is_proof(other),
        }
    }

    /// Puts other users in place of those there are. Their allocations stay until they are to be
    /// refreshed.
    pub fn set_users(&mut self, users: Users) {
        self.gate.set_users(users);
    }

    /// Changes whom relays lead to; it holds from the next datagram on. Whether relays are virtual
    /// must not change while there are any.
    pub fn set_policy(&mut self, policy: RelayPolicy) {
        self.config.policy = policy;
    }

    /// Whose a relayed address is.
    pub fn client_of(&self, relayed: SocketAddr) -> Option<Client> {
        let key = self.relays.get(&Address(relayed))?;
        Some(self.allocations.get(*key)?.client)
    }

    /// Whether that client has an allocation.
    pub fn has_allocation(&self, client: Client) -> bool {
        self.clients.contains_key(&client)
    }

    /// A client's connection is closed: its allocation ends with it.
    pub fn client_closed(&mut self, client: Client) {
        if let Some(key) = self.clients.get(&client).copied() {
            self.remove(key);
        }
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// Counts since the start.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// When [`Server::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Ends what has run out. Permissions and channels need no wake-up: they stop by themselves.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, due)) = self.deadlines.first().copied() {
            if now < at {
                return;
            }
            self.deadlines.pop_first();
            match due {
                Due::Relay(key, family) => self.remove_relay(key, family),
                Due::Opening(key) => self.remove(key),
                Due::Reservation(token) => {
                    if let Some(reservation) = self.reservations.remove(&token) {
                        self.release_port(reservation.port);
                    }
                }
            }
        }
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn address(&self, family: Family) -> Option<RelayAddress> {
        match family {
            Family::V4 => self.config.relay_v4,
            Family::V6 => self.config.relay_v6,
        }
    }

    fn release_port(&mut self, local: SocketAddr) {
        let family = Family::of(local.ip());
        if let Some(ports) = &mut self.ports[family.index()] {
            ports.release(local.port());
        }
    }

    /// Ends one family's relay, and the allocation with its last one.
    fn remove_relay(&mut self, key: Key, family: Family) {
        let Some(allocation) = self.allocations.get_mut(key) else {
            return;
        };
        let last = allocation.relays[1 - family.index()].is_none();
        if last {
            return self.remove(key);
        }
        let client = allocation.client;
        if let Some(relay) = allocation.relays[family.index()].take() {
            self.deadlines
                .remove(&(relay.expires, Due::Relay(key, family)));
            self.close(relay.local, client);
        }
    }

    fn close(&mut self, relayed: SocketAddr, client: Client) {
        self.relays.remove(&Address(relayed));
        self.release_port(relayed);
        self.events.push_back(Event::Closed { relayed, client });
    }

    fn remove(&mut self, key: Key) {
        let Some(allocation) = self.allocations.remove(key) else {
            return;
        };
        self.clients.remove(&allocation.client);
        if let State::Opening(opening) = &allocation.state {
            let due = (opening.gives_up, Due::Opening(key));
            self.deadlines.remove(&due);
        }
        for family in [Family::V4, Family::V6] {
            if let Some(relay) = allocation.relay(family) {
                self.deadlines
                    .remove(&(relay.expires, Due::Relay(key, family)));
                self.close(relay.local, allocation.client);
            }
        }
        if let Some(token) = allocation.answered.token {
            self.remove_reservation(token, key);
        }
        let source = Source::of(allocation.client.address);
        self.quota.release(allocation.user, source);
    }

    /// Forgets a reservation that nobody has come for.
    fn remove_reservation(&mut self, token: [u8; 8], by: Key) {
        let held = self.reservations.get(&token).filter(|one| one.by == by);
        if let Some(reservation) = held.copied() {
            self.reservations.remove(&token);
            let due = (reservation.expires, Due::Reservation(token));
            self.deadlines.remove(&due);
            self.release_port(reservation.port);
        }
    }
}

fn answered(len: usize) -> Handled {
    match len {
        0 => Handled::Nothing,
        len => Handled::Reply(len),
    }
}

/// Writes a signed error.
fn refuse(request: &Message<'_>, proven: &Proven<'_>, error: Error, out: &mut [u8]) -> usize {
    let mut answer = Writer::answer(out, Class::Error, request);
    answer.error_code(error.code(), error.reason());
    proven.signer.finish(answer)
}

/// Answers 420 if there are unknown attributes (RFC 8489 §6.3.1); `None` if there are none.
fn unknown_attributes(
    request: &Message<'_>,
    is_unknown: impl Fn(u16) -> bool,
    proven: Option<&Proven<'_>>,
    out: &mut [u8],
) -> Option<usize> {
    let mut value = [0; 2 * MAX_UNKNOWN];
    let mut len = 0;
    let unknown = request.attributes().filter(|one| is_unknown(one.kind));
    for (place, one) in value.chunks_exact_mut(2).zip(unknown) {
        place.copy_from_slice(&one.kind.to_be_bytes());
        len += 2;
    }
    if len == 0 {
        return None;
    }
    let mut answer = Writer::answer(out, Class::Error, request);
    answer.error_code(420, "");
    answer.attribute(kind::UNKNOWN_ATTRIBUTES, value.get(..len)?);
    Some(match proven {
        Some(proven) => proven.signer.finish(answer),
        None => answer.finish().unwrap_or(0),
    })
}

/// Why a proven request is refused: RFC 8489 §14.8, RFC 8656 §19.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Error {
    BadRequest,
    Forbidden,
    AllocationMismatch,
    AddressFamilyNotSupported,
    WrongCredentials,
    UnsupportedTransport,
    PeerAddressFamilyMismatch,
    QuotaReached,
    InsufficientCapacity,
}

impl Error {
    fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::AllocationMismatch => 437,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::QuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::AddressFamilyNotSupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::UnsupportedTransport => "Unsupported Transport Protocol",
            Self::PeerAddressFamilyMismatch => "Peer Address Family Mismatch",
            Self::QuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }
}
