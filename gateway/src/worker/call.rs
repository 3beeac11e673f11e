//! One call's media: the browser's transport, the bridge between the two legs, and the telephone's
//! sockets.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Bridge, BridgeConfig, BridgeEvent, Digit, DtmfWay, Leg, PacketKind, Transmit};
use mio::net::UdpSocket;
use peer::{Identity, Path, Peer, PeerConfig, PeerEvent, Received, SessionEvent, demux};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::command::{MediaEvent, MediaReport, OpenCall, TrunkMedia};
use super::impaired::Impaired;
use super::one_way::{Expected, Watch};
use super::report;
use super::trunk_leg::{Taken, TrunkLeg};
use crate::call::CallId;

/// Room for the largest packet we make and its SRTP tag and index.
const OUT: usize = 1600;

/// How soon an end that found no room in the queue of its call's task is offered again.
const RETRY: Duration = Duration::from_millis(20);

/// The longest such datagram: a ClientHello is much shorter.
const MAX_EARLY: usize = 1500;

/// How long the browser may take from its answer to a connected path.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// The sockets through which a worker's browsers are reached, and the buffer in which its calls write what leaves.
pub(super) struct BrowserSockets {
    pub(super) sockets: Vec<(SocketAddr, UdpSocket)>,
    out: RefCell<Box<[u8; OUT]>>,
}

impl BrowserSockets {
    pub(super) fn new(sockets: Vec<(SocketAddr, UdpSocket)>) -> Self {
        Self {
            sockets,
            out: RefCell::new(Box::new([0; OUT])),
        }
    }

    /// A send that the kernel has no room for is a lost packet, as on any network.
    fn send(&self, packet: &[u8], path: Path) {
        if let Some((_, socket)) = self.sockets.iter().find(|(local, _)| *local == path.local) {
            let _ = socket.send_to(packet, path.remote);
        }
    }
}

/// The telephone-side sockets of a call.
pub(super) struct TrunkSockets {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    /// The even port, for the pool.
    pub(super) port: u16,
}

/// See the module's documentation.
pub(super) struct MediaCall {
    pub(super) id: CallId,
    pub(super) sockets: TrunkSockets,
    peer: Peer,
    bridge: Bridge,
    trunk: Option<TrunkLeg>,
    /// The first datagram of a telephone's handshake, which was faster than its answer.
    early: Option<Box<(SocketAddr, Vec<u8>)>>,
    answered: Option<Instant>,
    silence: Duration,
    strangers: u64,
    events: mpsc::Sender<Box<MediaEvent>>,
    /// The end that found no room, and when it is offered again.
    undelivered: Option<(Instant, MediaEvent)>,
    /// When the telephone's last RTCP came: one that sends no audio, in a pause or on hold, lives.
    reported: Option<Instant>,
    abandoned: bool,
    pub(super) sabotaged: bool,
    /// Of a test call with a bad network.
    impaired: Option<Box<Impaired>>,
    watch: Watch,
    identity: Arc<Identity>,
}

/// What a call needs from its worker's settings.
pub(super) struct CallSettings {
    pub(super) identity: Arc<Identity>,
    pub(super) silence: Duration,
    pub(super) consent: Duration,
    pub(super) opus: codecs::opus::EncoderSettings,
    pub(super) dtx: bool,
}

impl MediaCall {
    pub(super) fn open(
        now: Instant,
        open: &OpenCall,
        settings: &CallSettings,
        sockets: TrunkSockets,
        events: mpsc::Sender<Box<MediaEvent>>,
    ) -> Result<Self, String> {
        let peer = Peer::new(
            now,
            PeerConfig {
                identity: Arc::clone(&settings.identity),
                local: open.local.clone(),
                remote: open.remote.clone(),
                fingerprint: open.fingerprint,
                consent_timeout: settings.consent,
                handshake_timeout: HANDSHAKE_TIMEOUT,
            },
        )
        .map_err(|error| error.to_string())?;
        let config = BridgeConfig::new(
            open.browser,
            open.browser_start,
            open.trunk_start,
            open.cname.as_str(),
            open.seed,
        );
        let bridge = Bridge::new(
            now,
            BridgeConfig {
                ntp_start: open.ntp_start,
                opus: settings.opus,
                dtx: settings.dtx,
                ..config
            },
        );
        Ok(Self {
            id: open.call,
            sockets,
            peer,
            bridge,
            trunk: None,
            early: None,
            answered: None,
            silence: settings.silence,
            strangers: 0,
            events,
            undelivered: None,
            reported: None,
            abandoned: false,
            sabotaged: false,
            impaired: (!open.impairments.is_none())
                .then(|| Box::new(Impaired::new(&open.impairments, open.seed))),
            watch: Watch::default(),
            identity: Arc::clone(&settings.identity),
        })
    }

    /// A datagram on a browser's path.
    pub(super) fn handle_browser(
        &mut self,
        now: Instant,
        path: Path,
        packet: &mut [u8],
        browsers: &BrowserSockets,
    ) {
        assert!(!self.sabotaged, "sabotaged");
        match self.peer.handle_packet(now, path, packet) {
            Received::Nothing => {}
            Received::Rtp(packet) => match &mut self.impaired {
                None => self.bridge.handle_rtp(now, Leg::Browser, packet),
                Some(way) => way.came(now, Leg::Browser, PacketKind::Rtp, packet),
            },
            Received::Rtcp(packet) => match &mut self.impaired {
                None => self.bridge.handle_rtcp(now, Leg::Browser, packet),
                Some(way) => way.came(now, Leg::Browser, PacketKind::Rtcp, packet),
            },
        }
        self.flush(now, browsers);
    }

    /// A datagram on the telephone's RTP port, RTCP and DTLS included where they share it.
    pub(super) fn handle_trunk_rtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &mut [u8],
        browsers: &BrowserSockets,
    ) {
        assert!(!self.sabotaged, "sabotaged");
        let Some(trunk) = self.trunk.as_mut() else {
            if demux::classify(packet) == demux::Kind::Dtls && packet.len() <= MAX_EARLY {
                self.early
                    .get_or_insert_with(|| Box::new((from, packet.to_vec())));
            }
            return;
        };
        let taken = trunk.on_rtp_port(now, from, packet);
        self.trunk_packet(now, from, taken, packet);
        self.flush(now, browsers);
    }

    /// A datagram on the telephone's RTCP port.
    pub(super) fn handle_trunk_rtcp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &mut [u8],
        browsers: &BrowserSockets,
    ) {
        let Some(trunk) = self.trunk.as_mut() else {
            return;
        };
        let taken = trunk.on_rtcp_port(now, from, packet);
        self.trunk_packet(now, from, taken, packet);
        self.flush(now, browsers);
    }

    fn trunk_packet(&mut self, now: Instant, to: SocketAddr, taken: Taken, packet: &[u8]) {
        let (kind, len, moved_from) = match taken {
            Taken::Handshake => return,
            Taken::Refused => return self.strangers += 1,
            Taken::Media {
                kind,
                len,
                moved_from,
            } => (kind, len, moved_from),
        };
        if kind == PacketKind::Rtcp {
            self.reported = Some(now);
        } else if let Some(from) = moved_from {
            self.tell(now, MediaEvent::Moved { from, to });
        }
        let packet = packet.get(..len).unwrap_or_default();
        match (&mut self.impaired, kind) {
            (Some(way), kind) => way.came(now, Leg::Trunk, kind, packet),
            (None, PacketKind::Rtp) => self.bridge.handle_rtp(now, Leg::Trunk, packet),
            (None, PacketKind::Rtcp) => self.bridge.handle_rtcp(now, Leg::Trunk, packet),
        }
    }

    /// Joins the telephone's media. The same address again keeps what was learned of it.
    pub(super) fn bridge(&mut self, now: Instant, media: TrunkMedia, browsers: &BrowserSockets) {
        self.bridge.connect_trunk(now, media.format);
        self.bridge.set_trunk_sending(media.send);
        // What comes from a telephone on hold is not for the browser.
        self.bridge.set_browser_sending(media.receive);
        if media.receive && self.is_held() {
            self.answered = self.answered.map(|_| now);
        }
        self.bridge.set_trunk_dtmf(now, media.dtmf);
        self.bridge.set_voip_metrics(media.voip_metrics);
        let identity = &self.identity;
        self.trunk = Some(match self.trunk.take() {
            None => TrunkLeg::new(now, media, identity),
            Some(mut trunk) if trunk.media.is_as_reached(&media) => {
                trunk.media = media;
                trunk
            }
            Some(trunk) => trunk.change(now, media, identity),
        });
        // It would come again, but only after a second (RFC 6347 §4.2.4.1).
        if let (Some(trunk), Some(early)) = (&mut self.trunk, self.early.take()) {
            let (from, mut packet) = *early;
            trunk.on_rtp_port(now, from, &mut packet);
        }
        self.flush(now, browsers);
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        self.watch.begin(now);
        if let Some(trunk) = &mut self.trunk {
            trunk.answered(now);
        }
    }

    pub(super) fn send_digit(
        &mut self,
        now: Instant,
        to: Leg,
        digit: Digit,
        duration: Duration,
        browsers: &BrowserSockets,
    ) {
        if self.bridge.send_dtmf(now, to, digit, duration).is_err() {
            tracing::warn!(call = %self.id, "more digits than can wait: one is dropped");
        }
        self.flush(now, browsers);
    }

    pub(super) fn restart_ice(
        &mut self,
        now: Instant,
        local: peer::IceCredentials,
        remote: peer::IceCredentials,
    ) {
        self.peer.restart_ice(now, local, remote);
    }

    pub(super) fn set_opus_complexity(&mut self, complexity: u8) {
        self.bridge.set_opus_complexity(complexity);
    }

    pub(super) fn is_validated(&self, path: Path) -> bool {
        self.peer.is_validated(path)
    }

    /// When [`MediaCall::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let silent = self.silent_at();
        let retry = self.undelivered.as_ref().map(|(at, _)| *at);
        [
            self.peer.poll_timeout(),
            self.bridge.poll_timeout(),
            silent,
            retry,
            self.watch.poll_timeout(),
            self.trunk.as_ref().and_then(TrunkLeg::poll_timeout),
            self.impaired.as_ref().and_then(|way| way.poll_timeout()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, browsers: &BrowserSockets) {
        assert!(!self.sabotaged, "sabotaged");
        // Its task may have gone without a word; nobody else would close this call.
        self.abandoned |= self.events.is_closed();
        self.peer.handle_timeout(now);
        if let Some(trunk) = &mut self.trunk {
            trunk.handle_timeout(now);
        }
        self.bridge.handle_timeout(now);
        if let Some((_, event)) = self.undelivered.take_if(|(at, _)| *at <= now) {
            self.tell(now, event);
        }
        self.look(now);
        if self.silent_at().is_some_and(|at| at <= now) {
            // Said once: the call's task will close us.
            self.answered = None;
            self.tell(now, MediaEvent::Silent(self.silence));
        }
        self.flush(now, browsers);
    }

    /// Nobody listens to this call's events any more: its task is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Says goodbye on both legs (RTCP BYE, RFC 3550 §6.6) and counts up.
    pub(super) fn close(&mut self, now: Instant, browsers: &BrowserSockets) -> MediaReport {
        self.bridge.close(now);
        self.flush(now, browsers);
        self.peer.close(now);
        if let Some(trunk) = &mut self.trunk {
            trunk.close(now);
        }
        self.flush(now, browsers);
        report::media_report(&self.bridge.report(), self.strangers)
    }

    /// Hands an event to the call's task. One that finds no room is lost, unless it ends the call.
    pub(super) fn tell(&mut self, now: Instant, event: MediaEvent) {
        match self.events.try_send(Box::new(event)) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => self.abandoned = true,
            Err(TrySendError::Full(event)) => match *event {
                MediaEvent::PeerFailed(_)
                | MediaEvent::TrunkFailed(_)
                | MediaEvent::ConsentLost
                | MediaEvent::PeerClosed
                | MediaEvent::Silent(_) => self.undelivered = Some((now + RETRY, *event)),
                lost => tracing::warn!(call = %self.id, ?lost, "the call's task is behind"),
            },
        }
    }

    pub(super) fn events(&self) -> mpsc::Sender<Box<MediaEvent>> {
        self.events.clone()
    }

    /// Looks for one-way audio, when it is time.
    fn look(&mut self, now: Instant) {
        let Some(trunk) = &self.trunk else { return };
        let expected = Expected {
            hears: trunk.media.send,
            speaks: trunk.media.receive,
            unauthentic: trunk.unauthentic(),
        };
        let news = self.watch.look(now, || self.bridge.report(), expected);
        if let Some(news) = news {
            self.tell(now, MediaEvent::OneWay(news));
        }
    }

    fn keys_go_by_signalling(&self) -> bool {
        let trunk = self.trunk.as_ref();
        trunk.is_some_and(|trunk| trunk.media.dtmf == DtmfWay::Signalling)
    }

    /// Nothing is expected of the telephone.
    fn is_held(&self) -> bool {
        let trunk = self.trunk.as_ref();
        trunk.is_some_and(|trunk| !trunk.media.receive)
    }

    fn silent_at(&self) -> Option<Instant> {
        let answered = self.answered.filter(|_| !self.is_held())?;
        let heard = self.bridge.last_packet(Leg::Trunk).max(self.reported);
        let heard = heard.map_or(answered, |heard| heard.max(answered));
        Some(heard + self.silence)
    }

    /// Sends what peer and bridge have ready, and passes on what they noticed.
    fn flush(&mut self, now: Instant, browsers: &BrowserSockets) {
        let mut out = browsers.out.borrow_mut();
        let out = &mut out[..];
        while let Some((len, path)) = self.peer.poll_transmit(out) {
            browsers.send(&out[..len], path);
        }
        match self.impaired.take() {
            None => {
                while let Some(transmit) = self.bridge.poll_transmit(now, out) {
                    self.send(transmit, browsers, out);
                }
            }
            Some(mut way) => {
                self.flush_impaired(now, &mut way, browsers, out);
                self.impaired = Some(way);
            }
        }
        self.flush_handshake(now);
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::PathSelected(path) | PeerEvent::PathChanged(path) => {
                    self.tell(now, MediaEvent::PathSelected(path.remote));
                }
                PeerEvent::Connected { profile } => self.tell(
                    now,
                    MediaEvent::Connected {
                        profile: profile.to_string(),
                    },
                ),
                PeerEvent::Failed(failure) => self.tell(now, MediaEvent::PeerFailed(failure)),
                PeerEvent::ConsentLost => self.tell(now, MediaEvent::ConsentLost),
                PeerEvent::Closed => self.tell(now, MediaEvent::PeerClosed),
            }
        }
        while let Some(event) = self.bridge.poll_event() {
            match event {
                BridgeEvent::Dtmf {
                    from,
                    digit,
                    duration,
                } if from == Leg::Trunk || self.keys_go_by_signalling() => {
                    self.tell(now, MediaEvent::Dtmf(from, digit, duration));
                }
                BridgeEvent::Dtmf { .. } => {}
                BridgeEvent::FirstPacket { from } => self.tell(now, MediaEvent::FirstPacket(from)),
            }
        }
    }

    /// What a bad network let through reaches the bridge; what the bridge sends goes into it, and comes out of it.
    fn flush_impaired(
        &mut self,
        now: Instant,
        way: &mut Impaired,
        browsers: &BrowserSockets,
        out: &mut [u8],
    ) {
        while let Some((leg, kind, packet)) = way.arrived(now) {
            match kind {
                PacketKind::Rtp => self.bridge.handle_rtp(now, leg, packet),
                PacketKind::Rtcp => self.bridge.handle_rtcp(now, leg, packet),
            }
        }
        while let Some(transmit) = self.bridge.poll_transmit(now, out) {
            let packet = &out[..transmit.len];
            way.leaves(now, transmit.leg, transmit.kind, packet);
        }
        while let Some((leg, kind, packet)) = way.sent(now) {
            let len = packet.len();
            let Some(copy) = out.get_mut(..len) else {
                continue;
            };
            copy.copy_from_slice(packet);
            self.send(Transmit { leg, kind, len }, browsers, out);
        }
    }

    /// Protects and sends the packet at the front of `out`.
    fn send(&mut self, transmit: Transmit, browsers: &BrowserSockets, out: &mut [u8]) {
        let Transmit { leg, kind, len } = transmit;
        match leg {
            Leg::Browser => {
                let Some(path) = self.peer.selected_path() else {
                    return;
                };
                let protected = match kind {
                    PacketKind::Rtp => self.peer.protect_rtp(out, len),
                    PacketKind::Rtcp => self.peer.protect_rtcp(out, len),
                };
                // Before DTLS is up there are no keys, and nothing is sent in the clear.
                if let Ok(len) = protected {
                    browsers.send(&out[..len], path);
                }
            }
            Leg::Trunk => {
                let Some(trunk) = &mut self.trunk else {
                    return;
                };
                let sent = trunk.send(kind, out, len);
                // Before there are keys, nothing is sent in the clear.
                let Some((len, target, from_rtcp_port)) = sent else {
                    return;
                };
                let socket = match from_rtcp_port {
                    true => &self.sockets.rtcp,
                    false => &self.sockets.rtp,
                };
                let _ = socket.send_to(&out[..len], target);
            }
        }
    }

    /// Sends what the handshake with the telephone has ready, and passes on what came of it.
    fn flush_handshake(&mut self, now: Instant) {
        let Some(trunk) = &mut self.trunk else { return };
        while let Some((datagram, target)) = trunk.poll_handshake() {
            let _ = self.sockets.rtp.send_to(&datagram, target);
        }
        match trunk.poll_event() {
            None => {}
            Some(SessionEvent::Connected { profile }) => {
                let profile = profile.to_string();
                self.tell(now, MediaEvent::TrunkConnected { profile });
            }
            Some(SessionEvent::Failed(failure)) => {
                self.tell(now, MediaEvent::TrunkFailed(failure));
            }
            // Signalling ends calls: a BYE is on its way.
            Some(SessionEvent::Closed) => {}
        }
    }
}
