//! One allocation (RFC 8656 §3.2): its relayed addresses, permissions and channels.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::{auth::Signer, bucket::Bucket, client::Client, ports::Wanted, slab::Key};

/// RFC 8656 §9.
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// RFC 8656 §12.
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// RFC 5766's, whose clients are still about; RFC 8656 §12 has the first quarter of them.
pub(crate) const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7fff;

/// An address family, by its number on the wire (RFC 8656 §18.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4 = 1,
    V6 = 2,
}

impl Family {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize - 1
    }
}

/// One relayed transport address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relay {
    pub(crate) local: SocketAddr,
    pub(crate) advertised: SocketAddr,
    pub(crate) expires: Instant,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Permission {
    pub(crate) ip: IpAddr,
    pub(crate) expires: Instant,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) peer: SocketAddr,
    pub(crate) expires: Instant,
}

/// What the success of an Allocate says beside the relayed addresses. It is written anew when the
/// request comes again (RFC 8656 §7.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) transaction: [u8; 12],
    pub(crate) lifetime: Duration,
    pub(crate) token: Option<[u8; 8]>,
    /// The family that was asked for too and is not there, and why: ADDRESS-ERROR-CODE.
    pub(crate) without: Option<(Family, u16)>,
}

/// What is to be remembered until the sockets are there.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) signer: Signer,
    pub(crate) wish: Wish,
    pub(crate) attempts: u8,
    pub(crate) gives_up: Instant,
}

/// What an Allocate asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) families: [Option<Family>; 2],
    pub(crate) wanted: Wanted,
    pub(crate) token: Option<[u8; 8]>,
    pub(crate) lifetime: Duration,
}

/// Whether there is a relay yet.
#[derive(Debug)]
pub(crate) enum State {
    /// The application is binding sockets.
    Opening(Box<Opening>),
    /// RFC 8656 §7.2: the success was sent.
    Open,
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) client: Client,
    /// Every further request must come with this one (RFC 8656 §5).
    pub(crate) username: Box<str>,
    pub(crate) user: Key,
    pub(crate) state: State,
    pub(crate) answered: Answered,
    /// By [`Family::index`].
    pub(crate) relays: [Option<Relay>; 2],
    pub(crate) permissions: Vec<Permission>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) bucket: Bucket,
}

/// Why a peer gets no permission or channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The number, or the peer, has another channel: 400.
    Bound,
    /// As many as there may be: 508.
    Full,
}

impl Allocation {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    #[inline]
    pub(crate) fn relay(&self, family: Family) -> Option<&Relay> {
        self.relays[family.index()].as_ref()
    }

    pub(crate) fn relays(&self) -> impl Iterator<Item = &Relay> {
        self.relays.iter().flatten()
    }

    #[inline]
    pub(crate) fn permits(&self, ip: IpAddr, now: Instant) -> bool {
        let mut all = self.permissions.iter();
        all.any(|permission| permission.ip == ip && now < permission.expires)
    }

    /// The peer of a channel.
    #[inline]
    pub(crate) fn channel_peer(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let mut all = self.channels.iter();
        all.find(|channel| channel.number == number && now < channel.expires)
            .map(|channel| channel.peer)
    }

    /// The channel of a peer.
    #[inline]
    pub(crate) fn channel_number(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let mut all = self.channels.iter();
        all.find(|channel| channel.peer == peer && now < channel.expires)
            .map(|channel| channel.number)
    }

    /// Whether permissions for all of `ips` fit beside what there is.
    pub(crate) fn has_room(&mut self, ips: &[IpAddr], most: usize, now: Instant) -> bool {
        self.permissions.retain(|one| now < one.expires);
        let mut more = 0;
        for (index, ip) in ips.iter().enumerate() {
            let known = ips[..index].contains(ip) || self.permits(*ip, now);
            more += usize::from(!known);
        }
        self.permissions.len() + more <= most
    }

    /// Installs or refreshes a permission; there must be room.
    pub(crate) fn permit(&mut self, ip: IpAddr, now: Instant) {
        let expires = now + PERMISSION_LIFETIME;
        match self.permissions.iter_mut().find(|one| one.ip == ip) {
            Some(one) => one.expires = expires,
            None => self.permissions.push(Permission { ip, expires }),
        }
    }

    /// Binds or refreshes a channel, with the permission that goes with it (RFC 8656 §12.2).
    pub(crate) fn bind(
        &mut self,
        number: u16,
        peer: SocketAddr,
        most: usize,
        now: Instant,
    ) -> Result<(), Refused> {
        self.channels.retain(|channel| now < channel.expires);
        let held = self.channels.len();
        if !self.has_room(&[peer.ip()], most, now) {
            return Err(Refused::Full);
        }
        let expires = now + CHANNEL_LIFETIME;
        let bound = |one: &&mut Channel| one.number == number || one.peer == peer;
        match self.channels.iter_mut().find(bound) {
            Some(one) if one.number == number && one.peer == peer => one.expires = expires,
            Some(_) => return Err(Refused::Bound),
            None if held >= most => return Err(Refused::Full),
            None => self.channels.push(Channel {
                number,
                peer,
                expires,
            }),
        }
        self.permit(peer.ip(), now);
        Ok(())
    }
}
