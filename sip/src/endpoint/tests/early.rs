//! What is agreed on while a phone, played by hand, still rings: answers in reliable provisional responses and UPDATEs.

use super::{
    by_hand::{find, phone, received, reply, response},
    help::{ANSWER, CALLER, OFFER, good, invite, seconds},
};
use crate::{
    Message, Request, Response, StatusCode,
    endpoint::{Event, Failure, Fork, Session, Transport},
    parse_datagram,
    testing::{Net, address},
};

const CONTACT: (&str, &str) = ("Contact", "<sip:bob@192.0.2.50:5060>");
const MOVED: &str = "v=0\r\no=phone 2 2 IN IP4 192.0.2.51\r\ns=-\r\n";
const AGREED: &[u8] = b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\n";

/// A call that has its answer in a reliable 183.
fn agreed() -> (Net, Session, Request) {
    let mut net = good();
    let mut call = invite(Transport::Udp);
    call.target.remote = phone();
    let now = net.now;
    let session = net.endpoints[CALLER].invite(now, call).unwrap();
    net.run(seconds(1) / 10);
    let invite = received(&mut net, "INVITE");
    assert_eq!(invite.body, OFFER);
    let reliable = [("Require", "100rel"), ("RSeq", "1"), CONTACT];
    let mut progress = response(&invite, 183, "phone", &reliable);
    with_sdp(&mut progress, ANSWER);
    reply(&mut net, &progress);
    let prack = received(&mut net, "PRACK");
    reply(&mut net, &response(&prack, 200, "", &[]));
    net.events(CALLER);
    (net, session, invite)
}

fn with_sdp(response: &mut Response, sdp: &[u8]) {
    let headers = &mut response.headers;
    headers.set("Content-Type", "application/sdp").unwrap();
    response.body = sdp.to_vec();
}

/// Its UPDATE.
fn update(net: &mut Net, invite: &Request, tag: &str, number: u32) {
    request(net, invite, "UPDATE", tag, number);
}

/// An offer of its.
fn request(net: &mut Net, invite: &Request, method: &str, tag: &str, number: u32) {
    let (from, to) = (
        invite.headers.get("To").unwrap(),
        invite.headers.get("From").unwrap(),
    );
    let text = format!(
        "{method} sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK{tag}{number}\r\n\
         Max-Forwards: 70\r\nFrom: {from};tag={tag}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n\
         {}: {}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{MOVED}",
        invite.headers.call_id().unwrap(),
        CONTACT.0,
        CONTACT.1,
        MOVED.len(),
    );
    net.inject(phone(), address(CALLER), text.as_bytes());
    net.run(seconds(1) / 10);
}

/// What it was answered, the 100 aside.
fn answered(net: &mut Net) -> Option<Response> {
    let packets = std::mem::take(&mut net.elsewhere);
    let response = |bytes: &[u8]| match parse_datagram(bytes) {
        Ok(Message::Response(response)) => Some(response),
        _ => None,
    };
    let mut responses = packets
        .iter()
        .rev()
        .filter_map(|packet| response(&packet.bytes));
    responses.find(|one| !one.status.is_provisional())
}

fn answer(net: &mut Net, session: Session, answer: Result<&[u8], StatusCode>) {
    let now = net.now;
    let answer = answer.map(<[u8]>::to_vec);
    net.endpoints[CALLER].answer_offer(now, session, answer);
    net.run(seconds(1) / 10);
}

/// What the application hears of the call's answer.
fn up(session: Session, body: Option<&[u8]>) -> Event {
    Event::Answered {
        session,
        fork: Some(Fork(1)),
        body: body.map(<[u8]>::to_vec),
    }
}

/// It answers the call.
fn picks_up(net: &mut Net, invite: &Request, sdp: &[u8]) -> Vec<Event> {
    let mut ok = response(invite, 200, "phone", &[CONTACT]);
    with_sdp(&mut ok, sdp);
    reply(net, &ok);
    received(net, "ACK");
    net.events(CALLER)
}

#[test]
fn a_phone_may_answer_in_a_reliable_183_alone() {
    let (mut net, session, invite) = agreed();
    let answered = picks_up(&mut net, &invite, b"");
    assert_eq!(answered, [up(session, Some(ANSWER))]);
}

#[test]
fn a_phone_may_change_while_it_rings_what_it_has_agreed_to() {
    let (mut net, session, invite) = agreed();
    update(&mut net, &invite, "phone", 1);
    let offer = Event::Offer {
        session,
        fork: Some(Fork(1)),
        body: Some(MOVED.as_bytes().to_vec()),
    };
    assert_eq!(net.events(CALLER), [offer]);
    answer(&mut net, session, Ok(AGREED));
    let ok = answered(&mut net).unwrap();
    assert_eq!((ok.status.code(), &ok.body[..]), (200, AGREED));
    // What the INVITE was answered with is old.
    assert_eq!(picks_up(&mut net, &invite, ANSWER), [up(session, None)]);
    // A session that stays as it is: what was said last is said again.
    update(&mut net, &invite, "phone", 2);
    let ok = answered(&mut net).unwrap();
    assert_eq!((ok.status.code(), &ok.body[..]), (200, AGREED));
    assert_eq!(net.events(CALLER), []);
}

#[test]
fn an_offer_before_ours_is_answered_must_wait() {
    let (mut net, _, invite) = agreed();
    let reliable = [("Require", "100rel"), ("RSeq", "1"), CONTACT];
    reply(&mut net, &response(&invite, 180, "fork", &reliable));
    net.events(CALLER);
    update(&mut net, &invite, "fork", 1);
    assert_eq!(answered(&mut net).unwrap().status.code(), 491);
    update(&mut net, &invite, "phone", 1);
    update(&mut net, &invite, "phone", 2);
    let again = answered(&mut net).unwrap();
    assert_eq!(again.status.code(), 500);
    assert!(again.headers.contains("Retry-After"));
    assert_eq!(net.events(CALLER).len(), 1);
}

#[test]
fn a_change_that_is_still_asked_for_when_the_phone_is_picked_up_is_answered() {
    let (mut net, session, invite) = agreed();
    update(&mut net, &invite, "phone", 1);
    net.events(CALLER);
    // What was agreed on before it is older than what the application says to it.
    assert_eq!(picks_up(&mut net, &invite, ANSWER), [up(session, None)]);
    answer(&mut net, session, Ok(AGREED));
    let ok = answered(&mut net).unwrap();
    assert_eq!((ok.status.code(), &ok.body[..]), (200, AGREED));
}

#[test]
fn a_change_that_is_still_asked_for_when_the_call_fails_is_over_too() {
    for other in [false, true] {
        let (mut net, session, invite) = agreed();
        update(&mut net, &invite, "phone", 1);
        net.events(CALLER);
        if other {
            let mut ok = response(&invite, 200, "fork", &[CONTACT]);
            with_sdp(&mut ok, ANSWER);
            reply(&mut net, &ok);
            assert!(net.endpoints[CALLER].is_up(session));
        } else {
            reply(&mut net, &response(&invite, 486, "phone", &[]));
            let events = net.events(CALLER);
            assert!(
                matches!(
                    &events[..],
                    [Event::Failed {
                        failure: Failure::Status { .. },
                        ..
                    }]
                ),
                "{events:?}"
            );
        }
        assert_eq!(answered(&mut net).unwrap().status.code(), 487);
        answer(&mut net, session, Ok(AGREED));
        assert!(find(&mut net, "UPDATE").is_none() && answered(&mut net).is_none());
    }
}

#[test]
fn what_is_said_after_the_answer_is_not_told() {
    let (mut net, session, invite) = agreed();
    let mut again = response(&invite, 183, "phone", &[CONTACT]);
    with_sdp(&mut again, MOVED.as_bytes());
    reply(&mut net, &again);
    let progress = |fork, body| Event::Progress {
        session,
        status: StatusCode::SESSION_PROGRESS,
        fork: Some(Fork(fork)),
        body,
    };
    assert_eq!(net.events(CALLER), [progress(1, None)]);
    // That of another fork is not its answer.
    let mut other = response(&invite, 183, "fork", &[CONTACT]);
    with_sdp(&mut other, ANSWER);
    reply(&mut net, &other);
    assert_eq!(net.events(CALLER), [progress(2, Some(ANSWER.to_vec()))]);
}

#[test]
fn a_re_invite_while_it_rings_must_wait_whatever_was_agreed_on() {
    let (mut net, _, invite) = agreed();
    request(&mut net, &invite, "INVITE", "phone", 1);
    assert_eq!(answered(&mut net).unwrap().status.code(), 491);
    assert_eq!(net.events(CALLER), []);
}
