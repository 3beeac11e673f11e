//! SIP: messages, transactions, dialogs and a user agent core, all sans-IO (RFC 3261).
//!
//! The message half: [`parse_datagram`] and [`stream::Framer`] make [`Message`]s of bytes, `to_bytes` makes bytes of
//! them, [`admission`] says whether a request can be served at all, and [`verdict`] explains both for any bytes.

pub mod admission;
pub mod dialog;
pub mod digest;
mod dtmf;
pub mod endpoint;
pub mod headers;
pub mod message;
pub mod method;
pub mod params;
pub mod parse;
mod print;
pub mod registration;
pub mod status;
pub mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transaction;
pub mod uri;
pub mod verdict;

pub use dtmf::DtmfInfo;
pub use headers::{CSeq, Headers, NameAddr, ReasonHeader, ReferTo, Replaces, Via};
pub use message::{Message, Request, Response};
pub use method::Method;
pub use params::Params;
pub use parse::{ParseError, parse_datagram};
pub use status::StatusCode;
pub use uri::{Host, Scheme, Uri};
