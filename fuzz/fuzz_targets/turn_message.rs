//! STUN messages: what is read is where it says it is, nothing forged is taken, and what stands behind an integrity does not
//! count.

#![no_main]

use fuzz::within_limit;
use libfuzzer_sys::fuzz_target;
use turn::message::{Algorithm, IntegrityKey, Message, attribute};

fuzz_target!(|data: &[u8]| within_limit(|| message(data)));

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
