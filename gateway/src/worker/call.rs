//! One call's media: the browser's transport, the bridge between the two legs, and the telephone's
//! sockets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{
    Bridge, BridgeConfig, BridgeEvent, Digit, DtmfWay, Leg, PacketKind, StreamStart, Transmit,
};
use mio::net::UdpSocket;
use peer::{Identity, Path, Peer, PeerConfig, PeerEvent, Received, SessionEvent};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::command::{MediaEvent, MediaReport, OpenCall, TrunkMedia};
use super::impaired::Impaired;
use super::one_way::{Expected, Watch};
use super::report;
use super::telephone::{Telephone, TrunkSockets};
use super::trunk_leg::TrunkLeg;
use crate::call::CallId;

/// Room for the largest packet we make and its SRTP tag and index.
const OUT: usize = 1600;

/// How many events that must not be lost may wait for room in the queue of the call's task: there is one of each kind, or
/// of each telephone.
const MAX_UNDELIVERED: usize = 16;

/// How soon such an event is offered again.
const RETRY: Duration = Duration::from_millis(20);

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

/// See the module's documentation.
pub(super) struct MediaCall {
    pub(super) id: CallId,
    /// None once another telephone is in the browser's place.
    peer: Option<Peer>,
    bridge: Bridge,
    telephone: Telephone,
    /// The one that is, or will be, in the browser's place, and where our stream towards it begins.
    other: Option<Box<(Telephone, StreamStart)>>,
    answered: Option<Instant>,
    silence: Duration,
    events: mpsc::Sender<Box<MediaEvent>>,
    /// What found no room and must not be lost, and when it is offered again.
    undelivered: VecDeque<(Instant, MediaEvent)>,
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
        let peer = open.browser.as_ref().map(|browser| {
            Peer::new(
                now,
                PeerConfig {
                    identity: Arc::clone(&settings.identity),
                    local: browser.local.clone(),
                    remote: browser.remote.clone(),
                    fingerprint: browser.fingerprint,
                    consent_timeout: settings.consent,
                    handshake_timeout: HANDSHAKE_TIMEOUT,
                },
            )
        });
        let peer = peer.transpose().map_err(|error| error.to_string())?;
        let config = BridgeConfig::new(
            open.browser.as_ref().map(|browser| browser.format),
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
            peer,
            bridge,
            telephone: Telephone::new(sockets),
            other: None,
            answered: None,
            silence: settings.silence,
            events,
            undelivered: VecDeque::new(),
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
        let Some(peer) = &mut self.peer else {
            return;
        };
        match peer.handle_packet(now, path, packet) {
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

    /// A datagram on a port of the telephone on that leg.
    pub(super) fn handle_telephone(
        &mut self,
        now: Instant,
        (leg, rtcp): (Leg, bool),
        from: SocketAddr,
        packet: &mut [u8],
        browsers: &BrowserSockets,
    ) {
        assert!(!self.sabotaged, "sabotaged");
        let Some(telephone) = self.telephone_mut(leg) else {
            return;
        };
        if let Some(came) = telephone.take(now, from, rtcp, packet) {
            if let Some(before) = came.moved_from {
                let (from, to) = (before, from);
                self.tell(now, MediaEvent::Moved { leg, from, to });
            }
            let packet = packet.get(..came.len).unwrap_or_default();
            match (&mut self.impaired, came.kind) {
                (Some(way), kind) => way.came(now, leg, kind, packet),
                (None, PacketKind::Rtp) => self.bridge.handle_rtp(now, leg, packet),
                (None, PacketKind::Rtcp) => self.bridge.handle_rtcp(now, leg, packet),
            }
        }
        self.flush(now, browsers);
    }

    /// The ports of another telephone, which is to take the browser's place; where there are some already, nothing.
    pub(super) fn add_telephone(&mut self, sockets: TrunkSockets, start: StreamStart) {
        self.other = Some(Box::new((Telephone::new(sockets), start)));
    }

    /// The ports of the other telephone are for another one.
    pub(super) fn reuse_ports(&mut self) {
        if let Some(other) = &mut self.other {
            other.0.forget_handshake();
        }
    }

    /// The sockets of the telephone on that leg.
    pub(super) fn sockets(&self, leg: Leg) -> Option<&TrunkSockets> {
        match leg {
            Leg::Trunk => Some(&self.telephone.sockets),
            Leg::Browser => self.other.as_ref().map(|other| &other.0.sockets),
        }
    }

    pub(super) fn sockets_mut(&mut self, leg: Leg) -> Option<&mut TrunkSockets> {
        self.telephone_mut(leg)
            .map(|telephone| &mut telephone.sockets)
    }

    fn telephone_mut(&mut self, leg: Leg) -> Option<&mut Telephone> {
        match leg {
            Leg::Trunk => Some(&mut self.telephone),
            Leg::Browser => self.other.as_mut().map(|other| &mut other.0),
        }
    }

    /// Joins a telephone's media. On the browser's leg that ends the browser's.
    pub(super) fn bridge(
        &mut self,
        now: Instant,
        leg: Leg,
        media: TrunkMedia,
        browsers: &BrowserSockets,
    ) {
        match leg {
            Leg::Trunk => {
                self.bridge.connect_trunk(now, media.format);
                self.bridge.set_voip_metrics(media.voip_metrics);
            }
            Leg::Browser => {
                let Some((other, start)) = self.other.as_deref() else {
                    return;
                };
                match other.leg {
                    Some(_) => self.bridge.change_browser(now, media.format),
                    None => {
                        let start = *start;
                        self.let_browser_go(now, browsers);
                        self.bridge.replace_browser(now, media.format, start);
                        self.answered = self.answered.map(|_| now);
                    }
                }
            }
        }
        self.bridge.set_dtmf(now, leg, media.dtmf);
        let identity = Arc::clone(&self.identity);
        if let Some(telephone) = self.telephone_mut(leg) {
            let was_held = !telephone.speaks();
            let speaks = media.receive;
            telephone.connect(now, media, &identity);
            if was_held && speaks {
                self.answered = self.answered.map(|_| now);
            }
        }
        self.set_directions();
        self.flush(now, browsers);
    }

    /// What comes from a telephone on hold is for nobody.
    fn set_directions(&mut self) {
        let other = self.other.as_ref().map(|other| &other.0);
        let (hears, speaks) = other.map_or((true, true), |one| (one.hears(), one.speaks()));
        self.bridge
            .set_trunk_sending(self.telephone.hears() && speaks);
        self.bridge
            .set_browser_sending(hears && self.telephone.speaks());
    }

    /// The browser has been told, and its figures are those of the call's record.
    fn let_browser_go(&mut self, now: Instant, browsers: &BrowserSockets) {
        let Some(mut peer) = self.peer.take() else {
            return;
        };
        let report = report::media_report(&self.bridge.report(), self.telephone.strangers);
        self.tell(now, MediaEvent::BrowserLeft(Box::new(report)));
        peer.close(now);
        let mut out = browsers.out.borrow_mut();
        while let Some((len, path)) = peer.poll_transmit(&mut out[..]) {
            browsers.send(&out[..len], path);
        }
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        self.watch.begin(now);
        for telephone in self.telephones() {
            if let Some(leg) = &mut telephone.leg {
                leg.answered(now);
            }
        }
    }

    fn telephones(&mut self) -> impl Iterator<Item = &mut Telephone> {
        let other = self.other.as_mut().map(|other| &mut other.0);
        [Some(&mut self.telephone), other].into_iter().flatten()
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
        if let Some(peer) = &mut self.peer {
            peer.restart_ice(now, local, remote);
        }
    }

    pub(super) fn set_opus_complexity(&mut self, complexity: u8) {
        self.bridge.set_opus_complexity(complexity);
    }

    pub(super) fn is_validated(&self, path: Path) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|peer| peer.is_validated(path))
    }

    /// When [`MediaCall::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let silent = self.silent_at().map(|(at, _)| at);
        let retry = self.undelivered.front().map(|(at, _)| *at);
        [
            self.peer.as_ref().and_then(Peer::poll_timeout),
            self.bridge.poll_timeout(),
            silent,
            retry,
            self.peer.as_ref().and_then(|_| self.watch.poll_timeout()),
            self.telephone.leg.as_ref().and_then(TrunkLeg::poll_timeout),
            self.other
                .as_ref()
                .and_then(|other| other.0.leg.as_ref()?.poll_timeout()),
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
        if let Some(peer) = &mut self.peer {
            peer.handle_timeout(now);
        }
        for telephone in self.telephones() {
            if let Some(leg) = &mut telephone.leg {
                leg.handle_timeout(now);
            }
        }
        self.bridge.handle_timeout(now);
        while self.undelivered.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, event)) = self.undelivered.pop_front()
        {
            self.tell(now, event);
        }
        self.look(now);
        if let Some((_, leg)) = self.silent_at().filter(|(at, _)| *at <= now) {
            // Said once: the call's task will close us.
            self.answered = None;
            self.tell(now, MediaEvent::Silent(leg, self.silence));
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
        if let Some(peer) = &mut self.peer {
            peer.close(now);
        }
        for telephone in self.telephones() {
            if let Some(leg) = &mut telephone.leg {
                leg.close(now);
            }
        }
        self.flush(now, browsers);
        report::media_report(&self.bridge.report(), self.telephone.strangers)
    }

    /// Hands an event to the call's task. One that finds no room is lost, unless it ends the call or its task waits for it.
    pub(super) fn tell(&mut self, now: Instant, event: MediaEvent) {
        match self.events.try_send(Box::new(event)) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => self.abandoned = true,
            Err(TrySendError::Full(event)) => match *event {
                MediaEvent::PeerFailed(_)
                | MediaEvent::TrunkFailed(..)
                | MediaEvent::ConsentLost
                | MediaEvent::PeerClosed
                | MediaEvent::Silent(..)
                | MediaEvent::Opened { .. }
                | MediaEvent::Added { .. }
                | MediaEvent::NotAdded(_)
                | MediaEvent::BrowserLeft(_)
                    if self.undelivered.len() < MAX_UNDELIVERED =>
                {
                    self.undelivered.push_back((now + RETRY, *event));
                }
                lost => tracing::warn!(call = %self.id, ?lost, "the call's task is behind"),
            },
        }
    }

    pub(super) fn events(&self) -> mpsc::Sender<Box<MediaEvent>> {
        self.events.clone()
    }

    /// Looks for one-way audio, when it is time, where there is a browser to tell of it.
    fn look(&mut self, now: Instant) {
        let (Some(leg), Some(_)) = (&self.telephone.leg, &self.peer) else {
            return;
        };
        let expected = Expected {
            hears: leg.media.send,
            speaks: leg.media.receive,
            unauthentic: leg.unauthentic(),
        };
        let news = self.watch.look(now, || self.bridge.report(), expected);
        if let Some(news) = news {
            self.tell(now, MediaEvent::OneWay(news));
        }
    }

    fn keys_go_by_signalling(&self) -> bool {
        let media = self.telephone.media();
        media.is_some_and(|media| media.dtmf == DtmfWay::Signalling)
    }

    /// When the first of the telephones that are to speak has been silent for too long.
    fn silent_at(&self) -> Option<(Instant, Leg)> {
        let answered = self.answered?;
        let silent = |telephone: &Telephone, leg| {
            telephone.media().filter(|media| media.receive)?;
            let heard = self.bridge.last_packet(leg).max(telephone.reported);
            let heard = heard.map_or(answered, |heard| heard.max(answered));
            Some((heard + self.silence, leg))
        };
        let other = self.other.as_ref();
        let other = other.and_then(|other| silent(&other.0, Leg::Browser));
        match self.telephone.media() {
            // It has answered without a word of its media.
            None => Some((answered + self.silence, Leg::Trunk)),
            Some(_) => silent(&self.telephone, Leg::Trunk),
        }
        .into_iter()
        .chain(other)
        .min_by_key(|(at, _)| *at)
    }

    /// Sends what peer and bridge have ready, and passes on what they noticed.
    fn flush(&mut self, now: Instant, browsers: &BrowserSockets) {
        let mut out = browsers.out.borrow_mut();
        let out = &mut out[..];
        if let Some(peer) = &mut self.peer {
            while let Some((len, path)) = peer.poll_transmit(out) {
                browsers.send(&out[..len], path);
            }
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
        self.flush_handshakes(now);
        while let Some(event) = self.peer.as_mut().and_then(Peer::poll_event) {
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
                } if from == Leg::Trunk || self.peer.is_none() || self.keys_go_by_signalling() => {
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
                let Some(peer) = &mut self.peer else {
                    if let Some((other, _)) = self.other.as_deref_mut() {
                        other.send(kind, out, len);
                    }
                    return;
                };
                let Some(path) = peer.selected_path() else {
                    return;
                };
                let protected = match kind {
                    PacketKind::Rtp => peer.protect_rtp(out, len),
                    PacketKind::Rtcp => peer.protect_rtcp(out, len),
                };
                // Before DTLS is up there are no keys, and nothing is sent in the clear.
                if let Ok(len) = protected {
                    browsers.send(&out[..len], path);
                }
            }
            Leg::Trunk => self.telephone.send(kind, out, len),
        }
    }

    /// Sends what handshakes with telephones have ready, and passes on what came of them.
    fn flush_handshakes(&mut self, now: Instant) {
        for leg in [Leg::Trunk, Leg::Browser] {
            let telephone = self.telephone_mut(leg);
            match telephone.and_then(Telephone::flush_handshake) {
                None => {}
                Some(SessionEvent::Connected { profile }) => {
                    let profile = profile.to_string();
                    self.tell(now, MediaEvent::TrunkConnected { leg, profile });
                }
                Some(SessionEvent::Failed(failure)) => {
                    self.tell(now, MediaEvent::TrunkFailed(leg, failure));
                }
                // Signalling ends calls: a BYE is on its way.
                Some(SessionEvent::Closed) => {}
            }
        }
    }
}
