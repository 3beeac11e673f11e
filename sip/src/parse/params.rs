//! Parameters: `;name=value` behind a header value (generic-param) or inside a URI (uri-parameter).

use super::{
    chars,
    cursor::{Cursor, Fault, fault},
};

/// Walks `*(SEMI generic-param)` to the first thing that is not one, handing each to `visit`.
/// A value keeps the quotes it came with.
pub(crate) fn header_params<'a>(
    cursor: &mut Cursor<'a>,
    mut visit: impl FnMut(&'a str, Option<&'a str>),
) -> Result<(), Fault> {
    loop {
        cursor.skip_space();
        if !cursor.eat(b';') {
            return Ok(());
        }
        cursor.skip_space();
        let name = cursor.token("a parameter has no name")?;
        cursor.skip_space();
        if !cursor.eat(b'=') {
            visit(name, None);
            continue;
        }
        cursor.skip_space();
        visit(name, Some(value(cursor)?));
    }
}

/// token, host or quoted-string.
pub(crate) fn value<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Fault> {
    if cursor.peek() == Some(b'"') {
        return cursor.quoted();
    }
    let value = cursor.take_while(chars::param_value);
    if value.is_empty() {
        return fault(
            "a parameter has no value after its equals sign",
            cursor.at(),
        );
    }
    Ok(value)
}

/// Walks the parameters of a URI. `text` is what stands behind the first semicolon.
pub(crate) fn uri_params<'a>(
    text: &'a str,
    at: usize,
    mut visit: impl FnMut(&'a str, Option<&'a str>),
) -> Result<(), Fault> {
    let mut start = at;
    for param in text.split(';') {
        let (name, value) = match param.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (param, None),
        };
        if name.is_empty() || !chars::all_or_escaped(name, chars::uri_param) {
            return fault(
                "a URI parameter's name is missing or has a character that must be escaped",
                start,
            );
        }
        if !value
            .is_none_or(|value| !value.is_empty() && chars::all_or_escaped(value, chars::uri_param))
        {
            return fault(
                "a URI parameter's value is missing or has a character that must be escaped",
                start,
            );
        }
        visit(name, value);
        start += param.len() + 1;
    }
    Ok(())
}
