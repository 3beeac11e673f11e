//! Headers read as what they mean. Of a parsed message the values needed to route and match it have been checked
//! already; these read them again into owned values, when somebody wants them.

use super::{CSeq, Headers, Name, NameAddr, ReasonHeader, Via};
use crate::{
    method::Method,
    parse::{
        cursor::{Cursor, Fault},
        uri::decimal,
        values,
    },
};

/// A header is missing or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There is none.
    #[error("there is no {0} header")]
    Missing(&'static str),
    /// It breaks the grammar.
    #[error("{header}: {what} (at byte {at} of the value)")]
    Malformed {
        /// Which header.
        header: &'static str,
        /// What is wrong with it.
        what: &'static str,
        /// Where in the value.
        at: usize,
    },
}

impl HeaderError {
    pub(crate) fn new(header: &'static str, fault: Fault) -> Self {
        HeaderError::Malformed {
            header,
            what: fault.what,
            at: fault.at,
        }
    }

    /// It reads well, and means nothing to us.
    pub(crate) fn unusable(header: &'static str) -> Self {
        HeaderError::Malformed {
            header,
            what: "it names nobody that can be called",
            at: 0,
        }
    }
}

/// A media type, without its parameters, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType {
    /// `application`, `text`, `*`...
    pub kind: String,
    /// `sdp`, `plain`, `*`...
    pub subtype: String,
}

impl MediaType {
    /// Whether it is, or as a range covers, `kind/subtype` (given in lower case).
    pub fn covers(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == "*" || self.kind == kind) && (self.subtype == "*" || self.subtype == subtype)
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.subtype)
    }
}

impl Headers {
    /// Every Via, the topmost first.
    ///
    /// # Errors
    /// [`HeaderError::Malformed`]; never for a message that was parsed.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.all(Name::Via).map(str::parse).collect()
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// [`HeaderError`]; never for a message that was parsed.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        self.first(Name::Via)
            .ok_or(HeaderError::Missing("Via"))?
            .parse()
    }

    /// From.
    ///
    /// # Errors
    /// [`HeaderError`]; never for a message that was parsed.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::From)
    }

    /// To.
    ///
    /// # Errors
    /// [`HeaderError`]; never for a message that was parsed.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::To)
    }

    /// Call-ID. `Some` for every message that was parsed.
    pub fn call_id(&self) -> Option<&str> {
        self.first(Name::CallId)
    }

    /// CSeq.
    ///
    /// # Errors
    /// [`HeaderError`]; never for a message that was parsed.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.first(Name::CSeq)
            .ok_or(HeaderError::Missing("CSeq"))?
            .parse()
    }

    /// The Contact addresses; none for `Contact: *` ([`Headers::contact_is_star`]).
    ///
    /// # Errors
    /// [`HeaderError::Malformed`]; never for a message that was parsed.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.all(Name::Contact)
            .filter(|value| *value != "*")
            .map(str::parse)
            .collect()
    }

    /// Whether Contact is `*` (RFC 3261 §10.2.2).
    pub fn contact_is_star(&self) -> bool {
        self.first(Name::Contact) == Some("*")
    }

    /// Record-Route, in the order of the message.
    ///
    /// # Errors
    /// [`HeaderError::Malformed`]; never for a message that was parsed.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.all(Name::RecordRoute).map(str::parse).collect()
    }

    /// Route, in the order of the message.
    ///
    /// # Errors
    /// [`HeaderError::Malformed`]; never for a message that was parsed.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.all(Name::Route).map(str::parse).collect()
    }

    /// Max-Forwards, 0 to 255.
    pub fn max_forwards(&self) -> Option<u8> {
        self.first(Name::MaxForwards).and_then(decimal)
    }

    /// Content-Length in bytes, as the message says.
    pub fn content_length(&self) -> Option<usize> {
        self.first(Name::ContentLength).and_then(decimal)
    }

    /// Content-Type, without its parameters.
    pub fn content_type(&self) -> Option<MediaType> {
        media_types(self.first(Name::ContentType)?).next()
    }

    /// The media ranges of Accept; `None` without that header.
    pub fn accept(&self) -> Option<Vec<MediaType>> {
        let mut lines = self.all(Name::Accept).peekable();
        lines.peek()?;
        Some(lines.flat_map(media_types).collect())
    }

    /// The option tags of Require.
    pub fn require(&self) -> Vec<&str> {
        self.tokens(Name::Require)
    }

    /// The option tags of Proxy-Require.
    pub fn proxy_require(&self) -> Vec<&str> {
        self.tokens(Name::ProxyRequire)
    }

    /// The option tags of Supported.
    pub fn supported(&self) -> Vec<&str> {
        self.tokens(Name::Supported)
    }

    /// The methods of Allow; `None` without that header.
    pub fn allow(&self) -> Option<Vec<Method>> {
        self.first(Name::Allow)?;
        Some(
            self.tokens(Name::Allow)
                .into_iter()
                .filter_map(Method::from_token)
                .collect(),
        )
    }

    /// The scheme of each Authorization header: its first word.
    pub fn authorization_schemes(&self) -> impl Iterator<Item = &str> {
        self.all(Name::Authorization)
            .map(|value| value.split([' ', '\t']).next().unwrap_or(""))
    }

    /// The Reason header (RFC 3326): a Q.850 cause if there is one, else the first value.
    pub fn reason(&self) -> Option<ReasonHeader> {
        let reasons = self.reasons();
        let telephone = reasons
            .iter()
            .position(|reason| reason.protocol.eq_ignore_ascii_case("Q.850"));
        reasons.into_iter().nth(telephone.unwrap_or(0))
    }

    /// Every value of the Reason headers.
    pub fn reasons(&self) -> Vec<ReasonHeader> {
        self.all(Name::Reason)
            .flat_map(ReasonHeader::list)
            .collect()
    }

    /// Retry-After in seconds; what follows the number is not looked at.
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.first(Name::RetryAfter)?;
        let digits = value.split(|char: char| !char.is_ascii_digit()).next()?;
        decimal(digits)
    }

    /// Expires in seconds. A number too large for 32 bits counts as the largest (RFC 4475 §3.1.2.4).
    pub fn expires(&self) -> Option<u32> {
        let value = self.first(Name::Expires)?;
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(value.parse().unwrap_or(u32::MAX))
    }

    fn address(&self, name: Name) -> Result<NameAddr, HeaderError> {
        self.first(name)
            .ok_or(HeaderError::Missing(name.canonical()))?
            .parse()
    }

    fn tokens(&self, name: Name) -> Vec<&str> {
        let items = self.all(name).flat_map(|line| line.split(','));
        items
            .map(str::trim_ascii)
            .filter(|item| !item.is_empty())
            .collect()
    }
}

/// The media types of one line, up to the first that breaks the grammar.
fn media_types(line: &str) -> impl Iterator<Item = MediaType> {
    let mut cursor = Cursor::new(line);
    let mut more = true;
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        let (kind, subtype) = values::media_type(&mut cursor).ok()?;
        more = values::another(&mut cursor).unwrap_or(false);
        Some(MediaType {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
        })
    })
}
