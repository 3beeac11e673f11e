//! Port numbers of relayed addresses.

use rand_chacha::{ChaCha8Rng, rand_core::RngCore};

/// Both ends are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Default for PortRange {
    /// RFC 8656 §7.2's.
    fn default() -> Self {
        Self {
            first: 49152,
            last: 65535,
        }
    }
}

/// Which port is asked for: EVEN-PORT and its R bit (RFC 8656 §18.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    Even,
    /// With the next one, which is reserved.
    EvenAndNext,
}

/// The ports of one address that are taken: one bit each.
pub(crate) struct Ports {
    range: PortRange,
    taken: Box<[u64]>,
}

impl Ports {
    pub(crate) fn new(range: PortRange) -> Self {
        let count = usize::from(range.last.saturating_sub(range.first)) + 1;
        Self {
            range,
            taken: vec![0; count.div_ceil(64)].into(),
        }
    }

    /// Whether that port is in its range.
    pub(crate) fn has(&self, port: u16) -> bool {
        (self.range.first..=self.range.last).contains(&port)
    }

    fn is_free(&self, port: u16) -> bool {
        if !self.has(port) {
            return false;
        }
        let index = usize::from(port - self.range.first);
        self.taken
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 0)
    }

    fn set(&mut self, port: u16, taken: bool) {
        let index = usize::from(port.saturating_sub(self.range.first));
        if let Some(word) = self.taken.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            *word = if taken { *word | bit } else { *word & !bit };
        }
    }

    /// Takes a free port, from a random place on: who saw one cannot tell the next (RFC 8656 §7.2).
    pub(crate) fn take(&mut self, wanted: Wanted, random: &mut ChaCha8Rng) -> Option<u16> {
        let PortRange { first, last } = self.range;
        let count = u32::from(last.checked_sub(first)?) + 1;
        let start = random.next_u32() % count;
        let suits = |port: u16| match wanted {
            Wanted::Any => self.is_free(port),
            Wanted::Even => port.is_multiple_of(2) && self.is_free(port),
            Wanted::EvenAndNext => {
                port.is_multiple_of(2) && self.is_free(port) && self.is_free(port + 1)
            }
        };
        let port = (0..count)
            .map(|step| first + ((start + step) % count) as u16)
            .find(|port| suits(*port))?;
        self.set(port, true);
        if wanted == Wanted::EvenAndNext {
            self.set(port + 1, true);
        }
        Some(port)
    }

    /// Whether none is taken.
    #[cfg(test)]
    pub(crate) fn is_all_free(&self) -> bool {
        self.taken.iter().all(|word| *word == 0)
    }

    /// One of another server's is none of ours.
    pub(crate) fn release(&mut self, port: u16) {
        if self.has(port) {
            self.set(port, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn every_port_is_given_once_and_again_when_it_is_free() {
        let mut random = ChaCha8Rng::from_seed([1; 32]);
        let mut ports = Ports::new(PortRange {
            first: 50_001,
            last: 50_100,
        });
        let mut given: Vec<_> = (0..100)
            .map(|_| ports.take(Wanted::Any, &mut random).unwrap())
            .collect();
        assert!(!given.is_sorted());
        given.sort_unstable();
        assert_eq!(given, (50_001..=50_100).collect::<Vec<_>>());
        assert_eq!(ports.take(Wanted::Any, &mut random), None);
        ports.release(50_007);
        assert_eq!(ports.take(Wanted::Even, &mut random), None);
        assert_eq!(ports.take(Wanted::Any, &mut random), Some(50_007));
        ports.release(50_100);
        ports.release(50_051);
        assert_eq!(ports.take(Wanted::EvenAndNext, &mut random), None);
        ports.release(50_050);
        assert_eq!(ports.take(Wanted::EvenAndNext, &mut random), Some(50_050));
        assert_eq!(ports.take(Wanted::Even, &mut random), Some(50_100));
        assert_eq!(ports.take(Wanted::Any, &mut random), None);
    }

    #[test]
    fn the_last_port_has_no_next() {
        let mut random = ChaCha8Rng::from_seed([1; 32]);
        let mut ports = Ports::new(PortRange {
            first: 65534,
            last: 65535,
        });
        assert_eq!(ports.take(Wanted::EvenAndNext, &mut random), Some(65534));
        assert_eq!(ports.take(Wanted::Any, &mut random), None);
    }
}
