use super::*;
use crate::transaction::samples::{parse_request, parse_response, tcp, udp};

const CALLER: &str = "192.0.2.1:5060";
const CALLEE: &str = "192.0.2.2:5060";

fn invite(extra: &[&str]) -> Request {
    let mut lines = vec![
        "INVITE sip:bob@192.0.2.2 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone",
        "Max-Forwards: 70",
        "From: \"Alice\" <sip:alice@192.0.2.1>;tag=alice",
        "To: <sip:bob@192.0.2.2>",
        "Call-ID: call",
        "CSeq: 7 INVITE",
        "Contact: <sip:alice@192.0.2.1:5060>",
    ];
    lines.extend(extra);
    parse_request(&lines)
}

fn answer(status: u16, extra: &[&str]) -> Response {
    let first = format!("SIP/2.0 {status} X");
    let mut lines = vec![
        first.as_str(),
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone",
        "From: \"Alice\" <sip:alice@192.0.2.1>;tag=alice",
        "To: <sip:bob@192.0.2.2>;tag=bob",
        "Call-ID: call",
        "CSeq: 7 INVITE",
    ];
    lines.extend(extra);
    parse_response(&lines)
}

fn of_caller(extra: &[&str]) -> Dialog {
    let flow = udp(CALLEE);
    Dialog::of_caller(&invite(&[]), &answer(200, extra), flow, flow).unwrap()
}

fn of_callee(extra: &[&str]) -> Dialog {
    Dialog::of_callee(&invite(extra), "bob".to_owned(), udp(CALLER)).unwrap()
}

fn from_callee(method: &str, number: u32) -> Request {
    parse_request(&[
        &format!("{method} sip:alice@192.0.2.1 SIP/2.0"),
        "Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKtwo",
        "From: <sip:bob@192.0.2.2>;tag=bob",
        "To: <sip:alice@192.0.2.1>;tag=alice",
        "Call-ID: call",
        &format!("CSeq: {number} {method}"),
    ])
}

const CONTACT: &str = "Contact: <sip:bob@192.0.2.2:5070>";

#[test]
fn the_callers_requests_go_to_the_contact_with_the_tags_and_the_next_cseq() {
    let mut dialog = of_caller(&[CONTACT]);
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.2:5070");
    assert_eq!(bye.headers.get("CSeq"), Some("8 BYE"));
    assert_eq!(bye.headers.from().unwrap().tag(), Some("alice"));
    assert_eq!(bye.headers.to().unwrap().tag(), Some("bob"));
    assert_eq!(bye.headers.call_id(), Some("call"));
    assert_eq!(bye.headers.get("Max-Forwards"), Some("70"));
    let next = dialog.request(Method::Bye);
    assert_eq!(next.headers.get("CSeq"), Some("9 BYE"));
    assert_eq!(dialog.ack(7).headers.get("CSeq"), Some("7 ACK"));
}

#[test]
fn the_callees_requests_have_the_roles_exchanged_and_a_cseq_of_their_own() {
    let mut dialog = of_callee(&[]);
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:alice@192.0.2.1:5060");
    assert_eq!(bye.headers.get("CSeq"), Some("1 BYE"));
    assert_eq!(bye.headers.from().unwrap().tag(), Some("bob"));
    assert_eq!(bye.headers.to().unwrap().tag(), Some("alice"));
    assert_eq!(
        bye.headers.to().unwrap().display_name.as_deref(),
        Some("Alice")
    );
}

const ROUTES: [&str; 2] = [
    "Record-Route: <sip:192.0.2.8:5060;lr>",
    "Record-Route: <sip:192.0.2.9:5061;lr>",
];

fn routes_of(request: &Request) -> Vec<String> {
    request
        .headers
        .get_all("Route")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_caller_reverses_record_route_and_the_callee_does_not() {
    let bye = of_caller(&[CONTACT, ROUTES[0], ROUTES[1]]).request(Method::Bye);
    assert_eq!(
        routes_of(&bye),
        ["<sip:192.0.2.9:5061;lr>", "<sip:192.0.2.8:5060;lr>"]
    );
    assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.2:5070");
    let bye = of_callee(&ROUTES).request(Method::Bye);
    assert_eq!(
        routes_of(&bye),
        ["<sip:192.0.2.8:5060;lr>", "<sip:192.0.2.9:5061;lr>"]
    );
}

#[test]
fn a_strict_router_gets_itself_in_the_request_uri_and_the_target_last() {
    let strict = "Record-Route: <sip:192.0.2.9:5061;method=BYE>";
    let bye = of_caller(&[CONTACT, ROUTES[0], strict]).request(Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:192.0.2.9:5061");
    assert_eq!(
        routes_of(&bye),
        ["<sip:192.0.2.8:5060;lr>", "<sip:bob@192.0.2.2:5070>"]
    );
}

#[test]
fn a_provisional_response_makes_an_early_dialog_and_a_2xx_a_confirmed_one() {
    let flow = udp(CALLEE);
    let early = Dialog::of_caller(&invite(&[]), &answer(180, &[CONTACT]), flow, flow).unwrap();
    assert_eq!(early.standing(), Standing::Early);
    assert_eq!(of_caller(&[CONTACT]).standing(), Standing::Confirmed);
    let mut callee = of_callee(&[]);
    assert_eq!(callee.standing(), Standing::Early);
    callee.confirm();
    assert_eq!(callee.standing(), Standing::Confirmed);
}

#[test]
fn a_request_matches_by_call_id_and_both_tags() {
    let dialog = of_caller(&[CONTACT]);
    assert!(dialog.matches(&from_callee("BYE", 1)));
    for (name, value) in [
        ("Call-ID", "other"),
        ("From", "<sip:bob@192.0.2.2>;tag=mallory"),
        ("From", "<sip:bob@192.0.2.2>"),
        ("To", "<sip:alice@192.0.2.1>;tag=mallory"),
        ("To", "<sip:alice@192.0.2.1>"),
    ] {
        let mut forged = from_callee("BYE", 1);
        forged.headers.set(name, value).unwrap();
        assert!(!dialog.matches(&forged), "{name}: {value}");
    }
}

#[test]
fn cseq_must_rise_but_may_jump() {
    let mut dialog = of_callee(&[]);
    let stale = OutOfOrder { last: 7, got: 7 };
    assert_eq!(dialog.take_cseq(7), Err(stale));
    assert_eq!(dialog.take_cseq(9), Ok(()));
    assert_eq!(dialog.take_cseq(8), Err(OutOfOrder { last: 9, got: 8 }));
    // The caller has seen none yet: any will do.
    assert_eq!(of_caller(&[CONTACT]).take_cseq(0), Ok(()));
}

#[test]
fn a_contact_refreshes_the_target_but_not_the_routes() {
    let mut dialog = of_caller(&[CONTACT, ROUTES[0]]);
    let mut refresh = from_callee("INVITE", 1);
    refresh
        .headers
        .push("Contact", "<sip:bob@192.0.2.2:5099>")
        .unwrap();
    refresh
        .headers
        .push("Record-Route", "<sip:203.0.113.1;lr>")
        .unwrap();
    dialog.refresh_target(&refresh.headers);
    assert_eq!(dialog.remote_target().to_string(), "sip:bob@192.0.2.2:5099");
    assert_eq!(dialog.route_set().len(), 1);
}

#[test]
fn over_udp_only_the_dialogs_own_addresses_may_send() {
    let dialog = of_caller(&[CONTACT, ROUTES[0]]);
    assert!(dialog.expects_from(udp(CALLEE)));
    assert!(dialog.expects_from(udp("192.0.2.2:5070")), "its Contact");
    assert!(dialog.expects_from(udp("192.0.2.8:5060")), "its proxy");
    assert!(!dialog.expects_from(udp("192.0.2.2:5071")));
    assert!(!dialog.expects_from(udp("203.0.113.66:5060")));
    assert!(dialog.expects_from(tcp("192.0.2.2:50000")));
    assert!(!dialog.expects_from(tcp("203.0.113.66:5060")));
}

#[test]
fn the_callers_next_hop_is_the_first_route_or_the_contact() {
    assert_eq!(of_caller(&[CONTACT]).next_hop(), udp("192.0.2.2:5070"));
    let routed = of_caller(&[CONTACT, ROUTES[0]]);
    assert_eq!(routed.next_hop(), udp("192.0.2.8:5060"));
    let by_tcp = of_caller(&["Contact: <sip:bob@192.0.2.2:5070;transport=tcp>"]);
    assert_eq!(by_tcp.next_hop(), tcp("192.0.2.2:5070"));
    let by_name = of_caller(&["Contact: <sip:bob@pbx.example.com>"]);
    assert_eq!(by_name.next_hop(), udp(CALLEE));
    assert_eq!(of_caller(&[]).next_hop(), udp(CALLEE));
}

#[test]
fn a_contact_cannot_aim_us_at_our_own_network() {
    for forged in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.1.75",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        let contact = format!("Contact: <sip:bob@{forged}:22>");
        assert_eq!(of_caller(&[&contact]).next_hop(), udp(CALLEE), "{forged}");
    }
    // A phone in the LAN may name another host of the LAN.
    let flow = udp("10.0.0.9:5060");
    let answer = answer(200, &["Contact: <sip:bob@10.0.0.7:5060>"]);
    let dialog = Dialog::of_caller(&invite(&[]), &answer, flow, flow).unwrap();
    assert_eq!(dialog.next_hop(), udp("10.0.0.7:5060"));
}

#[test]
fn a_callee_sends_only_where_something_came_from() {
    let mut invite = invite(&[]);
    invite
        .headers
        .set("Contact", "<sip:alice@203.0.113.5:5060>")
        .unwrap();
    let mut dialog = Dialog::of_callee(&invite, "bob".to_owned(), udp(CALLER)).unwrap();
    assert_eq!(dialog.next_hop(), udp(CALLER));
    dialog.acknowledged_from(udp("203.0.113.5:5060"));
    assert_eq!(dialog.next_hop(), udp("203.0.113.5:5060"));
}

#[test]
fn an_alternative_is_another_flow_to_the_same_host() {
    let dialog = Dialog::of_callee(&invite(&[]), "bob".to_owned(), tcp("192.0.2.1:40000")).unwrap();
    let gone = tcp("192.0.2.1:40000");
    assert_eq!(dialog.alternative(gone), Some(udp(CALLER)));
    assert_eq!(dialog.alternative(udp(CALLER)), Some(gone));
    let elsewhere = tcp("203.0.113.5:40000");
    let dialog = Dialog::of_callee(&invite(&[]), "bob".to_owned(), elsewhere).unwrap();
    assert_eq!(dialog.alternative(elsewhere), None);
}

#[test]
fn a_peer_of_rfc_2543_has_no_tag() {
    let mut old = invite(&[]);
    old.headers.set("From", "<sip:alice@192.0.2.1>").unwrap();
    let dialog = Dialog::of_callee(&old, "bob".to_owned(), udp(CALLER)).unwrap();
    assert_eq!(dialog.remote_tag(), "");
    let mut bye = from_callee("BYE", 8);
    bye.headers.set("From", "<sip:alice@192.0.2.1>").unwrap();
    bye.headers
        .set("To", "<sip:bob@192.0.2.2>;tag=bob")
        .unwrap();
    assert!(dialog.matches(&bye));
}

#[test]
fn a_bomb_of_routes_makes_no_dialog() {
    let routes = vec!["Record-Route: <sip:192.0.2.8;lr>"; 40];
    let bombed = Dialog::of_callee(&invite(&routes), "bob".to_owned(), udp(CALLER));
    assert_eq!(bombed.unwrap_err(), DialogError::TooManyRoutes);
}
