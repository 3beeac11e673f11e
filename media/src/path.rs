//! The way of one leg's packets, in order, to the other leg.

use std::time::Instant;

use crate::bridge::{BridgeEvent, Events};
use crate::dtmf::{ear::Ear, receive, receive::AudioPacket, receive::Heard, send};
use crate::format::{Leg, RtpFormat};
use crate::outgoing::Outgoing;
use crate::pipe::Pipe;
use crate::playout::{Frame, Turn};

/// What a packet meets on its way.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    pub(crate) from: Leg,
    pub(crate) format: Option<RtpFormat>,
    pub(crate) keys_in: &'a mut receive::Receiver,
    pub(crate) ear: Option<&'a mut Ear>,
    pub(crate) heard: &'a mut bool,
    pub(crate) pipe: Option<&'a mut Pipe>,
    pub(crate) keys_out: &'a mut send::Sender,
    pub(crate) out: &'a mut Outgoing,
    pub(crate) events: &'a mut Events,
}

impl Path<'_> {
    /// Plays what is due; says whether it was a bad packet (1) or not (0).
    pub(crate) fn play(&mut self, now: Instant, turn: Turn<'_>) -> u64 {
        let hears_key = self.ear.as_ref().is_some_and(|ear| ear.hears_key());
        let muted = hears_key || self.keys_out.is_sounding();
        match turn {
            Turn::Packet(frame) => return self.take(now, &frame),
            Turn::Lost {
                gap,
                samples,
                successor,
            } => {
                if let Some(pipe) = &mut self.pipe {
                    pipe.make_up(now, gap, samples, successor, muted, self.out);
                }
            }
            Turn::Quiet { samples } => {
                if let Some(pipe) = &mut self.pipe {
                    pipe.quiet(now, samples, muted, self.out);
                }
            }
        }
        0
    }

    /// Takes the next packet; says whether it was bad (1) or not (0).
    pub(crate) fn take(&mut self, now: Instant, frame: &Frame<'_>) -> u64 {
        let Some(format) = self.format else { return 1 };
        if Some(frame.payload_type) == format.telephone_event_in {
            for heard in self
                .keys_in
                .handle(
                    now,
                    frame.timestamp,
                    frame.marker,
                    frame.lost,
                    frame.payload,
                )
                .into_iter()
                .flatten()
            {
                self.relay(now, heard);
            }
            return 0;
        }
        let Some(codec) = format.codec_of(frame.payload_type) else {
            if !format.is_comfort_noise(frame.payload_type) {
                return 1;
            }
            if let Some(pipe) = &mut self.pipe {
                pipe.comfort_noise(frame.payload);
            }
            return 0;
        };
        if !std::mem::replace(self.heard, true) {
            self.events
                .push(BridgeEvent::FirstPacket { from: self.from });
        }
        self.keys_in.audio(now, AudioPacket::of(frame, codec));
        let mut muted = false;
        if let Some(ear) = self.ear.take() {
            ear.hear(now, frame, codec, |heard| self.relay(now, heard));
            // A key that was heard goes on as an event or a message, and not as audio too.
            muted = ear.hears_key();
            self.ear = Some(ear);
        }
        muted |= self.keys_out.is_sounding();
        if let Some(pipe) = &mut self.pipe {
            pipe.play(now, frame, codec, muted, self.out);
        }
        0
    }

    /// Another source begins.
    pub(crate) fn restart(&mut self, now: Instant) {
        if let Some(ended) = self.keys_in.restart() {
            self.relay(now, ended);
        }
        if let Some(ear) = self.ear.take() {
            ear.restart(|heard| self.relay(now, heard));
            self.ear = Some(ear);
        }
    }

    /// Ends an event whose sender is silent.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(ended) = self.keys_in.handle_timeout(now) {
            self.relay(now, ended);
        }
        if let Some(ear) = self.ear.take() {
            ear.handle_timeout(now, |heard| self.relay(now, heard));
            self.ear = Some(ear);
        }
    }

    fn relay(&mut self, now: Instant, heard: Heard) {
        match heard {
            // A full queue of digits that cannot be sent as fast as they come: this one is not relayed.
            Heard::Began(digit, held, volume) => drop(self.keys_out.begin(digit, held, volume)),
            Heard::Held(held) => self.keys_out.hold(held),
            Heard::Ended(digit, held) => {
                self.keys_out.release(held);
                let duration = held.to_duration();
                self.events.push(BridgeEvent::Dtmf {
                    from: self.from,
                    digit,
                    duration,
                });
            }
        }
        self.keys_out
            .handle_timeout(now, self.pipe.as_deref_mut(), self.out);
    }
}
