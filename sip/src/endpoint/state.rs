//! What a call is at each moment, and what each of our requests is for.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use super::{
    Account, EndedBy, Failure, Flow, Probe, Session, Transmit,
    early::Early,
    info::Infos,
    modify::{Asked, Change, Reinvite},
    refer::Referrals,
    reliable::Reliable,
    session_timer::SessionTimer,
};
use crate::{
    dialog::Dialog,
    digest::Authorized,
    headers::ReasonHeader,
    message::Request,
    method::StatusCode,
    transaction::{ClientId, Retransmit, ServerId},
};

/// A call.
#[derive(Debug)]
pub(super) enum Call {
    /// Ours, without a final response (§13.2).
    Calling(Calling),
    /// Theirs, without a final response from us (§13.3).
    Ringing(Box<Ringing>),
    /// A confirmed dialog. A callee's may still wait for the ACK.
    Up(Up),
    /// Our BYE is out (§15.1.1).
    Ending(Ending),
}

/// Our INVITE is out.
#[derive(Debug)]
pub(super) struct Calling {
    pub(super) transaction: ClientId,
    pub(super) local_tag: String,
    pub(super) phase: Phase,
    pub(super) early: Vec<Early>,
    /// How many have been told apart.
    pub(super) forks: u32,
    /// An offer of theirs that waits for our answer.
    pub(super) change: Option<Box<Asked>>,
    pub(super) last_progress: Option<Progress>,
}

/// How far an INVITE of ours is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing has come back.
    Calling { ring_until: Instant },
    /// A provisional response came.
    Proceeding { ring_until: Instant },
    /// Given up before anything came back: CANCEL must wait (§9.1). Timer B bounds the wait.
    CancelWanted {
        why: Failure,
        reason: Option<ReasonHeader>,
    },
    /// CANCEL is out; what does not come by then is not coming (§9.1).
    Cancelling { why: Failure, until: Instant },
}

/// The last provisional response, to recognise its repetition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) remote_tag: Option<String>,
    pub(super) status: StatusCode,
    pub(super) body: Option<Vec<u8>>,
}

/// Their INVITE waits for us.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) transaction: ServerId,
    pub(super) request: Request,
    pub(super) flow: Flow,
    pub(super) dialog: Dialog,
    /// When it is refused if nobody has answered.
    pub(super) until: Instant,
    /// The last provisional response and when to repeat it (§13.3.1.1).
    pub(super) repeat: Option<Repeat>,
    /// The number of the last reliable one (RFC 3262 §3).
    pub(super) rseq: Option<u32>,
    /// The one that waits for its PRACK.
    pub(super) reliable: Option<Reliable>,
}

/// A provisional response to repeat every minute, so that proxies do not give up on the call.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) at: Instant,
    pub(super) status: StatusCode,
    pub(super) body: Option<Vec<u8>>,
}

/// The call is up.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) dialog: Dialog,
    pub(super) local_sdp: Vec<u8>,
    pub(super) remote_sdp: Vec<u8>,
    pub(super) ack: AckWait,
    pub(super) infos: Infos,
    /// Transfers, asked for by them and by us.
    pub(super) referrals: Referrals,
    /// An offer on its way to being answered.
    pub(super) change: Change,
    /// An offer of ours that waits for its turn.
    pub(super) wanted: Option<Vec<u8>>,
    /// When it is refreshed (RFC 4028).
    pub(super) timer: Option<SessionTimer>,
    /// The longest of the shortest intervals that were asked of us, in seconds.
    pub(super) min_se: Option<u32>,
    /// The PRACK that is still to come, of a provisional response before our answer.
    pub(super) prack: Option<(u32, u32)>,
}

/// Whether a 2xx of ours still waits for its ACK.
#[derive(Debug)]
pub(super) enum AckWait {
    Confirmed,
    Waiting(Box<Unacknowledged>),
}

/// A 2xx of ours, repeated until the ACK (§13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacknowledged {
    /// The CSeq number of the INVITE.
    pub(super) number: u32,
    pub(super) response: Transmit,
    pub(super) repeat: Retransmit,
    pub(super) until: Instant,
    /// The call's first INVITE, not a re-INVITE.
    pub(super) first: bool,
    /// The ACK answers an offer of ours.
    pub(super) answers: bool,
    /// A BYE that waits for the ACK (§15).
    pub(super) then_bye: Option<PendingBye>,
}

#[derive(Debug)]
pub(super) struct PendingBye {
    pub(super) reason: Option<ReasonHeader>,
}

/// Our BYE waits for its answer.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) dialog: Dialog,
    pub(super) reason: Option<ReasonHeader>,
    /// What to report when it is answered; nothing if the application knows already.
    pub(super) report: Option<EndedBy>,
    /// Where the BYE went.
    pub(super) flow: Flow,
    /// It has been sent a second time, by another way.
    pub(super) retried: bool,
}

/// What a request of ours is for.
#[derive(Debug)]
pub(super) enum ClientUse {
    Invite(Box<InviteUse>),
    Cancel,
    /// A call's BYE, or with no session the BYE of a fork or of a 200 that crossed our CANCEL.
    Bye(Option<Session>),
    /// The acknowledgement of a provisional response.
    Prack,
    /// A key of a call.
    Info(Session),
    /// A transfer.
    Refer(Session),
    /// Word of how far one is that they asked for.
    Notify(Session),
    /// A change of a call's session.
    Reinvite(Box<Reinvite>),
    /// An account's registration.
    Register(Account),
    /// The question whether somebody is there.
    Probe(Probe),
}

/// Outlives the call, for 2xx that are repeated or come from forks (§13.2.2.4).
#[derive(Debug)]
pub(super) struct InviteUse {
    pub(super) session: Session,
    pub(super) request: Request,
    pub(super) flow: Flow,
    /// Where to go if the TCP connection that the size asked for cannot be had (§18.1.1).
    pub(super) fallback: Option<Flow>,
    pub(super) acks: Vec<Acknowledged>,
    /// Whose credentials answer a challenge.
    pub(super) account: Option<Account>,
    /// It carries credentials.
    pub(super) authorized: Authorized,
    /// How often it was sent again for a challenge.
    pub(super) challenges: u8,
}

/// The ACK of a 2xx, to be sent again whenever the 2xx comes again.
#[derive(Debug)]
pub(super) struct Acknowledged {
    pub(super) remote_tag: String,
    pub(super) ack: Transmit,
}

impl Call {
    fn local_tag(&self) -> &str {
        match self {
            Call::Calling(calling) => &calling.local_tag,
            Call::Ringing(ringing) => ringing.dialog.local_tag(),
            Call::Up(up) => up.dialog.local_tag(),
            Call::Ending(ending) => ending.dialog.local_tag(),
        }
    }

    fn due(&self) -> Option<Instant> {
        match self {
            Call::Calling(calling) => match calling.phase {
                Phase::Calling { ring_until: at }
                | Phase::Proceeding { ring_until: at }
                | Phase::Cancelling { until: at, .. } => Some(at),
                Phase::CancelWanted { .. } => None,
            },
            Call::Ringing(ringing) => {
                let repeat = ringing.repeat.as_ref().map(|repeat| repeat.at);
                let reliable = ringing.reliable.as_ref();
                let reliable = reliable.map(|waiting| waiting.repeat.at.min(waiting.until));
                [Some(ringing.until), repeat, reliable]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Call::Up(up) => {
                let ack = match &up.ack {
                    AckWait::Waiting(waiting) => Some(waiting.repeat.at.min(waiting.until)),
                    AckWait::Confirmed => None,
                };
                let timer = up.timer.map(SessionTimer::due);
                [ack, up.change.due(), timer].into_iter().flatten().min()
            }
            Call::Ending(_) => None,
        }
    }
}

/// All calls, found by session and by our tag, with their deadlines.
#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u64,
    calls: HashMap<Session, Entry>,
    /// Our tag names the dialog: it is 128 random bits. Call-ID and remote tag are then compared.
    by_local_tag: HashMap<String, Session>,
    deadlines: BTreeSet<(Instant, Session)>,
}

#[derive(Debug)]
struct Entry {
    call: Call,
    due: Option<Instant>,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// A handle for a call about to be inserted.
    pub(super) fn fresh(&mut self) -> Session {
        self.last += 1;
        Session(self.last)
    }

    /// Puts a call in, or puts its next state in its place.
    pub(super) fn put(&mut self, session: Session, call: Call) {
        self.by_local_tag
            .insert(call.local_tag().to_owned(), session);
        let due = self.calls.get(&session).and_then(|entry| entry.due);
        self.calls.insert(session, Entry { call, due });
        self.touch(session);
    }

    pub(super) fn get(&self, session: Session) -> Option<&Call> {
        self.calls.get(&session).map(|entry| &entry.call)
    }

    /// The call, to be changed; [`Calls::touch`] must follow if its deadline may have moved.
    pub(super) fn get_mut(&mut self, session: Session) -> Option<&mut Call> {
        self.calls.get_mut(&session).map(|entry| &mut entry.call)
    }

    /// Takes a call out: it is over, or its next state is put back.
    pub(super) fn take(&mut self, session: Session) -> Option<Call> {
        let entry = self.calls.remove(&session)?;
        self.by_local_tag.remove(entry.call.local_tag());
        if let Some(at) = entry.due {
            self.deadlines.remove(&(at, session));
        }
        Some(entry.call)
    }

    pub(super) fn by_local_tag(&self, tag: &str) -> Option<Session> {
        self.by_local_tag.get(tag).copied()
    }

    pub(super) fn touch(&mut self, session: Session) {
        if let Some(entry) = self.calls.get_mut(&session) {
            let due = entry.call.due();
            if let Some(before) = std::mem::replace(&mut entry.due, due) {
                self.deadlines.remove(&(before, session));
            }
            if let Some(at) = due {
                self.deadlines.insert((at, session));
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn due(&self, now: Instant) -> Vec<Session> {
        self.deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, session)| *session)
            .collect()
    }
}
