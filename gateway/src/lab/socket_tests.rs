//! The lab phone over real sockets on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use media::rtp::{self, Header, MAX_PACKET};
use sdp::trunk::{self, OfferOptions};
use sip::endpoint::{EndedBy, Event, Failure, Flow, Invite, Transport};
use sip::{ReasonHeader, StatusCode};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::LabPhone;
use super::call::bind_pair;
use crate::settings::SipTls;
use crate::sip_driver::{self, Leg, LegEvent, SipHandle};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

struct Caller {
    sip: SipHandle,
    leg: Leg,
    events: mpsc::Receiver<LegEvent>,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    options: OfferOptions,
}

impl Caller {
    async fn call(lab: &LabPhone, number: &str, transport: Transport, offer: bool) -> Self {
        let (sip, _) = sip_driver::spawn(ANY, None, &SipTls::default(), |config| config)
            .await
            .expect("a caller");
        let (rtp, rtcp) = bind_pair(ANY.ip()).await.expect("sockets");
        let port = rtp.local_addr().expect("bound").port();
        let options = OfferOptions::new(Ipv4Addr::LOCALHOST.into(), port);
        let body = if offer {
            trunk::offer_fresh(&options).into_bytes()
        } else {
            Vec::new()
        };
        let remote = lab.local_addr();
        let invite = Invite {
            to: format!("sip:{number}@{remote}").parse().expect("a URI"),
            target: Flow { transport, remote },
            account: None,
            from_user: "tester".to_owned(),
            from_display: None,
            body,
            replaces: None,
            headers: Vec::new(),
            ring_timeout: LONG,
        };
        let (leg, events) = sip.invite(invite).await;
        Caller {
            sip,
            leg,
            events,
            rtp,
            rtcp,
            options,
        }
    }

    /// What happens next, but for 100 Trying.
    async fn event(&mut self) -> Event {
        loop {
            let event = timeout(LONG, self.events.recv()).await.expect("in time");
            match event.expect("an event") {
                LegEvent::Sip(event) => match *event {
                    Event::Progress {
                        status: StatusCode::TRYING,
                        ..
                    } => {}
                    event => return event,
                },
                LegEvent::NotSent(error) => panic!("{error}"),
            }
        }
    }

    async fn answered(&mut self) -> SocketAddr {
        match self.event().await {
            Event::Answered {
                body: Some(body), ..
            } => self.rtp_address(&body),
            other => panic!("{other:?}"),
        }
    }

    fn rtp_address(&self, body: &[u8]) -> SocketAddr {
        let text = std::str::from_utf8(body).expect("text");
        let negotiated = trunk::read_answer(text, &self.options).expect("an answer");
        negotiated.remote_rtp.expect("an address")
    }

    async fn packet(&self) -> Vec<u8> {
        let mut bytes = vec![0; MAX_PACKET];
        let received = timeout(LONG, self.rtp.recv(&mut bytes)).await;
        bytes.truncate(received.expect("in time").expect("a packet"));
        bytes
    }
}

async fn lab() -> LabPhone {
    super::spawn(ANY).await.expect("a lab phone")
}

fn status(event: Event) -> u16 {
    match event {
        Event::Failed {
            failure: Failure::Status { status, .. },
            ..
        } => status.code(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn echo_answers_over_udp_and_tcp_and_sends_packets_back() {
    let lab = lab().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut caller = Caller::call(&lab, "echo", transport, true).await;
        let remote = caller.answered().await;
        let mut bytes = [0; MAX_PACKET];
        let header = Header {
            ssrc: 5,
            sequence: 1,
            timestamp: 160,
            marker: false,
            payload_type: 0,
        };
        let spoken = [0x42; 160];
        let length = header.write(&spoken, &mut bytes).expect("it fits");
        caller
            .rtp
            .send_to(&bytes[..length], remote)
            .await
            .expect("sent");
        let heard = caller.packet().await;
        let heard = rtp::read(&heard).expect("RTP");
        assert_eq!((heard.payload_type, heard.payload), (0, &spoken[..]));
        caller
            .sip
            .bye(caller.leg, ReasonHeader::q850(16, "done"))
            .await;
        assert!(matches!(
            caller.event().await,
            Event::Ended {
                by: EndedBy::Local,
                ..
            }
        ));
    }
}

#[tokio::test]
async fn numbers_that_take_no_call_say_why() {
    let lab = lab().await;
    for (number, expected) in [("busy", 486), ("reject", 603), ("pizza", 404)] {
        let mut caller = Caller::call(&lab, number, Transport::Udp, true).await;
        assert_eq!(status(caller.event().await), expected, "{number}");
    }
}

#[tokio::test]
async fn noanswer_rings_until_it_is_cancelled() {
    let lab = lab().await;
    let mut caller = Caller::call(&lab, "noanswer", Transport::Udp, true).await;
    let ringing = caller.event().await;
    assert!(
        matches!(
            ringing,
            Event::Progress {
                status: StatusCode::RINGING,
                ..
            }
        ),
        "{ringing:?}"
    );
    caller
        .sip
        .cancel(caller.leg, ReasonHeader::q850(16, "done"))
        .await;
    let failed = caller.event().await;
    assert!(
        matches!(
            failed,
            Event::Failed {
                failure: Failure::Cancelled,
                ..
            }
        ),
        "{failed:?}"
    );
}

#[tokio::test]
async fn early_sends_sound_before_it_answers() {
    let lab = lab().await;
    let mut caller = Caller::call(&lab, "early", Transport::Udp, true).await;
    let progress = caller.event().await;
    assert!(
        matches!(
            progress,
            Event::Progress {
                status: StatusCode::SESSION_PROGRESS,
                body: Some(_),
                ..
            }
        ),
        "{progress:?}"
    );
    assert!(rtp::read(&caller.packet().await).is_ok());
}

#[tokio::test]
async fn an_invite_without_an_offer_is_answered_with_one() {
    let lab = lab().await;
    let mut caller = Caller::call(&lab, "echo", Transport::Udp, false).await;
    match caller.event().await {
        Event::Answered {
            body: Some(body), ..
        } => {
            let text = String::from_utf8(body).expect("text");
            assert!(
                trunk::read_offer(&text, &trunk::Keying::None).is_ok(),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    // Our endpoint's ACK carries no answer: the phone hangs up rather than send to nobody.
    let ended = caller.event().await;
    assert!(
        matches!(
            ended,
            Event::Ended {
                by: EndedBy::Remote,
                ..
            }
        ),
        "{ended:?}"
    );
}

#[tokio::test]
async fn an_offer_without_a_codec_in_common_is_refused() {
    let lab = lab().await;
    let (sip, _) = sip_driver::spawn(ANY, None, &SipTls::default(), |config| config)
        .await
        .expect("a caller");
    let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                m=audio 4000 RTP/AVP 18\r\n";
    for body in [body, "nonsense"] {
        let remote = lab.local_addr();
        let invite = Invite {
            to: format!("sip:tone@{remote}").parse().expect("a URI"),
            target: Flow {
                transport: Transport::Udp,
                remote,
            },
            account: None,
            from_user: "tester".to_owned(),
            from_display: None,
            body: body.as_bytes().to_vec(),
            replaces: None,
            headers: Vec::new(),
            ring_timeout: LONG,
        };
        let (leg, events) = sip.invite(invite).await;
        let (rtp, rtcp) = bind_pair(ANY.ip()).await.expect("sockets");
        let options = OfferOptions::new(Ipv4Addr::LOCALHOST.into(), 4000);
        let mut caller = Caller {
            sip: sip.clone(),
            leg,
            events,
            rtp,
            rtcp,
            options,
        };
        assert_eq!(status(caller.event().await), 488, "{body}");
    }
}

#[tokio::test]
async fn a_phone_that_is_stopped_ends_its_calls_and_is_gone() {
    let lab = lab().await;
    let address = lab.local_addr();
    let mut talking = Caller::call(&lab, "tone", Transport::Udp, true).await;
    talking.answered().await;
    let mut ringing = Caller::call(&lab, "late", Transport::Udp, true).await;
    assert!(matches!(ringing.event().await, Event::Progress { .. }));
    let stopped = tokio::spawn(lab.stop());
    let ended = talking.event().await;
    assert!(
        matches!(
            ended,
            Event::Ended {
                by: EndedBy::Remote,
                ..
            }
        ),
        "{ended:?}"
    );
    assert_eq!(status(ringing.event().await), 480);
    // The last report is a goodbye, at the port above that of RTP (RFC 3550 §6.6, §11).
    let mut report = [0; MAX_PACKET];
    let received = timeout(LONG, talking.rtcp.recv(&mut report)).await;
    let length = received.expect("in time").expect("a report");
    assert_eq!(report[length - 8..length - 4], [0x81, 203, 0, 1]);
    assert!(stopped.await.expect("no panic"), "no call is left");
    let free = async {
        while UdpSocket::bind(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, free).await.expect("the port is free again");
}
