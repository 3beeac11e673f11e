//! A user agent core (RFC 3261 §8, §12 to §15): calls in and out over the transactions, sans-IO.
//!
//! Feed it packets, messages, transport errors and the time; after each, take what it has to send with
//! [`Endpoint::poll_transmit`], what happened with [`Endpoint::poll_event`], and when it must be woken with
//! [`Endpoint::poll_timeout`].

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{
    dtmf::DtmfInfo,
    headers::ReasonHeader,
    message::{Message, Response},
    method::StatusCode,
    transaction::{ClientId, Layer, Output, ServerId},
    uri::Uri,
};

mod account;
mod admit;
mod api;
mod bucket;
mod build;
mod callee;
mod caller;
mod early;
mod in_dialog;
mod info;
mod modify;
mod options;
mod refer;
mod reliable;
mod session_timer;
mod state;
#[cfg(test)]
mod tests;

use account::Accounts;
pub use account::{Account, AccountConfig, Register, RegistrationEvent};
pub use api::{
    EndedBy, EndpointConfig, Error, Event, Failure, Flow, Fork, Invite, Limits, Session, Transmit,
    Transport, TransportError,
};
use bucket::Bucket;
pub use options::Probe;
pub use refer::Referral;
use state::{AckWait, Call, Calls, ClientUse, PendingBye, Up};

/// What an endpoint holds at this moment, for metrics and for tests that look for leaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls.
    pub sessions: usize,
    /// Client transactions.
    pub client_transactions: usize,
    /// Server transactions.
    pub server_transactions: usize,
}

/// A SIP user agent: caller and callee of any number of calls on one local address.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    rng: ChaCha20Rng,
    /// Keys the To tags of stateless answers, so that a repeated request gets the same one (§8.2.7).
    stateless_secret: [u8; 16],
    layer: Layer,
    calls: Calls,
    clients: HashMap<ClientId, ClientUse>,
    /// Our re-INVITEs of calls that have ended, and when they are forgotten; the next first.
    orphans: VecDeque<(Instant, ClientId)>,
    /// The INVITEs that wait for our final answer.
    pending_invites: HashMap<ServerId, Session>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    accepting: bool,
    refusals: Bucket,
    accounts: Accounts,
    last_probe: u64,
    probe_answers: VecDeque<(Probe, Option<StatusCode>)>,
}

impl Endpoint {
    /// An endpoint without calls, accepting new ones.
    pub fn new(config: EndpointConfig) -> Self {
        let mut rng = ChaCha20Rng::from_seed(config.seed);
        let stateless_secret = build::random_bytes(&mut rng);
        Self {
            rng,
            stateless_secret,
            layer: Layer::new(config.timers),
            calls: Calls::default(),
            clients: HashMap::new(),
            orphans: VecDeque::new(),
            pending_invites: HashMap::new(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            accepting: true,
            refusals: Bucket::new(config.limits.refusals_per_second),
            accounts: Accounts::default(),
            last_probe: 0,
            probe_answers: VecDeque::new(),
            config,
        }
    }

    /// One UDP datagram, or the bytes of exactly one message of a TCP connection.
    pub fn handle_packet(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        match crate::parse_datagram(bytes) {
            Ok(message) => self.handle_message(now, flow, message),
            Err(error) => {
                if let Some(response) = error.respond() {
                    self.refuse_statelessly(now, flow, response);
                }
            }
        }
        self.settle(now);
    }

    /// One message, already parsed (a TCP connection's framer yields these).
    pub fn handle_message(&mut self, now: Instant, flow: Flow, message: Message) {
        match message {
            Message::Request(request) => self.handle_request(now, flow, request),
            Message::Response(response) => self.handle_response(now, flow, response),
        }
        self.settle(now);
    }

    /// A flow failed: transactions that wait on it fail now instead of at their timeout.
    pub fn handle_transport_error(&mut self, now: Instant, flow: Flow, error: TransportError) {
        self.layer.handle_transport_error(now, flow, error);
        self.settle(now);
    }

    /// Fires every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.layer.handle_timeout(now);
        self.settle(now);
        self.fire_call_timers(now);
        self.forget_orphans(now);
        self.settle(now);
    }

    /// When [`Endpoint::handle_timeout`] must next be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.calls.next_deadline();
        let orphans = self.orphans.front().map(|(until, _)| *until);
        [self.layer.poll_timeout(), calls, orphans]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Adds an account with a registrar or proxy.
    pub fn add_account(&mut self, config: AccountConfig) -> Account {
        self.insert_account(config)
    }

    /// Registers an account, or renews or ends its registration; one REGISTER at a time. What comes of it, challenges
    /// answered, is in [`Endpoint::poll_registration_event`], at the latest after four times 64·T1.
    ///
    /// # Errors
    /// [`Error`]; nothing was sent then, and nothing follows.
    pub fn register(
        &mut self,
        now: Instant,
        account: Account,
        register: Register,
    ) -> Result<(), Error> {
        let started = self.start_register(now, account, register);
        self.settle(now);
        started
    }

    /// What became of the next REGISTER.
    pub fn poll_registration_event(&mut self) -> Option<RegistrationEvent> {
        self.accounts.events.pop_front()
    }

    /// Asks by OPTIONS whether somebody is there. [`Endpoint::poll_probe_answer`] says, at the latest after 64·T1.
    ///
    /// # Errors
    /// [`Error`] when a limit is reached or the URI cannot be put into a message; nothing was sent then.
    pub fn probe(&mut self, now: Instant, uri: &Uri, target: Flow) -> Result<Probe, Error> {
        let probe = self.start_probe(now, uri, target);
        self.settle(now);
        probe
    }

    /// What the next OPTIONS was answered with; none where it was not.
    pub fn poll_probe_answer(&mut self) -> Option<(Probe, Option<StatusCode>)> {
        self.probe_answers.pop_front()
    }

    /// Calls somebody.
    ///
    /// # Errors
    /// [`Error`] when a limit is reached or an address or header cannot be put into a message; nothing was sent then.
    pub fn invite(&mut self, now: Instant, invite: Invite) -> Result<Session, Error> {
        let session = self.start_invite(now, invite)?;
        self.settle(now);
        Ok(session)
    }

    /// Gives up a call of ours that is not answered yet. [`Event::Failed`] with [`Failure::Cancelled`] follows, at the
    /// latest after 64·T1. CANCEL waits for a provisional response (§9.1); a 200 that crosses it is ACKed and BYEd.
    /// On a call that has been answered meanwhile this is [`Endpoint::bye`].
    pub fn cancel(&mut self, now: Instant, session: Session, reason: Option<ReasonHeader>) {
        self.end_call(now, session, reason);
        self.settle(now);
    }

    /// Ends a call. [`Event::Ended`] follows when the BYE is answered, at the latest after 64·T1. A callee's BYE waits
    /// for the ACK (§15). On a call that is not answered yet this is [`Endpoint::cancel`], or a 480 to an incoming one.
    pub fn bye(&mut self, now: Instant, session: Session, reason: Option<ReasonHeader>) {
        self.end_call(now, session, reason);
        self.settle(now);
    }

    /// Sends a key by INFO, after those that wait. [`Event::InfoFailed`] follows when it is not taken; those that wait
    /// behind it are dropped then.
    ///
    /// # Errors
    /// [`Error::NotUp`] before the call is answered and after its end, [`Error::Overloaded`] when too many wait.
    pub fn info(&mut self, now: Instant, session: Session, key: DtmfInfo) -> Result<(), Error> {
        let queued = self.queue_info(now, session, key);
        self.settle(now);
        queued
    }

    /// Offers to change the session of a call that is up, by re-INVITE: at once, or when the offer that is under way has
    /// been answered; a newer offer takes the place of one that waits. [`Event::OfferAnswered`] or
    /// [`Event::OfferRefused`] follows; one that met an offer of theirs goes again (491, §14.1).
    ///
    /// # Errors
    /// [`Error::NotUp`] before the call is answered and after its end.
    pub fn offer(&mut self, now: Instant, session: Session, sdp: Vec<u8>) -> Result<(), Error> {
        let wanted = self.want_change(now, session, sdp);
        self.settle(now);
        wanted
    }

    /// Answers [`Event::Offer`]: with SDP, or with a final status of 300 to 699, which leaves the session as it was.
    pub fn answer_offer(
        &mut self,
        now: Instant,
        session: Session,
        answer: Result<Vec<u8>, StatusCode>,
    ) {
        self.finish_change(now, session, answer);
        self.settle(now);
    }

    /// Asks the other side of a call to call somebody else instead (RFC 3515). [`Event::ReferAnswered`] follows, and after a
    /// 2xx [`Event::ReferProgress`]; the call itself stays up until somebody ends it.
    ///
    /// # Errors
    /// [`Error::NotUp`] where a call is not up, [`Error::Overloaded`] while an earlier one is under way, or with too many
    /// transactions.
    pub fn refer(
        &mut self,
        now: Instant,
        session: Session,
        referral: &Referral,
    ) -> Result<(), Error> {
        let sent = self.send_refer(now, session, referral);
        self.settle(now);
        sent
    }

    /// Answers [`Event::Referred`]: with a 2xx we are at it, and say so with [`Endpoint::notify`].
    pub fn answer_refer(&mut self, now: Instant, session: Session, status: StatusCode) {
        self.finish_refer(now, session, status);
        self.settle(now);
    }

    /// Says how far a transfer is that they asked for: what the one we call has said. A final status is the last; a `bye`
    /// waits until they have it.
    pub fn notify(&mut self, now: Instant, session: Session, status: StatusCode) {
        self.queue_notice(now, session, status);
        self.settle(now);
    }

    /// Sends a provisional response (101 to 199) to an incoming call, with SDP for early media if given.
    /// It is repeated every minute (§13.3.1.1).
    pub fn ring(
        &mut self,
        now: Instant,
        session: Session,
        status: StatusCode,
        body: Option<Vec<u8>>,
    ) {
        self.send_provisional(now, session, status, body);
        self.settle(now);
    }

    /// Answers an incoming call with 200 and this SDP, repeated until the ACK comes ([`Event::Confirmed`]); if none
    /// comes for 64·T1 the call is ended with BYE ([`EndedBy::Timeout`], §13.3.1.4).
    pub fn accept(&mut self, now: Instant, session: Session, body: Vec<u8>) {
        self.send_success(now, session, body);
        self.settle(now);
    }

    /// Refuses an incoming call with a final status of 300 to 699. The session is gone; no event follows.
    pub fn reject(
        &mut self,
        now: Instant,
        session: Session,
        status: StatusCode,
        reason: Option<ReasonHeader>,
    ) {
        self.send_rejection(now, session, status, reason);
        self.settle(now);
    }

    /// Graceful end: while false, new INVITEs and OPTIONS are answered 503 with Retry-After. Running calls go on.
    pub fn set_accepting(&mut self, accepting: bool) {
        self.accepting = accepting;
    }

    /// Carries out what the transactions ask for.
    fn settle(&mut self, now: Instant) {
        while let Some(output) = self.layer.poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmits.push_back(transmit),
                Output::ClientTimeout(id) => self.client_failed(now, id, None),
                Output::ClientTransportError(id, error) => {
                    self.client_failed(now, id, Some(error));
                }
                Output::ClientTerminated(id) => {
                    self.clients.remove(&id);
                }
                Output::ServerTerminated(id) => {
                    self.pending_invites.remove(&id);
                }
            }
        }
    }

    /// A response, once the transaction layer knows whose it is.
    fn handle_response(&mut self, now: Instant, flow: Flow, response: Response) {
        let Some((id, response)) = self.layer.handle_response(now, response) else {
            return;
        };
        // The transaction's own ACK, if any, goes out before what the response leads to.
        self.settle(now);
        match self.clients.get(&id) {
            Some(ClientUse::Invite(_)) => self.handle_invite_response(now, id, flow, &response),
            Some(ClientUse::Reinvite(_)) => self.handle_reinvite_response(now, id, &response),
            Some(ClientUse::Bye(session)) if response.status.is_final() => {
                let session = *session;
                self.finish_bye(session, None);
            }
            Some(ClientUse::Info(session)) if response.status.is_final() => {
                let session = *session;
                self.finish_info(now, session, Some(response.status));
            }
            Some(ClientUse::Refer(session)) if response.status.is_final() => {
                let session = *session;
                self.refer_answered(session, Some(response.status));
            }
            Some(ClientUse::Notify(session)) if response.status.is_final() => {
                let session = *session;
                self.notice_answered(now, session, Some(response.status));
            }
            Some(ClientUse::Register(account)) if response.status.is_final() => {
                let account = *account;
                self.handle_register_response(now, (id, flow), account, &response);
            }
            Some(ClientUse::Probe(probe)) if response.status.is_final() => {
                let probe = *probe;
                self.probed(probe, Some(response.status));
            }
            Some(
                ClientUse::Bye(_)
                | ClientUse::Info(_)
                | ClientUse::Refer(_)
                | ClientUse::Notify(_)
                | ClientUse::Register(_)
                | ClientUse::Probe(_)
                | ClientUse::Cancel
                | ClientUse::Prack,
            )
            | None => {}
        }
    }

    /// A transaction of ours got no answer, or could not be sent.
    fn client_failed(&mut self, now: Instant, id: ClientId, error: Option<TransportError>) {
        match self.clients.get(&id) {
            Some(ClientUse::Invite(_)) => self.invite_failed(now, id, error),
            Some(ClientUse::Reinvite(_)) => self.reinvite_failed(now, id, error),
            Some(ClientUse::Bye(session)) => {
                let session = *session;
                self.bye_failed(now, session, error);
            }
            Some(ClientUse::Info(session)) => {
                let session = *session;
                self.finish_info(now, session, None);
            }
            Some(ClientUse::Refer(session)) => {
                let session = *session;
                self.refer_answered(session, None);
            }
            Some(ClientUse::Notify(session)) => {
                let session = *session;
                self.notice_answered(now, session, None);
            }
            Some(ClientUse::Register(account)) => {
                let account = *account;
                let failure = error.map_or(Failure::Timeout, Failure::Transport);
                self.register_failed(id, account, failure);
            }
            Some(ClientUse::Probe(probe)) => {
                let probe = *probe;
                self.probed(probe, None);
            }
            Some(ClientUse::Cancel | ClientUse::Prack) | None => {}
        }
    }

    fn fire_call_timers(&mut self, now: Instant) {
        for session in self.calls.due(now) {
            match self.calls.get(session) {
                Some(Call::Calling(_)) => self.fire_calling(now, session),
                Some(Call::Ringing(_)) => {
                    self.fire_ringing(now, session);
                    self.fire_reliable(now, session);
                }
                Some(Call::Up(_)) => {
                    self.fire_unacknowledged(now, session);
                    self.fire_change(now, session);
                    self.fire_session_timer(now, session);
                }
                Some(Call::Ending(_)) | None => {}
            }
        }
    }

    /// `cancel` and `bye`: whatever ends the call in the state it is in.
    fn end_call(&mut self, now: Instant, session: Session, reason: Option<ReasonHeader>) {
        match self.calls.get_mut(session) {
            Some(Call::Calling(_)) => self.give_up(now, session, Failure::Cancelled, reason),
            Some(Call::Ringing(_)) => {
                let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                self.send_rejection(now, session, status, reason);
            }
            Some(Call::Up(Up {
                ack: AckWait::Waiting(waiting),
                ..
            })) if waiting.first => waiting.then_bye = Some(PendingBye { reason }),
            Some(Call::Up(up)) => {
                if !up.referrals.hold_bye(&reason) {
                    self.send_bye(now, session, reason, Some(EndedBy::Local));
                }
            }
            Some(Call::Ending(_)) | None => {}
        }
    }

    /// How much it holds.
    pub fn load(&self) -> Load {
        Load {
            sessions: self.calls.len(),
            client_transactions: self.layer.clients(),
            server_transactions: self.layer.servers(),
        }
    }

    /// Whether `session` has an established dialog that nobody has ended yet.
    pub fn is_up(&self, session: Session) -> bool {
        matches!(self.calls.get(session), Some(Call::Up(_)))
    }
}
