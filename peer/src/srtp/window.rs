//! Packet indices: the rollover counter's estimate and the replay window, for each SSRC.

use super::{Error, MAX_STREAMS};

/// How many indices behind the highest are still told apart (RFC 3711 §3.3.2 asks for 64).
pub(super) const WINDOW: u64 = u128::BITS as u64;

const MAX_INDEX: u64 = (1 << 48) - 1;

/// The 48-bit index that a sequence number most likely means (RFC 3711 §3.3.1), given the highest
/// authenticated one. `None` when it would lie before the stream's beginning or past its end.
pub(super) fn estimate(highest: Option<u64>, sequence: u16) -> Option<u64> {
    const HALF: u16 = 0x8000;
    let Some(highest) = highest else {
        return Some(u64::from(sequence));
    };
    let last = (highest & 0xffff) as u16;
    let rollover = highest >> 16;
    let rollover = if last < HALF && sequence.saturating_sub(last) > HALF {
        rollover.checked_sub(1)?
    } else if last >= HALF && last - HALF > sequence {
        rollover + 1
    } else {
        rollover
    };
    let index = rollover << 16 | u64::from(sequence);
    (index <= MAX_INDEX).then_some(index)
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    ssrc: u32,
    highest: u64,
    /// Bit `n` is set when `highest - n` has been seen.
    seen: u128,
}

/// Where a packet's stream is, or that it will be made when the packet is accepted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Known(usize),
    New,
}

/// The streams of one context, at most [`MAX_STREAMS`].
#[derive(Debug)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    /// Most packets are of the same stream as the one before.
    recent: usize,
}

impl Streams {
    /// Room for as many SSRCs as a call has is made here, so that packets need none.
    const USUAL: usize = 4;

    pub(super) fn new() -> Self {
        Self {
            streams: Vec::with_capacity(Self::USUAL),
            recent: 0,
        }
    }

    pub(super) fn find(&self, ssrc: u32) -> Result<Slot, Error> {
        if self
            .streams
            .get(self.recent)
            .is_some_and(|s| s.ssrc == ssrc)
        {
            return Ok(Slot::Known(self.recent));
        }
        match self.streams.iter().position(|s| s.ssrc == ssrc) {
            Some(at) => Ok(Slot::Known(at)),
            None if self.streams.len() < MAX_STREAMS => Ok(Slot::New),
            None => Err(Error::TooManyStreams),
        }
    }

    fn get(&self, slot: Slot) -> Option<&Stream> {
        match slot {
            Slot::Known(at) => self.streams.get(at),
            Slot::New => None,
        }
    }

    pub(super) fn highest(&self, slot: Slot) -> Option<u64> {
        self.get(slot).map(|stream| stream.highest)
    }

    /// Whether the index may still be used; changes nothing.
    pub(super) fn check(&self, slot: Slot, index: u64) -> Result<(), Error> {
        let Some(stream) = self.get(slot) else {
            return Ok(());
        };
        match stream.highest.checked_sub(index) {
            None => Ok(()),
            Some(behind) if behind >= WINDOW => Err(Error::TooOld),
            Some(behind) if stream.seen >> behind & 1 == 1 => Err(Error::Replayed),
            Some(_) => Ok(()),
        }
    }

    /// Notes an authenticated packet's index.
    pub(super) fn accept(&mut self, slot: Slot, ssrc: u32, index: u64) {
        let at = match slot {
            Slot::Known(at) => at,
            Slot::New => {
                self.streams.push(Stream {
                    ssrc,
                    highest: index,
                    seen: 0,
                });
                self.streams.len() - 1
            }
        };
        self.recent = at;
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        if let Some(ahead) = index.checked_sub(stream.highest) {
            let seen = if ahead < WINDOW {
                stream.seen << ahead
            } else {
                0
            };
            stream.highest = index;
            stream.seen = seen | 1;
        } else {
            // `check` found it inside the window.
            stream.seen |= 1 << ((stream.highest - index) % WINDOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_follows_the_sequence_over_the_wrap_and_back() {
        assert_eq!(estimate(None, 65_000), Some(65_000));
        assert_eq!(estimate(Some(65_535), 0), Some(65_536));
        assert_eq!(estimate(Some(65_536), 65_535), Some(65_535));
        assert_eq!(
            estimate(Some(65_536 * 7 + 3), 65_530),
            Some(65_536 * 6 + 65_530)
        );
        assert_eq!(
            estimate(Some(65_536 * 7 + 40_000), 7_231),
            Some(65_536 * 8 + 7_231)
        );
        assert_eq!(
            estimate(Some(65_536 * 7 + 40_000), 7_232),
            Some(65_536 * 7 + 7_232)
        );
    }

    #[test]
    fn no_index_lies_before_the_beginning_or_past_the_end() {
        assert_eq!(estimate(Some(2), 65_530), None);
        assert_eq!(estimate(Some(MAX_INDEX), 0), None);
    }

    fn accepts(streams: &mut Streams, index: u64) -> Result<(), Error> {
        let slot = streams.find(1)?;
        streams.check(slot, index)?;
        streams.accept(slot, 1, index);
        Ok(())
    }

    #[test]
    fn each_index_passes_once_and_the_window_is_128_wide() {
        let mut streams = Streams::new();
        assert_eq!(accepts(&mut streams, 1000), Ok(()));
        assert_eq!(accepts(&mut streams, 1000), Err(Error::Replayed));
        assert_eq!(accepts(&mut streams, 1127), Ok(()));
        assert_eq!(accepts(&mut streams, 1000), Err(Error::Replayed));
        assert_eq!(accepts(&mut streams, 1001), Ok(()));
        assert_eq!(accepts(&mut streams, 1001), Err(Error::Replayed));
        assert_eq!(accepts(&mut streams, 999), Err(Error::TooOld));
        assert_eq!(accepts(&mut streams, 1255), Ok(()));
        assert_eq!(accepts(&mut streams, 1127), Err(Error::TooOld));
        assert_eq!(accepts(&mut streams, 1128), Ok(()));
        assert_eq!(accepts(&mut streams, 9000), Ok(()));
        assert_eq!(accepts(&mut streams, 8999), Ok(()));
        assert_eq!(accepts(&mut streams, 9000), Err(Error::Replayed));
    }

    #[test]
    fn the_number_of_ssrcs_is_bounded() {
        let mut streams = Streams::new();
        for ssrc in 0..MAX_STREAMS as u32 {
            let slot = streams.find(ssrc).unwrap();
            streams.accept(slot, ssrc, 5);
        }
        assert!(matches!(streams.find(999), Err(Error::TooManyStreams)));
        assert!(matches!(streams.find(3), Ok(Slot::Known(3))));
    }
}
