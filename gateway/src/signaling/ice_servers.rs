//! The STUN and TURN servers that a page is told of: this gateway's own, with credentials that serve for a while.

use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use turn::{Credentials, Secret};

use super::message::IceServer;
use crate::settings::Turn;

/// The longest user name that credentials have in full, in bytes; of longer ones they have the hash.
const LONGEST_NAME: usize = 64;

/// What `https:` means without a port.
const HTTPS: u16 = 443;

/// What a list is made of.
#[derive(Clone, Debug)]
pub struct IceServers {
    secret: Secret,
    lifetime: Duration,
    name: Option<String>,
    /// Where STUN and TURN are heard, by UDP and by TCP.
    port: Option<u16>,
    /// Where TURN is heard by TLS.
    tls_port: Option<u16>,
}

impl IceServers {
    /// Those of these settings, on the ports that are bound; none where TURN is off.
    pub fn new(turn: &Turn, secret: Secret, port: Option<u16>, tls_port: Option<u16>) -> Self {
        Self {
            secret,
            lifetime: turn.credentials,
            name: turn.name.clone(),
            port: port.filter(|_| turn.enabled),
            tls_port: tls_port.filter(|_| turn.enabled),
        }
    }

    /// After what time a page gets new credentials: long before its own are over, also for the calls that it still begins
    /// with them.
    pub(super) fn renewal(&self) -> Duration {
        self.lifetime / 2
    }

    /// The list for a page that came from `page`. Only who is known may relay: a stranger gets STUN alone.
    pub(super) fn list(
        &self,
        page: Option<&PageHost>,
        user: Option<&str>,
        now: SystemTime,
    ) -> Vec<IceServer> {
        // What the settings name may be another way in than the page's, with the ports that are bound.
        let named = self.name.as_deref().and_then(in_uri);
        let (host, tls_port) = match (named, page) {
            (Some(named), _) => (named, None),
            (None, Some(page)) => (page.host.clone(), page.tls_port),
            (None, None) => return Vec::new(),
        };
        let tls_port = self.tls_port.map(|bound| tls_port.unwrap_or(bound));
        let stun = self.port.map(|port| IceServer {
            urls: vec![format!("stun:{host}:{port}")],
            username: None,
            credential: None,
        });
        let turn = user.and_then(|user| self.relays((&host, tls_port), user, now));
        stun.into_iter().chain(turn).collect()
    }

    fn relays(
        &self,
        (host, tls_port): (&str, Option<u16>),
        user: &str,
        now: SystemTime,
    ) -> Option<IceServer> {
        let plain = self.port.into_iter().flat_map(|port| {
            ["udp", "tcp"].map(|over| format!("turn:{host}:{port}?transport={over}"))
        });
        let tls = tls_port.map(|port| format!("turns:{host}:{port}?transport=tcp"));
        let urls: Vec<_> = plain.chain(tls).collect();
        let end = now.duration_since(UNIX_EPOCH).unwrap_or_default() + self.lifetime;
        let made = Credentials::time_limited(&self.secret, &name_of(user), end.as_secs());
        (!urls.is_empty()).then_some(IceServer {
            urls,
            username: Some(made.username),
            credential: Some(made.password),
        })
    }
}

/// Where a request was sent to, as the page's URL has it: what is in between may have other addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageHost {
    /// As it stands in a URI.
    host: String,
    /// The port by which our own port of TLS is reached; none for who did not come by it.
    tls_port: Option<u16>,
}

impl PageHost {
    pub(super) fn of(headers: &HeaderMap, by_tls: bool) -> Option<Self> {
        let written = headers.get(HOST)?.to_str().ok()?;
        let (name, port) = match written.rsplit_once(':') {
            // What has a bracket behind its last colon is an IPv6 address without a port.
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (written, Some(HTTPS)),
        };
        Some(Self {
            host: in_uri(name)?,
            tls_port: port.filter(|port| by_tls && *port != 0),
        })
    }
}

/// A host as it stands in a `turn:` URI (RFC 7065). Nothing that could be something else there: a browser refuses to make
/// a connection at all for one URI that it cannot read.
fn in_uri(host: &str) -> Option<String> {
    let literal = host
        .strip_prefix('[')
        .map_or(Some(host), |rest| rest.strip_suffix(']'))?;
    if literal.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{literal}]"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_name = (1..=253).contains(&host.len()) && host.bytes().all(allowed);
    is_name.then(|| host.to_owned())
}

/// A user's name in credentials, different for each user. Letters, digits and `-._@+` stay as they are and every other byte
/// becomes `%` with two hexadecimal digits, so that it has no colon and is the same in every encoding. One that is too long
/// becomes `=` with its SHA-256 in base 64; no name that is written out begins so.
fn name_of(user: &str) -> String {
    let mut name = String::with_capacity(user.len());
    for byte in user.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' | b'+' => {
                name.push(byte.into());
            }
            other => name += &format!("%{other:02x}"),
        }
    }
    if name.len() > LONGEST_NAME {
        let hash = digest::digest(&digest::SHA256, user.as_bytes());
        name = format!("={}", URL_SAFE_NO_PAD.encode(hash));
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::settings::Settings;

    fn turn() -> Turn {
        Settings::defaults().turn
    }

    fn of(turn: &Turn, tls_port: Option<u16>) -> IceServers {
        IceServers::new(turn, Secret::new("north"), Some(3478), tls_port)
    }

    fn page(host: &str) -> Option<PageHost> {
        come_to(host, false)
    }

    fn come_to(host: &str, by_tls: bool) -> Option<PageHost> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        PageHost::of(&headers, by_tls)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn urls(list: &[IceServer]) -> Vec<&str> {
        let urls = list.iter().flat_map(|server| &server.urls);
        urls.map(String::as_str).collect()
    }

    #[test]
    fn a_page_is_told_of_every_way_with_credentials_that_end() {
        let servers = of(&turn(), Some(443));
        let list = servers.list(
            page("gw.example").as_ref(),
            Some("alice"),
            at(1_799_956_800),
        );
        assert_eq!(
            urls(&list),
            [
                "stun:gw.example:3478",
                "turn:gw.example:3478?transport=udp",
                "turn:gw.example:3478?transport=tcp",
                "turns:gw.example:443?transport=tcp",
            ]
        );
        assert_eq!((&list[0].username, &list[0].credential), (&None, &None));
        // Twelve hours later; `printf 1800000000:alice | openssl dgst -sha1 -hmac north -binary | base64`.
        assert_eq!(list[1].username.as_deref(), Some("1800000000:alice"));
        assert_eq!(
            list[1].credential.as_deref(),
            Some("sIm7pn/teO7y3AyXGeXl/xAQR6Q=")
        );
        assert_eq!(servers.renewal(), Duration::from_secs(6 * 3600));
        assert!(!format!("{servers:?} {list:?}").contains("sIm7"));
        assert!(!format!("{servers:?}").contains("north"));
    }

    #[test]
    fn a_stranger_may_not_relay() {
        let list = of(&turn(), Some(443)).list(page("gw.example").as_ref(), None, at(0));
        assert_eq!(urls(&list), ["stun:gw.example:3478"]);
        assert_eq!(list[0].credential, None);
    }

    #[test]
    fn what_is_not_heard_is_not_named() {
        let list = of(&turn(), None).list(page("gw").as_ref(), Some("alice"), at(0));
        assert_eq!(urls(&list).len(), 3);
        assert!(!urls(&list).iter().any(|url| url.starts_with("turns:")));
        let tls_alone = IceServers::new(&turn(), Secret::new("north"), None, Some(443));
        let list = tls_alone.list(page("gw").as_ref(), Some("alice"), at(0));
        assert_eq!(urls(&list), ["turns:gw:443?transport=tcp"]);
        let nowhere = IceServers::new(&turn(), Secret::new("north"), None, None);
        assert_eq!(nowhere.list(page("gw").as_ref(), Some("alice"), at(0)), []);
        let off = Turn {
            enabled: false,
            ..turn()
        };
        assert_eq!(
            of(&off, Some(443)).list(page("gw").as_ref(), Some("alice"), at(0)),
            []
        );
    }

    #[test]
    fn the_host_is_the_pages_unless_the_settings_name_one() {
        let named = |name: &str| {
            let turn = Turn {
                name: Some(name.to_owned()),
                ..turn()
            };
            let list = of(&turn, None).list(page("gw.example").as_ref(), None, at(0));
            list[0].urls[0].clone()
        };
        assert_eq!(named("turn.example"), "stun:turn.example:3478");
        assert_eq!(named("2001:db8::1"), "stun:[2001:db8::1]:3478");
        assert_eq!(of(&turn(), None).list(None, Some("alice"), at(0)), []);
    }

    #[test]
    fn the_host_of_a_request_loses_its_port_and_nothing_strange_is_taken() {
        for (header, host) in [
            ("gw.example", Some("gw.example")),
            ("gw.example:8443", Some("gw.example")),
            ("localhost:8080", Some("localhost")),
            ("192.0.2.1:443", Some("192.0.2.1")),
            ("[2001:db8::1]:443", Some("[2001:db8::1]")),
            ("[2001:db8::1]", Some("[2001:db8::1]")),
            ("[2001:db8::1", None),
            ("[fe80::1%25eth0]:443", None),
            ("", None),
            (":443", None),
            ("a b", None),
            ("gw?transport=udp", None),
            ("user@gw", None),
        ] {
            let found = page(header);
            let found = found.as_ref().map(|page| page.host.as_str());
            assert_eq!(found, host, "{header:?}");
        }
        assert_eq!(PageHost::of(&HeaderMap::new(), true), None);
    }

    #[test]
    fn turn_over_tls_is_named_by_the_port_that_the_page_came_by() {
        let told = |turn: &Turn, page: Option<PageHost>| {
            let list = of(turn, Some(8443)).list(page.as_ref(), Some("alice"), at(0));
            urls(&list)[3].to_owned()
        };
        // A router has another port than we.
        let mapped = come_to("gw.example", true);
        assert_eq!(
            told(&turn(), mapped.clone()),
            "turns:gw.example:443?transport=tcp"
        );
        let written = come_to("[2001:db8::1]:9443", true);
        assert_eq!(
            told(&turn(), written),
            "turns:[2001:db8::1]:9443?transport=tcp"
        );
        // A page that came by plain HTTP, or by a proxy's TLS, says nothing of our port.
        let plain = come_to("gw.example:8080", false);
        assert_eq!(told(&turn(), plain), "turns:gw.example:8443?transport=tcp");
        let named = Turn {
            name: Some("turn.example".to_owned()),
            ..turn()
        };
        assert_eq!(
            told(&named, mapped),
            "turns:turn.example:8443?transport=tcp"
        );
    }

    #[test]
    fn users_names_are_plain_short_and_each_its_own() {
        assert_eq!(name_of("alice"), "alice");
        assert_eq!(name_of("a.b-c_d+e@example.org"), "a.b-c_d+e@example.org");
        assert_eq!(name_of("a:b c%é"), "a%3ab%20c%25%c3%a9");
        let long = "x".repeat(LONGEST_NAME + 1);
        let users = [
            "a:b",
            "a%3ab",
            "a%3Ab",
            "a%253ab",
            "a b",
            "a",
            "A",
            "=",
            &"x".repeat(LONGEST_NAME),
            &long,
            &format!("{long}y"),
            &name_of(&long),
            &"é".repeat(30),
        ];
        let names: HashSet<_> = users.iter().map(|user| name_of(user)).collect();
        assert_eq!(names.len(), users.len());
        for name in names {
            assert!((1..=LONGEST_NAME).contains(&name.len()), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
        }
    }
}
