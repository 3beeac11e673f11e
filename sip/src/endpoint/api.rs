//! What an [`Endpoint`](super::Endpoint) takes and gives: configuration, flows, events, errors.

use std::{net::SocketAddr, time::Duration};

use thiserror::Error;

use crate::{
    digest::Unanswerable,
    dtmf::DtmfInfo,
    endpoint::Account,
    headers::{Headers, NameAddr, ReasonHeader, ReferTo, Replaces},
    message::{Request, Response},
    method::StatusCode,
    transaction::{Reliability, Timers},
    uri::{Scheme, Uri},
};

/// A transport SIP runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// One message a datagram.
    Udp,
    /// A stream of messages, framed by Content-Length.
    Tcp,
    /// The same over TLS.
    Tls,
}

impl Transport {
    /// The name in a Via header (RFC 3261 §20.42).
    pub fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// Its name in a URI's `transport` parameter (RFC 3261 §19.1.1); none for the one that goes without saying.
    pub fn param(self) -> Option<&'static str> {
        match self {
            Transport::Udp => None,
            Transport::Tcp => Some("tcp"),
            Transport::Tls => Some("tls"),
        }
    }

    /// The transport that a URI names, if we have it.
    pub fn of_uri(uri: &Uri) -> Option<Self> {
        let transport = match uri.params.get("transport") {
            Some(name) if name.eq_ignore_ascii_case("tls") => Transport::Tls,
            Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
            Some(name) if !name.eq_ignore_ascii_case("udp") => return None,
            _ => Transport::Udp,
        };
        match (&uri.scheme, transport) {
            // §26.2.2: whatever it runs over, TLS is on top.
            (Scheme::Sips, Transport::Tcp | Transport::Tls) => Some(Transport::Tls),
            (Scheme::Sips, Transport::Udp) => uri
                .params
                .get("transport")
                .is_none()
                .then_some(Transport::Tls),
            _ => Some(transport),
        }
    }

    /// The port where a URI names none (§18.1.1).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }

    /// Whether a transaction over it must retransmit.
    pub fn reliability(self) -> Reliability {
        match self {
            Transport::Udp => Reliability::Unreliable,
            Transport::Tcp | Transport::Tls => Reliability::Reliable,
        }
    }
}

/// Where bytes come from and go to: one of our listening sockets (UDP) or a connection (TCP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// The peer's address. For TCP and TLS the remote end of the connection.
    pub remote: SocketAddr,
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub flow: Flow,
    /// The whole message.
    pub bytes: Vec<u8>,
    /// TCP only: whether a connection may be opened for it. True for requests. False for responses, which go
    /// back on the connection the request came by; if that is gone they are dropped (CVE-2020-28327).
    pub may_connect: bool,
}

/// What the transport reports about a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransportError {
    /// TCP: no connection could be made (refused, unreachable, or too slow).
    #[error("the connection could not be made")]
    ConnectFailed,
    /// TCP: the connection ended.
    #[error("the connection was closed")]
    Closed,
    /// UDP: an ICMP error came back, or the send failed.
    #[error("the address is unreachable")]
    Unreachable,
}

/// The most an endpoint keeps. Whatever is over a limit is refused before any state is made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Server transactions begun by requests outside a dialog. A flood ends here with 503.
    /// Requests inside known dialogs may use a tenth more.
    pub server_transactions: usize,
    /// Client transactions; [`Error::Overloaded`] beyond.
    pub client_transactions: usize,
    /// Calls, in and out together. The last quarter is kept for our own: strangers who call cannot stop us calling.
    pub sessions: usize,
    /// Incoming calls that wait for our answer.
    pub ringing: usize,
    /// Early dialogs one INVITE may fork into; later forks are seen only by their 2xx.
    pub early_dialogs: usize,
    /// Stateless refusals a second while shedding; what comes beyond is dropped unanswered.
    pub refusals_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            server_transactions: 8_192,
            client_transactions: 8_192,
            sessions: 4_096,
            ringing: 1_024,
            early_dialogs: 8,
            refusals_per_second: 500,
        }
    }
}

/// How an endpoint is set up.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The address in our Via and Contact; UDP and TCP listen on the same port.
    pub local: SocketAddr,
    /// The same for TLS, if we listen by it.
    pub local_tls: Option<SocketAddr>,
    /// The name that stands for these addresses in Contact and From, where peers want one.
    pub name: Option<String>,
    /// The User-Agent and Server headers.
    pub user_agent: String,
    /// All randomness (tags, branches, Call-IDs) comes from this. It must be unpredictable and never used twice.
    pub seed: [u8; 32],
    /// T1, T2 and T4.
    pub timers: Timers,
    /// The bounds of memory.
    pub limits: Limits,
    /// How long an incoming call may go without a final answer from us before it is refused with 480.
    pub ring_limit: Duration,
    /// The Retry-After of our 503s, in seconds.
    pub retry_after: u32,
}

impl EndpointConfig {
    /// The defaults, at `local`, with this randomness.
    pub fn new(local: SocketAddr, seed: [u8; 32]) -> Self {
        Self {
            local,
            local_tls: None,
            name: None,
            user_agent: concat!("Switchhook/", env!("CARGO_PKG_VERSION")).to_owned(),
            seed,
            timers: Timers::default(),
            limits: Limits::default(),
            ring_limit: Duration::from_secs(300),
            retry_after: 10,
        }
    }
}

/// One call of an endpoint, as caller or as callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session(pub(crate) u64);

/// One of those that an INVITE of ours has reached: no other of the same call's has the same number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fork(pub u32);

/// A call to make.
#[derive(Debug, Clone)]
pub struct Invite {
    /// Whom to call: the Request-URI and To.
    pub to: Uri,
    /// The next hop. A request of more than 1300 bytes for UDP goes by TCP to the same address first (RFC 3261 §18.1.1).
    pub target: Flow,
    /// Who calls, with whose credentials: From is that account's identity. With none it is `from_user` here.
    pub account: Option<Account>,
    /// The user part of From and Contact.
    pub from_user: String,
    /// The display name of From.
    pub from_display: Option<String>,
    /// The SDP offer. An INVITE without one would need the answer in its ACK, which is sent at once: always offer.
    pub body: Vec<u8>,
    /// The call of theirs that it is to take the place of, or no call (RFC 3891).
    pub replaces: Option<Replaces>,
    /// More headers, as names and values. Those the endpoint writes itself are refused.
    pub headers: Vec<(String, String)>,
    /// How long to let it ring, from the first byte sent, before CANCEL and [`Failure::NoAnswer`].
    pub ring_timeout: Duration,
}

/// Why the endpoint would not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// A [`Limits`] value is reached.
    #[error("too many calls or transactions: limit {limit}")]
    Overloaded {
        /// The limit that is reached.
        limit: usize,
    },
    /// No such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// The call is not answered yet, or over.
    #[error("the call is not up")]
    NotUp,
    /// A header of [`Invite::headers`] belongs to the endpoint or cannot be printed.
    #[error("the header {name} cannot be set")]
    Header {
        /// The header's name.
        name: String,
    },
    /// [`Invite::from_user`] or [`Invite::to`] cannot be put into a SIP message.
    #[error("the address {value:?} is not usable in a SIP message")]
    Address {
        /// What was given.
        value: String,
    },
}

/// What happened, for the application.
// Handed over once and taken apart at once: a box would buy nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A provisional response to our INVITE. Repetitions of the same one are left out.
    Progress {
        /// The call.
        session: Session,
        /// 100 to 199. With 199 (RFC 6228) whose it is rings no more.
        status: StatusCode,
        /// Whose it is; none where there is no dialog with it.
        fork: Option<Fork>,
        /// The SDP, if it carries one that counts: what follows the answer does not (RFC 3261 §13.2.1).
        body: Option<Vec<u8>>,
    },
    /// A 2xx to our INVITE. The ACK is on its way.
    Answered {
        /// The call.
        session: Session,
        /// Whose it is; none where it said nothing before.
        fork: Option<Fork>,
        /// The SDP; none too where what that fork has agreed on since its answer counts.
        body: Option<Vec<u8>>,
    },
    /// Our INVITE came to nothing. The session is gone.
    Failed {
        /// The call.
        session: Session,
        /// Why.
        failure: Failure,
    },
    /// The call is over. The session is gone.
    Ended {
        /// The call.
        session: Session,
        /// The BYE's Reason header (RFC 3326), theirs or ours.
        reason: Option<ReasonHeader>,
        /// Who ended it.
        by: EndedBy,
    },
    /// A call for us: answer with `ring`, `accept` or `reject`. 100 Trying has been sent.
    Incoming {
        /// The call.
        session: Session,
        /// The INVITE.
        request: Request,
        /// Where it came from.
        flow: Flow,
        /// The call of ours that it is to take the place of (RFC 3891).
        replaces: Option<Session>,
    },
    /// The caller gave up before we answered (or [`EndpointConfig::ring_limit`] is over). The session is gone.
    Cancelled {
        /// The call.
        session: Session,
        /// The CANCEL's Reason header.
        reason: Option<ReasonHeader>,
    },
    /// The ACK to our 2xx came: the call is up on both sides, or, in one that is up, an offer of ours is answered.
    Confirmed {
        /// The call.
        session: Session,
        /// The ACK's SDP (the answer, when our 2xx carried the offer).
        body: Option<Vec<u8>>,
    },
    /// They offer to change the session: answer with [`Endpoint::answer_offer`](super::Endpoint::answer_offer).
    Offer {
        /// The call.
        session: Session,
        /// Whose it is, while nobody has answered.
        fork: Option<Fork>,
        /// Their offer; none where they want ours, and answer it in their ACK ([`Event::Confirmed`]).
        body: Option<Vec<u8>>,
    },
    /// They answered an offer of ours, the last: the session is changed. Answers to offers that another followed before they
    /// came are not told.
    OfferAnswered {
        /// The call.
        session: Session,
        /// What was offered.
        offer: Vec<u8>,
        /// Their answer.
        body: Option<Vec<u8>>,
    },
    /// They did not take an offer of ours: the session is as it was.
    OfferRefused {
        /// The call.
        session: Session,
        /// What was offered.
        offer: Vec<u8>,
        /// Their answer; none when there was none.
        status: Option<StatusCode>,
    },
    /// A key came by INFO. It has been answered.
    Info {
        /// The call.
        session: Session,
        /// The key.
        key: DtmfInfo,
    },
    /// They ask us to call somebody else instead (RFC 3515): answer with `answer_refer`.
    Referred {
        /// The call.
        session: Session,
        /// Whom.
        to: ReferTo,
    },
    /// What they said to a [`Endpoint::refer`](super::Endpoint::refer).
    ReferAnswered {
        /// The call.
        session: Session,
        /// Their answer; none when there was none. With a 2xx they are at it.
        status: Option<StatusCode>,
    },
    /// How far they are with it.
    ReferProgress {
        /// The call.
        session: Session,
        /// What the one they call has said.
        status: StatusCode,
        /// They say no more.
        last: bool,
    },
    /// An INFO of ours was not taken.
    InfoFailed {
        /// The call.
        session: Session,
        /// Their answer; none when there was none.
        status: Option<StatusCode>,
    },
}

impl Event {
    /// The call it is about.
    pub fn session(&self) -> Session {
        match self {
            Event::Progress { session, .. }
            | Event::Answered { session, .. }
            | Event::Failed { session, .. }
            | Event::Ended { session, .. }
            | Event::Incoming { session, .. }
            | Event::Cancelled { session, .. }
            | Event::Offer { session, .. }
            | Event::OfferAnswered { session, .. }
            | Event::OfferRefused { session, .. }
            | Event::Referred { session, .. }
            | Event::ReferAnswered { session, .. }
            | Event::ReferProgress { session, .. }
            | Event::Info { session, .. }
            | Event::InfoFailed { session, .. }
            | Event::Confirmed { session, .. } => *session,
        }
    }
}

/// Why an INVITE or a REGISTER of ours failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// A final response of 300 to 699.
    Status {
        /// The status.
        status: StatusCode,
        /// The reason phrase.
        reason: String,
        /// The Reason header, where a Q.850 cause travels (RFC 3326, RFC 6432).
        reason_header: Option<ReasonHeader>,
        /// The Retry-After header, in seconds.
        retry_after: Option<u32>,
        /// Where a 3xx says to go instead, the best first (RFC 3261 §8.1.3.4).
        contacts: Vec<Uri>,
    },
    /// It asked for credentials, and got none or not the right ones.
    Unauthorized(Unanswerable),
    /// It rang for [`Invite::ring_timeout`] and nobody answered.
    NoAnswer,
    /// Nothing at all came back for 64·T1 (timer B).
    Timeout,
    /// The transport failed.
    Transport(TransportError),
    /// `cancel` was called.
    Cancelled,
}

impl Failure {
    /// A final response.
    pub(super) fn of_response(response: &Response) -> Self {
        Failure::Status {
            status: response.status,
            reason: response.reason.clone(),
            reason_header: response.headers.reason(),
            retry_after: response.headers.retry_after(),
            contacts: match response.status.code() {
                300..=399 => contacts(&response.headers),
                _ => Vec::new(),
            },
        }
    }
}

/// The most contacts of a redirection that are looked at.
const MAX_CONTACTS: usize = 8;

/// The `sip:` URIs of Contact, by their q (§20.10).
fn contacts(headers: &Headers) -> Vec<Uri> {
    let mut contacts = headers.contacts().unwrap_or_default();
    contacts.truncate(MAX_CONTACTS);
    let preference = |contact: &NameAddr| {
        let q = contact.params.get("q").and_then(|q| q.parse::<f32>().ok());
        q.unwrap_or(1.0).clamp(0.0, 1.0)
    };
    contacts.sort_by(|one, other| preference(other).total_cmp(&preference(one)));
    contacts.into_iter().map(|contact| contact.uri).collect()
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// They sent BYE.
    Remote,
    /// We sent BYE and it was answered.
    Local,
    /// They no longer answer: no ACK for 64·T1, or no answer to our BYE.
    Timeout,
}
