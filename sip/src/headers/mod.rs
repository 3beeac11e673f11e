//! The header fields of a message, in order (RFC 3261 §7.3, §20).

use std::fmt;

use crate::parse::chars;

mod address;
mod name;
mod reason;
mod refer;
#[cfg(test)]
mod tests;
mod typed;

pub use address::{CSeq, NameAddr, Via};
pub(crate) use name::Name;
pub use reason::ReasonHeader;
pub use refer::{ReferTo, Replaces};
pub use typed::{HeaderError, MediaType};

/// The header fields of one message, in order, as text. Compact forms are spelled out, folded lines joined, and of
/// Via, Contact, Route and Record-Route each value is an entry of its own even if they shared a line.
///
/// All of it lives in one piece of text, so that reading a message costs few allocations.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Name,
    /// Of a name that is [`Name::Other`].
    label: Span,
    value: Span,
}

/// A piece of [`Headers::text`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Of a text under 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or("")
    }

    fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The name is not a token, or the value holds a line end or NUL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {name:?} cannot be sent: its name is not a token, or its value has a line end")]
pub struct InvalidHeader {
    /// The name as given.
    pub name: String,
}

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names and values in order. Known names have their canonical spelling.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|entry| (self.name_of(entry), entry.value.of(&self.text)))
    }

    /// The first value of a header, by its long or compact name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let known = Name::of(name);
        let entry = self
            .entries
            .iter()
            .find(|entry| self.matches(entry, known, name))?;
        Some(entry.value.of(&self.text))
    }

    /// Every value of a header in order.
    pub fn get_all<'s, 'n>(&'s self, name: &'n str) -> impl Iterator<Item = &'s str> + use<'s, 'n> {
        let known = Name::of(name);
        self.entries
            .iter()
            .filter(move |entry| self.matches(entry, known, name))
            .map(|entry| entry.value.of(&self.text))
    }

    /// Whether there is a header of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a header behind the others.
    ///
    /// # Errors
    /// [`InvalidHeader`] if the name is not a token or the value has CR, LF or NUL in it.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) -> Result<(), InvalidHeader> {
        let entry = self.store(name, value)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Adds a header before the others.
    ///
    /// # Errors
    /// As [`Headers::push`].
    pub fn push_front(
        &mut self,
        name: &str,
        value: impl fmt::Display,
    ) -> Result<(), InvalidHeader> {
        let entry = self.store(name, value)?;
        self.entries.insert(0, entry);
        Ok(())
    }

    /// Puts a value in the place of the first header of this name and takes the others out; adds it if there was none.
    ///
    /// # Errors
    /// As [`Headers::push`]; nothing is changed then.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) -> Result<(), InvalidHeader> {
        let new = self.store(name, value)?;
        match self.position(name) {
            Some(first) => {
                let known = Name::of(name);
                let entries = std::mem::take(&mut self.entries);
                self.entries = Vec::with_capacity(entries.len());
                for (index, entry) in entries.into_iter().enumerate() {
                    if index == first {
                        self.entries.push(new);
                    } else if !self.matches(&entry, known, name) {
                        self.entries.push(entry);
                    }
                }
            }
            None => self.entries.push(new),
        }
        self.compact();
        Ok(())
    }

    /// Puts a value in the place of the first header of this name and leaves the others, as for the topmost Via.
    ///
    /// # Errors
    /// As [`Headers::push`]; nothing is changed then.
    pub fn set_first(&mut self, name: &str, value: impl fmt::Display) -> Result<(), InvalidHeader> {
        let new = self.store(name, value)?;
        match self
            .position(name)
            .and_then(|first| self.entries.get_mut(first))
        {
            Some(entry) => *entry = new,
            None => self.entries.push(new),
        }
        self.compact();
        Ok(())
    }

    /// Takes every header of this name out; says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let known = Name::of(name);
        let before = self.entries.len();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| !self.matches(entry, known, name));
        self.entries = entries;
        self.compact();
        before - self.entries.len()
    }

    /// Takes the first header of this name out.
    pub fn remove_first(&mut self, name: &str) -> Option<String> {
        let first = self.position(name)?;
        let entry = self.entries.remove(first);
        let value = entry.value.of(&self.text).to_owned();
        self.compact();
        Some(value)
    }

    /// Adds what `other` has of a known header.
    pub(crate) fn copy(&mut self, other: &Headers, name: Name) {
        for entry in other.entries.iter().filter(|entry| entry.name == name) {
            let start = self.text.len();
            self.text.push_str(entry.value.of(&other.text));
            let value = Span::new(start, self.text.len());
            self.entries.push(Entry {
                name,
                label: Span::default(),
                value,
            });
        }
    }

    /// The first value of a known header.
    pub(crate) fn first(&self, name: Name) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a known header.
    pub(crate) fn all(&self, name: Name) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name)
            .map(|entry| entry.value.of(&self.text))
    }

    /// About how many bytes they print to.
    pub(crate) fn printed_length(&self) -> usize {
        self.entries
            .iter()
            .map(|entry| self.name_of(entry).len() + entry.value.len() + 4)
            .sum()
    }

    /// For the parser, which has checked everything: headers over this text, none yet.
    pub(crate) fn over(text: String) -> Self {
        Self {
            text,
            entries: Vec::with_capacity(24),
        }
    }

    /// For the parser: an entry whose label and value are pieces of the text it handed in or appended.
    pub(crate) fn add_checked(&mut self, name: Name, label: Span, value: Span) {
        self.entries.push(Entry { name, label, value });
    }

    /// For the parser: more text, and where it is.
    pub(crate) fn append_text(&mut self, more: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(more);
        Span::new(start, self.text.len())
    }

    fn store(&mut self, name: &str, value: impl fmt::Display) -> Result<Entry, InvalidHeader> {
        use std::fmt::Write;
        let invalid = || InvalidHeader {
            name: name.to_owned(),
        };
        if !chars::is_token(name) {
            return Err(invalid());
        }
        let before = self.text.len();
        let known = Name::of(name);
        let label = if known == Name::Other {
            self.append_text(name)
        } else {
            Span::default()
        };
        let start = self.text.len();
        let written = write!(self.text, "{value}");
        let added = self.text.get(start..).unwrap_or("");
        let too_long = u32::try_from(self.text.len()).is_err();
        if written.is_err()
            || too_long
            || added.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        {
            self.text.truncate(before);
            return Err(invalid());
        }
        Ok(Entry {
            name: known,
            label,
            value: Span::new(start, self.text.len()),
        })
    }

    fn name_of<'a>(&'a self, entry: &Entry) -> &'a str {
        match entry.name {
            Name::Other => entry.label.of(&self.text),
            known => known.canonical(),
        }
    }

    fn matches(&self, entry: &Entry, known: Name, name: &str) -> bool {
        entry.name == known
            && (known != Name::Other || entry.label.of(&self.text).eq_ignore_ascii_case(name))
    }

    fn position(&self, name: &str) -> Option<usize> {
        let known = Name::of(name);
        self.entries
            .iter()
            .position(|entry| self.matches(entry, known, name))
    }

    /// Drops text that no entry uses, once it is the larger part: changing headers again and again must not grow them.
    fn compact(&mut self) {
        let live: usize = self
            .entries
            .iter()
            .map(|entry| entry.label.len() + entry.value.len())
            .sum();
        if self.text.len() < 4096 + live * 2 {
            return;
        }
        let mut kept = Headers::over(String::with_capacity(live));
        for entry in &self.entries {
            let label = kept.append_text(entry.label.of(&self.text));
            let value = kept.append_text(entry.value.of(&self.text));
            kept.add_checked(entry.name, label, value);
        }
        *self = kept;
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
