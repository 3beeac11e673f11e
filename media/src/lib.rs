//! RTP and RTCP, sequencing, DTMF relay and the two pipes of a call, sans-IO.
//!
//! A [`Bridge`] is a call's media. It is told packets and the time, and says what to send, when to be called again
//! and what happened. After it is made (and its trunk connected) the packet path allocates nothing.
//!
//! What makes its own RTP (a telephone, a load caller) has [`rtp`] to read and write it and a [`Participant`] for its
//! RTCP.

mod arrivals;
mod bridge;
mod config;
mod dtmf;
mod e_model;
mod format;
mod impairment;
mod level;
mod losses;
mod outgoing;
mod participant;
mod path;
mod pipe;
mod playout;
mod quality;
mod queue;
mod receiver;
mod report;
mod rtcp;
pub mod rtp;
mod sequence;
mod side;
mod timeline;

pub use bridge::{Bridge, BridgeEvent, PacketKind, Transmit};
pub use config::{BridgeConfig, Limits};
pub use dtmf::{Digit, DtmfQueueFull, DtmfWay, NotADigit};
pub use e_model::{Hearing, Rating};
pub use format::{Codec, Leg, RtpFormat, StreamStart};
pub use impairment::{BadImpairment, Impairment, ImpairmentReport, ImpairmentSettings};
pub use participant::{Participant, ParticipantConfig};
pub use report::{BridgeReport, LegReport};
pub use rtcp::read::Malformed as MalformedRtcp;
