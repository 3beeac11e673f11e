//! What an INVITE of ours is told before it is answered: each of those that it has reached (forks) has agreed on something
//! of its own with us (RFC 3261 §13.2.1, RFC 3311 §5), and only one of them answers.

use sdp::Negotiated;
use sip::StatusCode;
use sip::endpoint::Fork;

use super::hold::{AnsweredAgain, PhoneLeg, not_now};
use super::legs::TrunkOffer;
use crate::worker::TrunkMedia;

/// How many are told apart; of further ones the answer counts alone.
const MAX_FORKS: usize = 16;

/// A telephone's SDP, and what of ours it goes with.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) trunk: TrunkOffer,
    pub(super) negotiated: Negotiated,
    pub(super) media: TrunkMedia,
}

impl TrunkOffer {
    /// What that answer to the offer agrees to, early or final.
    pub(super) fn agree(&self, body: &[u8]) -> Result<Agreed, String> {
        let (negotiated, media) = self.read_answer(body)?;
        Ok(Agreed {
            trunk: self.clone(),
            negotiated,
            media,
        })
    }
}

/// What each fork has agreed on so far.
#[derive(Debug, Default)]
pub(super) struct EarlyLegs(Vec<(Fork, Agreed)>);

impl EarlyLegs {
    /// The last word of that fork.
    pub(super) fn put(&mut self, fork: Option<Fork>, agreed: Agreed) {
        let Some(fork) = fork else { return };
        if let Some((_, before)) = self.0.iter_mut().find(|(one, _)| *one == fork) {
            *before = agreed;
        } else if self.0.len() < MAX_FORKS {
            self.0.push((fork, agreed));
        }
    }

    /// That one rings no more (199).
    pub(super) fn forget(&mut self, fork: Option<Fork>) {
        self.0.retain(|(one, _)| Some(*one) != fork);
    }

    fn of(&self, fork: Option<Fork>) -> Option<&Agreed> {
        let mut legs = self.0.iter();
        legs.find(|(one, _)| Some(*one) == fork)
            .map(|(_, agreed)| agreed)
    }

    /// The answer to an offer of that fork's, which has answered ours though nobody has picked up.
    pub(super) fn answer(
        &mut self,
        fork: Option<Fork>,
        text: &str,
    ) -> Result<AnsweredAgain, (StatusCode, String)> {
        let Agreed { trunk, media, .. } = self.of(fork).cloned().ok_or_else(not_now)?;
        let PhoneLeg { mut trunk, media } = PhoneLeg::new(trunk, media);
        trunk.options.session_version += 1;
        let answered = trunk.answer_again(text, &media)?;
        let agreed = Agreed {
            trunk,
            negotiated: answered.agreed.clone(),
            media: answered.media.clone(),
        };
        self.put(fork, agreed);
        Ok(answered)
    }

    /// What the call begins with: its SDP answers `offer`; where it has none, what that fork has agreed on counts.
    pub(super) fn answered(
        &self,
        offer: &TrunkOffer,
        fork: Option<Fork>,
        body: Option<&[u8]>,
    ) -> Result<Agreed, String> {
        match (body, self.of(fork)) {
            (Some(body), _) => offer.agree(body),
            (None, Some(early)) => Ok(early.clone()),
            (None, None) => Err("the answer had no SDP".to_owned()),
        }
    }
}
