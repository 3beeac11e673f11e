//! One call of a load: signalling over a WebSocket, and a browser's media on a UDP socket of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use gateway::signaling::message::{
    CallName, ClientMessage, Hangup, PlaceCall, SUBPROTOCOL, ServerMessage,
};
use peer::demux::{self, Kind};
use peer::srtp::MAX_OVERHEAD;
use peer::testing::{self, Browser, Check};
use peer::{Fingerprint, IceCredentials};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::offer::Offerer;

/// How long a call may take until both can talk.
const SET_UP: Duration = Duration::from_secs(20);

/// How long the gateway may take to confirm a hang-up.
const TAKE_DOWN: Duration = Duration::from_secs(5);

/// The time between checks: while there is no path yet, and then to renew consent (RFC 7675 §5.1).
const CHECK_AGAIN: Duration = Duration::from_millis(50);
const CONSENT: Duration = Duration::from_secs(5);

const PACKET: Duration = Duration::from_millis(20);
const OPUS: u8 = 111;

/// What the calls of a load share.
pub struct Shared {
    /// The gateway's signalling.
    pub url: String,
    /// How long each call lasts once it is accepted.
    pub talk: Duration,
    /// What each says: Opus packets of 20 ms.
    pub speech: Vec<Vec<u8>>,
    /// The certificate of all browsers: a key pair each would be the load's cost and not the gateway's.
    pub certificate: testing::DtlsCertificate,
    /// How many are accepted and not over.
    pub talking: std::sync::atomic::AtomicUsize,
}

/// How a call went.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// When its offer was sent.
    pub offered: Option<Instant>,
    /// From the offer to the answer.
    pub answered: Option<Duration>,
    /// From the offer to the telephone's answer.
    pub accepted: Option<Duration>,
    /// From the offer to the end of the DTLS handshake.
    pub connected: Option<Duration>,
    /// From the first audio that was sent to the first that came back.
    pub heard: Option<Duration>,
    /// Packets of audio sent.
    pub sent: u64,
    /// And received.
    pub received: u64,
    /// Gaps in the sequence numbers of what was received, in packets.
    pub lost: u64,
}

/// Places a call to `to`, talks, hangs up; what was measured, and what went wrong.
pub async fn place(shared: &Shared, number: usize, to: String) -> (Figures, Result<(), String>) {
    let mut figures = Figures::default();
    let result = match Call::open(shared, number).await {
        Ok(mut call) => call.run(&mut figures, to).await,
        Err(why) => Err(why),
    };
    (figures, result)
}

struct Call<'a> {
    shared: &'a Shared,
    name: CallName,
    signaling: WebSocketStream<MaybeTlsStream<TcpStream>>,
    credentials: IceCredentials,
    ssrc: u32,
    media: Option<Media>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Calling,
    Talking { until: Instant },
    HangingUp,
    Over,
}

impl<'a> Call<'a> {
    async fn open(shared: &'a Shared, number: usize) -> Result<Self, String> {
        let uri = shared
            .url
            .parse()
            .map_err(|error| format!("{}: {error}", shared.url))?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        let connecting = tokio_tungstenite::connect_async_with_config(request, None, true);
        let (mut signaling, _) = timely(SET_UP, connecting)
            .await?
            .map_err(|error| error.to_string())?;
        match timely(SET_UP, signaling.next()).await? {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(ServerMessage::Welcome { .. }) => {}
                _ => return Err(format!("no welcome: {text}")),
            },
            other => return Err(format!("no welcome: {other:?}")),
        }
        let mut random = [0; 32];
        random[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
        Ok(Self {
            shared,
            name: CallName::try_from(format!("load-{number}")).map_err(str::to_owned)?,
            signaling,
            credentials: IceCredentials::from_random(&random),
            ssrc: 0x1000_0000 + number as u32,
            media: None,
            state: State::Calling,
        })
    }

    async fn run(&mut self, figures: &mut Figures, to: String) -> Result<(), String> {
        let fingerprint = Fingerprint::of(&self.shared.certificate.certificate).to_string();
        let offerer = Offerer {
            ufrag: &self.credentials.ufrag,
            pwd: &self.credentials.pwd,
            fingerprint: &fingerprint,
            ssrc: self.ssrc,
        };
        let place = PlaceCall {
            call: self.name.clone(),
            to,
            sdp: offerer.offer(),
        };
        let offered = Instant::now();
        figures.offered = Some(offered);
        self.send(ClientMessage::Call(place)).await?;
        let mut deadline = offered + SET_UP;
        let mut buffer = vec![0; 2048];
        while self.state != State::Over {
            let due = self.media.as_ref().and_then(Media::due);
            let wake = due.map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                message = self.signaling.next() => {
                    let message = message.ok_or("the session was closed")?;
                    self.handle_message(message.map_err(|error| error.to_string())?, offered, figures).await?;
                }
                received = receive(self.media.as_ref(), &mut buffer) => {
                    if let (Ok(len), Some(media)) = (received, &mut self.media) {
                        media.handle_packet(Instant::now(), &mut buffer[..len], figures)?;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {
                    if let Some(media) = &mut self.media {
                        media.handle_timeout(Instant::now(), &self.shared.speech, figures)?;
                    }
                }
            }
            let now = Instant::now();
            if figures.connected.is_none() && self.media.as_ref().is_some_and(Media::is_connected) {
                figures.connected = Some(now - offered);
            }
            match self.state {
                State::Talking { until } if now >= until => {
                    self.state = State::HangingUp;
                    deadline = now + TAKE_DOWN;
                    let hangup = Hangup {
                        call: self.name.clone(),
                    };
                    self.send(ClientMessage::Hangup(hangup)).await?;
                }
                State::Talking { until } => deadline = until,
                _ if now >= deadline => return Err(format!("nothing more came: {:?}", self.state)),
                _ => {}
            }
        }
        figures.lost = self.media.as_ref().map_or(0, Media::lost);
        let _ = self.signaling.close(None).await;
        match (figures.connected, figures.received) {
            (None, _) => Err("no media path".into()),
            (_, 0) => Err("no audio came".into()),
            _ => Ok(()),
        }
    }

    async fn handle_message(
        &mut self,
        message: Message,
        offered: Instant,
        figures: &mut Figures,
    ) -> Result<(), String> {
        let now = Instant::now();
        let Message::Text(text) = message else {
            return Ok(());
        };
        let message = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match message {
            ServerMessage::Answer { sdp, .. } => {
                figures.answered = Some(now - offered);
                self.media = Some(
                    Media::open(self.shared, self.credentials.clone(), self.ssrc, &sdp).await?,
                );
            }
            ServerMessage::Accepted { .. } => {
                figures.accepted = Some(now - offered);
                self.state = State::Talking {
                    until: now + self.shared.talk,
                };
                self.count_talking(true);
            }
            ServerMessage::Hangup { cause, .. } => {
                if self.state == State::HangingUp {
                    self.state = State::Over;
                } else {
                    return Err(format!("{:?}: {}", cause.code, cause.text));
                }
            }
            ServerMessage::Error { text, .. } => return Err(text),
            _ => {}
        }
        Ok(())
    }

    fn count_talking(&self, more: bool) {
        use std::sync::atomic::Ordering::Relaxed;
        match more {
            true => self.shared.talking.fetch_add(1, Relaxed),
            false => self.shared.talking.fetch_sub(1, Relaxed),
        };
    }

    async fn send(&mut self, message: ClientMessage) -> Result<(), String> {
        let text = serde_json::to_string(&message).map_err(|error| error.to_string())?;
        self.signaling
            .send(Message::text(text))
            .await
            .map_err(|error| error.to_string())
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if matches!(
            self.state,
            State::Talking { .. } | State::HangingUp | State::Over
        ) {
            self.count_talking(false);
        }
    }
}

async fn timely<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, String> {
    let waited = tokio::time::timeout(limit, future).await;
    waited.map_err(|_| format!("nothing came for {} s", limit.as_secs()))
}

async fn receive(media: Option<&Media>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match media {
        Some(media) => media.socket.recv(buffer).await,
        None => std::future::pending().await,
    }
}

/// A browser's side of the media: ICE, DTLS, SRTP and the audio.
struct Media {
    socket: UdpSocket,
    browser: Browser,
    fingerprint: String,
    path: bool,
    next_check: Instant,
    /// Of the audio, from the moment it can be sent.
    next_packet: Option<Instant>,
    began: Option<Instant>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    first: Option<u16>,
    /// The highest sequence number so far, counted on over its wraps from the first one.
    highest: u64,
    received: u64,
}

impl Media {
    async fn open(
        shared: &Shared,
        credentials: IceCredentials,
        ssrc: u32,
        answer: &str,
    ) -> Result<Self, String> {
        let value = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
                .ok_or(format!("the answer has no {name}"))
        };
        let gateway = IceCredentials {
            ufrag: value("a=ice-ufrag:")?,
            pwd: value("a=ice-pwd:")?,
        };
        let candidate = value("a=candidate:")?;
        let mut fields = candidate.split(' ').skip(4);
        let (Some(ip), Some(port)) = (fields.next(), fields.next()) else {
            return Err(format!("not a candidate: {candidate}"));
        };
        let remote: SocketAddr = match (ip.parse(), port.parse()) {
            (Ok(ip), Ok(port)) => SocketAddr::new(ip, port),
            _ => return Err(format!("not a candidate: {candidate}")),
        };
        let any: SocketAddr = if remote.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        let open = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(remote).await?;
            Ok::<_, std::io::Error>(socket)
        };
        let now = Instant::now();
        let config = testing::config(u64::from(ssrc));
        let certificate = shared.certificate.clone();
        Ok(Self {
            socket: open.await.map_err(|error| format!("{remote}: {error}"))?,
            browser: Browser::new(now, Arc::clone(&config), certificate, credentials, gateway),
            fingerprint: value("a=fingerprint:sha-256 ")?,
            path: false,
            next_check: now,
            next_packet: None,
            began: None,
            ssrc,
            sequence: 0,
            timestamp: 0,
            first: None,
            highest: 0,
            received: 0,
        })
    }

    fn is_connected(&self) -> bool {
        self.next_packet.is_some()
    }

    fn lost(&self) -> u64 {
        self.first
            .map_or(0, |_| (self.highest + 1).saturating_sub(self.received))
    }

    fn due(&self) -> Option<Instant> {
        [
            Some(self.next_check),
            self.next_packet,
            self.browser.timeout,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_timeout(
        &mut self,
        now: Instant,
        speech: &[Vec<u8>],
        figures: &mut Figures,
    ) -> Result<(), String> {
        if self.next_check <= now {
            self.next_check = now + if self.path { CONSENT } else { CHECK_AGAIN };
            let check = self.browser.check(Check::default());
            self.send(&check);
        }
        if self.browser.timeout.is_some_and(|at| at <= now) {
            let packets = self.browser.handle_timeout(now);
            self.send_dtls(now, packets)?;
        }
        // What a busy machine was late for goes at once: a load that sends less is no load.
        while let Some(due) = self.next_packet.filter(|at| *at <= now) {
            self.next_packet = Some(due + PACKET);
            self.send_audio(speech)?;
            self.began.get_or_insert(now);
            figures.sent += 1;
        }
        Ok(())
    }

    fn handle_packet(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        figures: &mut Figures,
    ) -> Result<(), String> {
        match demux::classify(packet) {
            Kind::Stun if !self.path => {
                self.path = true;
                self.next_check = now + CONSENT;
                let hello = self.browser.handle_timeout(now);
                self.send_dtls(now, hello)?;
            }
            Kind::Dtls => {
                let packets = self.browser.handle_dtls(now, packet);
                self.send_dtls(now, packets)?;
            }
            Kind::Rtp => {
                let Some((_, receiver, _)) = &mut self.browser.keys else {
                    return Ok(());
                };
                let len = receiver
                    .unprotect_rtp(packet)
                    .map_err(|error| error.to_string())?;
                self.count(packet.get(..len).unwrap_or_default());
                figures.received += 1;
                if let Some(began) = self.began {
                    figures.heard.get_or_insert(now - began);
                }
            }
            Kind::Rtcp => {
                let Some((_, receiver, _)) = &mut self.browser.keys else {
                    return Ok(());
                };
                receiver
                    .unprotect_rtcp(packet)
                    .map_err(|error| error.to_string())?;
            }
            Kind::Stun | Kind::Unknown => {}
        }
        Ok(())
    }

    fn count(&mut self, packet: &[u8]) {
        let &[_, _, high, low, ..] = packet else {
            return;
        };
        let sequence = u16::from_be_bytes([high, low]);
        let first = *self.first.get_or_insert(sequence);
        let here = first.wrapping_add(self.highest as u16);
        let ahead = sequence.wrapping_sub(here);
        if ahead < 0x8000 {
            self.highest += u64::from(ahead);
        }
        self.received += 1;
    }

    fn send_dtls(&mut self, now: Instant, packets: Vec<Vec<u8>>) -> Result<(), String> {
        for packet in packets {
            self.send(&packet);
        }
        if let Some(why) = self.browser.failed.take() {
            return Err(format!("DTLS: {why}"));
        }
        if self.browser.keys.is_some() && self.browser.connected && self.next_packet.is_none() {
            let certificate = self
                .browser
                .gateway_certificate
                .map(|certificate| certificate.to_string());
            if certificate.as_ref() != Some(&self.fingerprint) {
                return Err(format!("the gateway's certificate is {certificate:?}"));
            }
            self.next_packet = Some(now);
        }
        Ok(())
    }

    fn send_audio(&mut self, speech: &[Vec<u8>]) -> Result<(), String> {
        let Some((sender, _, _)) = &mut self.browser.keys else {
            return Ok(());
        };
        let payload = &speech[usize::from(self.sequence) % speech.len()];
        let mut packet = Vec::with_capacity(12 + payload.len() + MAX_OVERHEAD);
        packet.extend([0x80, OPUS | u8::from(self.sequence == 0) << 7]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        let len = packet.len();
        packet.resize(len + MAX_OVERHEAD, 0);
        let len = sender
            .protect_rtp(&mut packet, len)
            .map_err(|error| error.to_string())?;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(960);
        self.send(&packet[..len]);
        Ok(())
    }

    /// A full buffer, or a gateway that is gone for a moment, is a lost packet.
    fn send(&self, packet: &[u8]) {
        let _ = self.socket.try_send(packet);
    }
}
