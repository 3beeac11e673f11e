use super::*;

fn noise(seed: u64, len: usize, peak: f64) -> Vec<i16> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
    };
    (0..len).map(|_| (next() * peak) as i16).collect()
}

/// A voice: the harmonics of a gliding pitch, shaped like vowels that change, with pauses and some noise.
fn speech(seed: u64, seconds: usize) -> Vec<i16> {
    let hiss = noise(seed, seconds * 8000, 300.0);
    let mut phase = 0.0;
    let sample = |n: usize| {
        let time = n as f64 / 8000.0;
        let pitch = 110.0 + seed as f64 * 13.0 + 30.0 * (time * 2.3).sin();
        phase += TAU * pitch / 8000.0;
        let formants = [
            500.0 + 250.0 * (time * 3.1).sin(),
            1500.0 + 600.0 * (time * 1.7).cos(),
        ];
        let mut sum = 0.0;
        for harmonic in 1..25 {
            let frequency = pitch * f64::from(harmonic);
            let near = |formant: f64| (-((frequency - formant) / 150.0).powi(2)).exp();
            sum += (0.05 + near(formants[0]) + near(formants[1]))
                * (phase * f64::from(harmonic)).sin();
        }
        let swell = (time * 12.0).sin().max(0.0);
        (sum * swell * 5000.0).clamp(-32000.0, 32000.0) as i16 / 2 + hiss[n]
    };
    (0..seconds * 8000).map(sample).collect()
}

fn heard(pcm: &[i16], block: usize) -> String {
    let mut detector = DtmfDetector::new();
    let mut keys = String::new();
    pcm.chunks(block).for_each(|block| {
        detector.hear(block, |heard| {
            if let DtmfHeard::Began { key, .. } = heard {
                keys.push(key);
            }
        })
    });
    keys
}

/// Keys one after the other, each for `on` and then `off` milliseconds.
fn dialled(keys: &str, dbm0: f64, on: usize, off: usize) -> Vec<i16> {
    let mut pcm = Vec::new();
    for key in keys.chars() {
        let at = pcm.len();
        pcm.resize(at + on * 8, 0);
        DtmfTone::new(key, dbm0)
            .expect("a key")
            .fill(&mut pcm[at..]);
        pcm.resize(pcm.len() + off * 8, 0);
    }
    pcm
}

#[test]
fn the_test_tone_is_1004_hz_at_minus_16_dbm0() {
    let mut pcm = vec![0; 8000];
    Sine::test_tone().fill(&mut pcm);
    assert!((level(&pcm) + 16.0).abs() < 0.01, "{}", level(&pcm));
    assert!((power_level(power_at(&pcm, 1004.0)) + 16.0).abs() < 0.01);
    for other in [900.0, 990.0, 1018.0, 1100.0, 2008.0] {
        assert!(power_level(power_at(&pcm, other)) < -40.0, "{other}");
    }
}

#[test]
fn full_scale_of_mu_law_is_3_17_dbm0() {
    assert!((amplitude(3.17) - 32_636.0).abs() < 0.5);
    // ITU-T G.711 §4: the reference sequence of mu-law, 1 kHz at 0 dBm0.
    let octets = [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e];
    let pcm: Vec<i16> = octets
        .iter()
        .cycle()
        .take(800)
        .map(|octet| crate::g711::decode(crate::g711::Law::Mu, *octet))
        .collect();
    assert!(level(&pcm).abs() < 0.1, "{}", level(&pcm));
    let octets = [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4];
    let pcm: Vec<i16> = octets
        .iter()
        .cycle()
        .take(800)
        .map(|octet| crate::g711::decode(crate::g711::Law::A, *octet))
        .collect();
    assert!(level(&pcm).abs() < 0.1, "{}", level(&pcm));
}

#[test]
fn silence_has_no_level() {
    assert_eq!(level(&[0; 160]), f64::NEG_INFINITY);
    assert_eq!(power_at(&[], 1000.0), 0.0);
}

#[test]
fn a_sine_goes_on_without_a_step_from_packet_to_packet() {
    let (mut whole, mut parts) = (vec![0; 1600], vec![0; 1600]);
    Sine::new(1234.5, -10.0).fill(&mut whole);
    let mut sine = Sine::new(1234.5, -10.0);
    parts.chunks_mut(160).for_each(|part| sine.fill(part));
    assert_eq!(whole, parts);
}

#[test]
fn every_key_is_recognised_once_at_any_usual_level_and_length() {
    let keys: String = DTMF_KEYS.iter().collect();
    for dbm0 in [-27.0, -10.0, -4.0] {
        for (on, off) in [(40, 40), (50, 50), (100, 60), (400, 100)] {
            for block in [80, 480] {
                let heard = heard(&dialled(&keys, dbm0, on, off), block);
                assert_eq!(heard, keys, "{dbm0} dBm0, {on} ms on, {off} ms off");
            }
        }
    }
}

#[test]
fn a_key_with_a_short_hole_in_it_is_one_key() {
    let mut pcm = dialled("5", -10.0, 120, 60);
    pcm[400..480].fill(0);
    assert_eq!(heard(&pcm, 160), "5");
}

#[test]
fn a_key_twice_is_two_keys() {
    assert_eq!(heard(&dialled("1122##", -10.0, 60, 60), 160), "1122##");
}

#[test]
fn keys_are_recognised_through_g711_and_noise() {
    for law in [crate::g711::Law::Mu, crate::g711::Law::A] {
        let mut pcm = dialled("0123456789*#ABCD", -12.0, 80, 60);
        let noise = noise(3, pcm.len(), 300.0);
        for (sample, noise) in pcm.iter_mut().zip(noise) {
            *sample = crate::g711::decode(law, crate::g711::encode(law, *sample + noise));
        }
        assert_eq!(heard(&pcm, 160), "0123456789*#ABCD");
    }
}

#[test]
fn speech_noise_and_single_tones_are_no_keys() {
    for seed in 0..15 {
        assert_eq!(heard(&speech(seed, 6), 160), "", "speech {seed}");
        assert_eq!(heard(&noise(seed, 48_000, 8000.0), 160), "", "noise {seed}");
    }
    for frequency in [
        350.0, 425.0, 440.0, 697.0, 770.0, 941.0, 1004.0, 1209.0, 1477.0, 1633.0,
    ] {
        let mut pcm = vec![0; 8000];
        Sine::new(frequency, -10.0).fill(&mut pcm);
        assert_eq!(heard(&pcm, 160), "", "{frequency} Hz");
    }
}

#[test]
fn what_is_no_key_has_no_tone() {
    for key in ['x', 'E', ' ', '٣'] {
        assert!(DtmfTone::new(key, -10.0).is_none());
    }
    assert!(DtmfTone::new('d', -10.0).is_some());
}
