//! What one side of a call hears: loss, jitter, and how long each packet took through the gateway.
//!
//! The gateway rewrites sequence numbers and timestamps, so a packet that comes is matched with the one that carried
//! its audio by their places in their streams: both count 20 ms a packet, and the distance between them is constant.
//! It is found in the first packets: none comes before it was sent, and the fastest took less than 20 ms.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use media::rtp::Packet;

/// Packets from whose times the distance between the streams is found; they are not in the figures.
const WARM_UP: u64 = 50;

/// How many packets' times are kept of a stream; the figures of a longer one are those of its end.
const MOST_TIMES: usize = 20_000;

/// How many packets are known with the time when they were sent: 20 s.
const SENT: usize = 1000;

/// When each packet of a stream left, by its place in the stream.
#[derive(Debug, Default)]
pub struct SentLog(Mutex<(u64, Vec<Instant>)>);

impl SentLog {
    /// The next packet leaves; which one it is.
    pub fn sent(&self, now: Instant) -> u64 {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, times) = &mut *log;
        let place = (*count % SENT as u64) as usize;
        match times.get_mut(place) {
            Some(time) => *time = now,
            None => times.push(now),
        }
        *count += 1;
        *count - 1
    }

    /// A packet that was held up on its way out leaves now.
    pub fn sent_late(&self, number: u64, now: Instant) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if number < log.0 && log.0 - number <= SENT as u64 {
            let place = (number % SENT as u64) as usize;
            if let Some(time) = log.1.get_mut(place) {
                *time = now;
            }
        }
    }

    /// The number of the last one that left.
    fn last(&self) -> Option<u64> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.0.checked_sub(1)
    }

    fn time(&self, number: u64) -> Option<Instant> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = number < log.0 && log.0 - number <= SENT as u64;
        known
            .then(|| log.1.get((number % SENT as u64) as usize).copied())
            .flatten()
    }
}

/// The times of the packets of one stream.
#[derive(Debug)]
pub struct Ear {
    /// 20 ms, in units of the timestamps.
    units: u32,
    /// A timestamp, and the number of the packet that carried its audio.
    anchor: Option<(u32, u64)>,
    heard: u64,
    /// The least time in the warm-up, as long as that lasts.
    least: Duration,
    times: Vec<u32>,
}

impl Ear {
    /// An ear that has heard nothing. 20 ms are so many units of the timestamps.
    pub fn new(units: u32) -> Self {
        Self {
            units,
            anchor: None,
            heard: 0,
            least: Duration::MAX,
            times: Vec::new(),
        }
    }

    /// A packet of audio came, of the stream whose packets left as the log says. Says which one carried its audio, once
    /// that is known.
    pub fn hear(&mut self, now: Instant, packet: &Packet<'_>, log: &SentLog) -> Option<u64> {
        let last = log.last()?;
        let (timestamp, number) = *self.anchor.get_or_insert((packet.timestamp, last));
        let units = i64::from(packet.timestamp.wrapping_sub(timestamp) as i32);
        let here = number.checked_add_signed(units.div_euclid(i64::from(self.units)))?;
        let took = log
            .time(here)
            .and_then(|sent| now.checked_duration_since(sent));
        let Some(took) = took else {
            // It would have come before it was sent: the distance is a packet less, or the stream made a jump.
            self.anchor = Some((packet.timestamp, last));
            return None;
        };
        self.heard += 1;
        if self.heard <= WARM_UP {
            self.least = self.least.min(took);
            if self.heard == WARM_UP {
                self.anchor = Some((timestamp, number + self.least.as_millis() as u64 / 20));
            }
            return None;
        }
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.times.len() < MOST_TIMES {
            self.times.push(micros);
        } else {
            let place = (self.heard % MOST_TIMES as u64) as usize;
            self.times[place] = micros;
        }
        Some(here)
    }

    /// How long packets took, in microseconds.
    pub fn times(&self) -> &[u32] {
        &self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    fn packet(timestamp: u32) -> Packet<'static> {
        Packet {
            ssrc: 1,
            sequence: 0,
            timestamp,
            marker: false,
            payload_type: 0,
            payload: &[],
        }
    }

    /// What is heard of 500 packets that each take so long, when the first that comes is the `first`.
    fn hear(took: Duration, first: u32) -> Vec<u32> {
        let (start, log, mut ear) = (Instant::now(), SentLog::default(), Ear::new(160));
        let mut next = first;
        for number in 0..500 {
            let now = start + FRAME * number;
            while next < number && start + FRAME * next + took < now {
                ear.hear(
                    start + FRAME * next + took,
                    &packet(next.wrapping_mul(160) + 77),
                    &log,
                );
                next += 1;
            }
            log.sent(now);
        }
        ear.times().to_vec()
    }

    #[test]
    fn a_packet_is_matched_with_the_one_that_carried_its_audio() {
        for (ms, first) in [(1, 0), (1, 7), (19, 3)] {
            let times = hear(Duration::from_millis(ms), first);
            assert!(times.len() > 400);
            assert!(
                times.iter().all(|time| u64::from(*time) == ms * 1000),
                "{ms}: {times:?}"
            );
        }
    }

    #[test]
    fn a_stream_that_jumps_is_matched_anew_and_not_measured_as_late() {
        let (start, log, mut ear) = (Instant::now(), SentLog::default(), Ear::new(160));
        for number in 0..400 {
            let now = start + FRAME * number;
            log.sent(now);
            let jump = if number < 200 { 0 } else { 160_000 };
            ear.hear(
                now + Duration::from_millis(2),
                &packet(number * 160 + jump),
                &log,
            );
        }
        assert!(
            ear.times().iter().all(|time| *time == 2000),
            "{:?}",
            ear.times()
        );
    }
}
