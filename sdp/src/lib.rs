//! SDP in both dialects, browser and SIP: parsing, offer/answer, and translation that explains itself.
//!
//! Two dialects of one language (RFC 8866) meet in a gateway. A browser speaks the one of JSEP (RFC 9429):
//! `UDP/TLS/RTP/SAVPF`, ICE, DTLS fingerprints, BUNDLE. A telephone speaks plain `RTP/AVP` with an address
//! in `c=` and a port in `m=`. This crate reads either into typed values, negotiates by RFC 3264, writes the
//! other, and says for every line what became of it and why ([`Note`]).
//!
//! * [`browser`]: reads a browser's offer, answers it as an ICE-lite DTLS server; writes offers to browsers.
//! * [`trunk`]: writes and reads the SIP side's offers and answers, with a trunk's quirks as data ([`trunk::Profile`]).
//! * [`explain`]: any SDP text in, a verdict and the translation out.
//!
//! Sans-IO: text and options in, text and values out. Whatever a peer sends is answered with a value or a
//! [`Refusal`], never with a panic, and within the limits of [`limits`].

pub mod browser;
pub mod crypto;
pub mod explain;
pub mod limits;
pub mod trunk;

mod attributes;
mod description;
mod direction;
mod fingerprint;
mod format;
mod negotiated;
mod note;
mod refusal;
mod write;

pub use direction::Direction;
pub use format::{Codec, Format, Preference};
pub use negotiated::Negotiated;
pub use note::{Action, Note};
pub use refusal::{At, Refusal};
