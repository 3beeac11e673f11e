//! A STUN and TURN server (RFC 8489, RFC 8656), sans-IO.
//!
//! A [`Server`] is told messages of clients, datagrams of peers and the time; it gives back
//! answers, where data goes, events and its next deadline. It opens no socket and reads no clock;
//! its randomness comes of a seed.
//!
//! ```text
//!                          ┌ Binding ─▶ the client's address
//! client ─▶ handle_client ─┼ Allocate, Refresh, CreatePermission, ChannelBind ─▶ auth ─▶ an answer
//!                          └ Send, ChannelData ─▶ permission, policy, bandwidth ─▶ to a peer
//! peer ─▶ handle_peer ─▶ permission, policy, bandwidth ─▶ ChannelData or Data ─▶ to the client
//! ```
//!
//! With [`RelayPolicy::Own`] a relayed address is virtual: a pair of address and port that no socket
//! stands behind, which leads to the gateway's own media addresses and nowhere else. With
//! [`RelayPolicy::Open`] it is a socket that the application binds ([`Handled::Open`]).
//!
//! Nothing is kept, and nothing allocated, for whoever has not shown a MESSAGE-INTEGRITY that
//! holds. ICMP (RFC 8656 §11.5), mobility, TCP relays (RFC 6062) and USERHASH are not served.
//! SOFTWARE is not sent: it would be the larger part of many an answer.
//!
//! # Why it is our own
//!
//! `turn-server-proto` 0.7, by the authors of `stun-types`, is a complete sans-IO server, and was
//! measured beside this one (ChannelData of 120 bytes, one packet of each client in
//! turn, least of several runs; `cargo bench -p switchhook-turn --bench relay`):
//!
//! | | 1 client, to peer | to client | 1000 clients, to peer | to client |
//! |---|---|---|---|---|
//! | `turn-server-proto` 0.7.3 | 71 ns | 27 ns | 6414 ns | 1624 ns |
//! | this | 64 ns | 45 ns | 86 ns | 67 ns |
//!
//! It looks clients up one by one, and lacks what a server on the open internet needs: quotas and
//! bandwidth, rules for peers, a bound on challenges, reservations (EVEN-PORT's R bit), a virtual
//! relay. It keeps a nonce for every source that ever asked, before any proof, and allocates for
//! every answer. None of that can be had from outside.
//!
//! `stun-types` 2.0 reads and writes messages well, but an error or a nonce is a `String` first,
//! and its HMACs are not `aws-lc`'s; what of it a server needs is [`message`], three small files.
//! It stays as the cross-check in tests.

mod allocation;
mod auth;
mod bucket;
mod client;
mod config;
mod credentials;
pub mod framing;
mod limiter;
pub mod message;
mod nonce;
mod peers;
mod ports;
mod quota;
mod reservations;
mod server;
mod slab;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(any(test, feature = "testing"))]
extern crate self as turn;

pub use allocation::{CHANNEL_LIFETIME, PERMISSION_LIFETIME};
pub use client::{Client, Now, Transport};
pub use config::{Config, ConfigError, Limits, MAX_REALM, RelayAddress};
pub use credentials::{Credentials, PasswordAlgorithm, Secret, Users};
pub use limiter::Limiter;
pub use peers::{PeerRules, RelayPolicy};
pub use ports::PortRange;
pub use quota::Quotas;
pub use reservations::Reservations;
pub use server::{
    Event, HEADROOM, Handled, MAX_REPLY, Open, Server, Statistics, TAILROOM, ToClient,
};
