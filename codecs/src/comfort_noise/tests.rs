use super::*;
use crate::tone::Sine;

fn noise_of(seed: u32, samples: usize, mut colour: impl FnMut(f32) -> f32) -> Vec<i16> {
    let mut random = seed;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..samples).map(|_| colour(next()) as i16).collect()
}

/// The share of the power below 1 kHz, roughly: of the sums of neighbours against their differences.
fn darkness(pcm: &[i16]) -> f32 {
    let power = |sign: f32| -> f32 {
        pcm.windows(2)
            .map(|pair| (f32::from(pair[0]) + sign * f32::from(pair[1])).powi(2))
            .sum()
    };
    10.0 * (power(1.0) / power(-1.0)).log10()
}

fn again(noise: Noise, samples: usize) -> Vec<i16> {
    let mut generator = Generator::new();
    let mut pcm = vec![0; samples + 160];
    for frame in pcm.chunks_mut(160) {
        generator.fill(&noise, frame);
    }
    pcm.split_off(160)
}

#[test]
fn noise_is_made_again_as_loud_and_as_dark_as_it_was() {
    for (level, memory) in [(300.0, 0.0), (100.0, 0.9), (2000.0, -0.8), (40.0, 0.6)] {
        let mut last = 0.0;
        let pcm = noise_of(7, 8000, |white| {
            last = memory * last + white * level;
            last
        });
        let noise = Noise::of(&pcm);
        let told = Noise::read(&noise.to_bytes()).expect("a payload");
        assert_eq!(told.level(), noise.level());
        let made = again(told, 8000);
        let (was, is) = (crate::tone::level(&pcm), crate::tone::level(&made));
        assert!((was - is).abs() < 1.0, "{level} {memory}: {was} {is}");
        let (was, is) = (darkness(&pcm), darkness(&made));
        assert!((was - is).abs() < 1.5, "{level} {memory}: {was} {is}");
    }
}

#[test]
fn the_level_is_that_of_rfc_3389() {
    // A sine of full scale has half the power of the overload point.
    let mut pcm = [0; 800];
    Sine::new(1000.0, 3.17 - 30.0).fill(&mut pcm);
    let level = f32::from(Noise::of(&pcm).level());
    assert!((level - 33.0).abs() <= 1.0, "{level}");
    assert_eq!(Noise::of(&[0; 160]).level(), 127);
    assert_eq!(Noise::of(&[]).level(), 127);
}

#[test]
fn silence_is_silent_and_loudness_changes_without_a_step() {
    let silent = Noise::read(&[127]).expect("a payload");
    assert!(again(silent, 800).iter().all(|sample| *sample == 0));
    let mut generator = Generator::new();
    let loud = Noise::read(&[20]).expect("a payload");
    let mut pcm = [0; 160];
    generator.fill(&loud, &mut pcm);
    let (begin, end) = (
        crate::tone::level(&pcm[..20]),
        crate::tone::level(&pcm[140..]),
    );
    assert!(begin < end - 10.0, "{begin} {end}");
}

#[test]
fn payloads_of_any_length_and_content_stay_within_bounds() {
    assert_eq!(Noise::read(&[]), None);
    let mut random = 1_u32;
    let mut generator = Generator::new();
    for round in 0..2000 {
        let payload: Vec<u8> = (0..=round % 40)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Often at the edge of stability.
                [(random >> 24) as u8, 0, 255, 254][(random >> 16) as usize % 4]
            })
            .collect();
        let noise = Noise::read(&payload).expect("a level").not_above(30);
        let mut pcm = [0; 480];
        generator.fill(&noise, &mut pcm);
        assert!(generator.gain.is_finite());
        assert!(generator.state.iter().all(|value| value.is_finite()));
    }
}
