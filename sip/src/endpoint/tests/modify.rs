//! Offers inside a call that is up (RFC 3261 §14, RFC 3311, RFC 3264 §4).

use std::net::SocketAddr;

use super::help::{ANSWER, CALLEE, CALLER, OFFER, assert_empty, good, lose, seconds, up};
use super::hostile::{InDialog, answer, ask};
use crate::{
    StatusCode,
    endpoint::{EndedBy, Error, Event, Session, Transport},
    testing::{Conditions, Net, address},
};

const HOLD: &[u8] = b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\na=sendonly\r\n";
const HELD: &[u8] = b"v=0\r\no=- 1 2 IN IP4 192.0.2.2\r\ns=-\r\na=recvonly\r\n";
const RESUME: &[u8] = b"v=0\r\no=- 1 3 IN IP4 192.0.2.1\r\ns=-\r\na=sendrecv\r\n";

fn offer(net: &mut Net, side: usize, session: Session, sdp: &[u8]) {
    let now = net.now;
    net.endpoints[side]
        .offer(now, session, sdp.to_vec())
        .unwrap();
}

fn reply(net: &mut Net, side: usize, session: Session, sdp: Result<&[u8], StatusCode>) {
    let now = net.now;
    net.endpoints[side].answer_offer(now, session, sdp.map(<[u8]>::to_vec));
}

fn offered(session: Session, body: &[u8]) -> Event {
    let body = (!body.is_empty()).then(|| body.to_vec());
    Event::Offer {
        session,
        fork: None,
        body,
    }
}

fn answered(session: Session, offer: &[u8], body: &[u8]) -> Event {
    Event::OfferAnswered {
        session,
        offer: offer.to_vec(),
        body: Some(body.to_vec()),
    }
}

#[test]
fn either_side_changes_the_session_and_the_other_answers() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut net = good();
        let (caller, callee) = up(&mut net, transport);
        for (asks, its, answers, other) in [
            (CALLER, caller, CALLEE, callee),
            (CALLEE, callee, CALLER, caller),
        ] {
            offer(&mut net, asks, its, HOLD);
            let event = net.run_to_event(answers, seconds(1));
            assert_eq!(event, Some(offered(other, HOLD)));
            reply(&mut net, answers, other, Ok(HELD));
            net.run(seconds(1));
            assert_eq!(net.events(asks), [answered(its, HOLD, HELD)]);
            assert_eq!(net.events(answers), []);
        }
        net.run(seconds(60));
        assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
        let now = net.now;
        net.endpoints[CALLER].bye(now, caller, None);
        assert_empty(&mut net);
    }
}

#[test]
fn a_change_that_is_refused_leaves_the_session_as_it_was() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    offer(&mut net, CALLER, caller, HOLD);
    net.run_to_event(CALLEE, seconds(1));
    let refused = StatusCode::NOT_ACCEPTABLE_HERE;
    reply(&mut net, CALLEE, callee, Err(refused));
    net.run(seconds(1));
    let session = caller;
    let (offer, status) = (HOLD.to_vec(), Some(refused));
    let refused = Event::OfferRefused {
        session,
        offer,
        status,
    };
    assert_eq!(net.events(CALLER), [refused]);
    // What is confirmed with the last answer is still the first session.
    let mut refresh = InDialog::of(&net, "INVITE");
    refresh.number += 1;
    refresh.body = String::from_utf8(OFFER.to_vec()).unwrap();
    let response = answer(&mut net, address(CALLER), &refresh.bytes("refresh")).unwrap();
    assert_eq!(
        (response.status.code(), response.body.as_slice()),
        (200, ANSWER)
    );
}

#[test]
fn two_offers_that_meet_both_get_their_turn() {
    for seed in 0..20 {
        let mut net = Net::pair(seed, Conditions::GOOD);
        let (caller, callee) = up(&mut net, Transport::Udp);
        offer(&mut net, CALLER, caller, HOLD);
        offer(&mut net, CALLEE, callee, RESUME);
        let mut done = [false, false];
        for _ in 0..100 {
            for (side, session, sdp) in [(CALLER, caller, RESUME), (CALLEE, callee, HELD)] {
                for event in net.events(side) {
                    match event {
                        Event::Offer { .. } => reply(&mut net, side, session, Ok(sdp)),
                        Event::OfferAnswered { .. } => done[side] = true,
                        other => panic!("{other:?}"),
                    }
                }
            }
            net.run(seconds(1) / 10);
        }
        assert_eq!(done, [true, true], "seed {seed} {net:?}");
        assert!(net.count_sent(CALLEE, "SIP/2.0 491") >= 1, "{net:?}");
        assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
    }
}

#[test]
fn of_several_offers_the_newest_follows_the_one_that_is_under_way() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    offer(&mut net, CALLER, caller, HOLD);
    offer(&mut net, CALLER, caller, RESUME);
    offer(&mut net, CALLER, caller, OFFER);
    assert_eq!(
        net.run_to_event(CALLEE, seconds(1)),
        Some(offered(callee, HOLD))
    );
    reply(&mut net, CALLEE, callee, Ok(HELD));
    assert_eq!(
        net.run_to_event(CALLEE, seconds(1)),
        Some(offered(callee, OFFER))
    );
    reply(&mut net, CALLEE, callee, Ok(ANSWER));
    net.run(seconds(1));
    // What was said to one that another had taken the place of already is no answer to that other.
    assert_eq!(net.events(CALLER), [answered(caller, OFFER, ANSWER)]);
}

#[test]
fn that_an_offer_is_not_taken_is_not_told_where_a_newer_one_waits() {
    for refuses in [true, false] {
        let mut net = good();
        let (caller, callee) = up(&mut net, Transport::Udp);
        offer(&mut net, CALLER, caller, HOLD);
        offer(&mut net, CALLER, caller, RESUME);
        net.run_to_event(CALLEE, seconds(1));
        if refuses {
            let refused = Err(StatusCode::NOT_ACCEPTABLE_HERE);
            reply(&mut net, CALLEE, callee, refused);
        } else {
            net.run(seconds(41));
            // What it was asked first is in its way no longer.
            reply(&mut net, CALLEE, callee, Ok(HELD));
        }
        net.run(seconds(5));
        let events = net.events(CALLER);
        let is_told =
            |event: &Event| matches!(event, Event::OfferRefused { offer, .. } if offer == HOLD);
        assert!(!events.iter().any(is_told), "{refuses}: {events:?}");
    }
}

#[test]
fn what_is_lost_of_a_change_comes_again() {
    for beginning in ["INVITE", "SIP/2.0 200", "ACK"] {
        let mut net = good();
        let (caller, callee) = up(&mut net, Transport::Udp);
        lose(&mut net, beginning, 2);
        offer(&mut net, CALLER, caller, HOLD);
        assert_eq!(
            net.run_to_event(CALLEE, seconds(5)),
            Some(offered(callee, HOLD)),
            "{beginning}"
        );
        reply(&mut net, CALLEE, callee, Ok(HELD));
        net.run(seconds(10));
        assert_eq!(
            net.events(CALLER),
            [answered(caller, HOLD, HELD)],
            "{beginning}"
        );
        net.run(seconds(40));
        assert!(
            net.endpoints[CALLEE].is_up(callee),
            "{beginning}: the ACK came"
        );
    }
}

#[test]
fn an_offer_that_nobody_answers_ends_the_call() {
    let mut net = good();
    let (caller, _) = up(&mut net, Transport::Udp);
    net.set_filter(|packet| packet.from != address(CALLEE));
    offer(&mut net, CALLER, caller, HOLD);
    net.run(seconds(70));
    assert!(
        matches!(
            net.events(CALLER)[..],
            [Event::Ended {
                by: EndedBy::Timeout,
                ..
            }]
        ),
        "{net:?}"
    );
}

#[test]
fn an_offer_that_is_only_said_to_be_worked_on_is_given_up_and_the_call_goes_on() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    offer(&mut net, CALLER, caller, HOLD);
    net.run(seconds(45));
    let session = caller;
    let (offer, status) = (HOLD.to_vec(), None);
    let refused = Event::OfferRefused {
        session,
        offer,
        status,
    };
    assert_eq!(net.events(CALLER), [refused]);
    assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
}

#[test]
fn a_hang_up_ends_an_offer_that_waits() {
    for (side, by) in [(CALLER, CALLEE), (CALLEE, CALLER)] {
        let mut net = good();
        let (caller, callee) = up(&mut net, Transport::Udp);
        offer(&mut net, CALLER, caller, HOLD);
        net.run_to_event(CALLEE, seconds(1));
        let now = net.now;
        let session = [caller, callee][side];
        net.endpoints[side].bye(now, session, None);
        net.run(seconds(1));
        assert!(
            net.events(by)
                .iter()
                .any(|event| matches!(event, Event::Ended { .. })),
            "{net:?}"
        );
        assert_eq!(net.count_sent(CALLEE, "SIP/2.0 487"), 1, "{net:?}");
        assert_empty(&mut net);
    }
}

#[test]
fn nothing_is_offered_before_the_call_is_up() {
    let mut net = good();
    let (caller, callee) = super::help::ring(&mut net, Transport::Udp);
    let now = net.now;
    for (side, session) in [(CALLER, caller), (CALLEE, callee)] {
        let wanted = net.endpoints[side].offer(now, session, HOLD.to_vec());
        assert_eq!(wanted, Err(Error::NotUp));
    }
}

#[test]
fn a_call_that_ends_while_its_offer_is_only_worked_on_leaves_nothing() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    offer(&mut net, CALLER, caller, HOLD);
    net.run_to_event(CALLEE, seconds(1));
    // The 487 that ends it never comes.
    net.set_filter(|packet| !packet.first_line().starts_with("SIP/2.0 487"));
    let now = net.now;
    net.endpoints[CALLEE].bye(now, callee, None);
    net.run(seconds(40));
    net.clear_filter();
    assert_empty(&mut net);
}

fn caller_address() -> SocketAddr {
    address(CALLER)
}

#[test]
fn a_re_invite_without_an_offer_is_answered_with_one() {
    let mut net = good();
    let (_, callee) = up(&mut net, Transport::Udp);
    let asks = InDialog::of(&net, "INVITE");
    ask(&mut net, caller_address(), &asks.bytes("offerless"));
    assert_eq!(net.events(CALLEE), [offered(callee, b"")]);
    reply(&mut net, CALLEE, callee, Ok(HELD));
    net.run(seconds(1) / 10);
    let mut ack = asks;
    ack.method = "ACK";
    ack.body = String::from_utf8(HOLD.to_vec()).unwrap();
    net.inject(caller_address(), address(CALLEE), &ack.bytes("its-ack"));
    net.run(seconds(1));
    let session = callee;
    let body = Some(HOLD.to_vec());
    assert_eq!(net.events(CALLEE), [Event::Confirmed { session, body }]);
}

#[test]
fn an_update_changes_the_session_in_one_exchange() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    let mut update = InDialog::of(&net, "UPDATE");
    update.body = String::from_utf8(HOLD.to_vec()).unwrap();
    ask(&mut net, caller_address(), &update.bytes("update"));
    assert_eq!(net.events(CALLEE), [offered(callee, HOLD)]);
    let before = net.log.len();
    reply(&mut net, CALLEE, callee, Ok(HELD));
    net.run(seconds(60));
    let sent = net.log.get(before..).unwrap();
    assert_eq!(sent.len(), 1, "one 200, and no wait for an ACK: {net:?}");
    assert!(sent[0].bytes.ends_with(HELD));
    update.number += 1;
    update.body.clear();
    assert_eq!(
        ask(&mut net, caller_address(), &update.bytes("refresh")),
        Some(200)
    );
    assert_eq!(net.events(CALLEE), []);
    assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
}

#[test]
fn while_an_offer_of_theirs_waits_another_is_told_to_try_again() {
    let mut net = good();
    let (_, callee) = up(&mut net, Transport::Udp);
    let mut update = InDialog::of(&net, "UPDATE");
    update.body = String::from_utf8(HOLD.to_vec()).unwrap();
    ask(&mut net, caller_address(), &update.bytes("first"));
    update.number += 1;
    let again = answer(&mut net, caller_address(), &update.bytes("second")).unwrap();
    assert_eq!(again.status.code(), 500);
    assert!(again.headers.contains("Retry-After"));
    assert_eq!(net.events(CALLEE), [offered(callee, HOLD)]);
}
