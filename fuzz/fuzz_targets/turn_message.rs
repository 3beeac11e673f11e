//! STUN messages and streams of them. What is read is where it says it is, what stands behind an integrity does not
//! count, and a stream is cut alike however it comes.

#![no_main]

use fuzz::{Input, within_limit};
use libfuzzer_sys::fuzz_target;
use turn::{
    framing::{Framing, StreamReader},
    message::{Algorithm, IntegrityKey, Message, attribute},
};

const MOST: usize = 1500;

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

fn check(data: &[u8]) {
    let mut input = Input(data);
    let (how, step) = (input.byte(), usize::from(input.byte()).max(1));
    message(input.0);
    let framing = if how & 1 == 0 {
        Framing::Turn
    } else {
        Framing::Rfc4571
    };
    let whole = cut(framing, input.0, usize::MAX);
    assert_eq!(cut(framing, input.0, step), whole);
    whole.iter().for_each(|bytes| message(bytes));
}

fn message(bytes: &[u8]) {
    let Some(message) = Message::parse(bytes) else {
        return;
    };
    assert_eq!(message.as_bytes(), bytes);
    let key = IntegrityKey::new(b"key");
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
        assert!(
            !message.integrity_holds(&key, algorithm),
            "a forgery was taken"
        );
    }
    let _ = (
        message.fingerprint_holds(),
        message.integrity(),
        message.class(),
    );
    let mut proven = false;
    for found in message.attributes() {
        let end = found.offset + found.value.len();
        assert_eq!(&bytes[found.offset..end], found.value);
        let _ = message.xor_address(found.value);
        let is_proof = matches!(
            found.kind,
            attribute::MESSAGE_INTEGRITY
                | attribute::MESSAGE_INTEGRITY_SHA256
                | attribute::FINGERPRINT
        );
        assert!(is_proof || !proven);
        proven |= is_proof;
    }
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
