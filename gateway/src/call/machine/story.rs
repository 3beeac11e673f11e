//! What the record of a call will say.

use std::time::{Instant, SystemTime};

use crate::call::CallId;
use crate::call::cause::{Cause, CauseCode};
use crate::call::record::{
    CallRecord, EndedBy, OneWaySpell, Parties, TransferRecord, millis, rfc3339,
};
use crate::call::timeline::Timeline;
use crate::signaling::message::Via;
use crate::stir::StirRecord;
use crate::worker::{MediaReport, OneWay};

/// The facts as they come in.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) parties: Parties,
    pub(super) wall: SystemTime,
    pub(super) target: Option<String>,
    pub(super) trunk: Option<String>,
    pub(super) ringing: Option<Instant>,
    pub(super) answered: Option<Instant>,
    pub(super) ended: Option<(Instant, Cause, EndedBy)>,
    pub(super) path: Option<Via>,
    pub(super) browser_codec: Option<&'static str>,
    pub(super) phone_codec: Option<&'static str>,
    pub(super) phone_srtp: Option<String>,
    pub(super) one_way: OneWaySpells,
    pub(super) stir: Option<StirRecord>,
    pub(super) transfers: Vec<TransferRecord>,
    pub(super) media: Option<MediaReport>,
}

/// How many of them one call may leave.
const MAX_SPELLS: usize = 16;

/// When one side did not hear the other.
#[derive(Debug, Default)]
pub(super) struct OneWaySpells(Vec<(OneWay, Instant, Option<Instant>)>);

impl OneWaySpells {
    /// Something is wrong from now on, or nothing.
    pub(super) fn note(&mut self, now: Instant, trouble: Option<OneWay>) {
        if let Some((_, _, until)) = self.0.last_mut() {
            until.get_or_insert(now);
        }
        if let Some(trouble) = trouble.filter(|_| self.0.len() < MAX_SPELLS) {
            self.0.push((trouble, now, None));
        }
    }
}

impl Story {
    pub(super) fn new(parties: Parties, wall: SystemTime) -> Self {
        Self {
            parties,
            wall,
            target: None,
            trunk: None,
            ringing: None,
            answered: None,
            ended: None,
            path: None,
            browser_codec: None,
            phone_codec: None,
            phone_srtp: None,
            one_way: OneWaySpells::default(),
            stir: None,
            transfers: Vec::new(),
            media: None,
        }
    }

    /// The record of a call that is over.
    pub(super) fn record(&mut self, now: Instant, id: CallId, timeline: &Timeline) -> CallRecord {
        let since = |at: Instant| millis(at.saturating_duration_since(timeline.start()));
        let (ended, cause, by) = self
            .ended
            .take()
            .unwrap_or_else(|| (now, CauseCode::Internal.cause(), EndedBy::Gateway));
        let parties = self.parties.clone();
        CallRecord {
            id: id.to_string(),
            direction: parties.direction,
            session: parties.session,
            user: parties.user,
            from: parties.from,
            to: parties.to,
            target: self.target.clone(),
            trunk: self.trunk.clone(),
            start: rfc3339(self.wall),
            ringing_ms: self.ringing.map(since),
            answered_ms: self.answered.map(since),
            ended_ms: since(ended),
            talk_ms: self.answered.map_or(0, |answered| {
                millis(ended.saturating_duration_since(answered))
            }),
            cause,
            ended_by: by,
            path: self.path,
            browser_codec: self.browser_codec.map(str::to_owned),
            phone_codec: self.phone_codec.map(str::to_owned),
            phone_srtp: self.phone_srtp.take(),
            one_way: std::mem::take(&mut self.one_way.0)
                .into_iter()
                .map(|(trouble, from, until)| OneWaySpell {
                    trouble,
                    from_ms: since(from),
                    until_ms: until.map(since),
                })
                .collect(),
            stir: self.stir.take(),
            transfers: std::mem::take(&mut self.transfers),
            media: self.media.take(),
            timeline: timeline.entries().to_vec(),
        }
    }
}
