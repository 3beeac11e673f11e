//! What trunks that many people have need otherwise than most: settings of `[trunk]`, as data. Each file says where its
//! facts come from.

use std::path::Path;

use super::layers::{Found, Source};
use super::mistakes::Wrong;

/// The presets, by name.
const PRESETS: [(&str, &str); 9] = [
    ("3cx", include_str!("../../presets/3cx.toml")),
    ("asterisk", include_str!("../../presets/asterisk.toml")),
    ("avaya", include_str!("../../presets/avaya.toml")),
    ("cisco", include_str!("../../presets/cisco.toml")),
    ("freeswitch", include_str!("../../presets/freeswitch.toml")),
    ("teams", include_str!("../../presets/teams.toml")),
    ("telnyx", include_str!("../../presets/telnyx.toml")),
    ("twilio", include_str!("../../presets/twilio.toml")),
    ("whatsapp", include_str!("../../presets/whatsapp.toml")),
];

/// The settings of a preset.
pub(super) fn find(name: &str) -> Result<Vec<(String, Found)>, Wrong> {
    let known = PRESETS.iter().find(|(known, _)| *known == name);
    match known {
        Some((name, text)) => Ok(Source::new(Path::new(name), text).entries()),
        None => {
            let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
            Err(Wrong::new(
                format!("there is no preset {name:?}"),
                format!("write one of {}, or leave it out", names.join(", ")),
            ))
        }
    }
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}
