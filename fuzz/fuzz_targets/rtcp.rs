//! RTCP of both legs, raw and as reports on our own streams, while a little audio flows.

#![no_main]

use std::time::Duration;

use fuzz::{
    Input,
    call::{Call, TO_BROWSER, TO_TRUNK, rtp},
    within_limit,
};
use libfuzzer_sys::fuzz_target;
use media::Leg;

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

fn check(data: &[u8]) {
    let mut input = Input(data);
    let mut call = Call::new(&mut input);
    for turn in 0..60_u16 {
        if input.is_empty() {
            break;
        }
        for leg in [Leg::Browser, Leg::Trunk] {
            let packet = rtp(0, turn, u32::from(turn) * 160, 1, &[0x55; 160]);
            call.given += 1;
            call.bridge.handle_rtp(call.now, leg, &packet);
        }
        step(&mut call, &mut input);
        call.collect();
    }
    call.end();
}

fn step(call: &mut Call, input: &mut Input<'_>) {
    let op = input.byte();
    let leg = if op & 1 == 0 {
        Leg::Browser
    } else {
        Leg::Trunk
    };
    match op >> 1 & 3 {
        0 => {
            let len = usize::from(input.byte()) * 4;
            call.given += 1;
            call.bridge.handle_rtcp(call.now, leg, input.take(len));
        }
        1 => call.pass(Duration::from_millis(u64::from(input.word() / 4))),
        // A sender or receiver report with one block about our stream, and whatever follows it.
        kind => {
            let ours = if leg == Leg::Browser {
                TO_BROWSER
            } else {
                TO_TRUNK
            };
            let mut packet = Vec::new();
            match kind {
                2 => {
                    packet.extend_from_slice(&[0x81, 201, 0, 7, 0, 0, 0, 1]);
                }
                _ => {
                    packet.extend_from_slice(&[0x81, 200, 0, 12, 0, 0, 0, 1]);
                    let mut info = input.take(20).to_vec();
                    info.resize(20, 0);
                    packet.append(&mut info);
                }
            }
            packet.extend_from_slice(&ours.to_be_bytes());
            let mut block = input.take(20).to_vec();
            block.resize(20, 0);
            packet.append(&mut block);
            packet.extend_from_slice(input.take(usize::from(op >> 3)));
            call.given += 1;
            call.bridge.handle_rtcp(call.now, leg, &packet);
        }
    }
}
