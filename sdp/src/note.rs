//! What a translation did, line by line.

use std::fmt;

use serde::Serialize;

/// What became of the thing a [`Note`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Means the same on both sides.
    Kept,
    /// Has no meaning, or no right, on the other side.
    Dropped,
    /// Is there on the other side with another value.
    Changed,
    /// Was not there and had to be.
    Added,
    /// The same format under another payload type number.
    Renumbered,
    /// A whole media stream answered with port 0 (RFC 3264 §6).
    Rejected,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Dropped => "dropped",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Renumbered => "renumbered",
            Self::Rejected => "rejected",
        })
    }
}

/// One decision: what was done to what, and why, in words for whoever reads the trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What was done.
    pub action: Action,
    /// The line or thing it was done to, such as `a=rtpmap:63 red/48000/2`.
    pub subject: String,
    /// Why, with the RFC's section where one decides.
    pub reason: String,
}

impl Note {
    pub(crate) fn new(
        action: Action,
        subject: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            action,
            subject: shortened(subject.into()),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.action, self.subject, self.reason)
    }
}

/// A peer chooses the length of its lines; a trace keeps the start of each.
pub(crate) fn shortened(mut text: String) -> String {
    const LONGEST: usize = 200;
    if text.len() > LONGEST {
        let cut = (0..=LONGEST)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}
