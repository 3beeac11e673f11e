//! What the other leg sees of a network that loses, delays and reorders: a packet every 20 ms.

use super::*;

/// Numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What happens to each packet: lost, or so late in microseconds.
type Fate = Option<u64>;

fn random_loss(dice: &mut Dice, loss: f64, packets: usize) -> Vec<Fate> {
    (0..packets)
        .map(|_| (dice.roll() >= loss).then_some(0))
        .collect()
}

/// Two states, bursts of three packets on average.
fn bursts(dice: &mut Dice, loss: f64, packets: usize) -> Vec<Fate> {
    let end = 1.0 / 3.0;
    let begin = end * loss / (1.0 - loss);
    let mut losing = false;
    let mut next = |_| {
        losing = if losing {
            dice.roll() >= end
        } else {
            dice.roll() < begin
        };
        (!losing).then_some(0)
    };
    (0..packets).map(&mut next).collect()
}

/// Encoded once: encoding is not what is tested.
fn payloads(codec: Codec, ptime_ms: usize) -> Vec<Vec<u8>> {
    let mut phone = Phone::new(codec, ptime_ms);
    phone.swells = true;
    let payload = |_| phone.next()[HEADER..].to_vec();
    (0..100).map(payload).collect()
}

/// Plays packets from `from` whose sender's clock is off by so many parts in a million.
fn play(call: &mut Call, from: Leg, codec: Codec, fates: &[Fate], ppm: i64) {
    let payloads = payloads(codec, 20);
    let mut header = Phone::new(codec, 20).header;
    let mut arrivals: Vec<(u64, Vec<u8>)> = Vec::new();
    for (index, fate) in fates.iter().enumerate() {
        if let Some(late) = fate {
            let sent = index as i64 * 20_000;
            let at = (sent + sent * ppm / 1_000_000) as u64;
            arrivals.push((at + late, packet(header, &payloads[index % 100])));
        }
        header.marker = false;
        header.sequence = header.sequence.wrapping_add(1);
        let units = 160 * codec.units_per_sample();
        header.timestamp = header.timestamp.wrapping_add(units);
    }
    arrivals.sort();
    for (at, packet) in arrivals {
        call.run_to(Duration::from_micros(at));
        call.rtp(from, &packet);
    }
    call.run_ms(42);
}

fn ways() -> [(Leg, Codec, Codec); 3] {
    [
        (Leg::Browser, Codec::Opus, Codec::Pcmu),
        (Leg::Trunk, Codec::Pcma, Codec::Opus),
        (Leg::Browser, Codec::Pcmu, Codec::Pcmu),
    ]
}

fn call(from: Leg, codec: Codec, other: Codec) -> Call {
    match from {
        Leg::Browser => Call::usual(codec, other),
        Leg::Trunk => Call::usual(other, codec),
    }
}

/// The most that a packet of the stream is behind its time, and where that is; the least too.
fn delays(sent: &[Sent], ppm: i64) -> (Duration, Duration) {
    let first = sent[0].timestamp;
    let units = if sent[0].payload_type == 111 { 6 } else { 1 };
    let delay = |sent: &Sent| {
        let media = i64::from(sent.timestamp.wrapping_sub(first)) / units * 125;
        let ideal = media + media * ppm / 1_000_000;
        sent.at.as_micros() as i64 - ideal
    };
    let most = sent.iter().map(delay).max().expect("packets");
    let least = sent.iter().map(delay).min().expect("packets");
    let duration = |micros: i64| Duration::from_micros(micros.max(0) as u64);
    (duration(least), duration(most))
}

#[test]
fn under_random_loss_a_packet_leaves_every_20_ms_one_packet_late_at_most() {
    for (from, codec, other) in ways() {
        for (seed, loss) in [(1, 0.05), (2, 0.1), (3, 0.2)] {
            let mut fates = random_loss(&mut Dice(seed), loss, 3000);
            fates[..5].fill(Some(0));
            fates[2995..].fill(Some(0));
            let lost = fates.iter().filter(|fate| fate.is_none()).count();
            let mut call = call(from, codec, other);
            play(&mut call, from, codec, &fates, 0);
            let sent = call.audio_to(from.other());
            let what = format!("{from:?} {codec:?} {loss}");
            assert_continuous(&sent, 160);
            let first_loss = fates.iter().position(Option::is_none).expect("a loss");
            for (index, pair) in sent.windows(2).enumerate() {
                let step = (pair[1].at - pair[0].at).as_micros();
                let most = if index + 1 == first_loss {
                    45_000
                } else {
                    26_000
                };
                assert!((15_000..=most).contains(&step), "{what} {index}: {step}");
            }
            // One packet, and what a packet is given time to come and bring the one before it.
            let (_, most) = delays(&sent, 0);
            assert!(most <= Duration::from_millis(26), "{what}: {most:?}");
            let marked = sent[1..].iter().filter(|sent| sent.marker).count();
            assert!(marked <= 2, "{what}: {marked}");
            // Nothing is missing but what was beyond 100 ms.
            assert!(sent.len() >= 2990, "{what}: {}", sent.len());
            let report = match from {
                Leg::Browser => call.bridge.report().browser,
                Leg::Trunk => call.bridge.report().trunk,
            };
            assert!(report.lost.abs_diff(lost as u64) <= 1, "{what}");
            assert_eq!(report.late, 0, "{what}");
        }
    }
}

#[test]
fn under_bursts_of_loss_up_to_300_ms_are_made_up_on_time_and_longer_ones_are_pauses() {
    for (from, codec, other) in ways() {
        for (seed, loss) in [(4, 0.05), (5, 0.1), (6, 0.2)] {
            let fates = bursts(&mut Dice(seed), loss, 3000);
            let mut call = call(from, codec, other);
            play(&mut call, from, codec, &fates, 0);
            let sent = call.audio_to(from.other());
            let what = format!("{from:?} {codec:?} {loss}");
            assert_continuous(&sent, 160);
            let mut long = 0;
            for (index, pair) in sent.windows(2).enumerate() {
                let step = (pair[1].at - pair[0].at).as_micros();
                assert!(step >= 15_000, "{what} {index}: {step}");
                long += usize::from(step > 26_000);
            }
            let runs = fates.split(Option::is_some).map(<[Fate]>::len);
            let pauses = runs.filter(|run| *run > 15).count();
            assert!(long <= pauses + 2, "{what}: {long} gaps, {pauses} pauses");
            let (_, most) = delays(&sent, 0);
            assert!(most <= Duration::from_millis(26), "{what}: {most:?}");
        }
    }
}

#[test]
fn a_clock_that_is_300_ppm_off_is_followed_for_half_an_hour() {
    for (way, ppm, loss) in [
        (2, 300, 0.0),
        (2, -300, 0.0),
        (1, 300, 0.02),
        (2, -300, 0.02),
    ] {
        let (from, codec, other) = ways()[way];
        {
            let fates = random_loss(&mut Dice(7), loss, 30 * 60 * 50);
            let mut call = call(from, codec, other);
            play(&mut call, from, codec, &fates, ppm);
            let sent = call.audio_to(from.other());
            assert_continuous(&sent, 160);
            let (least, most) = delays(&sent, ppm);
            let limit = if loss > 0.0 { 26 } else { 1 };
            assert!(
                most <= Duration::from_millis(limit) && least <= Duration::from_millis(1),
                "{codec:?} {ppm} {loss}: {least:?} to {most:?}"
            );
            for (index, pair) in sent.windows(2).enumerate() {
                let step = (pair[1].at - pair[0].at).as_micros();
                assert!((15_000..45_000).contains(&step), "{index}: {step}");
            }
        }
    }
}

#[test]
fn when_the_loss_is_gone_the_stream_is_prompt_again_without_a_burst_or_a_hole() {
    for (from, codec, other) in ways() {
        let mut fates = random_loss(&mut Dice(8), 0.1, 500);
        fates.extend([Some(0); 500]);
        let mut call = call(from, codec, other);
        play(&mut call, from, codec, &fates, 0);
        let sent = call.audio_to(from.other());
        assert_continuous(&sent, 160);
        assert_eq!(sent.len(), 1000, "nothing is left out");
        for pair in sent[20..].windows(2) {
            let step = (pair[1].at - pair[0].at).as_micros();
            assert!((18_000..=25_000).contains(&step), "{step}");
        }
        let (_, most) = delays(&sent, 0);
        assert!(most >= Duration::from_millis(20));
        let last = sent.last().expect("packets");
        assert_eq!(last.at, Duration::from_millis(999 * 20));
    }
}

#[test]
fn jitter_alone_delays_nothing() {
    for (from, codec, other) in ways() {
        let mut dice = Dice(9);
        // Up to 15 ms: nothing is overtaken.
        let fates: Vec<Fate> = (0..2000)
            .map(|_| Some((dice.roll() * 15_000.0) as u64))
            .collect();
        let mut call = call(from, codec, other);
        play(&mut call, from, codec, &fates, 0);
        let sent = call.audio_to(from.other());
        assert_continuous(&sent, 160);
        assert_eq!(sent.len(), 2000);
        for (index, (sent, fate)) in sent.iter().zip(&fates).enumerate().skip(50) {
            let came = index as u64 * 20_000 + fate.expect("no loss");
            assert_eq!(sent.at.as_micros() as u64, came, "{index}");
        }
    }
}

#[test]
fn jitter_that_reorders_is_bounded_adapted_to_and_left_again() {
    for (from, codec, other) in ways() {
        let mut dice = Dice(10);
        let mut fates: Vec<Fate> = (0..1500)
            .map(|_| Some((dice.roll() * 50_000.0) as u64))
            .collect();
        fates.extend([Some(25_000); 1000]);
        let mut call = call(from, codec, other);
        play(&mut call, from, codec, &fates, 0);
        let sent = call.audio_to(from.other());
        assert_continuous(&sent, 160);
        let report = match from {
            Leg::Browser => call.bridge.report().browser,
            Leg::Trunk => call.bridge.report().trunk,
        };
        // Few are late once the schedule has adapted.
        assert!(report.late <= 30, "{from:?} {codec:?}: {}", report.late);
        let (_, most) = delays(&sent, 0);
        assert!(most <= Duration::from_millis(110), "{most:?}");
        let last = sent.last().expect("packets");
        assert_eq!(last.at.as_micros(), 2499 * 20_000 + 25_000);
    }
}

#[test]
fn a_network_that_stands_still_for_a_while_leaves_no_burst() {
    for (from, codec, other) in ways() {
        for stall in [60_000, 150_000, 400_000, 1_000_000] {
            // The first loss put the stream on its schedule; later all packets of a time come at once.
            let mut fates = vec![Some(0); 500];
            fates[50] = None;
            for (index, fate) in fates.iter_mut().enumerate().skip(100) {
                let behind = (100 * 20_000 + stall) as i64 - index as i64 * 20_000;
                *fate = Some(behind.max(0) as u64);
            }
            let mut call = call(from, codec, other);
            play(&mut call, from, codec, &fates, 0);
            let sent = call.audio_to(from.other());
            assert_continuous(&sent, 160);
            for pair in sent[55..].windows(2) {
                let step = (pair[1].at - pair[0].at).as_micros();
                assert!(step >= 15_000, "{codec:?} {stall}: {step}");
            }
            let last = sent.last().expect("packets");
            assert_eq!(last.at, Duration::from_millis(499 * 20), "{stall}");
        }
    }
}
