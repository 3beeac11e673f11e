//! Every call of the gateway: where new ones begin, and where the end of the gateway ends them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc};

use super::CallId;
use super::cause::{Cause, CauseCode};
use super::machine::{Environment, Input, Setup};
use super::record::{CallRecord, Recorder};
use super::task::CallTask;
use crate::signaling::message::{PlaceCall, ServerMessage};
use crate::sip_driver::SipHandle;
use crate::worker::Workers;

/// How many of a browser's messages may wait for one call; with more, the browser is told to wait.
const INPUT_QUEUE: usize = 64;

/// What calls need.
#[derive(Debug)]
pub struct Registry {
    pub(super) environment: Arc<Environment>,
    pub(super) workers: Arc<Workers>,
    pub(super) sip: SipHandle,
    pub(super) recorder: Recorder,
    /// The user part of our From.
    pub(super) caller: String,
    max_calls: usize,
    calls: Mutex<Calls>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    shutting_down: bool,
    inputs: HashMap<CallId, mpsc::Sender<Box<Input>>>,
}

impl Registry {
    /// A registry without calls.
    pub fn new(
        environment: Environment,
        workers: Arc<Workers>,
        sip: SipHandle,
        recorder: Recorder,
        caller: String,
        max_calls: usize,
    ) -> Self {
        let environment = Arc::new(environment);
        Self {
            environment,
            workers,
            sip,
            recorder,
            caller,
            max_calls,
            calls: Mutex::default(),
            empty: Notify::new(),
        }
    }

    /// Begins a call. What the browser is to know of it goes to `outbox`, a refusal included; the
    /// call's own inbox is returned where it came to a call.
    pub async fn place(
        self: &Arc<Self>,
        session: &str,
        place: PlaceCall,
        outbox: mpsc::Sender<Box<ServerMessage>>,
    ) -> Option<mpsc::Sender<Box<Input>>> {
        let id = CallId(rand::random());
        let (input, inputs) = mpsc::channel(INPUT_QUEUE);
        if let Err(cause) = self.admit(id, input.clone()) {
            self.refuse(id, session, place, cause, &outbox).await;
            return None;
        }
        let Some(worker) = self.workers.least_loaded() else {
            self.forget(id);
            let cause = CauseCode::Internal.because("no media worker is left");
            self.refuse(id, session, place, cause, &outbox).await;
            return None;
        };
        let setup = Setup {
            id,
            name: place.call,
            session: session.to_owned(),
            to: place.to,
            offer: place.sdp,
            candidates: worker.candidates().to_vec(),
            wall: SystemTime::now(),
            seed: rand::random(),
        };
        CallTask::spawn(Arc::clone(self), setup, worker, inputs, outbox);
        Some(input)
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.lock().inputs.len()
    }

    /// Whether there is no call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses new calls, ends the running ones, and waits for their records, or for `patience`.
    /// True when every call is over.
    pub async fn shut_down(&self, patience: Duration) -> bool {
        let inputs: Vec<_> = {
            let mut calls = self.lock();
            calls.shutting_down = true;
            calls.inputs.values().cloned().collect()
        };
        let ended = async {
            for input in inputs {
                let _ = input.send(Box::new(Input::Shutdown)).await;
            }
            loop {
                let empty = self.empty.notified();
                if self.is_empty() {
                    return;
                }
                empty.await;
            }
        };
        tokio::time::timeout(patience, ended).await.is_ok()
    }

    pub(super) fn forget(&self, id: CallId) {
        self.lock().inputs.remove(&id);
        self.empty.notify_waiters();
    }

    fn admit(&self, id: CallId, input: mpsc::Sender<Box<Input>>) -> Result<(), Cause> {
        let mut calls = self.lock();
        if calls.shutting_down {
            return Err(CauseCode::ShuttingDown.cause());
        }
        if calls.inputs.len() >= self.max_calls {
            return Err(CauseCode::Overloaded.because(format!("[calls] max is {}", self.max_calls)));
        }
        calls.inputs.insert(id, input);
        Ok(())
    }

    async fn refuse(
        &self,
        id: CallId,
        session: &str,
        place: PlaceCall,
        cause: Cause,
        outbox: &mpsc::Sender<Box<ServerMessage>>,
    ) {
        let _ = outbox.try_send(Box::new(ServerMessage::Hangup {
            call: place.call,
            cause: cause.clone(),
        }));
        self.recorder
            .write(CallRecord::without_a_call(
                id,
                session,
                &place.to,
                SystemTime::now(),
                cause,
            ))
            .await;
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // The map is whole after a panic elsewhere: nothing under this lock can panic half-way.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
