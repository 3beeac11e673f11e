//! What is agreed on before a call of ours is answered: the answer in a reliable provisional response (RFC 3262 §5), and
//! the offers that may follow it in UPDATEs (RFC 3311 §5).

use std::time::Instant;

use super::{
    Endpoint, Event, Flow, Fork, Session,
    modify::Asked,
    state::{Call, Calling, Phase},
};
use crate::{
    dialog::Dialog,
    message::{Request, Response},
    method::StatusCode,
};

/// A dialog with one of those that the INVITE has reached (RFC 3261 §12.1).
#[derive(Debug)]
pub(super) struct Early {
    pub(super) fork: Fork,
    pub(super) dialog: Dialog,
    pub(super) agreed: Option<Agreed>,
}

/// Their answer has come.
#[derive(Debug)]
pub(super) struct Agreed {
    /// What they said last.
    pub(super) remote: Vec<u8>,
    /// What we said last; none where that is the INVITE's offer.
    pub(super) local: Option<Vec<u8>>,
}

impl Early {
    pub(super) fn new(fork: Fork, dialog: Dialog) -> Self {
        let agreed = None;
        Self {
            fork,
            dialog,
            agreed,
        }
    }

    /// A reliable provisional response. The first SDP in one is the answer; it comes again in others.
    pub(super) fn take_answer(&mut self, response: &Response) {
        if self.agreed.is_none() && !response.body.is_empty() {
            self.agreed = Some(Agreed {
                remote: response.body.clone(),
                local: None,
            });
        }
    }
}

impl Calling {
    pub(super) fn early_with(&self, remote_tag: Option<&str>) -> Option<&Early> {
        let mut early = self.early.iter();
        early.find(|early| Some(early.dialog.remote_tag()) == remote_tag)
    }

    fn early_of(&mut self, request: &Request) -> Option<&mut Early> {
        let mut early = self.early.iter_mut();
        early.find(|early| early.dialog.matches(request))
    }

    /// Whether that may change what was agreed on with whoever asks.
    fn may_change(&mut self, request: &Request) -> bool {
        let goes_on = matches!(self.phase, Phase::Calling { .. } | Phase::Proceeding { .. });
        goes_on
            && self
                .early_of(request)
                .is_some_and(|early| early.agreed.is_some())
    }
}

impl Endpoint {
    /// Their UPDATE with an offer.
    pub(super) fn handle_early_change(
        &mut self,
        now: Instant,
        flow: Flow,
        session: Session,
        request: &Request,
    ) {
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        if !calling.may_change(request) {
            // Our own offer is still open.
            return self.answer(now, flow, request, StatusCode::REQUEST_PENDING);
        }
        if calling.change.is_some() {
            return self.answer_try_again(now, flow, request);
        }
        if self.is_flooded_in_dialog() {
            return;
        }
        let Some(asked) = self.begin_change(flow, request) else {
            return;
        };
        let mut fork = None;
        if let Some(Call::Calling(calling)) = self.calls.get_mut(session) {
            fork = calling.early_of(request).map(|early| early.fork);
            calling.change = Some(Box::new(asked));
        }
        let body = Some(request.body.clone());
        let offer = Event::Offer {
            session,
            fork,
            body,
        };
        self.events.push_back(offer);
    }

    /// The application's answer to it.
    pub(super) fn finish_early_change(
        &mut self,
        now: Instant,
        session: Session,
        answer: Result<Vec<u8>, StatusCode>,
    ) {
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        let Some(asked) = calling.change.take() else {
            return;
        };
        let Asked {
            transaction,
            request,
            flow,
        } = *asked;
        let early = calling.early_of(&request);
        let response = match (answer, early) {
            (Ok(body), Some(early)) => {
                early.dialog.refresh_target(&request.headers);
                early.agreed = Some(Agreed {
                    remote: request.body.clone(),
                    local: Some(body.clone()),
                });
                let dialog = early.dialog.clone();
                self.build_dialog_response(&request, flow, StatusCode::OK, &dialog, Some(&body))
            }
            (Err(status), _) => self.build_response(&request, status, None),
            (Ok(_), None) => self.build_response(&request, StatusCode::REQUEST_TERMINATED, None),
        };
        self.layer.respond(now, transaction, &response);
    }

    /// Whoever asked for it is not called any longer.
    pub(super) fn drop_early_change(&mut self, now: Instant, change: Option<Box<Asked>>) {
        if let Some(asked) = change {
            let status = StatusCode::REQUEST_TERMINATED;
            let response = self.build_response(&asked.request, status, None);
            self.layer.respond(now, asked.transaction, &response);
        }
    }
}
