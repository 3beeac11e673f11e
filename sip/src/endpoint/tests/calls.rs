//! Whole calls over a network that loses nothing.

use super::help::{
    ANSWER, CALLEE, CALLER, OFFER, assert_empty, good, invite, lose, ring, seconds, up,
};
use crate::{
    ReasonHeader, StatusCode,
    endpoint::{EndedBy, Event, Failure, Fork, Transport},
};

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

#[test]
fn a_call_rings_is_answered_and_ended_by_the_caller() {
    for transport in BOTH {
        let mut net = good();
        let (caller, callee) = ring(&mut net, transport);
        let now = net.now;
        net.endpoints[CALLEE].ring(now, callee, StatusCode::RINGING, None);
        net.run(seconds(3));
        let now = net.now;
        net.endpoints[CALLEE].accept(now, callee, ANSWER.to_vec());
        net.run(seconds(3));
        let events = net.events(CALLER);
        let expected = [
            Event::Progress {
                session: caller,
                status: StatusCode::TRYING,
                fork: None,
                body: None,
            },
            Event::Progress {
                session: caller,
                status: StatusCode::RINGING,
                fork: Some(Fork(1)),
                body: None,
            },
            Event::Answered {
                session: caller,
                fork: Some(Fork(1)),
                body: Some(ANSWER.to_vec()),
            },
        ];
        assert_eq!(events, expected, "{net:?}");
        let confirmed = Event::Confirmed {
            session: callee,
            body: None,
        };
        assert_eq!(net.events(CALLEE), [confirmed]);
        let reason = ReasonHeader::q850(16, "Normal call clearing");
        let now = net.now;
        net.endpoints[CALLER].bye(now, caller, Some(reason.clone()));
        net.run(seconds(1));
        let ended = |session, by| Event::Ended {
            session,
            reason: Some(reason.clone()),
            by,
        };
        assert_eq!(net.events(CALLER), [ended(caller, EndedBy::Local)]);
        assert_eq!(net.events(CALLEE), [ended(callee, EndedBy::Remote)]);
        assert_empty(&mut net);
    }
}

#[test]
fn the_callee_ends_a_call() {
    for transport in BOTH {
        let mut net = good();
        let (_, callee) = up(&mut net, transport);
        let now = net.now;
        net.endpoints[CALLEE].bye(now, callee, None);
        net.run(seconds(1));
        let ended = net.events(CALLER);
        assert!(
            matches!(
                ended[..],
                [Event::Ended {
                    by: EndedBy::Remote,
                    ..
                }]
            ),
            "{net:?}"
        );
        assert_empty(&mut net);
    }
}

#[test]
fn the_offer_reaches_the_callee() {
    let mut net = good();
    let now = net.now;
    let invite = super::help::invite(Transport::Udp);
    net.endpoints[CALLER].invite(now, invite).unwrap();
    let Some(Event::Incoming { request, flow, .. }) = net.run_to_event(CALLEE, seconds(1)) else {
        panic!("{net:?}");
    };
    assert_eq!(request.body, OFFER);
    assert_eq!(flow.remote, crate::testing::address(CALLER));
    assert_eq!(request.headers.get("Content-Type"), Some("application/sdp"));
    assert_eq!(
        request.headers.supported(),
        ["100rel", "timer", "replaces", "norefersub", "199"]
    );
}

#[test]
fn a_rejection_reaches_the_caller_with_its_reason() {
    for transport in BOTH {
        let mut net = good();
        let (caller, callee) = ring(&mut net, transport);
        let now = net.now;
        let reason = ReasonHeader::q850(17, "User busy");
        net.endpoints[CALLEE].reject(now, callee, StatusCode::BUSY_HERE, Some(reason.clone()));
        net.run(seconds(1));
        let failed = Event::Failed {
            session: caller,
            failure: Failure::Status {
                status: StatusCode::BUSY_HERE,
                reason: "Busy Here".to_owned(),
                reason_header: Some(reason),
                retry_after: None,
                contacts: Vec::new(),
            },
        };
        assert_eq!(net.events(CALLER).last(), Some(&failed));
        assert_eq!(net.events(CALLEE), []);
        assert_empty(&mut net);
    }
}

#[test]
fn a_cancelled_call_ends_on_both_sides_at_once() {
    for transport in BOTH {
        let mut net = good();
        let (caller, callee) = ring(&mut net, transport);
        let now = net.now;
        net.endpoints[CALLEE].ring(now, callee, StatusCode::RINGING, None);
        net.run(seconds(1));
        let now = net.now;
        let reason = ReasonHeader::q850(16, "Caller hung up");
        net.endpoints[CALLER].cancel(now, caller, Some(reason.clone()));
        net.run(seconds(1));
        let failed = Event::Failed {
            session: caller,
            failure: Failure::Cancelled,
        };
        assert_eq!(net.events(CALLER).last(), Some(&failed), "{net:?}");
        let cancelled = Event::Cancelled {
            session: callee,
            reason: Some(reason),
        };
        assert_eq!(net.events(CALLEE), [cancelled]);
        assert_empty(&mut net);
    }
}

#[test]
fn a_peer_that_wants_a_name_sees_one_where_it_answers_to() {
    let mut config = crate::testing::config(1, CALLER);
    config.name = Some("sbc.example.com".to_owned());
    let configs = vec![config, crate::testing::config(1, CALLEE)];
    let mut net = crate::testing::Net::new(1, crate::testing::Conditions::GOOD, configs);
    let now = net.now;
    net.endpoints[CALLER]
        .invite(now, invite(Transport::Udp))
        .unwrap();
    let event = net.run_to_event(CALLEE, seconds(1));
    let Some(Event::Incoming { request, .. }) = event else {
        panic!("{event:?}");
    };
    let contact = request.headers.contacts().unwrap().remove(0).uri;
    assert_eq!(contact.to_string(), "sip:alice@sbc.example.com:5060");
    let from = request.headers.from().unwrap().uri;
    assert_eq!(from.host.to_string(), "sbc.example.com");
    let via = request.headers.get("Via").unwrap();
    assert!(
        via.contains("192.0.2.1"),
        "answers come back to where we are: {via}"
    );
}

#[test]
fn an_options_is_answered_or_known_not_to_be() {
    let mut net = good();
    let (now, to) = (net.now, invite(Transport::Udp).target);
    let uri = "sip:192.0.2.2".parse().unwrap();
    let probe = net.endpoints[CALLER].probe(now, &uri, to).unwrap();
    net.run(seconds(1));
    let answer = net.endpoints[CALLER].poll_probe_answer();
    assert_eq!(answer, Some((probe, Some(StatusCode::OK))));
    lose(&mut net, "OPTIONS", 100);
    let now = net.now;
    let probe = net.endpoints[CALLER].probe(now, &uri, to).unwrap();
    net.run(seconds(40));
    let answer = net.endpoints[CALLER].poll_probe_answer();
    assert_eq!(answer, Some((probe, None)));
    assert_empty(&mut net);
}
