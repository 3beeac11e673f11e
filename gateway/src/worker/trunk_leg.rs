//! The telephone's leg of a call: where its packets may come from, and where ours go.

use std::net::SocketAddr;
use std::time::Instant;

use media::PacketKind;

use super::command::TrunkMedia;
use super::latch::{Latch, Mark};

/// What its SDP said, and what was learned since.
pub(super) struct TrunkLeg {
    pub(super) media: TrunkMedia,
    rtp: Latch,
    rtcp: Option<Latch>,
}

/// A packet that belongs to the leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its stream has moved: where it came from before.
    pub(super) moved_from: Option<SocketAddr>,
}

impl TrunkLeg {
    pub(super) fn new(now: Instant, media: TrunkMedia) -> Self {
        let latch = |address| Latch::new(now, address, media.behind_nat);
        Self {
            rtp: latch(media.rtp),
            rtcp: media.rtcp.map(latch),
            media,
        }
    }

    /// The telephone has answered: a stream that has not been heard yet may still be learned.
    pub(super) fn answered(&mut self, now: Instant) {
        self.rtp.reopen(now);
        if let Some(rtcp) = &mut self.rtcp {
            rtcp.reopen(now);
        }
    }

    /// Takes a packet on the RTP port, RTCP included where it is multiplexed (RFC 5761); nothing where it is not the
    /// leg's.
    pub(super) fn on_rtp_port(
        &mut self,
        now: Instant,
        kind: PacketKind,
        from: SocketAddr,
        packet: &[u8],
    ) -> Option<Taken> {
        match kind {
            PacketKind::Rtp => take(&mut self.rtp, now, from, Mark::of(packet)),
            PacketKind::Rtcp => (self.rtp.target() == from).then_some(Taken { moved_from: None }),
        }
    }

    /// Takes a packet on the RTCP port.
    pub(super) fn on_rtcp_port(&mut self, now: Instant, from: SocketAddr) -> Option<Taken> {
        take(self.rtcp.as_mut()?, now, from, None)
    }

    /// Where a packet of ours goes, and whether from the RTCP port.
    pub(super) fn target(&self, kind: PacketKind) -> Option<(SocketAddr, bool)> {
        match kind {
            PacketKind::Rtp => Some((self.rtp.target(), false)),
            PacketKind::Rtcp => self.rtcp.as_ref().map(|rtcp| (rtcp.target(), true)),
        }
    }
}

fn take(latch: &mut Latch, now: Instant, from: SocketAddr, mark: Option<Mark>) -> Option<Taken> {
    latch.admits(now, from, mark).then(|| Taken {
        moved_from: latch.learn(now, from, mark),
    })
}
