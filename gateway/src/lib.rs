//! The program: settings, signalling, the call machine, media workers and the SIP sockets.
//!
//! This crate alone owns sockets, clocks, tasks and files; what is protocol or signal processing
//! lives in the pure crates beside it.

pub mod call;
pub mod directory;
pub mod explain;
pub mod external_address;
pub mod fetch;
pub mod lab;
mod newcomers;
pub mod permit;
pub mod server;
pub mod settings;
pub mod signaling;
pub mod sip_driver;
pub mod stir;
pub mod tls;
pub mod token;
pub mod trunks;
pub mod turn_port;
pub mod worker;
