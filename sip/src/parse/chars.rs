//! The character classes of the SIP grammar (RFC 3261 §25.1), as one table.

const TOKEN: u8 = 1;
const USER: u8 = 2;
const PASSWORD: u8 = 4;
const URI_PARAM: u8 = 8;
const URI_HEADER: u8 = 16;
const PARAM_VALUE: u8 = 32;
const HOST: u8 = 64;
const OPAQUE: u8 = 128;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0x21usize;
    while byte < 0x7f {
        // gen-value is token, host or quoted-string; what else phones send there does no harm if it cannot end the value.
        table[byte] |= PARAM_VALUE | OPAQUE;
        byte += 1;
    }
    table = mark(table, b"\",;<>\\", !PARAM_VALUE, false);
    table = mark(table, b"\"<>\\^`{|}", !OPAQUE, false);
    let mut byte = b'0' as usize;
    while byte <= b'z' as usize {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] |= TOKEN | USER | PASSWORD | URI_PARAM | URI_HEADER | HOST;
        }
        byte += 1;
    }
    let unreserved = b"-_.!~*'()";
    table = mark(
        table,
        unreserved,
        USER | PASSWORD | URI_PARAM | URI_HEADER,
        true,
    );
    table = mark(table, b"-.!%*_+`'~", TOKEN, true);
    // '#' is not in the RFC's list, but service codes such as *21# are dialled with it bare.
    table = mark(table, b"&=+$,;?/#", USER, true);
    table = mark(table, b"&=+$,", PASSWORD, true);
    table = mark(table, b"[]/:&+$", URI_PARAM, true);
    table = mark(table, b"[]/?:+$", URI_HEADER, true);
    // '_' is no hostname character, yet host names with it are in daily use.
    mark(table, b"-._", HOST, true)
}

const fn mark(mut table: [u8; 256], bytes: &[u8], class: u8, on: bool) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at] as usize;
        table[byte] = if on {
            table[byte] | class
        } else {
            table[byte] & class
        };
        at += 1;
    }
    table
}

fn has(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

pub(crate) fn token(byte: u8) -> bool {
    has(byte, TOKEN)
}
pub(crate) fn user(byte: u8) -> bool {
    has(byte, USER)
}
pub(crate) fn password(byte: u8) -> bool {
    has(byte, PASSWORD)
}
pub(crate) fn uri_param(byte: u8) -> bool {
    has(byte, URI_PARAM)
}
pub(crate) fn uri_header(byte: u8) -> bool {
    has(byte, URI_HEADER)
}
pub(crate) fn param_value(byte: u8) -> bool {
    has(byte, PARAM_VALUE)
}
pub(crate) fn host(byte: u8) -> bool {
    has(byte, HOST)
}
pub(crate) fn opaque(byte: u8) -> bool {
    has(byte, OPAQUE)
}
pub(crate) fn space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Whether the text is a token: at least one token character and nothing else.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(token)
}

/// Whether every byte is of a class or part of a well-formed %-escape.
pub(crate) fn all_or_escaped(text: &str, class: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            if !is_escape(bytes, at) {
                return false;
            }
            at += 3;
        } else if class(byte) {
            at += 1;
        } else {
            return false;
        }
    }
    true
}

/// Whether a "%" HEXDIG HEXDIG stands at `at`.
pub(crate) fn is_escape(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..at + 3), Some([b'%', high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Takes the %-escapes out, byte for byte; a "%" that begins none stays.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = if is_escape(bytes, at) {
            text.get(at + 1..at + 3)
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        } else {
            None
        };
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    plain
}
