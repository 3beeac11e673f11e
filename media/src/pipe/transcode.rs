//! From one codec to another by way of 8 kHz linear samples: the gateway's main job.

use codecs::opus::{self, EncoderSettings};

use super::decode::Decode;
use super::encode::{Encode, MAX_ENCODED};
use super::quiet::{Dtx, Send};
use super::{Figures, MAX_CONCEALED, Pass};
use crate::format::{Codec, RtpFormat};
use crate::outgoing::{Audio, Outgoing};

/// The longest frame of ours: 60 ms.
const MAX_FRAME: usize = 480;
/// The last audio that is kept: 20 ms.
const HEARD: usize = 160;

#[derive(Debug)]
pub(super) struct Transcode {
    input: Codec,
    decode: Decode,
    /// Audio of a packet of ours that is not full yet: `frame[..filled]` of `size`.
    frame: [i16; MAX_FRAME],
    filled: usize,
    size: usize,
    /// All of that is background noise.
    noise: bool,
    /// The last audio of theirs, `heard[..known]`: in a pause it tells how that sounds.
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
        Ok(Self {
            input,
            decode: Decode::new(input)?,
            frame: [0; MAX_FRAME],
            filled: 0,
            size: to.packet_samples(),
            noise: true,
            heard: [0; HEARD],
            known: 0,
            encode: Encode::new(to.codec, settings)?,
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
        let mut pcm = [0; MAX_CONCEALED];
        let audio = &mut pcm[..pass.burst];
        self.decode.decode(codec, payload, audio, figures);
        figures.level.hear(audio);
        // Only an Opus sender pauses without a word on how that sounds. What it pauses with is no background yet.
        if self.input == Codec::Opus && payload.len() > 2 {
            self.known = audio.len().min(HEARD);
            self.heard[..self.known].copy_from_slice(&audio[audio.len() - self.known..]);
        }
        if muted {
            self.pause(pass, audio.len() as u64, out);
        } else {
            self.write(&mut pass, audio, out);
        }
    }

    /// Audio of our own.
    pub(super) fn sound(&mut self, mut pass: Pass, pcm: &[i16], out: &mut Outgoing) {
        self.write(&mut pass, pcm, out);
    }

    /// What was lost before a packet, which may hold it again.
    pub(super) fn make_up(
        &mut self,
        mut pass: Pass,
        successor: Option<&[u8]>,
        out: &mut Outgoing,
        figures: &mut Figures,
    ) {
        let mut pcm = [0; MAX_CONCEALED];
        let lost = &mut pcm[..pass.burst];
        self.decode.fill(successor, lost, figures);
        self.write(&mut pass, lost, out);
    }

    /// The last audio of theirs.
    pub(super) fn heard(&self) -> &[i16] {
        &self.heard[..self.known]
    }

    /// Background noise of our own.
    pub(super) fn noise(&mut self, mut pass: Pass, pcm: &[i16], out: &mut Outgoing) {
        self.put(&mut pass, pcm, true, out);
    }

    /// Time without audio. A packet that is not full yet is filled up with silence; the rest is a gap of ours.
    pub(super) fn pause(&mut self, mut pass: Pass, samples: u64, out: &mut Outgoing) {
        let mut rest = samples;
        if self.filled > 0 && rest > 0 {
            let padding =
                (self.size - self.filled).min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.write(&mut pass, &[0; MAX_FRAME][..padding], out);
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

    fn put(&mut self, pass: &mut Pass, mut pcm: &[i16], noise: bool, out: &mut Outgoing) {
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(pcm.len().min(self.size - self.filled));
            self.frame[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            self.noise &= noise;
            pcm = later;
            if self.filled == self.size {
                self.filled = 0;
                self.send(pass, out);
                self.noise = true;
            }
        }
    }

    fn send(&mut self, pass: &mut Pass, out: &mut Outgoing) {
        let pcm = &self.frame[..self.size];
        let decision = match &mut self.dtx {
            Some(dtx) => dtx.decide(pcm, self.noise),
            None => Send::Frame,
        };
        let mut packet = [0; MAX_ENCODED];
        let payload = match &decision {
            Send::Frame => self.encode.encode(pcm, &mut packet),
            Send::Pause(octet) => Some(&octet[..]),
            Send::Nothing => None,
        };
        let Some(payload) = payload else {
            return out.skip(pass.now, self.size as u64);
        };
        if let Some(dtx) = &mut self.dtx {
            dtx.sent(payload);
        }
        let audio = Audio {
            payload,
            samples: self.size,
            burst: pass.burst,
            first: std::mem::take(&mut pass.first),
        };
        out.audio(pass.now, audio);
    }
}
