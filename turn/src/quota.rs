//! Who has how many allocations.

use std::{collections::HashMap, time::Instant};

use crate::{
    bucket::Bucket,
    client::{Keyed, Source},
    config::Limits,
    slab::{Key, Slab},
};

#[derive(Debug)]
struct User {
    name: Box<str>,
    allocations: usize,
    bucket: Bucket,
}

/// Counts, of those alone who have an allocation.
pub(crate) struct Quota {
    names: HashMap<Box<str>, Key, Keyed>,
    users: Slab<User>,
    sources: HashMap<Source, usize, Keyed>,
}

impl Quota {
    pub(crate) fn new(hasher: &Keyed) -> Self {
        Self {
            names: HashMap::with_hasher(hasher.clone()),
            users: Slab::new(),
            sources: HashMap::with_hasher(hasher.clone()),
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
        let held = self.sources.get(&source).copied().unwrap_or(0);
        let known = self.names.get(name).copied();
        let users = known
            .and_then(|key| self.users.get(key))
            .map_or(0, |user| user.allocations);
        if held >= limits.allocations_per_address || users >= limits.allocations_per_user {
            return None;
        }
        let key = known.unwrap_or_else(|| {
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
        self.sources.insert(source, held + 1);
        Some(key)
    }

    /// One allocation less. Who has none is forgotten.
    pub(crate) fn release(&mut self, key: Key, source: Source) {
        if let Some(held) = self.sources.get_mut(&source) {
            *held -= 1;
            if *held == 0 {
                self.sources.remove(&source);
            }
        }
        let Some(user) = self.users.get_mut(key) else {
            return;
        };
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
        (self.names.len(), self.sources.len())
    }
}
