//! One call at the lab phone, without its sockets: told the time and what came, it says what to do
//! and what to send.

use std::time::{Duration, Instant};

use super::number::{End, Number, Script, Step};
use super::rtp::Packet;
use super::sound::Sound;
use super::stream::{Heard, MAX_SAMPLES, Stream};

/// A caller silent for this long has gone.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// One call.
#[derive(Debug)]
pub(super) struct Line {
    number: Number,
    script: Script,
    stream: Option<Stream>,
    sound: Option<Sound>,
    /// When the caller has been silent for too long; from the answer on.
    silent_at: Option<Instant>,
}

impl Line {
    pub(super) fn new(number: Number) -> Self {
        Line {
            number,
            script: Script::new(number),
            stream: None,
            sound: None,
            silent_at: None,
        }
    }

    /// How to speak is known, from the session descriptions.
    pub(super) fn connect(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    /// What to do now; call until `None`.
    pub(super) fn poll_step(&mut self, now: Instant) -> Option<Step> {
        if self.silent_at.is_some_and(|at| at <= now) {
            self.end();
            return Some(Step::HangUp(End::Silence));
        }
        let step = self.script.poll_step(now)?;
        match step {
            Step::Progress => self.start_sound(now, false),
            Step::Answer => {
                self.start_sound(now, true);
                self.silent_at = Some(now + SILENCE);
            }
            Step::HangUp(_) => self.end(),
            Step::Ring | Step::Refuse(_) => {}
        }
        Some(step)
    }

    fn start_sound(&mut self, now: Instant, answered: bool) {
        self.sound = Some(Sound::of(self.number, answered));
        if let Some(stream) = &mut self.stream {
            stream.start(now);
        }
    }

    /// Nothing more is sent, and there is nothing more to do.
    pub(super) fn end(&mut self) {
        self.script.end();
        self.sound = None;
        self.silent_at = None;
    }

    /// Takes a packet; what is to be sent back at once is in `reply`.
    pub(super) fn handle_rtp(
        &mut self,
        now: Instant,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Option<usize> {
        let packet = Packet::read(packet)?;
        let stream = self.stream.as_mut()?;
        let mut pcm = [0; MAX_SAMPLES];
        let heard = stream.hear(&packet, &mut pcm)?;
        if self.silent_at.is_some() {
            self.silent_at = Some(now + SILENCE);
        }
        match self.sound.as_mut()? {
            Sound::Echo => return stream.echo(&packet, reply),
            Sound::Keys(keys) => match heard {
                Heard::Audio(samples) => keys.handle_audio(now, &pcm[..samples]),
                Heard::Digit(digit) => keys.handle_event(now, digit.into()),
                Heard::Nothing => {}
            },
            Sound::Tone(_) | Sound::Ringback { .. } => {}
        }
        None
    }

    /// The next packet that is due, in `buffer`; call until `None`.
    pub(super) fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        match (self.stream.as_mut()?, self.sound.as_mut()?) {
            (_, Sound::Echo) => None,
            (stream, sound) => stream.play(now, sound, buffer),
        }
    }

    /// When there is something to do or to send next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let sound = match (&self.stream, &self.sound) {
            (Some(_), None | Some(Sound::Echo)) | (None, _) => None,
            (Some(stream), Some(_)) => Some(stream.due()),
        };
        [self.script.poll_timeout(), self.silent_at, sound]
            .into_iter()
            .flatten()
            .min()
    }
}
