//! What a bridge is made with.

use std::time::Duration;

use codecs::opus::EncoderSettings;

use crate::format::{RtpFormat, StreamStart};

/// The settings of one call's media.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// How the browser is spoken with; none where there is none, since another telephone will be in its place.
    pub browser: Option<RtpFormat>,
    /// Our stream towards the browser.
    pub browser_start: StreamStart,
    /// Our stream towards the trunk.
    pub trunk_start: StreamStart,
    /// Our CNAME in RTCP (RFC 3550 §6.5.1); the first 255 octets are used.
    pub cname: String,
    /// Randomness for the times of RTCP reports.
    pub seed: u64,
    /// The NTP time (seconds since 1900 in the upper 32 bits, fractions in the lower) when the bridge is made. Only
    /// differences matter to us: 0 is fine where the wall clock is unknown.
    pub ntp_start: u64,
    /// How Opus is encoded.
    pub opus: EncoderSettings,
    /// Whether silence is left out towards an Opus side (RFC 6716 §2.1.9). libopus' own way of it, in `opus`, is best
    /// left off: it takes steady tones for noise.
    pub dtx: bool,
    /// Whether the trunk is told how its voice arrives (RTCP XR, RFC 3611 §4.7).
    pub voip_metrics: bool,
    /// Bounds.
    pub limits: Limits,
}

impl BridgeConfig {
    /// Settings with the default codec settings and limits.
    pub fn new(
        browser: impl Into<Option<RtpFormat>>,
        browser_start: StreamStart,
        trunk_start: StreamStart,
        cname: impl Into<String>,
        seed: u64,
    ) -> Self {
        Self {
            browser: browser.into(),
            browser_start,
            trunk_start,
            cname: cname.into(),
            seed,
            ntp_start: 0,
            opus: EncoderSettings::default(),
            dtx: true,
            voip_metrics: true,
            limits: Limits::default(),
        }
    }
}

/// The bounds of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most that packets are delayed to make up for jitter. One that the schedule reaches only after losses or
    /// late packets.
    pub delay: Duration,
    /// The most audio that is made up in a row; a longer loss is a pause in our stream. What is made up fades long before,
    /// and goes on so that a packet leaves every 20 ms in all but the worst bursts.
    pub concealment: Duration,
    /// How long a telephone-event lasts without a word from its sender. A packet is on its way through the
    /// playout for 20 ms of it after a loss.
    pub event_timeout: Duration,
    /// The pause between two digits we send.
    pub interdigit: Duration,
    /// The mean time between RTCP reports (RFC 3550 §6.2: 5 s).
    pub report_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(80),
            concealment: Duration::from_millis(300),
            event_timeout: Duration::from_millis(220),
            interdigit: Duration::from_millis(60),
            report_interval: Duration::from_secs(5),
        }
    }
}
