//! Reads one setting after the other out of the layers, notes every mistake on the way and knows,
//! at the end, which keys nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::{ENVIRONMENT_PREFIX, Found, Layers, Raw};
use super::mistakes::{Mistake, Place, Wrong, nearest};

pub(super) struct Reader {
    layers: Layers,
    known: BTreeMap<&'static str, Vec<&'static str>>,
    places: BTreeMap<(&'static str, &'static str), Place>,
    /// What somebody has set to more than an empty text or list, which are nothing.
    filled: BTreeSet<(&'static str, &'static str)>,
    /// The section that stands for a named table, and what that one is called.
    alias: Option<(&'static str, String)>,
}

/// A table below a section, and where it begins.
pub(super) struct NamedTable {
    pub(super) place: Place,
    pub(super) table: BTreeMap<String, Found>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Reader {
            layers,
            known: BTreeMap::new(),
            places: BTreeMap::new(),
            filled: BTreeSet::new(),
            alias: None,
        }
    }

    /// One setting; the default when nobody set it, and in place of a wrong value.
    pub(super) fn read<T>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Raw) -> Result<T, Wrong>,
    ) -> T {
        let Some(found) = self.take(section, key) else {
            return default;
        };
        match parse(&found.value) {
            Ok(value) => value,
            Err(wrong) => {
                self.wrong_at(found.place, section, key, wrong);
                default
            }
        }
    }

    /// A list, or the default if any element is wrong. In the environment commas separate them.
    pub(super) fn read_list<T>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: Vec<T>,
        parse: impl Fn(&Raw) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let Some(found) = self.take(section, key) else {
            return default;
        };
        let elements = match found.value {
            Raw::List(elements) => elements,
            Raw::Loose(text) => text
                .split(',')
                .map(str::trim)
                .filter(|element| !element.is_empty())
                .map(|element| Found {
                    value: Raw::Loose(element.to_owned()),
                    place: found.place.clone(),
                })
                .collect(),
            other => {
                let wrong = Wrong::new(
                    format!("{} is not a list", describe(&other)),
                    "write [\"one\", \"two\"]",
                );
                self.wrong_at(found.place, section, key, wrong);
                return default;
            }
        };
        let mut list = Vec::new();
        let count = elements.len();
        for element in elements {
            match parse(&element.value) {
                Ok(value) => list.push(value),
                Err(wrong) => self.wrong_at(element.place, section, key, wrong),
            }
        }
        if list.len() == count { list } else { default }
    }

    /// What a section has where nobody has set it.
    pub(super) fn fill_in(&mut self, section: &'static str, entries: Vec<(String, Found)>) {
        for (key, Found { value, .. }) in entries {
            let name = (section.to_owned(), key);
            let place = Place::Default;
            let found = Found { value, place };
            self.layers.values.entry(name).or_insert(found);
        }
    }

    /// The raw value, for settings of more than one shape.
    pub(super) fn take(&mut self, section: &'static str, key: &'static str) -> Option<Found> {
        self.known.entry(section).or_default().push(key);
        let found = self
            .layers
            .values
            .remove(&(section.to_owned(), key.to_owned()))?;
        self.places.insert((section, key), found.place.clone());
        let empty = match &found.value {
            Raw::Text(text) | Raw::Loose(text) => text.is_empty(),
            Raw::List(elements) => elements.is_empty(),
            _ => false,
        };
        if !empty && found.place != Place::Default {
            self.filled.insert((section, key));
        }
        Some(found)
    }

    /// All tables of a section whose keys are names that the operator chose, by name. In the environment
    /// `SECTION__NAME__KEY` sets one entry of one.
    pub(super) fn take_tables(&mut self, section: &'static str) -> BTreeMap<String, NamedTable> {
        self.known.entry(section).or_default();
        let mut tables: BTreeMap<String, NamedTable> = BTreeMap::new();
        let mut entries = Vec::new();
        let chosen = |(name, _): &(String, String)| name == section;
        for ((_, key), found) in self.layers.take_where(chosen) {
            match (key.split_once("__"), found.value) {
                (_, Raw::Table(table)) => {
                    let place = found.place;
                    let table = table.into_iter().collect();
                    tables.insert(key, NamedTable { place, table });
                }
                (Some((name, key)), value) if matches!(found.place, Place::Environment(_)) => {
                    let place = found.place;
                    entries.push((name.to_owned(), key.to_owned(), Found { value, place }));
                }
                (_, value) => {
                    let wrong = Wrong::new(
                        format!("{} is no table", describe(&value)),
                        format!("write [{section}.{key}], and its settings below it"),
                    );
                    self.wrong_at(found.place, section, &key, wrong);
                }
            }
        }
        for (name, key, found) in entries {
            // A variable's name has lost its case.
            let written = tables
                .keys()
                .find(|known| known.eq_ignore_ascii_case(&name));
            let name = written.cloned().unwrap_or(name);
            let table = tables.entry(name).or_insert_with(|| NamedTable {
                place: found.place.clone(),
                table: BTreeMap::new(),
            });
            table.table.insert(key, found);
        }
        tables
    }

    /// Reads a named table as if it were `section`; its mistakes name it as what it is.
    pub(super) fn within<T>(
        &mut self,
        parent: &'static str,
        name: &str,
        section: &'static str,
        table: NamedTable,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let entries = table.table.into_iter();
        let mut inner = Self::new(Layers {
            values: entries
                .map(|(key, found)| ((section.to_owned(), key), found))
                .collect(),
            ..Layers::default()
        });
        inner.alias = Some((section, format!("{parent}.{name}")));
        let value = read(&mut inner);
        self.layers.mistakes.extend(inner.finish());
        value
    }

    /// What a section is called.
    fn title<'a>(&'a self, section: &'a str) -> &'a str {
        match &self.alias {
            Some((alias, title)) if *alias == section => title,
            _ => section,
        }
    }

    /// A mistake that shows only when settings are seen together; it is put where `key` was set.
    pub(super) fn wrong(&mut self, section: &'static str, key: &'static str, wrong: Wrong) {
        let place = self
            .places
            .get(&(section, key))
            .cloned()
            .unwrap_or(Place::Default);
        self.wrong_at(place, section, key, wrong);
    }

    pub(super) fn wrong_at(&mut self, place: Place, section: &str, key: &str, wrong: Wrong) {
        let setting = format!("{}.{key}", self.title(section));
        self.layers.mistakes.push(Mistake {
            place,
            setting,
            problem: wrong.problem,
            advice: wrong.advice,
        });
    }

    /// Whether anybody set this one, rightly or wrongly; an empty text or list is nothing.
    pub(super) fn is_set(&self, section: &'static str, key: &'static str) -> bool {
        self.filled.contains(&(section, key))
    }

    /// Says so if `key` is set, and `other` is not.
    pub(super) fn needs(&mut self, section: &'static str, key: &'static str, other: &'static str) {
        if self.is_set(section, key) && !self.is_set(section, other) {
            let other = format!("{}.{other}", self.title(section));
            let wrong = Wrong::new(
                format!("means nothing without {other}"),
                format!("set {other} too"),
            );
            self.wrong(section, key, wrong);
        }
    }

    /// `section.key` of every setting read so far, sorted.
    #[cfg(test)]
    pub(super) fn known(&self) -> Vec<String> {
        let mut known: Vec<String> = self
            .known
            .iter()
            .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")))
            .collect();
        known.sort();
        known
    }

    /// Everything that was wrong, sorted by place, unknown sections and keys among it.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        let sections: Vec<&str> = self.known.keys().copied().collect();
        let unknown_section = |section: &str| match nearest(section, sections.iter().copied()) {
            Some(meant) => format!("did you mean [{meant}]?"),
            None => format!("the sections are {}", sections.join(", ")),
        };
        for (section, place) in &self.layers.sections {
            if !self.known.contains_key(section.as_str()) {
                self.layers.mistakes.push(Mistake {
                    place: place.clone(),
                    setting: section.clone(),
                    problem: "there is no such section".to_owned(),
                    advice: unknown_section(section),
                });
            }
        }
        for ((section, key), found) in &self.layers.values {
            let title = self.title(section);
            let (problem, advice) = match self.known.get(section.as_str()) {
                // Said once above, for the whole section.
                None if matches!(found.place, Place::File { .. }) => continue,
                None => ("there is no such section", unknown_section(section)),
                Some(keys) => {
                    let advice = match nearest(key, keys.iter().copied()) {
                        Some(meant) => {
                            format!("did you mean {}?", name_like(found, title, meant))
                        }
                        None => format!("[{title}] has {}", keys.join(", ")),
                    };
                    ("there is no such setting", advice)
                }
            };
            self.layers.mistakes.push(Mistake {
                place: found.place.clone(),
                setting: format!("{title}.{key}"),
                problem: problem.to_owned(),
                advice,
            });
        }
        self.layers.mistakes.sort();
        self.layers.mistakes.dedup();
        self.layers.mistakes
    }
}

/// The name of a setting as it is written where `found` was.
fn name_like(found: &Found, section: &str, key: &str) -> String {
    match found.place {
        Place::Environment(_) => {
            let section = section.replace('.', "__");
            format!("{ENVIRONMENT_PREFIX}{section}__{key}").to_uppercase()
        }
        _ => key.to_owned(),
    }
}

/// A value, as a mistake speaks of it.
pub(super) fn describe(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) | Raw::Loose(text) => format!("{text:?}"),
        Raw::Integer(value) => value.to_string(),
        Raw::Boolean(value) => value.to_string(),
        Raw::List(_) => "a list".to_owned(),
        Raw::Table(_) => "a table".to_owned(),
        Raw::Other(what) => (*what).to_owned(),
    }
}
