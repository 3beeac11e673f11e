//! `[users.NAME]`: who may sign in, and whom calls from the trunk reach.

use std::collections::BTreeMap;

use sip::digest::Password;

use super::layers::{Found, Raw};
use super::mistakes::{Place, Wrong, nearest};
use super::read::{NamedTable, Reader, describe};
use super::{User, value};
use crate::call::route::{is_number, plain_number};

const SECTION: &str = "users";
const KEYS: [&str; 4] = ["password", "password_file", "display_name", "numbers"];

/// Everyone, sorted by name; somebody of whom something is wrong is left out, and the mistakes are noted.
pub(super) fn read(reader: &mut Reader) -> Vec<User> {
    let mut users = Vec::new();
    let tables = reader.take_tables(SECTION);
    let mut taken: BTreeMap<String, String> = tables
        .keys()
        .map(|name| (name.clone(), name.clone()))
        .collect();
    for (name, entry) in tables {
        let NamedTable { place, mut table } = entry;
        let mut one = One {
            reader: &mut *reader,
            name: &name,
            place: &place,
        };
        if !is_number(&name) {
            one.wrong_name();
        }
        let password = one.password(&mut table);
        let display_name = one
            .take(&mut table, "display_name", value::header_text)
            .filter(|shown| !shown.is_empty());
        let numbers = one.numbers(&mut table, &mut taken);
        one.refuse_others(&table);
        if let Some(password) = password {
            users.push(User {
                display_name: display_name.unwrap_or_else(|| name.clone()),
                name,
                password,
                numbers,
            });
        }
    }
    users
}

/// One user, while he is read.
struct One<'a> {
    reader: &'a mut Reader,
    name: &'a str,
    place: &'a Place,
}

impl One<'_> {
    fn wrong(&mut self, place: Place, key: &str, wrong: Wrong) {
        let setting = format!("{}.{key}", self.name);
        self.reader.wrong_at(place, SECTION, &setting, wrong);
    }

    fn wrong_name(&mut self) {
        let wrong = Wrong::new(
            format!("{:?} is no user name", self.name),
            "write 1 to 64 letters, digits, + * # . _ or -",
        );
        let place = self.place.clone();
        self.reader.wrong_at(place, SECTION, self.name, wrong);
    }

    fn take<T>(
        &mut self,
        table: &mut BTreeMap<String, Found>,
        key: &'static str,
        parse: impl FnOnce(&Raw) -> Result<T, Wrong>,
    ) -> Option<T> {
        let found = table.remove(key)?;
        match parse(&found.value) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(found.place, key, wrong);
                None
            }
        }
    }

    fn password(&mut self, table: &mut BTreeMap<String, Found>) -> Option<Password> {
        let given = ["password", "password_file"].map(|key| table.contains_key(key));
        if given == [true, true] {
            let place = table["password_file"].place.clone();
            let wrong = Wrong::new("password is set too", "leave one of the two out");
            self.wrong(place, "password_file", wrong);
        }
        let written = self.take(table, "password", value::password);
        let in_file = self.take(table, "password_file", value::password_file);
        let password = written.flatten().or(in_file.flatten());
        if password.is_none() && given == [false, false] {
            let variable = format!("SWITCHHOOK__USERS__{}__PASSWORD", self.name.to_uppercase());
            let wrong = Wrong::new(
                "has no password",
                format!("set password, password_file or {variable}"),
            );
            self.wrong(self.place.clone(), "password", wrong);
        }
        password
    }

    /// Each number has one owner.
    fn numbers(
        &mut self,
        table: &mut BTreeMap<String, Found>,
        taken: &mut BTreeMap<String, String>,
    ) -> Vec<String> {
        let Some(found) = table.remove("numbers") else {
            return Vec::new();
        };
        let elements = match found.value {
            Raw::List(elements) => elements,
            Raw::Loose(text) => text
                .split(',')
                .map(|element| Found {
                    value: Raw::Loose(element.trim().to_owned()),
                    place: found.place.clone(),
                })
                .collect(),
            other => {
                let problem = format!("{} is not a list", describe(&other));
                let wrong = Wrong::new(problem, "write [\"+4930123456\"]");
                self.wrong(found.place, "numbers", wrong);
                return Vec::new();
            }
        };
        let mut numbers = Vec::new();
        for Found { value, place } in elements {
            match number(&value) {
                Ok(number) => match taken.insert(number.clone(), self.name.to_owned()) {
                    Some(other) if other != self.name || numbers.contains(&number) => {
                        let wrong = Wrong::new(
                            format!("{number:?} is a number of {other} already"),
                            "give each number to one user",
                        );
                        self.wrong(place, "numbers", wrong);
                    }
                    _ => numbers.push(number),
                },
                Err(wrong) => self.wrong(place, "numbers", wrong),
            }
        }
        numbers
    }

    fn refuse_others(&mut self, table: &BTreeMap<String, Found>) {
        for (key, found) in table {
            let advice = match nearest(key, KEYS) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("a user has {}", KEYS.join(", ")),
            };
            let wrong = Wrong::new("there is no such setting", advice);
            self.wrong(found.place.clone(), key, wrong);
        }
    }
}

fn number(raw: &Raw) -> Result<String, Wrong> {
    let text = value::text(raw)?;
    let number = plain_number(text);
    if is_number(&number) {
        return Ok(number);
    }
    Err(Wrong::new(
        format!("{text:?} is no number"),
        "write it like \"+49 30 123456\" or \"100\"",
    ))
}
