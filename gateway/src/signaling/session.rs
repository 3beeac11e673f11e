//! One browser's signalling session: the WebSocket on one side, its calls on the other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};

use super::gate::{NotSignedIn, Signaling, closed};
use super::ice_servers::PageHost;
use super::message::{
    Authenticate, CallName, ClientMessage, ErrorCode, IceServer, ServerMessage, TransferCall,
};
use super::outbox::{Outbox, Outgoing};
use crate::call::registry::{CallHandle, NotTaken};
use crate::directory::SignedIn;
use crate::token::Refused;

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
    remote: SocketAddr,
    /// What the page reached the gateway by.
    host: Option<PageHost>,
    signaling: Arc<Signaling>,
    /// Whose it is, once that is known.
    signed_in: Option<SignedIn>,
    calls: HashMap<CallName, CallHandle>,
    outbox: Outbox,
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
pub(super) async fn run(
    mut socket: WebSocket,
    remote: SocketAddr,
    host: Option<PageHost>,
    signaling: Arc<Signaling>,
) {
    let (outbox, mut outgoing) = mpsc::channel(OUTBOX);
    let mut closing = signaling.closing.clone();
    let mut session = Session {
        id: format!("{:016x}", rand::random::<u64>()),
        remote,
        host,
        signaling,
        signed_in: None,
        calls: HashMap::new(),
        outbox,
        allowance: Allowance::new(Instant::now()),
    };
    tracing::info!(session = session.id, %remote, "a browser is here");
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let renewal = session.signaling.ice_servers.renewal();
    let mut renewals = interval_at(Instant::now() + renewal, renewal);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                Some(outgoing) = outgoing.recv() => match session.note(*outgoing) {
                    Some(message) => send(&mut socket, &message).await,
                    None => Ok(()),
                },
                _ = pings.tick() => if heard.elapsed() > PATIENCE {
                    Err(End::Gone)
                } else {
                    write(&mut socket, Message::Ping(Vec::new().into())).await
                },
                _ = renewals.tick() => match session.renewed_ice_servers() {
                    Some(message) => send(&mut socket, &message).await,
                    None => Ok(()),
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
        while let Ok(last) = outgoing.try_recv() {
            if let Some(message) = session.note(*last)
                && send(&mut socket, &message).await.is_err()
            {
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
    // Nothing new rings here, and what was about to is told.
    session.signed_in = None;
    outgoing.close();
    while let Ok(unheard) = outgoing.try_recv() {
        session.note(*unheard);
    }
    for call in session.calls.into_values() {
        call.leave().await;
    }
}

impl Session {
    fn welcome(&self) -> ServerMessage {
        ServerMessage::Welcome {
            session: self.id.clone(),
            version: 1,
            ice_servers: self.ice_servers(),
            lab: self.signaling.lab.clone(),
            trunk: self.signaling.trunk,
            sign_in: self.signaling.directory.has_users(),
        }
    }

    /// What the page is told now. Where there are users, only one who is signed in may relay; else every session may, and
    /// is told apart by its name.
    fn ice_servers(&self) -> Vec<IceServer> {
        let user = match &self.signed_in {
            Some(signed_in) if !self.has_expired() => Some(signed_in.user().name.as_str()),
            None if !self.signaling.directory.has_users() => Some(self.id.as_str()),
            _ => None,
        };
        let made = &self.signaling.ice_servers;
        made.list(self.host.as_ref(), user, SystemTime::now())
    }

    /// The list anew, where there are credentials in it that would end.
    fn renewed_ice_servers(&self) -> Option<ServerMessage> {
        let ice_servers = self.ice_servers();
        let ends = ice_servers.iter().any(|one| one.credential.is_some());
        ends.then_some(ServerMessage::IceServers { ice_servers })
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
        match message {
            ClientMessage::Authenticate(authenticate) => self.authenticate(&authenticate).await,
            ClientMessage::Call(place) => {
                let name = place.call.clone();
                if let Err((code, text)) = self.may_call(&name) {
                    return self.error(Some(name), code, text);
                }
                let caller = match &self.signed_in {
                    Some(signed_in) => match signed_in.begin_call() {
                        Some(on_call) => Some((signed_in.identity(), on_call)),
                        None => {
                            let text = "you have as many calls as you may";
                            return self.error(Some(name), ErrorCode::TooMany, text);
                        }
                    },
                    None => None,
                };
                let placed = self
                    .signaling
                    .registry
                    .place(&self.id, caller, place, self.outbox.clone())
                    .await;
                if let Some(call) = placed {
                    self.calls.insert(name, call);
                }
            }
            message => {
                let Some(name) = message.call().cloned() else {
                    return;
                };
                let said = match (self.calls.get(&name), &message) {
                    (
                        Some(call),
                        ClientMessage::Transfer(TransferCall {
                            with: Some(with), ..
                        }),
                    ) => {
                        let other = self.calls.get(with).filter(|_| *with != name);
                        match other.map(|other| call.transfer_to(other)) {
                            Some(Err(NotTaken::Busy)) => Err(NotTaken::Busy),
                            Some(Ok(())) => Ok(()),
                            // It is the other that is gone, or has no telephone yet: this one goes on.
                            Some(Err(NotTaken::Over)) | None => {
                                return self.tell(ServerMessage::Error {
                                    call: Some(name),
                                    code: ErrorCode::BadField,
                                    field: Some("with".to_owned()),
                                    text: "that is no other call with a telephone".to_owned(),
                                });
                            }
                        }
                    }
                    (Some(call), _) => call.say(message),
                    (None, _) => Err(NotTaken::Over),
                };
                match said {
                    Ok(()) => {}
                    Err(NotTaken::Busy) => self.error(
                        Some(name),
                        ErrorCode::TooMany,
                        "the call is busy: try again",
                    ),
                    Err(NotTaken::Over) => self.error(
                        Some(name),
                        ErrorCode::UnknownCall,
                        "no such call in this session",
                    ),
                }
            }
        }
    }

    async fn authenticate(&mut self, who: &Authenticate) {
        if self.signed_in.is_some() && !self.has_expired() {
            return self.error(
                None,
                ErrorCode::WrongState,
                "this session is signed in already: open another for another user",
            );
        }
        // The old place in the directory goes before there is a new one.
        self.signed_in = None;
        let outbox = self.outbox.clone();
        let signed_in = self
            .signaling
            .sign_in(&self.id, self.remote.ip(), who, outbox)
            .await;
        match signed_in {
            Ok(signed_in) => {
                self.signed_in = Some(signed_in);
                self.tell_who_it_is();
            }
            Err(NotSignedIn::Wrong) => {
                tracing::warn!(session = self.id, remote = %self.remote, "a sign-in failed");
                self.error(
                    None,
                    ErrorCode::Unauthorized,
                    "the user name or the password is wrong",
                );
            }
            Err(NotSignedIn::BadToken(why)) => {
                tracing::warn!(session = self.id, remote = %self.remote, %why, "a sign-in failed");
                let code = match why {
                    Refused::Bad(_) => ErrorCode::Unauthorized,
                    Refused::NoKeys(_) => ErrorCode::Unavailable,
                };
                self.error(None, code, &why.to_string());
            }
            Err(NotSignedIn::TooOften) => self.error(
                None,
                ErrorCode::TooMany,
                "too many sign-ins failed from this address: wait a minute",
            ),
        }
    }

    /// Tells a session that has just been signed in what is its user's.
    fn tell_who_it_is(&self) {
        let Some(signed_in) = &self.signed_in else {
            return;
        };
        let user = signed_in.user();
        tracing::info!(session = self.id, user = user.name, "signed in");
        self.tell(ServerMessage::Authenticated {
            user: user.name.clone(),
            display_name: user.display_name.clone(),
            numbers: user.numbers.clone(),
            ice_servers: self.ice_servers(),
        });
        signed_in.announce(&self.outbox);
    }

    /// Whether what signed this session in no longer does.
    fn has_expired(&self) -> bool {
        let permit = self.signed_in.as_ref().map(|own| &own.user().permit);
        permit.is_some_and(|permit| permit.is_over(SystemTime::now()))
    }

    /// Whether one more call of that name may be placed.
    fn may_call(&mut self, name: &CallName) -> Result<(), (ErrorCode, &'static str)> {
        self.calls.retain(|_, call| !call.is_over());
        if self.signaling.directory.has_users() && self.signed_in.is_none() {
            Err((ErrorCode::Unauthorized, "sign in before you call"))
        } else if self.has_expired() {
            Err((
                ErrorCode::Unauthorized,
                "your token has expired: sign in with a new one",
            ))
        } else if self.calls.contains_key(name) {
            Err((ErrorCode::DuplicateCall, "a call of that name is up"))
        } else if self.calls.len() >= MAX_CALLS {
            Err((ErrorCode::TooMany, "a session has 8 calls at most"))
        } else {
            Ok(())
        }
    }

    /// What of a message concerns the session itself: a call that comes in is one of ours, one whose end is on its way
    /// out no longer. None where the browser is not to hear of it.
    fn note(&mut self, outgoing: Outgoing) -> Option<ServerMessage> {
        let Outgoing { message, call } = outgoing;
        match (&message, call) {
            (ServerMessage::Hangup { call, .. }, _) => {
                // Of a call it never heard of, it does not hear the end.
                let known = self.calls.remove(call).is_some();
                (known || !call.is_incoming()).then_some(message)
            }
            (ServerMessage::Incoming { call: name, .. }, Some(call)) => {
                self.calls.retain(|_, call| !call.is_over());
                if self.calls.len() >= MAX_CALLS {
                    let reject = ClientMessage::busy(name.clone());
                    let _ = call.say(reject);
                    return None;
                }
                self.calls.insert(name.clone(), call);
                Some(message)
            }
            _ => Some(message),
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
        if self.outbox.try_send(Box::new(message.into())).is_err() {
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
