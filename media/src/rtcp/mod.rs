//! RTCP (RFC 3550 §6): reports read in place, ours written in place.

pub(crate) mod read;
pub(crate) mod reporter;
pub(crate) mod voip;
pub(crate) mod write;

/// What a source is told about its stream (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ReportBlock {
    pub(crate) ssrc: u32,
    /// In 256ths.
    pub(crate) fraction_lost: u8,
    /// 24 bits, signed.
    pub(crate) cumulative_lost: i32,
    pub(crate) highest_sequence: u32,
    /// In RTP clock units.
    pub(crate) jitter: u32,
    /// The middle of the NTP time in the source's last sender report; 0 if there was none.
    pub(crate) last_sender_report: u32,
    /// In 65536ths of a second.
    pub(crate) delay: u32,
}

/// Our stream at the moment of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    /// What the stream's timestamp is now.
    pub(crate) rtp_timestamp: u32,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderInfo {
    pub(crate) ntp: u64,
    pub(crate) rtp_timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
/// RFC 3611 §2.
const EXTENDED_REPORT: u8 = 207;
