//! Transfers (RFC 3515, RFC 3891).

use super::help::{ANSWER, CALLEE, CALLER, assert_empty, good, invite, lose, ring, seconds, up};
use super::hostile::{InDialog, answer};
use super::limits::small;
use crate::{
    ReferTo, Replaces, StatusCode,
    endpoint::{Error, Event, Limits, Referral, Session, Transport},
    testing::{Conditions, Net, address},
};

const ELSEWHERE: &str = "sip:carol@192.0.2.9";

fn refer(net: &mut Net, side: usize, session: Session, referral: &Referral) {
    let now = net.now;
    let sent = net.endpoints[side].refer(now, session, referral);
    assert_eq!(sent, Ok(()));
}

fn elsewhere() -> Referral {
    Referral::To(ELSEWHERE.parse().unwrap())
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}

/// The other side takes it, and says these.
fn take(net: &mut Net, side: usize, session: Session, said: &[u16]) {
    let now = net.now;
    net.endpoints[side].answer_refer(now, session, StatusCode::ACCEPTED);
    for code in said {
        net.endpoints[side].notify(now, session, status(*code));
    }
}

fn progress(session: Session, codes: &[u16]) -> Vec<Event> {
    let event = |code: &u16| Event::ReferProgress {
        session,
        status: status(*code),
        last: *code >= 200,
    };
    codes.iter().map(event).collect()
}

#[test]
fn either_side_is_asked_to_call_somebody_else_and_says_how_far_it_is() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut net = good();
        let (caller, callee) = up(&mut net, transport);
        for (asks, its, does, other) in [
            (CALLER, caller, CALLEE, callee),
            (CALLEE, callee, CALLER, caller),
        ] {
            refer(&mut net, asks, its, &elsewhere());
            let event = net.run_to_event(does, seconds(1));
            let to: ReferTo = ELSEWHERE.parse().unwrap();
            assert_eq!(event, Some(Event::Referred { session: other, to }));
            take(&mut net, does, other, &[180, 200]);
            net.run(seconds(2));
            let mut events = net.events(asks);
            // The first NOTIFY may come before the 202.
            events.sort_by_key(|event| matches!(event, Event::ReferProgress { .. }));
            let taken = Event::ReferAnswered {
                session: its,
                status: Some(StatusCode::ACCEPTED),
            };
            assert_eq!(events.remove(0), taken);
            assert_eq!(events, progress(its, &[100, 180, 200]));
            assert_eq!(net.events(does), []);
        }
        assert!(net.endpoints[CALLER].is_up(caller) && net.endpoints[CALLEE].is_up(callee));
        let now = net.now;
        net.endpoints[CALLER].bye(now, caller, None);
        assert_empty(&mut net);
    }
}

#[test]
fn a_hang_up_waits_until_they_know_how_it_went() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    refer(&mut net, CALLER, caller, &elsewhere());
    net.run_to_event(CALLEE, seconds(1));
    take(&mut net, CALLEE, callee, &[180, 200]);
    let now = net.now;
    net.endpoints[CALLEE].bye(now, callee, None);
    // Asked twice, it is not sent twice.
    net.endpoints[CALLEE].bye(now, callee, None);
    net.run(seconds(2));
    let events = net.events(CALLER);
    let ended = events
        .iter()
        .position(|event| matches!(event, Event::Ended { .. }));
    let told = |event: &Event| progress(caller, &[200]).contains(event);
    let told = events.iter().position(told);
    assert!(told.is_some() && told < ended, "{events:?}");
    assert_eq!(net.count_sent(CALLEE, "BYE"), 1);
    assert_empty(&mut net);
}

#[test]
fn where_nothing_more_can_be_said_a_hang_up_that_waits_for_it_goes() {
    // The NOTIFY that is on its way, or just answered, is all that may be.
    let mut net = small(Limits {
        client_transactions: 1,
        ..Limits::default()
    });
    let (caller, callee) = up(&mut net, Transport::Udp);
    // The INVITE's own is gone by then.
    net.run(seconds(40));
    refer(&mut net, CALLER, caller, &elsewhere());
    net.run_to_event(CALLEE, seconds(1));
    take(&mut net, CALLEE, callee, &[180, 200]);
    let now = net.now;
    net.endpoints[CALLEE].bye(now, callee, None);
    assert_eq!(net.count_sent(CALLEE, "BYE"), 0);
    net.run(seconds(1));
    assert_eq!(net.count_sent(CALLEE, "BYE"), 1);
    assert_empty(&mut net);
}

#[test]
fn one_that_waits_for_its_answer_when_the_call_ends_is_answered() {
    for ends in [CALLER, CALLEE] {
        let mut net = good();
        let (caller, callee) = up(&mut net, Transport::Udp);
        refer(&mut net, CALLER, caller, &elsewhere());
        net.run_to_event(CALLEE, seconds(1));
        let (now, session) = (net.now, [caller, callee][ends]);
        net.endpoints[ends].bye(now, session, None);
        net.run(seconds(1));
        assert_eq!(net.count_sent(CALLEE, "SIP/2.0 487"), 1);
        assert_empty(&mut net);
    }
}

#[test]
fn one_that_is_refused_leaves_the_call_and_another_may_follow() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    for code in [603, 403, 501] {
        refer(&mut net, CALLER, caller, &elsewhere());
        let now = net.now;
        let second = net.endpoints[CALLER].refer(now, caller, &elsewhere());
        assert_eq!(second, Err(Error::Overloaded { limit: 1 }));
        net.run_to_event(CALLEE, seconds(1));
        let now = net.now;
        net.endpoints[CALLEE].answer_refer(now, callee, status(code));
        net.run(seconds(1));
        let refused = Event::ReferAnswered {
            session: caller,
            status: Some(status(code)),
        };
        assert_eq!(net.events(CALLER), [refused]);
    }
    assert!(net.endpoints[CALLER].is_up(caller));
}

#[test]
fn word_of_it_comes_in_order_over_a_wire_that_loses_every_fifth_datagram() {
    for seed in 0..50 {
        let mut net = Net::pair(seed, Conditions::GOOD);
        let (caller, callee) = up(&mut net, Transport::Udp);
        net.set_conditions(Conditions::lossy(0.2));
        refer(&mut net, CALLER, caller, &elsewhere());
        while !matches!(
            net.run_to_event(CALLEE, seconds(40)),
            Some(Event::Referred { .. })
        ) {}
        take(&mut net, CALLEE, callee, &[180, 183, 486]);
        net.run(seconds(90));
        let told: Vec<_> = net
            .events(CALLER)
            .into_iter()
            .filter(|event| matches!(event, Event::ReferProgress { .. }))
            .collect();
        assert_eq!(told, progress(caller, &[100, 180, 183, 486]), "seed {seed}");
        let now = net.now;
        net.endpoints[CALLER].bye(now, caller, None);
        assert_empty(&mut net);
    }
}

#[test]
fn one_that_they_never_speak_of_again_does_not_stand_in_the_way_of_the_next() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    for _ in 0..3 {
        refer(&mut net, CALLER, caller, &elsewhere());
        while !matches!(
            net.run_to_event(CALLEE, seconds(2)),
            Some(Event::Referred { .. })
        ) {}
        // They take it, and end their side of it without another word.
        take(&mut net, CALLEE, callee, &[200]);
        net.run(seconds(2));
        net.events(CALLER);
    }
    assert!(net.endpoints[CALLER].is_up(caller));
}

#[test]
fn one_that_nobody_answers_is_known_to_have_failed() {
    let mut net = good();
    let (caller, _) = up(&mut net, Transport::Udp);
    lose(&mut net, "REFER", 100);
    refer(&mut net, CALLER, caller, &elsewhere());
    net.run(seconds(40));
    let session = caller;
    let status = None;
    assert_eq!(
        net.events(CALLER),
        [Event::ReferAnswered { session, status }]
    );
    net.clear_filter();
    refer(&mut net, CALLER, caller, &elsewhere());
    let event = net.run_to_event(CALLEE, seconds(1));
    assert!(matches!(event, Some(Event::Referred { .. })));
}

#[test]
fn a_call_takes_the_place_of_another_that_is_up() {
    let mut net = good();
    let (first, first_there) = up(&mut net, Transport::Udp);
    let (second, second_there) = up(&mut net, Transport::Udp);
    refer(&mut net, CALLER, first, &Referral::Call(second));
    let Some(Event::Referred { to, .. }) = net.run_to_event(CALLEE, seconds(1)) else {
        panic!("no REFER");
    };
    let replaces = to.replaces.expect("a call to replace");
    assert_ne!(first_there, second_there);
    let call = |net: &mut Net, replaces: &Replaces| {
        let now = net.now;
        let mut invite = invite(Transport::Udp);
        invite.replaces = Some(replaces.clone());
        net.endpoints[CALLER].invite(now, invite).unwrap()
    };
    let third = call(&mut net, &replaces);
    let event = net.run_to_event(CALLEE, seconds(1));
    let Some(Event::Incoming {
        session,
        replaces: Some(place),
        ..
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(place, second_there);
    let now = net.now;
    net.endpoints[CALLEE].accept(now, session, ANSWER.to_vec());
    net.endpoints[CALLEE].bye(now, place, None);
    net.run(seconds(1));
    assert!(net.endpoints[CALLER].is_up(third) && !net.endpoints[CALLER].is_up(second));
    net.events(CALLER);
    // Of one that is over, that never was, or that is up and should not be, there is nothing to replace.
    let mut other = replaces.clone();
    other.from_tag.push('x');
    for replaces in [replaces.clone(), other] {
        let session = call(&mut net, &replaces);
        net.run(seconds(1));
        let events = net.events(CALLER);
        let [
            Event::Failed {
                session: failed,
                failure,
            },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(*failed, session);
        assert!(format!("{failure:?}").contains("481"), "{failure:?}");
    }
}

#[test]
fn one_that_must_not_have_been_answered_is_busy_when_it_was() {
    let mut net = good();
    let (first, _) = up(&mut net, Transport::Udp);
    let (second, _) = up(&mut net, Transport::Udp);
    refer(&mut net, CALLER, first, &Referral::Call(second));
    let Some(Event::Referred { to, .. }) = net.run_to_event(CALLEE, seconds(1)) else {
        panic!("no REFER");
    };
    let mut replaces = to.replaces.expect("a call to replace");
    replaces.early_only = true;
    let now = net.now;
    let mut invite = invite(Transport::Udp);
    invite.replaces = Some(replaces);
    net.endpoints[CALLER].invite(now, invite).unwrap();
    net.run(seconds(1));
    let events = net.events(CALLER);
    assert!(format!("{events:?}").contains("486"), "{events:?}");
}

#[test]
fn what_is_no_transfer_is_refused_and_changes_nothing() {
    for (method, headers, code) in [
        ("REFER", "", 400),
        ("REFER", "Refer-To: <http://example.com/>\r\n", 400),
        (
            "REFER",
            "Refer-To: <sip:a@b>\r\nRefer-To: <sip:c@d>\r\n",
            400,
        ),
        ("NOTIFY", "Event: presence\r\n", 489),
        (
            "NOTIFY",
            "Event: refer\r\nSubscription-State: active\r\n",
            481,
        ),
    ] {
        let mut net = good();
        let (_, callee) = up(&mut net, Transport::Udp);
        let mut asks = InDialog::of(&net, method);
        asks.more = headers.to_owned();
        let response = answer(&mut net, address(CALLER), &asks.bytes("asks")).unwrap();
        assert_eq!(response.status.code(), code, "{method} {headers}");
        assert!(net.endpoints[CALLEE].is_up(callee));
        assert_eq!(net.events(CALLEE), []);
    }
}

#[test]
fn before_the_answer_nobody_is_transferred() {
    let mut net = good();
    let (caller, _) = ring(&mut net, Transport::Udp);
    let now = net.now;
    let refused = net.endpoints[CALLER].refer(now, caller, &elsewhere());
    assert_eq!(refused, Err(Error::NotUp));
}
