//! What the tests of the endpoint share.

use std::time::Duration;

use crate::{
    Uri,
    endpoint::{Event, Flow, Invite, Load, Session, Transport},
    testing::{Conditions, Net, address},
};

pub(super) const CALLER: usize = 0;
pub(super) const CALLEE: usize = 1;
pub(super) const OFFER: &[u8] =
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n";
pub(super) const ANSWER: &[u8] =
    b"v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nm=audio 5000 RTP/AVP 0\r\n";

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn good() -> Net {
    Net::pair(1, Conditions::GOOD)
}

pub(super) fn invite(transport: Transport) -> Invite {
    Invite {
        to: "sip:bob@192.0.2.2:5060".parse::<Uri>().unwrap(),
        target: Flow {
            transport,
            remote: address(CALLEE),
        },
        account: None,
        from_user: "alice".to_owned(),
        from_display: None,
        body: OFFER.to_vec(),
        replaces: None,
        headers: Vec::new(),
        ring_timeout: seconds(60),
    }
}

/// Starts a call; the sessions of caller and callee.
pub(super) fn ring(net: &mut Net, transport: Transport) -> (Session, Session) {
    let now = net.now;
    let caller = net.endpoints[CALLER]
        .invite(now, invite(transport))
        .unwrap();
    match net.run_to_event(CALLEE, seconds(1)) {
        Some(Event::Incoming { session, .. }) => (caller, session),
        other => panic!("{other:?}\n{net:?}"),
    }
}

/// A call that is up; no events are left.
pub(super) fn up(net: &mut Net, transport: Transport) -> (Session, Session) {
    let (caller, callee) = ring(net, transport);
    let now = net.now;
    net.endpoints[CALLEE].accept(now, callee, ANSWER.to_vec());
    net.run(seconds(1));
    net.events(CALLER);
    net.events(CALLEE);
    assert!(net.endpoints[CALLER].is_up(caller), "{net:?}");
    assert!(net.endpoints[CALLEE].is_up(callee), "{net:?}");
    (caller, callee)
}

/// After two minutes nothing may be left of calls that have ended.
pub(super) fn assert_empty(net: &mut Net) {
    net.run(seconds(120));
    for endpoint in &net.endpoints {
        assert_eq!(endpoint.load(), Load::default(), "{net:?}");
        assert_eq!(endpoint.poll_timeout(), None, "{net:?}");
    }
}

/// Lets exactly the packets pass whose first line does not begin like this, until `count` have been lost.
pub(super) fn lose(net: &mut Net, beginning: &'static str, count: usize) {
    let mut lost = 0;
    net.set_filter(move |packet| {
        let hit = lost < count && packet.first_line().starts_with(beginning);
        lost += usize::from(hit);
        !hit
    });
}
