//! One browser's signalling session: the WebSocket on one side, its calls on the other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::gate::{Signaling, closed};
use super::message::{CallName, ClientMessage, ErrorCode, ServerMessage};
use crate::call::machine::Input;

/// How many messages may wait for the browser; one that leaves more unread is taken for gone.
const OUTBOX: usize = 256;

/// How long the browser may take to read what we send.
const WRITE: Duration = Duration::from_secs(10);

/// How often it is asked for a sign of life, and how long it may give none.
const PING: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(50);

/// Calls at once in one session.
const MAX_CALLS: usize = 8;

/// Messages a second that a session may send for long, and at once.
const RATE: f64 = 50.0;
const BURST: f64 = 200.0;

struct Session {
    id: String,
    signaling: Arc<Signaling>,
    calls: HashMap<CallName, mpsc::Sender<Box<Input>>>,
    outbox: mpsc::Sender<Box<ServerMessage>>,
    allowance: Allowance,
}

/// Why a session ends.
enum End {
    /// The browser went, or cannot be reached.
    Gone,
    /// We close it.
    Close(u16, &'static str),
}

/// Runs a session until either side ends it; its calls end with it.
pub(super) async fn run(mut socket: WebSocket, remote: SocketAddr, signaling: Arc<Signaling>) {
    let (outbox, mut outgoing) = mpsc::channel(OUTBOX);
    let mut closing = signaling.closing.clone();
    let mut session = Session {
        id: format!("{:016x}", rand::random::<u64>()),
        signaling,
        calls: HashMap::new(),
        outbox,
        allowance: Allowance::new(Instant::now()),
    };
    tracing::info!(session = session.id, %remote, "a browser signs in");
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let end = match send(&mut socket, &session.welcome()).await {
        Err(end) => end,
        Ok(()) => loop {
            let step = tokio::select! {
                received = socket.recv() => {
                    heard = Instant::now();
                    match received {
                        Some(Ok(message)) => session.receive(message).await,
                        Some(Err(error)) => Err(end_of_error(&error)),
                        None => Err(End::Gone),
                    }
                }
                Some(message) = outgoing.recv() => {
                    session.note(&message);
                    send(&mut socket, &message).await
                }
                _ = pings.tick() => if heard.elapsed() > PATIENCE {
                    Err(End::Gone)
                } else {
                    write(&mut socket, Message::Ping(Vec::new().into())).await
                },
                () = closed(&mut closing) => Err(End::Close(close_code::AWAY, "the gateway is going down")),
            };
            if let Err(end) = step {
                break end;
            }
        },
    };
    if let End::Close(code, reason) = end {
        // What the calls had to say still goes out before the close.
        while let Ok(message) = outgoing.try_recv() {
            if send(&mut socket, &message).await.is_err() {
                break;
            }
        }
        let _ = write(
            &mut socket,
            Message::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            })),
        )
        .await;
    }
    tracing::info!(session = session.id, %remote, calls = session.calls.len(), "a browser is gone");
    for input in session.calls.into_values() {
        let _ = input.send(Box::new(Input::BrowserGone)).await;
    }
}

impl Session {
    fn welcome(&self) -> ServerMessage {
        ServerMessage::Welcome {
            session: self.id.clone(),
            version: 1,
            ice_servers: Vec::new(),
            lab: self.signaling.lab.clone(),
            trunk: self.signaling.trunk,
        }
    }

    async fn receive(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(_) | Message::Binary(_) if !self.allowance.take(Instant::now()) => {
                self.error(
                    None,
                    ErrorCode::TooMany,
                    "too many messages: this one was not read",
                );
                Ok(())
            }
            Message::Text(text) => {
                match ClientMessage::read(&text) {
                    Ok(message) => self.handle(message).await,
                    Err(bad) => self.tell(bad.into()),
                }
                Ok(())
            }
            Message::Binary(_) => Err(End::Close(close_code::UNSUPPORTED, "messages are text")),
            Message::Close(_) => Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    async fn handle(&mut self, message: ClientMessage) {
        let Some(name) = message.call().cloned() else {
            // No sign-in is asked for yet: a token is welcome, and has nothing to permit.
            return;
        };
        match message {
            ClientMessage::Call(place) => {
                self.calls.retain(|_, input| !input.is_closed());
                if self.calls.contains_key(&name) {
                    return self.error(
                        Some(name),
                        ErrorCode::DuplicateCall,
                        "a call of that name is up",
                    );
                }
                if self.calls.len() >= MAX_CALLS {
                    return self.error(
                        Some(name),
                        ErrorCode::TooMany,
                        "a session has 8 calls at most",
                    );
                }
                let placed = self
                    .signaling
                    .registry
                    .place(&self.id, place, self.outbox.clone())
                    .await;
                if let Some(input) = placed {
                    self.calls.insert(name, input);
                }
            }
            message => match self
                .calls
                .get(&name)
                .map(|input| input.try_send(Box::new(Input::Browser(message))))
            {
                Some(Ok(())) => {}
                Some(Err(TrySendError::Full(_))) => self.error(
                    Some(name),
                    ErrorCode::TooMany,
                    "the call is busy: try again",
                ),
                None | Some(Err(TrySendError::Closed(_))) => self.error(
                    Some(name),
                    ErrorCode::UnknownCall,
                    "no such call in this session",
                ),
            },
        }
    }

    /// A call whose end is on its way out is no longer one of ours.
    fn note(&mut self, message: &ServerMessage) {
        if let ServerMessage::Hangup { call, .. } = message {
            self.calls.remove(call);
        }
    }

    fn error(&self, call: Option<CallName>, code: ErrorCode, text: &str) {
        self.tell(ServerMessage::Error {
            call,
            code,
            field: None,
            text: text.to_owned(),
        });
    }

    fn tell(&self, message: ServerMessage) {
        if self.outbox.try_send(Box::new(message)).is_err() {
            tracing::debug!(
                session = self.id,
                "the browser does not read: an error message is dropped"
            );
        }
    }
}

async fn send(socket: &mut WebSocket, message: &ServerMessage) -> Result<(), End> {
    match serde_json::to_string(message) {
        Ok(text) => write(socket, Message::Text(text.into())).await,
        Err(error) => {
            tracing::error!(%error, "a message could not be put into JSON");
            Ok(())
        }
    }
}

async fn write(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(WRITE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// The close code for what the WebSocket layer could not read (RFC 6455 §7.4.1).
fn end_of_error(error: &axum::Error) -> End {
    use std::error::Error;
    let text = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
        .to_lowercase();
    if text.contains("utf-8") || text.contains("utf8") {
        End::Close(close_code::INVALID, "text is UTF-8")
    } else if text.contains("too long")
        || text.contains("too large")
        || text.contains("space limit")
    {
        End::Close(close_code::SIZE, "a message is at most 256 KiB")
    } else {
        End::Gone
    }
}

/// A token bucket.
struct Allowance {
    tokens: f64,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.tokens = (self.tokens + earned).min(BURST);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_talks_too_much_is_slowed_and_recovers() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let taken = (0..1000).filter(|_| allowance.take(start)).count();
        assert_eq!(taken, 200);
        assert!(!allowance.take(start + Duration::from_millis(10)));
        assert!(allowance.take(start + Duration::from_millis(40)));
    }
}
