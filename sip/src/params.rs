//! Parameters of headers and URIs: `;name=value`, in order.

use std::fmt::{self, Write};

use crate::{
    parse::{chars, cursor, cursor::Cursor, params::header_params},
    print::Clean,
};

/// Parameters in the order they came. Names are compared without case; values are kept as they travel,
/// a quoted string with its quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    list: Vec<(String, Option<String>)>,
}

impl Params {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The value of the first parameter of this name. `None` if it is missing or has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(|(_, value)| value.as_deref())
    }

    /// Like [`Params::get`], without the quotes and escapes of a quoted string.
    pub fn get_unquoted(&self, name: &str) -> Option<String> {
        self.get(name).map(cursor::unquote)
    }

    /// Whether there is a parameter of this name, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.list
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Sets a parameter, in the place of the first one of this name or at the end.
    /// A value that cannot travel bare is quoted when it is printed into a header.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self
            .list
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, old)) => *old = value,
            None => self.list.push((name.to_owned(), value)),
        }
    }

    /// Takes every parameter of this name out; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.list.len();
        self.list
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.list.len() != before
    }

    /// Adds behind the others, whatever is there already.
    pub(crate) fn append(&mut self, name: &str, value: Option<&str>) {
        self.list.push((name.to_owned(), value.map(str::to_owned)));
    }

    /// Of a text that has been checked.
    pub(crate) fn from_checked(text: &str) -> Self {
        let mut params = Self::new();
        let _ = header_params(&mut Cursor::new(text), |name, value| {
            params.append(name, value)
        });
        params
    }

    fn find(&self, name: &str) -> Option<&(String, Option<String>)> {
        self.list
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// As URI parameters: what may not stand in one is escaped.
    pub(crate) fn write_in_uri(&self, out: &mut impl Write) -> fmt::Result {
        for (name, value) in &self.list {
            out.write_char(';')?;
            write_escaped(out, name, chars::uri_param)?;
            if let Some(value) = value {
                out.write_char('=')?;
                write_escaped(out, value, chars::uri_param)?;
            }
        }
        Ok(())
    }
}

/// As header parameters.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.list {
            f.write_char(';')?;
            write_token(f, name)?;
            if let Some(value) = value {
                f.write_char('=')?;
                write_value(f, value)?;
            }
        }
        Ok(())
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    if !value.is_empty() && value.bytes().all(chars::param_value) {
        return f.write_str(value);
    }
    let mut cursor = Cursor::new(value);
    if cursor.quoted().is_ok() && cursor.is_done() {
        return Clean(f).write_str(value);
    }
    write_quoted(f, value)
}

/// A token: what may not stand in one becomes a hyphen.
pub(crate) fn write_token(out: &mut impl Write, text: &str) -> fmt::Result {
    for char in text.chars() {
        let good = u8::try_from(char).is_ok_and(chars::token);
        out.write_char(if good { char } else { '-' })?;
    }
    Ok(())
}

/// A quoted string with what needs it escaped; line ends become spaces.
pub(crate) fn write_quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.write_char('\\')?;
        }
        Clean(&mut *out).write_char(char)?;
    }
    out.write_char('"')
}

/// Text of a class of characters; others are %-escaped, escapes already there stay.
pub(crate) fn write_escaped(
    out: &mut impl Write,
    text: &str,
    class: fn(u8) -> bool,
) -> fmt::Result {
    let bytes = text.as_bytes();
    if bytes.iter().all(|byte| class(*byte)) {
        return out.write_str(text);
    }
    for (at, &byte) in bytes.iter().enumerate() {
        if class(byte) || (byte == b'%' && chars::is_escape(bytes, at)) {
            out.write_char(char::from(byte))?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}
