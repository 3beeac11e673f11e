//! Changing a session that is up: offers in re-INVITEs (RFC 3261 §14) and UPDATEs (RFC 3311), one at a time (RFC 3264 §4).

use std::time::{Duration, Instant};

use rand_chacha::rand_core::RngCore;

use super::{
    EndedBy, Endpoint, Error, Event, Flow, Session, Transmit, TransportError,
    build::{ALLOW, SUPPORTED, put},
    session_timer::{SessionTimer, min_se},
    state::{AckWait, Call, ClientUse, Up},
};
use crate::{
    dialog::Dialog,
    message::{Request, Response},
    method::{Method, StatusCode},
    transaction::{ClientId, ServerId},
};

/// How long the answer to an offer of ours is awaited while the other side says that it is at it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Whose offer waits for its answer.
#[derive(Debug, Default)]
pub(super) enum Change {
    /// Nobody's.
    #[default]
    None,
    /// Theirs.
    Theirs(Box<Asked>),
    /// Ours.
    Ours {
        transaction: ClientId,
        until: Instant,
    },
    /// Ours met theirs; it goes again then (§14.1).
    Again(Instant),
}

/// Their offer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) transaction: ServerId,
    pub(super) request: Request,
    pub(super) flow: Flow,
}

/// A re-INVITE of ours.
#[derive(Debug)]
pub(super) struct Reinvite {
    session: Session,
    number: u32,
    offer: Vec<u8>,
    /// It is the session as it is (RFC 4028 §7.4): the application does not hear of it, unless the answer is another.
    refresh: bool,
    /// Sent again whenever the 2xx comes again.
    ack: Option<Transmit>,
}

impl Change {
    /// When something is due of it.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Ours { until: at, .. } | Self::Again(at) => Some(*at),
            Self::None | Self::Theirs(_) => None,
        }
    }
}

impl Endpoint {
    /// Their re-INVITE or UPDATE. One that leaves the session as it is gets our last SDP; of a change the application is
    /// asked.
    pub(super) fn handle_change(
        &mut self,
        now: Instant,
        flow: Flow,
        session: Session,
        request: &Request,
    ) {
        let is_update = request.method == Method::Update;
        let up = match self.calls.get(session) {
            Some(Call::Up(up)) => up,
            // Without an offer an UPDATE changes nothing but where we send to.
            Some(Call::Calling(_) | Call::Ringing(_)) if is_update && request.body.is_empty() => {
                return self.answer(now, flow, request, StatusCode::OK);
            }
            // Only an UPDATE may change what is not confirmed yet (RFC 3261 §14.1).
            Some(Call::Calling(_)) if !is_update => {
                return self.answer(now, flow, request, StatusCode::REQUEST_PENDING);
            }
            Some(Call::Calling(_)) => {
                return self.handle_early_change(now, flow, session, request);
            }
            // Theirs is: they must wait for our answer first.
            Some(Call::Ringing(_)) => return self.answer_try_again(now, flow, request),
            Some(Call::Ending(_)) | None => {
                return self.answer(now, flow, request, StatusCode::CALL_DOES_NOT_EXIST);
            }
        };
        if matches!(up.ack, AckWait::Waiting(_)) || matches!(up.change, Change::Ours { .. }) {
            return self.answer(now, flow, request, StatusCode::REQUEST_PENDING);
        }
        if matches!(up.change, Change::Theirs(_)) {
            return self.answer_try_again(now, flow, request);
        }
        if self.is_flooded_in_dialog() {
            return;
        }
        if let Some(refusal) = self.short_timer(request) {
            return self.answer_in_transaction(now, flow, request, &refusal);
        }
        let refreshed = match is_update && request.body.is_empty() {
            true => Some(Vec::new()),
            false => (is_same_session(&up.remote_sdp, &request.body) && !up.local_sdp.is_empty())
                .then(|| up.local_sdp.clone()),
        };
        let Some(asked) = self.begin_change(flow, request) else {
            return;
        };
        if let Some(body) = refreshed {
            return self.accept_change(now, session, &asked, body);
        }
        if let Some(Call::Up(up)) = self.calls.get_mut(session) {
            up.change = Change::Theirs(Box::new(asked));
            self.calls.touch(session);
        }
        let offer = Event::Offer {
            session,
            fork: None,
            body: (!request.body.is_empty()).then(|| request.body.clone()),
        };
        self.events.push_back(offer);
    }

    /// Keeps an offer of theirs until it is answered.
    pub(super) fn begin_change(&mut self, flow: Flow, request: &Request) -> Option<Asked> {
        let trying = self.build_response(request, StatusCode::TRYING, None);
        let transaction = self.layer.begin_server(flow, request, &trying)?;
        Some(Asked {
            transaction,
            request: request.clone(),
            flow,
        })
    }

    /// The application's answer to [`Event::Offer`].
    pub(super) fn finish_change(
        &mut self,
        now: Instant,
        session: Session,
        answer: Result<Vec<u8>, StatusCode>,
    ) {
        if matches!(self.calls.get(session), Some(Call::Calling(_))) {
            return self.finish_early_change(now, session, answer);
        }
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let asked = match std::mem::take(&mut up.change) {
            Change::Theirs(asked) => asked,
            other => {
                up.change = other;
                return;
            }
        };
        match answer {
            Ok(body) => self.accept_change(now, session, &asked, body),
            Err(status) => {
                let response = self.build_response(&asked.request, status, None);
                self.layer.respond(now, asked.transaction, &response);
            }
        }
        self.send_wanted(now, session);
    }

    fn accept_change(&mut self, now: Instant, session: Session, asked: &Asked, body: Vec<u8>) {
        let Some(Call::Up(up)) = self.calls.get(session) else {
            return;
        };
        let Asked {
            transaction,
            request,
            flow,
        } = asked;
        let dialog = up.dialog.clone();
        let mut response =
            self.build_dialog_response(request, *flow, StatusCode::OK, &dialog, Some(&body));
        let timer = SessionTimer::answer(now, request, &mut response);
        let waiting = match request.method {
            Method::Invite => {
                let number = request.headers.cseq().map_or(1, |cseq| cseq.number);
                let place = (*flow, *transaction);
                let mut waiting = self.respond_success(now, place, number, &response, false);
                waiting.answers = request.body.is_empty();
                Some(waiting)
            }
            _ => {
                self.layer.respond(now, *transaction, &response);
                None
            }
        };
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        up.timer = timer;
        up.min_se = up.min_se.max(min_se(&request.headers));
        up.dialog.refresh_target(&request.headers);
        if !body.is_empty() {
            up.local_sdp = body;
        }
        if !request.body.is_empty() {
            up.remote_sdp.clone_from(&request.body);
        }
        if let Some(waiting) = waiting {
            up.ack = AckWait::Waiting(waiting);
        }
        self.calls.touch(session);
    }

    /// Notes an offer of ours; it goes as soon as the dialog is free for it, and a newer one in its place.
    pub(super) fn want_change(
        &mut self,
        now: Instant,
        session: Session,
        offer: Vec<u8>,
    ) -> Result<(), Error> {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return Err(Error::NotUp);
        };
        up.wanted = Some(offer);
        self.send_wanted(now, session);
        Ok(())
    }

    /// Sends the offer that waits, if it can go now.
    pub(super) fn send_wanted(&mut self, now: Instant, session: Session) {
        let full = self.layer.clients() >= self.config.limits.client_transactions;
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        if matches!(up.ack, AckWait::Waiting(_)) || !matches!(up.change, Change::None) {
            return;
        }
        let Some(offer) = up.wanted.take() else {
            return;
        };
        if full {
            return self.events.push_back(Event::OfferRefused {
                session,
                offer,
                status: None,
            });
        }
        let refresh = offer == up.local_sdp;
        let (timer, min_se) = (up.timer, up.min_se);
        let flow = up.dialog.next_hop();
        let mut request = up.dialog.request(Method::Invite);
        let number = request.headers.cseq().map_or(1, |cseq| cseq.number);
        let user = request.headers.from().ok().and_then(|from| from.uri.user);
        let contact = self.contact(user.as_deref(), flow.transport);
        put(&mut request.headers, "Contact", contact);
        put(&mut request.headers, "Allow", ALLOW);
        put(&mut request.headers, "Supported", SUPPORTED);
        if let Some(timer) = timer {
            timer.ask(&mut request.headers, min_se);
        }
        put(&mut request.headers, "User-Agent", &self.config.user_agent);
        put(&mut request.headers, "Content-Type", "application/sdp");
        request.body.clone_from(&offer);
        self.stamp_via(&mut request, flow.transport);
        let Some(transaction) = self.layer.begin_client(now, flow, request) else {
            return;
        };
        let reinvite = Reinvite {
            session,
            number,
            offer,
            refresh,
            ack: None,
        };
        self.clients
            .insert(transaction, ClientUse::Reinvite(Box::new(reinvite)));
        if let Some(Call::Up(up)) = self.calls.get_mut(session) {
            let until = now + PATIENCE;
            up.change = Change::Ours { transaction, until };
            self.calls.touch(session);
        }
    }

    pub(super) fn handle_reinvite_response(
        &mut self,
        now: Instant,
        id: ClientId,
        response: &Response,
    ) {
        let Some(ClientUse::Reinvite(reinvite)) = self.clients.get_mut(&id) else {
            return;
        };
        if let Some(ack) = &reinvite.ack {
            return self.transmits.push_back(ack.clone());
        }
        if response.status.is_provisional() {
            return;
        }
        let (session, number, refresh) = (reinvite.session, reinvite.number, reinvite.refresh);
        let offer = std::mem::take(&mut reinvite.offer);
        let Some(up) = self.up_with(session, id) else {
            return;
        };
        up.change = Change::None;
        if response.status.is_success() {
            up.dialog.refresh_target(&response.headers);
            up.timer = SessionTimer::of_response(now, response);
            up.local_sdp.clone_from(&offer);
            let same = refresh && is_same_session(&up.remote_sdp, &response.body);
            // Of offers that follow each other quickly, the last answer is to the last.
            let superseded = up.wanted.is_some();
            up.remote_sdp.clone_from(&response.body);
            let dialog = up.dialog.clone();
            self.acknowledge(id, &dialog, number);
            let body = (!response.body.is_empty()).then(|| response.body.clone());
            if !same && !superseded {
                self.events.push_back(Event::OfferAnswered {
                    session,
                    offer,
                    body,
                });
            }
        } else if response.status == StatusCode::SESSION_INTERVAL_TOO_SMALL
            && Self::lengthen_timer(now, up, response).is_some()
        {
            up.wanted.get_or_insert(offer);
        } else if response.status == StatusCode::REQUEST_PENDING {
            let wait = glare_wait(up.dialog.is_callers(), self.rng.next_u32());
            let Some(Call::Up(up)) = self.calls.get_mut(session) else {
                return;
            };
            up.change = Change::Again(now + wait);
            up.wanted.get_or_insert(offer);
        } else if matches!(response.status.code(), 408 | 481) {
            // §14.1: there is no dialog any longer.
            return self.send_bye(now, session, None, Some(EndedBy::Timeout));
        } else if refresh {
            // It is not taken, but somebody is there.
            up.timer = up.timer.map(|timer| timer.restarted(now));
        } else if up.wanted.is_none() {
            // Where a newer offer waits, what comes of that is what counts.
            self.events.push_back(Event::OfferRefused {
                session,
                offer,
                status: Some(response.status),
            });
        }
        self.calls.touch(session);
        self.send_wanted(now, session);
    }

    fn acknowledge(&mut self, id: ClientId, dialog: &Dialog, number: u32) {
        let ack = self.build_ack(dialog, number);
        self.transmits.push_back(ack.clone());
        if let Some(ClientUse::Reinvite(reinvite)) = self.clients.get_mut(&id) {
            reinvite.ack = Some(ack);
        }
    }

    /// Nobody answered, or it could not be sent: the same as 408 (§14.1, §8.1.3.1).
    pub(super) fn reinvite_failed(
        &mut self,
        now: Instant,
        id: ClientId,
        _error: Option<TransportError>,
    ) {
        let Some(ClientUse::Reinvite(reinvite)) = self.clients.remove(&id) else {
            return;
        };
        let session = reinvite.session;
        if let Some(up) = self.up_with(session, id) {
            up.change = Change::None;
            self.send_bye(now, session, None, Some(EndedBy::Timeout));
        }
    }

    /// The call, if that re-INVITE is the one it waits for.
    fn up_with(&mut self, session: Session, id: ClientId) -> Option<&mut Up> {
        match self.calls.get_mut(session) {
            Some(Call::Up(up)) if matches!(up.change, Change::Ours { transaction, .. } if transaction == id) => {
                Some(up)
            }
            _ => None,
        }
    }

    /// The wait after a 491 is over, or that for an answer.
    pub(super) fn fire_change(&mut self, now: Instant, session: Session) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        match up.change {
            Change::Again(at) if now >= at => {
                up.change = Change::None;
                self.calls.touch(session);
                self.send_wanted(now, session);
            }
            Change::Ours { transaction, until } if now >= until => {
                up.change = Change::None;
                let superseded = up.wanted.is_some();
                self.calls.touch(session);
                self.layer.abandon_client(transaction);
                let reinvite = self.clients.remove(&transaction);
                if let Some(ClientUse::Reinvite(reinvite)) = reinvite
                    && !superseded
                {
                    self.events.push_back(Event::OfferRefused {
                        session,
                        offer: reinvite.offer,
                        status: None,
                    });
                }
                self.send_wanted(now, session);
            }
            _ => {}
        }
    }

    /// Forgets re-INVITEs whose calls ended so long ago that no answer is coming.
    pub(super) fn forget_orphans(&mut self, now: Instant) {
        while let Some((until, transaction)) = self.orphans.front().copied()
            && until <= now
        {
            self.orphans.pop_front();
            self.layer.abandon_client(transaction);
            self.clients.remove(&transaction);
        }
    }

    /// The call ends: an offer of theirs that waits is answered 487 (§15.1.2); the answer to one of ours is still
    /// acknowledged, if it comes.
    pub(super) fn drop_change(&mut self, now: Instant, session: Session) {
        self.drop_referral(now, session);
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        up.wanted = None;
        match std::mem::take(&mut up.change) {
            Change::Theirs(asked) => {
                let status = StatusCode::REQUEST_TERMINATED;
                let response = self.build_response(&asked.request, status, None);
                self.layer.respond(now, asked.transaction, &response);
            }
            Change::Ours { transaction, .. } => {
                let until = now + self.config.timers.transaction_timeout();
                self.orphans.push_back((until, transaction));
            }
            Change::None | Change::Again(_) => {}
        }
    }
}

/// How long after a 491 (§14.1): 2.1 to 4 s for the side that made the call, up to 2 s for the other, in steps of 10 ms.
fn glare_wait(caller: bool, random: u32) -> Duration {
    let (least, most) = if caller { (210, 400) } else { (0, 200) };
    Duration::from_millis(10 * u64::from(least + random % (most - least + 1)))
}

/// Whether two session descriptions are the same apart from their version (`o=`): a refresh, not a change.
fn is_same_session(before: &[u8], after: &[u8]) -> bool {
    fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
        sdp.split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty() && !line.starts_with(b"o="))
    }
    !after.is_empty() && lines(before).eq(lines(after))
}
