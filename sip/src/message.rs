//! Requests and responses (RFC 3261 §7).

use crate::{
    headers::{Headers, Name},
    method::Method,
    status::StatusCode,
    uri::Uri,
};

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The header fields. Content-Length is printed from the body, whatever stands here.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: Headers::new(),
            body: Vec::new(),
        }
    }

    /// A response to it: Via, From, To, Call-ID and CSeq are copied (RFC 3261 §8.2.6.2); To still lacks our tag.
    pub fn response(&self, status: StatusCode) -> Response {
        let mut response = Response::new(status);
        for name in COPIED {
            response.headers.copy(&self.headers, name);
        }
        if status == StatusCode::TRYING {
            response.headers.copy(&self.headers, Name::Timestamp);
        }
        response
    }
}

/// What a response takes over from its request (RFC 3261 §8.2.6.2).
pub(crate) const COPIED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase.
    pub reason: String,
    /// The header fields. Content-Length is printed from the body, whatever stands here.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response with the usual reason phrase, without headers and body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: status.reason_phrase().to_owned(),
            headers: Headers::new(),
            body: Vec::new(),
        }
    }
}

/// A request or a response.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// The header fields.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        match self {
            Message::Request(request) => &request.body,
            Message::Response(response) => &response.body,
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Message::Response(response)
    }
}
