//! The users: who they are, at which numbers they are reached, and where they are signed in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sip::digest::Password;

use crate::call::machine::Identity;
use crate::call::route::plain_number;
use crate::settings::User;
use crate::signaling::outbox::Outbox;

/// How many devices of one user ring at most: those that signed in last.
const MAX_DEVICES: usize = 16;

/// Everyone who can sign in.
#[derive(Debug)]
pub struct Directory {
    users: Vec<Arc<User>>,
    /// By name and by number, the latter without its `+`.
    addresses: HashMap<String, usize>,
    /// What is compared with where there is no such user, so that it takes as long.
    nobody: Password,
    online: Mutex<HashMap<String, Vec<Line>>>,
}

/// One device of a user.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its signalling session.
    pub session: String,
    /// Where the session is told of calls.
    pub outbox: Outbox,
}

/// A session that is signed in; it no longer is when this is dropped.
#[derive(Debug)]
pub struct SignedIn {
    directory: Arc<Directory>,
    user: Arc<User>,
    session: String,
}

impl Directory {
    /// These users, none of whom is signed in.
    pub fn new(users: Vec<User>) -> Self {
        let mut addresses = HashMap::new();
        for (index, user) in users.iter().enumerate() {
            for address in user.numbers.iter().chain([&user.name]) {
                addresses.insert(key(address), index);
            }
        }
        Self {
            users: users.into_iter().map(Arc::new).collect(),
            addresses,
            nobody: Password::new("nobody has this password"),
            online: Mutex::default(),
        }
    }

    /// Whether anybody can sign in, and so has to.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// The user of that name, if the password is his. How long it takes does not say which of the two was wrong.
    pub fn check(&self, name: &str, password: &str) -> Option<&Arc<User>> {
        let user = self.users.iter().find(|user| user.name == name);
        let right = user
            .map_or(&self.nobody, |user| &user.password)
            .matches(password);
        user.filter(|_| right)
    }

    /// Who is reached at that name or number.
    pub fn find(&self, address: &str) -> Option<&Arc<User>> {
        let index = self.addresses.get(&key(address))?;
        self.users.get(*index)
    }

    /// Signs a session in: it is told of the user's calls from now on.
    pub fn sign_in(self: &Arc<Self>, user: &Arc<User>, session: &str, outbox: Outbox) -> SignedIn {
        let line = Line {
            session: session.to_owned(),
            outbox,
        };
        self.lock().entry(user.name.clone()).or_default().push(line);
        SignedIn {
            directory: Arc::clone(self),
            user: Arc::clone(user),
            session: session.to_owned(),
        }
    }

    /// Where that user is signed in now.
    pub fn lines(&self, user: &User) -> Vec<Line> {
        let online = self.lock();
        let lines = online
            .get(&user.name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        lines.iter().rev().take(MAX_DEVICES).cloned().collect()
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
        Identity {
            user: self.user.name.clone(),
            number: self.user.numbers.first().cloned(),
            display_name: self.user.display_name.clone(),
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
    use tokio::sync::mpsc;

    fn directory() -> Arc<Directory> {
        let user = |name: &str, numbers: &[&str]| User {
            name: name.to_owned(),
            password: Password::new(format!("{name}'s")),
            display_name: name.to_owned(),
            numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
        };
        Arc::new(Directory::new(vec![
            user("alice", &["+4930123", "100"]),
            user("bob", &[]),
        ]))
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
    fn a_user_is_at_every_session_that_is_signed_in_and_no_longer() {
        let directory = directory();
        let alice = Arc::clone(directory.find("alice").unwrap());
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
