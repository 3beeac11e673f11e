//! The structured values: addresses, Via, CSeq.

use std::{
    fmt::{self, Write},
    net::IpAddr,
    str::FromStr,
};

use super::typed::HeaderError;
use crate::{
    method::Method,
    params::{Params, write_quoted, write_token},
    parse::{
        cursor::{Cursor, unquote},
        values,
    },
    uri::{Host, Uri},
};

/// An address: From, To, Contact, Route and the like (RFC 3261 §20.10, §25.1 `name-addr`).
#[derive(Debug, Clone, PartialEq)]
pub struct NameAddr {
    /// The display name, without quotes and escapes.
    pub display_name: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// The header's parameters, which stand behind the `>`.
    pub params: Params,
}

impl NameAddr {
    /// Just a URI.
    pub fn new(uri: Uri) -> Self {
        Self {
            display_name: None,
            uri,
            params: Params::new(),
        }
    }

    /// The same with a tag.
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", Some(tag));
        self
    }

    /// The tag parameter (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    pub(crate) fn from_checked(parsed: values::NameAddrRef<'_>) -> Self {
        Self {
            display_name: parsed.display.map(unquote).filter(|name| !name.is_empty()),
            uri: parsed.uri.to_uri(),
            params: Params::from_checked(parsed.params),
        }
    }
}

/// Always in the `<>` form, so that the URI's own parameters stay its own.
impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.display_name {
            write_quoted(f, name)?;
            f.write_char(' ')?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

impl FromStr for NameAddr {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let mut cursor = Cursor::new(text);
        let parsed =
            values::name_addr(&mut cursor).map_err(|fault| HeaderError::new("address", fault))?;
        values::alone(&mut cursor).map_err(|fault| HeaderError::new("address", fault))?;
        Ok(Self::from_checked(parsed))
    }
}

/// One Via value (RFC 3261 §20.42). The protocol is SIP/2.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS`, `WS` or another token, as it came.
    pub transport: String,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, where one is given.
    pub port: Option<u16>,
    /// branch, received, rport and others.
    pub params: Params,
}

/// What a branch begins with that is unique over space and time (RFC 3261 §8.1.1.7).
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// The branch parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// The branch, if it identifies the transaction: it has the magic cookie and something behind it. Otherwise the
    /// sender follows RFC 2543 and the transaction is matched by §17.2.3's older rules.
    pub fn rfc3261_branch(&self) -> Option<&str> {
        let branch = self.branch()?;
        let prefix = branch.get(..MAGIC_COOKIE.len())?;
        (prefix.eq_ignore_ascii_case(MAGIC_COOKIE) && branch.len() > MAGIC_COOKIE.len())
            .then_some(branch)
    }

    /// The received parameter, with or without brackets around an IPv6 address (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.get("received")?;
        let bare = value
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(value);
        bare.parse().ok()
    }

    /// The value of the rport parameter (RFC 3581).
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport").and_then(|port| port.parse().ok())
    }

    /// Whether there is an rport parameter, with or without a value: the sender asks for symmetric responses.
    pub fn has_rport(&self) -> bool {
        self.params.contains("rport")
    }

    pub(crate) fn from_checked(parsed: values::ViaRef<'_>) -> Self {
        Self {
            transport: parsed.transport.to_owned(),
            host: parsed.host.to_host(),
            port: parsed.port,
            params: Params::from_checked(parsed.params),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SIP/2.0/")?;
        write_token(f, &self.transport)?;
        write!(f, " {}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

impl FromStr for Via {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let mut cursor = Cursor::new(text);
        let parsed = values::via(&mut cursor).map_err(|fault| HeaderError::new("Via", fault))?;
        values::alone(&mut cursor).map_err(|fault| HeaderError::new("Via", fault))?;
        Ok(Self::from_checked(parsed))
    }
}

/// CSeq (RFC 3261 §20.16).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Less than 2^31.
    pub number: u32,
    /// The request's method.
    pub method: Method,
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.number)?;
        write_token(f, self.method.as_str())
    }
}

impl FromStr for CSeq {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let (number, method) =
            values::cseq(text).map_err(|fault| HeaderError::new("CSeq", fault))?;
        match Method::from_token(method) {
            Some(method) => Ok(Self { number, method }),
            None => Err(HeaderError::Malformed {
                header: "CSeq",
                what: "the method is not a token",
                at: 0,
            }),
        }
    }
}
