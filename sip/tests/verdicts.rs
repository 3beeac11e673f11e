//! What becomes of messages of our own, whole, printed, cut, mutated, and against an independent parser.

mod common;

use common::{CASES, Expected, INVITE, Random, wire};
use rsip::headers::UntypedHeader;
use rsip::message::HeadersExt;
use sip::{
    Message, parse_datagram,
    stream::Framer,
    verdict::{Verdict, judge},
};

#[test]
fn every_message_gets_its_verdict() {
    for case in CASES {
        let judgement = judge(&case.bytes());
        let got = match judgement.verdict {
            Verdict::Accept => Expected::Accept,
            Verdict::Reject(status) => Expected::Reject(status.code()),
            Verdict::Drop => Expected::Drop,
        };
        assert_eq!(got, case.expected, "{}: {judgement:?}", case.name);
    }
}

#[test]
fn a_refusal_says_what_was_wrong() {
    for case in CASES
        .iter()
        .filter(|case| case.expected != Expected::Accept)
    {
        let judgement = judge(&case.bytes());
        assert!(!judgement.reasons.is_empty(), "{}", case.name);
        assert!(serde_json::to_string(&judgement).is_ok(), "{}", case.name);
    }
}

#[test]
fn a_printed_message_reads_back_and_prints_the_same() {
    let mut printed = 0;
    for case in CASES {
        let Ok(message) = parse_datagram(&case.bytes()) else {
            continue;
        };
        let bytes = message.to_bytes();
        let again = parse_datagram(&bytes).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(again.to_bytes(), bytes, "{}", case.name);
        assert_eq!(again.body(), message.body(), "{}", case.name);
        assert_eq!(
            again.headers().call_id(),
            message.headers().call_id(),
            "{}",
            case.name
        );
        printed += 1;
    }
    assert!(printed > 20);
}

/// Changes, drops, doubles and swaps pieces of messages: nothing panics, and what is accepted prints and reads back.
#[test]
fn mutated_messages_never_panic_and_stay_stable() {
    let seeds: Vec<Vec<u8>> = CASES.iter().map(common::Case::bytes).collect();
    let invite = wire(INVITE);
    let mut random = Random(0x5EED);
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = match round % 4 {
            0 => invite.clone(),
            _ => seeds[random.below(seeds.len())].clone(),
        };
        for _ in 0..=random.below(3) {
            mutate(&mut bytes, &mut random, &seeds);
        }
        let _ = judge(&bytes);
        let mut framer = Framer::new();
        framer.push(&bytes);
        while let Ok(Some(_)) = framer.next() {}
        match parse_datagram(&bytes) {
            Err(error) => {
                refused += 1;
                if let Some(answer) = error.respond() {
                    let answer = answer.to_bytes();
                    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
                    assert_eq!(head, Some(answer.len() - 4), "round {round}");
                }
            }
            Ok(message) => {
                read += 1;
                let _ = (
                    message.headers().vias(),
                    message.headers().reasons(),
                    message.headers().accept(),
                );
                let printed = message.to_bytes();
                let again = parse_datagram(&printed).unwrap_or_else(|error| {
                    panic!(
                        "round {round}: {error}\n{}",
                        String::from_utf8_lossy(&printed)
                    )
                });
                assert_eq!(again.to_bytes(), printed, "round {round}");
            }
        }
    }
    assert!(
        read > 1_000 && refused > 1_000,
        "{read} read, {refused} refused"
    );
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    const PIECES: [&[u8]; 16] = [
        b"\r\n",
        b"\"",
        b"<",
        b">",
        b";",
        b",",
        b"\\",
        b"%",
        b":",
        b"\r\n ",
        b"@",
        b"\0",
        b"\xff",
        b"[",
        b"Via: ",
        b"9999999999",
    ];
    let at = random.below(bytes.len() + 1);
    let length = random.below(12).min(bytes.len() - at);
    match random.below(5) {
        0 => bytes
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte = random.next() as u8),
        1 => drop(bytes.drain(at..at + length)),
        2 => {
            let piece = PIECES[random.below(PIECES.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        3 => {
            let copy = bytes[at..at + length].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

#[test]
fn every_prefix_of_a_message_is_refused_or_read_without_a_panic() {
    let whole = wire(INVITE);
    for end in 0..whole.len() {
        let _ = judge(&whole[..end]);
    }
    assert_eq!(judge(&whole).verdict, Verdict::Accept);
}

/// `rsip` is an independent parser: whatever it and we both read, we read alike, and it reads what we print.
#[test]
fn rsip_reads_the_same() {
    let mut compared = 0;
    for case in CASES
        .iter()
        .filter(|case| case.expected == Expected::Accept)
    {
        let bytes = case.bytes();
        let Ok(theirs) = rsip::Request::try_from(bytes.as_slice()) else {
            continue;
        };
        let Ok(Message::Request(ours)) = parse_datagram(&bytes) else {
            panic!("{}: rsip reads it as a request, we do not", case.name)
        };
        compare(case.name, &ours, &theirs);
        let printed = ours.to_bytes();
        let theirs = rsip::Request::try_from(printed.as_slice());
        let theirs = theirs.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        compare(case.name, &ours, &theirs);
        compared += 1;
    }
    assert!(compared >= 3, "{compared} compared");
}

fn compare(name: &str, ours: &sip::Request, theirs: &rsip::Request) {
    assert_eq!(ours.method.as_str(), theirs.method.to_string(), "{name}");
    assert_eq!(ours.uri, theirs.uri.to_string().parse().unwrap(), "{name}");
    let call_id = theirs.call_id_header().ok().map(UntypedHeader::value);
    if call_id.is_some() {
        assert_eq!(ours.headers.call_id(), call_id, "{name}");
    }
    if let Ok(Ok(cseq)) = theirs
        .cseq_header()
        .map(rsip::prelude::ToTypedHeader::typed)
    {
        let own = ours.headers.cseq().unwrap();
        assert_eq!(
            (own.number, own.method.as_str()),
            (cseq.seq, cseq.method.to_string().as_str()),
            "{name}"
        );
    }
}
