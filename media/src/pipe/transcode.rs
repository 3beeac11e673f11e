//! From one codec to another by way of linear samples, at 16 kHz where both have them: the gateway's main job.

use codecs::Bandwidth;
use codecs::g722::Joint;
use codecs::opus::{self, EncoderSettings};

use super::decode::Decode;
use super::encode::{Encode, MAX_ENCODED};
use super::quiet::{Dtx, Send};
use super::{Figures, MAX_CONCEALED, Pass};
use crate::format::{Codec, RtpFormat};
use crate::outgoing::{Audio, Outgoing};

/// Room for the longest audio that is handled at once, wideband.
const MAX_PCM: usize = 2 * MAX_CONCEALED;
/// The last audio that is kept: 20 ms.
const HEARD: usize = 160;

#[derive(Debug)]
pub(super) struct Transcode {
    input: Codec,
    /// Linear samples for each one at 8 kHz, in which all else is counted.
    scale: usize,
    decode: Decode,
    /// A packet of ours, which is not full yet: `frame[..filled]`.
    frame: Box<[i16]>,
    filled: usize,
    /// Makes wideband of what is narrowband: our own sounds.
    widen: Option<Box<Joint>>,
    /// All of that is background noise.
    noise: bool,
    /// The last audio of theirs at 8 kHz, `heard[..known]`: in a pause it tells how that sounds.
    heard: [i16; HEARD],
    known: usize,
    encode: Encode,
    /// Silence is left out, where the other side is Opus.
    dtx: Option<Dtx>,
    /// The loss that Opus prepares for, in percent.
    expected_loss: u8,
}

impl Transcode {
    pub(super) fn new(
        input: Codec,
        to: &RtpFormat,
        settings: EncoderSettings,
        dtx: bool,
    ) -> Result<Self, opus::Error> {
        let bandwidth = match (input.bandwidth(), to.codec.bandwidth()) {
            (Bandwidth::Wide, Bandwidth::Wide) => Bandwidth::Wide,
            _ => Bandwidth::Narrow,
        };
        Ok(Self {
            input,
            scale: bandwidth.scale(),
            decode: Decode::new(input, bandwidth)?,
            frame: vec![0; to.packet_samples() * bandwidth.scale()].into_boxed_slice(),
            filled: 0,
            widen: (bandwidth == Bandwidth::Wide).then(Box::default),
            noise: true,
            heard: [0; HEARD],
            known: 0,
            encode: Encode::new(to.codec, settings, bandwidth)?,
            dtx: (dtx && to.codec == Codec::Opus).then(Dtx::default),
            expected_loss: settings.expected_loss,
        })
    }

    pub(super) fn input(&self) -> Codec {
        self.input
    }

    /// A packet.
    pub(super) fn play(
        &mut self,
        mut pass: Pass,
        codec: Codec,
        payload: &[u8],
        muted: bool,
        out: &mut Outgoing,
        figures: &mut Figures,
    ) {
        let mut pcm = [0; MAX_PCM];
        let samples = pass.burst;
        let audio = &mut pcm[..samples * self.scale];
        self.decode.decode(codec, payload, samples, audio, figures);
        // Half of it says enough.
        figures.level.hear(&audio[..audio.len().div_ceil(2)]);
        // Only an Opus sender pauses without a word on how that sounds. What it pauses with is no background yet.
        if self.input == Codec::Opus && payload.len() > 2 {
            self.known = samples.min(HEARD);
            let last = audio[(samples - self.known) * self.scale..].chunks_exact(self.scale);
            for (heard, samples) in self.heard.iter_mut().zip(last) {
                // Of wideband the mean of two: its upper half is little noise.
                let sum: i32 = samples.iter().map(|sample| i32::from(*sample)).sum();
                *heard = (sum / self.scale as i32) as i16;
            }
        }
        if muted {
            self.pause(pass, samples as u64, out);
        } else {
            self.write(&mut pass, audio, out);
        }
    }

    /// Audio of our own, at 8 kHz.
    pub(super) fn sound(&mut self, mut pass: Pass, pcm: &[i16], out: &mut Outgoing) {
        self.put_narrow(&mut pass, pcm, false, out);
    }

    /// What was lost before a packet, which may hold it again.
    pub(super) fn make_up(
        &mut self,
        mut pass: Pass,
        successor: Option<&[u8]>,
        out: &mut Outgoing,
        figures: &mut Figures,
    ) {
        let mut pcm = [0; MAX_PCM];
        let lost = &mut pcm[..pass.burst * self.scale];
        self.decode.fill(successor, pass.burst, lost, figures);
        self.write(&mut pass, lost, out);
    }

    /// The last audio of theirs.
    pub(super) fn heard(&self) -> &[i16] {
        &self.heard[..self.known]
    }

    /// Background noise of our own, at 8 kHz.
    pub(super) fn noise(&mut self, mut pass: Pass, pcm: &[i16], out: &mut Outgoing) {
        self.put_narrow(&mut pass, pcm, true, out);
    }

    /// Time without audio. A packet that is not full yet is filled up with silence; the rest is a gap of ours.
    pub(super) fn pause(&mut self, mut pass: Pass, samples: u64, out: &mut Outgoing) {
        let mut rest = samples;
        if self.filled > 0 && rest > 0 {
            let room = (self.frame.len() - self.filled) / self.scale;
            let padding = room.min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.write(&mut pass, &[0; MAX_PCM][..padding * self.scale], out);
            rest -= padding as u64;
        }
        out.skip(pass.now, rest);
    }

    pub(super) fn set_expected_loss(&mut self, percent: u8) {
        if let Encode::Opus(encoder) = &mut self.encode {
            // A percentage is always taken; if not, the old one does.
            let _ = encoder.set_expected_loss(percent);
            self.expected_loss = percent;
        }
    }

    pub(super) fn has_fec(&self) -> bool {
        matches!(self.encode, Encode::Opus(_)) && self.expected_loss > 0
    }

    pub(super) fn set_complexity(&mut self, complexity: u8) {
        if let Encode::Opus(encoder) = &mut self.encode {
            // Capped to what libopus takes; if it does not, the old one does.
            let _ = encoder.set_complexity(complexity);
        }
    }

    pub(super) fn set_bitrate(&mut self, bitrate: u32) {
        if let Encode::Opus(encoder) = &mut self.encode {
            let _ = encoder.set_bitrate(bitrate);
        }
    }

    fn write(&mut self, pass: &mut Pass, pcm: &[i16], out: &mut Outgoing) {
        self.put(pass, pcm, false, out);
    }

    /// Puts audio at 8 kHz.
    fn put_narrow(&mut self, pass: &mut Pass, pcm: &[i16], noise: bool, out: &mut Outgoing) {
        let Some(widen) = &mut self.widen else {
            return self.put(pass, pcm, noise, out);
        };
        let mut wide = [0; MAX_PCM];
        let len = pcm.len().min(MAX_CONCEALED) * 2;
        widen.join(pcm, &[], &mut wide[..len]);
        self.put(pass, &wide[..len], noise, out);
    }

    fn put(&mut self, pass: &mut Pass, mut pcm: &[i16], noise: bool, out: &mut Outgoing) {
        let size = self.frame.len();
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(pcm.len().min(size - self.filled));
            self.frame[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            self.noise &= noise;
            pcm = later;
            if self.filled == size {
                self.filled = 0;
                self.send(pass, out);
                self.noise = true;
            }
        }
    }

    fn send(&mut self, pass: &mut Pass, out: &mut Outgoing) {
        let pcm = &self.frame[..];
        let samples = pcm.len() / self.scale;
        let decision = match &mut self.dtx {
            Some(dtx) => dtx.decide(pcm, samples, self.noise),
            None => Send::Frame,
        };
        let mut packet = [0; MAX_ENCODED];
        let payload = match &decision {
            Send::Frame => self.encode.encode(pcm, &mut packet),
            Send::Pause(octet) => Some(&octet[..]),
            Send::Nothing => None,
        };
        let Some(payload) = payload else {
            return out.skip(pass.now, samples as u64);
        };
        if let Some(dtx) = &mut self.dtx {
            dtx.sent(payload);
        }
        let audio = Audio {
            payload,
            samples,
            burst: pass.burst,
            first: std::mem::take(&mut pass.first),
        };
        out.audio(pass.now, audio);
    }
}
