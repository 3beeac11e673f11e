//! Calls to us (RFC 3261 §13.3, §9.2).

use std::time::{Duration, Instant};

use super::{
    EndedBy, Endpoint, Event, Flow, Session, Transmit,
    build::put_reason,
    refer::Referrals,
    reliable::Reliable,
    session_timer::{SessionTimer, min_se},
    state::{AckWait, Call, PendingBye, Repeat, Ringing, Unacknowledged, Up},
};
use crate::{
    dialog::{Dialog, is_same_peer},
    headers::ReasonHeader,
    message::{Request, Response},
    method::StatusCode,
    transaction::{Retransmit, ServerId},
};

/// How often a provisional response is repeated (§13.3.1.1).
const REPEAT_PROVISIONAL: Duration = Duration::from_secs(60);

impl Endpoint {
    /// A new call. It has passed admission.
    pub(super) fn take_invite(&mut self, now: Instant, flow: Flow, request: Request) {
        if let Some(refusal) = self.short_timer(&request) {
            return self.send_statelessly(flow, refusal);
        }
        let tag = self.random_token();
        let Ok(dialog) = Dialog::of_callee(&request, tag, flow) else {
            return self.answer_statelessly(flow, &request, StatusCode::BAD_REQUEST);
        };
        let replaces = match self.replaced_by(&request) {
            Ok(replaces) => replaces,
            Err(status) => return self.answer_statelessly(flow, &request, status),
        };
        let trying = self.build_response(&request, StatusCode::TRYING, None);
        let Some(transaction) = self.layer.begin_server(flow, &request, &trying) else {
            return;
        };
        let session = self.calls.fresh();
        self.pending_invites.insert(transaction, session);
        let ringing = Ringing {
            transaction,
            request: request.clone(),
            flow,
            dialog,
            until: now + self.ring_limit(&request),
            repeat: None,
            rseq: None,
            reliable: None,
        };
        self.calls.put(session, Call::Ringing(Box::new(ringing)));
        self.events.push_back(Event::Incoming {
            session,
            request,
            flow,
            replaces,
        });
    }

    /// How long the application may take: our own limit, or the caller's Expires (§13.3.1).
    fn ring_limit(&self, invite: &Request) -> Duration {
        let own = self.config.ring_limit;
        let expires = invite.headers.expires();
        expires.map_or(own, |seconds| own.min(Duration::from_secs(seconds.into())))
    }

    pub(super) fn send_provisional(
        &mut self,
        now: Instant,
        session: Session,
        status: StatusCode,
        body: Option<Vec<u8>>,
    ) {
        let Some(Call::Ringing(ringing)) = self.calls.get(session) else {
            return;
        };
        // The transaction itself sends 100 (without a tag).
        if !status.is_provisional() || status == StatusCode::TRYING {
            return;
        }
        let transaction = ringing.transaction;
        let mut response = self.build_dialog_response(
            &ringing.request,
            ringing.flow,
            status,
            &ringing.dialog,
            body.as_deref(),
        );
        if !self.make_reliable(now, session, &mut response) {
            return;
        }
        self.layer.respond(now, transaction, &response);
        if let Some(Call::Ringing(ringing)) = self.calls.get_mut(session) {
            ringing.repeat = Some(Repeat {
                at: now + REPEAT_PROVISIONAL,
                status,
                body,
            });
            self.calls.touch(session);
        }
    }

    pub(super) fn send_success(&mut self, now: Instant, session: Session, body: Vec<u8>) {
        let Some(Call::Ringing(_)) = self.calls.get(session) else {
            return;
        };
        let Some(Call::Ringing(mut ringing)) = self.calls.take(session) else {
            return;
        };
        self.pending_invites.remove(&ringing.transaction);
        ringing.dialog.confirm();
        let mut response = self.build_dialog_response(
            &ringing.request,
            ringing.flow,
            StatusCode::OK,
            &ringing.dialog,
            Some(&body),
        );
        let timer = SessionTimer::answer(now, &ringing.request, &mut response);
        let number = ringing.request.headers.cseq().map_or(1, |cseq| cseq.number);
        let place = (ringing.flow, ringing.transaction);
        let waiting = self.respond_success(now, place, number, &response, true);
        let up = Up {
            min_se: min_se(&ringing.request.headers),
            dialog: ringing.dialog,
            local_sdp: body,
            remote_sdp: ringing.request.body,
            ack: AckWait::Waiting(waiting),
            infos: super::info::Infos::default(),
            referrals: Referrals::default(),
            change: super::modify::Change::None,
            wanted: None,
            timer,
            prack: ringing.reliable.as_ref().map(Reliable::acknowledged_by),
        };
        self.calls.put(session, Call::Up(up));
    }

    /// Sends a 2xx to an INVITE or re-INVITE; what it returns repeats it until the ACK (§13.3.1.4).
    pub(super) fn respond_success(
        &mut self,
        now: Instant,
        (flow, transaction): (Flow, ServerId),
        number: u32,
        response: &Response,
        first: bool,
    ) -> Box<Unacknowledged> {
        self.layer.respond(now, transaction, response);
        let timers = self.config.timers;
        Box::new(Unacknowledged {
            number,
            response: Transmit {
                flow,
                bytes: response.to_bytes(),
                may_connect: false,
            },
            repeat: Retransmit::after(now, timers.t1),
            until: now + timers.transaction_timeout(),
            first,
            answers: false,
            then_bye: None,
        })
    }

    pub(super) fn send_rejection(
        &mut self,
        now: Instant,
        session: Session,
        status: StatusCode,
        reason: Option<ReasonHeader>,
    ) {
        let Some(Call::Ringing(_)) = self.calls.get(session) else {
            return;
        };
        let Some(Call::Ringing(ringing)) = self.calls.take(session) else {
            return;
        };
        let status = if status.code() < 300 {
            StatusCode::TEMPORARILY_UNAVAILABLE
        } else {
            status
        };
        self.finish_ringing(now, &ringing, status, reason.as_ref());
    }

    /// The final refusal of a pending INVITE. The call has been taken out.
    fn finish_ringing(
        &mut self,
        now: Instant,
        ringing: &Ringing,
        status: StatusCode,
        reason: Option<&ReasonHeader>,
    ) {
        self.pending_invites.remove(&ringing.transaction);
        let tag = ringing.dialog.local_tag();
        let mut response = self.build_response(&ringing.request, status, Some(tag));
        put_reason(&mut response.headers, reason);
        self.layer.respond(now, ringing.transaction, &response);
    }

    /// Their CANCEL, their early BYE, or our ring limit: 487 or 480 to the INVITE, and the application hears of it.
    pub(super) fn cancel_ringing(
        &mut self,
        now: Instant,
        session: Session,
        status: StatusCode,
        reason: Option<ReasonHeader>,
    ) {
        if let Some(Call::Ringing(ringing)) = self.calls.take(session) {
            self.finish_ringing(now, &ringing, status, None);
            self.events.push_back(Event::Cancelled { session, reason });
        }
    }

    /// A CANCEL (§9.2): it must be about an INVITE we know, from the one who sent that.
    pub(super) fn handle_cancel(&mut self, now: Instant, flow: Flow, cancel: Request) {
        let known = self
            .layer
            .find_cancelled(&cancel)
            .filter(|(_, from)| is_same_peer(*from, flow))
            .map(|(id, _)| id);
        let Some(invite) = known else {
            return self.answer_statelessly(flow, &cancel, StatusCode::CALL_DOES_NOT_EXIST);
        };
        let session = self.pending_invites.get(&invite).copied();
        let mut tag = None;
        if let Some(session) = session
            && let Some(Call::Ringing(ringing)) = self.calls.get(session)
        {
            if !is_cancel_of(&cancel, &ringing.request) {
                return self.answer_statelessly(flow, &cancel, StatusCode::CALL_DOES_NOT_EXIST);
            }
            tag = Some(ringing.dialog.local_tag().to_owned());
        }
        let tag = tag.unwrap_or_else(|| self.stateless_tag(&cancel.headers));
        let response = self.build_response(&cancel, StatusCode::OK, Some(&tag));
        self.answer_in_transaction(now, flow, &cancel, &response);
        // After a final response a CANCEL has no effect.
        if let Some(session) = session {
            let reason = cancel.headers.reason();
            self.cancel_ringing(now, session, StatusCode::REQUEST_TERMINATED, reason);
        }
    }

    /// The ring limit, or the minute after which a provisional response is repeated.
    pub(super) fn fire_ringing(&mut self, now: Instant, session: Session) {
        let Some(Call::Ringing(ringing)) = self.calls.get(session) else {
            return;
        };
        if now >= ringing.until {
            let expired = ringing.request.headers.expires().is_some();
            let status = match expired {
                true => StatusCode::REQUEST_TERMINATED,
                false => StatusCode::TEMPORARILY_UNAVAILABLE,
            };
            return self.cancel_ringing(now, session, status, None);
        }
        if let Some(repeat) = &ringing.repeat
            && now >= repeat.at
        {
            let (status, body) = (repeat.status, repeat.body.clone());
            self.send_provisional(now, session, status, body);
        }
    }

    /// The 2xx once more, or the end of waiting for its ACK: the dialog is confirmed, the call is not (§13.3.1.4).
    pub(super) fn fire_unacknowledged(&mut self, now: Instant, session: Session) {
        let t2 = self.config.timers.t2;
        let Some(Call::Up(Up {
            ack: AckWait::Waiting(waiting),
            ..
        })) = self.calls.get_mut(session)
        else {
            return;
        };
        if now >= waiting.until {
            let reason = waiting.then_bye.take().and_then(|bye| bye.reason);
            self.events.push_back(Event::Ended {
                session,
                reason: reason.clone(),
                by: EndedBy::Timeout,
            });
            return self.send_bye(now, session, reason, None);
        }
        if now >= waiting.repeat.at {
            waiting.repeat = waiting.repeat.doubled(now, t2);
            self.transmits.push_back(waiting.response.clone());
            self.calls.touch(session);
        }
    }

    /// An ACK that no transaction wanted: of a 2xx of ours, or of nothing.
    pub(super) fn handle_ack(&mut self, now: Instant, flow: Flow, ack: &Request) {
        let Some(session) = self.session_of(ack) else {
            return;
        };
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let AckWait::Waiting(waiting) = &mut up.ack else {
            return;
        };
        let number = ack.headers.cseq().map(|cseq| cseq.number);
        if !up.dialog.matches(ack) || number.ok() != Some(waiting.number) {
            return;
        }
        let told = waiting.first || waiting.answers;
        let then_bye = waiting.then_bye.take();
        up.ack = AckWait::Confirmed;
        up.dialog.acknowledged_from(flow);
        if !ack.body.is_empty() {
            up.remote_sdp.clone_from(&ack.body);
        }
        self.calls.touch(session);
        if told {
            let body = (!ack.body.is_empty()).then(|| ack.body.clone());
            self.events.push_back(Event::Confirmed { session, body });
        }
        if then_bye.is_none() {
            self.send_wanted(now, session);
        }
        if let Some(PendingBye { reason }) = then_bye {
            self.send_bye(now, session, reason, Some(EndedBy::Local));
        }
    }
}

/// Whether a CANCEL names the INVITE by everything it must (§9.1), not by the branch alone.
fn is_cancel_of(cancel: &Request, invite: &Request) -> bool {
    let (theirs, ours) = (&cancel.headers, &invite.headers);
    let same_number = match (theirs.cseq(), ours.cseq()) {
        (Ok(a), Ok(b)) => a.number == b.number,
        _ => false,
    };
    let same_from = match (theirs.from(), ours.from()) {
        (Ok(a), Ok(b)) => a.tag() == b.tag(),
        _ => false,
    };
    let same_to = match (theirs.to(), ours.to()) {
        (Ok(a), Ok(b)) => a.tag() == b.tag(),
        _ => false,
    };
    same_number && same_from && same_to && theirs.call_id() == ours.call_id()
}
