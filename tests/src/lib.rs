//! What the tests share.

pub mod aiortc;
pub mod baresip;
pub mod browser;
pub mod capture;
pub mod certificates;
pub mod gateway;
pub mod kamailio;
pub mod name_server;
pub mod net;
pub use load::offer;
pub mod record;
pub mod rtp;
pub mod scene;
pub mod sip_phone;
pub mod sipp;
pub mod sound;
