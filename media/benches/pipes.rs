//! A packet through each kind of pipe, against the codec's own cost in the same run.
//!
//! The ratios hold from machine to machine, the times do not.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::{Duration, Instant};

use codecs::opus::{Decoder, Encoder, EncoderSettings};
use codecs::{Bandwidth, g711, g722};
use criterion::Criterion;
use media::{Bridge, BridgeConfig, Codec, Leg, RtpFormat, StreamStart};

/// Packets in a loop: 4 s of audio.
const PACKETS: usize = 200;

/// Speech-like audio: a voice's harmonics, swelling four times a second.
fn voice() -> Vec<i16> {
    let sample = |n: usize| {
        let time = n as f64 / 8000.0;
        let pitch = 120.0 + 20.0 * (time * 3.0).sin();
        let swell = 0.55 + 0.45 * (time * 25.0).sin();
        let harmonics = (1..12).map(|k| (time * pitch * f64::from(k) * TAU).sin() / f64::from(k));
        (harmonics.sum::<f64>() * swell * 5000.0) as i16
    };
    (0..PACKETS * 160).map(sample).collect()
}

fn payloads(codec: Codec, voice: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(EncoderSettings::default()).expect("an encoder");
    let mut g722 = g722::Encoder::new();
    let encode = |pcm: &[i16]| {
        let mut payload = vec![0; 1276];
        let len = match (codec, codec.law()) {
            (_, Some(law)) => {
                g711::encode_into(law, pcm, &mut payload);
                pcm.len()
            }
            (Codec::G722, None) => {
                g722.encode_narrow(pcm, &mut payload);
                pcm.len()
            }
            (_, None) => encoder.encode(pcm, &mut payload).expect("a frame"),
        };
        payload.truncate(len);
        payload
    };
    voice.chunks_exact(160).map(encode).collect()
}

/// A packet from the browser to the trunk, each call of `step` one.
struct Pipe {
    bridge: Bridge,
    payloads: Vec<Vec<u8>>,
    from: Codec,
    start: Instant,
    count: u32,
}

impl Pipe {
    fn new(from: Codec, to: Codec, voice: &[i16]) -> Self {
        let start = Instant::now();
        let begin = |ssrc| StreamStart {
            ssrc,
            sequence: 0,
            timestamp: 0,
        };
        let config = BridgeConfig::new(RtpFormat::usual(from), begin(1), begin(2), "bench", 0);
        let mut bridge = Bridge::new(start, config);
        bridge.connect_trunk(start, RtpFormat::usual(to));
        Self {
            bridge,
            payloads: payloads(from, voice),
            from,
            start,
            count: 0,
        }
    }

    fn step(&mut self) {
        let payload = &self.payloads[self.count as usize % PACKETS];
        let now = self.start + Duration::from_millis(20) * self.count;
        let mut packet = [0; 1400];
        packet[0] = 0x80;
        packet[1] = RtpFormat::usual(self.from).payload_type_in;
        packet[2..4].copy_from_slice(&(self.count as u16).to_be_bytes());
        let timestamp = self.count.wrapping_mul(self.from.clock_rate() / 50);
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[12..12 + payload.len()].copy_from_slice(payload);
        self.count += 1;
        self.bridge
            .handle_rtp(now, Leg::Browser, &packet[..12 + payload.len()]);
        let mut buffer = [0; 1500];
        while let Some(transmit) = self.bridge.poll_transmit(now, &mut buffer) {
            black_box(&buffer[..transmit.len]);
        }
    }
}

/// The codec alone.
fn floor(from: Codec, to: Codec, voice: &[i16]) -> impl FnMut() {
    let payloads = payloads(from, voice);
    let bandwidth = match (from, to) {
        (Codec::G722, _) | (_, Codec::G722) => Bandwidth::Wide,
        _ => Bandwidth::Narrow,
    };
    let mut decoder = Decoder::new(bandwidth).expect("a decoder");
    let settings = EncoderSettings {
        bandwidth,
        ..EncoderSettings::default()
    };
    let mut encoder = Encoder::new(settings).expect("an encoder");
    let mut g722 = (g722::Decoder::new(), g722::Encoder::new());
    let mut index = 0;
    move || {
        let payload = &payloads[index % PACKETS];
        index += 1;
        let (mut pcm, mut out) = ([0; 960], [0; 1276]);
        match (from, to) {
            (Codec::Opus, Codec::G722) => {
                let len = decoder.decode(payload, &mut pcm).expect("audio");
                g722.1.encode(&pcm[..len], &mut out);
                black_box(&out);
                return;
            }
            (Codec::G722, Codec::Opus) => {
                g722.0.decode(payload, &mut pcm);
                encoder.encode(&pcm[..320], &mut out).expect("a frame");
                black_box(&out);
                return;
            }
            _ => {}
        }
        match (from.law(), to.law()) {
            (None, Some(law)) => {
                let len = decoder.decode(payload, &mut pcm).expect("audio");
                g711::encode_into(law, &pcm[..len], &mut out);
            }
            (Some(law), None) => {
                g711::decode_into(law, payload, &mut pcm);
                encoder.encode(&pcm[..160], &mut out).expect("a frame");
            }
            (Some(from), Some(to)) => g711::transcode(from, to, black_box(payload), &mut out),
            (None, None) => out[..payload.len()].copy_from_slice(payload),
        }
        black_box(&out);
    }
}

const PIPES: [(&str, Codec, Codec); 7] = [
    ("opus -> pcmu", Codec::Opus, Codec::Pcmu),
    ("pcmu -> opus", Codec::Pcmu, Codec::Opus),
    ("pcmu -> pcmu", Codec::Pcmu, Codec::Pcmu),
    ("pcmu -> pcma", Codec::Pcmu, Codec::Pcma),
    ("opus -> opus", Codec::Opus, Codec::Opus),
    ("opus -> g722", Codec::Opus, Codec::G722),
    ("g722 -> opus", Codec::G722, Codec::Opus),
];

/// Packets in a batch: short enough that some run undisturbed on a busy machine.
const BATCH: usize = 20;

/// The time of one call in nanoseconds: the best of many runs of each batch of the audio.
fn nanoseconds(mut run: impl FnMut()) -> f64 {
    let mut best = [f64::INFINITY; PACKETS / BATCH];
    for _ in 0..60 {
        for best in &mut best {
            let start = Instant::now();
            (0..BATCH).for_each(|_| run());
            *best = best.min(start.elapsed().as_nanos() as f64);
        }
    }
    best.iter().sum::<f64>() / PACKETS as f64
}

fn main() {
    let voice = voice();
    let mut criterion = Criterion::default().configure_from_args();
    for (name, from, to) in PIPES {
        let mut group = criterion.benchmark_group(name);
        let mut pipe = Pipe::new(from, to, &voice);
        group.bench_function("bridge", |bencher| bencher.iter(|| pipe.step()));
        group.bench_function("codec alone", |bencher| {
            bencher.iter(floor(from, to, &voice))
        });
        group.finish();
    }
    criterion.final_summary();

    println!(
        "\n{:<14} {:>10} {:>10} {:>10} {:>7}",
        "pipe", "bridge ns", "codec ns", "ours ns", "ratio"
    );
    for (name, from, to) in PIPES {
        let mut pipe = Pipe::new(from, to, &voice);
        let (bridge, codec) = (
            nanoseconds(|| pipe.step()),
            nanoseconds(floor(from, to, &voice)),
        );
        println!(
            "{name:<14} {bridge:>10.0} {codec:>10.0} {:>10.0} {:>7.2}",
            bridge - codec,
            bridge / codec
        );
    }
}
