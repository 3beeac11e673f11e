//! Keys for tokens from an address (JWKS, RFC 7517 §5): fetched at start, again and again, and at once when a token names
//! one that is not there. While the address is down, the keys that came last stay.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::fetch::{Address, Error, Fetched, Fetcher, Limits, Reach};

/// How long a set of keys may take to come, and how long it may be.
const DEADLINE: Duration = Duration::from_secs(10);
const MOST_OCTETS: usize = 64 * 1024;

/// How many of its keys are kept: the first.
const MAX_KEYS: usize = 64;

/// The longest name of a key that is looked for, in octets.
const MAX_NAME: usize = 256;

/// How long keys are fresh at least and at most, whatever the answer says; where it says nothing, at most.
const FRESH: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// How long after a failure they are asked for again; twice as long after each one more.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How long lies between two fetches at least, however many unknown keys are named.
const REST: Duration = Duration::from_secs(30);

/// How long a sign-in waits for a key that is not there.
const PATIENCE: Duration = Duration::from_secs(3);

/// The keys of an address.
#[derive(Debug)]
pub struct Jwks {
    address: Address,
    state: Mutex<State>,
    /// Somebody named a key that is not there.
    missed: Notify,
    /// How many fetches there have been.
    fetches: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    keys: Vec<Key>,
    /// Why the last fetch brought none.
    trouble: Option<String>,
    /// Before that, nothing is fetched.
    earliest: Option<Instant>,
}

/// One key, and the one algorithm that it is for.
#[derive(Clone)]
pub(super) struct Key {
    name: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?}, {:?})", self.name, self.algorithm)
    }
}

/// Why there is no key for a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoKey {
    /// There are none at all: the address has not been reached yet.
    #[error("there are no keys yet to check it with: {0}; try again shortly")]
    None(String),
    /// There are, but not that one.
    #[error("it is signed with a key that {0} does not have")]
    Unknown(String),
    /// It names none, and there are several.
    #[error("it does not name its key (\"kid\"), and there are several")]
    Unnamed,
    /// Its key is for another algorithm.
    #[error("it is signed by another algorithm than its key is for")]
    Algorithm,
}

/// A set of keys as it is written.
#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// What is read of a key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Where keys come from.
trait Source {
    fn fetch(&self) -> impl Future<Output = Result<Fetched, Error>> + Send;
}

impl Source for (Fetcher, Address) {
    async fn fetch(&self) -> Result<Fetched, Error> {
        let limits = Limits {
            deadline: DEADLINE,
            most: MOST_OCTETS,
            reach: Reach::Anywhere,
        };
        self.0.get(&self.1, &limits).await
    }
}

impl Jwks {
    /// The keys of that address, of which there are none before [`Jwks::keep`] runs.
    pub fn at(address: Address) -> Self {
        let state = State {
            keys: Vec::new(),
            trouble: Some("they are being fetched".to_owned()),
            earliest: None,
        };
        Self {
            address,
            state: Mutex::new(state),
            missed: Notify::new(),
            fetches: watch::Sender::new(0),
        }
    }

    /// Fetches them again and again.
    pub async fn keep(self: Arc<Self>, fetcher: Fetcher) {
        self.keep_from((fetcher, self.address.clone())).await;
    }

    async fn keep_from(&self, source: impl Source) {
        let mut failures = 0u32;
        loop {
            let begun = Instant::now();
            let fetched = source.fetch().await.map_err(|error| error.to_string());
            let fetched = fetched.and_then(|fetched| Ok((read(&fetched.body)?, fetched.fresh)));
            let (rest, earliest) = match &fetched {
                Ok((_, fresh)) => {
                    failures = 0;
                    let (least, most) = FRESH;
                    (fresh.unwrap_or(most).clamp(least, most), begun + REST)
                }
                Err(why) => {
                    let (least, most) = AGAIN;
                    let rest = (least * 2u32.saturating_pow(failures)).min(most);
                    failures = (failures + 1).min(16);
                    tracing::warn!(
                        address = self.address.as_str(),
                        why,
                        "the keys for tokens cannot be had; those that came last stay"
                    );
                    (rest, begun + REST.min(rest))
                }
            };
            self.take(fetched.map(|(keys, _)| keys), earliest);
            self.fetches.send_modify(|count| *count += 1);
            let due = Instant::now() + rest;
            let missed = async {
                self.missed.notified().await;
                sleep_until(earliest).await;
            };
            tokio::select! {
                () = sleep_until(due) => {}
                () = missed => {}
            }
        }
    }

    fn take(&self, keys: Result<Vec<Key>, String>, earliest: Instant) {
        let mut state = self.lock();
        state.earliest = Some(earliest);
        match keys {
            Ok(keys) => {
                let names: Vec<_> = keys.iter().map(|key| key.name.as_deref()).collect();
                tracing::debug!(address = self.address.as_str(), ?names, "keys for tokens");
                (state.keys, state.trouble) = (keys, None);
            }
            Err(why) => state.trouble = Some(why),
        }
    }

    /// The key of that name, if it is for that algorithm.
    pub(super) fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Result<Key, NoKey> {
        let state = self.lock();
        let address = self.address.as_str();
        if state.keys.is_empty() {
            let why = state.trouble.as_deref().unwrap_or("it has none");
            return Err(NoKey::None(format!("{address}: {why}")));
        }
        let mut named: Vec<&Key> = match (name, state.keys.as_slice()) {
            (Some(name), keys) => {
                let is_it = |key: &&Key| key.name.as_deref() == Some(name);
                keys.iter().filter(is_it).collect()
            }
            (None, [only]) => vec![only],
            (None, _) => return Err(NoKey::Unnamed),
        };
        if named.is_empty() {
            return Err(NoKey::Unknown(address.to_owned()));
        }
        named.retain(|key| key.algorithm == algorithm);
        named
            .first()
            .map(|key| (*key).clone())
            .ok_or(NoKey::Algorithm)
    }

    /// Where there is no key of that name, asks for the keys anew and waits a moment for what comes; not more often than
    /// every 30 s.
    pub(super) async fn look_for(&self, name: Option<&str>) {
        let mut fetches = self.fetches.subscribe();
        {
            let state = self.lock();
            let known = |key: &Key| name.is_none() || key.name.as_deref() == name;
            let long = name.is_some_and(|name| name.len() > MAX_NAME);
            if long || state.keys.iter().any(known) {
                return;
            }
            let soon = Instant::now() + PATIENCE;
            if state.earliest.is_some_and(|earliest| earliest > soon) {
                return;
            }
        }
        self.missed.notify_one();
        let _ = timeout(PATIENCE, fetches.changed()).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of a set that tokens can be checked with. Others are passed over, as RFC 7517 §5 has it.
fn read(body: &[u8]) -> Result<Vec<Key>, String> {
    let set: Set =
        serde_json::from_slice(body).map_err(|error| format!("no set of keys: {error}"))?;
    let mut keys = Vec::new();
    for written in set.keys {
        match serde_json::from_value::<Written>(written)
            .map_err(|error| error.to_string())
            .and_then(Written::key)
        {
            Ok(key) => keys.push(key),
            Err(why) => tracing::warn!(why, "a key for tokens is passed over"),
        }
    }
    keys.truncate(MAX_KEYS);
    match keys.is_empty() {
        true => Err("it has no public key for RS256, PS256, ES256, ES384 or EdDSA".to_owned()),
        false => Ok(keys),
    }
}

impl Written {
    fn key(self) -> Result<Key, String> {
        let verifies = |ops: &Vec<String>| ops.iter().any(|one| one == "verify");
        if self.purpose.as_deref().is_some_and(|one| one != "sig")
            || !self.key_ops.as_ref().is_none_or(verifies)
        {
            return Err("it is not for signatures".to_owned());
        }
        let member =
            |value: Option<String>, name: &str| value.ok_or(format!("{name:?} is missing"));
        let bad = |error: jsonwebtoken::errors::Error| error.to_string();
        let alg = self.alg.as_deref();
        // The kind of the key decides, and "alg" may only say the same: what is public is never a secret (RFC 8725 §3.1).
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref(), alg) {
            ("RSA", _, None | Some("RS256")) => {
                let (n, e) = (member(self.n, "n")?, member(self.e, "e")?);
                let key = DecodingKey::from_rsa_components(&n, &e);
                (Algorithm::RS256, key.map_err(bad)?)
            }
            ("RSA", _, Some("PS256")) => {
                let (n, e) = (member(self.n, "n")?, member(self.e, "e")?);
                let key = DecodingKey::from_rsa_components(&n, &e);
                (Algorithm::PS256, key.map_err(bad)?)
            }
            ("EC", Some(curve @ ("P-256" | "P-384")), alg) => {
                let (name, algorithm) = match curve {
                    "P-256" => ("ES256", Algorithm::ES256),
                    _ => ("ES384", Algorithm::ES384),
                };
                if alg.is_some_and(|alg| alg != name) {
                    return Err(format!(
                        "a key of {curve} is not for {:?}",
                        alg.unwrap_or("")
                    ));
                }
                let (x, y) = (member(self.x, "x")?, member(self.y, "y")?);
                let key = DecodingKey::from_ec_components(&x, &y);
                (algorithm, key.map_err(bad)?)
            }
            ("OKP", Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => {
                let key = DecodingKey::from_ed_components(&member(self.x, "x")?);
                (Algorithm::EdDSA, key.map_err(bad)?)
            }
            ("oct", ..) => {
                return Err("it is a secret, which has no place at an address".to_owned());
            }
            (kind, curve, alg) => {
                return Err(format!(
                    "keys {kind:?} {curve:?} {alg:?} are not known here"
                ));
            }
        };
        Ok(Key {
            name: self.kid,
            algorithm,
            key,
        })
    }
}
