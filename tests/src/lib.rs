//! What the tests share.

pub mod net;
pub mod offer;
