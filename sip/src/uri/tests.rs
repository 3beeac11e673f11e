use super::*;

fn uri(text: &str) -> Uri {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_uri_prints_as_it_was_read() {
    for text in [
        "sip:example.org",
        "sips:ann:secret@example.org:5061;transport=tcp;lr?Subject=a%20b&X=y",
        "sip:+1-212;phone-context=x@[2001:db8::1]:5070",
        "sip:%61nn@192.0.2.1",
        "sip:*21#@example.org",
        "tel:+1-201-555-0123;ext=7",
        "urn:service:sos.fire",
        "http://example.org/a?b=c;d",
    ] {
        assert_eq!(uri(text).to_string(), text);
    }
}

/// The examples of RFC 3261 §19.1.4.
#[test]
fn uris_are_compared_as_the_rfc_says() {
    for (a, b) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;newparam=5",
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ] {
        assert_eq!(uri(a), uri(b));
        assert_eq!(uri(b), uri(a));
    }
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:a@h", "sips:a@h"),
    ] {
        assert_ne!(uri(a), uri(b));
        assert_ne!(uri(b), uri(a));
    }
}

#[test]
fn what_is_no_uri_is_refused_with_its_place() {
    for text in [
        "",
        "sip",
        "sip:",
        ":a@b",
        "sip:@b",
        "sip:a@",
        "sip:a b@c",
        "sip:a@b c",
        "sip:a@b:",
        "sip:a@b:99999",
        "sip:a@b;",
        "sip:a@b;=x",
        "sip:a@b;x=",
        "sip:a@b?x",
        "sip:a%4@b",
        "sip:a@[::1",
        "sip:a@[::g]",
        "sip:a@[::1]x",
        "sip:a@b@c",
        "1sip:a@b",
        "tel:",
        "tel:bob!",
        "isbn:",
        "urn:a<b",
        "sip:a@b\r\n",
    ] {
        assert!(text.parse::<Uri>().is_err(), "{text}");
    }
    assert_eq!(
        "sip:a@b:99999".parse::<Uri>().map_err(|error| error.at),
        Err(6)
    );
}

#[test]
fn a_user_is_escaped_when_printed_and_comes_back() {
    let made = Uri::sip(Some("10% \u{fc}<>\"@:"), Host::Name("h".into()), None);
    let text = made.to_string();
    assert_eq!(text, "sip:10%25%20%C3%BC%3C%3E%22%40%3A@h");
    assert_eq!(
        uri(&text).user_unescaped().as_deref(),
        Some("10% \u{fc}<>\"@:")
    );
    assert_eq!(uri(&text).to_string(), text);
    assert_eq!(
        uri("tel:+49301").user_unescaped().as_deref(),
        Some("+49301")
    );
}

/// Found by fuzzing: each parameter was looked for among all of the other's.
#[test]
fn uris_as_long_as_a_line_are_compared_quickly() {
    let list = |between: &str, count: usize, value: &str| -> String {
        let names = (0..count).map(|number| format!("{between}{number:x}{value}"));
        names.collect()
    };
    let (params, headers) = (list(";", 6000, ""), list("&", 6000, "=1"));
    let started = std::time::Instant::now();
    let a = uri(&format!("sip:a@b{params}"));
    assert_eq!(a, a.clone());
    let a = uri(&format!("sip:a@b?z=1{headers}"));
    assert_eq!(a, a.clone());
    assert_ne!(a, uri(&format!("sip:a@b?z=2{headers}")));
    assert!(
        started.elapsed().as_millis() < 500,
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn of_a_parameter_that_is_there_twice_the_first_counts() {
    assert_eq!(uri("sip:a@b;x=1;x=2"), uri("sip:a@b;X=1"));
    assert_ne!(uri("sip:a@b;x=1;x=2"), uri("sip:a@b;x=2"));
}

#[test]
fn headers_are_compared_in_any_order_but_each_one() {
    assert_eq!(uri("sip:a@b?x=1&y=2"), uri("sip:a@b?Y=%32&x=1"));
    assert_ne!(uri("sip:a@b?x=1&x=1&y=2"), uri("sip:a@b?x=1&y=2&y=2"));
}
