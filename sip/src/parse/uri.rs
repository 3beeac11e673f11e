//! URIs (RFC 3261 §19.1, §25.1; RFC 3966 for tel; RFC 3986 for the rest, kept opaque).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    chars,
    cursor::{Fault, fault},
    params::uri_params,
};
use crate::uri::{Host, Scheme, Uri};

/// A URI whose syntax has been checked, still in the text it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UriRef<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: HostRef<'a>,
    port: Option<u16>,
    params: Option<&'a str>,
    headers: Option<&'a str>,
    opaque: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum HostRef<'a> {
    Name(&'a str),
    Ip(IpAddr),
}

impl HostRef<'_> {
    pub(crate) fn to_host(self) -> Host {
        match self {
            HostRef::Name(name) => Host::Name(name.to_owned()),
            HostRef::Ip(ip) => Host::Ip(ip),
        }
    }
}

impl UriRef<'_> {
    pub(crate) fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    pub(crate) fn to_uri(self) -> Uri {
        let mut uri = Uri {
            scheme: Scheme::from_text(self.scheme),
            user: self.user.map(str::to_owned),
            password: self.password.map(str::to_owned),
            host: self.host.to_host(),
            port: self.port,
            params: crate::Params::default(),
            headers: Vec::new(),
            opaque: self.opaque.map(str::to_owned),
        };
        if let Some(params) = self.params {
            // Checked when the reference was made.
            let _ = uri_params(params, 0, |name, value| uri.params.append(name, value));
        }
        if let Some(headers) = self.headers {
            for (name, value) in headers
                .split('&')
                .filter_map(|header| header.split_once('='))
            {
                uri.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        uri
    }
}

/// The whole of `text` as a URI; offsets in a fault count from `at`.
pub(crate) fn uri(text: &str, at: usize) -> Result<UriRef<'_>, Fault> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return fault("a URI has no scheme", at);
    };
    if !is_scheme(scheme) {
        return fault("a URI has no scheme", at);
    }
    let at = at + scheme.len() + 1;
    if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
        sip_uri(scheme, rest, at)
    } else if scheme.eq_ignore_ascii_case("tel") {
        tel_uri(scheme, rest, at)
    } else {
        match rest.bytes().all(chars::opaque) && !rest.is_empty() {
            true => Ok(opaque_uri(scheme, rest, None)),
            false => fault(
                "a URI has a character that does not belong in one, or is empty",
                at,
            ),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn opaque_uri<'a>(scheme: &'a str, rest: &'a str, params: Option<&'a str>) -> UriRef<'a> {
    UriRef {
        scheme,
        user: None,
        password: None,
        host: HostRef::Name(""),
        port: None,
        params,
        headers: None,
        opaque: Some(rest),
    }
}

fn tel_uri<'a>(scheme: &'a str, rest: &'a str, at: usize) -> Result<UriRef<'a>, Fault> {
    let (number, params) = match rest.split_once(';') {
        Some((number, params)) => (number, Some(params)),
        None => (rest, None),
    };
    let dialled = |byte: u8| byte.is_ascii_hexdigit() || b"*#-.()".contains(&byte);
    let digits = number.strip_prefix('+').unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(dialled) {
        return fault("a tel URI has no telephone number", at);
    }
    if let Some(params) = params {
        uri_params(params, at + number.len() + 1, |_, _| ())?;
    }
    Ok(opaque_uri(scheme, number, params))
}

fn sip_uri<'a>(scheme: &'a str, rest: &'a str, at: usize) -> Result<UriRef<'a>, Fault> {
    // Neither a host nor a parameter nor a header may hold an "@": the first one ends the user part.
    let (userinfo, hostpart, host_at) = match rest.split_once('@') {
        Some((userinfo, hostpart)) => (Some(userinfo), hostpart, at + userinfo.len() + 1),
        None => (None, rest, at),
    };
    let (mut user, mut password) = (None, None);
    if let Some(info) = userinfo {
        let (name, secret) = match info.split_once(':') {
            Some((name, secret)) => (name, Some(secret)),
            None => (info, None),
        };
        if name.is_empty() || !chars::all_or_escaped(name, chars::user) {
            return fault(
                "a URI's user is empty or has a character that must be escaped",
                at,
            );
        }
        if !secret.is_none_or(|secret| chars::all_or_escaped(secret, chars::password)) {
            return fault("a URI's password has a character that must be escaped", at);
        }
        (user, password) = (Some(name), secret);
    }
    let (before_headers, headers) = match hostpart.split_once('?') {
        Some((before, headers)) => (before, Some(headers)),
        None => (hostpart, None),
    };
    let (hostport, params) = match before_headers.split_once(';') {
        Some((hostport, params)) => (hostport, Some(params)),
        None => (before_headers, None),
    };
    let (host, port) = host_port(hostport, host_at)?;
    if let Some(params) = params {
        uri_params(params, host_at + hostport.len() + 1, |_, _| ())?;
    }
    if let Some(headers) = headers {
        uri_headers(headers, host_at + before_headers.len() + 1)?;
    }
    Ok(UriRef {
        scheme,
        user,
        password,
        host,
        port,
        params,
        headers,
        opaque: None,
    })
}

fn uri_headers(text: &str, at: usize) -> Result<(), Fault> {
    for header in text.split('&') {
        let good = header.split_once('=').is_some_and(|(name, value)| {
            !name.is_empty()
                && chars::all_or_escaped(name, chars::uri_header)
                && chars::all_or_escaped(value, chars::uri_header)
        });
        if !good {
            return fault(
                "a URI's header is not name=value with what is special escaped",
                at,
            );
        }
    }
    Ok(())
}

/// `host [":" port]`, the whole of `text`.
pub(crate) fn host_port(text: &str, at: usize) -> Result<(HostRef<'_>, Option<u16>), Fault> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((address, "")) => (ipv6(address, at)?, None),
            Some((address, rest)) => match rest.strip_prefix(':') {
                Some(port) => (ipv6(address, at)?, Some(port)),
                None => return fault("something stands between an IPv6 reference and its end", at),
            },
            None => return fault("an IPv6 reference is not closed", at),
        },
        None => match text.split_once(':') {
            Some((name, port)) => (host_name(name, at)?, Some(port)),
            None => (host_name(text, at)?, None),
        },
    };
    let port = match port {
        None => None,
        Some(digits) => Some(decimal::<u16>(digits).ok_or(Fault {
            what: "a port is not a number up to 65535",
            at,
        })?),
    };
    Ok((host, port))
}

fn host_name(text: &str, at: usize) -> Result<HostRef<'_>, Fault> {
    if text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_digit())
        && let Ok(ip) = text.parse::<Ipv4Addr>()
    {
        return Ok(HostRef::Ip(ip.into()));
    }
    if text.is_empty() || !text.bytes().all(chars::host) {
        return fault("a host is missing or has a character no host name has", at);
    }
    Ok(HostRef::Name(text))
}

/// An IPv6 address; also in the three-colon form that RFC 3261's grammar allows by mistake (RFC 5118 §4.10).
fn ipv6<'a>(text: &str, at: usize) -> Result<HostRef<'a>, Fault> {
    let parsed = text.parse::<Ipv6Addr>();
    let parsed = match parsed {
        Err(_) if text.contains(":::") => text.replacen(":::", "::", 1).parse(),
        other => other,
    };
    match parsed {
        Ok(ip) => Ok(HostRef::Ip(ip.into())),
        Err(_) => fault("an IPv6 reference holds no IPv6 address", at),
    }
}

/// Digits alone: no sign, and nothing that overflows.
pub(crate) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
