//! Where a dialled number leads: to the lab phone, to the trunk, or nowhere.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rand::Rng;
use sip::digest::Password;
use sip::endpoint::{Account, Transport};
use sip::{Host, ReferTo, Scheme, Uri};

use super::cause::CauseCode;
use super::dial_plan::DialPlan;
use crate::directory::Directory;
use crate::permit::Pattern;
use crate::settings::{Choice, Trunk};
use crate::sip_driver::reachable;
use crate::trunks::{TrunkId, Trunks};

/// Where calls can go.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The lab phone.
    pub lab: Option<SocketAddr>,
    /// The trunks, for every other number.
    pub trunks: Arc<Trunks>,
    /// How numbers are read.
    pub plan: DialPlan,
    /// The users, who call each other by name and number.
    pub users: Option<Internal>,
    /// Where the gateway itself is: on one machine with a PBX, only the port tells them apart.
    pub own: Vec<(Host, u16)>,
}

/// The way from a user to another: a SIP call of the gateway to itself, so that it is what every call is.
#[derive(Clone, Debug)]
pub struct Internal {
    /// Who there is.
    pub directory: Arc<Directory>,
    /// Where the gateway hears SIP.
    pub sip: SocketAddr,
    /// What such a call shows in [`INTERNAL`]; nobody else knows it.
    pub secret: Password,
}

/// The header of a call that the gateway makes to itself.
pub const INTERNAL: &str = "X-Switchhook-Internal";

impl Internal {
    /// With a secret of its own.
    pub fn new(directory: Arc<Directory>, sip: SocketAddr) -> (Self, String) {
        let secret = format!("{:032x}", rand::random::<u128>());
        let internal = Self {
            directory,
            sip: reachable(sip),
            secret: Password::new(secret.clone()),
        };
        (internal, secret)
    }

    /// The gateway as its own trunk: Opus passes through from browser to browser, and whatever it is known by outside,
    /// it is here.
    pub fn trunk(&self) -> Trunk {
        let profile = sdp::trunk::Profile {
            codecs: vec![sdp::Codec::Opus, sdp::Codec::Pcmu, sdp::Codec::Pcma],
            ..sdp::trunk::Profile::default()
        };
        Trunk {
            profile,
            internal: Some(self.sip.ip()),
            ..Trunk::at(Uri::sip(
                None,
                Host::Ip(self.sip.ip()),
                Some(self.sip.port()),
            ))
        }
    }
}

/// A way to the telephone.
#[derive(Clone, Debug)]
pub struct Route {
    /// The Request-URI (RFC 3261 §8.1.1.1).
    pub target: Uri,
    /// Where the request is sent.
    pub next_hop: Uri,
    /// Whether this is a trunk, with its profile, or the lab.
    pub trunk: Option<Arc<Trunk>>,
    /// Which of the trunks.
    pub id: Option<TrunkId>,
    /// Who calls, where that is an account.
    pub account: Option<Account>,
}

/// Where a number leads.
#[derive(Clone, Debug)]
pub struct Ways {
    /// The number, as the dial plan reads it: what a permit is asked about.
    pub number: String,
    /// It is for help, and everybody may call it.
    pub help: bool,
    /// The ways, in the order in which they are to be tried; at least one.
    pub routes: VecDeque<Route>,
}

impl Ways {
    fn one(number: String, route: Route) -> Self {
        Self {
            number,
            help: false,
            routes: VecDeque::from([route]),
        }
    }
}

/// Why a number leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoute {
    /// For the browser.
    pub code: CauseCode,
    /// What was wrong with the number, and what to do.
    pub text: String,
}

/// Characters of a telephone number or a user name; all others would need escaping, and none of
/// them is in a number that a person dials.
pub(crate) fn is_number(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+*#._-".contains(&b))
}

/// A number without what people write between its digits (RFC 3966 §5.1.1, visual separators); a name as it is.
pub(crate) fn plain_number(text: &str) -> String {
    let looks_dialled = text
        .chars()
        .all(|c| c.is_ascii_digit() || "+*#-.() /".contains(c));
    match looks_dialled {
        true => text.chars().filter(|c| !"-.() /".contains(*c)).collect(),
        false => text.to_owned(),
    }
}

fn refuse<T>(code: CauseCode, text: impl Into<String>) -> Result<T, NoRoute> {
    let text = text.into();
    Err(NoRoute { code, text })
}

impl Routes {
    /// Finds the ways to what was dialled: a lab number, a user, a telephone number, a `tel:` or `sip:` URI.
    ///
    /// A `sip:` URI may only name a trunk's own host: the gateway is no open door to others.
    ///
    /// # Errors
    /// [`NoRoute`] with the cause for the browser.
    pub fn find(&self, now: Instant, dialled: &str, rng: &mut impl Rng) -> Result<Ways, NoRoute> {
        let dialled = dialled.trim();
        let (number, host) = match dialled.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel") => (rest.to_owned(), None),
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("sip") => {
                let (user, host) = self.user_at_trunk(dialled)?;
                (user, Some(host))
            }
            Some(_) => {
                return refuse(
                    CauseCode::BadRequest,
                    format!("{dialled:?} is neither a number nor a sip: or tel: URI"),
                );
            }
            None => (dialled.to_owned(), None),
        };
        let dialled = plain_number(&number);
        if !is_number(&dialled) {
            return refuse(
                CauseCode::BadRequest,
                format!(
                    "{dialled:?} is no number: digits, letters and + * # . _ - only, 64 at most"
                ),
            );
        }
        let lab_number = || crate::lab::NUMBERS.iter().any(|(name, _)| *name == dialled);
        if let Some(lab) = self.lab.filter(|_| lab_number()) {
            let target = Uri::sip(Some(&dialled), Host::Ip(lab.ip()), Some(lab.port()));
            let route = Route {
                next_hop: target.clone(),
                target,
                trunk: None,
                id: None,
                account: None,
            };
            return Ok(Ways::one(dialled, route));
        }
        let number = self.plan.normalize(&dialled);
        let called = self.plan.called(&dialled);
        if let Some(wrong) = [&number, &called]
            .into_iter()
            .find(|one| !DialPlan::is_e164(one))
        {
            let text = format!("{wrong:?} is no number: digits follow +, the first of them no 0");
            return refuse(CauseCode::BadRequest, text);
        }
        let help = self.plan.is_emergency(&dialled);
        if let Some(users) = &self.users
            && !help
            && let Some(own) = [dialled.clone(), number.clone()]
                .into_iter()
                .find(|one| users.directory.find(one).is_some())
        {
            let trunk = users.trunk();
            let target = Uri {
                user: Some(own),
                ..trunk.uri.clone()
            };
            let route = Route {
                target,
                next_hop: trunk.uri.clone(),
                trunk: Some(Arc::new(trunk)),
                id: None,
                account: None,
            };
            return Ok(Ways::one(number, route));
        }
        if !help && self.plan.is_blocked(&[&called, &dialled]) {
            let text = format!("nobody may call {called} ([dial_plan] blocked)");
            return refuse(CauseCode::Forbidden, text);
        }
        let routes = self.by_trunks(now, (&number, &dialled), help, host.as_ref(), rng)?;
        Ok(Ways {
            number: called,
            help,
            routes,
        })
    }

    fn by_trunks(
        &self,
        now: Instant,
        (number, dialled): (&str, &str),
        help: bool,
        host: Option<&Host>,
        rng: &mut impl Rng,
    ) -> Result<VecDeque<Route>, NoRoute> {
        if self.trunks.is_empty() {
            return refuse(
                CauseCode::NotFound,
                "no trunk is set: only the lab numbers can be called; set [trunk] uri or --trunk",
            );
        }
        let helpers = self
            .trunks
            .iter()
            .any(|(_, trunk, _)| trunk.choice.emergency);
        let takes = |choice: &Choice| match help {
            true => choice.emergency || !helpers,
            false => {
                let matches = |one: &Pattern| one.matches(number) || one.matches(dialled);
                choice.numbers.is_empty() || choice.numbers.iter().any(matches)
            }
        };
        let order = self.trunks.order(now, takes, rng);
        let routes: VecDeque<Route> = order
            .into_iter()
            .map(|id| self.by_trunk(id, number, dialled))
            .filter(|route| host.is_none_or(|host| route.target.host == *host))
            .collect();
        if routes.is_empty() {
            let text = format!("no trunk takes {number:?} (numbers of [trunk] and [trunks])");
            return refuse(CauseCode::NotFound, text);
        }
        Ok(routes)
    }

    fn by_trunk(&self, id: TrunkId, number: &str, dialled: &str) -> Route {
        let (trunk, account) = self.trunks.get(id);
        let format = trunk.choice.number_format;
        let target = Uri {
            user: Some(self.plan.write(number, dialled, format)),
            ..trunk.uri.clone()
        };
        Route {
            target,
            next_hop: trunk.next_hop().clone(),
            trunk: Some(Arc::clone(trunk)),
            id: Some(id),
            account,
        }
    }

    /// Where a trunk that was asked redirects to (RFC 3261 §8.1.3.4): a number like any other, or one at another machine of
    /// that trunk.
    ///
    /// # Errors
    /// [`NoRoute`]: that is none of the trunk's, or not to be called.
    pub fn redirect(
        &self,
        now: Instant,
        from: &Route,
        contact: &Uri,
        rng: &mut impl Rng,
    ) -> Result<Ways, NoRoute> {
        let user = contact.user.clone().unwrap_or_default();
        let (Some(trunk), Some(id)) = (&from.trunk, from.id) else {
            return refuse(CauseCode::Forbidden, "it is no trunk that redirects");
        };
        let machine = match &contact.host {
            host if *host == trunk.uri.host => None,
            Host::Ip(ip) if trunk.addresses.iter().any(|network| network.contains(ip)) => {
                Some(contact)
            }
            host => {
                let text = format!("{host} is none of the trunk's hosts ([trunk] uri, addresses)");
                return refuse(CauseCode::Forbidden, text);
            }
        };
        let mut ways = self.find(now, &user, rng)?;
        if let Some(contact) = machine {
            let host = Uri {
                user: None,
                ..contact.clone()
            };
            let direct = Route {
                target: contact.clone(),
                next_hop: host,
                id: Some(id),
                ..from.clone()
            };
            ways.routes = VecDeque::from([direct]);
        }
        Ok(ways)
    }

    /// Where a telephone that transfers its call wants it to go (RFC 3515): a number like any other; or, where a call of
    /// theirs is to be replaced (RFC 3891), that very URI, by way of the trunk it came by.
    ///
    /// # Errors
    /// [`NoRoute`]: that is none of the trunk's, nor ours, or not to be called.
    pub fn referred(
        &self,
        now: Instant,
        from: &Route,
        to: &ReferTo,
        rng: &mut impl Rng,
    ) -> Result<Ways, NoRoute> {
        let user = to.uri.user_unescaped().unwrap_or_default();
        let Some(trunk) = &from.trunk else {
            return refuse(CauseCode::Forbidden, "it is no trunk that transfers");
        };
        if to.uri.scheme == Scheme::Tel {
            return self.find(now, &user, rng);
        }
        let host = &to.uri.host;
        let transport = Transport::of_uri(&to.uri).unwrap_or(Transport::Udp);
        let port = to.uri.port.unwrap_or(transport.default_port());
        let ours = self.own.contains(&(host.clone(), port));
        let listed = |ip: &IpAddr| trunk.addresses.iter().any(|network| network.contains(ip));
        let theirs = *host == trunk.uri.host
            || *host == trunk.next_hop().host
            || matches!(host, Host::Ip(ip) if listed(ip));
        if !ours && !theirs {
            let text = format!("{host} is none of the trunk's hosts ([trunk] uri, addresses)");
            return refuse(CauseCode::Forbidden, text);
        }
        if to.replaces.is_none() {
            return self.find(now, &user, rng);
        }
        // What follows is parameters of the user (RFC 3966 §5.1, RFC 4904), which a trunk may leave out.
        let user = user.split(';').next().unwrap_or_default();
        let number = self.plan.called(&plain_number(user));
        // A carrier may leave out what is no digit.
        let digits: String = user.chars().filter(char::is_ascii_digit).collect();
        let digits = self.plan.called(&digits);
        if self.plan.is_blocked(&[&number, user, &digits]) {
            let text = format!("nobody may call {number} ([dial_plan] blocked)");
            return refuse(CauseCode::Forbidden, text);
        }
        let route = match (&self.users, ours) {
            (Some(users), true) => {
                let trunk = users.trunk();
                Route {
                    target: Uri {
                        user: to.uri.user.clone(),
                        ..trunk.uri.clone()
                    },
                    next_hop: trunk.uri.clone(),
                    trunk: Some(Arc::new(trunk)),
                    id: None,
                    account: None,
                }
            }
            (None, true) => return refuse(CauseCode::Forbidden, "there is nobody here"),
            (_, false) => Route {
                target: to.uri.clone(),
                ..from.clone()
            },
        };
        Ok(Ways::one(number, route))
    }

    fn user_at_trunk(&self, dialled: &str) -> Result<(String, Host), NoRoute> {
        let uri = match dialled.parse::<Uri>() {
            Ok(uri) => uri,
            Err(error) => return refuse(CauseCode::BadRequest, format!("{dialled:?}: {error}")),
        };
        let is_trunk = |host: &Host| self.trunks.iter().any(|(_, one, _)| one.uri.host == *host);
        match uri.user {
            None => refuse(CauseCode::BadRequest, format!("{dialled:?} names no user")),
            Some(user) if is_trunk(&uri.host) => Ok((user, uri.host)),
            Some(_) => refuse(
                CauseCode::Forbidden,
                format!("{dialled:?}: only a trunk's own host may be called"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn routes() -> Routes {
        let trunk = Trunk::at("sip:192.0.2.1:5062".parse().unwrap());
        Routes {
            lab: Some("127.0.0.1:5070".parse().unwrap()),
            trunks: Trunks::new([(trunk, None)]),
            ..Routes::default()
        }
    }

    fn find(routes: &Routes, dialled: &str) -> Result<Route, NoRoute> {
        let mut rng = StdRng::from_seed([1; 32]);
        let mut ways = routes.find(Instant::now(), dialled, &mut rng)?;
        Ok(ways.routes.pop_front().expect("a way"))
    }

    #[test]
    fn a_user_is_called_by_name_and_number_before_any_trunk() {
        let user = crate::settings::User {
            name: "bob".into(),
            password: Password::new("x"),
            display_name: "Bob".into(),
            numbers: vec!["+4977".into()],
            withheld: false,
            permit: crate::permit::Permit::default(),
            forward: Default::default(),
            ring_time: crate::settings::RING_TIME,
        };
        let directory = Arc::new(Directory::new(vec![user], None));
        let (internal, _) = Internal::new(directory, "192.0.2.5:5060".parse().unwrap());
        let routes = Routes {
            users: Some(internal),
            ..routes()
        };
        for dialled in ["bob", "+49 77", "tel:4977"] {
            let route = find(&routes, dialled).unwrap();
            assert_eq!(route.next_hop.to_string(), "sip:192.0.2.5:5060");
            let trunk = route.trunk.unwrap();
            assert!(trunk.internal.is_some() && trunk.profile.codecs[0] == sdp::Codec::Opus);
        }
        let outside = find(&routes, "carol").unwrap().trunk.unwrap();
        assert!(outside.internal.is_none());
    }

    #[test]
    fn a_lab_number_reaches_the_lab_phone_and_every_other_the_trunk() {
        assert_eq!(
            find(&routes(), "echo").unwrap().target.to_string(),
            "sip:echo@127.0.0.1:5070"
        );
        let route = find(&routes(), "+49 (30) 123-45").unwrap();
        assert_eq!(route.target.to_string(), "sip:+493012345@192.0.2.1:5062");
        assert_eq!(
            find(&routes(), "tel:+4930").unwrap().target.to_string(),
            "sip:+4930@192.0.2.1:5062"
        );
    }

    #[test]
    fn without_a_trunk_other_numbers_do_not_exist() {
        let routes = Routes {
            trunks: Arc::default(),
            ..routes()
        };
        assert_eq!(find(&routes, "123").unwrap_err().code, CauseCode::NotFound);
        assert_eq!(
            find(&Routes::default(), "echo").unwrap_err().code,
            CauseCode::NotFound
        );
    }

    #[test]
    fn a_sip_uri_may_only_name_the_trunk() {
        assert_eq!(
            find(&routes(), "sip:bob@192.0.2.1")
                .unwrap()
                .target
                .to_string(),
            "sip:bob@192.0.2.1:5062"
        );
        assert_eq!(
            find(&routes(), "sip:bob@198.51.100.7").unwrap_err().code,
            CauseCode::Forbidden
        );
        assert_eq!(
            find(&routes(), "sip:192.0.2.1").unwrap_err().code,
            CauseCode::BadRequest
        );
        assert_eq!(
            find(&routes(), "http://192.0.2.1/").unwrap_err().code,
            CauseCode::BadRequest
        );
    }

    #[test]
    fn a_telephone_on_this_machine_is_told_from_the_gateway_by_its_port() {
        let directory = Arc::new(Directory::new(Vec::new(), None));
        let users = Internal::new(directory, "192.0.2.1:5060".parse().unwrap()).0;
        let routes = Routes {
            users: Some(users),
            own: vec![(Host::Ip([192, 0, 2, 1].into()), 5060)],
            ..routes()
        };
        let from = find(&routes, "100").unwrap();
        let leads_to = |port: &str| {
            let to = format!("<sip:bob@192.0.2.1{port}?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>");
            let mut rng = StdRng::from_seed([1; 32]);
            let ways = routes.referred(Instant::now(), &from, &to.parse().unwrap(), &mut rng);
            let route = ways.unwrap().routes.pop_front().unwrap();
            (route.id.is_some(), route.next_hop.to_string())
        };
        assert_eq!(leads_to(":5062"), (true, "sip:192.0.2.1:5062".to_owned()));
        assert_eq!(leads_to(""), (false, "sip:192.0.2.1:5060".to_owned()));
    }

    #[test]
    fn what_would_change_the_uri_is_no_number() {
        for dialled in [
            "",
            " ",
            "a@b",
            "1;phone-context=x",
            "1?Replaces=x",
            "1\r\nX: y",
            "\u{1F4DE}",
            &"9".repeat(65),
        ] {
            assert_eq!(
                find(&routes(), dialled).unwrap_err().code,
                CauseCode::BadRequest,
                "{dialled:?}"
            );
        }
    }
}
