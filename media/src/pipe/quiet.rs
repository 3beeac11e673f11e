//! Pauses: the background noise that fills theirs, and ours towards an Opus side.

use codecs::comfort_noise::{Generator, Noise};
use codecs::opus;

/// No background that we make is louder, in -dBov: what was measured may have been speech.
const LOUDEST: u8 = 42;
/// Comfort noise is told of again after so many samples (400 ms), as Opus does in its own pauses.
const TELL: u64 = 3_200;

/// The background of one direction.
#[derive(Debug, Default)]
pub(super) struct Background {
    noise: Noise,
    generator: Generator,
    /// What they said or was measured belongs to the pause that goes on.
    known: bool,
    /// Samples since we last told of it.
    told: Option<u64>,
}

impl Background {
    /// They tell how it sounds.
    pub(super) fn hear(&mut self, payload: &[u8]) {
        if let Some(noise) = Noise::read(payload) {
            self.noise = noise.not_above(LOUDEST);
            self.known = true;
            self.told = None;
        }
    }

    /// Their audio goes on.
    pub(super) fn end(&mut self) {
        self.known = false;
        self.told = None;
    }

    /// Measures it in the audio before a pause, unless it is known.
    pub(super) fn measure(&mut self, audio: &[i16]) {
        if !self.known && !audio.is_empty() {
            self.noise = Noise::of(audio).not_above(LOUDEST);
            self.known = true;
        }
    }

    /// Makes it.
    pub(super) fn fill(&mut self, pcm: &mut [i16]) {
        self.generator.fill(&self.noise, pcm);
    }

    /// The payload of comfort noise (RFC 3389), if it is time to tell of it, before `samples` more of the pause.
    pub(super) fn tell(&mut self, samples: u64) -> Option<[u8; codecs::comfort_noise::PAYLOAD]> {
        let due = self.told.is_none_or(|told| told >= TELL);
        let before = if due { 0 } else { self.told.unwrap_or(0) };
        self.told = Some(before + samples);
        due.then(|| self.noise.to_bytes())
    }
}

/// The mean square below which audio is silence: -60 dBm0. Below it the pause costs 0.015 PESQ at most.
const SILENCE: u64 = 16 * 16;
/// So many samples of silence are sent before the pause, for the far decoder to learn its background (200 ms).
const HANGOVER: u64 = 1_600;
/// In a pause one packet is sent in so many samples (400 ms).
const REFRESH: u64 = 3_200;

/// Our own pauses towards an Opus side (RFC 6716 §2.1.9): silence is neither encoded nor sent. libopus could do it, but
/// takes steady tones for noise, and encodes in order to know.
#[derive(Debug, Default)]
pub(super) struct Dtx {
    /// Samples of silence so far.
    silent: u64,
    /// The first octet of the last packet that was sent.
    toc: u8,
}

/// What is sent for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Send {
    /// The frame.
    Frame,
    /// One octet: a pause begins.
    Pause([u8; 1]),
    /// Nothing.
    Nothing,
}

impl Dtx {
    /// Decides about a frame of ours of `samples` at 8 kHz; `noise` says that it is background whatever its level.
    pub(super) fn decide(&mut self, pcm: &[i16], samples: usize, noise: bool) -> Send {
        if !noise && !is_silent(pcm) {
            self.silent = 0;
            return Send::Frame;
        }
        let frame = samples as u64;
        let before = self.silent;
        self.silent += frame;
        if before < HANGOVER {
            return Send::Frame;
        }
        // The first packet of each period is audio, the second says that no more comes.
        let into = before - HANGOVER;
        match into % REFRESH / frame {
            0 if into < frame => Send::Pause([self.toc]),
            0 => Send::Frame,
            1 if into > REFRESH => Send::Pause([self.toc]),
            _ => Send::Nothing,
        }
    }

    /// Notes a packet that was sent.
    pub(super) fn sent(&mut self, packet: &[u8]) {
        // The configuration stays, with one frame in the packet (RFC 6716 §3.1).
        self.toc = packet.first().map_or(0, |toc| toc & 0xfc);
        debug_assert!(opus::packet_samples(&[self.toc]).is_some());
    }
}

fn is_silent(pcm: &[i16]) -> bool {
    let energy: u64 = pcm
        .iter()
        .map(|sample| i64::from(*sample).pow(2) as u64)
        .sum();
    energy < SILENCE * pcm.len() as u64
}
