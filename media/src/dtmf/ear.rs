//! Keys in the audio itself, where a leg has no telephone-events.

use std::time::{Duration, Instant};

use codecs::tone::{DtmfDetector, DtmfHeard};
use codecs::{g711, g722};

use super::{Digit, Ticks, receive::Heard, receive::Volume};
use crate::format::Codec;
use crate::playout::Frame;

/// The longest packet that is listened to, in samples: 120 ms.
const MAX_SAMPLES: usize = 960;
/// A gap in the timestamps up to here is lost audio, in samples: a second. A longer one is another story.
const MAX_GAP: u32 = 8000;
/// Silence that ends any key, in samples.
const SILENCE: usize = 480;

/// Listens to one leg's audio.
#[derive(Debug)]
pub(crate) struct Ear {
    detector: DtmfDetector,
    timeout: Duration,
    /// The timestamp that follows the last audio.
    expected: Option<u32>,
    last: Option<Instant>,
    /// Of a leg that speaks G.722.
    g722: g722::Decoder,
}

impl Ear {
    /// An ear that takes a key for released after `timeout` without audio.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            detector: DtmfDetector::new(),
            timeout,
            expected: None,
            last: None,
            g722: g722::Decoder::new(),
        }
    }

    /// Whether a key is down.
    pub(crate) fn hears_key(&self) -> bool {
        self.detector.held().is_some()
    }

    /// Listens to a packet of audio, in its turn. Of Opus nothing is heard: its senders have telephone-events.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        codec: Codec,
        mut heard: impl FnMut(Heard),
    ) {
        if codec == Codec::Opus {
            return;
        }
        let samples = frame.payload.len().min(MAX_SAMPLES);
        let gap = self
            .expected
            .map_or(0, |expected| frame.timestamp.wrapping_sub(expected));
        self.expected = Some(frame.timestamp.wrapping_add(samples as u32));
        self.last = Some(now);
        let mut note = |event| heard(told(event));
        match gap {
            0 => {}
            lost if lost <= MAX_GAP && frame.lost > 0 => self.detector.lose(lost, &mut note),
            // A pause that was not sent.
            pause if pause <= MAX_GAP => {
                let silence = &[0; SILENCE][..SILENCE.min(pause as usize)];
                self.detector.hear(silence, &mut note);
            }
            _ => self.detector.finish(&mut note),
        }
        let mut pcm = [0; MAX_SAMPLES];
        let pcm = &mut pcm[..samples];
        match codec.law() {
            Some(law) => g711::decode_into(law, frame.payload, pcm),
            None => self.g722.decode_narrow(frame.payload, pcm),
        }
        self.detector.hear(pcm, &mut note);
        if let Some(held) = self.detector.held() {
            heard(Heard::Held(ticks(held)));
        }
    }

    /// When a key is taken for released, if no more audio comes.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.last
            .filter(|_| self.hears_key())
            .map(|last| last + self.timeout)
    }

    /// Ends a key whose sender is silent.
    pub(crate) fn handle_timeout(&mut self, now: Instant, heard: impl FnMut(Heard)) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.restart(heard);
        }
    }

    /// Another source goes on.
    pub(crate) fn restart(&mut self, mut heard: impl FnMut(Heard)) {
        self.detector.finish(|event| heard(told(event)));
        self.expected = None;
    }
}

fn told(event: DtmfHeard) -> Heard {
    // The detector knows the sixteen keys and no others.
    let digit = |key: char| Digit::try_from(key).unwrap_or(Digit(0));
    match event {
        DtmfHeard::Began { key, held, dbm0 } => {
            let volume = Volume((-dbm0).clamp(0.0, 63.0) as u8);
            Heard::Began(digit(key), ticks(held), volume)
        }
        DtmfHeard::Ended { key, held } => Heard::Ended(digit(key), ticks(held)),
    }
}

fn ticks(samples: u32) -> Ticks {
    Ticks::from_units(u64::from(samples), codecs::SAMPLE_RATE)
}
