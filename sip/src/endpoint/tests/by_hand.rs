//! Calls to a phone that the test plays by hand: forks, route sets, answers that no endpoint of ours would give.

use std::net::SocketAddr;

use super::help::{ANSWER, CALLER, assert_empty, good, invite, seconds};
use crate::{
    Message, Request, Response, StatusCode,
    endpoint::{EndedBy, Endpoint, Event, Failure, Session, Transport},
    parse_datagram,
    testing::{Net, address},
};

pub(super) fn phone() -> SocketAddr {
    "192.0.2.50:5060".parse().unwrap()
}

struct Call {
    net: Net,
    session: Session,
    invite: Request,
}

fn call() -> Call {
    let mut net = good();
    let mut invite = invite(Transport::Udp);
    invite.target.remote = phone();
    let now = net.now;
    let session = net.endpoints[CALLER].invite(now, invite).unwrap();
    net.run(seconds(1) / 10);
    let invite = received(&mut net, "INVITE");
    Call {
        net,
        session,
        invite,
    }
}

/// The next request of this method that reached the phone.
pub(super) fn received(net: &mut Net, method: &str) -> Request {
    find(net, method).unwrap_or_else(|| panic!("no {method}\n{net:?}"))
}

pub(super) fn find(net: &mut Net, method: &str) -> Option<Request> {
    while let Some(packet) = net.elsewhere.pop_front() {
        if let Ok(Message::Request(request)) = parse_datagram(&packet.bytes)
            && request.method.as_str() == method
        {
            return Some(request);
        }
    }
    None
}

pub(super) fn response(
    request: &Request,
    status: u16,
    tag: &str,
    extra: &[(&str, &str)],
) -> Response {
    let mut response = request.response(StatusCode::new(status).unwrap());
    let to = response.headers.to().unwrap();
    if to.tag().is_none() {
        response.headers.set("To", to.with_tag(tag)).unwrap();
    }
    for (name, value) in extra {
        response.headers.push(name, value).unwrap();
    }
    if status == 200 && request.method.as_str() == "INVITE" {
        response
            .headers
            .push("Content-Type", "application/sdp")
            .unwrap();
        response.body = ANSWER.to_vec();
    }
    response
}

pub(super) fn reply(net: &mut Net, response: &Response) {
    net.inject(phone(), address(CALLER), &response.to_bytes());
    net.run(seconds(1) / 10);
}

const CONTACT: (&str, &str) = ("Contact", "<sip:bob@192.0.2.50:5060>");

#[test]
fn every_fork_that_answers_is_acked_and_all_but_the_first_are_byed() {
    let Call {
        mut net,
        session,
        invite,
    } = call();
    for tag in ["one", "two", "three", "two", "one"] {
        reply(&mut net, &response(&invite, 200, tag, &[CONTACT]));
    }
    let answered = net.events(CALLER);
    assert!(
        matches!(answered[..], [Event::Answered { .. }]),
        "{answered:?}"
    );
    assert!(net.endpoints[CALLER].is_up(session));
    let (mut acks, mut byes) = (Vec::new(), Vec::new());
    while let Some(packet) = net.elsewhere.pop_front() {
        let Ok(Message::Request(request)) = parse_datagram(&packet.bytes) else {
            continue;
        };
        let tag = request.headers.to().unwrap().tag().unwrap().to_owned();
        match request.method.as_str() {
            "ACK" => acks.push(tag),
            "BYE" => byes.push(tag),
            other => panic!("{other}"),
        }
    }
    assert_eq!(acks, ["one", "two", "three", "two", "one"]);
    byes.sort();
    byes.dedup();
    assert_eq!(byes, ["three", "two"]);
}

#[test]
fn early_dialogs_of_forks_are_reported_each() {
    let Call {
        mut net, invite, ..
    } = call();
    for (status, tag) in [(180, "one"), (180, "one"), (180, "two"), (183, "two")] {
        reply(&mut net, &response(&invite, status, tag, &[CONTACT]));
    }
    let progress: Vec<u16> = net
        .events(CALLER)
        .iter()
        .map(|event| match event {
            Event::Progress { status, .. } => status.code(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(progress, [180, 180, 183]);
}

/// RFC 6228.
#[test]
fn a_fork_that_is_given_up_leaves_its_place_to_another() {
    let Call {
        mut net, invite, ..
    } = call();
    let most = net.endpoints[CALLER].config.limits.early_dialogs;
    for fork in 0..=most {
        let tag = format!("tag{fork}");
        reply(&mut net, &response(&invite, 180, &tag, &[CONTACT]));
    }
    for (status, tag) in [
        (199, "tag1"),
        (199, "tag1"),
        (199, "unknown"),
        (180, "more"),
    ] {
        reply(&mut net, &response(&invite, status, tag, &[CONTACT]));
    }
    let events = net.events(CALLER);
    let told: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Progress { status, fork, .. } => (status.code(), fork.map(|fork| fork.0)),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut expected: Vec<_> = (1..=most as u32).map(|fork| (180, Some(fork))).collect();
    expected.extend([(180, None), (199, Some(2)), (180, Some(most as u32 + 1))]);
    assert_eq!(told, expected);
}

#[test]
fn ack_and_bye_follow_the_route_set() {
    let Call {
        mut net,
        session,
        invite,
    } = call();
    let routes = [
        CONTACT,
        ("Record-Route", "<sip:192.0.2.61:5060;lr>"),
        ("Record-Route", "<sip:192.0.2.60:5062;lr>"),
    ];
    reply(&mut net, &response(&invite, 200, "one", &routes));
    let now = net.now;
    net.endpoints[CALLER].bye(now, session, None);
    net.run(seconds(1) / 10);
    let number = invite.headers.cseq().unwrap().number;
    for (method, number) in [("ACK", number), ("BYE", number + 1)] {
        let packet = net.elsewhere.pop_front().unwrap();
        assert_eq!(packet.to, "192.0.2.60:5062".parse().unwrap());
        let Ok(Message::Request(request)) = parse_datagram(&packet.bytes) else {
            panic!();
        };
        assert_eq!(request.method.as_str(), method);
        assert_eq!(request.uri.to_string(), "sip:bob@192.0.2.50:5060");
        let routes: Vec<&str> = request.headers.get_all("Route").collect();
        assert_eq!(
            routes,
            ["<sip:192.0.2.60:5062;lr>", "<sip:192.0.2.61:5060;lr>"]
        );
        let cseq = request.headers.cseq().unwrap();
        assert_eq!(cseq.number, number);
    }
}

#[test]
fn a_bye_is_over_whatever_the_answer() {
    for status in [200, 401, 408, 481, 500] {
        let Call {
            mut net,
            session,
            invite,
        } = call();
        reply(&mut net, &response(&invite, 200, "one", &[CONTACT]));
        let now = net.now;
        net.endpoints[CALLER].bye(now, session, None);
        net.run(seconds(1) / 10);
        net.events(CALLER);
        let bye = received(&mut net, "BYE");
        reply(&mut net, &response(&bye, status, "one", &[]));
        let ended = net.events(CALLER);
        assert!(matches!(
            ended[..],
            [Event::Ended {
                by: EndedBy::Local,
                ..
            }]
        ));
        assert_empty(&mut net);
    }
}

#[test]
fn a_failure_comes_with_status_reason_and_retry_after() {
    let Call {
        mut net, invite, ..
    } = call();
    let extra = [
        ("Reason", "Q.850;cause=34;text=\"No circuit\""),
        ("Retry-After", "120 (later)"),
    ];
    let mut busy = response(&invite, 503, "one", &extra);
    busy.reason = "Try Later".to_owned();
    reply(&mut net, &busy);
    let failed = net.events(CALLER);
    let [
        Event::Failed {
            failure:
                Failure::Status {
                    status,
                    reason,
                    reason_header: Some(reason_header),
                    retry_after,
                    contacts,
                },
            ..
        },
    ] = &failed[..]
    else {
        panic!("{failed:?}");
    };
    assert_eq!((status.code(), reason.as_str()), (503, "Try Later"));
    assert_eq!(reason_header.cause, Some(34));
    assert_eq!(*retry_after, Some(120));
    assert!(contacts.is_empty());
    received(&mut net, "ACK");
    assert_empty(&mut net);
}

#[test]
fn a_redirection_says_where_to_the_likeliest_first() {
    let Call {
        mut net, invite, ..
    } = call();
    let contacts = "<sip:a@192.0.2.1>;q=0.2, <sip:b@192.0.2.1>, <sip:c@192.0.2.1>;q=0.7";
    let moved = response(&invite, 302, "one", &[("Contact", contacts)]);
    reply(&mut net, &moved);
    let failed = net.events(CALLER);
    let [
        Event::Failed {
            failure: Failure::Status { contacts, .. },
            ..
        },
    ] = &failed[..]
    else {
        panic!("{failed:?}");
    };
    let users: Vec<_> = contacts.iter().map(|uri| uri.user.as_deref()).collect();
    assert_eq!(users, [Some("b"), Some("c"), Some("a")]);
    received(&mut net, "ACK");
    assert_empty(&mut net);
}

#[test]
fn the_cancel_is_the_invites_twin_and_gets_no_answer_to_wait_for() {
    let Call {
        mut net,
        session,
        invite,
    } = call();
    reply(&mut net, &response(&invite, 180, "one", &[CONTACT]));
    let now = net.now;
    net.endpoints[CALLER].cancel(now, session, None);
    net.run(seconds(1) / 10);
    let cancel = received(&mut net, "CANCEL");
    assert_eq!(cancel.uri, invite.uri);
    for name in ["Via", "From", "To", "Call-ID"] {
        assert_eq!(cancel.headers.get(name), invite.headers.get(name), "{name}");
    }
    let (a, b) = (cancel.headers.cseq(), invite.headers.cseq());
    assert_eq!(a.unwrap().number, b.unwrap().number);
    reply(&mut net, &response(&cancel, 481, "one", &[]));
    reply(&mut net, &response(&invite, 487, "one", &[]));
    assert!(matches!(
        net.events(CALLER).last(),
        Some(Event::Failed {
            failure: Failure::Cancelled,
            ..
        })
    ));
    assert_empty(&mut net);
}

fn in_dialog(invite: &Request, method: &str, number: u32, body: &[u8]) -> Vec<u8> {
    let text = format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@192.0.2.2:5060>;tag=one\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n\
         Contact: <sip:bob@192.0.2.50:5060>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}",
        invite.headers.get("From").unwrap(),
        invite.headers.call_id().unwrap(),
        body.len(),
        String::from_utf8_lossy(body)
    );
    text.into_bytes()
}

#[test]
fn a_re_invite_before_our_own_invite_is_answered_gets_491() {
    let Call {
        mut net, invite, ..
    } = call();
    reply(&mut net, &response(&invite, 180, "one", &[CONTACT]));
    net.inject(
        phone(),
        address(CALLER),
        &in_dialog(&invite, "INVITE", 5, ANSWER),
    );
    net.run(seconds(1) / 10);
    assert_eq!(net.count_sent(CALLER, "SIP/2.0 491"), 1, "{net:?}");
}

#[test]
fn a_bye_from_a_callee_whose_200_was_lost_ends_the_call_at_once() {
    let Call {
        mut net, invite, ..
    } = call();
    reply(&mut net, &response(&invite, 180, "one", &[CONTACT]));
    net.events(CALLER);
    net.inject(phone(), address(CALLER), &in_dialog(&invite, "BYE", 5, b""));
    net.run(seconds(1) / 10);
    assert_eq!(net.count_sent(CALLER, "SIP/2.0 200"), 1);
    let ended = net.events(CALLER);
    assert!(matches!(
        ended[..],
        [Event::Ended {
            by: EndedBy::Remote,
            ..
        }]
    ));
    assert_empty(&mut net);
}

#[test]
fn the_same_seed_makes_the_same_messages_and_another_makes_other_ones() {
    let sent = |seed| {
        let mut endpoint = Endpoint::new(crate::testing::config(seed, 0));
        let now = std::time::Instant::now();
        endpoint.invite(now, invite(Transport::Udp)).unwrap();
        endpoint.poll_transmit().unwrap().bytes
    };
    assert_eq!(sent(1), sent(1));
    assert_ne!(sent(1), sent(2));
    let Ok(Message::Request(invite)) = parse_datagram(&sent(1)) else {
        panic!();
    };
    let branch = invite.headers.top_via().unwrap();
    assert!(branch.branch().unwrap().starts_with("z9hG4bK"));
    assert!(branch.has_rport());
    let from = invite.headers.from().unwrap();
    assert_eq!(from.tag().unwrap().len(), 32, "128 bits");
}
