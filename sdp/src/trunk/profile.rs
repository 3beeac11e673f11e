//! A trunk's quirks as data.

use serde::{Deserialize, Serialize};

use crate::Codec;

/// How one trunk wants its SDP. Every field has a default that suits most; a trunk's settings name only what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Codecs offered, in this order; empty: the gateway's own order.
    pub codecs: Vec<Codec>,
    /// Payload type of Opus, 96 to 127 (RFC 7587 has none fixed).
    pub opus_payload_type: u8,
    /// `maxaveragebitrate` asked of the phone's Opus encoder in bit/s; absent: not asked (RFC 7587 §6.1).
    pub opus_max_average_bitrate: Option<u32>,
    /// Offer comfort noise (RFC 3389): pauses of the browser are told of instead of being filled. Many PBXs do without.
    pub comfort_noise: bool,
    /// Offer telephone events (RFC 4733) where the call wants digits; `false`: the trunk chokes on them.
    pub telephone_event: bool,
    /// Payload type of telephone events at 8000 Hz, 96 to 127. Some old gateways know only 101.
    pub telephone_event_payload_type: u8,
    /// Payload type of telephone events at 48 000 Hz, offered only beside Opus, 96 to 127; 0: never offered.
    pub telephone_event_48k_payload_type: u8,
    /// The events in `a=fmtp`: `0-15`, or `0-16` with hook flash.
    pub telephone_event_range: String,
    /// Send and expect events as offered even when the answer leaves them out.
    pub assume_telephone_event: bool,
    /// Packet length in milliseconds, 10 to 60; absent: the gateway's own.
    pub ptime_ms: Option<u32>,
    /// Write `a=ptime` (RFC 8866 §6.4).
    pub write_ptime: bool,
    /// Write `a=maxptime` with this many milliseconds (RFC 8866 §6.5).
    pub maxptime_ms: Option<u32>,
    /// Write `a=rtpmap` for payload types 0 and 8 too, which RFC 3551 already fixes.
    pub static_rtpmap: bool,
    /// Write `a=sendrecv`, which is the default anyway (RFC 8866 §6.7.1).
    pub write_sendrecv: bool,
    /// When to write `a=rtcp` (RFC 3605).
    pub rtcp: RtcpAttribute,
    /// Offer RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: bool,
    /// Exchange VoIP metrics in RTCP (RFC 3611 §4.7): asked for in SDP, and sent. `false`: the trunk chokes on them.
    pub rtcp_xr: bool,
    /// Where `c=` stands.
    pub connection: ConnectionPlace,
    /// Send RTP to where it comes from (symmetric RTP, RFC 4961) once the source is learned, rather than to `c=`.
    /// Not written in SDP; for the media plane.
    pub symmetric_rtp: bool,
    /// The user name in `o=`; `-` for none (RFC 8866 §5.2).
    pub origin_username: String,
    /// The session name in `s=` (RFC 8866 §5.3); some phones show it.
    pub session_name: String,
    /// `b=AS:` in kbit/s (RFC 8866 §5.8); absent: not written.
    pub bandwidth_kbps: Option<u32>,
    /// In answers, follow our order of codecs rather than the offer's (RFC 3264 §6.1 leaves it open).
    pub prefer_own_codecs: bool,
    /// In answers, list every codec in common rather than one; then either side may switch without asking.
    pub answer_all_codecs: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            codecs: Vec::new(),
            opus_payload_type: 107,
            opus_max_average_bitrate: None,
            comfort_noise: false,
            telephone_event: true,
            telephone_event_payload_type: 101,
            telephone_event_48k_payload_type: 102,
            telephone_event_range: "0-15".into(),
            assume_telephone_event: false,
            ptime_ms: None,
            write_ptime: true,
            maxptime_ms: None,
            static_rtpmap: true,
            write_sendrecv: true,
            rtcp: RtcpAttribute::WhenNotNext,
            rtcp_mux: false,
            rtcp_xr: true,
            connection: ConnectionPlace::Session,
            symmetric_rtp: true,
            origin_username: "-".into(),
            session_name: "-".into(),
            bandwidth_kbps: None,
            prefer_own_codecs: false,
            answer_all_codecs: false,
        }
    }
}

/// When `a=rtcp` (RFC 3605) is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RtcpAttribute {
    /// Only where RTCP is not on the port after RTP's.
    #[default]
    WhenNotNext,
    /// Always, for peers that send no RTCP without it.
    Always,
    /// Never, for peers that refuse it.
    Never,
}

/// Where `c=` stands (RFC 8866 §5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionPlace {
    /// Once, for the session.
    #[default]
    Session,
    /// In the media section.
    Media,
    /// In both.
    Both,
}

impl Profile {
    /// Every mistake in the values, each with the name of its field.
    pub fn mistakes(&self) -> Vec<(&'static str, &'static str)> {
        let mut mistakes = Vec::new();
        let mut check = |right: bool, field, wanted| {
            if !right {
                mistakes.push((field, wanted));
            }
        };
        let dynamic = |number: u8| (96..=127).contains(&number);
        check(
            dynamic(self.opus_payload_type),
            "opus_payload_type",
            "must be 96 to 127 (RFC 3551 §6)",
        );
        check(
            dynamic(self.telephone_event_payload_type),
            "telephone_event_payload_type",
            "must be 96 to 127 (RFC 3551 §6)",
        );
        let events_48k = self.telephone_event_48k_payload_type;
        check(
            events_48k == 0 || dynamic(events_48k),
            "telephone_event_48k_payload_type",
            "must be 96 to 127, or 0 for none",
        );
        let mut numbers = [
            self.opus_payload_type,
            self.telephone_event_payload_type,
            events_48k,
        ];
        numbers.sort_unstable();
        check(
            numbers.windows(2).all(|pair| pair.first() != pair.last()),
            "opus_payload_type",
            "the three payload types must differ",
        );
        check(
            self.ptime_ms.is_none_or(is_ptime),
            "ptime_ms",
            "must be 10, 20, 30, 40, 50 or 60",
        );
        check(
            self.maxptime_ms.is_none_or(|ms| (10..=1000).contains(&ms)),
            "maxptime_ms",
            "must be 10 to 1000",
        );
        check(
            self.opus_max_average_bitrate
                .is_none_or(|rate| (6_000..=510_000).contains(&rate)),
            "opus_max_average_bitrate",
            "must be 6000 to 510000 (RFC 7587 §6.1)",
        );
        check(
            is_event_range(&self.telephone_event_range),
            "telephone_event_range",
            "must be numbers and ranges, such as 0-15 (RFC 4733 §2.4.1)",
        );
        check(
            crate::description::is_token(&self.origin_username),
            "origin_username",
            "must be a word without spaces",
        );
        check(
            !self.session_name.is_empty() && !self.session_name.contains(['\r', '\n', '\0']),
            "session_name",
            "must not be empty nor hold a line break",
        );
        mistakes
    }
}

fn is_ptime(ms: u32) -> bool {
    (10..=60).contains(&ms) && ms.is_multiple_of(10)
}

fn is_event_range(text: &str) -> bool {
    text.split(',').all(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        matches!((from.parse::<u8>(), to.parse::<u8>()), (Ok(from), Ok(to)) if from <= to)
    })
}
