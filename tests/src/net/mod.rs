//! The seeded virtual network: the gateway's cores and a simulated telephone in virtual time, over wires that lose,
//! repeat, delay and reorder. The same seed plays the same call; there are no threads and no sockets.
//!
//! The wires are [`sip::testing`]'s. [`call`] plays a whole call's signalling, [`changing`] one that
//! changes on the way, [`media`] a call's media.

pub mod call;
pub mod changing;
pub mod media;
pub mod plan;
mod telephone;

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Seeded choices.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha20Rng);

impl Dice {
    /// The choices of this seed; those of another `stream` have nothing to do with them.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// 0 to `sides - 1`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0.next_u64() % sides.max(1)
    }

    /// From `least` to `most` milliseconds.
    pub fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.roll(most - least + 1))
    }

    /// 0 to `most`.
    pub fn share(&mut self, most: f64) -> f64 {
        most * self.roll(1001) as f64 / 1000.0
    }

    /// 32 octets.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
