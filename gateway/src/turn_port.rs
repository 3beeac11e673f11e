//! TCP for STUN, TURN and ICE-TCP: connections are accepted here, told apart by their first bytes, and given to a media worker.
//! Those that came by TLS are given to it from here, too.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::tls::port::Handed;
use crate::tls::waiting::Waiting;
use crate::worker::{Carries, Incoming, Workers};

/// How long the first message may take.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// Connections of which it is not known what they carry: in all, and from one address.
const WAITING: (usize, usize) = (1024, 128);

/// The longest first message of ICE-TCP: a check is far shorter.
const MAX_CHECK: usize = 1500;

/// How long is waited when no connection can be accepted.
const REST: Duration = Duration::from_millis(20);

/// The port, bound on each address of browsers.
#[derive(Debug)]
pub struct TurnPort {
    listeners: Vec<TcpListener>,
    port: u16,
}

/// Why a connection is closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("it begins neither with STUN nor with a check of ICE-TCP")]
    Foreign,
    #[error("it was closed before it said what it carries")]
    Gone,
    #[error("it said nothing for too long")]
    Silent,
    #[error("too many others wait to say what they carry")]
    Crowded,
}

impl TurnPort {
    /// Binds the port on each address; 0 for any, the same on all.
    ///
    /// # Errors
    /// It cannot be bound; the message names it.
    pub async fn bind(addresses: &[IpAddr], mut port: u16) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for ip in addresses {
            let address = SocketAddr::new(*ip, port);
            let listener = TcpListener::bind(address).await.map_err(|error| {
                io::Error::new(error.kind(), format!("TCP {address} for TURN: {error}"))
            })?;
            port = listener.local_addr()?.port();
            listeners.push(listener);
        }
        Ok(Self { listeners, port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until it is dropped.
    pub async fn run(self, workers: Arc<Workers>) {
        let waiting = Waiting::new(WAITING.0, WAITING.1);
        let serve = |listener| accept(listener, Arc::clone(&workers), waiting.clone());
        let listeners = self.listeners.into_iter().map(serve);
        let mut tasks: JoinSet<()> = listeners.collect();
        while tasks.join_next().await.is_some() {}
    }
}

async fn accept(listener: TcpListener, workers: Arc<Workers>, waiting: Waiting) {
    // What is on its way in ends with the port.
    let mut tasks = JoinSet::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection for TURN could not be accepted");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        let mut place = waiting.enter(peer.ip());
        let workers = Arc::clone(&workers);
        tasks.spawn(async move {
            let _ = stream.set_nodelay(true);
            let told = tokio::select! {
                told = timeout(FIRST_MESSAGE, tell_apart(stream)) => told.unwrap_or(Err(Refused::Silent)),
                () = place.lost() => Err(Refused::Crowded),
            };
            drop(place);
            let given = told.map_err(|refused| refused.to_string());
            let given = given.and_then(|(stream, carries, first_bytes)| {
                give(&workers, stream, carries, first_bytes, peer).map_err(|error| error.to_string())
            });
            if let Err(error) = given {
                tracing::debug!(remote = %peer, "a connection for TURN was closed: {error}");
            }
        });
    }
}

/// Reads until it is clear what it carries; of ICE-TCP all of the first check, which names its call.
async fn tell_apart(mut stream: TcpStream) -> Result<(TcpStream, Carries, Vec<u8>), Refused> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        match told(&bytes)? {
            Some(carries) => return Ok((stream, carries, bytes)),
            None => {
                let read = stream.read_buf(&mut bytes).await;
                if read.map_err(|_| Refused::Gone)? == 0 {
                    return Err(Refused::Gone);
                }
            }
        }
    }
}

/// STUN's magic cookie stands behind type and length; with a length before it, two octets later.
fn told(bytes: &[u8]) -> Result<Option<Carries>, Refused> {
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    let cookie_at = |at: usize| bytes.get(at..at + 4).map(|found| found == COOKIE);
    if bytes.first().is_some_and(|first| *first > 0x07) {
        return Err(Refused::Foreign);
    }
    if cookie_at(4) == Some(true) {
        return Ok(Some(Carries::Turn));
    }
    match (cookie_at(6), bytes) {
        (None, _) => Ok(None),
        (Some(true), [high, low, ..]) => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            match length {
                0..=MAX_CHECK => Ok((bytes.len() >= 2 + length).then_some(Carries::Ice)),
                _ => Err(Refused::Foreign),
            }
        }
        _ => Err(Refused::Foreign),
    }
}

fn give(
    workers: &Workers,
    stream: TcpStream,
    carries: Carries,
    first_bytes: Vec<u8>,
    remote: SocketAddr,
) -> io::Result<()> {
    let local = stream.local_addr()?;
    let incoming = Incoming {
        socket: stream.into_std()?,
        tls: None,
        carries,
        local,
        remote,
        first_bytes,
        passed: 0,
    };
    workers.take_stream(incoming).map_err(io::Error::other)
}

/// Gives those that came by TLS to a worker.
pub async fn hand_over(mut handed: mpsc::Receiver<Handed>, workers: Arc<Workers>) {
    while let Some(one) = handed.recv().await {
        let remote = one.peer;
        let (socket, tls) = one.stream.into_inner();
        let given = socket.into_std().and_then(|socket| {
            let incoming = Incoming {
                socket,
                tls: Some(Box::new(tls)),
                carries: Carries::Turn,
                local: one.local,
                remote,
                first_bytes: one.first_bytes,
                passed: 0,
            };
            workers.take_stream(incoming).map_err(io::Error::other)
        });
        if let Err(error) = given {
            tracing::debug!(%remote, %error, "a TLS connection for TURN was closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: u8) -> Vec<u8> {
        let mut bytes = vec![0, length, 0, 1, 0, length - 20];
        bytes.extend([0x21, 0x12, 0xa4, 0x42]);
        bytes.resize(2 + usize::from(length), 7);
        bytes
    }

    #[test]
    fn turn_and_ice_tcp_are_told_by_where_the_cookie_stands() {
        let allocate = [0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2];
        for len in 0..8 {
            assert_eq!(told(&allocate[..len]), Ok(None), "{len}");
        }
        assert_eq!(told(&allocate), Ok(Some(Carries::Turn)));
        let check = check(60);
        for len in 0..check.len() {
            assert_eq!(told(&check[..len]), Ok(None), "{len}");
        }
        assert_eq!(told(&check), Ok(Some(Carries::Ice)));
    }

    #[test]
    fn what_is_neither_is_refused_as_soon_as_that_is_clear() {
        for foreign in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[0x16, 3, 1],
            &[0, 3, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
            &[7, 0, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        ] {
            assert_eq!(told(foreign), Err(Refused::Foreign), "{foreign:?}");
        }
    }
}
