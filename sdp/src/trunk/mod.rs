//! The SIP side's dialect: `RTP/AVP`, an address in `c=`, a port in `m=` (RFC 8866, RFC 3264, RFC 3551).

mod answer;
mod keying;
mod offer;
mod profile;
mod read;
mod read_answer;
mod read_offer;

pub use answer::answer;
pub use keying::{Keying, Srtp};
pub use offer::{OfferOptions, offer, offer_fresh};
pub use profile::{ConnectionPlace, Profile, RtcpAttribute};
pub use read_answer::read_answer;
pub use read_offer::{Audio, Offer, Section, read_offer};

#[cfg(test)]
mod keying_tests;
#[cfg(test)]
mod tests;
