//! Something like speech, so that a codec works as hard as it does in a call: voiced syllables of changing pitch and
//! vowel, hisses between them, and pauses.

use std::f64::consts::TAU;

/// The first three formants of some vowels, in Hz.
const VOWELS: [[f64; 3]; 5] = [
    [730.0, 1090.0, 2440.0],
    [270.0, 2290.0, 3010.0],
    [300.0, 870.0, 2240.0],
    [530.0, 1840.0, 2480.0],
    [570.0, 840.0, 2410.0],
];

/// A syllable, in ms; the last part of it is a hiss.
const SYLLABLE: usize = 180;
const HISS: usize = 45;

/// How many syllables go before a pause of as many ms.
const PHRASE: usize = 8;
const PAUSE: usize = 400;

/// The loudest sample.
const PEAK: f64 = 12_000.0;

/// So many seconds of it at so many Hz; always the same.
pub fn speech(seconds: usize, rate: u32) -> Vec<i16> {
    let samples = seconds * rate as usize;
    let mut voice = Voice::new(rate);
    let mut pcm = Vec::with_capacity(samples);
    for syllable in 0.. {
        if pcm.len() >= samples {
            break;
        }
        voice.say(syllable, &mut pcm);
        if syllable % PHRASE == PHRASE - 1 {
            let breath = (0..PAUSE * rate as usize / 1000).map(|_| voice.noise() * 0.002);
            pcm.extend(breath.collect::<Vec<_>>());
        }
    }
    pcm.truncate(samples);
    let loudest = pcm
        .iter()
        .fold(1e-9_f64, |most, sample| most.max(sample.abs()));
    pcm.iter()
        .map(|sample| (sample / loudest * PEAK) as i16)
        .collect()
}

struct Voice {
    rate: f64,
    phase: f64,
    random: u32,
    filters: [Resonator; 3],
}

impl Voice {
    fn new(rate: u32) -> Self {
        Self {
            rate: f64::from(rate),
            phase: 0.0,
            random: 1,
            filters: Default::default(),
        }
    }

    fn say(&mut self, syllable: usize, pcm: &mut Vec<f64>) {
        let vowel = VOWELS[syllable * 3 % VOWELS.len()];
        for (filter, formant) in self.filters.iter_mut().zip(vowel) {
            filter.tune(formant, self.rate);
        }
        let pitch = 100.0 + (syllable * 7 % 11) as f64 * 5.0;
        let samples = |ms: usize| ms * self.rate as usize / 1000;
        let (syllable, voiced) = (samples(SYLLABLE), samples(SYLLABLE - HISS));
        for at in 0..syllable {
            let through = at as f64 / syllable as f64;
            let loudness = (through * TAU / 2.0).sin();
            let source = if at < voiced {
                self.pulse(pitch * (1.1 - 0.2 * through))
            } else {
                self.noise() * 0.3
            };
            let mouth: f64 = self
                .filters
                .iter_mut()
                .map(|filter| filter.pass(source))
                .sum();
            pcm.push(loudness * mouth);
        }
    }

    /// The glottis: one pulse a period.
    fn pulse(&mut self, pitch: f64) -> f64 {
        self.phase += pitch / self.rate;
        if self.phase < 1.0 {
            return self.noise() * 0.02;
        }
        self.phase -= 1.0;
        1.0
    }

    fn noise(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        f64::from(self.random >> 8) / f64::from(1 << 23) - 1.0
    }
}

#[derive(Default)]
struct Resonator {
    a: [f64; 2],
    y: [f64; 2],
}

impl Resonator {
    fn tune(&mut self, formant: f64, rate: f64) {
        let bandwidth = 80.0;
        let r = (-TAU / 2.0 * bandwidth / rate).exp();
        let angle = TAU * formant / rate;
        self.a = [2.0 * r * angle.cos(), -r * r];
    }

    fn pass(&mut self, x: f64) -> f64 {
        let y = x + self.a[0] * self.y[0] + self.a[1] * self.y[1];
        self.y = [y, self.y[0]];
        y
    }
}
