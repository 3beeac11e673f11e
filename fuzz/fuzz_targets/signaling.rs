//! One WebSocket text message of a browser: it is read, or refused with words that are safe to send back.

#![no_main]

use fuzz::within_limit;
use gateway::signaling::message::{ClientMessage, ServerMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        within_limit(|| check(text));
    }
});

fn check(text: &str) {
    match ClientMessage::read(text) {
        Ok(message) => {
            let written = serde_json::to_string(&message).expect("what was read is written");
            assert_eq!(ClientMessage::read(&written), Ok(message.clone()));
            if let Some(call) = message.call() {
                assert!((1..=64).contains(&call.as_str().len()));
            }
            let _ = format!("{message:?}");
        }
        Err(bad) => {
            let answer =
                serde_json::to_string(&ServerMessage::from(bad)).expect("a refusal is written");
            // It may repeat a part of what came, escaped; it is no amplifier.
            assert!(
                answer.len() <= 2 * text.len() + 1024,
                "{} for {}",
                answer.len(),
                text.len()
            );
        }
    }
}
