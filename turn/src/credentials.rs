//! Who may relay: users with a password of their own, and time-limited credentials made with a
//! shared secret.
//!
//! Those are of the form that coturn calls `use-auth-secret` (draft-uberti-behave-turn-rest): the
//! user name is `<end>:<user>`, where `<end>` are seconds since 1970, and the password is the base
//! 64 of HMAC-SHA1 over the user name. Nothing has to be kept for them.
//!
//! User names and passwords are compared byte for byte: RFC 8489's OpaqueString preparation
//! changes nothing in what we hand out, and static users are to be set in that form. USERHASH is
//! not offered (its feature bit is not set): whoever has only the hash of a time-limited name
//! cannot be told from its secret.

use std::{collections::HashMap, fmt};

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};

use crate::message::IntegrityKey;

/// A secret, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps it.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// What a client is told to come with. The password is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// USERNAME.
    pub username: String,
    /// What its key is made of.
    pub password: String,
}

impl Credentials {
    /// Credentials for `user` that hold until `end` (seconds since 1970, UTC).
    pub fn time_limited(secret: &Secret, user: &str, end: u64) -> Self {
        let username = format!("{end}:{user}");
        let password = password(secret, &username);
        Self { username, password }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ..)", self.username)
    }
}

fn password(secret: &Secret, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret.0);
    STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

/// PASSWORD-ALGORITHM (RFC 8489 §14.12, §18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAlgorithm {
    /// 1.
    Md5,
    /// 2.
    Sha256,
}

impl PasswordAlgorithm {
    /// Reads the attribute's value: number, and no parameters.
    pub fn from_value(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }

    /// The long-term key (RFC 8489 §9.2.2).
    pub fn key(self, username: &str, realm: &str, password: &str) -> IntegrityKey {
        let parts = [username, ":", realm, ":", password];
        match self {
            Self::Md5 => {
                let mut hash = Md5::new();
                parts.iter().for_each(|part| hash.update(part));
                IntegrityKey::new(&hash.finalize())
            }
            Self::Sha256 => {
                let mut hash = digest::Context::new(&digest::SHA256);
                parts.iter().for_each(|part| hash.update(part.as_bytes()));
                IntegrityKey::new(hash.finish().as_ref())
            }
        }
    }
}

/// Value of PASSWORD-ALGORITHMS, the better one first (RFC 8489 §14.11).
pub(crate) const PASSWORD_ALGORITHMS: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

/// All who may come.
#[derive(Debug, Clone, Default)]
pub struct Users {
    /// Secrets of time-limited credentials. Several, so that one can be replaced while credentials
    /// of the last one are out.
    pub secrets: Vec<Secret>,
    /// Users with passwords of their own.
    pub fixed: HashMap<String, Secret>,
}

impl Users {
    /// The user that quotas count, or nobody: the name behind the time, or a fixed user's.
    ///
    /// `expired_too` takes a time-limited name whose time is over.
    pub(crate) fn user<'a>(
        &self,
        username: &'a str,
        unix: u64,
        expired_too: bool,
    ) -> Option<&'a str> {
        if self.fixed.contains_key(username) {
            return Some(username);
        }
        let (end, user) = username.split_once(':')?;
        let digits = end.bytes().all(|c| c.is_ascii_digit());
        let end: u64 = end.parse().ok().filter(|_| digits)?;
        (!user.is_empty() && (expired_too || unix < end)).then_some(user)
    }

    /// The passwords that `username` may have.
    pub(crate) fn passwords(&self, username: &str) -> impl Iterator<Item = String> {
        let fixed = self.fixed.get(username);
        let own = fixed.map(|secret| String::from_utf8_lossy(&secret.0).into_owned());
        let timed = self.secrets.iter().filter(move |_| fixed.is_none());
        own.into_iter()
            .chain(timed.map(|secret| password(secret, username)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limited_credentials_are_what_everybody_makes_of_them() {
        let made = Credentials::time_limited(&Secret::new("north"), "alice", 1_800_000_000);
        assert_eq!(made.username, "1800000000:alice");
        // `printf 1800000000:alice | openssl dgst -sha1 -hmac north -binary | base64`.
        assert_eq!(made.password, "sIm7pn/teO7y3AyXGeXl/xAQR6Q=");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let secret = Secret::new("north");
        let made = Credentials::time_limited(&secret, "alice", 5);
        let shown = format!("{secret:?} {made:?} {:?}", IntegrityKey::new(b"north"));
        assert_eq!(
            shown,
            "(redacted) Credentials(5:alice, ..) IntegrityKey(redacted)"
        );
    }

    #[test]
    fn a_name_is_a_users_until_its_time_is_over() {
        let users = Users {
            secrets: vec![Secret::new("north")],
            fixed: HashMap::from([("pbx".into(), Secret::new("south"))]),
        };
        assert_eq!(users.user("100:alice:1", 99, false), Some("alice:1"));
        assert_eq!(users.user("100:alice", 100, false), None);
        assert_eq!(users.user("100:alice", 100, true), Some("alice"));
        assert_eq!(users.user("pbx", 100, false), Some("pbx"));
        for nobody in [
            "",
            "100",
            "100:",
            ":alice",
            "x:alice",
            "+200:alice",
            "-1:a",
            "99999999999999999999:a",
        ] {
            assert_eq!(users.user(nobody, 100, false), None, "{nobody}");
        }
        assert_eq!(users.passwords("pbx").collect::<Vec<_>>(), ["south"]);
    }
}
