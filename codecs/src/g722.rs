//! G.722 at 64 kbit/s (mode 1): one octet is two samples at 16 kHz, six bits of the low band and two of the high.
//!
//! The low band of the standard's filter is itself a signal at 8 kHz, the lower half of what is heard. So a narrowband
//! signal goes in and out ([`Encoder::encode_narrow`], [`Decoder::decode_narrow`]) without a filter or a resampler. Names
//! of blocks and variables are those of ITU-T G.722, §3 and §4. Nothing here allocates.
//!
//! The crate `ezk-g722` was looked at and not taken: it allocates for every packet, and starts with scale factors of 0
//! where the standard has 32 and 8.

/// Decision levels of the low band's quantizer (table 14).
const Q6: [i32; 30] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940,
    1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Logarithmic scale factor multipliers of the low band, by the four upper bits of its code (WL by way of RL42).
const W_LOW: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];
/// The same of the high band, by its code (WH by way of RH2).
const W_HIGH: [i32; 4] = [798, -214, 798, -214];
/// The antilogarithm of a scale factor's fraction (ILB).
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// What a code of the high band stands for.
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
/// What the four upper bits of a code of the low band stand for: the predictor hears only those.
const QM4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];
/// What a code of the low band stands for.
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
/// Every second coefficient of the quadrature mirror filter; the others are the same backwards (table 11).
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// An octet of silence: both predictors stay where they begin.
pub const SILENCE: u8 = 0xfa;

/// An encoder. Its state is of a fixed size.
#[derive(Debug, Clone)]
pub struct Encoder {
    low: Band,
    high: Band,
    filter: Filter,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            low: Band::new(LOW_START),
            high: Band::new(HIGH_START),
            filter: Filter::default(),
        }
    }

    /// Encodes samples at 16 kHz, two to an octet; as many as both slices have room for.
    pub fn encode(&mut self, pcm: &[i16], octets: &mut [u8]) {
        for (pair, octet) in pcm.chunks_exact(2).zip(octets) {
            let (even, odd) = self.filter.shift(i32::from(pair[0]), i32::from(pair[1]));
            *octet = self.code((odd + even) >> 14, (odd - even) >> 14);
        }
    }

    /// Encodes samples at 8 kHz, one to an octet, with nothing in the high band.
    pub fn encode_narrow(&mut self, pcm: &[i16], octets: &mut [u8]) {
        for (sample, octet) in pcm.iter().zip(octets) {
            *octet = self.code(i32::from(*sample) >> 1, 0);
        }
    }

    fn code(&mut self, low: i32, high: i32) -> u8 {
        let low = quantize_low(saturate(low - self.low.s), self.low.det);
        self.low.adapt_low(low);
        let error = saturate(high - self.high.s);
        let large = magnitude(error) >= (564 * self.high.det) >> 12;
        let high = match (error < 0, large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.high.adapt_high(high);
        (high << 6 | low) as u8
    }
}

/// A decoder. Its state is of a fixed size.
#[derive(Debug, Clone)]
pub struct Decoder {
    low: Band,
    high: Band,
    joint: Joint,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            low: Band::new(LOW_START),
            high: Band::new(HIGH_START),
            joint: Joint::default(),
        }
    }

    /// Decodes to samples at 16 kHz, two from an octet; as many as both slices have room for.
    pub fn decode(&mut self, octets: &[u8], pcm: &mut [i16]) {
        for (octet, pair) in octets.iter().zip(pcm.chunks_exact_mut(2)) {
            let (low, high) = (self.low(*octet), self.high(*octet));
            self.joint.put(low, high, pair);
        }
    }

    /// Decodes the low band alone, to samples at 8 kHz, one from an octet.
    pub fn decode_narrow(&mut self, octets: &[u8], pcm: &mut [i16]) {
        for (octet, sample) in octets.iter().zip(pcm) {
            *sample = (self.low(*octet) << 1) as i16;
        }
    }

    /// Decodes both bands, each to samples at 8 kHz; [`Joint::join`] makes one signal of them.
    pub fn decode_bands(&mut self, octets: &[u8], low: &mut [i16], high: &mut [i16]) {
        for ((octet, low), high) in octets.iter().zip(low).zip(high) {
            *low = (self.low(*octet) << 1) as i16;
            *high = (self.high(*octet) << 1) as i16;
        }
    }

    fn high(&mut self, octet: u8) -> i32 {
        let code = usize::from(octet >> 6);
        let high = limit(self.high.s + ((self.high.det * QM2[code]) >> 15));
        self.high.adapt_high(code);
        high
    }

    fn low(&mut self, octet: u8) -> i32 {
        let code = usize::from(octet & 0x3f);
        let low = limit(self.low.s + ((self.low.det * QM6[code]) >> 15));
        self.low.adapt_low(code);
        low
    }
}

/// Makes one signal at 16 kHz of two bands at 8 kHz (the receiving quadrature mirror filter, §4.4). A narrowband signal
/// with an empty high band comes out at 16 kHz: that is how one is resampled.
#[derive(Debug, Clone, Default)]
pub struct Joint {
    filter: Filter,
}

impl Joint {
    /// Joins two bands; where `high` is shorter it is empty. As many samples as `low` and half of `pcm` have.
    pub fn join(&mut self, low: &[i16], high: &[i16], pcm: &mut [i16]) {
        for (index, (low, pair)) in low.iter().zip(pcm.chunks_exact_mut(2)).enumerate() {
            let high = high.get(index).map_or(0, |high| i32::from(*high) >> 1);
            self.put(i32::from(*low) >> 1, high, pair);
        }
    }

    fn put(&mut self, low: i32, high: i32, pair: &mut [i16]) {
        let (even, odd) = self.filter.shift(low + high, low - high);
        pair[0] = saturate(odd >> 11) as i16;
        pair[1] = saturate(even >> 11) as i16;
    }
}

/// The last 24 values in a quadrature mirror filter.
#[derive(Debug, Clone, Default)]
struct Filter {
    x: [i32; 24],
}

impl Filter {
    /// Takes two values; the sums over those at even places and over those at odd ones.
    fn shift(&mut self, first: i32, second: i32) -> (i32, i32) {
        self.x.copy_within(2.., 0);
        self.x[22] = first;
        self.x[23] = second;
        let (mut even, mut odd) = (0, 0);
        for (i, pair) in self.x.chunks_exact(2).enumerate() {
            even += pair[0] * QMF[i];
            odd += pair[1] * QMF[11 - i];
        }
        (even, odd)
    }
}

/// The scale factors that the standard begins with (§4.2).
const LOW_START: i32 = 32;
const HIGH_START: i32 = 8;

/// A band's adaptive quantizer and its predictor of two poles and six zeros. The newest value is first.
#[derive(Debug, Clone, Default)]
struct Band {
    /// The predicted sample.
    s: i32,
    /// The part of the zeros in it.
    sz: i32,
    /// The last two reconstructed samples.
    r: [i32; 2],
    /// The last two partly reconstructed ones.
    p: [i32; 2],
    /// The coefficients of the poles.
    a: [i32; 2],
    /// The last six differences.
    d: [i32; 6],
    /// The coefficients of the zeros.
    b: [i32; 6],
    /// The logarithm of the scale factor.
    nb: i32,
    /// The scale factor.
    det: i32,
}

impl Band {
    fn new(det: i32) -> Self {
        Self {
            det,
            ..Self::default()
        }
    }

    fn adapt_low(&mut self, code: usize) {
        let upper = code >> 2;
        let difference = (self.det * QM4[upper]) >> 15;
        self.scale(W_LOW[upper], 18_432, 8);
        self.predict(difference);
    }

    fn adapt_high(&mut self, code: usize) {
        let difference = (self.det * QM2[code]) >> 15;
        self.scale(W_HIGH[code], 22_528, 10);
        self.predict(difference);
    }

    /// LOGSCL and SCALEL, or LOGSCH and SCALEH.
    fn scale(&mut self, weight: i32, max: i32, shift: i32) {
        self.nb = (((self.nb * 127) >> 7) + weight).clamp(0, max);
        let mantissa = ILB[(self.nb >> 6 & 31) as usize];
        let shift = shift - (self.nb >> 11);
        let scaled = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        };
        self.det = scaled << 2;
    }

    /// Block 4: adapts the predictor to a difference, and predicts the next sample.
    fn predict(&mut self, d: i32) {
        let r = saturate(self.s + d);
        let p = saturate(self.sz + d);
        let as_last = (p < 0) == (self.p[0] < 0);
        let as_before = (p < 0) == (self.p[1] < 0);

        // UPPOL2
        let quarter = saturate(self.a[0] << 2);
        let quarter = if as_last { -quarter } else { quarter }.min(32_767);
        let sign = if as_before { 128 } else { -128 };
        let a2 = ((quarter >> 7) + sign + ((self.a[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1
        let sign = if as_last { 192 } else { -192 };
        let bound = saturate(15_360 - a2);
        let a1 = saturate(sign + ((self.a[0] * 32_640) >> 15)).clamp(-bound, bound);
        self.a = [a1, a2];
        // UPZERO
        let step = if d == 0 { 0 } else { 128 };
        for (b, old) in self.b.iter_mut().zip(&self.d) {
            let step = if (*old < 0) == (d < 0) { step } else { -step };
            *b = saturate(step + ((*b * 32_640) >> 15));
        }
        // DELAYA
        self.d.copy_within(..5, 1);
        self.d[0] = d;
        self.r = [r, self.r[0]];
        self.p = [p, self.p[0]];
        // FILTEP, FILTEZ, PREDIC
        let poles: i32 = (self.a.iter().zip(&self.r))
            .map(|(a, r)| (a * saturate(r + r)) >> 15)
            .sum();
        let zeros: i32 = (self.b.iter().zip(&self.d))
            .map(|(b, d)| (b * saturate(d + d)) >> 15)
            .sum();
        self.sz = saturate(zeros);
        self.s = saturate(saturate(poles) + self.sz);
    }
}

/// QUANTL: the six bits for a difference.
fn quantize_low(error: i32, det: i32) -> usize {
    let size = magnitude(error);
    // The levels rise: the first that is above.
    let step = 1 + Q6[1..].partition_point(|level| (level * det) >> 12 <= size);
    match (error < 0, step) {
        // The two smallest negative steps stand apart (table 17).
        (true, 1) => 63,
        (true, 2) => 62,
        (true, step) => 34 - step,
        (false, step) => 62 - step,
    }
}

/// A magnitude, with that of negative values one less.
fn magnitude(error: i32) -> i32 {
    if error < 0 { -(error + 1) } else { error }
}

/// To 15 bits: LIMIT.
fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

/// To 16 bits.
fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(hz: f64, rate: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|i| (8_000.0 * (TAU * hz * i as f64 / rate).sin()) as i16)
            .collect()
    }

    /// How far the tone at `hz` stands above everything else, in dB: its delay and gain do not matter.
    fn tone_to_rest(pcm: &[i16], hz: f64, rate: f64) -> f64 {
        let n = pcm.len() as f64;
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (i, sample) in pcm.iter().enumerate() {
            let (sample, angle) = (f64::from(*sample), TAU * hz * i as f64 / rate);
            re += sample * angle.cos();
            im += sample * angle.sin();
            all += sample * sample;
        }
        let tone = 2.0 * (re * re + im * im) / n;
        10.0 * (tone / (all - tone)).log10()
    }

    #[test]
    fn the_bands_joined_are_the_signal() {
        let mut encoder = Encoder::new();
        let mut octets = [0; 320];
        encoder.encode(&tone(2_900.0, 16_000.0, 640), &mut octets);
        let (mut low, mut high) = ([0; 320], [0; 320]);
        Decoder::new().decode_bands(&octets, &mut low, &mut high);
        let (mut joined, mut whole) = ([0; 640], [0; 640]);
        Joint::default().join(&low, &high, &mut joined);
        Decoder::new().decode(&octets, &mut whole);
        assert_eq!(joined, whole);
    }

    #[test]
    fn a_narrowband_signal_is_resampled_without_its_image() {
        let mut pcm = vec![0; 3_200];
        Joint::default().join(&tone(1_600.0, 8_000.0, 1_600), &[], &mut pcm);
        let clean = tone_to_rest(&pcm[640..], 1_600.0, 16_000.0);
        assert!(clean > 40.0, "{clean} dB");
    }

    #[test]
    fn both_bands_come_back() {
        for (hz, at_least) in [
            (300.0, 30.0),
            (1_000.0, 30.0),
            (3_000.0, 20.0),
            (6_000.0, 10.0),
        ] {
            let pcm = tone(hz, 16_000.0, 16_000);
            let (mut octets, mut back) = ([0; 8_000], [0; 16_000]);
            Encoder::new().encode(&pcm, &mut octets);
            Decoder::new().decode(&octets, &mut back);
            let ratio = tone_to_rest(&back[8_000..], hz, 16_000.0);
            assert!(ratio > at_least, "{hz} Hz: {ratio:.1} dB");
        }
    }

    #[test]
    fn narrow_and_wide_understand_each_other() {
        let (mut octets, mut narrow, mut wide) = ([0; 8_000], [0; 8_000], [0; 16_000]);
        Encoder::new().encode_narrow(&tone(1_000.0, 8_000.0, 8_000), &mut octets);
        Decoder::new().decode(&octets, &mut wide);
        Decoder::new().decode_narrow(&octets, &mut narrow);
        assert!(tone_to_rest(&wide[8_000..], 1_000.0, 16_000.0) > 25.0);
        assert!(tone_to_rest(&narrow[4_000..], 1_000.0, 8_000.0) > 30.0);
        let peak = |pcm: &[i16]| pcm.iter().copied().max();
        for peak in [peak(&wide[8_000..]), peak(&narrow[4_000..])] {
            assert!(matches!(peak, Some(7_600..=8_500)), "{peak:?}");
        }

        Encoder::new().encode(&tone(1_000.0, 16_000.0, 16_000), &mut octets);
        Decoder::new().decode_narrow(&octets, &mut narrow);
        assert!(tone_to_rest(&narrow[4_000..], 1_000.0, 8_000.0) > 30.0);
    }

    /// The sums are those of what spandsp 0.0.6 makes of the same samples.
    #[test]
    fn octets_and_samples_are_bit_by_bit_those_of_another_implementation() {
        let mut noise = 1_u32;
        let pcm: Vec<i16> = (0..16_000)
            .map(|_| {
                noise = noise.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
                (noise >> 8 & 0x3fff) as i16 - 8_192
            })
            .collect();
        let fnv1a = |octets: &[u8]| {
            octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| {
                (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        let (mut octets, mut back) = ([0; 8_000], [0_i16; 16_000]);
        Encoder::new().encode(&pcm, &mut octets);
        assert_eq!(fnv1a(&octets), 0xd8d0_0c28_f3b1_e821);
        Decoder::new().decode(&octets, &mut back);
        let back: Vec<u8> = back.iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(fnv1a(&back), 0x8b31_20df_546e_e900);
    }

    #[test]
    fn silence_stays_silent() {
        let mut octets = [0; 160];
        Encoder::new().encode_narrow(&[0; 160], &mut octets);
        let mut pcm = [0; 160];
        Decoder::new().decode_narrow(&octets, &mut pcm);
        assert!(pcm.iter().all(|sample| sample.abs() <= 8), "{pcm:?}");
        Decoder::new().decode_narrow(&[SILENCE; 160], &mut pcm);
        assert!(pcm.iter().all(|sample| sample.abs() <= 8), "{pcm:?}");
    }

    #[test]
    fn any_octets_are_decoded_and_slices_of_any_lengths_taken() {
        let octets: Vec<u8> = (0..60_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let mut pcm = vec![0; 120_000];
        let mut decoder = Decoder::new();
        decoder.decode(&octets, &mut pcm);
        for octet in 0..=255 {
            decoder.decode(&[octet; 500], &mut pcm);
        }
        decoder.decode(&octets[..3], &mut pcm[..5]);
        let extreme: Vec<i16> = (0..4_000)
            .map(|i| if i / 7 % 2 == 0 { i16::MIN } else { i16::MAX })
            .collect();
        let mut short = [0; 1_000];
        Encoder::new().encode(&extreme, &mut short);
        Encoder::new().encode_narrow(&extreme, &mut short);
    }
}
