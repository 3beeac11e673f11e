//! The loop of one worker.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use media::{Leg, StreamStart};
use mio::{Events, Interest, Poll, Token, Waker};
use peer::Path;
use tokio::sync::mpsc;

use super::browsers::BrowserSockets;
use super::call::{CallSettings, MediaCall};
use super::calls::Calls;
use super::command::{MediaCommand, MediaEvent, OpenCall, OpenError};
use super::inbox::{BATCH, Inbox};
use super::pace::{Effort, Pace};
use super::ports::PortPool;
use super::relay::{Relay, RelayPort, Shared};
use super::sockets::{browser_socket, call_socket};
use super::streams::MAX_MESSAGE;
use super::telephone::TrunkSockets;
use super::{Colleagues, WorkerSettings, share_of_ports};
use crate::call::CallId;

/// How many datagrams of a telephone are taken before the others get their turn; of browsers, which share a socket, it
/// is [`BATCH`].
const TRUNK_BATCH: usize = 4;

const WAKER: Token = Token(usize::MAX);

/// The first tokens of TURN's sockets, of browsers' connections, and of relayed addresses; what is below is browsers' and
/// calls'.
const RELAYS: usize = 1 << 40;
pub(super) const STREAMS: usize = 1 << 41;
pub(super) const RELAYED: usize = 1 << 42;

/// How many commands are taken before sockets and timers get their turn.
const COMMANDS: usize = 256;

/// The sockets of a call's telephones: two each.
const SOCKETS: usize = 4;

/// A worker before and while it runs.
pub(super) struct WorkerThread {
    pub(super) poll: Poll,
    waker: Arc<Waker>,
    inbox: Receiver<MediaCommand>,
    /// Relayed datagrams among what waits there.
    datagrams: Arc<AtomicUsize>,
    pub(super) browsers: BrowserSockets,
    ports: PortPool,
    rtp_address: IpAddr,
    rtp_external: Option<IpAddr>,
    settings: CallSettings,
    pub(super) calls: Calls,
    /// When it is looked for connections that nobody uses, while there are any.
    pub(super) look_at_streams: Option<Instant>,
    count: Arc<AtomicUsize>,
    max_complexity: u8,
}

/// What one worker's loop works with from turn to turn.
pub(super) struct Turns {
    events: Events,
    pub(super) inbox: Inbox,
    /// A message of a connection.
    pub(super) message: Box<[u8; MAX_MESSAGE]>,
    /// Sockets whose datagrams did not fit in one batch, in the turn before and in this one.
    again: Vec<Token>,
    pub(super) unread: Vec<Token>,
    pace: Pace,
    effort: Effort,
    /// Datagrams taken in this turn.
    pub(super) taken: usize,
}

impl WorkerThread {
    pub(super) fn bind(
        settings: &WorkerSettings,
        index: usize,
        inbox: Receiver<MediaCommand>,
        count: Arc<AtomicUsize>,
    ) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut browsers = Vec::new();
        let offset = u16::try_from(index).unwrap_or(u16::MAX);
        let mut port = if settings.port == 0 {
            0
        } else {
            settings.port.saturating_add(offset)
        };
        for (n, ip) in settings.listen.iter().enumerate() {
            let address = SocketAddr::new(*ip, port);
            let mut socket = browser_socket(address).map_err(|error| {
                std::io::Error::new(error.kind(), format!("UDP {address} for browsers: {error}"))
            })?;
            let local = socket.local_addr()?;
            // A free port is chosen once; the worker's other addresses share it.
            port = local.port();
            poll.registry()
                .register(&mut socket, Token(n), Interest::READABLE)?;
            browsers.push((local, socket));
        }
        let (start, pairs) = share_of_ports(&settings.rtp_ports, settings.workers, index);
        Ok(Self {
            poll,
            waker,
            inbox,
            datagrams: Arc::default(),
            browsers: BrowserSockets::new(index, browsers),
            ports: PortPool::new(start, pairs, settings.port_rest),
            rtp_address: settings.rtp_address,
            rtp_external: settings.rtp_external,
            settings: CallSettings {
                identity: Arc::clone(&settings.identity),
                silence: settings.timeout,
                consent: settings.consent_timeout,
                opus: settings.opus,
                dtx: settings.dtx,
            },
            calls: Calls::default(),
            look_at_streams: None,
            count,
            max_complexity: settings.max_complexity,
        })
    }

    pub(super) fn datagrams(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.datagrams)
    }

    pub(super) fn local_addresses(&self) -> Vec<SocketAddr> {
        self.browsers
            .sockets
            .iter()
            .map(|(address, _)| *address)
            .collect()
    }

    /// Serves TURN on that port, beside all these workers.
    pub(super) fn relay(
        &mut self,
        settings: &WorkerSettings,
        port: Option<RelayPort>,
        shared: Shared<'_>,
        colleagues: Colleagues,
    ) -> std::io::Result<()> {
        self.browsers.colleagues = colleagues;
        let (Some(port), Some(relay)) = (port, &settings.relay) else {
            return Ok(());
        };
        let place = (self.browsers.number, settings.workers);
        let relay = Relay::new(relay, place, port, shared, rand::random());
        let mut relay = relay.map_err(std::io::Error::other)?;
        relay.register(self.poll.registry(), RELAYS)?;
        self.browsers.relay.replace(Some(relay));
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Runs until [`MediaCommand::Stop`].
    pub(super) fn run(mut self) {
        let mut turns = self.turns();
        loop {
            match self.turn(&mut turns) {
                Ok(Some(rest)) if !rest.is_zero() => std::thread::sleep(rest),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "a media worker cannot wait for its sockets");
                    return;
                }
            }
        }
    }

    /// What [`WorkerThread::turn`] needs; it allocates here and not later.
    pub(super) fn turns(&self) -> Turns {
        let now = Instant::now();
        Turns {
            events: Events::with_capacity(1024),
            inbox: Inbox::new(),
            message: Box::new([0; MAX_MESSAGE]),
            again: Vec::with_capacity(1024),
            unread: Vec::with_capacity(1024),
            pace: Pace::new(now),
            effort: Effort::new(now, self.settings.opus.complexity, self.max_complexity),
            taken: 0,
        }
    }

    /// Waits for something to do and does it. Says how long to rest before the next turn, so that more comes together
    /// when there is much; none when the worker is to end.
    pub(super) fn turn(&mut self, turns: &mut Turns) -> std::io::Result<Option<Duration>> {
        let wait = if turns.unread.is_empty() {
            let calls = self.calls.schedule.next();
            let next = calls.into_iter().chain(self.relay_timeout()).min();
            next.map(|deadline| deadline.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        if let Err(error) = self.poll.poll(&mut turns.events, wait)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        let began = Instant::now();
        turns.taken = 0;
        let Some(more_commands) = self.take_commands(turns) else {
            return Ok(None);
        };
        std::mem::swap(&mut turns.unread, &mut turns.again);
        while let Some(token) = turns.again.pop() {
            self.read(token, turns);
        }
        // A socket may come up here again: then there is nothing more to take.
        let events = std::mem::replace(&mut turns.events, Events::with_capacity(0));
        for event in &events {
            self.read(event.token(), turns);
        }
        turns.events = events;
        if more_commands {
            turns.unread.push(WAKER);
        }
        self.handle_timeouts();
        let now = Instant::now();
        if let Some(complexity) = turns.effort.turn(now, now - began) {
            self.settings.opus.complexity = complexity;
            let calls = self.calls.iter_mut();
            calls.for_each(|call| call.set_opus_complexity(complexity));
        }
        let rest = turns.pace.rest(began, now, turns.taken);
        Ok(Some(match turns.unread.is_empty() {
            true => rest,
            false => Duration::ZERO,
        }))
    }

    fn read(&mut self, token: Token, turns: &mut Turns) {
        let more = match self.browsers.sockets.len() {
            // Commands are taken at the beginning of every turn.
            _ if token == WAKER => false,
            _ if token.0 >= RELAYED => self.read_relayed(token.0 - RELAYED, turns),
            _ if token.0 >= STREAMS => self.read_stream(token.0 - STREAMS, turns),
            _ if token.0 >= RELAYS => self.read_relay(token.0 - RELAYS, turns),
            browsers if token.0 < browsers => self.read_browsers(token.0, turns),
            browsers => {
                let n = token.0 - browsers;
                let leg = if n & 2 == 0 { Leg::Trunk } else { Leg::Browser };
                self.read_telephone(n / SOCKETS, (leg, n & 1 == 1), turns)
            }
        };
        if more {
            turns.unread.push(token);
        }
    }

    /// Takes a batch of datagrams from browsers; true when there may be more.
    fn read_browsers(&mut self, index: usize, turns: &mut Turns) -> bool {
        let Some((local, socket)) = self.browsers.sockets.get(index) else {
            return false;
        };
        let local = *local;
        let taken = match turns.inbox.take::<BATCH>(socket, local.is_ipv6()) {
            Ok(taken) => taken,
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        };
        turns.taken += taken;
        for number in 0..taken {
            let (packet, remote) = turns.inbox.get(number);
            self.deliver(Path::udp(local, remote), packet);
        }
        taken == BATCH
    }

    /// Takes a batch of datagrams from a call's telephone; true when there may be more.
    fn read_telephone(&mut self, slot: usize, (leg, rtcp): (Leg, bool), turns: &mut Turns) -> bool {
        let sockets = self.calls.get(slot).and_then(|call| call.sockets(leg));
        let Some(sockets) = sockets else {
            return false;
        };
        let socket = if rtcp { &sockets.rtcp } else { &sockets.rtp };
        let is_ipv6 = self.rtp_address.is_ipv6();
        let taken = match turns.inbox.take::<TRUNK_BATCH>(socket, is_ipv6) {
            Ok(taken) => taken,
            // ICMP unreachable shows up as an error of the next receive; what waits behind it is taken in the next turn.
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        };
        turns.taken += taken;
        for number in 0..taken {
            let (packet, from) = turns.inbox.get(number);
            let now = Instant::now();
            self.with_call(now, slot, |call, browsers| {
                call.handle_telephone(now, (leg, rtcp), from, packet, browsers);
            });
        }
        taken == TRUNK_BATCH
    }

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        if self.relay_timeout().is_some_and(|at| at <= now) {
            self.handle_relay_timeout(now);
        }
        while let Some(slot) = self.calls.schedule.pop_due(now) {
            let due = self
                .calls
                .get(slot)
                .and_then(|call| call.poll_timeout())
                .is_some_and(|at| at <= now);
            if due {
                self.with_call(now, slot, |call, browsers| {
                    call.handle_timeout(now, browsers)
                });
            } else {
                self.calls.reschedule(slot);
            }
        }
    }

    /// Takes waiting commands; true when there may be more, none when the worker is to end.
    fn take_commands(&mut self, turns: &mut Turns) -> Option<bool> {
        for _ in 0..COMMANDS {
            let command = match self.inbox.try_recv() {
                Ok(command) => command,
                Err(std::sync::mpsc::TryRecvError::Empty) => return Some(false),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.stop();
                    return None;
                }
            };
            let now = Instant::now();
            match command {
                MediaCommand::Open(open, events) => self.open(now, &open, events),
                MediaCommand::AddTelephone(id, start) => {
                    if let Some(slot) = self.calls.by_id(id) {
                        self.add_telephone(now, slot, start);
                    }
                }
                MediaCommand::Bridge(id, leg, media) => self.command(now, id, |call, browsers| {
                    call.bridge(now, leg, *media, browsers);
                }),
                MediaCommand::Answered(id) => self.command(now, id, |call, _| call.answered(now)),
                MediaCommand::Dtmf(id, to, digit, duration) => {
                    self.command(now, id, |call, browsers| {
                        call.send_digit(now, to, digit, duration, browsers)
                    });
                }
                MediaCommand::RestartIce(id, local, remote) => {
                    if let Some(slot) = self.calls.by_id(id) {
                        self.calls.learn_ufrag(local.ufrag.clone(), slot);
                    }
                    self.command(now, id, |call, _| call.restart_ice(now, local, remote));
                }
                MediaCommand::Close(id) => {
                    if let Some(slot) = self.calls.by_id(id) {
                        self.close(now, slot);
                    }
                }
                MediaCommand::TakeStream(incoming) => self.take_stream(*incoming, turns),
                MediaCommand::FromRelay(path, mut packet) => {
                    self.datagrams.fetch_sub(1, Ordering::Relaxed);
                    self.deliver(path, &mut packet);
                }
                MediaCommand::ToRelay(path, packet) => {
                    self.datagrams.fetch_sub(1, Ordering::Relaxed);
                    self.browsers.relay_to_client(path, &packet);
                }
                MediaCommand::Sabotage(id) => {
                    self.command(now, id, |call, _| call.sabotaged = true)
                }
                #[cfg(test)]
                MediaCommand::SabotageWorker => panic!("sabotaged"),
                MediaCommand::Stop => {
                    self.stop();
                    return None;
                }
            }
        }
        Some(true)
    }

    fn command(
        &mut self,
        now: Instant,
        id: CallId,
        act: impl FnOnce(&mut MediaCall, &BrowserSockets),
    ) {
        if let Some(slot) = self.calls.by_id(id) {
            self.with_call(now, slot, act);
        }
    }

    fn stop(&mut self) {
        let now = Instant::now();
        for slot in 0..self.calls.slots() {
            self.close(now, slot);
        }
    }

    fn open(&mut self, now: Instant, open: &OpenCall, events: mpsc::Sender<Box<MediaEvent>>) {
        let slot = self.calls.next_slot();
        let opened = self.bind_call(now).and_then(|mut sockets| {
            self.register(now, slot, Leg::Trunk, &mut sockets)?;
            let port = sockets.port;
            let call = MediaCall::open(now, open, &self.settings, sockets, events.clone());
            call.map_err(|error| {
                self.ports.give_back(now, port);
                OpenError::Peer(error)
            })
        });
        let slot = match opened {
            Ok(call) => {
                self.count.fetch_add(1, Ordering::Relaxed);
                self.calls.insert(call)
            }
            Err(error) => {
                let _ = events.try_send(Box::new(MediaEvent::Refused(error)));
                return;
            }
        };
        if let Some(browser) = &open.browser {
            self.calls.learn_ufrag(browser.local.ufrag.clone(), slot);
        }
        let (rtp, rtcp) = self.addresses(slot, Leg::Trunk);
        self.with_call(now, slot, |call, _| {
            call.tell(now, MediaEvent::Opened { rtp, rtcp })
        });
    }

    /// The ports of a call's other telephone; it may have them from a transfer of which nothing came.
    fn add_telephone(&mut self, now: Instant, slot: usize, start: StreamStart) {
        let has_them = |call: &MediaCall| call.sockets(Leg::Browser).is_some();
        let added = match self.calls.get(slot).is_some_and(has_them) {
            true => {
                self.with_call(now, slot, |call, _| call.reuse_ports());
                Ok(())
            }
            false => self.bind_call(now).and_then(|mut sockets| {
                self.register(now, slot, Leg::Browser, &mut sockets)?;
                self.with_call(now, slot, |call, _| call.add_telephone(sockets, start));
                Ok(())
            }),
        };
        let (rtp, rtcp) = self.addresses(slot, Leg::Browser);
        self.with_call(now, slot, |call, _| match added {
            Ok(()) => call.tell(now, MediaEvent::Added { rtp, rtcp }),
            Err(error) => call.tell(now, MediaEvent::NotAdded(error)),
        });
    }

    /// Where the telephone on that leg sends RTP and RTCP.
    fn addresses(&self, slot: usize, leg: Leg) -> (SocketAddr, SocketAddr) {
        let sockets = self.calls.get(slot).and_then(|call| call.sockets(leg));
        let port = sockets.map_or(0, |sockets| sockets.port);
        let ip = self.rtp_external.unwrap_or(self.rtp_address);
        (
            SocketAddr::new(ip, port),
            SocketAddr::new(ip, port.saturating_add(1)),
        )
    }

    /// The next port pair that can be bound; one that another program holds goes back to rest.
    fn bind_call(&mut self, now: Instant) -> Result<TrunkSockets, OpenError> {
        let mut last = OpenError::NoPort(self.rtp_address);
        for _ in 0..self.ports.len().min(64) {
            let Some(port) = self.ports.take(now) else {
                break;
            };
            let bind = |port| call_socket(SocketAddr::new(self.rtp_address, port));
            match bind(port).and_then(|rtp| Ok((rtp, bind(port + 1)?))) {
                Ok((rtp, rtcp)) => return Ok(TrunkSockets { rtp, rtcp, port }),
                Err(error) => {
                    last = OpenError::Socket(format!("{}:{port}: {error}", self.rtp_address));
                    if !matches!(error.kind(), ErrorKind::AddrInUse) {
                        // No port is at fault (no descriptors, say): the next would fare no better.
                        self.ports.put_back(port);
                        break;
                    }
                    self.ports.give_back(now, port);
                }
            }
        }
        Err(last)
    }

    fn register(
        &mut self,
        now: Instant,
        slot: usize,
        leg: Leg,
        sockets: &mut TrunkSockets,
    ) -> Result<(), OpenError> {
        let place = match leg {
            Leg::Trunk => 0,
            Leg::Browser => 2,
        };
        let first = self.browsers.sockets.len() + SOCKETS * slot + place;
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut sockets.rtp, Token(first), Interest::READABLE)
            .and_then(|()| {
                registry.register(&mut sockets.rtcp, Token(first + 1), Interest::READABLE)
            });
        registered.map_err(|error| {
            self.ports.give_back(now, sockets.port);
            OpenError::Socket(error.to_string())
        })
    }

    /// Lets a call do something. If it panics, it alone ends.
    pub(super) fn with_call(
        &mut self,
        now: Instant,
        slot: usize,
        act: impl FnOnce(&mut MediaCall, &BrowserSockets),
    ) {
        let Some(call) = self.calls.get_mut(slot) else {
            return;
        };
        let browsers = &self.browsers;
        if catch_unwind(AssertUnwindSafe(|| act(call, browsers))).is_err() {
            tracing::error!(call = %call.id, "a call's media panicked: it ends, the others go on");
            let events = call.events();
            self.remove(now, slot);
            // The task of this call has room: at most a few digits wait in its queue.
            let _ = events.try_send(Box::new(MediaEvent::Panicked));
        } else if call.is_abandoned() {
            self.close(now, slot);
        } else {
            self.calls.reschedule(slot);
        }
    }

    fn close(&mut self, now: Instant, slot: usize) {
        let browsers = &self.browsers;
        let Some(call) = self.calls.get_mut(slot) else {
            return;
        };
        let events = call.events();
        let closed = catch_unwind(AssertUnwindSafe(|| call.close(now, browsers)));
        self.remove(now, slot);
        let event = match closed {
            Ok(report) => MediaEvent::Closed(Box::new(report)),
            Err(_) => MediaEvent::Panicked,
        };
        let _ = events.try_send(Box::new(event));
    }

    fn remove(&mut self, now: Instant, slot: usize) {
        let Some(mut call) = self.calls.remove(slot) else {
            return;
        };
        for leg in [Leg::Trunk, Leg::Browser] {
            if let Some(sockets) = call.sockets_mut(leg) {
                let _ = self.poll.registry().deregister(&mut sockets.rtp);
                let _ = self.poll.registry().deregister(&mut sockets.rtcp);
                self.ports.give_back(now, sockets.port);
            }
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        if catch_unwind(AssertUnwindSafe(|| drop(call))).is_err() {
            tracing::error!("a call's media panicked once more while it was put away");
        }
    }
}
