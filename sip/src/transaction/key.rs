//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3).

use crate::{
    headers::Via,
    message::{Request, Response},
    method::Method,
};

/// A client transaction: our own branch and the method of the CSeq (§17.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientKey {
    branch: String,
    method: Method,
}

impl ClientKey {
    /// The key of a request we send; `None` without a Via with branch.
    pub fn of_request(request: &Request) -> Option<Self> {
        let via = request.headers.top_via().ok()?;
        Some(Self {
            branch: via.branch()?.to_owned(),
            method: request.method.clone(),
        })
    }

    /// The key a response asks for; `None` if it lacks what matching needs.
    pub fn of_response(response: &Response) -> Option<Self> {
        let via = response.headers.top_via().ok()?;
        Some(Self {
            branch: via.branch()?.to_owned(),
            method: response.headers.cseq().ok()?.method,
        })
    }
}

/// A server transaction. An ACK has the key of its INVITE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerKey {
    /// The branch has the magic cookie: branch, sent-by and method.
    Rfc3261 {
        /// The whole branch.
        branch: String,
        /// Host and port of the top Via, lower case.
        sent_by: String,
        /// The method; INVITE for an ACK.
        method: Method,
    },
    /// A client of RFC 2543: compared by what stays the same in a retransmission. The To tag is compared by the layer,
    /// since an ACK's is the one of our response.
    Rfc2543 {
        /// The Request-URI.
        uri: String,
        /// The tag of From.
        from_tag: Option<String>,
        /// The Call-ID.
        call_id: String,
        /// The number of CSeq.
        number: u32,
        /// The method; INVITE for an ACK.
        method: Method,
        /// The whole top Via.
        via: String,
    },
}

impl ServerKey {
    /// The key of a request; `None` if a header that matching needs is missing or broken.
    pub fn of_request(request: &Request) -> Option<Self> {
        let method = match &request.method {
            Method::Ack => Method::Invite,
            method => method.clone(),
        };
        Self::with_method(request, method)
    }

    /// The key of the INVITE that a CANCEL is about (§9.2).
    pub fn of_cancelled(cancel: &Request) -> Option<Self> {
        Self::with_method(cancel, Method::Invite)
    }

    fn with_method(request: &Request, method: Method) -> Option<Self> {
        let via = request.headers.top_via().ok()?;
        match via.rfc3261_branch() {
            Some(branch) => Some(Self::Rfc3261 {
                branch: branch.to_owned(),
                sent_by: sent_by(&via),
                method,
            }),
            None => Some(Self::Rfc2543 {
                uri: request.uri.to_string(),
                from_tag: request.headers.from().ok()?.tag().map(str::to_owned),
                call_id: request.headers.call_id()?.to_owned(),
                number: request.headers.cseq().ok()?.number,
                method,
                via: as_sent(via).to_string(),
            }),
        }
    }
}

fn sent_by(via: &Via) -> String {
    match via.port {
        Some(port) => format!("{}:{port}", via.host).to_ascii_lowercase(),
        None => format!("{}:5060", via.host).to_ascii_lowercase(),
    }
}

/// The Via without what the receiver adds.
fn as_sent(mut via: Via) -> Via {
    via.params.remove("received");
    via.params.remove("rport");
    via
}

#[cfg(test)]
mod tests;
