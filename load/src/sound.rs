//! What the browsers of a load say, as the packets that they send.

use codecs::SAMPLE_RATE;
use codecs::g711::{self, Law};
use codecs::opus::{self, Encoder, EncoderSettings, FullbandEncoder};

use crate::speech;

/// How much each call has to say before it repeats itself.
pub(crate) const SECONDS: usize = 12;

/// Packets of 20 ms.
#[derive(Debug, Clone)]
pub struct Sound {
    /// Their payload type.
    pub payload_type: u8,
    /// By how much the timestamp of each is greater than the last one's.
    pub units: u32,
    /// Whether a gateway has to transcode it for a telephone.
    pub transcoded: bool,
    /// Their payloads.
    pub packets: Vec<Vec<u8>>,
    /// The same with redundancy, for a gateway that reports loss: each packet has the one before it again.
    pub protected: Option<Vec<Vec<u8>>>,
}

impl Sound {
    /// Narrowband Opus, as a browser makes it that was answered with `maxplaybackrate=8000`.
    ///
    /// # Errors
    /// libopus's.
    pub fn opus() -> Result<Self, opus::Error> {
        Self::opus_of(&speech::speech(SECONDS, SAMPLE_RATE))
    }

    /// The same of other audio at 8 kHz.
    ///
    /// # Errors
    /// libopus's.
    pub fn opus_of(pcm: &[i16]) -> Result<Self, opus::Error> {
        let encode = |expected_loss| {
            let mut encoder = Encoder::new(EncoderSettings {
                complexity: 9,
                // What the gateway asks for (`maxaveragebitrate`).
                bitrate: 32_000,
                expected_loss,
                ..EncoderSettings::default()
            })?;
            let frames = pcm.chunks_exact(SAMPLE_RATE as usize / 50);
            frames
                .map(|frame| packet(|room| encoder.encode(frame, room)))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            protected: Some(encode(10)?),
            ..Self::of_opus(encode(0)?)
        })
    }

    /// Fullband Opus, as a browser makes it that does not care what a telephone can use.
    ///
    /// # Errors
    /// libopus's.
    pub fn fullband() -> Result<Self, opus::Error> {
        let mut encoder = FullbandEncoder::new(32_000, 9)?;
        let pcm = speech::speech(SECONDS, FullbandEncoder::SAMPLE_RATE);
        let frames = pcm.chunks_exact(FullbandEncoder::SAMPLE_RATE as usize / 50);
        let packets = frames.map(|frame| packet(|room| encoder.encode(frame, room)));
        Ok(Self::of_opus(packets.collect::<Result<_, _>>()?))
    }

    /// G.711, mu-law.
    pub fn pcmu() -> Self {
        Self::g711(Law::Mu, &speech::speech(SECONDS, SAMPLE_RATE))
    }

    /// G.711 of audio at 8 kHz, with its static payload type (RFC 3551 §6).
    pub fn g711(law: Law, pcm: &[i16]) -> Self {
        let frames = pcm.chunks_exact(SAMPLE_RATE as usize / 50).map(|frame| {
            let mut packet = vec![0; frame.len()];
            g711::encode_into(law, frame, &mut packet);
            packet
        });
        Self {
            payload_type: match law {
                Law::Mu => 0,
                Law::A => 8,
            },
            units: 160,
            transcoded: false,
            packets: frames.collect(),
            protected: None,
        }
    }

    fn of_opus(packets: Vec<Vec<u8>>) -> Self {
        Self {
            payload_type: 111,
            units: 960,
            transcoded: true,
            packets,
            protected: None,
        }
    }
}

fn packet(
    encode: impl FnOnce(&mut [u8]) -> Result<usize, opus::Error>,
) -> Result<Vec<u8>, opus::Error> {
    let mut packet = vec![0; 1500];
    let len = encode(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_honours_the_hint_sends_narrowband_and_another_fullband() {
        // RFC 6716 table 2: configurations 0 to 3 are SILK narrowband; 14, 15 and 28 to 31 fullband.
        let share = |sound: &Sound, configs: &[u8]| {
            let count = sound
                .packets
                .iter()
                .filter(|packet| configs.contains(&(packet[0] >> 3)));
            count.count() as f64 / sound.packets.len() as f64
        };
        let narrowband = Sound::opus().expect("packets");
        assert_eq!(narrowband.packets.len(), SECONDS * 50);
        assert_eq!(share(&narrowband, &[0, 1, 2, 3]), 1.0);
        let protected = narrowband.protected.expect("redundancy");
        let with_fec = protected.iter().filter(|packet| opus::has_fec(packet));
        assert!(with_fec.count() > protected.len() / 3);
        assert!(
            !narrowband
                .packets
                .iter()
                .any(|packet| opus::has_fec(packet))
        );
        let fullband = Sound::fullband().expect("packets");
        assert_eq!(fullband.packets.len(), SECONDS * 50);
        assert!(share(&fullband, &[14, 15, 28, 29, 30, 31]) > 0.9);
    }
}
