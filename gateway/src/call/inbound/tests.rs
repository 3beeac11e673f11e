use super::*;
use sip::Method;

mod signed;

fn invite(headers: &[(&str, &str)]) -> Request {
    let uri = "sip:account@192.0.2.1".parse().unwrap();
    let mut request = Request::new(Method::Invite, uri);
    for (name, value) in headers {
        request.headers.push(name, value).unwrap();
    }
    request
}

#[test]
fn a_call_is_for_the_number_wherever_the_trunk_writes_it() {
    let request = invite(&[
        ("To", "<sip:+4930123@gateway.example>"),
        ("P-Called-Party-ID", "<sip:100@gateway.example>"),
    ]);
    assert_eq!(called(&request), ["account", "100", "+4930123"]);
    assert_eq!(called(&invite(&[])), ["account"]);
}

#[test]
fn what_the_trunk_asserts_is_shown_before_what_the_telephone_says() {
    let from = ("From", "\"Eve\" <sip:1@phone.example>;tag=1");
    let said = caller(&invite(&[from]));
    assert_eq!(said.number.as_deref(), Some("1"));
    assert_eq!(said.display_name.as_deref(), Some("Eve"));
    let asserted = ("P-Asserted-Identity", "<sip:+4930@carrier.example>");
    let shown = caller(&invite(&[from, asserted]));
    assert_eq!(shown.number.as_deref(), Some("+4930"));
    assert_eq!(shown.display_name, None);
}

#[test]
fn a_caller_who_withholds_himself_is_not_shown() {
    let asserted = ("P-Asserted-Identity", "\"Bob\" <sip:+4930@carrier.example>");
    for from in [
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
        "<sip:Anonymous@carrier.example>;tag=1",
    ] {
        assert_eq!(caller(&invite(&[("From", from)])), Caller::default());
    }
    let from = ("From", "<sip:1@phone.example>;tag=1");
    for privacy in ["id", "header; Id", "user"] {
        let request = invite(&[from, asserted, ("Privacy", privacy)]);
        assert_eq!(caller(&request), Caller::default(), "{privacy}");
        let request = invite(&[from, asserted, ("Privacy", privacy), ("Identity", "x")]);
        let signed = identities(&request, &caller(&request));
        assert!(signed.is_empty(), "it would name him");
    }
    let request = invite(&[from, asserted, ("Privacy", "none")]);
    assert_eq!(caller(&request).number.as_deref(), Some("+4930"));
}

#[test]
fn signatures_are_taken_by_either_name_and_not_without_end() {
    let from = ("From", "<sip:1@phone.example>;tag=1");
    let request = invite(&[from, ("Identity", "a"), ("y", "b")]);
    assert_eq!(identities(&request, &caller(&request)), ["a", "b"]);
    let many = [("Identity", "a"); 100];
    assert_eq!(stir::headers(&invite(&many)).len(), stir::MAX_HEADERS);
}

#[test]
fn a_trunk_calls_from_its_own_addresses_and_the_listed_ones() {
    let trunk = Trunk {
        outbound_proxy: Some("sip:192.0.2.7".parse().unwrap()),
        addresses: vec!["198.51.100.0/24".parse().unwrap()],
        ..Trunk::at("sip:192.0.2.1:5062".parse().unwrap())
    };
    let sources = Sources::default();
    *sources.0.write().unwrap() = vec!["203.0.113.5".parse().unwrap()];
    for (from, known) in [
        ("192.0.2.1", true),
        ("192.0.2.7", true),
        ("198.51.100.200", true),
        ("203.0.113.5", true),
        ("192.0.2.2", false),
        ("198.51.101.1", false),
    ] {
        assert_eq!(
            sources.include(&trunk, from.parse().unwrap()),
            known,
            "{from}"
        );
    }
}
