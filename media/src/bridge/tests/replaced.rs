//! Another telephone in the browser's place.

use super::dtmf::{Keypad, digits, heard, play};
use super::*;

/// A second of audio each way.
fn talk(call: &mut Call, phones: &mut [(Leg, Phone)]) {
    for _ in 0..50 {
        for (leg, phone) in &mut *phones {
            let packet = phone.next();
            call.rtp(*leg, &packet);
        }
        call.run_ms(20);
    }
}

#[test]
fn the_telephones_stream_goes_on_and_the_others_begins() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let phone = (Leg::Trunk, Phone::new(Codec::Pcmu, 20));
    let browser = (Leg::Browser, Phone::new(Codec::Opus, 20));
    let mut phones = [phone, browser];
    talk(&mut call, &mut phones);
    let (before, told) = (call.to_trunk.len(), call.to_browser.len());
    let format = RtpFormat::usual(Codec::Pcma);
    let now = call.instant();
    call.bridge.replace_browser(now, format, BROWSER_START);
    phones[1].1 = Phone::new(Codec::Pcma, 20);
    talk(&mut call, &mut phones);
    let heard = call.to_trunk.get(before..).unwrap();
    assert!(heard.len() >= 50, "{}", heard.len());
    assert!(heard.iter().all(|sent| sent.payload_type == 0));
    assert_continuous(&call.to_trunk, 160);
    let begun = call.to_browser.get(told..).unwrap();
    assert!(begun.len() >= 50, "{}", begun.len());
    assert!(begun.iter().all(|sent| sent.payload_type == 8));
    assert_eq!(begun[0].sequence, BROWSER_START.sequence);
    assert_continuous(begun, 160);
    let report = call.bridge.report();
    assert_eq!(report.browser.packets_in, 50, "the other's alone");
    assert_eq!(report.trunk.packets_in, 100);
}

#[test]
fn two_telephones_need_no_browser_before() {
    let now = Instant::now();
    let config = BridgeConfig::new(None, BROWSER_START, TRUNK_START, "gateway", 7);
    let mut bridge = Bridge::new(now, config);
    let (one, other) = (Codec::Pcmu, Codec::G722);
    bridge.connect_trunk(now, RtpFormat::usual(one));
    bridge.handle_rtp(now, Leg::Browser, &Phone::new(one, 20).next());
    let mut buffer = [0; 1500];
    assert_eq!(
        bridge.poll_transmit(now, &mut buffer),
        None,
        "nobody to hear"
    );
    bridge.replace_browser(now, RtpFormat::usual(other), BROWSER_START);
    bridge.handle_rtp(now, Leg::Trunk, &Phone::new(one, 20).next());
    let sent = bridge.poll_transmit(now, &mut buffer).expect("a packet");
    assert_eq!((sent.leg, sent.kind), (Leg::Browser, PacketKind::Rtp));
}

#[test]
fn a_key_that_is_down_when_another_takes_the_place_is_let_go() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phones = [(Leg::Browser, Phone::new(Codec::Opus, 20))];
    talk(&mut call, &mut phones);
    let mut keypad = Keypad::new(Codec::Opus);
    let spoken = phones[0].1.header;
    (keypad.header.sequence, keypad.header.timestamp) = (spoken.sequence, spoken.timestamp);
    let down = keypad.press(5, 1000);
    // It is not let go.
    play(&mut call, Leg::Browser, &down[..20]);
    let now = call.instant();
    let format = RtpFormat::usual(Codec::Pcma);
    call.bridge.replace_browser(now, format, BROWSER_START);
    let before = call.to_trunk.len();
    let events = RtpFormat::usual(Codec::Pcmu).telephone_event_out.unwrap();
    let mut phones = [(Leg::Browser, Phone::new(Codec::Pcma, 20))];
    talk(&mut call, &mut phones);
    let keys = digits(&call.to_trunk, events);
    assert_eq!((keys.len(), keys[0].event, keys[0].ends), (1, 5, 3));
    let after = call.to_trunk.get(before..).unwrap();
    let voice = after.iter().filter(|sent| sent.payload_type == 0);
    assert!(voice.count() >= 45, "the other is heard");
    assert_eq!(heard(&call), [], "it is none of the other's");
}
