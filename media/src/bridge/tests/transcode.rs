use codecs::tone::{level, power_at, power_level};

use super::*;

/// Plays a tone both ways for a second and gives the call.
fn talk(mut call: Call, browser: (Codec, usize), trunk: (Codec, usize)) -> Call {
    let (mut caller, mut callee) = (
        Phone::new(browser.0, browser.1),
        Phone::new(trunk.0, trunk.1),
    );
    call.ptime = [browser.1, trunk.1].map(|ptime| Duration::from_millis(ptime as u64));
    for millisecond in 0..1000 {
        call.run_to(Duration::from_millis(millisecond));
        if (millisecond as usize).is_multiple_of(browser.1) {
            call.rtp(Leg::Browser, &caller.next());
        }
        if (millisecond as usize).is_multiple_of(trunk.1) {
            call.rtp(Leg::Trunk, &callee.next());
        }
    }
    call.run_ms(200);
    call
}

fn assert_tone(pcm: &[i16]) {
    let pcm = &pcm[800..pcm.len() - 160];
    let loud = level(pcm);
    assert!((loud + 16.0).abs() < 1.0, "level {loud}");
    let share = power_level(power_at(pcm, 440.0)) - loud;
    assert!(share > -0.5, "440 Hz is {share} dB of it");
}

#[test]
fn every_pair_of_codecs_carries_a_tone_both_ways() {
    for browser in [Codec::Opus, Codec::Pcmu, Codec::Pcma] {
        for trunk in [Codec::Pcmu, Codec::Pcma, Codec::Opus] {
            let call = talk(Call::usual(browser, trunk), (browser, 20), (trunk, 20));
            for leg in [Leg::Browser, Leg::Trunk] {
                let sent = call.audio_to(leg);
                assert_eq!(sent.len(), 50, "{browser:?} {trunk:?}");
                assert_continuous(&sent, 160);
                assert_tone(&hear(&sent));
                assert!(sent[0].marker && sent[1..].iter().all(|sent| !sent.marker));
            }
        }
    }
}

#[test]
fn an_in_order_packet_leaves_at_once() {
    let call = talk(
        Call::usual(Codec::Opus, Codec::Pcmu),
        (Codec::Opus, 20),
        (Codec::Pcmu, 20),
    );
    for leg in [Leg::Browser, Leg::Trunk] {
        for (index, sent) in call.audio_to(leg).iter().enumerate() {
            assert_eq!(sent.at, Duration::from_millis(20 * index as u64));
        }
    }
}

#[test]
fn our_streams_begin_where_they_are_told_to() {
    let call = talk(
        Call::usual(Codec::Opus, Codec::Pcmu),
        (Codec::Opus, 20),
        (Codec::Pcmu, 20),
    );
    for (leg, start) in [(Leg::Browser, BROWSER_START), (Leg::Trunk, TRUNK_START)] {
        let first = &call.sent(leg)[0];
        assert_eq!(
            (first.sequence, first.timestamp),
            (start.sequence, start.timestamp)
        );
    }
}

#[test]
fn g711_of_one_law_is_copied_octet_by_octet() {
    let mut call = Call::usual(Codec::Pcmu, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 20);
    for round in 0..8_u8 {
        // Every octet, also mu-law's two zeros, which linear audio cannot tell apart.
        let payload: Vec<u8> = (0..160)
            .map(|index| index as u8 ^ round.wrapping_mul(37))
            .collect();
        let mut packet = phone.next();
        packet[HEADER..].copy_from_slice(&payload);
        call.rtp(Leg::Trunk, &packet);
        assert_eq!(call.to_browser[usize::from(round)].payload, payload);
        call.run_ms(20);
    }
}

#[test]
fn packets_of_10_to_60_ms_become_packets_of_10_to_60_ms() {
    for (browser, trunk) in [
        (Codec::Opus, Codec::Pcmu),
        (Codec::Pcma, Codec::Pcmu),
        (Codec::Pcmu, Codec::Pcmu),
    ] {
        for theirs in [10, 20, 30, 40, 50, 60] {
            for ours in [10, 20, 30, 40, 50, 60] {
                let mut format = RtpFormat::usual(browser);
                format.ptime = Duration::from_millis(ours);
                let call = talk(
                    Call::new(format, RtpFormat::usual(trunk)),
                    (browser, 20),
                    (trunk, theirs),
                );
                let size = format.packet_samples();
                let sent = call.audio_to(Leg::Browser);
                let came = 1000_usize.div_ceil(theirs) * theirs * 8;
                assert_eq!(sent.len(), came / size, "{theirs} ms to {ours} ms");
                assert_continuous(&sent, size as u32);
                assert_tone(&hear(&sent));
                assert_no_bursts(&sent, size);
            }
        }
    }
}

/// No two packets leave within half of a packet's time, unless their time is more than that of a packet of theirs.
fn assert_no_bursts(sent: &[Sent], samples: usize) {
    let half = Duration::from_micros(samples as u64 * 125) / 2;
    for pair in sent.windows(2) {
        assert!(
            pair[1].at - pair[0].at >= half,
            "{:?} {:?}",
            pair[0].at,
            pair[1].at
        );
    }
}

#[test]
fn opus_keeps_to_its_own_durations() {
    for (asked, samples) in [
        (10, 80),
        (20, 160),
        (30, 160),
        (40, 320),
        (50, 320),
        (60, 480),
        (0, 80),
        (500, 480),
    ] {
        let mut format = RtpFormat::usual(Codec::Opus);
        format.ptime = Duration::from_millis(asked);
        assert_eq!(format.packet_samples(), samples);
    }
}

#[test]
fn a_pause_moves_our_timestamps_by_real_time_and_marks_the_next_packet() {
    for (browser, trunk) in [
        (Codec::Opus, Codec::Pcmu),
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Opus, Codec::Opus),
    ] {
        let mut call = Call::usual(browser, trunk);
        let mut phone = Phone::new(browser, 20);
        for _ in 0..10 {
            call.rtp(Leg::Browser, &phone.next());
            call.run_ms(20);
        }
        // DTX: 400 ms without a packet, and no gap in the sequence numbers.
        phone.pause(3200);
        call.run_ms(400);
        call.rtp(Leg::Browser, &phone.next());
        let sent = call.audio_to(Leg::Trunk);
        // Nothing told of the pause, so it began with made-up audio, but for packets that go on as they are.
        let made_up = if trunk == Codec::Opus { 0 } else { 15 };
        assert_eq!(sent.len(), 11 + made_up);
        let units = trunk.units_per_sample();
        let last = &sent[10 + made_up];
        assert_eq!(last.timestamp.wrapping_sub(sent[9].timestamp), 3360 * units);
        assert!(last.marker);
        assert_eq!(last.at, call.now, "what came after a pause leaves at once");
        let report = call.bridge.report().browser;
        assert_eq!(report.concealed.as_millis(), made_up as u128 * 20);
        assert_eq!(report.lost, 0);
    }
}

#[test]
fn a_pause_in_the_middle_of_a_packet_of_ours_is_silence() {
    let mut trunk = RtpFormat::usual(Codec::Pcmu);
    trunk.ptime = Duration::from_millis(20);
    let mut call = Call::new(RtpFormat::usual(Codec::Opus), trunk);
    let mut phone = Phone::new(Codec::Opus, 10);
    for _ in 0..3 {
        call.rtp(Leg::Browser, &phone.next());
        call.run_ms(10);
    }
    phone.pause(3200);
    call.run_ms(400);
    call.rtp(Leg::Browser, &phone.next());
    call.run_ms(10);
    call.rtp(Leg::Browser, &phone.next());
    let sent = call.audio_to(Leg::Trunk);
    // 30 ms of audio, 300 made up until it was clear that this is a pause.
    assert_eq!(sent.len(), 18);
    let silence = g711::encode(Law::Mu, 0);
    assert!(sent[16].payload[80..].iter().all(|octet| *octet == silence));
    // 10 ms of silence that fill the packet, 90 of the pause.
    assert_eq!(
        sent[17].timestamp.wrapping_sub(sent[16].timestamp),
        160 + 720
    );
    assert!(sent[17].marker);
}

#[test]
fn before_the_trunk_is_connected_audio_is_counted_and_dropped() {
    let mut call = Call::ringing(RtpFormat::usual(Codec::Opus));
    let mut phone = Phone::new(Codec::Opus, 20);
    for _ in 0..10 {
        call.rtp(Leg::Browser, &phone.next());
        call.rtp(Leg::Trunk, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0xff]);
        call.run_ms(20);
    }
    assert!(call.to_browser.is_empty() && call.to_trunk.is_empty());
    assert_eq!(call.bridge.report().browser.packets_in, 10);
    let trunk = call.bridge.report().trunk;
    assert_eq!((trunk.bad_packets, trunk.duplicates), (1, 9));
    assert_eq!(
        call.events,
        [BridgeEvent::FirstPacket { from: Leg::Browser }]
    );
    call.bridge
        .connect_trunk(call.instant(), RtpFormat::usual(Codec::Pcmu));
    call.rtp(Leg::Browser, &phone.next());
    assert_eq!(call.to_trunk.len(), 1);
    assert_eq!(call.to_trunk[0].sequence, TRUNK_START.sequence);
}

#[test]
fn another_format_of_the_trunk_leaves_our_streams_without_a_jump() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let (mut caller, mut callee) = (Phone::new(Codec::Opus, 20), Phone::new(Codec::Pcmu, 20));
    let second = |call: &mut Call, caller: &mut Phone, callee: &mut Phone| {
        for _ in 0..50 {
            call.rtp(Leg::Browser, &caller.next());
            call.rtp(Leg::Trunk, &callee.next());
            call.run_ms(20);
        }
    };
    second(&mut call, &mut caller, &mut callee);
    call.bridge
        .connect_trunk(call.instant(), RtpFormat::usual(Codec::Pcma));
    (callee.codec, callee.header.payload_type) = (Codec::Pcma, 8);
    second(&mut call, &mut caller, &mut callee);
    call.bridge
        .connect_trunk(call.instant(), RtpFormat::usual(Codec::Opus));
    callee = Phone::new(Codec::Opus, 20);
    callee.header.ssrc = 0x2222;
    second(&mut call, &mut caller, &mut callee);
    for leg in [Leg::Browser, Leg::Trunk] {
        let sent = call.audio_to(leg);
        // A new source counts at once only after the old one has been quiet: one packet of it may be missing.
        assert!(sent.len() >= 149, "{}", sent.len());
        for pair in sent.windows(2) {
            let units = if pair[0].payload_type == 111 { 6 } else { 1 };
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) / units;
            assert!((160..=320).contains(&step), "{step}");
        }
        assert_tone(&hear(&sent[..100]));
    }
}

#[test]
fn hold_sends_nothing_and_its_time_passes() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Opus, 20);
    for index in 0..30 {
        if index == 10 {
            call.bridge.set_trunk_sending(false);
        }
        if index == 20 {
            call.bridge.set_trunk_sending(true);
        }
        call.rtp(Leg::Browser, &phone.next());
        call.run_ms(20);
    }
    let sent = call.audio_to(Leg::Trunk);
    assert_eq!(sent.len(), 20);
    assert_eq!(sent[10].sequence, sent[9].sequence.wrapping_add(1));
    assert_eq!(sent[10].timestamp.wrapping_sub(sent[9].timestamp), 11 * 160);
    assert!(sent[10].marker);
}

#[test]
fn a_browser_on_g711_may_send_either_law() {
    let mut call = Call::usual(Codec::Pcmu, Codec::Pcmu);
    let (mut mu, mut a) = (Phone::new(Codec::Pcmu, 20), Phone::new(Codec::Pcma, 20));
    for index in 0..50 {
        let packet = if index < 25 { mu.next() } else { a.next() };
        if index < 25 {
            let _ = a.next();
        }
        call.rtp(Leg::Browser, &packet);
        call.run_ms(20);
    }
    let sent = call.audio_to(Leg::Trunk);
    assert_eq!(sent.len(), 50);
    assert!(sent.iter().all(|sent| sent.payload_type == 0));
}

#[test]
fn opus_takes_another_complexity_and_bit_rate_in_the_middle_of_a_call() {
    let octets = |bitrate: u32| {
        let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
        let mut phone = Phone::new(Codec::Pcmu, 20);
        phone.swells = true;
        for index in 0..100 {
            if index == 50 {
                call.bridge.set_opus_complexity(200);
                call.bridge.set_opus_bitrate(bitrate);
            }
            call.rtp(Leg::Trunk, &phone.next());
            call.run_ms(20);
        }
        let sent = call.audio_to(Leg::Browser);
        assert_eq!(sent.len(), 100);
        let octets = sent[60..].iter().map(|sent| sent.payload.len());
        octets.sum::<usize>()
    };
    let (low, high) = (octets(6_000), octets(32_000));
    assert!(low * 2 < high, "{low} {high}");
}

#[test]
fn a_bridge_moves_to_the_thread_of_its_worker() {
    fn moves<T: Send + 'static>(_: T) {}
    moves(Call::usual(Codec::Opus, Codec::Pcmu).bridge);
}
