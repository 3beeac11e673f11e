//! What the telephone's side does: the SIP leg's events.

use std::time::Instant;

use sdp::Negotiated;
use sip::StatusCode;
use sip::endpoint::{EndedBy as SipEndedBy, Event as SipEvent, Failure, Fork};

use super::early::Agreed;
use super::hold::PhoneLeg;
use super::legs::TrunkOffer;
use super::{Action, EndedBy, LegName, Machine, PhoneAction, State};
use crate::call::cause::{self, Cause, CauseCode};
use crate::call::negotiation::{codec_name, dtmf_name};
use crate::call::timeline::Topic;
use crate::signaling::message::ServerMessage;
use crate::worker::{MediaCommand, TrunkMedia};

impl Machine {
    pub(super) fn handle_sip(&mut self, now: Instant, event: SipEvent) {
        if matches!(self.state, State::Joined { .. }) {
            return self.joined(now, LegName::Phone, event);
        }
        match event {
            SipEvent::Progress {
                status, fork, body, ..
            } => self.progress(now, status.code(), fork, body.as_deref()),
            SipEvent::Answered { fork, body, .. } => self.answered(now, fork, body.as_deref()),
            SipEvent::Failed { failure, .. } => {
                let (cause, by) = cause_of_failure(&failure);
                self.timeline.note(
                    now,
                    Topic::Sip,
                    format!("the INVITE failed: {}", cause.text),
                );
                self.way_failed(now, &failure, cause, by);
            }
            SipEvent::Ended { by, .. } if self.goes_on_without_phone(now) => {
                let text = format!("the dialog ended, {by:?}; another telephone is called");
                self.timeline.note(now, Topic::Sip, text);
            }
            SipEvent::Ended { reason, by, .. } => {
                self.timeline
                    .note(now, Topic::Sip, format!("the dialog ended, {by:?}"));
                if self.was_transferred() {
                    let cause = CauseCode::Transferred.cause();
                    return self.sip_failed(now, cause, EndedBy::Phone);
                }
                let cause = match by {
                    SipEndedBy::Timeout => CauseCode::Unreachable.cause(),
                    SipEndedBy::Remote | SipEndedBy::Local => cause::from_bye(reason.as_ref()),
                };
                self.sip_failed(now, cause, EndedBy::Phone);
            }
            SipEvent::Info { key, .. } => self.key_by_info(now, key),
            SipEvent::InfoFailed { status, .. } => self.info_failed(now, status),
            SipEvent::Cancelled { reason, .. } => {
                let cause = cause::from_cancel(reason.as_ref());
                self.timeline
                    .note(now, Topic::Sip, format!("CANCEL: {}", cause.text));
                self.sip_failed(now, cause, EndedBy::Phone);
            }
            SipEvent::Confirmed { body, .. } => {
                self.confirmed(now, LegName::Phone, body.as_deref());
            }
            SipEvent::Offer { fork, body, .. } => {
                self.offered(now, LegName::Phone, fork, body.as_deref());
            }
            SipEvent::OfferAnswered { body, .. } => {
                self.offer_answered(now, LegName::Phone, body.as_deref());
            }
            SipEvent::OfferRefused { status, .. } => self.offer_refused(now, status),
            SipEvent::Referred { to, .. } => self.referred(now, &to),
            SipEvent::ReferAnswered { status, .. } => self.refer_answered(now, status),
            SipEvent::ReferProgress { status, last, .. } => self.refer_progress(now, status, last),
            SipEvent::Incoming { .. } => {}
        }
        self.finish_if_both_ended(now);
    }

    pub(super) fn progress(
        &mut self,
        now: Instant,
        status: u16,
        fork: Option<Fork>,
        body: Option<&[u8]>,
    ) {
        self.timeline.note(
            now,
            Topic::Sip,
            format!("{status}{}", if body.is_some() { " with SDP" } else { "" }),
        );
        if status > 100 {
            self.trunk_served(now);
        }
        let State::Calling(calling) = &mut self.state else {
            return;
        };
        calling.heard = true;
        if status == StatusCode::EARLY_DIALOG_TERMINATED.code() {
            return calling.forks.forget(fork);
        }
        if status == 180 && !calling.ringing {
            calling.ringing = true;
            self.story.ringing.get_or_insert(now);
            self.actions.push_back(Action::Browser(
                self.device,
                ServerMessage::Ringing {
                    call: self.name.clone(),
                },
            ));
        }
        let Some(body) = body else { return };
        let agreed = calling.trunk.agree(body);
        if let Ok(agreed) = &agreed {
            calling.forks.put(fork, agreed.clone());
        }
        match agreed {
            Ok(Agreed {
                negotiated: agreed,
                media,
                ..
            }) if calling.early.as_ref() != Some(&media) => {
                self.timeline.note(
                    now,
                    Topic::Sdp,
                    format!(
                        "early media: {} from {}",
                        codec_name(agreed.codec),
                        media.rtp
                    ),
                );
                self.story.phone_codec = Some(codec_name(agreed.codec));
                self.story.phone_srtp = sdes_suite(&media);
                if calling.early.is_none() {
                    self.actions.push_back(Action::Browser(
                        self.device,
                        ServerMessage::Early {
                            call: self.name.clone(),
                        },
                    ));
                }
                calling.early = Some(media.clone());
                self.dtmf = media.dtmf;
                self.bridge(LegName::Phone, media);
            }
            Ok(_) => {}
            // An early answer that cannot be used is no fault yet: the final one counts.
            Err(text) => self.timeline.note(
                now,
                Topic::Sdp,
                format!("early media cannot be used: {text}"),
            ),
        }
    }

    pub(super) fn answered(&mut self, now: Instant, fork: Option<Fork>, body: Option<&[u8]>) {
        let text = String::from_utf8_lossy(body.unwrap_or_default());
        self.timeline
            .note_sdp(now, "the telephone answers", &text, &[]);
        if matches!(self.state, State::Calling(_)) {
            self.trunk_served(now);
        }
        let State::Calling(calling) = &mut self.state else {
            return;
        };
        self.route = Some(calling.attempt.route.clone());
        match calling.forks.answered(&calling.trunk, fork, body) {
            Ok(Agreed {
                trunk,
                negotiated,
                media,
            }) => {
                // Of several, another may have been heard last.
                let joined = calling.early.as_ref() == Some(&media);
                let there = !media.send;
                self.agreed(now, trunk, &negotiated, media, joined);
                self.up(now);
                self.held_there(now, there);
                self.tell_hold();
            }
            Err(text) => {
                self.story.answered = Some(now);
                self.state = State::Talking { deadline: now };
                self.end(
                    now,
                    CauseCode::NotAcceptable.because(text),
                    EndedBy::Gateway,
                );
            }
        }
    }

    /// Both sides know what they send.
    pub(super) fn agreed(
        &mut self,
        now: Instant,
        trunk: TrunkOffer,
        agreed: &Negotiated,
        media: TrunkMedia,
        joined: bool,
    ) {
        let reading = format!(
            "talking {} with {}, SRTP: {}",
            codec_name(agreed.codec),
            media.rtp,
            media.srtp.name()
        );
        self.timeline.note_reading(now, reading, &agreed.notes);
        self.story.phone_codec = Some(codec_name(agreed.codec));
        // That of DTLS is told when its handshake is over, which it may be. Of another that rang nothing is kept.
        let dtls = matches!(media.srtp, sdp::trunk::Srtp::Dtls { .. });
        let before = self.story.phone_srtp.take().filter(|_| dtls);
        self.story.phone_srtp = sdes_suite(&media).or(before);
        self.join(now, trunk, media, joined);
    }

    /// Joins the two sides' media, unless they are joined already.
    fn join(&mut self, now: Instant, trunk: TrunkOffer, media: TrunkMedia, joined: bool) {
        self.dtmf = media.dtmf;
        self.keys_in_media[0] = false;
        self.phones[0] = Some(PhoneLeg::new(trunk, media.clone()));
        self.timeline.note(
            now,
            Topic::Media,
            format!("keys cross {}", dtmf_name(media.dtmf)),
        );
        if !joined {
            self.bridge(LegName::Phone, media);
        }
        self.actions
            .push_back(Action::Media(MediaCommand::Answered(self.id)));
    }

    /// Tells the worker how a telephone is reached.
    pub(super) fn bridge(&mut self, leg: LegName, media: TrunkMedia) {
        let media = Box::new(media);
        let bridge = MediaCommand::Bridge(self.id, leg.in_media(), media);
        self.actions.push_back(Action::Media(bridge));
    }

    /// The call is answered.
    pub(super) fn up(&mut self, now: Instant) {
        self.story.answered = Some(now);
        self.tell(ServerMessage::Accepted {
            call: self.name.clone(),
        });
        self.state = State::Talking {
            deadline: now + self.max_duration,
        };
        self.send_waiting_keys(now);
    }

    /// The SIP leg is over, whoever ended it.
    pub(super) fn sip_failed(&mut self, now: Instant, cause: Cause, by: EndedBy) {
        match &mut self.state {
            State::Ending { sip_pending, .. } => *sip_pending = false,
            State::Ended => {}
            _ => {
                self.end(now, cause, by);
                // What ending just asked of the SIP leg is moot.
                self.actions.retain(|action| {
                    !matches!(
                        action,
                        Action::Phone(
                            LegName::Phone,
                            PhoneAction::Cancel(_) | PhoneAction::Bye(_) | PhoneAction::Reject(..)
                        )
                    )
                });
                if let State::Ending { sip_pending, .. } = &mut self.state {
                    *sip_pending = false;
                }
            }
        }
        self.finish_if_both_ended(now);
    }
}

pub(super) fn cause_of_failure(failure: &Failure) -> (Cause, EndedBy) {
    match failure {
        Failure::Status {
            status,
            reason_header,
            ..
        } => (
            cause::from_status(*status, reason_header.as_ref()),
            EndedBy::Phone,
        ),
        Failure::Unauthorized(why) => (
            CauseCode::TrunkError.because(format!("the trunk: {why}")),
            EndedBy::Gateway,
        ),
        Failure::NoAnswer => (CauseCode::NoAnswer.cause(), EndedBy::Gateway),
        Failure::Timeout => (CauseCode::Unreachable.cause(), EndedBy::Gateway),
        Failure::Transport(error) => (CauseCode::Unreachable.because(error), EndedBy::Gateway),
        Failure::Cancelled => (CauseCode::Cancelled.cause(), EndedBy::Gateway),
    }
}

/// The suite of keys in the SDP.
pub(super) fn sdes_suite(media: &TrunkMedia) -> Option<String> {
    match &media.srtp {
        sdp::trunk::Srtp::Sdes { suite, .. } => Some(suite.name().to_owned()),
        sdp::trunk::Srtp::Plain | sdp::trunk::Srtp::Dtls { .. } => None,
    }
}
