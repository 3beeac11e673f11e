//! The tables of G.711, computed at compile time from the definition of its segments.

/// Octet to sample, mu-law.
pub(super) static MU_TO_LINEAR: [i16; 256] = decoding_table(true);
/// Octet to sample, A-law.
pub(super) static A_TO_LINEAR: [i16; 256] = decoding_table(false);
/// Upper 14 bits of a sample to octet, mu-law.
pub(super) static LINEAR_TO_MU: [u8; 16384] = encoding_table(true);
/// Upper 14 bits of a sample to octet, A-law.
pub(super) static LINEAR_TO_A: [u8; 16384] = encoding_table(false);
/// mu-law octet to A-law octet.
pub(super) static MU_TO_A: [u8; 256] = crossing_table(&MU_TO_LINEAR, &LINEAR_TO_A);
/// A-law octet to mu-law octet.
pub(super) static A_TO_MU: [u8; 256] = crossing_table(&A_TO_LINEAR, &LINEAR_TO_MU);

/// The bias that makes mu-law's segments powers of two, at 16 bits (33 at 14 bits).
const MU_BIAS: i32 = 0x84;
/// The largest biased magnitude mu-law has a step for, at 16 bits.
const MU_LIMIT: i32 = 0x7fff;

const fn mu_to_linear(octet: u8) -> i16 {
    let code = !octet;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0f) as i32;
    let magnitude = (((step << 3) + MU_BIAS) << segment) - MU_BIAS;
    if code & 0x80 != 0 {
        -magnitude as i16
    } else {
        magnitude as i16
    }
}

const fn a_to_linear(octet: u8) -> i16 {
    let code = octet ^ 0x55;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0f) as i32;
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 {
        magnitude as i16
    } else {
        -magnitude as i16
    }
}

const fn linear_to_mu(sample: i32) -> u8 {
    // G.711 counts at 14 bits; the mirror is about -1/2, so that zero and minus one differ in sign only.
    let (sign, magnitude) = if sample < 0 {
        (0x80, !sample & !3)
    } else {
        (0, sample & !3)
    };
    let biased = magnitude + MU_BIAS;
    let biased = if biased > MU_LIMIT { MU_LIMIT } else { biased };
    let segment = 31 - biased.leading_zeros() as i32 - 7;
    let step = (biased >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) as u8 | step as u8)
}

const fn linear_to_a(sample: i32) -> u8 {
    // A-law mirrors about -1/2 of its finest step, so that zero and minus one differ in sign only.
    let (sign, magnitude) = if sample < 0 {
        (0, (-sample - 1) >> 4)
    } else {
        (0x80, sample >> 4)
    };
    let (segment, step) = if magnitude < 32 {
        (magnitude >> 4, magnitude & 0x0f)
    } else {
        let segment = 31 - magnitude.leading_zeros() as i32 - 3;
        (segment, (magnitude >> (segment - 1)) & 0x0f)
    };
    (sign | (segment << 4) as u8 | step as u8) ^ 0x55
}

const fn decoding_table(mu: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = if mu {
            mu_to_linear(octet as u8)
        } else {
            a_to_linear(octet as u8)
        };
        octet += 1;
    }
    table
}

const fn encoding_table(mu: bool) -> [u8; 16384] {
    let mut table = [0; 16384];
    let mut index = 0;
    while index < 16384 {
        let sample = (((index as u16) << 2) as i16) as i32;
        table[index] = if mu {
            linear_to_mu(sample)
        } else {
            linear_to_a(sample)
        };
        index += 1;
    }
    table
}

const fn crossing_table(decoding: &[i16; 256], encoding: &[u8; 16384]) -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = encoding[(decoding[octet] as u16 >> 2) as usize];
        octet += 1;
    }
    table
}
