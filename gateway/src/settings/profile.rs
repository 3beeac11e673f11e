//! `trunk.profile`: a trunk's quirks, as `"default"` or one by one in a table.

use sdp::trunk::Profile;
use toml::{Table, Value};

use super::layers::{Found, Raw};
use super::mistakes::{Place, Wrong, nearest};
use super::read::{Reader, describe};

const ADVICE: &str =
    "write \"default\", or only what differs, like { telephone_event_payload_type = 96 }";

/// One quirk as it was written.
struct Quirk {
    name: String,
    place: Place,
    value: Value,
}

pub(super) fn read(reader: &mut Reader) -> Profile {
    let Some(found) = reader.take("trunk", "profile") else {
        return Profile::default();
    };
    match quirks(&found) {
        Ok(quirks) => assemble(reader, quirks),
        Err(wrong) => {
            reader.wrong_at(found.place, "trunk", "profile", wrong);
            Profile::default()
        }
    }
}

fn quirks(found: &Found) -> Result<Vec<Quirk>, Wrong> {
    let wrong = || Wrong::new(format!("{} is no profile", describe(&found.value)), ADVICE);
    match &found.value {
        Raw::Text(name) | Raw::Loose(name) if name.trim() == "default" => Ok(Vec::new()),
        Raw::Table(entries) => Ok(entries
            .iter()
            .map(|(name, entry)| Quirk {
                name: name.clone(),
                place: entry.place.clone(),
                value: to_toml(&entry.value),
            })
            .collect()),
        // An inline table, in the environment.
        Raw::Loose(text) => {
            let mut table: Table =
                toml::from_str(&format!("profile = {text}")).map_err(|_| wrong())?;
            match table.remove("profile") {
                Some(Value::Table(entries)) if table.is_empty() => Ok(entries
                    .into_iter()
                    .map(|(name, value)| Quirk {
                        name,
                        place: found.place.clone(),
                        value,
                    })
                    .collect()),
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

/// Each quirk is tried alone, so that every wrong one is told.
fn assemble(reader: &mut Reader, quirks: Vec<Quirk>) -> Profile {
    let known = names();
    let mut right = Table::new();
    let mut places = Vec::new();
    for quirk in quirks {
        let key = format!("profile.{}", quirk.name);
        if !known.contains(&quirk.name) {
            let advice = match nearest(&quirk.name, known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("a profile has {}", known.join(", ")),
            };
            let wrong = Wrong::new("there is no such setting", advice);
            reader.wrong_at(quirk.place, "trunk", &key, wrong);
            continue;
        }
        let alone = Table::from_iter([(quirk.name.clone(), quirk.value.clone())]);
        match alone.try_into::<Profile>() {
            Ok(_) => {
                right.insert(quirk.name.clone(), quirk.value);
                places.push((quirk.name, quirk.place));
            }
            Err(error) => {
                let problem = error.message().trim().to_owned();
                let wrong = Wrong::new(problem, "write what was expected, or leave it out");
                reader.wrong_at(quirk.place, "trunk", &key, wrong);
            }
        }
    }
    let profile: Profile = right.try_into().unwrap_or_default();
    for (field, wanted) in profile.mistakes() {
        let place = places.iter().find(|(name, _)| name == field);
        let place = place.map_or(Place::Default, |(_, place)| place.clone());
        let wrong = Wrong::new(wanted, "write that, or leave it out");
        reader.wrong_at(place, "trunk", &format!("profile.{field}"), wrong);
    }
    profile
}

/// The names of all quirks.
fn names() -> Vec<String> {
    match serde_json::to_value(Profile::default()) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

fn to_toml(raw: &Raw) -> Value {
    match raw {
        Raw::Text(text) | Raw::Loose(text) => Value::String(text.clone()),
        Raw::Integer(value) => Value::Integer(*value),
        Raw::Boolean(value) => Value::Boolean(*value),
        Raw::List(elements) => Value::Array(
            elements
                .iter()
                .map(|element| to_toml(&element.value))
                .collect(),
        ),
        Raw::Table(entries) => Value::Table(
            entries
                .iter()
                .map(|(name, entry)| (name.clone(), to_toml(&entry.value)))
                .collect(),
        ),
        // No quirk is one: refused when it is tried.
        Raw::Other(_) => Value::Float(f64::NAN),
    }
}
