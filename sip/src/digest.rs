//! Digest access authentication, the client's side (RFC 7616; in SIP RFC 3261 §22 and RFC 8760).
//!
//! An [`Authenticator`] is one account's: it takes challenges of its realm and no other, answers with the first
//! algorithm it knows, counts how often a nonce was used, and gives up when the same nonce is refused. A proxy and the
//! server behind it may both ask: one request then answers both (RFC 3261 §22.3). In a call that is done only where the
//! account wants it: who is behind the first that asked may be the one who was called.

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{
    headers::Headers,
    message::Request,
    method::Method,
    params::{Params, write_quoted},
    parse::{chars, cursor::Cursor, params::value},
    status::StatusCode,
};

/// A password, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Keeps it.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// Whether `given` is the password. The time it takes says nothing about either.
    pub fn matches(&self, given: &str) -> bool {
        Sha256::digest(&self.0).ct_eq(&Sha256::digest(given)).into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// Who we are to a registrar or proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Password,
    /// The only realm they are for. With none it is the first one that the account's own host names.
    pub realm: Option<String>,
    /// In a call they are for whoever asks behind a proxy that was told already, too.
    pub behind_proxy: bool,
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unanswerable {
    /// There is no user name and password for it.
    #[error("it asks for a user name and a password, and none are set")]
    NoCredentials,
    /// 401 or 407 without a readable Digest challenge.
    #[error("it asks for a password, but not by Digest")]
    NoDigest,
    /// A realm that the credentials are not for: they are not sent there.
    #[error("it names realm {got:?}, the credentials are for {expected:?}")]
    Realm {
        /// What the challenge says.
        got: String,
        /// What the credentials are for.
        expected: String,
    },
    /// No algorithm or protection that we have.
    #[error("it asks for Digest {0}, which is not supported")]
    Unsupported(String),
    /// In a call another was told already, a proxy as a rule, and who asks now is behind it.
    #[error(
        "{told} was told already; what is behind it may be anybody: set [trunk] auth_behind_proxy"
    )]
    Behind {
        /// Which.
        told: &'static str,
    },
    /// The credentials were refused.
    #[error("it does not accept the user name or the password")]
    Refused,
}

/// A hash of RFC 7616 §6.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

/// `algorithm`: a hash, and whether the session's key is made of the nonces too (`-sess`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Algorithm {
    hash: Hash,
    sess: bool,
}

/// What is protected beside the method and the URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qop {
    /// Nothing, and the nonce is not counted: RFC 2069.
    None,
    Auth,
    /// The body.
    AuthInt,
}

/// Which side of a request a challenge came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// 401: a user agent or registrar.
    Server,
    /// 407: a proxy.
    Proxy,
}

impl Asker {
    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Self::Proxy,
            _ => Self::Server,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Server => Self::Proxy,
            Self::Proxy => Self::Server,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Server => "a server",
            Self::Proxy => "a proxy",
        }
    }

    fn challenge_header(self) -> &'static str {
        match self {
            Self::Server => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        }
    }

    fn credentials_header(self) -> &'static str {
        match self {
            Self::Server => "Authorization",
            Self::Proxy => "Proxy-Authorization",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// As it was written, to be written back so.
    algorithm_name: Option<String>,
    qop: Qop,
    stale: bool,
}

/// A challenge that is being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answering {
    challenge: Challenge,
    cnonce: String,
    /// Requests that were sent with this nonce.
    count: u32,
}

/// Whose challenges a request answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorized {
    server: bool,
    proxy: bool,
    /// Who asked behind the first, and is answered in this request alone.
    behind: Option<Box<(Asker, Answering)>>,
}

impl Authorized {
    /// Whether it carries credentials at all.
    pub fn any(&self) -> bool {
        self.server || self.proxy
    }

    fn mark(&mut self, asker: Asker) {
        match asker {
            Asker::Server => self.server = true,
            Asker::Proxy => self.proxy = true,
        }
    }

    fn to(&self, asker: Asker) -> bool {
        match asker {
            Asker::Server => self.server,
            Asker::Proxy => self.proxy,
        }
    }
}

/// One account's credentials and the challenges they answer now.
#[derive(Debug, Clone)]
pub struct Authenticator {
    credentials: Credentials,
    /// Of requests to the registrar.
    registering: Answers,
    /// Of all others: what the registrar asked is answered to nobody who is called.
    calling: Answers,
}

#[derive(Debug, Clone, Default)]
struct Answers {
    server: Option<Answering>,
    proxy: Option<Answering>,
}

impl Authenticator {
    /// One that has not been challenged yet.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            registering: Answers::default(),
            calling: Answers::default(),
        }
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.credentials.username
    }

    /// Takes a 401 or 407 to a request with that method that carried `sent` ([`Authenticator::authorize`]). After `Ok` the
    /// request is to be sent again, authorised anew with what `sent` says then. `cnonce` is fresh randomness.
    ///
    /// # Errors
    /// [`Unanswerable`]: the request must not be sent again.
    pub fn handle_challenge(
        &mut self,
        (method, status): (&Method, StatusCode),
        headers: &Headers,
        sent: &mut Authorized,
        cnonce: String,
    ) -> Result<(), Unanswerable> {
        let asker = Asker::of(status);
        let challenge = self.choose(asker, headers)?;
        if *method != Method::Register {
            if sent.behind.as_ref().is_some_and(|one| one.0 == asker) {
                return Err(Unanswerable::Refused);
            }
            if sent.to(asker.other()) && !sent.to(asker) {
                // The next call begins without: who asks first then is the nearest.
                let told = asker.other().name();
                if !self.credentials.behind_proxy {
                    *self.answering(method, asker.other()) = None;
                    return Err(Unanswerable::Behind { told });
                }
                // Without it there would be nothing of ours in the answer.
                if challenge.qop == Qop::None {
                    let without = format!("without qop where {told} was told already");
                    return Err(Unanswerable::Unsupported(without));
                }
                let count = 0;
                sent.behind = Some(Box::new((
                    asker,
                    Answering {
                        challenge,
                        cnonce,
                        count,
                    },
                )));
                return Ok(());
            }
            if sent.behind.is_none() {
                // Calls carry what one of the two asked.
                *self.answering(method, asker.other()) = None;
            }
        }
        let answering = self.answering(method, asker);
        if sent.to(asker) && !challenge.stale {
            // A fresh nonce without `stale` may be a server that never says it; the same one is a refusal.
            let fresh = answering.as_ref().is_some_and(|before| {
                before.count > 1 && before.challenge.nonce != challenge.nonce
            });
            if !fresh {
                *answering = None;
                return Err(Unanswerable::Refused);
            }
        }
        // Pinned: what the account's host called itself first, it must go on calling itself.
        let realm = challenge.realm.clone();
        *answering = Some(Answering {
            challenge,
            cnonce,
            count: 0,
        });
        self.credentials.realm = Some(realm);
        Ok(())
    }

    /// Puts the credentials into a request, for each challenge that has come; says for which. `before` is what it was sent
    /// with, if it was.
    pub fn authorize(&mut self, request: &mut Request, before: Authorized) -> Authorized {
        let mut authorized = Authorized {
            behind: before.behind,
            ..Authorized::default()
        };
        for asker in [Asker::Proxy, Asker::Server] {
            request.headers.remove(asker.credentials_header());
            let answering = match &mut authorized.behind {
                Some(behind) if behind.0 == asker => Some(&mut behind.1),
                _ => self.answering(&request.method, asker).as_mut(),
            };
            let Some(answering) = answering else {
                continue;
            };
            answering.count = answering.count.saturating_add(1);
            let answering = answering.clone();
            let uri = request.uri.to_string();
            let method = request.method.as_str();
            let value = self.answer(&answering, method, &uri, &request.body);
            let name = asker.credentials_header();
            if request.headers.push(name, value).is_ok() {
                authorized.mark(asker);
            }
        }
        authorized
    }

    fn answering(&mut self, method: &Method, asker: Asker) -> &mut Option<Answering> {
        let answers = match method {
            Method::Register => &mut self.registering,
            _ => &mut self.calling,
        };
        match asker {
            Asker::Server => &mut answers.server,
            Asker::Proxy => &mut answers.proxy,
        }
    }

    /// The first challenge that we can answer (RFC 8760 §2.4); else why the first one cannot be.
    fn choose(&self, asker: Asker, headers: &Headers) -> Result<Challenge, Unanswerable> {
        let mut why = None;
        for text in headers.get_all(asker.challenge_header()) {
            match self.read(text) {
                Ok(challenge) => return Ok(challenge),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or(Unanswerable::NoDigest))
    }

    fn read(&self, text: &str) -> Result<Challenge, Unanswerable> {
        let params = digest_params(text).ok_or(Unanswerable::NoDigest)?;
        let realm = params.get_unquoted("realm").ok_or(Unanswerable::NoDigest)?;
        let nonce = params.get_unquoted("nonce").ok_or(Unanswerable::NoDigest)?;
        if let Some(expected) = &self.credentials.realm
            && *expected != realm
        {
            return Err(Unanswerable::Realm {
                got: realm,
                expected: expected.clone(),
            });
        }
        let algorithm_name = params.get_unquoted("algorithm");
        let algorithm = match &algorithm_name {
            None => Algorithm {
                hash: Hash::Md5,
                sess: false,
            },
            Some(name) => Algorithm::named(name)
                .ok_or_else(|| Unanswerable::Unsupported(format!("with algorithm {name}")))?,
        };
        let qop = match params.get_unquoted("qop") {
            None => Qop::None,
            Some(offered) => Qop::of(&offered)
                .ok_or_else(|| Unanswerable::Unsupported(format!("with qop {offered}")))?,
        };
        Ok(Challenge {
            realm,
            nonce,
            opaque: params.get_unquoted("opaque"),
            algorithm,
            algorithm_name,
            qop,
            stale: params
                .get_unquoted("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// RFC 7616 §3.4.
    fn answer(&self, answering: &Answering, method: &str, uri: &str, body: &[u8]) -> String {
        let Answering {
            challenge,
            cnonce,
            count,
        } = answering;
        let Challenge {
            realm,
            nonce,
            algorithm,
            qop,
            ..
        } = challenge;
        let Credentials {
            username,
            password: Password(password),
            ..
        } = &self.credentials;
        let hash = |text: &str| algorithm.hash.of(text.as_bytes());
        let mut a1 = hash(&format!("{username}:{realm}:{password}"));
        if algorithm.sess {
            a1 = hash(&format!("{a1}:{nonce}:{cnonce}"));
        }
        let a2 = match qop {
            Qop::AuthInt => hash(&format!("{method}:{uri}:{}", algorithm.hash.of(body))),
            Qop::None | Qop::Auth => hash(&format!("{method}:{uri}")),
        };
        let count = format!("{count:08x}");
        let response = match qop.name() {
            None => hash(&format!("{a1}:{nonce}:{a2}")),
            Some(qop) => hash(&format!("{a1}:{nonce}:{count}:{cnonce}:{qop}:{a2}")),
        };
        let mut value = "Digest username=".to_owned();
        // Writing to a string cannot fail.
        let _ = write_quoted(&mut value, username);
        for (name, text) in [("realm", realm.as_str()), ("nonce", nonce), ("uri", uri)] {
            value.push_str(&format!(", {name}="));
            let _ = write_quoted(&mut value, text);
        }
        value.push_str(&format!(", response=\"{response}\""));
        if let Some(name) = &challenge.algorithm_name {
            value.push_str(&format!(", algorithm={name}"));
        }
        if let Some(opaque) = &challenge.opaque {
            value.push_str(", opaque=");
            let _ = write_quoted(&mut value, opaque);
        }
        if let Some(qop) = qop.name() {
            value.push_str(&format!(", qop={qop}, nc={count}"));
        }
        if qop.name().is_some() || algorithm.sess {
            value.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        value
    }
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let (hash, sess) = match lower.strip_suffix("-sess") {
            Some(hash) => (hash, true),
            None => (lower.as_str(), false),
        };
        let hash = match hash {
            "md5" => Hash::Md5,
            "sha-256" => Hash::Sha256,
            "sha-512-256" => Hash::Sha512_256,
            _ => return None,
        };
        Some(Self { hash, sess })
    }
}

impl Hash {
    /// In lower-case hexadecimal.
    fn of(self, bytes: &[u8]) -> String {
        match self {
            Hash::Md5 => hex(&Md5::digest(bytes)),
            Hash::Sha256 => hex(&Sha256::digest(bytes)),
            Hash::Sha512_256 => hex(&Sha512_256::digest(bytes)),
        }
    }
}

impl Qop {
    /// The one we take of those that are offered.
    fn of(offered: &str) -> Option<Self> {
        let has = |wanted: &str| {
            offered
                .split(',')
                .any(|one| one.trim().eq_ignore_ascii_case(wanted))
        };
        match (has("auth"), has("auth-int")) {
            (true, _) => Some(Qop::Auth),
            (false, true) => Some(Qop::AuthInt),
            (false, false) => None,
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Qop::None => None,
            Qop::Auth => Some("auth"),
            Qop::AuthInt => Some("auth-int"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `Digest name=value, ...`: none for another scheme or a broken value.
fn digest_params(text: &str) -> Option<Params> {
    let mut cursor = Cursor::new(text);
    let scheme = cursor.token("a scheme").ok()?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let mut params = Params::new();
    loop {
        cursor.take_while(|byte| chars::space(byte) || byte == b',');
        if cursor.is_done() {
            return Some(params);
        }
        let name = cursor.token("a parameter").ok()?;
        cursor.skip_space();
        if !cursor.eat(b'=') {
            return None;
        }
        cursor.skip_space();
        let value = value(&mut cursor).ok()?;
        // The first of two counts.
        if !params.contains(name) {
            params.append(name, Some(value));
        }
    }
}

#[cfg(test)]
mod tests;
