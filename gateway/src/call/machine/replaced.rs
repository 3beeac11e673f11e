//! Another telephone, or what stands before it, calls to take the place of ours (Replaces, RFC 3891).

use std::sync::Arc;
use std::time::Instant;

use sip::StatusCode;

use super::legs::TrunkOffer;
use super::ringing::Caller;
use super::{Machine, PhoneAction, State};
use crate::call::cause::CauseCode;
use crate::call::negotiation::trunk_media;
use crate::call::record::EndedBy;
use crate::call::timeline::Topic;
use crate::settings::Trunk;
use crate::trunks::Seat;

/// A telephone's call that is to take the place of one that is up.
#[derive(Debug)]
pub struct Replacement {
    /// Who calls.
    pub caller: Caller,
    /// The INVITE's SDP; empty where it has none.
    pub offer: Vec<u8>,
    /// Where it comes from.
    pub trunk: Arc<Trunk>,
    /// Its place there.
    pub seat: Option<Seat>,
}

impl Machine {
    /// Whether a call may take the telephone's place now.
    pub fn may_be_replaced(&self) -> bool {
        matches!(self.state, State::Talking { .. }) && self.transfer.is_none() && !self.other_up
    }

    /// A telephone's call is to take the place of ours (RFC 3891): as if it had always been with it.
    pub(super) fn replaced(&mut self, now: Instant, replacement: Replacement) {
        let Replacement {
            caller,
            offer,
            trunk,
            seat,
        } = replacement;
        let number = caller.number.clone();
        let text = match &number {
            Some(number) => format!("{number} takes the telephone's place"),
            None => "another takes the telephone's place".to_owned(),
        };
        self.timeline.note(now, Topic::Sip, text);
        let answered = self.answer_replacement(now, &offer, &trunk);
        let (trunk_offer, answer, agreed) = match answered {
            Ok(answered) => answered,
            Err((status, why)) => {
                let text = format!("that is refused with {}: {why}", status.code());
                self.timeline.note(now, Topic::Sip, text);
                let reason = CauseCode::NotAcceptable.reason();
                return self.other_does(PhoneAction::Reject(status, reason));
            }
        };
        let to = number.clone().unwrap_or_default();
        self.begin_transfer(now, EndedBy::Phone, to, true);
        self.other_does(PhoneAction::Accept(answer));
        self.route = self.route_of(&trunk, seat.as_ref());
        self.take_other(now, seat);
        match agreed {
            Some((agreed, media)) => self.agreed(now, trunk_offer, &agreed, media, false),
            // Its answer is in the ACK.
            None => self.offered[0] = Some(Box::new(trunk_offer)),
        }
        self.changed_hands(now, EndedBy::Phone, number.as_deref(), caller.display_name);
    }

    #[allow(clippy::type_complexity)]
    pub(super) fn answer_replacement(
        &mut self,
        now: Instant,
        offer: &[u8],
        trunk: &Arc<Trunk>,
    ) -> Result<
        (
            TrunkOffer,
            Vec<u8>,
            Option<(sdp::Negotiated, crate::worker::TrunkMedia)>,
        ),
        (StatusCode, String),
    > {
        let not_now = || (StatusCode::REQUEST_PENDING, "not at this moment".to_owned());
        if !self.may_be_replaced() {
            return Err(not_now());
        }
        let (rtp, rtcp) = self.rtp[0].ok_or_else(not_now)?;
        if offer.is_empty() {
            let options = self.trunk_options(Some(trunk), rtp, rtcp);
            let text = sdp::trunk::offer_fresh(&options.options);
            self.timeline
                .note_sdp(now, "the other telephone is offered", &text, &[]);
            return Ok((options, text.into_bytes(), None));
        }
        let text = String::from_utf8_lossy(offer);
        self.timeline
            .note_sdp(now, "the other telephone offers", &text, &[]);
        let refuse = |refusal: sdp::Refusal| (StatusCode::NOT_ACCEPTABLE_HERE, refusal.to_string());
        let options = self.trunk_options(Some(trunk), rtp, rtcp);
        let offer = sdp::trunk::read_offer(&text, &options.options.keying).map_err(refuse)?;
        let (answer, agreed, notes) =
            sdp::trunk::answer(&offer, &options.options).map_err(refuse)?;
        let xr = options.options.profile.rtcp_xr;
        let media =
            trunk_media(&agreed, options.behind_nat, options.dtmf, xr).ok_or_else(|| {
                let why = "the SDP names no address for audio".to_owned();
                (StatusCode::NOT_ACCEPTABLE_HERE, why)
            })?;
        self.timeline
            .note_sdp(now, "the other telephone is answered", &answer, &notes);
        Ok((options, answer.into_bytes(), Some((agreed, media))))
    }
}
