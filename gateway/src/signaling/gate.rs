//! What every connection shares, and how many sessions there may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::attempts::Attempts;
use super::ice_servers::IceServers;
use super::message::{Authenticate, LabNumber};
use super::outbox::Outbox;
use crate::call::registry::Registry;
use crate::directory::{Directory, SignedIn};
use crate::token::Refused;

/// What every connection shares.
#[derive(Debug)]
pub struct Signaling {
    /// Where calls begin.
    pub registry: Arc<Registry>,
    /// Who may sign in.
    pub directory: Arc<Directory>,
    /// Origins that may open a session besides the page's own.
    pub allowed_origins: Vec<String>,
    /// The lab numbers for the welcome.
    pub lab: Vec<LabNumber>,
    /// Whether other numbers reach a trunk.
    pub trunk: bool,
    /// The STUN and TURN servers that pages are told of.
    pub ice_servers: IceServers,
    /// The most sessions at once, and from one address.
    pub max_sessions: (usize, usize),
    /// Turns true when the gateway goes down.
    pub closing: watch::Receiver<bool>,
    /// Counts sessions by address.
    pub sessions: Sessions,
    /// Attempts to sign in that failed.
    pub attempts: FailedAttempts,
}

/// Attempts to sign in that failed, by source.
#[derive(Debug, Default)]
pub struct FailedAttempts(Mutex<Attempts>);

/// Why a session is not signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotSignedIn {
    /// The name or the password; it is not told which.
    Wrong,
    /// The token.
    BadToken(Refused),
    /// That address has tried too often.
    TooOften,
}

impl Signaling {
    /// Signs a session in. A token whose key is not known yet waits for it a moment.
    pub(super) async fn sign_in(
        &self,
        session: &str,
        from: IpAddr,
        who: &Authenticate,
        outbox: Outbox,
    ) -> Result<SignedIn, NotSignedIn> {
        let attempts = || {
            let attempts = self.attempts.0.lock();
            attempts.unwrap_or_else(PoisonError::into_inner)
        };
        let may_try = attempts().may_try(Instant::now(), from);
        if let (Authenticate::Token { token }, true) = (who, may_try) {
            self.directory.look_for_key(token).await;
        }
        // Nothing is waited for from here on: many that try at once are still counted one by one.
        let now = Instant::now();
        let mut attempts = attempts();
        if !attempts.may_try(now, from) {
            return Err(NotSignedIn::TooOften);
        }
        let user = match who {
            Authenticate::Token { token } => self
                .directory
                .check_token(token)
                .map_err(NotSignedIn::BadToken),
            Authenticate::Password { user, password } => self
                .directory
                .check(user, password)
                .ok_or(NotSignedIn::Wrong),
        };
        // Nobody is blamed for keys that cannot be had.
        let blameless = matches!(&user, Err(NotSignedIn::BadToken(Refused::NoKeys(_))));
        if user.is_err() && !blameless {
            attempts.failed(now, from);
        }
        user.map(|user| self.directory.sign_in(&user, session, outbox))
    }
}

/// How many sessions there are from each address.
#[derive(Debug, Default)]
pub struct Sessions {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One counted session; it is counted until this is dropped.
pub(super) struct Counted {
    signaling: Arc<Signaling>,
    address: IpAddr,
}

impl Sessions {
    /// Counts one more session from that address, if there may be one.
    pub(super) fn enter(signaling: &Arc<Signaling>, address: IpAddr) -> Option<Counted> {
        let (most, most_from_address) = signaling.max_sessions;
        let mut counts = signaling
            .sessions
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if counts.values().sum::<usize>() >= most
            || counts
                .get(&address)
                .is_some_and(|count| *count >= most_from_address)
        {
            return None;
        }
        *counts.entry(address).or_default() += 1;
        Some(Counted {
            signaling: Arc::clone(signaling),
            address,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self
            .signaling
            .sessions
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Done when the gateway goes down.
pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that the server itself is gone.
    let _ = closing.wait_for(|closing| *closing).await;
}
