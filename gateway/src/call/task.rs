//! The task of one call: carries what happens to the machine, and what the machine wants to the
//! browser, the media worker and the SIP endpoint.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sip::endpoint::{Event as SipEvent, Flow, Invite};
use sip::{ReasonHeader, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::CallId;
use super::cause::CauseCode;
use super::machine::{
    Action, Arrival, Consulted, Device, Dial, Input, LegName, Machine, PhoneAction, Replacement,
    Setup, Wish,
};
use super::record::{CallRecord, Direction, Parties};
use super::registry::{CallHandle, Registry};
use super::route::INTERNAL;
use crate::directory::OnCall;
use crate::signaling::message::{CallName, ServerMessage};
use crate::signaling::outbox::{Outbox, Outgoing};
use crate::sip_driver::{IncomingCall, Leg, LegEvent, SipHandle};
use crate::worker::{EVENT_QUEUE, MediaCommand, MediaEvent, WorkerHandle};

/// The machine's own ring timer comes first; the endpoint's is the backstop.
const RING_GRACE: Duration = Duration::from_secs(5);

/// An INVITE whose next hop is being resolved: to the first of its addresses, and the others.
type Dialing = Pin<Box<dyn Future<Output = Result<(Invite, VecDeque<Flow>), String>> + Send>>;

/// The leg that a call has on the telephone's side at this moment.
#[derive(Clone, Debug, Default)]
pub(super) struct CurrentLeg(Arc<Mutex<Option<Leg>>>);

impl CurrentLeg {
    pub(super) fn get(&self) -> Option<Leg> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Leg> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, leg: Option<Leg>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = leg;
    }
}

/// How a call begins.
pub(super) enum Begin {
    /// A browser places it.
    Place(Box<Setup>),
    /// A telephone's INVITE is here, on this leg.
    Arrive(Box<Arrival>, Leg, mpsc::Receiver<LegEvent>),
}

impl Begin {
    fn name(&self) -> (CallId, CallName) {
        match self {
            Self::Place(setup) => (setup.id, setup.name.clone()),
            Self::Arrive(arrival, ..) => (arrival.id, arrival.name.clone()),
        }
    }

    fn parties(&self) -> Parties {
        match self {
            Self::Place(setup) => Parties {
                direction: Direction::Outbound,
                session: setup.session.clone(),
                user: setup.identity.as_ref().map(|own| own.user.clone()),
                from: setup.identity.as_ref().and_then(|own| own.number.clone()),
                to: setup.to.clone(),
            },
            Self::Arrive(arrival, ..) => Parties {
                direction: Direction::Inbound,
                session: String::new(),
                user: Some(arrival.identity.user.clone()),
                from: arrival.caller.number.clone(),
                to: arrival.to.clone(),
            },
        }
    }
}

/// What comes to a call from outside its legs.
#[derive(Debug)]
pub(super) enum Told {
    /// For its machine.
    Input(Input),
    /// A telephone's call that is to take the place of its telephone (RFC 3891).
    Replaced(Box<Replacement>, Box<IncomingCall>),
    /// Another call of the same browser asks for its telephone.
    Consulted(CallId, Wish, oneshot::Sender<Said>),
}

/// What a call says to that, with its telephone where that was the wish.
#[derive(Debug)]
pub(super) struct Said {
    consulted: Consulted,
    telephone: Option<(Leg, mpsc::Receiver<LegEvent>)>,
}

pub(super) struct CallTask {
    registry: Arc<Registry>,
    machine: Box<Machine>,
    worker: WorkerHandle,
    inputs: mpsc::Receiver<Box<Told>>,
    /// Where the inputs come from, for browsers that are to answer. It does not keep the call alive.
    input: mpsc::WeakSender<Box<Told>>,
    /// The browsers, as [`Device`] counts them.
    outboxes: Vec<Outbox>,
    /// The worker's end of the next, until the worker has it: then its loss is the loss of the call's media.
    media: Option<mpsc::Sender<Box<MediaEvent>>>,
    media_events: Option<mpsc::Receiver<Box<MediaEvent>>>,
    /// The telephone.
    phone: Side,
    /// The one that is to take its place.
    other: Side,
    /// The user's share of the calls at once.
    on_call: Option<OnCall>,
    /// What another call was asked.
    consulting: Option<(Wish, oneshot::Receiver<Said>)>,
}

/// A telephone's side of a call.
#[derive(Default)]
struct Side {
    leg: CurrentLeg,
    events: Option<mpsc::Receiver<LegEvent>>,
    dialing: Option<Dialing>,
    /// The INVITE that is out, and the addresses of its next hop that are left.
    invite: Option<(Invite, VecDeque<Flow>)>,
}

impl Side {
    fn begin(&mut self, leg: Leg, events: mpsc::Receiver<LegEvent>) {
        self.leg.set(Some(leg));
        self.events = Some(events);
    }

    /// What happens next to it.
    async fn next(&mut self) -> SideEvent {
        tokio::select! {
            biased;
            event = next_leg_event(&mut self.events) => match event {
                Some(LegEvent::Sip(event)) => SideEvent::Sip(event),
                Some(LegEvent::NotSent(error)) => SideEvent::NotSent(error.to_string()),
                None => SideEvent::Lost,
            },
            resolved = resolved(&mut self.dialing) => {
                self.dialing = None;
                match resolved {
                    Ok((invite, others)) => SideEvent::Resolved(Box::new(invite), others),
                    Err(why) => SideEvent::NotSent(why),
                }
            }
        }
    }
}

enum SideEvent {
    Sip(Box<SipEvent>),
    /// The leg is gone. Its end has been told before, unless there was no room for it.
    Lost,
    Resolved(Box<Invite>, VecDeque<Flow>),
    NotSent(String),
}

impl CallTask {
    /// Begins a call and runs it to its end; should anything of it panic, from the reading of its
    /// offer on, both legs and the record are still seen to.
    pub(super) fn spawn(
        registry: Arc<Registry>,
        begin: Begin,
        worker: WorkerHandle,
        inputs: mpsc::Receiver<Box<Told>>,
        handle: &CallHandle,
        outboxes: Vec<Outbox>,
        on_call: Option<OnCall>,
    ) {
        let started = SystemTime::now();
        let (id, name) = begin.name();
        let parties = begin.parties();
        let legs = handle.legs.clone();
        let input = handle.input.downgrade();
        let task = (
            Arc::clone(&registry),
            worker.clone(),
            outboxes.clone(),
            legs.clone(),
        );
        let running = async move {
            let (registry, worker, outboxes, legs) = task;
            let environment = Arc::clone(&registry.environment);
            let (media, media_events) = mpsc::channel(EVENT_QUEUE);
            let now = Instant::now();
            let [phone, other] = legs;
            let side = |leg| Side {
                leg,
                ..Side::default()
            };
            let (mut phone, other) = (side(phone), side(other));
            let machine = match begin {
                Begin::Place(setup) => Machine::new(now, environment, *setup),
                Begin::Arrive(arrival, leg, events) => {
                    registry.own_leg(leg, id);
                    phone.begin(leg, events);
                    Machine::called(now, environment, *arrival)
                }
            };
            let task = Self {
                machine: Box::new(machine),
                registry,
                worker,
                inputs,
                input,
                outboxes,
                media: Some(media),
                media_events: Some(media_events),
                phone,
                other,
                on_call,
                consulting: None,
            };
            task.run().await;
        };
        // Not in the supervisor, whose own task would keep the room for it to the end.
        let running = tokio::spawn(running);
        tokio::spawn(async move {
            if running.await.is_err() {
                let cause = CauseCode::Internal.cause();
                for outbox in outboxes {
                    let hangup = ServerMessage::Hangup {
                        call: name.clone(),
                        cause: cause.clone(),
                    };
                    let _ = outbox.try_send(Box::new(hangup.into()));
                }
                let _ = worker.send(MediaCommand::Close(id));
                for leg in legs.iter().filter_map(CurrentLeg::get) {
                    registry.sip.bye(leg, cause.code.reason()).await;
                }
                registry
                    .recorder
                    .write(CallRecord::without_a_call(id, parties, started, cause))
                    .await;
            }
            registry.forget(id, legs.iter().filter_map(CurrentLeg::get));
        });
    }

    async fn run(mut self) {
        loop {
            while let Some(action) = self.machine.poll_action() {
                if let Action::Finished(record) = action {
                    self.registry.recorder.write(*record).await;
                    self.consult_no_more().await;
                    return;
                }
                self.act(action).await;
            }
            if self.machine.is_without_browser()
                && let Some(on_call) = &mut self.on_call
            {
                on_call.leave();
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
            event = self.phone.next() => Some(self.on_side(LegName::Phone, event).await),
            event = self.other.next() => Some(self.on_side(LegName::Other, event).await),
            (wish, said) = said(&mut self.consulting) => Some(self.consulted(wish, said)),
            told = self.inputs.recv() => match told.map(|told| *told) {
                Some(Told::Input(input)) => Some(input),
                Some(Told::Replaced(replacement, incoming)) => {
                    self.replaced(replacement, *incoming).await
                }
                Some(Told::Consulted(by, wish, reply)) => {
                    self.is_consulted(by, wish, reply).await;
                    None
                }
                None => Some(Input::BrowserGone(Device::CALLER)),
            },
            () = timer => None,
        }
    }

    /// A call that is to take the place of the telephone has the other's side, where that is free; else it is refused, and
    /// nothing has happened.
    async fn replaced(
        &mut self,
        replacement: Box<Replacement>,
        incoming: IncomingCall,
    ) -> Option<Input> {
        if !self.machine.may_be_replaced() {
            let status = StatusCode::REQUEST_PENDING;
            self.registry.sip.reject(incoming.leg, status, None).await;
            return None;
        }
        self.leave_dead_leg(LegName::Other);
        self.registry.own_leg(incoming.leg, self.machine.id());
        self.other.begin(incoming.leg, incoming.events);
        Some(Input::Replaced(replacement))
    }

    /// Another call asks for the telephone. Where it is gone before it has it, nobody speaks with it any more.
    async fn is_consulted(&mut self, by: CallId, wish: Wish, reply: oneshot::Sender<Said>) {
        if reply.is_closed() {
            return;
        }
        let Some(consulted) = self.machine.consulted(Instant::now(), by, wish) else {
            return;
        };
        let telephone = match wish {
            Wish::Description => None,
            Wish::Telephone => self.phone.leg.take().zip(self.phone.events.take()),
        };
        if let Some((leg, _)) = &telephone {
            self.registry.disown_leg(*leg);
        }
        let said = Said {
            consulted,
            telephone,
        };
        if let Err(Said {
            telephone: Some((leg, _)),
            ..
        }) = reply.send(said)
        {
            let reason = CauseCode::Transferred.reason();
            self.registry.sip.bye(leg, reason).await;
        }
    }

    /// Nobody waits any more for what another call says. A telephone that is on its way speaks with nobody then.
    async fn consult_no_more(&mut self) {
        let Some((_, mut said)) = self.consulting.take() else {
            return;
        };
        said.close();
        if let Ok(Said {
            telephone: Some((leg, _)),
            ..
        }) = said.try_recv()
        {
            let reason = CauseCode::Transferred.reason();
            self.registry.sip.bye(leg, reason).await;
        }
    }

    /// What another call says, whose telephone is our other one if it comes with it.
    fn consulted(&mut self, wish: Wish, said: Option<Said>) -> Input {
        let consulted = said.map(|said| {
            if let Some((leg, events)) = said.telephone {
                self.leave_dead_leg(LegName::Other);
                self.registry.own_leg(leg, self.machine.id());
                self.other.begin(leg, events);
            }
            Box::new(said.consulted)
        });
        Input::Consulted(wish, consulted)
    }

    /// Forgets the leg of an INVITE that came to nothing.
    fn leave_dead_leg(&mut self, name: LegName) {
        let side = self.side(name);
        side.events = None;
        if let Some(leg) = side.leg.take() {
            self.registry.disown_leg(leg);
        }
    }

    async fn on_side(&mut self, name: LegName, event: SideEvent) -> Input {
        let input = match event {
            SideEvent::Sip(event) => Input::Sip(event),
            SideEvent::NotSent(why) => Input::DialFailed(why),
            SideEvent::Lost => Input::LegLost,
            SideEvent::Resolved(invite, others) => self.send_invite(name, *invite, others).await,
        };
        match name {
            LegName::Phone => input,
            LegName::Other => Input::Other(Box::new(input)),
        }
    }

    fn side(&mut self, name: LegName) -> &mut Side {
        match name {
            LegName::Phone => &mut self.phone,
            LegName::Other => &mut self.other,
        }
    }

    async fn send_invite(
        &mut self,
        name: LegName,
        invite: Invite,
        others: VecDeque<Flow>,
    ) -> Input {
        let dialed = Input::Dialed {
            to: invite.target.remote,
            others: others.len(),
        };
        let (leg, events) = self.registry.sip.invite(invite.clone()).await;
        self.registry.own_leg(leg, self.machine.id());
        if let Some(before) = self.side(name).leg.take() {
            self.registry.disown_leg(before);
        }
        let side = self.side(name);
        side.begin(leg, events);
        side.invite = Some((invite, others));
        dialed
    }

    /// Leaves a leg: what still comes of it, a late answer among it, the driver ends.
    async fn abandon(&mut self, name: LegName, reason: ReasonHeader) {
        let side = self.side(name);
        side.events = None;
        side.dialing = None;
        if let Some(leg) = side.leg.take() {
            self.registry.disown_leg(leg);
            self.registry.sip.cancel(leg, reason).await;
        }
    }

    async fn act(&mut self, action: Action) {
        let sent = match action {
            Action::Browser(device, message) => {
                self.tell(device, message);
                Ok(())
            }
            Action::OpenMedia(open) => match self.media.take() {
                Some(events) => self.worker.send(MediaCommand::Open(open, events)),
                None => Ok(()),
            },
            Action::Media(command) => self.worker.send(command),
            Action::Phone(name, action) => {
                self.act_on(name, action).await;
                Ok(())
            }
            Action::Consult(call, wish) => {
                self.consult_no_more().await;
                let (reply, said) = oneshot::channel();
                // Where there is no such call, the reply is dropped, and so nothing is said.
                self.registry
                    .consult(call, Told::Consulted(self.machine.id(), wish, reply));
                self.consulting = Some((wish, said));
                Ok(())
            }
            Action::TakeOther(reason) => {
                self.abandon(LegName::Phone, reason).await;
                let leg = self.other.leg.take();
                // Both keep their place with the supervisor.
                let next = Side {
                    leg: self.other.leg.clone(),
                    ..Side::default()
                };
                self.phone = Side {
                    leg: self.phone.leg.clone(),
                    ..std::mem::replace(&mut self.other, next)
                };
                self.phone.leg.set(leg);
                Ok(())
            }
            Action::Finished(_) => Ok(()),
        };
        if sent.is_err() {
            self.machine.handle(Instant::now(), Input::MediaOverloaded);
        }
    }

    /// What is to be done on a telephone's side.
    async fn act_on(&mut self, name: LegName, action: PhoneAction) {
        match action {
            PhoneAction::Dial(dial) => {
                let dialing = invite(
                    *dial,
                    (self.registry.caller.clone(), self.registry.secret.clone()),
                    self.registry.sip.clone(),
                );
                self.leave_dead_leg(name);
                if name == LegName::Other {
                    // Its place is taken.
                    self.consult_no_more().await;
                }
                self.side(name).dialing = Some(Box::pin(dialing));
                return;
            }
            PhoneAction::DialNextAddress => {
                self.abandon(name, CauseCode::Unreachable.reason()).await;
                let next = self.side(name).invite.take();
                let next = next.and_then(|(invite, mut others)| {
                    let target = others.pop_front()?;
                    Some((Invite { target, ..invite }, others))
                });
                if let Some((invite, others)) = next {
                    let dialed = self.send_invite(name, invite, others).await;
                    self.machine.handle(Instant::now(), dialed);
                }
                return;
            }
            PhoneAction::Abandon(reason) => return self.abandon(name, reason).await,
            _ => {}
        }
        if let PhoneAction::Cancel(_) | PhoneAction::Bye(_) = action {
            self.side(name).dialing = None;
        }
        let Some(leg) = self.side(name).leg.get() else {
            if let PhoneAction::Cancel(_) | PhoneAction::Bye(_) = action {
                let failed = Input::DialFailed("given up before it was sent".into());
                let failed = match name {
                    LegName::Phone => failed,
                    LegName::Other => Input::Other(Box::new(failed)),
                };
                self.machine.handle(Instant::now(), failed);
            }
            return;
        };
        let sip = &self.registry.sip;
        match action {
            PhoneAction::Cancel(reason) | PhoneAction::Bye(reason) => sip.cancel(leg, reason).await,
            PhoneAction::Ring => sip.ring(leg, StatusCode::RINGING, None).await,
            PhoneAction::Accept(sdp) => sip.accept(leg, sdp).await,
            PhoneAction::Reject(status, reason) => sip.reject(leg, status, Some(reason)).await,
            PhoneAction::Offer(sdp) => sip.offer(leg, sdp).await,
            PhoneAction::AnswerOffer(answer) => sip.answer_offer(leg, answer).await,
            PhoneAction::Info(key) => sip.info(leg, key).await,
            PhoneAction::Refer(whom) => sip.refer(leg, whom).await,
            PhoneAction::AnswerRefer(status) => sip.answer_refer(leg, status).await,
            PhoneAction::Notify(status) => sip.notify(leg, status).await,
            PhoneAction::Dial(_) | PhoneAction::DialNextAddress | PhoneAction::Abandon(_) => {}
        }
    }

    fn tell(&mut self, device: Device, message: ServerMessage) {
        let Some(outbox) = self.outboxes.get(usize::from(device.0)) else {
            return;
        };
        // Its session has not heard of this call: with the message it gets what it answers to.
        let call = matches!(message, ServerMessage::Incoming { .. })
            .then(|| self.input.upgrade())
            .flatten()
            .map(|input| CallHandle {
                id: self.machine.id(),
                device,
                input,
                legs: [self.phone.leg.clone(), self.other.leg.clone()],
            });
        if outbox
            .try_send(Box::new(Outgoing { message, call }))
            .is_err()
        {
            // Its session is gone, or has not read for long: the same to this call.
            self.machine
                .handle(Instant::now(), Input::BrowserGone(device));
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

/// The next, and none once, when there are no more.
async fn next_leg_event(events: &mut Option<mpsc::Receiver<LegEvent>>) -> Option<LegEvent> {
    let Some(receiver) = events else {
        return std::future::pending().await;
    };
    let event = receiver.recv().await;
    if event.is_none() {
        *events = None;
    }
    event
}

/// What another call says, or none, where it will not.
async fn said(consulting: &mut Option<(Wish, oneshot::Receiver<Said>)>) -> (Wish, Option<Said>) {
    let Some((wish, receiver)) = consulting else {
        return std::future::pending().await;
    };
    let (wish, said) = (*wish, receiver.await.ok());
    *consulting = None;
    (wish, said)
}

async fn resolved(dialing: &mut Option<Dialing>) -> Result<(Invite, VecDeque<Flow>), String> {
    match dialing {
        Some(dialing) => dialing.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The INVITE to the first address of its next hop, once that is resolved, and the other addresses. It comes from the user's number, if he has one.
async fn invite(
    dial: Dial,
    (caller, secret): (String, String),
    sip: SipHandle,
) -> Result<(Invite, VecDeque<Flow>), String> {
    let mut targets = VecDeque::from(sip.resolve(&dial.next_hop).await?);
    let target = targets
        .pop_front()
        .ok_or_else(|| format!("{} has no address", dial.next_hop.host))?;
    let (number, from_display) = match dial.identity {
        // Users know each other by name.
        Some(identity) if dial.internal => (
            Some(identity.number.unwrap_or(identity.user)),
            Some(identity.display_name),
        ),
        // RFC 3323 §4.1.1.3.
        Some(identity) if identity.withheld => {
            (Some("anonymous".to_owned()), Some("Anonymous".to_owned()))
        }
        Some(identity) => (identity.number, Some(identity.display_name)),
        None => (None, None),
    };
    let headers = match dial.internal {
        true => vec![(INTERNAL.to_owned(), secret)],
        false => Vec::new(),
    };
    let headers = headers.into_iter().chain(dial.headers).collect();
    let invite = Invite {
        to: dial.target,
        target,
        account: dial.account,
        from_user: number.unwrap_or(caller),
        from_display,
        body: dial.body,
        replaces: dial.replaces,
        headers,
        ring_timeout: dial.ring_timeout + RING_GRACE,
    };
    Ok((invite, targets))
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
