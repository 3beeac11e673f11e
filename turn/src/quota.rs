//! Who has how many allocations.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    bucket::Bucket,
    client::{Keyed, Source},
    config::Limits,
    slab::{Key, Slab},
};

/// Counts of allocations, which servers of one process have in common: what a user or an address may have is of all of
/// them together. They are locked when an allocation begins and ends, for no packet. Clones are the same.
#[derive(Clone)]
pub struct Quotas(Arc<Mutex<Counts>>);

/// Of those alone who have an allocation.
struct Counts {
    users: HashMap<Box<str>, usize, Keyed>,
    sources: HashMap<Source, usize, Keyed>,
}

impl Quotas {
    /// `key` must be secret: no client can choose names that are slow to find.
    pub fn new(key: &[u8; 16]) -> Self {
        let hasher = Keyed::new(*key);
        Self(Arc::new(Mutex::new(Counts {
            users: HashMap::with_hasher(hasher.clone()),
            sources: HashMap::with_hasher(hasher),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, name: &str, source: Source, limits: &Limits) -> bool {
        let counts = &mut *self.lock();
        let held = counts.sources.get(&source).copied().unwrap_or(0);
        let users = counts.users.get(name).copied().unwrap_or(0);
        if held >= limits.allocations_per_address || users >= limits.allocations_per_user {
            return false;
        }
        counts.sources.insert(source, held + 1);
        counts.users.insert(name.into(), users + 1);
        true
    }

    fn release(&self, name: &str, source: Source) {
        let counts = &mut *self.lock();
        less(counts.users.entry(name.into()));
        less(counts.sources.entry(source));
    }
}

/// Who has none is forgotten.
fn less<K: Eq + Hash>(entry: Entry<'_, K, usize>) {
    if let Entry::Occupied(mut count) = entry {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quotas(..)")
    }
}

#[derive(Debug)]
struct User {
    name: Box<str>,
    allocations: usize,
    bucket: Bucket,
}

/// The users of one server who have an allocation.
pub(crate) struct Quota {
    quotas: Quotas,
    names: HashMap<Box<str>, Key, Keyed>,
    users: Slab<User>,
}

impl Quota {
    pub(crate) fn new(quotas: Quotas, hasher: &Keyed) -> Self {
        Self {
            quotas,
            names: HashMap::with_hasher(hasher.clone()),
            users: Slab::new(),
        }
    }

    /// Counts one more allocation, or says that there may be none: 486.
    pub(crate) fn take(
        &mut self,
        name: &str,
        source: Source,
        limits: &Limits,
        now: Instant,
    ) -> Option<Key> {
        if !self.quotas.take(name, source, limits) {
            return None;
        }
        let key = self.names.get(name).copied().unwrap_or_else(|| {
            let user = User {
                name: name.into(),
                allocations: 0,
                bucket: Bucket::new(now),
            };
            let key = self.users.insert(user);
            self.names.insert(name.into(), key);
            key
        });
        self.users.get_mut(key)?.allocations += 1;
        Some(key)
    }

    /// One allocation less. Who has none is forgotten.
    pub(crate) fn release(&mut self, key: Key, source: Source) {
        let Some(user) = self.users.get_mut(key) else {
            return;
        };
        self.quotas.release(&user.name, source);
        user.allocations -= 1;
        if user.allocations == 0
            && let Some(user) = self.users.remove(key)
        {
            self.names.remove(&user.name);
        }
    }

    /// Takes bytes of a user's bandwidth.
    #[inline]
    pub(crate) fn take_bytes(&mut self, key: Key, bytes: usize, rate: u64, now: Instant) -> bool {
        let user = self.users.get_mut(key);
        user.is_some_and(|user| user.bucket.take(bytes, rate, now))
    }

    /// Users and sources that are counted.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let counts = self.quotas.lock();
        assert!(self.names.len() <= counts.users.len());
        (counts.users.len(), counts.sources.len())
    }
}
