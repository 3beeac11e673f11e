//! Asking whether somebody is there: OPTIONS outside a call (RFC 3261 §11).

use std::time::Instant;

use super::{
    Endpoint, Error, Flow,
    build::{ALLOW, put},
    state::ClientUse,
};
use crate::{
    dialog::for_request_line,
    message::Request,
    method::{Method, StatusCode},
    uri::Uri,
};

/// An OPTIONS of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Probe(u64);

impl Endpoint {
    pub(super) fn start_probe(
        &mut self,
        now: Instant,
        uri: &Uri,
        target: Flow,
    ) -> Result<Probe, Error> {
        let limit = self.config.limits.client_transactions;
        if self.layer.clients() >= limit {
            return Err(Error::Overloaded { limit });
        }
        let broken = || Error::Address {
            value: uri.to_string(),
        };
        let uri = for_request_line(uri);
        let mut request = Request::new(Method::Options, uri.clone());
        let (tag, call_id) = (self.random_token(), self.random_token());
        let own = self.own_uri(None);
        let fields = [
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<{own}>;tag={tag}")),
            ("To", format!("<{uri}>")),
            ("Call-ID", call_id),
            ("CSeq", "1 OPTIONS".to_owned()),
            ("Accept", "application/sdp".to_owned()),
            ("Allow", ALLOW.to_owned()),
            ("User-Agent", self.config.user_agent.clone()),
        ];
        for (name, value) in fields {
            let pushed = request.headers.push(name, &value);
            pushed.map_err(|_| broken())?;
        }
        let contact = self.contact(None, target.transport);
        put(&mut request.headers, "Contact", &contact);
        self.stamp_via(&mut request, target.transport);
        let begun = self.layer.begin_client(now, target, request);
        let transaction = begun.ok_or_else(broken)?;
        self.last_probe += 1;
        let probe = Probe(self.last_probe);
        self.clients.insert(transaction, ClientUse::Probe(probe));
        Ok(probe)
    }

    pub(super) fn probed(&mut self, probe: Probe, answer: Option<StatusCode>) {
        self.probe_answers.push_back((probe, answer));
    }
}
