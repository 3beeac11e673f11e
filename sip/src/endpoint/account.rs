//! Accounts: who we are to a registrar or proxy, its REGISTERs (RFC 3261 §10.2) and its credentials (§22).
//!
//! One call of [`Endpoint::register`](super::Endpoint::register) is one attempt, with the answers to challenges in it;
//! when the next is due is [`registration::Schedule`](crate::registration::Schedule)'s.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Endpoint, Error, Failure, Flow,
    build::{ALLOW, put},
    state::ClientUse,
};
use crate::{
    dialog::{for_request_line, is_same_peer},
    digest::{Authenticator, Authorized, Credentials, Unanswerable},
    message::{Request, Response},
    method::{Method, StatusCode},
    transaction::ClientId,
    uri::Uri,
};

/// How often one request is sent again for a challenge: once for the proxy, once for the server, once for a nonce that
/// ran out.
pub(super) const MAX_CHALLENGES: u8 = 3;

/// A registrar that wants a longer time than this asks for too much.
const LONGEST_EXPIRES: u32 = 86_400;

/// The most proxies a registrar may put before itself.
const MAX_ROUTES: usize = 8;

/// An account of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(u64);

/// How an account is set up.
#[derive(Debug, Clone)]
pub struct AccountConfig {
    /// The address of record: From, and To of a REGISTER.
    pub identity: Uri,
    /// What challenges are answered with; none if there are none to be answered.
    pub credentials: Option<Credentials>,
}

/// A REGISTER to send.
#[derive(Debug, Clone)]
pub struct Register {
    /// The registrar: the Request-URI, without a user.
    pub registrar: Uri,
    /// The next hop.
    pub target: Flow,
    /// For how long; zero ends the registration.
    pub expires: Duration,
}

/// What became of a REGISTER.
#[derive(Debug, Clone, PartialEq)]
pub enum RegistrationEvent {
    /// We are registered for so long; for no time once it was ended.
    Registered {
        /// Whose REGISTER it was.
        account: Account,
        /// What the registrar granted.
        expires: Duration,
    },
    /// We are not.
    Failed {
        /// Whose REGISTER it was.
        account: Account,
        /// Why.
        failure: Failure,
    },
}

#[derive(Debug)]
pub(super) struct State {
    identity: Uri,
    authenticator: Option<Authenticator>,
    /// The REGISTERs of an account are one sequence (§10.2).
    call_id: String,
    local_tag: String,
    number: u32,
    /// The registrar's proxies, for requests outside dialogs (RFC 3608).
    service_route: Vec<String>,
    /// The REGISTER that is out.
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    transaction: ClientId,
    register: Register,
    /// It carried credentials.
    authorized: Authorized,
    challenges: u8,
}

/// The accounts and what became of their REGISTERs.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    last: u64,
    states: HashMap<Account, State>,
    pub(super) events: VecDeque<RegistrationEvent>,
}

impl Accounts {
    pub(super) fn get(&self, account: Account) -> Option<&State> {
        self.states.get(&account)
    }
}

impl State {
    pub(super) fn identity(&self) -> &Uri {
        &self.identity
    }

    pub(super) fn service_route(&self) -> &[String] {
        &self.service_route
    }
}

impl Endpoint {
    pub(super) fn insert_account(&mut self, config: AccountConfig) -> Account {
        let state = State {
            identity: config.identity,
            authenticator: config.credentials.map(Authenticator::new),
            call_id: self.random_token(),
            local_tag: self.random_token(),
            number: 0,
            service_route: Vec::new(),
            pending: None,
        };
        self.accounts.last += 1;
        let account = Account(self.accounts.last);
        self.accounts.states.insert(account, state);
        account
    }

    pub(super) fn start_register(
        &mut self,
        now: Instant,
        account: Account,
        register: Register,
    ) -> Result<(), Error> {
        let limit = self.config.limits.client_transactions;
        if self.layer.clients() >= limit {
            return Err(Error::Overloaded { limit });
        }
        self.send_register(now, account, register, 0)
    }

    fn send_register(
        &mut self,
        now: Instant,
        account: Account,
        register: Register,
        challenges: u8,
    ) -> Result<(), Error> {
        let mut request = self.build_register(account, &register)?;
        let authorized = self.authorize(Some(account), &mut request, Authorized::default());
        self.stamp_via(&mut request, register.target.transport);
        let begun = self.layer.begin_client(now, register.target, request);
        let transaction = begun.ok_or_else(|| Error::Address {
            value: register.registrar.to_string(),
        })?;
        self.clients
            .insert(transaction, ClientUse::Register(account));
        if let Some(state) = self.accounts.states.get_mut(&account) {
            // What an earlier one still brings is nobody's.
            state.pending = Some(Pending {
                transaction,
                register,
                authorized,
                challenges,
            });
        }
        Ok(())
    }

    /// Without Via and credentials.
    fn build_register(&mut self, account: Account, register: &Register) -> Result<Request, Error> {
        let user_agent = self.config.user_agent.clone();
        let state = self.accounts.states.get_mut(&account);
        let state = state.ok_or(Error::UnknownAccount)?;
        state.number += 1;
        let (number, tag, call_id) = (state.number, &state.local_tag, &state.call_id);
        let identity = &state.identity;
        let registrar = Uri {
            user: None,
            ..register.registrar.clone()
        };
        let mut request = Request::new(Method::Register, for_request_line(&registrar));
        let fields = [
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<{identity}>;tag={tag}")),
            ("To", format!("<{identity}>")),
            ("Call-ID", call_id.clone()),
            ("CSeq", format!("{number} REGISTER")),
            ("Expires", register.expires.as_secs().to_string()),
            ("Allow", ALLOW.to_owned()),
            ("Supported", "path".to_owned()),
            ("User-Agent", user_agent),
        ];
        let user = identity.user.clone();
        for (name, value) in fields {
            let pushed = request.headers.push(name, &value);
            pushed.map_err(|_| Error::Address { value })?;
        }
        let contact = self.contact(user.as_deref(), register.target.transport);
        put(&mut request.headers, "Contact", &contact);
        Ok(request)
    }

    /// Puts an account's credentials into a request, for each challenge that came before; says for which. `before` is what
    /// it was sent with, if it was.
    pub(super) fn authorize(
        &mut self,
        account: Option<Account>,
        request: &mut Request,
        before: Authorized,
    ) -> Authorized {
        account
            .and_then(|account| self.accounts.states.get_mut(&account))
            .and_then(|state| state.authenticator.as_mut())
            .map(|authenticator| authenticator.authorize(request, before))
            .unwrap_or_default()
    }

    /// A 401 or 407 to a request that carried the account's credentials for what `sent` says. After `Ok` it is to be sent again.
    pub(super) fn take_challenge(
        &mut self,
        account: Account,
        (method, response): (&Method, &Response),
        sent: &mut Authorized,
    ) -> Result<(), Unanswerable> {
        let cnonce = self.random_token();
        let state = self.accounts.states.get_mut(&account);
        match state.and_then(|state| state.authenticator.as_mut()) {
            Some(authenticator) => authenticator.handle_challenge(
                (method, response.status),
                &response.headers,
                sent,
                cnonce,
            ),
            None => Err(Unanswerable::NoCredentials),
        }
    }

    pub(super) fn handle_register_response(
        &mut self,
        now: Instant,
        (id, from): (ClientId, Flow),
        account: Account,
        response: &Response,
    ) {
        let Some(mut pending) = self.take_pending(account, id) else {
            return;
        };
        match response.status {
            status if status.is_success() => self.registered(account, &pending.register, response),
            status
                if is_challenge(status)
                    && pending.challenges < MAX_CHALLENGES
                    && is_same_peer(pending.register.target, from) =>
            {
                match self.take_challenge(
                    account,
                    (&Method::Register, response),
                    &mut pending.authorized,
                ) {
                    Ok(()) => self.register_again(now, account, pending),
                    Err(why) => self.registration_failed(account, Failure::Unauthorized(why)),
                }
            }
            StatusCode::INTERVAL_TOO_BRIEF if pending.challenges < MAX_CHALLENGES => {
                let least = response.headers.get("Min-Expires");
                let least = least.and_then(|text| text.trim().parse::<u32>().ok());
                let asked = pending.register.expires;
                match least.map(|least| (least, Duration::from_secs(least.into()))) {
                    Some((least, expires)) if least <= LONGEST_EXPIRES && expires > asked => {
                        let register = Register {
                            expires,
                            ..pending.register
                        };
                        self.register_again(
                            now,
                            account,
                            Pending {
                                register,
                                ..pending
                            },
                        );
                    }
                    _ => self.registration_failed(account, Failure::of_response(response)),
                }
            }
            _ => self.registration_failed(account, Failure::of_response(response)),
        }
    }

    pub(super) fn register_failed(&mut self, id: ClientId, account: Account, failure: Failure) {
        if self.take_pending(account, id).is_some() {
            self.registration_failed(account, failure);
        }
    }

    fn take_pending(&mut self, account: Account, id: ClientId) -> Option<Pending> {
        let state = self.accounts.states.get_mut(&account)?;
        state.pending.take_if(|pending| pending.transaction == id)
    }

    fn register_again(&mut self, now: Instant, account: Account, pending: Pending) {
        let challenges = pending.challenges + 1;
        let sent = self.send_register(now, account, pending.register, challenges);
        if sent.is_err() {
            self.registration_failed(account, Failure::Timeout);
        }
    }

    /// §10.2.4: how long is said by our own Contact, or by Expires.
    fn registered(&mut self, account: Account, register: &Register, response: &Response) {
        let headers = &response.headers;
        let Some(state) = self.accounts.states.get_mut(&account) else {
            return;
        };
        let routes = headers.get_all("Service-Route").map(str::trim);
        state.service_route = routes
            .filter(|route| !route.is_empty())
            .take(MAX_ROUTES)
            .map(str::to_owned)
            .collect();
        let user = state.identity.user.clone();
        let own = self.own_uri(user.as_deref());
        let contacts = headers.contacts().unwrap_or_default();
        let ours = contacts.iter().find(|contact| {
            (&contact.uri.user, &contact.uri.host, contact.uri.port)
                == (&own.user, &own.host, own.port)
        });
        let granted = ours
            .and_then(|contact| contact.params.get("expires")?.parse::<u32>().ok())
            .or(headers.expires())
            .map(|seconds| Duration::from_secs(seconds.min(LONGEST_EXPIRES).into()));
        let expires = match register.expires.is_zero() {
            true => Duration::ZERO,
            false => granted.unwrap_or(register.expires),
        };
        self.accounts
            .events
            .push_back(RegistrationEvent::Registered { account, expires });
    }

    fn registration_failed(&mut self, account: Account, failure: Failure) {
        self.accounts
            .events
            .push_back(RegistrationEvent::Failed { account, failure });
    }
}

/// Whether a response asks for credentials.
pub(super) fn is_challenge(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    )
}
