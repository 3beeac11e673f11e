use super::*;
use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fetch::testing::{Web, response};
use crate::token::{Refused, Verifier};

/// Somebody who signs tokens.
struct Signer {
    name: &'static str,
    pair: rcgen::KeyPair,
}

impl Signer {
    fn new(name: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        Self { name, pair }
    }

    /// What stands of him in a set of keys.
    fn jwk(&self) -> Value {
        let public = self.pair.public_key_raw();
        let part = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        json!({
            "kty": "EC", "crv": "P-256", "kid": self.name, "use": "sig",
            "x": part(&public[1..33]), "y": part(&public[33..]),
        })
    }

    fn token(&self) -> String {
        let header = Header {
            kid: Some(self.name.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        encode(&header, &claims(), &key).unwrap()
    }
}

fn claims() -> Value {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    json!({"sub": "alice", "exp": now.as_secs() + 60})
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// The answers that an address gives, one after the other; the last again and again.
struct Script {
    answers: Mutex<VecDeque<Option<Vec<u8>>>>,
    asked: watch::Sender<u64>,
}

impl Source for Arc<Script> {
    async fn fetch(&self) -> Result<Fetched, Error> {
        self.asked.send_modify(|count| *count += 1);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        let body = answer.ok_or(Error::Status(503))?;
        Ok(Fetched { body, fresh: None })
    }
}

struct Kept {
    jwks: Arc<Jwks>,
    verifier: Verifier,
    script: Arc<Script>,
    _keeping: JoinHandle<()>,
}

/// Keys that are kept from such an address; in virtual time.
async fn kept(answers: impl IntoIterator<Item = Option<Vec<u8>>>) -> Kept {
    let jwks = Arc::new(Jwks::at(
        Address::parse("https://login.example/keys").unwrap(),
    ));
    let script = Arc::new(Script {
        answers: Mutex::new(answers.into_iter().collect()),
        asked: watch::Sender::new(0),
    });
    let (keeper, from) = (Arc::clone(&jwks), Arc::clone(&script));
    let keeping = tokio::spawn(async move { keeper.keep_from(from).await });
    let mut fetches = jwks.fetches.subscribe();
    fetches.wait_for(|count| *count > 0).await.unwrap();
    Kept {
        verifier: Verifier::listed(Arc::clone(&jwks)),
        jwks,
        script,
        _keeping: keeping,
    }
}

impl Kept {
    fn asked(&self) -> u64 {
        *self.script.asked.borrow()
    }

    async fn fetched(&self, times: u64) {
        let mut fetches = self.jwks.fetches.subscribe();
        fetches.wait_for(|count| *count >= times).await.unwrap();
    }

    /// As a session signs in.
    async fn user(&self, token: &str) -> Result<String, Refused> {
        self.verifier.look_for_key(token).await;
        self.verifier.user(token).map(|user| user.name)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_checked_with_the_key_that_it_names() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let kept = kept([Some(set(&[one.jwk(), two.jwk()]))]).await;
    for signer in [&one, &two] {
        assert_eq!(kept.user(&signer.token()).await.unwrap(), "alice");
    }
    // Signed by one, in the name of the other.
    let foreign = Signer {
        name: "two",
        pair: one.pair,
    };
    let why = kept.user(&foreign.token()).await.unwrap_err();
    assert!(why.to_string().contains("signature is wrong"), "{why}");
    assert_eq!(kept.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_when_a_token_names_it_but_not_at_everybodys_bidding() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let first = Some(set(&[old.jwk()]));
    let kept = kept([first, Some(set(&[old.jwk(), new.jwk()]))]).await;
    // Too soon after the last: it is told so at once, and a moment later not.
    let begun = Instant::now();
    let why = kept.user(&new.token()).await.unwrap_err();
    assert!(why.to_string().contains("does not have"), "{why}");
    assert_eq!((begun.elapsed(), kept.asked()), (Duration::ZERO, 1));
    tokio::time::advance(REST).await;
    assert_eq!(kept.user(&new.token()).await.unwrap(), "alice");
    assert_eq!(kept.asked(), 2);
    // Names that nobody has do not make us ask more often.
    let nobody = Signer::new("nobody").token();
    for _ in 0..100 {
        kept.user(&nobody).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(kept.asked() <= 2 + 4, "{}", kept.asked());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_down_at_start_is_tried_again() {
    let signer = Signer::new("one");
    let up = Some(set(&[signer.jwk()]));
    let kept = kept([None, None, up]).await;
    let why = kept.user(&signer.token()).await.unwrap_err();
    assert!(matches!(&why, Refused::NoKeys(_)), "{why}");
    for told in ["https://login.example/keys", "503", "try again"] {
        assert!(why.to_string().contains(told), "{why}");
    }
    kept.fetched(3).await;
    assert_eq!(kept.user(&signer.token()).await.unwrap(), "alice");
}

#[tokio::test(start_paused = true)]
async fn the_last_keys_stay_while_the_address_is_down_and_go_when_it_takes_them_back() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let rubbish = Some(b"<html>".to_vec());
    let none = Some(set(&[]));
    let kept = kept([
        Some(set(&[old.jwk()])),
        None,
        rubbish,
        none,
        Some(set(&[new.jwk()])),
    ])
    .await;
    let begun = Instant::now();
    for times in 2..=4 {
        kept.fetched(times).await;
        assert_eq!(kept.user(&old.token()).await.unwrap(), "alice", "{times}");
    }
    assert!(
        begun.elapsed() >= FRESH.1,
        "every hour, where nothing is said"
    );
    kept.fetched(5).await;
    assert!(kept.user(&old.token()).await.is_err());
    assert_eq!(kept.user(&new.token()).await.unwrap(), "alice");
}

#[test]
fn a_key_is_for_one_algorithm_and_a_secret_for_none() {
    let signer = Signer::new("one");
    let with = |name: &str, value: &str| {
        let mut jwk = signer.jwk();
        jwk[name] = json!(value);
        jwk
    };
    let secret = json!({"kty": "oct", "kid": "one", "alg": "HS256", "k": "AAAA"});
    for (jwk, why) in [
        (secret.clone(), "a secret"),
        (with("alg", "HS256"), "not for \"HS256\""),
        (with("alg", "ES384"), "not for \"ES384\""),
        (with("crv", "secp256k1"), "not known here"),
        (with("use", "enc"), "not for signatures"),
        (
            json!({"kty": "RSA", "n": "AQ", "e": "AQAB", "alg": "HS256"}),
            "not known",
        ),
        (json!({"kty": "RSA", "n": "AQ"}), "\"e\" is missing"),
        (json!({"kid": "one"}), "kty"),
    ] {
        let written: Result<Written, _> = serde_json::from_value(jwk);
        let error = written.map_err(|error| error.to_string());
        let error = error.and_then(Written::key).unwrap_err();
        assert!(error.contains(why), "{error}: {why}");
    }
    assert!(read(&set(std::slice::from_ref(&secret))).is_err());
    let keys = read(&set(&[secret, json!(7), signer.jwk()])).unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let many = vec![signer.jwk(); 1000];
    assert_eq!(read(&set(&many)).unwrap().len(), MAX_KEYS);
}

#[tokio::test(start_paused = true)]
async fn what_a_token_says_of_its_algorithm_does_not_make_a_public_key_a_secret() {
    let signer = Signer::new("one");
    let kept = kept([Some(set(&[signer.jwk()]))]).await;
    // Whoever knows the public key signs with it, as if it were a secret (RFC 8725 §2.1).
    for secret in [
        signer.pair.public_key_raw(),
        signer.pair.public_key_pem().as_bytes(),
    ] {
        let header = Header {
            kid: Some("one".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let token = encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap();
        let why = kept.user(&token).await.unwrap_err();
        assert!(why.to_string().contains("another algorithm"), "{why}");
    }
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"one"}"#),
        URL_SAFE_NO_PAD.encode(claims().to_string()),
    );
    assert!(kept.user(&none).await.is_err());
}

#[tokio::test]
async fn keys_come_over_the_network_and_too_many_octets_do_not() {
    let signer = Signer::new("one");
    let body = set(&[signer.jwk()]);
    let web = Web::serve(move |path| {
        let long = [&body[..], &vec![b' '; MOST_OCTETS]].concat();
        Some(response(
            "200 OK",
            "",
            if path == "/keys" { &body } else { &long },
        ))
    })
    .await;
    for (path, comes) in [("/keys", true), ("/long", false)] {
        let jwks = Arc::new(Jwks::at(Address::parse(&web.url(path)).unwrap()));
        let keeping = tokio::spawn(Arc::clone(&jwks).keep(Fetcher::new(Arc::default())));
        let mut fetches = jwks.fetches.subscribe();
        fetches.wait_for(|count| *count > 0).await.unwrap();
        keeping.abort();
        let user = Verifier::listed(jwks).user(&signer.token());
        assert_eq!(user.is_ok(), comes, "{path}: {user:?}");
        if let Err(why) = user {
            assert!(why.to_string().contains("longer than 65536"), "{why}");
        }
    }
}
