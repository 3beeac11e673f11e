//! The layers settings come from: the file, the environment, the command line; later ones win.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistakes::{Mistake, Place};

/// Environment variables that are settings begin with this.
pub(super) const ENVIRONMENT_PREFIX: &str = "SWITCHHOOK__";
/// Nobody writes a longer settings file; a device or a log given by mistake is not read whole.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Command-line options that are settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--trunk URI`
    pub trunk: Option<String>,
    /// `--http ADDR`
    pub http: Option<String>,
    /// `--sip ADDR`
    pub sip: Option<String>,
}

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The settings file; it must exist.
    pub file: Option<PathBuf>,
    /// The environment; only variables that begin with `SWITCHHOOK__` are looked at.
    pub env: Vec<(String, String)>,
    /// The command line.
    pub overrides: Overrides,
}

/// A value as it was written.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Found>),
    /// A table within a section.
    Table(Vec<(String, Found)>),
    /// From the environment or the command line, where everything is text.
    Loose(String),
    /// Something no setting takes.
    Other(&'static str),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) value: Raw,
    pub(super) place: Place,
}

/// All layers, merged.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// section, key → the value that wins.
    pub(super) values: BTreeMap<(String, String), Found>,
    /// Sections of the file, also empty ones.
    pub(super) sections: BTreeMap<String, Place>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Layers {
    pub(super) fn collect(sources: &Sources) -> Self {
        let mut layers = Layers::default();
        if let Some(path) = &sources.file {
            layers.add_file(path);
        }
        for (name, value) in &sources.env {
            layers.add_variable(name, value);
        }
        let Overrides { trunk, http, sip } = &sources.overrides;
        for (option, section, key, value) in [
            ("--trunk", "trunk", "uri", trunk),
            ("--http", "http", "listen", http),
            ("--sip", "sip", "listen", sip),
        ] {
            if let Some(value) = value {
                layers.put(
                    section,
                    key,
                    Raw::Loose(value.clone()),
                    Place::Option(option),
                );
            }
        }
        layers
    }

    /// Takes out every value of the sections and keys that are chosen.
    pub(super) fn take_where(
        &mut self,
        chosen: impl Fn(&(String, String)) -> bool,
    ) -> BTreeMap<(String, String), Found> {
        let (taken, kept) = std::mem::take(&mut self.values)
            .into_iter()
            .partition(|(name, _)| chosen(name));
        self.values = kept;
        taken
    }

    fn put(&mut self, section: &str, key: &str, value: Raw, place: Place) {
        let name = (section.to_owned(), key.to_owned());
        self.values.insert(name, Found { value, place });
    }

    fn mistake(&mut self, place: Place, setting: &str, problem: String, advice: &str) {
        self.mistakes.push(Mistake {
            place,
            setting: setting.to_owned(),
            problem,
            advice: advice.to_owned(),
        });
    }

    fn add_variable(&mut self, name: &str, value: &str) {
        let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
            return;
        };
        let place = Place::Environment(name.to_owned());
        match rest.split_once("__") {
            Some((section, key)) if !section.is_empty() && !key.is_empty() => self.put(
                &section.to_lowercase(),
                &key.to_lowercase(),
                Raw::Loose(value.to_owned()),
                place,
            ),
            _ => self.mistake(
                place,
                "",
                "names no setting".to_owned(),
                "write SWITCHHOOK__SECTION__KEY, for example SWITCHHOOK__HTTP__LISTEN",
            ),
        }
    }

    fn add_file(&mut self, path: &Path) {
        match read_text(path) {
            Ok(text) => self.add_text(path, &text),
            Err(problem) => self.mistake(
                Place::WholeFile(path.to_owned()),
                "",
                problem,
                "give a readable TOML file, or none to take the defaults",
            ),
        }
    }

    fn add_text(&mut self, path: &Path, text: &str) {
        let source = Source { path, text };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut broken_lines = Vec::new();
        for error in errors {
            let place = source.place(error.span().unwrap_or(0..0));
            if let Place::File { line, .. } = place {
                broken_lines.push(line);
            }
            let problem = format!("not TOML: {}", error.message().trim());
            self.mistake(place, "", problem, "");
        }
        // What the parser guessed on a line it could not read would only be a second mistake.
        let is_guess = |place: &Place| matches!(place, Place::File { line, .. } if broken_lines.contains(line));
        for (section, value) in table.get_ref() {
            let place = source.place(section.span());
            let name = section.get_ref();
            let DeValue::Table(keys) = value.get_ref() else {
                if !is_guess(&place) {
                    self.mistake(
                        place,
                        name,
                        "stands outside every section".to_owned(),
                        "put it below the [section] it belongs to",
                    );
                }
                continue;
            };
            self.sections.insert(name.to_string(), place);
            for (key, value) in keys {
                let place = source.place(value.span());
                if is_guess(&place) {
                    continue;
                }
                self.put(name, key.get_ref(), source.raw(value), place);
            }
        }
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| format!("cannot be read: {error}"))?
        .len();
    if length > MAX_FILE_BYTES {
        return Err(format!("is {length} bytes long: no settings file"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "is not UTF-8 text (byte {})",
            error.utf8_error().valid_up_to() + 1
        )
    })
}

/// A settings file's text, to tell places in it.
pub(super) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// The entries that stand at its top.
    pub(super) fn entries(&self) -> Vec<(String, Found)> {
        let (table, _) = DeTable::parse_recoverable(self.text);
        let entries = table.get_ref().iter();
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            let found = Found {
                value: self.raw(value),
                place: self.place(value.span()),
            };
            (key.to_string(), found)
        };
        entries.map(entry).collect()
    }
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn raw(&self, value: &Spanned<DeValue<'_>>) -> Raw {
        match value.get_ref() {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or(Raw::Other("an integer out of range"), Raw::Integer),
            DeValue::Boolean(value) => Raw::Boolean(*value),
            DeValue::Array(elements) => Raw::List(
                elements
                    .iter()
                    .map(|element| Found {
                        value: self.raw(element),
                        place: self.place(element.span()),
                    })
                    .collect(),
            ),
            DeValue::Table(entries) => Raw::Table(
                entries
                    .iter()
                    .map(|(key, value)| {
                        let found = Found {
                            value: self.raw(value),
                            place: self.place(key.span()),
                        };
                        (key.get_ref().to_string(), found)
                    })
                    .collect(),
            ),
            DeValue::Float(_) => Raw::Other("a fraction"),
            DeValue::Datetime(_) => Raw::Other("a date"),
        }
    }
}
