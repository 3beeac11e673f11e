//! A parsed description that still knows its lines.

use sdp_types::{Attribute, Media, ParserError, Session};

use crate::{Action, At, Note, Refusal, limits};

/// The parsed text, with the line numbers that a refusal names.
pub(crate) struct Description<'a> {
    pub(crate) session: Session,
    text: &'a str,
    /// Line numbers (from 1) of the `m=` lines.
    media_lines: Vec<usize>,
}

impl<'a> Description<'a> {
    /// Checks the limits on the raw text, then parses.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let media_lines = check_limits(text)?;
        let session = Session::parse(text.as_bytes()).map_err(|error| syntax(&error))?;
        if session.medias.len() != media_lines.len() {
            // Cannot be as long as both split lines alike; never trust that with indices.
            return Err(Refusal::Syntax {
                detail: "the m= lines cannot be told apart".into(),
                at: At(None),
            });
        }
        Ok(Self {
            session,
            text,
            media_lines,
        })
    }

    /// Lines that must be there and are not; they are not needed to make a call, so it is not refused for them.
    pub(crate) fn note_missing(&self, notes: &mut Vec<Note>) {
        let head = numbered(self.text).take_while(|(_, line)| !line.starts_with("m="));
        for required in ["o=", "s=", "t="] {
            if !head.clone().any(|(_, line)| line.starts_with(required)) {
                notes.push(Note::new(
                    Action::Changed,
                    required,
                    "is missing and read as empty (RFC 8866 §5)",
                ));
            }
        }
    }

    pub(crate) fn media(&self) -> impl Iterator<Item = (usize, &Media)> {
        self.session.medias.iter().enumerate()
    }

    /// Values of an attribute in a media section; those of the session where the section has none.
    pub(crate) fn values<'s>(
        &'s self,
        media: usize,
        name: &'s str,
    ) -> impl Iterator<Item = &'s str> {
        let own = self.attributes(media);
        let from = if named(own, name).next().is_some() {
            own
        } else {
            &self.session.attributes
        };
        named(from, name).map(|attribute| attribute.value.as_deref().unwrap_or("").trim())
    }

    /// First value of an attribute, inherited from the session where the section has none.
    pub(crate) fn value<'s>(&'s self, media: usize, name: &'s str) -> Option<&'s str> {
        self.values(media, name).next()
    }

    /// Whether the section or the session has the attribute.
    pub(crate) fn has(&self, media: usize, name: &str) -> bool {
        self.value(media, name).is_some()
    }

    /// The attributes of one media section.
    pub(crate) fn attributes(&self, media: usize) -> &[Attribute] {
        self.session
            .medias
            .get(media)
            .map_or(&[], |media| &media.attributes)
    }

    /// The number of a section's `m=` line.
    pub(crate) fn at_media(&self, media: usize) -> At {
        At(self.media_lines.get(media).copied())
    }

    /// The number of the first line of a section, else of the session, that starts with `start`.
    pub(crate) fn at(&self, media: usize, start: &str) -> At {
        let from = self.media_lines.get(media).copied().unwrap_or(usize::MAX);
        let to = self.media_lines.get(media + 1).copied();
        let first_media = self.media_lines.first().copied();
        let find = |from: usize, to: Option<usize>| {
            numbered(self.text)
                .skip_while(|(number, _)| *number < from)
                .take_while(|(number, _)| to.is_none_or(|to| *number < to))
                .find(|(_, line)| starts_with(line, start))
                .map(|(number, _)| number)
        };
        At(find(from, to).or_else(|| find(1, first_media)))
    }
}

/// Attributes of a name; names are compared as browsers and phones write them, whatever the case.
pub(crate) fn named<'a>(
    attributes: &'a [Attribute],
    name: &'a str,
) -> impl Iterator<Item = &'a Attribute> {
    attributes
        .iter()
        .filter(move |attribute| attribute.attribute.trim().eq_ignore_ascii_case(name))
}

/// `a=ptime` or `a=maxptime` of a section.
pub(crate) fn milliseconds(description: &Description<'_>, media: usize, name: &str) -> Option<u32> {
    // Some phones write fractions (RFC 4566 allowed only whole ones, RFC 8866 §6.4 allows them).
    let whole = description.value(media, name)?.split('.').next()?;
    whole.parse().ok().filter(|ms| (1..=1000).contains(ms))
}

/// RFC 8866 §9: `token`.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte))
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> + Clone {
    text.split('\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.strip_suffix('\r').unwrap_or(line)))
}

fn starts_with(line: &str, start: &str) -> bool {
    line.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn check_limits(text: &str) -> Result<Vec<usize>, Refusal> {
    if text.len() > limits::BYTES {
        return Err(Refusal::TooLong {
            found: text.len(),
            limit: limits::BYTES,
        });
    }
    let too_many = |what, limit, number| {
        Err(Refusal::TooMany {
            what,
            limit,
            at: At(Some(number)),
        })
    };
    let mut media_lines = Vec::new();
    let mut candidates = 0;
    for (number, line) in numbered(text) {
        if number > limits::LINES {
            return too_many("lines", limits::LINES, number);
        }
        if line.starts_with("m=") {
            if media_lines.len() == limits::MEDIA {
                return too_many("m= lines", limits::MEDIA, number);
            }
            media_lines.push(number);
            candidates = 0;
        } else if starts_with(line, "a=candidate") {
            candidates += 1;
            if candidates > limits::CANDIDATES {
                return too_many("candidates in a section", limits::CANDIDATES, number);
            }
        }
    }
    Ok(media_lines)
}

fn syntax(error: &ParserError) -> Refusal {
    let line = match error {
        ParserError::InvalidLineFormat(line, _)
        | ParserError::InvalidFieldEncoding(line, _)
        | ParserError::InvalidFieldFormat(line, _)
        | ParserError::MissingField(line, _)
        | ParserError::FieldTrailingData(line, _)
        | ParserError::InvalidVersion(line, _)
        | ParserError::MultipleVersions(line)
        | ParserError::MultipleOrigins(line)
        | ParserError::MultipleSessionNames(line)
        | ParserError::MultipleSessionDescription(line)
        | ParserError::MultipleUris(line)
        | ParserError::MultipleConnections(line)
        | ParserError::MultipleTimeZones(line)
        | ParserError::MultipleMediaTitles(line)
        | ParserError::MultipleKeys(line)
        | ParserError::RepeatWithoutTime(line) => Some(*line),
        _ => None,
    };
    Refusal::Syntax {
        detail: crate::note::shortened(error.to_string()),
        at: At(line),
    }
}
