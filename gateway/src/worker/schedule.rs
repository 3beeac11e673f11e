//! Deadlines of a worker's calls. A call's deadline moves with nearly every packet, so an entry is
//! only added when it moves closer, and one that comes too early is looked at and put off.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Deadlines by slot.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The earliest entry of each slot that is in the heap.
    scheduled: Vec<Option<Instant>>,
}

impl Schedule {
    /// Sees to it that `slot` comes up at `deadline` or before.
    pub(super) fn set(&mut self, slot: usize, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.scheduled.len() <= slot {
            self.scheduled.resize(slot + 1, None);
        }
        if self.scheduled[slot].is_none_or(|scheduled| deadline < scheduled) {
            self.scheduled[slot] = Some(deadline);
            self.heap.push(Reverse((deadline, slot)));
        }
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// A slot whose time has come; the caller sets its next deadline.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        while let Some(Reverse((deadline, slot))) = self.heap.peek().copied() {
            if deadline > now {
                return None;
            }
            self.heap.pop();
            if self.scheduled[slot] == Some(deadline) {
                self.scheduled[slot] = None;
                return Some(slot);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slot_comes_up_once_at_its_earliest_deadline() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut schedule = Schedule::default();
        schedule.set(3, Some(at(50)));
        schedule.set(3, Some(at(20)));
        schedule.set(3, Some(at(90)));
        assert_eq!(schedule.next(), Some(at(20)));
        assert_eq!(schedule.pop_due(at(19)), None);
        assert_eq!(schedule.pop_due(at(60)), Some(3));
        assert_eq!(schedule.pop_due(at(1000)), None);
    }

    #[test]
    fn slots_come_up_in_the_order_of_their_deadlines() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.set(0, Some(start + Duration::from_millis(30)));
        schedule.set(1, Some(start + Duration::from_millis(10)));
        schedule.set(2, None);
        let late = start + Duration::from_secs(1);
        assert_eq!(
            (
                schedule.pop_due(late),
                schedule.pop_due(late),
                schedule.pop_due(late)
            ),
            (Some(1), Some(0), None)
        );
    }
}
