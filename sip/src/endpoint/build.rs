//! The messages an endpoint writes.

use rand_chacha::{ChaCha20Rng, rand_core::RngCore};
use std::{
    collections::hash_map::DefaultHasher,
    fmt::{Display, Write},
    hash::{Hash, Hasher},
};

use super::{Endpoint, Error, Flow, Invite, Transmit, Transport};
use crate::{
    dialog::{Dialog, for_request_line},
    headers::{Headers, Name, NameAddr, ReasonHeader},
    message::{Request, Response},
    method::{Method, StatusCode},
    uri::{Host, Uri},
};

/// The methods we answer other than with 405 or 501.
pub(super) const ALLOW: &str =
    "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY";

/// The extensions that others may use with us: RFC 3262, RFC 4028, RFC 3891, RFC 4488 and RFC 6228.
pub(super) const SUPPORTED: &str = "100rel, timer, replaces, norefersub, 199";

/// The largest request that goes over UDP while the path MTU is unknown (RFC 3261 §18.1.1).
pub(super) const LARGEST_DATAGRAM: usize = 1300;

/// What a branch begins with (§8.1.1.7).
const MAGIC_COOKIE: &str = "z9hG4bK";

/// What an INVITE's own headers must not be replaced by.
const OURS: [&str; 18] = [
    "Authorization",
    "Proxy-Authorization",
    "Via",
    "Max-Forwards",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Allow",
    "Supported",
    "Require",
    "User-Agent",
    "Content-Type",
    "Content-Length",
    "Route",
    "Record-Route",
    "Expires",
];

pub(super) fn random_bytes(rng: &mut ChaCha20Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Adds a header whose value is ours or comes from a parsed message, so that it holds neither CR nor LF.
pub(super) fn put(headers: &mut Headers, name: &str, value: impl Display) {
    let _ = headers.push(name, value);
}

impl Endpoint {
    /// 128 random bits in hexadecimal: a tag or a Call-ID.
    pub(super) fn random_token(&mut self) -> String {
        hex(&random_bytes(&mut self.rng))
    }

    /// A Via with a fresh branch (§8.1.1.7), asking for the answer to come back the way it went (RFC 3581).
    pub(super) fn fresh_via(&mut self, transport: Transport) -> String {
        let token = self.random_token();
        format!(
            "SIP/2.0/{} {};branch={MAGIC_COOKIE}{token};rport",
            transport.via_name(),
            self.local(transport),
        )
    }

    /// Where we are heard by that transport. Whoever we reach by TLS without listening by it comes back on the connection.
    fn local(&self, transport: Transport) -> std::net::SocketAddr {
        match transport {
            Transport::Tls => self.config.local_tls.unwrap_or(self.config.local),
            Transport::Udp | Transport::Tcp => self.config.local,
        }
    }

    fn host(&self, local: std::net::SocketAddr) -> Host {
        match &self.config.name {
            Some(name) => Host::Name(name.clone()),
            None => Host::Ip(local.ip()),
        }
    }

    /// Where in-dialog requests find us.
    pub(super) fn contact(&self, user: Option<&str>, transport: Transport) -> String {
        let local = self.local(transport);
        let mut uri = Uri::sip(user, self.host(local), Some(local.port()));
        if let Some(name) = transport.param() {
            uri.params.set("transport", Some(name));
        }
        format!("<{uri}>")
    }

    pub(super) fn own_uri(&self, user: Option<&str>) -> Uri {
        let local = self.config.local;
        Uri::sip(user, self.host(local), Some(local.port()))
    }

    /// The INVITE of a new call, without Via and Contact, which depend on the transport.
    pub(super) fn build_invite(
        &mut self,
        invite: &Invite,
        local_tag: &str,
    ) -> Result<Request, Error> {
        let (identity, routes) = match invite.account {
            Some(account) => {
                let account = self.accounts.get(account).ok_or(Error::UnknownAccount)?;
                (account.identity().clone(), account.service_route().to_vec())
            }
            None => (self.own_uri(Some(&invite.from_user)), Vec::new()),
        };
        let mut from = NameAddr::new(identity).with_tag(local_tag);
        from.display_name.clone_from(&invite.from_display);
        let mut request = Request::new(Method::Invite, for_request_line(&invite.to));
        let call_id = self.random_token();
        let number = 1 + (self.rng.next_u32() & 0xFFFF);
        let fields = [
            ("Max-Forwards", "70".to_owned()),
            ("From", from.to_string()),
            ("To", NameAddr::new(invite.to.clone()).to_string()),
            ("Call-ID", call_id),
            ("CSeq", format!("{number} INVITE")),
            ("Allow", ALLOW.to_owned()),
            ("Supported", SUPPORTED.to_owned()),
            ("User-Agent", self.config.user_agent.clone()),
        ];
        for (name, value) in fields {
            let pushed = request.headers.push(name, &value);
            pushed.map_err(|_| Error::Address { value })?;
        }
        if let Some(replaces) = &invite.replaces {
            put(&mut request.headers, "Require", "replaces");
            put(&mut request.headers, "Replaces", replaces);
        }
        for route in &routes {
            // From a message that was parsed.
            put(&mut request.headers, "Route", route);
        }
        for (name, value) in &invite.headers {
            let ours = OURS.iter().any(|own| is_same_header(own, name));
            if ours || request.headers.push(name, value).is_err() {
                return Err(Error::Header { name: name.clone() });
            }
        }
        if !invite.body.is_empty() {
            put(&mut request.headers, "Content-Type", "application/sdp");
            request.body.clone_from(&invite.body);
        }
        Ok(request)
    }

    /// The INVITE with the Via and Contact of this transport.
    pub(super) fn address_invite(&mut self, request: &Request, transport: Transport) -> Request {
        let mut request = request.clone();
        request.headers.remove("Via");
        request.headers.remove("Contact");
        let user = request.headers.from().ok().and_then(|from| from.uri.user);
        let contact = self.contact(user.as_deref(), transport);
        put(&mut request.headers, "Contact", &contact);
        self.stamp_via(&mut request, transport);
        request
    }

    /// Puts a fresh Via on top.
    pub(super) fn stamp_via(&mut self, request: &mut Request, transport: Transport) {
        let via = self.fresh_via(transport);
        let _ = request.headers.push_front("Via", &via);
    }

    /// The CANCEL of an INVITE: everything that identifies it is the same (§9.1).
    pub(super) fn build_cancel(&self, invite: &Request, reason: Option<&ReasonHeader>) -> Request {
        let mut cancel = Request::new(Method::Cancel, invite.uri.clone());
        for name in ["Via", "From", "To", "Call-ID"] {
            if let Some(value) = invite.headers.get(name) {
                put(&mut cancel.headers, name, value);
            }
        }
        let number = invite.headers.cseq().map_or(1, |cseq| cseq.number);
        put(&mut cancel.headers, "CSeq", format_args!("{number} CANCEL"));
        put(&mut cancel.headers, "Max-Forwards", "70");
        for route in invite.headers.get_all("Route") {
            put(&mut cancel.headers, "Route", route);
        }
        put_reason(&mut cancel.headers, reason);
        put(&mut cancel.headers, "User-Agent", &self.config.user_agent);
        cancel
    }

    /// A BYE inside a dialog.
    pub(super) fn build_bye(
        &mut self,
        dialog: &mut Dialog,
        flow: Flow,
        reason: Option<&ReasonHeader>,
    ) -> Request {
        let mut bye = dialog.request(Method::Bye);
        put_reason(&mut bye.headers, reason);
        put(&mut bye.headers, "User-Agent", &self.config.user_agent);
        self.stamp_via(&mut bye, flow.transport);
        bye
    }

    /// The ACK of a 2xx.
    pub(super) fn build_ack(&mut self, dialog: &Dialog, number: u32) -> Transmit {
        let flow = dialog.next_hop();
        let mut ack = dialog.ack(number);
        put(&mut ack.headers, "User-Agent", &self.config.user_agent);
        self.stamp_via(&mut ack, flow.transport);
        Transmit {
            flow,
            bytes: ack.to_bytes(),
            may_connect: true,
        }
    }

    /// An answer to a request (§8.2.6.2), with this tag in To unless there is one.
    pub(super) fn build_response(
        &self,
        request: &Request,
        status: StatusCode,
        tag: Option<&str>,
    ) -> Response {
        let mut response = request.response(status);
        self.finish_response(&mut response, tag);
        response
    }

    /// Our tag, unless there is one, and our name.
    pub(super) fn finish_response(&self, response: &mut Response, tag: Option<&str>) {
        if let Some(tag) = tag
            && let Ok(to) = response.headers.to()
            && to.tag().is_none()
        {
            let _ = response.headers.set("To", to.with_tag(tag));
        }
        put(&mut response.headers, "Server", &self.config.user_agent);
    }

    /// An answer that makes or keeps a dialog: with Record-Route, Contact, and SDP if any (§12.1.1).
    pub(super) fn build_dialog_response(
        &self,
        request: &Request,
        flow: Flow,
        status: StatusCode,
        dialog: &Dialog,
        body: Option<&[u8]>,
    ) -> Response {
        let mut response = self.build_response(request, status, Some(dialog.local_tag()));
        for route in request.headers.get_all("Record-Route") {
            put(&mut response.headers, "Record-Route", route);
        }
        let user = request.uri.user.as_deref();
        let contact = self.contact(user, flow.transport);
        put(&mut response.headers, "Contact", &contact);
        put(&mut response.headers, "Allow", ALLOW);
        put(&mut response.headers, "Supported", SUPPORTED);
        if let Some(body) = body.filter(|body| !body.is_empty()) {
            put(&mut response.headers, "Content-Type", "application/sdp");
            response.body = body.to_vec();
        }
        response
    }

    /// The To tag of an answer we keep no state for: the same for every copy of the request (§8.2.7).
    pub(super) fn stateless_tag(&self, request: &Headers) -> String {
        let mut words = String::new();
        for half in 0..2_u8 {
            let mut hasher = DefaultHasher::new();
            (half, self.stateless_secret).hash(&mut hasher);
            for name in ["Call-ID", "From", "CSeq", "Via"] {
                request.get(name).hash(&mut hasher);
            }
            let _ = write!(words, "{:016x}", hasher.finish());
        }
        words
    }
}

/// Whether both name one header, also by its compact form.
fn is_same_header(a: &str, b: &str) -> bool {
    let known = Name::of(a);
    a.eq_ignore_ascii_case(b) || (known != Name::Other && known == Name::of(b))
}

/// Adds a Reason header (RFC 3326).
pub(super) fn put_reason(headers: &mut Headers, reason: Option<&ReasonHeader>) {
    if let Some(reason) = reason {
        // A text with CR or LF is refused by the printer: then it goes without.
        put(headers, "Reason", reason);
    }
}

/// Notes on the top Via where the request really came from (§18.2.1, RFC 3581 §4).
pub(super) fn stamp_received(headers: &mut Headers, flow: Flow) -> Option<()> {
    let mut via = headers.top_via().ok()?;
    let source = flow.remote.ip().to_canonical();
    if via.has_rport() {
        via.params
            .set("rport", Some(&flow.remote.port().to_string()));
    }
    if via.has_rport() || via.host != Host::Ip(source) {
        via.params.set("received", Some(&source.to_string()));
    }
    headers.set_first("Via", via).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
