//! RTP and RTCP, sequencing, DTMF relay and the two pipes of a call, sans-IO.
//!
//! A [`Bridge`] is a call's media. It is told packets and the time, and says what to send, when to be called again
//! and what happened. After it is made (and its trunk connected) the packet path allocates nothing.

mod bridge;
mod config;
mod dtmf;
mod format;
mod outgoing;
mod path;
mod pipe;
mod queue;
mod receiver;
mod reorder;
mod report;
mod rtcp;
mod rtp;
mod sequence;
mod side;
mod timeline;

pub use bridge::{Bridge, BridgeEvent, PacketKind, Transmit};
pub use config::{BridgeConfig, Limits};
pub use dtmf::{Digit, DtmfQueueFull, NotADigit};
pub use format::{Codec, Leg, RtpFormat, StreamStart};
pub use report::{BridgeReport, LegReport};
