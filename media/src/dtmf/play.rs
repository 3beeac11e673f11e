//! A key as tones in the audio itself, for a leg without telephone-events (ITU-T Q.23).

use std::time::{Duration, Instant};

use codecs::tone::DtmfTone;

use super::{Ticks, send::Press};
use crate::outgoing::Outgoing;
use crate::pipe::Pipe;

/// The lower tone, in dBm0, and by how many dB the higher is above it.
const LEVEL: f64 = -9.0;
const TWIST: f64 = 2.0;
/// The longest packet of ours, in samples.
const MAX_PACKET: usize = 480;

/// A key that is being played.
#[derive(Debug)]
pub(super) struct Playing {
    pub(super) press: Press,
    tone: DtmfTone,
    /// Samples so far.
    played: u64,
    pause: u64,
    /// When the next packet leaves.
    pub(super) next: Instant,
}

impl Playing {
    /// Begins a key that a pause follows.
    pub(super) fn begin(
        now: Instant,
        press: Press,
        interdigit: Duration,
        out: &mut Outgoing,
    ) -> Option<Self> {
        let tone = DtmfTone::with_twist(press.digit.into(), LEVEL, TWIST)?;
        out.begin_tones(now);
        Some(Self {
            press,
            tone,
            played: 0,
            pause: Ticks::from_duration(interdigit).to_units(codecs::SAMPLE_RATE),
            next: now,
        })
    }

    /// Plays the next packet; says whether the key and the pause behind it are over.
    pub(super) fn play(&mut self, now: Instant, pipe: &mut Pipe, out: &mut Outgoing) -> bool {
        let Some(format) = out.format() else {
            return true;
        };
        let samples = format.packet_samples().min(MAX_PACKET);
        let held = self.press.held.to_units(codecs::SAMPLE_RATE);
        let mut pcm = [0; MAX_PACKET];
        // As long as nobody says that the key is up it is down.
        let sounding = match self.press.open {
            true => samples,
            false => usize::try_from(held.saturating_sub(self.played)).unwrap_or(samples),
        };
        self.tone.fill(&mut pcm[..sounding.min(samples)]);
        pipe.sound(now, &pcm[..samples], out);
        out.tones(samples as u64);
        self.played += samples as u64;
        let pace = Duration::from_micros(samples as u64 * 125);
        // In step, unless nobody came for long.
        let in_step = now < self.next + pace;
        self.next = if in_step { self.next } else { now } + pace;
        let over = !self.press.open && self.played >= held + self.pause;
        if over {
            out.end_tones(now);
        }
        over
    }
}
