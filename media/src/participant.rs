//! RTCP for one who makes and takes RTP without a bridge: one side of a session between two (RFC 3550 §6).

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::playout::Content;
use crate::receiver::{Accepted, Receiver};
use crate::report::LegReport;
use crate::rtcp::Sent;
use crate::rtcp::read::Malformed;
use crate::rtcp::reporter::Reporter;
use crate::rtp::{self, Packet};

/// What a participant is made with.
#[derive(Debug, Clone)]
pub struct ParticipantConfig {
    /// The SSRC of the one stream that it sends.
    pub ssrc: u32,
    /// The clock of the audio both ways, in Hz.
    pub clock_rate: u32,
    /// Its CNAME (RFC 3550 §6.5.1); the first 255 octets are used.
    pub cname: String,
    /// Randomness for the times of its reports.
    pub seed: u64,
    /// The NTP time (seconds since 1900 in the upper 32 bits, fractions in the lower) when the participant is made.
    /// Only differences matter to us: 0 is fine where the wall clock is unknown.
    pub ntp_start: u64,
    /// The mean time between reports (RFC 3550 §6.2: 5 s). The first is due within half of it.
    pub report_interval: Duration,
}

/// One side of a session between two. It is shown the RTP that leaves and comes and says when to report it.
#[derive(Debug)]
pub struct Participant {
    config: ParticipantConfig,
    reporter: Reporter,
    receiver: Receiver,
    packets: u64,
    octets: u64,
    /// The newest timestamp of our stream, and when it was first seen: that was its moment.
    timestamp: Option<(u32, Instant)>,
}

impl Participant {
    /// One who has neither sent nor heard anything.
    pub fn new(now: Instant, config: ParticipantConfig) -> Self {
        Self {
            reporter: Reporter::new(now, config.report_interval, config.ntp_start, config.seed),
            receiver: Receiver::new(now, &Limits::default()),
            packets: 0,
            octets: 0,
            timestamp: None,
            config,
        }
    }

    /// An RTP packet of our stream leaves. What is no RTP is not counted.
    pub fn sent(&mut self, now: Instant, packet: &[u8]) {
        let Ok(packet) = rtp::read(packet) else {
            return;
        };
        self.packets += 1;
        self.octets += packet.payload.len() as u64;
        if self
            .timestamp
            .is_none_or(|(newest, _)| newest != packet.timestamp)
        {
            self.timestamp = Some((packet.timestamp, now));
        }
    }

    /// An RTP packet came. `is_audio` is false for what says nothing about jitter: a telephone-event keeps the
    /// timestamp of its beginning (RFC 4733 §2.2.1).
    pub fn received(&mut self, now: Instant, packet: &Packet<'_>, is_audio: bool) {
        let clock_rate = is_audio.then_some(self.config.clock_rate);
        // They are put in order for the figures alone.
        let accepted = self
            .receiver
            .accept(now, packet, clock_rate, Content::Other);
        if accepted != Accepted::Drop {
            while self.receiver.turn(now).is_some() {}
        }
    }

    /// Takes a plaintext compound packet.
    ///
    /// # Errors
    /// It is no RTCP; it is counted as a bad packet.
    pub fn handle_rtcp(&mut self, now: Instant, packet: &[u8]) -> Result<(), Malformed> {
        let read = self.reporter.handle(now, packet, self.config.ssrc);
        self.receiver.figures.bad += u64::from(read.is_err());
        read.map(drop)
    }

    /// The next report says goodbye (RFC 3550 §6.6) and is due at once; none follows it.
    pub fn close(&mut self, now: Instant) {
        self.reporter.close(now);
    }

    /// Writes the report that is due to the front of `buffer` (1500 octets hold every one); its length.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        let Self {
            config,
            reporter,
            receiver,
            packets,
            octets,
            timestamp,
        } = self;
        if reporter.poll_timeout()? > now {
            return None;
        }
        let sent = Sent {
            ssrc: config.ssrc,
            rtp_timestamp: timestamp_at(now, *timestamp, config.clock_rate),
            packets: *packets,
            octets: *octets,
        };
        reporter.poll(now, &config.cname, sent, None, receiver, buffer)
    }

    /// When [`Participant::poll_transmit`] has the next report.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.reporter.poll_timeout()
    }

    /// The figures of the RTP it was shown and of the reports it was sent. Those of playing audio (`concealed`,
    /// `recovered`, `undecodable`) and of queueing it (`overrun`) are zero: it does neither.
    pub fn report(&self) -> LegReport {
        let received = &self.receiver.figures;
        let rate = f64::from(self.config.clock_rate.max(1));
        LegReport {
            packets_in: received.packets,
            octets_in: received.octets,
            packets_out: self.packets,
            octets_out: self.octets,
            lost: self.receiver.lost(),
            reordered: received.reordered,
            duplicates: received.duplicates,
            late: received.late,
            bad_packets: received.bad,
            source_changes: received.source_changes,
            jitter_ms: f64::from(self.receiver.jitter()) * 1000.0 / rate,
            round_trip_ms: self.reporter.round_trip_ms,
            remote_loss: f64::from(self.reporter.remote_fraction_lost.unwrap_or(0)) / 256.0,
            remote_jitter_ms: f64::from(self.reporter.remote_jitter) * 1000.0 / rate,
            ..LegReport::default()
        }
    }
}

/// What our stream's timestamp is now, if it goes on since `newest`.
fn timestamp_at(now: Instant, newest: Option<(u32, Instant)>, clock_rate: u32) -> u32 {
    let Some((timestamp, at)) = newest else {
        return 0;
    };
    let elapsed = now.saturating_duration_since(at).as_micros() as u64;
    let units = elapsed.wrapping_mul(u64::from(clock_rate)) / 1_000_000;
    timestamp.wrapping_add(units as u32)
}
