//! Every call of the gateway: where new ones begin, and where the end of the gateway ends them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sip::StatusCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

use super::CallId;
use super::cause::{Cause, CauseCode};
use super::diverted::Diverted;
use super::machine::{
    Arrival, Caller, Device, Environment, Forward, Identity, Input, Replacement, Setup,
};
use super::record::{CallRecord, Direction, Parties, Recorder};
use super::task::{Begin, CallTask, CurrentLeg, Told};
use crate::directory::{Line, OnCall};
use crate::settings::Trunk;
use crate::signaling::message::{CallName, ClientMessage, PlaceCall, ServerMessage};
use crate::signaling::outbox::Outbox;
use crate::sip_driver::{IncomingCall, Leg, SipHandle};
use crate::stir::{Finding, Signed};
use crate::trunks::Seat;
use crate::worker::{WorkerHandle, Workers};

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
    /// What a call of the gateway to itself shows.
    pub(super) secret: String,
    max_calls: usize,
    calls: Mutex<Calls>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    shutting_down: bool,
    inputs: HashMap<CallId, mpsc::Sender<Box<Told>>>,
    /// Whose a telephone's leg is.
    legs: HashMap<Leg, CallId>,
}

/// A call, to one of its browsers.
#[derive(Clone, Debug)]
pub struct CallHandle {
    pub(super) id: CallId,
    pub(super) device: Device,
    pub(super) input: mpsc::Sender<Box<Told>>,
    /// The telephone's, and the one of whoever is to take its place.
    pub(super) legs: [CurrentLeg; 2],
}

/// Why a call did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Too many wait.
    Busy,
    /// The call is over.
    Over,
}

impl CallHandle {
    /// Passes on what the browser says.
    ///
    /// # Errors
    /// [`NotTaken`] says why the call did not take it.
    pub fn say(&self, message: ClientMessage) -> Result<(), NotTaken> {
        self.input(Input::Browser(self.device, message))
    }

    /// The telephone of this call is to speak with that of another instead.
    ///
    /// # Errors
    /// [`NotTaken`], also where the other has no telephone yet.
    pub fn transfer_to(&self, other: &Self) -> Result<(), NotTaken> {
        let leg = other.legs[0].get().ok_or(NotTaken::Over)?;
        self.input(Input::TransferTo(leg, other.id))
    }

    fn input(&self, input: Input) -> Result<(), NotTaken> {
        let told = Box::new(Told::Input(input));
        self.input.try_send(told).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Busy,
            TrySendError::Closed(_) => NotTaken::Over,
        })
    }

    /// Tells it that the browser is gone.
    pub async fn leave(self) {
        let _ = self
            .input
            .send(Box::new(Told::Input(Input::BrowserGone(self.device))))
            .await;
    }

    /// Whether the call is over.
    pub fn is_over(&self) -> bool {
        self.input.is_closed()
    }
}

/// The longest header that is passed on to browsers, in characters.
const MAX_HEADER: usize = 1024;

/// The headers of a call that browsers are to see.
fn passed_on(request: &sip::Request, trunk: &Trunk) -> BTreeMap<String, String> {
    let names = trunk.headers_to_browser.iter();
    let value = |name: &String| {
        let value = request.headers.get(name)?;
        let value = value.chars().filter(|c| !c.is_control()).take(MAX_HEADER);
        Some((name.clone(), value.collect()))
    };
    names.filter_map(value).collect()
}

/// A telephone's call to a user who is signed in.
#[derive(Debug)]
pub struct Arriving {
    /// The SIP leg.
    pub incoming: IncomingCall,
    /// Where it comes from.
    pub trunk: Arc<Trunk>,
    /// Its place there.
    pub seat: Option<Seat>,
    /// Who calls.
    pub caller: Caller,
    /// What is known of who signed it.
    pub signed: Signed,
    /// The number that was called.
    pub to: String,
    /// Whom it is for.
    pub identity: Identity,
    /// Where it goes on to, if he does not take it, and after how long.
    pub forward: (Forward, Duration),
    /// His share of the calls at once.
    pub on_call: OnCall,
    /// His devices.
    pub lines: Vec<Line>,
}

impl Arriving {
    fn parties(&self) -> Parties {
        Parties {
            direction: Direction::Inbound,
            session: String::new(),
            user: Some(self.identity.user.clone()),
            from: self.caller.number.clone(),
            to: self.to.clone(),
        }
    }
}

impl Registry {
    /// A registry without calls.
    pub fn new(
        environment: Environment,
        workers: Arc<Workers>,
        sip: SipHandle,
        recorder: Recorder,
        (caller, secret): (String, String),
        max_calls: usize,
    ) -> Self {
        let environment = Arc::new(environment);
        Self {
            environment,
            workers,
            sip,
            recorder,
            caller,
            secret,
            max_calls,
            calls: Mutex::default(),
            empty: Notify::new(),
        }
    }

    /// Begins a browser's call. What the browser is to know of it goes to `outbox`, a refusal included; the call itself
    /// is returned where it came to one.
    pub async fn place(
        self: &Arc<Self>,
        session: &str,
        caller: Option<(Identity, OnCall)>,
        place: PlaceCall,
        outbox: Outbox,
    ) -> Option<CallHandle> {
        let id = CallId(rand::random());
        let PlaceCall {
            call,
            to,
            sdp,
            headers,
        } = place;
        let (identity, on_call) = caller.unzip();
        let (input, inputs) = mpsc::channel(INPUT_QUEUE);
        let worker = match self.admit(id, input.clone()) {
            Ok(worker) => worker,
            Err(cause) => {
                let _ = outbox.try_send(Box::new(
                    ServerMessage::Hangup {
                        call,
                        cause: cause.clone(),
                    }
                    .into(),
                ));
                let parties = Parties {
                    direction: Direction::Outbound,
                    session: session.to_owned(),
                    from: identity.as_ref().and_then(|own| own.number.clone()),
                    user: identity.map(|own| own.user),
                    to,
                };
                self.record_refused(id, parties, cause).await;
                return None;
            }
        };
        let setup = Setup {
            id,
            name: call,
            session: session.to_owned(),
            identity,
            to,
            offer: sdp,
            headers,
            candidates: worker.candidates().to_vec(),
            wall: SystemTime::now(),
            seed: rand::random(),
        };
        let handle = CallHandle {
            id,
            device: Device::CALLER,
            input,
            legs: Default::default(),
        };
        let begin = Begin::Place(Box::new(setup));
        CallTask::spawn(
            Arc::clone(self),
            begin,
            worker,
            inputs,
            &handle,
            vec![outbox],
            on_call,
        );
        Some(handle)
    }

    /// Begins a telephone's call: the user's devices ring.
    pub async fn ring(self: &Arc<Self>, arriving: Arriving) {
        let id = CallId(rand::random());
        let (input, inputs) = mpsc::channel(INPUT_QUEUE);
        let worker = match self.admit(id, input.clone()) {
            Ok(worker) => worker,
            Err(cause) => {
                let parties = arriving.parties();
                let finding = arriving.signed.finding;
                return self
                    .refuse(arriving.incoming, parties, cause, finding)
                    .await;
            }
        };
        let Arriving {
            incoming,
            trunk,
            seat,
            caller,
            signed,
            to,
            identity,
            forward,
            on_call,
            lines,
        } = arriving;
        let (sessions, outboxes) = lines
            .into_iter()
            .map(|line| (line.session, line.outbox))
            .unzip();
        let arrival = Arrival {
            id,
            name: CallName::incoming(id),
            caller,
            to,
            identity,
            forward: forward.0,
            ring_time: forward.1,
            headers: passed_on(&incoming.request, &trunk),
            diverted: Diverted::of(&incoming.request),
            signed,
            offer: incoming.request.body,
            trunk,
            seat,
            sessions,
            candidates: worker.candidates().to_vec(),
            wall: SystemTime::now(),
            seed: rand::random(),
        };
        let handle = CallHandle {
            id,
            device: Device::CALLER,
            input,
            legs: Default::default(),
        };
        let begin = Begin::Arrive(Box::new(arrival), incoming.leg, incoming.events);
        CallTask::spawn(
            Arc::clone(self),
            begin,
            worker,
            inputs,
            &handle,
            outboxes,
            Some(on_call),
        );
    }

    /// Refuses a telephone's call, and leaves its record.
    pub async fn refuse(
        &self,
        incoming: IncomingCall,
        parties: Parties,
        cause: Cause,
        finding: Option<Finding>,
    ) {
        let status = StatusCode::new(cause.code.status());
        let status = status.unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
        let reason = cause.code.reason();
        self.sip.reject(incoming.leg, status, Some(reason)).await;
        let id = CallId(rand::random());
        let mut record = CallRecord::without_a_call(id, parties, SystemTime::now(), cause);
        record.stir = finding.as_ref().map(Finding::record);
        self.recorder.write(record).await;
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
                let _ = input.send(Box::new(Told::Input(Input::Shutdown))).await;
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

    /// A telephone's call takes the place of the telephone that a leg is of (RFC 3891).
    pub async fn replace(&self, replaced: Leg, replacement: Replacement, incoming: IncomingCall) {
        let input = {
            let calls = self.lock();
            let call = calls.legs.get(&replaced);
            call.and_then(|id| calls.inputs.get(id)).cloned()
        };
        let told = Box::new(Told::Replaced(Box::new(replacement), Box::new(incoming)));
        let refused = match input {
            Some(input) => input.try_send(told).map_err(|error| *error.into_inner()),
            None => Err(*told),
        };
        if let Err(Told::Replaced(_, incoming)) = refused {
            let status = StatusCode::CALL_DOES_NOT_EXIST;
            self.sip.reject(incoming.leg, status, None).await;
        }
    }

    /// Asks a call for its telephone. What comes of it is in what is told.
    pub(super) fn consult(&self, call: CallId, told: Told) {
        let input = self.lock().inputs.get(&call).cloned();
        if let Some(input) = input {
            let _ = input.try_send(Box::new(told));
        }
    }

    /// Notes whose a leg is.
    pub(super) fn own_leg(&self, leg: Leg, id: CallId) {
        self.lock().legs.insert(leg, id);
    }

    /// It is nobody's any more.
    pub(super) fn disown_leg(&self, leg: Leg) {
        self.lock().legs.remove(&leg);
    }

    pub(super) fn forget(&self, id: CallId, legs: impl Iterator<Item = Leg>) {
        let mut calls = self.lock();
        for leg in legs {
            calls.legs.remove(&leg);
        }
        calls.inputs.remove(&id);
        drop(calls);
        self.empty.notify_waiters();
    }

    /// Makes room for a call, and finds it a worker.
    fn admit(&self, id: CallId, input: mpsc::Sender<Box<Told>>) -> Result<WorkerHandle, Cause> {
        let worker = self
            .workers
            .least_loaded()
            .ok_or_else(|| CauseCode::Internal.because("no media worker is left"))?;
        let mut calls = self.lock();
        if calls.shutting_down {
            return Err(CauseCode::ShuttingDown.cause());
        }
        if calls.inputs.len() >= self.max_calls {
            return Err(CauseCode::Overloaded.because(format!("[calls] max is {}", self.max_calls)));
        }
        calls.inputs.insert(id, input);
        Ok(worker)
    }

    async fn record_refused(&self, id: CallId, parties: Parties, cause: Cause) {
        let record = CallRecord::without_a_call(id, parties, SystemTime::now(), cause);
        self.recorder.write(record).await;
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // The map is whole after a panic elsewhere: nothing under this lock can panic half-way.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
