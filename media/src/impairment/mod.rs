//! A bad network on purpose: loss, bursts of loss, delay, jitter, reordering, duplication and a limited rate.
//!
//! Sans-IO and seeded: the same packets at the same times with the same seed have the same fate. It stands on one leg
//! in one direction; two directions are two of them.

mod settings;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

pub use settings::{BadImpairment, ImpairmentSettings};

/// The most packets that are under way at once; what comes while there are so many is lost.
const MOST_UNDER_WAY: usize = 512;

/// The longest packet, in octets; a longer one is lost.
const LONGEST: usize = 2048;

/// How much waits for a limited rate.
const QUEUE: Duration = Duration::from_millis(250);

/// IPv4 and UDP.
const HEADERS: usize = 28;

/// How long a packet that is to be overtaken is held back, at least and at most: it falls behind the next packet of
/// 20 ms, or behind up to three.
const HELD_BACK: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(65)];

/// What has become of the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImpairmentReport {
    /// Came in.
    pub packets: u64,
    /// Of them were lost by chance.
    pub lost: u64,
    /// Were lost because the rate's queue was full, too many were under way, or one was longer than 2048 octets.
    pub overflowed: u64,
    /// Were sent twice.
    pub duplicated: u64,
    /// Were held back.
    pub reordered: u64,
}

/// A way for packets that is as bad as its settings say. `T` travels with each packet: an address, a time, nothing.
///
/// Memory is bounded: at most 512 packets of at most 2048 octets; buffers are used again, so that after a while
/// nothing is allocated.
#[derive(Debug)]
pub struct Impairment<T = ()> {
    settings: ImpairmentSettings,
    dice: Dice,
    /// Gilbert's bad state.
    in_burst: bool,
    /// When the limited rate has sent all that came.
    link_free: Option<Instant>,
    /// The last packet in order leaves then; none in order leaves before it.
    last_due: Option<Instant>,
    under_way: BinaryHeap<Reverse<Due>>,
    /// Counts what came, so that packets of one moment leave as they came.
    number: u64,
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
    report: ImpairmentReport,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    number: u64,
    slot: usize,
}

#[derive(Debug)]
struct Slot<T> {
    tag: T,
    packet: Vec<u8>,
}

impl<T: Copy> Impairment<T> {
    /// A way with no packet on it. Settings out of their range ([`ImpairmentSettings::check`]) are taken for the
    /// nearest that is in it.
    pub fn new(settings: ImpairmentSettings, seed: u64) -> Self {
        Self {
            settings,
            dice: Dice(seed),
            in_burst: false,
            link_free: None,
            last_due: None,
            under_way: BinaryHeap::new(),
            number: 0,
            slots: Vec::new(),
            free: Vec::new(),
            report: ImpairmentReport::default(),
        }
    }

    /// What it was made with.
    pub fn settings(&self) -> &ImpairmentSettings {
        &self.settings
    }

    /// What has become of the packets so far.
    pub fn report(&self) -> ImpairmentReport {
        self.report
    }

    /// Takes a packet, and decides on its fate.
    pub fn handle(&mut self, now: Instant, tag: T, packet: &[u8]) {
        self.report.packets += 1;
        if self.loses() {
            self.report.lost += 1;
            return;
        }
        let copies = match self.dice.hits(self.settings.duplicate) {
            true => 2,
            false => 1,
        };
        self.report.duplicated += copies - 1;
        for _ in 0..copies {
            let Some(sent) = self.through_the_link(now, packet.len()) else {
                self.report.overflowed += 1;
                continue;
            };
            let at = self.arrival(sent);
            self.put(at, tag, packet);
        }
    }

    /// When [`Impairment::poll_transmit`] has the next packet.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(due)| due.at)
    }

    /// The next packet that has arrived by now. It may be changed in place: it is read no more.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(T, &mut [u8])> {
        let Reverse(due) = *self.under_way.peek()?;
        if due.at > now {
            return None;
        }
        self.under_way.pop();
        // Its buffer is free from the next `handle` on, which cannot come before the caller lets go of it.
        self.free.push(due.slot);
        let slot = self.slots.get_mut(due.slot)?;
        Some((slot.tag, &mut slot.packet))
    }

    /// Whether this packet is lost.
    fn loses(&mut self) -> bool {
        let ImpairmentSettings { loss, burst, .. } = self.settings;
        let Some(burst) = burst.filter(|_| loss > 0.0 && loss < 1.0) else {
            return self.dice.hits(loss);
        };
        // The share of time in the bad state is p / (p + r), where r = 1 / burst leaves it and p enters it.
        let leave = 1.0 / burst.max(1.0);
        let enter = leave * loss / (1.0 - loss);
        let turns = self.dice.hits(if self.in_burst { leave } else { enter });
        self.in_burst ^= turns;
        self.in_burst
    }

    /// When the limited rate has sent so many octets; `None` when its queue is full.
    fn through_the_link(&mut self, now: Instant, octets: usize) -> Option<Instant> {
        if octets > LONGEST || self.under_way.len() >= MOST_UNDER_WAY {
            return None;
        }
        let Some(rate) = self.settings.rate else {
            return Some(now);
        };
        let start = self.link_free.map_or(now, |free| free.max(now));
        if start - now > QUEUE {
            return None;
        }
        let bits = ((octets + HEADERS) * 8) as f64;
        let sent = start + Duration::from_secs_f64(bits / rate.max(1) as f64);
        self.link_free = Some(sent);
        Some(sent)
    }

    /// When a packet arrives that was sent at `sent`.
    fn arrival(&mut self, sent: Instant) -> Instant {
        let ImpairmentSettings { delay, jitter, .. } = self.settings;
        let jitter = jitter.min(settings::MAX_DELAY).mul_f64(self.dice.share());
        let at = sent + delay.min(settings::MAX_DELAY) + jitter;
        if self.dice.hits(self.settings.reorder) {
            self.report.reordered += 1;
            let [least, most] = HELD_BACK;
            return at + least + (most - least).mul_f64(self.dice.share());
        }
        // A queue on the way delays what is behind it too: jitter alone does not reorder.
        let at = self.last_due.map_or(at, |last| last.max(at));
        self.last_due = Some(at);
        at
    }

    fn put(&mut self, at: Instant, tag: T, packet: &[u8]) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot {
                    tag,
                    packet: Vec::new(),
                });
                self.slots.len() - 1
            }
        };
        let Some(Slot {
            tag: kept,
            packet: buffer,
        }) = self.slots.get_mut(slot)
        else {
            return;
        };
        *kept = tag;
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.number += 1;
        let number = self.number;
        self.under_way.push(Reverse(Due { at, number, slot }));
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): for chances, not for secrets.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to 1, and never 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this likelihood happens.
    fn hits(&mut self, likelihood: f64) -> bool {
        likelihood > 0.0 && self.share() < likelihood
    }
}

#[cfg(test)]
mod tests;
