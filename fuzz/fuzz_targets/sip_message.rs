//! One datagram: it is read and judged, what was read is printed, and what is printed reads the same.

#![no_main]

use fuzz::{assert_clean_head, within_limit};
use libfuzzer_sys::fuzz_target;
use sip::{Headers, Message, Request, Uri, admission, parse_datagram, verdict};

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

fn check(data: &[u8]) {
    let judgement = verdict::judge(data);
    assert!(serde_json::to_string(&judgement).is_ok());
    match parse_datagram(data) {
        Ok(message) => accepted(&message),
        Err(error) => {
            assert_ne!(judgement.verdict, verdict::Verdict::Accept);
            assert!(error.offset() <= data.len());
            if let Some(answer) = error.respond() {
                let bytes = answer.to_bytes();
                assert_clean_head(&bytes, answer.headers.len());
                // An answer is no amplifier: it repeats what came, and little else.
                assert!(
                    bytes.len() <= data.len() + 512,
                    "{} for {}",
                    bytes.len(),
                    data.len()
                );
            }
        }
    }
}

fn accepted(message: &Message) {
    let printed = message.to_bytes();
    assert_clean_head(&printed, message.headers().len());
    let again = parse_datagram(&printed)
        .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&printed)));
    assert_eq!(again.to_bytes(), printed);
    assert_eq!(again.body(), message.body());
    typed(message.headers());
    if let Message::Request(request) = message {
        answered(request);
    }
}

fn typed(headers: &Headers) {
    let _ = (
        headers.vias(),
        headers.top_via(),
        headers.from(),
        headers.to(),
    );
    let _ = (
        headers.contacts(),
        headers.record_routes(),
        headers.routes(),
    );
    let _ = (
        headers.cseq(),
        headers.call_id(),
        headers.max_forwards(),
        headers.expires(),
    );
    let _ = (
        headers.content_type(),
        headers.accept(),
        headers.allow(),
        headers.supported(),
    );
    let _ = (
        headers.require(),
        headers.proxy_require(),
        headers.reasons(),
        headers.retry_after(),
    );
    let _ = headers.authorization_schemes().count();
    for address in [headers.from(), headers.to()].into_iter().flatten() {
        same(&address.uri);
    }
}

fn answered(request: &Request) {
    same(&request.uri);
    if let Err(rejection) = admission::admit(request) {
        let answer = rejection.respond(request);
        let bytes = answer.to_bytes();
        assert_clean_head(&bytes, answer.headers.len());
        parse_datagram(&bytes)
            .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&bytes)));
    }
}

/// A URI prints to text that reads as the same URI.
fn same(uri: &Uri) {
    let text = uri.to_string();
    let again: Uri = text
        .parse()
        .unwrap_or_else(|error| panic!("{error:?}: {text}"));
    assert_eq!(again.to_string(), text);
    assert_eq!(&again, uri, "{text}");
}
