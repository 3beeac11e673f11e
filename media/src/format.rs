//! What the two sides agreed on in SDP, as far as media needs it.

use std::time::Duration;

use codecs::Bandwidth;
use codecs::g711::Law;
use codecs::opus;

/// Comfort noise's static payload type (RFC 3389 §4), for clocks of 8 kHz.
const COMFORT_NOISE: u8 = 13;

/// The side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leg {
    /// The browser (DTLS-SRTP outside of this crate), or another telephone in its place.
    Browser,
    /// The trunk, PBX or phone.
    Trunk,
}

impl Leg {
    /// The leg on the other side of the call.
    pub fn other(self) -> Leg {
        match self {
            Leg::Browser => Leg::Trunk,
            Leg::Trunk => Leg::Browser,
        }
    }
}

/// An audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// G.711 mu-law, static payload type 0 (RFC 3551).
    Pcmu,
    /// G.711 A-law, static payload type 8 (RFC 3551).
    Pcma,
    /// G.722 at 64 kbit/s, wideband, static payload type 9 (RFC 3551).
    G722,
}

impl Codec {
    /// The clock of its RTP timestamps in Hz. Opus always counts at 48 kHz (RFC 7587 §4.1), G.722 at 8 (RFC 3551
    /// §4.5.2).
    pub fn clock_rate(self) -> u32 {
        match self {
            Codec::Opus => 48_000,
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
        }
    }

    /// The law of a G.711 codec.
    pub fn law(self) -> Option<Law> {
        match self {
            Codec::Opus | Codec::G722 => None,
            Codec::Pcmu => Some(Law::Mu),
            Codec::Pcma => Some(Law::A),
        }
    }

    /// What its audio has.
    pub(crate) fn bandwidth(self) -> Bandwidth {
        match self {
            Codec::Opus | Codec::G722 => Bandwidth::Wide,
            Codec::Pcmu | Codec::Pcma => Bandwidth::Narrow,
        }
    }

    /// Whether a stream of this codec may hold packets of the other one.
    pub(crate) fn is_family_of(self, other: Codec) -> bool {
        self == other || (self.law().is_some() && other.law().is_some())
    }

    /// The samples at 8 kHz in a payload, if it is audio of a length that we take.
    pub(crate) fn samples_of(self, payload: &[u8]) -> Option<usize> {
        let samples = match self {
            Codec::Opus => opus::packet_samples(payload)?,
            // An octet of G.722 holds two samples at 16 kHz, as long as one at 8.
            Codec::Pcmu | Codec::Pcma | Codec::G722 => payload.len(),
        };
        (1..=opus::MAX_PACKET_SAMPLES)
            .contains(&samples)
            .then_some(samples)
    }

    /// RTP clock units in one sample at 8 kHz.
    pub(crate) fn units_per_sample(self) -> u32 {
        self.clock_rate() / codecs::SAMPLE_RATE
    }
}

/// How one leg is spoken with, from its SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpFormat {
    /// The codec both ways. Where it is G.711 both laws are understood, each under its static payload type.
    pub codec: Codec,
    /// The payload type they send us.
    pub payload_type_in: u8,
    /// The payload type we send them.
    pub payload_type_out: u8,
    /// The payload type of the telephone-events they send us (RFC 4733).
    pub telephone_event_in: Option<u8>,
    /// The payload type of the telephone-events we send them.
    pub telephone_event_out: Option<u8>,
    /// The clock of telephone-events in Hz, both ways.
    pub telephone_event_clock_rate: u32,
    /// The payload type of comfort noise both ways (RFC 3389), where it was agreed on. What comes under the static
    /// type 13 is understood without.
    pub comfort_noise: Option<u8>,
    /// The audio in each packet we send: 10 to 60 ms, in whole tens. What Opus has no frame for (30, 50 ms) is
    /// sent to an Opus side in the next shorter one.
    pub ptime: Duration,
}

impl RtpFormat {
    /// A format with the codec's usual payload types (Opus 111, telephone-event 101 or 110), 20 ms.
    pub fn usual(codec: Codec) -> Self {
        let (payload_type, event, event_rate) = match codec {
            Codec::Opus => (111, 110, 48_000),
            Codec::Pcmu => (0, 101, 8_000),
            Codec::Pcma => (8, 101, 8_000),
            Codec::G722 => (9, 101, 8_000),
        };
        Self {
            codec,
            payload_type_in: payload_type,
            payload_type_out: payload_type,
            telephone_event_in: Some(event),
            telephone_event_out: Some(event),
            telephone_event_clock_rate: event_rate,
            comfort_noise: None,
            ptime: Duration::from_millis(20),
        }
    }

    /// Samples at 8 kHz in each packet we send.
    pub(crate) fn packet_samples(&self) -> usize {
        let tens = (self.ptime.as_millis() / 10).clamp(1, 6) as usize;
        let tens = match (self.codec, tens) {
            (Codec::Opus, 3) => 2,
            (Codec::Opus, 5) => 4,
            (_, tens) => tens,
        };
        tens * 80
    }

    /// Whether a payload type they sent is comfort noise.
    pub(crate) fn is_comfort_noise(&self, payload_type: u8) -> bool {
        Some(payload_type) == self.comfort_noise || payload_type == COMFORT_NOISE
    }

    /// The codec of a payload type they sent, if it is audio we understand.
    pub(crate) fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        if payload_type == self.payload_type_in {
            return Some(self.codec);
        }
        match (self.codec, payload_type) {
            (Codec::Pcmu | Codec::Pcma, 0) => Some(Codec::Pcmu),
            (Codec::Pcmu | Codec::Pcma, 8) => Some(Codec::Pcma),
            _ => None,
        }
    }
}

/// Where one of our streams begins: all of it random (RFC 3550 §5.1), handed in because this crate asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStart {
    /// The stream's SSRC.
    pub ssrc: u32,
    /// The sequence number of its first packet.
    pub sequence: u16,
    /// The timestamp of its first packet.
    pub timestamp: u32,
}
