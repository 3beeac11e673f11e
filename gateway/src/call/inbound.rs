//! Calls of telephones: who may call, whom the number is for, and where he is.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

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
use crate::settings::Trunk;
use crate::sip_driver::{IncomingCall, SipHandle};
use crate::trunks::{TrunkId, Trunks};

/// How often the trunk's names are resolved again: RFC 3263 leaves it to the records' time to live, which the system's
/// resolver does not tell.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// Strangers are told of in the log, but not each of a flood.
const WARN_AGAIN: Duration = Duration::from_secs(10);

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
        while let Some(call) = calls.recv().await {
            let from = call.flow.remote.ip().to_canonical();
            let shown = call.request.headers.get(INTERNAL);
            if shown.is_some_and(|shown| self.internal.secret.matches(shown)) {
                self.take(&internal, None, call).await;
                continue;
            }
            let known = sources
                .iter()
                .find(|(_, trunk, sources)| sources.include(trunk, from));
            match known {
                Some((id, trunk, _)) => self.take(trunk, Some(*id), call).await,
                None => {
                    strangers.note(Instant::now(), from);
                    let refused = CauseCode::Forbidden;
                    let status = sip::StatusCode::FORBIDDEN;
                    let reason = Some(refused.reason());
                    self.registry.sip.reject(call.leg, status, reason).await;
                }
            }
        }
    }

    async fn take(&self, trunk: &Arc<Trunk>, id: Option<TrunkId>, incoming: IncomingCall) {
        let caller = caller(&incoming.request);
        if let Some(replaced) = incoming.replaces {
            let replacement = Replacement {
                caller,
                offer: incoming.request.body.clone(),
                trunk: Arc::clone(trunk),
                seat: id.map(|id| self.trunks.arrive(id)),
            };
            return self.registry.replace(replaced, replacement, incoming).await;
        }
        let called = called(&incoming.request);
        let found = called
            .iter()
            .find_map(|number| Some((number.clone(), self.directory.find(number)?)));
        let to = called.into_iter().next().unwrap_or_default();
        let parties = |user: Option<String>, to: String| Parties {
            direction: Direction::Inbound,
            session: String::new(),
            user,
            from: caller.number.clone(),
            to,
        };
        let Some((to, user)) = found else {
            let why = format!("no user has the number {to:?} ([users.NAME] numbers)");
            let cause = CauseCode::NotFound.because(why);
            let parties = parties(None, to);
            return self.registry.refuse(incoming, parties, cause).await;
        };
        let lines = self.directory.lines(&user);
        let forward = &user.forward;
        if lines.is_empty() && forward.always.is_none() && forward.unavailable.is_none() {
            let cause = CauseCode::Unavailable.because(format!("{} is not signed in", user.name));
            let parties = parties(Some(user.name.clone()), to);
            return self.registry.refuse(incoming, parties, cause).await;
        }
        let Some(on_call) = self.directory.begin_call(&user) else {
            let why = format!("{} has as many calls as he may", user.name);
            let parties = parties(Some(user.name.clone()), to);
            let cause = CauseCode::Busy.because(why);
            return self.registry.refuse(incoming, parties, cause).await;
        };
        let arriving = Arriving {
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
mod tests {
    use super::*;
    use sip::Method;

    fn invite(headers: &[(&str, &str)]) -> Request {
        let uri = "sip:account@192.0.2.1".parse().unwrap();
        let mut request = Request::new(Method::Invite, uri);
        for (name, value) in headers {
            request.headers.push(name, value).unwrap();
        }
        request
    }

    #[test]
    fn a_call_is_for_the_number_wherever_the_trunk_writes_it() {
        let request = invite(&[
            ("To", "<sip:+4930123@gateway.example>"),
            ("P-Called-Party-ID", "<sip:100@gateway.example>"),
        ]);
        assert_eq!(called(&request), ["account", "100", "+4930123"]);
        assert_eq!(called(&invite(&[])), ["account"]);
    }

    #[test]
    fn what_the_trunk_asserts_is_shown_before_what_the_telephone_says() {
        let from = ("From", "\"Eve\" <sip:1@phone.example>;tag=1");
        let said = caller(&invite(&[from]));
        assert_eq!(said.number.as_deref(), Some("1"));
        assert_eq!(said.display_name.as_deref(), Some("Eve"));
        let asserted = ("P-Asserted-Identity", "<sip:+4930@carrier.example>");
        let shown = caller(&invite(&[from, asserted]));
        assert_eq!(shown.number.as_deref(), Some("+4930"));
        assert_eq!(shown.display_name, None);
    }

    #[test]
    fn a_caller_who_withholds_himself_is_not_shown() {
        let asserted = ("P-Asserted-Identity", "\"Bob\" <sip:+4930@carrier.example>");
        for from in [
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
            "<sip:Anonymous@carrier.example>;tag=1",
        ] {
            assert_eq!(caller(&invite(&[("From", from)])), Caller::default());
        }
        let from = ("From", "<sip:1@phone.example>;tag=1");
        for privacy in ["id", "header; Id", "user"] {
            let request = invite(&[from, asserted, ("Privacy", privacy)]);
            assert_eq!(caller(&request), Caller::default(), "{privacy}");
        }
        let request = invite(&[from, asserted, ("Privacy", "none")]);
        assert_eq!(caller(&request).number.as_deref(), Some("+4930"));
    }

    #[test]
    fn a_trunk_calls_from_its_own_addresses_and_the_listed_ones() {
        let trunk = Trunk {
            outbound_proxy: Some("sip:192.0.2.7".parse().unwrap()),
            addresses: vec!["198.51.100.0/24".parse().unwrap()],
            ..Trunk::at("sip:192.0.2.1:5062".parse().unwrap())
        };
        let sources = Sources::default();
        *sources.0.write().unwrap() = vec!["203.0.113.5".parse().unwrap()];
        for (from, known) in [
            ("192.0.2.1", true),
            ("192.0.2.7", true),
            ("198.51.100.200", true),
            ("203.0.113.5", true),
            ("192.0.2.2", false),
            ("198.51.101.1", false),
        ] {
            assert_eq!(
                sources.include(&trunk, from.parse().unwrap()),
                known,
                "{from}"
            );
        }
    }
}
