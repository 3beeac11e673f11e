//! Records what one side of a call hears, as its own jitter buffer and codec would play it.

use codecs::Bandwidth;
use codecs::g711::{self, Law};
use codecs::opus::{self, Decoder, MAX_PACKET_SAMPLES};
use media::rtp::Packet;

use crate::pesq::Recording;

/// The longest call that is recorded: a minute.
const MOST: usize = 60 * codecs::SAMPLE_RATE as usize;
/// The longest gap that is filled: a second.
const MOST_MISSING: u32 = 8_000;

/// A recorder of one stream.
#[derive(Debug)]
pub(crate) struct Recorder {
    codec: Codec,
    recording: Recording,
    /// The timestamp that is due next.
    next: Option<u32>,
    sequence: u16,
}

#[derive(Debug)]
enum Codec {
    G711(Law),
    Opus(Box<Decoder>),
}

impl Recorder {
    pub(crate) fn g711(law: Law) -> Self {
        Self::new(Codec::G711(law))
    }

    /// # Errors
    /// libopus has no memory.
    pub(crate) fn opus() -> Result<Self, opus::Error> {
        let decoder = Decoder::new(Bandwidth::Narrow)?;
        Ok(Self::new(Codec::Opus(Box::new(decoder))))
    }

    fn new(codec: Codec) -> Self {
        Self {
            codec,
            recording: Recording::default(),
            next: None,
            sequence: 0,
        }
    }

    /// What was heard so far.
    pub(crate) fn recording(&self) -> Recording {
        self.recording.clone()
    }

    /// A packet of audio came; `place` is that of its audio in what the other side said, in packets of 20 ms, once
    /// that is known.
    pub(crate) fn hear(&mut self, packet: &Packet<'_>, place: Option<u64>) {
        let units = match self.codec {
            Codec::G711(_) => 1,
            Codec::Opus(_) => 6,
        };
        let Some(next) = self.next else {
            // Nothing is recorded before it is known what it has to be like.
            let Some(place) = place else { return };
            self.recording.first = place * 160;
            self.play(packet);
            self.follow(packet, units);
            return;
        };
        let ahead = packet.timestamp.wrapping_sub(next) as i32;
        if ahead < 0 || self.recording.pcm.len() >= MOST {
            // Too late: a jitter buffer as short as this has played on.
            return;
        }
        let missing = (ahead as u32 / units).min(MOST_MISSING);
        let lost = packet.sequence.wrapping_sub(self.sequence) > 1;
        self.fill(missing as usize, lost.then_some(packet.payload));
        self.play(packet);
        self.follow(packet, units);
    }

    fn follow(&mut self, packet: &Packet<'_>, units: u32) {
        let samples = match self.codec {
            Codec::G711(_) => packet.payload.len() as u32,
            Codec::Opus(_) => opus::packet_samples(packet.payload).unwrap_or(160) as u32,
        };
        self.next = Some(packet.timestamp.wrapping_add(samples * units));
        self.sequence = packet.sequence;
    }

    fn play(&mut self, packet: &Packet<'_>) {
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let len = match &mut self.codec {
            Codec::G711(law) => {
                let len = packet.payload.len().min(pcm.len());
                g711::decode_into(*law, &packet.payload[..len], &mut pcm[..len]);
                len
            }
            Codec::Opus(decoder) => decoder.decode(packet.payload, &mut pcm).unwrap_or(160),
        };
        self.recording.pcm.extend_from_slice(&pcm[..len]);
    }

    /// What did not come: a pause of theirs, or lost packets, the last of which `successor` may hold again.
    fn fill(&mut self, missing: usize, successor: Option<&[u8]>) {
        let mut left = missing;
        while left > 0 {
            let mut pcm = [0; MAX_PACKET_SAMPLES];
            let now = left.min(160);
            let pcm = &mut pcm[..now];
            if let Codec::Opus(decoder) = &mut self.codec {
                let filled = match successor.filter(|_| left <= 160) {
                    Some(packet) => decoder.decode_fec(packet, pcm),
                    None => decoder.conceal(now, pcm),
                };
                if filled.is_err() {
                    pcm.fill(0);
                }
            }
            self.recording.pcm.extend_from_slice(pcm);
            left -= now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, payload: &[u8]) -> Packet<'_> {
        Packet {
            ssrc: 1,
            sequence,
            timestamp: u32::from(sequence) * 160,
            marker: false,
            payload_type: 0,
            payload,
        }
    }

    #[test]
    fn what_was_lost_is_a_gap_and_what_comes_late_is_not_heard() {
        let mut recorder = Recorder::g711(Law::Mu);
        let loud = [0x20; 160];
        recorder.hear(&packet(9, &loud), None);
        recorder.hear(&packet(10, &loud), Some(7));
        recorder.hear(&packet(12, &loud), Some(9));
        recorder.hear(&packet(11, &loud), Some(8));
        let recording = recorder.recording();
        assert_eq!(recording.first, 7 * 160);
        let silent: Vec<bool> = recording
            .pcm
            .chunks(160)
            .map(|packet| packet.iter().all(|sample| *sample == 0))
            .collect();
        assert_eq!(silent, [false, true, false]);
    }
}
