//! Data, both ways (RFC 8656 §11, §12): nothing is copied, nothing allocated.

use std::{net::SocketAddr, ops::Range, time::Instant};

use rand_chacha::rand_core::RngCore;

use super::{Handled, Server};
use crate::{
    allocation::Family,
    client::{Address, Client},
    message::{Class, HEADER, Message, Method, Writer, attribute as kind},
    slab::Key,
};

/// Bytes of ChannelData before its payload (RFC 8656 §12.4).
const CHANNEL_HEADER: usize = 4;
/// Free bytes that [`Server::handle_peer`] needs before a payload: a Data indication's header, the
/// peer's IPv6 address and the head of DATA.
pub const HEADROOM: usize = HEADER + 24 + 4;
/// Free bytes that it needs after one: padding.
pub const TAILROOM: usize = 3;

/// What a peer's datagram has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToClient {
    /// To whom.
    pub client: Client,
    /// What to send: this part of the buffer.
    pub bytes: Range<usize>,
}

impl Server {
    /// ChannelData. Over a stream it is padded (RFC 8656 §12.5), in a datagram it may be.
    #[inline]
    pub(super) fn channel_data(&mut self, client: Client, message: &[u8], now: Instant) -> Handled {
        let Some((head, payload)) = message.split_first_chunk::<CHANNEL_HEADER>() else {
            return Handled::Nothing;
        };
        let number = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if length > payload.len() {
            return Handled::Nothing;
        }
        let Some(key) = self.clients.get(&client).copied() else {
            return Handled::Nothing;
        };
        let peer = self
            .allocations
            .get(key)
            .and_then(|allocation| allocation.channel_peer(number, now));
        match peer {
            Some(peer) => {
                let data = CHANNEL_HEADER..CHANNEL_HEADER + length;
                self.relay_to_peer(key, peer, data, now)
            }
            None => self.no_permission(),
        }
    }

    /// A Send indication (RFC 8656 §11.2). It proves nothing but the 5-tuple, as the RFC has it;
    /// FINGERPRINT is not looked at, since a check over every payload serves nobody.
    pub(super) fn send_indication(
        &mut self,
        client: Client,
        message: &Message<'_>,
        now: Instant,
    ) -> Handled {
        let Some(key) = self.clients.get(&client).copied() else {
            return Handled::Nothing;
        };
        let (mut peer, mut data) = (None, None);
        for found in message.attributes() {
            match found.kind {
                kind::XOR_PEER_ADDRESS if peer.is_none() => peer = Some(found.value),
                kind::DATA if data.is_none() => {
                    data = Some(found.offset..found.offset + found.value.len());
                }
                other if self.is_unknown(other) => return Handled::Nothing,
                _ => {}
            }
        }
        let peer = peer.and_then(|value| message.xor_address(value));
        let (Some(peer), Some(data)) = (peer, data) else {
            return Handled::Nothing;
        };
        self.relay_to_peer(key, peer, data, now)
    }

    #[inline]
    fn relay_to_peer(
        &mut self,
        key: Key,
        peer: SocketAddr,
        data: Range<usize>,
        now: Instant,
    ) -> Handled {
        let Some(allocation) = self.allocations.get(key) else {
            return Handled::Nothing;
        };
        let family = Family::of(peer.ip());
        let (Some(relay), true) = (allocation.relay(family), allocation.is_open()) else {
            return self.no_permission();
        };
        let relayed = relay.local;
        if !allocation.permits(peer.ip(), now) {
            return self.no_permission();
        }
        if !self.config.policy.allow(peer) {
            self.statistics.dropped_forbidden += 1;
            return Handled::Nothing;
        }
        if !self.take_bandwidth(key, data.len(), now) {
            return Handled::Nothing;
        }
        self.statistics.packets_to_peers += 1;
        self.statistics.bytes_to_peers += data.len() as u64;
        Handled::ToPeer {
            relayed,
            peer,
            data,
        }
    }

    fn no_permission(&mut self) -> Handled {
        self.statistics.dropped_no_permission += 1;
        Handled::Nothing
    }

    #[inline]
    fn take_bandwidth(&mut self, key: Key, bytes: usize, now: Instant) -> bool {
        let limits = &self.config.limits;
        let (own, user) = (limits.bandwidth_per_allocation, limits.bandwidth_per_user);
        if own.is_none() && user.is_none() {
            return true;
        }
        let Some(allocation) = self.allocations.get_mut(key) else {
            return false;
        };
        let fits = own.is_none_or(|rate| allocation.bucket.take(bytes, rate, now))
            && user.is_none_or(|rate| self.quota.take_bytes(allocation.user, bytes, rate, now));
        self.statistics.dropped_bandwidth += u64::from(!fits);
        fits
    }

    /// Takes a datagram that `peer` sent to a relayed address. Its `len` bytes lie behind
    /// [`HEADROOM`] bytes of `buffer`, with [`TAILROOM`] bytes after them; what comes back is the
    /// part of `buffer` that is to be sent. The payload stays where it is. `None`: it is dropped.
    pub fn handle_peer(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        buffer: &mut [u8],
        len: usize,
        now: Instant,
    ) -> Option<ToClient> {
        let end = HEADROOM.checked_add(len)?;
        if buffer.len() < end + TAILROOM || len > usize::from(u16::MAX) - HEADROOM - TAILROOM {
            return None;
        }
        let key = *self.relays.get(&Address(relayed))?;
        let allocation = self.allocations.get(key)?;
        let client = allocation.client;
        if !allocation.permits(peer.ip(), now) {
            self.no_permission();
            return None;
        }
        let channel = allocation.channel_number(peer, now);
        if !self.config.policy.allow(peer) {
            self.statistics.dropped_forbidden += 1;
            return None;
        }
        if !self.take_bandwidth(key, len, now) {
            return None;
        }
        self.statistics.packets_to_clients += 1;
        self.statistics.bytes_to_clients += len as u64;
        let bytes = match channel {
            Some(number) => {
                let start = HEADROOM - CHANNEL_HEADER;
                let head = u32::from(number) << 16 | len as u32;
                buffer[start..HEADROOM].copy_from_slice(&head.to_be_bytes());
                let padding = match client.transport.is_stream() {
                    true => len.next_multiple_of(4) - len,
                    false => 0,
                };
                buffer[end..end + padding].fill(0);
                start..end + padding
            }
            None => self.data_indication(peer, buffer, len),
        };
        Some(ToClient { client, bytes })
    }

    /// Writes all of a Data indication but the payload (RFC 8656 §11.3).
    fn data_indication(&mut self, peer: SocketAddr, buffer: &mut [u8], len: usize) -> Range<usize> {
        let size = if peer.is_ipv4() { 12 } else { 24 };
        let start = HEADROOM - (HEADER + size + 4);
        let mut transaction = [0; 12];
        self.random.fill_bytes(&mut transaction);
        let (head, rest) = buffer.split_at_mut(HEADROOM);
        let head = &mut head[start..];
        let mut writer = Writer::new(
            &mut head[..HEADER + size],
            Class::Indication,
            Method::Data,
            transaction,
        );
        writer.xor_address(kind::XOR_PEER_ADDRESS, peer);
        let padded = len.next_multiple_of(4);
        let length = (size + 4 + padded) as u16;
        head[2..4].copy_from_slice(&length.to_be_bytes());
        let data = u32::from(kind::DATA) << 16 | len as u32;
        head[HEADER + size..].copy_from_slice(&data.to_be_bytes());
        rest[len..padded].fill(0);
        start..HEADROOM + padded
    }
}
