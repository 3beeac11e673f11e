//! Allocate (RFC 8656 §7).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    Due, Error, Event, Handled, Open, Reservation, Server, answered, binding::canonical, refuse,
};
use crate::{
    allocation::{Allocation, Answered, Family, Opening, Relay, State, Wish},
    auth::{Proven, Signer},
    bucket::Bucket,
    client::{Address, Client, Now, Source},
    message::{Class, Message, Method, Writer, attribute as kind},
    peers::RelayPolicy,
    ports::Wanted,
    reservations::LIFETIME,
    slab::Key,
};

/// RFC 8656 §7.2's default, which is also the least that is granted.
pub(super) const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// So long the application may take to bind.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// So often other ports are tried when some cannot be bound.
const ATTEMPTS: u8 = 3;
/// REQUESTED-TRANSPORT's number for UDP.
const UDP: u8 = 17;

/// Relayed addresses found for a wish.
struct Found {
    relays: [Option<Relay>; 2],
    token: Option<[u8; 8]>,
    without: Option<(Family, u16)>,
}

impl Server {
    pub(super) fn allocate(
        &mut self,
        client: Client,
        request: &Message<'_>,
        proven: &Proven<'_>,
        now: Now,
        reply: &mut [u8],
    ) -> Handled {
        if let Some(key) = self.clients.get(&client).copied() {
            return self.allocate_again(key, request, proven, reply);
        }
        // Browsers ask for no family. What is virtual may be of the one there is: only the two ends see it.
        let usual = match (&self.config.policy, self.config.relay_v4) {
            (RelayPolicy::Own(_), None) => Family::V6,
            _ => Family::V4,
        };
        let opened = Wish::read(request, usual, self.config.max_lifetime)
            .and_then(|wish| self.open(client, request, wish, proven, now));
        let key = match opened {
            Ok(key) => key,
            Err(error) => {
                self.statistics.refused_quota += u64::from(error == Error::QuotaReached);
                return answered(refuse(request, proven, error, reply));
            }
        };
        if matches!(self.config.policy, RelayPolicy::Own(_)) {
            let len = self.opened(key, &proven.signer, reply);
            return answered(len.unwrap_or(0));
        }
        self.wanted(key, client)
    }

    /// The 5-tuple has an allocation: only the very request that made it is answered with success
    /// again (RFC 8656 §7.2).
    fn allocate_again(
        &mut self,
        key: Key,
        request: &Message<'_>,
        proven: &Proven<'_>,
        reply: &mut [u8],
    ) -> Handled {
        let Some(allocation) = self.allocations.get(key) else {
            return Handled::Nothing;
        };
        let same = allocation.answered.transaction == request.transaction()
            && *allocation.username == *proven.username;
        if !same {
            return answered(refuse(request, proven, Error::AllocationMismatch, reply));
        }
        if !allocation.is_open() {
            return Handled::Nothing;
        }
        answered(success(allocation, &proven.signer, reply))
    }

    /// Makes an allocation that waits for its sockets.
    fn open(
        &mut self,
        client: Client,
        request: &Message<'_>,
        wish: Wish,
        proven: &Proven<'_>,
        now: Now,
    ) -> Result<Key, Error> {
        if self.allocations.len() >= self.config.limits.allocations {
            return Err(Error::InsufficientCapacity);
        }
        let now = now.instant;
        let source = Source::of(client.address);
        let limits = &self.config.limits;
        let user = self.quota.take(proven.user, source, limits, now);
        let user = user.ok_or(Error::QuotaReached)?;
        let gives_up = now + OPENING_TIMEOUT;
        let key = self.allocations.insert(Allocation {
            client,
            username: proven.username.into(),
            user,
            state: State::Opening(Box::new(Opening {
                signer: proven.signer.clone(),
                wish,
                attempts: 1,
                gives_up,
            })),
            answered: Answered {
                transaction: request.transaction(),
                lifetime: wish.lifetime,
                token: None,
                without: None,
            },
            relays: [None; 2],
            permissions: Vec::new(),
            channels: Vec::new(),
            bucket: Bucket::new(now),
        });
        match self.find(key, wish, now) {
            Ok(found) => {
                self.clients.insert(client, key);
                self.deadlines.insert((gives_up, Due::Opening(key)));
                self.assign(key, found);
                Ok(key)
            }
            Err(error) => {
                self.allocations.remove(key);
                self.quota.release(user, source);
                Err(error)
            }
        }
    }

    fn assign(&mut self, key: Key, found: Found) {
        if let Some(allocation) = self.allocations.get_mut(key) {
            allocation.relays = found.relays;
            allocation.answered.token = found.token;
            allocation.answered.without = found.without;
        }
    }

    /// Takes ports for a wish: those of a reservation, or free ones. Of two families one is enough
    /// (RFC 8656 §7.2).
    fn find(&mut self, by: Key, wish: Wish, now: Instant) -> Result<Found, Error> {
        let expires = now + wish.lifetime;
        let mut found = Found {
            relays: [None; 2],
            token: None,
            without: None,
        };
        if let Some(token) = wish.token {
            let port = match self.reservations.remove(&token) {
                Some(reservation) => {
                    let due = (reservation.expires, Due::Reservation(token));
                    self.deadlines.remove(&due);
                    reservation.port
                }
                None => self
                    .reserved_elsewhere(token, now)
                    .ok_or(Error::InsufficientCapacity)?,
            };
            let family = Family::of(port.ip());
            let relay = self.relay(family, port.port(), expires);
            found.relays[family.index()] = relay;
            return Ok(found);
        }
        let mut failure = None;
        for family in wish.families.into_iter().flatten() {
            match self.take_port(family, wish.wanted) {
                Ok(port) => found.relays[family.index()] = self.relay(family, port, expires),
                Err(error) => failure = failure.or(Some((family, error))),
            }
        }
        let taken = found.relays.into_iter().flatten().next();
        let (Some(relay), failure) = (taken, failure) else {
            return Err(failure.map_or(Error::InsufficientCapacity, |(_, error)| error));
        };
        found.without = failure.map(|(family, error)| (family, error.code()));
        if wish.wanted == Wanted::EvenAndNext {
            let expires = now + LIFETIME;
            let port = SocketAddr::new(relay.local.ip(), relay.local.port() + 1);
            let token = self.tokens.token(port, now);
            self.reservations
                .insert(token, Reservation { by, port, expires });
            self.deadlines.insert((expires, Due::Reservation(token)));
            found.token = Some(token);
        }
        Ok(found)
    }

    /// A port that another server of the process keeps for who has its token. Should it be in use, it cannot be bound.
    fn reserved_elsewhere(&self, token: [u8; 8], now: Instant) -> Option<SocketAddr> {
        let relays = [self.config.relay_v4, self.config.relay_v6];
        let addresses = relays.into_iter().flatten().map(|at| at.local);
        let port = self.tokens.port(token, addresses, now)?;
        let ours = self.ports[Family::of(port.ip()).index()].as_ref();
        // Of our own there would be a reservation.
        (!ours.is_some_and(|ours| ours.has(port.port()))).then_some(port)
    }

    fn take_port(&mut self, family: Family, wanted: Wanted) -> Result<u16, Error> {
        let ports = self.ports[family.index()].as_mut();
        let ports = ports.ok_or(Error::AddressFamilyNotSupported)?;
        let port = ports.take(wanted, &mut self.random);
        port.ok_or(Error::InsufficientCapacity)
    }

    fn relay(&self, family: Family, port: u16, expires: Instant) -> Option<Relay> {
        let at = self.address(family)?;
        Some(Relay {
            local: SocketAddr::new(at.local, port),
            advertised: SocketAddr::new(at.advertised, port),
            expires,
        })
    }

    fn wanted(&self, key: Key, client: Client) -> Handled {
        let Some(allocation) = self.allocations.get(key) else {
            return Handled::Nothing;
        };
        let sockets = allocation.relays.map(|relay| relay.map(|one| one.local));
        Handled::Open(Box::new(Open {
            key,
            client,
            sockets,
        }))
    }

    /// The application has bound what [`Handled::Open`] asked for, but `failed`. The answer is the
    /// client's ([`Handled::Reply`]), or another try ([`Handled::Open`]); a bound socket that is
    /// not used comes back as [`Event::Closed`]. To be called before anything else happens to the
    /// server, or within ten seconds: then the allocation is given up.
    pub fn relay_opened(
        &mut self,
        open: &Open,
        failed: &[SocketAddr],
        now: Now,
        reply: &mut [u8],
    ) -> Handled {
        let opening = self.allocations.get(open.key).map(|one| &one.state);
        let Some(State::Opening(opening)) = opening else {
            // Its time is over, or its client gone.
            self.unused(open, failed);
            return Handled::Nothing;
        };
        let opening = opening.clone();
        if open.addresses().any(|address| failed.contains(&address)) {
            if opening.attempts < ATTEMPTS && opening.wish.token.is_none() {
                if let Some(other) = self.other_ports(open, failed, &opening, now) {
                    return other;
                }
                return answered(self.give_up(open.key, &opening.signer, reply));
            }
            if !self.drop_failed(open.key, failed) {
                self.unused(open, failed);
                return answered(self.give_up(open.key, &opening.signer, reply));
            }
        }
        answered(self.opened(open.key, &opening.signer, reply).unwrap_or(0))
    }

    /// Sockets that were bound in vain.
    fn unused(&mut self, open: &Open, failed: &[SocketAddr]) {
        let client = open.client;
        let bound = open.addresses().filter(|address| !failed.contains(address));
        self.events
            .extend(bound.map(|relayed| Event::Closed { relayed, client }));
    }

    /// Ends an allocation that gets no sockets, and says so: 508. There is nothing to close.
    fn give_up(&mut self, key: Key, signer: &Signer, reply: &mut [u8]) -> usize {
        let Some(allocation) = self.allocations.get_mut(key) else {
            return 0;
        };
        let transaction = allocation.answered.transaction;
        let relays = std::mem::take(&mut allocation.relays);
        for relay in relays.into_iter().flatten() {
            self.release_port(relay.local);
        }
        self.remove(key);
        let error = Error::InsufficientCapacity;
        let mut answer = Writer::new(reply, Class::Error, Method::Allocate, transaction);
        answer.error_code(error.code(), error.reason());
        signer.finish(answer)
    }

    /// Takes other ports before it gives the old ones back, so that they are not the same. `None`:
    /// there are none left.
    fn other_ports(
        &mut self,
        open: &Open,
        failed: &[SocketAddr],
        opening: &Opening,
        now: Now,
    ) -> Option<Handled> {
        let found = self.find(open.key, opening.wish, now.instant);
        self.unused(open, failed);
        let allocation = self.allocations.get_mut(open.key)?;
        let old = std::mem::take(&mut allocation.relays);
        let token = allocation.answered.token.take();
        allocation.state = State::Opening(Box::new(Opening {
            attempts: opening.attempts + 1,
            ..opening.clone()
        }));
        for relay in old.into_iter().flatten() {
            self.release_port(relay.local);
        }
        if let Some(token) = token {
            self.remove_reservation(token, open.key);
        }
        self.assign(open.key, found.ok()?);
        Some(self.wanted(open.key, open.client))
    }

    /// Goes on without the families that could not be bound; whether one is left.
    fn drop_failed(&mut self, key: Key, failed: &[SocketAddr]) -> bool {
        let Some(allocation) = self.allocations.get_mut(key) else {
            return false;
        };
        let has_failed =
            |relay: &Option<Relay>| relay.is_some_and(|one| failed.contains(&one.local));
        if allocation
            .relays
            .iter()
            .flatten()
            .all(|one| failed.contains(&one.local))
        {
            return false;
        }
        let mut gone = None;
        for family in [Family::V4, Family::V6] {
            let place = &mut allocation.relays[family.index()];
            if has_failed(place) {
                gone = place.take();
                let error = Error::InsufficientCapacity.code();
                allocation.answered.without = Some((family, error));
            }
        }
        if let Some(relay) = gone {
            self.release_port(relay.local);
        }
        true
    }

    /// The relay is there: the client is told.
    fn opened(&mut self, key: Key, signer: &Signer, reply: &mut [u8]) -> Option<usize> {
        let allocation = self.allocations.get_mut(key)?;
        if let State::Opening(opening) = std::mem::replace(&mut allocation.state, State::Open) {
            let due = (opening.gives_up, Due::Opening(key));
            self.deadlines.remove(&due);
        }
        for family in [Family::V4, Family::V6] {
            if let Some(relay) = allocation.relay(family) {
                self.relays.insert(Address(relay.local), key);
                self.deadlines
                    .insert((relay.expires, Due::Relay(key, family)));
            }
        }
        self.statistics.allocations_made += 1;
        Some(success(allocation, signer, reply))
    }
}

/// RFC 8656 §7.2's success, from what is kept of the allocation.
fn success(allocation: &Allocation, signer: &Signer, out: &mut [u8]) -> usize {
    let said = &allocation.answered;
    let mut answer = Writer::new(out, Class::Success, Method::Allocate, said.transaction);
    for relay in allocation.relays() {
        answer.xor_address(kind::XOR_RELAYED_ADDRESS, relay.advertised);
    }
    if let Some((family, code)) = said.without {
        let value = [family as u8, 0, (code / 100) as u8, (code % 100) as u8];
        answer.attribute(kind::ADDRESS_ERROR_CODE, &value);
    }
    answer.number(kind::LIFETIME, said.lifetime.as_secs() as u32);
    if let Some(token) = said.token {
        answer.attribute(kind::RESERVATION_TOKEN, &token);
    }
    let mapped = canonical(allocation.client.address);
    answer.xor_address(kind::XOR_MAPPED_ADDRESS, mapped);
    signer.finish(answer)
}

/// LIFETIME, or the default; at least the default, at most what is granted (RFC 8656 §7.2).
pub(super) fn lifetime(request: &Message<'_>, most: Duration) -> Result<Duration, Error> {
    let asked = match request.value(kind::LIFETIME) {
        Some(value) => {
            let value = value.try_into().map_err(|_| Error::BadRequest)?;
            Duration::from_secs(u64::from(u32::from_be_bytes(value)))
        }
        None => DEFAULT_LIFETIME,
    };
    Ok(asked.max(DEFAULT_LIFETIME).min(most))
}

/// The family of REQUESTED-ADDRESS-FAMILY and its like: 440 where it is none.
pub(super) fn family(value: &[u8]) -> Result<Family, Error> {
    match value {
        [number, _, _, _] => Family::from_number(*number).ok_or(Error::AddressFamilyNotSupported),
        _ => Err(Error::BadRequest),
    }
}

impl Wish {
    /// RFC 8656 §7.2, steps 3 to 9.
    fn read(request: &Message<'_>, usual: Family, most: Duration) -> Result<Self, Error> {
        let transport = request.value(kind::REQUESTED_TRANSPORT);
        match transport {
            Some([UDP, _, _, _]) => {}
            Some([_, _, _, _]) => return Err(Error::UnsupportedTransport),
            _ => return Err(Error::BadRequest),
        }
        let requested = request.value(kind::REQUESTED_ADDRESS_FAMILY);
        let additional = request.value(kind::ADDITIONAL_ADDRESS_FAMILY);
        let wanted = match request.value(kind::EVEN_PORT) {
            None => Wanted::Any,
            Some([bits, ..]) if bits & 0x80 != 0 => Wanted::EvenAndNext,
            Some([_, ..]) => Wanted::Even,
            Some([]) => return Err(Error::BadRequest),
        };
        let token = match request.value(kind::RESERVATION_TOKEN) {
            Some(value) => Some(value.try_into().map_err(|_| Error::BadRequest)?),
            None => None,
        };
        let alone = wanted == Wanted::Any && requested.is_none() && additional.is_none();
        if token.is_some() && !alone
            || requested.is_some() && additional.is_some()
            || additional.is_some() && wanted == Wanted::EvenAndNext
        {
            return Err(Error::BadRequest);
        }
        let families = match (requested, additional) {
            (Some(value), _) => [Some(family(value)?), None],
            // Only IPv6 can be the additional one.
            (None, Some(value)) => match family(value)? {
                Family::V4 => return Err(Error::BadRequest),
                Family::V6 => [Some(Family::V4), Some(Family::V6)],
            },
            (None, None) => [Some(usual), None],
        };
        Ok(Self {
            families,
            wanted,
            token,
            lifetime: lifetime(request, most)?,
        })
    }
}
