//! The figures of a call, for its record and for metrics.

use std::time::Duration;

use crate::e_model::Hearing;

/// What a bridge has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BridgeReport {
    /// The browser's leg.
    pub browser: LegReport,
    /// The trunk's leg.
    pub trunk: LegReport,
    /// What the trunk hears of the browser; nothing where that said nothing.
    pub to_trunk: Option<Hearing>,
    /// What the browser hears of the trunk.
    pub to_browser: Option<Hearing>,
    /// Events that nobody fetched in time and that were dropped.
    pub dropped_events: u64,
}

/// One leg's figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LegReport {
    /// Valid RTP packets that came, duplicates and late ones included.
    pub packets_in: u64,
    /// Their payload octets.
    pub octets_in: u64,
    /// RTP packets that we sent.
    pub packets_out: u64,
    /// Their payload octets.
    pub octets_out: u64,
    /// Packets that never came (RFC 3550 A.3), over all sources.
    pub lost: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came after their place had been filled.
    pub late: u64,
    /// Packets that were no RTP, no RTCP, of no known payload type or from a source we do not follow.
    pub bad_packets: u64,
    /// How often the source changed or restarted.
    pub source_changes: u64,
    /// Interarrival jitter (RFC 3550 A.8) in milliseconds.
    pub jitter_ms: f64,
    /// The last round trip measured from their RTCP reports, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// The loss they last reported of our stream, as a fraction of 1.
    pub remote_loss: f64,
    /// The jitter they last reported of our stream, in milliseconds.
    pub remote_jitter_ms: f64,
    /// Their last reports that said nothing of our stream, in a row: none of it arrived.
    pub unreported: u32,
    /// The score for listening that they gave our stream (RTCP XR, RFC 3611 §4.7.5), 1 to 5.
    pub remote_mos: Option<f64>,
    /// Packets from this leg with a voice in them, or whatever is louder than -50 dBm0. Opus that is passed on is told
    /// by its size.
    pub voiced: u64,
    /// The level of those, in dBm0, where it was measured.
    pub level_dbm0: Option<f64>,
    /// Audio from this leg that was lost and made up, by FEC or by concealment.
    pub concealed: Duration,
    /// The part of it that FEC gave back.
    pub recovered: Duration,
    /// Opus or G.711 payloads that could not be decoded.
    pub undecodable: u64,
    /// Packets towards this leg that were dropped because nobody fetched them.
    pub overrun: u64,
}
