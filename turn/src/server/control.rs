//! What changes an allocation: Refresh (RFC 8656 §8), CreatePermission (§10), ChannelBind (§12).

use std::{net::SocketAddr, time::Instant};

use super::{
    Due, Error, Server,
    allocate::{family, lifetime},
};
use crate::{
    allocation::{Allocation, CHANNELS, Family, Refused},
    auth::Proven,
    message::{Message, attribute as kind},
    slab::Key,
};

/// An open allocation of whoever asks: else 437, or 441 if it is another user's (RFC 8656 §5).
fn own<'a>(
    allocation: Option<&'a Allocation>,
    proven: &Proven<'_>,
) -> Result<&'a Allocation, Error> {
    let allocation = allocation.filter(|one| one.is_open());
    let allocation = allocation.ok_or(Error::AllocationMismatch)?;
    match *allocation.username == *proven.username {
        true => Ok(allocation),
        false => Err(Error::WrongCredentials),
    }
}

impl Server {
    /// The seconds that are left: 0 if it is over. REQUESTED-ADDRESS-FAMILY means one of two relays.
    pub(super) fn refresh(
        &mut self,
        key: Option<Key>,
        request: &Message<'_>,
        proven: &Proven<'_>,
        now: Instant,
    ) -> Result<u32, Error> {
        let key = key.ok_or(Error::AllocationMismatch)?;
        let allocation = own(self.allocations.get(key), proven)?;
        let only = match request.value(kind::REQUESTED_ADDRESS_FAMILY) {
            Some(value) => Some(family(value).map_err(|error| match error {
                Error::AddressFamilyNotSupported => Error::PeerAddressFamilyMismatch,
                other => other,
            })?),
            None => None,
        };
        if only.is_some_and(|family| allocation.relay(family).is_none()) {
            return Err(Error::PeerAddressFamilyMismatch);
        }
        let granted = lifetime(request, self.config.max_lifetime)?;
        let ends = request.value(kind::LIFETIME) == Some(&[0; 4]);
        let families = [Family::V4, Family::V6];
        let chosen = families
            .into_iter()
            .filter(|family| only.is_none_or(|only| only == *family));
        for family in chosen {
            if ends {
                if let Some(allocation) = self.allocations.get(key)
                    && allocation.relay(family).is_some()
                {
                    self.remove_relay(key, family);
                }
                continue;
            }
            let Some(allocation) = self.allocations.get_mut(key) else {
                break;
            };
            if let Some(relay) = &mut allocation.relays[family.index()] {
                let due = Due::Relay(key, family);
                self.deadlines.remove(&(relay.expires, due));
                relay.expires = now + granted;
                self.deadlines.insert((relay.expires, due));
            }
        }
        Ok(if ends { 0 } else { granted.as_secs() as u32 })
    }

    /// All addresses or none (RFC 8656 §10.2).
    pub(super) fn create_permission(
        &mut self,
        key: Option<Key>,
        request: &Message<'_>,
        proven: &Proven<'_>,
        now: Instant,
    ) -> Result<(), Error> {
        let key = key.ok_or(Error::AllocationMismatch)?;
        let allocation = own(self.allocations.get(key), proven)?;
        let most = self.config.limits.permissions;
        let mut ips = Vec::new();
        for found in request.attributes() {
            if found.kind != kind::XOR_PEER_ADDRESS {
                continue;
            }
            let peer = request.xor_address(found.value).ok_or(Error::BadRequest)?;
            self.check_peer(allocation, peer, |policy| policy.allow_ip(peer.ip()))?;
            if ips.len() == most {
                return Err(Error::InsufficientCapacity);
            }
            ips.push(peer.ip());
        }
        if ips.is_empty() {
            return Err(Error::BadRequest);
        }
        let allocation = self.allocations.get_mut(key);
        let allocation = allocation.ok_or(Error::AllocationMismatch)?;
        if !allocation.has_room(&ips, most, now) {
            return Err(Error::InsufficientCapacity);
        }
        ips.into_iter().for_each(|ip| allocation.permit(ip, now));
        Ok(())
    }

    /// 443 and 403.
    fn check_peer(
        &self,
        allocation: &Allocation,
        peer: SocketAddr,
        allowed: impl Fn(&crate::RelayPolicy) -> bool,
    ) -> Result<(), Error> {
        if allocation.relay(Family::of(peer.ip())).is_none() {
            return Err(Error::PeerAddressFamilyMismatch);
        }
        match allowed(&self.config.policy) {
            true => Ok(()),
            false => Err(Error::Forbidden),
        }
    }

    pub(super) fn channel_bind(
        &mut self,
        key: Option<Key>,
        request: &Message<'_>,
        proven: &Proven<'_>,
        now: Instant,
    ) -> Result<(), Error> {
        let key = key.ok_or(Error::AllocationMismatch)?;
        let allocation = own(self.allocations.get(key), proven)?;
        let number = match request.value(kind::CHANNEL_NUMBER) {
            Some([high, low, _, _]) => u16::from_be_bytes([*high, *low]),
            _ => return Err(Error::BadRequest),
        };
        let peer = request.value(kind::XOR_PEER_ADDRESS);
        let peer = peer.and_then(|value| request.xor_address(value));
        let peer = peer.ok_or(Error::BadRequest)?;
        if !CHANNELS.contains(&number) {
            return Err(Error::BadRequest);
        }
        self.check_peer(allocation, peer, |policy| policy.allow(peer))?;
        let most = self.config.limits.permissions;
        let allocation = self.allocations.get_mut(key);
        let allocation = allocation.ok_or(Error::AllocationMismatch)?;
        allocation
            .bind(number, peer, most, now)
            .map_err(|refused| match refused {
                Refused::Bound => Error::BadRequest,
                Refused::Full => Error::InsufficientCapacity,
            })
    }
}
