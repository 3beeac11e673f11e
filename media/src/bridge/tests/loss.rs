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
    // Not so long that the end of the stream is taken for a loss.
    call.run_ms(42);
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
fn after_a_loss_the_stream_goes_on_one_packet_behind() {
    for (browser, trunk) in pairs() {
        let lost = |index| if index == LOST { vec![] } else { vec![0] };
        let call = stream(Call::usual(browser, trunk), browser, lost);
        let sent = call.audio_to(Leg::Trunk);
        for (index, sent) in sent.iter().enumerate() {
            let behind = if index < LOST { 0 } else { 20 };
            let at = Duration::from_millis(index as u64 * 20 + behind);
            assert!(sent.at.abs_diff(at) <= Duration::from_millis(1), "{index}");
        }
    }
}

#[test]
fn the_first_late_packet_is_lost_and_later_ones_are_waited_for() {
    for (browser, trunk) in pairs() {
        let late = |index| if index % 7 == 6 { vec![35] } else { vec![0] };
        let call = stream(Call::usual(browser, trunk), browser, late);
        let sent = call.audio_to(Leg::Trunk);
        assert_continuous(&sent, 160);
        let report = call.bridge.report().browser;
        assert_eq!((report.lost, report.reordered), (0, 7));
        // It takes the stream to its schedule, which the next gap moves.
        assert_eq!(report.late, 1);
        assert_eq!(report.concealed, Duration::from_millis(20));
        for pair in sent[20..].windows(2) {
            let step = (pair[1].at - pair[0].at).as_micros();
            assert!((18_000..22_000).contains(&step), "{step}");
        }
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
fn duplicates_are_played_once() {
    for (browser, trunk) in pairs() {
        let twice = |index| if index < 45 { vec![0, 3, 70] } else { vec![0] };
        let call = stream(Call::usual(browser, trunk), browser, twice);
        let sent = call.audio_to(Leg::Trunk);
        assert_eq!(sent.len(), 50);
        assert_continuous(&sent, 160);
        assert_eq!(call.bridge.report().browser.duplicates, 90);
    }
}

#[test]
fn of_a_long_loss_300_ms_are_made_up_and_what_fec_brings_at_its_end() {
    for (browser, trunk) in pairs() {
        let lost = |index| {
            if (LOST - 12..LOST + 5).contains(&index) {
                vec![]
            } else {
                vec![0]
            }
        };
        let call = stream(Call::usual(browser, trunk), browser, lost);
        let sent = call.audio_to(Leg::Trunk);
        let concealed = call.bridge.report().browser.concealed.as_millis() as usize / 20;
        assert_eq!(concealed, 15 + usize::from(browser == Codec::Opus));
        assert_eq!(sent.len(), 33 + concealed);
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
        // More only where the last ones come so late that the end was taken for a loss.
        assert!(sent.len() <= 53, "seed {seed}: {}", sent.len());
    }
}
