//! What becomes of calls that are signed, or not, over sockets: a gateway whose trunk is this test.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use sip::StatusCode;
use sip::endpoint::{Event, Failure as SipFailure, Flow, Invite, Transport};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::*;
use crate::fetch::testing::{Web, response};
use crate::permit::Permit;
use crate::server::Server;
use crate::settings::{RING_TIME, RecordDestination, Settings, SipTls, Stir, User};
use crate::sip_driver::{self, LegEvent};
use crate::stir::testing::{Signer, claims};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// Alice, who has the number that is called and is signed in nowhere.
fn alice() -> User {
    User {
        name: "alice".to_owned(),
        password: sip::digest::Password::new("x"),
        display_name: "Alice".to_owned(),
        numbers: vec!["+12025551001".to_owned()],
        withheld: false,
        permit: Permit::default(),
        forward: crate::call::machine::Forward::default(),
        ring_time: RING_TIME,
    }
}

struct Gateway {
    sip: SocketAddr,
    records: std::path::PathBuf,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
}

impl Gateway {
    async fn new(policy: TrunkStir, signer: &Signer) -> Self {
        let records = format!("switchhook-{:x}.jsonl", rand::random::<u64>());
        let records = std::env::temp_dir().join(records);
        let mut settings = Settings::defaults();
        (settings.http.listen, settings.sip.listen) = (ANY, ANY);
        (settings.lab.listen, settings.media.port) = (None, 0);
        settings.media.workers = 1;
        settings.turn.port = 0;
        settings.users = vec![alice()];
        settings.stir = Stir {
            roots: Some(signer.roots()),
            allow: vec!["127.0.0.0/8".parse().unwrap()],
        };
        settings.trunks = vec![Trunk {
            stir: policy,
            ..Trunk::at("sip:127.0.0.1:9".parse().unwrap())
        }];
        settings.records.destination = Some(RecordDestination::File(records.clone()));
        let server = Server::bind(&settings).await.expect("a gateway");
        let sip = server.bound().sip;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            sip,
            records,
            stop,
            running,
        }
    }

    /// With which status a call from +12025551000 to alice is refused.
    async fn refuses(&self, identity: Option<String>) -> StatusCode {
        let (sip, _) = sip_driver::spawn(ANY, None, &SipTls::default(), |config| config)
            .await
            .expect("a caller");
        let remote = self.sip;
        let identity = identity.map(|value| ("Identity".to_owned(), value));
        let invite = Invite {
            to: format!("sip:+12025551001@{remote}").parse().unwrap(),
            target: Flow {
                transport: Transport::Tcp,
                remote,
            },
            account: None,
            from_user: "+12025551000".to_owned(),
            from_display: None,
            body: Vec::new(),
            replaces: None,
            headers: identity.into_iter().collect(),
            ring_timeout: LONG,
        };
        let (_, mut events) = sip.invite(invite).await;
        loop {
            let event = timeout(LONG, events.recv()).await.expect("in time");
            match event.expect("an event") {
                LegEvent::Sip(event) => match *event {
                    Event::Failed {
                        failure: SipFailure::Status { status, .. },
                        ..
                    } => return status,
                    Event::Progress { .. } => {}
                    event => panic!("{event:?}"),
                },
                LegEvent::NotSent(error) => panic!("{error}"),
            }
        }
    }

    /// Ends it, and reads what its records have of signatures.
    async fn records(self) -> Vec<Value> {
        self.stop.send(()).unwrap();
        timeout(LONG, self.running).await.expect("in time").unwrap();
        let lines = std::fs::read_to_string(&self.records).unwrap();
        let _ = std::fs::remove_file(&self.records);
        let records = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        records
            .map(|mut record: Value| record["stir"].take())
            .collect()
    }
}

/// Somebody who signs, and where his certificate stands.
async fn signer() -> (Signer, Web) {
    let signer = Signer::new();
    let chain = signer.chain.clone();
    let web = Web::serve(move |_| Some(response("200 OK", "", chain.as_bytes()))).await;
    (signer, web)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_calls_have_to_be_signed_others_are_refused_as_rfc_8224_has_it() {
    let (signer, web) = signer().await;
    let stranger = Signer::below("of nobody", |_| {});
    let gateway = Gateway::new(TrunkStir::Require, &signer).await;
    let now = SystemTime::now();
    let info = web.url("/a.pem");
    let right = claims("A", now);
    let other = |key: &str, value: Value| {
        let mut claims = right.clone();
        claims[key] = value;
        signer.header(&info, &claims)
    };
    let old = claims("A", now - Duration::from_secs(600));
    for (identity, status) in [
        (None, 428),
        (Some(signer.header(&info, &old)), 403),
        (Some(signer.header("http://127.0.0.1:1/x", &right)), 436),
        (Some(other("orig", serde_json::json!({"tn": "1"}))), 438),
        (Some(stranger.header(&info, &right)), 438),
        (Some("rubbish".to_owned()), 436),
        // Right, but alice is not there.
        (Some(signer.header(&info, &right)), 480),
    ] {
        assert_eq!(gateway.refuses(identity).await.code(), status);
    }
    let records = gateway.records().await;
    let results: Vec<_> = records.iter().map(|stir| stir["result"].clone()).collect();
    let failed = ["failed"; 5];
    assert_eq!(results[0], "absent");
    assert_eq!(results[1..6], failed);
    assert_eq!(
        records[6],
        serde_json::json!({
            "result": "verified", "attestation": "A", "reason": null, "origid": right["origid"],
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_signatures_are_looked_at_every_call_goes_on() {
    let (signer, web) = signer().await;
    let gateway = Gateway::new(TrunkStir::Verify, &signer).await;
    let info = web.url("/a.pem");
    let claims = claims("C", SystemTime::now());
    let headers = [
        None,
        Some("rubbish".to_owned()),
        Some(signer.header(&info, &claims)),
    ];
    for identity in headers {
        assert_eq!(gateway.refuses(identity).await.code(), 480);
    }
    let records = gateway.records().await;
    let results: Vec<_> = records.iter().map(|stir| &stir["result"]).collect();
    assert_eq!(results, ["absent", "failed", "verified"]);
    assert_eq!(records[2]["attestation"], "C");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_asks_nobody_looks() {
    let (signer, web) = signer().await;
    let gateway = Gateway::new(TrunkStir::Off, &signer).await;
    let header = signer.header(&web.url("/a.pem"), &claims("A", SystemTime::now()));
    assert_eq!(gateway.refuses(Some(header)).await.code(), 480);
    assert_eq!(web.asked(), 0);
    assert_eq!(gateway.records().await, [Value::Null]);
}
