//! RTP of both legs, raw and in the order of a stream, with time passing between: what leaves is bounded by what came
//! and by time, and the bridge is woken only with something to do.

#![no_main]

use std::time::Duration;

use fuzz::{
    Input,
    call::{Call, format, rtp},
    within_limit,
};
use libfuzzer_sys::fuzz_target;
use media::{Digit, Leg};

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

/// Where the next packet of a leg's stream would be.
#[derive(Default)]
struct Stream {
    sequence: u16,
    timestamp: u32,
}

fn check(data: &[u8]) {
    let mut input = Input(data);
    let mut call = Call::new(&mut input);
    let mut streams = [Stream::default(), Stream::default()];
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        step(&mut call, &mut streams, &mut input);
        call.collect();
    }
    call.end();
}

fn step(call: &mut Call, streams: &mut [Stream; 2], input: &mut Input<'_>) {
    let op = input.byte();
    let (leg, stream) = match op & 1 {
        0 => (Leg::Browser, &mut streams[0]),
        _ => (Leg::Trunk, &mut streams[1]),
    };
    match op >> 1 & 15 {
        0 | 1 => {
            let len = usize::from(input.byte()) * 8;
            call.given += 1;
            call.bridge.handle_rtp(call.now, leg, input.take(len));
        }
        2 => call.pass(Duration::from_millis(u64::from(input.byte()))),
        3 => {
            // As many as a stream may lose or turn back, and any time.
            stream.sequence = stream.sequence.wrapping_add(input.word());
            stream.timestamp = stream
                .timestamp
                .wrapping_add(u32::from(input.word()) << (op >> 5));
        }
        4 => match leg {
            Leg::Browser => call.bridge.change_browser(call.now, format(input.byte())),
            Leg::Trunk => call.bridge.connect_trunk(call.now, format(input.byte())),
        },
        5 => {
            let digit = Digit::from_event(input.byte() & 15).expect("one of sixteen");
            let duration = Duration::from_millis(u64::from(input.byte()) * 10);
            let _ = call.bridge.send_dtmf(call.now, leg, digit, duration);
        }
        6 => match leg {
            Leg::Browser => call.bridge.set_browser_sending(op & 128 == 0),
            Leg::Trunk => call.bridge.set_trunk_sending(op & 128 == 0),
        },
        // The next packet of a stream, late, early or again; of either of two sources.
        choice => {
            let payload_type =
                input.choose(&[111, 0, 8, 101, 110, 13, 0 | 128, 111 | 128, 101 | 128]);
            let payload = match choice {
                7..=10 => input.take(usize::from(op >> 5) * 4),
                11 | 12 => input.take(4),
                _ => &[0x55; 160],
            };
            let skip = input.byte();
            stream.sequence = stream.sequence.wrapping_add(u16::from(skip & 3));
            stream.timestamp = stream
                .timestamp
                .wrapping_add(u32::from(skip >> 2 & 7) * 160);
            let sequence = stream.sequence.wrapping_sub(u16::from(skip >> 5));
            let ssrc = if choice == 15 { 2 } else { 1 };
            call.given += 1;
            let packet = rtp(payload_type, sequence, stream.timestamp, ssrc, payload);
            call.bridge.handle_rtp(call.now, leg, &packet);
        }
    }
}
