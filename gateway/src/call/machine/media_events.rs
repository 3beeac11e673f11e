//! What the media worker notices.

use std::time::Instant;

use super::{EndedBy, HANGUP_GRACE, LegName, Machine, State};
use crate::call::cause::CauseCode;
use crate::call::timeline::Topic;
use crate::signaling::message::{ServerMessage, Via};
use crate::worker::{MediaEvent, OneWay};

impl Machine {
    pub(super) fn handle_media(&mut self, now: Instant, event: MediaEvent) {
        // Of the browser's end nothing more is of interest.
        if matches!(self.state, State::Joined { .. }) && is_browsers(&event) {
            return;
        }
        match event {
            MediaEvent::Opened { rtp, rtcp } => self.opened(now, rtp, rtcp),
            MediaEvent::Refused(error) => {
                self.media_is_gone();
                self.end(now, CauseCode::Overloaded.because(error), EndedBy::Gateway);
            }
            MediaEvent::Added { rtp, rtcp } => self.added(now, rtp, rtcp),
            MediaEvent::NotAdded(error) => {
                let cause = CauseCode::Overloaded.because(error);
                self.not_added(now, &cause);
            }
            MediaEvent::BrowserLeft(report) => self.story.media = Some(*report),
            MediaEvent::PathSelected(path) => self.path_selected(now, &path),
            MediaEvent::Connected { profile } => {
                self.timeline
                    .note(now, Topic::Media, format!("DTLS is up: {profile}"))
            }
            MediaEvent::FirstPacket(leg) => self.timeline.note(
                now,
                Topic::Media,
                format!("first audio from {}", self.side(leg)),
            ),
            MediaEvent::Dtmf(from, digit, duration)
                if matches!(self.state, State::Joined { .. }) =>
            {
                self.joined_pressed(now, from, digit, duration);
            }
            MediaEvent::Dtmf(media::Leg::Trunk, digit, duration) => {
                self.timeline
                    .note(now, Topic::Media, "the telephone pressed a key");
                self.keys_in_media[0] = true;
                self.tell_key(digit.into(), duration);
            }
            MediaEvent::Dtmf(media::Leg::Browser, digit, duration) => {
                self.timeline
                    .note(now, Topic::Media, "the browser pressed a key");
                self.send_by_info(now, digit.into(), duration);
            }
            MediaEvent::PeerFailed(failure) => self.end(
                now,
                CauseCode::MediaFailed.because(failure),
                EndedBy::Gateway,
            ),
            MediaEvent::ConsentLost => self.end(
                now,
                CauseCode::BrowserGone.because("its consent to media ran out"),
                EndedBy::Gateway,
            ),
            MediaEvent::PeerClosed => {
                self.timeline
                    .note(now, Topic::Media, "the browser closed its media");
                self.gone_at.get_or_insert(now + HANGUP_GRACE);
            }
            MediaEvent::Moved { leg, from, to } => {
                let side = self.side(leg);
                let text =
                    format!("the audio of {side} moved from {from} to {to}, and ours follows it");
                self.timeline.note(now, Topic::Media, text);
            }
            MediaEvent::TrunkConnected { leg, profile } => {
                let text = format!("DTLS with {} is up: {profile}", self.side(leg));
                self.timeline.note(now, Topic::Media, text);
                if leg == media::Leg::Trunk {
                    self.story.phone_srtp = Some(profile);
                }
            }
            MediaEvent::TrunkFailed(leg, failure) => {
                let text = format!("no SRTP with {}: {failure}", self.side(leg));
                self.end(now, CauseCode::TrunkError.because(text), EndedBy::Gateway);
            }
            MediaEvent::OneWay(trouble) => self.one_way(now, trouble),
            MediaEvent::Silent(leg, silence) => {
                let (side, seconds) = (self.side(leg), silence.as_secs());
                let text = format!("nothing from {side} for {seconds} s");
                self.end(now, CauseCode::MediaTimeout.because(text), EndedBy::Gateway);
            }
            MediaEvent::Panicked => {
                self.media_is_gone();
                self.end(
                    now,
                    CauseCode::Internal.because("in the media path"),
                    EndedBy::Gateway,
                );
            }
            MediaEvent::Closed(report) => {
                // It is the browser's call that the figures are of; those of two telephones that were joined are not.
                if self.story.browser_codec.is_some() && self.phones[1].is_none() {
                    self.story.media.get_or_insert(*report);
                }
                self.media_is_gone();
            }
        }
        self.finish_if_both_ended(now);
    }

    /// The browser is told when its media goes another way than before; another address on the same way is no news to it.
    fn path_selected(&mut self, now: Instant, path: &peer::Path) {
        let peer::Path {
            transport, remote, ..
        } = path;
        let text = format!("ICE: the browser is at {remote}, by {transport}");
        self.timeline.note(now, Topic::Media, text);
        let via = Via::from(*transport);
        if self.story.path.replace(via) != Some(via) {
            self.tell(ServerMessage::Path {
                call: self.name.clone(),
                via,
                text: via.text().to_owned(),
            });
        }
    }

    /// One side does not hear the other: the call goes on, and everybody is told why.
    fn one_way(&mut self, now: Instant, trouble: Option<OneWay>) {
        self.story.one_way.note(now, trouble);
        let text = trouble.map_or("Both sides send audio again.", OneWay::text);
        self.timeline.note(now, Topic::Media, text);
        self.tell(ServerMessage::Audio {
            call: self.name.clone(),
            trouble,
            text: text.to_owned(),
        });
    }

    /// For the timeline.
    fn side(&self, leg: media::Leg) -> &'static str {
        match leg {
            media::Leg::Trunk => LegName::Phone.name(),
            // It has taken the browser's place.
            media::Leg::Browser if self.phones[1].is_some() => LegName::Other.name(),
            media::Leg::Browser => "the browser",
        }
    }

    /// The worker no longer has this call, so nothing more is asked of it.
    pub(super) fn media_is_gone(&mut self) {
        self.media_open = false;
        if let State::Ending { media_pending, .. } = &mut self.state {
            *media_pending = false;
        }
    }
}

/// Whether it is of the browser alone.
fn is_browsers(event: &MediaEvent) -> bool {
    matches!(
        event,
        MediaEvent::PathSelected(_)
            | MediaEvent::Connected { .. }
            | MediaEvent::PeerFailed(_)
            | MediaEvent::ConsentLost
            | MediaEvent::PeerClosed
            | MediaEvent::OneWay(_)
    )
}
