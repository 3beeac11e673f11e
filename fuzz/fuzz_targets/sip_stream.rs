//! A TCP stream, cut as the input says: the messages are the same however it is cut, and memory stays bounded.
//!
//! The first byte says how often the stream repeats, the next seven how long its pieces are.

#![no_main]

use fuzz::{Input, within_limit};
use libfuzzer_sys::fuzz_target;
use sip::stream::Framer;

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

#[derive(Debug, PartialEq)]
enum Found {
    Message(Vec<u8>),
    Bad,
    Broken,
}

fn check(data: &[u8]) {
    let mut input = Input(data);
    let repeats = usize::from(input.byte() % 40).max(1);
    let sizes = input.take(7);
    let stream = input.0.repeat(repeats);
    let mut pieces = Vec::new();
    let mut rest = stream.as_slice();
    for size in sizes.iter().cycle() {
        let (piece, later) = rest.split_at(usize::from(*size).max(1).min(rest.len()));
        pieces.push(piece);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    let cut = read(pieces.into_iter());
    if stream.len() < 60_000 {
        assert_eq!(cut, read(std::iter::once(stream.as_slice())));
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    for piece in pieces {
        framer.push(piece);
        // Every turn takes a message off the buffer, so there are fewer turns than bytes in it.
        for turn in 0.. {
            assert!(turn < 128 * 1024, "the framer makes messages of nothing");
            match framer.next() {
                Ok(Some(message)) => found.push(Found::Message(message.to_bytes())),
                Ok(None) => break,
                Err(error) => {
                    let _ = error.respond().map(|answer| answer.to_bytes());
                    found.push(match error.must_close() {
                        true => Found::Broken,
                        false => Found::Bad,
                    });
                }
            }
        }
        let _ = (framer.take_pings(), framer.is_within_message());
    }
    found
}
