//! The calls of a worker and the ways to find them. Nothing here looks at all calls for the sake of one.

use std::collections::HashMap;

use peer::Path;

use super::call::MediaCall;
use super::schedule::Schedule;
use crate::call::CallId;

/// The ICE sessions of a call that may still be named: the current, and the one before a restart until the browser has
/// nominated a pair with the new (RFC 8445 §9).
const SESSIONS: usize = 2;

/// A call keeps its slot for life.
#[derive(Default)]
pub(super) struct Calls {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_id: HashMap<CallId, usize>,
    by_path: HashMap<Path, usize>,
    by_ufrag: HashMap<String, usize>,
    pub(super) schedule: Schedule,
}

struct Slot {
    call: Box<MediaCall>,
    /// Its entries in `by_path`: those that are validated, and not yet tidied ones that were.
    paths: Vec<Path>,
    /// Its entries in `by_ufrag`.
    ufrags: Vec<String>,
}

impl Calls {
    /// How many slots there have been at once, free ones included.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The slot that the next call will have.
    pub(super) fn next_slot(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Puts a call into [`Calls::next_slot`].
    pub(super) fn insert(&mut self, call: MediaCall) -> usize {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.by_id.insert(call.id, slot);
        self.slots[slot] = Some(Slot {
            call: Box::new(call),
            paths: Vec::new(),
            ufrags: Vec::with_capacity(SESSIONS),
        });
        slot
    }

    /// Takes a call out, and every way to it.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Box<MediaCall>> {
        let Slot {
            call,
            paths,
            ufrags,
        } = self.slots.get_mut(slot).and_then(Option::take)?;
        self.by_id.remove(&call.id);
        for path in &paths {
            forget(&mut self.by_path, path, slot);
        }
        for ufrag in &ufrags {
            forget(&mut self.by_ufrag, ufrag, slot);
        }
        self.free.push(slot);
        Some(call)
    }

    pub(super) fn get(&self, slot: usize) -> Option<&MediaCall> {
        Some(&self.slots.get(slot)?.as_ref()?.call)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut MediaCall> {
        Some(&mut self.slots.get_mut(slot)?.as_mut()?.call)
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut MediaCall> {
        let slots = self.slots.iter_mut().flatten();
        slots.map(|slot| &mut *slot.call)
    }

    pub(super) fn by_id(&self, id: CallId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn by_path(&self, path: &Path) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    pub(super) fn by_ufrag(&self, ufrag: &str) -> Option<usize> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// Checks with this ufrag of ours are for this call from now on.
    pub(super) fn learn_ufrag(&mut self, ufrag: String, slot: usize) {
        let Some(owner) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if owner.ufrags.len() == SESSIONS {
            let oldest = owner.ufrags.remove(0);
            forget(&mut self.by_ufrag, &oldest, slot);
        }
        owner.ufrags.push(ufrag.clone());
        self.by_ufrag.insert(ufrag, slot);
    }

    /// A path becomes known once its call's ICE agent has authenticated a check on it; the call's paths whose consent
    /// has expired are forgotten.
    pub(super) fn learn_path(&mut self, path: Path, slot: usize) {
        let Some(owner) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if !owner.call.is_validated(path) {
            return;
        }
        let (call, by_path) = (&owner.call, &mut self.by_path);
        owner.paths.retain(|path| {
            let lives = call.is_validated(*path);
            if !lives {
                forget(by_path, path, slot);
            }
            lives
        });
        if !owner.paths.contains(&path) {
            owner.paths.push(path);
        }
        self.by_path.insert(path, slot);
    }

    pub(super) fn reschedule(&mut self, slot: usize) {
        let deadline = self.get(slot).and_then(MediaCall::poll_timeout);
        self.schedule.set(slot, deadline);
    }

    /// How many paths are kept of a call.
    #[cfg(test)]
    pub(super) fn paths(&self, slot: usize) -> usize {
        let owner = self.slots.get(slot).and_then(Option::as_ref);
        owner.map_or(0, |owner| owner.paths.len())
    }

    /// How many ways to calls there are: names, paths and ICE sessions.
    #[cfg(test)]
    pub(super) fn ways(&self) -> (usize, usize, usize) {
        (self.by_id.len(), self.by_path.len(), self.by_ufrag.len())
    }
}

/// Removes an entry, unless it is another call's by now.
fn forget<K: std::hash::Hash + Eq>(map: &mut HashMap<K, usize>, key: &K, slot: usize) {
    if map.get(key) == Some(&slot) {
        map.remove(key);
    }
}
