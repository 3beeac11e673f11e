//! The long-term credential mechanism, the server's side (RFC 8489 §9.2.4), and the answers to
//! those who have proven nothing.
//!
//! Nothing is kept for them. Over UDP their answers are no larger than 2.6 times what they sent,
//! since the source may be forged, and a source gets only so many a second:
//!
//! | request | answer |
//! |---|---|
//! | too short for a challenge, as a bare Allocate of 20 bytes | 400 without a reason, 28 bytes |
//! | 28 bytes, Chromium's first Allocate (REQUESTED-TRANSPORT alone) | 401 with REALM and a nonce without feature bits: 72 bytes at most |
//! | from 36 bytes on (pion adds FINGERPRINT, coturn's client LIFETIME), with a realm of 12 bytes | 401 with feature bits and PASSWORD-ALGORITHMS: 92 bytes |
//!
//! Whoever could do without a nonce that comes back from its own address is not asked for a
//! password's proof either: the nonce is looked at first, which is cheaper, too.

use std::time::Instant;

use aws_lc_rs::digest;

use crate::{
    client::{Client, Now, Source},
    config::Config,
    credentials::{PASSWORD_ALGORITHMS, PasswordAlgorithm, Users},
    limiter::Limiter,
    message::{Algorithm, Class, HEADER, IntegrityKey, Message, Writer, attribute as kind},
    nonce::{LONG, Nonces, Offered, SHORT, Verdict},
};

/// Who sent a request, proven.
pub(crate) struct Proven<'a> {
    /// USERNAME.
    pub(crate) username: &'a str,
    /// Whom quotas count.
    pub(crate) user: &'a str,
    /// What the answer is signed with.
    pub(crate) signer: Signer,
}

/// Signs answers as their request was.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) key: IntegrityKey,
    pub(crate) algorithm: Algorithm,
    /// Who sends FINGERPRINT gets it (RFC 8489 §7).
    pub(crate) fingerprint: bool,
}

impl Signer {
    /// Ends an answer; 0 if it has not fit.
    pub(crate) fn finish(&self, mut answer: Writer<'_>) -> usize {
        answer.integrity(&self.key, self.algorithm);
        if self.fingerprint {
            answer.fingerprint();
        }
        answer.finish().unwrap_or(0)
    }
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400.
    BadRequest,
    /// 401.
    Unauthorized,
    /// 438.
    StaleNonce,
}

pub(crate) struct Gate {
    realm: String,
    users: Users,
    nonces: Nonces,
    limiter: Limiter,
    challenges_per_second: u8,
    /// Checked for a user that does not exist: an answer takes no less time then.
    decoy: IntegrityKey,
}

impl Gate {
    pub(crate) fn new(
        config: &Config,
        keys: [[u8; 32]; 2],
        limiter: Limiter,
        now: Instant,
    ) -> Self {
        Self {
            realm: config.realm.clone(),
            users: config.users.clone(),
            nonces: Nonces::new(&keys[0], now, config.nonce_lifetime),
            limiter,
            challenges_per_second: config.limits.challenges_per_second,
            decoy: IntegrityKey::new(digest::digest(&digest::SHA256, &keys[1]).as_ref()),
        }
    }

    pub(crate) fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    /// RFC 8489 §9.2.4. `holder` is whose allocation the 5-tuple has: a call may last longer than
    /// the credentials that began it, so for that name their end does not count.
    pub(crate) fn authenticate<'a>(
        &self,
        client: Client,
        request: &Message<'a>,
        holder: Option<&str>,
        now: Now,
    ) -> Result<Proven<'a>, Refusal> {
        let algorithm = request.integrity().ok_or(Refusal::Unauthorized)?;
        let username = request.value(kind::USERNAME);
        let anonymous = request.value(kind::USERHASH).is_some();
        let (realm, nonce) = (request.value(kind::REALM), request.value(kind::NONCE));
        let (Some(realm), Some(nonce)) = (realm, nonce) else {
            return Err(Refusal::BadRequest);
        };
        if username.is_none() && !anonymous {
            return Err(Refusal::BadRequest);
        }
        let Verdict::Fresh(offered) = self.nonces.check(nonce, client, now.instant) else {
            return Err(Refusal::StaleNonce);
        };
        let password_algorithm = password_algorithm(request, offered)?;
        let username = username.and_then(|name| std::str::from_utf8(name).ok());
        let username = username.ok_or(Refusal::Unauthorized)?;
        let expired_too = holder == Some(username);
        let user = self.users.user(username, now.unix, expired_too);
        let (Some(user), true) = (user, realm == self.realm.as_bytes()) else {
            let _ = request.integrity_holds(&self.decoy, algorithm);
            return Err(Refusal::Unauthorized);
        };
        let key = self
            .users
            .passwords(username)
            .map(|password| password_algorithm.key(username, &self.realm, &password))
            .find(|key| request.integrity_holds(key, algorithm))
            .ok_or(Refusal::Unauthorized)?;
        let signer = Signer {
            key,
            algorithm,
            fingerprint: request.value(kind::FINGERPRINT).is_some(),
        };
        Ok(Proven {
            username,
            user,
            signer,
        })
    }

    /// Whether somebody who has proven nothing may have an answer now.
    pub(crate) fn admits(&self, client: Client, now: Instant) -> bool {
        let source = Source::of(client.address);
        client.transport.is_stream() || self.limiter.admits(source, self.challenges_per_second, now)
    }

    /// Writes the answer to a request that was not taken; its length, 0 for none.
    pub(crate) fn refuse(
        &mut self,
        client: Client,
        request: &Message<'_>,
        refusal: Refusal,
        now: Instant,
        out: &mut [u8],
    ) -> usize {
        if !self.admits(client, now) {
            return 0;
        }
        let size = request.as_bytes().len();
        let budget = match client.transport.is_stream() {
            true => usize::MAX,
            false => size * 26 / 10,
        };
        let code = match refusal {
            Refusal::BadRequest => return bad_request(request, out),
            Refusal::Unauthorized => 401,
            Refusal::StaleNonce => 438,
        };
        let realm = 4 + self.realm.len().next_multiple_of(4);
        let bare = HEADER + 8 + realm;
        let short = bare + 4 + SHORT;
        let long = bare + 4 + LONG.next_multiple_of(4) + 4 + PASSWORD_ALGORITHMS.len();
        let offered = match budget {
            _ if budget >= long => Offered::PasswordAlgorithms,
            _ if budget >= short => Offered::Nothing,
            _ => return bad_request(request, out),
        };
        let mut answer = Writer::answer(out, Class::Error, request);
        answer.error_code(code, "");
        answer.attribute(kind::REALM, self.realm.as_bytes());
        let mut nonce = [0; LONG];
        let len = self.nonces.write(client, offered, now, &mut nonce);
        answer.attribute(kind::NONCE, nonce.get(..len).unwrap_or(&[]));
        if offered == Offered::PasswordAlgorithms {
            answer.attribute(kind::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
        }
        if request.value(kind::FINGERPRINT).is_some() && answer.len() + 8 <= budget {
            answer.fingerprint();
        }
        answer.finish().unwrap_or(0)
    }
}

/// The shortest answer that says anything: 28 bytes.
fn bad_request(request: &Message<'_>, out: &mut [u8]) -> usize {
    let mut answer = Writer::answer(out, Class::Error, request);
    answer.error_code(400, "");
    answer.finish().unwrap_or(0)
}

/// RFC 8489 §9.2.4: what was offered must come back as it was, and one of it be chosen.
fn password_algorithm(
    request: &Message<'_>,
    offered: Offered,
) -> Result<PasswordAlgorithm, Refusal> {
    let list = request.value(kind::PASSWORD_ALGORITHMS);
    let chosen = request.value(kind::PASSWORD_ALGORITHM);
    match (offered, list, chosen) {
        (_, None, None) => Ok(PasswordAlgorithm::Md5),
        (Offered::PasswordAlgorithms, Some(list), Some(chosen)) if list == PASSWORD_ALGORITHMS => {
            PasswordAlgorithm::from_value(chosen).ok_or(Refusal::BadRequest)
        }
        _ => Err(Refusal::BadRequest),
    }
}
