//! The parser (RFC 3261 §7, §25): one pass over the header section. What is needed to route and match a message is
//! checked in it; owned values are made when they are asked for.

pub(crate) mod chars;
pub(crate) mod cursor;
mod error;
mod head;
pub mod limits;
mod lines;
pub(crate) mod params;
mod salvage;
#[cfg(test)]
mod tests;
pub(crate) mod uri;
pub(crate) mod values;

use error::Failure;
pub use error::{ParseError, Problem};

use crate::{
    headers::Name,
    message::{Message, Request, Response},
};
use head::{Head, Start};

/// Reads the message of one datagram. Line ends before it are skipped; bytes behind its body are ignored
/// (RFC 3261 §18.3). Without a Content-Length the body is all the rest.
///
/// # Errors
/// [`ParseError`] says what was wrong, where, and how to answer.
pub fn parse_datagram(bytes: &[u8]) -> Result<Message, ParseError> {
    parse(bytes).map_err(|failure| ParseError::new(failure, bytes))
}

/// An error about bytes the framer could not make a message of.
pub(crate) fn refuse(problem: Problem, offset: usize, bytes: &[u8]) -> ParseError {
    ParseError::new(Failure::new(problem, offset), bytes)
}

fn parse(bytes: &[u8]) -> Result<Message, Failure> {
    if bytes.len() > limits::MESSAGE {
        return Err(Failure::new(Problem::MessageTooLarge, limits::MESSAGE));
    }
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(bytes.len());
    let message = bytes.get(start..).unwrap_or(&[]);
    if message.is_empty() {
        return Err(Failure::new(Problem::Empty, 0));
    }
    read(message).map_err(|mut failure| {
        failure.offset += start;
        failure
    })
}

fn read(message: &[u8]) -> Result<Message, Failure> {
    // A body may be binary: only the header section must be UTF-8.
    let (text, is_utf8) = match std::str::from_utf8(message) {
        Ok(text) => (text, true),
        Err(error) => {
            let valid = message.get(..error.valid_up_to()).unwrap_or(&[]);
            (std::str::from_utf8(valid).unwrap_or(""), false)
        }
    };
    let head = head::read(text).map_err(|mut failure| {
        if !is_utf8 && failure.problem == Problem::Unterminated {
            failure = Failure::new(Problem::NotUtf8, text.len());
        }
        failure
    })?;
    let body = body(&head, message)?;
    let Head { start, headers, .. } = head;
    Ok(match start {
        Start::Request { method, uri } => Message::Request(Request {
            method,
            uri,
            headers,
            body,
        }),
        Start::Response { status, reason } => Message::Response(Response {
            status,
            reason,
            headers,
            body,
        }),
    })
}

fn body(head: &Head, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let rest = message.get(head.length..).unwrap_or(&[]);
    let declared = head.headers.content_length().unwrap_or(rest.len());
    match rest.get(..declared) {
        Some(body) => Ok(body.to_vec()),
        None if is_miscounted(declared, rest) => Ok(rest.to_vec()),
        None => {
            let problem = Problem::BodyTooShort {
                declared,
                present: rest.len(),
            };
            Err(Failure::of(
                problem,
                Name::ContentLength.canonical(),
                head.length,
            ))
        }
    }
}

/// A body that ends with a whole line, a little shorter than announced, was counted wrong by its sender, as it is in
/// three of the messages of RFC 5118: a datagram cannot lose its end on the way. On a stream this never matters.
fn is_miscounted(declared: usize, body: &[u8]) -> bool {
    let missing = declared.saturating_sub(body.len());
    missing <= limits::MISCOUNT && missing <= declared / 8 && body.ends_with(b"\r\n")
}
