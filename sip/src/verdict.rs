//! What a user agent server of ours does with a message, and why: the parser and [`crate::admission`], explained.

use serde::Serialize;

use crate::{
    admission::{Supported, admit, admit_with, is_response_for_user_agent},
    headers::{Headers, Name},
    message::{Message, Request, Response},
    parse::{ParseError, parse_datagram},
    status::StatusCode,
    uri::Scheme,
};

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "status", rename_all = "lowercase")]
pub enum Verdict {
    /// It goes on to the transaction and its user.
    Accept,
    /// It is a request and gets this status.
    Reject(StatusCode),
    /// Nothing: a bad response, a bad ACK, or bytes of which nothing could be made.
    Drop,
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What becomes of the message.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What could be made out of it.
    pub understood: Understood,
    /// Why the verdict is what it is, and what is odd about a message that is accepted.
    pub reasons: Vec<String>,
    /// The headers the refusal carries besides those it copies (Allow, Unsupported, Accept).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answer_headers: Vec<(String, String)>,
}

/// What could be made out of a message. What is missing was not there or not readable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Understood {
    /// `request` or `response`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// A request's method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A request's Request-URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// A response's status code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusCode>,
    /// A response's reason phrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// To.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Call-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// CSeq.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cseq: Option<String>,
    /// The Via values, topmost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// The Contact values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    /// Content-Type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body's length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<usize>,
    /// How many header fields there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<usize>,
}

/// Judges one datagram, by what a user agent server that serves every method does with it.
pub fn judge(bytes: &[u8]) -> Judgement {
    judge_with(bytes, &Supported::EVERY_METHOD)
}

/// Judges one datagram, by what an element that supports this much does with it.
pub fn judge_with(bytes: &[u8], supported: &Supported) -> Judgement {
    match parse_datagram(bytes) {
        Ok(Message::Request(request)) => judge_request(&request, supported, bytes),
        Ok(Message::Response(response)) => judge_response(&response, bytes),
        Err(error) => judge_error(&error),
    }
}

fn judge_request(request: &Request, supported: &Supported, bytes: &[u8]) -> Judgement {
    let mut understood = Understood::of(&request.headers, &request.body);
    understood.kind = Some("request");
    understood.method = Some(request.method.to_string());
    understood.uri = Some(request.uri.to_string());
    match admit_with(request, supported) {
        Ok(()) => Judgement {
            verdict: Verdict::Accept,
            understood,
            reasons: request_oddities(request, bytes),
            answer_headers: Vec::new(),
        },
        Err(rejection) => Judgement {
            verdict: Verdict::Reject(rejection.status),
            understood,
            reasons: vec![rejection.cause.to_string()],
            answer_headers: rejection
                .headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        },
    }
}

fn judge_response(response: &Response, bytes: &[u8]) -> Judgement {
    let mut understood = Understood::of(&response.headers, &response.body);
    understood.kind = Some("response");
    understood.status = Some(response.status);
    understood.reason = Some(response.reason.clone());
    if is_response_for_user_agent(response) {
        let reasons = oddities(&response.headers, &response.body, bytes);
        return Judgement {
            verdict: Verdict::Accept,
            understood,
            reasons,
            answer_headers: Vec::new(),
        };
    }
    let count = response.headers.all(Name::Via).count();
    let reason = format!(
        "a response to a user agent has one Via, its own; this one has {count} (RFC 3261 §8.1.3.3)"
    );
    Judgement {
        verdict: Verdict::Drop,
        understood,
        reasons: vec![reason],
        answer_headers: Vec::new(),
    }
}

fn judge_error(error: &ParseError) -> Judgement {
    let mut reasons = vec![error.to_string()];
    let Some(answer) = error.respond() else {
        reasons.push(
            "it cannot be answered: a response, an ACK, or no Via and CSeq to answer by".to_owned(),
        );
        let understood = Understood::default();
        return Judgement {
            verdict: Verdict::Drop,
            understood,
            reasons,
            answer_headers: Vec::new(),
        };
    };
    let mut understood = Understood::of(&answer.headers, &[]);
    understood.kind = Some("request");
    (understood.body_bytes, understood.headers) = (None, None);
    Judgement {
        verdict: Verdict::Reject(answer.status),
        understood,
        reasons,
        answer_headers: Vec::new(),
    }
}

impl Understood {
    fn of(headers: &Headers, body: &[u8]) -> Self {
        let first = |name| headers.first(name).map(str::to_owned);
        let all = |name| headers.all(name).map(str::to_owned).collect();
        Self {
            from: first(Name::From),
            to: first(Name::To),
            call_id: first(Name::CallId),
            cseq: first(Name::CSeq),
            via: all(Name::Via),
            contact: all(Name::Contact),
            content_type: first(Name::ContentType),
            body_bytes: Some(body.len()),
            headers: Some(headers.len()),
            ..Self::default()
        }
    }
}

fn request_oddities(request: &Request, bytes: &[u8]) -> Vec<String> {
    let mut notes = oddities(&request.headers, &request.body, bytes);
    if let Err(rejection) = admit(request) {
        notes.push(format!(
            "our own calling user agent would answer {}: {}",
            rejection.status, rejection.cause
        ));
    }
    if request
        .headers
        .top_via()
        .is_ok_and(|via| via.rfc3261_branch().is_none())
    {
        notes.push(
            "the Via has no RFC 3261 branch: matched as RFC 2543 did (RFC 3261 §17.2.3)".to_owned(),
        );
    }
    if request.headers.max_forwards().is_none() {
        notes.push("there is no Max-Forwards: taken as 70".to_owned());
    }
    notes
}

/// What was passed over in silence.
fn oddities(headers: &Headers, body: &[u8], bytes: &[u8]) -> Vec<String> {
    let mut notes = Vec::new();
    for (header, address) in [("From", headers.from()), ("To", headers.to())] {
        if let Ok(address) = address
            && let Scheme::Other(scheme) = &address.uri.scheme
        {
            notes.push(format!(
                "{header}: the URI scheme {scheme} is unknown, the URI is kept as it is"
            ));
        }
    }
    if headers
        .first(Name::Date)
        .is_some_and(|date| !date.ends_with(" GMT"))
    {
        notes.push("Date is not in GMT and is ignored".to_owned());
    }
    if headers.content_length().is_none() {
        notes.push(
            "there is no Content-Length: the body is all the rest of the datagram".to_owned(),
        );
    }
    if let Some(declared) = headers
        .content_length()
        .filter(|declared| *declared > body.len())
    {
        let present = body.len();
        notes.push(format!("Content-Length is {declared}, the body {present} bytes that end with a whole line: miscounted"));
    }
    let trailing = trailing_bytes(body, bytes);
    if trailing > 0 {
        notes.push(format!("{trailing} bytes behind the body are ignored"));
    }
    notes
}

fn trailing_bytes(body: &[u8], bytes: &[u8]) -> usize {
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(0);
    let message = bytes.get(start..).unwrap_or(&[]);
    let head = message
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(0, |at| at + 4);
    message.len().saturating_sub(head + body.len())
}

#[cfg(test)]
mod tests;
