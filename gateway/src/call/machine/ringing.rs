//! A telephone's call to a user: all his devices ring, the first that accepts has the call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::legs::keying;
use super::{
    Action, CallId, CallName, Device, Direction, Diverted, EndedBy, Environment, Forward, Identity,
    LegName, Machine, Other, Parties, PhoneAction, PhoneLeg, State, Why,
};
use crate::call::cause::{Cause, CauseCode};
use crate::call::negotiation::trunk_media;
use crate::call::timeline::Topic;
use crate::settings::Trunk;
use crate::signaling::message::{ClientMessage, ErrorCode, RejectReason, ServerMessage};
use crate::stir::Signed;
use crate::trunks::Seat;

/// Who calls, as far as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The number; none where it is withheld.
    pub number: Option<String>,
    /// The name.
    pub display_name: Option<String>,
}

/// What makes a telephone's call.
#[derive(Debug)]
pub struct Arrival {
    /// The call's name in the gateway.
    pub id: CallId,
    /// Its name in the browsers' sessions.
    pub name: CallName,
    /// Who calls.
    pub caller: Caller,
    /// The number that was called.
    pub to: String,
    /// Whom it is for.
    pub identity: Identity,
    /// Where it goes on to, if he does not take it.
    pub forward: Forward,
    /// How long his devices ring before it does.
    pub ring_time: Duration,
    /// What the browser is to see of the INVITE's headers.
    pub headers: BTreeMap<String, String>,
    /// By whom it was sent on to him.
    pub diverted: Diverted,
    /// What is known of who signed it (RFC 8224).
    pub signed: Signed,
    /// The INVITE's SDP; empty where it has none.
    pub offer: Vec<u8>,
    /// Where it comes from.
    pub trunk: Arc<Trunk>,
    /// Its place there; none where it is a user of our own who calls.
    pub seat: Option<Seat>,
    /// The sessions of the user's devices; [`Device`] counts them.
    pub sessions: Vec<String>,
    /// Where browsers reach the worker that will carry the call.
    pub candidates: Vec<SocketAddr>,
    /// The wall clock, for the record.
    pub wall: SystemTime,
    /// Randomness for credentials, SSRCs and the like.
    pub seed: [u8; 32],
}

/// The telephone that called.
#[derive(Clone, Debug)]
pub(super) struct Called {
    trunk: Arc<Trunk>,
    /// Its offer; none where it wants ours (RFC 3261 §13.2.1).
    pub(super) offer: Option<sdp::trunk::Offer>,
}

/// Who still rings.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) called: Box<Called>,
    devices: Vec<(Device, String)>,
    /// One of them was busy.
    busy: bool,
    pub(super) deadline: Instant,
}

impl Ringing {
    pub(super) fn devices(&self) -> Vec<Device> {
        self.devices.iter().map(|(device, _)| *device).collect()
    }

    fn rings(&self, device: Device) -> bool {
        self.devices.iter().any(|(rings, _)| *rings == device)
    }
}

impl Machine {
    /// Begins a telephone's call. What comes of it is in [`Machine::poll_action`], a refusal included.
    pub fn called(now: Instant, environment: Arc<Environment>, arrival: Arrival) -> Self {
        let Arrival {
            id,
            name,
            caller,
            to,
            identity,
            forward,
            ring_time,
            headers,
            diverted,
            signed,
            offer,
            trunk,
            seat,
            sessions,
            candidates,
            wall,
            seed,
        } = arrival;
        let parties = Parties {
            direction: Direction::Inbound,
            session: String::new(),
            user: Some(identity.user.clone()),
            from: caller.number.clone(),
            to,
        };
        let longest = environment.max_duration;
        let own = identity.permit.max_call_duration;
        let name_of_trunk = seat.is_some().then(|| trunk.name.clone());
        let mut machine = Self {
            seat,
            max_duration: own.map_or(longest, |own| own.min(longest)),
            identity: Some(identity),
            candidates,
            ..Self::idle(now, environment, (id, name), parties, wall, seed)
        };
        machine.story.trunk = name_of_trunk;
        machine.take_signed(now, signed);
        machine.route = machine.route_of(&trunk, machine.seat.as_ref());
        let offer = machine.understand_caller(now, &offer, &trunk);
        let refused = offer.as_ref().err().cloned();
        let offer = offer.unwrap_or_default();
        machine.state = State::Ringing(Box::new(Ringing {
            called: Box::new(Called { trunk, offer }),
            devices: Vec::new(),
            busy: false,
            deadline: now + machine.ring_time(&forward, ring_time),
        }));
        (machine.forward, machine.diverted) = (forward, diverted);
        match (refused, sessions.is_empty()) {
            (Some(cause), _) => machine.end(now, cause, EndedBy::Gateway),
            (None, _) if machine.forward(now, Why::Always) => {}
            (None, true) if machine.forward(now, Why::Unavailable) => {}
            (None, true) => machine.end(now, CauseCode::Unavailable.cause(), EndedBy::Gateway),
            (None, false) => machine.ring(now, &caller, sessions, &headers),
        }
        machine
    }

    /// How long it rings: where it goes on to somebody, not for all the time that a telephone has.
    fn ring_time(&self, forward: &Forward, ring_time: Duration) -> Duration {
        let longest = self.environment.ring_timeout;
        match forward.no_answer {
            Some(_) => ring_time.min(longest),
            None => longest,
        }
    }

    /// Reads the caller's offer before anything rings: a call that cannot be answered does not ring.
    fn understand_caller(
        &mut self,
        now: Instant,
        offer: &[u8],
        trunk: &Trunk,
    ) -> Result<Option<sdp::trunk::Offer>, Cause> {
        if offer.is_empty() {
            self.timeline
                .note(now, Topic::Sip, "INVITE without an offer: we make it");
            return Ok(None);
        }
        let text = String::from_utf8_lossy(offer);
        self.timeline
            .note_sdp(now, "the telephone offers", &text, &[]);
        let refuse = |why: String| CauseCode::NotAcceptable.because(why);
        // Keys for a trial: the answer that is sent has its own.
        let keying = keying(trunk.srtp, &self.environment.fingerprint, &mut self.rng);
        let offer = sdp::trunk::read_offer(&text, &keying)
            .map_err(|refusal| refuse(refusal.to_string()))?;
        if offer.audio.remote_rtp.is_none() {
            return Err(refuse("the SDP names no address for audio".to_owned()));
        }
        let options = sdp::trunk::OfferOptions {
            keying,
            profile: trunk.profile.clone(),
            ..sdp::trunk::OfferOptions::placeholder()
        };
        sdp::trunk::answer(&offer, &options).map_err(|refusal| refuse(refusal.to_string()))?;
        Ok(Some(offer))
    }

    fn ring(
        &mut self,
        now: Instant,
        caller: &Caller,
        sessions: Vec<String>,
        headers: &BTreeMap<String, String>,
    ) {
        let devices: Vec<_> = (0..=u8::MAX).map(Device).zip(sessions).collect();
        self.timeline
            .note(now, Topic::Call, format!("{} devices ring", devices.len()));
        for (device, _) in &devices {
            let incoming = ServerMessage::Incoming {
                call: self.name.clone(),
                from: caller.number.clone(),
                name: caller.display_name.clone(),
                to: self.story.parties.to.clone(),
                headers: headers.clone(),
                verification: self.verification(),
            };
            self.actions.push_back(Action::Browser(*device, incoming));
        }
        self.story.ringing = Some(now);
        self.phone_does(PhoneAction::Ring);
        if let State::Ringing(ringing) = &mut self.state {
            ringing.devices = devices;
        }
    }

    pub(super) fn handle_ringing(&mut self, now: Instant, device: Device, message: ClientMessage) {
        let State::Ringing(ringing) = &self.state else {
            return;
        };
        if !ringing.rings(device) {
            return;
        }
        match message {
            ClientMessage::Accept(accept) => self.accept(now, device, &accept.sdp),
            ClientMessage::Reject(reject) => match reject.reason {
                RejectReason::Busy => self.stop_ringing(now, device, CauseCode::Busy),
                RejectReason::Declined => self.decline(now, device),
            },
            ClientMessage::Hangup(_) => self.decline(now, device),
            _ => {
                let error = self.error(
                    ErrorCode::WrongState,
                    None,
                    "the call rings: accept or reject it first",
                );
                self.actions.push_back(Action::Browser(device, error));
            }
        }
    }

    /// The user declines on one of his devices: for all of them.
    fn decline(&mut self, now: Instant, device: Device) {
        self.timeline.note(
            now,
            Topic::Call,
            format!("declined on device {}", device.0 + 1),
        );
        self.end(now, CauseCode::Rejected.cause(), EndedBy::Browser);
    }

    /// A device is busy, or gone: the others ring on, if there are any.
    pub(super) fn stop_ringing(&mut self, now: Instant, device: Device, why: CauseCode) {
        let State::Ringing(ringing) = &mut self.state else {
            return;
        };
        if !ringing.rings(device) {
            return;
        }
        ringing.devices.retain(|(rings, _)| *rings != device);
        ringing.busy |= why == CauseCode::Busy;
        let (busy, last) = (ringing.busy, ringing.devices.is_empty());
        let text = format!("device {} no longer rings: {why:?}", device.0 + 1);
        self.timeline.note(now, Topic::Call, text);
        if why == CauseCode::Busy {
            self.hang_up(vec![device], &why.cause());
        }
        let kind = if busy { Why::Busy } else { Why::Unavailable };
        if last && !self.forward(now, kind) {
            let code = if busy { CauseCode::Busy } else { why };
            self.end(now, code.cause(), EndedBy::Browser);
        }
    }

    /// The first device that can take the call has it.
    fn accept(&mut self, now: Instant, device: Device, offer: &str) {
        let State::Ringing(ringing) = &self.state else {
            return;
        };
        let trunk = ringing.called.trunk.clone();
        self.timeline
            .note_sdp(now, "a browser accepts, and offers", offer, &[]);
        let open = match self.understand(now, offer, Some(&trunk)) {
            Ok(open) => open,
            Err(cause) => {
                // It may try again, and the others may take it.
                let error = self.error(ErrorCode::BadField, Some("sdp"), &cause.text);
                return self.actions.push_back(Action::Browser(device, error));
            }
        };
        let State::Ringing(ringing) = &mut self.state else {
            return;
        };
        let called = ringing.called.clone();
        let mut others = ringing.devices();
        others.retain(|other| *other != device);
        if let Some((_, session)) = ringing.devices.iter().find(|(one, _)| *one == device) {
            self.story.parties.session.clone_from(session);
        }
        self.device = device;
        self.hang_up(others, &CauseCode::AnsweredElsewhere.cause());
        self.open_media(now, open, Other::Caller(called));
    }

    /// The worker listens: the caller gets his 200.
    pub(super) fn answer_caller(
        &mut self,
        now: Instant,
        called: Called,
        rtp: SocketAddr,
        rtcp: SocketAddr,
    ) {
        match self.accept_caller(now, called, rtp, rtcp) {
            Ok(()) => self.up(now),
            Err(cause) => self.end(now, cause, EndedBy::Gateway),
        }
    }

    /// Answers the caller, and joins his media, unless it is his to say what that is.
    pub(super) fn accept_caller(
        &mut self,
        now: Instant,
        called: Called,
        rtp: SocketAddr,
        rtcp: SocketAddr,
    ) -> Result<(), Cause> {
        let trunk = self.trunk_options(Some(&called.trunk), rtp, rtcp);
        let Some(offer) = called.offer else {
            let text = sdp::trunk::offer_fresh(&trunk.options);
            self.timeline
                .note_sdp(now, "the telephone is offered", &text, &[]);
            self.phone_does(PhoneAction::Accept(text.into_bytes()));
            self.offered[0] = Some(Box::new(trunk));
            return Ok(());
        };
        let (text, agreed, notes) = sdp::trunk::answer(&offer, &trunk.options)
            .map_err(|refusal| CauseCode::NotAcceptable.because(refusal))?;
        let voip_metrics = trunk.options.profile.rtcp_xr;
        let media = trunk_media(&agreed, trunk.behind_nat, trunk.dtmf, voip_metrics);
        let no_address = || CauseCode::NotAcceptable.because("the SDP names no address for audio");
        let media = media.ok_or_else(no_address)?;
        self.timeline
            .note_sdp(now, "the telephone is answered", &text, &notes);
        self.phone_does(PhoneAction::Accept(text.into_bytes()));
        self.agreed(now, trunk, &agreed, media, false);
        Ok(())
    }

    /// The ACK to our 200 (RFC 3261 §13.2.2.4); with the answer, where ours was the offer.
    pub(super) fn confirmed(&mut self, now: Instant, leg: LegName, body: Option<&[u8]>) {
        self.timeline.note(now, Topic::Sip, "ACK");
        if !matches!(self.state, State::Talking { .. } | State::Joined { .. }) {
            return;
        }
        let Some(trunk) = self.offered[leg.index()].take() else {
            return;
        };
        let text = String::from_utf8_lossy(body.unwrap_or_default());
        let title = format!("{} answers", leg.name());
        self.timeline.note_sdp(now, &title, &text, &[]);
        let agreed = body
            .ok_or_else(|| "the ACK had no SDP".to_owned())
            .and_then(|body| trunk.read_answer(body));
        match (agreed, leg) {
            (Ok((agreed, media)), LegName::Phone) => {
                self.agreed(now, *trunk, &agreed, media, false);
            }
            (Ok((_, media)), LegName::Other) => {
                self.phones[leg.index()] = Some(PhoneLeg::new(*trunk, media));
                self.set_media(leg);
            }
            (Err(text), _) => {
                let cause = CauseCode::NotAcceptable.because(text);
                self.end(now, cause, EndedBy::Gateway);
            }
        }
    }
}
