//! Keys that cross beside the media: INFO on the telephone's side, messages on the browser's. What they were is in no
//! entry of the timeline.

use std::time::{Duration, Instant};

use media::{Digit, Leg};
use sip::{DtmfInfo, StatusCode};

use super::{Action, Machine, PhoneAction, State};
use crate::call::timeline::Topic;
use crate::signaling::message::ServerMessage;
use crate::worker::MediaCommand;

/// How many keys may wait for the answer.
const MAX_WAITING_KEYS: usize = 32;

impl Machine {
    /// A key for the telephone. They follow each other in the SIP endpoint.
    pub(super) fn send_by_info(&mut self, now: Instant, key: char, duration: Duration) {
        let key = DtmfInfo { key, duration };
        if !matches!(self.state, State::Talking { .. }) {
            // Of a menu that speaks before it answers. An INFO needs a dialog that the other side has confirmed.
            let text = match self.waiting_keys.len() < MAX_WAITING_KEYS {
                true => {
                    self.waiting_keys.push(key);
                    "a key waits for the answer, to go by INFO"
                }
                false => "a key is not sent: too many wait for the answer",
            };
            return self.timeline.note(now, Topic::Sip, text);
        }
        self.timeline
            .note(now, Topic::Sip, "a key goes to the telephone by INFO");
        self.phone_does(PhoneAction::Info(key));
    }

    /// The telephone has answered: keys that waited for it go.
    pub(super) fn send_waiting_keys(&mut self, now: Instant) {
        for DtmfInfo { key, duration } in std::mem::take(&mut self.waiting_keys) {
            self.send_by_info(now, key, duration);
        }
    }

    /// A key of the telephone by INFO: to the browser as an event and as a message, as those of its media are.
    pub(super) fn key_by_info(&mut self, now: Instant, key: DtmfInfo) {
        if self.keys_in_media[0] {
            return self.timeline.note(
                now,
                Topic::Sip,
                "a key came by INFO; left out, since keys come in the media too",
            );
        }
        let Ok(digit) = Digit::try_from(key.key) else {
            return;
        };
        self.timeline
            .note(now, Topic::Sip, "the telephone pressed a key, by INFO");
        self.actions.push_back(Action::Media(MediaCommand::Dtmf(
            self.id,
            Leg::Browser,
            digit,
            key.duration,
        )));
        self.tell_key(key.key, key.duration);
    }

    pub(super) fn info_failed(&mut self, now: Instant, status: Option<StatusCode>) {
        let text = match status {
            Some(status) => format!(
                "the telephone does not take keys by INFO: {}",
                status.code()
            ),
            None => "an INFO was not answered".to_owned(),
        };
        self.timeline.note(now, Topic::Sip, text);
    }

    /// Tells the browser of a key of the telephone.
    pub(super) fn tell_key(&mut self, digit: char, duration: Duration) {
        self.tell(ServerMessage::Dtmf {
            call: self.name.clone(),
            digit,
            duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
        });
    }
}
