//! Telephones' calls that somebody signs (STIR, RFC 8224), in Chromium.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::SystemTime;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::rtp::RtpPhone;
use switchhook_tests::scene::Scene;
use switchhook_tests::sip_phone::SipPhone;

use crate::SOON;

/// Somebody who signs: the certificate of his authority, where his own stands, and his key.
struct Signer {
    root: String,
    url: String,
    key: EncodingKey,
}

impl Signer {
    fn new() -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut authority = params("authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = || KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("a root");
        let own = key();
        let certificate = params("signer").signed_by(&own, &authority);
        let certificate = certificate.expect("a certificate").pem();
        Self {
            root: authority.pem(),
            url: serve(certificate),
            key: EncodingKey::from_ec_pem(own.serialize_pem().as_bytes()).expect("a key"),
        }
    }

    /// The Identity header of a call between these numbers.
    fn identity(&self, from: &str, to: &str) -> String {
        let header = Header {
            typ: Some("passport".to_owned()),
            x5u: Some(self.url.clone()),
            ..Header::new(Algorithm::ES256)
        };
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
        let claims =
            json!({ "dest": { "tn": [to] }, "iat": now.as_secs(), "orig": { "tn": from } });
        let token = jsonwebtoken::encode(&header, &claims, &self.key).expect("a PASSporT");
        format!("{token};info=<{}>;alg=ES256", self.url)
    }
}

/// Serves that to whoever asks for anything.
fn serve(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/a.pem", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                head.push(byte[0]);
            }
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).expect("it is read");
        }
    });
    url
}

/// A gateway that believes him, and a user on her page.
fn gateway(scene: &Scene, signer: &Signer, policy: &str) -> (Gateway, Page) {
    let roots = scene.file("roots.pem");
    std::fs::write(&roots, &signer.root).expect("the roots can be written");
    let gateway = Gateway::start(
        scene,
        &[
            ("trunk.uri", "\"sip:127.0.0.1:9\""),
            ("trunk.stir", &format!("{policy:?}")),
            ("stir.roots", &format!("{roots:?}")),
            ("stir.allow", "[\"127.0.0.0/8\"]"),
            (
                "users.alice",
                "{ password = \"al1ce\", numbers = [\"+4930123\"] }",
            ),
        ],
    );
    let page = Page::open(&gateway);
    page.sign_in("alice", "al1ce");
    (gateway, page)
}

#[test]
fn the_page_says_whether_the_callers_number_is_verified() {
    let (scene, signer) = (Scene::begin(), Signer::new());
    let (gateway, page) = gateway(&scene, &signer, "verify");
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(850.0));
    let right = signer.identity("4930", "4930123");
    let wrong = signer.identity("4940", "4930123");
    let cases = [
        (Some(right), "Number verified", "verified"),
        (Some(wrong), "Number not verified", "failed"),
        (None, "Number not verified", "absent"),
    ];
    for (count, (identity, words, result)) in cases.into_iter().enumerate() {
        let headers: Vec<_> = identity
            .iter()
            .map(|one| ("Identity", one.as_str()))
            .collect();
        let call = phone.call(gateway.sip, "4930123", &headers, Some(&rtp));
        page.wait_for("incoming", SOON);
        let detail = page.eval("document.querySelector('#detail').textContent");
        assert_eq!(detail, format!("+4930 · {words}"));
        page.eval("switchhook.hangup()");
        call.expect(603, SOON);
        page.wait_for("ended", SOON);
        let record = gateway.wait_for_records(count + 1).pop().expect("a record");
        assert_eq!(record.text("/stir/result"), result);
    }
}

#[test]
fn a_call_that_has_to_be_signed_and_is_not_does_not_ring() {
    let (scene, signer) = (Scene::begin(), Signer::new());
    let (gateway, page) = gateway(&scene, &signer, "require");
    let (phone, rtp) = (SipPhone::start(), RtpPhone::start(850.0));
    let unsigned = phone.call(gateway.sip, "4930123", &[], Some(&rtp));
    unsigned.expect(428, SOON);
    assert_eq!(page.eval("switchhook.call"), Value::Null);
    let identity = signer.identity("4930", "4930123");
    let signed = phone.call(
        gateway.sip,
        "4930123",
        &[("Identity", &identity)],
        Some(&rtp),
    );
    signed.expect(180, SOON);
    page.wait_for("incoming", SOON);
    page.eval("switchhook.hangup()");
    signed.expect(603, SOON);
}
