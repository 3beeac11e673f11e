//! The users: who they are, at which numbers they are reached, and where they are signed in.

mod presence;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sip::digest::Password;

use crate::call::machine::Identity;
use crate::call::route::plain_number;
use crate::settings::User;
use crate::signaling::outbox::Outbox;
use crate::token::{Refused, Verifier};

/// How many devices of one user ring at most: those that signed in last.
const MAX_DEVICES: usize = 16;

/// Everyone who can sign in.
#[derive(Debug)]
pub struct Directory {
    users: Vec<Arc<User>>,
    /// Whose tokens are believed.
    tokens: Option<Verifier>,
    /// By name and by number, the latter without its `+`.
    addresses: HashMap<String, usize>,
    /// What is compared with where there is no such user, so that it takes as long.
    nobody: Password,
    online: Mutex<HashMap<String, Vec<Line>>>,
    /// Held while people are told of each other: what is sent last is what is so.
    telling: Mutex<()>,
    /// The calls that each user has.
    calls: Mutex<HashMap<String, Calls>>,
}

/// One device of a user.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its signalling session.
    pub session: String,
    /// Where the session is told of calls.
    pub outbox: Outbox,
    /// Whose it is.
    user: Arc<User>,
}

/// A session that is signed in; it no longer is when this is dropped.
#[derive(Debug)]
pub struct SignedIn {
    directory: Arc<Directory>,
    user: Arc<User>,
    session: String,
}

/// How many calls a user has.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    /// All that he has begun or taken, which are what he is limited in: also those of two telephones that he has joined.
    all: usize,
    /// Those that he is in himself.
    his: usize,
}

/// One of a user's calls; it no longer counts when this is dropped.
#[derive(Debug)]
pub struct OnCall {
    directory: Arc<Directory>,
    user: String,
    /// It goes on without him.
    left: bool,
}

impl Directory {
    /// These users, none of whom is signed in.
    pub fn new(users: Vec<User>, tokens: Option<Verifier>) -> Self {
        let mut addresses = HashMap::new();
        for (index, user) in users.iter().enumerate() {
            for address in user.numbers.iter().chain([&user.name]) {
                addresses.insert(key(address), index);
            }
        }
        Self {
            users: users.into_iter().map(Arc::new).collect(),
            tokens,
            addresses,
            nobody: Password::new("nobody has this password"),
            online: Mutex::default(),
            telling: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    /// Whether anybody can sign in, and so has to.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty() || self.tokens.is_some()
    }

    /// The user of that name, if the password is his. How long it takes does not say which of the two was wrong.
    pub fn check(&self, name: &str, password: &str) -> Option<Arc<User>> {
        let user = self.users.iter().find(|user| user.name == name);
        let right = user
            .map_or(&self.nobody, |user| &user.password)
            .matches(password);
        user.filter(|_| right).cloned()
    }

    /// Waits a moment for the key of that token, where it is not there yet.
    pub async fn look_for_key(&self, token: &str) {
        if let Some(tokens) = &self.tokens {
            tokens.look_for_key(token).await;
        }
    }

    /// The owner of a token. One who is in the settings too has his name and numbers from there, if the token has none.
    ///
    /// # Errors
    /// [`Refused`] says why it signs nobody in.
    pub fn check_token(&self, token: &str) -> Result<Arc<User>, Refused> {
        let tokens = self.tokens.as_ref();
        let none = || Refused::Bad("no tokens are taken here".to_owned());
        let mut user = tokens.ok_or_else(none)?.user(token)?;
        if let Some(known) = self.users.iter().find(|known| known.name == user.name) {
            if user.numbers.is_empty() {
                user.numbers.clone_from(&known.numbers);
            }
            (user.forward, user.ring_time) = (known.forward.clone(), known.ring_time);
            user.withheld = known.withheld;
            if user.display_name == user.name {
                user.display_name.clone_from(&known.display_name);
            }
        }
        Ok(Arc::new(user))
    }

    /// Who is reached at that name or number: of the settings, else of the tokens that are signed in.
    pub fn find(&self, address: &str) -> Option<Arc<User>> {
        let wanted = key(address);
        if let Some(user) = self
            .addresses
            .get(&wanted)
            .and_then(|index| self.users.get(*index))
        {
            return Some(Arc::clone(user));
        }
        let online = self.lock();
        let mut lines = online.values().flatten();
        let line = lines.find(|line| {
            let mut own = line.user.numbers.iter().chain([&line.user.name]);
            own.any(|one| key(one) == wanted)
        });
        line.map(|line| Arc::clone(&line.user))
    }

    /// Signs a session in: it is told of the user's calls from now on.
    pub fn sign_in(self: &Arc<Self>, user: &Arc<User>, session: &str, outbox: Outbox) -> SignedIn {
        let line = Line {
            session: session.to_owned(),
            outbox,
            user: Arc::clone(user),
        };
        self.lock().entry(user.name.clone()).or_default().push(line);
        SignedIn {
            directory: Arc::clone(self),
            user: Arc::clone(user),
            session: session.to_owned(),
        }
    }

    /// Counts one more call of that user; none where he has as many as he may.
    pub fn begin_call(self: &Arc<Self>, user: &User) -> Option<OnCall> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = calls.get(&user.name).copied().unwrap_or_default();
        if user.permit.max_calls.is_some_and(|most| count.all >= most) {
            return None;
        }
        count.all += 1;
        count.his += 1;
        calls.insert(user.name.clone(), count);
        drop(calls);
        if count.his == 1 {
            self.tell_of(&user.name);
        }
        Some(OnCall {
            directory: Arc::clone(self),
            user: user.name.clone(),
            left: false,
        })
    }

    /// Where that user is signed in now, with what is still valid.
    pub fn lines(&self, user: &User) -> Vec<Line> {
        let online = self.lock();
        let lines = online
            .get(&user.name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let now = SystemTime::now();
        let valid = |line: &&Line| !line.user.permit.is_over(now);
        let lines = lines.iter().rev().filter(valid);
        lines.take(MAX_DEVICES).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Line>>> {
        // The map is whole after a panic elsewhere: nothing under this lock can panic half-way.
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignedIn {
    /// Who it is.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Who it is to telephones.
    pub fn identity(&self) -> Identity {
        Identity::of(&self.user)
    }

    /// Counts one more call; none where there are as many as there may be.
    pub fn begin_call(&self) -> Option<OnCall> {
        self.directory.begin_call(&self.user)
    }
}

impl OnCall {
    /// The call goes on without him. It still counts: he could otherwise set up any number of them.
    pub fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let calls = &self.directory.calls;
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = calls.get_mut(&self.user) else {
            return;
        };
        count.his -= 1;
        let free = count.his == 0;
        drop(calls);
        if free {
            self.directory.tell_of(&self.user);
        }
    }
}

impl Drop for OnCall {
    fn drop(&mut self) {
        let calls = &self.directory.calls;
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = calls.get_mut(&self.user) else {
            return;
        };
        count.all -= 1;
        let told = self.left || {
            count.his -= 1;
            count.his > 0
        };
        if count.all == 0 {
            calls.remove(&self.user);
        }
        drop(calls);
        if !told {
            self.directory.tell_of(&self.user);
        }
    }
}

impl Drop for SignedIn {
    fn drop(&mut self) {
        let mut online = self.directory.lock();
        if let Some(lines) = online.get_mut(&self.user.name) {
            lines.retain(|line| line.session != self.session);
            if lines.is_empty() {
                online.remove(&self.user.name);
                drop(online);
                self.directory.tell_of(&self.user.name);
            }
        }
    }
}

/// A number is the same with and without the `+` that some networks leave out.
fn key(address: &str) -> String {
    let plain = plain_number(address);
    plain.strip_prefix('+').unwrap_or(&plain).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::machine::Forward;
    use crate::permit::Permit;
    use crate::settings::RING_TIME;
    use tokio::sync::mpsc;

    #[test]
    fn a_user_has_no_more_calls_at_once_than_he_may() {
        let directory = directory();
        let alice = directory.find("alice").unwrap();
        let first = directory.begin_call(&alice).expect("a first");
        let _second = directory.begin_call(&alice).expect("a second");
        assert!(directory.begin_call(&alice).is_none());
        let bob = directory.find("bob").unwrap();
        assert!(directory.begin_call(&bob).is_some(), "his own");
        drop(first);
        assert!(directory.begin_call(&alice).is_some());
    }

    pub(super) fn directory() -> Arc<Directory> {
        let user = |name: &str, numbers: &[&str]| User {
            name: name.to_owned(),
            password: Password::new(format!("{name}'s")),
            display_name: name.to_owned(),
            numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
            withheld: false,
            permit: Permit {
                max_calls: Some(2),
                ..Permit::default()
            },
            forward: Forward::default(),
            ring_time: RING_TIME,
        };
        Arc::new(Directory::new(
            vec![user("alice", &["+4930123", "100"]), user("bob", &[])],
            None,
        ))
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number_however_it_is_written() {
        let directory = directory();
        for address in ["alice", "+4930123", "4930123", "+49 (30) 123", "100"] {
            let found = directory.find(address).expect(address);
            assert_eq!(found.name, "alice", "{address}");
        }
        assert!(directory.find("4930").is_none() && directory.find("Alice").is_none());
    }

    #[test]
    fn a_password_is_one_users() {
        let directory = directory();
        assert_eq!(directory.check("bob", "bob's").expect("bob").name, "bob");
        for (name, password) in [
            ("bob", "alice's"),
            ("bob", ""),
            ("carol", "nobody has this password"),
        ] {
            assert!(directory.check(name, password).is_none(), "{name}");
        }
    }

    #[test]
    fn a_session_whose_token_has_expired_no_longer_rings() {
        let directory = directory();
        let expired = Permit {
            until: Some(SystemTime::UNIX_EPOCH),
            ..Permit::default()
        };
        let alice = directory.find("alice").unwrap();
        let by_token = Arc::new(User {
            permit: expired,
            ..User::clone(&alice)
        });
        let (outbox, _inbox) = mpsc::channel(1);
        let _old = directory.sign_in(&by_token, "s1", outbox.clone());
        let _new = directory.sign_in(&alice, "s2", outbox);
        let lines = directory.lines(&alice);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].session, "s2");
    }

    #[test]
    fn a_user_is_at_every_session_that_is_signed_in_and_no_longer() {
        let directory = directory();
        let alice = directory.find("alice").unwrap();
        let (outbox, _inbox) = mpsc::channel(1);
        let sessions = |directory: &Directory| -> Vec<String> {
            let lines = directory.lines(&alice);
            lines.into_iter().map(|line| line.session).collect()
        };
        let first = directory.sign_in(&alice, "s1", outbox.clone());
        let second = directory.sign_in(&alice, "s2", outbox);
        assert_eq!(sessions(&directory), ["s2", "s1"]);
        drop(first);
        assert_eq!(sessions(&directory), ["s2"]);
        drop(second);
        assert!(sessions(&directory).is_empty());
    }
}
