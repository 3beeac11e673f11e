//! How many keys the detector hears in recorded speech that has none: give it WAV files of 16-bit mono at 8 kHz.

use codecs::tone::{DtmfDetector, DtmfHeard};

fn main() {
    let (mut samples, mut keys, mut files) = (0, 0, 0);
    for path in std::env::args().skip(1) {
        let Ok(wav) = std::fs::read(&path) else {
            eprintln!("{path} cannot be read");
            continue;
        };
        let pcm: Vec<i16> = wav
            .get(44..)
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let mut detector = DtmfDetector::new();
        let mut heard = Vec::new();
        for frame in pcm.chunks(160) {
            detector.hear(frame, |event| {
                if let DtmfHeard::Began { key, .. } = event {
                    heard.push(key);
                }
            });
        }
        if !heard.is_empty() {
            println!("{path}: {}", heard.iter().collect::<String>());
        }
        keys += heard.len();
        samples += pcm.len();
        files += 1;
    }
    let hours = samples as f64 / 8000.0 / 3600.0;
    println!(
        "{keys} keys in {files} files, {hours:.2} h: {:.1} an hour",
        keys as f64 / hours
    );
}
