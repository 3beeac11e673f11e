//! What the browser asks of a running call.

use std::time::{Duration, Instant};

use media::{Digit, DtmfWay, Leg};
use peer::IceCredentials;
use rand::Rng;

use super::{Action, EndedBy, MAX_CANDIDATES, Machine, State};
use crate::call::cause::CauseCode;
use crate::call::negotiation::rtp_format;
use crate::call::record::Direction;
use crate::call::timeline::Topic;
use crate::signaling::message::{ClientMessage, ErrorCode, Reoffer, SendDtmf, ServerMessage};
use crate::worker::MediaCommand;

impl Machine {
    pub(super) fn handle_browser(&mut self, now: Instant, message: ClientMessage) {
        match message {
            ClientMessage::Candidate(candidate) => {
                self.candidates_heard += 1;
                if self.candidates_heard <= MAX_CANDIDATES {
                    self.timeline.note(
                        now,
                        Topic::Media,
                        format!("the browser could be at {}", candidate.candidate),
                    );
                }
            }
            ClientMessage::EndOfCandidates(_) => {
                self.timeline.note(
                    now,
                    Topic::Media,
                    format!(
                        "the browser has named its {} candidates",
                        self.candidates_heard
                    ),
                );
            }
            ClientMessage::Offer(offer) => self.reoffered(now, &offer),
            ClientMessage::Hold(hold) => self.hold(now, hold.held),
            ClientMessage::Transfer(transfer) => self.transfer(now, &transfer),
            ClientMessage::Dtmf(dtmf) => self.send_digits(now, &dtmf),
            ClientMessage::Hangup(_) => {
                let code = match (self.story.answered, self.story.parties.direction) {
                    (Some(_), _) => CauseCode::Normal,
                    (None, Direction::Outbound) => CauseCode::Cancelled,
                    // He took it, and thought better of it before the caller could hear.
                    (None, Direction::Inbound) => CauseCode::Rejected,
                };
                self.end(now, code.cause(), EndedBy::Browser);
            }
            ClientMessage::Accept(_) | ClientMessage::Reject(_) => {
                self.browser_error(ErrorCode::WrongState, None, "the call no longer rings")
            }
            ClientMessage::Authenticate(_) | ClientMessage::Call(_) => {}
        }
    }

    /// A new offer in a running call: an ICE restart (RFC 8839 §4.4.1), or the same session again.
    pub(super) fn reoffered(&mut self, now: Instant, reoffer: &Reoffer) {
        self.timeline
            .note_sdp(now, "the browser offers anew", &reoffer.sdp, &[]);
        if matches!(
            self.state,
            State::Opening { .. } | State::Ending { .. } | State::Ended
        ) {
            return self.browser_error(
                ErrorCode::WrongState,
                None,
                "an offer is already being answered, or the call is over",
            );
        }
        let Some(leg) = self.browser.as_mut() else {
            return;
        };
        let offer = match sdp::browser::read_offer(&reoffer.sdp) {
            Ok(offer) => offer,
            Err(refusal) => return self.browser_error(ErrorCode::BadField, Some("sdp"), refusal),
        };
        if offer.audio.fingerprint != leg.offer.audio.fingerprint {
            return self.browser_error(
                ErrorCode::BadField,
                Some("sdp"),
                "a new certificate needs a new call",
            );
        }
        let restart =
            offer.audio.ufrag != leg.offer.audio.ufrag || offer.audio.pwd != leg.offer.audio.pwd;
        let local = if restart {
            IceCredentials::from_random(&self.rng.random())
        } else {
            leg.local.clone()
        };
        let mut next = leg.next(offer, local);
        let answer = match next.answer(&self.environment, &self.candidates) {
            Ok(answer) => answer,
            Err(refusal) => return self.browser_error(ErrorCode::BadField, Some("sdp"), refusal),
        };
        if leg.agreed.as_ref().map(rtp_format) != Some(rtp_format(&answer.audio)) {
            return self.browser_error(
                ErrorCode::BadField,
                Some("sdp"),
                "a call keeps its codec and payload types",
            );
        }
        let remote = next.remote();
        let local = next.local.clone();
        next.agreed = Some(answer.audio);
        *leg = next;
        if restart {
            self.timeline
                .note(now, Topic::Media, "ICE restarts; DTLS and SRTP live on");
            self.actions
                .push_back(Action::Media(MediaCommand::RestartIce(
                    self.id, local, remote,
                )));
        }
        self.timeline.note_sdp(
            now,
            "the browser is answered anew",
            &answer.text,
            &answer.notes,
        );
        let provisional = self.story.answered.is_none();
        self.tell(ServerMessage::Answer {
            call: self.name.clone(),
            sdp: answer.text,
            provisional,
        });
    }

    pub(super) fn send_digits(&mut self, now: Instant, dtmf: &SendDtmf) {
        let open = match &self.state {
            State::Talking { .. } => true,
            State::Calling(calling) => calling.early.is_some(),
            _ => false,
        };
        if !open {
            return self.browser_error(
                ErrorCode::WrongState,
                None,
                "digits can be sent once the telephone's audio is open",
            );
        }
        let duration = Duration::from_millis(u64::from(dtmf.duration_ms));
        self.timeline.note(
            now,
            Topic::Media,
            format!("{} digits for the telephone", dtmf.digits.len()),
        );
        for digit in dtmf
            .digits
            .chars()
            .filter_map(|key| Digit::try_from(key).ok())
        {
            if self.dtmf == DtmfWay::Signalling {
                self.send_by_info(now, digit.into(), duration);
                continue;
            }
            self.actions.push_back(Action::Media(MediaCommand::Dtmf(
                self.id,
                Leg::Trunk,
                digit,
                duration,
            )));
        }
    }

    pub(super) fn browser_error(
        &mut self,
        code: ErrorCode,
        field: Option<&str>,
        text: impl std::fmt::Display,
    ) {
        let error = self.error(code, field, text);
        self.tell(error);
    }

    pub(super) fn error(
        &self,
        code: ErrorCode,
        field: Option<&str>,
        text: impl std::fmt::Display,
    ) -> ServerMessage {
        ServerMessage::Error {
            call: Some(self.name.clone()),
            code,
            field: field.map(str::to_owned),
            text: text.to_string(),
        }
    }
}
