//! What an endpoint does with a request before any state is made for it (RFC 3261 §8.2), and the answers it keeps no
//! state for (§8.2.7).

use std::time::Instant;

use super::{
    Endpoint, Flow, Transmit,
    build::{ALLOW, put, stamp_received},
};
use crate::{
    admission,
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
        if let Err(rejection) = admission::admit(&request) {
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
        self.calls.len() >= limits.sessions - limits.sessions / 4
            || self.pending_invites.len() >= limits.ringing
            || self.layer.servers() >= limits.server_transactions
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

    fn reject_statelessly(
        &mut self,
        flow: Flow,
        request: &Request,
        rejection: &admission::Rejection,
    ) {
        let tag = self.stateless_tag(&request.headers);
        let mut response = rejection.respond(request);
        self.finish_response(&mut response, Some(&tag));
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
            let tag = self.stateless_tag(&response.headers);
            self.finish_response(&mut response, Some(&tag));
            self.send_statelessly(flow, response);
        }
    }

    pub(super) fn send_statelessly(&mut self, flow: Flow, response: Response) {
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
