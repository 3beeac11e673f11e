//! Keys by INFO.

use std::time::Duration;

use super::help::{CALLEE, CALLER, assert_empty, good, lose, seconds, up};
use crate::{
    dtmf::DtmfInfo,
    endpoint::{EndedBy, Error, Event, Transport},
    testing::{Conditions, Net},
};

fn key(index: usize) -> DtmfInfo {
    let keys: Vec<char> = "0123456789*#ABCD".chars().collect();
    DtmfInfo {
        key: keys[index * 7 % 16],
        duration: Duration::from_millis(40 + (index as u64 * 13) % 200),
    }
}

#[test]
fn keys_go_both_ways_in_order() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut net = good();
        let (caller, callee) = up(&mut net, transport);
        for (from, session, to, other) in [
            (CALLER, caller, CALLEE, callee),
            (CALLEE, callee, CALLER, caller),
        ] {
            let now = net.now;
            for index in 0..16 {
                let queued = net.endpoints[from].info(now, session, key(index));
                assert_eq!(queued, Ok(()));
            }
            net.run(seconds(5));
            let expected: Vec<_> = (0..16)
                .map(|index| Event::Info {
                    session: other,
                    key: key(index),
                })
                .collect();
            assert_eq!(net.events(to), expected);
            assert_eq!(net.events(from), []);
        }
        let now = net.now;
        net.endpoints[CALLER].bye(now, caller, None);
        assert_empty(&mut net);
    }
}

#[test]
fn a_thousand_keys_cross_a_wire_that_loses_every_fifth_datagram() {
    let mut net = Net::pair(4, Conditions::lossy(0.2));
    let (caller, callee) = up(&mut net, Transport::Udp);
    let mut heard = Vec::new();
    for index in 0..1000 {
        let now = net.now;
        let queued = net.endpoints[CALLER].info(now, caller, key(index));
        assert_eq!(queued, Ok(()), "{index}");
        net.run(seconds(2));
        heard.extend(net.events(CALLEE));
    }
    net.run(seconds(60));
    heard.extend(net.events(CALLEE));
    let expected: Vec<_> = (0..1000)
        .map(|index| Event::Info {
            session: callee,
            key: key(index),
        })
        .collect();
    assert_eq!(heard.len(), expected.len());
    assert!(heard == expected, "in order, each with its length");
    assert_eq!(net.events(CALLER), []);
}

#[test]
fn the_queue_is_bounded_and_keys_need_a_call() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    lose(&mut net, "INFO", usize::MAX);
    let now = net.now;
    // One is on its way.
    for index in 0..33 {
        assert_eq!(net.endpoints[CALLER].info(now, caller, key(index)), Ok(()));
    }
    let full = net.endpoints[CALLER].info(now, caller, key(33));
    assert!(matches!(full, Err(Error::Overloaded { .. })), "{full:?}");
    net.run(seconds(40));
    let failed = Event::InfoFailed {
        session: caller,
        status: None,
    };
    assert_eq!(net.events(CALLER), [failed]);
    assert!(net.endpoints[CALLER].is_up(caller));
    let now = net.now;
    net.endpoints[CALLER].bye(now, caller, None);
    net.run(seconds(1));
    let gone = net.endpoints[CALLER].info(now, caller, key(0));
    assert_eq!(gone, Err(Error::NotUp));
    assert!(!net.endpoints[CALLEE].is_up(callee));
    assert_empty(&mut net);
}

#[test]
fn a_call_the_other_side_knows_nothing_of_is_ended() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    lose(&mut net, "BYE", 1000);
    let now = net.now;
    net.endpoints[CALLEE].bye(now, callee, None);
    net.run(seconds(40));
    net.events(CALLEE);
    let now = net.now;
    net.endpoints[CALLER].info(now, caller, key(1)).unwrap();
    net.run(seconds(70));
    let events = net.events(CALLER);
    assert!(
        matches!(
            events[..],
            [
                Event::InfoFailed { .. },
                Event::Ended {
                    by: EndedBy::Timeout,
                    ..
                }
            ]
        ),
        "{events:?}"
    );
    assert_empty(&mut net);
}

#[test]
fn neither_events_nor_their_queue_show_digits() {
    let mut net = good();
    let (caller, callee) = up(&mut net, Transport::Udp);
    let event = Event::Info {
        session: callee,
        key: key(1),
    };
    assert!(!format!("{event:?}").contains('7'), "{event:?}");
    let now = net.now;
    net.endpoints[CALLER].info(now, caller, key(1)).unwrap();
    net.run(seconds(1));
    assert_eq!(net.events(CALLEE), [event]);
}
