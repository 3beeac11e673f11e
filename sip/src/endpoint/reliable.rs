//! Provisional responses that are acknowledged (RFC 3262).

use std::time::Instant;

use rand_chacha::rand_core::RngCore;

use super::{
    Endpoint, Flow, Session, Transmit,
    build::put,
    state::{Call, ClientUse},
};
use crate::{
    message::{Request, Response},
    method::{Method, StatusCode},
    transaction::Retransmit,
};

/// The option tag.
pub(super) const RELIABLE: &str = "100rel";

/// A provisional response of ours that waits for its PRACK (§3).
#[derive(Debug)]
pub(super) struct Reliable {
    number: u32,
    /// The CSeq number of the INVITE.
    invite: u32,
    response: Transmit,
    pub(super) repeat: Retransmit,
    pub(super) until: Instant,
}

impl Reliable {
    /// What its PRACK says: the response's number, and that of the INVITE.
    pub(super) fn acknowledged_by(&self) -> (u32, u32) {
        (self.number, self.invite)
    }
}

/// Whether a PRACK says that (§7.2).
fn is_rack(prack: &Request, (number, invite): (u32, u32)) -> bool {
    let value = prack.headers.get("RAck").unwrap_or_default();
    let mut words = value.split_ascii_whitespace();
    let mut next = || words.next().and_then(|word| word.parse::<u32>().ok());
    next() == Some(number) && next() == Some(invite) && words.next() == Some("INVITE")
}

/// Whether a request or response requires it.
fn requires(tags: &[&str]) -> bool {
    tags.iter().any(|tag| tag.eq_ignore_ascii_case(RELIABLE))
}

impl Endpoint {
    /// Acknowledges a provisional response of theirs, if it wants that, and the next in order it is (§4).
    pub(super) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        session: Session,
        response: &Response,
    ) {
        if !requires(&response.headers.require()) {
            return;
        }
        let number = response.headers.get("RSeq").map(str::trim);
        let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) else {
            return;
        };
        let Ok(invite) = response.headers.cseq() else {
            return;
        };
        let Ok(to) = response.headers.to() else {
            return;
        };
        let Some(Call::Calling(calling)) = self.calls.get_mut(session) else {
            return;
        };
        let early = calling
            .early
            .iter_mut()
            .find(|early| Some(early.dialog.remote_tag()) == to.tag());
        let Some(early) = early else {
            return;
        };
        if !early.dialog.take_rseq(number) {
            return;
        }
        early.take_answer(response);
        let early = &mut early.dialog;
        let flow = early.next_hop();
        let mut prack = early.request(Method::Prack);
        let acknowledged = format!("{number} {} INVITE", invite.number);
        put(&mut prack.headers, "RAck", acknowledged);
        put(&mut prack.headers, "User-Agent", &self.config.user_agent);
        self.stamp_via(&mut prack, flow.transport);
        if let Some(id) = self.layer.begin_client(now, flow, prack) {
            self.clients.insert(id, ClientUse::Prack);
        }
    }

    /// Makes a provisional response reliable where the caller requires that. False where one before it still waits: it must
    /// not be sent then (§3).
    pub(super) fn make_reliable(
        &mut self,
        now: Instant,
        session: Session,
        response: &mut Response,
    ) -> bool {
        let first = 1 + (self.rng.next_u32() >> 2);
        let timers = self.config.timers;
        let Some(Call::Ringing(ringing)) = self.calls.get_mut(session) else {
            return false;
        };
        if !requires(&ringing.request.headers.require()) {
            return true;
        }
        if ringing.reliable.is_some() {
            return false;
        }
        let number = ringing.rseq.map_or(first, |last| last + 1);
        ringing.rseq = Some(number);
        put(&mut response.headers, "Require", RELIABLE);
        put(&mut response.headers, "RSeq", number);
        ringing.reliable = Some(Reliable {
            number,
            invite: ringing.request.headers.cseq().map_or(1, |cseq| cseq.number),
            response: Transmit {
                flow: ringing.flow,
                bytes: response.to_bytes(),
                may_connect: false,
            },
            repeat: Retransmit::after(now, timers.t1),
            until: now + timers.transaction_timeout(),
        });
        true
    }

    /// A PRACK: of the response that waits, or of nothing (§3).
    pub(super) fn handle_prack(
        &mut self,
        now: Instant,
        flow: Flow,
        session: Session,
        request: &Request,
    ) {
        let waiting = match self.calls.get_mut(session) {
            Some(Call::Ringing(ringing)) => {
                let number = ringing.reliable.as_ref().map(Reliable::acknowledged_by);
                number.filter(|wanted| is_rack(request, *wanted))
            }
            // It crossed our final answer.
            Some(Call::Up(up)) => up.prack.filter(|wanted| is_rack(request, *wanted)),
            _ => None,
        };
        let status = match waiting {
            Some(_) => StatusCode::OK,
            None => StatusCode::CALL_DOES_NOT_EXIST,
        };
        match self.calls.get_mut(session) {
            Some(Call::Ringing(ringing)) if waiting.is_some() => ringing.reliable = None,
            Some(Call::Up(up)) if waiting.is_some() => up.prack = None,
            _ => {}
        }
        self.calls.touch(session);
        self.answer(now, flow, request, status);
    }

    /// The response once more, or the end of waiting for its PRACK: the call is refused (§3).
    pub(super) fn fire_reliable(&mut self, now: Instant, session: Session) {
        let Some(Call::Ringing(ringing)) = self.calls.get_mut(session) else {
            return;
        };
        let Some(waiting) = &mut ringing.reliable else {
            return;
        };
        if now >= waiting.until {
            let status = StatusCode::SERVER_TIMEOUT;
            return self.cancel_ringing(now, session, status, None);
        }
        if now >= waiting.repeat.at {
            // It doubles without a ceiling.
            waiting.repeat = waiting
                .repeat
                .doubled(now, self.config.timers.transaction_timeout());
            self.transmits.push_back(waiting.response.clone());
            self.calls.touch(session);
        }
    }
}
