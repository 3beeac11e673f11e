//! A bridge in virtual time, its two peers played by the tests.

mod dtmf;
mod g722;
mod hostile;
mod keys;
mod loss;
mod pauses;
mod quality;
mod replaced;
mod rtcp;
mod tones;
mod transcode;
mod wire;

use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use codecs::opus::{Decoder, Encoder, EncoderSettings};
use codecs::tone::Sine;

use super::*;
use crate::rtp::{HEADER, Header};
use crate::{Codec, StreamStart};

pub(super) const BROWSER_START: StreamStart = StreamStart {
    ssrc: 0xb0b0,
    sequence: 65_530,
    timestamp: u32::MAX - 5000,
};
pub(super) const TRUNK_START: StreamStart = StreamStart {
    ssrc: 0x7070,
    sequence: 65_531,
    timestamp: u32::MAX - 900,
};

/// A packet that the bridge sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload_type: u8,
    pub(super) payload: Vec<u8>,
}

/// A bridge, its clock, and everything it sent.
pub(super) struct Call {
    pub(super) bridge: Bridge,
    start: Instant,
    pub(super) now: Duration,
    pub(super) to_browser: Vec<Sent>,
    pub(super) to_trunk: Vec<Sent>,
    pub(super) reports: Vec<(Leg, Duration, Vec<u8>)>,
    pub(super) events: Vec<BridgeEvent>,
    /// How long each packet of the peers is, and when the last one of each leg came.
    pub(super) ptime: [Duration; 2],
    came: [Duration; 2],
}

impl Call {
    pub(super) fn new(browser: RtpFormat, trunk: RtpFormat) -> Self {
        let mut call = Self::ringing(browser);
        call.bridge.connect_trunk(call.instant(), trunk);
        call
    }

    pub(super) fn ringing(browser: RtpFormat) -> Self {
        let start = Instant::now();
        let config = BridgeConfig::new(browser, BROWSER_START, TRUNK_START, "gateway", 7);
        Self {
            bridge: Bridge::new(start, config),
            start,
            now: Duration::ZERO,
            to_browser: Vec::new(),
            to_trunk: Vec::new(),
            reports: Vec::new(),
            events: Vec::new(),
            ptime: [Duration::from_millis(20); 2],
            came: [Duration::ZERO; 2],
        }
    }

    pub(super) fn usual(browser: Codec, trunk: Codec) -> Self {
        Self::new(RtpFormat::usual(browser), RtpFormat::usual(trunk))
    }

    pub(super) fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// Lets time pass up to `until` since the start, doing everything when it is due.
    pub(super) fn run_to(&mut self, until: Duration) {
        for _ in 0..1_000_000 {
            self.collect();
            let Some(due) = self
                .bridge
                .poll_timeout()
                .map(|due| due.saturating_duration_since(self.start))
            else {
                break;
            };
            if due > until {
                break;
            }
            self.now = self.now.max(due);
            self.bridge.handle_timeout(self.instant());
        }
        self.now = self.now.max(until);
        self.collect();
    }

    pub(super) fn run_ms(&mut self, milliseconds: u64) {
        self.run_to(self.now + Duration::from_millis(milliseconds));
    }

    pub(super) fn rtp(&mut self, from: Leg, packet: &[u8]) {
        self.bridge.handle_rtp(self.instant(), from, packet);
        self.came[from as usize] = self.now;
        self.collect();
    }

    pub(super) fn rtcp(&mut self, from: Leg, packet: &[u8]) {
        self.bridge.handle_rtcp(self.instant(), from, packet);
        self.collect();
    }

    pub(super) fn sent(&self, to: Leg) -> &[Sent] {
        match to {
            Leg::Browser => &self.to_browser,
            Leg::Trunk => &self.to_trunk,
        }
    }

    /// The audio sent, without what was made up when no more came.
    pub(super) fn audio_to(&self, to: Leg) -> Vec<Sent> {
        let from = to.other() as usize;
        let end = self.came[from] + 2 * self.ptime[from] + Duration::from_millis(2);
        let audio = |sent: &&Sent| [111, 0, 8].contains(&sent.payload_type) && sent.at <= end;
        self.sent(to).iter().filter(audio).cloned().collect()
    }

    pub(super) fn collect(&mut self) {
        let mut buffer = [0; 1500];
        while let Some(transmit) = self.bridge.poll_transmit(self.instant(), &mut buffer) {
            let bytes = &buffer[..transmit.len];
            if transmit.kind == PacketKind::Rtcp {
                self.reports.push((transmit.leg, self.now, bytes.to_vec()));
                continue;
            }
            let packet = rtp::read(bytes).expect("our own packet reads");
            let start = if transmit.leg == Leg::Browser {
                BROWSER_START
            } else {
                TRUNK_START
            };
            assert_eq!(packet.ssrc, start.ssrc, "our SSRC never changes");
            let sent = Sent {
                at: self.now,
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                marker: packet.marker,
                payload_type: packet.payload_type,
                payload: packet.payload.to_vec(),
            };
            match transmit.leg {
                Leg::Browser => self.to_browser.push(sent),
                Leg::Trunk => self.to_trunk.push(sent),
            }
        }
        while let Some(event) = self.bridge.poll_event() {
            self.events.push(event);
        }
    }
}

/// A peer that sends a tone.
pub(super) struct Phone {
    pub(super) codec: Codec,
    pub(super) header: Header,
    pub(super) samples: usize,
    /// As a voice does: a steady tone is noise to libopus.
    pub(super) swells: bool,
    time: usize,
    tone: Sine,
    encoder: Encoder,
}

impl Phone {
    pub(super) fn new(codec: Codec, ptime_ms: usize) -> Self {
        let payload_type = RtpFormat::usual(codec).payload_type_out;
        Self {
            codec,
            header: Header {
                ssrc: 0x1111,
                sequence: 65_500,
                timestamp: u32::MAX - 20_000,
                marker: true,
                payload_type,
            },
            samples: ptime_ms * 8,
            swells: false,
            time: 0,
            tone: Sine::new(440.0, -16.0),
            encoder: Encoder::new(EncoderSettings {
                expected_loss: 10,
                ..EncoderSettings::default()
            })
            .expect("an encoder"),
        }
    }

    /// The next packet of audio.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut pcm = vec![0; self.samples];
        self.tone.fill(&mut pcm);
        if self.swells {
            for sample in &mut pcm {
                self.time += 1;
                let swell = 0.5 + 0.5 * (self.time as f64 * 25.0 / 8000.0).sin();
                *sample = (f64::from(*sample) * swell) as i16;
            }
        }
        let mut payload = vec![0; 1276];
        match self.codec.law() {
            Some(law) => {
                payload.truncate(pcm.len());
                g711::encode_into(law, &pcm, &mut payload);
            }
            None => {
                let len = self.encoder.encode(&pcm, &mut payload).expect("a frame");
                payload.truncate(len);
            }
        }
        let packet = packet(self.header, &payload);
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.pause(self.samples);
        packet
    }

    /// Time passes without a packet.
    pub(super) fn pause(&mut self, samples: usize) {
        let units = samples as u32 * self.codec.units_per_sample();
        self.header.timestamp = self.header.timestamp.wrapping_add(units);
    }
}

pub(super) fn packet(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut packet = header.to_bytes().to_vec();
    packet.extend_from_slice(payload);
    assert_eq!(packet.len(), HEADER + payload.len());
    packet
}

/// Audio packets as 8 kHz samples, gaps in the timestamps filled with silence.
pub(super) fn hear(packets: &[Sent]) -> Vec<i16> {
    let mut decoder = Decoder::new(codecs::Bandwidth::Narrow).expect("a decoder");
    let mut heard = Vec::new();
    let first = packets.first().map_or(0, |sent| sent.timestamp);
    for sent in packets {
        let units = if sent.payload_type == 111 { 6 } else { 1 };
        let at = (sent.timestamp.wrapping_sub(first) / units) as usize;
        heard.resize(at.max(heard.len()), 0);
        let mut pcm = [0; 960];
        let len = match sent.payload_type {
            111 => decoder
                .decode(&sent.payload, &mut pcm)
                .expect("our Opus decodes"),
            0 => decode(Law::Mu, &sent.payload, &mut pcm),
            8 => decode(Law::A, &sent.payload, &mut pcm),
            other => panic!("{other} is no audio"),
        };
        heard.extend_from_slice(&pcm[..len]);
    }
    heard
}

fn decode(law: Law, payload: &[u8], pcm: &mut [i16]) -> usize {
    g711::decode_into(law, payload, pcm);
    payload.len()
}

/// Our sequence numbers go up by one, our timestamps by each packet's audio or, after a pause, by more.
pub(super) fn assert_continuous(packets: &[Sent], samples: u32) {
    for pair in packets.windows(2) {
        let units = if pair[0].payload_type == 111 { 6 } else { 1 };
        assert_eq!(
            pair[1].sequence,
            pair[0].sequence.wrapping_add(1),
            "{pair:?}"
        );
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(
            step == samples * units || (pair[1].marker && step < 1 << 24),
            "{step} {pair:?}"
        );
    }
}
