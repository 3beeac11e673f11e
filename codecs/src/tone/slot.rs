//! Ten milliseconds of audio, as the eight frequencies of DTMF see them.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::dtmf::{COLUMNS, ROWS};

/// Samples in a slot.
pub(super) const SLOT: usize = 80;
/// The most slots that are looked at together.
const MOST: usize = 3;
/// Frequencies: four rows, then four columns.
const TONES: usize = 8;

/// What of the audio is at each frequency, and all of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    re: [f32; TONES],
    im: [f32; TONES],
    /// The sum of the samples' squares.
    energy: f32,
}

/// A row's or a column's tone in a few slots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tone {
    /// 0 to 3.
    pub(super) index: usize,
    /// Its mean square.
    pub(super) power: f32,
    /// How far its frequency is off, as a part of it.
    pub(super) deviation: f32,
    /// The ratio of its amplitudes in the slot where it is strongest and where it is weakest.
    pub(super) unsteady: f32,
}

/// `e^{-jwn}` of each frequency at each sample of a slot.
struct Waves {
    cos: [[f32; TONES]; SLOT],
    sin: [[f32; TONES]; SLOT],
    /// By how much each turns in a slot.
    turn: [f32; TONES],
    hertz: [f32; TONES],
    /// How much of a column each row sees of it, and in which phase.
    blur: [[Complex; 4]; 4],
}

static WAVES: LazyLock<Box<Waves>> = LazyLock::new(|| {
    let mut waves = Box::new(Waves {
        cos: [[0.0; TONES]; SLOT],
        sin: [[0.0; TONES]; SLOT],
        turn: [0.0; TONES],
        hertz: [0.0; TONES],
        blur: [[Complex(0.0, 0.0); 4]; 4],
    });
    for (tone, hertz) in ROWS.iter().chain(&COLUMNS).enumerate() {
        let step = TAU * hertz / f64::from(crate::SAMPLE_RATE);
        for sample in 0..SLOT {
            let (sin, cos) = (step * sample as f64).sin_cos();
            waves.cos[sample][tone] = cos as f32;
            waves.sin[sample][tone] = sin as f32;
        }
        waves.turn[tone] = (step * SLOT as f64 % TAU) as f32;
        waves.hertz[tone] = *hertz as f32;
    }
    for (row, low) in ROWS.iter().enumerate() {
        for (column, high) in COLUMNS.iter().enumerate() {
            let step = TAU * (high - low) / f64::from(crate::SAMPLE_RATE);
            let turns = (0..SLOT).map(|sample| (step * sample as f64).sin_cos());
            let (sin, cos) = turns.fold((0.0, 0.0), |sum, turn| (sum.0 + turn.0, sum.1 + turn.1));
            let share = 1.0 / SLOT as f64;
            waves.blur[row][column] = Complex((cos * share) as f32, (sin * share) as f32);
        }
    }
    waves
});

impl Slot {
    pub(super) fn of(pcm: &[i16; SLOT]) -> Self {
        let waves = &**WAVES;
        let mut slot = Self::default();
        for ((sample, cos), sin) in pcm.iter().zip(&waves.cos).zip(&waves.sin) {
            let sample = f32::from(*sample);
            for tone in 0..TONES {
                slot.re[tone] += sample * cos[tone];
                slot.im[tone] -= sample * sin[tone];
            }
            slot.energy += sample * sample;
        }
        slot
    }

    /// The mean square of the whole audio.
    pub(super) fn power(&self) -> f32 {
        self.energy / SLOT as f32
    }

    fn at(&self, tone: usize) -> Complex {
        Complex(self.re[tone], self.im[tone])
    }

    /// The tones of a row and a column, told apart: in a slot as short as this each is blurred by the other.
    pub(super) fn split(&self, row: usize, column: usize) -> (Complex, Complex) {
        let blur = WAVES.blur[row][column];
        let (low, high) = (self.at(row), self.at(4 + column));
        let scale = 2.0 / (SLOT as f32 * (1.0 - blur.square()));
        let row = low.minus(blur.times(high)).scaled(scale);
        let column = high.minus(blur.conjugate().times(low)).scaled(scale);
        (row, column)
    }
}

/// A tone in a slot: its amplitude and its phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Complex(f32, f32);

impl Complex {
    fn turned(angle: f32) -> Self {
        Self(angle.cos(), angle.sin())
    }

    fn times(self, by: Self) -> Self {
        Self(self.0 * by.0 - self.1 * by.1, self.0 * by.1 + self.1 * by.0)
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }

    fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }

    fn scaled(self, by: f32) -> Self {
        Self(self.0 * by, self.1 * by)
    }

    fn conjugate(self) -> Self {
        Self(self.0, -self.1)
    }

    fn square(self) -> f32 {
        self.0 * self.0 + self.1 * self.1
    }

    pub(super) fn amplitude(self) -> f32 {
        self.square().sqrt()
    }
}

/// The row and the column that are the strongest in adjacent slots (at most three); none where another one is nearly as
/// strong.
pub(super) fn strongest(slots: &[Slot], selectivity: f32) -> Option<(Tone, Tone)> {
    let (row, column) = (loudest(slots, 0), loudest(slots, 4));
    let mut low = [Complex(0.0, 0.0); MOST];
    let mut high = low;
    let count = slots.len().min(MOST);
    for (index, slot) in slots.iter().take(count).enumerate() {
        (low[index], high[index]) = slot.split(row, column);
    }
    let low = tone(&low[..count], row, row);
    let high = tone(&high[..count], column, 4 + column);
    let distinct = |found: &Tone, first: usize| {
        (0..4).all(|other| {
            other == found.index || coherent(slots, first + other) * selectivity < found.power
        })
    };
    (distinct(&low, 0) && distinct(&high, 4)).then_some((low, high))
}

fn loudest(slots: &[Slot], first: usize) -> usize {
    let loudness = |tone: usize| slots.iter().map(|slot| slot.at(tone).square()).sum::<f32>();
    let tones = (0..4).map(|index| (index, loudness(first + index)));
    let loudest = tones.max_by(|a, b| a.1.total_cmp(&b.1));
    loudest.map_or(0, |(index, _)| index)
}

/// What a tone is over all slots: by how much it turns further from one to the next than its frequency should (2 pi are
/// 100 Hz), and how strong it is once that is accounted for.
fn tone(parts: &[Complex], index: usize, wave: usize) -> Tone {
    let back = Complex::turned(-WAVES.turn[wave]);
    let mut drift = Complex(0.0, 0.0);
    for pair in parts.windows(2) {
        drift = drift.plus(pair[1].times(pair[0].conjugate()).times(back));
    }
    let angle = drift.1.atan2(drift.0);
    let turn = Complex::turned(-WAVES.turn[wave] - angle);
    // The last slot's turn is the most: sum from there.
    let sum = parts
        .iter()
        .rev()
        .fold(Complex(0.0, 0.0), |sum, part| sum.times(turn).plus(*part));
    // A slot hears a tone that is off its frequency a little weaker.
    let half = angle / 2.0;
    let droop = if half.abs() < 1e-3 {
        1.0
    } else {
        half.sin() / half
    };
    let amplitudes = parts.iter().map(|part| part.amplitude());
    let (least, most) = amplitudes.fold((f32::MAX, 0.0_f32), |(least, most), amplitude| {
        (least.min(amplitude), most.max(amplitude))
    });
    Tone {
        index,
        power: sum.square() / 2.0 / (parts.len() as f32 * droop).powi(2),
        deviation: angle * 100.0 / (TAU as f32 * WAVES.hertz[wave]),
        unsteady: most / least,
    }
}

/// The mean square at a frequency over all slots.
fn coherent(slots: &[Slot], wave: usize) -> f32 {
    let turn = Complex::turned(-WAVES.turn[wave]);
    let sum = slots.iter().rev().fold(Complex(0.0, 0.0), |sum, slot| {
        sum.times(turn).plus(slot.at(wave))
    });
    2.0 * sum.square() / ((slots.len() * SLOT) as f32).powi(2)
}
