//! The task of one call: carries what happens to the machine, and what the machine wants to the
//! browser, the media worker and the SIP endpoint.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use sip::endpoint::Invite;
use tokio::sync::mpsc;

use super::cause::CauseCode;
use super::machine::{Action, Dial, Input, Machine, Setup};
use super::record::CallRecord;
use super::registry::Registry;
use crate::signaling::message::ServerMessage;
use crate::sip_driver::resolve::resolve;
use crate::sip_driver::{Leg, LegEvent};
use crate::worker::{EVENT_QUEUE, MediaCommand, MediaEvent, WorkerHandle};

/// The machine's own ring timer comes first; the endpoint's is the backstop.
const RING_GRACE: Duration = Duration::from_secs(5);

/// An INVITE whose next hop is being resolved.
type Dialing = Pin<Box<dyn Future<Output = Result<Invite, String>> + Send>>;

pub(super) struct CallTask {
    registry: Arc<Registry>,
    machine: Box<Machine>,
    worker: WorkerHandle,
    inputs: mpsc::Receiver<Box<Input>>,
    outbox: mpsc::Sender<Box<ServerMessage>>,
    /// The worker's end of the next, until the worker has it: then its loss is the loss of the call's media.
    media: Option<mpsc::Sender<Box<MediaEvent>>>,
    media_events: Option<mpsc::Receiver<Box<MediaEvent>>>,
    leg: Arc<OnceLock<Leg>>,
    leg_events: Option<mpsc::Receiver<LegEvent>>,
    dialing: Option<Dialing>,
}

impl CallTask {
    /// Begins a call and runs it to its end; should anything of it panic, from the reading of its
    /// offer on, both legs and the record are still seen to.
    pub(super) fn spawn(
        registry: Arc<Registry>,
        setup: Setup,
        worker: WorkerHandle,
        inputs: mpsc::Receiver<Box<Input>>,
        outbox: mpsc::Sender<Box<ServerMessage>>,
    ) {
        let (id, started) = (setup.id, SystemTime::now());
        let (name, session, to) = (setup.name.clone(), setup.session.clone(), setup.to.clone());
        let leg = Arc::<OnceLock<Leg>>::default();
        let task = (
            Arc::clone(&registry),
            worker.clone(),
            outbox.clone(),
            Arc::clone(&leg),
        );
        let running = async move {
            let (registry, worker, outbox, leg) = task;
            let environment = Arc::clone(&registry.environment);
            let (media, media_events) = mpsc::channel(EVENT_QUEUE);
            let task = Self {
                machine: Box::new(Machine::new(Instant::now(), environment, setup)),
                registry,
                worker,
                inputs,
                outbox,
                media: Some(media),
                media_events: Some(media_events),
                leg,
                leg_events: None,
                dialing: None,
            };
            task.run().await;
        };
        // Not in the supervisor, whose own task would keep the room for it to the end.
        let running = tokio::spawn(running);
        tokio::spawn(async move {
            if running.await.is_err() {
                let cause = CauseCode::Internal.cause();
                let _ = outbox.try_send(Box::new(ServerMessage::Hangup {
                    call: name,
                    cause: cause.clone(),
                }));
                let _ = worker.send(MediaCommand::Close(id));
                if let Some(leg) = OnceLock::get(&leg) {
                    registry.sip.bye(*leg, cause.code.reason()).await;
                }
                registry
                    .recorder
                    .write(CallRecord::without_a_call(
                        id, &session, &to, started, cause,
                    ))
                    .await;
            }
            registry.forget(id);
        });
    }

    async fn run(mut self) {
        loop {
            while let Some(action) = self.machine.poll_action() {
                if let Action::Finished(record) = action {
                    self.registry.recorder.write(*record).await;
                    return;
                }
                self.act(action).await;
            }
            let input = self.next_input().await;
            let now = Instant::now();
            match input {
                Some(input) => self.machine.handle(now, input),
                None => self.machine.handle_timeout(now),
            }
        }
    }

    /// What happens next; none when it is the deadline that passed.
    async fn next_input(&mut self) -> Option<Input> {
        let deadline = self.machine.poll_timeout();
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The facts of the two legs come before what the browser asks for next.
            biased;
            event = next_media_event(&mut self.media_events) => Some(Input::Media(event)),
            event = next_leg_event(&mut self.leg_events) => Some(match event {
                LegEvent::Sip(event) => Input::Sip(event),
                LegEvent::NotSent(error) => Input::DialFailed(error.to_string()),
            }),
            resolved = resolved(&mut self.dialing) => {
                self.dialing = None;
                match resolved {
                    Ok(invite) => {
                        let (leg, events) = self.registry.sip.invite(invite).await;
                        let _ = self.leg.set(leg);
                        self.leg_events = Some(events);
                        Some(Input::Dialed)
                    }
                    Err(why) => Some(Input::DialFailed(why)),
                }
            }
            input = self.inputs.recv() => Some(input.map_or(Input::BrowserGone, |input| *input)),
            () = timer => None,
        }
    }

    async fn act(&mut self, action: Action) {
        let sent = match action {
            Action::Browser(message) => {
                if self.outbox.try_send(Box::new(message)).is_err() {
                    // Its session is gone, or has not read for long: the same to this call.
                    self.machine.handle(Instant::now(), Input::BrowserGone);
                }
                Ok(())
            }
            Action::OpenMedia(open) => match self.media.take() {
                Some(events) => self.worker.send(MediaCommand::Open(open, events)),
                None => Ok(()),
            },
            Action::Media(command) => self.worker.send(command),
            Action::Dial(dial) => {
                self.dialing = Some(Box::pin(invite(*dial, self.registry.caller.clone())));
                Ok(())
            }
            Action::Cancel(reason) | Action::Bye(reason) => {
                match self.leg.get() {
                    Some(leg) => self.registry.sip.cancel(*leg, reason).await,
                    None => {
                        self.dialing = None;
                        self.machine.handle(
                            Instant::now(),
                            Input::DialFailed("given up before it was sent".into()),
                        );
                    }
                }
                Ok(())
            }
            Action::Info(key) => {
                if let Some(leg) = self.leg.get() {
                    self.registry.sip.info(*leg, key).await;
                }
                Ok(())
            }
            Action::Finished(_) => Ok(()),
        };
        if sent.is_err() {
            self.machine.handle(Instant::now(), Input::MediaOverloaded);
        }
    }
}

/// A worker lets go of a call's events with the last of them; before it, only when its thread is gone.
async fn next_media_event(events: &mut Option<mpsc::Receiver<Box<MediaEvent>>>) -> MediaEvent {
    let Some(receiver) = events else {
        return std::future::pending().await;
    };
    match receiver.recv().await.map(|event| *event) {
        Some(last @ (MediaEvent::Refused(_) | MediaEvent::Panicked | MediaEvent::Closed(_))) => {
            *events = None;
            last
        }
        Some(event) => event,
        None => {
            *events = None;
            MediaEvent::Panicked
        }
    }
}

async fn next_leg_event(events: &mut Option<mpsc::Receiver<LegEvent>>) -> LegEvent {
    if let Some(receiver) = events {
        if let Some(event) = receiver.recv().await {
            return event;
        }
        *events = None;
    }
    std::future::pending().await
}

async fn resolved(dialing: &mut Option<Dialing>) -> Result<Invite, String> {
    match dialing {
        Some(dialing) => dialing.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The INVITE, once its next hop is resolved.
async fn invite(dial: Dial, from_user: String) -> Result<Invite, String> {
    let target = resolve(&dial.next_hop).await?;
    Ok(Invite {
        to: dial.target,
        target,
        account: dial.account,
        from_user,
        from_display: None,
        body: dial.body,
        headers: Vec::new(),
        ring_timeout: dial.ring_timeout + RING_GRACE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_lets_go_of_a_call_too_early_has_lost_its_media() {
        let (sender, receiver) = mpsc::channel(4);
        let mut events = Some(receiver);
        sender.try_send(Box::new(MediaEvent::ConsentLost)).unwrap();
        drop(sender);
        let first = next_media_event(&mut events).await;
        assert!(matches!(first, MediaEvent::ConsentLost));
        let lost = next_media_event(&mut events).await;
        assert!(matches!(lost, MediaEvent::Panicked));
        assert!(events.is_none(), "it is said once");
    }

    #[tokio::test]
    async fn a_worker_that_has_closed_a_call_lets_go_of_it_unnoticed() {
        let (sender, receiver) = mpsc::channel(4);
        let mut events = Some(receiver);
        sender
            .try_send(Box::new(MediaEvent::Closed(Box::default())))
            .unwrap();
        drop(sender);
        let last = next_media_event(&mut events).await;
        assert!(matches!(last, MediaEvent::Closed(_)));
        assert!(events.is_none());
    }
}
