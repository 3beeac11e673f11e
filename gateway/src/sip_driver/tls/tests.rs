//! Two endpoints that call each other by TLS, over loopback.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sip::endpoint::{Event, Failure, Invite, Transport, TransportError};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::sip_driver::{self, IncomingCall, LegEvent, SipHandle};

/// Longer than anything here takes, on the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority, and certificates that it signs, in files that go with it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("switchhook-{:x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn ca(&self) -> Option<PathBuf> {
        Some(self.folder.join("ca.pem"))
    }

    /// The files of a certificate for that name, and of its key.
    fn issue(&self, name: &str) -> Option<(PathBuf, PathBuf)> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["pem", "key"].map(|kind| self.folder.join(format!("{name}.{kind}")));
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        let [certificate, key] = files;
        Some((certificate, key))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn endpoint(tls: &SipTls) -> (SipHandle, mpsc::Receiver<IncomingCall>) {
    let any = "127.0.0.1:0".parse().unwrap();
    sip_driver::spawn(any, None, tls, |config| config)
        .await
        .unwrap()
}

/// What comes of a call to that port of a host: whether it rings there, or what failed.
async fn call(
    caller: &SipHandle,
    calls: &mut mpsc::Receiver<IncomingCall>,
    host: &str,
    port: u16,
) -> Result<IncomingCall, Failure> {
    let to: sip::Uri = format!("sip:bob@{host}:{port};transport=tls")
        .parse()
        .unwrap();
    let invite = Invite {
        target: caller.resolve(&to).await.unwrap()[0],
        to,
        account: None,
        from_user: "alice".into(),
        from_display: None,
        body: b"v=0\r\n".to_vec(),
        replaces: None,
        headers: Vec::new(),
        ring_timeout: PATIENCE,
    };
    let (_, mut events) = caller.invite(invite).await;
    let failed = async {
        loop {
            match events.recv().await {
                Some(LegEvent::Sip(event)) => {
                    if let Event::Failed { failure, .. } = *event {
                        return failure;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let outcome = async {
        tokio::select! {
            incoming = calls.recv() => Ok(incoming.expect("a call")),
            failure = failed => Err(failure),
        }
    };
    timeout(PATIENCE, outcome).await.expect("an outcome")
}

fn listening(authority: &Authority, name: &str) -> SipTls {
    SipTls {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        identity: authority.issue(name),
        ..SipTls::default()
    }
}

const REFUSED: Failure = Failure::Transport(TransportError::ConnectFailed);

#[tokio::test]
async fn a_call_goes_by_tls_to_whose_certificate_is_for_the_name_and_signed_by_whom_we_believe() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let (callee, mut calls) = endpoint(&listening(&ours, "localhost")).await;
    let port = callee.local_tls().unwrap().port();
    let believing = |authority: &Authority| SipTls {
        ca: authority.ca(),
        ..SipTls::default()
    };
    let (caller, _calls) = endpoint(&believing(&ours)).await;
    let incoming = call(&caller, &mut calls, "localhost", port)
        .await
        .expect("it rings");
    assert_eq!(incoming.flow.transport, Transport::Tls);
    let via = incoming.request.headers.get("Via").unwrap();
    assert!(via.starts_with("SIP/2.0/TLS "), "{via}");
    let contact = incoming.request.headers.get("Contact").unwrap();
    assert!(contact.contains("transport=tls"), "{contact}");

    let (other, _calls) = endpoint(&believing(&foreign)).await;
    let refused = call(&other, &mut calls, "localhost", port).await;
    assert_eq!(refused.expect_err("a foreign authority"), REFUSED);
    let (other, _calls) = endpoint(&believing(&ours)).await;
    let refused = call(&other, &mut calls, "127.0.0.1", port).await;
    assert_eq!(refused.expect_err("another name"), REFUSED);
}

#[tokio::test]
async fn where_certificates_of_callers_are_asked_for_each_must_show_one() {
    let ours = Authority::new();
    let asking = SipTls {
        client_ca: ours.ca(),
        ..listening(&ours, "localhost")
    };
    let (callee, mut calls) = endpoint(&asking).await;
    let port = callee.local_tls().unwrap().port();
    let nameless = SipTls {
        ca: ours.ca(),
        ..SipTls::default()
    };
    let (caller, _calls) = endpoint(&nameless).await;
    let refused = call(&caller, &mut calls, "localhost", port).await;
    assert!(matches!(refused, Err(Failure::Transport(_))), "{refused:?}");
    let named = SipTls {
        identity: ours.issue("caller.example"),
        ..nameless
    };
    let (caller, _calls) = endpoint(&named).await;
    let incoming = call(&caller, &mut calls, "localhost", port).await;
    assert!(incoming.is_ok(), "{incoming:?}");
}

#[tokio::test]
async fn a_file_that_is_no_certificate_is_named() {
    let ours = Authority::new();
    let (certificate, key) = ours.issue("localhost").unwrap();
    let broken = SipTls {
        identity: Some((key.clone(), certificate)),
        ..SipTls::default()
    };
    let error = Tls::new(&broken, Names::default()).err().expect("an error");
    let named = key.display().to_string();
    assert!(error.to_string().contains(&named), "{error}");
}
