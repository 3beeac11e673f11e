//! Calling a telephone: the ways to it, tried one after the other until one leads somewhere.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;
use sip::Uri;
use sip::endpoint::Failure;

use super::early::EarlyLegs;
use super::legs::{BrowserLeg, TrunkOffer, keying};
use super::{Action, Calling, Dial, Machine, OPEN_DEADLINE, Other, PhoneAction, PhoneLeg, State};
use crate::call::cause::{Cause, CauseCode};
use crate::call::negotiation::codec_name;
use crate::call::record::EndedBy;
use crate::call::route::{Route, Ways};
use crate::call::timeline::Topic;
use crate::settings::{CallerIdentity, Trunk, TrunkDtmf, TrunkSrtp};
use crate::signaling::message::ServerMessage;
use crate::trunks::Outcome;
use crate::worker::OpenCall;

/// While there is another way, one on which nothing at all is heard is left after this time: timer B's 32 s (RFC 3261
/// §17.1.1.2) are more than a caller waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Before that, its names may take so long to be looked up.
const DIALING: Duration = Duration::from_secs(5);

/// How often a call is redirected (RFC 3261 §8.1.3.4) before it is taken for a loop.
const MAX_REDIRECTS: u8 = 5;

/// How far the search for a way is.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The way that is being tried.
    pub(super) route: Route,
    /// The ways that are left.
    others: Ways,
    /// How many of this one's addresses have not been tried.
    addresses: usize,
    /// Until when it must be heard of.
    patience: Instant,
    redirects: u8,
    media: (SocketAddr, SocketAddr),
}

impl Attempt {
    fn has_another(&self) -> bool {
        self.addresses > 0 || !self.others.routes.is_empty()
    }
}

impl Calling {
    /// When something must be done about it.
    pub(super) fn deadline(&self) -> Instant {
        match self.heard || !self.attempt.has_another() {
            true => self.ring_deadline,
            false => self.attempt.patience.min(self.ring_deadline),
        }
    }
}

impl Machine {
    pub(super) fn dial(&mut self, now: Instant, offer: &str) {
        self.timeline
            .note_sdp(now, "the browser offers", offer, &[]);
        let to = self.story.parties.to.clone();
        let ways = match self.environment.routes.find(now, &to, &mut self.rng) {
            Ok(ways) => ways,
            Err(refused) => {
                return self.end(now, refused.code.because(refused.text), EndedBy::Gateway);
            }
        };
        if let Err(cause) = self.permits(&ways) {
            return self.end(now, cause, EndedBy::Gateway);
        }
        if let Err(cause) = self.takes_headers(&ways) {
            return self.end(now, cause, EndedBy::Gateway);
        }
        let Some(first) = ways.routes.front().cloned() else {
            return;
        };
        self.timeline.note(
            now,
            Topic::Call,
            format!("{to:?} leads to {}", first.target),
        );
        self.story.target = Some(first.target.to_string());
        let mut open = match self.understand(now, offer, first.trunk.as_deref()) {
            Ok(open) => open,
            Err(cause) => return self.end(now, cause, EndedBy::Gateway),
        };
        // Only the lab's numbers: nobody's real call is made bad.
        if first.trunk.is_none() && !self.environment.lab_impairments.is_none() {
            let bad = self.environment.lab_impairments;
            open.impairments = bad;
            self.timeline.note(
                now,
                Topic::Call,
                format!(
                    "the network is bad on purpose ([lab] impair_browser, impair_phone): {} with the browser, {} with the telephone",
                    bad.browser, bad.phone
                ),
            );
        }
        self.open_media(now, open, Other::Dial(Box::new(ways)));
    }

    /// Whether every header that the browser sends is one that some trunk on the way takes.
    fn takes_headers(&self, ways: &Ways) -> Result<(), Cause> {
        let taken = |name: &String| ways.routes.iter().any(|route| takes_header(route, name));
        match self.headers.keys().find(|name| !taken(name)) {
            None => Ok(()),
            Some(name) => {
                let why = format!("the header {name} is not among headers_from_browser of [trunk]");
                Err(CauseCode::BadRequest.because(why))
            }
        }
    }

    /// What a trunk is told beside the INVITE's own headers.
    pub(super) fn headers_for(&self, route: &Route) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut put = |name: &str, value: String| headers.push((name.to_owned(), value));
        let trunk = route.trunk.as_deref();
        if let Some(identity) = &self.identity {
            let number = identity.number.as_deref();
            let header = match trunk.map(|trunk| trunk.identity) {
                Some(CallerIdentity::Asserted) => Some("P-Asserted-Identity"),
                Some(CallerIdentity::Preferred) => Some("P-Preferred-Identity"),
                Some(CallerIdentity::From) | None => None,
            };
            if let (Some(header), Some(number)) = (header, number) {
                put(header, format!("<sip:{number}@{}>", route.target.host));
            }
            if identity.withheld && trunk.is_some_and(|trunk| trunk.internal.is_none()) {
                put("Privacy", "id".to_owned());
            }
        }
        for diversion in self.diverted.diversions() {
            put("Diversion", diversion.clone());
        }
        // Whom it was for before is told those who are trusted with who calls (RFC 7044 §10.1).
        if trunk.is_some_and(|trunk| trunk.identity == CallerIdentity::Asserted) {
            for entry in self.diverted.history(&route.target.to_string()) {
                put("History-Info", entry);
            }
        }
        for identity in self.identities_for(route) {
            put("Identity", identity.clone());
        }
        for (name, value) in &self.headers {
            if takes_header(route, name) {
                put(name, value.clone());
            }
        }
        headers
    }

    /// Whether the caller may go there. Users call each other, and everybody may call for help.
    pub(super) fn permits(&self, ways: &Ways) -> Result<(), Cause> {
        let outside = |route: &Route| {
            let trunk = route.trunk.as_ref();
            trunk.is_some_and(|trunk| trunk.internal.is_none())
        };
        let permit = self.identity.as_ref().map(|identity| &identity.permit);
        let permitted = permit.is_none_or(|permit| permit.allows(&ways.number));
        match permitted || ways.help || !ways.routes.iter().any(outside) {
            true => Ok(()),
            false => {
                let why = format!("{:?} is not among them", ways.number);
                Err(CauseCode::Forbidden.because(why))
            }
        }
    }

    /// Reads a browser's first offer and decides how it is answered; the answer's text waits until the worker listens.
    pub(super) fn understand(
        &mut self,
        now: Instant,
        offer: &str,
        trunk: Option<&Trunk>,
    ) -> Result<OpenCall, Cause> {
        let offer = sdp::browser::read_offer(offer)
            .map_err(|refusal| CauseCode::BadRequest.because(refusal))?;
        self.timeline
            .note_reading(now, "the browser's offer is understood", &offer.notes);
        let mut leg = BrowserLeg::new(offer, trunk, self.environment.prefer, &mut self.rng);
        let answer = leg
            .answer(&self.environment, &self.candidates)
            .map_err(|refusal| CauseCode::NotAcceptable.because(refusal))?;
        let open = leg.open(self.id, &answer.audio, self.story.wall, &mut self.rng);
        self.story.browser_codec = Some(codec_name(answer.audio.codec));
        leg.agreed = Some(answer.audio);
        self.browser = Some(leg);
        Ok(open)
    }

    pub(super) fn open_media(&mut self, now: Instant, open: OpenCall, other: Other) {
        self.state = State::Opening {
            other,
            deadline: now + OPEN_DEADLINE,
        };
        self.media_open = true;
        self.actions.push_back(Action::OpenMedia(Box::new(open)));
    }

    /// The worker listens: the browser gets its answer, and the telephone its INVITE or its 200, in one step.
    pub(super) fn opened(&mut self, now: Instant, rtp: SocketAddr, rtcp: SocketAddr) {
        self.rtp[0] = Some((rtp, rtcp));
        let State::Opening { other, .. } = &mut self.state else {
            return;
        };
        let other = match other {
            Other::Dial(ways) => Other::Dial(ways.clone()),
            Other::Caller(called) => Other::Caller(called.clone()),
        };
        let Some(leg) = self.browser.as_ref() else {
            return;
        };
        let answer = match leg.answer(&self.environment, &self.candidates) {
            Ok(answer) => answer,
            Err(refusal) => {
                return self.end(
                    now,
                    CauseCode::NotAcceptable.because(refusal),
                    EndedBy::Gateway,
                );
            }
        };
        self.timeline
            .note_sdp(now, "the browser is answered", &answer.text, &answer.notes);
        self.tell(ServerMessage::Answer {
            call: self.name.clone(),
            sdp: answer.text,
            provisional: matches!(other, Other::Dial(_)),
        });
        match other {
            Other::Dial(ways) => self.begin_dialling(now, *ways, (rtp, rtcp)),
            Other::Caller(called) => self.answer_caller(now, *called, rtp, rtcp),
        }
    }

    /// What the telephone of that trunk is offered, or answered with.
    pub(super) fn trunk_options(
        &mut self,
        trunk: Option<&Trunk>,
        rtp: SocketAddr,
        rtcp: SocketAddr,
    ) -> TrunkOffer {
        let dtmf = trunk.map_or(TrunkDtmf::Auto, |trunk| trunk.dtmf);
        let srtp = trunk.map_or(TrunkSrtp::Off, |trunk| trunk.srtp);
        let fingerprint = &self.environment.fingerprint;
        let keying = keying(srtp, fingerprint, &mut self.rng);
        let options = sdp::trunk::OfferOptions {
            dtmf: matches!(dtmf, TrunkDtmf::Auto | TrunkDtmf::Rfc4733),
            rtcp_port: Some(rtcp.port()),
            codecs: self.trunk_codecs(),
            ptime_ms: u32::try_from(self.environment.ptime.as_millis()).unwrap_or(20),
            session_id: self.rng.random::<u64>() >> 2,
            keying,
            profile: trunk.map(|trunk| trunk.profile.clone()).unwrap_or_default(),
            ..sdp::trunk::OfferOptions::new(
                trunk.and_then(|trunk| trunk.internal).unwrap_or(rtp.ip()),
                rtp.port(),
            )
        };
        TrunkOffer {
            options,
            behind_nat: trunk.is_some_and(|trunk| trunk.behind_nat),
            dtmf,
        }
    }

    fn begin_dialling(&mut self, now: Instant, ways: Ways, media: (SocketAddr, SocketAddr)) {
        let until = now + self.environment.ring_timeout;
        let none = CauseCode::Internal.because("there was no way to try");
        if let Err(cause) = self.invite_next(now, ways, media, (until, 0), none) {
            self.end(now, cause, EndedBy::Gateway);
        }
    }

    /// Sends the INVITE on the next way that takes it; with none, the cause is the last one's.
    fn invite_next(
        &mut self,
        now: Instant,
        mut ways: Ways,
        media: (SocketAddr, SocketAddr),
        (ring_deadline, redirects): (Instant, u8),
        mut cause: Cause,
    ) -> Result<(), Cause> {
        while let Some(route) = ways.routes.pop_front() {
            let seat = match route.id {
                None => None,
                Some(id) => match self.environment.routes.trunks.begin(now, id, ways.help) {
                    Ok(seat) => Some(seat),
                    Err(full) => {
                        let text = format!("{} is passed over: {full}", route.next_hop);
                        self.timeline.note(now, Topic::Sip, text);
                        cause = CauseCode::Overloaded.because(full);
                        continue;
                    }
                },
            };
            self.seat = seat;
            let attempt = Attempt {
                route,
                others: ways,
                addresses: 0,
                patience: now + DIALING,
                redirects,
                media,
            };
            self.invite(now, attempt, ring_deadline);
            return Ok(());
        }
        Err(cause)
    }

    fn invite(&mut self, now: Instant, attempt: Attempt, ring_deadline: Instant) {
        let (rtp, rtcp) = attempt.media;
        let route = &attempt.route;
        let trunk = self.trunk_options(route.trunk.as_deref(), rtp, rtcp);
        let Some(leg) = self.browser.as_ref() else {
            return;
        };
        let (offer, notes) = sdp::trunk::offer(&leg.offer, &trunk.options);
        self.timeline
            .note_sdp(now, "the telephone is offered", &offer, &notes);
        self.timeline.note(
            now,
            Topic::Sip,
            format!("INVITE {} by way of {}", route.target, route.next_hop),
        );
        self.story.target = Some(route.target.to_string());
        self.story.trunk = route
            .id
            .and(route.trunk.as_ref().map(|trunk| trunk.name.clone()));
        let internal = |trunk: &std::sync::Arc<Trunk>| trunk.internal.is_some();
        let dial = Box::new(Dial {
            target: route.target.clone(),
            next_hop: route.next_hop.clone(),
            account: route.account,
            identity: self.identity.clone(),
            internal: route.trunk.as_ref().is_some_and(internal),
            body: offer.into_bytes(),
            ring_timeout: self.environment.ring_timeout,
            replaces: None,
            headers: self.headers_for(route),
        });
        self.phone_does(PhoneAction::Dial(dial));
        self.state = State::Calling(Box::new(Calling {
            trunk: Box::new(trunk),
            attempt: Box::new(attempt),
            ring_deadline,
            heard: false,
            ringing: false,
            early: None,
            forks: EarlyLegs::default(),
        }));
    }

    /// The INVITE is out, and its next hop has so many addresses more.
    pub(super) fn dialed(&mut self, now: Instant, to: SocketAddr, others: usize) {
        let text = format!("the INVITE is out, to {to}");
        self.timeline.note(now, Topic::Sip, text);
        if let State::Calling(calling) = &mut self.state {
            calling.attempt.addresses = others;
            calling.attempt.patience = now + PATIENCE;
        }
    }

    /// Nothing has been heard for as long as there is patience.
    pub(super) fn give_way_up(&mut self, now: Instant) {
        self.timeline
            .note(now, Topic::Sip, "nothing is heard: on to the next way");
        let reason = CauseCode::Unreachable.reason();
        self.phone_does(PhoneAction::Abandon(reason));
        let cause = CauseCode::Unreachable.cause();
        self.try_another(now, Outcome::Failed(None), cause, EndedBy::Gateway);
    }

    /// An INVITE came to nothing: another way, if that may help and there is one.
    pub(super) fn way_failed(
        &mut self,
        now: Instant,
        failure: &Failure,
        cause: Cause,
        by: EndedBy,
    ) {
        if !matches!(self.state, State::Calling(_)) {
            return self.sip_failed(now, cause, by);
        }
        // One that has rung is not called again by another way: somebody has heard it.
        let heard = matches!(&self.state, State::Calling(calling) if calling.ringing || calling.early.is_some());
        if let Some(outcome) = moves_on(failure) {
            if heard {
                return self.sip_failed(now, cause, by);
            }
            return self.try_another(now, outcome, cause, by);
        }
        if let Failure::Status { contacts, .. } = failure {
            self.trunk_served(now);
            if !contacts.is_empty() {
                return self.redirected(now, contacts, cause, by);
            }
        }
        self.sip_failed(now, cause, by);
    }

    /// The trunk does what it is there for.
    pub(super) fn trunk_served(&self, now: Instant) {
        self.seat_served(now, self.seat.as_ref());
    }

    /// An INVITE could not be sent at all.
    pub(super) fn not_sent(&mut self, now: Instant, why: String) {
        let cause = CauseCode::Unreachable.because(why);
        match &self.state {
            State::Calling(_) => {
                // It was never asked: that says nothing of it.
                if let Some(seat) = self.seat.take() {
                    seat.withdraw(now);
                }
                self.try_another(now, Outcome::Failed(None), cause, EndedBy::Gateway);
            }
            _ => self.sip_failed(now, cause, EndedBy::Gateway),
        }
    }

    fn try_another(&mut self, now: Instant, outcome: Outcome, cause: Cause, by: EndedBy) {
        let State::Calling(calling) = &mut self.state else {
            return;
        };
        calling.heard = false;
        let attempt = &mut calling.attempt;
        if attempt.addresses > 0 {
            attempt.addresses -= 1;
            attempt.patience = now + PATIENCE;
            self.phone_does(PhoneAction::DialNextAddress);
            return;
        }
        if let Some(seat) = self.seat.take() {
            let trunks = &self.environment.routes.trunks;
            trunks.report(now, seat.trunk(), outcome);
        }
        let taken = Ways {
            routes: std::mem::take(&mut attempt.others.routes),
            ..attempt.others.clone()
        };
        let (media, rest) = (attempt.media, (calling.ring_deadline, attempt.redirects));
        if let Err(cause) = self.invite_next(now, taken, media, rest, cause) {
            self.sip_failed(now, cause, by);
        }
    }

    /// A trunk says where else the call is to go: there, if the caller may.
    fn redirected(&mut self, now: Instant, contacts: &[Uri], mut cause: Cause, by: EndedBy) {
        let State::Calling(calling) = &mut self.state else {
            return;
        };
        let Attempt {
            route,
            others,
            redirects,
            media,
            ..
        } = &*calling.attempt;
        let (mut routes, mut refused) = (VecDeque::new(), None);
        let (route, others, media) = (route.clone(), others.clone(), *media);
        let (redirects, ring_deadline) = (*redirects + 1, calling.ring_deadline);
        for contact in contacts {
            let found = self
                .environment
                .routes
                .redirect(now, &route, contact, &mut self.rng);
            let found = found.map_err(|no| no.code.because(no.text));
            match found.and_then(|ways| self.permits(&ways).map(|()| ways)) {
                Ok(ways) => routes.extend(ways.routes),
                Err(no) => refused = Some((contact, no)),
            }
        }
        if let Some((contact, no)) = refused {
            let text = format!("redirected to {contact}, which is not called: {}", no.text);
            self.timeline.note(now, Topic::Sip, text);
            cause = no;
        }
        if redirects > MAX_REDIRECTS {
            let cause = CauseCode::TrunkError.because("it was redirected too often");
            return self.sip_failed(now, cause, by);
        }
        self.seat = None;
        let ways = Ways { routes, ..others };
        if let Err(cause) = self.invite_next(now, ways, media, (ring_deadline, redirects), cause) {
            self.sip_failed(now, cause, by);
        }
    }

    /// The codec that the other side was answered with goes first, so that it can pass straight through.
    fn trunk_codecs(&self) -> Vec<sdp::Codec> {
        let browser = self.browser.as_ref();
        let browser = browser.and_then(|leg| Some(leg.agreed.as_ref()?.codec));
        let is_a_law = |phone: &PhoneLeg| phone.media.format.codec == media::Codec::Pcma;
        let a_law = match (browser, &self.state) {
            (Some(codec), _) => codec == sdp::Codec::Pcma,
            // What he will be answered with is what the other takes.
            (None, State::Forwarding { called, .. }) if self.phones[1].is_none() => {
                let offer = called.offer.as_ref();
                offer.is_some_and(prefers_a_law)
            }
            (None, _) => self.phones.iter().flatten().any(is_a_law),
        };
        match a_law {
            true => vec![sdp::Codec::Pcma, sdp::Codec::Pcmu],
            false => vec![sdp::Codec::Pcmu, sdp::Codec::Pcma],
        }
    }
}

/// Whether PCMA stands before PCMU in a telephone's offer.
fn prefers_a_law(offer: &sdp::trunk::Offer) -> bool {
    let place = |name: &str| {
        let mut formats = offer.audio.formats.iter();
        formats.position(|format| format.encoding.eq_ignore_ascii_case(name))
    };
    place("PCMA").is_some_and(|a_law| place("PCMU").is_none_or(|mu_law| a_law < mu_law))
}

fn takes_header(route: &Route, name: &str) -> bool {
    let trunk = route.trunk.as_ref();
    let known = |trunk: &std::sync::Arc<Trunk>| {
        let mut names = trunk.headers_from_browser.iter();
        names.any(|one| one.eq_ignore_ascii_case(name))
    };
    trunk.is_some_and(known)
}

/// What a failure says of the trunk, where another way may do better (RFC 3261 §21.5.4, RFC 3263 §4.3).
pub(super) fn moves_on(failure: &Failure) -> Option<Outcome> {
    match failure {
        Failure::Timeout | Failure::Transport(_) => Some(Outcome::Failed(None)),
        // The account is at fault, not the call.
        Failure::Unauthorized(_) => Some(Outcome::Served),
        Failure::Status {
            status,
            retry_after,
            ..
        } => match status.code() {
            503 => {
                let rest = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
                Some(Outcome::Failed(rest))
            }
            408 | 430 | 500 | 502 | 504 => Some(Outcome::Failed(None)),
            _ => None,
        },
        Failure::NoAnswer | Failure::Cancelled => None,
    }
}
