//! Calls of telephones: who may call, whom the number is for, and where he is.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use sip::{Host, NameAddr, Request};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cause::CauseCode;
use super::machine::{Caller, Identity, Replacement};
use super::record::{Direction, Parties};
use super::registry::{Arriving, Registry};
use super::route::{INTERNAL, Internal};
use crate::directory::Directory;
use crate::settings::{Trunk, TrunkStir};
use crate::sip_driver::{IncomingCall, SipHandle};
use crate::stir::passport::Call;
use crate::stir::{self, Failure, Finding, Signed, Verifier};
use crate::trunks::{TrunkId, Trunks};

/// How often the trunk's names are resolved again: RFC 3263 leaves it to the records' time to live, which the system's
/// resolver does not tell.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// Strangers are told of in the log, but not each of a flood.
const WARN_AGAIN: Duration = Duration::from_secs(10);

/// How many calls may wait for what their signatures come to; of more it is not looked at.
const MAX_CHECKED: usize = 256;

/// Takes the calls that come in.
#[derive(Debug)]
pub struct Inbound {
    /// Where calls begin.
    pub registry: Arc<Registry>,
    /// Whom they are for.
    pub directory: Arc<Directory>,
    /// Where they come from.
    pub trunks: Arc<Trunks>,
    /// How users call each other.
    pub internal: Internal,
    /// Who looks at their signatures.
    pub stir: Option<Verifier>,
}

impl Inbound {
    /// Takes calls until there are no more.
    pub async fn run(self, mut calls: mpsc::Receiver<IncomingCall>) {
        let mut resolving = JoinSet::new();
        let mut sources = Vec::new();
        for (id, trunk, _) in self.trunks.iter() {
            let of_trunk = Sources::default();
            let sip = self.registry.sip.clone();
            resolving.spawn(of_trunk.clone().keep(sip, Arc::clone(trunk)));
            sources.push((id, Arc::clone(trunk), of_trunk));
        }
        let internal = Arc::new(self.internal.trunk());
        let mut strangers = Strangers::default();
        let this = Arc::new(self);
        // A call that waits for its certificate holds up no other.
        let mut checked = JoinSet::new();
        loop {
            let call = tokio::select! {
                call = calls.recv() => match call {
                    Some(call) => call,
                    None => break,
                },
                Some(_) = checked.join_next() => continue,
            };
            let from = call.flow.remote.ip().to_canonical();
            let shown = call.request.headers.get(INTERNAL);
            if shown.is_some_and(|shown| this.internal.secret.matches(shown)) {
                this.take(&internal, None, call, None).await;
                continue;
            }
            let known = sources
                .iter()
                .find(|(_, trunk, sources)| sources.include(trunk, from));
            match known {
                Some((id, trunk, _)) if asks_for_signature(trunk, &call) => {
                    if checked.len() >= MAX_CHECKED {
                        let why = "too many calls are being looked at".to_owned();
                        let finding = Finding::Failed(Failure::Info(why));
                        this.take(trunk, Some(*id), call, Some(finding)).await;
                        continue;
                    }
                    let (this, trunk, id) = (Arc::clone(&this), Arc::clone(trunk), *id);
                    checked.spawn(async move {
                        let finding = this.look_at(&call.request).await;
                        this.take(&trunk, Some(id), call, Some(finding)).await;
                    });
                }
                Some((id, trunk, _)) => this.take(trunk, Some(*id), call, None).await,
                None => {
                    strangers.note(Instant::now(), from);
                    let refused = CauseCode::Forbidden;
                    let status = sip::StatusCode::FORBIDDEN;
                    let reason = Some(refused.reason());
                    this.registry.sip.reject(call.leg, status, reason).await;
                }
            }
        }
    }

    /// What a call's signatures come to.
    async fn look_at(&self, request: &Request) -> Finding {
        let Some(verifier) = &self.stir else {
            // The settings do not let it come to that.
            let why = "there are no authorities whose certificates are believed";
            return Finding::Failed(Failure::Credential(why.to_owned()));
        };
        let plan = &self.registry.environment.routes.plan;
        let call = Call::of(request, &called(request), plan, SystemTime::now());
        verifier.check(&stir::headers(request), &call).await
    }

    async fn take(
        &self,
        trunk: &Arc<Trunk>,
        id: Option<TrunkId>,
        incoming: IncomingCall,
        finding: Option<Finding>,
    ) {
        let caller = caller(&incoming.request);
        let called = called(&incoming.request);
        let refusal = finding.as_ref().and_then(Finding::refusal);
        if let (TrunkStir::Require, Some(cause)) = (trunk.stir, refusal) {
            let to = called.into_iter().next().unwrap_or_default();
            let parties = parties(&caller, None, to);
            let refused = self.registry.refuse(incoming, parties, cause, finding);
            return refused.await;
        }
        if let Some(replaced) = incoming.replaces {
            let replacement = Replacement {
                caller,
                offer: incoming.request.body.clone(),
                trunk: Arc::clone(trunk),
                seat: id.map(|id| self.trunks.arrive(id)),
            };
            return self.registry.replace(replaced, replacement, incoming).await;
        }
        let found = called
            .iter()
            .find_map(|number| Some((number.clone(), self.directory.find(number)?)));
        let to = called.into_iter().next().unwrap_or_default();
        let parties = |user: Option<String>, to: String| parties(&caller, user, to);
        let Some((to, user)) = found else {
            let why = format!("no user has the number {to:?} ([users.NAME] numbers)");
            let cause = CauseCode::NotFound.because(why);
            let parties = parties(None, to);
            let refused = self.registry.refuse(incoming, parties, cause, finding);
            return refused.await;
        };
        let lines = self.directory.lines(&user);
        let forward = &user.forward;
        if lines.is_empty() && forward.always.is_none() && forward.unavailable.is_none() {
            let cause = CauseCode::Unavailable.because(format!("{} is not signed in", user.name));
            let parties = parties(Some(user.name.clone()), to);
            let refused = self.registry.refuse(incoming, parties, cause, finding);
            return refused.await;
        }
        let Some(on_call) = self.directory.begin_call(&user) else {
            let why = format!("{} has as many calls as he may", user.name);
            let parties = parties(Some(user.name.clone()), to);
            let cause = CauseCode::Busy.because(why);
            let refused = self.registry.refuse(incoming, parties, cause, finding);
            return refused.await;
        };
        let headers = identities(&incoming.request, &caller);
        let arriving = Arriving {
            signed: Signed { headers, finding },
            identity: Identity::of(&user),
            forward: (user.forward.clone(), user.ring_time),
            on_call,
            incoming,
            trunk: Arc::clone(trunk),
            seat: id.map(|id| self.trunks.arrive(id)),
            caller,
            to,
            lines,
        };
        self.registry.ring(arriving).await;
    }
}

/// Whether a call waits for what its signatures come to. One that takes another's place is for somebody who has heard who
/// calls.
fn asks_for_signature(trunk: &Trunk, call: &IncomingCall) -> bool {
    match trunk.stir {
        TrunkStir::Off => false,
        TrunkStir::Verify => call.replaces.is_none(),
        TrunkStir::Require => true,
    }
}

fn parties(caller: &Caller, user: Option<String>, to: String) -> Parties {
    Parties {
        direction: Direction::Inbound,
        session: String::new(),
        user,
        from: caller.number.clone(),
        to,
    }
}

/// The numbers that a call may be for, the likeliest first. A trunk that we register with calls our Contact, and has the
/// number elsewhere (RFC 7315 §4.2).
fn called(request: &Request) -> Vec<String> {
    let party = request
        .headers
        .get("P-Called-Party-ID")
        .and_then(|value| value.parse::<NameAddr>().ok())
        .and_then(|party| party.uri.user);
    let to = request.headers.to().ok().and_then(|to| to.uri.user);
    let mut seen = HashSet::new();
    [request.uri.user.clone(), party, to]
        .into_iter()
        .flatten()
        .filter(|number| seen.insert(number.clone()))
        .collect()
}

/// The Identity headers that may go on with a call. They name the caller: where he does not want to be named, none.
fn identities(request: &Request, caller: &Caller) -> Vec<String> {
    match caller.number {
        Some(_) => stir::headers(request),
        None => Vec::new(),
    }
}

/// Who calls: what the trunk asserts (RFC 3325 §9.1) before what the telephone says, and nothing where that is asked for
/// (RFC 3323 §4.2).
fn caller(request: &Request) -> Caller {
    let headers = &request.headers;
    let withheld = headers.get_all("Privacy").any(|privacy| {
        let mut words = privacy.split(';').map(str::trim);
        words.any(|word| {
            ["id", "user", "header"]
                .iter()
                .any(|one| word.eq_ignore_ascii_case(one))
        })
    });
    if withheld {
        return Caller::default();
    }
    let asserted = headers
        .get("P-Asserted-Identity")
        .and_then(|value| value.parse::<NameAddr>().ok());
    let Some(identity) = asserted.or_else(|| headers.from().ok()) else {
        return Caller::default();
    };
    let anonymous = |user: &str| user.eq_ignore_ascii_case("anonymous");
    let invalid = matches!(&identity.uri.host, Host::Name(name) if name.as_str().eq_ignore_ascii_case("anonymous.invalid"));
    if invalid || identity.uri.user.as_deref().is_some_and(anonymous) {
        return Caller::default();
    }
    let display_name = identity
        .display_name
        .filter(|name| !name.trim().is_empty() && !name.chars().any(char::is_control));
    Caller {
        number: identity.uri.user,
        display_name,
    }
}

/// The addresses that the trunk's names lead to.
#[derive(Clone, Debug, Default)]
struct Sources(Arc<RwLock<Vec<IpAddr>>>);

impl Sources {
    fn include(&self, trunk: &Trunk, from: IpAddr) -> bool {
        let listed = |network: &IpNet| network.contains(&from);
        let resolved = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named =
            |host: &Host| matches!(host, Host::Ip(address) if address.to_canonical() == from);
        named(&trunk.uri.host)
            || named(&trunk.next_hop().host)
            || trunk.addresses.iter().any(listed)
            || resolved.contains(&from)
    }

    /// Resolves the names again and again; while they cannot be, the last addresses stay.
    async fn keep(self, sip: SipHandle, trunk: Arc<Trunk>) {
        loop {
            let mut found = Vec::new();
            let mut failed = false;
            for uri in [&trunk.uri, trunk.next_hop()] {
                match sip.addresses(uri).await {
                    Ok(addresses) => {
                        found.extend(addresses.iter().map(IpAddr::to_canonical));
                    }
                    Err(error) => {
                        failed = true;
                        tracing::warn!(trunk = trunk.name, %error, "calls from the trunk cannot be told from others'");
                    }
                }
            }
            if !failed {
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = found;
            }
            tokio::time::sleep(RESOLVE_AGAIN).await;
        }
    }
}

/// Calls of strangers that the log has not told of.
#[derive(Debug, Default)]
struct Strangers {
    untold: u64,
    told: Option<Instant>,
}

impl Strangers {
    fn note(&mut self, now: Instant, from: IpAddr) {
        self.untold += 1;
        let due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= WARN_AGAIN);
        if due {
            tracing::warn!(
                %from,
                calls = self.untold,
                "a call from nowhere known is refused; if that is the trunk, list it in [trunk] addresses"
            );
            *self = Self {
                untold: 0,
                told: Some(now),
            };
        }
    }
}

#[cfg(test)]
mod tests;
