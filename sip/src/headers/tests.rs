use super::*;
use crate::{Method, StatusCode, Uri};

fn headers(list: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in list {
        headers.push(name, value).unwrap();
    }
    headers
}

#[test]
fn names_are_found_without_case_and_by_their_compact_form() {
    let headers = headers(&[("f", "<sip:a@b>;tag=1"), ("X-Own", "1"), ("x-own", "2")]);
    assert_eq!(headers.get("FROM"), Some("<sip:a@b>;tag=1"));
    assert_eq!(headers.get("f"), headers.get("From"));
    assert_eq!(headers.get_all("X-OWN").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(headers.iter().next(), Some(("From", "<sip:a@b>;tag=1")));
}

#[test]
fn a_value_or_name_that_would_break_a_line_is_refused_and_changes_nothing() {
    let mut headers = headers(&[("Subject", "a")]);
    let before = headers.clone();
    for value in ["a\r\nEvil: 1", "a\nb", "a\rb", "a\0b"] {
        assert!(headers.push("X", value).is_err());
        assert!(headers.push_front("X", value).is_err());
        assert!(headers.set("Subject", value).is_err());
        assert!(headers.set_first("Subject", value).is_err());
    }
    for name in ["", "a b", "a:", "a\r\nb", "\u{e9}"] {
        assert!(headers.push(name, "x").is_err());
    }
    assert_eq!(headers, before);
}

#[test]
fn set_replaces_in_place_and_set_first_leaves_the_rest() {
    let mut list = headers(&[("Via", "a"), ("To", "t"), ("Via", "b")]);
    list.set_first("v", "c").unwrap();
    assert_eq!(list, headers(&[("Via", "c"), ("To", "t"), ("Via", "b")]));
    list.set("Via", "d").unwrap();
    assert_eq!(list, headers(&[("Via", "d"), ("To", "t")]));
    list.push_front("Via", "e").unwrap();
    assert_eq!(list.remove_first("Via").as_deref(), Some("e"));
    assert_eq!(list.remove("Via"), 1);
    assert_eq!(list.remove("Via"), 0);
    assert_eq!(list, headers(&[("To", "t")]));
}

#[test]
fn setting_a_header_again_and_again_does_not_grow_the_memory() {
    let mut headers = Headers::new();
    for round in 0..100_000 {
        headers.set("X-Round", round).unwrap();
        headers.set("CSeq", format_args!("{round} INFO")).unwrap();
    }
    assert!(headers.text.len() < 16 * 1024, "{}", headers.text.len());
    assert_eq!(headers.get("x-round"), Some("99999"));
}

#[test]
fn an_address_keeps_header_and_uri_parameters_apart() {
    let address: NameAddr = "\"A \\\"B\\\"\" <sip:a@b;lr>;tag=x;text=\"p;q\""
        .parse()
        .unwrap();
    assert_eq!(address.display_name.as_deref(), Some("A \"B\""));
    assert!(address.uri.is_loose_router());
    assert_eq!(address.tag(), Some("x"));
    assert_eq!(address.params.get_unquoted("text").as_deref(), Some("p;q"));
    let bare: NameAddr = "sip:a@b;tag=x".parse().unwrap();
    assert_eq!((bare.tag(), bare.uri.params.len()), (Some("x"), 0));
    assert_eq!(bare.to_string(), "<sip:a@b>;tag=x");
}

#[test]
fn what_is_printed_cannot_end_a_line_or_a_string() {
    let mut address = NameAddr::new(Uri::sip(
        Some("a\r\nb@c"),
        crate::Host::Name("h\r\n".into()),
        None,
    ));
    address.display_name = Some("x\"\r\n<sip:evil@h>".into());
    address.params.set("tag\r\n", Some("a\r\nb"));
    let text = address.to_string();
    assert!(!text.contains(['\r', '\n']), "{text}");
    let again: NameAddr = text.parse().unwrap();
    assert_eq!(again.uri.user_unescaped().as_deref(), Some("a\r\nb@c"));
    assert_eq!(again.display_name.as_deref(), Some("x\"  <sip:evil@h>"));
    let via = Via {
        transport: "U\r\nP".into(),
        host: crate::Host::Name("h\n".into()),
        port: None,
        params: Default::default(),
    };
    assert_eq!(via.to_string(), "SIP/2.0/U--P h-");
    let reason = ReasonHeader {
        protocol: "Q\n".into(),
        cause: Some(16),
        text: Some("a\r\n\"".into()),
    };
    assert_eq!(reason.to_string(), "Q- ;cause=16 ;text=\"a  \\\"\"");
}

#[test]
fn a_whole_message_with_line_ends_in_every_value_has_no_line_too_many() {
    let mut request = crate::Request::new(
        Method::Other("A\r\nB".into()),
        Uri::sip(Some("\r\n"), crate::Host::Name("h".into()), None),
    );
    request.uri.params.set("x\r\n", Some("\r\n"));
    request.uri.headers.push(("y\r\n".into(), "\r\n".into()));
    request.headers.push("Subject", "s").unwrap();
    let text = String::from_utf8(request.to_bytes()).unwrap();
    assert_eq!(text.matches('\n').count(), 4, "{text}");
    assert_eq!(text.matches('\r').count(), 4, "{text}");
    let mut response = crate::Response::new(StatusCode::OK);
    response.reason = "fine\r\nEvil: yes".into();
    let text = String::from_utf8(response.to_bytes()).unwrap();
    assert_eq!(
        text,
        "SIP/2.0 200 fine  Evil: yes\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn content_length_is_that_of_the_body_whatever_the_headers_say() {
    let mut response = crate::Response::new(StatusCode::OK);
    response.headers.push("l", "99").unwrap();
    response.body = b"abc".to_vec();
    assert_eq!(
        response.to_bytes(),
        b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    );
}

#[test]
fn via_parameters_are_read() {
    let via: Via = "SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKx;received=[2001:db8::2];rport=4"
        .parse()
        .unwrap();
    assert_eq!(via.rfc3261_branch(), Some("z9hG4bKx"));
    assert_eq!(
        via.received().map(|ip| ip.to_string()).as_deref(),
        Some("2001:db8::2")
    );
    assert_eq!(
        (via.port, via.rport(), via.has_rport()),
        (Some(5070), Some(4), true)
    );
    assert_eq!(via.to_string().parse::<Via>(), Ok(via));
    let old: Via = "SIP/2.0/UDP h;branch=z9hG4bK;received=2001:db8::2;rport"
        .parse()
        .unwrap();
    assert_eq!(
        (old.rfc3261_branch(), old.rport(), old.has_rport()),
        (None, None, true)
    );
    assert!(old.received().is_some());
    assert!("SIP/2.0/UDP a, SIP/2.0/UDP b".parse::<Via>().is_err());
    assert!("SIP/3.0/UDP a".parse::<Via>().is_err());
}

#[test]
fn a_reason_prefers_the_telephone_cause() {
    let list = headers(&[(
        "Reason",
        "SIP;cause=486;text=\"Busy, \\\"here\\\"\" , Q.850 ; cause=17;text=busy",
    )]);
    let reason = list.reason().unwrap();
    assert_eq!(
        (reason.protocol.as_str(), reason.cause),
        ("Q.850", Some(17))
    );
    assert_eq!(list.reasons()[0].text.as_deref(), Some("Busy, \"here\""));
    let made = ReasonHeader::q850(16, "Normal \"clearing\"");
    assert_eq!(
        headers(&[("Reason", &made.to_string())]).reason(),
        Some(made)
    );
    assert_eq!(headers(&[("Reason", ";;;")]).reason(), None);
}

#[test]
fn lists_and_numbers_are_read_leniently() {
    let list = headers(&[
        ("Require", "100rel, , timer"),
        ("Require", "path"),
        ("Allow", "INVITE,\tX-Y"),
        ("Retry-After", "18000;duration=3600"),
        ("Expires", "99999999999999999999"),
        ("Accept", "application/sdp;level=1, TEXT/*"),
    ]);
    assert_eq!(list.require(), ["100rel", "timer", "path"]);
    assert_eq!(
        list.allow(),
        Some(vec![Method::Invite, Method::Other("X-Y".into())])
    );
    assert_eq!(
        (list.retry_after(), list.expires()),
        (Some(18_000), Some(u32::MAX))
    );
    let accept = list.accept().unwrap();
    assert!(accept[0].covers("application", "sdp") && accept[1].covers("text", "plain"));
    assert!(!accept[1].covers("image", "png"));
}
