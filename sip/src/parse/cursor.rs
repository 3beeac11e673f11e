//! A position in one header value, and the pieces every header is made of.

use super::chars;

/// What was wrong and where in the value (a byte offset).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    pub(crate) at: usize,
}

pub(crate) fn fault<T>(what: &'static str, at: usize) -> Result<T, Fault> {
    Err(Fault { what, at })
}

/// Reads one value from left to right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    /// The text from an earlier position up to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    /// Takes `byte` if it is next. Only for ASCII.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    pub(crate) fn skip_space(&mut self) {
        self.take_while(chars::space);
    }

    /// Takes bytes of a class of ASCII characters, or of one that holds every byte from 0x80 on.
    pub(crate) fn take_while(&mut self, class: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or(&[]);
        self.at += rest
            .iter()
            .position(|byte| !class(*byte))
            .unwrap_or(rest.len());
        self.since(start)
    }

    pub(crate) fn token(&mut self, what: &'static str) -> Result<&'a str, Fault> {
        let token = self.take_while(chars::token);
        if token.is_empty() {
            return fault(what, self.at);
        }
        Ok(token)
    }

    /// A quoted-string; what it returns has the quotes still around it.
    pub(crate) fn quoted(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        if !self.eat(b'"') {
            return fault("a quoted string was expected", start);
        }
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.since(start));
                }
                // A quoted-pair. What is escaped is one ASCII character; of a longer one the rest is qdtext.
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return fault("a quoted string is not closed", start),
            }
            if self.at > self.text.len() {
                return fault("a quoted string is not closed", start);
            }
        }
    }
}

/// A quoted-string without its quotes and escapes; other text as it is.
pub(crate) fn unquote(text: &str) -> String {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.extend(chars.next()),
            char => plain.push(char),
        }
    }
    plain
}
