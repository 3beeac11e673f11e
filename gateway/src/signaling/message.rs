//! The messages of signalling protocol `switchhook.v1`: one JSON object a WebSocket text message,
//! told apart by `type`. `schema()` is the JSON Schema that the tree carries.

mod ice;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::CallId;
use crate::call::cause::Cause;
use crate::stir::Verification;
use crate::worker::OneWay;

pub use ice::{IceServer, Via};

/// The WebSocket subprotocol (RFC 6455 §1.9) that names this protocol and its version.
pub const SUBPROTOCOL: &str = "switchhook.v1";

/// The longest SDP a message may carry, in bytes.
pub const MAX_SDP: usize = 64 * 1024;

/// The most headers that a call may bring.
const MAX_HEADERS: usize = 16;

/// How the names of calls that come in begin; a browser's own do not.
const INCOMING: &str = "in-";

/// A name for a call: 1 to 64 letters, digits, `-` or `_`. Who places the call chooses it; the gateway's begin with `in-`.
///
/// It is unique within one signalling session while the call lasts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9_-]{1,64}$"))]
pub struct CallName(String);

impl CallName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a call that comes in.
    pub fn incoming(id: CallId) -> Self {
        Self(format!("{INCOMING}{id}"))
    }

    /// Whether it was not the browser that chose it.
    pub fn is_incoming(&self) -> bool {
        self.0.starts_with(INCOMING)
    }
}

impl TryFrom<String> for CallName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name))
        } else {
            Err("a call's name is 1 to 64 letters, digits, '-' or '_'")
        }
    }
}

/// What a browser sends.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Signs the session in.
    Authenticate(Authenticate),
    /// Places a call; sent at once with the offer, before any candidate is known.
    Call(PlaceCall),
    /// One trickled candidate (RFC 8838).
    Candidate(Candidate),
    /// No candidate follows (RFC 8838 §13).
    EndOfCandidates(EndOfCandidates),
    /// A new offer inside a call: an ICE restart or a change of devices.
    Offer(Reoffer),
    /// Puts the telephone on hold, or takes it back.
    Hold(HoldCall),
    /// Gives the telephone to somebody else: a number, or the other side of another call.
    Transfer(TransferCall),
    /// Digits for the telephone, sent by the gateway.
    Dtmf(SendDtmf),
    /// Takes a call that comes in; sent at once with the offer, before any candidate is known.
    Accept(AcceptCall),
    /// Refuses a call that comes in.
    Reject(RejectCall),
    /// Ends the call, or cancels it while it rings.
    Hangup(Hangup),
}

/// See [`ClientMessage::Authenticate`].
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Authenticate {
    /// With a signed token (RFC 7519), which says whose it is and what its owner may do.
    Token {
        /// The token.
        token: String,
    },
    /// With what is in the settings.
    Password {
        /// The user's name.
        #[schemars(length(min = 1, max = 64))]
        user: String,
        /// The user's password.
        #[schemars(length(max = 1024))]
        password: String,
    },
}

impl std::fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token { .. } => f.write_str("Authenticate { token: (redacted) }"),
            Self::Password { user, .. } => {
                write!(f, "Authenticate {{ user: {user:?}, password: (redacted) }}")
            }
        }
    }
}

/// See [`ClientMessage::Accept`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptCall {
    /// The call it takes.
    pub call: CallName,
    /// The offer (RFC 8829).
    pub sdp: String,
}

/// See [`ClientMessage::Reject`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectCall {
    /// The call it refuses.
    pub call: CallName,
    /// Why; declined when absent.
    #[serde(default)]
    pub reason: RejectReason,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The user does not want it: none of his devices rings any longer.
    #[default]
    Declined,
    /// This device cannot take it: the others ring on.
    Busy,
}

/// See [`ClientMessage::Call`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceCall {
    /// The name the browser gives this call.
    pub call: CallName,
    /// Whom to call: a lab number, a telephone number, or a SIP URI.
    #[schemars(length(min = 1, max = 256))]
    pub to: String,
    /// The offer (RFC 8829).
    pub sdp: String,
    /// Headers that the telephone is to see; the trunk's `headers_from_browser` says which it takes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// See [`ClientMessage::Candidate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The call it belongs to.
    pub call: CallName,
    /// The `candidate:` line (RFC 8839 §5.1).
    pub candidate: String,
    /// The media section it belongs to (RFC 5888, `a=mid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
}

/// See [`ClientMessage::EndOfCandidates`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndOfCandidates {
    /// The call it belongs to.
    pub call: CallName,
}

/// See [`ClientMessage::Offer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reoffer {
    /// The call it belongs to.
    pub call: CallName,
    /// The new offer.
    pub sdp: String,
}

/// See [`ClientMessage::Hold`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldCall {
    /// The call it belongs to.
    pub call: CallName,
    /// Whether the telephone is on hold from now on.
    pub held: bool,
}

/// See [`ClientMessage::Transfer`]. It has either `to` or `with`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferCall {
    /// The call whose telephone it is.
    pub call: CallName,
    /// Whom the telephone is to speak with: a number, as for `call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub to: Option<String>,
    /// Another call of this session, whose telephone it is to speak with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<CallName>,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// Who is to do it has been asked.
    Trying,
    /// It rings at the one it is to.
    Ringing,
    /// The telephone's side has transferred: this side speaks with somebody else now. A transfer of this side's own ends
    /// the call here, with the cause `transferred`.
    Done,
    /// Nothing came of it: the call goes on as it was.
    Failed,
}

/// See [`ClientMessage::Dtmf`].
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendDtmf {
    /// The call it belongs to.
    pub call: CallName,
    /// `0`-`9`, `*`, `#`, `A`-`D`.
    #[schemars(regex(pattern = r"^[0-9A-Da-d*#]{1,32}$"))]
    pub digits: String,
    /// How long each lasts, in milliseconds: 40 to 6000; 160 when absent.
    #[serde(default = "default_digit_ms")]
    #[schemars(range(min = 40, max = 6000))]
    pub duration_ms: u32,
}

fn default_digit_ms() -> u32 {
    160
}

impl std::fmt::Debug for SendDtmf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SendDtmf {{ call: {:?}, digits: ({} redacted) }}",
            self.call,
            self.digits.len()
        )
    }
}

/// See [`ClientMessage::Hangup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hangup {
    /// The call to end.
    pub call: CallName,
}

/// What the gateway sends.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerMessage {
    /// The first message of a session.
    Welcome {
        /// The session's name in logs and records.
        session: String,
        /// The protocol's version: 1.
        version: u32,
        /// For the `iceServers` of an RTCPeerConnection: the gateway's own STUN and TURN, with credentials that serve for
        /// a while. Where calls need a sign-in, TURN follows with `authenticated`. Empty where `[turn]` is off; a call
        /// that gets through by UDP needs none.
        ice_servers: Vec<IceServer>,
        /// The lab numbers that can be dialled without a trunk.
        lab: Vec<LabNumber>,
        /// Whether other numbers reach a trunk.
        trunk: bool,
        /// Whether calls need a sign-in first.
        sign_in: bool,
    },
    /// The session is signed in.
    Authenticated {
        /// The user's name.
        user: String,
        /// What people see.
        display_name: String,
        /// The user's numbers; the first is what those he calls see.
        numbers: Vec<String>,
        /// The same list as in `welcome`, with this user's credentials: it takes the place of that one.
        #[serde(default)]
        ice_servers: Vec<IceServer>,
    },
    /// New credentials, before those of the last list are over: this one takes its place.
    IceServers {
        /// See `welcome`.
        ice_servers: Vec<IceServer>,
    },
    /// Who is there: everyone, after a sign-in, then whoever has changed. Only users of the settings file are told, and
    /// only of each other.
    Presence {
        /// These.
        people: Vec<Person>,
    },
    /// A call comes in: accept or reject it.
    Incoming {
        /// Its name in this session.
        call: CallName,
        /// The caller's number; null where it is withheld.
        from: Option<String>,
        /// The caller's name, where one is told.
        name: Option<String>,
        /// The number that was called.
        to: String,
        /// What the trunk's `headers_to_browser` lets through of the INVITE's headers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// Whether the number is the caller's (STIR), where the trunk's settings have that looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verification: Option<Verification>,
    },
    /// The answer to an offer.
    Answer {
        /// The call it belongs to.
        call: CallName,
        /// The answer (RFC 8829).
        sdp: String,
        /// True until the telephone has answered; the SDP itself stays as it is.
        provisional: bool,
    },
    /// The telephone rings.
    Ringing {
        /// The call it belongs to.
        call: CallName,
    },
    /// The telephone's side sends audio before it answers (RFC 3960).
    Early {
        /// The call it belongs to.
        call: CallName,
    },
    /// The telephone answered.
    Accepted {
        /// The call it belongs to.
        call: CallName,
    },
    /// The telephone pressed a key.
    Dtmf {
        /// The call it belongs to.
        call: CallName,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was held, in milliseconds.
        duration_ms: u32,
    },
    /// Who holds whom has changed.
    Hold {
        /// The call it belongs to.
        call: CallName,
        /// This side holds the telephone.
        here: bool,
        /// The telephone holds this side.
        there: bool,
    },
    /// The call is being transferred, or has been.
    Transfer {
        /// The call it belongs to.
        call: CallName,
        /// How far it is.
        state: TransferState,
        /// Whom this side speaks with now, as far as it is known.
        to: Option<String>,
        /// The name of that one, where there is one.
        name: Option<String>,
        /// The same for people.
        text: String,
    },
    /// One side does not hear the other, or does again; the call goes on.
    Audio {
        /// The call it belongs to.
        call: CallName,
        /// What is wrong, for programs; null when nothing is any more.
        trouble: Option<OneWay>,
        /// The same for people.
        text: String,
    },
    /// Which way this side's media goes, as soon as that is known, and again when it is another.
    Path {
        /// The call it belongs to.
        call: CallName,
        /// The way, for programs.
        via: Via,
        /// The same for people.
        text: String,
    },
    /// The call is over.
    Hangup {
        /// The call that ended.
        call: CallName,
        /// Why.
        cause: Cause,
    },
    /// A message could not be taken; the session lives on.
    Error {
        /// The call it was about, where one was named.
        call: Option<CallName>,
        /// What kind of mistake.
        code: ErrorCode,
        /// The field at fault, where one is known.
        field: Option<String>,
        /// The mistake in words.
        text: String,
    },
}

impl std::fmt::Debug for ServerMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Welcome { session, .. } => write!(f, "Welcome({session})"),
            Self::Authenticated { user, .. } => write!(f, "Authenticated({user})"),
            Self::IceServers { ice_servers } => write!(f, "IceServers({})", ice_servers.len()),
            Self::Presence { people } => write!(f, "Presence({} people)", people.len()),
            Self::Incoming { call, .. } => write!(f, "Incoming({})", call.0),
            Self::Answer { call, .. } => write!(f, "Answer({})", call.0),
            Self::Ringing { call } => write!(f, "Ringing({})", call.0),
            Self::Early { call } => write!(f, "Early({})", call.0),
            Self::Accepted { call } => write!(f, "Accepted({})", call.0),
            Self::Dtmf { call, .. } => write!(f, "Dtmf({}, redacted)", call.0),
            Self::Hold { call, here, there } => write!(f, "Hold({}, {here}, {there})", call.0),
            Self::Transfer { call, state, .. } => write!(f, "Transfer({}, {state:?})", call.0),
            Self::Audio { call, trouble, .. } => write!(f, "Audio({}, {trouble:?})", call.0),
            Self::Path { call, via, .. } => write!(f, "Path({}, {via:?})", call.0),
            Self::Hangup { call, cause } => write!(f, "Hangup({}, {:?})", call.0, cause.code),
            Self::Error { code, text, .. } => write!(f, "Error({code:?}, {text})"),
        }
    }
}

/// A user, as others see him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// His name, by which he is called.
    pub user: String,
    /// What people see.
    pub display_name: String,
    /// Whether he is there.
    pub presence: Presence,
}

/// Whether a user is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// He is signed in nowhere.
    Offline,
    /// He is signed in.
    Online,
    /// He is in a call, or called.
    InCall,
}

/// A number that the lab phone answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabNumber {
    /// What to dial.
    pub number: String,
    /// What it does.
    pub description: String,
}

/// What was wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or not an object with a `type`.
    BadJson,
    /// A `type` this version does not know.
    UnknownType,
    /// A field is missing, unknown, or of the wrong kind.
    BadField,
    /// No such call in this session.
    UnknownCall,
    /// A call of that name is up already.
    DuplicateCall,
    /// Right in form, but not in this state of the call.
    WrongState,
    /// Too much at once: wait and try again.
    TooMany,
    /// The session is not signed in, or not with what is right.
    Unauthorized,
    /// What it takes cannot be had at the moment, through no fault of the browser's: try again.
    Unavailable,
}

/// A message that could not be taken.
#[derive(Clone, Debug, PartialEq)]
pub struct BadMessage {
    /// The call it named, if that much could be read.
    pub call: Option<CallName>,
    /// What kind of mistake.
    pub code: ErrorCode,
    /// The field at fault.
    pub field: Option<String>,
    /// The mistake in words.
    pub text: String,
}

impl From<BadMessage> for ServerMessage {
    fn from(bad: BadMessage) -> Self {
        Self::Error {
            call: bad.call,
            code: bad.code,
            field: bad.field,
            text: bad.text,
        }
    }
}

impl ClientMessage {
    /// Reads one text message.
    ///
    /// # Errors
    /// [`BadMessage`] says which field was wrong and how; it is meant to be sent back.
    pub fn read(text: &str) -> Result<Self, BadMessage> {
        let mut object = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => object,
            Ok(_) => {
                return Err(BadMessage::new(
                    ErrorCode::BadJson,
                    None,
                    "a message is a JSON object",
                ));
            }
            Err(error) => return Err(BadMessage::new(ErrorCode::BadJson, None, error.to_string())),
        };
        let call = object
            .get("call")
            .and_then(Value::as_str)
            .and_then(|name| CallName::try_from(name.to_owned()).ok());
        let kind = match object.remove("type") {
            Some(Value::String(kind)) => kind,
            _ => {
                let text = "a message says what it is in \"type\"";
                return Err(BadMessage {
                    call,
                    ..BadMessage::new(ErrorCode::BadJson, Some("type"), text)
                });
            }
        };
        Self::from_fields(&kind, Value::Object(object)).map_err(|bad| BadMessage { call, ..bad })
    }

    fn from_fields(kind: &str, fields: Value) -> Result<Self, BadMessage> {
        let message = match kind {
            "authenticate" => {
                Self::Authenticate(read_fields(fields).map_err(|_: BadMessage| {
                    let text = "it has either \"token\", or \"user\" and \"password\", each text";
                    BadMessage::new(ErrorCode::BadField, None, text)
                })?)
            }
            "call" => Self::Call(read_fields(fields)?),
            "candidate" => Self::Candidate(read_fields(fields)?),
            "end_of_candidates" => Self::EndOfCandidates(read_fields(fields)?),
            "offer" => Self::Offer(read_fields(fields)?),
            "hold" => Self::Hold(read_fields(fields)?),
            "transfer" => Self::Transfer(read_fields(fields)?),
            "dtmf" => Self::Dtmf(read_fields(fields)?),
            "accept" => Self::Accept(read_fields(fields)?),
            "reject" => Self::Reject(read_fields(fields)?),
            "hangup" => Self::Hangup(read_fields(fields)?),
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(BadMessage::new(
                    ErrorCode::UnknownType,
                    Some("type"),
                    format!("{shown:?} is not a message of {SUBPROTOCOL}"),
                ));
            }
        };
        message.check()?;
        Ok(message)
    }

    /// Bounds that the types alone do not say.
    fn check(&self) -> Result<(), BadMessage> {
        let refuse =
            |field, text: &str| Err(BadMessage::new(ErrorCode::BadField, Some(field), text));
        match self {
            Self::Call(PlaceCall { call, .. }) if call.is_incoming() => {
                refuse("call", "names that begin with \"in-\" are the gateway's")
            }
            Self::Transfer(transfer) if transfer.to.is_some() == transfer.with.is_some() => {
                refuse("to", "a transfer has either \"to\" or \"with\"")
            }
            Self::Call(PlaceCall { to, .. })
            | Self::Transfer(TransferCall { to: Some(to), .. })
                if to.is_empty() || to.len() > 256 =>
            {
                refuse("to", "a number is 1 to 256 characters")
            }
            Self::Call(PlaceCall { to, .. })
            | Self::Transfer(TransferCall { to: Some(to), .. })
                if to.chars().any(char::is_control) =>
            {
                refuse("to", "a number has no control characters")
            }
            Self::Call(PlaceCall { headers, .. })
                if headers.len() > MAX_HEADERS
                    || headers.iter().any(|(name, value)| {
                        name.len() > 64 || value.len() > 256 || value.chars().any(char::is_control)
                    }) =>
            {
                refuse(
                    "headers",
                    "at most 16 headers of 256 characters, without control characters",
                )
            }
            Self::Authenticate(Authenticate::Password { user, .. })
                if !(1..=64).contains(&user.len()) =>
            {
                refuse("user", "a user's name is 1 to 64 characters")
            }
            Self::Authenticate(Authenticate::Password { password, .. })
                if password.len() > 1024 =>
            {
                refuse("password", "a password is at most 1024 characters")
            }
            Self::Call(PlaceCall { sdp, .. })
            | Self::Offer(Reoffer { sdp, .. })
            | Self::Accept(AcceptCall { sdp, .. })
                if sdp.len() > MAX_SDP =>
            {
                refuse("sdp", "an SDP is at most 64 KiB")
            }
            Self::Candidate(Candidate { candidate, .. }) if candidate.len() > 1024 => {
                refuse("candidate", "a candidate is at most 1024 bytes")
            }
            Self::Dtmf(SendDtmf { digits, .. })
                if digits.is_empty()
                    || digits.len() > 32
                    || !digits.bytes().all(
                        |b| matches!(b, b'0'..=b'9' | b'A'..=b'D' | b'a'..=b'd' | b'*' | b'#'),
                    ) =>
            {
                refuse("digits", "1 to 32 of 0-9, A-D, * and #")
            }
            Self::Dtmf(SendDtmf { duration_ms, .. }) if !(40..=6000).contains(duration_ms) => {
                refuse("duration_ms", "a digit lasts 40 to 6000 ms")
            }
            _ => Ok(()),
        }
    }

    /// Refuses a call for this device alone.
    pub(crate) fn busy(call: CallName) -> Self {
        let reason = RejectReason::Busy;
        Self::Reject(RejectCall { call, reason })
    }

    /// The call it is about; none for a message about the session.
    pub fn call(&self) -> Option<&CallName> {
        match self {
            Self::Authenticate(_) => None,
            Self::Call(m) => Some(&m.call),
            Self::Candidate(m) => Some(&m.call),
            Self::EndOfCandidates(m) => Some(&m.call),
            Self::Offer(m) => Some(&m.call),
            Self::Hold(m) => Some(&m.call),
            Self::Transfer(m) => Some(&m.call),
            Self::Dtmf(m) => Some(&m.call),
            Self::Accept(m) => Some(&m.call),
            Self::Reject(m) => Some(&m.call),
            Self::Hangup(m) => Some(&m.call),
        }
    }
}

impl BadMessage {
    fn new(code: ErrorCode, field: Option<&str>, text: impl Into<String>) -> Self {
        Self {
            call: None,
            code,
            field: field.map(str::to_owned),
            text: text.into(),
        }
    }
}

fn read_fields<T: serde::de::DeserializeOwned>(fields: Value) -> Result<T, BadMessage> {
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let text = error.inner().to_string();
        let path = error.path().to_string();
        // A missing or unknown field is named in the text alone; a wrong value by its path.
        let field = if path == "." {
            text.split('`').nth(1).map(str::to_owned)
        } else {
            Some(path)
        };
        BadMessage {
            call: None,
            code: ErrorCode::BadField,
            field,
            text,
        }
    })
}

/// The protocol as JSON Schema: `client` and `server` messages.
pub fn schema() -> Value {
    let mut generator = schemars::SchemaGenerator::default();
    let client = generator.subschema_for::<ClientMessage>();
    let server = generator.subschema_for::<ServerMessage>();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SUBPROTOCOL,
        "description": "Signalling between a browser and Switchhook: one JSON object a WebSocket text message.",
        "oneOf": [
            { "title": "from the browser", "allOf": [client] },
            { "title": "from the gateway", "allOf": [server] }
        ],
        "$defs": generator.definitions(),
    })
}

#[cfg(test)]
mod tests;
