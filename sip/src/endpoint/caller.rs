//! Calls we make (RFC 3261 §13.2, §9.1), and the BYEs of any call (§15.1.1).

use std::time::Instant;

use super::{
    Account, EndedBy, Endpoint, Error, Event, Failure, Flow, Fork, Invite, Session, Transmit,
    Transport, TransportError,
    account::{MAX_CHALLENGES, is_challenge},
    build::LARGEST_DATAGRAM,
    early::{Agreed, Early},
    info::Infos,
    modify::Change,
    refer::Referrals,
    session_timer::SessionTimer,
    state::{
        AckWait, Acknowledged, Call, Calling, ClientUse, Ending, InviteUse, Phase, Progress, Up,
    },
};
use crate::{
    dialog::{Dialog, is_same_peer},
    digest::Authorized,
    headers::ReasonHeader,
    message::{Request, Response},
    method::{Method, StatusCode},
    transaction::ClientId,
};

/// The most 2xx of one INVITE that are told apart; further forks are left to give up by themselves.
const MAX_FORKS: usize = 16;

impl Endpoint {
    pub(super) fn start_invite(&mut self, now: Instant, invite: Invite) -> Result<Session, Error> {
        let limits = self.config.limits;
        if self.calls.len() >= limits.sessions {
            return Err(Error::Overloaded {
                limit: limits.sessions,
            });
        }
        if self.layer.clients() >= limits.client_transactions {
            return Err(Error::Overloaded {
                limit: limits.client_transactions,
            });
        }
        let local_tag = self.random_token();
        let request = self.build_invite(&invite, &local_tag)?;
        let mut request = request;
        let authorized = self.authorize(invite.account, &mut request, Authorized::default());
        let (addressed, flow, fallback) = self.place_invite(&request, invite.target);
        let broken = || Error::Address {
            value: invite.to.to_string(),
        };
        let transaction = self
            .layer
            .begin_client(now, flow, addressed.clone())
            .ok_or_else(broken)?;
        let session = self.calls.fresh();
        let invite_use = InviteUse {
            session,
            request: addressed,
            flow,
            fallback,
            acks: Vec::new(),
            account: invite.account,
            authorized,
            challenges: 0,
        };
        self.clients
            .insert(transaction, ClientUse::Invite(Box::new(invite_use)));
        let phase = Phase::Calling {
            ring_until: now + invite.ring_timeout,
        };
        let calling = Calling {
            transaction,
            local_tag,
            phase,
            early: Vec::new(),
            forks: 0,
            change: None,
            last_progress: None,
        };
        self.calls.put(session, Call::Calling(calling));
        Ok(session)
    }

    /// The INVITE as it goes to `target`: one too large for a datagram goes by TCP first (§18.1.1), and where it goes if that
    /// cannot be had.
    fn place_invite(&mut self, request: &Request, target: Flow) -> (Request, Flow, Option<Flow>) {
        let addressed = self.address_invite(request, target.transport);
        if target.transport == Transport::Udp && addressed.to_bytes().len() > LARGEST_DATAGRAM {
            let flow = Flow {
                transport: Transport::Tcp,
                ..target
            };
            let addressed = self.address_invite(request, Transport::Tcp);
            return (addressed, flow, Some(target));
        }
        (addressed, target, None)
    }

    /// Stops wanting an answer: CANCEL now, or once something has come back (§9.1).
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        session: Session,
        why: Failure,
        reason: Option<ReasonHeader>,
    ) {
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        match calling.phase {
            Phase::Calling { .. } => {
                calling.phase = Phase::CancelWanted { why, reason };
                self.calls.touch(session);
            }
            Phase::Proceeding { .. } => self.send_cancel(now, session, why, reason.as_ref()),
            Phase::CancelWanted { .. } | Phase::Cancelling { .. } => {}
        }
    }

    fn send_cancel(
        &mut self,
        now: Instant,
        session: Session,
        why: Failure,
        reason: Option<&ReasonHeader>,
    ) {
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        calling.phase = Phase::Cancelling {
            why,
            until: now + self.config.timers.transaction_timeout(),
        };
        let transaction = calling.transaction;
        self.calls.touch(session);
        let Some(ClientUse::Invite(invite)) = self.clients.get(&transaction) else {
            return;
        };
        let flow = invite.flow;
        let cancel = self.build_cancel(&invite.request, reason);
        if let Some(id) = self.layer.begin_client(now, flow, cancel) {
            self.clients.insert(id, ClientUse::Cancel);
        }
    }

    /// The ring timeout, or the end of waiting for what a CANCEL should have brought.
    pub(super) fn fire_calling(&mut self, now: Instant, session: Session) {
        let Some(Call::Calling(calling)) = self.calls.get(session) else {
            return;
        };
        match &calling.phase {
            Phase::Calling { ring_until } | Phase::Proceeding { ring_until }
                if now >= *ring_until =>
            {
                self.give_up(now, session, Failure::NoAnswer, None);
            }
            Phase::Cancelling { until, why } if now >= *until => {
                let (transaction, why) = (calling.transaction, why.clone());
                self.layer.abandon_client(transaction);
                self.fail(now, session, why);
            }
            _ => {}
        }
    }

    /// Timer B, or the flow of an INVITE failed.
    pub(super) fn invite_failed(
        &mut self,
        now: Instant,
        id: ClientId,
        error: Option<TransportError>,
    ) {
        let Some(ClientUse::Invite(mut invite)) = self.clients.remove(&id) else {
            return;
        };
        let session = invite.session;
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        if calling.transaction != id {
            return;
        }
        if let Phase::CancelWanted { why, .. } | Phase::Cancelling { why, .. } = &calling.phase {
            let why = why.clone();
            return self.fail(now, session, why);
        }
        if error == Some(TransportError::ConnectFailed)
            && let Some(flow) = invite.fallback.take()
        {
            let request = self.address_invite(&invite.request, flow.transport);
            invite.flow = flow;
            invite.request = request.clone();
            return self.restart_invite(now, session, invite, request);
        }
        self.fail(
            now,
            session,
            error.map_or(Failure::Timeout, Failure::Transport),
        );
    }

    fn restart_invite(
        &mut self,
        now: Instant,
        session: Session,
        invite: Box<InviteUse>,
        request: Request,
    ) {
        let Some(id) = self.layer.begin_client(now, invite.flow, request) else {
            let error = Failure::Transport(TransportError::ConnectFailed);
            return self.fail(now, session, error);
        };
        self.clients.insert(id, ClientUse::Invite(invite));
        if let Some(Call::Calling(calling)) = self.calls.get_mut(session) {
            calling.transaction = id;
        }
    }

    pub(super) fn handle_invite_response(
        &mut self,
        now: Instant,
        id: ClientId,
        from: Flow,
        response: &Response,
    ) {
        if response.status.is_success() {
            self.handle_success(now, id, from, response);
        } else if response.status.is_provisional() {
            self.handle_provisional(now, id, from, response);
        } else {
            self.handle_failure(now, id, from, response);
        }
    }

    fn handle_provisional(&mut self, now: Instant, id: ClientId, from: Flow, response: &Response) {
        let Some(ClientUse::Invite(invite)) = self.clients.get(&id) else {
            return;
        };
        let session = invite.session;
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        match &calling.phase {
            Phase::Calling { ring_until } => {
                calling.phase = Phase::Proceeding {
                    ring_until: *ring_until,
                };
            }
            Phase::CancelWanted { why, reason } => {
                let (why, reason) = (why.clone(), reason.clone());
                return self.send_cancel(now, session, why, reason.as_ref());
            }
            Phase::Proceeding { .. } => {}
            Phase::Cancelling { .. } => return,
        }
        let remote_tag = remote_tag(response);
        if response.status == StatusCode::EARLY_DIALOG_TERMINATED {
            return self.forget_early(now, session, remote_tag.as_deref(), response);
        }
        if let Some(tag) = &remote_tag
            && response.status != StatusCode::TRYING
            && calling.early.len() < self.config.limits.early_dialogs
            && !calling
                .early
                .iter()
                .any(|early| early.dialog.remote_tag() == tag)
            && let Ok(dialog) = Dialog::of_caller(&invite.request, response, invite.flow, from)
        {
            calling.forks += 1;
            calling.early.push(Early::new(Fork(calling.forks), dialog));
        }
        let early = calling.early_with(remote_tag.as_deref());
        // What is said after the answer is to be ignored (§13.2.1): an UPDATE may have changed it since.
        let has_agreed = early.is_some_and(|early| early.agreed.is_some());
        let fork = early.map(|early| early.fork);
        if response.status != StatusCode::TRYING {
            self.acknowledge_provisional(now, session, response);
        }
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        let progress = Progress {
            remote_tag,
            status: response.status,
            body: body(response),
        };
        if calling.last_progress.as_ref() != Some(&progress) {
            self.events.push_back(Event::Progress {
                session,
                status: progress.status,
                fork,
                body: progress.body.clone().filter(|_| !has_agreed),
            });
            calling.last_progress = Some(progress);
        }
    }

    /// 199 (RFC 6228): that one rings no more, others may.
    fn forget_early(
        &mut self,
        now: Instant,
        session: Session,
        remote_tag: Option<&str>,
        response: &Response,
    ) {
        self.acknowledge_provisional(now, session, response);
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        let mut early = calling.early.iter();
        let gone = early.position(|early| Some(early.dialog.remote_tag()) == remote_tag);
        if let Some(gone) = gone {
            let fork = Some(calling.early.remove(gone).fork);
            self.events.push_back(Event::Progress {
                session,
                status: response.status,
                fork,
                body: None,
            });
        }
    }

    /// A 2xx: the first makes the call, unless it was given up; every repetition is ACKed again; the 2xx of another fork
    /// is ACKed and its dialog ended (§13.2.2.4).
    fn handle_success(&mut self, now: Instant, id: ClientId, from: Flow, response: &Response) {
        let Some(ClientUse::Invite(invite)) = self.clients.get_mut(&id) else {
            return;
        };
        let tag = remote_tag(response).unwrap_or_default();
        if let Some(known) = invite.acks.iter().find(|known| known.remote_tag == tag) {
            self.transmits.push_back(known.ack.clone());
            return;
        }
        if invite.acks.len() >= MAX_FORKS {
            return;
        }
        let session = invite.session;
        let number = invite.request.headers.cseq().map_or(1, |cseq| cseq.number);
        let mut local_sdp = std::mem::take(&mut invite.request.body);
        let dialog = Dialog::of_caller(&invite.request, response, invite.flow, from);
        let Ok(mut dialog) = dialog else {
            // A 2xx that no dialog can be made of cannot even be ACKed: the caller hears it failed.
            return self.fail_if_calling(now, session, Failure::Transport(TransportError::Closed));
        };
        let ack = self.build_ack(&dialog, number);
        self.transmits.push_back(ack.clone());
        self.remember_ack(id, tag, ack);
        let why = match self.calls.get(session) {
            Some(Call::Calling(calling)) => match &calling.phase {
                Phase::Calling { .. } | Phase::Proceeding { .. } => None,
                Phase::CancelWanted { why, .. } | Phase::Cancelling { why, .. } => {
                    Some(why.clone())
                }
            },
            // Another fork has answered before.
            _ => return self.send_hidden_bye(now, &mut dialog),
        };
        if let Some(why) = why {
            self.send_hidden_bye(now, &mut dialog);
            return self.fail(now, session, why);
        }
        let mut body = body(response);
        let mut remote_sdp = response.body.clone();
        let (mut change, mut fork) = (Change::None, None);
        if let Some(Call::Calling(calling)) = self.calls.take(session) {
            let same = |early: &Early| early.dialog.remote_tag() == dialog.remote_tag();
            if let Some(early) = calling.early.into_iter().find(same) {
                dialog.continue_from(&early.dialog);
                fork = Some(early.fork);
                if let Some(Agreed { remote, local }) = early.agreed {
                    // After an UPDATE what the 2xx says is old (RFC 6337 §3.1.1).
                    match local {
                        Some(said) => (local_sdp, body) = (said, None),
                        None => body = body.or_else(|| Some(remote.clone())),
                    }
                    remote_sdp = body.clone().unwrap_or(remote);
                }
            }
            match calling.change {
                Some(asked) if dialog.matches(&asked.request) => {
                    // It has overtaken the application's answer, which counts, and it is older.
                    change = Change::Theirs(asked);
                    body = None;
                }
                other => self.drop_early_change(now, other),
            }
        }
        let up = Up {
            dialog,
            local_sdp,
            remote_sdp,
            ack: AckWait::Confirmed,
            infos: Infos::default(),
            referrals: Referrals::default(),
            change,
            wanted: None,
            timer: SessionTimer::of_response(now, response),
            min_se: None,
            prack: None,
        };
        self.calls.put(session, Call::Up(up));
        let answered = Event::Answered {
            session,
            fork,
            body,
        };
        self.events.push_back(answered);
    }

    fn remember_ack(&mut self, id: ClientId, remote_tag: String, ack: Transmit) {
        if let Some(ClientUse::Invite(invite)) = self.clients.get_mut(&id) {
            invite.acks.push(Acknowledged { remote_tag, ack });
        }
    }

    fn handle_failure(&mut self, now: Instant, id: ClientId, from: Flow, response: &Response) {
        let Some(ClientUse::Invite(invite)) = self.clients.get(&id) else {
            return;
        };
        let session = invite.session;
        let Some(Call::Calling(calling)) = self.calls.get(session) else {
            return;
        };
        let given_up = match &calling.phase {
            Phase::CancelWanted { why, .. } | Phase::Cancelling { why, .. } => Some(why.clone()),
            Phase::Calling { .. } | Phase::Proceeding { .. } => None,
        };
        if let Some(why) = given_up {
            return self.fail(now, session, why);
        }
        if is_challenge(response.status)
            && let Some(account) = invite.account
            && invite.challenges < MAX_CHALLENGES
            && is_same_peer(invite.flow, from)
        {
            let mut sent = invite.authorized.clone();
            return match self.take_challenge(account, (&Method::Invite, response), &mut sent) {
                Ok(()) => self.invite_again(now, id, session, (account, sent)),
                Err(why) => self.fail(now, session, Failure::Unauthorized(why)),
            };
        }
        self.fail(now, session, Failure::of_response(response));
    }

    /// The INVITE once more, with the answer to a challenge: the same call, the next CSeq (§22.1). Requests inside the dialog
    /// carry no credentials, and a challenge there is not answered: what is beyond the proxy could be asking.
    fn invite_again(
        &mut self,
        now: Instant,
        id: ClientId,
        session: Session,
        (account, sent): (Account, Authorized),
    ) {
        let (Some(ClientUse::Invite(invite)), Some(Call::Calling(calling))) =
            (self.clients.get(&id), self.calls.get_mut(session))
        else {
            return;
        };
        let mut request = invite.request.clone();
        let target = invite.fallback.unwrap_or(invite.flow);
        let challenges = invite.challenges + 1;
        // A CANCEL must wait again (§9.1), and what had come back was of the transaction that is over.
        if let Phase::Proceeding { ring_until } = calling.phase {
            calling.phase = Phase::Calling { ring_until };
        }
        calling.early.clear();
        let change = calling.change.take();
        self.drop_early_change(now, change);
        let number = request.headers.cseq().map_or(1, |cseq| cseq.number) + 1;
        let _ = request.headers.set("CSeq", format_args!("{number} INVITE"));
        let authorized = self.authorize(Some(account), &mut request, sent);
        let (request, flow, fallback) = self.place_invite(&request, target);
        let invite = InviteUse {
            session,
            request: request.clone(),
            flow,
            fallback,
            acks: Vec::new(),
            account: Some(account),
            authorized,
            challenges,
        };
        self.restart_invite(now, session, Box::new(invite), request);
    }

    fn fail_if_calling(&mut self, now: Instant, session: Session, failure: Failure) {
        if matches!(self.calls.get(session), Some(Call::Calling(_))) {
            self.fail(now, session, failure);
        }
    }

    fn fail(&mut self, now: Instant, session: Session, failure: Failure) {
        if let Some(call) = self.calls.take(session) {
            if let Call::Calling(calling) = call {
                self.drop_early_change(now, calling.change);
            }
            self.events.push_back(Event::Failed { session, failure });
        }
    }

    /// Ends a call that is up. `report` is what the application hears when the BYE is answered.
    pub(super) fn send_bye(
        &mut self,
        now: Instant,
        session: Session,
        reason: Option<ReasonHeader>,
        report: Option<EndedBy>,
    ) {
        self.drop_change(now, session);
        let Some(Call::Up(up)) = self.calls.take(session) else {
            return;
        };
        let flow = up.dialog.next_hop();
        let ending = Ending {
            dialog: up.dialog,
            reason,
            report,
            flow,
            retried: false,
        };
        self.begin_bye(now, session, ending);
    }

    fn begin_bye(&mut self, now: Instant, session: Session, mut ending: Ending) {
        let reason = ending.reason.as_ref();
        let bye = self.build_bye(&mut ending.dialog, ending.flow, reason);
        if let Some(id) = self.layer.begin_client(now, ending.flow, bye) {
            self.clients.insert(id, ClientUse::Bye(Some(session)));
            self.calls.put(session, Call::Ending(ending));
        }
    }

    /// The BYE could not be sent, or nobody answered it. If its TCP connection is gone there may be another way.
    pub(super) fn bye_failed(
        &mut self,
        now: Instant,
        session: Option<Session>,
        error: Option<TransportError>,
    ) {
        let other = session.and_then(|session| match self.calls.get(session) {
            Some(Call::Ending(ending)) if error.is_some() && !ending.retried => {
                Some((session, ending.dialog.alternative(ending.flow)?))
            }
            _ => None,
        });
        let Some((session, flow)) = other else {
            return self.finish_bye(session, Some(EndedBy::Timeout));
        };
        if let Some(Call::Ending(mut ending)) = self.calls.take(session) {
            ending.flow = flow;
            ending.retried = true;
            self.begin_bye(now, session, ending);
        }
    }

    /// Ends a dialog that the application never saw.
    fn send_hidden_bye(&mut self, now: Instant, dialog: &mut Dialog) {
        let flow = dialog.next_hop();
        let bye = self.build_bye(dialog, flow, None);
        if let Some(id) = self.layer.begin_client(now, flow, bye) {
            self.clients.insert(id, ClientUse::Bye(None));
        }
    }

    /// Our BYE was answered, in whatever way, or never will be (§15.1.1).
    pub(super) fn finish_bye(&mut self, session: Option<Session>, instead: Option<EndedBy>) {
        let Some(session) = session else {
            return;
        };
        if !matches!(self.calls.get(session), Some(Call::Ending(_))) {
            return;
        }
        if let Some(Call::Ending(ending)) = self.calls.take(session)
            && let Some(by) = ending.report
        {
            self.events.push_back(Event::Ended {
                session,
                reason: ending.reason,
                by: instead.unwrap_or(by),
            });
        }
    }
}

fn remote_tag(response: &Response) -> Option<String> {
    let to = response.headers.to().ok()?;
    to.tag().map(str::to_owned)
}

fn body(response: &Response) -> Option<Vec<u8>> {
    (!response.body.is_empty()).then(|| response.body.clone())
}
