//! The task of one call at the lab phone: its sockets, and the way between its [`Line`] and SIP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Instant;

use media::rtp::MAX_PACKET;
use media::{PacketKind, StreamStart};
use sdp::Negotiated;
use sdp::trunk::{self, OfferOptions};
use sip::endpoint::Event;
use sip::{ReasonHeader, StatusCode};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::{debug, info};

use super::line::{Identity, Line};
use super::number::{End, Number, Step};
use super::stream::{Format, Stream};
use crate::sip_driver::{IncomingCall, Leg, LegEvent, SipHandle};

/// Tries to find an even port with a free one above it (RFC 3550 §11).
const PORT_TRIES: usize = 32;
/// Packets taken in one go before the clock is looked at.
const BATCH: usize = 16;

/// Q.850 causes of our BYE.
const NORMAL_CLEARING: u16 = 16;
const BEARER_CAPABILITY_NOT_AVAILABLE: u16 = 58;
const RECOVERY_ON_TIMER_EXPIRY: u16 = 102;

/// Takes a call, from the INVITE to the end.
pub(super) async fn run(
    incoming: IncomingCall,
    number: Number,
    sip: SipHandle,
    stopping: watch::Receiver<bool>,
) {
    let leg = incoming.leg;
    match Call::prepare(&incoming, number, sip.local_addr().ip()).await {
        Ok((media, line)) => {
            let call = Call {
                leg,
                sip,
                line,
                media,
                answered: false,
            };
            call.serve(incoming, stopping).await;
        }
        Err(status) => sip.reject(leg, status, None).await,
    }
}

struct Call {
    leg: Leg,
    sip: SipHandle,
    line: Line,
    media: Option<Media>,
    answered: bool,
}

/// The sockets, and what we said about them.
struct Media {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// Our session description.
    description: String,
    /// What it was written with.
    options: OfferOptions,
    /// Present when our 2xx carries the offer and the ACK the answer (RFC 3264, RFC 3261 §13.2.1).
    offered: Option<OfferOptions>,
    remote: Remote,
}

/// Where the caller takes packets, from its session description.
#[derive(Debug, Clone, Copy, Default)]
struct Remote {
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
}

impl Call {
    /// Everything that may fail is tried before the phone rings.
    async fn prepare(
        incoming: &IncomingCall,
        number: Number,
        address: IpAddr,
    ) -> Result<(Option<Media>, Line), StatusCode> {
        let mut line = Line::new(number, identity());
        if !number.has_sound() {
            return Ok((None, line));
        }
        let (rtp, rtcp) = bind_pair(address).await.map_err(|error| {
            info!(%error, "no ports for a lab call");
            StatusCode::SERVICE_UNAVAILABLE
        })?;
        let port = rtp.local_addr().map_or(0, |local| local.port());
        let options = OfferOptions {
            session_id: rand::random::<u64>() >> 2,
            ..OfferOptions::new(address, port)
        };
        let body = &incoming.request.body;
        if body.is_empty() {
            let description = trunk::offer_fresh(&options);
            let media = Media {
                rtp,
                rtcp,
                description,
                offered: Some(options.clone()),
                options,
                remote: Remote::default(),
            };
            return Ok((Some(media), line));
        }
        let (description, negotiated) = std::str::from_utf8(body)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                let offer = trunk::read_offer(text, &options.keying)
                    .map_err(|refusal| refusal.to_string())?;
                trunk::answer(&offer, &options).map_err(|refusal| refusal.to_string())
            })
            .map(|(description, negotiated, _notes)| (description, negotiated))
            .map_err(|reason| {
                info!(reason, "an offer the lab phone cannot take");
                StatusCode::NOT_ACCEPTABLE_HERE
            })?;
        let format = Format::of(&negotiated).ok_or(StatusCode::NOT_ACCEPTABLE_HERE)?;
        let now = Instant::now();
        line.connect(now, Stream::new(now, format, stream_start()));
        let media = Media {
            rtp,
            rtcp,
            description,
            options,
            offered: None,
            remote: Remote::of(&negotiated),
        };
        Ok((Some(media), line))
    }

    async fn serve(mut self, incoming: IncomingCall, mut stopping: watch::Receiver<bool>) {
        let mut events = incoming.events;
        let mut packet = [0; MAX_PACKET];
        let mut stopped = false;
        loop {
            if self.act(&incoming.request).await.is_break() {
                break;
            }
            self.send_due();
            let deadline = self.line.poll_timeout();
            let timer = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => if self.handle_event(event).await.is_break() { break },
                    None => break,
                },
                () = readable(self.media.as_ref()) => self.handle_packets(&mut packet),
                () = timer => {}
                _ = stopping.changed(), if !stopped => {
                    stopped = true;
                    if self.stop().await.is_break() { break }
                }
            }
        }
        self.end_media();
    }
}

impl Call {
    /// Does what the number's script says.
    async fn act(&mut self, invite: &sip::Request) -> ControlFlow<()> {
        while let Some(step) = self.line.poll_step(Instant::now()) {
            debug!(number = invite.uri.user, ?step, "lab call");
            match step {
                Step::Ring => self.sip.ring(self.leg, StatusCode::RINGING, None).await,
                Step::Progress => {
                    let body = Some(self.description());
                    self.sip
                        .ring(self.leg, StatusCode::SESSION_PROGRESS, body)
                        .await;
                }
                Step::Answer => {
                    self.answered = true;
                    self.sip.accept(self.leg, self.description()).await;
                }
                Step::Refuse(status) => {
                    let status = StatusCode::new(status).unwrap_or(StatusCode::DECLINE);
                    self.sip.reject(self.leg, status, None).await;
                    return ControlFlow::Break(());
                }
                Step::HangUp(End::Done) => {
                    self.hang_up(NORMAL_CLEARING, "the lab phone hung up").await;
                }
                Step::HangUp(End::Silence) => {
                    self.hang_up(RECOVERY_ON_TIMER_EXPIRY, "no RTP came").await;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn description(&self) -> Vec<u8> {
        let description = self.media.as_ref().map(|media| media.description.clone());
        description.unwrap_or_default().into_bytes()
    }

    /// BYE. What follows is its answer, or nothing for as long as the transaction waits.
    async fn hang_up(&mut self, cause: u16, text: &str) {
        self.end_media();
        self.sip
            .bye(self.leg, ReasonHeader::q850(cause, text))
            .await;
    }

    /// The last packet is the RTCP goodbye.
    fn end_media(&mut self) {
        self.line.end(Instant::now());
        self.send_due();
        self.media = None;
    }

    /// The phone is being switched off.
    async fn stop(&mut self) -> ControlFlow<()> {
        if self.answered {
            self.hang_up(NORMAL_CLEARING, "the lab phone is being switched off")
                .await;
            return ControlFlow::Continue(());
        }
        self.sip
            .reject(self.leg, StatusCode::TEMPORARILY_UNAVAILABLE, None)
            .await;
        ControlFlow::Break(())
    }

    async fn handle_event(&mut self, event: LegEvent) -> ControlFlow<()> {
        let LegEvent::Sip(event) = event else {
            return ControlFlow::Break(());
        };
        match *event {
            Event::Confirmed { body, .. } => {
                if !self.connect_late(body.as_deref()) {
                    self.hang_up(BEARER_CAPABILITY_NOT_AVAILABLE, "no usable answer came")
                        .await;
                }
                ControlFlow::Continue(())
            }
            Event::Offer { body, .. } => {
                let answer = self.change(body.as_deref());
                self.sip.answer_offer(self.leg, answer).await;
                ControlFlow::Continue(())
            }
            // The lab's telephone calls nobody.
            Event::Referred { .. } => {
                self.sip.answer_refer(self.leg, StatusCode::DECLINE).await;
                ControlFlow::Continue(())
            }
            Event::ReferAnswered { .. }
            | Event::ReferProgress { .. }
            | Event::OfferAnswered { .. }
            | Event::OfferRefused { .. }
            | Event::Progress { .. }
            | Event::Answered { .. }
            | Event::Incoming { .. }
            | Event::Info { .. }
            | Event::InfoFailed { .. } => ControlFlow::Continue(()),
            Event::Ended { .. } | Event::Cancelled { .. } | Event::Failed { .. } => {
                ControlFlow::Break(())
            }
        }
    }

    /// The caller changes the session: holds us, comes back, moves, or wants to hear our description again.
    fn change(&mut self, body: Option<&[u8]>) -> Result<Vec<u8>, StatusCode> {
        let Some(media) = &mut self.media else {
            return Err(StatusCode::NOT_ACCEPTABLE_HERE);
        };
        media.options.session_version += 1;
        let Some(body) = body else {
            media.offered = Some(media.options.clone());
            return Ok(trunk::offer_fresh(&media.options).into_bytes());
        };
        let refused = |_| StatusCode::NOT_ACCEPTABLE_HERE;
        let text = std::str::from_utf8(body).map_err(|_| StatusCode::NOT_ACCEPTABLE_HERE)?;
        let offer = trunk::read_offer(text, &media.options.keying).map_err(refused)?;
        let (answer, negotiated, _) = trunk::answer(&offer, &media.options).map_err(refused)?;
        let format = Format::of(&negotiated).ok_or(StatusCode::NOT_ACCEPTABLE_HERE)?;
        let remote = Remote::of(&negotiated);
        if remote.rtp.is_some() {
            media.remote = remote;
        }
        let receives = negotiated.direction.receives();
        self.line.change(Instant::now(), format, receives);
        Ok(answer.into_bytes())
    }

    /// The answer to our offer came with the ACK. False if it is of no use.
    fn connect_late(&mut self, body: Option<&[u8]>) -> bool {
        let Some(media) = &mut self.media else {
            return true;
        };
        let Some(offered) = media.offered.take() else {
            return true;
        };
        let text = std::str::from_utf8(body.unwrap_or_default());
        let negotiated = text
            .ok()
            .and_then(|text| trunk::read_answer(text, &offered).ok());
        let Some(negotiated) = negotiated else {
            return false;
        };
        media.remote = Remote::of(&negotiated);
        let Some(format) = Format::of(&negotiated) else {
            return false;
        };
        let now = Instant::now();
        self.line
            .connect(now, Stream::new(now, format, stream_start()));
        true
    }

    fn send_due(&mut self) {
        let mut packet = [0; MAX_PACKET];
        while let Some((kind, length)) = self.line.poll_transmit(Instant::now(), &mut packet) {
            if let Some(media) = &self.media {
                media.send(kind, &packet[..length]);
            }
        }
    }

    /// Takes what the sockets have, up to a bound.
    fn handle_packets(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Some(media) = &self.media else { return };
            let Some((length, from)) = take(&media.rtp, buffer) else {
                break;
            };
            if !is_from(media.remote.rtp, from) {
                continue;
            }
            let mut reply = [0; MAX_PACKET];
            let packet = &buffer[..length];
            let replied = self.line.handle_rtp(Instant::now(), packet, &mut reply);
            if let Some(length) = replied {
                media.send(PacketKind::Rtp, &reply[..length]);
            }
        }
        for _ in 0..BATCH {
            let Some(media) = &self.media else { return };
            let Some((length, from)) = take(&media.rtcp, buffer) else {
                break;
            };
            if is_from(media.remote.rtcp, from) {
                self.line.handle_rtcp(Instant::now(), &buffer[..length]);
            }
        }
    }
}

impl Media {
    /// Sends to where the caller said; what the kernel has no room for is lost.
    fn send(&self, kind: PacketKind, packet: &[u8]) {
        let (socket, remote) = match kind {
            PacketKind::Rtp => (&self.rtp, self.remote.rtp),
            PacketKind::Rtcp => (&self.rtcp, self.remote.rtcp),
        };
        if let Some(remote) = remote {
            let _ = socket.try_send_to(packet, remote);
        }
    }
}

impl Remote {
    fn of(negotiated: &Negotiated) -> Self {
        Remote {
            rtp: negotiated.remote_rtp,
            rtcp: negotiated.remote_rtcp,
        }
    }
}

async fn readable(media: Option<&Media>) {
    let Some(media) = media else {
        return std::future::pending().await;
    };
    // An error shows when the sockets are read.
    tokio::select! {
        _ = media.rtp.readable() => {}
        _ = media.rtcp.readable() => {}
    }
}

/// The next datagram of a socket, if there is one.
fn take(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    for _ in 0..BATCH {
        match socket.try_recv_from(buffer) {
            Ok(received) => return Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            // An ICMP message for something sent earlier: the phone goes on.
            Err(_) => {}
        }
    }
    None
}

/// The caller may send from another port than it takes packets at, but from no other host.
fn is_from(remote: Option<SocketAddr>, from: SocketAddr) -> bool {
    remote.is_some_and(|remote| remote.ip() == from.ip())
}

/// A new name for every call, so that calls cannot be told to be of one phone (RFC 7022 §4.2).
fn identity() -> Identity {
    Identity {
        cname: format!("{:024x}", rand::random::<u128>() >> 32),
        seed: rand::random(),
    }
}

fn stream_start() -> StreamStart {
    StreamStart {
        ssrc: rand::random(),
        sequence: rand::random(),
        timestamp: rand::random(),
    }
}

/// An even port for RTP and the one above it for RTCP.
pub(super) async fn bind_pair(address: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..PORT_TRIES {
        let first = UdpSocket::bind((address, 0)).await?;
        let port = first.local_addr()?.port();
        let other = UdpSocket::bind((address, port ^ 1)).await;
        if let Ok(other) = other {
            return Ok(if port % 2 == 0 {
                (first, other)
            } else {
                (other, first)
            });
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
