//! The browser's dialect: JSEP (RFC 9429) over BUNDLE (RFC 9143), ICE (RFC 8839) and DTLS-SRTP (RFC 5763, RFC 8842).

mod answer;
mod choose;
mod offer;
mod write_offer;

pub use crate::Preference;
pub use answer::{Answer, AnswerOptions, OpusOptions, answer};
pub use offer::{Audio, Carrier, Offer, Section, Setup, read_offer};
pub use write_offer::{OfferOptions, offer};

use std::net::SocketAddr;

use crate::Refusal;

/// Our side of ICE and DTLS, checked before it is written.
pub(crate) struct Transport<'a> {
    pub(crate) ufrag: &'a str,
    pub(crate) pwd: &'a str,
    pub(crate) fingerprint: &'a str,
    pub(crate) candidates: &'a [SocketAddr],
}

impl Transport<'_> {
    /// The default candidate: what goes in `m=` and `c=` (RFC 8839 §4.2.1.2).
    pub(crate) fn check(&self) -> Result<SocketAddr, Refusal> {
        let options = |what| Err(Refusal::Options { what });
        if !offer::is_ice_string(self.ufrag, 4) {
            return options("ufrag must be 4 to 256 letters, digits, + or /");
        }
        if !offer::is_ice_string(self.pwd, 22) {
            return options("pwd must be 22 to 256 letters, digits, + or /");
        }
        if crate::fingerprint::parse(self.fingerprint).is_none() {
            return options("fingerprint must be 32 hexadecimal pairs with colons");
        }
        match self.candidates.first() {
            Some(first) => Ok(*first),
            None => options("candidates must name at least one address"),
        }
    }
}

#[cfg(test)]
mod tests;
