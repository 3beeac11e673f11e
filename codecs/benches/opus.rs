//! What a frame of 20 ms costs at each setting of the encoder, and to decode: the figures behind the
//! default of 32 kbit/s at complexity 0.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::Instant;

use codecs::opus::{Decoder, Encoder, EncoderSettings};

/// Frames in a run: 8 s.
const FRAMES: usize = 400;

/// Speech-like audio: a gliding voice with moving formants, syllables and a little hiss.
fn voice() -> Vec<i16> {
    let (mut phase, mut hiss) = (0.0, 1_u32);
    let sample = |n: usize| {
        let time = n as f64 / 8000.0;
        let pitch = 120.0 + 20.0 * (time * 3.0).sin();
        phase += TAU * pitch / 8000.0;
        let formants = [
            500.0 + 200.0 * (time * 3.1).sin(),
            1500.0 + 500.0 * (time * 1.7).cos(),
        ];
        let harmonics = (1..28).map(|k: u8| {
            let frequency = pitch * f64::from(k);
            let near = |formant: f64| (-((frequency - formant) / 180.0).powi(2)).exp();
            (0.03 + near(formants[0]) + near(formants[1])) * (phase * f64::from(k)).sin()
        });
        hiss = hiss.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let swell = (time * 13.0).sin().max(0.0);
        (harmonics.sum::<f64>() * swell * 4000.0) as i16 + (hiss >> 25) as i16
    };
    (0..FRAMES * 160).map(sample).collect()
}

/// Frames in a batch: short enough that some run undisturbed on a busy machine.
const BATCH: usize = 20;

/// Microseconds a frame: the best of several runs of each batch of the audio.
fn microseconds(mut run: impl FnMut(usize)) -> f64 {
    let mut best = [f64::INFINITY; FRAMES / BATCH];
    for _ in 0..15 {
        for (batch, best) in best.iter_mut().enumerate() {
            let start = Instant::now();
            (batch * BATCH..(batch + 1) * BATCH).for_each(&mut run);
            *best = best.min(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    best.iter().sum::<f64>() / FRAMES as f64
}

fn main() {
    let voice = voice();
    println!(
        "{:>10} {:>9} {:>5} {:>10} {:>10} {:>8}",
        "complexity", "bit/s", "loss", "encode us", "decode us", "octets"
    );
    for (complexity, bitrate) in [
        (0, 16_000),
        (0, 24_000),
        (0, 32_000),
        (5, 24_000),
        (5, 32_000),
        (10, 32_000),
    ] {
        for expected_loss in [0, 10] {
            let settings = EncoderSettings {
                bitrate,
                complexity,
                expected_loss,
                ..EncoderSettings::default()
            };
            let mut encoder = Encoder::new(settings).expect("an encoder");
            let mut packet = [0; 1276];
            let mut packets = Vec::new();
            for pcm in voice.chunks_exact(160) {
                let len = encoder.encode(pcm, &mut packet).expect("a frame");
                packets.push(packet[..len].to_vec());
            }
            let encode = microseconds(|frame| {
                let pcm = &voice[frame * 160..][..160];
                black_box(encoder.encode(pcm, &mut packet)).expect("a frame");
            });
            let mut decoder = Decoder::new(codecs::Bandwidth::Narrow).expect("a decoder");
            let decode = microseconds(|frame| {
                black_box(decoder.decode(&packets[frame], &mut [0; 160])).expect("audio");
            });
            let octets = packets.iter().map(Vec::len).sum::<usize>() / FRAMES;
            println!(
                "{complexity:>10} {bitrate:>9} {expected_loss:>4}% {encode:>10.1} {decode:>10.1} {octets:>8}"
            );
        }
    }
}
