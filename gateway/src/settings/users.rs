//! `[users.NAME]`: who may sign in, and whom calls from the trunk reach.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sip::digest::Password;

use super::layers::{Found, Raw};
use super::mistakes::{Place, Wrong, nearest};
use super::read::{NamedTable, Reader, describe};
use super::{User, value};
use crate::call::machine::Forward;
use crate::call::route::{is_number, plain_number};
use crate::permit::{Pattern, Permit};
use crate::token::Verifier;
use crate::token::jwks::Jwks;

const SECTION: &str = "users";
const KEYS: [&str; 13] = [
    "password",
    "password_file",
    "display_name",
    "numbers",
    "withhold_number",
    "dial",
    "max_calls",
    "max_call_duration",
    "forward_always",
    "forward_busy",
    "forward_no_answer",
    "forward_unavailable",
    "ring_time",
];

/// How long it rings before a call goes on, where nothing else is said.
pub(crate) const RING_TIME: Duration = Duration::from_secs(20);

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
        let permit = Permit {
            dial: one.dial(&mut table),
            max_calls: one.take(&mut table, "max_calls", value::number(1..=100_000)),
            max_call_duration: one.take(
                &mut table,
                "max_call_duration",
                value::duration(Duration::from_secs(1)..=Duration::from_secs(7 * 86_400)),
            ),
            until: None,
        };
        let withheld = one.take(&mut table, "withhold_number", value::boolean);
        let mut forward = |key| one.take(&mut table, key, number);
        let forward = Forward {
            always: forward("forward_always"),
            busy: forward("forward_busy"),
            no_answer: forward("forward_no_answer"),
            unavailable: forward("forward_unavailable"),
        };
        let ring_time = one.take(
            &mut table,
            "ring_time",
            value::duration(Duration::from_secs(1)..=Duration::from_secs(180)),
        );
        one.refuse_others(&table);
        if let Some(password) = password {
            users.push(User {
                display_name: display_name.unwrap_or_else(|| name.clone()),
                name,
                password,
                numbers,
                withheld: withheld.unwrap_or(false),
                permit,
                forward,
                ring_time: ring_time.unwrap_or(RING_TIME),
            });
        }
    }
    users
}

/// The shortest secret that a signature may rest on, in octets (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;

/// `[sign_in]`: whose tokens sign users in.
pub(super) fn read_tokens(reader: &mut Reader) -> Option<Verifier> {
    let secret = value::secret(SHORTEST_SECRET);
    let secret = reader.read("sign_in", "token_secret", None, secret);
    let by_key = reader.read("sign_in", "token_key_file", None, |raw| {
        let Some(path) = value::readable_file(raw)? else {
            return Ok(None);
        };
        let pem = std::fs::read(&path).unwrap_or_default();
        Verifier::from_pem(&pem).map(Some).ok_or_else(|| {
            Wrong::new(
                format!("{} has no public key for ES256 or EdDSA", path.display()),
                "write the path of one in PEM: of the curve P-256, or Ed25519",
            )
        })
    });
    let jwks = reader.read("sign_in", "jwks_url", None, |raw| {
        Ok(value::web_address(raw)?.map(|address| Arc::new(Jwks::at(address))))
    });
    let mut text = |key| {
        reader.read("sign_in", key, None, |raw| {
            Ok(Some(value::text(raw)?.to_owned()).filter(|text| !text.is_empty()))
        })
    };
    let issuer = text("token_issuer");
    let audience = text("token_audience");
    let mut verifier = None;
    for (key, found) in [
        (
            "token_secret",
            secret.map(|secret| Verifier::hs256(secret.as_bytes())),
        ),
        ("token_key_file", by_key),
        ("jwks_url", jwks.map(Verifier::listed)),
    ] {
        match (&verifier, found) {
            (_, None) => {}
            (None, Some(found)) => verifier = Some((key, found)),
            (Some((other, _)), Some(_)) => {
                let wrong = Wrong::new(
                    format!("sign_in.{other} is set too"),
                    "leave one of the two out: tokens are signed one way",
                );
                reader.wrong("sign_in", key, wrong);
            }
        }
    }
    let keys = ["token_secret", "token_key_file", "jwks_url"];
    if !keys.iter().any(|key| reader.is_set("sign_in", key)) {
        for key in ["token_issuer", "token_audience"] {
            if reader.is_set("sign_in", key) {
                let advice = "set sign_in.token_secret, sign_in.token_key_file or sign_in.jwks_url";
                let wrong = Wrong::new("means nothing without a key for tokens", advice);
                reader.wrong("sign_in", key, wrong);
            }
        }
    }
    let (_, mut verifier) = verifier?;
    if let Some(issuer) = issuer {
        verifier = verifier.of_issuer(&issuer);
    }
    if let Some(audience) = audience {
        verifier = verifier.for_audience(&audience);
    }
    Some(verifier)
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
        // One that is empty is none, and not a user that is not there: then nobody would have to sign in.
        let empty = matches!(written, Some(None)) || matches!(in_file, Some(None));
        let password = written.flatten().or(in_file.flatten());
        if password.is_none() && (empty || given == [false, false]) {
            let variable = format!("SWITCHHOOK__USERS__{}__PASSWORD", self.name.to_uppercase());
            let wrong = Wrong::new(
                "has no password",
                format!("set password, password_file or {variable}"),
            );
            self.wrong(self.place.clone(), "password", wrong);
        }
        password
    }

    /// The elements of a list; commas separate them in the environment.
    fn elements(&mut self, key: &str, found: Found) -> Vec<Found> {
        match found.value {
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
                self.wrong(found.place, key, wrong);
                Vec::new()
            }
        }
    }

    fn dial(&mut self, table: &mut BTreeMap<String, Found>) -> Option<Vec<Pattern>> {
        let found = table.remove("dial")?;
        let mut patterns = Vec::new();
        for Found { value, place } in self.elements("dial", found) {
            match pattern(&value) {
                Ok(pattern) => patterns.push(pattern),
                Err(wrong) => self.wrong(place, "dial", wrong),
            }
        }
        Some(patterns)
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
        let mut numbers = Vec::new();
        for Found { value, place } in self.elements("numbers", found) {
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

pub(super) fn pattern(raw: &Raw) -> Result<Pattern, Wrong> {
    let text = value::text(raw)?;
    Pattern::parse(text).ok_or_else(|| {
        Wrong::new(
            format!("{text:?} is no number"),
            "write it like \"+49*\" or \"100\", or \"*\" for all",
        )
    })
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
