//! Who sends and who receives (RFC 8866 §6.7, RFC 3264 §5.1, §6.1, §8.4).

use std::fmt;

use sdp_types::{Media, Session};
use serde::{Deserialize, Serialize};

/// A direction attribute, seen from the side that wrote the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Sends and receives; the default where nothing is said.
    #[default]
    SendRecv,
    /// Sends only: the usual spelling of hold.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction made of its two halves.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the side that wrote it sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the side that wrote it receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side (RFC 3264 §6.1).
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [
            Self::SendRecv,
            Self::SendOnly,
            Self::RecvOnly,
            Self::Inactive,
        ]
        .into_iter()
        .find(|direction| name.eq_ignore_ascii_case(direction.as_str()))
    }

    /// What a media section says, the session where it is silent, `sendrecv` where both are.
    pub(crate) fn read(session: &Session, media: &Media) -> Self {
        media
            .attributes
            .iter()
            .chain(&session.attributes)
            .filter(|attribute| attribute.value.is_none())
            .find_map(|attribute| Self::from_name(attribute.attribute.trim()))
            .unwrap_or_default()
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
