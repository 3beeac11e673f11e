//! Media workers: one thread each, with its own UDP port for browsers, its own ports for
//! telephones and its own loop. Both legs of a call live on one worker, so a packet takes no lock,
//! crosses no thread and, once a call is up, allocates nothing: but for one that comes through the
//! TURN server of another worker, which is handed over.

mod browsers;
mod call;
mod calls;
mod command;
mod impaired;
mod inbox;
mod latch;
mod one_way;
mod pace;
mod ports;
mod relay;
mod relaying;
mod report;
mod schedule;
mod sockets;
mod streams;
mod telephone;
mod thread;
mod trunk_leg;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use command::{
    EVENT_QUEUE, LegReport, MediaCommand, MediaEvent, MediaReport, OpenBrowser, OpenCall,
    OpenError, Score, TrunkMedia,
};
pub use impaired::Impairments;
pub use one_way::OneWay;
use peer::Identity;
pub use relay::{OpenRelay, RelaySettings};
use relay::{RelayPort, Shared};
pub use streams::{Carries, Incoming};

/// How many commands may wait for a worker; with more, new calls are refused.
const COMMAND_QUEUE: usize = 4096;

/// How many of them may be relayed datagrams: those never keep a call from beginning or ending. With more, they are lost, as on
/// any network.
const DATAGRAM_QUEUE: usize = COMMAND_QUEUE / 2;

/// What the workers are made with.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// How many.
    pub workers: usize,
    /// Local addresses on which browsers reach them.
    pub listen: Vec<IpAddr>,
    /// The first worker's port for browsers, the others follow; 0 for any.
    pub port: u16,
    /// Put in candidates instead of the local addresses (1:1 NAT).
    pub external_addresses: Vec<IpAddr>,
    /// The local address towards telephones.
    pub rtp_address: IpAddr,
    /// Put in SDP towards telephones instead of it.
    pub rtp_external: Option<IpAddr>,
    /// Ports towards telephones, shared out among the workers.
    pub rtp_ports: RangeInclusive<u16>,
    /// How long a port rests before its next call.
    pub port_rest: Duration,
    /// Silence of the telephone that ends a call.
    pub timeout: Duration,
    /// Time without a browser's consent after which nothing more is sent (RFC 7675).
    pub consent_timeout: Duration,
    /// How audio is encoded towards browsers.
    pub opus: codecs::opus::EncoderSettings,
    /// Whether silence is left out towards browsers.
    pub dtx: bool,
    /// What the complexity rises to while a worker has time to spare.
    pub max_complexity: u8,
    /// The certificate that browsers see.
    pub identity: Arc<Identity>,
    /// STUN and TURN; none where it is not served.
    pub relay: Option<RelaySettings>,
}

/// All workers, once they are there.
type Colleagues = Arc<OnceLock<Vec<WorkerHandle>>>;

/// The workers of a gateway.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    /// Where TURN's clients are heard by UDP.
    relay_port: Option<u16>,
}

/// One worker, seen from the signalling plane. Clones talk to the same thread.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    commands: SyncSender<MediaCommand>,
    waker: Arc<mio::Waker>,
    candidates: Arc<[SocketAddr]>,
    calls: Arc<AtomicUsize>,
    /// Relayed datagrams that wait for it.
    datagrams: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Worker {
    handle: WorkerHandle,
    local: Vec<SocketAddr>,
    thread: JoinHandle<()>,
}

/// A worker did not take a command: its queue is full, or it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media worker takes no more commands")]
pub struct WorkerOverloaded;

impl Workers {
    /// Binds every port and starts the threads.
    ///
    /// # Errors
    /// A port cannot be bound, or a thread cannot be started; the message names it.
    pub fn start(settings: &WorkerSettings) -> std::io::Result<Self> {
        let bound = (0..settings.workers.max(1)).map(|index| Bound::new(settings, index));
        let mut bound = bound.collect::<std::io::Result<Vec<_>>>()?;
        let mut ports = Vec::new();
        let mut port = settings.relay.as_ref().map(|relay| relay.port);
        for _ in &bound {
            let one = port.map(|port| RelayPort::bind(&settings.listen, port, bound.len() > 1));
            let one = one.transpose()?;
            // Of any free port, all have the same.
            port = one.as_ref().map(RelayPort::port);
            ports.push(one);
        }
        let media = (0..).zip(&bound).flat_map(|(number, worker)| {
            let told = worker.handle.candidates.iter().copied();
            let addresses = told.chain(worker.thread.local_addresses());
            addresses.map(move |address| (address, number))
        });
        let media: Vec<(SocketAddr, usize)> = media.collect();
        let colleagues = Colleagues::default();
        let shared = Shared {
            media: &media,
            reservations: turn::Reservations::new(&rand::random(), Instant::now()),
            quotas: turn::Quotas::new(&rand::random()),
            limiter: turn::Limiter::new(&rand::random(), Instant::now()),
        };
        for (worker, port) in bound.iter_mut().zip(ports) {
            let colleagues = Arc::clone(&colleagues);
            worker
                .thread
                .relay(settings, port, shared.clone(), colleagues)?;
        }
        let handles = bound.iter().map(|worker| worker.handle.clone());
        let _ = colleagues.set(handles.collect());
        let workers = (0..).zip(bound).map(|(index, worker)| worker.run(index));
        Ok(Self {
            workers: workers.collect::<std::io::Result<_>>()?,
            relay_port: port,
        })
    }

    /// Where TURN's clients are heard by UDP, on the addresses of browsers; none where it is not served.
    pub fn relay_port(&self) -> Option<u16> {
        self.relay_port
    }

    /// Hands a browser's connection to one of them.
    ///
    /// # Errors
    /// None is alive, or it is too busy.
    pub fn take_stream(&self, incoming: Incoming) -> Result<(), WorkerOverloaded> {
        let worker = self.least_loaded().ok_or(WorkerOverloaded)?;
        worker.send(MediaCommand::TakeStream(Box::new(incoming)))
    }

    /// The worker with the fewest calls; `None` when not one is alive.
    pub fn least_loaded(&self) -> Option<WorkerHandle> {
        let alive = self.workers.iter().filter(|worker| worker.is_alive());
        let least = alive.min_by_key(|worker| worker.handle.calls.load(Ordering::Relaxed));
        least.map(|worker| worker.handle.clone())
    }

    /// Where browsers reach each worker, locally.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.workers
            .iter()
            .flat_map(|worker| worker.local.iter().copied())
            .collect()
    }

    /// Ends every worker, calls and all, and waits for the threads.
    pub fn stop(self) {
        for worker in &self.workers {
            // A full queue is emptied by the worker; `Stop` must get through.
            let _ = worker.handle.commands.send(MediaCommand::Stop);
            let _ = worker.handle.waker.wake();
        }
        for worker in self.workers {
            if worker.thread.join().is_err() {
                tracing::error!("a media worker had panicked");
            }
        }
    }
}

impl Worker {
    /// Its thread runs: nothing has panicked outside of a call.
    fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// A worker that does not run yet.
struct Bound {
    handle: WorkerHandle,
    thread: thread::WorkerThread,
}

impl Bound {
    fn new(settings: &WorkerSettings, index: usize) -> std::io::Result<Self> {
        let (commands, inbox) = sync_channel(COMMAND_QUEUE);
        let calls = Arc::new(AtomicUsize::new(0));
        let thread = thread::WorkerThread::bind(settings, index, inbox, Arc::clone(&calls))?;
        let local = thread.local_addresses();
        let candidates = candidates(&local, &settings.external_addresses);
        let handle = WorkerHandle {
            commands,
            waker: thread.waker(),
            candidates,
            calls,
            datagrams: thread.datagrams(),
        };
        Ok(Self { handle, thread })
    }

    fn run(self, index: usize) -> std::io::Result<Worker> {
        let Self { handle, thread } = self;
        let local = thread.local_addresses();
        let thread = std::thread::Builder::new()
            .name(format!("media-{index}"))
            .spawn(move || thread.run())?;
        Ok(Worker {
            handle,
            local,
            thread,
        })
    }
}

/// What browsers are told: of each family the external addresses where there are any, else the local ones.
pub fn candidates(local: &[SocketAddr], external: &[IpAddr]) -> Arc<[SocketAddr]> {
    let port = local.first().map_or(0, SocketAddr::port);
    let told = external.iter().map(|ip| SocketAddr::new(*ip, port));
    let is_told = |one: &&SocketAddr| external.iter().any(|ip| ip.is_ipv4() == one.is_ipv4());
    let as_they_are = local.iter().filter(|one| !is_told(one)).copied();
    told.chain(as_they_are).collect()
}

impl WorkerHandle {
    /// Where browsers reach this worker.
    pub fn candidates(&self) -> &[SocketAddr] {
        &self.candidates
    }

    /// Hands the worker a command without waiting.
    ///
    /// # Errors
    /// [`WorkerOverloaded`]: the command was not taken.
    pub fn send(&self, command: MediaCommand) -> Result<(), WorkerOverloaded> {
        self.offer(command).map_err(|_| WorkerOverloaded)
    }

    /// The same; a command that is not taken comes back.
    fn offer(&self, command: MediaCommand) -> Result<(), MediaCommand> {
        self.commands.try_send(command).map_err(|error| {
            let (TrySendError::Full(command) | TrySendError::Disconnected(command)) = error;
            command
        })?;
        // It is there, and is found at the next turn.
        let _ = self.waker.wake();
        Ok(())
    }

    /// Hands the worker a datagram of another one's.
    fn relay(&self, datagram: MediaCommand) {
        if self.datagrams.fetch_add(1, Ordering::Relaxed) >= DATAGRAM_QUEUE
            || self.send(datagram).is_err()
        {
            self.datagrams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The ports of one worker: its share of the range, each starting at an even port.
fn share_of_ports(range: &RangeInclusive<u16>, workers: usize, index: usize) -> (u16, u16) {
    let first = u32::from(range.start().next_multiple_of(2));
    let pairs = (u32::from(*range.end()) + 1).saturating_sub(first) / 2;
    let share = pairs / u32::try_from(workers.max(1)).unwrap_or(1);
    let start = first + 2 * share * u32::try_from(index).unwrap_or(0);
    (
        u16::try_from(start).unwrap_or(u16::MAX),
        u16::try_from(share).unwrap_or(u16::MAX),
    )
}

#[cfg(test)]
mod packet_path_tests;
#[cfg(test)]
mod tests;
