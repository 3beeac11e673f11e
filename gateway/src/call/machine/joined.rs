//! Two telephones that the gateway has joined: the other is in the browser's place, its media on the same worker, and each
//! changes and keys its own leg, until one of them hangs up.

use std::time::{Duration, Instant};

use media::{Digit, DtmfWay};
use sip::endpoint::Event as SipEvent;
use sip::{DtmfInfo, StatusCode};

use super::hold::{Hold, PhoneLeg};
use super::{Action, LegName, Machine, PhoneAction, State};
use crate::call::cause::{self, CauseCode};
use crate::call::record::EndedBy;
use crate::call::timeline::Topic;
use crate::trunks::Seat;
use crate::worker::MediaCommand;

impl Machine {
    /// The two telephones talk, and the browser is out of it.
    pub(super) fn leave_to_telephones(
        &mut self,
        now: Instant,
        deadline: Instant,
        other: PhoneLeg,
        seat: Option<Seat>,
    ) {
        self.other_seat = seat;
        self.story.one_way.note(now, None);
        self.phones[LegName::Other.index()] = Some(other);
        self.transfer_done(now, EndedBy::Gateway);
        if !self.is_without_browser() {
            let cause = CauseCode::Transferred.cause();
            self.hang_up(vec![self.device], &cause);
        }
        self.browser = None;
        self.gone_at = None;
        self.state = State::Joined { deadline };
        if std::mem::take(&mut self.hold).is_here() {
            self.offer_again(now);
        }
        self.told_hold = Hold::default();
        self.set_media(LegName::Phone);
        self.set_media(LegName::Other);
    }

    /// What happens to one of two telephones that are joined.
    pub(super) fn joined(&mut self, now: Instant, from: LegName, event: SipEvent) {
        match event {
            SipEvent::Offer { body, .. } => self.offered(now, from, None, body.as_deref()),
            SipEvent::OfferAnswered { body, .. } => {
                self.offer_answered(now, from, body.as_deref());
            }
            SipEvent::OfferRefused { status, .. } => {
                self.offer_refused(now, status);
                self.end_if_mute(now, from);
            }
            SipEvent::Confirmed { body, .. } => self.confirmed(now, from, body.as_deref()),
            // Its keys come in the media too.
            SipEvent::Info { .. } if self.keys_in_media[from.index()] => {}
            SipEvent::Info { key, .. } => self.pass_key(now, from.opposite(), key),
            SipEvent::InfoFailed { status, .. } => self.info_failed(now, status),
            SipEvent::Referred { .. } => {
                let refused = PhoneAction::AnswerRefer(StatusCode::FORBIDDEN);
                self.actions.push_back(Action::Phone(from, refused));
            }
            // A CANCEL may cross our 200: its caller is gone all the same.
            SipEvent::Ended { reason, .. } | SipEvent::Cancelled { reason, .. } => {
                let text = format!("the dialog ended: {} hung up", from.name());
                self.timeline.note(now, Topic::Sip, text);
                match from {
                    LegName::Phone => self.phone_gone = true,
                    LegName::Other => self.other_up = false,
                }
                self.end(now, cause::from_bye(reason.as_ref()), EndedBy::Phone);
            }
            _ => {}
        }
        self.finish_if_both_ended(now);
    }

    /// One that the browser held, and that does not take that it is to speak again, would be mute for ever.
    fn end_if_mute(&mut self, now: Instant, leg: LegName) {
        let phone = self.phones[leg.index()].as_ref();
        if phone.is_some_and(|phone| !phone.media.receive) {
            let why = format!("{} was on hold, and does not come back", leg.name());
            let cause = CauseCode::NotAcceptable.because(why);
            self.end(now, cause, EndedBy::Gateway);
        }
    }

    /// A key that one of them pressed in its media, where it does not cross there by itself.
    pub(super) fn joined_pressed(
        &mut self,
        now: Instant,
        from: media::Leg,
        digit: Digit,
        duration: Duration,
    ) {
        let from = match from {
            media::Leg::Trunk => LegName::Phone,
            media::Leg::Browser => LegName::Other,
        };
        let to = from.opposite();
        self.keys_in_media[from.index()] = true;
        if self.takes_keys_by_info(to) {
            let key = digit.into();
            self.pass_key(now, to, DtmfInfo { key, duration });
        }
    }

    fn pass_key(&mut self, now: Instant, to: LegName, key: DtmfInfo) {
        let text = format!("a key goes to {}", to.name());
        self.timeline.note(now, Topic::Media, text);
        if self.takes_keys_by_info(to) {
            let info = PhoneAction::Info(key);
            return self.actions.push_back(Action::Phone(to, info));
        }
        if let Ok(digit) = Digit::try_from(key.key) {
            let send = MediaCommand::Dtmf(self.id, to.in_media(), digit, key.duration);
            self.actions.push_back(Action::Media(send));
        }
    }

    fn takes_keys_by_info(&self, leg: LegName) -> bool {
        let phone = self.phones[leg.index()].as_ref();
        phone.is_some_and(|phone| phone.media.dtmf == DtmfWay::Signalling)
    }
}
