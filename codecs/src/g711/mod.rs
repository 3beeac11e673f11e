//! ITU-T G.711: mu-law and A-law, by table, 16-bit linear samples at 8 kHz.

mod tables;
#[cfg(test)]
mod tests;

use tables::{A_TO_LINEAR, A_TO_MU, LINEAR_TO_A, LINEAR_TO_MU, MU_TO_A, MU_TO_LINEAR};

/// The companding law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// mu-law, RTP payload type 0 (PCMU, RFC 3551 §4.5.14).
    Mu,
    /// A-law, RTP payload type 8 (PCMA, RFC 3551 §4.5.14).
    A,
}

impl Law {
    /// The octet that stands for silence.
    pub fn silence(self) -> u8 {
        match self {
            Law::Mu => 0xff,
            Law::A => 0xd5,
        }
    }
}

/// One octet to one 16-bit sample.
pub fn decode(law: Law, octet: u8) -> i16 {
    match law {
        Law::Mu => MU_TO_LINEAR[usize::from(octet)],
        Law::A => A_TO_LINEAR[usize::from(octet)],
    }
}

/// One 16-bit sample to one octet.
pub fn encode(law: Law, sample: i16) -> u8 {
    match law {
        // Both laws see 14 and 13 bits: the table is indexed by the sample's upper 14.
        Law::Mu => LINEAR_TO_MU[table_index(sample)],
        Law::A => LINEAR_TO_A[table_index(sample)],
    }
}

/// Octets to samples, as many as the shorter of the two slices holds.
pub fn decode_into(law: Law, octets: &[u8], samples: &mut [i16]) {
    let table = match law {
        Law::Mu => &MU_TO_LINEAR,
        Law::A => &A_TO_LINEAR,
    };
    for (sample, octet) in samples.iter_mut().zip(octets) {
        *sample = table[usize::from(*octet)];
    }
}

/// Samples to octets, as many as the shorter of the two slices holds.
pub fn encode_into(law: Law, samples: &[i16], octets: &mut [u8]) {
    let table = match law {
        Law::Mu => &LINEAR_TO_MU,
        Law::A => &LINEAR_TO_A,
    };
    for (octet, sample) in octets.iter_mut().zip(samples) {
        *octet = table[table_index(*sample)];
    }
}

/// Octets of one law to octets of another, as many as the shorter of the two slices holds. The same law copies.
pub fn transcode(from: Law, to: Law, octets: &[u8], out: &mut [u8]) {
    let table = match (from, to) {
        (Law::Mu, Law::A) => &MU_TO_A,
        (Law::A, Law::Mu) => &A_TO_MU,
        (Law::Mu, Law::Mu) | (Law::A, Law::A) => {
            let len = octets.len().min(out.len());
            out[..len].copy_from_slice(&octets[..len]);
            return;
        }
    };
    for (to, from) in out.iter_mut().zip(octets) {
        *to = table[usize::from(*from)];
    }
}

fn table_index(sample: i16) -> usize {
    usize::from(sample as u16 >> 2)
}
