//! `dtmf`: collects digits, and after a pause plays them as tones.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use codecs::tone::{DtmfDetector, DtmfHeard, DtmfTone};

/// The pause that ends what the caller enters.
const PAUSE: Duration = Duration::from_millis(1500);
/// No more digits than this are kept; more are not heard.
const MAX_DIGITS: usize = 64;
/// How long a tone sounds, and the silence after it.
const TONE_SAMPLES: usize = 200 * codecs::SAMPLES_PER_MS;
const GAP_SAMPLES: usize = 100 * codecs::SAMPLES_PER_MS;
const TONE_DBM0: f64 = -10.0;
/// Our own tones come back by the caller's loudspeaker and microphone for this long.
const ECHO_TAIL: Duration = Duration::from_millis(500);

/// Reads digits back.
#[derive(Debug)]
pub(super) struct Keys {
    detector: DtmfDetector,
    /// The caller sends telephone-events (RFC 4733), so tones in the audio are not digits.
    by_event: bool,
    entered: VecDeque<char>,
    /// When the last one was entered.
    last: Option<Instant>,
    playing: Option<Playing>,
    deaf_until: Option<Instant>,
}

#[derive(Debug)]
struct Playing {
    tone: DtmfTone,
    played: usize,
    left: VecDeque<char>,
}

impl Keys {
    pub(super) fn new() -> Self {
        Keys {
            detector: DtmfDetector::new(),
            by_event: false,
            entered: VecDeque::new(),
            last: None,
            playing: None,
            deaf_until: None,
        }
    }

    /// A digit came as a telephone-event.
    pub(super) fn handle_event(&mut self, now: Instant, digit: char) {
        if !self.by_event {
            // The start of this very digit may already have been heard in the audio.
            self.by_event = true;
            self.entered.retain(|heard| *heard != digit);
        }
        self.enter(now, digit);
    }

    /// Audio came.
    pub(super) fn handle_audio(&mut self, now: Instant, pcm: &[i16]) {
        if self.by_event || self.playing.is_some() || self.deaf_until.is_some_and(|at| now < at) {
            return;
        }
        let mut pressed = None;
        self.detector.hear(pcm, |heard| {
            if let DtmfHeard::Began { key, .. } = heard {
                pressed = Some(key);
            }
        });
        if let Some(key) = pressed {
            self.enter(now, key);
        }
    }

    fn enter(&mut self, now: Instant, digit: char) {
        if self.entered.len() < MAX_DIGITS {
            self.entered.push_back(digit);
        }
        self.last = Some(now);
    }

    /// The next samples of what the caller hears.
    pub(super) fn fill(&mut self, now: Instant, pcm: &mut [i16]) {
        pcm.fill(0);
        let entered_all = self.last.is_some_and(|last| now >= last + PAUSE);
        if self.playing.is_none() && entered_all {
            self.last = None;
            self.playing = next_tone(std::mem::take(&mut self.entered));
        }
        let Some(playing) = &mut self.playing else {
            return;
        };
        if playing.played < TONE_SAMPLES {
            let sounding = pcm.len().min(TONE_SAMPLES - playing.played);
            playing.tone.fill(&mut pcm[..sounding]);
        }
        playing.played += pcm.len();
        if playing.played >= TONE_SAMPLES + GAP_SAMPLES {
            let left = std::mem::take(&mut playing.left);
            self.playing = next_tone(left);
            if self.playing.is_none() {
                self.deaf_until = Some(now + ECHO_TAIL);
                self.detector = DtmfDetector::new();
            }
        }
    }
}

fn next_tone(mut left: VecDeque<char>) -> Option<Playing> {
    while let Some(digit) = left.pop_front() {
        if let Some(tone) = DtmfTone::new(digit, TONE_DBM0) {
            return Some(Playing {
                tone,
                played: 0,
                left,
            });
        }
    }
    None
}
