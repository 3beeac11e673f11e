//! Hold, from either side, and whatever else the telephone changes while the call is up (RFC 3264 §8, RFC 3261 §14).

use std::time::Instant;

use sdp::Direction;
use sdp::trunk::{Keying, Srtp};
use sip::StatusCode;
use sip::endpoint::Fork;

use super::legs::TrunkOffer;
use super::{Action, EndedBy, LegName, Machine, PhoneAction, State};
use crate::call::cause::CauseCode;
use crate::call::negotiation::{codec_name, trunk_media};
use crate::call::timeline::Topic;
use crate::signaling::message::{ErrorCode, ServerMessage};
use crate::worker::TrunkMedia;

/// Who holds whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// The browser holds the telephone.
    here: bool,
    /// The telephone holds the browser.
    there: bool,
}

impl Hold {
    pub(super) fn is_here(self) -> bool {
        self.here
    }
}

/// A telephone's leg while the call is up.
#[derive(Clone, Debug)]
pub(super) struct PhoneLeg {
    /// What it was told last.
    pub(super) trunk: TrunkOffer,
    /// What it was agreed to send and take.
    pub(super) media: TrunkMedia,
}

impl PhoneLeg {
    /// What was agreed on for SRTP stays, whatever is said later: the roles of a handshake that is up, the suite and our
    /// key for it.
    pub(super) fn new(mut trunk: TrunkOffer, media: TrunkMedia) -> Self {
        match (&mut trunk.options.keying, &media.srtp) {
            (Keying::Dtls { active: kept, .. }, Srtp::Dtls { active, .. }) => *kept = Some(*active),
            (Keying::Sdes(keys) | Keying::Opportunistic(keys), Srtp::Sdes { suite, .. }) => {
                keys.retain(|crypto| crypto.suite == *suite);
            }
            _ => {}
        }
        Self { trunk, media }
    }
}

impl Machine {
    /// The browser holds the telephone, or takes it back. It is so at once, whatever the telephone makes of it.
    pub(super) fn hold(&mut self, now: Instant, held: bool) {
        if !matches!(self.state, State::Talking { .. }) || self.phones[0].is_none() {
            return self.browser_error(
                ErrorCode::WrongState,
                None,
                "only a call that is answered can be held",
            );
        }
        if self.hold.here != held {
            let text = match held {
                true => "the browser holds the telephone",
                false => "the browser takes the telephone back",
            };
            self.timeline.note(now, Topic::Call, text);
            self.hold.here = held;
            self.offer_again(now);
            self.set_media(LegName::Phone);
        }
        self.tell_hold();
    }

    /// Offers the telephone what has changed here.
    pub(super) fn offer_again(&mut self, now: Instant) {
        let Some(trunk) = self.next_description(LegName::Phone) else {
            return;
        };
        let text = sdp::trunk::offer_fresh(&trunk.options);
        self.timeline
            .note_sdp(now, "the telephone is offered anew", &text, &[]);
        self.phone_does(PhoneAction::Offer(text.into_bytes()));
    }

    /// Our next description: another version of the same session (RFC 3264 §8), in the direction that hold leaves. The
    /// codec in use goes first.
    fn next_description(&mut self, leg: LegName) -> Option<TrunkOffer> {
        let here = leg == LegName::Phone && self.hold.here;
        let phone = self.phones[leg.index()].as_mut()?;
        let options = &mut phone.trunk.options;
        options.session_version += 1;
        options.direction = Direction::new(true, !here);
        Some(phone.trunk.clone())
    }

    /// The telephone answered an offer of ours, or a refresh of the session in another way than before. What we said last
    /// is what counts: of offers that follow each other quickly, the last answer is to the last.
    pub(super) fn offer_answered(&mut self, now: Instant, leg: LegName, body: Option<&[u8]>) {
        let text = String::from_utf8_lossy(body.unwrap_or_default());
        let title = format!("{} answers anew", leg.name());
        self.timeline.note_sdp(now, &title, &text, &[]);
        if !matches!(self.state, State::Talking { .. } | State::Joined { .. }) {
            return;
        }
        let Some(phone) = &self.phones[leg.index()] else {
            return;
        };
        let trunk = phone.trunk.clone();
        match trunk.read_again(&text, Some(&phone.media)) {
            Ok(media) => {
                if leg == LegName::Phone {
                    // One that is held may say that it does not listen; that is no hold of its own.
                    self.hold.there = !media.send && (self.hold.there || !self.hold.here);
                }
                self.phones[leg.index()] = Some(PhoneLeg::new(trunk, media));
                self.set_media(leg);
                self.tell_hold();
            }
            Err(text) => {
                let cause = CauseCode::NotAcceptable.because(text);
                self.end(now, cause, EndedBy::Gateway);
            }
        }
    }

    /// It did not take one: then it is not told of the hold, which is ours to keep.
    pub(super) fn offer_refused(&mut self, now: Instant, status: Option<StatusCode>) {
        let text = match status {
            Some(status) => format!("the telephone does not take the change: {}", status.code()),
            None => "the telephone did not answer the change".to_owned(),
        };
        self.timeline.note(now, Topic::Sip, text);
    }

    /// A telephone offers a change: of direction (hold), address or codec.
    pub(super) fn offered(
        &mut self,
        now: Instant,
        leg: LegName,
        fork: Option<Fork>,
        body: Option<&[u8]>,
    ) {
        let answer = match body {
            Some(body) => self.take_offer(now, leg, fork, &String::from_utf8_lossy(body)),
            None => self.offer_for_nothing(now, leg),
        };
        let answer = answer.map_err(|(status, why)| {
            let text = format!("the change is refused with {}: {why}", status.code());
            self.timeline.note(now, Topic::Sdp, text);
            status
        });
        let action = PhoneAction::AnswerOffer(answer);
        self.actions.push_back(Action::Phone(leg, action));
        self.tell_hold();
    }

    /// A re-INVITE without an offer wants ours, and has its answer in the ACK.
    fn offer_for_nothing(
        &mut self,
        now: Instant,
        leg: LegName,
    ) -> Result<Vec<u8>, (StatusCode, String)> {
        self.timeline
            .note(now, Topic::Sip, "re-INVITE without an offer: we make it");
        let trunk = self.next_description(leg).ok_or_else(not_now)?;
        let text = sdp::trunk::offer_fresh(&trunk.options);
        let title = format!("{} is offered anew", leg.name());
        self.timeline.note_sdp(now, &title, &text, &[]);
        self.offered[leg.index()] = Some(Box::new(trunk));
        Ok(text.into_bytes())
    }

    fn take_offer(
        &mut self,
        now: Instant,
        leg: LegName,
        fork: Option<Fork>,
        text: &str,
    ) -> Result<Vec<u8>, (StatusCode, String)> {
        let title = format!("{} offers anew", leg.name());
        self.timeline.note_sdp(now, &title, text, &[]);
        match &self.state {
            State::Talking { .. } | State::Joined { .. } => {}
            State::Calling(_) => return self.take_early_offer(now, fork, text),
            _ => return Err(not_now()),
        }
        let phone = self.phones[leg.index()].as_ref();
        let before = phone.ok_or_else(not_now)?.media.clone();
        let trunk = self.next_description(leg).ok_or_else(not_now)?;
        let answered = trunk.answer_again(text, &before)?;
        let title = format!("{} is answered anew", leg.name());
        self.timeline
            .note_sdp(now, &title, &answered.text, &answered.notes);
        if let State::Talking { .. } = self.state {
            self.story.phone_codec = Some(answered.codec);
            self.held_there(now, !answered.hears);
        }
        self.phones[leg.index()] = Some(PhoneLeg::new(trunk, answered.media));
        self.set_media(leg);
        Ok(answered.text.into_bytes())
    }

    pub(super) fn held_there(&mut self, now: Instant, there: bool) {
        if there != self.hold.there {
            let text = match there {
                true => "the telephone holds the browser",
                false => "the telephone takes the browser back",
            };
            self.timeline.note(now, Topic::Call, text);
        }
        self.hold.there = there;
    }

    /// The telephone changes its early media (RFC 3311 §5): it has answered our offer, though nobody has picked up.
    fn take_early_offer(
        &mut self,
        now: Instant,
        fork: Option<Fork>,
        text: &str,
    ) -> Result<Vec<u8>, (StatusCode, String)> {
        let State::Calling(calling) = &mut self.state else {
            return Err(not_now());
        };
        let answered = calling.forks.answer(fork, text)?;
        calling.early = Some(answered.media.clone());
        self.dtmf = answered.media.dtmf;
        self.timeline.note_sdp(
            now,
            "the telephone is answered anew",
            &answered.text,
            &answered.notes,
        );
        self.story.phone_codec = Some(answered.codec);
        self.bridge(LegName::Phone, answered.media);
        Ok(answered.text.into_bytes())
    }

    /// Tells the worker what crosses now: nothing while the browser holds.
    pub(super) fn set_media(&mut self, leg: LegName) {
        let Some(phone) = &self.phones[leg.index()] else {
            return;
        };
        let mut media = phone.media.clone();
        if leg == LegName::Phone {
            let apart = self.hold.here || self.phone_gone;
            media.send &= !apart;
            media.receive &= !apart;
            self.dtmf = media.dtmf;
        }
        self.bridge(leg, media);
    }

    /// Tells the browser who holds whom, if it does not know.
    pub(super) fn tell_hold(&mut self) {
        if self.hold == self.told_hold {
            return;
        }
        self.told_hold = self.hold;
        let Hold { here, there } = self.hold;
        self.tell(ServerMessage::Hold {
            call: self.name.clone(),
            here,
            there,
        });
    }
}

/// Our answer to a later offer of the telephone's.
pub(super) struct AnsweredAgain {
    pub(super) text: String,
    pub(super) notes: Vec<sdp::Note>,
    codec: &'static str,
    pub(super) agreed: sdp::Negotiated,
    pub(super) media: TrunkMedia,
    /// It takes what we send.
    hears: bool,
}

impl TrunkOffer {
    /// The answer to a later offer of the telephone's, which was agreed with `before`. Of a held telephone without an
    /// address the last one is kept: it will be back (RFC 3264 §8.4).
    pub(super) fn answer_again(
        &self,
        text: &str,
        before: &TrunkMedia,
    ) -> Result<AnsweredAgain, (StatusCode, String)> {
        let refuse = |refusal: sdp::Refusal| (StatusCode::NOT_ACCEPTABLE_HERE, refusal.to_string());
        let options = &self.options;
        let offer = sdp::trunk::read_offer(text, &options.keying).map_err(refuse)?;
        let (answer, mut agreed, notes) = sdp::trunk::answer(&offer, options).map_err(refuse)?;
        agreed.remote_rtp = agreed.remote_rtp.or(Some(before.rtp));
        agreed.remote_rtcp = agreed.remote_rtcp.or(before.rtcp);
        let voip_metrics = options.profile.rtcp_xr;
        let media = trunk_media(&agreed, self.behind_nat, self.dtmf, voip_metrics);
        Ok(AnsweredAgain {
            text: answer,
            notes,
            codec: codec_name(agreed.codec),
            agreed,
            media: media.ok_or_else(not_now)?,
            hears: offer.audio.direction.receives(),
        })
    }

    /// What the telephone's answer to a later offer agrees to; where it names no address, the last one is kept.
    fn read_again(&self, text: &str, before: Option<&TrunkMedia>) -> Result<TrunkMedia, String> {
        let mut agreed =
            sdp::trunk::read_answer(text, &self.options).map_err(|refusal| refusal.to_string())?;
        if let Some(before) = before {
            agreed.remote_rtp = agreed.remote_rtp.or(Some(before.rtp));
            agreed.remote_rtcp = agreed.remote_rtcp.or(before.rtcp);
        }
        let voip_metrics = self.options.profile.rtcp_xr;
        trunk_media(&agreed, self.behind_nat, self.dtmf, voip_metrics)
            .ok_or_else(|| "the SDP names no address for audio".to_owned())
    }
}

/// A change at a time when there can be none.
pub(super) fn not_now() -> (StatusCode, String) {
    let status = StatusCode::REQUEST_PENDING;
    (status, "the call is not that far yet".to_owned())
}
