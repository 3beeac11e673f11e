//! Session timers (RFC 4028) and reliable provisional responses (RFC 3262).

use super::by_hand::{find, phone, received, response};
use super::help::{ANSWER, CALLEE, CALLER, OFFER, assert_empty, good, invite, ring, seconds, up};
use super::hostile::{answer, ask};
use crate::{
    Message, Request, Response, StatusCode,
    endpoint::{EndedBy, Event, Session, Transport},
    testing::{Net, address},
};

/// An INVITE of the phone that the test plays, with these headers too.
fn invite_of_phone(extra: &str) -> Vec<u8> {
    let offer = String::from_utf8(OFFER.to_vec()).unwrap();
    format!(
        "INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bKhand{}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@192.0.2.50>;tag=hand\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: hand\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:alice@192.0.2.50:5060>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
        extra.len(),
        offer.len()
    )
    .into_bytes()
}

/// A request of the phone's in the dialog that `to` names.
fn in_dialog(method: &str, number: u32, to: &str, extra: &str) -> Vec<u8> {
    format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK{method}{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@192.0.2.50>;tag=hand\r\nTo: {to}\r\nCall-ID: hand\r\n\
         CSeq: {number} {method}\r\nContact: <sip:alice@192.0.2.50:5060>\r\n{extra}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// What the callee has answered the phone with, the last of that status.
fn last(net: &mut Net, status: u16) -> Option<Response> {
    let packets = net.elsewhere.drain(..).collect::<Vec<_>>();
    let messages = packets
        .iter()
        .filter_map(|packet| crate::parse_datagram(&packet.bytes).ok());
    let mut responses = messages.filter_map(|message| match message {
        Message::Response(response) if response.status.code() == status => Some(response),
        _ => None,
    });
    responses.next_back()
}

fn incoming(net: &mut Net) -> Session {
    match net.events(CALLEE)[..] {
        [Event::Incoming { session, .. }] => session,
        ref other => panic!("{other:?}"),
    }
}

/// The phone has called with these headers, and has been answered.
fn answered(net: &mut Net, extra: &str) -> (Session, Response) {
    net.inject(phone(), address(CALLEE), &invite_of_phone(extra));
    net.run(seconds(1) / 10);
    let session = incoming(net);
    let now = net.now;
    net.endpoints[CALLEE].accept(now, session, ANSWER.to_vec());
    net.run(seconds(1) / 10);
    let ok = last(net, 200).unwrap();
    let to = ok.headers.get("To").unwrap().to_owned();
    net.inject(phone(), address(CALLEE), &in_dialog("ACK", 1, &to, ""));
    net.run(seconds(1) / 10);
    net.events(CALLEE);
    (session, ok)
}

#[test]
fn an_interval_that_is_too_short_is_refused_with_the_shortest() {
    let mut net = good();
    let bytes = invite_of_phone("Supported: timer\r\nSession-Expires: 60\r\n");
    let refused = answer(&mut net, phone(), &bytes).unwrap();
    assert_eq!(refused.status.code(), 422);
    assert_eq!(refused.headers.get("Min-SE"), Some("90"));
    assert_eq!(net.events(CALLEE), []);
}

#[test]
fn a_caller_who_knows_no_timers_is_not_refused_for_a_proxys_interval() {
    let mut net = good();
    let (_, ok) = answered(&mut net, "Session-Expires: 60\r\n");
    let agreed = ok.headers.get("Session-Expires");
    assert_eq!(agreed, Some("90;refresher=uas"));
}

#[test]
fn a_caller_who_refreshes_is_answered_so_and_one_who_stops_is_hung_up_on() {
    let mut net = good();
    let extra = "Supported: timer\r\nx: 90\r\n";
    let (session, ok) = answered(&mut net, extra);
    let agreed = ok.headers.get("Session-Expires");
    assert_eq!(agreed, Some("90;refresher=uac"));
    assert_eq!(ok.headers.require(), ["timer"]);
    let to = ok.headers.get("To").unwrap().to_owned();
    net.run(seconds(50));
    let refresh = in_dialog("UPDATE", 2, &to, extra);
    let refreshed = answer(&mut net, phone(), &refresh).unwrap();
    assert_eq!(refreshed.status.code(), 200);
    let again = refreshed.headers.get("Session-Expires");
    assert_eq!(again, Some("90;refresher=uac"));
    net.run(seconds(55));
    assert!(net.endpoints[CALLEE].is_up(session));
    net.run(seconds(10));
    assert!(!net.endpoints[CALLEE].is_up(session));
    assert!(find(&mut net, "BYE").is_some());
    assert_eq!(net.events(CALLEE), [], "the BYE is not answered yet");
    net.run(seconds(40));
    assert!(
        matches!(
            net.events(CALLEE)[..],
            [Event::Ended {
                by: EndedBy::Timeout,
                ..
            }]
        ),
        "{net:?}"
    );
}

#[test]
fn for_a_caller_who_knows_no_timers_we_refresh_what_a_proxy_asked_for() {
    let mut net = good();
    let (session, ok) = answered(&mut net, "Session-Expires: 100\r\n");
    let agreed = ok.headers.get("Session-Expires");
    assert_eq!(agreed, Some("100;refresher=uas"));
    assert!(ok.headers.require().is_empty());
    for round in 1..4 {
        net.run(seconds(52));
        let refresh = received(&mut net, "INVITE");
        assert_eq!(refresh.body, ANSWER, "the session as it is");
        let asked = refresh.headers.get("Session-Expires");
        assert_eq!(asked, Some("100;refresher=uac"));
        let mut agreed = response(
            &refresh,
            200,
            "",
            &[("Session-Expires", "100;refresher=uac")],
        );
        agreed
            .headers
            .set("Content-Type", "application/sdp")
            .unwrap();
        agreed.body = OFFER.to_vec();
        net.inject(phone(), address(CALLEE), &agreed.to_bytes());
        net.run(seconds(1) / 10);
        assert!(find(&mut net, "ACK").is_some(), "round {round}");
    }
    assert_eq!(net.events(CALLEE), [], "a refresh is no event");
    assert!(net.endpoints[CALLEE].is_up(session));
}

#[test]
fn the_shortest_interval_that_was_asked_of_us_is_named_in_every_refresh() {
    let mut net = good();
    answered(&mut net, "Session-Expires: 100\r\nMin-SE: 95\r\n");
    let asked = |request: &Request| {
        ["Session-Expires", "Min-SE"].map(|name| request.headers.get(name).map(str::to_owned))
    };
    let says = |interval: &str, least: &str| [interval, least].map(|text| Some(text.to_owned()));
    net.run(seconds(52));
    let refresh = received(&mut net, "INVITE");
    assert_eq!(asked(&refresh), says("100;refresher=uac", "95"));
    let refused = response(&refresh, 422, "", &[("Min-SE", "300")]);
    net.inject(phone(), address(CALLEE), &refused.to_bytes());
    net.elsewhere.clear();
    net.run(seconds(1) / 10);
    let again = received(&mut net, "INVITE");
    assert_eq!(asked(&again), says("300;refresher=uac", "300"));
    let agreed = [("Session-Expires", "300;refresher=uac")];
    let agreed = response(&again, 200, "", &agreed);
    net.inject(phone(), address(CALLEE), &agreed.to_bytes());
    net.run(seconds(1) / 10);
    net.elsewhere.clear();
    net.run(seconds(152));
    let later = received(&mut net, "INVITE");
    assert_eq!(asked(&later), says("300;refresher=uac", "300"));
}

#[test]
fn a_refresh_that_is_refused_shows_that_somebody_is_there() {
    let mut net = good();
    let (session, _) = answered(&mut net, "Session-Expires: 100\r\n");
    for round in 1..4 {
        net.run(seconds(52));
        let refresh = received(&mut net, "INVITE");
        let refused = response(&refresh, 488, "", &[]);
        net.inject(phone(), address(CALLEE), &refused.to_bytes());
        net.run(seconds(1) / 10);
        // What had been sent again meanwhile.
        net.elsewhere.clear();
        assert!(net.endpoints[CALLEE].is_up(session), "round {round}");
    }
    assert_eq!(net.events(CALLEE), []);
}

#[test]
fn two_of_us_ask_for_no_timer() {
    let mut net = good();
    let (caller, _) = up(&mut net, Transport::Udp);
    let sent = net.log.len();
    net.run(seconds(4 * 3600));
    assert_eq!(net.log.len(), sent);
    assert!(net.endpoints[CALLER].is_up(caller));
}

/// The caller's INVITE at the phone that the test plays.
fn calls_phone(net: &mut Net) -> (Session, Request) {
    let mut invite = invite(Transport::Udp);
    invite.target.remote = phone();
    let now = net.now;
    let session = net.endpoints[CALLER].invite(now, invite).unwrap();
    net.run(seconds(1) / 10);
    (session, received(net, "INVITE"))
}

fn says(net: &mut Net, response: &Response) {
    net.inject(phone(), address(CALLER), &response.to_bytes());
    net.run(seconds(1) / 10);
}

#[test]
fn a_reliable_ringing_is_acknowledged_once_and_in_order() {
    let mut net = good();
    let (session, invite) = calls_phone(&mut net);
    assert_eq!(
        invite.headers.supported(),
        ["100rel", "timer", "replaces", "norefersub", "199"]
    );
    let contact = ("Contact", "<sip:bob@192.0.2.50:5060>");
    let reliable = |number: &'static str| [("Require", "100rel"), ("RSeq", number), contact];
    let ringing = response(&invite, 180, "phone", &reliable("7"));
    says(&mut net, &ringing);
    let prack = received(&mut net, "PRACK");
    let cseq = invite.headers.cseq().unwrap().number;
    let wanted = format!("7 {cseq} INVITE");
    assert_eq!(prack.headers.get("RAck"), Some(wanted.as_str()));
    says(&mut net, &response(&prack, 200, "", &[]));
    says(&mut net, &ringing);
    assert!(find(&mut net, "PRACK").is_none(), "it came again");
    says(&mut net, &response(&invite, 183, "phone", &reliable("9")));
    assert!(find(&mut net, "PRACK").is_none(), "8 is missing");
    says(&mut net, &response(&invite, 183, "phone", &reliable("8")));
    let second = received(&mut net, "PRACK");
    says(&mut net, &response(&second, 200, "", &[]));

    let mut ok = response(&invite, 200, "phone", &[contact]);
    ok.headers.set("Content-Type", "application/sdp").unwrap();
    ok.body = ANSWER.to_vec();
    says(&mut net, &ok);
    let now = net.now;
    net.endpoints[CALLER].bye(now, session, None);
    net.run(seconds(1) / 10);
    let bye = received(&mut net, "BYE");
    let number = |request: &Request| request.headers.cseq().unwrap().number;
    assert!(number(&bye) > number(&second), "numbers go on");
    says(&mut net, &response(&bye, 200, "", &[]));
    assert_empty(&mut net);
}

#[test]
fn a_caller_who_requires_it_gets_reliable_ringing_again_until_he_acknowledges() {
    let mut net = good();
    let bytes = invite_of_phone("Require: 100rel\r\n");
    net.inject(phone(), address(CALLEE), &bytes);
    net.run(seconds(1) / 10);
    let session = incoming(&mut net);
    let now = net.now;
    net.endpoints[CALLEE].ring(now, session, StatusCode::RINGING, None);
    net.run(seconds(4));
    assert_eq!(
        net.count_sent(CALLEE, "SIP/2.0 180"),
        4,
        "at 0, 0.5, 1.5 and 3.5 s"
    );
    let ringing = last(&mut net, 180).unwrap();
    assert_eq!(ringing.headers.require(), ["100rel"]);
    let number = ringing.headers.get("RSeq").unwrap();
    let to = ringing.headers.get("To").unwrap();
    let wrong = in_dialog("PRACK", 2, to, "RAck: 1 2 INVITE\r\n");
    assert_eq!(ask(&mut net, phone(), &wrong), Some(481));
    let right = in_dialog("PRACK", 3, to, &format!("RAck: {number} 1 INVITE\r\n"));
    assert_eq!(ask(&mut net, phone(), &right), Some(200));
    net.run(seconds(40));
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 180"), 4);
    let now = net.now;
    net.endpoints[CALLEE].accept(now, session, ANSWER.to_vec());
    net.run(seconds(1) / 10);
    assert!(last(&mut net, 200).is_some());
}

#[test]
fn an_acknowledgement_that_crosses_the_answer_is_taken() {
    let mut net = good();
    let bytes = invite_of_phone("Require: 100rel\r\n");
    net.inject(phone(), address(CALLEE), &bytes);
    net.run(seconds(1) / 10);
    let session = incoming(&mut net);
    let now = net.now;
    net.endpoints[CALLEE].ring(now, session, StatusCode::RINGING, None);
    net.run(seconds(1) / 10);
    let ringing = last(&mut net, 180).unwrap();
    let now = net.now;
    net.endpoints[CALLEE].accept(now, session, ANSWER.to_vec());
    let number = ringing.headers.get("RSeq").unwrap();
    let to = ringing.headers.get("To").unwrap();
    let late = format!("RAck: {number} 1 INVITE\r\n");
    let wrong = in_dialog("PRACK", 2, to, "RAck: 1 1 INVITE\r\n");
    assert_eq!(ask(&mut net, phone(), &wrong), Some(481));
    let right = in_dialog("PRACK", 3, to, &late);
    assert_eq!(ask(&mut net, phone(), &right), Some(200));
    let again = in_dialog("PRACK", 4, to, &late);
    assert_eq!(ask(&mut net, phone(), &again), Some(481), "once");
}

#[test]
fn a_caller_who_never_acknowledges_is_refused() {
    let mut net = good();
    let bytes = invite_of_phone("Require: 100rel\r\n");
    net.inject(phone(), address(CALLEE), &bytes);
    net.run(seconds(1) / 10);
    let session = incoming(&mut net);
    let now = net.now;
    net.endpoints[CALLEE].ring(now, session, StatusCode::RINGING, None);
    net.run(seconds(33));
    assert!(last(&mut net, 504).is_some());
    assert!(matches!(net.events(CALLEE)[..], [Event::Cancelled { .. }]));
    assert_empty(&mut net);
}

#[test]
fn a_caller_who_does_not_require_it_gets_plain_ringing() {
    let mut net = good();
    let (_, callee) = ring(&mut net, Transport::Udp);
    let now = net.now;
    net.endpoints[CALLEE].ring(now, callee, StatusCode::RINGING, None);
    net.run(seconds(10));
    assert_eq!(net.count_sent(CALLEE, "SIP/2.0 180"), 1);
    assert_eq!(net.count_sent(CALLER, "PRACK"), 0);
}
