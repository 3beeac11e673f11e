//! One call of a load: its signalling, over a WebSocket of its own, and what becomes of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use gateway::signaling::message::{
    CallName, ClientMessage, Hangup, PlaceCall, SUBPROTOCOL, ServerMessage,
};
use peer::testing;
use peer::{Fingerprint, IceCredentials};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::media::Media;
use super::sound::Sound;
use crate::offer::Offerer;

/// How long a call may take until both can talk.
const SET_UP: Duration = Duration::from_secs(20);

/// How long the gateway may take to confirm a hang-up.
const TAKE_DOWN: Duration = Duration::from_secs(5);

/// What the calls of a load share.
pub struct Shared {
    /// The gateway's signalling.
    pub url: String,
    /// How long each call lasts once it is accepted.
    pub talk: Duration,
    /// What each says.
    pub sound: Sound,
    /// The certificate of all browsers: a key pair each would be the load's cost and not the gateway's.
    pub certificate: testing::DtlsCertificate,
    /// How many are accepted and not over.
    pub talking: AtomicUsize,
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
            sdp: if self.shared.sound.transcoded {
                offerer.offer()
            } else {
                offerer.offer_g711()
            },
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
                        media.handle_timeout(Instant::now(), &self.shared.sound, figures)?;
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
        match more {
            true => self.shared.talking.fetch_add(1, Ordering::Relaxed),
            false => self.shared.talking.fetch_sub(1, Ordering::Relaxed),
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
