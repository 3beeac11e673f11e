//! The HTTP server: the phone page, and the WebSocket that carries the signalling.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::assets;
use super::gate::{Sessions, Signaling, closed};
use super::ice_servers::PageHost;
use super::message::SUBPROTOCOL;
use super::origin;
use super::session;
use crate::tls::waiting::{Place, Waiting};

/// How long a request's head may take, and the first request of HTTP/2: a connection that dribbles is closed.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may carry plain requests, whether the client reads the answers or not.
/// A WebSocket has left it by then, and has deadlines of its own.
const LIFETIME: Duration = Duration::from_secs(60);

/// How long an answer may still take after that, or when the gateway goes down.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Requests at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 64;

/// The largest head of a request of HTTP/2.
const MAX_HEAD: u32 = 16 * 1024;

/// Octets that are kept to read into, and may be unwritten, on one connection of plain requests.
const CONNECTION_BUFFER: usize = 64 * 1024;

/// The largest WebSocket message, fragments together.
const MAX_MESSAGE: usize = 256 * 1024;

/// Octets that each session keeps to read into, and may have unwritten. The library's own choice, 128 KiB, would be more
/// than all the rest of a call.
const SESSION_BUFFER: usize = 2 * 1024;

/// Connections of plain HTTP at once, in all and from one address, beyond the sessions that are allowed: a WebSocket is not
/// among them any more.
const SPARE_CONNECTIONS: usize = 256;

/// The address a connection came from, and whether it came to the port of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) address: SocketAddr,
    pub(crate) by_tls: bool,
}

/// Which HTTP a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1 (RFC 9112). A WebSocket begins as this.
    Http1,
    /// HTTP/2 (RFC 9113): the page alone. Browsers open another connection for a WebSocket, since RFC 8441 is not offered.
    Http2,
}

/// What is served by HTTP, on whatever port. Clones are the same.
#[derive(Clone, Debug)]
pub struct Site {
    router: Router,
    /// For connections, of all ports together. When there are too many, one of who has most is ended for another.
    room: Waiting,
    closing: watch::Receiver<bool>,
}

impl Site {
    /// The page, and the signalling.
    pub fn new(signaling: Arc<Signaling>) -> Self {
        let (most, most_of_source) = signaling.max_sessions;
        let spare = |sessions: usize| sessions.saturating_add(SPARE_CONNECTIONS);
        Self {
            room: Waiting::new(spare(most), spare(most_of_source)),
            closing: signaling.closing.clone(),
            router: router(signaling),
        }
    }

    /// What a test serves, with room for so many connections.
    #[cfg(test)]
    pub(crate) fn of(router: Router, room: usize, closing: watch::Receiver<bool>) -> Self {
        Self {
            router,
            room: Waiting::new(room, room),
            closing,
        }
    }

    /// Done when the gateway goes down.
    pub(crate) async fn closed(&self) {
        closed(&mut self.closing.clone()).await;
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve<S>(&self, stream: S, remote: Remote, version: Version)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut place = self.room.enter(remote.address.ip());
        let router = self.router.clone().layer(Extension(remote));
        let router = TowerToHyperService::new(router);
        let asked = Arc::new(AtomicBool::new(false));
        let has_asked = Arc::clone(&asked);
        let service = service_fn(move |request| {
            has_asked.store(true, Ordering::Relaxed);
            router.call(request)
        });
        let stream = TokioIo::new(stream);
        let over = self.over(&asked, &mut place);
        let served = match version {
            Version::Http1 => {
                let builder = http1_builder();
                let connection = builder.serve_connection(stream, service);
                let connection = connection.with_upgrades();
                serve_until(connection, |one| one.graceful_shutdown(), over).await
            }
            Version::Http2 => {
                let builder = http2_builder();
                let connection = builder.serve_connection(stream, service);
                serve_until(connection, |one| one.graceful_shutdown(), over).await
            }
        };
        if let Err(error) = served {
            tracing::debug!(remote = %remote.address, %error, "an HTTP connection ended");
        }
    }

    /// Done when a connection may not go on.
    async fn over(&self, asked: &AtomicBool, place: &mut Place) {
        let silent = async {
            tokio::time::sleep(HEAD).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = silent => {}
            () = self.closed() => {}
            () = place.lost() => {}
            () = tokio::time::sleep(LIFETIME) => {}
        }
    }
}

/// Serves a connection to its end, or until it is over; answers that are on their way then have a moment.
async fn serve_until<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    finish: impl FnOnce(Pin<&mut C>),
    over: impl Future<Output = ()>,
) -> hyper::Result<()> {
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => served,
        () = over => {
            // One that only waits for its next request ends now, not when that is overdue.
            finish(connection.as_mut());
            let served = tokio::time::timeout(LAST_ANSWER, connection).await;
            served.unwrap_or(Ok(()))
        }
    }
}

/// Serves plain HTTP/1.1 until the gateway goes down; connections then end by themselves, and soon.
pub async fn serve(listener: TcpListener, site: Site) {
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            () = site.closed() => return,
        };
        let site = site.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let remote = Remote {
                address,
                by_tls: false,
            };
            site.serve(stream, remote, Version::Http1).await;
        });
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(CONNECTION_BUFFER);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .max_send_buf_size(CONNECTION_BUFFER);
    builder
}

fn router(signaling: Arc<Signaling>) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/phone/{*path}", get(assets::phone))
        .route("/client/{*path}", get(assets::client))
        .route("/v1/signaling", get(open_session))
        .with_state(signaling)
}

async fn open_session(
    State(signaling): State<Arc<Signaling>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Remote { address, by_tls } = remote;
    if let Err(refused) = origin::check(&headers, &signaling.allowed_origins) {
        tracing::warn!(remote = %address, "{refused}");
        return (StatusCode::FORBIDDEN, refused + "\n").into_response();
    }
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(SESSION_BUFFER)
        .write_buffer_size(SESSION_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    if upgrade.selected_protocol().is_none() {
        let text = format!("ask for the WebSocket subprotocol {SUBPROTOCOL:?}\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let Some(counted) = Sessions::enter(&signaling, address.ip()) else {
        tracing::warn!(remote = %address, "too many signalling sessions");
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [("retry-after", "10")],
            "too many sessions\n",
        )
            .into_response();
    };
    let host = PageHost::of(&headers, by_tls);
    upgrade.on_upgrade(move |socket| async move {
        session::run(socket, address, host, signaling).await;
        drop(counted);
    })
}

#[cfg(test)]
mod tests;
