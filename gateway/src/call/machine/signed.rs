//! What is known of who signed a telephone's call (RFC 8224): told the user, noted, and passed on.

use std::time::Instant;

use super::{Machine, State};
use crate::call::route::Route;
use crate::call::timeline::Topic;
use crate::settings::CallerIdentity;
use crate::stir::{Signed, Verification};

impl Machine {
    /// Notes what the call's signatures come to.
    pub(super) fn take_signed(&mut self, now: Instant, signed: Signed) {
        if let Some(finding) = &signed.finding {
            self.timeline.note(now, Topic::Sip, finding.to_string());
            self.story.stir = Some(finding.record());
        }
        self.signed = signed;
    }

    /// What the user is told of it.
    pub(super) fn verification(&self) -> Option<Verification> {
        let finding = self.signed.finding.as_ref();
        finding.map(crate::stir::Finding::verification)
    }

    /// The Identity headers that go with a call that goes on to another number: as they came, where the trunk takes our word
    /// for who calls.
    pub(super) fn identities_for(&self, route: &Route) -> &[String] {
        let trunk = route.trunk.as_ref();
        let trusts = trunk.is_some_and(|trunk| {
            trunk.identity == CallerIdentity::Asserted && trunk.internal.is_none()
        });
        match self.state {
            State::Ringing(_) | State::Forwarding { .. } if trusts => &self.signed.headers,
            // A call that somebody has taken is another one.
            _ => &[],
        }
    }
}
