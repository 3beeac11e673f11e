//! Bounds: of memory, and of what is accepted at all.

use super::help::{CALLEE, CALLER, OFFER, assert_empty, good, invite, ring, seconds, up};
use crate::{
    endpoint::{EndpointConfig, Error, Event, Limits, Transport},
    testing::{Conditions, Net, address, config},
};

pub(super) fn small(limits: Limits) -> Net {
    let configs = (0..2).map(|index| EndpointConfig {
        limits,
        ..config(1, index)
    });
    Net::new(1, Conditions::GOOD, configs.collect())
}

fn stranger(number: usize) -> (std::net::SocketAddr, Vec<u8>) {
    let from = "198.51.100.1:5060".parse().unwrap();
    let body = String::from_utf8(OFFER.to_vec()).unwrap();
    let text = format!(
        "INVITE sip:bob@192.0.2.2 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@198.51.100.1>;tag={number}\r\nTo: <sip:bob@192.0.2.2>\r\n\
         Call-ID: flood{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@198.51.100.1>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    (from, text.into_bytes())
}

#[test]
fn a_flood_is_refused_with_503_then_dropped_and_running_calls_go_on() {
    let mut net = small(Limits {
        sessions: 8,
        server_transactions: 100,
        refusals_per_second: 10,
        ..Limits::default()
    });
    let (caller, callee) = up(&mut net, Transport::Udp);
    for number in 0..1000 {
        let (from, bytes) = stranger(number);
        net.inject(from, address(CALLEE), &bytes);
    }
    net.run(seconds(1) / 2);
    let answers: Vec<String> = net
        .elsewhere
        .iter()
        .map(|packet| packet.first_line())
        .collect();
    let count = |status: &str| answers.iter().filter(|line| line.contains(status)).count();
    assert_eq!(count("100"), 5);
    assert_eq!(count("503"), 10);
    assert_eq!(net.endpoints[CALLEE].load().sessions, 6);
    assert_eq!(net.endpoints[CALLEE].load().server_transactions, 6);
    let refusal = net
        .elsewhere
        .iter()
        .find(|packet| packet.first_line().contains("503"));
    let text = String::from_utf8(refusal.unwrap().bytes.clone()).unwrap();
    assert!(text.contains("\r\nRetry-After: 10\r\n"));
    let now = net.now;
    net.endpoints[CALLER].bye(now, caller, None);
    net.run(seconds(1));
    assert!(net.events(CALLEE).iter().any(|event| matches!(
        event,
        Event::Ended { session, .. } if *session == callee
    )));
}

#[test]
fn strangers_who_ring_cannot_stop_us_calling() {
    let mut net = small(Limits {
        sessions: 8,
        ringing: 4,
        ..Limits::default()
    });
    for number in 0..100 {
        let (from, bytes) = stranger(number);
        net.inject(from, address(CALLEE), &bytes);
    }
    net.run(seconds(1) / 10);
    assert_eq!(net.endpoints[CALLEE].load().sessions, 4);
    let mut outgoing = invite(Transport::Udp);
    outgoing.target.remote = address(CALLER);
    let now = net.now;
    net.endpoints[CALLEE].invite(now, outgoing).unwrap();
    let incoming = net.run_to_event(CALLER, seconds(1));
    assert!(matches!(incoming, Some(Event::Incoming { .. })), "{net:?}");
}

#[test]
fn server_transactions_are_bounded_even_if_every_call_is_rejected() {
    let mut net = small(Limits {
        server_transactions: 20,
        ..Limits::default()
    });
    for number in 0..200 {
        let (from, bytes) = stranger(number);
        net.inject(from, address(CALLEE), &bytes);
        net.run(seconds(1) / 100);
        while let Some(event) = net.event(CALLEE) {
            let now = net.now;
            let status = crate::StatusCode::NOT_FOUND;
            net.endpoints[CALLEE].reject(now, event.session(), status, None);
        }
    }
    assert_eq!(net.endpoints[CALLEE].load().server_transactions, 20);
    assert_empty(&mut net);
}

#[test]
fn our_own_calls_are_bounded() {
    let mut net = small(Limits {
        sessions: 3,
        ..Limits::default()
    });
    let now = net.now;
    for _ in 0..3 {
        net.endpoints[CALLER]
            .invite(now, invite(Transport::Udp))
            .unwrap();
    }
    let refused = net.endpoints[CALLER].invite(now, invite(Transport::Udp));
    assert_eq!(refused, Err(Error::Overloaded { limit: 3 }));
}

#[test]
fn a_header_of_the_endpoint_or_one_with_a_line_end_is_refused() {
    let mut net = good();
    let now = net.now;
    for (name, value) in [
        ("Via", "SIP/2.0/UDP 198.51.100.1"),
        ("v", "SIP/2.0/UDP 198.51.100.1"),
        ("content-length", "3"),
        ("X-Note", "a\r\nVia: b"),
        ("X Note", "a"),
    ] {
        let mut bad = invite(Transport::Udp);
        bad.headers.push((name.to_owned(), value.to_owned()));
        let refused = net.endpoints[CALLER].invite(now, bad);
        let name = name.to_owned();
        assert_eq!(refused, Err(Error::Header { name }));
    }
    let mut good = invite(Transport::Udp);
    good.headers.push(("X-Note".to_owned(), "fine".to_owned()));
    good.from_user = "a b\r\nVia: x".to_owned();
    net.endpoints[CALLER].invite(now, good).unwrap();
    let Some(Event::Incoming { request, .. }) = net.run_to_event(CALLEE, seconds(1)) else {
        panic!("{net:?}");
    };
    assert_eq!(request.headers.get("X-Note"), Some("fine"));
    assert_eq!(request.headers.get_all("Via").count(), 1);
}

#[test]
fn while_draining_new_calls_get_503_and_running_ones_go_on() {
    let mut net = good();
    let (caller, callee) = ring(&mut net, Transport::Udp);
    net.endpoints[CALLEE].set_accepting(false);
    let now = net.now;
    net.endpoints[CALLER]
        .invite(now, invite(Transport::Udp))
        .unwrap();
    net.run(seconds(1));
    assert!(net.log.iter().any(|packet| {
        packet.first_line().contains("503")
            && String::from_utf8_lossy(&packet.bytes).contains("\r\nRetry-After: ")
    }));
    let now = net.now;
    net.endpoints[CALLEE].accept(now, callee, OFFER.to_vec());
    net.run(seconds(1));
    assert!(net.endpoints[CALLER].is_up(caller));
    net.endpoints[CALLEE].set_accepting(true);
    let now = net.now;
    net.events(CALLEE);
    net.endpoints[CALLER]
        .invite(now, invite(Transport::Udp))
        .unwrap();
    let incoming = net.run_to_event(CALLEE, seconds(1));
    assert!(matches!(incoming, Some(Event::Incoming { .. })));
}

#[test]
fn a_call_nobody_here_answers_is_refused_after_the_limit() {
    let mut net = good();
    let now = net.now;
    let mut patient = invite(Transport::Udp);
    patient.ring_timeout = seconds(1000);
    net.endpoints[CALLER].invite(now, patient).unwrap();
    net.run(seconds(301));
    let events = net.events(CALLEE);
    assert!(matches!(
        events[..],
        [Event::Incoming { .. }, Event::Cancelled { .. }]
    ));
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 480"), 1);
    assert_empty(&mut net);
}

#[test]
fn a_call_inside_its_dialog_has_a_reserve_when_strangers_have_used_up_the_rest() {
    let mut net = small(Limits {
        server_transactions: 20,
        ..Limits::default()
    });
    let (caller, callee) = up(&mut net, Transport::Udp);
    for number in 0..60 {
        let (from, bytes) = stranger(number);
        net.inject(from, address(CALLEE), &bytes);
    }
    net.run(seconds(1) / 10);
    assert_eq!(net.endpoints[CALLEE].load().server_transactions, 20);
    net.events(CALLEE);
    let now = net.now;
    net.endpoints[CALLER].bye(now, caller, None);
    net.run(seconds(1) / 10);
    let ended = net.events(CALLEE);
    assert!(
        matches!(ended[..], [Event::Ended { session, .. }] if session == callee),
        "{ended:?}"
    );
}
