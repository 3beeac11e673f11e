use super::*;

/// The packet that is lost. Not a later one: after half a second libopus takes a steady tone for
/// noise and spends no FEC on it.
const LOST: usize = 15;

/// Plays 50 packets from the browser, of which `arrives` gives the arrivals: for packet `n`, delays
/// in milliseconds (none: lost, two: duplicated).
fn stream(mut call: Call, codec: Codec, arrives: impl Fn(usize) -> Vec<u64>) -> Call {
    let mut phone = Phone::new(codec, 20);
    let mut arrivals = Vec::new();
    for index in 0..50_usize {
        let packet = phone.next();
        for delay in arrives(index) {
            arrivals.push((index as u64 * 20 + delay, index, packet.clone()));
        }
    }
    arrivals.sort();
    for (at, _, packet) in arrivals {
        call.run_to(Duration::from_millis(at));
        call.rtp(Leg::Browser, &packet);
    }
    call.run_ms(200);
    call
}

fn pairs() -> [(Codec, Codec); 4] {
    [
        (Codec::Opus, Codec::Pcmu),
        (Codec::Pcmu, Codec::Opus),
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Pcma, Codec::Pcmu),
    ]
}

/// The power of the quietest 10 ms among the middle of the audio, in dBm0.
fn quietest(sent: &[Sent]) -> f64 {
    let pcm = hear(sent);
    let inner = &pcm[800..pcm.len() - 400];
    inner
        .chunks_exact(80)
        .map(codecs::tone::level)
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn one_lost_packet_is_made_up_and_a_packet_leaves_for_each_20_ms() {
    for (browser, trunk) in pairs() {
        let lost = |index| if index == LOST { vec![] } else { vec![0] };
        let call = stream(Call::usual(browser, trunk), browser, lost);
        let sent = call.audio_to(Leg::Trunk);
        assert_eq!(sent.len(), 50, "{browser:?} {trunk:?}");
        assert_continuous(&sent, 160);
        assert!(
            sent[1..].iter().all(|sent| !sent.marker),
            "a loss is no talkspurt"
        );
        assert!(
            quietest(&sent) > -22.0,
            "{browser:?} {trunk:?}: {}",
            quietest(&sent)
        );
        let report = call.bridge.report().browser;
        assert_eq!(report.concealed, Duration::from_millis(20));
        assert_eq!(report.lost, 1);
        assert_eq!(
            report.recovered.as_millis(),
            if browser == Codec::Opus { 20 } else { 0 }
        );
    }
}

#[test]
fn what_waited_for_a_lost_packet_leaves_without_a_burst() {
    for (browser, trunk) in pairs() {
        let lost = |index| if index == LOST { vec![] } else { vec![0] };
        let call = stream(Call::usual(browser, trunk), browser, lost);
        let sent = call.audio_to(Leg::Trunk);
        for pair in sent.windows(2) {
            let step = pair[1].at - pair[0].at;
            assert!(step >= Duration::from_millis(10), "{step:?}");
            assert!(step <= Duration::from_millis(60), "{step:?}");
        }
        // Shown to be lost by the second packet behind it, 20 ms before the wait would have ended.
        assert_eq!(sent[LOST].at, Duration::from_millis(LOST as u64 * 20 + 40));
        // Soon nothing is late any more.
        assert_eq!(
            sent[LOST + 6].at,
            Duration::from_millis(LOST as u64 * 20 + 120)
        );
    }
}

#[test]
fn a_late_packet_is_waited_for_and_nothing_is_made_up() {
    for (browser, trunk) in pairs() {
        let late = |index| if index == LOST { vec![35] } else { vec![0] };
        let call = stream(Call::usual(browser, trunk), browser, late);
        let sent = call.audio_to(Leg::Trunk);
        assert_eq!(sent.len(), 50);
        assert_continuous(&sent, 160);
        let report = call.bridge.report().browser;
        assert_eq!((report.lost, report.reordered, report.late), (0, 1, 0));
        assert_eq!(report.concealed, Duration::ZERO);
    }
}

#[test]
fn a_packet_that_comes_after_its_place_was_filled_is_dropped() {
    for (browser, trunk) in pairs() {
        let late = |index| if index == LOST { vec![95] } else { vec![0] };
        let call = stream(Call::usual(browser, trunk), browser, late);
        assert_eq!(call.audio_to(Leg::Trunk).len(), 50);
        let report = call.bridge.report().browser;
        assert_eq!((report.late, report.concealed.as_millis()), (1, 20));
    }
}

#[test]
fn a_gap_is_waited_for_40_ms_at_most() {
    let mut call = Call::usual(Codec::Pcmu, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 20);
    call.rtp(Leg::Browser, &phone.next());
    call.run_ms(40);
    let _lost = phone.next();
    call.rtp(Leg::Browser, &phone.next());
    assert_eq!(call.audio_to(Leg::Trunk).len(), 1);
    call.run_ms(39);
    assert_eq!(call.audio_to(Leg::Trunk).len(), 1);
    call.run_ms(1);
    assert_eq!(call.audio_to(Leg::Trunk).len(), 2);
    call.run_ms(20);
    assert_eq!(call.audio_to(Leg::Trunk).len(), 3);
}

#[test]
fn duplicates_are_played_once() {
    for (browser, trunk) in pairs() {
        let call = stream(Call::usual(browser, trunk), browser, |_| vec![0, 3, 70]);
        let sent = call.audio_to(Leg::Trunk);
        assert_eq!(sent.len(), 50);
        assert_continuous(&sent, 160);
        assert_eq!(call.bridge.report().browser.duplicates, 100);
    }
}

#[test]
fn a_long_loss_is_a_pause_of_ours_but_for_what_fec_brings() {
    for (browser, trunk) in pairs() {
        let lost = |index| {
            if (LOST - 5..LOST + 5).contains(&index) {
                vec![]
            } else {
                vec![0]
            }
        };
        let call = stream(Call::usual(browser, trunk), browser, lost);
        let sent = call.audio_to(Leg::Trunk);
        let concealed = call.bridge.report().browser.concealed.as_millis() as usize / 20;
        assert_eq!(concealed, usize::from(browser == Codec::Opus));
        assert_eq!(sent.len(), 40 + concealed);
        assert_continuous(&sent, 160);
        let units = trunk.units_per_sample();
        let whole = sent[sent.len() - 1]
            .timestamp
            .wrapping_sub(sent[0].timestamp);
        assert_eq!(whole, 49 * 160 * units, "our time is real time");
    }
}

#[test]
fn an_opus_packet_is_recovered_and_sounds_like_what_was_lost() {
    let lost = |index| if index == LOST { vec![] } else { vec![0] };
    let whole = hear(
        &stream(Call::usual(Codec::Opus, Codec::Pcmu), Codec::Opus, |_| {
            vec![0]
        })
        .audio_to(Leg::Trunk),
    );
    let fixed = hear(
        &stream(Call::usual(Codec::Opus, Codec::Pcmu), Codec::Opus, lost).audio_to(Leg::Trunk),
    );
    let range = LOST * 160..(LOST + 1) * 160;
    let noise: f64 = range
        .clone()
        .map(|at| (f64::from(whole[at]) - f64::from(fixed[at])).powi(2))
        .sum();
    let signal: f64 = range.map(|at| f64::from(whole[at]).powi(2)).sum();
    let ratio = 10.0 * (signal / noise).log10();
    assert!(ratio > 6.0, "{ratio} dB");
}

#[test]
fn any_network_leaves_our_streams_continuous_and_in_time() {
    for seed in 0..200_u64 {
        let (browser, trunk) = pairs()[seed as usize % 4];
        let fate = |index: usize| {
            let mut random = seed
                .wrapping_mul(0x9e37_79b9)
                .wrapping_add(index as u64 * 0x85eb_ca6b);
            random = (random ^ random >> 13).wrapping_mul(0xc2b2_ae35_27d4_eb4f);
            random ^= random >> 29;
            match random % 10 {
                0 | 1 => vec![],
                2 => vec![random / 16 % 70],
                3 => vec![0, random / 16 % 70],
                _ => vec![random / 16 % 8],
            }
        };
        let call = stream(Call::usual(browser, trunk), browser, fate);
        let sent = call.audio_to(Leg::Trunk);
        assert_continuous(&sent, 160);
        let units = trunk.units_per_sample();
        for one in &sent {
            let media = one.timestamp.wrapping_sub(sent[0].timestamp) / units / 8;
            let real = (one.at - sent[0].at).as_millis() as u32;
            assert!(
                real + 100 > media && media + 250 > real,
                "seed {seed}: {media} at {real}"
            );
        }
        assert!(sent.len() >= 40, "seed {seed}: {}", sent.len());
        assert!(sent.len() <= 50, "seed {seed}: {}", sent.len());
    }
}
