//! Parsers of one value each.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use sip::digest::Password;

use super::layers::Raw;
use super::mistakes::{Wrong, nearest};
use super::read::describe;
use crate::fetch::Address;

pub(super) fn text(raw: &Raw) -> Result<&str, Wrong> {
    match raw {
        Raw::Text(text) | Raw::Loose(text) => Ok(text.trim()),
        other => Err(Wrong::new(
            format!("{} is not text", describe(other)),
            "put it in quotation marks",
        )),
    }
}

/// How bad a network is meant to be.
pub(super) fn impairment(raw: &Raw) -> Result<media::ImpairmentSettings, Wrong> {
    text(raw)?.parse().map_err(|wrong: media::BadImpairment| {
        Wrong::new(
            wrong.to_string(),
            "write it like \"loss=5,burst=3,delay=40ms,jitter=20ms,reorder=1,duplicate=1,rate=64k\"",
        )
    })
}

pub(super) fn boolean(raw: &Raw) -> Result<bool, Wrong> {
    match raw {
        Raw::Boolean(value) => Ok(*value),
        Raw::Loose(text) if text.trim() == "true" => Ok(true),
        Raw::Loose(text) if text.trim() == "false" => Ok(false),
        other => Err(Wrong::new(
            format!("{} is neither true nor false", describe(other)),
            "write true or false, without quotation marks",
        )),
    }
}

/// A whole number within `range`.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl FnOnce(&Raw) -> Result<T, Wrong>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |raw| {
        let advice = || {
            format!(
                "write a whole number from {} to {}",
                range.start(),
                range.end()
            )
        };
        let value = match raw {
            Raw::Integer(value) => *value,
            Raw::Loose(text) => i64::from_str(text.trim()).map_err(|_| {
                Wrong::new(format!("{} is not a whole number", describe(raw)), advice())
            })?,
            other => {
                return Err(Wrong::new(
                    format!("{} is not a whole number", describe(other)),
                    advice(),
                ));
            }
        };
        T::try_from(value)
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| Wrong::new(format!("{value} is out of range"), advice()))
    }
}

/// A time such as `30s`, `1m 30s` or `500ms`, within `range`.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl FnOnce(&Raw) -> Result<Duration, Wrong> {
    move |raw| {
        let value = match raw {
            Raw::Text(text) | Raw::Loose(text) => parse_duration(text),
            _ => None,
        };
        let Some(value) = value else {
            return Err(Wrong::new(
                format!("{} is not a time", describe(raw)),
                "write a number and its unit, like \"500ms\", \"30s\", \"5m\" or \"4h\"",
            ));
        };
        if range.contains(&value) {
            return Ok(value);
        }
        Err(Wrong::new(
            format!("{} is out of range", describe(raw)),
            format!(
                "write a time from {} to {}",
                show_duration(*range.start()),
                show_duration(*range.end())
            ),
        ))
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count = u64::from_str(&rest[..digits]).ok()?;
        let after = rest[digits..].trim_start();
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let milliseconds: u64 = match &after[..end] {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_millis(count.checked_mul(milliseconds)?))?;
        rest = after[end..].trim_start();
    }
    Some(sum)
}

/// The shortest way to write a time so that [`duration`] reads it back.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if milliseconds >= length && milliseconds.is_multiple_of(length) {
            return format!("{}{unit}", milliseconds / length);
        }
    }
    format!("{milliseconds}ms")
}

/// An address and a port.
pub(super) fn socket_address(raw: &Raw) -> Result<SocketAddr, Wrong> {
    let text = text(raw)?;
    SocketAddr::from_str(text).map_err(|_| {
        Wrong::new(
            format!("{text:?} is not an address and a port"),
            "write them like \"127.0.0.1:8080\" or \"[::1]:8080\"",
        )
    })
}

/// `auto` or an address and a port.
pub(super) fn socket_address_or_auto(raw: &Raw) -> Result<Option<SocketAddr>, Wrong> {
    if text(raw)? == "auto" {
        return Ok(None);
    }
    socket_address(raw).map(Some).map_err(|wrong| Wrong {
        advice: format!("{}, or \"auto\"", wrong.advice),
        ..wrong
    })
}

/// An address telephones or browsers can be told.
/// A header that has no meaning of its own to us: one that only the two ends know, or a few that are made to be passed on.
pub(super) fn free_header(raw: &Raw) -> Result<String, Wrong> {
    const PASSED_ON: [&str; 4] = ["User-to-User", "Subject", "Call-Info", "Alert-Info"];
    let name = text(raw)?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let ours = name.eq_ignore_ascii_case(crate::call::route::INTERNAL);
    let own = name.len() <= 64
        && name
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("X-"))
        && name.bytes().all(token);
    let known = PASSED_ON.iter().any(|one| one.eq_ignore_ascii_case(name));
    match (own || known) && !ours {
        true => Ok(name.to_owned()),
        false => Err(Wrong::new(
            format!("{name:?} is no header that can be passed on"),
            format!(
                "write one that begins with \"X-\", or one of {}",
                PASSED_ON.join(", ")
            ),
        )),
    }
}

/// A host name, or none.
pub(super) fn host_name(raw: &Raw) -> Result<Option<String>, Wrong> {
    let text = text(raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    let uri = format!("sip:{text}").parse::<sip::Uri>().ok();
    match uri.map(|uri| (uri.user, uri.host, uri.port)) {
        Some((None, sip::Host::Name(name), None)) if name == text => Ok(Some(name)),
        _ => Err(Wrong::new(
            format!("{text:?} is no host name"),
            "write one like \"sbc.example.com\"",
        )),
    }
}

/// An address with a port, or with that of DNS.
pub(super) fn dns_server(raw: &Raw) -> Result<SocketAddr, Wrong> {
    let text = text(raw)?;
    let address = text.parse::<SocketAddr>().ok();
    let address = address.or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53)));
    address.ok_or_else(|| {
        Wrong::new(
            format!("{text:?} is no address"),
            "write one like \"192.0.2.53\" or \"192.0.2.53:53\"",
        )
    })
}

/// `host:port`, the port of STUN where none is written; none where it is empty.
pub(super) fn host_and_port(raw: &Raw) -> Result<Option<String>, Wrong> {
    let text = text(raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Some(address.to_string()));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, 3478).to_string()));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "3478"));
    let is_name = host_name(&Raw::Text(host.to_owned())).is_ok_and(|name| name.is_some());
    match (is_name, port.parse::<u16>()) {
        (true, Ok(1..)) => Ok(Some(format!("{host}:{port}"))),
        _ => Err(Wrong::new(
            format!("{text:?} is no server's address"),
            "write it like \"stun.example.com:3478\"",
        )),
    }
}

pub(super) fn ip_address(raw: &Raw) -> Result<IpAddr, Wrong> {
    let text = text(raw)?;
    let address = IpAddr::from_str(text).map_err(|_| {
        Wrong::new(
            format!("{text:?} is not an IP address"),
            "write it like \"192.0.2.1\" or \"2001:db8::1\"",
        )
    })?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(Wrong::new(
            format!("nobody can send to {address}"),
            "write the address of one interface",
        ));
    }
    Ok(address)
}

/// An address, or all that begin like it (`192.0.2.0/24`).
pub(super) fn network(raw: &Raw) -> Result<IpNet, Wrong> {
    let text = text(raw)?;
    let single = || IpAddr::from_str(text).map(IpNet::from);
    IpNet::from_str(text).or_else(|_| single()).map_err(|_| {
        Wrong::new(
            format!("{text:?} is neither an IP address nor a network"),
            "write it like \"192.0.2.1\" or \"192.0.2.0/24\"",
        )
    })
}

/// `auto` or an address.
pub(super) fn ip_address_or_auto(raw: &Raw) -> Result<Option<IpAddr>, Wrong> {
    if text(raw)? == "auto" {
        return Ok(None);
    }
    ip_address(raw).map(Some).map_err(|wrong| Wrong {
        advice: format!("{}, or \"auto\"", wrong.advice),
        ..wrong
    })
}

/// Ports, `first-last`.
pub(super) fn port_range(raw: &Raw) -> Result<RangeInclusive<u16>, Wrong> {
    let text = text(raw)?;
    text.split_once('-')
        .and_then(|(first, last)| {
            let first = u16::from_str(first.trim()).ok()?;
            let last = u16::from_str(last.trim()).ok()?;
            (first > 0 && first < last).then_some(first..=last)
        })
        .ok_or_else(|| {
            Wrong::new(
                format!("{text:?} is not a range of ports"),
                "write the first and the last, like \"20000-29999\"",
            )
        })
}

/// One of a few words.
pub(super) fn one_of<T: Copy, const N: usize>(
    words: [(&'static str, T); N],
) -> impl FnOnce(&Raw) -> Result<T, Wrong> {
    move |raw| {
        let text = text(raw)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        Err(Wrong::new(
            format!("{text:?} is not one of the choices"),
            choices(text, words.iter().map(|(word, _)| *word)),
        ))
    }
}

fn choices<'a>(text: &str, words: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(text, words.clone()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => {
            let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
            format!("write {}", words.join(" or "))
        }
    }
}

/// A web origin: scheme, host and perhaps a port (RFC 6454 §6.2).
pub(super) fn origin(raw: &Raw) -> Result<String, Wrong> {
    let text = text(raw)?;
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    });
    if is_origin {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Wrong::new(
        format!("{text:?} is not a web origin"),
        "write scheme and host, without a path, like \"https://example.com\"",
    ))
}

/// Text that goes into a SIP header field as it is.
pub(super) fn header_text(raw: &Raw) -> Result<String, Wrong> {
    let text = text(raw)?;
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{text:?} cannot stand in a SIP header field"),
        "write 1 to 128 printable ASCII characters",
    ))
}

/// The user part of a SIP URI (RFC 3261 §25.1, `user`, without escapes).
pub(super) fn sip_user(raw: &Raw) -> Result<String, Wrong> {
    let text = text(raw)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{text:?} cannot be the user of a SIP address"),
        "write letters, digits and -_.+",
    ))
}

/// A password; empty for none. No mistake shows it.
pub(super) fn password(raw: &Raw) -> Result<Option<Password>, Wrong> {
    match raw {
        Raw::Text(text) | Raw::Loose(text) if text.chars().any(char::is_control) => {
            Err(Wrong::new(
                "has a line end or another control character",
                "write it in one line",
            ))
        }
        Raw::Text(text) | Raw::Loose(text) => Ok(Some(text)
            .filter(|text| !text.is_empty())
            .map(Password::new)),
        _ => Err(Wrong::new("is not text", "put it in quotation marks")),
    }
}

/// A secret of so many octets at least; empty for none. Whatever is wrong, it is not printed.
pub(super) fn secret(shortest: usize) -> impl Fn(&Raw) -> Result<Option<String>, Wrong> {
    move |raw| match raw {
        Raw::Text(text) | Raw::Loose(text) if text.is_empty() => Ok(None),
        Raw::Text(text) | Raw::Loose(text) if text.len() < shortest => Err(Wrong::new(
            "is too short to be a secret",
            format!("write {shortest} characters or more, at random"),
        )),
        Raw::Text(text) | Raw::Loose(text) => Ok(Some(text.clone())),
        _ => Err(Wrong::new("is not text", "put it in quotation marks")),
    }
}

/// A password that stands in a file, alone; its last line end is not part of it.
pub(super) fn password_file(raw: &Raw) -> Result<Option<Password>, Wrong> {
    let path = text(raw)?;
    if path.is_empty() {
        return Ok(None);
    }
    let advice = "write the path of a readable file with the password alone in it";
    let content = std::fs::read_to_string(path)
        .map_err(|error| Wrong::new(format!("{path:?} cannot be read: {error}"), advice))?;
    let content = content.strip_suffix('\n').unwrap_or(&content);
    let content = content.strip_suffix('\r').unwrap_or(content);
    match password(&Raw::Text(content.to_owned())) {
        Ok(Some(password)) => Ok(Some(password)),
        Ok(None) => Err(Wrong::new(format!("{path:?} is empty"), advice)),
        Err(_) => Err(Wrong::new(
            format!("{path:?} has more than one line"),
            advice,
        )),
    }
}

/// The path of a file that can be read; empty for none.
pub(super) fn readable_file(raw: &Raw) -> Result<Option<PathBuf>, Wrong> {
    let path = text(raw)?;
    if path.is_empty() {
        return Ok(None);
    }
    std::fs::File::open(path).map_err(|error| {
        Wrong::new(
            format!("{path:?} cannot be read: {error}"),
            "write the path of a readable file",
        )
    })?;
    Ok(Some(PathBuf::from(path)))
}

/// Where something is fetched from; empty for nowhere.
pub(super) fn web_address(raw: &Raw) -> Result<Option<Address>, Wrong> {
    let text = text(raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    Address::parse(text).map(Some).map_err(|error| {
        Wrong::new(
            format!("{text:?} {error}"),
            "write it like \"https://login.example.com/keys\"; http:// goes for 127.0.0.1 alone",
        )
    })
}

/// The next hop of outgoing calls; empty for none.
pub(super) fn trunk_uri(raw: &Raw) -> Result<Option<sip::Uri>, Wrong> {
    let text = text(raw)?;
    if text.is_empty() {
        return Ok(None);
    }
    let advice = "write it like \"sip:192.0.2.1\" or \"sip:pbx.example.com:5060;transport=tcp\"";
    let uri = sip::Uri::from_str(text)
        .map_err(|error| Wrong::new(format!("{text:?} is not a SIP URI: {error}"), advice))?;
    if !matches!(uri.scheme, sip::Scheme::Sip | sip::Scheme::Sips) {
        return Err(Wrong::new(
            format!("{text:?} is not reached by SIP"),
            advice,
        ));
    }
    match sip::endpoint::Transport::of_uri(&uri) {
        Some(_) => Ok(Some(uri)),
        None => Err(Wrong::new(
            format!(
                "transport {:?} is not spoken here",
                uri.params.get("transport").unwrap_or_default()
            ),
            "write ;transport=udp, ;transport=tcp or ;transport=tls",
        )),
    }
}

/// What to log: levels by module.
pub(super) fn log_filter(raw: &Raw) -> Result<String, Wrong> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let text = text(raw)?;
    for directive in text.split(',').map(str::trim) {
        let level = directive.rsplit('=').next().unwrap_or_default();
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(Wrong::new(
                format!("{level:?} is not a log level"),
                choices(level, LEVELS.into_iter()),
            ));
        }
    }
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| {
            Wrong::new(
                format!("{text:?} is not a log filter: {error}"),
                "write \"info\" or \"warn,gateway=debug\"",
            )
        })
}
