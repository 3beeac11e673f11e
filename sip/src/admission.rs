//! Whether a request can be served at all, before any state is made for it (RFC 3261 §8.2).
//!
//! The parser has already refused what breaks the grammar, another SIP version, missing or repeated headers, and a CSeq
//! of another method. What is checked here depends on what the element supports, and comes with the headers the
//! RFC asks of the refusal. Both the endpoint and [`crate::verdict`] decide by this.

use crate::{
    headers::MediaType,
    message::{Request, Response},
    method::Method,
    status::StatusCode,
    uri::Scheme,
};

/// Bytes of an Unsupported header. A request may name thousands of tags; its refusal is not to be longer than it is.
const UNSUPPORTED: usize = 512;

/// The methods an element serves.
#[derive(Debug, Clone, Copy)]
pub enum Methods {
    /// All of them.
    Every,
    /// These; others get 405, and 501 if they are not even known.
    Only(&'static [Method]),
}

/// What an element supports.
#[derive(Debug, Clone, Copy)]
pub struct Supported {
    /// Methods. ACK is never refused: it has no response.
    pub methods: Methods,
    /// Schemes of the Request-URI.
    pub schemes: &'static [Scheme],
    /// Option tags that may be required.
    pub extensions: &'static [&'static str],
    /// Media types of bodies, as type and subtype in lower case; a subtype of `*` stands for all.
    pub content: &'static [(&'static str, &'static str)],
    /// What it answers an INVITE with must be acceptable to the caller.
    pub session: (&'static str, &'static str),
    /// Schemes of Authorization it can check.
    pub authorization: &'static [&'static str],
}

impl Supported {
    /// Our user agent: calls with SDP.
    pub const USER_AGENT: Supported = Supported {
        methods: Methods::Only(&[
            Method::Invite,
            Method::Ack,
            Method::Bye,
            Method::Cancel,
            Method::Options,
            Method::Info,
            Method::Update,
            Method::Prack,
            Method::Refer,
            Method::Notify,
        ]),
        schemes: &[Scheme::Sip, Scheme::Sips, Scheme::Tel],
        extensions: &["100rel", "timer", "replaces", "norefersub"],
        content: &[("application", "sdp")],
        session: ("application", "sdp"),
        authorization: &["Digest"],
    };

    /// An element that serves every method with the bodies usual in it: what is judged is the message alone.
    pub const EVERY_METHOD: Supported = Supported {
        methods: Methods::Every,
        content: &[
            ("application", "sdp"),
            ("text", "plain"),
            ("multipart", "*"),
            ("message", "sipfrag"),
            ("application", "dtmf-relay"),
            ("application", "pidf+xml"),
            ("application", "simple-message-summary"),
        ],
        ..Supported::USER_AGENT
    };
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// 405 (RFC 3261 §8.2.1).
    #[error("the method {0} is not served here")]
    MethodNotAllowed(Method),
    /// 501 (RFC 3261 §21.5.2).
    #[error("the method {0} is not known")]
    MethodUnknown(Method),
    /// 416 (RFC 3261 §8.2.2.1).
    #[error("the scheme {0:?} of the Request-URI is not served")]
    Scheme(String),
    /// 483 (RFC 3261 §16.3).
    #[error("Max-Forwards is 0")]
    TooManyHops,
    /// 403 (RFC 3261 §22).
    #[error("no Authorization is of a scheme that can be checked: {0}")]
    Authorization(String),
    /// 420 (RFC 3261 §8.2.2.3).
    #[error("required, but not supported: {0}")]
    Extension(String),
    /// 415 (RFC 3261 §8.2.3).
    #[error("the body is not understood: {0}")]
    Content(String),
    /// 415 (RFC 3261 §8.2.3).
    #[error("the body's encoding is not understood: {0}")]
    ContentEncoding(String),
    /// 406 (RFC 3261 §21.4.7).
    #[error("no session description we send would be acceptable")]
    Accept,
}

/// A request refused: the status, why, and the headers the answer must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status.
    pub status: StatusCode,
    /// Why.
    pub cause: Cause,
    /// Allow, Unsupported, Accept and the like, as names and values.
    pub headers: Vec<(&'static str, String)>,
}

impl Rejection {
    fn new(status: StatusCode, cause: Cause) -> Self {
        Self {
            status,
            cause,
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The response. To still lacks our tag.
    pub fn respond(&self, request: &Request) -> Response {
        let mut response = request.response(self.status);
        for (name, value) in &self.headers {
            // All of it is ours or was parsed: it holds no line end.
            let _ = response.headers.push(name, value);
        }
        response
    }
}

/// Whether our user agent can serve this request.
///
/// # Errors
/// [`Rejection`] says how to answer.
pub fn admit(request: &Request) -> Result<(), Rejection> {
    admit_with(request, &Supported::USER_AGENT)
}

/// Whether an element that supports this much can serve the request.
///
/// # Errors
/// [`Rejection`] says how to answer.
pub fn admit_with(request: &Request, supported: &Supported) -> Result<(), Rejection> {
    // An ACK has no response, and a CANCEL must not be refused for what its INVITE asked (§8.2.2.3).
    if request.method == Method::Ack {
        return Ok(());
    }
    check_method(request, supported)?;
    if request.method == Method::Cancel {
        return Ok(());
    }
    check_scheme(request, supported)?;
    if request.headers.max_forwards() == Some(0) {
        return Err(Rejection::new(
            StatusCode::TOO_MANY_HOPS,
            Cause::TooManyHops,
        ));
    }
    check_authorization(request, supported)?;
    check_extensions(request, supported)?;
    // A caller who hangs up must not be kept for what the BYE carries.
    if request.method != Method::Bye {
        check_content(request, supported)?;
    }
    check_accept(request, supported)
}

/// Whether a response can be for us: it has exactly one Via, ours (RFC 3261 §8.1.3.3). Of others nothing is known here;
/// they are dropped.
pub fn is_response_for_user_agent(response: &Response) -> bool {
    response.headers.get_all("Via").count() == 1
}

/// §8.2.1.
fn check_method(request: &Request, supported: &Supported) -> Result<(), Rejection> {
    let Methods::Only(methods) = supported.methods else {
        return Ok(());
    };
    if methods.contains(&request.method) {
        return Ok(());
    }
    let allow = methods
        .iter()
        .map(Method::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let method = request.method.clone();
    let rejection = match method.is_known() {
        true => Rejection::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Cause::MethodNotAllowed(method),
        ),
        false => Rejection::new(StatusCode::NOT_IMPLEMENTED, Cause::MethodUnknown(method)),
    };
    Err(rejection.with("Allow", allow))
}

/// §8.2.2.1.
fn check_scheme(request: &Request, supported: &Supported) -> Result<(), Rejection> {
    if supported.schemes.contains(&request.uri.scheme) {
        return Ok(());
    }
    let scheme = request.uri.scheme.as_str().to_owned();
    Err(Rejection::new(
        StatusCode::UNSUPPORTED_URI_SCHEME,
        Cause::Scheme(scheme),
    ))
}

/// §22: credentials of a kind nobody can check are no credentials. Only a REGISTER depends on them here.
fn check_authorization(request: &Request, supported: &Supported) -> Result<(), Rejection> {
    if request.method != Method::Register {
        return Ok(());
    }
    let known = |scheme: &str| {
        supported
            .authorization
            .iter()
            .any(|one| one.eq_ignore_ascii_case(scheme))
    };
    let schemes: Vec<&str> = request.headers.authorization_schemes().collect();
    if schemes.is_empty() || schemes.iter().any(|scheme| known(scheme)) {
        return Ok(());
    }
    let cause = Cause::Authorization(schemes.join(", "));
    Err(Rejection::new(StatusCode::FORBIDDEN, cause))
}

/// §8.2.2.3. We are the last hop too: what proxies must support, we must.
fn check_extensions(request: &Request, supported: &Supported) -> Result<(), Rejection> {
    let mut required = request.headers.require();
    required.extend(request.headers.proxy_require());
    let known = |tag: &str| {
        supported
            .extensions
            .iter()
            .any(|one| one.eq_ignore_ascii_case(tag))
    };
    required.retain(|tag| !known(tag));
    if required.is_empty() {
        return Ok(());
    }
    let unsupported = listed(&required);
    let cause = Cause::Extension(unsupported.clone());
    let rejection = Rejection::new(StatusCode::BAD_EXTENSION, cause);
    Err(match unsupported.is_empty() {
        true => rejection,
        false => rejection.with("Unsupported", unsupported),
    })
}

/// Of the first 64 tags, each once, as many as fit in [`UNSUPPORTED`] bytes.
fn listed(tags: &[&str]) -> String {
    let mut listed: Vec<&str> = Vec::new();
    let mut length = 0;
    for tag in tags.iter().take(64) {
        let more = length + tag.len() + 2;
        if more <= UNSUPPORTED && !listed.iter().any(|one| one.eq_ignore_ascii_case(tag)) {
            listed.push(tag);
            length = more;
        }
    }
    listed.join(", ")
}

/// §8.2.3.
fn check_content(request: &Request, supported: &Supported) -> Result<(), Rejection> {
    if request.body.is_empty() || is_optional(request) {
        return Ok(());
    }
    let encoded = |encoding: &&str| !encoding.trim_ascii().eq_ignore_ascii_case("identity");
    if let Some(encoding) = request.headers.get("Content-Encoding").filter(encoded) {
        let cause = Cause::ContentEncoding(encoding.to_owned());
        return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, cause)
            .with("Accept-Encoding", "identity".to_owned()));
    }
    let content = request.headers.content_type();
    if content
        .as_ref()
        .is_some_and(|content| is_understood(content, request, supported))
    {
        return Ok(());
    }
    let shown = content.map_or_else(
        || "there is no Content-Type".to_owned(),
        |content| content.to_string(),
    );
    let accept = understood(request, supported).map(|(kind, subtype)| format!("{kind}/{subtype}"));
    let accept = accept.collect::<Vec<_>>().join(", ");
    Err(
        Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Cause::Content(shown))
            .with("Accept", accept),
    )
}

/// The bodies of INFO and of NOTIFY are their own.
fn understood<'a>(
    request: &Request,
    supported: &'a Supported,
) -> impl Iterator<Item = &'a (&'static str, &'static str)> {
    let (sole, more) = match (&request.method, supported.methods) {
        (Method::Info, Methods::Only(_)) => (&crate::dtmf::TYPES[..], &[][..]),
        (Method::Notify, Methods::Only(_)) => (&[("message", "sipfrag")][..], &[][..]),
        (Method::Info, Methods::Every) => (&crate::dtmf::TYPES[..], supported.content),
        _ => (supported.content, &[][..]),
    };
    sole.iter().chain(more)
}

fn is_understood(content: &MediaType, request: &Request, supported: &Supported) -> bool {
    understood(request, supported).any(|(kind, subtype)| {
        content.kind == *kind && (*subtype == "*" || content.subtype == *subtype)
    })
}

/// `Content-Disposition: ...;handling=optional`: the body may be ignored.
fn is_optional(request: &Request) -> bool {
    let Some(disposition) = request.headers.get("Content-Disposition") else {
        return false;
    };
    let params = disposition
        .find(';')
        .and_then(|at| disposition.get(at..))
        .unwrap_or("");
    let params = crate::Params::from_checked(params);
    params
        .get("handling")
        .is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
}

/// §20.1: what we answer an INVITE with must be acceptable.
fn check_accept(request: &Request, supported: &Supported) -> Result<(), Rejection> {
    if request.method != Method::Invite {
        return Ok(());
    }
    let (kind, subtype) = supported.session;
    match request.headers.accept() {
        Some(ranges) if !ranges.iter().any(|range| range.covers(kind, subtype)) => {
            Err(Rejection::new(StatusCode::NOT_ACCEPTABLE, Cause::Accept))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
