//! Accounts: challenges answered, registrations kept. The registrar and proxy are played by hand.

use super::{
    by_hand::{phone, received, reply, response},
    help::{ANSWER, CALLER, assert_empty, good, invite, seconds},
};
use crate::{
    Request, StatusCode, Uri,
    digest::{Credentials, Password, Unanswerable},
    endpoint::{
        Account, AccountConfig, Event, Failure, Flow, Register, RegistrationEvent, Session,
        Transport,
    },
    testing::{Net, address},
};

const PROXY_CHALLENGE: (&str, &str) = (
    "Proxy-Authenticate",
    "Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"",
);
const CHALLENGE: (&str, &str) = (
    "WWW-Authenticate",
    "Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"",
);

fn account(net: &mut Net) -> Account {
    account_for(net, false)
}

/// One that tells who is behind its proxy, too, or not.
fn account_for(net: &mut Net, behind_proxy: bool) -> Account {
    net.endpoints[CALLER].add_account(AccountConfig {
        identity: "sip:4930@carrier.example".parse().unwrap(),
        credentials: Some(Credentials {
            username: "4930".to_owned(),
            password: Password::new("secret"),
            realm: Some("carrier".to_owned()),
            behind_proxy,
        }),
    })
}

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        remote: phone(),
    }
}

fn call(net: &mut Net, account: Option<Account>) -> (Session, Request) {
    let invite = crate::endpoint::Invite {
        account,
        target: flow(),
        ..invite(Transport::Udp)
    };
    let now = net.now;
    let session = net.endpoints[CALLER].invite(now, invite).unwrap();
    net.run(seconds(1) / 10);
    (session, received(net, "INVITE"))
}

fn register(net: &mut Net, account: Account, expires: u64) -> Request {
    let register = Register {
        registrar: "sip:carrier.example".parse::<Uri>().unwrap(),
        target: flow(),
        expires: seconds(expires),
    };
    let now = net.now;
    let started = net.endpoints[CALLER].register(now, account, register);
    assert_eq!(started, Ok(()));
    net.run(seconds(1) / 10);
    received(net, "REGISTER")
}

fn outcome(net: &mut Net) -> Option<RegistrationEvent> {
    net.endpoints[CALLER].poll_registration_event()
}

#[test]
fn a_challenged_invite_goes_again_with_credentials_as_the_same_call() {
    let mut net = good();
    let account = account(&mut net);
    let (session, first) = call(&mut net, Some(account));
    assert!(!first.headers.contains("Proxy-Authorization"));
    assert_eq!(
        first.headers.from().unwrap().uri.to_string(),
        "sip:4930@carrier.example"
    );
    reply(&mut net, &response(&first, 407, "p", &[PROXY_CHALLENGE]));
    received(&mut net, "ACK");
    let second = received(&mut net, "INVITE");
    let answer = second.headers.get("Proxy-Authorization").unwrap();
    assert!(answer.starts_with("Digest username=\"4930\", realm=\"carrier\", nonce=\"n1\""));
    assert!(answer.contains("uri=\"sip:bob@192.0.2.2:5060\"") && answer.contains("nc=00000001"));
    let number = |request: &Request| request.headers.cseq().unwrap().number;
    assert_eq!(number(&second), number(&first) + 1);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(second.headers.get("From"), first.headers.get("From"));
    assert_eq!(second.body, first.body);
    assert_ne!(
        second.headers.top_via().unwrap().branch(),
        first.headers.top_via().unwrap().branch()
    );
    let contact = ("Contact", "<sip:bob@192.0.2.50:5060>");
    reply(&mut net, &response(&second, 200, "b", &[contact]));
    let answered = Event::Answered {
        session,
        fork: None,
        body: Some(ANSWER.to_vec()),
    };
    assert_eq!(net.events(CALLER), [answered]);
    let ack = received(&mut net, "ACK");
    assert_eq!(number(&ack), number(&second));
    assert!(!ack.headers.contains("Proxy-Authorization"));
    let now = net.now;
    net.endpoints[CALLER].bye(now, session, None);
    net.run(seconds(1) / 10);
    let bye = received(&mut net, "BYE");
    // Whoever asks inside the dialog may be the one who was called.
    reply(&mut net, &response(&bye, 407, "b", &[PROXY_CHALLENGE]));
    net.run(seconds(1));
    assert!(net.elsewhere.is_empty());
    net.events(CALLER);
    assert_empty(&mut net);
}

#[test]
fn the_next_call_brings_its_credentials_along() {
    let mut net = good();
    let account = account(&mut net);
    let (session, first) = call(&mut net, Some(account));
    reply(&mut net, &response(&first, 407, "p", &[PROXY_CHALLENGE]));
    let second = received(&mut net, "INVITE");
    reply(&mut net, &response(&second, 486, "b", &[]));
    assert!(matches!(net.events(CALLER)[..], [Event::Failed { session: s, .. }] if s == session));
    let (_, third) = call(&mut net, Some(account));
    let answer = third.headers.get("Proxy-Authorization").unwrap();
    assert!(answer.contains("nc=00000002"), "{answer}");
}

#[test]
fn refused_credentials_end_the_call_in_words() {
    let mut net = good();
    let account = account(&mut net);
    let (session, first) = call(&mut net, Some(account));
    reply(&mut net, &response(&first, 407, "p", &[PROXY_CHALLENGE]));
    let second = received(&mut net, "INVITE");
    reply(&mut net, &response(&second, 407, "p", &[PROXY_CHALLENGE]));
    let failure = Failure::Unauthorized(Unanswerable::Refused);
    assert_eq!(net.events(CALLER), [Event::Failed { session, failure }]);
    assert_empty(&mut net);
}

#[test]
fn a_proxy_and_the_server_behind_it_are_both_told_in_one_invite_where_that_is_wanted() {
    let mut net = good();
    let account = account_for(&mut net, true);
    let (_, first) = call(&mut net, Some(account));
    reply(&mut net, &response(&first, 407, "p", &[PROXY_CHALLENGE]));
    let second = received(&mut net, "INVITE");
    reply(&mut net, &response(&second, 401, "b", &[CHALLENGE]));
    let third = received(&mut net, "INVITE");
    let proxy = third.headers.get("Proxy-Authorization").unwrap();
    assert!(proxy.contains("nc=00000002"), "{proxy}");
    let server = third.headers.get("Authorization").unwrap();
    assert!(server.contains("nc=00000001"), "{server}");
    reply(&mut net, &response(&third, 401, "b", &[CHALLENGE]));
    assert_eq!(unauthorized(&mut net), Unanswerable::Refused);
    // The next call is another's to ask: it carries what the proxy wants alone.
    let (_, next) = call(&mut net, Some(account));
    assert!(next.headers.contains("Proxy-Authorization"));
    assert!(!next.headers.contains("Authorization"));
    // Without qop there is nothing of ours in what is told.
    let bare = "Digest realm=\"carrier\", nonce=\"n1\"";
    let bare = [("WWW-Authenticate", bare)];
    reply(&mut net, &response(&next, 401, "b", &bare));
    let why = unauthorized(&mut net);
    assert!(matches!(why, Unanswerable::Unsupported(_)), "{why}");
}

/// Why the call failed.
fn unauthorized(net: &mut Net) -> Unanswerable {
    let events = net.events(CALLER);
    match &events[..] {
        [
            Event::Failed {
                failure: Failure::Unauthorized(why),
                ..
            },
        ] => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_behind_one_that_was_told_is_told_nothing() {
    let (proxy, server) = ((407, PROXY_CHALLENGE), (401, CHALLENGE));
    for (first, behind, told) in [(proxy, server, "a proxy"), (server, proxy, "a server")] {
        let mut net = good();
        let account = account(&mut net);
        let (_, invite) = call(&mut net, Some(account));
        reply(&mut net, &response(&invite, first.0, "p", &[first.1]));
        received(&mut net, "ACK");
        let second = received(&mut net, "INVITE");
        reply(&mut net, &response(&second, behind.0, "b", &[behind.1]));
        received(&mut net, "ACK");
        assert!(net.elsewhere.is_empty(), "{told}: it is not sent again");
        let why = unauthorized(&mut net);
        assert_eq!(why, Unanswerable::Behind { told });
        assert!(why.to_string().contains("set [trunk] auth_behind_proxy"));
        // What calls carry along is asked for anew, so that the nearest asks first.
        let (_, next) = call(&mut net, Some(account));
        let carried = ["Authorization", "Proxy-Authorization"];
        assert!(carried.iter().all(|name| !next.headers.contains(name)));
        reply(&mut net, &response(&next, behind.0, "p", &[behind.1]));
        received(&mut net, "INVITE");
    }
}

#[test]
fn a_call_that_was_given_up_answers_no_challenge() {
    let mut net = good();
    let account = account(&mut net);
    let (session, first) = call(&mut net, Some(account));
    let now = net.now;
    net.endpoints[CALLER].cancel(now, session, None);
    reply(&mut net, &response(&first, 407, "p", &[PROXY_CHALLENGE]));
    let failure = Failure::Cancelled;
    assert_eq!(net.events(CALLER), [Event::Failed { session, failure }]);
    received(&mut net, "ACK");
    assert!(net.elsewhere.is_empty());
    assert_empty(&mut net);
}

#[test]
fn a_challenge_from_elsewhere_or_to_no_account_is_not_answered() {
    for (elsewhere, with_account) in [(true, true), (false, false)] {
        let mut net = good();
        let account = account(&mut net);
        let (_, first) = call(&mut net, with_account.then_some(account));
        let challenge = response(&first, 407, "p", &[PROXY_CHALLENGE]);
        let from = match elsewhere {
            true => "198.51.100.7:5060".parse().unwrap(),
            false => phone(),
        };
        net.inject(from, address(CALLER), &challenge.to_bytes());
        net.run(seconds(1) / 10);
        assert!(matches!(
            &net.events(CALLER)[..],
            [Event::Failed { failure: Failure::Status { status, .. }, .. }]
                if *status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        ));
        received(&mut net, "ACK");
        assert!(net.elsewhere.is_empty());
    }
}

#[test]
fn a_registration_is_one_sequence_of_requests_and_renewed_without_a_challenge() {
    let mut net = good();
    let account = account(&mut net);
    let first = register(&mut net, account, 300);
    assert_eq!(first.uri.to_string(), "sip:carrier.example");
    assert_eq!(first.headers.expires(), Some(300));
    let contact = first.headers.contacts().unwrap()[0].uri.to_string();
    assert_eq!(contact, format!("sip:4930@{}", address(CALLER)));
    assert_eq!(outcome(&mut net), None);
    reply(&mut net, &response(&first, 401, "r", &[CHALLENGE]));
    let second = received(&mut net, "REGISTER");
    assert!(second.headers.contains("Authorization"));
    // Another device of the same account is bound too.
    let bindings = format!("<sip:4930@198.51.100.1:5060>;expires=9, <{contact}>;expires=120");
    reply(
        &mut net,
        &response(&second, 200, "r", &[("Contact", &bindings)]),
    );
    let registered = |seconds_granted| RegistrationEvent::Registered {
        account,
        expires: seconds(seconds_granted),
    };
    assert_eq!(outcome(&mut net), Some(registered(120)));

    let renewal = register(&mut net, account, 300);
    assert_eq!(renewal.headers.call_id(), first.headers.call_id());
    assert_eq!(
        renewal.headers.cseq().unwrap().number,
        first.headers.cseq().unwrap().number + 2
    );
    let answer = renewal.headers.get("Authorization").unwrap();
    assert!(answer.contains("nc=00000002"), "{answer}");
    let ran_out = "Digest realm=\"carrier\", nonce=\"n2\", qop=\"auth\", stale=true";
    let stale = response(&renewal, 401, "r", &[("WWW-Authenticate", ran_out)]);
    reply(&mut net, &stale);
    let again = received(&mut net, "REGISTER");
    let expires = ("Expires", "60");
    reply(&mut net, &response(&again, 200, "r", &[expires]));
    assert_eq!(outcome(&mut net), Some(registered(60)));

    let last = register(&mut net, account, 0);
    reply(&mut net, &response(&last, 200, "r", &[]));
    assert_eq!(outcome(&mut net), Some(registered(0)));
    assert_empty(&mut net);
}

#[test]
fn calls_take_the_way_that_the_registrar_named() {
    let mut net = good();
    let account = account(&mut net);
    let first = register(&mut net, account, 300);
    let route = ("Service-Route", "<sip:edge.carrier.example;lr>");
    reply(&mut net, &response(&first, 200, "r", &[route]));
    let (_, invite) = call(&mut net, Some(account));
    assert_eq!(invite.headers.get("Route"), Some(route.1));
}

#[test]
fn a_registrar_may_ask_for_a_longer_time_but_not_for_ever() {
    for (least, taken) in [("600", true), ("999999999", false), ("x", false)] {
        let mut net = good();
        let account = account(&mut net);
        let first = register(&mut net, account, 300);
        let brief = response(&first, 423, "r", &[("Min-Expires", least)]);
        reply(&mut net, &brief);
        if taken {
            let again = received(&mut net, "REGISTER");
            assert_eq!(again.headers.expires(), Some(600));
        } else {
            let failed = outcome(&mut net);
            assert!(
                matches!(failed, Some(RegistrationEvent::Failed { .. })),
                "{least}"
            );
        }
    }
}

#[test]
fn a_registrar_that_asks_and_asks_is_given_up() {
    let mut net = good();
    let account = account(&mut net);
    let mut request = register(&mut net, account, 300);
    for nonce in 0..3 {
        let stale = format!("Digest realm=\"carrier\", nonce=\"{nonce}\", stale=true");
        let challenge = response(&request, 401, "r", &[("WWW-Authenticate", &stale)]);
        reply(&mut net, &challenge);
        request = received(&mut net, "REGISTER");
    }
    reply(&mut net, &response(&request, 401, "r", &[CHALLENGE]));
    assert!(net.elsewhere.is_empty());
    let failed = outcome(&mut net);
    assert!(matches!(failed, Some(RegistrationEvent::Failed { .. })));
}

#[test]
fn a_registrar_that_is_silent_or_refuses_is_named() {
    let mut net = good();
    let account = account(&mut net);
    register(&mut net, account, 300);
    net.run(seconds(40));
    let failure = Failure::Timeout;
    let timeout = RegistrationEvent::Failed { account, failure };
    assert_eq!(outcome(&mut net), Some(timeout));
    net.elsewhere.clear();

    let request = register(&mut net, account, 300);
    reply(
        &mut net,
        &response(&request, 503, "r", &[("Retry-After", "77")]),
    );
    assert!(matches!(
        outcome(&mut net),
        Some(RegistrationEvent::Failed {
            failure: Failure::Status {
                retry_after: Some(77),
                ..
            },
            ..
        })
    ));
    net.run(seconds(40));
    assert_empty(&mut net);
}

#[test]
fn a_challenge_of_a_registration_from_elsewhere_is_not_answered() {
    let mut net = good();
    let account = account(&mut net);
    let request = register(&mut net, account, 300);
    let challenge = response(&request, 401, "r", &[CHALLENGE]);
    let stranger = "198.51.100.7:5060".parse().unwrap();
    net.inject(stranger, address(CALLER), &challenge.to_bytes());
    net.run(seconds(1) / 10);
    let failed = outcome(&mut net);
    assert!(matches!(
        failed,
        Some(RegistrationEvent::Failed { failure: Failure::Status { status, .. }, .. })
            if status == StatusCode::UNAUTHORIZED
    ));
    assert!(net.elsewhere.is_empty());
    // Nor was its realm taken for the account's.
    assert!(
        !register(&mut net, account, 300)
            .headers
            .contains("Authorization")
    );
}
