//! Who is there: told to the users of the settings file, of each other. Owners of tokens are strangers to one another:
//! they see nobody and nobody sees them.

use std::sync::{Arc, PoisonError};

use super::{Directory, SignedIn};
use crate::settings::User;
use crate::signaling::message::{Person, Presence, ServerMessage};
use crate::signaling::outbox::Outbox;

impl Directory {
    fn person(&self, user: &User) -> Person {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let on_call = calls.get(&user.name).is_some_and(|calls| calls.his > 0);
        drop(calls);
        let presence = match (self.lock().contains_key(&user.name), on_call) {
            (false, _) => Presence::Offline,
            (true, true) => Presence::InCall,
            (true, false) => Presence::Online,
        };
        Person {
            user: user.name.clone(),
            display_name: user.display_name.clone(),
            presence,
        }
    }

    fn of_settings(&self, name: &str) -> Option<&Arc<User>> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Something about a user has changed: everyone who may know is told.
    pub(super) fn tell_of(&self, name: &str) {
        let Some(user) = self.of_settings(name) else {
            return;
        };
        let telling = self.telling.lock();
        let _telling = telling.unwrap_or_else(PoisonError::into_inner);
        let people = vec![self.person(user)];
        for outbox in self.audience() {
            let message = ServerMessage::Presence {
                people: people.clone(),
            };
            // One that does not read is soon cut off, and learns all anew when it comes back.
            let _ = outbox.try_send(Box::new(message.into()));
        }
    }

    /// The sessions that are told.
    fn audience(&self) -> Vec<Outbox> {
        let online = self.lock();
        let known = online
            .iter()
            .filter(|(name, _)| self.of_settings(name).is_some());
        known
            .flat_map(|(_, lines)| lines.iter().map(|line| line.outbox.clone()))
            .collect()
    }
}

impl SignedIn {
    /// Tells the session who is there, and the others that it is.
    pub fn announce(&self, outbox: &Outbox) {
        let directory = &self.directory;
        if directory.of_settings(&self.user.name).is_none() {
            return;
        }
        let others = directory
            .users
            .iter()
            .filter(|user| user.name != self.user.name);
        let people = others.map(|user| directory.person(user)).collect();
        let _ = outbox.try_send(Box::new(ServerMessage::Presence { people }.into()));
        directory.tell_of(&self.user.name);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::tests::directory;
    use super::*;
    use crate::signaling::outbox::Outgoing;

    fn heard(inbox: &mut mpsc::Receiver<Box<Outgoing>>) -> Vec<(String, Presence)> {
        let mut heard = Vec::new();
        while let Ok(outgoing) = inbox.try_recv() {
            if let ServerMessage::Presence { people } = outgoing.message {
                heard.extend(people.into_iter().map(|one| (one.user, one.presence)));
            }
        }
        heard
    }

    #[test]
    fn users_are_told_who_is_there_and_when_that_changes() {
        let directory = directory();
        let (alice, bob) = (
            directory.find("alice").unwrap(),
            directory.find("bob").unwrap(),
        );
        let (to_alice, mut alice_hears) = mpsc::channel(16);
        let (to_bob, mut bob_hears) = mpsc::channel(16);
        let at = |name: &str, presence| (name.to_owned(), presence);
        let alices = directory.sign_in(&alice, "s1", to_alice.clone());
        alices.announce(&to_alice);
        let own = at("alice", Presence::Online);
        assert_eq!(heard(&mut alice_hears), [at("bob", Presence::Offline), own]);
        let bobs = directory.sign_in(&bob, "s2", to_bob.clone());
        bobs.announce(&to_bob);
        assert_eq!(heard(&mut alice_hears), [at("bob", Presence::Online)]);
        assert_eq!(heard(&mut bob_hears)[0], at("alice", Presence::Online));
        let call = bobs.begin_call().unwrap();
        let second = bobs.begin_call().unwrap();
        drop(call);
        drop(second);
        drop(bobs);
        let expected = [Presence::InCall, Presence::Online, Presence::Offline];
        assert_eq!(
            heard(&mut alice_hears),
            expected.map(|presence| at("bob", presence))
        );
    }

    #[test]
    fn who_has_joined_two_others_is_no_longer_in_the_call_which_still_counts() {
        let directory = directory();
        let (alice, bob) = (
            directory.find("alice").unwrap(),
            directory.find("bob").unwrap(),
        );
        let (to_alice, mut alice_hears) = mpsc::channel(16);
        let (to_bob, _bob_hears) = mpsc::channel(16);
        let _alices = directory.sign_in(&alice, "s1", to_alice);
        let bobs = directory.sign_in(&bob, "s2", to_bob);
        let mut joined = bobs.begin_call().unwrap();
        let own = bobs.begin_call().unwrap();
        joined.leave();
        joined.leave();
        let seen: Vec<_> = heard(&mut alice_hears)
            .into_iter()
            .map(|(_, presence)| presence)
            .collect();
        assert_eq!(seen, [Presence::InCall]);
        drop(own);
        let online = ("bob".to_owned(), Presence::Online);
        assert_eq!(heard(&mut alice_hears), [online]);
        assert_eq!(directory.calls.lock().unwrap()["bob"].all, 1);
        drop(joined);
        assert!(heard(&mut alice_hears).is_empty());
        assert!(directory.calls.lock().unwrap().is_empty());
    }

    #[test]
    fn strangers_with_tokens_see_nobody_and_are_not_seen() {
        let directory = directory();
        let alice = directory.find("alice").unwrap();
        let stranger = Arc::new(User {
            name: "stranger".into(),
            ..User::clone(&alice)
        });
        let (to_alice, mut alice_hears) = mpsc::channel(16);
        let (to_stranger, mut stranger_hears) = mpsc::channel(16);
        let signed_in = directory.sign_in(&alice, "s1", to_alice);
        let strange = directory.sign_in(&stranger, "s2", to_stranger.clone());
        strange.announce(&to_stranger);
        let _call = signed_in.begin_call();
        assert!(heard(&mut stranger_hears).is_empty());
        assert_eq!(
            heard(&mut alice_hears),
            [("alice".to_owned(), Presence::InCall)]
        );
    }
}
