use super::*;
use crate::{method::Method, uri::Uri};

const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

fn account(realm: Option<&str>) -> Authenticator {
    Authenticator::new(Credentials {
        username: "Mufasa".to_owned(),
        password: Password::new("Circle of Life"),
        realm: realm.map(str::to_owned),
        behind_proxy: false,
    })
}

fn challenge(values: &[&str]) -> Headers {
    let mut headers = Headers::new();
    for value in values {
        headers.push("WWW-Authenticate", value).unwrap();
    }
    headers
}

fn take(account: &mut Authenticator, values: &[&str], sent: bool) -> Result<(), Unanswerable> {
    let headers = challenge(values);
    let mut sent = Authorized {
        server: sent,
        ..Authorized::default()
    };
    let asked = (&Method::Register, StatusCode::UNAUTHORIZED);
    account.handle_challenge(asked, &headers, &mut sent, CNONCE.to_owned())
}

fn request() -> Request {
    Request::new(Method::Register, "sip:example.org".parse::<Uri>().unwrap())
}

/// What the account says of itself in a REGISTER.
fn said(account: &mut Authenticator) -> Params {
    let mut request = request();
    assert!(account.authorize(&mut request, Authorized::default()).any());
    digest_params(request.headers.get("Authorization").unwrap()).unwrap()
}

#[test]
fn the_examples_of_rfc_7616_come_out() {
    // §3.9.1: the same request, by SHA-256 and by MD5.
    for (algorithm, response) in [
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ] {
        let mut account = account(None);
        let text = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        take(&mut account, &[&text], false).unwrap();
        let mut chosen = account.registering.server.clone().unwrap();
        chosen.count = 1;
        let value = account.answer(&chosen, "GET", "/dir/index.html", b"");
        let params = digest_params(&value).unwrap();
        assert_eq!(params.get_unquoted("response").as_deref(), Some(response));
        assert_eq!(params.get("qop"), Some("auth"));
        assert_eq!(params.get("nc"), Some("00000001"));
        assert_eq!(params.get("algorithm"), Some(algorithm));
        assert!(params.get_unquoted("opaque").unwrap().starts_with("FQhe"));
    }
}

#[test]
fn the_hashes_are_those_of_their_standards() {
    assert_eq!(Hash::Md5.of(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(
        Hash::Sha512_256.of(b"abc"),
        "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    );
}

#[test]
fn a_challenge_without_qop_is_answered_as_rfc_2069_has_it() {
    let mut account = account(None);
    take(&mut account, &["Digest realm=\"r\", nonce=\"n\""], false).unwrap();
    let params = said(&mut account);
    // md5(md5("Mufasa:r:Circle of Life"):n:md5("REGISTER:sip:example.org"))
    let a1 = Hash::Md5.of(b"Mufasa:r:Circle of Life");
    let a2 = Hash::Md5.of(b"REGISTER:sip:example.org");
    let expected = Hash::Md5.of(format!("{a1}:n:{a2}").as_bytes());
    assert_eq!(params.get_unquoted("response"), Some(expected));
    for absent in ["qop", "nc", "cnonce", "algorithm"] {
        assert!(!params.contains(absent), "{absent}");
    }
}

#[test]
fn a_session_key_and_a_body_go_into_the_answer_where_they_are_asked_for() {
    let mut account = account(None);
    let text = "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256-sess, qop=\"auth-int\"";
    take(&mut account, &[text], false).unwrap();
    let mut request = request();
    request.body = b"body".to_vec();
    account.authorize(&mut request, Authorized::default());
    let params = digest_params(request.headers.get("Authorization").unwrap()).unwrap();
    let hash = |text: String| Hash::Sha256.of(text.as_bytes());
    let a1 = hash("Mufasa:r:Circle of Life".into());
    let a1 = hash(format!("{a1}:n:{CNONCE}"));
    let a2 = hash(format!("REGISTER:sip:example.org:{}", hash("body".into())));
    let expected = hash(format!("{a1}:n:00000001:{CNONCE}:auth-int:{a2}"));
    assert_eq!(params.get_unquoted("response"), Some(expected));
}

#[test]
fn each_request_with_a_nonce_counts_it_up_and_a_fresh_nonce_begins_anew() {
    let mut account = account(None);
    let text = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
    take(&mut account, &[text], false).unwrap();
    assert_eq!(said(&mut account).get("nc"), Some("00000001"));
    assert_eq!(said(&mut account).get("nc"), Some("00000002"));
    let stale = "Digest realm=\"r\", nonce=\"m\", qop=\"auth\", stale=TRUE";
    take(&mut account, &[stale], true).unwrap();
    let params = said(&mut account);
    assert_eq!(params.get("nc"), Some("00000001"));
    assert_eq!(params.get_unquoted("nonce").as_deref(), Some("m"));
}

#[test]
fn a_wrong_password_is_not_tried_again() {
    let mut account = account(None);
    let first = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
    take(&mut account, &[first], false).unwrap();
    said(&mut account);
    let again = "Digest realm=\"r\", nonce=\"m\", qop=\"auth\"";
    assert_eq!(
        take(&mut account, &[again], true),
        Err(Unanswerable::Refused)
    );
}

#[test]
fn a_nonce_that_worked_once_may_run_out_without_being_called_stale() {
    let mut account = account(None);
    let first = "Digest realm=\"r\", nonce=\"n\"";
    take(&mut account, &[first], false).unwrap();
    said(&mut account);
    said(&mut account);
    let next = "Digest realm=\"r\", nonce=\"m\"";
    assert_eq!(take(&mut account, &[next], true), Ok(()));
    assert_eq!(
        said(&mut account).get_unquoted("nonce").as_deref(),
        Some("m")
    );
    assert_eq!(
        take(&mut account, &[next], true),
        Err(Unanswerable::Refused)
    );
}

#[test]
fn credentials_go_to_no_realm_but_theirs() {
    let mut account = account(Some("carrier"));
    let other = "Digest realm=\"phish\", nonce=\"n\"";
    let expected = Unanswerable::Realm {
        got: "phish".into(),
        expected: "carrier".into(),
    };
    assert_eq!(take(&mut account, &[other], false), Err(expected));
    assert!(
        !account
            .authorize(&mut request(), Authorized::default())
            .any()
    );

    let mut open = self::account(None);
    take(&mut open, &["Digest realm=\"r\", nonce=\"n\""], false).unwrap();
    let moved = take(&mut open, &[other], false);
    assert!(
        matches!(moved, Err(Unanswerable::Realm { .. })),
        "{moved:?}"
    );
}

#[test]
fn a_proxy_and_the_server_behind_it_are_both_answered_in_one_request() {
    let mut account = account(None);
    let mut asked = |status, name, nonce: &str, mut sent: Authorized| {
        let mut headers = Headers::new();
        let text = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"");
        headers.push(name, text).unwrap();
        let cnonce = CNONCE.to_owned();
        account.handle_challenge((&Method::Register, status), &headers, &mut sent, cnonce)?;
        let mut request = request();
        let sent = account.authorize(&mut request, sent);
        let count = |name| {
            let params = digest_params(request.headers.get(name)?)?;
            Some((params.get_unquoted("nonce")?, params.get("nc")?.to_owned()))
        };
        Ok((sent, count("Proxy-Authorization"), count("Authorization")))
    };
    let said = |nonce: &str, count: &str| Some((nonce.to_owned(), count.to_owned()));
    let proxy = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    let (sent, to_proxy, to_server) =
        asked(proxy, "Proxy-Authenticate", "p", Authorized::default()).unwrap();
    assert_eq!((to_proxy, to_server), (said("p", "00000001"), None));
    let server = StatusCode::UNAUTHORIZED;
    let (sent, to_proxy, to_server) = asked(server, "WWW-Authenticate", "s", sent).unwrap();
    assert_eq!(to_proxy, said("p", "00000002"));
    assert_eq!(to_server, said("s", "00000001"));
    let refused: Result<_, Unanswerable> = asked(server, "WWW-Authenticate", "t", sent);
    assert_eq!(refused, Err(Unanswerable::Refused));
}

#[test]
fn what_the_registrar_asked_is_not_answered_to_who_is_called() {
    let mut account = account(None);
    let text = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
    take(&mut account, &[text], false).unwrap();
    let mut invite = Request::new(Method::Invite, "sip:bob@example.org".parse().unwrap());
    assert!(!account.authorize(&mut invite, Authorized::default()).any());
    assert!(
        account
            .authorize(&mut request(), Authorized::default())
            .any()
    );
}

#[test]
fn the_first_challenge_that_can_be_answered_is() {
    let mut account = account(None);
    let offered = [
        "Basic realm=\"r\"",
        "Digest realm=\"r\", nonce=\"a\", algorithm=SHA3-512",
        "Digest realm=\"r\", nonce=\"b\", algorithm=SHA-256, qop=\"auth\"",
        "Digest realm=\"r\", nonce=\"c\", algorithm=MD5, qop=\"auth\"",
    ];
    take(&mut account, &offered, false).unwrap();
    assert_eq!(
        said(&mut account).get_unquoted("nonce").as_deref(),
        Some("b")
    );
    assert_eq!(
        take(&mut self::account(None), &offered[..1], false),
        Err(Unanswerable::NoDigest)
    );
    let unsupported = take(&mut self::account(None), &offered[1..2], false);
    assert!(matches!(unsupported, Err(Unanswerable::Unsupported(_))));
    let odd = "Digest realm=\"r\", nonce=\"n\", qop=\"token\"";
    let unsupported = take(&mut self::account(None), &[odd], false);
    assert!(matches!(unsupported, Err(Unanswerable::Unsupported(_))));
}

#[test]
fn hostile_challenges_are_refused_or_quoted_and_never_break_a_message() {
    for text in [
        "",
        "Digest",
        "Digest realm",
        "Digest realm=",
        "Digest realm=\"r",
        "Digest realm=\"r\" nonce=\"n\" ,,, =",
        "Digest nonce=\"n\"",
    ] {
        let taken = take(&mut account(None), &[text], false);
        assert_eq!(taken, Err(Unanswerable::NoDigest), "{text:?}");
    }
    let mut account = account(None);
    let text = r#"Digest realm="a\"b\\c", nonce="n\", x=\"y", qop="auth""#;
    take(&mut account, &[text], false).unwrap();
    let params = said(&mut account);
    assert_eq!(params.get_unquoted("realm").as_deref(), Some(r#"a"b\c"#));
    assert_eq!(params.get_unquoted("nonce").as_deref(), Some("n\", x=\"y"));
}

#[test]
fn a_password_is_not_printed() {
    let shown = format!("{:?}", account(Some("r")));
    assert!(shown.contains("redacted") && !shown.contains("Circle"));
}
