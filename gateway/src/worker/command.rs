//! What the two planes say to each other: [`MediaCommand`] down, [`MediaEvent`] up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use media::{Digit, DtmfWay, Leg, RtpFormat, StreamStart};
use peer::{Fingerprint, IceCredentials, Path, PeerFailure, SessionFailure};
use sdp::trunk::Srtp;
use serde::Serialize;
use tokio::sync::mpsc;

use super::impaired::Impairments;
use super::one_way::OneWay;
use super::streams::Incoming;
use crate::call::CallId;

/// How many events of one call may wait for its task; more digits than that are dropped, an end and whatever its task waits
/// for is kept until there is room.
pub const EVENT_QUEUE: usize = 64;

/// To a media worker.
#[derive(Debug)]
pub enum MediaCommand {
    /// Makes a call's browser leg and the ports of its telephone leg.
    Open(Box<OpenCall>, mpsc::Sender<Box<MediaEvent>>),
    /// Makes the ports of another telephone, whose stream of ours begins there; answered by [`MediaEvent::Added`] or
    /// [`MediaEvent::NotAdded`].
    AddTelephone(CallId, StreamStart),
    /// Joins a telephone's media, early or final; again when it changes. On [`Leg::Browser`] it is the other telephone's,
    /// which takes the browser's place.
    Bridge(CallId, Leg, Box<TrunkMedia>),
    /// The telephone has answered: from now on its silence is a fault.
    Answered(CallId),
    /// Sends a digit to a side.
    Dtmf(CallId, Leg, Digit, Duration),
    /// New ICE credentials on both sides (RFC 8445 §2.4); DTLS and SRTP live on.
    RestartIce(CallId, IceCredentials, IceCredentials),
    /// Ends the call's media; answered by [`MediaEvent::Closed`].
    Close(CallId),
    /// Takes a browser's connection.
    TakeStream(Box<Incoming>),
    /// A datagram that another worker's TURN client has for a call of this one's.
    FromRelay(Path, Box<[u8]>),
    /// A datagram that another worker's call has for a TURN client of this one's.
    ToRelay(Path, Box<[u8]>),
    /// Ends the worker.
    Stop,
    /// Makes the next packet or timer of this call panic: how the tests show that others live on.
    #[doc(hidden)]
    Sabotage(CallId),
    /// Panics outside of any call, which ends the worker itself.
    #[cfg(test)]
    SabotageWorker,
}

/// What a call needs from its worker at first.
#[derive(Clone, Debug)]
pub struct OpenCall {
    /// The call.
    pub call: CallId,
    /// The browser; none where two telephones are to speak.
    pub browser: Option<OpenBrowser>,
    /// Where our stream towards the browser begins.
    pub browser_start: StreamStart,
    /// Where our stream towards the telephone begins.
    pub trunk_start: StreamStart,
    /// Our RTCP CNAME (RFC 7022).
    pub cname: String,
    /// Randomness for the times of RTCP reports (RFC 3550 §6.2).
    pub seed: u64,
    /// The NTP time at which the call began, for sender reports.
    pub ntp_start: u64,
    /// How bad the network of a test call is meant to be.
    pub impairments: Impairments,
}

/// What is known of a call's browser.
#[derive(Clone, Debug)]
pub struct OpenBrowser {
    /// Our ICE credentials.
    pub local: IceCredentials,
    /// The browser's.
    pub remote: IceCredentials,
    /// The certificate that it announced.
    pub fingerprint: Fingerprint,
    /// The format towards it.
    pub format: RtpFormat,
}

/// The telephone's media, as its SDP has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkMedia {
    /// The formats.
    pub format: RtpFormat,
    /// Where its RTP goes, and where ours may come from.
    pub rtp: SocketAddr,
    /// Where its RTCP goes.
    pub rtcp: Option<SocketAddr>,
    /// RTCP shares RTP's port (RFC 5761).
    pub rtcp_mux: bool,
    /// How both are protected.
    pub srtp: Srtp,
    /// Whether it wants to hear us (not `sendonly` or `inactive`).
    pub send: bool,
    /// Whether it is to be heard (not `recvonly` or `inactive`).
    pub receive: bool,
    /// Whether RTP may come from another address than announced.
    pub behind_nat: bool,
    /// How keys cross.
    pub dtmf: DtmfWay,
    /// Whether it is told how its voice arrives (RTCP XR, RFC 3611).
    pub voip_metrics: bool,
}

impl TrunkMedia {
    /// The other description leads to the same address with the same keys: what was learned of it holds.
    pub fn is_as_reached(&self, other: &TrunkMedia) -> bool {
        self.rtp == other.rtp
            && self.rtcp == other.rtcp
            && self.rtcp_mux == other.rtcp_mux
            && self.srtp == other.srtp
    }
}

#[cfg(test)]
impl TrunkMedia {
    /// A telephone that answers with nothing special.
    pub(super) fn usual(rtp: SocketAddr, codec: media::Codec) -> Self {
        Self {
            format: RtpFormat::usual(codec),
            rtp,
            rtcp: None,
            rtcp_mux: false,
            srtp: Srtp::default(),
            send: true,
            receive: true,
            behind_nat: false,
            dtmf: DtmfWay::Events,
            voip_metrics: true,
        }
    }
}

/// From a media worker, about one call.
#[derive(Clone, Debug)]
pub enum MediaEvent {
    /// The telephone leg's ports are bound.
    Opened {
        /// Where the telephone sends RTP.
        rtp: SocketAddr,
        /// Where it sends RTCP.
        rtcp: SocketAddr,
    },
    /// The call could not be opened.
    Refused(OpenError),
    /// The ports of the other telephone are bound.
    Added {
        /// Where it sends RTP.
        rtp: SocketAddr,
        /// Where it sends RTCP.
        rtcp: SocketAddr,
    },
    /// There are none for it.
    NotAdded(OpenError),
    /// The other telephone is in the browser's place: what was counted until then.
    BrowserLeft(Box<MediaReport>),
    /// The browser nominated a path (RFC 8445 §8.1.1).
    PathSelected(peer::Path),
    /// DTLS is up: media flows.
    Connected {
        /// The SRTP protection profile (RFC 5764 §4.1.2).
        profile: String,
    },
    /// The first packet of a side's audio.
    FirstPacket(Leg),
    /// A side pressed a key. A browser's are told only where they do not cross in the media.
    Dtmf(Leg, Digit, Duration),
    /// The browser's path cannot be used.
    PeerFailed(PeerFailure),
    /// The browser stopped consenting (RFC 7675).
    ConsentLost,
    /// The browser closed its media (DTLS close_notify).
    PeerClosed,
    /// The telephone's audio comes from another address than before, and ours goes there.
    Moved {
        /// Which telephone's.
        leg: Leg,
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// DTLS with the telephone is up: its media flows.
    TrunkConnected {
        /// Which telephone.
        leg: Leg,
        /// The SRTP protection profile (RFC 5764 §4.1.2).
        profile: String,
    },
    /// There will be no keys for SRTP with the telephone.
    TrunkFailed(Leg, SessionFailure),
    /// One side does not hear the other, or, with none, both do again.
    OneWay(Option<OneWay>),
    /// Nothing came from that telephone for that long.
    Silent(Leg, Duration),
    /// The call's media code panicked; its media is gone.
    Panicked,
    /// The media is closed, ports and all.
    Closed(Box<MediaReport>),
}

/// Why a worker refuses a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Every port of the worker is in use or resting.
    #[error("no free RTP port on {0}: widen [media] rtp_ports")]
    NoPort(IpAddr),
    /// The operating system refused a socket.
    #[error("no socket for RTP: {0}")]
    Socket(String),
    /// The browser's transport could not be made.
    #[error("the browser's transport: {0}")]
    Peer(String),
}

/// What was counted on both legs of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MediaReport {
    /// The browser's side.
    pub browser: LegReport,
    /// The telephone's side.
    pub phone: LegReport,
    /// What the telephone heard of the browser; none where that said nothing.
    pub to_phone: Option<Score>,
    /// What the browser heard of the telephone.
    pub to_browser: Option<Score>,
}

/// How one side heard the other, reckoned by the E-model (ITU-T G.107) from what was counted and reported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The mean opinion score, 1 to 4.5.
    pub mos: f64,
    /// The rating factor, 0 to 93.2.
    pub r: f64,
    /// Audio that was lost on the way and not rebuilt, in percent.
    pub lost_percent: f64,
    /// How much longer the losses are in a row than by chance; 1 is by chance.
    pub burst_ratio: f64,
    /// From mouth to ear, in milliseconds; what devices add is an estimate.
    pub delay_ms: u64,
}

/// What was counted on one leg.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LegReport {
    /// RTP packets that came.
    pub packets_in: u64,
    /// RTP packets that went.
    pub packets_out: u64,
    /// Packets that were sent to us and never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came late, but in time to be played.
    pub reordered: u64,
    /// Packets that could not be used: malformed, or from the wrong source.
    pub bad: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// Round trip by RTCP, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Audio that was made up for what was lost, in milliseconds.
    pub concealed_ms: u64,
    /// The level of the voice that came, in dBm0; none where there was none, or it was not decoded.
    pub level_dbm0: Option<f64>,
    /// The loss that this side last reported of our packets, in percent.
    pub reported_loss_percent: f64,
    /// The listening score that this side gave our packets (RTCP XR, RFC 3611 §4.7.5).
    pub reported_mos: Option<f64>,
}
