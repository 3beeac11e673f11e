use super::*;

/// A vowel with a given pitch in Hz that glides a little, and its loudness.
fn vowel(pitch: f64, len: usize) -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |n: usize| {
        let time = n as f64 / 8000.0;
        phase += std::f64::consts::TAU * (pitch + 2.0 * (time * 5.0).sin()) / 8000.0;
        let harmonics = (1..16).map(|k: u8| {
            let frequency = pitch * f64::from(k);
            let shape = 0.1 + (-((frequency - 600.0) / 250.0).powi(2)).exp();
            shape * (phase * f64::from(k) + f64::from(k * k)).sin()
        });
        (harmonics.sum::<f64>() * 4000.0) as i16
    };
    (0..len).map(sample).collect()
}

/// Loses one packet of 20 ms out of `every`; gives what is played, concealed by `conceal`.
fn lossy(voice: &[i16], every: usize, mut play: impl FnMut(bool, &mut [i16])) -> Vec<i16> {
    let mut played = voice.to_vec();
    for (index, packet) in played.chunks_mut(160).enumerate() {
        let lost = index % every == every - 1;
        play(lost, packet);
    }
    played
}

fn concealed(voice: &[i16], every: usize) -> Vec<i16> {
    let mut concealer = Concealer::new();
    lossy(voice, every, |lost, packet| {
        if lost {
            concealer.conceal(packet)
        } else {
            let _ = concealer.receive(packet);
        }
    })
}

/// The last packet again.
fn repeated(voice: &[i16], every: usize) -> Vec<i16> {
    let mut last = vec![0; 160];
    lossy(voice, every, |lost, packet| {
        if lost {
            packet.copy_from_slice(&last)
        } else {
            last.copy_from_slice(packet)
        }
    })
}

/// The mean over packets of the signal to noise ratio, each between -10 and 35 dB.
fn segmental_ratio(voice: &[i16], played: &[i16], only: impl Fn(usize) -> bool) -> f64 {
    let ratio = |(voice, played): (&[i16], &[i16])| {
        let signal: f64 = voice.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let pairs = voice.iter().zip(played);
        let noise: f64 = pairs
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        (10.0 * ((signal + 1.0) / (noise + 1.0)).log10()).clamp(-10.0, 35.0)
    };
    let packets = voice.chunks(160).zip(played.chunks(160)).enumerate();
    let ratios: Vec<f64> = packets
        .filter(|(index, _)| only(*index))
        .map(|(_, pair)| ratio(pair))
        .collect();
    ratios.iter().sum::<f64>() / ratios.len() as f64
}

#[test]
fn a_voice_is_carried_on_better_than_by_repeating_the_last_packet() {
    for pitch in [75.0, 90.0, 110.0, 127.0, 145.0, 180.0, 210.0, 260.0] {
        let voice = vowel(pitch, 16_000);
        let lost = |index: usize| index > 5 && index % 8 == 7;
        let ours = segmental_ratio(&voice, &concealed(&voice, 8), lost);
        let plain = segmental_ratio(&voice, &repeated(&voice, 8), lost);
        assert!(
            ours > plain + 3.0 && ours > 5.0,
            "{pitch} Hz: {ours} dB, repetition {plain} dB"
        );
    }
}

#[test]
fn the_seams_make_no_clicks() {
    for pitch in [75.0, 110.0, 145.0, 210.0] {
        let voice = vowel(pitch, 16_000);
        let steepest = |pcm: &[i16]| {
            pcm.windows(2)
                .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
                .max()
        };
        let (ours, plain) = (
            steepest(&concealed(&voice, 8)),
            steepest(&repeated(&voice, 8)),
        );
        let natural = steepest(&voice).unwrap_or(0);
        assert!(
            ours.unwrap_or(0) <= natural * 5 / 4,
            "{pitch} Hz: {ours:?}, voice {natural}, repetition {plain:?}"
        );
    }
}

#[test]
fn a_long_loss_fades_to_silence() {
    let mut voice = vowel(120.0, 1600);
    let mut concealer = Concealer::new();
    concealer.receive(&mut voice);
    let mut made = vec![1; 1920];
    made.chunks_mut(160)
        .for_each(|packet| concealer.conceal(packet));
    let loud = |range: std::ops::Range<usize>| {
        made[range]
            .iter()
            .map(|sample| sample.unsigned_abs())
            .max()
            .unwrap_or(0)
    };
    assert!(loud(0..80) > 3000);
    assert!(loud(0..80) > loud(400..480) && loud(400..480) > loud(800..880));
    assert_eq!(loud(1760..1920), 0);
}

#[test]
fn audio_without_loss_is_not_touched() {
    let voice = vowel(130.0, 8000);
    let mut concealer = Concealer::new();
    for packet in voice.chunks(160) {
        let mut played = packet.to_vec();
        assert!(!concealer.receive(&mut played));
        assert_eq!(played, packet);
    }
}

#[test]
fn silence_is_concealed_by_silence_and_any_lengths_are_taken() {
    let mut concealer = Concealer::new();
    let mut made = [7; 960];
    concealer.conceal(&mut made);
    assert_eq!(made, [0; 960]);
    for length in [0, 1, 3, 80, 399, 960] {
        concealer.receive(&mut vowel(100.0, length));
        concealer.conceal(&mut made[..length]);
        concealer.conceal(&mut []);
    }
    concealer.reset();
    concealer.conceal(&mut made);
    assert_eq!(made, [0; 960]);
}

#[test]
fn the_loudest_audio_does_not_overflow() {
    let mut concealer = Concealer::new();
    let mut square: Vec<i16> = (0..800)
        .map(|n| if n / 37 % 2 == 0 { i16::MAX } else { i16::MIN })
        .collect();
    concealer.receive(&mut square);
    concealer.conceal(&mut [0; 480]);
    concealer.receive(&mut square);
}

/// Conceals each loss with the packet behind it in sight.
fn interpolated(voice: &[i16], every: usize) -> Vec<i16> {
    let mut concealer = Concealer::new();
    let mut packets = voice.chunks(160).enumerate().peekable();
    let mut played = Vec::new();
    while let Some((index, packet)) = packets.next() {
        let mut packet = packet.to_vec();
        match packets.peek() {
            Some((_, next)) if index % every == every - 1 => {
                concealer.interpolate(&mut packet, next);
            }
            _ => {
                let changed = concealer.receive(&mut packet);
                assert!(!changed, "what was led to is not cross-faded");
            }
        }
        played.extend(packet);
    }
    played
}

#[test]
fn a_voice_is_led_to_the_audio_behind_the_loss() {
    for pitch in [75.0, 90.0, 110.0, 127.0, 145.0, 180.0, 210.0, 260.0] {
        let voice = vowel(pitch, 16_000);
        let lost = |index: usize| index > 5 && index % 8 == 7 && index < 99;
        let led = segmental_ratio(&voice, &interpolated(&voice, 8), lost);
        let carried = segmental_ratio(&voice, &concealed(&voice, 8), lost);
        assert!(led > carried + 2.0, "{pitch} Hz: {led} dB, {carried} dB");
    }
}

#[test]
fn the_loudness_behind_the_loss_is_met() {
    let mut voice = vowel(120.0, 480);
    let soft: Vec<i16> = voice[320..].iter().map(|sample| sample / 8).collect();
    let mut concealer = Concealer::new();
    concealer.receive(&mut voice[..160]);
    let mut made = [0; 160];
    concealer.interpolate(&mut made, &soft);
    let loud = |pcm: &[i16]| pcm.iter().map(|one| one.unsigned_abs()).max().unwrap_or(0);
    assert!(loud(&made[..70]) > 2 * loud(&made[90..]), "{made:?}");
}

#[test]
fn whatever_stands_behind_the_loss_is_taken() {
    for behind in [0, 1, 79, 80, 81, 160, 400] {
        for len in [0, 1, 2, 79, 160, 161, 480, 960] {
            let mut concealer = Concealer::new();
            concealer.receive(&mut vowel(200.0, 400));
            let mut made = vec![0; len];
            let loudest: Vec<i16> = (0..behind)
                .map(|n| if n % 2 == 0 { i16::MAX } else { i16::MIN })
                .collect();
            concealer.interpolate(&mut made, &loudest);
            concealer.receive(&mut vowel(90.0, 160));
        }
    }
}
