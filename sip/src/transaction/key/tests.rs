use super::*;
use crate::transaction::samples::{parse_request, request_with_branch, response};

fn with_via(method: &str, via: &str) -> Request {
    parse_request(&[
        &format!("{method} sip:bob@192.0.2.2 SIP/2.0"),
        &format!("Via: {via}"),
        "Max-Forwards: 70",
        "From: <sip:alice@192.0.2.1>;tag=alice",
        "To: <sip:bob@192.0.2.2>",
        "Call-ID: call",
        &format!("CSeq: 7 {method}"),
    ])
}

fn key(method: &str, via: &str) -> ServerKey {
    ServerKey::of_request(&with_via(method, via)).unwrap()
}

const VIA: &str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone";

#[test]
fn a_response_matches_by_branch_and_method() {
    let invite = request_with_branch(Method::Invite, "z9hG4bKone");
    let cancel = request_with_branch(Method::Cancel, "z9hG4bKone");
    let other = request_with_branch(Method::Invite, "z9hG4bKtwo");
    let of_response = ClientKey::of_response(&response(&invite, 200));
    assert_eq!(of_response, ClientKey::of_request(&invite));
    assert_ne!(of_response, ClientKey::of_request(&cancel));
    assert_ne!(of_response, ClientKey::of_request(&other));
}

#[test]
fn a_request_with_the_cookie_matches_by_branch_sent_by_and_method() {
    assert_eq!(key("INVITE", VIA), key("INVITE", VIA));
    assert_eq!(key("INVITE", VIA), key("ACK", VIA));
    assert_ne!(key("INVITE", VIA), key("BYE", VIA));
    for other in [
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtwo",
        "SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bKone",
        "SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bKone",
    ] {
        assert_ne!(key("INVITE", VIA), key("INVITE", other), "{other}");
    }
}

#[test]
fn sent_by_is_compared_without_case_and_with_the_default_port() {
    let a = "SIP/2.0/UDP pc.example.com;branch=z9hG4bKone";
    let b = "SIP/2.0/UDP PC.Example.COM:5060;branch=z9hG4bKone";
    assert_eq!(key("INVITE", a), key("INVITE", b));
}

#[test]
fn a_cancel_names_the_invite_with_its_branch() {
    let cancel = with_via("CANCEL", VIA);
    assert_eq!(
        ServerKey::of_cancelled(&cancel).unwrap(),
        key("INVITE", VIA)
    );
    assert_ne!(ServerKey::of_request(&cancel).unwrap(), key("INVITE", VIA));
}

#[test]
fn without_the_cookie_it_is_matched_as_rfc_2543_did() {
    for via in [
        "SIP/2.0/UDP 192.0.2.1:5060",
        "SIP/2.0/UDP 192.0.2.1:5060;branch=1",
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK",
    ] {
        let invite = key("INVITE", via);
        assert!(matches!(invite, ServerKey::Rfc2543 { .. }));
        assert_eq!(invite, key("ACK", via));
        assert_ne!(invite, key("BYE", via));
        let stamped = format!("{via};received=192.0.2.1;rport=5060");
        assert_eq!(invite, key("INVITE", &stamped));
        assert_ne!(invite, key("INVITE", "SIP/2.0/UDP 192.0.2.1:5061"));
    }
}

#[test]
fn rfc_2543_matching_looks_at_every_identifying_header() {
    let original = with_via("INVITE", "SIP/2.0/UDP 192.0.2.1");
    let key = ServerKey::of_request(&original);
    for (name, value) in [
        ("From", "<sip:alice@192.0.2.1>;tag=other"),
        ("Call-ID", "other"),
        ("CSeq", "8 INVITE"),
    ] {
        let mut changed = original.clone();
        changed.headers.set(name, value).unwrap();
        assert_ne!(ServerKey::of_request(&changed), key, "{name}");
    }
    let mut changed = original;
    changed.uri = "sip:carol@192.0.2.2".parse().unwrap();
    assert_ne!(ServerKey::of_request(&changed), key);
}
