//! The load program against a gateway in this process: small, but all of a call's way.

use std::net::{SocketAddr, UdpSocket};

use codecs::opus::EncoderSettings;
use gateway::server::Server;
use gateway::settings::{Settings, Trunk};
use load::{Codec, Options};
use media::ImpairmentSettings;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A port that is free, as far as one can know.
fn free_port() -> u16 {
    let socket = UdpSocket::bind(loopback(0)).expect("a socket");
    socket.local_addr().expect("its address").port()
}

async fn gateway(trunk: SocketAddr) -> SocketAddr {
    let mut settings = Settings::defaults();
    settings.http.listen = loopback(0);
    settings.sip.listen = loopback(0);
    settings.lab.listen = Some(loopback(0));
    settings.media.port = 0;
    settings.turn.port = 0;
    settings.media.rtp_ports = 34_000..=34_099;
    settings.calls.max = 50;
    settings.trunks = vec![Trunk::at(format!("sip:{trunk}").parse().expect("a URI"))];
    let server = Server::bind(&settings).await.expect("a gateway");
    let http = server.bound().http;
    tokio::spawn(server.run(std::future::pending()));
    http
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_load_reach_a_telephone_and_audio_comes_back() {
    let telephone = loopback(free_port());
    let http = gateway(telephone).await;
    let options = Options {
        url: format!("ws://{http}/v1/signaling"),
        to: "49".into(),
        calls: 4,
        rate: 20.0,
        seconds: 1.0,
        pid: Some(std::process::id()),
        answer: Some(telephone),
        codec: Codec::Opus,
        speech: Vec::new(),
        impair_browser: ImpairmentSettings::default(),
        impair_phone: ImpairmentSettings::default(),
        progress: false,
        opus: EncoderSettings::default(),
        pesq: None,
    };
    let report = load::run(options.clone()).await.expect("a report");
    assert_eq!(report.failed(), 0, "{report}");
    for (figures, _) in &report.outcomes {
        // Both ways talk and hear. How many packets fit a second is the machine's affair, not what is tested.
        let phone = figures.phone.as_ref().expect("the telephone's figures");
        for heard in [&figures.browser, phone] {
            assert!(heard.sent >= 10 && heard.received >= 10, "{heard:?}");
        }
        assert!(figures.invited.is_some() && figures.path.is_some());
    }
    assert!(
        report.overall().is_some_and(|cost| !cost.is_zero()),
        "{report}"
    );
    assert!(report.floor.total().as_micros() > 100, "{report}");

    let impaired = Options {
        to: "echo".into(),
        seconds: 3.0,
        answer: None,
        impair_browser: "loss=20".parse().expect("an impairment"),
        ..options.clone()
    };
    let report = load::run(impaired).await.expect("a report");
    let lost: f64 = report
        .outcomes
        .iter()
        .map(|(heard, _)| heard.browser.loss())
        .sum();
    assert!((0.1..0.6).contains(&(lost / 4.0)), "{report}");

    let lab = Options {
        to: "echo".into(),
        calls: 1,
        answer: None,
        ..options.clone()
    };
    let report = load::run(lab).await.expect("a report");
    assert_eq!(report.failed(), 0, "{report}");

    let relayed = Options {
        to: "echo".into(),
        calls: 1,
        answer: None,
        codec: Codec::Pcmu,
        ..options.clone()
    };
    let report = load::run(relayed).await.expect("a report");
    assert_eq!(report.failed(), 0, "{report}");
    assert!(report.floor.encode.as_micros() < 50, "{report}");

    let nowhere = Options {
        to: "busy".into(),
        calls: 1,
        answer: None,
        ..options
    };
    let report = load::run(nowhere).await.expect("a report");
    assert_eq!(report.failed(), 1, "{report}");
    assert!(report.to_string().contains("1 x busy"), "{report}");
}
