//! Codecs, and the formats of an `m=` line (RFC 8866 §5.14, §6.6, §6.15; RFC 3551 §6).

use std::fmt;

use sdp_types::Media;
use serde::{Deserialize, Serialize};

use crate::{Action, Note, description::named};

/// A codec that the gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Opus (RFC 6716, RFC 7587).
    Opus,
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s: wideband, on telephones.
    G722,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 4] = [Self::Opus, Self::Pcmu, Self::Pcma, Self::G722];

    /// What is spoken with browsers, in the order in which they are asked for it.
    pub const BROWSERS: [Self; 3] = [Self::Opus, Self::Pcmu, Self::Pcma];

    /// The encoding name of `a=rtpmap`.
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
    }

    /// RTP clock rate in Hz. Opus always counts 48 000 (RFC 7587 §4.1), G.722 8 000 (RFC 3551 §4.5.2).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
        }
    }

    /// Channels in `a=rtpmap`; Opus always says 2 (RFC 7587 §7).
    pub fn channels(self) -> u8 {
        match self {
            Self::Opus => 2,
            Self::Pcmu | Self::Pcma | Self::G722 => 1,
        }
    }

    /// The payload type that RFC 3551 fixes.
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Opus => None,
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
        }
    }

    /// Whether it is one of the two laws of G.711.
    pub fn is_g711(self) -> bool {
        matches!(self, Self::Pcmu | Self::Pcma)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opus => "Opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G.722",
        })
    }
}

/// What to answer a browser that offers both Opus and G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    /// Opus: loss is concealed well, G.711 is transcoded.
    #[default]
    Opus,
    /// G.711: passes through the gateway unchanged when the trunk has the same law.
    G711,
}

/// One format of an `m=` line: a payload type and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Format {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding name as written.
    pub encoding: String,
    /// Clock rate in Hz.
    pub clock_rate: u32,
    /// Channels; 1 where nothing is said.
    pub channels: u8,
    /// The parameters of `a=fmtp`.
    pub fmtp: Option<String>,
}

impl Format {
    /// A codec of ours under a payload type.
    pub fn of(codec: Codec, payload_type: u8) -> Self {
        Self {
            payload_type,
            encoding: codec.encoding_name().into(),
            clock_rate: codec.clock_rate(),
            channels: codec.channels(),
            fmtp: None,
        }
    }

    /// Telephone events (RFC 4733) at a clock rate under a payload type.
    pub fn telephone_event(payload_type: u8, clock_rate: u32, events: &str) -> Self {
        Self {
            payload_type,
            encoding: "telephone-event".into(),
            clock_rate,
            channels: 1,
            fmtp: Some(events.into()),
        }
    }

    /// Comfort noise at 8 kHz, whose payload type is fixed (RFC 3389 §4).
    pub fn comfort_noise() -> Self {
        Self {
            payload_type: 13,
            encoding: "CN".into(),
            clock_rate: 8_000,
            channels: 1,
            fmtp: None,
        }
    }

    /// Whether it is comfort noise that goes with a codec of ours.
    pub fn is_comfort_noise(&self) -> bool {
        self.encoding.eq_ignore_ascii_case("CN") && self.clock_rate == 8_000
    }

    /// The codec it stands for, if the gateway speaks it.
    pub fn codec(&self) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| {
            self.encoding.eq_ignore_ascii_case(codec.encoding_name())
                && self.clock_rate == codec.clock_rate()
                && (1..=codec.channels()).contains(&self.channels)
        })
    }

    /// The codec it stands for, if the gateway speaks it with browsers.
    pub(crate) fn browser_codec(&self) -> Option<Codec> {
        self.codec().filter(|codec| Codec::BROWSERS.contains(codec))
    }

    /// Whether it carries telephone events.
    pub fn is_telephone_event(&self) -> bool {
        self.encoding.eq_ignore_ascii_case("telephone-event")
    }

    /// The value of `a=rtpmap`.
    pub fn rtpmap(&self) -> String {
        let Self {
            payload_type,
            encoding,
            clock_rate,
            channels,
            ..
        } = self;
        match channels {
            0 | 1 => format!("{payload_type} {encoding}/{clock_rate}"),
            _ => format!("{payload_type} {encoding}/{clock_rate}/{channels}"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a=rtpmap:{}", self.rtpmap())
    }
}

/// Names of a list of formats for a refusal or a note.
pub(crate) fn names(formats: &[Format]) -> String {
    let names: Vec<_> = formats
        .iter()
        .take(24)
        .map(|format| format!("{}/{}", format.encoding, format.clock_rate))
        .collect();
    if names.is_empty() {
        return "none".into();
    }
    crate::note::shortened(names.join(", "))
}

/// The formats of an RTP `m=` line in its order, at most one for each payload type. What cannot be used is noted.
pub(crate) fn read_formats(media: &Media, rtcp_mux: bool, notes: &mut Vec<Note>) -> Vec<Format> {
    let mut taken = [false; 128];
    let mut formats = Vec::new();
    for token in media.fmt.split_ascii_whitespace() {
        let subject = || format!("payload type {token}");
        let Some((payload_type, seen)) = token
            .parse::<u8>()
            .ok()
            .and_then(|number| Some((number, taken.get_mut(usize::from(number))?)))
        else {
            note_once(
                notes,
                &subject(),
                "not a payload type of 0 to 127 (RFC 3550 §5.1)",
            );
            continue;
        };
        if std::mem::replace(seen, true) {
            note_once(
                notes,
                &subject(),
                "listed twice; the first counts (RFC 8866 §5.14)",
            );
            continue;
        }
        if rtcp_mux && (64..96).contains(&payload_type) {
            note_once(
                notes,
                &subject(),
                "cannot be told from RTCP on one port (RFC 5761 §4)",
            );
            continue;
        }
        match mapped(media, payload_type).or_else(|| static_format(payload_type)) {
            Some(format) => formats.push(format),
            None => note_once(
                notes,
                &subject(),
                "dynamic, but no a=rtpmap says what it is (RFC 8866 §6.6)",
            ),
        }
    }
    formats
}

/// One note at most for each subject, so that a hostile list does not become a hostile trace.
fn note_once(notes: &mut Vec<Note>, subject: &str, reason: &str) {
    if notes.len() < 64 && !notes.iter().any(|note| note.subject == subject) {
        notes.push(Note::new(Action::Dropped, subject, reason));
    }
}

fn mapped(media: &Media, payload_type: u8) -> Option<Format> {
    let (_, mapping) = for_payload_type(media, "rtpmap", payload_type)?;
    let mut parts = mapping.trim().split('/');
    let encoding = parts.next()?.trim();
    let clock_rate = parts.next()?.trim().parse().ok()?;
    let channels = parts
        .next()
        .and_then(|channels| channels.trim().parse().ok())
        .unwrap_or(1);
    crate::description::is_token(encoding).then(|| Format {
        payload_type,
        encoding: encoding.to_owned(),
        clock_rate,
        channels,
        fmtp: fmtp(media, payload_type),
    })
}

fn fmtp(media: &Media, payload_type: u8) -> Option<String> {
    for_payload_type(media, "fmtp", payload_type).map(|(_, value)| value.trim().to_owned())
}

/// The first attribute of a name whose value starts with the payload type.
fn for_payload_type<'a>(
    media: &'a Media,
    name: &'a str,
    payload_type: u8,
) -> Option<(&'a str, &'a str)> {
    named(&media.attributes, name)
        .filter_map(|attribute| attribute.value.as_deref()?.trim_start().split_once(' '))
        .find(|(number, _)| number.parse() == Ok(payload_type))
}

/// RFC 3551 §6, table 4: the static audio payload types.
fn static_format(payload_type: u8) -> Option<Format> {
    let (encoding, clock_rate, channels) = match payload_type {
        0 => ("PCMU", 8_000, 1),
        3 => ("GSM", 8_000, 1),
        4 => ("G723", 8_000, 1),
        5 => ("DVI4", 8_000, 1),
        6 => ("DVI4", 16_000, 1),
        7 => ("LPC", 8_000, 1),
        8 => ("PCMA", 8_000, 1),
        9 => ("G722", 8_000, 1),
        10 => ("L16", 44_100, 2),
        11 => ("L16", 44_100, 1),
        12 => ("QCELP", 8_000, 1),
        13 => ("CN", 8_000, 1),
        14 => ("MPA", 90_000, 1),
        15 => ("G728", 8_000, 1),
        16 => ("DVI4", 11_025, 1),
        17 => ("DVI4", 22_050, 1),
        18 => ("G729", 8_000, 1),
        _ => return None,
    };
    Some(Format {
        payload_type,
        encoding: encoding.into(),
        clock_rate,
        channels,
        fmtp: None,
    })
}
