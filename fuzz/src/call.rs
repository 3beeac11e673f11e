//! A call's bridge in virtual time, for the targets of RTP and RTCP.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use media::{Bridge, BridgeConfig, Codec, Leg, PacketKind, RtpFormat, StreamStart};

use crate::Input;

/// The SSRC we send the browser.
pub const TO_BROWSER: u32 = 0xb0b0;
/// The SSRC we send the trunk.
pub const TO_TRUNK: u32 = 0x7070;

/// A bridge, its clock, and a count of what it sent.
pub struct Call {
    /// The bridge.
    pub bridge: Bridge,
    /// The time.
    pub now: Instant,
    /// Its beginning.
    start: Instant,
    /// Datagrams handed in.
    pub given: usize,
    sent: usize,
}

impl Call {
    /// A call between the formats that two bytes choose.
    pub fn new(input: &mut Input<'_>) -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = *START.get_or_init(Instant::now);
        let browser_start = StreamStart {
            ssrc: TO_BROWSER,
            sequence: 65_530,
            timestamp: u32::MAX - 5000,
        };
        let trunk_start = StreamStart {
            ssrc: TO_TRUNK,
            sequence: 65_531,
            timestamp: u32::MAX - 900,
        };
        let config = BridgeConfig::new(
            format(input.byte()),
            browser_start,
            trunk_start,
            "gateway",
            7,
        );
        let mut bridge = Bridge::new(now, config);
        let trunk = input.byte();
        if trunk != 255 {
            bridge.connect_trunk(now, format(trunk));
        }
        Self {
            bridge,
            now,
            start: now,
            given: 0,
            sent: 0,
        }
    }

    /// Lets time pass, waking the bridge whenever it is due; it must not be due again at once.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.bridge.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.bridge.handle_timeout(self.now);
            self.collect();
            if let Some(next) = self.bridge.poll_timeout() {
                assert!(next > self.now, "woken, and due still");
            }
        }
        self.now = end;
    }

    /// Takes what is to be sent, and holds it to its bounds.
    pub fn collect(&mut self) {
        let mut buffer = [0; 1500];
        while let Some(transmit) = self.bridge.poll_transmit(self.now, &mut buffer) {
            self.sent += 1;
            assert!(transmit.len <= buffer.len());
            assert_eq!(buffer[0] >> 6, 2, "version 2");
            if transmit.kind == PacketKind::Rtp {
                let ssrc = u32::from_be_bytes([buffer[8], buffer[9], buffer[10], buffer[11]]);
                assert_eq!(
                    ssrc,
                    if transmit.leg == Leg::Browser {
                        TO_BROWSER
                    } else {
                        TO_TRUNK
                    }
                );
            }
            // A packet brings at most 120 ms, which are twelve of ours, and a gap before it 100 ms more; a digit
            // leaves as a packet every 20 ms for as long as it may last.
            let elapsed = self.now.duration_since(self.start).as_millis() as usize;
            let bound = 64 + 24 * self.given + 4 * elapsed / 10;
            assert!(
                self.sent <= bound,
                "{} sent for {} after {elapsed} ms",
                self.sent,
                self.given
            );
        }
        while self.bridge.poll_event().is_some() {}
    }

    /// Ends the call; its figures make sense.
    pub fn end(mut self) {
        self.pass(Duration::from_millis(500));
        self.bridge.close(self.now);
        self.collect();
        assert_eq!(self.bridge.poll_timeout(), None);
        let report = self.bridge.report();
        for leg in [report.browser, report.trunk] {
            assert!(leg.jitter_ms.is_finite() && leg.jitter_ms >= 0.0, "{leg:?}");
            assert!((0.0..=1.0).contains(&leg.remote_loss), "{leg:?}");
            assert!(leg.remote_jitter_ms.is_finite(), "{leg:?}");
            assert!(
                leg.round_trip_ms
                    .is_none_or(|ms| (0.0..=60_000.0).contains(&ms)),
                "{leg:?}"
            );
            assert!(
                leg.packets_in + leg.bad_packets <= self.given as u64 * 4,
                "{leg:?}"
            );
        }
    }
}

/// A format of our choice of codecs, packet lengths and events.
pub fn format(choices: u8) -> RtpFormat {
    let codec = [Codec::Opus, Codec::Pcmu, Codec::Pcma][usize::from(choices) % 3];
    let mut format = RtpFormat::usual(codec);
    let tens = u64::from(choices / 3 % 6) + 1;
    format.ptime = Duration::from_millis(10 * tens);
    if choices & 128 != 0 {
        format.telephone_event_in = None;
    }
    format
}

/// An RTP packet without CSRCs or extension.
pub fn rtp(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}
