//! A leg's way through the network, each way as bad as it is asked to be.

use std::time::Instant;

use media::{Impairment, ImpairmentSettings};

/// What goes out carries its place in its stream, if it is audio; what comes in the time when it really came.
pub(crate) struct Wire {
    ways: Option<(Impairment<Option<u64>>, Impairment<Instant>)>,
}

impl Wire {
    /// A way as bad as `settings` say; the good one costs nothing.
    pub(crate) fn new(settings: ImpairmentSettings, seed: u64) -> Self {
        let ways = || {
            (
                Impairment::new(settings, seed),
                Impairment::new(settings, !seed),
            )
        };
        Self {
            ways: (!settings.is_none()).then(ways),
        }
    }

    /// Takes what leaves; false: it goes at once, and the caller sends it.
    pub(crate) fn take_out(&mut self, now: Instant, number: Option<u64>, packet: &[u8]) -> bool {
        let Some((out, _)) = &mut self.ways else {
            return false;
        };
        out.handle(now, number, packet);
        true
    }

    /// Takes what came; false: it is there at once.
    pub(crate) fn take_in(&mut self, now: Instant, packet: &[u8]) -> bool {
        let Some((_, into)) = &mut self.ways else {
            return false;
        };
        into.handle(now, now, packet);
        true
    }

    /// What leaves now.
    pub(crate) fn poll_out(&mut self, now: Instant) -> Option<(Option<u64>, &mut [u8])> {
        self.ways.as_mut()?.0.poll_transmit(now)
    }

    /// What comes now, copied to the front of `buffer`: when it was at the end of the wire, and its length.
    pub(crate) fn poll_in(&mut self, now: Instant, buffer: &mut [u8]) -> Option<(Instant, usize)> {
        let (came, packet) = self.ways.as_mut()?.1.poll_transmit(now)?;
        let len = packet.len().min(buffer.len());
        buffer[..len].copy_from_slice(&packet[..len]);
        Some((came, len))
    }

    /// When something leaves or comes.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (out, into) = self.ways.as_ref()?;
        [out.poll_timeout(), into.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }
}
