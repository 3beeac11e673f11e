//! The Reason header (RFC 3326), which carries Q.850 causes and SIP statuses.

use std::fmt;

use crate::{
    params::{write_quoted, write_token},
    parse::{chars, cursor::Cursor, params::header_params},
};

/// One value of a Reason header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonHeader {
    /// `SIP`, `Q.850` or another token.
    pub protocol: String,
    /// The cause: a SIP status, or a Q.850 cause value.
    pub cause: Option<u16>,
    /// Words for people.
    pub text: Option<String>,
}

impl ReasonHeader {
    /// A Q.850 cause.
    pub fn q850(cause: u16, text: &str) -> Self {
        Self {
            protocol: "Q.850".into(),
            cause: Some(cause),
            text: Some(text.into()),
        }
    }

    /// A SIP status.
    pub fn sip(status: crate::StatusCode) -> Self {
        Self {
            protocol: "SIP".into(),
            cause: Some(status.code()),
            text: Some(status.reason_phrase().into()),
        }
    }

    /// Every value of a Reason header line; those that make no sense are left out.
    pub(crate) fn list(line: &str) -> Vec<ReasonHeader> {
        let mut cursor = Cursor::new(line);
        let mut reasons = Vec::new();
        loop {
            cursor.skip_space();
            let protocol = cursor.take_while(chars::token);
            let mut reason = ReasonHeader {
                protocol: protocol.to_owned(),
                cause: None,
                text: None,
            };
            let read = header_params(&mut cursor, |name, value| {
                if name.eq_ignore_ascii_case("cause") {
                    reason.cause = value.and_then(|value| value.parse().ok());
                } else if name.eq_ignore_ascii_case("text") {
                    reason.text = value.map(crate::parse::cursor::unquote);
                }
            });
            if read.is_err() || protocol.is_empty() {
                return reasons;
            }
            reasons.push(reason);
            cursor.skip_space();
            if !cursor.eat(b',') {
                return reasons;
            }
        }
    }
}

impl fmt::Display for ReasonHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_token(f, &self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, " ;cause={cause}")?;
        }
        if let Some(text) = &self.text {
            f.write_str(" ;text=")?;
            write_quoted(f, text)?;
        }
        Ok(())
    }
}
