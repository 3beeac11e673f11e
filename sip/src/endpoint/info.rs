//! Keys by INFO inside a dialog, one after the other (RFC 3261 §12.2, RFC 6086 §1).

use std::{collections::VecDeque, time::Instant};

use super::{
    EndedBy, Endpoint, Error, Event, Flow, Session,
    build::put,
    state::{Call, ClientUse},
};
use crate::{
    dtmf::{self, DtmfInfo, Info},
    message::Request,
    method::{Method, StatusCode},
};

/// Keys that may wait for their turn. One more is refused.
const WAITING: usize = 32;

/// The INFOs of a call: one on its way at a time, so that they come in order.
#[derive(Debug, Default)]
pub(super) struct Infos {
    waiting: VecDeque<DtmfInfo>,
    on_its_way: bool,
}

impl Endpoint {
    pub(super) fn queue_info(
        &mut self,
        now: Instant,
        session: Session,
        key: DtmfInfo,
    ) -> Result<(), Error> {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return Err(Error::NotUp);
        };
        if up.infos.waiting.len() >= WAITING {
            return Err(Error::Overloaded { limit: WAITING });
        }
        up.infos.waiting.push_back(key);
        self.send_next_info(now, session);
        Ok(())
    }

    fn send_next_info(&mut self, now: Instant, session: Session) {
        let full = self.layer.clients() >= self.config.limits.client_transactions;
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        if up.infos.on_its_way {
            return;
        }
        if full {
            // Keys are worth less than calls.
            return up.infos.waiting.clear();
        }
        let Some(key) = up.infos.waiting.pop_front() else {
            return;
        };
        let flow = up.dialog.next_hop();
        let mut info = up.dialog.request(Method::Info);
        put(&mut info.headers, "User-Agent", &self.config.user_agent);
        put(&mut info.headers, "Content-Type", "application/dtmf-relay");
        info.body = key.to_body();
        self.stamp_via(&mut info, flow.transport);
        let Some(id) = self.layer.begin_client(now, flow, info) else {
            return;
        };
        self.clients.insert(id, ClientUse::Info(session));
        if let Some(Call::Up(up)) = self.calls.get_mut(session) {
            up.infos.on_its_way = true;
        }
    }

    /// An INFO of ours was answered finally, or never will be (no status).
    pub(super) fn finish_info(
        &mut self,
        now: Instant,
        session: Session,
        status: Option<StatusCode>,
    ) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        up.infos.on_its_way = false;
        if !status.is_some_and(StatusCode::is_success) {
            // What they do not take, or do not hear, they will not the next time either.
            up.infos.waiting.clear();
            self.events.push_back(Event::InfoFailed { session, status });
        }
        if status == Some(StatusCode::CALL_DOES_NOT_EXIST) {
            // §12.2.1.2: they know nothing of this dialog.
            return self.send_bye(now, session, None, Some(EndedBy::Timeout));
        }
        self.send_next_info(now, session);
    }

    pub(super) fn handle_info(
        &mut self,
        now: Instant,
        flow: Flow,
        session: Session,
        request: &Request,
    ) {
        let status = match dtmf::read(request) {
            Info::Key(key) => {
                self.events.push_back(Event::Info { session, key });
                StatusCode::OK
            }
            Info::Nothing => StatusCode::OK,
            Info::Broken => StatusCode::BAD_REQUEST,
            Info::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        };
        let mut response = self.build_response(request, status, None);
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            put(&mut response.headers, "Accept", dtmf::ACCEPT);
        }
        self.answer_in_transaction(now, flow, request, &response);
    }
}
