use super::*;
use crate::transaction::samples::{
    ms, parse_request, request, request_with_branch, response, start, tcp, udp,
};

const PEER: &str = "192.0.2.2:5060";

fn outputs(layer: &mut Layer) -> Vec<Output> {
    std::iter::from_fn(|| layer.poll_output()).collect()
}

fn transmits(layer: &mut Layer) -> Vec<String> {
    outputs(layer)
        .into_iter()
        .filter_map(|output| match output {
            Output::Transmit(transmit) => Some(first_word(&transmit.bytes)),
            _ => None,
        })
        .collect()
}

/// The method, or the status of a response.
fn first_word(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let line = text.trim_start_matches("SIP/2.0 ");
    line.split(' ').next().unwrap().to_owned()
}

fn old_style(method: &str, to_tag: &str) -> Request {
    parse_request(&[
        &format!("{method} sip:bob@192.0.2.2 SIP/2.0"),
        "Via: SIP/2.0/UDP 192.0.2.1:5060",
        "From: <sip:alice@192.0.2.1>;tag=alice",
        &format!("To: <sip:bob@192.0.2.2>{to_tag}"),
        "Call-ID: call",
        &format!("CSeq: 7 {method}"),
    ])
}

fn layer() -> Layer {
    Layer::new(Timers::default())
}

#[test]
fn a_response_finds_its_transaction_and_a_stray_one_does_not() {
    let (mut layer, now) = (layer(), start());
    let invite = request_with_branch(Method::Invite, "z9hG4bKone");
    let bye = request_with_branch(Method::Bye, "z9hG4bKtwo");
    let first = layer.begin_client(now, udp(PEER), invite.clone()).unwrap();
    let second = layer.begin_client(now, udp(PEER), bye.clone()).unwrap();
    let found = layer.handle_response(now, response(&bye, 200)).unwrap();
    assert_eq!(found.0, second);
    let found = layer.handle_response(now, response(&invite, 180)).unwrap();
    assert_eq!(found.0, first);
    let stray = request_with_branch(Method::Invite, "z9hG4bKthree");
    assert!(layer.handle_response(now, response(&stray, 200)).is_none());
}

#[test]
fn a_response_with_a_second_via_is_dropped() {
    let (mut layer, now) = (layer(), start());
    let invite = request(Method::Invite);
    layer.begin_client(now, udp(PEER), invite.clone()).unwrap();
    let mut misrouted = response(&invite, 200);
    let second = "SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bKproxy";
    misrouted.headers.push("Via", second).unwrap();
    assert!(layer.handle_response(now, misrouted).is_none());
}

#[test]
fn a_repeated_request_is_absorbed_and_answered_again() {
    let (mut layer, now) = (layer(), start());
    let bye = request(Method::Bye);
    let Received::New(bye) = layer.handle_request(now, bye) else {
        panic!("not new");
    };
    let id = layer
        .begin_server(udp("192.0.2.1:5060"), &bye, &response(&bye, 100))
        .unwrap();
    layer.respond(now, id, &response(&bye, 200));
    assert_eq!(transmits(&mut layer), ["200"]);
    assert!(matches!(layer.handle_request(now, bye), Received::Absorbed));
    assert_eq!(transmits(&mut layer), ["200"]);
}

#[test]
fn the_ack_of_a_failure_is_absorbed_and_that_of_a_2xx_is_not() {
    let (mut layer, now) = (layer(), start());
    let invite = request(Method::Invite);
    let trying = response(&invite, 100);
    let flow = udp("192.0.2.1:5060");
    let id = layer.begin_server(flow, &invite, &trying).unwrap();
    layer.respond(now, id, &response(&invite, 486));
    let ack = request(Method::Ack);
    assert!(matches!(layer.handle_request(now, ack), Received::Absorbed));
    outputs(&mut layer);
    layer.handle_timeout(now + ms(5000));
    assert_eq!(layer.servers(), 0);
    let ack = request_with_branch(Method::Ack, "z9hG4bKother");
    assert!(matches!(layer.handle_request(now, ack), Received::Ack(_)));
}

#[test]
fn an_old_clients_ack_must_carry_the_tag_of_our_response() {
    let (mut layer, now) = (layer(), start());
    let invite = old_style("INVITE", "");
    let trying = response(&invite, 100);
    let flow = udp("192.0.2.1:5060");
    let id = layer.begin_server(flow, &invite, &trying).unwrap();
    layer.respond(now, id, &response(&invite, 486));
    let repeated = layer.handle_request(now, old_style("INVITE", ""));
    assert!(matches!(repeated, Received::Absorbed));
    let wrong = layer.handle_request(now, old_style("ACK", ";tag=other"));
    assert!(matches!(wrong, Received::Ack(_)));
    let right = layer.handle_request(now, old_style("ACK", ";tag=bob"));
    assert!(matches!(right, Received::Absorbed));
    layer.handle_timeout(now + ms(5000));
    assert_eq!(layer.servers(), 0);
}

#[test]
fn a_copy_by_another_way_is_merged_only_while_the_first_lasts() {
    let (mut layer, now) = (layer(), start());
    let first = request_with_branch(Method::Invite, "z9hG4bKone");
    let second = request_with_branch(Method::Invite, "z9hG4bKtwo");
    assert!(!layer.is_merged(&first));
    let trying = response(&first, 100);
    let flow = tcp("192.0.2.1:5060");
    let id = layer.begin_server(flow, &first, &trying).unwrap();
    assert!(matches!(
        layer.handle_request(now, second.clone()),
        Received::New(_)
    ));
    assert!(layer.is_merged(&second));
    layer.abandon_server(id);
    assert!(!layer.is_merged(&second));
}

#[test]
fn a_failed_flow_fails_what_waits_on_it_and_nothing_else() {
    let (mut layer, now) = (layer(), start());
    let here = layer
        .begin_client(now, tcp(PEER), request_with_branch(Method::Bye, "z9hG4bKa"))
        .unwrap();
    let there = request_with_branch(Method::Bye, "z9hG4bKb");
    layer
        .begin_client(now, tcp("192.0.2.3:5060"), there)
        .unwrap();
    let datagram = request_with_branch(Method::Bye, "z9hG4bKc");
    layer.begin_client(now, udp(PEER), datagram).unwrap();
    outputs(&mut layer);
    layer.handle_transport_error(now, tcp(PEER), TransportError::ConnectFailed);
    let failed = outputs(&mut layer);
    assert!(matches!(
        failed[..],
        [
            Output::ClientTransportError(failed, TransportError::ConnectFailed),
            Output::ClientTerminated(over)
        ] if failed == here && over == here
    ));
    assert_eq!(layer.clients(), 2);
}

#[test]
fn an_icmp_error_counts_only_before_anything_came_back() {
    let (mut layer, now) = (layer(), start());
    let invite = request(Method::Invite);
    layer.begin_client(now, udp(PEER), invite.clone()).unwrap();
    layer.handle_response(now, response(&invite, 180));
    layer.handle_transport_error(now, udp(PEER), TransportError::Unreachable);
    assert_eq!(layer.clients(), 1);
    let other = request_with_branch(Method::Invite, "z9hG4bKother");
    layer.begin_client(now, udp(PEER), other).unwrap();
    layer.handle_transport_error(now, udp(PEER), TransportError::Unreachable);
    assert_eq!(layer.clients(), 1);
}

#[test]
fn nothing_is_left_after_the_last_timer() {
    let (mut layer, now) = (layer(), start());
    for (index, method) in [Method::Invite, Method::Bye].into_iter().enumerate() {
        let own = request_with_branch(method.clone(), &format!("z9hG4bKown{index}"));
        layer.begin_client(now, udp(PEER), own.clone()).unwrap();
        layer.handle_response(now, response(&own, 486));
        let theirs = request_with_branch(method, &format!("z9hG4bKtheirs{index}"));
        let trying = response(&theirs, 100);
        let id = layer.begin_server(udp(PEER), &theirs, &trying).unwrap();
        layer.respond(now, id, &response(&theirs, 486));
    }
    assert_eq!((layer.clients(), layer.servers()), (2, 2));
    while let Some(at) = layer.poll_timeout() {
        layer.handle_timeout(at);
    }
    assert_eq!((layer.clients(), layer.servers()), (0, 0));
    assert!(layer.client_keys.is_empty() && layer.server_keys.is_empty());
    assert!(layer.merge_keys.is_empty() && layer.deadlines.is_empty());
}

#[test]
fn timers_of_zero_do_not_hang() {
    let mut layer = Layer::new(Timers {
        t1: ms(0),
        t2: ms(0),
        t4: ms(0),
    });
    let now = start();
    layer
        .begin_client(now, udp(PEER), request(Method::Bye))
        .unwrap();
    layer.handle_timeout(now);
    assert_eq!(layer.clients(), 0);
}
