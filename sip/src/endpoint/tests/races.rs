//! What crosses, what is lost, and what never comes (RFC 3261 §9, §13.3.1.4, §14, §15).

use super::help::{ANSWER, CALLEE, CALLER, assert_empty, good, invite, lose, ring, seconds, up};
use crate::{
    StatusCode,
    endpoint::{EndedBy, Event, Failure, Fork, Transport, TransportError},
    testing::Net,
};

fn accept(net: &mut Net, session: crate::endpoint::Session) {
    let now = net.now;
    net.endpoints[CALLEE].accept(now, session, ANSWER.to_vec());
}

fn failure(net: &mut Net) -> Option<Failure> {
    net.events(CALLER)
        .into_iter()
        .find_map(|event| match event {
            Event::Failed { failure, .. } => Some(failure),
            _ => None,
        })
}

fn ended_by(net: &mut Net, index: usize) -> Option<EndedBy> {
    net.events(index).into_iter().find_map(|event| match event {
        Event::Ended { by, .. } => Some(by),
        _ => None,
    })
}

#[test]
fn a_lost_ack_is_sent_again_for_the_repeated_200() {
    let mut net = good();
    let (caller, callee) = ring(&mut net, Transport::Udp);
    lose(&mut net, "ACK", 3);
    accept(&mut net, callee);
    net.run(seconds(10));
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 200"), 4);
    assert_eq!(net.count_sent(CALLER, "ACK"), 4);
    let acks: Vec<_> = net
        .log
        .iter()
        .filter(|packet| packet.first_line().starts_with("ACK"))
        .collect();
    assert!(acks.iter().all(|ack| ack.bytes == acks[0].bytes));
    let answered = net.events(CALLER);
    let answered = answered
        .iter()
        .filter(|event| matches!(event, Event::Answered { .. }));
    assert_eq!(answered.count(), 1);
    assert!(matches!(net.events(CALLEE)[..], [Event::Confirmed { .. }]));
    assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
}

#[test]
fn without_any_ack_the_callee_gives_up_after_32_s_and_both_sides_are_down() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut net = good();
        let (_, callee) = ring(&mut net, transport);
        lose(&mut net, "ACK", usize::MAX);
        accept(&mut net, callee);
        let begun = net.now;
        let ended = net.run_to_event(CALLEE, seconds(60));
        let timeout = Event::Ended {
            session: callee,
            reason: None,
            by: EndedBy::Timeout,
        };
        assert_eq!(ended, Some(timeout));
        assert_eq!(net.now - begun, seconds(32));
        net.run(seconds(1));
        assert_eq!(ended_by(&mut net, CALLER), Some(EndedBy::Remote));
        assert_empty(&mut net);
    }
}

#[test]
fn a_callees_bye_waits_for_the_ack() {
    let mut net = good();
    let (_, callee) = ring(&mut net, Transport::Udp);
    lose(&mut net, "ACK", 2);
    accept(&mut net, callee);
    let now = net.now;
    net.endpoints[CALLEE].bye(now, callee, None);
    net.run(seconds(1));
    assert_eq!(net.count_sent(CALLEE, "BYE"), 0);
    net.run(seconds(3));
    assert_eq!(net.count_sent(CALLEE, "BYE"), 1);
    assert_eq!(ended_by(&mut net, CALLEE), Some(EndedBy::Local));
    assert_eq!(ended_by(&mut net, CALLER), Some(EndedBy::Remote));
    assert_empty(&mut net);
}

#[test]
fn a_bye_that_overtakes_the_ack_ends_the_call() {
    let mut net = good();
    let (caller, callee) = ring(&mut net, Transport::Udp);
    lose(&mut net, "ACK", usize::MAX);
    accept(&mut net, callee);
    net.run(seconds(1));
    let now = net.now;
    net.endpoints[CALLER].bye(now, caller, None);
    net.run(seconds(1));
    assert_eq!(ended_by(&mut net, CALLEE), Some(EndedBy::Remote));
    let sent = net.count_sent(CALLEE, "SIP/2.0 200");
    net.run(seconds(40));
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 200"), sent, "{net:?}");
    assert_empty(&mut net);
}

#[test]
fn a_lost_bye_is_sent_again_and_one_that_nobody_answers_ends_after_32_s() {
    let mut net = good();
    let (caller, _) = up(&mut net, Transport::Udp);
    lose(&mut net, "BYE", 4);
    let now = net.now;
    net.endpoints[CALLER].bye(now, caller, None);
    net.run(seconds(10));
    assert_eq!(ended_by(&mut net, CALLER), Some(EndedBy::Local));
    assert_eq!(ended_by(&mut net, CALLEE), Some(EndedBy::Remote));
    assert_empty(&mut net);

    let mut net = good();
    let (caller, _) = up(&mut net, Transport::Udp);
    lose(&mut net, "BYE", usize::MAX);
    let begun = net.now;
    net.endpoints[CALLER].bye(begun, caller, None);
    let ended = net.run_to_event(CALLER, seconds(60));
    assert!(matches!(
        ended,
        Some(Event::Ended {
            by: EndedBy::Timeout,
            ..
        })
    ));
    assert_eq!(net.now - begun, seconds(32));
}

#[test]
fn both_may_hang_up_at_once() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut net = good();
        let (caller, callee) = up(&mut net, transport);
        let now = net.now;
        net.endpoints[CALLER].bye(now, caller, None);
        net.endpoints[CALLEE].bye(now, callee, None);
        net.run(seconds(1));
        assert_eq!(ended_by(&mut net, CALLER), Some(EndedBy::Local));
        assert_eq!(ended_by(&mut net, CALLEE), Some(EndedBy::Local));
        assert_empty(&mut net);
    }
}

#[test]
fn a_cancel_waits_until_something_has_come_back() {
    let mut net = good();
    lose(&mut net, "SIP/2.0 1", 2);
    let now = net.now;
    let caller = net.endpoints[CALLER]
        .invite(now, invite(Transport::Udp))
        .unwrap();
    net.endpoints[CALLER].cancel(now, caller, None);
    net.run(seconds(1));
    assert_eq!(net.count_sent(CALLER, "CANCEL"), 0);
    net.run(seconds(3));
    assert_eq!(net.count_sent(CALLER, "CANCEL"), 1, "{net:?}");
    assert_eq!(failure(&mut net), Some(Failure::Cancelled));
    assert!(matches!(
        net.events(CALLEE)[..],
        [Event::Incoming { .. }, Event::Cancelled { .. }]
    ));
    assert_empty(&mut net);
}

#[test]
fn a_200_that_crosses_the_cancel_is_acked_and_byed() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut net = good();
        let (caller, callee) = ring(&mut net, transport);
        net.run(seconds(1));
        accept(&mut net, callee);
        let now = net.now;
        net.endpoints[CALLER].cancel(now, caller, None);
        net.run(seconds(1));
        assert_eq!(failure(&mut net), Some(Failure::Cancelled));
        assert_eq!(net.count_sent(CALLEE, "SIP/2.0 487"), 0);
        let callee_events = net.events(CALLEE);
        assert!(
            matches!(
                callee_events[..],
                [
                    Event::Confirmed { .. },
                    Event::Ended {
                        by: EndedBy::Remote,
                        ..
                    }
                ]
            ),
            "{callee_events:?} {net:?}"
        );
        assert_empty(&mut net);
    }
}

#[test]
fn a_200_that_comes_while_the_cancel_still_waits_is_acked_and_byed() {
    let mut net = good();
    lose(&mut net, "SIP/2.0 1", usize::MAX);
    let (caller, callee) = ring(&mut net, Transport::Udp);
    let now = net.now;
    net.endpoints[CALLER].cancel(now, caller, None);
    accept(&mut net, callee);
    net.run(seconds(2));
    assert_eq!(failure(&mut net), Some(Failure::Cancelled));
    assert_eq!(net.count_sent(CALLER, "CANCEL"), 0);
    assert_eq!(net.count_sent(CALLER, "BYE"), 1);
    assert_empty(&mut net);
}

#[test]
fn a_cancel_nobody_answers_is_over_after_32_s() {
    let mut net = good();
    let (caller, _) = ring(&mut net, Transport::Udp);
    net.run(seconds(1));
    net.events(CALLER);
    lose(&mut net, "", usize::MAX);
    let begun = net.now;
    net.endpoints[CALLER].cancel(begun, caller, None);
    let failed = net.run_to_event(CALLER, seconds(60));
    assert!(matches!(
        failed,
        Some(Event::Failed {
            failure: Failure::Cancelled,
            ..
        })
    ));
    assert_eq!(net.now - begun, seconds(32));
    net.run(seconds(1));
    assert_eq!(net.endpoints[CALLER].load().client_transactions, 0);
}

#[test]
fn it_rings_as_long_as_asked_and_then_is_cancelled() {
    let mut net = good();
    let (caller, _) = ring(&mut net, Transport::Udp);
    net.run(seconds(59));
    assert_eq!(net.count_sent(CALLER, "CANCEL"), 0);
    net.run(seconds(2));
    assert_eq!(failure(&mut net), Some(Failure::NoAnswer));
    assert!(matches!(net.events(CALLEE)[..], [Event::Cancelled { .. }]));
    assert!(!net.endpoints[CALLER].is_up(caller));
    assert_empty(&mut net);
}

#[test]
fn ringing_is_repeated_every_minute_and_reported_once() {
    let mut net = good();
    let now = net.now;
    let mut patient = invite(Transport::Udp);
    patient.ring_timeout = seconds(200);
    net.endpoints[CALLER].invite(now, patient).unwrap();
    let Some(Event::Incoming { session, .. }) = net.run_to_event(CALLEE, seconds(1)) else {
        panic!("{net:?}");
    };
    let now = net.now;
    net.endpoints[CALLEE].ring(now, session, StatusCode::RINGING, None);
    net.run(seconds(190));
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 180"), 4);
    let ringing = net.events(CALLER);
    let ringing = ringing.iter().filter(
        |event| matches!(event, Event::Progress { status, .. } if *status == StatusCode::RINGING),
    );
    assert_eq!(ringing.count(), 1);
}

#[test]
fn early_media_is_reported_with_its_sdp() {
    let mut net = good();
    let (caller, callee) = ring(&mut net, Transport::Udp);
    let now = net.now;
    let status = StatusCode::SESSION_PROGRESS;
    net.endpoints[CALLEE].ring(now, callee, status, Some(ANSWER.to_vec()));
    net.run(seconds(1));
    let early = Event::Progress {
        session: caller,
        status,
        fork: Some(Fork(1)),
        body: Some(ANSWER.to_vec()),
    };
    assert_eq!(net.events(CALLER).last(), Some(&early));
}

#[test]
fn nobody_there_is_a_timeout_after_32_s_and_an_icmp_error_at_once() {
    for icmp in [false, true] {
        let mut net = good();
        net.icmp = icmp;
        let mut unreachable = invite(Transport::Udp);
        unreachable.target.remote = "192.0.2.77:5060".parse().unwrap();
        let now = net.now;
        net.endpoints[CALLER].invite(now, unreachable).unwrap();
        let (expected, after) = match icmp {
            false => (Failure::Timeout, seconds(32)),
            true => (
                Failure::Transport(TransportError::Unreachable),
                seconds(1) / 100,
            ),
        };
        net.run(after);
        assert_eq!(failure(&mut net), Some(expected));
        assert_empty(&mut net);
    }
}

#[test]
fn a_large_invite_goes_by_tcp_and_by_udp_if_there_is_no_tcp() {
    for refuse_tcp in [false, true] {
        let mut net = good();
        net.refuse_tcp = refuse_tcp;
        let mut large = invite(Transport::Udp);
        large
            .body
            .extend([b"a=x:".as_slice(), &[b'y'; 1300], b"\r\n"].concat());
        let now = net.now;
        net.endpoints[CALLER].invite(now, large.clone()).unwrap();
        let incoming = net.run_to_event(CALLEE, seconds(1));
        let Some(Event::Incoming {
            session,
            request,
            flow,
            replaces: None,
        }) = incoming
        else {
            panic!("{net:?}");
        };
        let (transport, name) = match refuse_tcp {
            false => (Transport::Tcp, "TCP"),
            true => (Transport::Udp, "UDP"),
        };
        assert_eq!(flow.transport, transport);
        assert_eq!(request.headers.top_via().unwrap().transport, name);
        assert_eq!(request.body, large.body);
        let contact = request.headers.contacts().unwrap().remove(0).uri;
        let by_tcp = contact.params.get("transport") == Some("tcp");
        assert_eq!(by_tcp, transport == Transport::Tcp);
        accept(&mut net, session);
        net.run(seconds(1));
        let now = net.now;
        net.endpoints[CALLEE].bye(now, session, None);
        net.run(seconds(1));
        assert_eq!(ended_by(&mut net, CALLER), Some(EndedBy::Remote), "{net:?}");
        assert_empty(&mut net);
    }
}

#[test]
fn without_tcp_a_call_that_asked_for_tcp_fails_at_once() {
    let mut net = good();
    net.refuse_tcp = true;
    let now = net.now;
    net.endpoints[CALLER]
        .invite(now, invite(Transport::Tcp))
        .unwrap();
    net.run(seconds(1));
    let expected = Failure::Transport(TransportError::ConnectFailed);
    assert_eq!(failure(&mut net), Some(expected));
    assert_empty(&mut net);
}

#[test]
fn an_answer_to_a_connection_that_is_gone_is_dropped_quietly() {
    let mut net = good();
    let (_, callee) = ring(&mut net, Transport::Tcp);
    net.break_connections();
    net.run(seconds(1));
    let expected = Failure::Transport(TransportError::Closed);
    assert_eq!(failure(&mut net), Some(expected));
    accept(&mut net, callee);
    net.run(seconds(200));
    assert_eq!(ended_by(&mut net, CALLEE), Some(EndedBy::Timeout));
    assert_empty(&mut net);
}

#[test]
fn a_bye_finds_its_way_when_the_connection_is_gone() {
    for hanging_up in [CALLER, CALLEE] {
        let mut net = good();
        let (caller, callee) = up(&mut net, Transport::Tcp);
        net.break_connections();
        net.run(seconds(1));
        assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
        let now = net.now;
        let session = [caller, callee][hanging_up];
        net.endpoints[hanging_up].bye(now, session, None);
        net.run(seconds(2));
        let other = 1 - hanging_up;
        assert_eq!(ended_by(&mut net, hanging_up), Some(EndedBy::Local));
        assert_eq!(ended_by(&mut net, other), Some(EndedBy::Remote), "{net:?}");
        assert_empty(&mut net);
    }
}
