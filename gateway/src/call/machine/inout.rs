//! What a call is told, and what it wants done.

use std::net::SocketAddr;
use std::time::Duration;

use sip::endpoint::{Account, Event as SipEvent};
use sip::{DtmfInfo, ReasonHeader, Replaces, StatusCode, Uri};

use super::{Consulted, Device, Identity, Replacement, Wish};
use crate::call::CallId;
use crate::call::record::CallRecord;
use crate::signaling::message::{ClientMessage, ServerMessage};
use crate::sip_driver::{Leg, ReferTarget};
use crate::worker::{MediaCommand, MediaEvent, OpenCall};

/// What happens to a call.
#[derive(Debug)]
pub enum Input {
    /// A browser says something.
    Browser(Device, ClientMessage),
    /// A browser's session is gone.
    BrowserGone(Device),
    /// The media worker says something.
    Media(MediaEvent),
    /// The media worker cannot be reached: its queue is full, or it is gone.
    MediaOverloaded,
    /// The SIP leg says something.
    Sip(Box<SipEvent>),
    /// The INVITE is out.
    Dialed {
        /// Where it went.
        to: SocketAddr,
        /// How many addresses of its next hop are left.
        others: usize,
    },
    /// The INVITE could not be sent at all.
    DialFailed(String),
    /// The telephone's leg is gone, whether its end was told or not.
    LegLost,
    /// The telephone is to speak with that of another call instead.
    TransferTo(Leg, CallId),
    /// A telephone's call is to take the place of this one's telephone.
    Replaced(Box<Replacement>),
    /// What another call of the browser's says to that; none where it has nothing, or is over.
    Consulted(Wish, Option<Box<Consulted>>),
    /// The same of the other telephone.
    Other(Box<Input>),
    /// The gateway is going down.
    Shutdown,
}

/// An INVITE to be sent.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The Request-URI.
    pub target: Uri,
    /// Where it is sent; a host name is still to be resolved.
    pub next_hop: Uri,
    /// The offer.
    pub body: Vec<u8>,
    /// Who calls, where that is an account.
    pub account: Option<Account>,
    /// Who calls, where that is a user.
    pub identity: Option<Identity>,
    /// It is to another user, through the gateway itself.
    pub internal: bool,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// The call of theirs that it takes the place of (RFC 3891).
    pub replaces: Option<Replaces>,
    /// More headers.
    pub headers: Vec<(String, String)>,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Tell a browser.
    Browser(Device, ServerMessage),
    /// Open the call's media.
    OpenMedia(Box<OpenCall>),
    /// Tell the media worker.
    Media(MediaCommand),
    /// Tell a telephone.
    Phone(LegName, PhoneAction),
    /// Ask another call: with [`Wish::Telephone`], its telephone is to be this call's other one.
    Consult(CallId, Wish),
    /// The other telephone takes the place of the first, which is hung up with this reason.
    TakeOther(ReasonHeader),
    /// The call is over: write its record. Nothing follows.
    Finished(Box<CallRecord>),
}

/// Which of a call's telephones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegName {
    /// The one that the call is with.
    Phone,
    /// The one that is to take its place, or that of the browser.
    Other,
}

impl LegName {
    /// Its place in a pair.
    pub(super) fn index(self) -> usize {
        match self {
            Self::Phone => 0,
            Self::Other => 1,
        }
    }

    /// For the timeline.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Phone => "the telephone",
            Self::Other => "the other telephone",
        }
    }

    /// What the media worker calls it.
    pub(super) fn in_media(self) -> media::Leg {
        match self {
            Self::Phone => media::Leg::Trunk,
            Self::Other => media::Leg::Browser,
        }
    }

    /// The other one.
    pub fn opposite(self) -> Self {
        match self {
            Self::Phone => Self::Other,
            Self::Other => Self::Phone,
        }
    }
}

/// What is to be done with a telephone.
#[derive(Debug)]
pub enum PhoneAction {
    /// Send an INVITE.
    Dial(Box<Dial>),
    /// Send it to the next address of its next hop, and leave the one where it went before.
    DialNextAddress,
    /// Leave it: another follows.
    Abandon(ReasonHeader),
    /// Cancel the INVITE.
    Cancel(ReasonHeader),
    /// Tell the caller that it rings.
    Ring,
    /// Answer the caller, with this SDP.
    Accept(Vec<u8>),
    /// Refuse the caller.
    Reject(StatusCode, ReasonHeader),
    /// Hang up.
    Bye(ReasonHeader),
    /// Offer another session.
    Offer(Vec<u8>),
    /// Answer the session that it offers, or refuse it.
    AnswerOffer(Result<Vec<u8>, StatusCode>),
    /// Send a key by INFO.
    Info(DtmfInfo),
    /// Ask it to call somebody else instead.
    Refer(ReferTarget),
    /// Answer its wish that we call somebody else.
    AnswerRefer(StatusCode),
    /// Say how far that is.
    Notify(StatusCode),
}
