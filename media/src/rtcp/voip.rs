//! The VoIP metrics report block (RFC 3611 §4.7), of 36 octets.

use std::time::Duration;

use crate::losses::{MIN_GAP, Pattern};

/// Octets of a block, its header included.
pub(crate) const LEN: usize = 36;

const BLOCK_TYPE: u8 = 7;
/// What stands for a figure that is not known (§4.7.3, §4.7.5).
const UNAVAILABLE: u8 = 127;
/// Packet loss is concealed by more than silence or a repetition (§4.7.6).
const ENHANCED_CONCEALMENT: u8 = 0b10 << 6;
const ADAPTIVE_BUFFER: u8 = 0b11 << 4;

/// How a stream of voice arrives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct VoipMetrics {
    /// The share of packets that never came, 0 to 1, and that came too late.
    pub(crate) loss: f64,
    pub(crate) discard: f64,
    pub(crate) pattern: Pattern,
    pub(crate) packet_time: Duration,
    pub(crate) round_trip: Duration,
    /// From the wire to the ear, and from the mouth to the wire.
    pub(crate) end_system_delay: Duration,
    /// In dBm0.
    pub(crate) signal_level: Option<f64>,
    pub(crate) noise_level: Option<f64>,
    /// The rating of this stream alone (§4.7.5), and its scores for listening and for conversation.
    pub(crate) r: Option<f64>,
    pub(crate) mos_lq: Option<f64>,
    pub(crate) mos_cq: Option<f64>,
    /// The jitter buffer: its delay now and the most that it takes.
    pub(crate) buffer: Duration,
    pub(crate) buffer_max: Duration,
}

impl VoipMetrics {
    /// The block about the source `ssrc`.
    pub(crate) fn to_bytes(self, ssrc: u32) -> [u8; LEN] {
        let mut block = [0; LEN];
        let packets = |count: f64| milliseconds(self.packet_time.mul_f64(count.max(0.0)));
        let mut put = |at: usize, octets: &[u8]| {
            block[at..at + octets.len()].copy_from_slice(octets);
        };
        put(0, &[BLOCK_TYPE, 0, 0, (LEN / 4 - 1) as u8]);
        put(4, &ssrc.to_be_bytes());
        put(8, &[in_256ths(self.loss), in_256ths(self.discard)]);
        put(
            10,
            &[
                in_256ths(self.pattern.burst_density),
                in_256ths(self.pattern.gap_density),
            ],
        );
        put(12, &packets(self.pattern.burst_packets));
        put(14, &packets(self.pattern.gap_packets));
        put(16, &milliseconds(self.round_trip));
        put(18, &milliseconds(self.end_system_delay));
        put(20, &[level(self.signal_level), level(self.noise_level)]);
        // The echo's return loss is not measured.
        put(22, &[UNAVAILABLE, MIN_GAP]);
        put(24, &[whole(self.r), UNAVAILABLE]);
        put(26, &[tenths(self.mos_lq), tenths(self.mos_cq)]);
        put(28, &[ENHANCED_CONCEALMENT | ADAPTIVE_BUFFER, 0]);
        put(30, &milliseconds(self.buffer));
        put(32, &milliseconds(self.buffer));
        put(34, &milliseconds(self.buffer_max));
        block
    }

    /// Reads a block's body, and the source that it is about; `None` if it is another kind of block or too short.
    pub(crate) fn read(block_type: u8, body: &[u8]) -> Option<(u32, Self)> {
        let body: &[u8; LEN - 4] = body.get(..LEN - 4)?.try_into().ok()?;
        if block_type != BLOCK_TYPE {
            return None;
        }
        let share = |at: usize| f64::from(body[at]) / 256.0;
        let time = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let known = |at: usize| Some(f64::from(body[at])).filter(|_| body[at] != UNAVAILABLE);
        let dbm0 = |at: usize| known(at).map(|_| f64::from(body[at] as i8));
        // Their packets' time is not told: one millisecond each makes the lengths read as they were written.
        let metrics = Self {
            loss: share(4),
            discard: share(5),
            pattern: Pattern {
                burst_density: share(6),
                gap_density: share(7),
                burst_packets: f64::from(time(8)),
                gap_packets: f64::from(time(10)),
            },
            packet_time: Duration::from_millis(1),
            round_trip: Duration::from_millis(time(12).into()),
            end_system_delay: Duration::from_millis(time(14).into()),
            signal_level: dbm0(16),
            noise_level: dbm0(17),
            r: known(20),
            mos_lq: known(22).map(|tenths| tenths / 10.0),
            mos_cq: known(23).map(|tenths| tenths / 10.0),
            buffer: Duration::from_millis(time(26).into()),
            buffer_max: Duration::from_millis(time(30).into()),
        };
        Some((
            u32::from_be_bytes([body[0], body[1], body[2], body[3]]),
            metrics,
        ))
    }
}

fn in_256ths(share: f64) -> u8 {
    (share * 256.0) as u8
}

fn milliseconds(duration: Duration) -> [u8; 2] {
    u16::try_from(duration.as_millis())
        .unwrap_or(u16::MAX)
        .to_be_bytes()
}

fn level(dbm0: Option<f64>) -> u8 {
    dbm0.map_or(UNAVAILABLE, |dbm0| {
        (dbm0.round().clamp(-127.0, 3.0) as i8) as u8
    })
}

fn whole(r: Option<f64>) -> u8 {
    r.map_or(UNAVAILABLE, |r| r.round().clamp(0.0, 100.0) as u8)
}

/// 10 to 50.
fn tenths(mos: Option<f64>) -> u8 {
    mos.map_or(UNAVAILABLE, |mos| {
        (mos * 10.0).round().clamp(10.0, 50.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> VoipMetrics {
        VoipMetrics {
            loss: 0.25,
            discard: 1.0 / 256.0,
            pattern: Pattern {
                burst_density: 0.5,
                gap_density: 0.0625,
                burst_packets: 3.0,
                gap_packets: 70_000.0,
            },
            packet_time: Duration::from_millis(20),
            round_trip: Duration::from_millis(258),
            end_system_delay: Duration::from_millis(61),
            signal_level: Some(-16.2),
            noise_level: None,
            r: Some(93.2),
            mos_lq: Some(4.41),
            mos_cq: Some(0.3),
            buffer: Duration::from_millis(20),
            buffer_max: Duration::from_millis(80),
        }
    }

    #[test]
    fn every_field_has_its_place() {
        let expected = [
            [7, 0, 0, 8],
            [0, 0, 0x12, 0x34],
            [64, 1, 128, 16],
            [0, 60, 255, 255],
            [1, 2, 0, 61],
            [240, 127, 127, 16],
            [93, 127, 44, 10],
            [0b1011_0000, 0, 0, 20],
            [0, 20, 0, 80],
        ];
        assert_eq!(metrics().to_bytes(0x1234), *expected.as_flattened());
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = metrics().to_bytes(0x1234);
        let (ssrc, read) = VoipMetrics::read(bytes[0], &bytes[4..]).expect("a block");
        assert_eq!(ssrc, 0x1234);
        assert_eq!(read.to_bytes(ssrc), bytes);
        assert_eq!(
            (read.noise_level, read.signal_level, read.mos_lq),
            (None, Some(-16.0), Some(4.4))
        );
        assert_eq!(VoipMetrics::read(6, &bytes[4..]), None);
        assert_eq!(VoipMetrics::read(7, &bytes[4..35]), None);
    }
}
