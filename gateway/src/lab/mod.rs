//! The lab phone: a real SIP user agent that answers a few numbers, for trying things out and for
//! tests. It is built from the same crates as the gateway, and the gateway calls it as it calls
//! any telephone: by SIP and RTP over sockets.
//!
//! It takes calls from this machine alone: a telephone that sends sound to whatever address an
//! INVITE names would be a weapon in the open.

mod call;
mod keys;
mod line;
pub mod number;
#[cfg(test)]
mod socket_tests;
mod sound;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sip::StatusCode;
use sip::endpoint::EndpointConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tracing::{debug, info};

pub use number::NUMBERS;
use number::Number;

use crate::settings::SipTls;
use crate::sip_driver::{self, IncomingCall, SipHandle};

/// Calls at once; more are told that the phone is busy.
const MAX_CALLS: usize = 200;
/// How long the answers to the last BYEs are waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// A running lab phone.
#[derive(Debug)]
pub struct LabPhone {
    sip: SipHandle,
    stop: watch::Sender<bool>,
}

/// Binds `listen` for UDP and TCP and answers calls to [`NUMBERS`] until it is stopped.
///
/// # Errors
/// The address cannot be bound.
pub async fn spawn(listen: SocketAddr) -> io::Result<LabPhone> {
    let configure = |config: EndpointConfig| EndpointConfig {
        user_agent: format!("{} lab phone", config.user_agent),
        ..config
    };
    let (sip, calls) = sip_driver::spawn(listen, None, &SipTls::default(), configure).await?;
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(answer(calls, sip.clone(), stopping));
    Ok(LabPhone { sip, stop })
}

impl LabPhone {
    /// Where it listens, by UDP and by TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.sip.local_addr()
    }

    /// Takes no more calls, hangs up those it has, and waits a little for the other sides to say
    /// that they heard. True when no call is left.
    pub async fn stop(self) -> bool {
        // No receiver: no call and nobody to answer one.
        let _ = self.stop.send(true);
        self.sip.drain(PATIENCE).await
    }
}

/// Ends when the phone is gone: this task's handle must not keep its endpoint alive.
async fn answer(
    mut calls: mpsc::Receiver<IncomingCall>,
    sip: SipHandle,
    mut stopping: watch::Receiver<bool>,
) {
    let free = Arc::new(Semaphore::new(MAX_CALLS));
    loop {
        let incoming = tokio::select! {
            incoming = calls.recv() => incoming,
            still_there = stopping.changed() => match still_there {
                Ok(()) => continue,
                Err(_) => None,
            },
        };
        let Some(incoming) = incoming else { break };
        let admitted = match *stopping.borrow() {
            true => Err(StatusCode::SERVICE_UNAVAILABLE),
            false => admit(&incoming, sip.local_addr().ip(), &free),
        };
        match admitted {
            Ok((number, permit)) => {
                let (sip, stopping) = (sip.clone(), stopping.clone());
                tokio::spawn(async move {
                    call::run(incoming, number, sip, stopping).await;
                    drop(permit);
                });
            }
            Err(status) => {
                info!(from = %incoming.flow.remote, %status, "the lab phone refuses a call");
                sip.reject(incoming.leg, status, None).await;
            }
        }
    }
    debug!("the lab phone is off");
}

fn admit(
    incoming: &IncomingCall,
    local: IpAddr,
    free: &Arc<Semaphore>,
) -> Result<(Number, OwnedSemaphorePermit), StatusCode> {
    let from = incoming.flow.remote.ip();
    if from != local && !from.is_loopback() {
        return Err(StatusCode::FORBIDDEN);
    }
    let name = incoming.request.uri.user.as_deref().unwrap_or_default();
    let number = Number::named(name).ok_or(StatusCode::NOT_FOUND)?;
    let permit = Arc::clone(free)
        .try_acquire_owned()
        .map_err(|_| StatusCode::BUSY_HERE)?;
    Ok((number, permit))
}
