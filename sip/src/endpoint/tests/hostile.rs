//! Requests that are forged, stale, stray, not understood or not for us (RFC 3261 §8.2, §9.2, §12.2.2, §14.2).

use std::net::SocketAddr;

use super::help::{ANSWER, CALLEE, CALLER, OFFER, assert_empty, good, ring, seconds, up};
use crate::{
    Message, Response, StatusCode,
    endpoint::{Event, Transport},
    parse_datagram,
    testing::{Net, Packet, address},
};

fn stranger() -> SocketAddr {
    "203.0.113.66:5060".parse().unwrap()
}

/// The first packet of this kind that the caller or callee sent, as text.
fn sent(net: &Net, beginning: &str) -> String {
    let packet: &Packet = net
        .log
        .iter()
        .find(|packet| packet.first_line().starts_with(beginning))
        .unwrap();
    String::from_utf8(packet.bytes.clone()).unwrap()
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message
        .lines()
        .find(|line| {
            line.to_ascii_lowercase()
                .starts_with(&format!("{}:", name.to_ascii_lowercase()))
        })
        .unwrap_or_else(|| panic!("no {name} in {message}"));
    line.split_once(':').unwrap().1.trim()
}

/// A request inside the callee's dialog, as its caller would write it.
#[derive(Clone)]
pub(super) struct InDialog {
    pub(super) method: &'static str,
    from: String,
    to: String,
    call_id: String,
    pub(super) number: u32,
    /// Lines of headers more.
    pub(super) more: String,
    pub(super) body: String,
}

impl InDialog {
    pub(super) fn of(net: &Net, method: &'static str) -> Self {
        let ack = sent(net, "ACK");
        let number: u32 = header(&ack, "CSeq")
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        Self {
            method,
            from: header(&ack, "From").to_owned(),
            to: header(&ack, "To").to_owned(),
            call_id: header(&ack, "Call-ID").to_owned(),
            number: number + 1,
            more: String::new(),
            body: String::new(),
        }
    }

    pub(super) fn bytes(&self, branch: &str) -> Vec<u8> {
        let Self {
            method,
            from,
            to,
            call_id,
            number,
            more,
            body,
        } = self;
        let content = match body.is_empty() {
            true => "",
            false => "Content-Type: application/sdp\r\n",
        };
        format!(
            "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:alice@192.0.2.1:5060>\r\n{more}{content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// A request of the caller inside the dialog that is only ringing yet.
fn in_early_dialog(net: &Net, method: &'static str) -> InDialog {
    let ringing = sent(net, "SIP/2.0 180");
    let cseq = header(&ringing, "CSeq");
    let number: u32 = cseq.split(' ').next().unwrap().parse().unwrap();
    InDialog {
        method,
        from: header(&ringing, "From").to_owned(),
        to: header(&ringing, "To").to_owned(),
        call_id: header(&ringing, "Call-ID").to_owned(),
        number: number + 1,
        more: String::new(),
        body: String::new(),
    }
}

fn ring_180(net: &mut Net) {
    let (_, callee) = ring(net, Transport::Udp);
    let now = net.now;
    net.endpoints[CALLEE].ring(now, callee, StatusCode::RINGING, None);
    net.run(seconds(1) / 10);
}

#[test]
fn a_callers_bye_ends_a_ringing_call() {
    let mut net = good();
    ring_180(&mut net);
    let bye = in_early_dialog(&net, "BYE").bytes("earlybye");
    net.inject(address(CALLER), address(CALLEE), &bye);
    net.run(seconds(1));
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 200"), 1);
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 487"), 1);
    assert!(matches!(net.events(CALLEE)[..], [Event::Cancelled { .. }]));
    assert_empty(&mut net);
}

#[test]
fn a_second_invite_before_the_first_is_answered_gets_500_and_when_to_retry() {
    let mut net = good();
    ring_180(&mut net);
    let second = in_early_dialog(&net, "INVITE").bytes("second");
    let response = answer(&mut net, address(CALLER), &second).unwrap();
    assert_eq!(response.status.code(), 500);
    assert!(response.headers.retry_after().unwrap() <= 10);
    assert_eq!(net.events(CALLEE), []);
}

/// Sends it to the callee; the status it is answered with last, if any.
pub(super) fn ask(net: &mut Net, from: SocketAddr, bytes: &[u8]) -> Option<u16> {
    answer(net, from, bytes).map(|response| response.status.code())
}

pub(super) fn answer(net: &mut Net, from: SocketAddr, bytes: &[u8]) -> Option<Response> {
    let before = net.log.len();
    net.inject(from, address(CALLEE), bytes);
    net.run(seconds(1) / 10);
    let replies = net
        .log
        .get(before..)?
        .iter()
        .filter(|packet| packet.to == from);
    let mut responses = replies.filter_map(|packet| match parse_datagram(&packet.bytes) {
        Ok(Message::Response(response)) => Some(response),
        _ => None,
    });
    responses.next_back()
}

#[test]
fn a_forged_bye_or_re_invite_gets_481_and_the_call_goes_on() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    for method in ["BYE", "INVITE", "OPTIONS"] {
        let right = InDialog::of(&net, method);
        let forgeries = [
            InDialog {
                from: "<sip:alice@192.0.2.1>;tag=guess".to_owned(),
                ..right.clone()
            },
            InDialog {
                to: "<sip:bob@192.0.2.2>;tag=guess".to_owned(),
                ..right.clone()
            },
            InDialog {
                call_id: "guess".to_owned(),
                ..right.clone()
            },
        ];
        for (index, forged) in forgeries.iter().enumerate() {
            let bytes = forged.bytes(&format!("{method}{index}"));
            assert_eq!(ask(&mut net, address(CALLER), &bytes), Some(481));
        }
        // All is right except where it comes from.
        let bytes = right.bytes(&format!("{method}stranger"));
        assert_eq!(ask(&mut net, stranger(), &bytes), Some(481), "{method}");
        let neighbour = SocketAddr::new(address(CALLER).ip(), 5999);
        let bytes = right.bytes(&format!("{method}neighbour"));
        assert_eq!(ask(&mut net, neighbour, &bytes), Some(481), "{method}");
    }
    assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
    assert_eq!(net.events(CALLEE), []);
    let right = InDialog::of(&net, "BYE").bytes("right");
    assert_eq!(ask(&mut net, address(CALLER), &right), Some(200));
    assert!(!net.endpoints[CALLEE].is_up(callee));
}

#[test]
fn a_stale_cseq_is_refused_and_the_call_goes_on() {
    let mut net = good();
    let (_, callee) = up(&mut net, Transport::Udp);
    let mut bye = InDialog::of(&net, "BYE");
    bye.number -= 1;
    assert_eq!(
        ask(&mut net, address(CALLER), &bye.bytes("stale")),
        Some(500)
    );
    assert!(net.endpoints[CALLEE].is_up(callee));
}

#[test]
fn a_forged_cancel_gets_481_and_it_goes_on_ringing() {
    let mut net = good();
    ring(&mut net, Transport::Udp);
    let invite = sent(&net, "INVITE");
    let cancel = |via: &str, from: &str, call_id: &str, number: &str| {
        format!(
            "CANCEL sip:bob@192.0.2.2:5060 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
             To: <sip:bob@192.0.2.2:5060>\r\nCall-ID: {call_id}\r\nCSeq: {number} CANCEL\r\n\r\n"
        )
    };
    let (via, from) = (header(&invite, "Via"), header(&invite, "From"));
    let (call_id, number) = (header(&invite, "Call-ID"), header(&invite, "CSeq"));
    let number = number.split(' ').next().unwrap();
    let other_via = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKguess";
    let own = address(CALLER);
    for (source, text) in [
        (stranger(), cancel(via, from, call_id, number)),
        (own, cancel(other_via, from, call_id, number)),
        (own, cancel(via, "<sip:a@b>;tag=guess", call_id, number)),
        (own, cancel(via, from, "guess", number)),
        (own, cancel(via, from, call_id, "99999999")),
    ] {
        assert_eq!(ask(&mut net, source, text.as_bytes()), Some(481), "{text}");
    }
    assert_eq!(net.events(CALLEE), []);
    let right = cancel(via, from, call_id, number);
    ask(&mut net, own, right.as_bytes());
    assert!(matches!(net.events(CALLEE)[..], [Event::Cancelled { .. }]));
}

#[test]
fn a_re_invite_with_the_same_session_gets_our_sdp_again() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    let mut refresh = InDialog::of(&net, "INVITE");
    let same = String::from_utf8(OFFER.to_vec()).unwrap();
    for (step, (body, expected)) in [
        (same.clone(), 200),
        (same.replace("o=- 1 1", "o=- 1 2"), 200),
    ]
    .into_iter()
    .enumerate()
    {
        refresh.number += 1;
        refresh.body = body;
        let bytes = refresh.bytes(&format!("refresh{step}"));
        let response = answer(&mut net, address(CALLER), &bytes).unwrap();
        assert_eq!(response.status.code(), expected, "{}", refresh.body);
        assert_eq!(response.body, ANSWER);
        let ack = InDialog {
            method: "ACK",
            body: String::new(),
            ..refresh.clone()
        };
        let branch = format!("ack{step}");
        net.inject(address(CALLER), address(CALLEE), &ack.bytes(&branch));
        net.run(seconds(1));
    }
    assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
    assert_eq!(net.events(CALLEE), [], "a refresh is no event");
    net.run(seconds(60));
    assert!(net.endpoints[CALLEE].is_up(callee));
}

#[test]
fn a_re_invite_whose_200_is_never_acked_ends_the_call() {
    let mut net = good();
    let (caller, _) = up(&mut net, Transport::Udp);
    let mut refresh = InDialog::of(&net, "INVITE");
    refresh.body = String::from_utf8(OFFER.to_vec()).unwrap();
    let bytes = refresh.bytes("refresh");
    assert_eq!(ask(&mut net, address(CALLER), &bytes), Some(200));
    net.run(seconds(34));
    assert!(!net.endpoints[CALLER].is_up(caller));
    assert_empty(&mut net);
}

fn request(method: &str, branch: &str, extra: &str) -> Vec<u8> {
    let forwards = match extra.contains("Max-Forwards") {
        true => "",
        false => "Max-Forwards: 70\r\n",
    };
    format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.1.1:9;branch={branch};rport\r\n{forwards}\
         From: <sip:x@203.0.113.66>;tag=x\r\nTo: <sip:bob@192.0.2.2>{}\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:x@203.0.113.66>\r\n{extra}\r\n",
        if extra.contains("X-In-Dialog") { ";tag=none" } else { "" }
    )
    .into_bytes()
}

#[test]
fn what_cannot_be_served_gets_the_right_status_and_leaves_nothing() {
    let mut net = good();
    for (index, (method, extra, status)) in [
        ("OPTIONS", "", 200),
        ("BYE", "", 481),
        ("CANCEL", "", 481),
        ("BYE", "X-In-Dialog: 1\r\n", 481),
        ("INVITE", "X-In-Dialog: 1\r\n", 481),
        ("OPTIONS", "X-In-Dialog: 1\r\n", 481),
        ("INFO", "", 481),
        ("UPDATE", "", 481),
        ("PRACK", "", 481),
        ("REGISTER", "", 405),
        ("NEWMETHOD", "", 501),
        ("INVITE", "Max-Forwards: 0\r\n", 483),
        ("INVITE", "Require: outbound\r\n", 420),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = request(method, &format!("z9hG4bK{index}"), extra);
        let response = answer(&mut net, stranger(), &bytes).unwrap();
        assert_eq!(response.status.code(), status, "{method} {extra}");
        assert!(response.headers.to().unwrap().tag().is_some());
        let via = response.headers.top_via().unwrap();
        assert_eq!(via.received(), Some(stranger().ip()));
        assert_eq!(via.rport(), Some(stranger().port()));
        match status {
            200 => {
                assert!(response.headers.allow().unwrap().len() >= 5);
                assert_eq!(response.headers.get("Accept"), Some("application/sdp"));
                assert_eq!(response.headers.get("Supported"), Some(""));
            }
            405 => assert!(response.headers.get("Allow").is_some()),
            420 => assert_eq!(response.headers.get("Unsupported"), Some("outbound")),
            _ => {}
        }
    }
    assert_eq!(net.events(CALLEE), []);
    assert_eq!(net.endpoints[CALLEE].load(), Default::default());
}

#[test]
fn a_repeated_request_gets_the_same_answer_without_any_state() {
    let mut net = good();
    let bytes = request("OPTIONS", "z9hG4bKsame", "");
    let first = answer(&mut net, stranger(), &bytes).unwrap();
    let second = answer(&mut net, stranger(), &bytes).unwrap();
    assert_eq!(first, second);
    let other = request("OPTIONS", "z9hG4bKother", "");
    let other = answer(&mut net, stranger(), &other).unwrap();
    assert_ne!(
        first.headers.to().unwrap().tag(),
        other.headers.to().unwrap().tag()
    );
}

#[test]
fn a_copy_of_a_ringing_invite_by_another_way_gets_482() {
    let mut net = good();
    ring(&mut net, Transport::Udp);
    let invite = sent(&net, "INVITE");
    let branch = header(&invite, "Via")
        .split_once("branch=")
        .unwrap()
        .1
        .split(';')
        .next()
        .unwrap();
    let copy = invite.replace(branch, "z9hG4bKanotherway");
    assert_eq!(ask(&mut net, stranger(), copy.as_bytes()), Some(482));
    assert_eq!(net.events(CALLEE), []);
}

#[test]
fn stray_acks_responses_and_garbage_are_dropped_quietly() {
    let mut net = good();
    let response = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKno\r\n\
        From: <sip:a@b>;tag=a\r\nTo: <sip:a@b>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
    for bytes in [
        request("ACK", "z9hG4bKack", ""),
        request("ACK", "z9hG4bKack", "X-In-Dialog: 1\r\n"),
        response.to_vec(),
        b"\r\n\r\n".to_vec(),
        b"\0\xff\xfe".to_vec(),
        Vec::new(),
        b"SIP/2.0 999 What\r\n\r\n".to_vec(),
    ] {
        assert_eq!(ask(&mut net, stranger(), &bytes), None);
    }
    assert_eq!(net.log.len(), 0, "{net:?}");
    assert_eq!(net.endpoints[CALLEE].load(), Default::default());
}

#[test]
fn answers_go_to_the_source_whatever_the_via_says() {
    let mut net = good();
    let victim: SocketAddr = "198.51.100.7:5060".parse().unwrap();
    let text = String::from_utf8(request("OPTIONS", "z9hG4bKmaddr", "")).unwrap();
    let text = text.replace("10.1.1.1:9;", "198.51.100.7:5060;maddr=198.51.100.7;");
    ask(&mut net, stranger(), text.as_bytes());
    assert_eq!(net.log.len(), 1);
    assert_eq!(net.log[0].to, stranger());
    assert!(net.elsewhere.iter().all(|packet| packet.to != victim));
}

#[test]
fn a_client_of_rfc_2543_can_call() {
    let mut net = good();
    let text = |method: &str, to: &str| {
        format!(
            "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.66:5060\r\n\
             From: <sip:old@203.0.113.66>\r\nTo: <sip:bob@192.0.2.2>{to}\r\nCall-ID: old\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:old@203.0.113.66:5060>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    ask(&mut net, stranger(), text("INVITE", "").as_bytes());
    let events = net.events(CALLEE);
    let [Event::Incoming { session, .. }] = events[..] else {
        panic!("{events:?} {net:?}");
    };
    // A copy is a retransmission, though there is no branch to know it by.
    ask(&mut net, stranger(), text("INVITE", "").as_bytes());
    assert_eq!(net.events(CALLEE), []);
    let now = net.now;
    net.endpoints[CALLEE].accept(now, session, ANSWER.to_vec());
    net.run(seconds(1) / 10);
    let ok = sent(&net, "SIP/2.0 200");
    let tag = header(&ok, "To").split_once(";tag=").unwrap().1.to_owned();
    let ack = text("ACK", &format!(";tag={tag}"));
    ask(&mut net, stranger(), ack.as_bytes());
    assert!(matches!(net.events(CALLEE)[..], [Event::Confirmed { .. }]));
    let bye = text("BYE", &format!(";tag={tag}")).replace("CSeq: 1", "CSeq: 2");
    assert_eq!(ask(&mut net, stranger(), bye.as_bytes()), Some(200));
    assert!(!net.endpoints[CALLEE].is_up(session));
}

#[test]
fn mutated_packets_of_a_call_neither_panic_nor_leave_anything() {
    use rand_chacha::{
        ChaCha20Rng,
        rand_core::{RngCore, SeedableRng},
    };
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let mut below = |limit: usize| rng.next_u32() as usize % limit.max(1);
    for _ in 0..20 {
        let mut net = good();
        let (_, callee) = up(&mut net, Transport::Udp);
        let now = net.now;
        net.endpoints[CALLEE].bye(now, callee, None);
        net.run(seconds(1));
        let recorded = net.log.clone();
        for _ in 0..100 {
            let mut packet = recorded[below(recorded.len())].clone();
            for _ in 0..=below(4) {
                let at = below(packet.bytes.len());
                match below(4) {
                    0 => packet.bytes[at] = u8::try_from(below(256)).unwrap(),
                    1 => packet.bytes.truncate(at + 1),
                    2 => {
                        packet.bytes.remove(at);
                        packet.bytes.push(b' ');
                    }
                    _ => packet.bytes.insert(at, b"\r\n:;,<>@=\"0"[below(11)]),
                }
            }
            net.inject(packet.from, packet.to, &packet.bytes);
        }
        net.run(seconds(1));
        // What got through as new calls rings until the limit.
        net.run(seconds(300));
        assert_empty(&mut net);
    }
}

#[test]
fn while_draining_options_get_503() {
    let mut net = good();
    net.endpoints[CALLEE].set_accepting(false);
    let bytes = request("OPTIONS", "z9hG4bKprobe", "");
    let response = answer(&mut net, stranger(), &bytes).unwrap();
    assert_eq!(response.status.code(), 503);
    assert_eq!(response.headers.retry_after(), Some(10));
}
