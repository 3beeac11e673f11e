//! Messages out of a stream of bytes (RFC 3261 §18.3, RFC 5626 §4.4.1).

use crate::{
    headers::Name,
    message::{Message, Response},
    parse::{self, ParseError, Problem, limits},
};

/// What a stream may hold unread: a whole message, and as much again of what came with its end.
const BUFFER: usize = 2 * limits::MESSAGE;

/// A message of the stream was bad.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// This message; where it ends was clear, and what follows can be read.
    #[error("{0}")]
    Message(ParseError),
    /// Where the message ends is unknown or too far: answer, and close the connection.
    #[error("the stream cannot be framed: {0}")]
    Framing(ParseError),
}

impl StreamError {
    /// Why.
    pub fn error(&self) -> &ParseError {
        match self {
            StreamError::Message(error) | StreamError::Framing(error) => error,
        }
    }

    /// Whether the connection must be closed.
    pub fn must_close(&self) -> bool {
        matches!(self, StreamError::Framing(_))
    }

    /// The answer to send, as [`ParseError::respond`].
    pub fn respond(&self) -> Option<Response> {
        self.error().respond()
    }
}

/// Cuts a stream into messages. It holds at most 128 KiB, however little comes at a time or however much is announced.
///
/// After each [`Framer::push`] call [`Framer::next`] until it has no more.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Up to here there is no end of the header section: a dribbled message is not searched again and again.
    searched: usize,
    /// Where the message ends that begins the buffer, once its head has come.
    end: Option<usize>,
    pings: usize,
    broken: bool,
    overflowed: bool,
}

impl Framer {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they came. More than fits with what is still unread breaks the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        let room = BUFFER - self.buffer.len().min(BUFFER);
        self.buffer
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.overflowed |= bytes.len() > room;
    }

    /// The next message that is complete; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`StreamError`]. After [`StreamError::Framing`] nothing more comes.
    #[allow(clippy::should_implement_trait)] // It is no iterator: after `None` there may be more.
    pub fn next(&mut self) -> Result<Option<Message>, StreamError> {
        if self.broken {
            return Ok(None);
        }
        self.skip_keep_alives();
        if b"\r\n\r\n".starts_with(&self.buffer) {
            return Ok(None);
        }
        let end = match self.end {
            Some(end) => end,
            None => match self.find_end() {
                Ok(Some(end)) => *self.end.insert(end),
                Ok(None) if self.overflowed => return Err(self.break_off(Problem::MessageTooLarge)),
                Ok(None) => return Ok(None),
                Err(problem) => return Err(self.break_off(problem)),
            },
        };
        let Some(message) = self.buffer.get(..end) else {
            return Ok(None);
        };
        let parsed = parse::parse_datagram(message);
        self.buffer.drain(..end);
        self.end = None;
        self.searched = 0;
        parsed.map(Some).map_err(StreamError::Message)
    }

    /// How many keep-alive pings (CR LF CR LF) came since this was last asked. Each is answered with one CR LF.
    pub fn take_pings(&mut self) -> usize {
        std::mem::take(&mut self.pings)
    }

    /// Whether the first bytes of a message have come, but not all: the time-out for a slow sender runs.
    pub fn is_within_message(&self) -> bool {
        !self.broken
            && self
                .buffer
                .first()
                .is_some_and(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    fn skip_keep_alives(&mut self) {
        if self.searched > 0 || self.end.is_some() {
            return;
        }
        let mut skipped = 0;
        while let Some(rest) = self.buffer.get(skipped..) {
            if rest.starts_with(b"\r\n\r\n") {
                self.pings = self.pings.saturating_add(1);
                skipped += 4;
            } else if rest.starts_with(b"\r\n") && rest.len() > 2 && rest.get(2) != Some(&b'\r') {
                // One CR LF between messages, or somebody's pong.
                skipped += 2;
            } else {
                break;
            }
        }
        self.buffer.drain(..skipped);
    }

    /// Where the message ends: the head must have come whole.
    fn find_end(&mut self) -> Result<Option<usize>, Problem> {
        let from = self.searched.saturating_sub(3);
        let unread = self.buffer.get(from..).unwrap_or(&[]);
        let Some(blank) = unread.windows(4).position(|window| window == b"\r\n\r\n") else {
            self.searched = self.buffer.len();
            return match self.buffer.len() > limits::MESSAGE {
                true => Err(Problem::MessageTooLarge),
                false => Ok(None),
            };
        };
        let head = from + blank + 4;
        let length = content_length(self.buffer.get(..head).unwrap_or(&[]))?;
        match head.checked_add(length) {
            Some(end) if end <= limits::MESSAGE => Ok(Some(end)),
            _ => Err(Problem::BodyTooLarge),
        }
    }

    fn break_off(&mut self, problem: Problem) -> StreamError {
        self.broken = true;
        let buffer = std::mem::take(&mut self.buffer);
        StreamError::Framing(parse::refuse(problem, 0, &buffer))
    }
}

/// The one Content-Length of a head. Two, even if they agree, are no safe ground to frame on.
fn content_length(head: &[u8]) -> Result<usize, Problem> {
    let mut found = None;
    let mut lines = head.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (label, value) = line.split_at(colon);
        let label = std::str::from_utf8(label.trim_ascii_end()).unwrap_or("");
        if Name::of(label) != Name::ContentLength {
            continue;
        }
        let mut digits = value.get(1..).unwrap_or(&[]).trim_ascii().to_vec();
        while let Some(more) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            digits.extend_from_slice(more.trim_ascii());
        }
        if found.replace(digits).is_some() {
            return Err(Problem::Repeated);
        }
    }
    let digits = found.ok_or(Problem::NoContentLength)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Problem::Value("Content-Length is not a number of bytes"));
    }
    // A number too large for usize is too large for a message.
    let text = std::str::from_utf8(&digits).unwrap_or("");
    text.parse().map_err(|_| Problem::BodyTooLarge)
}

#[cfg(test)]
mod tests;
