//! What an exchange of offer and answer agreed on.

use std::net::SocketAddr;

use serde::Serialize;

use crate::trunk::Srtp;
use crate::{Codec, Direction, Format, Note};

/// One audio stream as both sides agreed to it, from the gateway's point of view.
///
/// Payload types are by direction (RFC 3264 §5.1): each side says what it wants to *receive*, so what the gateway
/// sends is numbered by the other side's description and what it receives by its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Negotiated {
    /// The codec that the gateway sends and expects.
    pub codec: Codec,
    /// Payload type of that codec in packets to the gateway.
    pub payload_type_in: u8,
    /// Payload type of that codec in packets from the gateway.
    pub payload_type_out: u8,
    /// Payload type of telephone events to the gateway; `None`: digits do not come as events.
    pub telephone_event_in: Option<u8>,
    /// Payload type of telephone events from the gateway; `None`: digits cannot be sent as events.
    pub telephone_event_out: Option<u8>,
    /// Clock rate of the telephone events in Hz; the codec's own where there are none.
    pub telephone_event_clock_rate: u32,
    /// Payload type of comfort noise both ways (RFC 3389); `None`: pauses are filled.
    pub comfort_noise: Option<u8>,
    /// Packetisation time of what the gateway sends, in milliseconds, 10 to 60.
    pub ptime_ms: u32,
    /// What the gateway may do: `sends()` is towards the other side.
    pub direction: Direction,
    /// Where the other side wants RTP; `None` behind ICE, and for a held `0.0.0.0`.
    pub remote_rtp: Option<SocketAddr>,
    /// Where the other side wants RTCP (RFC 3605, RFC 8858; else the next port up).
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// How its packets are protected; on the browser's side by DTLS, which is not told here.
    pub srtp: Srtp,
    /// Other formats the other side may send, under the payload types given, without a new offer (RFC 3264 §7).
    pub also_accepted: Vec<Format>,
    /// What was ignored, repaired or chosen while reading.
    pub notes: Vec<Note>,
}
