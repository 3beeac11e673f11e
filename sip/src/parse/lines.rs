//! The lines of a header section.

use super::{Failure, Problem, limits};

/// Walks lines that end with CR LF.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
}

/// One line and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where the next line begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next line, without its end.
    pub(super) fn next(&mut self, too_long: Problem) -> Result<Line<'a>, Failure> {
        let at = self.at;
        let rest = self.text.get(at..).unwrap_or("");
        let Some(length) = rest.find('\n') else {
            let problem = if rest.len() > limits::LINE {
                too_long
            } else {
                Problem::Unterminated
            };
            return Err(Failure::new(problem, at));
        };
        let line = rest.get(..length).unwrap_or("");
        let Some(line) = line.strip_suffix('\r') else {
            return Err(Failure::new(Problem::LineEnd, at + length));
        };
        if line.len() > limits::LINE {
            return Err(Failure::new(too_long, at));
        }
        if let Some(bad) = line.find('\r') {
            return Err(Failure::new(Problem::LineEnd, at + bad));
        }
        self.at = at + length + 1;
        Ok(Line { text: line, at })
    }

    /// Whether the next line continues the one before it (RFC 3261 §7.3.1).
    pub(super) fn is_folded(&self) -> bool {
        matches!(self.text.as_bytes().get(self.at), Some(b' ' | b'\t'))
    }
}
