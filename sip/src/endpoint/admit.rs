//! What an endpoint does with a request before any state is made for it (RFC 3261 §8.2), and the answers it keeps no
//! state for (§8.2.7).

use std::time::Instant;

use super::{
    Endpoint, Flow, Transmit,
    build::{ALLOW, put, stamp_received},
};
use crate::{
    message::{Request, Response},
    method::{Method, StatusCode},
    transaction::Received,
};

impl Endpoint {
    pub(super) fn handle_request(&mut self, now: Instant, flow: Flow, mut request: Request) {
        // Without a readable Via there is nowhere to answer to.
        if stamp_received(&mut request.headers, flow).is_none() {
            return;
        }
        match self.layer.handle_request(now, request) {
            Received::Absorbed => {}
            Received::Ack(ack) => self.handle_ack(now, flow, &ack),
            Received::New(request) => self.handle_new(now, flow, request),
        }
    }

    fn handle_new(&mut self, now: Instant, flow: Flow, request: Request) {
        if request.method == Method::Cancel {
            return self.handle_cancel(now, flow, request);
        }
        if let Err(rejection) = admit(&request) {
            return self.reject_statelessly(flow, &request, &rejection);
        }
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        if in_dialog {
            return self.handle_in_dialog(now, flow, request);
        }
        if self.layer.is_merged(&request) {
            return self.answer_statelessly(flow, &request, StatusCode::LOOP_DETECTED);
        }
        match request.method {
            Method::Invite | Method::Options if !self.accepting => {
                self.shed(now, flow, &request);
            }
            Method::Invite if self.is_full() => self.shed(now, flow, &request),
            Method::Invite => self.take_invite(now, flow, request),
            Method::Options => {
                let response = self.build_options_response(&request);
                self.send_statelessly(flow, response);
            }
            // BYE and whatever else only makes sense inside a dialog.
            _ => self.answer_statelessly(flow, &request, StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    fn is_full(&self) -> bool {
        let limits = self.config.limits;
        self.calls.len() >= limits.sessions || self.layer.servers() >= limits.server_transactions
    }

    /// 503 with Retry-After while the budget lasts, then silence.
    fn shed(&mut self, now: Instant, flow: Flow, request: &Request) {
        if !self.refusals.take(now) {
            return;
        }
        let tag = self.stateless_tag(&request.headers);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut response = self.build_response(request, status, Some(&tag));
        let seconds = self.config.retry_after;
        put(&mut response.headers, "Retry-After", seconds);
        self.send_statelessly(flow, response);
    }

    fn reject_statelessly(&mut self, flow: Flow, request: &Request, rejection: &Rejection) {
        let tag = self.stateless_tag(&request.headers);
        let mut response = self.build_response(request, rejection.status, Some(&tag));
        for (name, value) in &rejection.headers {
            put(&mut response.headers, name, value);
        }
        self.send_statelessly(flow, response);
    }

    pub(super) fn answer_statelessly(&mut self, flow: Flow, request: &Request, status: StatusCode) {
        let tag = self.stateless_tag(&request.headers);
        let response = self.build_response(request, status, Some(&tag));
        self.send_statelessly(flow, response);
    }

    /// The answer to bytes that are no message, as far as they could be understood.
    pub(super) fn refuse_statelessly(&mut self, now: Instant, flow: Flow, mut response: Response) {
        if self.refusals.take(now) {
            stamp_received(&mut response.headers, flow);
            self.send_statelessly(flow, response);
        }
    }

    fn send_statelessly(&mut self, flow: Flow, response: Response) {
        self.transmits.push_back(Transmit {
            flow,
            bytes: response.to_bytes(),
            may_connect: false,
        });
    }

    /// What we can do (§11.2).
    pub(super) fn build_options_response(&self, request: &Request) -> Response {
        let tag = self.stateless_tag(&request.headers);
        let mut response = self.build_response(request, StatusCode::OK, Some(&tag));
        put(&mut response.headers, "Allow", ALLOW);
        put(&mut response.headers, "Accept", "application/sdp");
        put(&mut response.headers, "Accept-Encoding", "identity");
        put(&mut response.headers, "Accept-Language", "en");
        put(&mut response.headers, "Supported", "");
        response
    }
}

/// Why a request is refused by its own content.
#[derive(Debug)]
pub(super) struct Rejection {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
}

impl Rejection {
    fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

fn admit(request: &Request) -> Result<(), Rejection> {
    match &request.method {
        Method::Other(_) => {
            return Err(Rejection::new(StatusCode::NOT_IMPLEMENTED).with("Allow", ALLOW));
        }
        Method::Invite | Method::Bye | Method::Options => {}
        _ => return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED).with("Allow", ALLOW)),
    }
    if request.headers.max_forwards() == Some(0) {
        return Err(Rejection::new(StatusCode::TOO_MANY_HOPS));
    }
    let required = request.headers.require();
    if !required.is_empty() {
        let unsupported = required.join(", ");
        return Err(Rejection::new(StatusCode::BAD_EXTENSION).with("Unsupported", unsupported));
    }
    let is_sdp = request
        .headers
        .content_type()
        .is_none_or(|kind| kind.covers("application", "sdp"));
    if !request.body.is_empty() && !is_sdp {
        let rejection = Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        return Err(rejection.with("Accept", "application/sdp"));
    }
    Ok(())
}
