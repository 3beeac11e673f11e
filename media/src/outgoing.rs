//! One of our RTP streams: its SSRC, sequence and timestamps are ours and never jump.

use std::time::{Duration, Instant};

use crate::format::{Codec, RtpFormat, StreamStart};
use crate::queue::Queue;
use crate::rtcp::Sent;
use crate::rtp::Header;
use crate::timeline::samples_in;

/// Behind this much unplayed time an event may start without moving the stream on, in samples (60 ms).
const SLACK: u64 = 480;

/// More than this is not sent ahead: only who claims more time than passes gets there. The longest Opus packet is
/// 120 ms.
const BACKLOG: Duration = Duration::from_millis(200);

/// Audio for one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Audio<'a> {
    pub(crate) payload: &'a [u8],
    /// Its samples at 8 kHz.
    pub(crate) samples: usize,
    /// How many samples came in with the packet it was made of.
    pub(crate) burst: usize,
    /// Whether it is the first packet made of that one.
    pub(crate) first: bool,
}

/// A stream towards one leg.
#[derive(Debug)]
pub(crate) struct Outgoing {
    ssrc: u32,
    sequence: u16,
    /// The timestamp of the next audio.
    timestamp: u32,
    /// When the audio before `timestamp` was played.
    played: Option<Instant>,
    /// Samples that an event moved the stream on by, before the audio's own pause told of them.
    ahead: u64,
    /// While tones of ours take the audio's place: how much more of them there was than of it, in samples.
    tones: Option<i64>,
    marker: bool,
    format: Option<RtpFormat>,
    sending: bool,
    queue: Queue,
    /// When the last packet in the queue leaves, and the audio that waits in it.
    last_due: Option<Instant>,
    /// That packet leaves later than it could.
    late: bool,
    /// What we sent, for RTCP.
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    pub(crate) overrun: u64,
}

impl Outgoing {
    /// A stream that has sent nothing.
    pub(crate) fn new(start: StreamStart) -> Self {
        Self {
            ssrc: start.ssrc,
            sequence: start.sequence,
            timestamp: start.timestamp,
            played: None,
            ahead: 0,
            tones: None,
            marker: true,
            format: None,
            sending: true,
            queue: Queue::new(),
            last_due: None,
            late: false,
            packets: 0,
            octets: 0,
            overrun: 0,
        }
    }

    /// Takes up a format, or another one: the timestamps go on from where they are, at its clock (RFC 7160 §4).
    pub(crate) fn set_format(&mut self, format: RtpFormat) {
        self.marker |= self
            .format
            .is_some_and(|before| before.codec != format.codec);
        self.format = Some(format);
    }

    /// The format, once there is one.
    pub(crate) fn format(&self) -> Option<&RtpFormat> {
        self.format.as_ref()
    }

    /// Our SSRC.
    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether packets leave (hold). The stream's time goes on meanwhile.
    pub(crate) fn set_sending(&mut self, sending: bool) {
        self.marker |= self.sending != sending;
        self.sending = sending;
    }

    /// Sends audio that follows the audio before it.
    pub(crate) fn audio(&mut self, now: Instant, audio: Audio<'_>) {
        let Some(format) = self.format else { return };
        // Its own pause, if there was one, has been told of by now.
        self.ahead = 0;
        let due = self.due(now, &audio);
        if due > now + BACKLOG {
            self.overrun += 1;
            self.marker = true;
        } else if self.sending {
            self.late = due > now;
            let marker = std::mem::take(&mut self.marker);
            self.push(
                due,
                format.payload_type_out,
                marker,
                self.timestamp,
                audio.payload,
            );
        }
        self.advance(now, audio.samples as u64);
    }

    /// Tones of ours take the place of their audio from now on: the stream's time is kept by them.
    pub(crate) fn begin_tones(&mut self, now: Instant) {
        if self.tones.is_none() {
            self.begin_event(now);
            self.tones = Some(i64::try_from(std::mem::take(&mut self.ahead)).unwrap_or(i64::MAX));
        }
    }

    /// So much of them was sent.
    pub(crate) fn tones(&mut self, samples: u64) {
        if let Some(balance) = &mut self.tones {
            *balance = balance.saturating_add_unsigned(samples);
        }
    }

    /// Their audio goes on. Time that passed for it and was not filled is a pause; time that was filled is not to pass
    /// again.
    pub(crate) fn end_tones(&mut self, now: Instant) {
        match self.tones.take() {
            Some(balance) if balance < 0 => self.skip(now, balance.unsigned_abs()),
            Some(balance) => self.ahead = balance.unsigned_abs(),
            None => {}
        }
    }

    /// Leaves out a pause; the packet after it begins a talkspurt (RFC 3551 §4.1).
    pub(crate) fn skip(&mut self, now: Instant, samples: u64) {
        if samples == 0 {
            return;
        }
        if let Some(balance) = &mut self.tones {
            *balance -= i64::try_from(samples).unwrap_or(i64::MAX);
            return;
        }
        let already = samples.min(self.ahead);
        self.ahead -= already;
        self.marker = true;
        self.advance(now, samples - already);
    }

    /// Leaves out sequence numbers: what was lost on the way to us is lost for them. At most a few, whatever they say.
    pub(crate) fn lose(&mut self, packets: u64) {
        self.sequence = self.sequence.wrapping_add(packets.min(16) as u16);
        // A loss is no talkspurt.
        self.marker &= packets == 0;
    }

    /// The timestamp at which an event begins (RFC 4733 §2.4.1.1): now, as the stream counts.
    pub(crate) fn begin_event(&mut self, now: Instant) -> u32 {
        let idle = samples_in(now, *self.played.get_or_insert(now));
        if idle > SLACK {
            self.ahead += idle;
            self.advance(now, idle);
        }
        self.marker = true;
        self.timestamp
    }

    /// Sends a telephone-event packet.
    pub(crate) fn event(&mut self, now: Instant, timestamp: u32, marker: bool, payload: &[u8; 4]) {
        let Some(payload_type) = self.format.and_then(|format| format.telephone_event_out) else {
            return;
        };
        if self.sending {
            let due = self.last_due.map_or(now, |last| last.max(now));
            self.push(due, payload_type, marker, timestamp, payload);
        }
    }

    /// Sends comfort noise (RFC 3389): how the pause sounds that begins here or goes on.
    pub(crate) fn comfort_noise(&mut self, now: Instant, payload_type: u8, payload: &[u8]) {
        if self.sending && self.tones.is_none() {
            let due = self.last_due.map_or(now, |last| last.max(now));
            self.push(due, payload_type, false, self.timestamp, payload);
        }
    }

    /// The stream as a sender report tells it (RFC 3550 §6.4.1).
    pub(crate) fn sent(&self, now: Instant) -> Sent {
        Sent {
            ssrc: self.ssrc,
            rtp_timestamp: self.timestamp_at(now),
            packets: self.packets,
            octets: self.octets,
        }
    }

    fn timestamp_at(&self, now: Instant) -> u32 {
        let since = self.played.map_or(0, |played| samples_in(now, played));
        self.timestamp
            .wrapping_add((since as u32).wrapping_mul(self.units()))
    }

    /// Copies the next packet that is due to `buffer`; its length.
    pub(crate) fn poll(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        loop {
            match self.queue.pop(now, buffer)? {
                0 => self.overrun += 1,
                len => {
                    self.packets += 1;
                    self.octets += (len - crate::rtp::HEADER) as u64;
                    return Some(len);
                }
            }
        }
    }

    /// When the next packet is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.queue.due()
    }

    /// A packet of ours that holds no less than one of theirs leaves at once, unless the one before it is late itself.
    /// Where several come of one of theirs, they follow each other at the pace of their audio. What is late catches up
    /// by a twentieth of that.
    fn due(&self, now: Instant, audio: &Audio<'_>) -> Instant {
        let at_once = audio.first && audio.burst <= audio.samples;
        let pace = Duration::from_micros(audio.samples as u64 * 125);
        match self.last_due {
            Some(last) if self.late || !at_once => {
                let pace = if audio.first { pace - pace / 20 } else { pace };
                (last + pace).max(now)
            }
            _ => now,
        }
    }

    fn push(
        &mut self,
        due: Instant,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
    ) {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let header = Header {
            ssrc: self.ssrc,
            sequence,
            timestamp,
            marker,
            payload_type,
        };
        self.overrun += self.queue.push(due, &header.to_bytes(), payload);
        self.last_due = Some(due);
    }

    fn advance(&mut self, now: Instant, samples: u64) {
        self.timestamp = self
            .timestamp
            .wrapping_add((samples as u32).wrapping_mul(self.units()));
        self.played = Some(now);
    }

    fn units(&self) -> u32 {
        self.format
            .map_or(Codec::Pcmu, |format| format.codec)
            .units_per_sample()
    }
}
