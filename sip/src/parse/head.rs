//! The start line and the header fields, in one pass.

use std::borrow::Cow;

use super::{
    Failure, Problem, chars,
    cursor::{Cursor, Fault},
    limits,
    lines::{Line, Lines},
    uri, values,
};
use crate::{
    headers::{Headers, Name, Span},
    method::Method,
    status::StatusCode,
    uri::Uri,
};

/// Everything before the body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) start: Start,
    pub(super) headers: Headers,
    /// Its bytes, the empty line included.
    pub(super) length: usize,
}

/// The start line.
#[derive(Debug)]
pub(super) enum Start {
    Request { method: Method, uri: Uri },
    Response { status: StatusCode, reason: String },
}

/// Reads up to the empty line.
pub(super) fn read(text: &str) -> Result<Head, Failure> {
    let mut lines = Lines::new(text);
    let start = start_line(lines.next(Problem::StartLineTooLong)?)?;
    let mut fields = Fields {
        headers: Headers::over(String::with_capacity(text.len().min(2048))),
        seen: 0,
        vias: 0,
        cseq_method: None,
    };
    loop {
        let line = lines.next(Problem::LineTooLong)?;
        if line.text.is_empty() {
            break;
        }
        fields.line(line, &mut lines)?;
    }
    fields.check(&start, lines.at())?;
    Ok(Head {
        start,
        headers: fields.headers,
        length: lines.at(),
    })
}

fn start_line(line: Line<'_>) -> Result<Start, Failure> {
    let text = line.text;
    if let Some(rest) = strip_version(text)
        && let Some(rest) = rest.strip_prefix(' ')
    {
        return status_line(rest, line.at);
    }
    let (Some((method, rest)), Some((_, version))) = (text.split_once(' '), text.rsplit_once(' '))
    else {
        return Err(Failure::new(
            Problem::StartLine("it has not three parts"),
            line.at,
        ));
    };
    let Some(uri) = rest
        .len()
        .checked_sub(version.len() + 1)
        .and_then(|end| rest.get(..end))
    else {
        return Err(Failure::new(
            Problem::StartLine("it has not three parts"),
            line.at,
        ));
    };
    if strip_version(version) != Some("") {
        let problem = match is_other_version(version) {
            true => Problem::Version,
            false => Problem::StartLine("it does not end with SIP/2.0"),
        };
        return Err(Failure::new(problem, line.at + text.len() - version.len()));
    }
    let Some(method) = Method::from_token(method) else {
        return Err(Failure::new(
            Problem::StartLine("the method is not a token"),
            line.at,
        ));
    };
    let at = line.at + method.as_str().len() + 1;
    let parsed = uri::uri(uri, at)
        .map_err(|fault| Failure::new(Problem::RequestUri(fault.what), fault.at))?;
    if parsed.has_headers() {
        return Err(Failure::new(
            Problem::RequestUri("it may not have headers"),
            at,
        ));
    }
    Ok(Start::Request {
        method,
        uri: parsed.to_uri(),
    })
}

/// What follows `SIP/2.0`, in any case (RFC 3261 §7.1).
fn strip_version(text: &str) -> Option<&str> {
    let (version, rest) = text.split_at_checked("SIP/2.0".len())?;
    version.eq_ignore_ascii_case("SIP/2.0").then_some(rest)
}

/// `SIP/x.y`.
fn is_other_version(text: &str) -> bool {
    let Some(("SIP" | "sip" | "Sip", number)) = text.split_once('/') else {
        return false;
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    number
        .split_once('.')
        .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

fn status_line(rest: &str, at: usize) -> Result<Start, Failure> {
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = if code.len() == 3 {
        uri::decimal(code)
    } else {
        None
    };
    match code.and_then(StatusCode::new) {
        Some(status) => Ok(Start::Response {
            status,
            reason: reason.to_owned(),
        }),
        None => Err(Failure::new(Problem::StatusCode, at + "SIP/2.0 ".len())),
    }
}

/// The header fields read so far.
struct Fields<'a> {
    headers: Headers,
    /// A bit for each [`Name`] that came.
    seen: u64,
    vias: usize,
    cseq_method: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    /// One header field and the lines that continue it.
    fn line(&mut self, line: Line<'a>, lines: &mut Lines<'a>) -> Result<(), Failure> {
        let Some((label, value)) = line.text.split_once(':') else {
            return Err(Failure::new(Problem::HeaderLine, line.at));
        };
        let value_at = line.at + label.len() + 1;
        let label = label.trim_ascii_end();
        let name = Name::of(label);
        if name == Name::Other && !chars::is_token(label) {
            return Err(Failure::new(Problem::HeaderLine, line.at));
        }
        let value = if lines.is_folded() {
            Cow::Owned(unfold(value, lines)?)
        } else {
            Cow::Borrowed(value.trim_ascii())
        };
        self.field(name, label, value).map_err(|(problem, at)| {
            let shown = if name == Name::Other {
                label
            } else {
                name.canonical()
            };
            Failure::of(problem, shown, value_at + at)
        })
    }

    fn field(
        &mut self,
        name: Name,
        label: &'a str,
        value: Cow<'a, str>,
    ) -> Result<(), (Problem, usize)> {
        let bit = 1u64 << (name as u8);
        if is_single(name) && self.seen & bit != 0 {
            return Err((Problem::Repeated, 0));
        }
        self.seen |= bit;
        if name.is_split() {
            return self.split(name, &value);
        }
        check_value(name, &value).map_err(|fault| (Problem::Value(fault.what), fault.at))?;
        let span = self.headers.append_text(&value);
        let label = if name == Name::Other {
            self.headers.append_text(label)
        } else {
            Span::default()
        };
        self.add(name, label, span)?;
        if name == Name::CSeq {
            self.cseq_method = Some(value);
        }
        Ok(())
    }

    /// Each value of a combined header becomes an entry.
    fn split(&mut self, name: Name, value: &str) -> Result<(), (Problem, usize)> {
        let mut cursor = Cursor::new(value);
        loop {
            cursor.skip_space();
            let start = cursor.at();
            let read = match name {
                Name::Via => values::via(&mut cursor).map(|_| ()),
                Name::Contact if cursor.eat(b'*') => Ok(()),
                _ => values::name_addr(&mut cursor).map(|_| ()),
            };
            read.map_err(|fault| (Problem::Value(fault.what), fault.at))?;
            let span = self
                .headers
                .append_text(cursor.since(start).trim_ascii_end());
            self.add(name, Span::default(), span)?;
            if !values::another(&mut cursor)
                .map_err(|fault| (Problem::Value(fault.what), fault.at))?
            {
                return Ok(());
            }
        }
    }

    fn add(&mut self, name: Name, label: Span, value: Span) -> Result<(), (Problem, usize)> {
        if self.headers.len() >= limits::HEADERS {
            return Err((Problem::TooManyHeaders, 0));
        }
        if name == Name::Via {
            self.vias += 1;
            if self.vias > limits::VIAS {
                return Err((Problem::TooManyVias, 0));
            }
        }
        self.headers.add_checked(name, label, value);
        Ok(())
    }

    /// What every message must have (RFC 3261 §8.1.1). Max-Forwards is not among it: RFC 2543 did not know it.
    fn check(&self, start: &Start, at: usize) -> Result<(), Failure> {
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            if self.seen & (1u64 << (name as u8)) == 0 {
                return Err(Failure::of(Problem::Missing, name.canonical(), at));
            }
        }
        if let Start::Request { method, .. } = start
            && let Some(cseq) = &self.cseq_method
            && cseq.rsplit([' ', '\t']).next() != Some(method.as_str())
        {
            return Err(Failure::of(Problem::CSeqMethod, Name::CSeq.canonical(), at));
        }
        Ok(())
    }
}

/// Joins the lines that begin with white space to the first, one space for each fold.
fn unfold<'a>(first: &str, lines: &mut Lines<'a>) -> Result<String, Failure> {
    let mut value = first.trim_ascii().to_owned();
    let mut bytes = first.len();
    while lines.is_folded() {
        let more = lines.next(Problem::LineTooLong)?;
        bytes += more.text.len();
        if bytes > limits::LINE {
            return Err(Failure::new(Problem::LineTooLong, more.at));
        }
        let part = more.text.trim_ascii();
        if !value.is_empty() && !part.is_empty() {
            value.push(' ');
        }
        value.push_str(part);
    }
    Ok(value)
}

/// The headers of which a second one makes the message ambiguous.
fn is_single(name: Name) -> bool {
    matches!(
        name,
        Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::MaxForwards
            | Name::ContentLength
            | Name::ContentType
            | Name::Expires
            | Name::ReferTo
            | Name::Event
            | Name::RAck
            | Name::RSeq
    )
}

/// Checks what routes and matches a message; other headers are checked by whoever uses them.
fn check_value(name: Name, value: &str) -> Result<(), Fault> {
    let what = match name {
        Name::From | Name::To => {
            let mut cursor = Cursor::new(value);
            values::name_addr(&mut cursor)?;
            return values::alone(&mut cursor);
        }
        Name::ContentType => {
            let mut cursor = Cursor::new(value);
            values::media_type(&mut cursor)?;
            return values::alone(&mut cursor);
        }
        Name::CSeq => return values::cseq(value).map(|_| ()),
        Name::CallId => return values::call_id(value),
        Name::MaxForwards if uri::decimal::<u8>(value).is_none() => {
            "it is not a number of 0 to 255"
        }
        Name::ContentLength if uri::decimal::<u32>(value).is_none() => {
            "it is not a number of bytes"
        }
        _ => return Ok(()),
    };
    Err(Fault { what, at: 0 })
}
