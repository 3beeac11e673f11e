//! The printer: messages to bytes. No value can end a line or begin a header (RFC 3261 §7).

use std::fmt::{self, Write};

use crate::{
    headers::Headers,
    message::{Message, Request, Response},
    params::write_token,
};

/// Passes text on with CR, LF and NUL replaced by spaces.
pub(crate) struct Clean<W>(pub(crate) W);

impl<W: Write> Write for Clean<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_bad = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        if !text.as_bytes().iter().any(is_bad) {
            return self.0.write_str(text);
        }
        for char in text.chars() {
            self.write_char(char)?;
        }
        Ok(())
    }

    fn write_char(&mut self, char: char) -> fmt::Result {
        self.0.write_char(if matches!(char, '\r' | '\n' | '\0') {
            ' '
        } else {
            char
        })
    }
}

impl Request {
    /// The message as it travels. Content-Length is that of the body, whatever the headers say.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(self.headers.printed_length() + 128 + self.body.len());
        // Writing to a String cannot fail.
        let _ = write_token(&mut text, self.method.as_str());
        let _ = writeln_crlf(&mut text, format_args!(" {} SIP/2.0", self.uri));
        finish(text, &self.headers, &self.body)
    }
}

impl Response {
    /// The message as it travels. Content-Length is that of the body, whatever the headers say.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(self.headers.printed_length() + 64 + self.body.len());
        let _ = writeln_crlf(
            &mut text,
            format_args!("SIP/2.0 {} {}", self.status, self.reason),
        );
        finish(text, &self.headers, &self.body)
    }
}

impl Message {
    /// The message as it travels. Content-Length is that of the body, whatever the headers say.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }
}

fn writeln_crlf(text: &mut String, line: fmt::Arguments<'_>) -> fmt::Result {
    Clean(&mut *text).write_fmt(line)?;
    text.write_str("\r\n")
}

fn finish(mut text: String, headers: &Headers, body: &[u8]) -> Vec<u8> {
    for (name, value) in headers.iter() {
        if name.eq_ignore_ascii_case("Content-Length") {
            continue;
        }
        // Headers keeps neither CR nor LF: every way in refuses or unfolds them.
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n", body.len());
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
