use super::*;
use crate::{Message, parse_datagram};

fn request(method: &str, more: &str) -> Request {
    let text = format!(
        "{method} sip:b@example.org SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:b@example.org>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n{more}\r\n"
    );
    match parse_datagram(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn refused(method: &str, more: &str) -> (u16, Option<String>) {
    let request = request(method, more);
    let rejection = admit(&request).expect_err("it must be refused");
    let response = rejection.respond(&request);
    assert_eq!(response.headers.get("CSeq"), request.headers.get("CSeq"));
    let more = rejection.headers.first();
    let shown =
        more.map(|(name, _)| format!("{name}: {}", response.headers.get(name).unwrap_or("")));
    (rejection.status.code(), shown)
}

#[test]
fn a_method_we_do_not_serve_gets_405_and_one_nobody_knows_501_both_with_allow() {
    let allow = Some(
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY".to_owned(),
    );
    assert_eq!(refused("SUBSCRIBE", ""), (405, allow.clone()));
    assert_eq!(refused("invite", ""), (501, allow));
}

#[test]
fn what_is_required_and_missing_is_listed() {
    let unsupported = Some("Unsupported: a, b".to_owned());
    assert_eq!(
        refused("INVITE", "Require: a\r\nProxy-Require: b\r\n"),
        (420, unsupported)
    );
    assert!(admit(&request("INVITE", "Supported: a\r\n")).is_ok());
}

/// Found by fuzzing: a list spelled out with spaces made the refusal longer than the request.
#[test]
fn of_a_great_many_that_are_required_some_are_listed() {
    let many = format!("Require: {}\r\n", vec!["a"; 100].join(",")).repeat(200);
    let long = format!("Require: {}\r\n", "x".repeat(8000));
    for more in [many, long.repeat(5)] {
        let request = request("OPTIONS", &more);
        let rejection = admit(&request).expect_err("it must be refused");
        assert_eq!(rejection.status.code(), 420);
        let bytes = rejection.respond(&request).to_bytes();
        assert!(bytes.len() < 1300, "{}", bytes.len());
        assert!(parse_datagram(&bytes).is_ok());
    }
    let twice = Some("Unsupported: a, b".to_owned());
    assert_eq!(refused("INVITE", "Require: a,b,A\r\n"), (420, twice));
}

#[test]
fn an_ack_and_a_cancel_are_not_refused_for_what_they_require() {
    for method in ["ACK", "CANCEL"] {
        assert!(admit(&request(method, "Require: a\r\nMax-Forwards: 0\r\n")).is_ok());
    }
}

#[test]
fn a_body_we_cannot_read_gets_415_with_accept_but_not_in_a_bye() {
    let bad = "Content-Type: text/plain\r\n\r\nabc";
    assert_eq!(
        refused("INVITE", bad),
        (415, Some("Accept: application/sdp".to_owned()))
    );
    assert!(admit(&request("BYE", bad)).is_ok());
    assert!(
        admit(&request(
            "INVITE",
            "Content-Type: Application/SDP;charset=x\r\n\r\nv=0"
        ))
        .is_ok()
    );
    let encoded = "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n\r\nabc";
    assert_eq!(
        refused("INVITE", encoded),
        (415, Some("Accept-Encoding: identity".to_owned()))
    );
}

#[test]
fn checks_come_in_the_order_of_the_rfc() {
    let everything =
        "Require: a\r\nMax-Forwards: 0\r\nAccept: x/y\r\nContent-Type: text/plain\r\n\r\nabc";
    assert_eq!(refused("SUBSCRIBE", everything).0, 405);
    assert_eq!(refused("INVITE", everything).0, 483);
    let later = everything.replace("Forwards: 0", "Forwards: 1");
    assert_eq!(refused("INVITE", &later).0, 420);
    let later = later.replace("Require: a", "Supported: a");
    assert_eq!(refused("INVITE", &later).0, 415);
    assert_eq!(refused("INVITE", "Accept: x/y\r\n").0, 406);
    assert_eq!(refused("INVITE", "Accept:\r\n").0, 406);
    assert!(admit(&request("INVITE", "Accept: application/*\r\n")).is_ok());
}
