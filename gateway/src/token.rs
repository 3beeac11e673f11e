//! Signed tokens that sign users in (JWT, RFC 7519): who signs them needs no account of theirs here.

pub mod jwks;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use sip::digest::Password;

use self::jwks::{Jwks, NoKey};
use crate::call::machine::Forward;
use crate::call::route::{is_number, plain_number};
use crate::permit::{Pattern, Permit};
use crate::settings::{RING_TIME, User};

/// The clocks of whoever signs and ours may differ by so much, in seconds.
const LEEWAY: u64 = 5;

/// Longer than any token that is meant well.
const MAX_LENGTH: usize = 8 * 1024;

/// Looks at tokens.
#[derive(Clone)]
pub struct Verifier {
    keys: Keys,
    /// Everything but the algorithm, which is the key's.
    rules: Validation,
}

/// What tokens are checked with.
#[derive(Clone)]
enum Keys {
    /// This one, by this algorithm.
    One(DecodingKey, Algorithm),
    /// Those of an address.
    Listed(Arc<Jwks>),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.keys {
            Keys::One(_, algorithm) => write!(f, "Verifier({algorithm:?})"),
            Keys::Listed(jwks) => write!(f, "Verifier({jwks:?})"),
        }
    }
}

/// Why a token signs nobody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What is wrong with it, in words.
    #[error("the token is refused: {0}")]
    Bad(String),
    /// Nothing is known of it: there are no keys. It is nobody's fault who signs in.
    #[error("the token cannot be checked: {0}")]
    NoKeys(String),
}

/// What a token says of its owner.
#[derive(Debug, Deserialize)]
struct Claims {
    /// The user's name.
    sub: String,
    /// When it ends, in seconds since 1970.
    exp: u64,
    /// What people see.
    name: Option<String>,
    /// The user's numbers.
    #[serde(default)]
    numbers: Vec<String>,
    /// Whom the user may call, as in `[users.NAME] dial`.
    dial: Option<Vec<String>>,
    /// Calls at once.
    max_calls: Option<usize>,
    /// The longest call, in seconds.
    max_call_seconds: Option<u64>,
}

impl Verifier {
    /// For tokens signed with a secret that both sides have (HS256).
    pub fn hs256(secret: &[u8]) -> Self {
        Self::new(DecodingKey::from_secret(secret), Algorithm::HS256)
    }

    /// For tokens whose signature this public key, in PEM, proves: ES256 or EdDSA, by the key's kind. None for other kinds.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        DecodingKey::from_ed_pem(pem)
            .map(|key| Self::new(key, Algorithm::EdDSA))
            .or_else(|_| DecodingKey::from_ec_pem(pem).map(|key| Self::new(key, Algorithm::ES256)))
            .ok()
    }

    /// For tokens that are signed with a key of an address.
    pub fn listed(jwks: Arc<Jwks>) -> Self {
        Self::with(Keys::Listed(jwks))
    }

    fn new(key: DecodingKey, algorithm: Algorithm) -> Self {
        Self::with(Keys::One(key, algorithm))
    }

    fn with(keys: Keys) -> Self {
        let mut rules = Validation {
            leeway: LEEWAY,
            validate_nbf: true,
            validate_aud: false,
            ..Validation::default()
        };
        rules.set_required_spec_claims(&["exp", "sub"]);
        Self { keys, rules }
    }

    /// The address of the keys, where they have one.
    pub fn jwks(&self) -> Option<&Arc<Jwks>> {
        match &self.keys {
            Keys::One(..) => None,
            Keys::Listed(jwks) => Some(jwks),
        }
    }

    /// Whether tokens for others are believed too.
    pub fn is_for_anybody(&self) -> bool {
        !self.rules.validate_aud
    }

    /// Only tokens of that issuer.
    pub fn of_issuer(mut self, issuer: &str) -> Self {
        self.rules.set_issuer(&[issuer]);
        self.require("iss")
    }

    /// Only tokens for that audience.
    pub fn for_audience(mut self, audience: &str) -> Self {
        self.rules.validate_aud = true;
        self.rules.set_audience(&[audience]);
        self.require("aud")
    }

    fn require(mut self, claim: &str) -> Self {
        self.rules.required_spec_claims.insert(claim.to_owned());
        self
    }

    /// Where the token names a key that is not there, waits a moment for the address of the keys to have it.
    pub async fn look_for_key(&self, token: &str) {
        if let (Keys::Listed(jwks), Some(header)) = (&self.keys, header(token)) {
            jwks.look_for(header.kid.as_deref()).await;
        }
    }

    /// Whose token it is, and what he may do.
    ///
    /// # Errors
    /// [`Refused`] says why it signs nobody in.
    pub fn user(&self, token: &str) -> Result<User, Refused> {
        if token.len() > MAX_LENGTH {
            return Err(Refused::Bad("it is longer than 8 KiB".to_owned()));
        }
        let listed;
        let (key, algorithm) = match &self.keys {
            Keys::One(key, algorithm) => (key, *algorithm),
            Keys::Listed(jwks) => {
                let header = header(token).ok_or_else(|| Refused::Bad(NO_TOKEN.to_owned()))?;
                listed = jwks.find(header.kid.as_deref(), header.alg)?;
                (&listed.key, listed.algorithm)
            }
        };
        // One algorithm, the key's own: what the token names may only be the same.
        let rules = Validation {
            algorithms: vec![algorithm],
            ..self.rules.clone()
        };
        let claims = decode::<Claims>(token, key, &rules)
            .map_err(|error| Refused::Bad(words(error.kind())))?
            .claims;
        claims.user().map_err(Refused::Bad)
    }
}

impl From<NoKey> for Refused {
    fn from(no: NoKey) -> Self {
        match no {
            NoKey::None(_) => Self::NoKeys(no.to_string()),
            _ => Self::Bad(no.to_string()),
        }
    }
}

const NO_TOKEN: &str = "it is no token";

fn header(token: &str) -> Option<jsonwebtoken::Header> {
    (token.len() <= MAX_LENGTH).then(|| decode_header(token).ok())?
}

impl Claims {
    fn user(self) -> Result<User, String> {
        if !is_number(&self.sub) {
            return Err("\"sub\" is not 1 to 64 letters, digits, + * # . _ or -".to_owned());
        }
        let numbers: Vec<String> = self.numbers.iter().map(|one| plain_number(one)).collect();
        if !numbers.iter().all(|number| is_number(number)) {
            return Err("\"numbers\" has something that is no number".to_owned());
        }
        let patterns = |patterns: Vec<String>| -> Option<Vec<Pattern>> {
            patterns.iter().map(|one| Pattern::parse(one)).collect()
        };
        let dial = match self.dial {
            Some(listed) => {
                Some(patterns(listed).ok_or("\"dial\" has something that is no number")?)
            }
            None => None,
        };
        let shown = self
            .name
            .filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
        Ok(User {
            display_name: shown.unwrap_or_else(|| self.sub.clone()),
            name: self.sub,
            // Nobody signs in with it: it is in no list.
            password: Password::new(""),
            numbers,
            withheld: false,
            permit: Permit {
                dial,
                max_calls: self.max_calls,
                max_call_duration: self.max_call_seconds.map(Duration::from_secs),
                until: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.exp)),
            },
            forward: Forward::default(),
            ring_time: RING_TIME,
        })
    }
}

fn words(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm => "it is signed by another algorithm",
        ErrorKind::MissingRequiredClaim(claim) => return format!("\"{claim}\" is missing"),
        ErrorKind::Json(error) => return format!("its claims: {error}"),
        _ => NO_TOKEN,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn in_seconds(seconds: i64) -> i64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        i64::try_from(now.unwrap().as_secs()).unwrap() + seconds
    }

    fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, key).unwrap()
    }

    fn hs256(claims: &Value) -> String {
        signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), claims)
    }

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (EncodingKey, Verifier) {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let private = pair.serialize_pem();
        let key = match algorithm == &rcgen::PKCS_ED25519 {
            true => EncodingKey::from_ed_pem(private.as_bytes()),
            false => EncodingKey::from_ec_pem(private.as_bytes()),
        };
        let verifier = Verifier::from_pem(pair.public_key_pem().as_bytes());
        (key.unwrap(), verifier.expect("a key of a kind we take"))
    }

    #[test]
    fn a_token_says_who_its_owner_is_and_what_he_may_do() {
        let claims = json!({
            "sub": "alice", "exp": in_seconds(60), "name": "Alice", "numbers": ["+49 30 1"],
            "dial": ["+49*"], "max_calls": 2, "max_call_seconds": 60,
        });
        let (ec, ec_verifier) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (ed, ed_verifier) = pair(&rcgen::PKCS_ED25519);
        for (token, verifier) in [
            (hs256(&claims), Verifier::hs256(SECRET)),
            (signed(Algorithm::ES256, &ec, &claims), ec_verifier),
            (signed(Algorithm::EdDSA, &ed, &claims), ed_verifier),
        ] {
            let user = verifier.user(&token).expect("a user");
            assert_eq!(
                (user.name.as_str(), user.display_name.as_str()),
                ("alice", "Alice")
            );
            assert_eq!(user.numbers, ["+49301"]);
            let permit = &user.permit;
            assert!(permit.allows("+4930") && !permit.allows("+1"));
            assert_eq!(permit.max_calls, Some(2));
            assert_eq!(permit.max_call_duration, Some(Duration::from_secs(60)));
            assert!(permit.is_over(SystemTime::now() + Duration::from_secs(120)));
        }
    }

    #[test]
    fn a_token_that_is_not_right_is_told_why() {
        let exp = in_seconds(60);
        let verifier = Verifier::hs256(SECRET).of_issuer("us").for_audience("here");
        let right = json!({"sub": "a", "exp": exp, "iss": "us", "aud": "here"});
        assert_eq!(verifier.user(&hs256(&right)).expect("a user").name, "a");
        let with = |name: &str, value: Value| {
            let mut claims = right.clone();
            claims[name] = value;
            hs256(&claims)
        };
        let without = |name: &str| {
            let mut claims = right.clone();
            claims.as_object_mut().unwrap().remove(name);
            hs256(&claims)
        };
        let foreign = EncodingKey::from_secret(b"another secret of 32 octets.....");
        let (ec, _) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        for (token, expected) in [
            (with("exp", json!(in_seconds(-60))), "it has expired"),
            (with("nbf", json!(in_seconds(60))), "it is not valid yet"),
            (with("iss", json!("them")), "it is of another issuer"),
            (with("aud", json!("there")), "it is for another audience"),
            (without("exp"), "exp"),
            (without("iss"), "\"iss\" is missing"),
            (without("aud"), "\"aud\" is missing"),
            (without("sub"), "sub"),
            (with("sub", json!("a b")), "\"sub\""),
            (with("dial", json!(["a b"])), "\"dial\""),
            (with("numbers", json!(["a@b"])), "\"numbers\""),
            (
                signed(Algorithm::HS256, &foreign, &right),
                "its signature is wrong",
            ),
            (signed(Algorithm::ES256, &ec, &right), "another algorithm"),
            ("rubbish".to_owned(), "it is no token"),
            // "none" is no algorithm (RFC 8725 §3.1).
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.".to_owned(), ""),
            ("x".repeat(9000), "longer"),
        ] {
            let why = verifier.user(&token).expect_err(expected).to_string();
            assert!(why.contains(expected), "{why:?}, not {expected:?}");
        }
    }
}
