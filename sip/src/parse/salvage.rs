//! What a response needs, from a request that could not be read.

use super::{chars, cursor::Cursor, limits, values};
use crate::{
    headers::{Headers, Name},
    message::COPIED,
};

/// The headers of a response to a broken request. `None` if it is no request, is an ACK (never answered), or has no Via
/// and CSeq to match a response by.
pub(super) fn salvage(message: &[u8]) -> Option<Headers> {
    let readable = message
        .get(..message.len().min(limits::MESSAGE))
        .unwrap_or(message);
    let text = String::from_utf8_lossy(readable);
    let mut lines = text
        .split("\r\n")
        .skip_while(|line| line.is_empty())
        .peekable();
    if !is_answerable_start(lines.next()?) {
        return None;
    }
    let mut found = Headers::new();
    let mut vias = 0;
    while let Some(line) = lines.next() {
        if line.is_empty() {
            break;
        }
        let Some((label, value)) = line.split_once(':') else {
            continue;
        };
        let name = Name::of(label.trim_ascii_end());
        if !COPIED.contains(&name) {
            continue;
        }
        let mut value = value.trim_ascii().to_owned();
        while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t'])) {
            if value.len() + more.len() < limits::LINE {
                value.push(' ');
                value.push_str(more.trim_ascii());
            }
        }
        // A value too long or not clean is not worth repeating; of single headers the first one counts.
        if name == Name::Via {
            vias += value.split(',').count();
        } else if found.first(name).is_some() {
            continue;
        }
        if value.len() > limits::LINE || vias > limits::VIAS || value.contains('\u{fffd}') {
            continue;
        }
        match name {
            Name::Via => push_vias(&mut found, &value),
            _ => drop(found.push(name.canonical(), &value)),
        }
    }
    (found.first(Name::Via).is_some() && found.first(Name::CSeq).is_some()).then_some(found)
}

/// One entry a value, as the parser makes; of what cannot be told apart, one entry for all.
fn push_vias(found: &mut Headers, line: &str) {
    let mut cursor = Cursor::new(line);
    let mut vias = Vec::new();
    loop {
        cursor.skip_space();
        let start = cursor.at();
        if values::via(&mut cursor).is_err() {
            break drop(found.push("Via", line));
        }
        vias.push(cursor.since(start).trim_ascii_end());
        match values::another(&mut cursor) {
            Ok(true) => {}
            Ok(false) => break vias.iter().for_each(|via| drop(found.push("Via", via))),
            Err(_) => break drop(found.push("Via", line)),
        }
    }
}

/// A request line of any SIP version, and not ACK's.
fn is_answerable_start(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(last)) = (words.next(), words.next_back()) else {
        return false;
    };
    let is_sip = last
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("SIP/"));
    chars::is_token(method) && method != "ACK" && is_sip
}
