//! The HTTP server: the phone page, and the WebSocket that carries the signalling.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use super::assets;
use super::gate::{Sessions, Signaling, closed};
use super::message::SUBPROTOCOL;
use super::origin;
use super::session;

/// How long a request's head may take: a connection that dribbles is closed.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may carry plain requests, whether the client reads the answers or not.
/// A WebSocket has left it by then, and has deadlines of its own.
const LIFETIME: Duration = Duration::from_secs(60);

/// How long an answer may still take when the gateway goes down.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// The largest WebSocket message, fragments together.
const MAX_MESSAGE: usize = 256 * 1024;

/// Octets that each session keeps to read into, and may have unwritten. The library's own choice, 128 KiB, would be more
/// than all the rest of a call.
const SESSION_BUFFER: usize = 2 * 1024;

/// HTTP connections at once, WebSockets included, beyond the sessions that are allowed.
const SPARE_CONNECTIONS: usize = 256;

/// The address a connection came from.
#[derive(Clone, Copy, Debug)]
struct Remote(SocketAddr);

/// Serves HTTP until the gateway goes down; connections then end by themselves, and soon.
pub async fn serve(listener: TcpListener, signaling: Arc<Signaling>) {
    let mut closing = signaling.closing.clone();
    let room = Arc::new(tokio::sync::Semaphore::new(
        signaling.max_sessions.0.saturating_add(SPARE_CONNECTIONS),
    ));
    let router = router(signaling);
    loop {
        let (stream, remote) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            () = closed(&mut closing) => return,
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%remote, "too many HTTP connections: this one is closed");
            continue;
        };
        let router = router.clone();
        let closing = closing.clone();
        tokio::spawn(async move {
            serve_connection(stream, remote, router, closing).await;
            drop(permit);
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    mut closing: tokio::sync::watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.layer(Extension(Remote(remote))));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Some(served),
        () = tokio::time::sleep(LIFETIME) => None,
        // A connection that only waits for its next request ends now, not when that is overdue.
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_ANSWER, connection).await.ok()
        }
    };
    if let Some(Err(error)) = served {
        tracing::debug!(%remote, %error, "an HTTP connection ended");
    }
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
    Extension(Remote(remote)): Extension<Remote>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Err(refused) = origin::check(&headers, &signaling.allowed_origins) {
        tracing::warn!(%remote, "{refused}");
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
    let Some(counted) = Sessions::enter(&signaling, remote.ip()) else {
        tracing::warn!(%remote, "too many signalling sessions");
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [("retry-after", "10")],
            "too many sessions\n",
        )
            .into_response();
    };
    upgrade.on_upgrade(move |socket| async move {
        session::run(socket, remote, signaling).await;
        drop(counted);
    })
}
