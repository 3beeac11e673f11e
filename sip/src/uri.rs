//! SIP, SIPS and tel URIs, and any other kept opaque (RFC 3261 §19.1, RFC 3966).

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    net::IpAddr,
    str::FromStr,
};

use crate::{
    params::{Params, write_escaped, write_token},
    parse::{chars, uri::uri as parse_uri},
};

/// The scheme of a URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966).
    Tel,
    /// Any other, in lower case.
    Other(String),
}

impl Scheme {
    /// The scheme in lower case, without its colon.
    pub fn as_str(&self) -> &str {
        match self {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Other(scheme) => scheme,
        }
    }

    pub(crate) fn from_text(text: &str) -> Self {
        for known in [Scheme::Sip, Scheme::Sips, Scheme::Tel] {
            if text.eq_ignore_ascii_case(known.as_str()) {
                return known;
            }
        }
        Scheme::Other(text.to_ascii_lowercase())
    }
}

/// A host: a name or an address.
#[derive(Debug, Clone)]
pub enum Host {
    /// A domain name, as it came. Compared without case.
    Name(String),
    /// IPv4, or IPv6 (printed in brackets).
    Ip(IpAddr),
}

impl Host {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::Ip(ip) => Some(*ip),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Host::Ip(ip)
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::Ip(a), Host::Ip(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host {}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => write_host(f, name),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// What may not stand in a host name becomes a hyphen.
fn write_host(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    for char in name.chars() {
        let good = u8::try_from(char).is_ok_and(chars::host);
        f.write_char(if good { char } else { '-' })?;
    }
    Ok(())
}

/// A URI. For `sip:` and `sips:` it has a host; for every other scheme [`Uri::opaque`] holds what stands behind the
/// colon (of a `tel:` URI the number) and the host is an empty name.
///
/// `==` is the comparison of RFC 3261 §19.1.4, which is not transitive: there is no `Eq`.
#[derive(Debug, Clone)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user, escaped as it travels. See [`Uri::user_unescaped`].
    pub user: Option<String>,
    /// The password, escaped as it travels.
    pub password: Option<String>,
    /// The host.
    pub host: Host,
    /// The port, where one is given.
    pub port: Option<u16>,
    /// The URI's own parameters.
    pub params: Params,
    /// The headers behind the question mark, escaped as they travel.
    pub headers: Vec<(String, String)>,
    /// Other schemes: all of it behind the colon; `tel:`: the number, its parameters being in `params`.
    pub opaque: Option<String>,
}

impl Uri {
    /// `sip:user@host:port`. The user may hold anything: what must be escaped is when it is printed.
    pub fn sip(user: Option<&str>, host: impl Into<Host>, port: Option<u16>) -> Self {
        Self {
            scheme: Scheme::Sip,
            user: user.filter(|user| !user.is_empty()).map(str::to_owned),
            password: None,
            host: host.into(),
            port,
            params: Params::new(),
            headers: Vec::new(),
            opaque: None,
        }
    }

    /// The user, or a `tel:` URI's number, without escapes. `None` if there is none or it is not UTF-8.
    pub fn user_unescaped(&self) -> Option<String> {
        let user = match self.scheme {
            Scheme::Tel => self.opaque.as_deref(),
            _ => self.user.as_deref(),
        };
        String::from_utf8(chars::unescape(user?)).ok()
    }

    /// Whether it is a loose router's (`;lr`, RFC 3261 §19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.params.contains("lr")
    }
}

/// RFC 3261 §19.1.4.
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && same_text(self.user.as_deref(), other.user.as_deref())
            && same_text(self.password.as_deref(), other.password.as_deref())
            && self.host == other.host
            && self.port == other.port
            && same_text(self.opaque.as_deref(), other.opaque.as_deref())
            && same_params(&self.params, &other.params)
            && same_headers(&self.headers, &other.headers)
    }
}

/// Case matters; whether a character is escaped does not.
fn same_text(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || chars::unescape(a) == chars::unescape(b),
        (None, None) => true,
        _ => false,
    }
}

/// A parameter in both must match; one in only one of them is ignored, except user, ttl, method, maddr and transport.
fn same_params(a: &Params, b: &Params) -> bool {
    let decisive = ["user", "ttl", "method", "maddr", "transport"];
    let (a, b) = (params_by_name(a), params_by_name(b));
    let covers = |a: &ParamsByName, b: &ParamsByName| {
        a.iter().all(|(name, value)| match b.get(name) {
            Some(other) => other == value,
            None => !decisive.iter().any(|one| one.as_bytes() == name),
        })
    };
    covers(&a, &b) && covers(&b, &a)
}

/// Names and values without escapes, in lower case.
type ParamsByName = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Of two of one name the first counts, as in [`Params::get`].
fn params_by_name(params: &Params) -> ParamsByName {
    let plain = |text: &str| chars::unescape(text).to_ascii_lowercase();
    let mut found = BTreeMap::new();
    for (name, value) in params.iter() {
        found.entry(plain(name)).or_insert_with(|| value.map(plain));
    }
    found
}

/// Header components are never ignored; their order is.
fn same_headers(a: &[(String, String)], b: &[(String, String)]) -> bool {
    let sorted = |list: &[(String, String)]| {
        let plain = list.iter().map(|(name, value)| {
            let name = chars::unescape(name).to_ascii_lowercase();
            (name, chars::unescape(value))
        });
        let mut plain: Vec<_> = plain.collect();
        plain.sort_unstable();
        plain
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scheme {
            Scheme::Other(scheme) => write_token(f, scheme)?,
            known => f.write_str(known.as_str())?,
        }
        f.write_char(':')?;
        if let Some(opaque) = &self.opaque {
            write_escaped(f, opaque, chars::opaque)?;
            return self.params.write_in_uri(f);
        }
        if let Some(user) = &self.user {
            write_escaped(f, user, chars::user)?;
            if let Some(password) = &self.password {
                f.write_char(':')?;
                write_escaped(f, password, chars::password)?;
            }
            f.write_char('@')?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.write_in_uri(f)?;
        for (index, (name, value)) in self.headers.iter().enumerate() {
            f.write_char(if index == 0 { '?' } else { '&' })?;
            write_escaped(f, name, chars::uri_header)?;
            f.write_char('=')?;
            write_escaped(f, value, chars::uri_header)?;
        }
        Ok(())
    }
}

/// The text is not a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at byte {at})")]
pub struct InvalidUri {
    /// What was wrong.
    pub what: &'static str,
    /// Where, in bytes from the start.
    pub at: usize,
}

impl FromStr for Uri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, InvalidUri> {
        match parse_uri(text, 0) {
            Ok(uri) => Ok(uri.to_uri()),
            Err(fault) => Err(InvalidUri {
                what: fault.what,
                at: fault.at,
            }),
        }
    }
}

impl serde::Serialize for Uri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
