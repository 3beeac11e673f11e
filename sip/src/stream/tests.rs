use super::*;
use crate::StatusCode;

fn message(call_id: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@h>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn call_ids(framer: &mut Framer) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(message) = framer.next().expect("good messages") {
        found.push(message.headers().call_id().unwrap_or("").to_owned());
    }
    found
}

#[test]
fn messages_come_out_whole_however_the_bytes_are_cut() {
    let text = format!(
        "{}\r\n{}{}",
        message("one", "body"),
        message("two", ""),
        message("three", "\r\n\r\nx")
    );
    for size in [1, 2, 3, 7, 50, text.len()] {
        let mut framer = Framer::new();
        let mut found = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            framer.push(chunk);
            found.extend(call_ids(&mut framer));
        }
        assert_eq!(found, ["one", "two", "three"], "chunks of {size}");
        assert!(!framer.is_within_message());
        assert_eq!(framer.take_pings(), 0);
    }
}

#[test]
fn pings_between_messages_are_counted_and_pongs_are_not() {
    let mut framer = Framer::new();
    framer.push(b"\r\n\r\n\r\n");
    assert_eq!(call_ids(&mut framer), Vec::<String>::new());
    framer.push(b"\r\n");
    framer.push(message("one", "").as_bytes());
    assert_eq!(call_ids(&mut framer), ["one"]);
    assert_eq!(framer.take_pings(), 2);
    framer.push(b"\r\n");
    framer.push(message("two", "").as_bytes());
    assert_eq!(call_ids(&mut framer), ["two"]);
    assert_eq!(framer.take_pings(), 0);
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Ok(None));
    assert!(!framer.is_within_message());
    framer.push(b"O");
    assert_eq!(framer.next(), Ok(None));
    assert!(framer.is_within_message());
}

#[test]
fn a_bad_message_is_refused_and_the_next_one_read() {
    let mut framer = Framer::new();
    framer.push(
        message("one", "abc")
            .replace("CSeq: 1", "CSeq: x")
            .as_bytes(),
    );
    framer.push(message("two", "").as_bytes());
    let error = framer.next().expect_err("a bad CSeq");
    assert!(!error.must_close());
    assert_eq!(
        error.respond().map(|answer| answer.status),
        Some(StatusCode::BAD_REQUEST)
    );
    assert_eq!(call_ids(&mut framer), ["two"]);
}

#[test]
fn a_length_that_cannot_be_trusted_ends_the_stream_before_anything_is_allocated() {
    for (length, status) in [
        ("Content-Length: 4294967295", 413),
        ("Content-Length: 99999999999999999999999999", 413),
        ("Content-Length: 65536", 413),
        ("Content-Length: -1", 400),
        ("Content-Length:", 400),
        ("Content-Length: 0x10", 400),
        ("l: 0\r\nContent-Length: 0", 400),
        ("l:\r\n 99999999", 413),
        ("X: 0", 400),
    ] {
        let mut framer = Framer::new();
        framer.push(
            message("one", "")
                .replace("Content-Length: 0", length)
                .as_bytes(),
        );
        let error = framer.next().expect_err(length);
        assert!(error.must_close(), "{length}");
        assert_eq!(error.error().status().code(), status, "{length}");
        assert!(error.respond().is_some(), "{length}");
        framer.push(message("two", "").as_bytes());
        assert_eq!(framer.next(), Ok(None), "{length}");
        assert!(framer.buffer.is_empty(), "{length}");
    }
}

#[test]
fn an_endless_head_is_refused_at_64_kib_and_costs_no_more() {
    let mut framer = Framer::new();
    framer.push(b"OPTIONS sip:b@h SIP/2.0\r\n");
    let mut pushed = 0;
    let error = loop {
        framer.push(b"X: y\r\n");
        pushed += 6;
        match framer.next() {
            Ok(None) => assert!(pushed < 2 * limits::MESSAGE, "it never ends"),
            Ok(Some(message)) => panic!("{message:?}"),
            Err(error) => break error,
        }
    };
    assert!(error.must_close() && pushed <= limits::MESSAGE);
    assert_eq!(error.error().status(), StatusCode::MESSAGE_TOO_LARGE);
}

#[test]
fn what_is_pushed_beyond_the_buffer_ends_the_stream_and_is_not_kept() {
    let mut framer = Framer::new();
    framer.push(&vec![b'x'; 10 * BUFFER]);
    assert!(framer.buffer.len() <= BUFFER);
    assert!(framer.next().is_err_and(|error| error.must_close()));
}
