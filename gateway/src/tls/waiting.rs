//! Who may be on the way in: connections of which it is not known yet what they carry. When there are too many, those go that
//! have been there longest, of the source that has most: who says nothing keeps nobody out who does.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::newcomers::Newcomers;
use crate::signaling::source;

/// Those who are on the way in. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Waiting(Arc<Mutex<Places>>);

#[derive(Debug)]
struct Places {
    most: usize,
    most_of_source: usize,
    /// Its owner learns by the other end that somebody else got it.
    taken: Newcomers<oneshot::Sender<()>>,
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiting: Waiting,
    source: IpAddr,
    number: u64,
    taken: oneshot::Receiver<()>,
}

impl Waiting {
    /// So many places, and so many for one address, or for one /64 of IPv6.
    pub(crate) fn new(most: usize, most_of_source: usize) -> Self {
        Self(Arc::new(Mutex::new(Places {
            most: most.max(1),
            most_of_source: most_of_source.max(1),
            taken: Newcomers::default(),
        })))
    }

    /// A place for a connection from there; another may lose its own.
    pub(crate) fn enter(&self, address: IpAddr) -> Place {
        let source = source(address);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.taken.len_of(source) >= places.most_of_source {
            places.taken.take_oldest_of(source);
        } else if places.taken.len() >= places.most {
            places.taken.take_oldest();
        }
        let (keep, taken) = oneshot::channel();
        let number = places.taken.enter(source, keep);
        Place {
            waiting: self.clone(),
            source,
            number,
            taken,
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().taken.len()
    }
}

impl Place {
    /// Done when somebody else got it.
    pub(crate) async fn lost(&mut self) {
        let _ = (&mut self.taken).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self
            .waiting
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        places.taken.leave(self.source, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_lost(place: &mut Place) -> bool {
        // Whoever lost it has had the other end dropped.
        place.taken.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_oldest_of_a_source_that_has_too_many_goes_and_other_sources_stay() {
        let waiting = Waiting::new(10, 2);
        let mut other = waiting.enter(address("192.0.2.9"));
        let mut first = waiting.enter(address("192.0.2.1"));
        let mut second = waiting.enter(address("192.0.2.1"));
        assert!(!is_lost(&mut first));
        let mut third = waiting.enter(address("192.0.2.1"));
        assert!(is_lost(&mut first));
        for place in [&mut other, &mut second, &mut third] {
            assert!(!is_lost(place));
        }
        assert_eq!(waiting.count(), 3);
    }

    #[test]
    fn when_all_places_are_taken_the_source_with_most_loses_one() {
        let waiting = Waiting::new(4, 3);
        let mut legitimate = waiting.enter(address("192.0.2.9"));
        let mut slow: Vec<_> = (0..3)
            .map(|_| waiting.enter(address("192.0.2.1")))
            .collect();
        let mut newcomer = waiting.enter(address("192.0.2.8"));
        assert!(is_lost(&mut slow[0]));
        assert!(!is_lost(&mut slow[1]));
        assert!(!is_lost(&mut legitimate) && !is_lost(&mut newcomer));
        assert_eq!(waiting.count(), 4);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let waiting = Waiting::new(10, 2);
        let mut places: Vec<_> = (1..=3)
            .map(|host| waiting.enter(address(&format!("2001:db8::{host}"))))
            .collect();
        assert!(is_lost(&mut places[0]));
        assert!(!is_lost(&mut places[1]));
    }

    #[test]
    fn a_place_that_is_left_is_free_again_and_only_once() {
        let waiting = Waiting::new(10, 1);
        let lost = waiting.enter(address("192.0.2.1"));
        let left = waiting.enter(address("192.0.2.1"));
        assert_eq!(waiting.count(), 1);
        drop(lost);
        assert_eq!(waiting.count(), 1);
        drop(left);
        assert_eq!(waiting.count(), 0);
    }
}
