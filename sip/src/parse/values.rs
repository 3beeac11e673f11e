//! The values of the headers a user agent reads: addresses, Via, CSeq, numbers, media types, lists.

use super::{
    chars,
    cursor::{Cursor, Fault, fault},
    params::header_params,
    uri::{HostRef, UriRef, decimal, host_port, uri},
};

/// The highest CSeq number (RFC 3261 §8.1.1.5: less than 2^31).
const CSEQ_LIMIT: u32 = 1 << 31;

/// A name-addr or addr-spec with its parameters, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameAddrRef<'a> {
    /// As it came: with quotes, if it had any.
    pub(crate) display: Option<&'a str>,
    pub(crate) uri: UriRef<'a>,
    /// The parameters with their first semicolon.
    pub(crate) params: &'a str,
}

/// One Via value, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViaRef<'a> {
    pub(crate) transport: &'a str,
    pub(crate) host: HostRef<'a>,
    pub(crate) port: Option<u16>,
    /// The parameters with their first semicolon.
    pub(crate) params: &'a str,
}

/// `(name-addr / addr-spec) *(SEMI generic-param)`; stops before a comma or at the end.
pub(crate) fn name_addr<'a>(cursor: &mut Cursor<'a>) -> Result<NameAddrRef<'a>, Fault> {
    cursor.skip_space();
    let start = cursor.at();
    let display = display_name(cursor)?;
    let uri = if cursor.eat(b'<') {
        let at = cursor.at();
        let text = cursor.take_while(|byte| byte != b'>' && byte != b'<');
        if !cursor.eat(b'>') {
            return fault("an address's < is not closed", at);
        }
        uri(text, at)?
    } else {
        // Without <>, semicolon, comma and question mark do not belong to the URI (§20).
        let text =
            cursor.take_while(|byte| !matches!(byte, b';' | b',' | b' ' | b'\t' | b'"' | b'<'));
        if text.contains('?') {
            return fault("a URI with a question mark must stand in <>", start);
        }
        uri(text, start)?
    };
    let params = header_params_text(cursor)?;
    Ok(NameAddrRef {
        display,
        uri,
        params,
    })
}

/// What stands before `<`, if that is what comes; else nothing is taken.
fn display_name<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a str>, Fault> {
    let start = cursor.at();
    if cursor.peek() == Some(b'"') {
        let quoted = cursor.quoted()?;
        cursor.skip_space();
        return match cursor.peek() {
            Some(b'<') => Ok(Some(quoted)),
            _ => fault("a display name is not followed by <", cursor.at()),
        };
    }
    let mut ahead = *cursor;
    // UTF-8 should be in quotes; plenty of phones send it without.
    let name = ahead.take_while(|byte| chars::token(byte) || chars::space(byte) || byte >= 0x80);
    if ahead.peek() != Some(b'<') {
        debug_assert_eq!(cursor.at(), start);
        return Ok(None);
    }
    *cursor = ahead;
    let name = name.trim_ascii_end();
    Ok(if name.is_empty() { None } else { Some(name) })
}

fn header_params_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Fault> {
    let start = cursor.at();
    header_params(cursor, |_, _| ())?;
    Ok(cursor.since(start))
}

/// One `sent-protocol LWS sent-by *(SEMI via-params)`; stops before a comma or at the end (§20.42).
pub(crate) fn via<'a>(cursor: &mut Cursor<'a>) -> Result<ViaRef<'a>, Fault> {
    cursor.skip_space();
    let at = cursor.at();
    let name = cursor.token("a Via has no protocol")?;
    slash(cursor)?;
    let version = cursor.token("a Via has no protocol version")?;
    if !name.eq_ignore_ascii_case("SIP") || version != "2.0" {
        return fault("a Via is not of SIP/2.0", at);
    }
    slash(cursor)?;
    let transport = cursor.token("a Via has no transport")?;
    let at = cursor.at();
    cursor.skip_space();
    if cursor.at() == at {
        return fault("a Via has no space before its host", at);
    }
    let (host, port) = sent_by(cursor)?;
    let params = header_params_text(cursor)?;
    Ok(ViaRef {
        transport,
        host,
        port,
        params,
    })
}

fn slash(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    cursor.skip_space();
    if !cursor.eat(b'/') {
        return fault("a Via's protocol lacks a slash", cursor.at());
    }
    cursor.skip_space();
    Ok(())
}

fn sent_by<'a>(cursor: &mut Cursor<'a>) -> Result<(HostRef<'a>, Option<u16>), Fault> {
    let at = cursor.at();
    let text = cursor.take_while(|byte| !matches!(byte, b';' | b',' | b' ' | b'\t'));
    let (host, port) = host_port(text, at)?;
    // The colon may have space around it: the port then comes after.
    let mut ahead = *cursor;
    ahead.skip_space();
    if port.is_some() || !ahead.eat(b':') {
        return Ok((host, port));
    }
    ahead.skip_space();
    let digits = ahead.take_while(|byte| byte.is_ascii_digit());
    *cursor = ahead;
    match decimal(digits) {
        Some(port) => Ok((host, Some(port))),
        None => fault("a Via's port is not a number up to 65535", at),
    }
}

/// `1*DIGIT LWS Method`.
pub(crate) fn cseq(text: &str) -> Result<(u32, &str), Fault> {
    let Some((number, method)) = text.split_once([' ', '\t']) else {
        return fault("a CSeq is not a number and a method", 0);
    };
    let number = match decimal::<u32>(number) {
        Some(number) if number < CSEQ_LIMIT => number,
        _ => return fault("a CSeq's number is not one below 2^31", 0),
    };
    let method = method.trim_ascii_start();
    if !chars::is_token(method) {
        return fault("a CSeq has no method", text.len() - method.len());
    }
    Ok((number, method))
}

/// Call-ID: `word ["@" word]` (§25.1).
pub(crate) fn call_id(text: &str) -> Result<(), Fault> {
    let word = |byte: u8| chars::token(byte) || b"()<>:\\\"/[]?{}".contains(&byte);
    let good = |part: &str| !part.is_empty() && part.bytes().all(word);
    let whole = match text.split_once('@') {
        Some((left, right)) => good(left) && good(right),
        None => good(text),
    };
    if whole {
        Ok(())
    } else {
        fault("a Call-ID is not a word, or two around an @", 0)
    }
}

/// `m-type "/" m-subtype *(SEMI m-parameter)`; stops before a comma or at the end.
pub(crate) fn media_type<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, &'a str), Fault> {
    cursor.skip_space();
    let kind = cursor.token("a media type is missing")?;
    cursor.skip_space();
    if !cursor.eat(b'/') {
        return fault("a media type has no slash", cursor.at());
    }
    cursor.skip_space();
    let subtype = cursor.token("a media type has no subtype")?;
    header_params(cursor, |_, _| ())?;
    Ok((kind, subtype))
}

/// Ends one value: `true` if a comma leads to another, `false` at the end of the text.
pub(crate) fn another(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    cursor.skip_space();
    if cursor.eat(b',') {
        return Ok(true);
    }
    if cursor.is_done() {
        return Ok(false);
    }
    fault("something follows that does not belong here", cursor.at())
}

/// A value alone: nothing may follow it.
pub(crate) fn alone(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let at = cursor.at();
    match another(cursor)? {
        false => Ok(()),
        true => fault("there may be only one value", at),
    }
}
