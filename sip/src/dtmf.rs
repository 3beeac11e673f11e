//! Keys in INFO requests: `application/dtmf-relay` and `application/dtmf`, the way of before RFC 6086 (its §1 calls it
//! legacy usage), which many a PBX and telephone still speaks.

use std::time::Duration;

use crate::message::Request;

/// The media types of keys.
pub(crate) const TYPES: [(&str, &str); 2] =
    [("application", "dtmf-relay"), ("application", "dtmf")];
/// The same, for Accept.
pub(crate) const ACCEPT: &str = "application/dtmf-relay, application/dtmf";
/// A key without a length was held for this long.
const USUAL: u32 = 160;
/// No key press is taken for shorter or longer, in milliseconds.
const SHORTEST: u32 = 40;
const LONGEST: u32 = 60_000;

/// A key that was pressed. Its `Debug` is redacted: digits are account numbers and PINs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DtmfInfo {
    /// One of `0`-`9`, `*`, `#`, `A`-`D`.
    pub key: char,
    /// How long it was held.
    pub duration: Duration,
}

impl std::fmt::Debug for DtmfInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DtmfInfo(redacted)")
    }
}

/// What an INFO says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Info {
    /// A key was pressed.
    Key(DtmfInfo),
    /// Nothing that concerns us: no body, or a signal that is no key (a hook flash).
    Nothing,
    /// It cannot be read (400).
    Broken,
    /// A body that we do not understand (415).
    Unsupported,
}

impl DtmfInfo {
    /// Its body as `application/dtmf-relay`.
    pub(crate) fn to_body(self) -> Vec<u8> {
        let milliseconds = self.duration.as_millis();
        format!("Signal={}\r\nDuration={milliseconds}\r\n", self.key).into_bytes()
    }
}

/// Reads an INFO.
pub(crate) fn read(request: &Request) -> Info {
    if request.body.is_empty() {
        return Info::Nothing;
    }
    let Some(content) = request.headers.content_type() else {
        return Info::Unsupported;
    };
    let Ok(body) = std::str::from_utf8(&request.body) else {
        return Info::Broken;
    };
    let (signal, duration) = if content.covers("application", "dtmf-relay") {
        let field = |name: &str| {
            let lines = body.lines().filter_map(|line| line.split_once('='));
            let mut values = lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.trim())
        };
        let duration = field("Duration").map_or(Some(USUAL), |value| value.parse().ok());
        (field("Signal"), duration)
    } else if content.covers("application", "dtmf") {
        (Some(body.trim()), Some(USUAL))
    } else {
        return Info::Unsupported;
    };
    match (signal.filter(|signal| !signal.is_empty()), duration) {
        (Some(signal), Some(duration)) => key(signal).map_or(Info::Nothing, |key| {
            let milliseconds = duration.clamp(SHORTEST, LONGEST);
            Info::Key(DtmfInfo {
                key,
                duration: Duration::from_millis(u64::from(milliseconds)),
            })
        }),
        _ => Info::Broken,
    }
}

/// A key by its character, or by its event code (RFC 4733 §3.2), as some write it.
fn key(signal: &str) -> Option<char> {
    let mut characters = signal.chars();
    match (characters.next()?.to_ascii_uppercase(), characters.as_str()) {
        (key @ ('0'..='9' | '*' | '#' | 'A'..='D'), "") => Some(key),
        ('1', "0") => Some('*'),
        ('1', "1") => Some('#'),
        ('1', letter @ ("2" | "3" | "4" | "5")) => {
            let index = letter.parse::<u8>().ok()? - 2;
            Some(char::from(b'A' + index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Uri};

    fn info(content_type: &str, body: &str) -> Info {
        let uri = "sip:a@192.0.2.1".parse::<Uri>().unwrap();
        let mut request = Request::new(Method::Info, uri);
        request.headers.push("Content-Type", content_type).unwrap();
        request.body = body.as_bytes().to_vec();
        read(&request)
    }

    fn pressed(key: char, milliseconds: u64) -> Info {
        let duration = Duration::from_millis(milliseconds);
        Info::Key(DtmfInfo { key, duration })
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for (body, expected) in [
            ("Signal=5\r\nDuration=160\r\n", pressed('5', 160)),
            ("Signal= *\r\nDuration= 250\r\n", pressed('*', 250)),
            ("signal=d\nduration=100", pressed('D', 100)),
            ("Signal=11\r\n", pressed('#', 160)),
            ("Signal=15\r\nDuration=4", pressed('D', 40)),
            ("Signal=3\r\nDuration=4000000000", pressed('3', 60_000)),
            // A hook flash.
            ("Signal=16\r\nDuration=100", Info::Nothing),
            ("Signal=!\r\nDuration=100", Info::Nothing),
            ("Duration=100", Info::Broken),
            ("Signal=\r\nDuration=100", Info::Broken),
            ("Signal=1\r\nDuration=long", Info::Broken),
            ("Signal=1\r\nDuration=-1", Info::Broken),
            ("gibberish", Info::Broken),
        ] {
            assert_eq!(info("application/dtmf-relay", body), expected, "{body:?}");
        }
        assert_eq!(info("application/dtmf", "7\r\n"), pressed('7', 160));
        assert_eq!(info("Application/DTMF", " 10 "), pressed('*', 160));
        assert_eq!(info("text/plain", "7"), Info::Unsupported);
        assert_eq!(info("text/plain", ""), Info::Nothing);
    }

    #[test]
    fn what_is_written_is_read_again_and_not_shown() {
        for key in "0123456789*#ABCD".chars() {
            let duration = Duration::from_millis(120);
            let written = DtmfInfo { key, duration };
            let body = String::from_utf8(written.to_body()).unwrap();
            assert_eq!(info("application/dtmf-relay", &body), Info::Key(written));
            assert_eq!(format!("{written:?}"), "DtmfInfo(redacted)");
        }
    }
}
