//! TCP and TLS connections that carry SIP (RFC 3261 §18): bounded in number, in what waits for them, and in
//! how long they may take.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sip::Message;
use sip::endpoint::{Flow, Transport, TransportError};
use sip::stream::Framer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::tls::Tls;

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// To connect.
    connect: Duration,
    /// The first message, and any later one from its first byte.
    message: Duration,
    /// Between messages.
    idle: Duration,
    /// For the peer to read what we send.
    write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            message: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            write: Duration::from_secs(10),
        }
    }
}

/// Messages waiting for one connection; a peer that leaves more unread is cut off.
const OUT_QUEUE: usize = 64;

/// Messages of all connections waiting for the endpoint; connections stop reading when there are more.
const IN_QUEUE: usize = 1024;

/// Connections at once, and from one address.
const MAX_CONNECTIONS: usize = 4096;
const MAX_FROM_ADDRESS: usize = 64;

/// From a connection to the driver.
pub(super) enum FromConnection {
    Message(Flow, Box<Message>),
    /// The connection with that serial number is over.
    Ended(Flow, u64, TransportError),
}

/// The connections of an endpoint.
pub(super) struct Connections {
    by_flow: HashMap<Flow, Connection>,
    by_address: HashMap<IpAddr, usize>,
    next_serial: u64,
    deadlines: Deadlines,
    tls: Tls,
    reports: mpsc::Sender<FromConnection>,
}

struct Connection {
    serial: u64,
    out: mpsc::Sender<Vec<u8>>,
    signs: Arc<Signs>,
    /// When it was last asked for one.
    pinged: Option<std::time::Instant>,
}

/// Signs of life of a peer.
#[derive(Debug, Default)]
struct Signs {
    /// Something came since that was last asked.
    heard: AtomicBool,
    /// It answers pings.
    pongs: AtomicBool,
}

/// A keep-alive: on a connection it is answered (RFC 5626 §4.4.1), and in a datagram it is nothing.
pub(super) const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";

/// How long an answer may take at least: less than the shortest `keep_alive`.
const PONG_PATIENCE: Duration = Duration::from_secs(4);

/// What became of a connection that was to be kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Alive,
    /// There is none.
    Gone,
    /// It no longer answers, and is given up.
    Dead,
}

impl Connections {
    pub(super) fn new(deadlines: Deadlines, tls: Tls) -> (Self, mpsc::Receiver<FromConnection>) {
        let (reports, receiver) = mpsc::channel(IN_QUEUE);
        (
            Self {
                by_flow: HashMap::new(),
                by_address: HashMap::new(),
                next_serial: 0,
                deadlines,
                tls,
                reports,
            },
            receiver,
        )
    }

    /// Takes a connection that a peer opened, unless there are too many.
    pub(super) fn accept(&mut self, stream: TcpStream, flow: Flow) {
        let address = flow.remote.ip();
        let from_address = self.by_address.get(&address).copied().unwrap_or(0);
        if self.by_flow.len() >= MAX_CONNECTIONS || from_address >= MAX_FROM_ADDRESS {
            tracing::warn!(remote = %flow.remote, "too many SIP connections: this one is closed");
            return;
        }
        let (serial, outbox, reports, signs) = self.add(flow);
        let deadlines = self.deadlines;
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let error = match flow.transport {
                Transport::Udp | Transport::Tcp => {
                    serve(stream, flow, outbox, &reports, deadlines, &signs).await
                }
                Transport::Tls => match timeout(deadlines.message, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        serve(stream, flow, outbox, &reports, deadlines, &signs).await
                    }
                    Ok(Err(error)) => {
                        tracing::info!(remote = %flow.remote, %error, "a TLS connection was not made");
                        TransportError::ConnectFailed
                    }
                    Err(_) => TransportError::ConnectFailed,
                },
            };
            let _ = reports
                .send(FromConnection::Ended(flow, serial, error))
                .await;
        });
    }

    /// Sends on the connection that a flow is, opening one if that is allowed.
    pub(super) fn send(
        &mut self,
        flow: Flow,
        bytes: Vec<u8>,
        may_connect: bool,
    ) -> Result<(), TransportError> {
        if !self.by_flow.contains_key(&flow) {
            if !may_connect {
                return Ok(());
            }
            if self.by_flow.len() >= MAX_CONNECTIONS {
                return Err(TransportError::ConnectFailed);
            }
            self.connect(flow);
        }
        let Some(connection) = self.by_flow.get(&flow) else {
            return Err(TransportError::Closed);
        };
        connection
            .out
            .try_send(bytes)
            .map_err(|_| TransportError::Closed)
    }

    /// Asks the peer for a sign of life. One that has answered before, and now says nothing from one time to the next, is
    /// not there any more. Several accounts may share a connection: it is asked once for all of them.
    pub(super) fn keep_alive(&mut self, now: std::time::Instant, flow: Flow) -> Kept {
        let Some(connection) = self.by_flow.get_mut(&flow) else {
            return Kept::Gone;
        };
        let since = |pinged| now.saturating_duration_since(pinged);
        if connection
            .pinged
            .is_some_and(|pinged| since(pinged) < PONG_PATIENCE)
        {
            return Kept::Alive;
        }
        let heard = connection.signs.heard.swap(false, Ordering::Relaxed);
        let answers = connection.signs.pongs.load(Ordering::Relaxed);
        let silent = connection.pinged.is_some() && answers && !heard;
        connection.pinged = Some(now);
        if silent || connection.out.try_send(PING.to_vec()).is_err() {
            let serial = connection.serial;
            self.forget(flow, serial);
            return Kept::Dead;
        }
        Kept::Alive
    }

    /// Forgets a connection that ended; false when another took its place meanwhile.
    pub(super) fn forget(&mut self, flow: Flow, serial: u64) -> bool {
        if self
            .by_flow
            .get(&flow)
            .is_none_or(|connection| connection.serial != serial)
        {
            return false;
        }
        self.by_flow.remove(&flow);
        if let Some(count) = self.by_address.get_mut(&flow.remote.ip()) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&flow.remote.ip());
            }
        }
        true
    }

    fn connect(&mut self, flow: Flow) {
        let (serial, outbox, reports, signs) = self.add(flow);
        let deadlines = self.deadlines;
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let connected = timeout(deadlines.connect, async {
                let stream = TcpStream::connect(flow.remote).await?;
                stream.set_nodelay(true)?;
                match flow.transport {
                    Transport::Udp | Transport::Tcp => Ok(Stream::Plain(stream)),
                    Transport::Tls => tls
                        .connect(stream, flow.remote)
                        .await
                        .map(|stream| Stream::Tls(Box::new(stream))),
                }
            });
            let error = match connected.await {
                Ok(Ok(Stream::Plain(stream))) => {
                    serve(stream, flow, outbox, &reports, deadlines, &signs).await
                }
                Ok(Ok(Stream::Tls(stream))) => {
                    serve(stream, flow, outbox, &reports, deadlines, &signs).await
                }
                Ok(Err(error)) => {
                    tracing::warn!(remote = %flow.remote, %error, "no SIP connection could be made");
                    TransportError::ConnectFailed
                }
                Err(_) => TransportError::ConnectFailed,
            };
            let _ = reports
                .send(FromConnection::Ended(flow, serial, error))
                .await;
        });
    }

    #[allow(clippy::type_complexity)]
    fn add(
        &mut self,
        flow: Flow,
    ) -> (
        u64,
        mpsc::Receiver<Vec<u8>>,
        mpsc::Sender<FromConnection>,
        Arc<Signs>,
    ) {
        let (out, outbox) = mpsc::channel(OUT_QUEUE);
        self.next_serial += 1;
        let serial = self.next_serial;
        let signs = Arc::<Signs>::default();
        let connection = Connection {
            serial,
            out,
            signs: Arc::clone(&signs),
            pinged: None,
        };
        let replaced = self.by_flow.insert(flow, connection);
        // One that ended and is not forgotten yet is still counted.
        if replaced.is_none() {
            *self.by_address.entry(flow.remote.ip()).or_default() += 1;
        }
        (self.next_serial, outbox, self.reports.clone(), signs)
    }
}

/// A connection that we made.
enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Runs one connection to its end. What was owed to the peer is still written.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    flow: Flow,
    outbox: mpsc::Receiver<Vec<u8>>,
    reports: &mpsc::Sender<FromConnection>,
    deadlines: Deadlines,
    signs: &Signs,
) -> TransportError {
    let (reader, mut writer) = tokio::io::split(stream);
    let (replies, mut reply_queue) = mpsc::channel(OUT_QUEUE);
    tokio::select! {
        () = read(reader, flow, reports, replies, deadlines, signs) => {}
        () = write(&mut writer, outbox, &mut reply_queue, deadlines) => {}
    }
    while let Ok(reply) = reply_queue.try_recv() {
        if !matches!(
            timeout(deadlines.write, write_all(&mut writer, &reply)).await,
            Ok(Ok(()))
        ) {
            break;
        }
    }
    TransportError::Closed
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    flow: Flow,
    reports: &mpsc::Sender<FromConnection>,
    replies: mpsc::Sender<Vec<u8>>,
    deadlines: Deadlines,
    signs: &Signs,
) {
    let mut framer = Framer::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut deadline = Instant::now() + deadlines.message;
    loop {
        let len = match timeout_at(deadline, reader.read(&mut buffer)).await {
            Ok(Ok(len)) if len > 0 => len,
            _ => return,
        };
        let was_within = framer.is_within_message();
        signs.heard.store(true, Ordering::Relaxed);
        if &buffer[..len] == PONG && !was_within {
            signs.pongs.store(true, Ordering::Relaxed);
        }
        framer.push(&buffer[..len]);
        let mut completed = false;
        loop {
            match framer.next() {
                Ok(Some(message)) => {
                    completed = true;
                    if reports
                        .send(FromConnection::Message(flow, Box::new(message)))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(remote = %flow.remote, %error, "a SIP message on a stream cannot be read");
                    if let Some(response) = error.respond() {
                        let _ = replies.try_send(response.to_bytes());
                    }
                    // Where the next message begins is no longer known.
                    if error.must_close() {
                        return;
                    }
                }
            }
        }
        // One pong answers them all (RFC 5626 §4.4.1).
        if framer.take_pings() > 0 {
            let _ = replies.try_send(PONG.to_vec());
        }
        if !framer.is_within_message() {
            deadline = Instant::now() + deadlines.idle;
        } else if completed || !was_within {
            deadline = Instant::now() + deadlines.message;
        }
    }
}

async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    mut outbox: mpsc::Receiver<Vec<u8>>,
    replies: &mut mpsc::Receiver<Vec<u8>>,
    deadlines: Deadlines,
) {
    loop {
        let bytes = tokio::select! {
            bytes = outbox.recv() => bytes,
            Some(reply) = replies.recv() => Some(reply),
        };
        let Some(bytes) = bytes else { return };
        if !matches!(
            timeout(deadlines.write, write_all(writer, &bytes)).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

/// TLS keeps what is written until it is flushed.
async fn write_all(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests;
