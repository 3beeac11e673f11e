//! The TLS port: one port, of which firewalls leave 443 open, for the page and its signalling and for TURN over TLS. What a
//! connection carries is told by ALPN, or by its first bytes.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::ServerConfig;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::server::TlsStream;

use super::own::Own;
use super::rewound::Rewound;
use super::told_apart::{ENOUGH, Kind, OFFERED, Said, by_first_bytes, by_protocol};
use super::waiting::{Place, Waiting};
use crate::settings::Https;
use crate::signaling::http::{Remote, Site, Version};

/// How long each step may take, and how many may be on the way in.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// The handshake.
    handshake: Duration,
    /// The first bytes, where ALPN has said nothing.
    first_bytes: Duration,
    /// Connections of which it is not known yet what they carry. One more takes the place of another.
    most: usize,
    /// Those of one address, or of one /64 of IPv6.
    most_of_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            first_bytes: Duration::from_secs(10),
            most: 1024,
            most_of_source: 128,
        }
    }
}

/// Connections that carry STUN or TURN and wait for who serves it; more are closed.
pub const HANDED_QUEUE: usize = 64;

/// A connection that carries STUN or TURN, after its handshake. From here on it has the deadlines of who serves it.
pub struct Handed {
    /// The connection; `into_inner` takes it apart into the socket and the state of TLS.
    pub stream: TlsStream<TcpStream>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// What was read of it already: it goes before what `stream` still gives. Empty where ALPN told what it is.
    pub first_bytes: Vec<u8>,
    /// What it is carried by.
    pub transport: Transport,
}

/// What carries STUN or TURN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS over TCP (RFC 8656 §3.1).
    Tls,
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed")
            .field("peer", &self.peer)
            .field("local", &self.local)
            .field("first_bytes", &self.first_bytes.len())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Where connections go that carry STUN or TURN while nobody serves it: they are closed.
pub fn nobody() -> mpsc::Sender<Handed> {
    let (sender, mut handed) = mpsc::channel::<Handed>(HANDED_QUEUE);
    tokio::spawn(async move {
        while let Some(one) = handed.recv().await {
            tracing::info!(peer = %one.peer, "a connection for TURN is closed: TURN is not served yet");
        }
    });
    sender
}

/// The port, bound.
#[derive(Debug)]
pub struct TlsPort {
    listener: TcpListener,
    local: SocketAddr,
    acceptor: Acceptor,
    own: Arc<Own>,
    limits: Limits,
}

/// The server's side of handshakes.
#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// Why a connection was not let in.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the handshake failed: {0}")]
    Handshake(io::Error),
    #[error("the handshake took too long")]
    Slow,
    #[error("nothing came after the handshake")]
    Silent,
    #[error("it was closed after the handshake")]
    Gone,
    #[error("what came is neither HTTP nor STUN")]
    Foreign,
    #[error("others took its place before it had said what it is")]
    Crowded,
}

impl TlsPort {
    /// Binds the port that the settings name, if they name one, with their certificate; one of our own making is for
    /// `names`.
    ///
    /// # Errors
    /// It cannot be bound, or its certificate cannot be had; the message says which setting names it.
    pub async fn bind(settings: &Https, names: Vec<String>) -> io::Result<Option<Self>> {
        let Some(listen) = settings.listen else {
            return Ok(None);
        };
        let wrong = |setting: &str, error: io::Error| {
            let advice = match (setting, error.kind()) {
                ("listen", io::ErrorKind::PermissionDenied) => {
                    "; ports below 1024 are for root and for who has the capability CAP_NET_BIND_SERVICE"
                }
                _ => "",
            };
            io::Error::other(format!("[https] {setting}: {error}{advice}"))
        };
        let own = Own::load(settings, names).map_err(|error| wrong("certificate", error))?;
        let listener = TcpListener::bind(listen).await;
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{listen}: {error}"));
        let listener = listener.map_err(|error| wrong("listen", at(error)))?;
        let own = Arc::new(own);
        Ok(Some(Self {
            local: listener.local_addr()?,
            listener,
            acceptor: acceptor(&own),
            own,
            limits: Limits::default(),
        }))
    }

    /// Where it is.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Keeps the certificate: one that is replaced is shown to who connects after that.
    pub fn keep_certificate(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.own).keep()
    }

    /// Serves until the gateway goes down: HTTP by `site`; what carries STUN or TURN goes to `handed`.
    pub async fn run(self, site: Site, handed: mpsc::Sender<Handed>) {
        let waiting = Waiting::new(self.limits.most, self.limits.most_of_source);
        loop {
            let (stream, peer) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a TLS connection could not be accepted");
                        sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                },
                () = site.closed() => return,
            };
            let mut place = waiting.enter(peer.ip());
            let (acceptor, limits) = (self.acceptor.clone(), self.limits);
            let (local, site, handed) = (self.local, site.clone(), handed.clone());
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().unwrap_or(local);
                let told = tokio::select! {
                    told = let_in(&acceptor, stream, limits, &mut place) => told,
                    () = site.closed() => return,
                };
                drop(place);
                match told {
                    Ok(told) => told.serve(peer, local, site, &handed).await,
                    Err(refused) => {
                        tracing::debug!(remote = %peer, "a TLS connection was closed: {refused}");
                    }
                }
            });
        }
    }
}

/// TLS 1.2 and 1.3, with the certificate that is there at the time.
fn acceptor(own: &Arc<Own>) -> Acceptor {
    let mut config = ServerConfig::builder_with_protocol_versions(&[&TLS13, &TLS12])
        .with_no_client_auth()
        .with_cert_resolver(Arc::<Own>::clone(own));
    config.alpn_protocols = OFFERED.iter().map(|(name, _)| name.to_vec()).collect();
    Acceptor(TlsAcceptor::from(Arc::new(config)))
}

/// A connection, and what it carries.
#[derive(Debug)]
struct Told<S> {
    stream: TlsStream<S>,
    kind: Kind,
    first_bytes: Vec<u8>,
}

/// Does the handshake, and finds out what the connection carries.
async fn let_in<S>(
    acceptor: &Acceptor,
    stream: S,
    limits: Limits,
    place: &mut Place,
) -> Result<Told<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::select! {
        told = tell_apart(acceptor, stream, limits) => told,
        () = place.lost() => Err(Refused::Crowded),
    }
}

async fn tell_apart<S>(acceptor: &Acceptor, stream: S, limits: Limits) -> Result<Told<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = timeout(limits.handshake, acceptor.0.accept(stream)).await;
    let handshake = handshake.map_err(|_| Refused::Slow)?;
    let mut stream = handshake.map_err(Refused::Handshake)?;
    if let Some(kind) = by_protocol(stream.get_ref().1.alpn_protocol()) {
        return Ok(Told {
            stream,
            kind,
            first_bytes: Vec::new(),
        });
    }
    let mut first_bytes = Vec::with_capacity(ENOUGH);
    let said = async {
        loop {
            match by_first_bytes(&first_bytes) {
                Said::Is(kind) => return Ok(kind),
                Said::Foreign => return Err(Refused::Foreign),
                Said::TooLittle => {}
            }
            let mut more = [0; ENOUGH];
            let wanted = ENOUGH.saturating_sub(first_bytes.len());
            match stream.read(&mut more[..wanted]).await {
                Ok(len) if len > 0 => first_bytes.extend_from_slice(&more[..len]),
                _ => return Err(Refused::Gone),
            }
        }
    };
    let kind = timeout(limits.first_bytes, said).await;
    let kind = kind.map_err(|_| Refused::Silent)??;
    Ok(Told {
        stream,
        kind,
        first_bytes,
    })
}

impl Told<TcpStream> {
    /// Serves it as what it is.
    async fn serve(
        self,
        peer: SocketAddr,
        local: SocketAddr,
        site: Site,
        handed: &mpsc::Sender<Handed>,
    ) {
        let version = match self.kind {
            Kind::Http1 => Version::Http1,
            Kind::Http2 => Version::Http2,
            Kind::Stun => {
                let one = Handed {
                    stream: self.stream,
                    peer,
                    local,
                    first_bytes: self.first_bytes,
                    transport: Transport::Tls,
                };
                if handed.try_send(one).is_err() {
                    tracing::warn!(%peer, "too many connections for TURN at once: this one is closed");
                }
                return;
            }
        };
        let stream = Rewound::new(self.first_bytes, self.stream);
        let remote = Remote {
            address: peer,
            by_tls: true,
        };
        site.serve(stream, remote, version).await;
    }
}

#[cfg(test)]
mod tests;
