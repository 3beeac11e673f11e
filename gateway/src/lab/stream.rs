//! The audio of one call: what comes is understood and, by `echo`, sent back; what the number
//! sounds like is sent in even packets.

use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use media::rtp::{Header, MAX_PACKET, Packet};
use media::{Digit, StreamStart};
use sdp::{Codec, Negotiated};

use super::sound::Sound;

/// The longest packet of audio that is understood: 60 ms.
pub(super) const MAX_SAMPLES: usize = 60 * codecs::SAMPLES_PER_MS;
/// A sender that falls this far behind (a sleeping machine) starts anew instead of catching up.
const MAX_LAG: Duration = Duration::from_millis(500);
/// A jump of a stream's sequence numbers larger than this is a new stream (RFC 3550 §A.1).
const MAX_JUMP: u16 = 3000;

/// How the audio is spoken, from the session descriptions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    law: Law,
    payload_type_out: u8,
    payload_type_in: u8,
    event_in: Option<u8>,
    event_out: Option<u8>,
    samples: usize,
    /// The session descriptions let us send (RFC 3264 §5.1); the caller may hold us from the start.
    sends: bool,
}

impl Format {
    /// `None` for a codec the lab phone does not speak.
    pub(super) fn of(negotiated: &Negotiated) -> Option<Self> {
        let milliseconds = usize::try_from(negotiated.ptime_ms).ok()?.clamp(10, 60);
        Some(Format {
            law: match negotiated.codec {
                Codec::Pcmu => Law::Mu,
                Codec::Pcma => Law::A,
                Codec::Opus | Codec::G722 => return None,
            },
            payload_type_out: negotiated.payload_type_out,
            payload_type_in: negotiated.payload_type_in,
            event_in: negotiated.telephone_event_in,
            event_out: negotiated.telephone_event_out,
            samples: milliseconds * codecs::SAMPLES_PER_MS,
            sends: negotiated.direction.sends(),
        })
    }

    /// The law of a payload type they may send: the agreed one, or another by its static number.
    fn law_of(&self, payload_type: u8) -> Option<Law> {
        match payload_type {
            agreed if agreed == self.payload_type_in => Some(self.law),
            0 => Some(Law::Mu),
            8 => Some(Law::A),
            _ => None,
        }
    }
}

/// Both directions of one call's audio.
#[derive(Debug)]
pub(super) struct Stream {
    format: Format,
    ssrc: u32,
    /// Of the next packet.
    sequence: u16,
    timestamp: u32,
    /// When the next packet of our own sound is due.
    due: Instant,
    /// The next packet is the first after a silence (RFC 3551 §4.1).
    marker: bool,
    echo: Option<Echo>,
    /// Timestamp of the last telephone-event, so that each is taken once (RFC 4733 §2.5.1.2).
    last_event: Option<u32>,
}

/// How an incoming stream's numbers become ours.
#[derive(Debug)]
struct Echo {
    ssrc: u32,
    sequence_offset: u16,
    timestamp_offset: u32,
    /// The newest of theirs.
    sequence: u16,
    timestamp: u32,
}

/// What an incoming packet was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Audio: this many samples of the buffer.
    Audio(usize),
    /// A digit that was not heard before.
    Digit(Digit),
    /// More of the same digit, or nothing of use.
    Nothing,
}

impl Stream {
    pub(super) fn new(now: Instant, format: Format, start: StreamStart) -> Self {
        Stream {
            format,
            ssrc: start.ssrc,
            sequence: start.sequence,
            timestamp: start.timestamp,
            due: now,
            marker: true,
            echo: None,
            last_event: None,
        }
    }

    /// Whose stream it is.
    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether the caller wants to hear us.
    pub(super) fn sends(&self) -> bool {
        self.format.sends
    }

    /// Another format from now on, or another direction; the stream itself is the same.
    pub(super) fn change(&mut self, now: Instant, format: Format) {
        if format.sends && !self.format.sends {
            self.start(now);
        }
        self.format = format;
    }

    /// Sound begins now.
    pub(super) fn start(&mut self, now: Instant) {
        self.due = now;
        self.marker = true;
    }

    /// Understands a packet. `None` if it is not RTP of this call.
    pub(super) fn hear(
        &mut self,
        packet: &Packet<'_>,
        pcm: &mut [i16; MAX_SAMPLES],
    ) -> Option<Heard> {
        if Some(packet.payload_type) == self.format.event_in {
            // The event's code is the first of four octets (RFC 4733 §2.3).
            let [code, ..] = *packet.payload.first_chunk::<4>()?;
            let digit = Digit::from_event(code)?;
            let new = self.last_event != Some(packet.timestamp);
            self.last_event = Some(packet.timestamp);
            return Some(if new {
                Heard::Digit(digit)
            } else {
                Heard::Nothing
            });
        }
        let law = self.format.law_of(packet.payload_type)?;
        let samples = packet.payload.len().min(MAX_SAMPLES);
        g711::decode_into(law, packet.payload, &mut pcm[..samples]);
        Some(Heard::Audio(samples))
    }

    /// Writes the same packet as one of ours. Loss, order and pauses stay as they came; a new
    /// source goes on where the last one ended.
    pub(super) fn echo(&mut self, packet: &Packet<'_>, buffer: &mut [u8]) -> Option<usize> {
        let payload_type = if Some(packet.payload_type) == self.format.event_in {
            self.format.event_out?
        } else {
            self.format.law_of(packet.payload_type)?;
            self.format.payload_type_out
        };
        let fits = self.echo.as_ref().is_some_and(|echo| {
            let jump = packet.sequence.wrapping_sub(echo.sequence);
            echo.ssrc == packet.ssrc && !(MAX_JUMP..=u16::MAX - MAX_JUMP).contains(&jump)
        });
        if !fits {
            self.echo = Some(Echo {
                ssrc: packet.ssrc,
                sequence_offset: self.sequence.wrapping_sub(packet.sequence),
                timestamp_offset: self.timestamp.wrapping_sub(packet.timestamp),
                sequence: packet.sequence,
                timestamp: packet.timestamp,
            });
        }
        let echo = self.echo.as_mut()?;
        if packet.sequence.wrapping_sub(echo.sequence) < MAX_JUMP {
            echo.sequence = packet.sequence;
            if packet.timestamp.wrapping_sub(echo.timestamp) < u32::MAX / 2 {
                echo.timestamp = packet.timestamp;
            }
        }
        let sequence = packet.sequence.wrapping_add(echo.sequence_offset);
        let timestamp = packet.timestamp.wrapping_add(echo.timestamp_offset);
        // Where a new source would go on.
        self.sequence = echo
            .sequence
            .wrapping_add(echo.sequence_offset)
            .wrapping_add(1);
        self.timestamp = echo
            .timestamp
            .wrapping_add(echo.timestamp_offset)
            .wrapping_add(self.packet_units());
        let mut payload = [0; MAX_PACKET];
        let payload = payload.get_mut(..packet.payload.len())?;
        match self.format.law_of(packet.payload_type) {
            Some(law) => g711::transcode(law, self.format.law, packet.payload, payload),
            None => payload.copy_from_slice(packet.payload),
        }
        let header = Header {
            ssrc: self.ssrc,
            sequence,
            timestamp,
            marker: packet.marker || std::mem::take(&mut self.marker),
            payload_type,
        };
        header.write(payload, buffer)
    }

    /// The next packet of our own sound, if it is due.
    pub(super) fn play(
        &mut self,
        now: Instant,
        sound: &mut Sound,
        buffer: &mut [u8],
    ) -> Option<usize> {
        if now < self.due {
            return None;
        }
        if now.duration_since(self.due) > MAX_LAG {
            self.due = now;
            self.marker = true;
        }
        let mut pcm = [0; MAX_SAMPLES];
        let mut payload = [0; MAX_SAMPLES];
        let pcm = &mut pcm[..self.format.samples];
        let payload = &mut payload[..self.format.samples];
        sound.fill(self.due, pcm);
        g711::encode_into(self.format.law, pcm, payload);
        let header = Header {
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: std::mem::take(&mut self.marker),
            payload_type: self.format.payload_type_out,
        };
        let written = header.write(payload, buffer);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.packet_units());
        self.due += Duration::from_millis((self.format.samples / codecs::SAMPLES_PER_MS) as u64);
        written
    }

    /// When [`Stream::play`] has the next packet.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    fn packet_units(&self) -> u32 {
        u32::try_from(self.format.samples).unwrap_or_default()
    }
}
