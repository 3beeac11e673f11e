//! The telephone's leg of a call: where its packets may come from, where ours go, and how both are protected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use media::PacketKind;
use peer::srtp::{Context, Profile};
use peer::{DtlsSession, Fingerprint, Identity, SessionEvent, demux};
use sdp::crypto::{KeySalt, Suite};
use sdp::trunk::Srtp;

use super::command::TrunkMedia;
use super::latch::{Latch, Mark};

/// A telephone that was another worker's before may answer with the key that it had there, under which its stream goes on:
/// after so many rollovers of its numbers at most, which are three hours.
const ROLLOVERS: u16 = 8;

/// What its SDP said, and what was learned since.
pub(super) struct TrunkLeg {
    pub(super) media: TrunkMedia,
    rtp: Latch,
    rtcp: Option<Latch>,
    protection: Protection,
    /// Packets from where its media comes from that were not authentic.
    unauthentic: u64,
}

/// How its packets are protected.
enum Protection {
    /// Not at all (RFC 3551).
    Plain,
    /// With the keys of the session descriptions (RFC 4568).
    Sdes(Box<Contexts>),
    /// With those of a handshake, which may go on still (RFC 5764).
    Dtls(Box<Handshake>),
    /// With keys that cannot be used: nothing is sent, nothing is taken.
    Closed,
}

struct Contexts {
    inbound: Context,
    outbound: Context,
}

struct Handshake {
    session: DtlsSession,
    /// Where its datagrams come from.
    remote: SocketAddr,
    event: Option<SessionEvent>,
}

/// What a packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Not the leg's, or not genuine.
    Refused,
    /// Part of a handshake.
    Handshake,
    /// Media, plain by now.
    Media {
        kind: PacketKind,
        /// Its length, from the beginning of the buffer.
        len: usize,
        /// The stream has moved: where it came from before.
        moved_from: Option<SocketAddr>,
    },
}

impl TrunkLeg {
    pub(super) fn new(now: Instant, media: TrunkMedia, identity: &Arc<Identity>) -> Self {
        let latch = |address| Latch::new(now, address, media.behind_nat);
        Self {
            rtp: latch(media.rtp),
            rtcp: media.rtcp.filter(|_| !media.rtcp_mux).map(latch),
            protection: Protection::new(now, &media, identity),
            unauthentic: 0,
            media,
        }
    }

    /// The leg that takes the place of this one. A key that stays keeps its counters: no key stream is used twice, and
    /// no packet is taken again (RFC 3711 §9.1).
    pub(super) fn change(
        self,
        now: Instant,
        media: TrunkMedia,
        identity: &Arc<Identity>,
    ) -> TrunkLeg {
        let mut next = Self::new(now, media, identity);
        next.rtp = self.rtp.left_for(next.rtp);
        next.rtcp = match (&self.rtcp, next.rtcp.take()) {
            (Some(before), Some(after)) => Some(before.left_for(after)),
            (_, after) => after,
        };
        let (before, after) = (&self.media.srtp, &next.media.srtp);
        match (self.protection, &mut next.protection) {
            (Protection::Dtls(old), Protection::Dtls(new)) if before == after => *new = old,
            (Protection::Sdes(old), Protection::Sdes(new)) => {
                let (ours, theirs) = same_keys(before, after);
                let Contexts { inbound, outbound } = *old;
                if ours {
                    new.outbound = outbound;
                }
                if theirs {
                    new.inbound = inbound;
                }
            }
            _ => {}
        }
        next
    }

    /// Packets so far that came from where its media comes from, and were not authentic.
    pub(super) fn unauthentic(&self) -> u64 {
        self.unauthentic
    }

    /// The telephone has answered: a stream that has not been heard yet may still be learned.
    pub(super) fn answered(&mut self, now: Instant) {
        self.rtp.reopen(now);
        if let Some(rtcp) = &mut self.rtcp {
            rtcp.reopen(now);
        }
    }

    /// Takes a datagram on the RTP port: RTP, RTCP where it is multiplexed (RFC 5761), DTLS (RFC 7983). Where it comes
    /// from is learned once it is known to be genuine.
    pub(super) fn on_rtp_port(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &mut [u8],
    ) -> Taken {
        match demux::classify(packet) {
            demux::Kind::Rtp => {
                let mark = Mark::of(packet);
                if !self.rtp.admits(now, from, mark) {
                    return Taken::Refused;
                }
                let Some(len) = self.protection.unprotect(PacketKind::Rtp, packet) else {
                    self.unauthentic += 1;
                    return Taken::Refused;
                };
                Taken::Media {
                    kind: PacketKind::Rtp,
                    len,
                    moved_from: self.rtp.learn(now, from, mark),
                }
            }
            demux::Kind::Rtcp if self.rtp.target() == from => self.rtcp_packet(packet),
            demux::Kind::Dtls => self.handshake(now, from, packet),
            _ => Taken::Refused,
        }
    }

    /// Takes a datagram on the RTCP port.
    pub(super) fn on_rtcp_port(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &mut [u8],
    ) -> Taken {
        let admitted = |latch: &Latch| latch.admits(now, from, None);
        if demux::classify(packet) != demux::Kind::Rtcp || !self.rtcp.as_ref().is_some_and(admitted)
        {
            return Taken::Refused;
        }
        let taken = self.rtcp_packet(packet);
        if let (Some(rtcp), Taken::Media { .. }) = (&mut self.rtcp, taken) {
            rtcp.learn(now, from, None);
        }
        taken
    }

    /// Protects the packet in `buffer[..len]`: its length then, where it goes, and whether from the RTCP port. None
    /// where it must not leave.
    pub(super) fn send(
        &mut self,
        kind: PacketKind,
        buffer: &mut [u8],
        len: usize,
    ) -> Option<(usize, SocketAddr, bool)> {
        let (to, from_rtcp_port) = match (kind, &self.rtcp) {
            (PacketKind::Rtp, _) => (self.rtp.target(), false),
            (PacketKind::Rtcp, Some(rtcp)) => (rtcp.target(), true),
            (PacketKind::Rtcp, None) if self.media.rtcp_mux => (self.rtp.target(), false),
            (PacketKind::Rtcp, None) => return None,
        };
        let len = self.protection.protect(kind, buffer, len)?;
        Some((len, to, from_rtcp_port))
    }

    /// The next datagram of the handshake, and where it goes.
    pub(super) fn poll_handshake(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        match &mut self.protection {
            Protection::Dtls(dtls) => Some((dtls.session.poll_transmit()?, dtls.remote)),
            _ => None,
        }
    }

    /// What the handshake has led to.
    pub(super) fn poll_event(&mut self) -> Option<SessionEvent> {
        match &mut self.protection {
            Protection::Dtls(dtls) => dtls.event.take(),
            _ => None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.protection {
            Protection::Dtls(dtls) => dtls.session.poll_timeout(),
            _ => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Protection::Dtls(dtls) = &mut self.protection
            && dtls.session.poll_timeout().is_some_and(|at| at <= now)
        {
            let event = dtls.session.handle_timeout(now);
            dtls.event = event.or(dtls.event.take());
        }
    }

    /// Says goodbye, where there is a session to close.
    pub(super) fn close(&mut self, now: Instant) {
        if let Protection::Dtls(dtls) = &mut self.protection {
            dtls.session.close(now);
        }
    }

    fn rtcp_packet(&mut self, packet: &mut [u8]) -> Taken {
        match self.protection.unprotect(PacketKind::Rtcp, packet) {
            Some(len) => Taken::Media {
                kind: PacketKind::Rtcp,
                len,
                moved_from: None,
            },
            None => Taken::Refused,
        }
    }

    fn handshake(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) -> Taken {
        let Protection::Dtls(dtls) = &mut self.protection else {
            return Taken::Refused;
        };
        if !self.rtp.admits(now, from, None) {
            return Taken::Refused;
        }
        dtls.remote = from;
        if let Some(event) = dtls.session.handle_datagram(now, packet) {
            if matches!(event, SessionEvent::Connected { .. }) {
                self.rtp.learn(now, from, None);
            }
            dtls.event = Some(event);
        }
        Taken::Handshake
    }
}

impl Protection {
    fn new(now: Instant, media: &TrunkMedia, identity: &Arc<Identity>) -> Self {
        match &media.srtp {
            Srtp::Plain => Self::Plain,
            Srtp::Sdes {
                suite,
                ours,
                theirs,
            } => match (context(*suite, ours), context(*suite, theirs)) {
                (Some(outbound), Some(inbound)) => {
                    let inbound = inbound.joining_late(ROLLOVERS);
                    Self::Sdes(Box::new(Contexts { inbound, outbound }))
                }
                // No suite is offered that has no context: this is here so that nothing would leave in the clear.
                _ => Self::Closed,
            },
            Srtp::Dtls {
                fingerprint,
                active,
            } => {
                let identity = Arc::clone(identity);
                let session = DtlsSession::new(now, identity, Fingerprint(*fingerprint), *active);
                Self::Dtls(Box::new(Handshake {
                    session,
                    remote: media.rtp,
                    event: None,
                }))
            }
        }
    }

    fn contexts(&mut self) -> Option<(&mut Context, &mut Context)> {
        match self {
            Self::Plain | Self::Closed => None,
            Self::Sdes(contexts) => Some((&mut contexts.inbound, &mut contexts.outbound)),
            Self::Dtls(dtls) => dtls.session.keys(),
        }
    }

    /// The length of the plain packet; none for one that is not genuine.
    fn unprotect(&mut self, kind: PacketKind, packet: &mut [u8]) -> Option<usize> {
        if let Self::Plain = self {
            return Some(packet.len());
        }
        let (inbound, _) = self.contexts()?;
        let len = match kind {
            PacketKind::Rtp => inbound.unprotect_rtp(packet),
            PacketKind::Rtcp => inbound.unprotect_rtcp(packet),
        };
        len.ok()
    }

    fn protect(&mut self, kind: PacketKind, buffer: &mut [u8], len: usize) -> Option<usize> {
        if let Self::Plain = self {
            return Some(len);
        }
        let (_, outbound) = self.contexts()?;
        let len = match kind {
            PacketKind::Rtp => outbound.protect_rtp(buffer, len),
            PacketKind::Rtcp => outbound.protect_rtcp(buffer, len),
        };
        len.ok()
    }
}

/// Whether our key and theirs are the same as before.
fn same_keys(before: &Srtp, after: &Srtp) -> (bool, bool) {
    match (before, after) {
        (
            Srtp::Sdes {
                suite: suite_before,
                ours: ours_before,
                theirs: theirs_before,
            },
            Srtp::Sdes {
                suite,
                ours,
                theirs,
            },
        ) if suite == suite_before => (ours == ours_before, theirs == theirs_before),
        _ => (false, false),
    }
}

fn context(suite: Suite, key: &KeySalt) -> Option<Context> {
    let profile = match suite {
        Suite::AesCm128HmacSha1_80 => Profile::Aes128CmSha1_80,
        Suite::AeadAes128Gcm => Profile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => Profile::AeadAes256Gcm,
        // Its tag of 32 bits is forged in minutes: it is never offered.
        Suite::AesCm128HmacSha1_32 => return None,
    };
    Context::new(profile, key.key(), key.salt()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "192.0.2.1:4000";
    const ELSEWHERE: &str = "192.0.2.1:5000";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn key(suite: Suite, first: u8) -> KeySalt {
        let bytes: Vec<u8> = (first..).take(suite.key_len() + suite.salt_len()).collect();
        KeySalt::new(suite, &bytes).unwrap()
    }

    fn media(suite: Suite, theirs: u8) -> TrunkMedia {
        TrunkMedia {
            rtcp_mux: true,
            srtp: Srtp::Sdes {
                suite,
                ours: key(suite, 1),
                theirs: key(suite, theirs),
            },
            ..TrunkMedia::usual(address(PHONE), media::Codec::Pcmu)
        }
    }

    fn packet(sequence: u16) -> [u8; 64] {
        let mut packet = [0; 64];
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[8..12].copy_from_slice(&7_u32.to_be_bytes());
        packet
    }

    /// A leg, and what its telephone encrypts with.
    struct Scene {
        now: Instant,
        leg: TrunkLeg,
        phone: Context,
    }

    impl Scene {
        fn new(suite: Suite) -> Self {
            let now = Instant::now();
            let identity = Arc::new(Identity::generate().unwrap());
            Self {
                now,
                leg: TrunkLeg::new(now, media(suite, 50), &identity),
                phone: context(suite, &key(suite, 50)).unwrap(),
            }
        }

        fn protected(&mut self, sequence: u16) -> Vec<u8> {
            let mut packet = packet(sequence);
            let len = self.phone.protect_rtp(&mut packet, 32).unwrap();
            packet[..len].to_vec()
        }

        fn comes(&mut self, from: &str, packet: &[u8]) -> Option<usize> {
            let mut packet = packet.to_vec();
            match self.leg.on_rtp_port(self.now, address(from), &mut packet) {
                Taken::Media { len, .. } => Some(len),
                _ => None,
            }
        }
    }

    #[test]
    fn a_genuine_packet_is_taken_once_and_ours_are_encrypted() {
        for suite in [
            Suite::AesCm128HmacSha1_80,
            Suite::AeadAes128Gcm,
            Suite::AeadAes256Gcm,
        ] {
            let mut scene = Scene::new(suite);
            let packet = scene.protected(1);
            assert_eq!(scene.comes(PHONE, &packet), Some(32));
            assert_eq!(scene.comes(PHONE, &packet), None, "a replay");
            let mut ours = super::tests::packet(9);
            let (len, to, _) = scene.leg.send(PacketKind::Rtp, &mut ours, 32).unwrap();
            assert_eq!(to, address(PHONE));
            assert_ne!(ours[12..32], [0; 20]);
            let mut theirs = context(suite, &key(suite, 1)).unwrap();
            assert_eq!(theirs.unprotect_rtp(&mut ours[..len]), Ok(32));
        }
    }

    #[test]
    fn what_is_not_genuine_is_refused_and_its_source_is_not_learned() {
        let mut scene = Scene::new(Suite::AeadAes128Gcm);
        let mut forged = scene.protected(1);
        forged[20] ^= 1;
        assert_eq!(scene.comes(ELSEWHERE, &forged), None);
        assert_eq!(scene.comes(ELSEWHERE, &packet(2)), None, "plain RTP");
        assert_eq!(scene.leg.unauthentic(), 2);
        let (_, to, _) = scene.leg.send(PacketKind::Rtp, &mut packet(9), 32).unwrap();
        assert_eq!(to, address(PHONE));
        let packet = scene.protected(3);
        assert_eq!(scene.comes(ELSEWHERE, &packet), Some(32));
        let (_, to, _) = scene
            .leg
            .send(PacketKind::Rtp, &mut super::tests::packet(10), 32)
            .unwrap();
        assert_eq!(to, address(ELSEWHERE));
    }

    #[test]
    fn a_bad_packet_changes_nothing_for_those_that_follow_across_a_rollover() {
        let mut scene = Scene::new(Suite::AesCm128HmacSha1_80);
        for sequence in 65_500..=65_535_u16 {
            let packet = scene.protected(sequence);
            assert!(scene.comes(PHONE, &packet).is_some());
        }
        // One that would turn the receiver's counter over, if it were believed.
        let mut forged = packet(40_000);
        forged[13] = 99;
        assert_eq!(scene.comes(PHONE, &forged[..42]), None);
        for sequence in 0..50 {
            let packet = scene.protected(sequence);
            assert!(scene.comes(PHONE, &packet).is_some(), "{sequence}");
        }
    }

    #[test]
    fn another_answer_with_the_same_key_of_ours_never_uses_its_key_stream_twice() {
        let mut scene = Scene::new(Suite::AeadAes128Gcm);
        assert!(
            scene
                .leg
                .send(PacketKind::Rtp, &mut packet(9), 32)
                .is_some()
        );
        let identity = Arc::new(Identity::generate().unwrap());
        let other = media(Suite::AeadAes128Gcm, 90);
        let mut leg = scene.leg.change(scene.now, other, &identity);
        assert_eq!(leg.send(PacketKind::Rtp, &mut packet(9), 32), None);
        assert!(leg.send(PacketKind::Rtp, &mut packet(10), 32).is_some());
    }

    #[test]
    fn before_the_handshake_is_over_nothing_leaves_and_nothing_is_taken() {
        let now = Instant::now();
        let identity = Arc::new(Identity::generate().unwrap());
        let media = TrunkMedia {
            srtp: Srtp::Dtls {
                fingerprint: [0; 32],
                active: false,
            },
            ..media(Suite::AeadAes128Gcm, 50)
        };
        let mut leg = TrunkLeg::new(now, media, &identity);
        assert_eq!(leg.send(PacketKind::Rtp, &mut packet(1), 32), None);
        let taken = leg.on_rtp_port(now, address(PHONE), &mut packet(1));
        assert_eq!(taken, Taken::Refused);
    }
}
