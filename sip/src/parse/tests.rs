use super::*;
use crate::{Host, Method, StatusCode, Uri};

const HEAD: &str = "OPTIONS sip:b@example.org SIP/2.0\r\nVia: SIP/2.0/UDP h.example.org;branch=z9hG4bK1\r\n\
    From: <sip:a@example.net>;tag=1\r\nTo: <sip:b@example.org>\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\n";

fn with(more: &str) -> Result<Message, ParseError> {
    parse_datagram(format!("{HEAD}{more}\r\n").as_bytes())
}

fn problem(more: &str) -> (Problem, u16) {
    let error = with(more).expect_err("it must be refused");
    let status = error.status().code();
    assert_eq!(
        error.respond().map(|answer| answer.status.code()),
        Some(status)
    );
    (error.problem().clone(), status)
}

#[test]
fn a_message_over_64_kib_is_refused_with_513_and_one_of_64_kib_is_read() {
    let body = |size: usize| {
        let head = format!("{HEAD}\r\n");
        let mut bytes = head.into_bytes();
        bytes.resize(size, b'x');
        parse_datagram(&bytes)
    };
    assert!(body(limits::MESSAGE).is_ok());
    let error = body(limits::MESSAGE + 1).expect_err("too large");
    assert_eq!(error.problem(), &Problem::MessageTooLarge);
    assert_eq!(
        error.respond().map(|answer| answer.status),
        Some(StatusCode::MESSAGE_TOO_LARGE)
    );
}

#[test]
fn a_line_over_8_kib_is_refused_with_513() {
    let line = |length: usize| format!("X: {}\r\n", "x".repeat(length - 3));
    assert!(with(&line(limits::LINE)).is_ok());
    assert_eq!(
        problem(&line(limits::LINE + 1)),
        (Problem::LineTooLong, 513)
    );
}

#[test]
fn a_request_line_over_8_kib_is_refused_with_414() {
    let text = HEAD.replacen("sip:b@", &format!("sip:{}@", "b".repeat(limits::LINE)), 1);
    let error = parse_datagram(format!("{text}\r\n").as_bytes()).expect_err("too long");
    assert_eq!(
        (error.problem(), error.status().code()),
        (&Problem::StartLineTooLong, 414)
    );
}

#[test]
fn folding_cannot_get_around_the_limit_of_a_line() {
    let bomb = format!("Subject: a\r\n{}", " b\r\n".repeat(5_000));
    assert_eq!(problem(&bomb), (Problem::LineTooLong, 513));
    let blank = format!("Subject: a\r\n{}", "          \r\n".repeat(2_000));
    assert_eq!(problem(&blank), (Problem::LineTooLong, 513));
}

#[test]
fn over_256_headers_are_refused_with_513_also_when_they_share_lines() {
    let many = |count: usize| "X: y\r\n".repeat(count);
    assert!(with(&many(limits::HEADERS - 5)).is_ok());
    assert_eq!(
        problem(&many(limits::HEADERS - 4)),
        (Problem::TooManyHeaders, 513)
    );
    let combined = format!("Contact: {}<sip:a@b>\r\n", "<sip:a@b>,".repeat(300));
    assert_eq!(problem(&combined), (Problem::TooManyHeaders, 513));
}

#[test]
fn over_70_vias_are_refused_with_513_also_when_they_share_a_line() {
    let lines = |count: usize| "v: SIP/2.0/UDP h;branch=z9hG4bK2\r\n".repeat(count);
    assert!(with(&lines(limits::VIAS - 1)).is_ok());
    assert_eq!(problem(&lines(limits::VIAS)), (Problem::TooManyVias, 513));
    let combined = format!("v: {}SIP/2.0/UDP h\r\n", "SIP/2.0/UDP h,".repeat(70));
    assert_eq!(problem(&combined), (Problem::TooManyVias, 513));
    let ten_thousand = with(&lines(1_500)).expect_err("too many");
    let answer = ten_thousand.respond().expect("it can be answered");
    assert!(answer.headers.get_all("Via").count() <= limits::VIAS);
}

#[test]
fn an_error_says_which_header_and_where() {
    let error = with("Max-Forwards: many\r\n").expect_err("no number");
    assert_eq!(error.header(), Some("Max-Forwards"));
    assert_eq!(error.offset(), HEAD.len() + "Max-Forwards:".len());
    let error = with("X-Whatever\r\n").expect_err("no colon");
    assert_eq!(
        (error.problem(), error.offset()),
        (&Problem::HeaderLine, HEAD.len())
    );
}

#[test]
fn the_answer_to_a_broken_request_copies_what_identifies_it() {
    let error =
        with("Max-Forwards: many\r\nv: SIP/2.0/TCP a, SIP/2.0/UDP b\r\n").expect_err("no number");
    let answer = error.respond().expect("it can be answered");
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers.call_id(), Some("c1"));
    assert_eq!(answer.headers.get("CSeq"), Some("1 OPTIONS"));
    assert_eq!(answer.headers.get("To"), Some("<sip:b@example.org>"));
    assert_eq!(
        answer.headers.get("From"),
        Some("<sip:a@example.net>;tag=1")
    );
    let vias: Vec<&str> = answer.headers.get_all("Via").collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP h.example.org;branch=z9hG4bK1",
            "SIP/2.0/TCP a",
            "SIP/2.0/UDP b"
        ]
    );
    assert!(parse_datagram(&answer.to_bytes()).is_ok());
}

#[test]
fn a_response_an_ack_and_what_has_no_via_are_not_answered() {
    for start in ["SIP/2.0 2000 OK", "ACK sip:b@h SIP/2.0 ", "GET / HTTP/1.1"] {
        let text = HEAD.replacen("OPTIONS sip:b@example.org SIP/2.0", start, 1);
        let error = parse_datagram(format!("{text}\r\n").as_bytes()).expect_err("broken");
        assert_eq!(error.respond(), None, "{start}");
    }
    let text = HEAD.replacen("Via", "X-Via", 1);
    let error = parse_datagram(format!("{text}\r\n").as_bytes()).expect_err("no Via");
    assert_eq!(error.respond(), None);
}

#[test]
fn header_bytes_must_be_utf_8_and_body_bytes_may_be_anything() {
    let mut bytes = format!("{HEAD}Subject: ").into_bytes();
    bytes.extend_from_slice(b"\xff\r\n\r\n");
    let error = parse_datagram(&bytes).expect_err("no UTF-8");
    assert_eq!(error.problem(), &Problem::NotUtf8);
    let mut bytes = format!("{HEAD}\r\n").into_bytes();
    bytes.extend_from_slice(b"\xff\0\xfe");
    assert_eq!(
        parse_datagram(&bytes).map(|message| message.body().to_vec()),
        Ok(b"\xff\0\xfe".to_vec())
    );
}

#[test]
fn a_short_body_is_refused_unless_it_is_whole_and_a_little_miscounted() {
    let short = |declared: usize, body: &str| {
        parse_datagram(format!("{HEAD}l: {declared}\r\n\r\n{body}").as_bytes())
    };
    let line = "a=sendrecv\r\n";
    assert_eq!(
        short(120, &line.repeat(10)).map(|m| m.body().len()),
        Ok(120)
    );
    assert_eq!(
        short(130, &line.repeat(10)).map(|m| m.body().len()),
        Ok(120)
    );
    let cases = [(120, 8, ""), (400, 30, ""), (130, 10, "x"), (12, 0, "")];
    for (declared, lines, tail) in cases {
        let body = line.repeat(lines) + tail;
        let error = short(declared, &body).expect_err("too short");
        let present = body.len();
        assert_eq!(
            error.problem(),
            &Problem::BodyTooShort { declared, present }
        );
    }
}

#[test]
fn folded_and_combined_headers_read_as_if_they_were_not() {
    let message =
        with("m: <sip:x@h>\r\n ;q=1\r\n\t, \"A, B\" <sip:y@h>\r\nSubject:\r\n  one\r\n two\r\n")
            .unwrap();
    let contacts = message.headers().contacts().unwrap();
    assert_eq!(contacts.len(), 2);
    assert_eq!(contacts[0].params.get("q"), Some("1"));
    assert_eq!(contacts[1].display_name.as_deref(), Some("A, B"));
    assert_eq!(message.headers().get("subject"), Some("one two"));
}

#[test]
fn a_request_line_is_read_into_its_parts() {
    let Ok(Message::Request(request)) = with("") else {
        panic!("a request")
    };
    assert_eq!(request.method, Method::Options);
    let expected = Uri::sip(Some("b"), Host::Name("EXAMPLE.org".into()), None);
    assert_eq!(request.uri, expected);
}

#[test]
fn headers_dense_with_quotes_and_parameters_are_read_within_the_limits() {
    let quotes = format!("m: \"{}\" <sip:a@b>\r\n", "\\\"".repeat(4_000));
    assert!(with(&quotes.repeat(7)).is_ok());
    let params = format!("v: SIP/2.0/UDP h{}\r\n", ";a=b".repeat(2_000));
    assert!(with(&params.repeat(7)).is_ok());
}
