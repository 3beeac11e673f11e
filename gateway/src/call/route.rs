//! Where a dialled number leads: to the lab phone, to the trunk, or nowhere.

use std::net::SocketAddr;
use std::sync::Arc;

use sip::digest::Password;
use sip::endpoint::Account;
use sip::{Host, Uri};

use super::cause::CauseCode;
use crate::directory::Directory;
use crate::settings::Trunk;
use crate::sip_driver::reachable;

/// Where calls can go.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The lab phone.
    pub lab: Option<SocketAddr>,
    /// The trunk for every other number.
    pub trunk: Option<Trunk>,
    /// Who we are to it, where that matters.
    pub account: Option<Account>,
    /// The users, who call each other by name and number.
    pub users: Option<Internal>,
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
    /// Whether this is the trunk, with its profile, or the lab.
    pub trunk: Option<Trunk>,
    /// Who calls, where that is an account.
    pub account: Option<Account>,
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

impl Routes {
    /// Finds the way to what was dialled: a lab number, a telephone number, `tel:` or `sip:` URI.
    ///
    /// A `sip:` URI may only name the trunk's own host: the gateway is no open door to others.
    ///
    /// # Errors
    /// [`NoRoute`] with the cause for the browser.
    pub fn find(&self, dialled: &str) -> Result<Route, NoRoute> {
        let refuse = |code, text: String| Err(NoRoute { code, text });
        let dialled = dialled.trim();
        let number = match dialled.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("sip") => {
                &self.user_at_trunk(dialled)?
            }
            Some(_) => {
                return refuse(
                    CauseCode::BadRequest,
                    format!("{dialled:?} is neither a number nor a sip: or tel: URI"),
                );
            }
            None => dialled,
        };
        let number = plain_number(number);
        if !is_number(&number) {
            return refuse(
                CauseCode::BadRequest,
                format!(
                    "{dialled:?} is no number: digits, letters and + * # . _ - only, 64 at most"
                ),
            );
        }
        if let Some(lab) = self
            .lab
            .filter(|_| crate::lab::NUMBERS.iter().any(|(name, _)| *name == number))
        {
            let target = Uri::sip(Some(&number), Host::Ip(lab.ip()), Some(lab.port()));
            return Ok(Route {
                next_hop: target.clone(),
                target,
                trunk: None,
                account: None,
            });
        }
        if let Some(users) = &self.users
            && users.directory.find(&number).is_some()
        {
            let trunk = users.trunk();
            let target = Uri {
                user: Some(number),
                ..trunk.uri.clone()
            };
            return Ok(Route {
                target,
                next_hop: trunk.uri.clone(),
                trunk: Some(trunk),
                account: None,
            });
        }
        match &self.trunk {
            Some(trunk) => {
                let target = Uri {
                    user: Some(number),
                    ..trunk.uri.clone()
                };
                Ok(Route {
                    target,
                    next_hop: trunk.next_hop().clone(),
                    trunk: Some(trunk.clone()),
                    account: self.account,
                })
            }
            None => refuse(
                CauseCode::NotFound,
                "no trunk is set: only the lab numbers can be called; set [trunk] uri or --trunk"
                    .into(),
            ),
        }
    }

    fn user_at_trunk(&self, dialled: &str) -> Result<String, NoRoute> {
        let refuse = |code, text: String| Err(NoRoute { code, text });
        let uri = match dialled.parse::<Uri>() {
            Ok(uri) => uri,
            Err(error) => return refuse(CauseCode::BadRequest, format!("{dialled:?}: {error}")),
        };
        match (&self.trunk, uri.user) {
            (Some(trunk), Some(user)) if trunk.uri.host == uri.host => Ok(user),
            (_, None) => refuse(CauseCode::BadRequest, format!("{dialled:?} names no user")),
            _ => refuse(
                CauseCode::Forbidden,
                format!("{dialled:?}: only the trunk's own host may be called"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let trunk = Trunk::at("sip:192.0.2.1:5062".parse().unwrap());
        Routes {
            lab: Some("127.0.0.1:5070".parse().unwrap()),
            trunk: Some(trunk),
            account: None,
            users: None,
        }
    }

    #[test]
    fn a_user_is_called_by_name_and_number_before_any_trunk() {
        let user = crate::settings::User {
            name: "bob".into(),
            password: Password::new("x"),
            display_name: "Bob".into(),
            numbers: vec!["+4977".into()],
            permit: crate::permit::Permit::default(),
        };
        let directory = Arc::new(Directory::new(vec![user], None));
        let (internal, _) = Internal::new(directory, "192.0.2.5:5060".parse().unwrap());
        let routes = Routes {
            users: Some(internal),
            ..routes()
        };
        for dialled in ["bob", "+49 77", "tel:4977"] {
            let route = routes.find(dialled).unwrap();
            assert_eq!(route.next_hop.to_string(), "sip:192.0.2.5:5060");
            let trunk = route.trunk.unwrap();
            assert!(trunk.internal.is_some() && trunk.profile.codecs[0] == sdp::Codec::Opus);
        }
        let outside = routes.find("carol").unwrap().trunk.unwrap();
        assert!(outside.internal.is_none());
    }

    #[test]
    fn a_lab_number_reaches_the_lab_phone_and_every_other_the_trunk() {
        assert_eq!(
            routes().find("echo").unwrap().target.to_string(),
            "sip:echo@127.0.0.1:5070"
        );
        let route = routes().find("+49 (30) 123-45").unwrap();
        assert_eq!(route.target.to_string(), "sip:+493012345@192.0.2.1:5062");
        assert_eq!(
            routes().find("tel:+4930").unwrap().target.to_string(),
            "sip:+4930@192.0.2.1:5062"
        );
    }

    #[test]
    fn without_a_trunk_other_numbers_do_not_exist() {
        let routes = Routes {
            trunk: None,
            ..routes()
        };
        assert_eq!(routes.find("123").unwrap_err().code, CauseCode::NotFound);
        assert_eq!(
            Routes::default().find("echo").unwrap_err().code,
            CauseCode::NotFound
        );
    }

    #[test]
    fn a_sip_uri_may_only_name_the_trunk() {
        assert_eq!(
            routes()
                .find("sip:bob@192.0.2.1")
                .unwrap()
                .target
                .to_string(),
            "sip:bob@192.0.2.1:5062"
        );
        assert_eq!(
            routes().find("sip:bob@198.51.100.7").unwrap_err().code,
            CauseCode::Forbidden
        );
        assert_eq!(
            routes().find("sip:192.0.2.1").unwrap_err().code,
            CauseCode::BadRequest
        );
        assert_eq!(
            routes().find("http://192.0.2.1/").unwrap_err().code,
            CauseCode::BadRequest
        );
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
                routes().find(dialled).unwrap_err().code,
                CauseCode::BadRequest,
                "{dialled:?}"
            );
        }
    }
}
