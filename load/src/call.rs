//! One call of a load: its signalling, over a WebSocket of its own, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use is::IceCreds;
use media::ImpairmentSettings;
use peer::Fingerprint;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::browser::Media;
use crate::dtls::DtlsCertificate;
use crate::link::{Heard, Link};
use crate::offer::Offerer;
use crate::sound::Sound;

/// The signalling protocol (`web/` has its schema).
const SUBPROTOCOL: &str = "switchhook.v1";

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
    pub certificate: DtlsCertificate,
    /// How bad the browsers' network is.
    pub impair_browser: ImpairmentSettings,
    /// Telephones of this program answer, and talk.
    pub phone_talks: bool,
    /// How many are accepted and not over.
    pub talking: AtomicUsize,
    /// How many are over, and of them how many failed.
    pub over: [AtomicUsize; 2],
    /// The calls are to end now.
    pub stop: tokio::sync::watch::Receiver<bool>,
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
    /// From the answer to the nominated pair.
    pub path: Option<Duration>,
    /// From there to the end of the DTLS handshake.
    pub dtls: Option<Duration>,
    /// What the browser heard.
    pub browser: Heard,
    /// What the telephone heard, if it was one of this program's.
    pub phone: Option<Heard>,
    /// From the offer to the INVITE, if it came here.
    pub invited: Option<Duration>,
}

/// Places a call to `to`, talks, hangs up; what was measured, and what went wrong.
pub async fn place(
    shared: &Shared,
    link: Arc<Link>,
    number: usize,
    to: String,
) -> (Figures, Result<(), String>) {
    let mut figures = Figures::default();
    let result = match Call::open(shared, Arc::clone(&link), number).await {
        Ok(mut call) => call.run(&mut figures, to).await,
        Err(why) => Err(why),
    };
    figures.invited = link
        .invited()
        .zip(figures.offered)
        .map(|(came, offered)| came.saturating_duration_since(offered));
    let [over, failed] = &shared.over;
    over.fetch_add(1, Ordering::Relaxed);
    failed.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
    (figures, result)
}

struct Call<'a> {
    shared: &'a Shared,
    link: Arc<Link>,
    name: String,
    signaling: WebSocketStream<MaybeTlsStream<TcpStream>>,
    credentials: IceCreds,
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
    async fn open(shared: &'a Shared, link: Arc<Link>, number: usize) -> Result<Self, String> {
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
            Some(Ok(Message::Text(text))) if kind(&text)? == "welcome" => {}
            other => return Err(format!("no welcome: {other:?}")),
        }
        Ok(Self {
            shared,
            link,
            name: format!("load-{number}"),
            signaling,
            credentials: IceCreds::new(),
            ssrc: 0x1000_0000 + number as u32,
            media: None,
            state: State::Calling,
        })
    }

    async fn run(&mut self, figures: &mut Figures, to: String) -> Result<(), String> {
        let fingerprint = Fingerprint::of(&self.shared.certificate.certificate).to_string();
        let offerer = Offerer {
            ufrag: &self.credentials.ufrag,
            pwd: &self.credentials.pass,
            fingerprint: &fingerprint,
            ssrc: self.ssrc,
        };
        let sdp = if self.shared.sound.transcoded {
            offerer.offer()
        } else {
            offerer.offer_g711()
        };
        let place = json!({ "type": "call", "call": self.name, "to": to, "sdp": sdp });
        let offered = Instant::now();
        figures.offered = Some(offered);
        self.send(&place).await?;
        let mut stop = self.shared.stop.clone();
        let mut deadline = offered + SET_UP;
        let mut stopped = false;
        let mut buffer = vec![0; 2048];
        while self.state != State::Over {
            let due = self.media.as_mut().and_then(Media::due);
            let wake = due.map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                message = self.signaling.next() => {
                    let message = message.ok_or("the session was closed")?;
                    self.handle_message(message.map_err(|error| error.to_string())?, offered, figures).await?;
                }
                received = receive(self.media.as_ref().map(|media| &media.socket), &mut buffer) => {
                    if let (Ok(len), Some(media)) = (received, &mut self.media) {
                        media.handle_packet(Instant::now(), &mut buffer[..len], figures)?;
                    }
                }
                _ = stop.changed(), if !stopped => {
                    stopped = true;
                    deadline = Instant::now();
                    if let State::Talking { until } = &mut self.state {
                        *until = deadline;
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
                let rest = figures.answered.zip(figures.path);
                figures.dtls =
                    rest.map(|(answered, path)| (now - offered).saturating_sub(answered + path));
            }
            if figures.path.is_none() && self.media.as_ref().is_some_and(Media::has_path) {
                figures.path = figures
                    .answered
                    .map(|answered| (now - offered).saturating_sub(answered));
            }
            match self.state {
                State::Talking { until } if now >= until => {
                    self.state = State::HangingUp;
                    deadline = now + TAKE_DOWN;
                    self.send(&json!({ "type": "hangup", "call": self.name }))
                        .await?;
                }
                State::Talking { until } => deadline = until,
                _ if now >= deadline => return Err(format!("nothing more came: {:?}", self.state)),
                _ => {}
            }
        }
        figures.browser = self.media.as_ref().map(Media::heard).unwrap_or_default();
        let _ = self.signaling.close(None).await;
        match (figures.connected, figures.browser.received) {
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
        let message: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match message["type"].as_str().unwrap_or_default() {
            "answer" => {
                figures.answered = Some(now - offered);
                let sdp = message["sdp"].as_str().unwrap_or_default();
                let (link, credentials) = (Arc::clone(&self.link), self.credentials.clone());
                self.media =
                    Some(Media::open(self.shared, link, credentials, self.ssrc, sdp).await?);
            }
            "accepted" => {
                figures.accepted = Some(now - offered);
                self.state = State::Talking {
                    until: now + self.shared.talk,
                };
                self.count_talking(true);
            }
            "hangup" => {
                if self.state == State::HangingUp {
                    self.state = State::Over;
                } else {
                    let cause = &message["cause"];
                    return Err(format!(
                        "{}: {}",
                        word(&cause["code"]),
                        word(&cause["text"])
                    ));
                }
            }
            "error" => return Err(word(&message["text"]).to_owned()),
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

    async fn send(&mut self, message: &Value) -> Result<(), String> {
        self.signaling
            .send(Message::text(message.to_string()))
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

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A message's type.
fn kind(text: &str) -> Result<String, String> {
    let message: Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
    Ok(word(&message["type"]).to_owned())
}

async fn timely<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, String> {
    let waited = tokio::time::timeout(limit, future).await;
    waited.map_err(|_| format!("nothing came for {} s", limit.as_secs()))
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match socket {
        Some(socket) => socket.recv(buffer).await,
        None => std::future::pending().await,
    }
}
