//! Who is on the way in and has proven nothing yet. When there are too many, the one goes that has been there longest, of the
//! source that has most: who says nothing keeps nobody out who does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// What is kept of each, by source (see [`crate::signaling::source`]) and the oldest first.
#[derive(Debug)]
pub(crate) struct Newcomers<T> {
    next: u64,
    count: usize,
    of: HashMap<IpAddr, BTreeMap<u64, T>>,
}

impl<T> Default for Newcomers<T> {
    fn default() -> Self {
        Self {
            next: 0,
            count: 0,
            of: HashMap::new(),
        }
    }
}

impl<T> Newcomers<T> {
    /// One more of a source; the number by which it is known there.
    pub(crate) fn enter(&mut self, source: IpAddr, newcomer: T) -> u64 {
        let number = self.next;
        self.next += 1;
        self.count += 1;
        self.of.entry(source).or_default().insert(number, newcomer);
        number
    }

    /// It is gone, or has proven what it had to. Of one that is not there any more nothing comes.
    pub(crate) fn leave(&mut self, source: IpAddr, number: u64) -> Option<T> {
        let of = self.of.get_mut(&source)?;
        let left = of.remove(&number)?;
        self.count -= 1;
        if of.is_empty() {
            self.of.remove(&source);
        }
        Some(left)
    }

    /// Takes away the one of a source that has been there longest.
    pub(crate) fn take_oldest_of(&mut self, source: IpAddr) -> Option<T> {
        let number = *self.of.get(&source)?.keys().next()?;
        self.leave(source, number)
    }

    /// Takes away the oldest of the source with most; of several such, of the one that has waited longest.
    pub(crate) fn take_oldest(&mut self) -> Option<T> {
        let rank = |newcomers: &BTreeMap<u64, T>| {
            let first = newcomers.keys().next().copied();
            (newcomers.len(), Reverse(first))
        };
        let fullest = self.of.iter().max_by_key(|(_, newcomers)| rank(newcomers));
        let source = *fullest?.0;
        self.take_oldest_of(source)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn len_of(&self, source: IpAddr) -> usize {
        self.of.get(&source).map_or(0, BTreeMap::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_oldest_of_the_source_with_most_goes_first() {
        let mut newcomers = Newcomers::default();
        newcomers.enter(source(9), "first of all");
        for one in ["a", "b", "c"] {
            newcomers.enter(source(1), one);
        }
        assert_eq!(newcomers.take_oldest(), Some("a"));
        assert_eq!(newcomers.take_oldest(), Some("b"));
        assert_eq!(newcomers.take_oldest(), Some("first of all"));
        assert_eq!(newcomers.take_oldest(), Some("c"));
        assert_eq!(newcomers.take_oldest(), None);
    }

    #[test]
    fn who_has_left_is_counted_no_more_and_leaves_nothing_behind() {
        let mut newcomers = Newcomers::default();
        let first = newcomers.enter(source(1), "first");
        newcomers.enter(source(1), "second");
        assert_eq!((newcomers.len(), newcomers.len_of(source(1))), (2, 2));
        assert_eq!(newcomers.leave(source(2), first), None);
        assert_eq!(newcomers.leave(source(1), first), Some("first"));
        assert_eq!(newcomers.leave(source(1), first), None);
        assert_eq!(newcomers.take_oldest_of(source(1)), Some("second"));
        assert_eq!((newcomers.len(), newcomers.len_of(source(1))), (0, 0));
        assert!(newcomers.of.is_empty());
    }
}
