//! What listening for keys costs a frame of 20 ms, next to what the codec does with it.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::Instant;

use codecs::opus::{Encoder, EncoderSettings};
use codecs::tone::{DtmfDetector, DtmfTone};

/// Frames in a run: 8 s.
const FRAMES: usize = 400;

/// A voice of a few harmonics, or keys.
fn audio(keys: bool) -> Vec<i16> {
    let mut pcm: Vec<i16> = (0..FRAMES * 160)
        .map(|n| {
            let time = n as f64 / 8000.0;
            let phase = TAU * 120.0 * time + 6.0 * (time * 3.0).sin();
            let sum: f64 = (1..12)
                .map(|k| (phase * f64::from(k)).sin() / f64::from(k))
                .sum();
            (sum * (time * 13.0).sin().max(0.0) * 6000.0) as i16
        })
        .collect();
    if keys {
        for press in pcm.chunks_mut(1600) {
            press.fill(0);
            let mut tone = DtmfTone::new('5', -10.0).expect("a key");
            tone.fill(&mut press[..800]);
        }
    }
    pcm
}

/// Nanoseconds a frame: the best of many runs.
fn nanoseconds(mut run: impl FnMut(usize)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..30 {
        let start = Instant::now();
        (0..FRAMES).for_each(&mut run);
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e9 / FRAMES as f64
}

fn main() {
    let voice = audio(false);
    let mut encoder = Encoder::new(EncoderSettings::default()).expect("an encoder");
    let mut packet = [0; 1276];
    let codec = nanoseconds(|frame| {
        let pcm = &voice[frame * 160..][..160];
        black_box(encoder.encode(pcm, &mut packet)).expect("a frame");
    });
    println!("{:>22} {codec:>8.0} ns a frame", "Opus encoder");
    for (name, pcm) in [("keys in speech", voice), ("keys in keys", audio(true))] {
        let mut detector = DtmfDetector::new();
        let cost = nanoseconds(|frame| {
            detector.hear(&pcm[frame * 160..][..160], |heard| {
                black_box(heard);
            });
        });
        println!(
            "{name:>22} {cost:>8.0} ns a frame, {:.1} % of the encoder",
            100.0 * cost / codec
        );
    }
}
