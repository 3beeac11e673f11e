use super::*;
use crate::dtmf::payload::EventPayload;

/// Sends keys as telephone-events at a clock rate.
pub(super) struct Keypad {
    pub(super) header: Header,
    rate: u32,
    interval_ms: u64,
}

impl Keypad {
    pub(super) fn new(codec: Codec) -> Self {
        let format = RtpFormat::usual(codec);
        let payload_type = format.telephone_event_out.expect("an event type");
        let header = Header {
            ssrc: 0x1111,
            sequence: 65_500,
            timestamp: 4_294_960_000,
            marker: true,
            payload_type,
        };
        Self {
            header,
            rate: format.telephone_event_clock_rate,
            interval_ms: 20,
        }
    }

    /// The packets of a key held for `milliseconds`, each with its time after the beginning.
    pub(super) fn press(&mut self, event: u8, milliseconds: u64) -> Vec<(u64, Vec<u8>)> {
        let mut packets = Vec::new();
        let per_ms = self.rate / 1000;
        let (mut before, mut timestamp) = (0, self.header.timestamp);
        let steps = milliseconds.div_ceil(self.interval_ms);
        for step in 1..=steps + 2 {
            let held = (step * self.interval_ms).min(milliseconds);
            let mut duration = held * u64::from(per_ms) - before;
            if duration > 0xffff {
                // RFC 4733 §2.5.1.3: the segment is full, the next one begins where it ends.
                packets.push((held, self.packet(timestamp, event, false, 0xffff)));
                timestamp = timestamp.wrapping_add(0xffff);
                before += 0xffff;
                duration -= 0xffff;
            }
            packets.push((
                step * self.interval_ms,
                self.packet(timestamp, event, step >= steps, duration),
            ));
        }
        self.pause(milliseconds + 2 * self.interval_ms);
        packets
    }

    fn packet(&mut self, timestamp: u32, event: u8, end: bool, duration: u64) -> Vec<u8> {
        let payload = EventPayload {
            event,
            end,
            volume: 7,
            duration: duration as u16,
        };
        let packet = packet(
            Header {
                timestamp,
                ..self.header
            },
            &payload.to_bytes(),
        );
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.marker = false;
        packet
    }

    fn pause(&mut self, milliseconds: u64) {
        self.header.timestamp = self
            .header
            .timestamp
            .wrapping_add(milliseconds as u32 * (self.rate / 1000));
        self.header.marker = true;
    }
}

/// A digit as its receiver sees it: the event, its whole duration, its packets that end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) event: u8,
    pub(super) units: u64,
    pub(super) ends: usize,
}

/// The digits in what we sent, checked against RFC 4733 on the way.
pub(super) fn digits(sent: &[Sent], payload_type: u8) -> Vec<Digits> {
    let mut digits: Vec<Digits> = Vec::new();
    let mut last: Option<(u32, EventPayload)> = None;
    for sent in sent.iter().filter(|sent| sent.payload_type == payload_type) {
        let event = EventPayload::read(&sent.payload).expect("an event");
        match (&last, digits.last_mut()) {
            (Some((timestamp, before)), Some(digit)) if *timestamp == sent.timestamp => {
                assert!(
                    !sent.marker
                        && before.event == event.event
                        && event.duration >= before.duration
                );
                assert!(
                    !before.end || (event.end && event.duration == before.duration),
                    "an end is final"
                );
                digit.units += u64::from(event.duration - before.duration);
                digit.ends += usize::from(event.end);
            }
            (Some((timestamp, before)), Some(digit)) if !before.end => {
                // A further segment.
                assert_eq!(sent.timestamp, timestamp.wrapping_add(0xffff));
                assert!(!sent.marker && before.duration == 0xffff && before.event == event.event);
                digit.units += u64::from(event.duration);
                digit.ends += usize::from(event.end);
            }
            _ => {
                assert!(sent.marker, "the first packet of a digit is marked");
                let (units, ends) = (u64::from(event.duration), usize::from(event.end));
                digits.push(Digits {
                    event: event.event,
                    units,
                    ends,
                });
            }
        }
        last = Some((sent.timestamp, event));
    }
    digits
}

pub(super) fn play(call: &mut Call, from: Leg, packets: &[(u64, Vec<u8>)]) {
    let start = call.now;
    for (after, packet) in packets {
        call.run_to(start + Duration::from_millis(*after));
        call.rtp(from, packet);
    }
}

pub(super) fn heard(call: &Call) -> Vec<(Leg, char, u128)> {
    let digits = call.events.iter().filter_map(|event| match event {
        BridgeEvent::Dtmf {
            from,
            digit,
            duration,
        } => Some((*from, char::from(*digit), duration.as_millis())),
        BridgeEvent::FirstPacket { .. } => None,
    });
    digits.collect()
}

#[test]
fn every_digit_crosses_both_ways_at_the_other_sides_clock() {
    let ways = [
        (Leg::Browser, Codec::Opus, 101, 8),
        (Leg::Trunk, Codec::Pcmu, 110, 48),
    ];
    for (from, codec, payload_type, per_ms) in ways {
        let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
        let mut keypad = Keypad::new(codec);
        for event in 0..16 {
            play(&mut call, from, &keypad.press(event, 100));
            call.run_ms(100);
            keypad.pause(100);
        }
        let sent = digits(call.sent(from.other()), payload_type);
        let expected: Vec<_> = (0..16)
            .map(|event| Digits {
                event,
                units: 100 * per_ms,
                ends: 3,
            })
            .collect();
        assert_eq!(sent, expected);
        let expected: Vec<_> = "0123456789*#ABCD"
            .chars()
            .map(|key| (from, key, 100))
            .collect();
        assert_eq!(heard(&call), expected);
        let levels: Vec<u8> = call
            .sent(from.other())
            .iter()
            .map(|sent| sent.payload[1] & 0x3f)
            .collect();
        assert!(
            levels.iter().all(|level| *level == 7),
            "the level is relayed"
        );
    }
}

#[test]
fn a_packet_of_an_event_leaves_every_packet_time() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    play(
        &mut call,
        Leg::Browser,
        &Keypad::new(Codec::Opus).press(5, 200),
    );
    call.run_ms(200);
    let times: Vec<_> = call
        .to_trunk
        .iter()
        .map(|sent| sent.at.as_millis())
        .collect();
    // The last report is due at the moment at which the end is told of, and both are sent.
    let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps, [20, 20, 20, 20, 20, 20, 20, 20, 20, 0, 20, 20]);
}

#[test]
fn long_digits_go_on_in_segments() {
    // 65535 units are 1.365 s at 48 kHz and 8.192 s at 8 kHz.
    for milliseconds in [1400, 3000, 6000, 20_000] {
        let ways = [
            (Leg::Browser, Codec::Opus, 101, 8),
            (Leg::Trunk, Codec::Pcmu, 110, 48),
        ];
        for (from, codec, payload_type, per_ms) in ways {
            let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
            play(&mut call, from, &Keypad::new(codec).press(7, milliseconds));
            call.run_ms(500);
            let sent = digits(call.sent(from.other()), payload_type);
            assert_eq!(
                sent,
                [Digits {
                    event: 7,
                    units: milliseconds * per_ms,
                    ends: 3
                }]
            );
            assert_eq!(heard(&call), [(from, '7', u128::from(milliseconds))]);
        }
    }
}

#[test]
fn each_digit_is_heard_once_whatever_the_network_does() {
    for seed in 0..300_u64 {
        let mut random = Random(seed);
        let (from, codec, payload_type) = if seed % 2 == 0 {
            (Leg::Browser, Codec::Opus, 101)
        } else {
            (Leg::Trunk, Codec::Pcmu, 110)
        };
        let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
        let mut keypad = Keypad::new(codec);
        keypad.interval_ms = [20, 50][random.below(2)];
        let (mut arrivals, mut keys, mut at) = (Vec::new(), Vec::new(), 0);
        for _ in 0..12 {
            // Few keys, so that the same one often comes twice in a row.
            let (event, length) = (random.below(3) as u8, 80 + random.below(200) as u64);
            let packets = keypad.press(event, length);
            let mut survivors = 0;
            for (after, packet) in &packets {
                let fate = random.below(10);
                if fate < 2 {
                    continue;
                }
                survivors += 1;
                arrivals.push((at + after + random.below(30) as u64, packet.clone()));
                if fate > 7 {
                    arrivals.push((at + after + random.below(60) as u64, packet.clone()));
                }
            }
            if survivors > 0 {
                keys.push(event);
            }
            let pause = 80 + random.below(100) as u64;
            keypad.pause(pause);
            at += length + 2 * keypad.interval_ms + pause;
        }
        arrivals.sort();
        play(&mut call, from, &arrivals);
        call.run_ms(3000);
        let sent = digits(call.sent(from.other()), payload_type);
        let events: Vec<_> = sent.iter().map(|digit| digit.event).collect();
        assert_eq!(events, keys, "seed {seed}");
        assert!(
            sent.iter().all(|digit| digit.ends == 3),
            "seed {seed}: {sent:?}"
        );
        assert_eq!(heard(&call).len(), keys.len(), "seed {seed}");
    }
}

#[test]
fn a_digit_whose_start_was_lost_is_as_long_as_it_was() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let packets = Keypad::new(Codec::Opus).press(9, 160);
    // Only one of the ends comes.
    play(&mut call, Leg::Browser, &packets[packets.len() - 1..]);
    call.run_ms(1000);
    assert_eq!(
        digits(&call.to_trunk, 101),
        [Digits {
            event: 9,
            units: 160 * 8,
            ends: 3
        }]
    );
}

#[test]
fn a_digit_whose_ends_were_lost_ends_after_a_while_or_with_the_next_one() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut keypad = Keypad::new(Codec::Opus);
    let first = keypad.press(1, 100);
    play(&mut call, Leg::Browser, &first[..4]);
    call.run_ms(60);
    keypad.pause(60);
    assert_eq!(heard(&call), []);
    play(&mut call, Leg::Browser, &keypad.press(2, 100)[..3]);
    // Three packets are missing between the two: the ends of the first.
    assert_eq!(heard(&call), [(Leg::Browser, '1', 100)]);
    call.run_ms(1000);
    assert_eq!(
        heard(&call),
        // Of the second no more is known than that its end was lost.
        [(Leg::Browser, '1', 100), (Leg::Browser, '2', 80)]
    );
    let expected = [
        Digits {
            event: 1,
            units: 800,
            ends: 3,
        },
        Digits {
            event: 2,
            units: 640,
            ends: 3,
        },
    ];
    assert_eq!(digits(&call.to_trunk, 101), expected);
}

#[test]
fn flash_and_broken_events_are_ignored() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut keypad = Keypad::new(Codec::Opus);
    for event in [16, 17, 36, 255] {
        play(&mut call, Leg::Browser, &keypad.press(event, 100));
    }
    for length in 0..4 {
        let broken = packet(
            Header {
                marker: true,
                ..keypad.header
            },
            &[1, 0x80, 0, 100][..length],
        );
        keypad.header.sequence = keypad.header.sequence.wrapping_add(1);
        call.rtp(Leg::Browser, &broken);
    }
    call.run_ms(1000);
    assert!(call.to_trunk.is_empty() && heard(&call).is_empty());
}

#[test]
fn audio_makes_room_for_an_event_and_comes_back_marked_and_in_time() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Opus, 20);
    for index in 0..60 {
        call.rtp(Leg::Browser, &phone.next());
        if index == 20 {
            // The browser's page asks for a key by signalling while its audio goes on.
            let key = Digit::try_from('#').expect("a key");
            call.bridge
                .send_dtmf(call.instant(), Leg::Trunk, key, Duration::from_millis(200))
                .expect("room");
            call.collect();
        }
        call.run_ms(20);
    }
    assert_eq!(
        digits(&call.to_trunk, 101),
        [Digits {
            event: 11,
            units: 1600,
            ends: 3
        }]
    );
    let begin = call
        .to_trunk
        .iter()
        .position(|sent| sent.payload_type == 101)
        .expect("it begins");
    let end = call
        .to_trunk
        .iter()
        .position(|sent| sent.payload.len() == 4 && sent.payload[1] >= 0x80);
    let during = &call.to_trunk[begin..end.expect("it ends")];
    assert!(
        during.iter().all(|sent| sent.payload_type == 101),
        "audio between"
    );
    let audio = call.audio_to(Leg::Trunk);
    let marked: Vec<_> = audio.iter().skip(1).filter(|sent| sent.marker).collect();
    assert_eq!(marked.len(), 1);
    assert_eq!(
        audio[audio.len() - 1]
            .timestamp
            .wrapping_sub(audio[0].timestamp),
        59 * 160
    );
    for pair in call.to_trunk.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    // The event stands in the stream's own time: right behind the audio before it.
    assert_eq!(
        call.to_trunk[begin].timestamp,
        call.to_trunk[begin - 1].timestamp.wrapping_add(160)
    );
}

#[test]
fn an_event_after_silence_stands_at_the_time_that_it_is() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Opus, 20);
    call.rtp(Leg::Browser, &phone.next());
    call.run_ms(1000);
    let key = Digit::try_from('5').expect("a key");
    call.bridge
        .send_dtmf(call.instant(), Leg::Trunk, key, Duration::from_millis(100))
        .expect("room");
    call.run_ms(1000);
    phone.pause(8000 * 2 - 160);
    call.rtp(Leg::Browser, &phone.next());
    let first = call.to_trunk[0].timestamp;
    let event = call
        .to_trunk
        .iter()
        .find(|sent| sent.payload_type == 101)
        .expect("an event");
    assert!(event.timestamp.wrapping_sub(first).abs_diff(8000) <= 160);
    let last = call.to_trunk.last().expect("audio");
    assert_eq!(
        last.timestamp.wrapping_sub(first),
        16_000,
        "the pause is not counted twice"
    );
}

#[test]
fn digits_of_signalling_follow_each_other_with_a_pause_and_their_queue_is_bounded() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let press = |call: &mut Call, key: char| {
        let key = Digit::try_from(key).expect("a key");
        call.bridge
            .send_dtmf(call.instant(), Leg::Trunk, key, Duration::from_millis(100))
    };
    for key in "12#".chars() {
        press(&mut call, key).expect("room");
    }
    call.run_ms(2000);
    let events: Vec<_> = digits(&call.to_trunk, 101)
        .iter()
        .map(|digit| (digit.event, digit.units))
        .collect();
    assert_eq!(events, [(1, 800), (2, 800), (11, 800)]);
    let starts: Vec<_> = call
        .to_trunk
        .iter()
        .filter(|sent| sent.marker)
        .map(|sent| sent.at)
        .collect();
    for pair in starts.windows(2) {
        // 100 ms down, at least 60 ms up.
        assert!(
            pair[1] - pair[0] >= Duration::from_millis(160),
            "{starts:?}"
        );
    }
    let taken = (0..100).filter(|_| press(&mut call, '1').is_ok()).count();
    assert!((32..=33).contains(&taken), "{taken}");
    assert_eq!(press(&mut call, '1'), Err(DtmfQueueFull));
}

#[test]
fn a_leg_without_events_gets_none_and_its_queue_does_not_fill() {
    let mut trunk = RtpFormat::usual(Codec::Pcmu);
    trunk.telephone_event_out = None;
    let mut call = Call::new(RtpFormat::usual(Codec::Opus), trunk);
    let mut keypad = Keypad::new(Codec::Opus);
    for _ in 0..50 {
        play(&mut call, Leg::Browser, &keypad.press(3, 60));
        keypad.pause(60);
    }
    assert!(call.to_trunk.iter().all(|sent| sent.payload_type == 0));
    assert_eq!(heard(&call).len(), 50);
    let key = Digit::try_from('3').expect("a key");
    let pressed = call
        .bridge
        .send_dtmf(call.instant(), Leg::Trunk, key, Duration::from_millis(60));
    assert_eq!(pressed, Ok(()));
}

#[test]
fn digits_are_not_shown_in_debug_output() {
    let key = Digit::try_from('7').expect("a key");
    let event = BridgeEvent::Dtmf {
        from: Leg::Browser,
        digit: key,
        duration: Duration::ZERO,
    };
    assert!(!format!("{event:?}").contains('7'));
    assert_eq!(char::from(key), '7');
    assert!(Digit::try_from('x').is_err());
}

/// Numbers for the network's whims.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
