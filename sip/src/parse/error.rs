//! Why a message was refused: what, where, the status it deserves, and the answer to send.

use super::{limits, salvage::salvage};
use crate::{message::Response, status::StatusCode};

/// What was wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing but line ends: a keep-alive (RFC 5626 §4.4.1).
    #[error("there is no message, only a keep-alive")]
    Empty,
    /// The message is too large.
    #[error("the message is over {} bytes", limits::MESSAGE)]
    MessageTooLarge,
    /// The Request-URI's line is too long.
    #[error("the start line is over {} bytes", limits::LINE)]
    StartLineTooLong,
    /// A header line is too long, its folded parts together.
    #[error("a header line is over {} bytes", limits::LINE)]
    LineTooLong,
    /// Too many header fields.
    #[error("there are over {} header fields", limits::HEADERS)]
    TooManyHeaders,
    /// Too many Via values.
    #[error("there are over {} Via values", limits::VIAS)]
    TooManyVias,
    /// The header section is not UTF-8.
    #[error("the header section is not UTF-8")]
    NotUtf8,
    /// A CR or LF stands alone.
    #[error("a line does not end with CR LF, or has a CR in it")]
    LineEnd,
    /// No empty line ends the header section.
    #[error("no empty line ends the header section")]
    Unterminated,
    /// The first line is that of no SIP message.
    #[error("the start line is not one of SIP: {0}")]
    StartLine(&'static str),
    /// A SIP version other than 2.0.
    #[error("the SIP version is not 2.0")]
    Version,
    /// A status code that is not 100 to 699.
    #[error("the status code is not one of 100 to 699")]
    StatusCode,
    /// The Request-URI is wrong.
    #[error("the Request-URI: {0}")]
    RequestUri(&'static str),
    /// A header line without a name or colon.
    #[error("a header line has no name and colon")]
    HeaderLine,
    /// A header every message must have is missing.
    #[error("the header is missing")]
    Missing,
    /// A header that may come once came again.
    #[error("the header may come only once")]
    Repeated,
    /// A header's value breaks the grammar.
    #[error("{0}")]
    Value(&'static str),
    /// CSeq names another method than the start line.
    #[error("the method is not that of the start line")]
    CSeqMethod,
    /// The body is shorter than Content-Length.
    #[error("{declared} bytes of body were announced, {present} are there")]
    BodyTooShort {
        /// What Content-Length says.
        declared: usize,
        /// What came.
        present: usize,
    },
    /// On a stream, the announced body does not fit a message.
    #[error(
        "the announced body does not fit a message of {} bytes",
        limits::MESSAGE
    )]
    BodyTooLarge,
    /// On a stream, nothing says where the message ends.
    #[error("a message on a stream must have a Content-Length")]
    NoContentLength,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Problem::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Problem::StartLineTooLong => StatusCode::REQUEST_URI_TOO_LONG,
            Problem::BodyTooLarge => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            Problem::MessageTooLarge
            | Problem::LineTooLong
            | Problem::TooManyHeaders
            | Problem::TooManyVias => StatusCode::MESSAGE_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A message could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    problem: Problem,
    header: Option<String>,
    offset: usize,
    answer: Option<Box<Response>>,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(header) = &self.header {
            write!(f, "{header}: ")?;
        }
        write!(f, "{} (at byte {})", self.problem, self.offset)
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    /// What was wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The header it was in, if it was in one.
    pub fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Where, in bytes from the start of what was parsed.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The status a request like this deserves.
    pub fn status(&self) -> StatusCode {
        self.problem.status()
    }

    /// The answer: for a request other than ACK of which at least Via and CSeq could be made out.
    /// Via, From, To, Call-ID and CSeq are copied as far as they are there. To still lacks our tag.
    /// It must go to where the request came from: nothing in the Via can be trusted.
    pub fn respond(&self) -> Option<Response> {
        self.answer.as_deref().cloned()
    }

    pub(super) fn new(failure: Failure, message: &[u8]) -> Self {
        let mut error = Self {
            problem: failure.problem,
            header: failure.header,
            offset: failure.offset,
            answer: None,
        };
        if error.problem != Problem::Empty {
            error.answer = salvage(message).map(|headers| {
                let mut response = Response::new(error.status());
                response.headers = headers;
                response.reason = error.phrase();
                Box::new(response)
            });
        }
        error
    }

    /// The status's own phrase, then what was wrong: it helps whoever debugs the other side.
    fn phrase(&self) -> String {
        let usual = self.status().reason_phrase();
        match &self.header {
            Some(header) if header.len() <= 64 => format!("{usual} - {header}: {}", self.problem),
            _ => format!("{usual} - {}", self.problem),
        }
    }
}

/// A problem and its place, before the answer is made.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) problem: Problem,
    pub(crate) header: Option<String>,
    pub(crate) offset: usize,
}

impl Failure {
    pub(crate) fn new(problem: Problem, offset: usize) -> Self {
        Self {
            problem,
            header: None,
            offset,
        }
    }

    pub(crate) fn of(problem: Problem, header: &str, offset: usize) -> Self {
        Self {
            problem,
            header: Some(header.to_owned()),
            offset,
        }
    }
}
