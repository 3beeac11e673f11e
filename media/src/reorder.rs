//! Packets back in order, and how long a missing one is waited for.

use std::time::{Duration, Instant};

use crate::rtp::{MAX_PACKET, Packet};

/// Packets that may wait behind a gap. When the last place is taken, the gap is loss.
const PLACES: usize = 2;

/// A packet in its turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Packets missing right before this one.
    pub(crate) lost: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame of a packet whose turn it is.
    pub(crate) fn of(packet: &Packet<'a>, lost: u64) -> Self {
        Self {
            lost,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload_type: packet.payload_type,
            payload: packet.payload,
        }
    }
}

/// What becomes of an offered packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is its turn; it was not copied.
    Now,
    /// It waits behind a gap.
    Held,
    /// Its turn is over.
    Late,
}

/// The window of one source. Allocates when made, never after.
#[derive(Debug)]
pub(crate) struct Reorder {
    wait: Duration,
    /// The number whose turn it is.
    next: u64,
    places: [Place; PLACES],
}

#[derive(Debug)]
struct Place {
    held: Option<Held>,
    payload: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    sequence: u64,
    arrived: Instant,
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    len: usize,
}

impl Reorder {
    /// A window that waits at most `wait` for a missing packet.
    pub(crate) fn new(wait: Duration) -> Self {
        let place = || Place {
            held: None,
            payload: vec![0; MAX_PACKET].into_boxed_slice(),
        };
        Self {
            wait,
            next: 0,
            places: std::array::from_fn(|_| place()),
        }
    }

    /// Begins again with `first`; what waits is dropped.
    pub(crate) fn restart(&mut self, first: u64) {
        self.next = first;
        self.places.iter_mut().for_each(|place| place.held = None);
    }

    /// Offers a packet that is no duplicate. After [`Offer::Now`] it is the caller's to use, then, as after
    /// [`Offer::Held`], it calls [`Reorder::pop`] until there is no more.
    pub(crate) fn offer(&mut self, now: Instant, sequence: u64, packet: &Packet<'_>) -> Offer {
        if sequence < self.next {
            return Offer::Late;
        }
        if sequence == self.next {
            self.next += 1;
            return Offer::Now;
        }
        let free = self.places.iter_mut().find(|place| place.held.is_none());
        let (Some(place), len) = (free, packet.payload.len()) else {
            return Offer::Late;
        };
        let Some(payload) = place.payload.get_mut(..len) else {
            return Offer::Late;
        };
        payload.copy_from_slice(packet.payload);
        place.held = Some(Held {
            sequence,
            arrived: now,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload_type: packet.payload_type,
            len,
        });
        Offer::Held
    }

    /// The next packet in order, if the gap before it is closed, waited for long enough, or shown to be loss.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Frame<'_>> {
        let full = self.places.iter().all(|place| place.held.is_some());
        let waited = self.deadline().is_some_and(|deadline| deadline <= now);
        let (index, held) = self.lowest()?;
        if held.sequence > self.next && !full && !waited {
            return None;
        }
        let lost = held.sequence.saturating_sub(self.next);
        self.next = held.sequence + 1;
        let place = &mut self.places[index];
        place.held = None;
        Some(Frame {
            lost,
            timestamp: held.timestamp,
            marker: held.marker,
            payload_type: held.payload_type,
            payload: &place.payload[..held.len],
        })
    }

    /// When the gap is given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let arrivals = self.places.iter().filter_map(|place| place.held);
        arrivals.map(|held| held.arrived + self.wait).min()
    }

    fn lowest(&self) -> Option<(usize, Held)> {
        let held = self.places.iter().enumerate();
        held.filter_map(|(index, place)| Some((index, place.held?)))
            .min_by_key(|(_, held)| held.sequence)
    }
}
