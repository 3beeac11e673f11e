//! One telephone of a call: its sockets, and its leg once it is known how it is reached.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use media::PacketKind;
use mio::net::UdpSocket;
use peer::{Identity, SessionEvent, demux};

use super::command::TrunkMedia;
use super::trunk_leg::{Taken, TrunkLeg};

/// The longest datagram of a handshake that is kept until its telephone is known: a ClientHello is much shorter.
const MAX_EARLY: usize = 1500;

/// The sockets on which a telephone reaches a call.
pub(super) struct TrunkSockets {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    /// The even port, for the pool.
    pub(super) port: u16,
}

/// See the module's documentation.
pub(super) struct Telephone {
    pub(super) sockets: TrunkSockets,
    pub(super) leg: Option<TrunkLeg>,
    /// The first datagram of a handshake, which was faster than the telephone's answer.
    early: Option<Box<(SocketAddr, Vec<u8>)>>,
    /// Packets that were not its own.
    pub(super) strangers: u64,
    /// When its last RTCP came: one that sends no audio, in a pause or on hold, lives.
    pub(super) reported: Option<Instant>,
}

/// A packet of its media, plain by now.
pub(super) struct Came {
    pub(super) kind: PacketKind,
    /// Its length, from the beginning of the buffer.
    pub(super) len: usize,
    /// Its stream has moved: where it came from before.
    pub(super) moved_from: Option<SocketAddr>,
}

impl Telephone {
    pub(super) fn new(sockets: TrunkSockets) -> Self {
        Self {
            sockets,
            leg: None,
            early: None,
            strangers: 0,
            reported: None,
        }
    }

    /// What came was of one that did not become this telephone.
    pub(super) fn forget_handshake(&mut self) {
        self.early = None;
    }

    /// What came early, if it may be that telephone's: another may have been called for these ports before.
    fn handshake_of(&mut self, media: &TrunkMedia) -> Option<Box<(SocketAddr, Vec<u8>)>> {
        let early = self.early.take()?;
        (media.behind_nat || early.0.ip() == media.rtp.ip()).then_some(early)
    }

    /// A datagram on its RTP port, RTCP and DTLS included where they share it, or on its RTCP port.
    pub(super) fn take(
        &mut self,
        now: Instant,
        from: SocketAddr,
        rtcp: bool,
        packet: &mut [u8],
    ) -> Option<Came> {
        let Some(leg) = self.leg.as_mut() else {
            let handshake = !rtcp && demux::classify(packet) == demux::Kind::Dtls;
            if handshake && packet.len() <= MAX_EARLY {
                self.early
                    .get_or_insert_with(|| Box::new((from, packet.to_vec())));
            }
            return None;
        };
        let taken = match rtcp {
            false => leg.on_rtp_port(now, from, packet),
            true => leg.on_rtcp_port(now, from, packet),
        };
        match taken {
            Taken::Handshake => None,
            Taken::Refused => {
                self.strangers += 1;
                None
            }
            Taken::Media {
                kind,
                len,
                moved_from,
            } => {
                if kind == PacketKind::Rtcp {
                    self.reported = Some(now);
                }
                Some(Came {
                    kind,
                    len,
                    moved_from,
                })
            }
        }
    }

    /// How it is reached now. The same address again keeps what was learned of it.
    pub(super) fn connect(&mut self, now: Instant, media: TrunkMedia, identity: &Arc<Identity>) {
        let early = self.handshake_of(&media);
        let leg = match self.leg.take() {
            None => TrunkLeg::new(now, media, identity),
            Some(mut leg) if leg.media.is_as_reached(&media) => {
                leg.media = media;
                leg
            }
            Some(leg) => leg.change(now, media, identity),
        };
        let leg = self.leg.insert(leg);
        // It would come again, but only after a second (RFC 6347 §4.2.4.1).
        if let Some(early) = early {
            let (from, mut packet) = *early;
            leg.on_rtp_port(now, from, &mut packet);
        }
    }

    /// Protects and sends the packet at the front of `out`. Before there are keys, nothing is sent in the clear.
    pub(super) fn send(&mut self, kind: PacketKind, out: &mut [u8], len: usize) {
        let Some(leg) = &mut self.leg else {
            return;
        };
        let Some((len, target, from_rtcp_port)) = leg.send(kind, out, len) else {
            return;
        };
        let socket = match from_rtcp_port {
            true => &self.sockets.rtcp,
            false => &self.sockets.rtp,
        };
        let _ = socket.send_to(out.get(..len).unwrap_or_default(), target);
    }

    /// Sends what the handshake has ready; what came of it.
    pub(super) fn flush_handshake(&mut self) -> Option<SessionEvent> {
        let leg = self.leg.as_mut()?;
        while let Some((datagram, target)) = leg.poll_handshake() {
            let _ = self.sockets.rtp.send_to(&datagram, target);
        }
        leg.poll_event()
    }

    /// What it was agreed to send and take.
    pub(super) fn media(&self) -> Option<&TrunkMedia> {
        self.leg.as_ref().map(|leg| &leg.media)
    }

    /// It wants to hear us, as far as is known.
    pub(super) fn hears(&self) -> bool {
        self.media().is_none_or(|media| media.send)
    }

    /// It is to be heard, as far as is known.
    pub(super) fn speaks(&self) -> bool {
        self.media().is_none_or(|media| media.receive)
    }
}

#[cfg(test)]
mod tests {
    use media::Codec;

    use super::*;

    #[test]
    fn a_handshake_that_came_early_is_played_to_the_telephone_that_it_may_be_of() {
        let socket = || UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut telephone = Telephone::new(TrunkSockets {
            rtp: socket(),
            rtcp: socket(),
            port: 0,
        });
        let media = |behind_nat| TrunkMedia {
            rtcp_mux: true,
            behind_nat,
            ..TrunkMedia::usual("192.0.2.9:4000".parse().unwrap(), Codec::Pcmu)
        };
        let now = Instant::now();
        for (from, behind_nat, its) in [
            ("192.0.2.9:4002", false, true),
            ("192.0.2.77:4000", false, false),
            ("192.0.2.77:4000", true, true),
        ] {
            let from = from.parse().unwrap();
            telephone.take(now, from, false, &mut [22, 254, 253, 0]);
            let played = telephone.handshake_of(&media(behind_nat));
            assert_eq!(played.is_some(), its, "{from} {behind_nat}");
            assert!(telephone.early.is_none());
        }
        let from = "192.0.2.9:4000".parse().unwrap();
        telephone.take(now, from, false, &mut [22, 254, 253, 0]);
        telephone.forget_handshake();
        assert!(telephone.handshake_of(&media(false)).is_none());
    }
}
