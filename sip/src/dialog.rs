//! Dialogs (RFC 3261 §12): who the two sides are, where requests go, and in which order they come.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::{
    endpoint::{Flow, Transport},
    headers::{Headers, NameAddr},
    message::{Request, Response},
    method::Method,
    uri::{Host, Uri},
};

/// Whether the dialog rests on a provisional or on a final response (§12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Made by a provisional response.
    Early,
    /// Made or confirmed by a 2xx.
    Confirmed,
}

/// Which side sent the INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Caller,
    Callee,
}

/// Why a message makes no dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DialogError {
    /// A header a dialog is made of is missing or broken.
    #[error("the header {0} is missing or broken")]
    Header(&'static str),
    /// More Record-Route headers than a dialog keeps.
    #[error("more than {} routes", MAX_ROUTES)]
    TooManyRoutes,
}

/// An in-dialog request whose CSeq is not above the last one (§12.2.2: answer 500).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("CSeq {got} after {last}")]
pub struct OutOfOrder {
    /// The last one seen.
    pub last: u32,
    /// The one that came.
    pub got: u32,
}

const MAX_ROUTES: usize = 32;

/// A dialog.
#[derive(Debug, Clone)]
pub struct Dialog {
    role: Role,
    standing: Standing,
    call_id: String,
    local: NameAddr,
    remote: NameAddr,
    local_tag: String,
    /// Empty for a peer of RFC 2543, which has none (§12.1.1).
    remote_tag: String,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// The last reliable provisional response (RFC 3262 §4).
    rseq: Option<u32>,
    remote_target: Uri,
    route_set: Vec<NameAddr>,
    /// Where the INVITE went to or came from.
    flow: Flow,
    /// Where its answer, or the ACK, came from.
    answered_from: Option<Flow>,
}

impl Dialog {
    /// The caller's side of a dialog, from its INVITE and a response with a To tag (§12.1.2). `flow` is where the INVITE
    /// went, `from` where the response came from.
    ///
    /// # Errors
    /// [`DialogError`]: a needed header is missing or broken.
    pub fn of_caller(
        invite: &Request,
        response: &Response,
        flow: Flow,
        from: Flow,
    ) -> Result<Self, DialogError> {
        let local = invite
            .headers
            .from()
            .map_err(|_| DialogError::Header("From"))?;
        let remote = response
            .headers
            .to()
            .map_err(|_| DialogError::Header("To"))?;
        let mut route_set = record_routes(&response.headers)?;
        route_set.reverse();
        Ok(Self {
            role: Role::Caller,
            standing: standing(response),
            call_id: call_id(&invite.headers)?,
            local_tag: local.tag().unwrap_or_default().to_owned(),
            remote_tag: remote.tag().unwrap_or_default().to_owned(),
            local,
            remote,
            local_cseq: cseq(&invite.headers)?,
            remote_cseq: None,
            rseq: None,
            remote_target: contact(&response.headers).unwrap_or_else(|| invite.uri.clone()),
            route_set,
            flow,
            answered_from: Some(from),
        })
    }

    /// The callee's side of a dialog, from an INVITE and the tag we give it (§12.1.1).
    ///
    /// # Errors
    /// [`DialogError`]: a needed header is missing or broken.
    pub fn of_callee(invite: &Request, local_tag: String, flow: Flow) -> Result<Self, DialogError> {
        let mut local = invite.headers.to().map_err(|_| DialogError::Header("To"))?;
        local.params.set("tag", Some(&local_tag));
        let remote = invite
            .headers
            .from()
            .map_err(|_| DialogError::Header("From"))?;
        Ok(Self {
            role: Role::Callee,
            standing: Standing::Early,
            call_id: call_id(&invite.headers)?,
            local,
            local_tag,
            remote_tag: remote.tag().unwrap_or_default().to_owned(),
            remote_target: contact(&invite.headers).unwrap_or_else(|| remote.uri.clone()),
            remote,
            // §12.1.1 leaves it empty; ours begins at 1 with the first request (see `request`).
            local_cseq: 0,
            remote_cseq: Some(cseq(&invite.headers)?),
            rseq: None,
            route_set: record_routes(&invite.headers)?,
            flow,
            answered_from: None,
        })
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// Their tag; empty if they follow RFC 2543.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// Whether the call is ours: we sent the INVITE.
    pub fn is_callers(&self) -> bool {
        self.role == Role::Caller
    }

    /// Early or confirmed.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Where requests are for.
    pub fn remote_target(&self) -> &Uri {
        &self.remote_target
    }

    /// The proxies requests pass, nearest first.
    pub fn route_set(&self) -> &[NameAddr] {
        &self.route_set
    }

    /// Whether Call-ID and both tags of a request from the other side are this dialog's (§12.2.2).
    pub fn matches(&self, request: &Request) -> bool {
        let headers = &request.headers;
        headers.call_id() == Some(self.call_id.as_str())
            && headers
                .to()
                .is_ok_and(|to| to.tag() == Some(self.local_tag.as_str()))
            && headers
                .from()
                .is_ok_and(|from| from.tag().unwrap_or_default() == self.remote_tag)
    }

    /// Whether a request may come from there: only from an address of the dialog itself, over UDP with its port. A forger
    /// who has seen the tags but sits elsewhere is refused.
    pub fn expects_from(&self, from: Flow) -> bool {
        let first_route = self.route_set.first().map(|route| &route.uri);
        let known = [
            Some(self.flow),
            self.answered_from,
            literal(&self.remote_target),
            first_route.and_then(literal),
        ];
        known
            .into_iter()
            .flatten()
            .any(|flow| is_same_peer(flow, from))
    }

    /// Takes note of a request's CSeq.
    ///
    /// # Errors
    /// [`OutOfOrder`] when it is not above the last one. ACK and CANCEL are not to be given here.
    pub fn take_cseq(&mut self, number: u32) -> Result<(), OutOfOrder> {
        if let Some(last) = self.remote_cseq
            && number <= last
        {
            return Err(OutOfOrder { last, got: number });
        }
        self.remote_cseq = Some(number);
        Ok(())
    }

    /// Whether a reliable provisional response is the next one in order (RFC 3262 §4); it is taken then.
    pub fn take_rseq(&mut self, number: u32) -> bool {
        let next = self
            .rseq
            .is_none_or(|last| last.checked_add(1) == Some(number));
        if next {
            self.rseq = Some(number);
        }
        next
    }

    /// The dialog was early, and requests have gone each way in it: their numbers go on.
    pub fn continue_from(&mut self, early: &Dialog) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = self.remote_cseq.max(early.remote_cseq);
    }

    /// A Contact of a target refresh (INVITE, or a 2xx to it) names a new remote target (§12.2.1.2, §12.2.2).
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = contact(headers) {
            self.remote_target = target;
        }
    }

    /// Our 2xx is out: the dialog is confirmed.
    pub fn confirm(&mut self) {
        self.standing = Standing::Confirmed;
    }

    /// The ACK to our 2xx came from there: someone there has seen our tag, so requests may go there.
    pub fn acknowledged_from(&mut self, from: Flow) {
        self.answered_from = Some(from);
        if self.named_next_hop() == Some(from) {
            self.flow = from;
        }
    }

    /// A new request inside the dialog, without Via and body (§12.2.1.1).
    pub fn request(&mut self, method: Method) -> Request {
        self.local_cseq += 1;
        self.build(method, self.local_cseq)
    }

    /// The ACK of a 2xx to the INVITE with this CSeq number, without Via (§13.2.2.4).
    pub fn ack(&self, number: u32) -> Request {
        self.build(Method::Ack, number)
    }

    /// Where the next request goes: the first route or the remote target, if it is an address and may be believed;
    /// else where the INVITE went. A callee's requests go only where something of this dialog has come from:
    /// a forged Contact must not aim us at a stranger.
    pub fn next_hop(&self) -> Flow {
        match (self.role, self.named_next_hop()) {
            (Role::Caller, Some(named)) if named.remote == self.flow.remote => self.flow,
            (Role::Caller, Some(named))
                if is_believable(named.remote.ip(), self.flow.remote.ip()) =>
            {
                named
            }
            _ => self.flow,
        }
    }

    /// Where a request may be tried once more when the flow it went to is gone, such as a TCP connection that the other
    /// side had opened: the host is the one we know.
    pub fn alternative(&self, failed: Flow) -> Option<Flow> {
        let named = self.named_next_hop()?;
        let other = if failed == named { self.flow } else { named };
        let known = other.remote.ip() == self.flow.remote.ip();
        (other != failed && known).then_some(other)
    }

    fn named_next_hop(&self) -> Option<Flow> {
        match self.route_set.first() {
            Some(route) => literal(&route.uri),
            None => literal(&self.remote_target),
        }
    }

    fn build(&self, method: Method, number: u32) -> Request {
        let (uri, routes) = self.request_uri_and_routes();
        let mut request = Request::new(method.clone(), uri);
        let fields = [
            ("From", self.local.to_string()),
            ("To", self.remote.to_string()),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{number} {}", method.as_str())),
            ("Max-Forwards", "70".to_owned()),
        ];
        for (name, value) in fields {
            // Parsed or printed values: none holds a CR or LF.
            let _ = request.headers.push(name, &value);
        }
        for route in routes {
            let _ = request.headers.push("Route", &route);
        }
        request
    }

    /// Loose routing unless the first proxy is a strict router, which wants itself in the Request-URI (§12.2.1.1).
    fn request_uri_and_routes(&self) -> (Uri, Vec<String>) {
        let printed = |routes: &[NameAddr]| routes.iter().map(NameAddr::to_string).collect();
        match self.route_set.split_first() {
            Some((first, rest)) if !first.uri.is_loose_router() => {
                let mut routes: Vec<String> = printed(rest);
                routes.push(format!("<{}>", self.remote_target));
                (for_request_line(&first.uri), routes)
            }
            _ => (
                for_request_line(&self.remote_target),
                printed(&self.route_set),
            ),
        }
    }
}

/// Whether both flows lead to one peer. A TCP connection has a port of its own, and has proved its address.
pub(crate) fn is_same_peer(known: Flow, from: Flow) -> bool {
    let same_host = known.remote.ip().to_canonical() == from.remote.ip().to_canonical();
    same_host && (from.transport != Transport::Udp || known.remote.port() == from.remote.port())
}

fn standing(response: &Response) -> Standing {
    if response.status.is_provisional() {
        Standing::Early
    } else {
        Standing::Confirmed
    }
}

fn call_id(headers: &Headers) -> Result<String, DialogError> {
    headers
        .call_id()
        .map(str::to_owned)
        .ok_or(DialogError::Header("Call-ID"))
}

fn cseq(headers: &Headers) -> Result<u32, DialogError> {
    headers
        .cseq()
        .map(|cseq| cseq.number)
        .map_err(|_| DialogError::Header("CSeq"))
}

fn contact(headers: &Headers) -> Option<Uri> {
    let contacts = headers.contacts().ok()?;
    contacts.into_iter().next().map(|contact| contact.uri)
}

fn record_routes(headers: &Headers) -> Result<Vec<NameAddr>, DialogError> {
    let routes = headers
        .record_routes()
        .map_err(|_| DialogError::Header("Record-Route"))?;
    if routes.len() > MAX_ROUTES {
        return Err(DialogError::TooManyRoutes);
    }
    Ok(routes)
}

/// What may not stand in a Request-URI is taken out (§19.1.1, table 1).
pub(crate) fn for_request_line(uri: &Uri) -> Uri {
    let mut uri = uri.clone();
    uri.params.remove("method");
    uri.headers.clear();
    uri
}

/// The flow a URI names by address; a name would need DNS (RFC 3263).
fn literal(uri: &Uri) -> Option<Flow> {
    let Host::Ip(ip) = uri.host else {
        return None;
    };
    let transport = Transport::of_uri(uri)?;
    let port = uri.port.unwrap_or(transport.default_port());
    Some(Flow {
        transport,
        remote: SocketAddr::new(ip, port),
    })
}

/// Whether a Contact or Record-Route address may be used for a peer met at `seen`: a private, loopback or special address
/// only if the peer itself is that near. (Behind a NAT peers name private addresses; a hostile one names ours.)
fn is_believable(named: IpAddr, seen: IpAddr) -> bool {
    let (named, seen) = (named.to_canonical(), seen.to_canonical());
    if named == seen {
        return true;
    }
    if named.is_ipv4() != seen.is_ipv4() || named.is_multicast() || named.is_unspecified() {
        return false;
    }
    nearness(named) >= nearness(seen)
}

/// How far off an address is: 0 this host, 1 this link or site, 2 anywhere.
fn nearness(address: IpAddr) -> u8 {
    let (loopback, site) = match address {
        IpAddr::V4(v4) => (
            v4.is_loopback(),
            v4.is_private() || v4.is_link_local() || v4.is_broadcast() || is_shared(v4.octets()),
        ),
        IpAddr::V6(v6) => (
            v6.is_loopback(),
            v6.is_unique_local() || v6.is_unicast_link_local(),
        ),
    };
    match (loopback, site) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

/// 100.64.0.0/10, carrier-grade NAT (RFC 6598).
fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xC0 == 64
}

#[cfg(test)]
mod tests;
