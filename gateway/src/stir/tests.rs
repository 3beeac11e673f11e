use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sip::{Method, Request};

use super::certificate::BadRoots;
use super::passport::canonical;
use super::testing::{Signer, claims};
use super::*;
use crate::call::dial_plan::DialPlan;
use crate::fetch::Fetcher;
use crate::fetch::testing::{Web, response};

const INFO: &str = "https://certificates.example/a.pem";

/// 2026-01-01, and in the middle of a second.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_500)
}

fn call() -> Call {
    Call {
        from: vec!["12025551000".to_owned()],
        to: vec!["100".to_owned(), "12025551001".to_owned()],
        date: Some("Thu, 01 Jan 2026 00:00:00 GMT".to_owned()),
        now: now(),
    }
}

/// What a header comes to, with that chain and those roots.
fn verified(header: &str, call: &Call, by: &Signer, roots: &Roots) -> Result<Passport, Failure> {
    let passport = Identity::parse(header)?.check(call)?;
    let chain = by.chain();
    chain.verify(roots, call.now)?;
    chain.verify_signature(&passport.signed, &passport.signature)?;
    Ok(passport)
}

fn why(header: &str, signer: &Signer) -> Failure {
    verified(header, &call(), signer, &signer.roots()).unwrap_err()
}

#[test]
fn a_call_is_verified_with_what_is_attested() {
    let signer = Signer::new();
    for (attest, expected) in [
        ("A", Attestation::A),
        ("B", Attestation::B),
        ("C", Attestation::C),
    ] {
        let header = signer.header(INFO, &claims(attest, now()));
        let passport = verified(&header, &call(), &signer, &signer.roots()).unwrap();
        assert_eq!(passport.attestation, Some(expected));
        let finding = Finding::from(passport);
        assert_eq!(finding.refusal(), None);
        let record = serde_json::to_value(finding.record()).unwrap();
        assert_eq!(
            record,
            json!({
                "result": "verified", "attestation": attest, "reason": null,
                "origid": "123e4567-e89b-12d3-a456-426655440000",
            })
        );
    }
}

#[test]
fn whoever_did_not_sign_is_found_out() {
    let (signer, other) = (Signer::new(), Signer::new());
    let header = signer.header(INFO, &claims("A", now()));
    // Another's signature, under this one's certificate.
    assert_eq!(
        why(&other.header(INFO, &claims("A", now())), &signer).code(),
        CauseCode::IdentityInvalid
    );
    // A claim that was altered on the way.
    let forged = claims("A", now());
    let weak = signer.header(INFO, &claims("C", now()));
    let [head, _, rest] = weak.splitn(3, '.').collect::<Vec<_>>()[..] else {
        panic!("{weak}");
    };
    let forged = URL_SAFE_NO_PAD.encode(forged.to_string());
    let forged = why(&format!("{head}.{forged}.{rest}"), &signer);
    assert_eq!(
        forged,
        Failure::Invalid("the signature is wrong".to_owned())
    );
    // A certificate of nobody who is believed.
    let unknown = verified(&header, &call(), &signer, &other.roots()).unwrap_err();
    assert_eq!(unknown.code(), CauseCode::IdentityCredential);
    assert!(
        unknown.to_string().contains("signed by whom it names"),
        "{unknown}"
    );
    let other = Signer::below("another root", |_| {});
    let unknown = verified(&header, &call(), &signer, &other.roots()).unwrap_err();
    assert_eq!(unknown.code(), CauseCode::IdentityCredential);
    assert!(unknown.to_string().contains("[stir] roots"), "{unknown}");
}

#[test]
fn a_certificate_is_for_its_time_and_no_authoritys() {
    let date = rcgen::date_time_ymd;
    let expired = Signer::with(|params| params.not_after = date(2025, 12, 31));
    let early = Signer::with(|params| params.not_before = date(2026, 1, 2));
    let authority = Signer::with(|params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    for (signer, told) in [
        (expired, "has expired"),
        (early, "is not valid yet"),
        (authority, "is an authority's own"),
    ] {
        let failure = why(&signer.header(INFO, &claims("A", now())), &signer);
        assert_eq!(failure, Failure::Credential(told.to_owned()));
    }
}

#[test]
fn a_chain_has_an_end_and_a_beginning() {
    let signer = Signer::new();
    let alone = signer.chain.split_inclusive("-----END CERTIFICATE-----");
    let leaf = certificate::Chain::read(alone.clone().next().unwrap().as_bytes()).unwrap();
    let missing = leaf.verify(&signer.roots(), now()).unwrap_err();
    assert_eq!(missing.code(), CauseCode::IdentityCredential);
    for body in [
        "",
        "<html>",
        "-----BEGIN CERTIFICATE-----\n!!",
        &signer.chain.repeat(5),
    ] {
        let bad = certificate::Chain::read(body.as_bytes()).unwrap_err();
        assert_eq!(bad.code(), CauseCode::IdentityInfo, "{body}");
    }
    assert!(matches!(Roots::from_pem(b"rubbish"), Err(BadRoots::Empty)));
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let rubbish = Roots::from_pem(format!("{}{rubbish}", signer.root).as_bytes());
    assert!(matches!(rubbish, Err(BadRoots::Unusable(2, _))));
}

#[test]
fn a_signature_is_of_now_and_for_this_call() {
    let signer = Signer::new();
    let with = |change: fn(&mut Value)| {
        let mut claims = claims("A", now());
        change(&mut claims);
        signer.header(INFO, &claims)
    };
    for (header, code, told) in [
        (
            with(|claims| claims["iat"] = json!(1_767_225_600 - 61)),
            CauseCode::IdentityStale,
            "61 s ago",
        ),
        (
            with(|claims| claims["iat"] = json!(1_767_225_600 + 61)),
            CauseCode::IdentityStale,
            "-61 s ago",
        ),
        (
            with(|claims| claims["iat"] = json!(i64::MIN)),
            CauseCode::IdentityStale,
            "",
        ),
        (
            with(|claims| claims["orig"] = json!({"tn": "12025551009"})),
            CauseCode::IdentityInvalid,
            "another caller's number",
        ),
        (
            with(|claims| claims["orig"] = json!({"uri": "sip:a@b.example"})),
            CauseCode::IdentityInvalid,
            "not for a telephone number",
        ),
        (
            with(|claims| claims["dest"] = json!({"tn": ["12025551009"]})),
            CauseCode::IdentityInvalid,
            "a call to another number",
        ),
        (
            with(|claims| claims["dest"] = json!({"uri": ["sip:12025551001@b"]})),
            CauseCode::IdentityInvalid,
            "a call to another number",
        ),
        (
            with(|claims| claims["attest"] = json!("D")),
            CauseCode::IdentityInvalid,
            "A, B or C",
        ),
        (
            with(|claims| claims["origid"] = Value::Null),
            CauseCode::IdentityInvalid,
            "\"origid\" is missing",
        ),
        (
            with(|claims| claims["iat"] = json!("now")),
            CauseCode::IdentityInvalid,
            "the PASSporT: ",
        ),
    ] {
        let failure = why(&header, &signer);
        assert_eq!(failure.code(), code, "{failure}");
        assert!(failure.to_string().contains(told), "{failure}");
    }
    let near = with(|claims| claims["iat"] = json!(1_767_225_600 - 60));
    assert!(verified(&near, &call(), &signer, &signer.roots()).is_ok());
}

#[test]
fn what_is_malformed_is_refused_with_what_is_wrong() {
    let signer = Signer::new();
    let right = signer.header(INFO, &claims("A", now()));
    let head = |alg: &str, typ: &str, x5u: &str| {
        let head = json!({"alg": alg, "ppt": "shaken", "typ": typ, "x5u": x5u});
        signer.header_of(&head, INFO, &claims("A", now()))
    };
    let crit =
        json!({"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": INFO, "crit": ["x"]});
    let (token, _) = right.split_once(';').unwrap();
    let (text, _) = token.rsplit_once('.').unwrap();
    let cases = [
        (head("none", "passport", INFO), "another algorithm"),
        (head("HS256", "passport", INFO), "another algorithm"),
        (
            head("ES256", "JWT", INFO),
            "not what the Identity header says",
        ),
        (
            signer.header_of(&crit, INFO, &claims("A", now())),
            "not what",
        ),
        (right.replace("alg=ES256", "alg=none"), "another algorithm"),
        (right.replace("ppt=\"shaken\"", "ppt=div"), "not what"),
        (
            right.replace("alg=ES256", "info=<https://b.example/>"),
            "a parameter twice",
        ),
        (format!("{text}.;info=<{INFO}>;ppt=shaken"), "none of ES256"),
        (format!("{text};info=<{INFO}>;ppt=shaken"), "none of ES256"),
        (format!("rubbish;info=<{INFO}>;ppt=shaken"), "no PASSporT"),
        (
            format!("e30.e30.{};info=<{INFO}>;ppt=shaken", "A".repeat(86)),
            "missing field",
        ),
        (
            format!("a.b.c.{};info=<{INFO}>;ppt=shaken", "A".repeat(86)),
            "not base64url",
        ),
        (
            format!("{right};x={}", "y".repeat(8192)),
            "longer than 8 KiB",
        ),
        (String::new(), ""),
        (";".repeat(5000), ""),
        ("<\"".repeat(3000), ""),
    ];
    for (header, told) in cases {
        let failure = why(&header, &signer);
        assert!(failure.to_string().contains(told), "{failure}: {told}");
    }
    for header in [
        token.to_owned(),
        format!("{token};info={INFO};ppt=shaken"),
        head("ES256", "passport", "https://elsewhere.example/a.pem"),
    ] {
        assert_eq!(
            why(&header, &signer).code(),
            CauseCode::IdentityInfo,
            "{header}"
        );
    }
}

#[test]
fn the_compact_form_is_made_whole_from_the_call() {
    let signer = Signer::new();
    let head = format!(r#"{{"alg":"ES256","typ":"passport","x5u":"{INFO}"}}"#);
    let claims = r#"{"dest":{"tn":["12025551001"]},"iat":1767225600,"orig":{"tn":"12025551000"}}"#;
    let text = [head.as_str(), claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signature = signer.sign(&text.join("."));
    let header = format!("..{signature};info=<{INFO}>;alg=ES256");
    let roots = signer.roots();
    let passport = verified(&header, &call(), &signer, &roots).unwrap();
    assert_eq!(passport.attestation, None);
    let shaken = format!("{header};ppt=shaken");
    assert!(why(&shaken, &signer).to_string().contains("full form"));
    let at = |date: Option<&str>| Call {
        date: date.map(str::to_owned),
        ..call()
    };
    for (date, code) in [
        (
            Some("Wed, 31 Dec 2025 23:58:00 GMT"),
            CauseCode::IdentityStale,
        ),
        (
            Some("Thu, 01 Jan 2026 00:00:01 GMT"),
            CauseCode::IdentityInvalid,
        ),
        (None, CauseCode::IdentityInvalid),
    ] {
        let failure = verified(&header, &at(date), &signer, &roots).unwrap_err();
        assert_eq!(failure.code(), code, "{date:?}: {failure}");
    }
}

#[test]
fn a_plain_signature_attests_nothing_whatever_it_says() {
    let signer = Signer::new();
    let head = json!({"alg": "ES256", "typ": "passport", "x5u": INFO});
    let header = signer.header_of(&head, INFO, &claims("A", now()));
    let plain = header.replace(";ppt=\"shaken\"", "");
    let passport = verified(&plain, &call(), &signer, &signer.roots()).unwrap();
    assert_eq!((passport.attestation, passport.origid), (None, None));
    assert_eq!(why(&header, &signer).code(), CauseCode::IdentityInvalid);
}

#[test]
fn numbers_are_compared_however_they_are_written() {
    let germany = DialPlan {
        country_code: "49".to_owned(),
        ..DialPlan::default()
    };
    for (written, expected) in [
        ("+49 (30) 123-45", vec!["493012345"]),
        ("03012345", vec!["493012345", "03012345"]),
        ("004412345", vec!["4412345", "004412345"]),
        ("493012345;phone-context=+49", vec!["493012345"]),
        ("*31#", vec!["*31#"]),
        ("alice", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(canonical(&germany, [written]), expected, "{written}");
    }
}

#[test]
fn the_caller_is_whom_the_trunk_asserts_before_whom_the_telephone_says() {
    let from = ("From", "\"Eve\" <sip:+1@phone.example>;tag=1");
    let asserted =
        "\"A, B\" <sip:+12025551000;cpc=x@carrier.example;user=phone>, <tel:+12025551002>";
    for (headers, expected) in [
        (vec![from], vec!["1"]),
        (
            vec![from, ("P-Asserted-Identity", asserted)],
            vec!["12025551000", "12025551002"],
        ),
        (
            vec![from, ("P-Asserted-Identity", "<sip:alice@carrier.example>")],
            vec!["1"],
        ),
        (
            vec![("From", "<sip:anonymous@anonymous.invalid>;tag=1")],
            vec![],
        ),
    ] {
        let mut request = Request::new(Method::Invite, "sip:100@192.0.2.1".parse().unwrap());
        for (name, value) in headers {
            request.headers.push(name, value).unwrap();
        }
        let call = Call::of(
            &request,
            &["+49301".to_owned()],
            &DialPlan::default(),
            now(),
        );
        assert_eq!(call.from, expected);
        assert_eq!(call.to, ["49301"]);
    }
}

/// A verifier of calls that a signer signs, whose certificates stand on this machine.
async fn verifier(signer: &Signer) -> (Verifier, Web) {
    let chain = signer.chain.clone();
    let web = Web::serve(move |path| match path {
        "/a.pem" => Some(response("200 OK", "", chain.as_bytes())),
        "/never.pem" => None,
        _ => Some(response("404 Not Found", "", b"")),
    })
    .await;
    let allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let chains = Chains::new(Fetcher::new(Arc::default()), allowed);
    (Verifier::new(signer.roots(), chains), web)
}

#[tokio::test]
async fn certificates_are_fetched_once_and_not_for_what_is_wrong_anyway() {
    let signer = Signer::new();
    let (verifier, web) = verifier(&signer).await;
    let info = web.url("/a.pem");
    let stale = signer.header(&info, &claims("A", now() - Duration::from_secs(100)));
    let finding = verifier.check(&[stale], &call()).await;
    assert_eq!(finding, Finding::Failed(Failure::Stale(100)));
    assert_eq!(web.asked(), 0);
    let right = signer.header(&info, &claims("A", now()));
    for _ in 0..3 {
        let finding = verifier.check(std::slice::from_ref(&right), &call()).await;
        assert_eq!(finding.attestation(), Some(Attestation::A), "{finding}");
    }
    assert_eq!(web.asked(), 1);
    let lost = signer.header(&web.url("/b.pem"), &claims("A", now()));
    for _ in 0..3 {
        let finding = verifier.check(std::slice::from_ref(&lost), &call()).await;
        let cause = finding.refusal().unwrap();
        assert_eq!(cause.code, CauseCode::IdentityInfo);
        assert!(cause.text.contains("404"), "{cause:?}");
    }
    assert_eq!(web.asked(), 2);
}

#[tokio::test]
async fn of_several_headers_one_that_is_right_is_enough() {
    let (signer, other) = (Signer::new(), Signer::new());
    let (verifier, web) = verifier(&signer).await;
    let info = web.url("/a.pem");
    let right = signer.header(&info, &claims("B", now()));
    let wrong = other.header(&info, &claims("A", now()));
    let div = right.replace("ppt=\"shaken\"", "ppt=\"div\"");
    let check = async |headers: &[&String]| {
        let headers: Vec<String> = headers.iter().map(|one| (*one).clone()).collect();
        verifier.check(&headers, &call()).await
    };
    for headers in [&[&div, &right], &[&wrong, &right], &[&right, &right]] {
        let finding = check(headers).await;
        assert_eq!(finding.attestation(), Some(Attestation::B), "{finding}");
    }
    assert_eq!(check(&[&wrong]).await.verdict(), Verdict::Failed);
    let absent = check(&[&div]).await;
    assert_eq!(absent, Finding::Absent, "it does not say who calls");
    assert_eq!(absent.refusal().unwrap().code, CauseCode::IdentityMissing);
    // Nobody is asked more than a few times for one call.
    let many = vec![&wrong; MAX_HEADERS];
    let too_late = check(&[many, vec![&right]].concat()).await;
    assert_eq!(too_late.verdict(), Verdict::Failed);
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_certificate_that_does_not_come() {
    let signer = Signer::new();
    let (verifier, web) = verifier(&signer).await;
    let header = signer.header(&web.url("/never.pem"), &claims("A", now()));
    let begun = tokio::time::Instant::now();
    let finding = verifier.check(&[header], &call()).await;
    assert_eq!(finding.refusal().unwrap().code, CauseCode::IdentityInfo);
    assert!(begun.elapsed() < Duration::from_secs(10), "{finding}");
}

#[test]
fn nothing_that_comes_makes_it_panic_or_believe() {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    let signer = Signer::new();
    let right = signer.header(INFO, &claims("A", now()));
    let call = call();
    let mut rng = StdRng::seed_from_u64(8224);
    for round in 0..20_000 {
        let mut bytes = right.clone().into_bytes();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random_range(0x20..0x7f),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, *b";\"<>.={}".get(rng.random_range(0..8)).unwrap()),
                _ => {
                    bytes.remove(at);
                    if bytes.is_empty() {
                        bytes.push(b'x');
                    }
                }
            }
        }
        let header = String::from_utf8(bytes).unwrap();
        let Ok(passport) = Identity::parse(&header).and_then(|one| one.check(&call)) else {
            continue;
        };
        // The change was to what is not signed.
        let same = right.starts_with(&format!("{}.", passport.signed[0]));
        let verified = signer
            .chain()
            .verify_signature(&passport.signed, &passport.signature);
        assert!(same || verified.is_err(), "{round}: {header}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_renewed_at_its_address_is_fetched_anew() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (old, new) = (Signer::below("old", |_| {}), Signer::below("new", |_| {}));
    let chains = [old.chain.clone(), new.chain.clone()];
    let renewed = Arc::new(AtomicBool::new(false));
    let which = Arc::clone(&renewed);
    let web = Web::serve(move |_| {
        let chain = &chains[usize::from(which.load(Ordering::SeqCst))];
        Some(response("200 OK", "", chain.as_bytes()))
    })
    .await;
    let roots = Roots::from_pem((old.root.clone() + &new.root).as_bytes()).unwrap();
    let allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let verifier = Verifier::new(roots, Chains::new(Fetcher::new(Arc::default()), allowed));
    let info = web.url("/a.pem");
    let verdict = async |signer: &Signer| {
        let header = signer.header(&info, &claims("A", now()));
        verifier.check(&[header], &call()).await.verdict()
    };
    assert_eq!(verdict(&old).await, Verdict::Verified);
    renewed.store(true, Ordering::SeqCst);
    // Wrong signatures do not make us ask again and again.
    for _ in 0..3 {
        assert_eq!(verdict(&new).await, Verdict::Failed);
    }
    assert_eq!(web.asked(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert_eq!(verdict(&new).await, Verdict::Verified);
    assert_eq!(verdict(&old).await, Verdict::Failed);
    assert_eq!(web.asked(), 2);
}
