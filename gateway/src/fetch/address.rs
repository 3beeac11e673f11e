//! Web addresses (RFC 3986, RFC 9110 §4.2), and which IP addresses are everybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;
use hyper::header::HeaderValue;

/// The longest one that is meant well, in octets.
const MAX_LENGTH: usize = 2048;

/// An address of something to be fetched: `https`, or on this machine `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    text: String,
    secure: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    ip: Option<IpAddr>,
    port: u16,
    authority: HeaderValue,
    path: Uri,
}

/// Why something is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is no address at all.
    #[error("is no web address")]
    Malformed,
    /// It is too long.
    #[error("is longer than 2048 characters")]
    TooLong,
    /// It is not protected on its way.
    #[error("does not begin with https://")]
    NotSecure,
    /// It has a user or a password in it.
    #[error("has a user name in it")]
    Credentials,
}

impl Address {
    /// Reads one.
    ///
    /// # Errors
    /// [`BadAddress`] says why it is none.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if text.len() > MAX_LENGTH {
            return Err(BadAddress::TooLong);
        }
        // What is behind # is not sent, and would be lost without a word.
        if text.contains('#') {
            return Err(BadAddress::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| BadAddress::Malformed)?;
        let authority = uri.authority().ok_or(BadAddress::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(BadAddress::Credentials);
        }
        let host = authority.host();
        let host = host.strip_prefix('[').unwrap_or(host);
        let host = host.strip_suffix(']').unwrap_or(host).to_ascii_lowercase();
        if host.is_empty() {
            return Err(BadAddress::Malformed);
        }
        let ip: Option<IpAddr> = host.parse().ok();
        let here = ip.is_some_and(|ip| ip.to_canonical().is_loopback()) || host == "localhost";
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if here => false,
            _ => return Err(BadAddress::NotSecure),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| BadAddress::Malformed)?,
            path: path.parse().map_err(|_| BadAddress::Malformed)?,
            text: text.to_owned(),
            secure,
            host,
            ip,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `https`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether there is a query in it.
    pub fn has_query(&self) -> bool {
        self.path.query().is_some()
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// For the Host header.
    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// For the request line.
    pub(super) fn path(&self) -> &Uri {
        &self.path
    }
}

/// Whether an address is everybody's: not of this machine, this network, or set aside for something (RFC 6890 and IANA's
/// registries of special-purpose addresses).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 88, 99)
            | (192, 168, _)
            | (192, 175, 48)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    ) || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    match (a, b) {
        // RFC 6052: an IPv4 address, by way of a translator.
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => {
            let low = (u32::from(g) << 16) | u32::from(h);
            is_public_v4(Ipv4Addr::from_bits(low))
        }
        // RFC 2928, RFC 3849, RFC 3056 (IPv4 addresses of any kind), RFC 9637.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) => false,
        (0x3fff, b) if b < 0x1000 => false,
        // Nothing else is given out yet (RFC 4291 §2.4).
        (a, _) => (0x2000..=0x3fff).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_whole() {
        let address = Address::parse("https://Example.com/keys?x=1").unwrap();
        assert_eq!(
            (address.host(), address.port(), address.is_secure()),
            ("example.com", 443, true)
        );
        assert_eq!(address.path().to_string(), "/keys?x=1");
        assert!(address.has_query());
        let address = Address::parse("http://[::1]:8080").unwrap();
        assert_eq!(address.ip(), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(
            (address.port(), address.path().to_string()),
            (8080, "/".into())
        );
    }

    #[test]
    fn only_what_is_protected_or_here_is_an_address() {
        for (text, why) in [
            ("http://example.com/", BadAddress::NotSecure),
            ("http://192.0.2.1/", BadAddress::NotSecure),
            ("http://127.0.0.1.example.com/", BadAddress::NotSecure),
            ("http://localhost.example.com/", BadAddress::NotSecure),
            ("ftp://example.com/", BadAddress::NotSecure),
            ("file:///etc/passwd", BadAddress::Malformed),
            ("https://user@example.com/", BadAddress::Credentials),
            ("https://a:b@127.0.0.1/", BadAddress::Credentials),
            ("https://", BadAddress::Malformed),
            ("https:///x", BadAddress::Malformed),
            ("example.com", BadAddress::NotSecure),
            ("", BadAddress::Malformed),
            ("https://example.com/#part", BadAddress::Malformed),
            ("https://exa mple.com/", BadAddress::Malformed),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_LENGTH));
        assert_eq!(Address::parse(&long), Err(BadAddress::TooLong));
        assert!(Address::parse("http://127.0.0.1:1/").is_ok());
    }

    #[test]
    fn an_address_that_is_not_everybodys_is_known_in_every_disguise() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
