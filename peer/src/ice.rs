//! The ICE-lite agent (RFC 8445 §2.5, §7.3), with consent seen from its side (RFC 7675).
//!
//! It answers checks and makes none. A 5-tuple becomes a [`Path`] only by a Binding request whose
//! MESSAGE-INTEGRITY holds; the request's source is the peer's address, whatever its candidates
//! said. A path without a fresh check is forgotten.

mod answer;
#[cfg(test)]
mod tests;

use crate::path::Path;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use stun_types::message::{IntegrityKey, ShortTermCredentials};

use answer::Check;
pub(crate) use answer::MAX_ANSWER;

/// The most 5-tuples that are validated at once.
pub(crate) const MAX_PATHS: usize = 8;
/// A browser checks its selected pair at least this often.
const QUIET: Duration = Duration::from_secs(3);
/// Transactions remembered against replay from another source.
const REMEMBERED: usize = 64;
/// Packets of media in a row by which a controller shows which nominated pair it uses.
const MEDIA_SHOWS: u8 = 5;

/// One side's username fragment and password (RFC 8445 §5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// `a=ice-ufrag`: 4 to 256 ice-chars.
    pub ufrag: String,
    /// `a=ice-pwd`: 22 to 256 ice-chars. Never shown by `Debug`.
    pub pwd: String,
}

impl IceCredentials {
    /// Credentials from 32 random bytes: 48 bits of ufrag, 192 bits of password.
    pub fn from_random(random: &[u8; 32]) -> Self {
        Self {
            ufrag: ice_chars(&random[..6]),
            pwd: ice_chars(&random[6..30]),
        }
    }

    /// Checks both against the grammar and lengths of RFC 8839 §5.4.
    pub fn validate(&self) -> Result<(), InvalidCredentials> {
        let is_ice = |text: &str| {
            text.bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/')
        };
        if !(4..=256).contains(&self.ufrag.len()) || !is_ice(&self.ufrag) {
            return Err(InvalidCredentials::Ufrag);
        }
        if !(22..=256).contains(&self.pwd.len()) || !is_ice(&self.pwd) {
            return Err(InvalidCredentials::Pwd);
        }
        Ok(())
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceCredentials({}, ..)", self.ufrag)
    }
}

/// ICE credentials outside RFC 8839 §5.4's grammar or lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// The username fragment is not 4 to 256 ice-chars.
    #[error("an ICE username fragment is 4 to 256 letters, digits, + or /")]
    Ufrag,
    /// The password is not 22 to 256 ice-chars.
    #[error("an ICE password is 22 to 256 letters, digits, + or /")]
    Pwd,
}

/// Base 64 without padding; its alphabet is ice-char.
fn ice_chars(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for i in 0..=chunk.len() {
            let six = word >> (18 - 6 * i) & 0x3f;
            text.push(char::from(ALPHABET[six as usize]));
        }
    }
    text
}

/// The credentials of one ICE session, as a check to us carries them.
struct Session {
    generation: u32,
    /// `<our ufrag>:<their ufrag>`, RFC 8445 §7.2.2.
    username: String,
    key: IntegrityKey,
}

impl Session {
    fn new(generation: u32, local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self {
            generation,
            username: format!("{}:{}", local.ufrag, remote.ufrag),
            key: ShortTermCredentials::new(local.pwd.clone()).make_key(),
        }
    }
}

/// A 5-tuple on which an authenticated check has arrived: RFC 8445's valid pair.
#[derive(Debug, Clone, Copy)]
struct ValidPair {
    path: Path,
    generation: u32,
    priority: u32,
    /// Its latest check carried USE-CANDIDATE.
    nominated: bool,
    last_check: Instant,
    media_run: u8,
}

/// What a step changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Selected(Path),
    Moved(Path),
    ConsentLost,
}

/// A check's fate.
pub(crate) enum Checked {
    /// Not authenticated, or not for us: no answer, no trace.
    Dropped,
    /// Send `out[..len]` back to the check's source.
    Answered { len: usize, change: Option<Change> },
}

pub(crate) struct Agent {
    current: Session,
    /// Before an ICE restart's new session has a nominated pair (RFC 8445 §9).
    previous: Option<Session>,
    paths: Vec<ValidPair>,
    selected: Option<Path>,
    consent_timeout: Duration,
    checked: bool,
    /// The latest transactions and hashes of their sources: 64 addresses would be a tenth of a call's memory.
    recent: VecDeque<(u128, u64)>,
}

impl Agent {
    pub(crate) fn new(
        local: &IceCredentials,
        remote: &IceCredentials,
        consent_timeout: Duration,
    ) -> Self {
        Self {
            current: Session::new(0, local, remote),
            previous: None,
            paths: Vec::with_capacity(MAX_PATHS),
            selected: None,
            consent_timeout,
            checked: false,
            recent: VecDeque::with_capacity(REMEMBERED),
        }
    }

    /// RFC 8445 §9: new credentials; the old ones serve until a pair is nominated with the new.
    pub(crate) fn restart(&mut self, local: &IceCredentials, remote: &IceCredentials) {
        let next = Session::new(self.current.generation + 1, local, remote);
        let last = std::mem::replace(&mut self.current, next);
        // Restarted twice with no nomination between: the selected path's session stays.
        let in_use = self.selected_path().map(|path| path.generation);
        if self
            .previous
            .as_ref()
            .is_none_or(|p| in_use != Some(p.generation))
        {
            self.previous = Some(last);
        }
    }

    pub(crate) fn selected(&self) -> Option<Path> {
        self.selected
    }

    pub(crate) fn is_validated(&self, from: Path) -> bool {
        self.paths.iter().any(|path| path.path == from)
    }

    /// Whether any authenticated check has ever arrived.
    pub(crate) fn has_been_checked(&self) -> bool {
        self.checked
    }

    fn selected_path(&self) -> Option<&ValidPair> {
        let selected = self.selected?;
        self.paths.iter().find(|path| path.path == selected)
    }

    /// When the oldest path's consent ends.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.paths.iter().map(|path| path.last_check).min()?;
        oldest.checked_add(self.consent_timeout)
    }

    /// Forgets the paths without consent.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Change> {
        let timeout = self.consent_timeout;
        self.paths
            .retain(|path| now.saturating_duration_since(path.last_check) < timeout);
        if self.selected.is_none() || self.selected_path().is_some() {
            return None;
        }
        let next = self.paths.iter().filter(|path| path.nominated);
        self.selected = next.max_by_key(|path| path.priority).map(|p| p.path);
        Some(self.selected.map_or(Change::ConsentLost, Change::Moved))
    }

    /// Takes a STUN datagram; an answer is written to `out` ([`MAX_ANSWER`] bytes).
    pub(crate) fn handle_check(
        &mut self,
        now: Instant,
        from: Path,
        packet: &[u8],
        out: &mut [u8],
    ) -> Checked {
        let Some(check) = Check::parse(packet) else {
            return Checked::Dropped;
        };
        let sessions = [Some(&self.current), self.previous.as_ref()];
        let session = sessions
            .into_iter()
            .flatten()
            .find(|session| check.username() == Some(&session.username));
        let Some(session) = session else {
            return Checked::Dropped;
        };
        let Some(algorithm) = check.authenticate(&session.key) else {
            return Checked::Dropped;
        };
        if is_replayed(&mut self.recent, from, check.transaction()) {
            return Checked::Dropped;
        }
        let Some(len) = check.answer(from.remote, &session.key, algorithm, out) else {
            return Checked::Dropped;
        };
        let generation = session.generation;
        let change = check
            .is_acceptable()
            .then(|| self.validated(now, from, generation, &check))
            .flatten();
        Checked::Answered { len, change }
    }

    fn validated(
        &mut self,
        now: Instant,
        from: Path,
        generation: u32,
        check: &Check<'_>,
    ) -> Option<Change> {
        self.checked = true;
        if !self.is_validated(from) {
            self.make_room();
            self.paths.push(ValidPair {
                path: from,
                generation,
                priority: 0,
                nominated: false,
                last_check: now,
                media_run: 0,
            });
        }
        let path = self.paths.iter_mut().find(|path| path.path == from)?;
        if generation < path.generation {
            // A late check of the old session keeps consent and changes nothing else.
            path.last_check = now;
            return None;
        }
        path.generation = generation;
        path.priority = check.priority().unwrap_or(path.priority);
        path.nominated = check.use_candidate();
        path.last_check = now;
        let path = *path;
        if path.nominated && self.prefers(now, &path) {
            return self.select(&path);
        }
        None
    }

    /// Whether a nomination moves the selection. A controller in the style of RFC 5245 nominates
    /// every pair and means the highest priority; a browser nominates only the pair it uses, and
    /// so moves to a lower one by nominating it and falling silent on, or no longer nominating,
    /// the other.
    fn prefers(&self, now: Instant, path: &ValidPair) -> bool {
        let Some(selected) = self.selected_path() else {
            return true;
        };
        path.generation > selected.generation
            || (path.generation == selected.generation
                && (path.priority >= selected.priority
                    || !selected.nominated
                    || now.saturating_duration_since(selected.last_check) > QUIET))
    }

    fn select(&mut self, path: &ValidPair) -> Option<Change> {
        if path.generation == self.current.generation && self.previous.is_some() {
            self.previous = None;
            self.paths.retain(|p| p.generation == path.generation);
        }
        match self.selected.replace(path.path) {
            None => Some(Change::Selected(path.path)),
            Some(old) if old == path.path => None,
            Some(_) => Some(Change::Moved(path.path)),
        }
    }

    /// Media that has passed authentication: a nominated path that carries it is the one in use.
    pub(crate) fn media_arrived(&mut self, from: Path) -> Option<Change> {
        let selected = self.selected?;
        if from == selected {
            if self.paths.len() > 1 {
                self.paths.iter_mut().for_each(|path| path.media_run = 0);
            }
            return None;
        }
        let generation = self.selected_path()?.generation;
        let path = self.paths.iter_mut().find(|path| path.path == from)?;
        path.media_run = path.media_run.saturating_add(1);
        let path = *path;
        if path.nominated && path.generation >= generation && path.media_run >= MEDIA_SHOWS {
            return self.select(&path);
        }
        None
    }

    /// All places taken: the path that has been silent longest goes, never the selected one.
    fn make_room(&mut self) {
        if self.paths.len() < MAX_PATHS {
            return;
        }
        let silent = self
            .paths
            .iter()
            .filter(|path| Some(path.path) != self.selected)
            .min_by_key(|path| path.last_check)
            .map(|path| path.path);
        self.paths.retain(|path| Some(path.path) != silent);
    }
}

/// A check proves its source only once: whoever has overheard one must not move the media by
/// sending it again from elsewhere. Retransmissions come from the same source.
fn is_replayed(recent: &mut VecDeque<(u128, u64)>, from: Path, transaction: u128) -> bool {
    let mut hasher = DefaultHasher::new();
    from.hash(&mut hasher);
    let from = hasher.finish();
    if let Some((_, source)) = recent.iter().find(|(seen, _)| *seen == transaction) {
        return *source != from;
    }
    if recent.len() == REMEMBERED {
        recent.pop_front();
    }
    recent.push_back((transaction, from));
    false
}
