//! The phone page and its client, embedded in the program.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../web/phone"]
struct Phone;

#[derive(RustEmbed)]
#[folder = "../web/client"]
struct Client;

/// Nothing from elsewhere, nothing inline, no framing: the page makes calls with a microphone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
    connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(super) async fn index() -> Response {
    respond(Phone::get("index.html"))
}

pub(super) async fn phone(Path(path): Path<String>) -> Response {
    respond(Phone::get(&path))
}

pub(super) async fn client(Path(path): Path<String>) -> Response {
    respond(Client::get(&path))
}

fn respond(file: Option<EmbeddedFile>) -> Response {
    let Some(file) = file else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let kind = file.metadata.mimetype().to_owned();
    let kind = HeaderValue::try_from(if kind.starts_with("text/") {
        kind + "; charset=utf-8"
    } else {
        kind
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            kind.unwrap_or(HeaderValue::from_static("application/octet-stream")),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (headers, file.data).into_response()
}
