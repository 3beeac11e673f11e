//! What waits to be told to a session's browser.

use tokio::sync::mpsc;

use super::message::ServerMessage;
use crate::call::registry::CallHandle;

/// Where a session is told what its browser is to know.
pub type Outbox = mpsc::Sender<Box<Outgoing>>;

/// A message, and what the session itself has to know of it.
#[derive(Debug)]
pub struct Outgoing {
    /// For the browser.
    pub message: ServerMessage,
    /// The call that the message is the first of, where the session did not place it.
    pub call: Option<CallHandle>,
}

impl From<ServerMessage> for Outgoing {
    fn from(message: ServerMessage) -> Self {
        Self {
            message,
            call: None,
        }
    }
}
