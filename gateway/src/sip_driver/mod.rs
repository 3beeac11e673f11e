//! The sockets of a SIP endpoint: one task owns the sans-IO [`sip::endpoint::Endpoint`], its UDP
//! socket and its TCP and TLS connections, and carries events to whoever owns the call.

mod connection;
pub mod dns;
mod driver;
pub mod registration;
mod tls;
mod undelivered;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sip::endpoint::{
    Account, AccountConfig, EndpointConfig, Event, Flow, Invite, Register, Transport,
};
use sip::{DtmfInfo, Host, ReasonHeader, Request, StatusCode, Uri};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use dns::Dns;
use registration::NotRegistered;
use tls::{Names, Tls};

use crate::settings::SipTls;

/// How many events of one leg may wait for its owner. One that leaves this many unread is taken for
/// dead, and its leg is ended.
pub const LEG_QUEUE: usize = 32;

/// How many commands may wait for the driver; senders wait when there are more.
const COMMAND_QUEUE: usize = 1024;

/// How many calls to us may wait to be taken; more are refused with 503.
const INCOMING_QUEUE: usize = 64;

/// A call leg's name between its owner and the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leg(u64);

#[cfg(test)]
impl Leg {
    /// One that no driver has.
    pub(crate) fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// What happens to a leg.
#[derive(Clone, Debug)]
pub enum LegEvent {
    /// The endpoint says so.
    Sip(Box<Event>),
    /// The INVITE could not be made; the leg is gone.
    NotSent(sip::endpoint::Error),
}

/// Whom a telephone is asked to call instead.
#[derive(Clone, Debug, PartialEq)]
pub enum ReferTarget {
    /// That URI.
    To(Uri),
    /// The other side of that leg, in our place.
    Leg(Leg),
}

/// A call for us.
#[derive(Debug)]
pub struct IncomingCall {
    /// Its name.
    pub leg: Leg,
    /// The INVITE.
    pub request: Request,
    /// Where it came from.
    pub flow: Flow,
    /// The leg that it is to take the place of (RFC 3891).
    pub replaces: Option<Leg>,
    /// What happens to it from now on.
    pub events: mpsc::Receiver<LegEvent>,
}

/// What a driver can be told.
#[derive(Debug)]
enum Command {
    Invite(Leg, Box<Invite>, mpsc::Sender<LegEvent>),
    Cancel(Leg, ReasonHeader),
    Bye(Leg, ReasonHeader),
    Ring(Leg, StatusCode, Option<Vec<u8>>),
    Accept(Leg, Vec<u8>),
    Reject(Leg, StatusCode, Option<ReasonHeader>),
    Offer(Leg, Vec<u8>),
    AnswerOffer(Leg, Result<Vec<u8>, StatusCode>),
    Info(Leg, DtmfInfo),
    Refer(Leg, ReferTarget),
    AnswerRefer(Leg, StatusCode),
    Notify(Leg, StatusCode),
    AddAccount(AccountConfig, oneshot::Sender<Account>),
    Register(
        Account,
        Box<Register>,
        oneshot::Sender<Result<Duration, NotRegistered>>,
    ),
    Probe(Uri, Flow, oneshot::Sender<Option<StatusCode>>),
    /// Answered with whether the way there is still as it was.
    KeepAlive(Flow, oneshot::Sender<bool>),
    /// New calls are refused from now on; answered when no call is left.
    Drain(oneshot::Sender<()>),
}

/// A running endpoint. Clones talk to the same one; it ends when the last is dropped.
#[derive(Clone, Debug)]
pub struct SipHandle {
    commands: mpsc::Sender<Command>,
    next: Arc<AtomicU64>,
    local: SocketAddr,
    local_tls: Option<SocketAddr>,
    names: Names,
    dns: Arc<Dns>,
}

/// Binds `listen` for UDP and TCP and starts the endpoint. `external` goes into Via and Contact
/// instead of the bound address's IP (1:1 NAT). Calls to us arrive on the receiver; where it is
/// dropped, they are refused with 404.
///
/// # Errors
/// The address cannot be bound, for UDP or for TCP; the message says which.
pub async fn spawn(
    listen: SocketAddr,
    external: Option<std::net::IpAddr>,
    tls: &SipTls,
    configure: impl FnOnce(EndpointConfig) -> EndpointConfig,
) -> std::io::Result<(SipHandle, mpsc::Receiver<IncomingCall>)> {
    let (udp, tcp) = bind_both(listen).await?;
    undelivered::ask_for(&udp)?;
    let local = udp.local_addr()?;
    let advertised = SocketAddr::new(external.unwrap_or(local.ip()), local.port());
    let mut config = configure(EndpointConfig::new(advertised, rand::random()));
    let names = Names::default();
    let tls_listener = match tls.listen {
        Some(listen) => Some(TcpListener::bind(listen).await.map_err(|error| {
            std::io::Error::new(error.kind(), format!("SIP over TLS on {listen}: {error}"))
        })?),
        None => None,
    };
    if let Some(listener) = &tls_listener {
        let local = listener.local_addr()?;
        config.local_tls = Some(SocketAddr::new(
            external.unwrap_or(local.ip()),
            local.port(),
        ));
    }
    let local_tls = tls_listener
        .as_ref()
        .map(TcpListener::local_addr)
        .transpose()?;
    let tls = Tls::new(tls, names.clone())?;
    let (commands, inbox) = mpsc::channel(COMMAND_QUEUE);
    let (incoming, calls) = mpsc::channel(INCOMING_QUEUE);
    let next = Arc::new(AtomicU64::new(1));
    tokio::spawn(
        driver::Driver::new(
            (config, reachable(local)),
            udp,
            (tcp, tls_listener),
            tls,
            inbox,
            incoming,
            Arc::clone(&next),
        )
        .run(),
    );
    Ok((
        SipHandle {
            commands,
            next,
            local,
            local_tls,
            names,
            dns: Arc::default(),
        },
        calls,
    ))
}

/// An address of this machine's own for one that means any.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Both transports on one port; with port 0, on one that is free for both.
async fn bind_both(listen: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let name = |transport: &'static str| {
        move |error: std::io::Error| {
            std::io::Error::new(
                error.kind(),
                format!("SIP over {transport} on {listen}: {error}"),
            )
        }
    };
    let mut last = None;
    for _ in 0..if listen.port() == 0 { 16 } else { 1 } {
        let udp = UdpSocket::bind(listen).await.map_err(name("UDP"))?;
        match TcpListener::bind(udp.local_addr()?)
            .await
            .map_err(name("TCP"))
        {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

impl SipHandle {
    /// The bound address, the same for UDP and TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The bound address for TLS.
    pub fn local_tls(&self) -> Option<SocketAddr> {
        self.local_tls
    }

    /// The same, which asks these about names; without, names have addresses alone, as the system knows them.
    pub fn with_dns(self, dns: Arc<Dns>) -> Self {
        Self { dns, ..self }
    }

    /// Every address that a URI leads to.
    ///
    /// # Errors
    /// Why that is not known, in words.
    pub async fn addresses(&self, uri: &Uri) -> Result<Vec<IpAddr>, String> {
        let flows = self.dns.resolve(uri).await?;
        Ok(flows.into_iter().map(|flow| flow.remote.ip()).collect())
    }

    /// Where a next hop is: at least one place, the best first.
    ///
    /// # Errors
    /// Why that is not known, in words.
    pub async fn resolve(&self, next_hop: &Uri) -> Result<Vec<Flow>, String> {
        let mut flows = self.dns.resolve(next_hop).await?;
        // What our socket cannot reach need not be tried, unless there is nothing else.
        let reachable = |flow: &Flow| flow.remote.is_ipv4() == self.local.is_ipv4();
        if flows.iter().any(reachable) {
            flows.retain(reachable);
        }
        if let Host::Name(name) = &next_hop.host {
            let by_tls = flows.iter().filter(|flow| flow.transport == Transport::Tls);
            let addresses: Vec<_> = by_tls.map(|flow| flow.remote).collect();
            self.names.learn(name.as_str(), &addresses);
        }
        Ok(flows)
    }

    /// Asks by OPTIONS whether somebody is there, and says what came back; none where nothing did.
    pub async fn probe(&self, uri: Uri, target: Flow) -> Option<StatusCode> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Probe(uri, target, done)).await;
        answer.await.ok().flatten()
    }

    /// Sends an INVITE. Everything that comes of it arrives on the receiver.
    pub async fn invite(&self, invite: Invite) -> (Leg, mpsc::Receiver<LegEvent>) {
        let leg = Leg(self.next.fetch_add(1, Ordering::Relaxed));
        let (events, receiver) = mpsc::channel(LEG_QUEUE);
        self.command(Command::Invite(leg, Box::new(invite), events))
            .await;
        (leg, receiver)
    }

    /// Gives up a call that is not answered; one that was answered meanwhile is hung up.
    pub async fn cancel(&self, leg: Leg, reason: ReasonHeader) {
        self.command(Command::Cancel(leg, reason)).await;
    }

    /// Hangs up.
    pub async fn bye(&self, leg: Leg, reason: ReasonHeader) {
        self.command(Command::Bye(leg, reason)).await;
    }

    /// Sends a provisional response to a call for us, with SDP for early media.
    pub async fn ring(&self, leg: Leg, status: StatusCode, body: Option<Vec<u8>>) {
        self.command(Command::Ring(leg, status, body)).await;
    }

    /// Answers a call for us.
    pub async fn accept(&self, leg: Leg, body: Vec<u8>) {
        self.command(Command::Accept(leg, body)).await;
    }

    /// Refuses a call for us.
    pub async fn reject(&self, leg: Leg, status: StatusCode, reason: Option<ReasonHeader>) {
        self.command(Command::Reject(leg, status, reason)).await;
    }

    /// Offers another session in a call that is up; what comes of it is an event.
    pub async fn offer(&self, leg: Leg, sdp: Vec<u8>) {
        self.command(Command::Offer(leg, sdp)).await;
    }

    /// Answers the session that the other side offers, or refuses it.
    pub async fn answer_offer(&self, leg: Leg, answer: Result<Vec<u8>, StatusCode>) {
        self.command(Command::AnswerOffer(leg, answer)).await;
    }

    /// Sends a key by INFO. One more than can wait is dropped.
    pub async fn info(&self, leg: Leg, key: DtmfInfo) {
        self.command(Command::Info(leg, key)).await;
    }

    /// Asks the other side to call somebody else instead; what comes of it is an event.
    pub async fn refer(&self, leg: Leg, whom: ReferTarget) {
        self.command(Command::Refer(leg, whom)).await;
    }

    /// Answers the other side's wish that we call somebody else.
    pub async fn answer_refer(&self, leg: Leg, status: StatusCode) {
        self.command(Command::AnswerRefer(leg, status)).await;
    }

    /// Says how far that is.
    pub async fn notify(&self, leg: Leg, status: StatusCode) {
        self.command(Command::Notify(leg, status)).await;
    }

    /// Adds an account with a registrar or proxy; none when the endpoint is gone.
    pub async fn add_account(&self, config: AccountConfig) -> Option<Account> {
        let (added, account) = oneshot::channel();
        self.command(Command::AddAccount(config, added)).await;
        account.await.ok()
    }

    /// Sends one REGISTER and says what came of it: for how long we are registered.
    ///
    /// # Errors
    /// [`NotRegistered`]: why we are not.
    pub async fn register(
        &self,
        account: Account,
        register: Register,
    ) -> Result<Duration, NotRegistered> {
        let (done, outcome) = oneshot::channel();
        self.command(Command::Register(account, Box::new(register), done))
            .await;
        outcome.await.unwrap_or_else(|_| {
            Err(NotRegistered {
                why: "another REGISTER took its place".to_owned(),
                retry_after: None,
                answered: false,
            })
        })
    }

    /// Says something there that means nothing, so that the way stays open (RFC 5626 §4.4). False where there is none any
    /// more: a connection is gone, or dead.
    pub async fn keep_alive(&self, flow: Flow) -> bool {
        let (done, kept) = oneshot::channel();
        self.command(Command::KeepAlive(flow, done)).await;
        kept.await.unwrap_or(false)
    }

    /// Refuses new calls from now on, and waits until every call is gone, or for `patience`.
    /// True when all are gone.
    pub async fn drain(&self, patience: Duration) -> bool {
        let (done, drained) = oneshot::channel();
        self.command(Command::Drain(done)).await;
        matches!(tokio::time::timeout(patience, drained).await, Ok(Ok(())))
    }

    async fn command(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::error!("the SIP endpoint is gone");
        }
    }
}
