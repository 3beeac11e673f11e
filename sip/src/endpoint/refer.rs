//! Transfers: REFER inside a dialog and the NOTIFYs that tell how far it is (RFC 3515, RFC 4488), and calls that take
//! another's place (RFC 3891).

use std::{collections::VecDeque, time::Instant};

use super::{
    EndedBy, Endpoint, Error, Event, Flow, Session,
    build::put,
    state::{Call, ClientUse, Up},
};
use crate::{
    dialog::Dialog,
    headers::{NameAddr, ReasonHeader, ReferTo, Replaces},
    message::Request,
    method::{Method, StatusCode},
    transaction::ServerId,
    uri::Uri,
};

/// How long a subscription may last that nobody ends, in seconds.
const EXPIRES: u32 = 180;

/// Notices that may wait; of more, only the last counts.
const WAITING: usize = 8;

/// Whom the other side of a call is to call.
#[derive(Debug, Clone, PartialEq)]
pub enum Referral {
    /// That URI.
    To(Uri),
    /// The other side of that call, in its place.
    Call(Session),
}

/// The transfers of a call.
#[derive(Debug, Default)]
pub(super) struct Referrals {
    /// Theirs, that waits for our answer.
    asked: Option<Box<Asked>>,
    /// Theirs, that we are at.
    taken: Option<Box<Taken>>,
    /// Ours is out, and not answered.
    out: bool,
    /// They are at one of ours, as far as we know.
    ours: bool,
}

#[derive(Debug)]
struct Asked {
    transaction: ServerId,
    request: Request,
}

/// What we still have to say of it.
#[derive(Debug)]
struct Taken {
    /// The REFER's CSeq number names it (RFC 3515 §2.4.6).
    id: u32,
    waiting: VecDeque<StatusCode>,
    on_its_way: bool,
    /// The last is out.
    done: bool,
    /// The BYE that waits for it: who is told nothing more does not know that it went well.
    then_bye: Option<Option<ReasonHeader>>,
}

impl Referrals {
    /// Notes a BYE that waits for the last NOTIFY; false where there is nothing that it should wait for.
    pub(super) fn hold_bye(&mut self, reason: &Option<ReasonHeader>) -> bool {
        let Some(taken) = &mut self.taken else {
            return false;
        };
        let last_waits = taken.waiting.iter().any(|status| status.is_final());
        let held = taken.on_its_way && (taken.done || last_waits);
        if held {
            taken.then_bye.get_or_insert_with(|| reason.clone());
        }
        held
    }
}

impl Endpoint {
    /// Their REFER.
    pub(super) fn handle_refer(
        &mut self,
        now: Instant,
        flow: Flow,
        session: Session,
        request: &Request,
    ) {
        let up = match self.calls.get(session) {
            Some(Call::Up(up)) => up,
            Some(Call::Calling(_) | Call::Ringing(_)) => {
                return self.answer(now, flow, request, StatusCode::REQUEST_PENDING);
            }
            Some(Call::Ending(_)) | None => {
                return self.answer(now, flow, request, StatusCode::CALL_DOES_NOT_EXIST);
            }
        };
        if up.referrals.asked.is_some() || up.referrals.taken.is_some() {
            return self.answer(now, flow, request, StatusCode::REQUEST_PENDING);
        }
        let mut targets = request.headers.get_all("Refer-To");
        let (target, more) = (targets.next(), targets.next().is_some());
        let to = match target.map(str::parse::<ReferTo>) {
            Some(Ok(to)) if !more => to,
            _ => return self.answer(now, flow, request, StatusCode::BAD_REQUEST),
        };
        if self.is_flooded_in_dialog() {
            return;
        }
        let trying = self.build_response(request, StatusCode::TRYING, None);
        let Some(transaction) = self.layer.begin_server(flow, request, &trying) else {
            return;
        };
        if let Some(Call::Up(up)) = self.calls.get_mut(session) {
            up.referrals.asked = Some(Box::new(Asked {
                transaction,
                request: request.clone(),
            }));
        }
        self.events.push_back(Event::Referred { session, to });
    }

    /// The application's answer to it.
    pub(super) fn finish_refer(&mut self, now: Instant, session: Session, status: StatusCode) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let Some(asked) = up.referrals.asked.take() else {
            return;
        };
        let request = &asked.request;
        // RFC 4488 §4: they do not want to hear how far it is.
        let quiet = request
            .headers
            .get("Refer-Sub")
            .is_some_and(|value| value.trim().to_ascii_lowercase().starts_with("false"));
        let dialog = up.dialog.clone();
        if status.is_success() && !quiet {
            up.referrals.taken = Some(Box::new(Taken {
                id: request.headers.cseq().map_or(0, |cseq| cseq.number),
                waiting: VecDeque::new(),
                on_its_way: false,
                done: false,
                then_bye: None,
            }));
        }
        let mut response = self.build_response(request, status, None);
        if status.is_success() {
            let user = dialog_user(request);
            let contact = self.contact(user.as_deref(), dialog.next_hop().transport);
            put(&mut response.headers, "Contact", contact);
            if quiet {
                put(&mut response.headers, "Refer-Sub", "false");
            }
        }
        self.layer.respond(now, asked.transaction, &response);
        // RFC 3515 §2.4.4: the first NOTIFY is sent at once.
        if status.is_success() {
            self.queue_notice(now, session, StatusCode::TRYING);
        }
    }

    /// The call ends: a REFER of theirs that waits is answered (RFC 3261 §15.1.2).
    pub(super) fn drop_referral(&mut self, now: Instant, session: Session) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        if let Some(asked) = up.referrals.asked.take() {
            let status = StatusCode::REQUEST_TERMINATED;
            let response = self.build_response(&asked.request, status, None);
            self.layer.respond(now, asked.transaction, &response);
        }
    }

    /// One NOTIFY after the other, so that they come in order.
    pub(super) fn queue_notice(&mut self, now: Instant, session: Session, status: StatusCode) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let Some(taken) = &mut up.referrals.taken else {
            return;
        };
        if taken.done {
            return;
        }
        if taken.waiting.len() >= WAITING {
            taken.waiting.pop_back();
        }
        taken.waiting.push_back(status);
        self.send_next_notice(now, session);
    }

    fn send_next_notice(&mut self, now: Instant, session: Session) {
        let full = self.layer.clients() >= self.config.limits.client_transactions;
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let Some(taken) = &mut up.referrals.taken else {
            return;
        };
        if taken.on_its_way {
            return;
        }
        if full && !taken.waiting.is_empty() {
            // Words are worth less than calls.
            return self.end_referral(now, session);
        }
        let Some(status) = taken.waiting.pop_front() else {
            return;
        };
        taken.on_its_way = true;
        let id = taken.id;
        taken.done = status.is_final();
        let flow = up.dialog.next_hop();
        let mut notify = up.dialog.request(Method::Notify);
        let user = notify.headers.from().ok().and_then(|from| from.uri.user);
        let contact = self.contact(user.as_deref(), flow.transport);
        let state = match status.is_final() {
            true => "terminated;reason=noresource".to_owned(),
            false => format!("active;expires={EXPIRES}"),
        };
        let headers = &mut notify.headers;
        put(headers, "Contact", contact);
        put(headers, "Event", format_args!("refer;id={id}"));
        put(headers, "Subscription-State", state);
        put(headers, "User-Agent", &self.config.user_agent);
        put(headers, "Content-Type", "message/sipfrag;version=2.0");
        let (code, phrase) = (status.code(), status.reason_phrase());
        notify.body = format!("SIP/2.0 {code} {phrase}\r\n").into_bytes();
        self.stamp_via(&mut notify, flow.transport);
        match self.layer.begin_client(now, flow, notify) {
            Some(id) => {
                self.clients.insert(id, ClientUse::Notify(session));
            }
            None => self.end_referral(now, session),
        }
    }

    /// No more is said of it: a BYE that waited for that goes.
    fn end_referral(&mut self, now: Instant, session: Session) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let taken = up.referrals.taken.take();
        if let Some(reason) = taken.and_then(|taken| taken.then_bye) {
            self.send_bye(now, session, reason, Some(EndedBy::Local));
        }
    }

    /// Their answer to a NOTIFY; what they do not take, they do not want to know.
    pub(super) fn notice_answered(
        &mut self,
        now: Instant,
        session: Session,
        status: Option<StatusCode>,
    ) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let Some(taken) = &mut up.referrals.taken else {
            return;
        };
        taken.on_its_way = false;
        if status.is_some_and(StatusCode::is_success) && !taken.done {
            return self.send_next_notice(now, session);
        }
        self.end_referral(now, session);
    }

    /// Our REFER.
    pub(super) fn send_refer(
        &mut self,
        now: Instant,
        session: Session,
        referral: &Referral,
    ) -> Result<(), Error> {
        let to = match referral {
            Referral::To(uri) => ReferTo {
                uri: uri.clone(),
                replaces: None,
            },
            Referral::Call(other) => match self.calls.get(*other) {
                Some(Call::Up(up)) => replacing(&up.dialog),
                _ => return Err(Error::NotUp),
            },
        };
        let limit = self.config.limits.client_transactions;
        let full = self.layer.clients() >= limit;
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return Err(Error::NotUp);
        };
        if up.referrals.out || full {
            return Err(Error::Overloaded { limit: 1 });
        }
        let flow = up.dialog.next_hop();
        let mut refer = up.dialog.request(Method::Refer);
        let by = refer
            .headers
            .from()
            .ok()
            .map(|from| NameAddr::new(from.uri));
        let user = by.as_ref().and_then(|by| by.uri.user.clone());
        let contact = self.contact(user.as_deref(), flow.transport);
        let value = to.to_string();
        let pushed = refer.headers.push("Refer-To", &value);
        pushed.map_err(|_| Error::Address { value })?;
        if let Some(by) = by {
            put(&mut refer.headers, "Referred-By", by);
        }
        put(&mut refer.headers, "Contact", contact);
        put(&mut refer.headers, "User-Agent", &self.config.user_agent);
        self.stamp_via(&mut refer, flow.transport);
        let begun = self.layer.begin_client(now, flow, refer);
        let transaction = begun.ok_or(Error::NotUp)?;
        self.clients.insert(transaction, ClientUse::Refer(session));
        if let Some(Call::Up(up)) = self.calls.get_mut(session) {
            // Of an earlier one that they never spoke of again, nothing is awaited any more.
            (up.referrals.out, up.referrals.ours) = (true, true);
        }
        Ok(())
    }

    pub(super) fn refer_answered(&mut self, session: Session, status: Option<StatusCode>) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        up.referrals.out = false;
        if !status.is_some_and(StatusCode::is_success) {
            up.referrals.ours = false;
        }
        self.events
            .push_back(Event::ReferAnswered { session, status });
    }

    /// Their word of how far our transfer is.
    pub(super) fn handle_notify(
        &mut self,
        now: Instant,
        flow: Flow,
        session: Session,
        request: &Request,
    ) {
        let event = request.headers.get("Event").unwrap_or_default();
        let event = event.split(';').next().unwrap_or_default().trim();
        let ours = match self.calls.get(session) {
            Some(Call::Up(up)) => up.referrals.ours,
            _ => false,
        };
        if !event.eq_ignore_ascii_case("refer") {
            return self.answer(now, flow, request, StatusCode::BAD_EVENT);
        }
        if !ours {
            return self.answer(now, flow, request, StatusCode::CALL_DOES_NOT_EXIST);
        }
        self.answer(now, flow, request, StatusCode::OK);
        let state = request
            .headers
            .get("Subscription-State")
            .unwrap_or_default();
        let ended = state.trim().to_ascii_lowercase().starts_with("terminated");
        let status = fragment_status(&request.body).unwrap_or(StatusCode::TRYING);
        let last = ended || status.is_final();
        if let Some(Call::Up(up)) = self.calls.get_mut(session) {
            up.referrals.ours = !last;
        }
        self.events.push_back(Event::ReferProgress {
            session,
            status,
            last,
        });
    }

    /// The call of ours that an INVITE is to take the place of (RFC 3891 §3).
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(super) fn replaced_by(&self, request: &Request) -> Result<Option<Session>, StatusCode> {
        let mut values = request.headers.get_all("Replaces");
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(StatusCode::BAD_REQUEST);
        }
        let replaces: Replaces = value.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
        let none = StatusCode::CALL_DOES_NOT_EXIST;
        let session = self.calls.by_local_tag(&replaces.to_tag).ok_or(none)?;
        match self.calls.get(session) {
            Some(Call::Up(Up { dialog, .. }))
                if dialog.call_id() == replaces.call_id
                    && dialog.remote_tag() == replaces.from_tag =>
            {
                match replaces.early_only {
                    true => Err(StatusCode::BUSY_HERE),
                    false => Ok(Some(session)),
                }
            }
            _ => Err(none),
        }
    }
}

/// How somebody else takes the place of ours in a call.
fn replacing(dialog: &Dialog) -> ReferTo {
    ReferTo {
        uri: dialog.remote_target().clone(),
        replaces: Some(Replaces {
            call_id: dialog.call_id().to_owned(),
            to_tag: dialog.remote_tag().to_owned(),
            from_tag: dialog.local_tag().to_owned(),
            early_only: false,
        }),
    }
}

/// Our user in a request of theirs.
fn dialog_user(request: &Request) -> Option<String> {
    request.headers.to().ok().and_then(|to| to.uri.user)
}

/// The status of a `message/sipfrag` body (RFC 3420).
fn fragment_status(body: &[u8]) -> Option<StatusCode> {
    let text = std::str::from_utf8(body).ok()?;
    let rest = text.trim_start().strip_prefix("SIP/2.0 ")?;
    StatusCode::new(rest.get(..3)?.parse().ok()?)
}
