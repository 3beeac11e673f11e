//! The task that owns an endpoint.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sip::StatusCode;
use sip::endpoint::{
    Account, Endpoint, EndpointConfig, Event, Failure, Flow, Probe, Referral, RegistrationEvent,
    Session, Transmit, Transport, TransportError,
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::connection::{Connections, Deadlines, FromConnection, Kept, PING};
use super::registration::NotRegistered;
use super::tls::Tls;
use super::undelivered;
use super::{Command, IncomingCall, LEG_QUEUE, Leg, LegEvent, ReferTarget};
use crate::call::cause::CauseCode;

/// The largest UDP payload.
const DATAGRAM: usize = 65_535;

/// Datagrams taken in one go before commands and timers get their turn.
const BATCH: usize = 32;

/// How long no connection is accepted after one could not be: UDP goes on meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Driver {
    endpoint: Endpoint,
    /// Where others find us, and where we are.
    advertised: SocketAddr,
    local: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    tls_listener: Option<TcpListener>,
    connections: Connections,
    from_connections: mpsc::Receiver<FromConnection>,
    commands: mpsc::Receiver<Command>,
    incoming: mpsc::Sender<IncomingCall>,
    next: Arc<AtomicU64>,
    sessions: HashMap<Leg, Session>,
    legs: HashMap<Session, (Leg, mpsc::Sender<LegEvent>)>,
    /// Who waits for the outcome of a REGISTER.
    registering: HashMap<Account, oneshot::Sender<Result<Duration, NotRegistered>>>,
    /// Who waits for the answer to an OPTIONS.
    probing: HashMap<Probe, oneshot::Sender<Option<StatusCode>>>,
    drained: Option<oneshot::Sender<()>>,
    /// When the next connection is accepted, after one could not be.
    accept_again: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        (config, local): (EndpointConfig, SocketAddr),
        udp: UdpSocket,
        (tcp, tls_listener): (TcpListener, Option<TcpListener>),
        tls: Tls,
        commands: mpsc::Receiver<Command>,
        incoming: mpsc::Sender<IncomingCall>,
        next: Arc<AtomicU64>,
    ) -> Self {
        let (connections, from_connections) = Connections::new(Deadlines::default(), tls);
        Self {
            advertised: config.local,
            local,
            endpoint: Endpoint::new(config),
            udp,
            tcp,
            tls_listener,
            connections,
            from_connections,
            commands,
            incoming,
            next,
            sessions: HashMap::new(),
            legs: HashMap::new(),
            registering: HashMap::new(),
            probing: HashMap::new(),
            drained: None,
            accept_again: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let deadline = self.endpoint.poll_timeout();
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let accept_again = self.accept_again;
            let pause = async {
                match accept_again {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.udp.recv_from(&mut datagram) => self.receive(received, &mut datagram),
                () = undelivered::noticed(&self.udp, deadline.is_some()) => self.handle_undelivered(),
                message = self.from_connections.recv() => if let Some(message) = message {
                    self.handle_connection(message);
                },
                accepted = self.tcp.accept(), if self.accept_again.is_none() => {
                    self.accept(accepted, Transport::Tcp);
                }
                accepted = accept(self.tls_listener.as_ref()), if self.accept_again.is_none() => {
                    self.accept(accepted, Transport::Tls);
                }
                () = pause => self.accept_again = None,
                command = self.commands.recv() => match command {
                    Some(command) => self.handle_command(command),
                    None => return,
                },
                () = timer => self.endpoint.handle_timeout(Instant::now()),
            }
            self.flush();
        }
    }

    fn accept(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>, transport: Transport) {
        match accepted {
            Ok((stream, remote)) => self.connections.accept(stream, Flow { transport, remote }),
            Err(error) => {
                // Out of file descriptors: let running connections end before the next try.
                tracing::warn!(%error, "SIP connections cannot be accepted");
                self.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
            }
        }
    }

    fn receive(&mut self, first: std::io::Result<(usize, SocketAddr)>, datagram: &mut [u8]) {
        let mut received = first;
        for _ in 0..BATCH {
            match received {
                Ok((len, remote)) => {
                    let flow = Flow {
                        transport: Transport::Udp,
                        remote,
                    };
                    self.endpoint
                        .handle_packet(Instant::now(), flow, &datagram[..len]);
                    self.flush();
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // An ICMP error of an earlier send; the error queue says which one.
                Err(_) => {}
            }
            received = self.udp.try_recv_from(datagram);
        }
    }

    /// Datagrams that came back as ICMP errors.
    fn handle_undelivered(&mut self) {
        while let Some(remote) = undelivered::next(&self.udp) {
            tracing::debug!(%remote, "SIP over UDP was not delivered");
            let flow = Flow {
                transport: Transport::Udp,
                remote,
            };
            self.endpoint
                .handle_transport_error(Instant::now(), flow, TransportError::Unreachable);
        }
    }

    fn handle_connection(&mut self, message: FromConnection) {
        let now = Instant::now();
        match message {
            FromConnection::Message(flow, message) => {
                self.endpoint.handle_message(now, flow, *message);
            }
            FromConnection::Ended(flow, serial, error) => {
                if self.connections.forget(flow, serial) {
                    self.endpoint.handle_transport_error(now, flow, error);
                }
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Invite(leg, invite, events) => match self.endpoint.invite(now, *invite) {
                Ok(session) => {
                    self.sessions.insert(leg, session);
                    self.legs.insert(session, (leg, events));
                }
                Err(error) => {
                    let _ = events.try_send(LegEvent::NotSent(error));
                }
            },
            Command::Cancel(leg, reason) => self.with(leg, |endpoint, session| {
                endpoint.cancel(now, session, Some(reason))
            }),
            Command::Bye(leg, reason) => self.with(leg, |endpoint, session| {
                endpoint.bye(now, session, Some(reason))
            }),
            Command::Ring(leg, status, body) => self.with(leg, |endpoint, session| {
                endpoint.ring(now, session, status, body)
            }),
            Command::Accept(leg, body) => {
                self.with(leg, |endpoint, session| endpoint.accept(now, session, body))
            }
            Command::Info(leg, key) => self.with(leg, |endpoint, session| {
                if let Err(error) = endpoint.info(now, session, key) {
                    tracing::warn!(%error, "a key cannot be sent by INFO");
                }
            }),
            Command::Reject(leg, status, reason) => {
                self.with(leg, |endpoint, session| {
                    endpoint.reject(now, session, status, reason);
                });
                // A rejected session is gone; no event follows.
                self.forget(leg);
            }
            Command::Offer(leg, sdp) => self.with(leg, |endpoint, session| {
                // A call that has ended meanwhile says so itself.
                let _ = endpoint.offer(now, session, sdp);
            }),
            Command::AnswerOffer(leg, answer) => self.with(leg, |endpoint, session| {
                endpoint.answer_offer(now, session, answer);
            }),
            Command::Refer(leg, whom) => self.refer(now, leg, whom),
            Command::AnswerRefer(leg, status) => self.with(leg, |endpoint, session| {
                endpoint.answer_refer(now, session, status);
            }),
            Command::Notify(leg, status) => self.with(leg, |endpoint, session| {
                endpoint.notify(now, session, status);
            }),
            Command::AddAccount(config, added) => {
                let _ = added.send(self.endpoint.add_account(config));
            }
            Command::Register(account, register, done) => {
                match self.endpoint.register(now, account, *register) {
                    Ok(()) => {
                        self.registering.insert(account, done);
                    }
                    Err(error) => {
                        let _ = done.send(Err(NotRegistered {
                            why: error.to_string(),
                            retry_after: None,
                            answered: false,
                        }));
                    }
                }
            }
            Command::Probe(uri, target, done) => {
                // One that cannot be sent is one that is not answered.
                if let Ok(probe) = self.endpoint.probe(now, &uri, target) {
                    self.probing.insert(probe, done);
                }
            }
            Command::KeepAlive(flow, done) => {
                let _ = done.send(self.keep_alive(now, flow));
            }
            Command::Drain(done) => {
                self.endpoint.set_accepting(false);
                self.drained = Some(done);
            }
        }
    }

    /// Whether the way there is still as it was.
    fn keep_alive(&mut self, now: Instant, flow: Flow) -> bool {
        let kept = match flow.transport {
            Transport::Udp => {
                let _ = self.udp.try_send_to(PING, flow.remote);
                Kept::Alive
            }
            Transport::Tcp | Transport::Tls => self.connections.keep_alive(now, flow),
        };
        if kept == Kept::Dead {
            tracing::warn!(remote = %flow.remote, "a SIP connection is dead, and given up");
            self.endpoint
                .handle_transport_error(now, flow, TransportError::Closed);
        }
        kept == Kept::Alive
    }

    /// One that cannot be sent is one that is not taken.
    fn refer(&mut self, now: Instant, leg: Leg, whom: ReferTarget) {
        let Some(session) = self.sessions.get(&leg).copied() else {
            return;
        };
        let referral = match whom {
            ReferTarget::To(uri) => Some(Referral::To(uri)),
            ReferTarget::Leg(other) => self.sessions.get(&other).copied().map(Referral::Call),
        };
        let sent = referral.map(|referral| self.endpoint.refer(now, session, &referral));
        if sent.is_none_or(|sent| sent.is_err()) {
            self.pass_on(Event::ReferAnswered {
                session,
                status: None,
            });
        }
    }

    fn with(&mut self, leg: Leg, act: impl FnOnce(&mut Endpoint, Session)) {
        if let Some(session) = self.sessions.get(&leg) {
            act(&mut self.endpoint, *session);
        }
    }

    fn forget(&mut self, leg: Leg) {
        if let Some(session) = self.sessions.remove(&leg) {
            self.legs.remove(&session);
        }
    }

    /// Sends what the endpoint has ready, and passes on what it noticed.
    fn flush(&mut self) {
        loop {
            while let Some(transmit) = self.endpoint.poll_transmit() {
                self.send(transmit);
            }
            let Some(event) = self.endpoint.poll_event() else {
                break;
            };
            self.pass_on(event);
        }
        while let Some(event) = self.endpoint.poll_registration_event() {
            let (account, outcome) = match event {
                RegistrationEvent::Registered { account, expires } => (account, Ok(expires)),
                RegistrationEvent::Failed { account, failure } => {
                    (account, Err(not_registered(&failure)))
                }
            };
            if let Some(done) = self.registering.remove(&account) {
                let _ = done.send(outcome);
            }
        }
        while let Some((probe, answer)) = self.endpoint.poll_probe_answer() {
            if let Some(done) = self.probing.remove(&probe) {
                let _ = done.send(answer);
            }
        }
        if self.drained.is_some() && self.endpoint.load().sessions == 0 {
            let _ = self.drained.take().map(|done| done.send(()));
        }
    }

    fn send(&mut self, transmit: Transmit) {
        let Transmit {
            mut flow,
            bytes,
            may_connect,
        } = transmit;
        // To ourselves, by the address that others know us by: no NAT need bring it back.
        if flow.remote == self.advertised {
            flow.remote = self.local;
        }
        match flow.transport {
            Transport::Udp => {
                let mut sent = self.udp.try_send_to(&bytes, flow.remote);
                if sent.as_ref().is_err_and(undelivered::is_of_an_earlier_one) {
                    sent = self.udp.try_send_to(&bytes, flow.remote);
                }
                if let Err(error) = sent {
                    // A full buffer is a lost packet: the transaction sends it again.
                    if error.kind() != std::io::ErrorKind::WouldBlock {
                        tracing::debug!(remote = %flow.remote, %error, "SIP over UDP could not be sent");
                        self.endpoint.handle_transport_error(
                            Instant::now(),
                            flow,
                            TransportError::Unreachable,
                        );
                    }
                }
            }
            Transport::Tcp | Transport::Tls => {
                if let Err(error) = self.connections.send(flow, bytes, may_connect) {
                    self.endpoint
                        .handle_transport_error(Instant::now(), flow, error);
                }
            }
        }
    }

    fn pass_on(&mut self, event: Event) {
        let session = event.session();
        if let Event::Incoming {
            request,
            flow,
            replaces,
            ..
        } = event
        {
            let replaces = replaces.and_then(|replaced| self.legs.get(&replaced));
            let replaces = replaces.map(|(leg, _)| *leg);
            return self.offer(session, request, flow, replaces);
        }
        let last = matches!(
            event,
            Event::Failed { .. } | Event::Ended { .. } | Event::Cancelled { .. }
        );
        let Some((leg, events)) = self.legs.get(&session) else {
            return;
        };
        let leg = *leg;
        match events.try_send(LegEvent::Sip(Box::new(event))) {
            Ok(()) => {}
            // Nobody owns this leg any more, or its owner is stuck: it must not stay up.
            Err(TrySendError::Closed(_) | TrySendError::Full(_)) if !last => {
                self.endpoint
                    .bye(Instant::now(), session, Some(CauseCode::Internal.reason()));
            }
            Err(_) => {}
        }
        if last {
            self.forget(leg);
        }
    }

    /// A call for us goes to whoever takes calls here.
    fn offer(
        &mut self,
        session: Session,
        request: sip::Request,
        flow: Flow,
        replaces: Option<Leg>,
    ) {
        let leg = Leg(self.next.fetch_add(1, Ordering::Relaxed));
        let (events, receiver) = mpsc::channel(LEG_QUEUE);
        let refused = match self.incoming.try_send(IncomingCall {
            leg,
            request,
            flow,
            replaces,
            events: receiver,
        }) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => StatusCode::new(503),
            Err(TrySendError::Closed(_)) => StatusCode::new(404),
        };
        match refused {
            None => {
                self.sessions.insert(leg, session);
                self.legs.insert(session, (leg, events));
            }
            Some(status) => self.endpoint.reject(Instant::now(), session, status, None),
        }
    }
}

/// The next connection of a listener that there may be.
async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Why a REGISTER came to nothing, in words.
fn not_registered(failure: &Failure) -> NotRegistered {
    let (why, retry_after) = match failure {
        Failure::Status {
            status,
            reason,
            retry_after,
            ..
        } => (format!("it says {} {reason}", status.code()), *retry_after),
        Failure::Unauthorized(why) => (why.to_string(), None),
        Failure::Transport(error) => (error.to_string(), None),
        Failure::Timeout | Failure::NoAnswer | Failure::Cancelled => {
            ("it does not answer".to_owned(), None)
        }
    };
    NotRegistered {
        why,
        retry_after,
        answered: matches!(failure, Failure::Status { .. } | Failure::Unauthorized(_)),
    }
}
