//! Keys as tones in the telephone's audio, both ways, over a network that loses every fifth packet.

use codecs::tone::{DtmfDetector, DtmfHeard, DtmfTone};

use super::dtmf::{digits, heard};
use super::keys::{
    KEYS, Manner, Packet, Press, assert_pressed, is_untold, key_of, lossy, play_lossy, presses,
    stream, stream_of,
};
use super::*;
use crate::DtmfWay;

fn call(browser: Codec, trunk: Codec) -> Call {
    let mut format = RtpFormat::usual(trunk);
    format.telephone_event_in = None;
    format.telephone_event_out = None;
    let mut call = Call::new(RtpFormat::usual(browser), format);
    let now = call.instant();
    call.bridge.set_dtmf(now, Leg::Trunk, DtmfWay::Tones);
    call
}

/// The keys in audio, with their lengths in milliseconds.
fn keys_in(pcm: &[i16]) -> Vec<(u8, i64)> {
    let mut detector = DtmfDetector::new();
    let mut keys = Vec::new();
    let mut note = |heard| {
        if let DtmfHeard::Ended { key, held } = heard {
            keys.push((key_of(key), i64::from(held) / 8));
        }
    };
    detector.hear(pcm, &mut note);
    detector.finish(&mut note);
    keys
}

/// What the bridge told of keys, in milliseconds.
fn told(call: &Call) -> Vec<(u8, i64)> {
    let keys = heard(call).into_iter();
    keys.map(|(_, key, milliseconds)| (key_of(key), milliseconds as i64))
        .collect()
}

fn events_become_tones(browser: Codec, trunk: Codec, manner: Manner, seed: u64) {
    let what = format!("{browser:?} {manner:?} to {trunk:?}, seed {seed}");
    let mut call = call(browser, trunk);
    let presses = presses(seed, KEYS, 60);
    let packets = lossy(seed, stream(manner, RtpFormat::usual(browser), &presses));
    play_lossy(&mut call, Leg::Browser, &packets);
    call.run_ms(2000);
    let sent = call.audio_to(Leg::Trunk);
    let trunk_type = RtpFormat::usual(trunk).payload_type_out;
    let is_event = |sent: &Sent| sent.payload_type != trunk_type;
    assert!(
        !call.to_trunk.iter().any(is_event),
        "{what}: there are no events"
    );
    assert_continuous(&sent, 160);
    let is_told = |key| !is_untold(&packets, manner, key);
    let told = told(&call);
    assert_pressed(&told, &presses, is_told, 1, &what);
    // What the detector of this test measures is a few milliseconds off by itself.
    let played = keys_in(&hear(&sent));
    assert_eq!(played.len(), told.len(), "{what}");
    for (played, told) in played.iter().zip(&told) {
        assert!(
            played.0 == told.0 && (played.1 - told.1).abs() <= 6,
            "{what}: {played:?} instead of {told:?}"
        );
    }
}

#[test]
fn a_thousand_events_at_48_khz_become_tones() {
    for (seed, manner) in (41..).zip(Manner::ALL) {
        events_become_tones(Codec::Opus, Codec::Pcmu, manner, seed);
    }
}

#[test]
fn a_thousand_events_at_8_khz_become_tones() {
    for (seed, manner) in (51..).zip(Manner::ALL) {
        events_become_tones(Codec::Pcma, Codec::Pcma, manner, seed);
    }
}

#[test]
fn a_thousand_keys_of_signalling_become_tones() {
    for trunk in [Codec::Pcmu, Codec::Pcma] {
        let mut call = call(Codec::Opus, trunk);
        let presses = presses(7, 500, 60);
        let mut phone = Phone::new(Codec::Opus, 20);
        for press in &presses {
            let digit = Digit::from_event(press.event).expect("a digit");
            let length = Duration::from_millis(press.milliseconds);
            let now = call.instant();
            let queued = call.bridge.send_dtmf(now, Leg::Trunk, digit, length);
            queued.expect("there is room");
            // The browser talks all the while.
            for _ in 0..=press.milliseconds.div_ceil(20) + 4 {
                call.rtp(Leg::Browser, &phone.next());
                call.run_ms(20);
            }
        }
        let sent = call.audio_to(Leg::Trunk);
        assert_continuous(&sent, 160);
        let keys = keys_in(&hear(&sent));
        assert_pressed(&keys, &presses, |_| true, 0, &format!("{trunk:?}"));
    }
}

/// The audio of a telephone that dials in it.
fn dialled(presses: &[Press]) -> Vec<i16> {
    let mut pcm = vec![0; 1600];
    for press in presses {
        let digit = Digit::from_event(press.event).expect("a digit");
        let mut tone = DtmfTone::with_twist(digit.into(), -9.0, 2.0).expect("a key");
        let begin = pcm.len();
        pcm.resize(begin + press.milliseconds as usize * 8, 0);
        tone.fill(&mut pcm[begin..]);
        pcm.resize(pcm.len() + press.pause as usize * 8, 0);
    }
    pcm.resize(pcm.len().next_multiple_of(160) + 3200, 0);
    pcm
}

fn encoded(law: Law, pcm: &[i16]) -> Vec<Vec<u8>> {
    let encode = |pcm: &[i16]| {
        let mut octets = vec![0; pcm.len()];
        g711::encode_into(law, pcm, &mut octets);
        octets
    };
    pcm.chunks(160).map(encode).collect()
}

fn mu_law(pcm: &[i16]) -> Vec<Vec<u8>> {
    encoded(Law::Mu, pcm)
}

/// Whether the lost packets at the beginning of a key and at its end are one each at most, and stand alone: with two
/// packets apart of less than 40 ms there may be too little between them to be sure that it is a key.
fn edges_arrive(packets: &[Packet], presses: &[Press], key: usize) -> bool {
    let before: u64 = presses[..key]
        .iter()
        .map(|press| press.milliseconds + press.pause)
        .sum();
    let begin = 200 + before;
    let edges = [begin, begin + presses[key].milliseconds];
    edges.iter().all(|at| {
        let at = (at / 20) as usize;
        let lost = |packet: &&Packet| !packet.arrives;
        packets[at - 2..=at + 3].iter().filter(lost).count() <= 1
    })
}

fn tones_become_events(trunk: Codec, browser: Codec, seed: u64) {
    let what = format!("{trunk:?} to {browser:?}, seed {seed}");
    let mut call = call(browser, trunk);
    // Of a shorter one every packet may be lost, one time in a thousand.
    let presses = presses(seed, 500, 120);
    let payloads = encoded(trunk.law().expect("G.711"), &dialled(&presses));
    let packets = lossy(seed, stream_of(RtpFormat::usual(trunk), &payloads));
    play_lossy(&mut call, Leg::Trunk, &packets);
    call.run_ms(2000);
    // The edges of a tone may lie in lost packets: three of them in a row leave 60 ms open, 30 either way.
    let is_told = |key| edges_arrive(&packets, &presses, key);
    assert_pressed(
        &told(&call),
        &presses,
        is_told,
        16,
        &format!("{what}, told"),
    );
    let format = RtpFormat::usual(browser);
    let per_ms = i64::from(format.telephone_event_clock_rate / 1000);
    let event_type = format.telephone_event_out.expect("an event type");
    let sent: Vec<(u8, i64)> = digits(call.sent(Leg::Browser), event_type)
        .iter()
        .map(|digit| (digit.event, digit.units as i64 / per_ms))
        .collect();
    assert_pressed(&sent, &presses, is_told, 16, &what);
}

#[test]
fn a_thousand_tones_become_events_at_48_khz() {
    tones_become_events(Codec::Pcmu, Codec::Opus, 61);
    tones_become_events(Codec::Pcma, Codec::Opus, 62);
}

#[test]
fn a_thousand_tones_become_events_at_8_khz() {
    tones_become_events(Codec::Pcma, Codec::Pcma, 63);
    tones_become_events(Codec::Pcmu, Codec::Pcma, 64);
}

#[test]
fn tones_that_go_on_as_events_are_not_heard_as_well() {
    for browser in [Codec::Opus, Codec::Pcmu] {
        let mut call = call(browser, Codec::Pcmu);
        let presses = presses(8, 100, 60);
        let packets = stream_of(RtpFormat::usual(Codec::Pcmu), &mu_law(&dialled(&presses)));
        play_lossy(&mut call, Leg::Trunk, &packets);
        call.run_ms(500);
        assert_pressed(&told(&call), &presses, |_| true, 0, "told");
        assert_eq!(keys_in(&hear(&call.audio_to(Leg::Browser))), []);
    }
}

#[test]
fn a_tone_whose_sender_falls_silent_ends() {
    let mut call = call(Codec::Opus, Codec::Pcmu);
    let presses = [Press {
        event: 5,
        milliseconds: 200,
        pause: 100,
    }];
    let packets = stream_of(RtpFormat::usual(Codec::Pcmu), &mu_law(&dialled(&presses)));
    play_lossy(&mut call, Leg::Trunk, &packets[..16]);
    call.run_ms(1000);
    let [(Leg::Trunk, '5', held)] = heard(&call)[..] else {
        panic!("{:?}", heard(&call));
    };
    assert!((100..=130).contains(&held), "{held}");
}

#[test]
fn keys_that_cross_by_signalling_are_told_and_neither_sent_nor_kept() {
    let mut call = call(Codec::Opus, Codec::Pcmu);
    let now = call.instant();
    call.bridge.set_dtmf(now, Leg::Trunk, DtmfWay::Signalling);
    let presses = presses(3, 100, 60);
    let manner = Manner::PausesAndEndsAtOnce;
    let packets = stream(manner, RtpFormat::usual(Codec::Opus), &presses);
    play_lossy(&mut call, Leg::Browser, &packets);
    call.run_ms(500);
    assert_pressed(&told(&call), &presses, |_| true, 0, "told");
    assert!(call.to_trunk.iter().all(|sent| sent.payload_type == 0));
    assert_eq!(keys_in(&hear(&call.audio_to(Leg::Trunk))), []);
}
