//! A bad network on purpose, for a test call: what its legs receive and send goes this way first. It stands between
//! the ciphers and the bridge, so that ICE and DTLS are spared and both sides' RTCP tells of the loss.

use std::time::Instant;

use media::{Impairment, ImpairmentSettings, Leg, PacketKind};

/// How bad the network of each leg is meant to be, both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Impairments {
    /// The browser's.
    pub browser: ImpairmentSettings,
    /// The telephone's.
    pub phone: ImpairmentSettings,
}

impl Impairments {
    /// Nothing is done to a packet.
    pub fn is_none(&self) -> bool {
        self.browser.is_none() && self.phone.is_none()
    }
}

/// The four ways of a call's packets.
#[derive(Debug)]
pub(super) struct Impaired {
    browser: Ways,
    phone: Ways,
}

#[derive(Debug)]
struct Ways {
    to_us: Impairment<PacketKind>,
    from_us: Impairment<PacketKind>,
}

impl Impaired {
    pub(super) fn new(settings: &Impairments, seed: u64) -> Self {
        let ways = |settings, seed: u64| Ways {
            to_us: Impairment::new(settings, seed),
            from_us: Impairment::new(settings, !seed),
        };
        Self {
            browser: ways(settings.browser, seed),
            phone: ways(settings.phone, seed.rotate_left(32)),
        }
    }

    /// A packet of a leg comes to us.
    pub(super) fn came(&mut self, now: Instant, from: Leg, kind: PacketKind, packet: &[u8]) {
        self.ways(from).to_us.handle(now, kind, packet);
    }

    /// A packet of ours leaves for a leg.
    pub(super) fn leaves(&mut self, now: Instant, to: Leg, kind: PacketKind, packet: &[u8]) {
        self.ways(to).from_us.handle(now, kind, packet);
    }

    /// The next packet that has arrived here.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<(Leg, PacketKind, &mut [u8])> {
        let browser = self.browser.to_us.poll_transmit(now);
        let browser = browser.map(|(kind, packet)| (Leg::Browser, kind, packet));
        browser.or_else(|| {
            let phone = self.phone.to_us.poll_transmit(now);
            phone.map(|(kind, packet)| (Leg::Trunk, kind, packet))
        })
    }

    /// The next packet that is to be sent after all.
    pub(super) fn sent(&mut self, now: Instant) -> Option<(Leg, PacketKind, &mut [u8])> {
        let browser = self.browser.from_us.poll_transmit(now);
        let browser = browser.map(|(kind, packet)| (Leg::Browser, kind, packet));
        browser.or_else(|| {
            let phone = self.phone.from_us.poll_transmit(now);
            phone.map(|(kind, packet)| (Leg::Trunk, kind, packet))
        })
    }

    /// When there is another one.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [&self.browser, &self.phone]
            .into_iter()
            .flat_map(|ways| [ways.to_us.poll_timeout(), ways.from_us.poll_timeout()])
            .flatten()
            .min()
    }

    fn ways(&mut self, leg: Leg) -> &mut Ways {
        match leg {
            Leg::Browser => &mut self.browser,
            Leg::Trunk => &mut self.phone,
        }
    }
}
