//! Streams of STUN messages and channel data, or of ICE-TCP: they are cut alike however they come.

#![no_main]

use fuzz::{Input, within_limit};
use libfuzzer_sys::fuzz_target;
use turn::framing::{Framing, StreamReader};

const MOST: usize = 1500;

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

fn check(data: &[u8]) {
    let mut input = Input(data);
    let (how, step) = (input.byte(), usize::from(input.byte()).max(1));
    let framing = if how & 1 == 0 {
        Framing::Turn
    } else {
        Framing::Rfc4571
    };
    assert_eq!(
        cut(framing, input.0, step),
        cut(framing, input.0, usize::MAX)
    );
}

/// All messages until the stream ends or breaks.
fn cut(framing: Framing, mut stream: &[u8], step: usize) -> Vec<Vec<u8>> {
    let mut reader = StreamReader::new(framing, MOST);
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let space = reader.space();
        let size = step.min(space.len()).min(stream.len());
        space[..size].copy_from_slice(&stream[..size]);
        reader.filled(size);
        stream = &stream[size..];
        loop {
            match reader.next() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}
