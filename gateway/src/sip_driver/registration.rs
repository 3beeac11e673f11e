//! The task that keeps an account registered: it resolves the registrar anew for each REGISTER, renews in time, waits longer
//! after each failure, and ends the registration when the gateway goes down.

use std::time::Duration;

use sip::Uri;
use sip::endpoint::{Account, Flow, Register};
use sip::registration::Schedule;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::SipHandle;

/// What is to be registered, and where.
#[derive(Clone, Debug)]
pub struct Registering {
    /// Whose registration it is.
    pub account: Account,
    /// The registrar's domain: the Request-URI.
    pub registrar: Uri,
    /// Where the REGISTERs are sent.
    pub next_hop: Uri,
    /// For how long each asks.
    pub expires: Duration,
    /// How often the way there is kept open in between (RFC 5626 §4.4).
    pub keep_alive: Option<Duration>,
}

/// A registration that is kept up until [`Registration::end`].
#[derive(Debug)]
pub struct Registration {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Registration {
    /// Registers, and goes on doing so.
    pub fn spawn(sip: SipHandle, registering: Registering) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(keep(sip, registering, stopped));
        Self { stop, task }
    }

    /// Takes the registration back, if there is one, waiting for `patience` at most.
    pub async fn end(self, patience: Duration) {
        let _ = self.stop.send(());
        if timeout(patience, self.task).await.is_err() {
            tracing::warn!("the registrar did not confirm the end of the registration");
        }
    }
}

async fn keep(sip: SipHandle, registering: Registering, mut stopped: oneshot::Receiver<()>) {
    let mut schedule = Schedule::default();
    let mut standing = Standing::New;
    loop {
        let step = async {
            let outcome = attempt(&sip, &registering, registering.expires).await;
            let next = match &outcome {
                Ok((granted, _)) => schedule.registered(*granted),
                Err(failed) => schedule.failed(failed.retry_after, rand::random()),
            };
            let flow = outcome.as_ref().ok().map(|(_, flow)| *flow);
            let outcome = outcome.map(|(granted, _)| granted);
            standing.note(&registering.registrar, outcome, next);
            match (flow, registering.keep_alive) {
                (Some(flow), Some(interval)) => rest(&sip, flow, interval, next).await,
                _ => sleep(next).await,
            }
        };
        tokio::select! {
            () = step => {}
            _ = &mut stopped => break,
        }
    }
    // The first REGISTER may be under way still: what it brings is taken back too.
    if standing != Standing::Failed {
        match attempt(&sip, &registering, Duration::ZERO).await {
            Ok(_) => tracing::info!(registrar = %registering.registrar, "no longer registered"),
            Err(failed) => {
                tracing::warn!(registrar = %registering.registrar, why = failed.why, "the registration could not be ended");
            }
        }
    }
}

/// Waits for the next REGISTER. Where the way to the registrar is gone before it, calls would not find us: it is time at once.
async fn rest(sip: &SipHandle, flow: Flow, interval: Duration, until_next: Duration) {
    let kept = async {
        loop {
            sleep(interval).await;
            if !sip.keep_alive(flow).await {
                return;
            }
        }
    };
    let _ = timeout(until_next, kept).await;
}

/// Why we are not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRegistered {
    /// In words.
    pub why: String,
    /// What the registrar asked for, in seconds.
    pub retry_after: Option<u32>,
    /// It was the registrar that said so.
    pub answered: bool,
}

async fn attempt(
    sip: &SipHandle,
    registering: &Registering,
    expires: Duration,
) -> Result<(Duration, Flow), NotRegistered> {
    let targets = sip
        .resolve(&registering.next_hop)
        .await
        .map_err(|why| NotRegistered {
            why,
            retry_after: None,
            answered: false,
        })?;
    let mut outcome = Err(NotRegistered {
        why: format!("{} has no address", registering.next_hop.host),
        retry_after: None,
        answered: false,
    });
    // RFC 3263 §4.3: one address after the other, until one answers.
    for target in targets {
        let register = Register {
            registrar: registering.registrar.clone(),
            target,
            expires,
        };
        let registered = sip.register(registering.account, register).await;
        outcome = registered.map(|granted| (granted, target));
        if outcome.as_ref().err().is_none_or(|no| no.answered) {
            break;
        }
    }
    outcome
}

/// What was last said of a registration, so that renewals are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    New,
    Registered,
    Failed,
}

impl Standing {
    fn note(&mut self, registrar: &Uri, outcome: Result<Duration, NotRegistered>, next: Duration) {
        match outcome {
            Ok(granted) => {
                if *self != Standing::Registered {
                    let expires = granted.as_secs();
                    tracing::info!(%registrar, expires, "registered");
                }
                *self = Standing::Registered;
            }
            Err(failed) => {
                let again_in = next.as_secs();
                tracing::warn!(%registrar, why = failed.why, again_in, "not registered");
                *self = Standing::Failed;
            }
        }
    }
}

#[cfg(test)]
mod tests;
