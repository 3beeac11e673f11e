//! A thousand keys over a network that loses every fifth packet: each once, the right one, its length within 20 ms.

use super::dtmf::{Random, digits, heard, play};
use super::*;
use crate::dtmf::payload::EventPayload;

/// Keys in each run; five manners of sending make a thousand.
pub(super) const KEYS: usize = 200;
/// Packets that never arrive, in percent.
const LOSS: usize = 20;
/// How far a length may be off, in milliseconds.
const TOLERANCE: i64 = 20;

/// A key press of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Press {
    pub(super) event: u8,
    pub(super) milliseconds: u64,
    pub(super) pause: u64,
}

pub(super) fn presses(seed: u64, count: usize, shortest: u64) -> Vec<Press> {
    let mut random = Random(seed);
    let press = |_| Press {
        event: random.below(16) as u8,
        milliseconds: shortest + random.below(160) as u64,
        pause: 80 + random.below(120) as u64,
    };
    (0..count).map(press).collect()
}

/// What a sender of telephone-events does with its audio meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It pauses; three ends at once, as Chromium has it.
    PausesAndEndsAtOnce,
    /// It pauses until the last of three ends, each in its frame.
    Pauses,
    /// It pauses until the first end.
    PausesUntilTheEnd,
    /// It goes on.
    GoesOn,
    /// There is no audio at all.
    Silent,
}

impl Manner {
    pub(super) const ALL: [Self; 5] = [
        Self::PausesAndEndsAtOnce,
        Self::Pauses,
        Self::PausesUntilTheEnd,
        Self::GoesOn,
        Self::Silent,
    ];
}

/// A packet of a sender.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    /// The index of the key whose end it is.
    ends: Option<usize>,
    pub(super) arrives: bool,
}

/// The packets of a sender, frame by frame.
pub(super) fn stream(manner: Manner, format: RtpFormat, presses: &[Press]) -> Vec<Packet> {
    let payload = match format.codec {
        // A frame of silence.
        Codec::Opus => vec![0x48, 0x07, 0xff],
        _ => vec![0xff; 160],
    };
    let audio_units = format.codec.clock_rate() / 50;
    let per_ms = u64::from(format.telephone_event_clock_rate / 1000);
    let mut sequence = 65_000_u16;
    let mut packets = Vec::new();
    let mut at = 0_u64;
    let mut send = |at: u64, ends, payload_type, timestamp, marker, payload: &[u8]| {
        let header = Header {
            ssrc: 0x1111,
            sequence,
            timestamp,
            marker,
            payload_type,
        };
        sequence = sequence.wrapping_add(1);
        packets.push(Packet {
            at,
            bytes: packet(header, payload),
            ends,
            arrives: true,
        });
    };
    let timestamp = |at: u64| 4_294_000_000_u32.wrapping_add((at / 20) as u32 * audio_units);
    let event_type = format.telephone_event_out.expect("an event type");
    let audio_type = format.payload_type_out;
    for (index, press) in presses.iter().enumerate() {
        for _ in 0..press.pause.div_ceil(20) {
            if manner != Manner::Silent {
                send(at, None, audio_type, timestamp(at), false, &payload);
            }
            at += 20;
        }
        let (begun, frames) = (at, press.milliseconds.div_ceil(20));
        for frame in 1..=frames + 2 {
            let held = press.milliseconds.min(frame * 20);
            let (end, at_once) = (frame >= frames, manner == Manner::PausesAndEndsAtOnce);
            let copies = match (end, at_once) {
                (true, true) if frame > frames => break,
                (true, true) => 3,
                _ => 1,
            };
            let report = EventPayload {
                event: press.event,
                end,
                volume: 7,
                duration: (held * per_ms) as u16,
            };
            if manner == Manner::GoesOn || (manner == Manner::PausesUntilTheEnd && frame > frames) {
                send(at, None, audio_type, timestamp(at), false, &payload);
            }
            for _ in 0..copies {
                let begins = frame == 1;
                let ends = end.then_some(index);
                send(
                    at,
                    ends,
                    event_type,
                    timestamp(begun),
                    begins,
                    &report.to_bytes(),
                );
            }
            at += 20;
        }
    }
    for _ in 0..50 {
        send(at, None, audio_type, timestamp(at), false, &payload);
        at += 20;
    }
    packets
}

/// Packets of audio alone, frame by frame.
pub(super) fn stream_of(format: RtpFormat, payloads: &[Vec<u8>]) -> Vec<Packet> {
    let packets = (0..).zip(payloads).map(|(index, payload)| {
        let header = Header {
            ssrc: 0x1111,
            sequence: 65_000_u16.wrapping_add(index as u16),
            timestamp: 4_294_000_000_u32.wrapping_add(index * 160),
            marker: index == 0,
            payload_type: format.payload_type_out,
        };
        Packet {
            at: u64::from(index) * 20,
            bytes: packet(header, payload),
            ends: None,
            arrives: true,
        }
    });
    packets.collect()
}

/// Loses packets.
pub(super) fn lossy(seed: u64, mut packets: Vec<Packet>) -> Vec<Packet> {
    let mut random = Random(seed);
    for packet in &mut packets {
        packet.arrives = random.below(100) >= LOSS;
    }
    packets
}

/// Plays what arrives.
pub(super) fn play_lossy(call: &mut Call, from: Leg, packets: &[Packet]) {
    let arrive = packets.iter().filter(|packet| packet.arrives);
    let arrive: Vec<_> = arrive
        .map(|packet| (packet.at, packet.bytes.clone()))
        .collect();
    play(call, from, &arrive);
}

/// Whether nothing that came tells the length of a key: its three ends were lost in a row of more than four packets,
/// or, where a sender sends nothing else, no word follows.
pub(super) fn is_untold(packets: &[Packet], manner: Manner, key: usize) -> bool {
    let is_end = |packet: &Packet| packet.ends == Some(key);
    if packets
        .iter()
        .any(|packet| is_end(packet) && packet.arrives)
    {
        return false;
    }
    let first = packets.iter().position(is_end).expect("an end");
    let before = packets[..first].iter().rev();
    let run = before.take_while(|packet| !packet.arrives).count()
        + packets[first..]
            .iter()
            .take_while(|packet| !packet.arrives)
            .count();
    manner == Manner::Silent || (manner != Manner::GoesOn && run > 4)
}

/// Asserts that what was heard is what was pressed, and that its length is right wherever it `is_told`, and elsewhere but
/// for `few`.
#[track_caller]
pub(super) fn assert_pressed(
    heard: &[(u8, i64)],
    presses: &[Press],
    is_told: impl Fn(usize) -> bool,
    few: usize,
    what: &str,
) {
    let keys: Vec<u8> = heard.iter().map(|(event, _)| *event).collect();
    let pressed: Vec<u8> = presses.iter().map(|press| press.event).collect();
    let wrong = keys.iter().zip(&pressed).position(|(a, b)| a != b);
    if let Some(index) = wrong.or((keys.len() != pressed.len()).then_some(0)) {
        let (from, to) = (
            index.saturating_sub(2),
            (index + 3).min(keys.len()).min(pressed.len()),
        );
        panic!(
            "{what}: key {index} of {}, {} heard: {:?} instead of {:?}",
            pressed.len(),
            keys.len(),
            &heard[from..to],
            &presses[from..to]
        );
    }
    let wrong = |(index, ((_, heard), press)): (usize, (&(u8, i64), &Press))| {
        let wrong = heard - press.milliseconds as i64;
        (wrong.abs() > TOLERANCE).then_some((index, wrong))
    };
    let wrong: Vec<_> = heard
        .iter()
        .zip(presses)
        .enumerate()
        .filter_map(wrong)
        .collect();
    for (index, by) in &wrong {
        assert!(
            !is_told(*index),
            "{what}: key {index}, {:?}, is {by} ms too long",
            presses[*index]
        );
    }
    assert!(wrong.len() <= few, "{what}: {wrong:?}");
}

pub(super) fn key_of(digit: char) -> u8 {
    Digit::try_from(digit).expect("a digit").event()
}

/// Plays a sender's keys to a bridge; what it relays and what it tells must be right.
fn events_cross(from: Leg, codec: Codec, to: Codec, manner: Manner, seed: u64) {
    let what = format!("{from:?} {codec:?} {manner:?} to {to:?}, seed {seed}");
    let (browser, trunk) = match from {
        Leg::Browser => (codec, to),
        Leg::Trunk => (to, codec),
    };
    let mut call = Call::usual(browser, trunk);
    let presses = presses(seed, KEYS, 60);
    let packets = lossy(seed, stream(manner, RtpFormat::usual(codec), &presses));
    play_lossy(&mut call, from, &packets);
    let is_told = |key| !is_untold(&packets, manner, key);
    call.run_ms(2000);
    let told: Vec<(u8, i64)> = heard(&call)
        .iter()
        .map(|(_, key, milliseconds)| (key_of(*key), *milliseconds as i64))
        .collect();
    assert_pressed(&told, &presses, is_told, 1, &format!("{what}, told"));
    let format = RtpFormat::usual(to);
    let per_ms = i64::from(format.telephone_event_clock_rate / 1000);
    let sent = digits(
        call.sent(from.other()),
        format.telephone_event_out.expect("an event type"),
    );
    assert!(sent.iter().all(|digit| digit.ends == 3), "{what}");
    let relayed: Vec<(u8, i64)> = sent
        .iter()
        .map(|digit| (digit.event, digit.units as i64 / per_ms))
        .collect();
    assert_pressed(&relayed, &presses, is_told, 1, &what);
}

#[test]
fn a_thousand_events_at_48_khz_cross_a_lossy_network_to_a_telephone() {
    for (seed, manner) in (1..).zip(Manner::ALL) {
        events_cross(Leg::Browser, Codec::Opus, Codec::Pcmu, manner, seed);
    }
}

#[test]
fn a_thousand_events_at_8_khz_cross_a_lossy_network_to_a_telephone() {
    for (seed, manner) in (11..).zip(Manner::ALL) {
        events_cross(Leg::Browser, Codec::Pcmu, Codec::Pcma, manner, seed);
    }
}

#[test]
fn a_thousand_events_of_a_telephone_cross_a_lossy_network_to_a_browser_at_48_khz() {
    for (seed, manner) in (21..).zip(Manner::ALL) {
        events_cross(Leg::Trunk, Codec::Pcma, Codec::Opus, manner, seed);
    }
}

#[test]
fn a_thousand_events_of_a_telephone_cross_a_lossy_network_to_a_browser_at_8_khz() {
    for (seed, manner) in (31..).zip(Manner::ALL) {
        events_cross(Leg::Trunk, Codec::Pcmu, Codec::Pcmu, manner, seed);
    }
}
