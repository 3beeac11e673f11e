//! Whom a relay may reach.
//!
//! Checked when a permission or channel is made, and again at every datagram in both directions,
//! so that neither an old permission nor a port of an allowed address leads further.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// What a relay is, and whom it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayPolicy {
    /// To exactly these, the gateway's own media addresses. A relayed address is virtual then: no
    /// socket stands behind it, and what it sends and gets never leaves the process.
    Own(Vec<SocketAddr>),
    /// To anybody on the public internet, by rules, through a socket of its own.
    Open(PeerRules),
}

impl RelayPolicy {
    /// Whether data may flow from and to `peer`.
    #[inline]
    pub fn allow(&self, peer: SocketAddr) -> bool {
        match self {
            Self::Own(media) => media.contains(&peer),
            Self::Open(rules) => rules.allow(peer),
        }
    }

    /// Whether a permission for `ip`, whatever the port, could serve anybody.
    pub fn allow_ip(&self, ip: IpAddr) -> bool {
        let is_media = |media: &[SocketAddr]| media.iter().any(|own| own.ip() == ip);
        match self {
            Self::Own(media) => is_media(media),
            Self::Open(rules) => is_media(&rules.media) || rules.allow_ip(ip),
        }
    }
}

/// Rules of an open relay. An address that carries an IPv4 address inside is judged as both: it
/// passes if both do.
///
/// In this order: `media` is allowed, what is in `own` or `deny` is not, what is in `allow` is, and
/// of the rest what is on the public internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerRules {
    /// The gateway's own media addresses, allowed as they stand.
    pub media: Vec<SocketAddr>,
    /// The gateway's other addresses. An entry of `allow` opens one only if it names just that
    /// address.
    pub own: Vec<IpAddr>,
    /// Networks that are denied.
    pub deny: Vec<IpNet>,
    /// Networks that are allowed although they are not public.
    pub allow: Vec<IpNet>,
}

impl PeerRules {
    fn allow(&self, peer: SocketAddr) -> bool {
        self.media.contains(&peer) || (peer.port() != 0 && self.allow_ip(peer.ip()))
    }

    fn allow_ip(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.allow_one(ip),
            IpAddr::V6(v6) => {
                self.allow_one(ip)
                    && embedded_ipv4(v6)
                        .into_iter()
                        .flatten()
                        .all(|inner| self.allow_one(inner.into()))
            }
        }
    }

    fn allow_one(&self, ip: IpAddr) -> bool {
        if self.own.contains(&ip) {
            let single = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
            return self.allow.iter().any(|net| single(net) && net.addr() == ip);
        }
        if self.deny.iter().any(|net| net.contains(&ip)) {
            return false;
        }
        is_public(ip) || self.allow.iter().any(|net| net.contains(&ip))
    }
}

/// Every IPv4 address that somebody on the way may take an IPv6 address for.
fn embedded_ipv4(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bits = ip.to_bits();
    let at = |shift: u32| Some(Ipv4Addr::from_bits((bits >> shift) as u32));
    let last = at(0);
    match ip.segments() {
        // Unspecified and loopback, which are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, _] => [None, None],
        // IPv4-compatible and mapped (RFC 4291 §2.5.5), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0, 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => [last, None],
        // NAT64 of a network's own (RFC 8215): as a /96, or as a /48, whose address goes round
        // bits 64 to 71 (RFC 6052 §2.2).
        [0x64, 0xff9b, 1, ..] => {
            let high = (bits >> 64) as u32 & 0xffff;
            let low = (bits >> 40) as u32 & 0xffff;
            [last, Some(Ipv4Addr::from_bits(high << 16 | low))]
        }
        // 6to4 (RFC 3056).
        [0x2002, ..] => [at(80), None],
        // Teredo (RFC 4380 §4): server, and client with its bits turned round.
        [0x2001, 0, ..] => [at(64), Some(Ipv4Addr::from_bits(!(bits as u32)))],
        // ISATAP (RFC 5214 §6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => [last, None],
        _ => [None, None],
    }
}

/// Whether an address is for the public internet, by IANA's registries of special-purpose
/// addresses (RFC 6890), with what cloud providers answer at.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        // This network, private use, shared by a provider's customers, loopback, link-local.
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            // Protocol assignments, documentation, AS112, AMT, 6to4 relays, benchmarks.
            | [192, 0, 0 | 2, _]
            | [192, 31, 196, _]
            | [192, 52, 193, _]
            | [192, 88, 99, _]
            | [192, 175, 48, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // A cloud's own services, at a public address.
            | [168, 63, 129, 16]
            // Multicast, reserved, broadcast.
            | [224..=255, ..]
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // NAT64: as public as the address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => true,
        // Protocol assignments (Teredo, ORCHID, benchmarks), documentation, 6to4, 6bone.
        [0x2001, 0..=0x1ff, ..]
        | [0x2001, 0xdb8, ..]
        | [0x2002, ..]
        | [0x3ffe, ..]
        | [0x3fff, 0..=0xfff, ..] => false,
        // AS112.
        [0x2620, 0x4f, 0x8000, ..] => false,
        // Global unicast; everything else is local, multicast, or not handed out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}
