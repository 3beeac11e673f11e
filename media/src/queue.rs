//! Packets that wait to be sent, in one fixed piece of memory.

use std::collections::VecDeque;
use std::time::Instant;

use crate::rtp::MAX_PACKET;

/// Over 200 ms of audio, whatever its packets: more is not queued (`Outgoing`).
const OCTETS: usize = 5 * 512;
const ENTRIES: usize = 20;

/// A bounded first-in first-out queue. When it is full the oldest packet is dropped: late audio is worth least.
#[derive(Debug)]
pub(crate) struct Queue {
    octets: Box<[u8]>,
    entries: VecDeque<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    len: usize,
    due: Instant,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self {
            octets: vec![0; OCTETS].into_boxed_slice(),
            entries: VecDeque::with_capacity(ENTRIES),
        }
    }

    /// Appends a packet, to leave at `due`; says how many had to be dropped for it.
    pub(crate) fn push(&mut self, due: Instant, header: &[u8], payload: &[u8]) -> u64 {
        let len = header.len() + payload.len();
        if len > MAX_PACKET {
            return 1;
        }
        let mut dropped = 0;
        let start = loop {
            match self.room_for(len) {
                Some(start) => break start,
                None => self.entries.pop_front(),
            };
            dropped += 1;
        };
        let (head, rest) = self.octets[start..start + len].split_at_mut(header.len());
        head.copy_from_slice(header);
        rest.copy_from_slice(payload);
        self.entries.push_back(Entry { start, len, due });
        dropped
    }

    /// Copies the first packet to `buffer` if it is due. One that does not fit there is dropped, as length 0.
    pub(crate) fn pop(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        let entry = *self.entries.front().filter(|entry| entry.due <= now)?;
        self.entries.pop_front();
        let Some(room) = buffer.get_mut(..entry.len) else {
            return Some(0);
        };
        room.copy_from_slice(&self.octets[entry.start..entry.start + entry.len]);
        Some(entry.len)
    }

    /// When the first packet is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.due)
    }

    /// The place of the next packet: behind the last one, or at the beginning when the end is too short.
    fn room_for(&self, len: usize) -> Option<usize> {
        let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) else {
            return Some(0);
        };
        if self.entries.len() == ENTRIES {
            return None;
        }
        let end = last.start + last.len;
        if last.start >= first.start {
            // Used: first..end. Free: the rest, and what is before the first.
            return if end + len <= OCTETS {
                Some(end)
            } else {
                (len <= first.start).then_some(0)
            };
        }
        (end + len <= first.start).then_some(end)
    }
}
