//! What the record of a call will say.

use std::time::{Instant, SystemTime};

use crate::call::CallId;
use crate::call::cause::{Cause, CauseCode};
use crate::call::record::{CallRecord, EndedBy, millis, rfc3339};
use crate::call::timeline::Timeline;
use crate::worker::MediaReport;

/// The facts as they come in.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) session: String,
    pub(super) to: String,
    pub(super) wall: SystemTime,
    pub(super) target: Option<String>,
    pub(super) ringing: Option<Instant>,
    pub(super) answered: Option<Instant>,
    pub(super) ended: Option<(Instant, Cause, EndedBy)>,
    pub(super) browser_codec: Option<&'static str>,
    pub(super) phone_codec: Option<&'static str>,
    pub(super) media: Option<MediaReport>,
}

impl Story {
    pub(super) fn new(session: String, to: String, wall: SystemTime) -> Self {
        Self {
            session,
            to,
            wall,
            target: None,
            ringing: None,
            answered: None,
            ended: None,
            browser_codec: None,
            phone_codec: None,
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
        CallRecord {
            id: id.to_string(),
            session: self.session.clone(),
            to: self.to.clone(),
            target: self.target.clone(),
            start: rfc3339(self.wall),
            ringing_ms: self.ringing.map(since),
            answered_ms: self.answered.map(since),
            ended_ms: since(ended),
            talk_ms: self.answered.map_or(0, |answered| {
                millis(ended.saturating_duration_since(answered))
            }),
            cause,
            ended_by: by,
            browser_codec: self.browser_codec.map(str::to_owned),
            phone_codec: self.phone_codec.map(str::to_owned),
            media: self.media.take(),
            timeline: timeline.entries().to_vec(),
        }
    }
}
