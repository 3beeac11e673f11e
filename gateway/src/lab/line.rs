//! One call at the lab phone, without its sockets: told the time and what came, it says what to do
//! and what to send.

use std::time::{Duration, Instant};

use media::{PacketKind, Participant, ParticipantConfig, rtp};

use super::number::{End, Number, Script, Step};
use super::sound::Sound;
use super::stream::{Format, Heard, MAX_SAMPLES, Stream};

/// A caller silent for this long has gone.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// The mean time between our RTCP reports (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What our RTCP needs from outside.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Our CNAME (RFC 7022).
    pub(super) cname: String,
    /// Randomness for the times of reports.
    pub(super) seed: u64,
}

/// One call.
#[derive(Debug)]
pub(super) struct Line {
    number: Number,
    script: Script,
    identity: Identity,
    stream: Option<Stream>,
    sound: Option<Sound>,
    /// Our RTCP, from the first sound on.
    participant: Option<Participant>,
    /// When the caller has been silent for too long; from the answer on.
    silent_at: Option<Instant>,
}

impl Line {
    pub(super) fn new(number: Number, identity: Identity) -> Self {
        Line {
            number,
            script: Script::new(number),
            identity,
            stream: None,
            sound: None,
            participant: None,
            silent_at: None,
        }
    }

    /// How to speak is known, from the session descriptions.
    pub(super) fn connect(&mut self, now: Instant, stream: Stream) {
        self.stream = Some(stream);
        self.participate(now);
    }

    /// The caller changed the session: what we send, and whether he sends. One who holds us may be silent.
    pub(super) fn change(&mut self, now: Instant, format: Format, receives: bool) {
        if let Some(stream) = &mut self.stream {
            stream.change(now, format);
        }
        self.silent_at = (receives && self.sound.is_some()).then_some(now + SILENCE);
    }

    /// What to do now; call until `None`.
    pub(super) fn poll_step(&mut self, now: Instant) -> Option<Step> {
        if self.silent_at.is_some_and(|at| at <= now) {
            self.end(now);
            return Some(Step::HangUp(End::Silence));
        }
        let step = self.script.poll_step(now)?;
        match step {
            Step::Progress => self.start_sound(now, false),
            Step::Answer => {
                self.start_sound(now, true);
                self.silent_at = Some(now + SILENCE);
            }
            Step::HangUp(_) => self.end(now),
            Step::Ring | Step::Refuse(_) => {}
        }
        Some(step)
    }

    fn start_sound(&mut self, now: Instant, answered: bool) {
        self.sound = Some(Sound::of(self.number, answered));
        if let Some(stream) = &mut self.stream {
            stream.start(now);
        }
        self.participate(now);
    }

    /// Reports begin when there is something to hear and somebody to hear it.
    fn participate(&mut self, now: Instant) {
        if let (Some(stream), Some(_), None) = (&self.stream, &self.sound, &self.participant) {
            let config = ParticipantConfig {
                ssrc: stream.ssrc(),
                // RFC 3551 §4.5.14.
                clock_rate: codecs::SAMPLE_RATE,
                cname: self.identity.cname.clone(),
                seed: self.identity.seed,
                // Elapsed time is enough where nothing is synchronised with the sound (RFC 3550 §6.4.1).
                ntp_start: 0,
                report_interval: REPORT_INTERVAL,
            };
            self.participant = Some(Participant::new(now, config));
        }
    }

    /// Nothing more is sent but the RTCP goodbye, and there is nothing more to do.
    pub(super) fn end(&mut self, now: Instant) {
        self.script.end();
        self.sound = None;
        self.silent_at = None;
        if let Some(participant) = &mut self.participant {
            participant.close(now);
        }
    }

    /// Takes a packet; what is to be sent back at once is in `reply`.
    pub(super) fn handle_rtp(
        &mut self,
        now: Instant,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Option<usize> {
        let packet = rtp::read(packet).ok()?;
        let stream = self.stream.as_mut()?;
        let mut pcm = [0; MAX_SAMPLES];
        let heard = stream.hear(&packet, &mut pcm)?;
        if self.silent_at.is_some() {
            self.silent_at = Some(now + SILENCE);
        }
        if let Some(participant) = &mut self.participant {
            participant.received(now, &packet, matches!(heard, Heard::Audio(_)));
        }
        match self.sound.as_mut()? {
            Sound::Echo if stream.sends() => {
                let length = stream.echo(&packet, reply)?;
                if let Some(participant) = &mut self.participant {
                    participant.sent(now, reply.get(..length)?);
                }
                return Some(length);
            }
            Sound::Keys(keys) => match heard {
                Heard::Audio(samples) => keys.handle_audio(now, &pcm[..samples]),
                Heard::Digit(digit) => keys.handle_event(now, digit.into()),
                Heard::Nothing => {}
            },
            Sound::Echo | Sound::Tone(_) | Sound::Ringback { .. } => {}
        }
        None
    }

    /// Takes what the caller reports; what is no RTCP is counted and dropped.
    pub(super) fn handle_rtcp(&mut self, now: Instant, packet: &[u8]) {
        if let Some(participant) = &mut self.participant {
            let _ = participant.handle_rtcp(now, packet);
        }
    }

    /// The next packet that is due, in `buffer`; call until `None`.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
    ) -> Option<(PacketKind, usize)> {
        if let Some(length) = self.play(now, buffer) {
            return Some((PacketKind::Rtp, length));
        }
        let length = self.participant.as_mut()?.poll_transmit(now, buffer)?;
        Some((PacketKind::Rtcp, length))
    }

    fn play(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        let (stream, sound) = (self.stream.as_mut()?, self.sound.as_mut()?);
        if !stream.sends() || matches!(sound, Sound::Echo) {
            return None;
        }
        let length = stream.play(now, sound, buffer)?;
        if let Some(participant) = &mut self.participant {
            participant.sent(now, buffer.get(..length)?);
        }
        Some(length)
    }

    /// What RTCP knows of the caller's sound and of ours.
    #[cfg(test)]
    pub(super) fn report(&self) -> Option<media::LegReport> {
        self.participant.as_ref().map(Participant::report)
    }

    /// When there is something to do or to send next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let sound = match (&self.stream, &self.sound) {
            (Some(_), None | Some(Sound::Echo)) | (None, _) => None,
            (Some(stream), Some(_)) => stream.sends().then(|| stream.due()),
        };
        let reports = self
            .participant
            .as_ref()
            .and_then(Participant::poll_timeout);
        [self.script.poll_timeout(), self.silent_at, sound, reports]
            .into_iter()
            .flatten()
            .min()
    }
}
