//! Requests inside a dialog (RFC 3261 §12.2.2, §14.2, §15.1.2).

use std::time::Instant;

use rand_chacha::rand_core::RngCore;

use super::{
    EndedBy, Endpoint, Event, Flow, Session,
    build::{ALLOW, put},
    state::Call,
};
use crate::{
    dialog::{Dialog, OutOfOrder},
    message::{Request, Response},
    method::{Method, StatusCode},
};

impl Endpoint {
    /// The call whose tag is in To.
    pub(super) fn session_of(&self, request: &Request) -> Option<Session> {
        let to = request.headers.to().ok()?;
        self.calls.by_local_tag(to.tag()?)
    }

    /// A request with a To tag that has passed admission. Unless Call-ID, both tags and, over UDP, the source are those
    /// of a dialog of ours, it is answered as if there were none: 481.
    pub(super) fn handle_in_dialog(&mut self, now: Instant, flow: Flow, request: Request) {
        let session = self.session_of(&request);
        let checked = session.and_then(|session| {
            let dialog = self.dialog_of(session, &request)?;
            dialog.expects_from(flow).then_some((session, dialog))
        });
        let Some((session, dialog)) = checked else {
            return self.answer_statelessly(flow, &request, StatusCode::CALL_DOES_NOT_EXIST);
        };
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        if let Err(OutOfOrder { .. }) = dialog.take_cseq(number) {
            let status = StatusCode::SERVER_INTERNAL_ERROR;
            return self.answer(now, flow, &request, status);
        }
        match request.method {
            Method::Bye => self.handle_bye(now, flow, session, &request),
            Method::Invite | Method::Update => {
                self.handle_change(now, flow, session, &request);
            }
            Method::Prack => self.handle_prack(now, flow, session, &request),
            Method::Info => self.handle_info(now, flow, session, &request),
            Method::Refer => self.handle_refer(now, flow, session, &request),
            Method::Notify => self.handle_notify(now, flow, session, &request),
            Method::Options => {
                let response = self.build_options_response(&request);
                self.answer_in_transaction(now, flow, &request, &response);
            }
            _ => {
                let mut response =
                    self.build_response(&request, StatusCode::METHOD_NOT_ALLOWED, None);
                put(&mut response.headers, "Allow", ALLOW);
                self.answer_in_transaction(now, flow, &request, &response);
            }
        }
    }

    fn dialog_of(&mut self, session: Session, request: &Request) -> Option<&mut Dialog> {
        match self.calls.get_mut(session)? {
            Call::Calling(calling) => calling
                .early
                .iter_mut()
                .map(|early| &mut early.dialog)
                .find(|dialog| dialog.matches(request)),
            Call::Ringing(ringing) => Some(&mut ringing.dialog),
            Call::Up(up) => Some(&mut up.dialog),
            Call::Ending(ending) => Some(&mut ending.dialog),
        }
        .filter(|dialog| dialog.matches(request))
    }

    fn handle_bye(&mut self, now: Instant, flow: Flow, session: Session, request: &Request) {
        self.answer(now, flow, request, StatusCode::OK);
        let reason = request.headers.reason();
        match self.calls.get(session) {
            Some(Call::Up(_)) => {
                self.drop_change(now, session);
                self.calls.take(session);
                self.events.push_back(Event::Ended {
                    session,
                    reason,
                    by: EndedBy::Remote,
                });
            }
            // The caller may end an early dialog by BYE as well (§15).
            Some(Call::Ringing(_)) => {
                self.cancel_ringing(now, session, StatusCode::REQUEST_TERMINATED, reason);
            }
            // They answered, every 200 was lost, and they gave up waiting for our ACK. With other forks still ringing
            // the call goes on.
            Some(Call::Calling(calling)) if calling.early.len() <= 1 => {
                let transaction = calling.transaction;
                if let Some(Call::Calling(calling)) = self.calls.take(session) {
                    self.drop_early_change(now, calling.change);
                }
                self.layer.abandon_client(transaction);
                self.events.push_back(Event::Ended {
                    session,
                    reason,
                    by: EndedBy::Remote,
                });
            }
            // Both hung up at once: ours will be answered too.
            Some(Call::Calling(_) | Call::Ending(_)) | None => {}
        }
    }

    /// 500 with a Retry-After of 0 to 10 s (§14.2).
    pub(super) fn answer_try_again(&mut self, now: Instant, flow: Flow, request: &Request) {
        let mut response = self.build_response(request, StatusCode::SERVER_INTERNAL_ERROR, None);
        let seconds = self.rng.next_u32() % 11;
        put(&mut response.headers, "Retry-After", seconds);
        self.answer_in_transaction(now, flow, request, &response);
    }

    pub(super) fn answer(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request,
        status: StatusCode,
    ) {
        let response = self.build_response(request, status, None);
        self.answer_in_transaction(now, flow, request, &response);
    }

    /// Answers finally, in a transaction that repeats the answer for repeated requests.
    pub(super) fn answer_in_transaction(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request,
        response: &Response,
    ) {
        if self.is_flooded_in_dialog() {
            return;
        }
        let trying = self.build_response(request, StatusCode::TRYING, None);
        if let Some(id) = self.layer.begin_server(flow, request, &trying) {
            self.layer.respond(now, id, response);
        }
    }

    /// Whether even the reserve that requests of known dialogs have is used up.
    pub(super) fn is_flooded_in_dialog(&self) -> bool {
        let limit = self.config.limits.server_transactions;
        self.layer.servers() > limit + limit / 10
    }
}
