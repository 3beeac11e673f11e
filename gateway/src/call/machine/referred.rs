//! The telephone asks for a transfer (REFER, RFC 3515): the gateway calls the other, who takes its place.

use std::time::Instant;

use sip::{ReferTo, StatusCode};

use super::transfer::{Stage, Transfer};
use super::{LegName, Machine, PhoneAction, State};
use crate::call::record::EndedBy;
use crate::call::route::Ways;
use crate::call::timeline::Topic;

impl Machine {
    /// The telephone wants us to call somebody else in its place.
    pub(super) fn referred(&mut self, now: Instant, to: &ReferTo) {
        let text = format!("the telephone transfers us to {}", to.uri);
        self.timeline.note(now, Topic::Sip, text);
        let refused = match self.refer_ways(now, to) {
            Ok(ways) => {
                self.phone_does(PhoneAction::AnswerRefer(StatusCode::ACCEPTED));
                let attended = to.replaces.is_some();
                self.begin_transfer(now, EndedBy::Phone, to.uri.to_string(), attended);
                return match self.call_other(now, ways, to.replaces.clone(), false) {
                    Ok(()) => {}
                    Err(cause) => self.transfer_failed(now, &cause),
                };
            }
            Err(refused) => refused,
        };
        let (status, why) = refused;
        let text = format!("that is refused with {}: {why}", status.code());
        self.timeline.note(now, Topic::Sip, text);
        self.phone_does(PhoneAction::AnswerRefer(status));
    }

    pub(super) fn refer_ways(
        &mut self,
        now: Instant,
        to: &ReferTo,
    ) -> Result<Ways, (StatusCode, String)> {
        let refuse = |status, why: &str| Err((status, why.to_owned()));
        if !matches!(self.state, State::Talking { .. }) || self.transfer.is_some() {
            let why = "another transfer is under way, or the call is not that far";
            return refuse(StatusCode::REQUEST_PENDING, why);
        }
        let Some(route) = self.route.clone() else {
            return refuse(StatusCode::REQUEST_PENDING, "the call is not that far");
        };
        if !route.trunk.as_ref().is_some_and(|trunk| trunk.transfers) {
            let why = "this trunk may not transfer (transfers = false, or the lab)";
            return refuse(StatusCode::FORBIDDEN, why);
        }
        let found = self
            .environment
            .routes
            .referred(now, &route, to, &mut self.rng);
        let ways = found.map_err(|no| (StatusCode::FORBIDDEN, no.text))?;
        // Also of a call that is said to be up already (Replaces): nobody but the other end knows whether it is.
        self.permits(&ways)
            .map_err(|cause| (StatusCode::FORBIDDEN, cause.text))?;
        Ok(ways)
    }

    /// The telephone has hung up while another is called in its place: whether the call goes on.
    pub(super) fn goes_on_without_phone(&mut self, _now: Instant) -> bool {
        let replacing = matches!(
            self.transfer.as_deref(),
            Some(Transfer {
                stage: Stage::Replacing(_),
                ..
            })
        );
        if replacing && matches!(self.state, State::Talking { .. }) {
            self.phone_gone = true;
            self.set_media(LegName::Phone);
        }
        replacing && self.phone_gone
    }
}
