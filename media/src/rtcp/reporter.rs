//! When one leg is reported to, and what is learnt from its reports.

use std::time::{Duration, Instant};

use super::read::{self, Item, Malformed};
use super::voip::VoipMetrics;
use super::write::Compound;
use super::{RECEIVER_REPORT, ReportBlock, SENDER_REPORT, SenderInfo, Sent};
use crate::receiver::Receiver;

/// A round trip longer than this is a mistake.
const MAX_ROUND_TRIP: f64 = 60_000.0;

/// RTCP of one leg.
#[derive(Debug)]
pub(crate) struct Reporter {
    epoch: Instant,
    ntp_start: u64,
    interval: Duration,
    random: Random,
    next: Instant,
    goodbye: Goodbye,
    /// We have reported before.
    known: bool,
    /// Packets that we had sent at the last report and the one before.
    sent: [u64; 2],
    /// The source's last sender report: whose, the middle of its NTP time, when it came.
    last_sender_report: Option<(u32, u32, Instant)>,
    pub(crate) round_trip_ms: Option<f64>,
    /// In 256ths.
    pub(crate) remote_fraction_lost: Option<u8>,
    /// In RTP clock units.
    pub(crate) remote_jitter: u32,
    expected_loss: u8,
    /// Of our stream, since it began.
    pub(crate) remote_lost: u64,
    /// Their last reports without a word of our stream.
    pub(crate) unreported: u32,
    /// What they last said of our voice.
    pub(crate) remote_voip: Option<VoipMetrics>,
}

#[derive(Debug, PartialEq, Eq)]
enum Goodbye {
    NotYet,
    Due,
    Said,
}

impl Reporter {
    /// A reporter whose first report is due within half an interval: between two there is nobody to be considerate
    /// of (RFC 3550 §6.2 would allow none at all).
    pub(crate) fn new(now: Instant, interval: Duration, ntp_start: u64, seed: u64) -> Self {
        let mut random = Random(seed);
        let next = now + random.spread(interval / 3);
        Self {
            epoch: now,
            ntp_start,
            interval,
            random,
            next,
            goodbye: Goodbye::NotYet,
            known: false,
            sent: [0; 2],
            last_sender_report: None,
            round_trip_ms: None,
            remote_fraction_lost: None,
            remote_jitter: 0,
            expected_loss: 0,
            remote_lost: 0,
            unreported: 0,
            remote_voip: None,
        }
    }

    /// Reads their reports. Says whether there was news about the loss of our stream.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        our_ssrc: u32,
    ) -> Result<bool, Malformed> {
        let mut news = false;
        read::read(datagram, |item| match item {
            Item::Sender { ssrc, info } => {
                self.last_sender_report = Some((ssrc, (info.ntp >> 16) as u32, now));
            }
            Item::Block(block) if block.ssrc == our_ssrc => {
                self.learn(now, &block);
                news = true;
            }
            Item::Voip { ssrc, metrics } if ssrc == our_ssrc => self.remote_voip = Some(metrics),
            // Another stream's, or a goodbye: signalling ends calls, not RTCP.
            Item::Block(_) | Item::Voip { .. } | Item::Goodbye { .. } => {}
        })?;
        if news {
            self.unreported = 0;
        } else if matches!(datagram.get(1), Some(&(SENDER_REPORT | RECEIVER_REPORT))) {
            self.unreported = self.unreported.saturating_add(1);
        }
        Ok(news)
    }

    /// When the next report is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.goodbye {
            Goodbye::NotYet | Goodbye::Due => Some(self.next),
            Goodbye::Said => None,
        }
    }

    /// The next report is the last one, and due at once.
    pub(crate) fn close(&mut self, now: Instant) {
        if self.goodbye == Goodbye::NotYet {
            self.goodbye = Goodbye::Due;
            self.next = now;
        }
    }

    /// The loss to prepare for in percent: what they report at once, less only by and by.
    pub(crate) fn expected_loss(&self) -> u8 {
        self.expected_loss
    }

    /// Writes the report that is due; its length. `voip` describes the source's voice, for those who are told.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        cname: &str,
        sent: Sent,
        voip: Option<VoipMetrics>,
        receiver: &mut Receiver,
        buffer: &mut [u8],
    ) -> Option<usize> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.next = now + self.random.spread(self.interval);
        // A sender is who has sent since the last report but one (RFC 3550 §6.4).
        let is_sender = sent.packets > self.sent[1];
        self.sent = [sent.packets, self.sent[0]];
        let goodbye = self.goodbye == Goodbye::Due;
        if goodbye {
            self.goodbye = Goodbye::Said;
            // Who was never heard of does not leave (RFC 3550 §6.3.7).
            if !self.known && sent.packets == 0 {
                return None;
            }
        }
        self.known = true;
        let compound = Compound {
            ssrc: sent.ssrc,
            sender: is_sender.then(|| self.sender_info(now, &sent)),
            block: self.block(now, receiver),
            cname,
            voip,
            goodbye,
        };
        compound.write(buffer)
    }

    fn sender_info(&self, now: Instant, sent: &Sent) -> SenderInfo {
        SenderInfo {
            ntp: self.ntp(now),
            rtp_timestamp: sent.rtp_timestamp,
            packets: sent.packets as u32,
            octets: sent.octets as u32,
        }
    }

    fn block(&self, now: Instant, receiver: &mut Receiver) -> Option<ReportBlock> {
        let source = receiver.source()?;
        let heard = self
            .last_sender_report
            .filter(|(ssrc, _, _)| *ssrc == source.ssrc);
        let (last_sender_report, delay) = match heard {
            Some((_, middle, at)) => (middle, compact(now.saturating_duration_since(at))),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: source.tracker.take_fraction_lost(),
            cumulative_lost: source.tracker.lost().min(0x7f_ffff) as i32,
            highest_sequence: source.tracker.extended_highest(),
            jitter: source.jitter.units(),
            last_sender_report,
            delay,
        })
    }

    fn learn(&mut self, now: Instant, block: &ReportBlock) {
        self.remote_fraction_lost = Some(block.fraction_lost);
        self.remote_jitter = block.jitter;
        self.remote_lost = u64::try_from(block.cumulative_lost).unwrap_or(0);
        let reported = (u32::from(block.fraction_lost) * 100).div_ceil(256) as u8;
        self.expected_loss = reported.max(self.expected_loss / 4 * 3);
        if block.last_sender_report == 0 {
            return;
        }
        // RFC 3550 §6.4.1: A - LSR - DLSR, in 65536ths of a second.
        let middle = (self.ntp(now) >> 16) as u32;
        let round_trip = middle
            .wrapping_sub(block.last_sender_report)
            .wrapping_sub(block.delay) as i32;
        let milliseconds = f64::from(round_trip) * 1000.0 / 65536.0;
        // Their delay is cut to 65536ths and so may be a touch too long.
        if (-1.0..=MAX_ROUND_TRIP).contains(&milliseconds) {
            self.round_trip_ms = Some(milliseconds.max(0.0));
        }
    }

    fn ntp(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        self.ntp_start
            .wrapping_add(elapsed.as_secs() << 32 | fraction)
    }
}

/// A duration in 65536ths of a second.
fn compact(duration: Duration) -> u32 {
    (duration.as_micros() * 65536 / 1_000_000).min(u128::from(u32::MAX)) as u32
}

/// Numbers spread over time by the seed handed in (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// Half to one and a half times `mean` (RFC 3550 §6.2).
    fn spread(&mut self, mean: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        mean / 2 + mean.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}
