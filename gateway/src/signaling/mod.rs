//! The browser's side: JSEP over WebSocket (RFC 8829, RFC 6455), subprotocol `switchhook.v1`, and
//! the phone page.

mod assets;
mod attempts;
pub mod gate;
pub mod http;
pub mod ice_servers;
pub mod message;
mod origin;
pub mod outbox;
mod session;

pub(crate) use attempts::source;
