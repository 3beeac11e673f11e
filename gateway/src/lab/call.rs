//! The task of one call at the lab phone: its sockets, and the way between its [`Line`] and SIP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Instant;

use media::StreamStart;
use sdp::trunk::{self, OfferOptions};
use sip::endpoint::Event;
use sip::{ReasonHeader, StatusCode};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::{debug, info};

use super::line::Line;
use super::number::{End, Number, Step};
use super::rtp::MAX_PACKET;
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
        Err(status) => sip.reject(leg, status).await,
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
    /// Held so that nobody else gets the port our caller sends its RTCP to.
    _rtcp: UdpSocket,
    /// Our session description.
    description: String,
    /// Present when our 2xx carries the offer and the ACK the answer (RFC 3264, RFC 3261 §13.2.1).
    offered: Option<OfferOptions>,
    remote: Option<SocketAddr>,
}

impl Call {
    /// Everything that may fail is tried before the phone rings.
    async fn prepare(
        incoming: &IncomingCall,
        number: Number,
        address: IpAddr,
    ) -> Result<(Option<Media>, Line), StatusCode> {
        let mut line = Line::new(number);
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
                _rtcp: rtcp,
                description,
                offered: Some(options),
                remote: None,
            };
            return Ok((Some(media), line));
        }
        let (description, negotiated) = std::str::from_utf8(body)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                let offer = trunk::read_offer(text).map_err(|refusal| refusal.to_string())?;
                trunk::answer(&offer, &options).map_err(|refusal| refusal.to_string())
            })
            .map(|(description, negotiated, _notes)| (description, negotiated))
            .map_err(|reason| {
                info!(reason, "an offer the lab phone cannot take");
                StatusCode::NOT_ACCEPTABLE_HERE
            })?;
        let format = Format::of(&negotiated).ok_or(StatusCode::NOT_ACCEPTABLE_HERE)?;
        line.connect(Stream::new(Instant::now(), format, stream_start()));
        let media = Media {
            rtp,
            _rtcp: rtcp,
            description,
            offered: None,
            remote: negotiated.remote_rtp,
        };
        Ok((Some(media), line))
    }

    async fn serve(mut self, incoming: IncomingCall, mut stopping: watch::Receiver<bool>) {
        let mut events = incoming.events;
        let mut packet = [0; MAX_PACKET];
        let mut stopped = false;
        loop {
            if self.act(&incoming.request).await.is_break() {
                return;
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
                    Some(event) => if self.handle_event(event).await.is_break() { return },
                    None => return,
                },
                received = receive(self.media.as_ref(), &mut packet) => {
                    self.handle_packets(received, &mut packet);
                }
                () = timer => {}
                _ = stopping.changed(), if !stopped => {
                    stopped = true;
                    if self.stop().await.is_break() { return }
                }
            }
        }
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
                    self.sip.reject(self.leg, status).await;
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
        self.line.end();
        self.media = None;
        self.sip
            .bye(self.leg, ReasonHeader::q850(cause, text))
            .await;
    }

    /// The phone is being switched off.
    async fn stop(&mut self) -> ControlFlow<()> {
        if self.answered {
            self.hang_up(NORMAL_CLEARING, "the lab phone is being switched off")
                .await;
            return ControlFlow::Continue(());
        }
        self.sip
            .reject(self.leg, StatusCode::TEMPORARILY_UNAVAILABLE)
            .await;
        ControlFlow::Break(())
    }

    async fn handle_event(&mut self, event: LegEvent) -> ControlFlow<()> {
        match event {
            LegEvent::Sip(Event::Confirmed { body, .. }) => {
                if !self.connect_late(body.as_deref()) {
                    self.hang_up(BEARER_CAPABILITY_NOT_AVAILABLE, "no usable answer came")
                        .await;
                }
                ControlFlow::Continue(())
            }
            LegEvent::Sip(
                Event::Progress { .. } | Event::Answered { .. } | Event::Incoming { .. },
            ) => ControlFlow::Continue(()),
            LegEvent::Sip(Event::Ended { .. } | Event::Cancelled { .. } | Event::Failed { .. })
            | LegEvent::NotSent(_) => ControlFlow::Break(()),
        }
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
        media.remote = negotiated.remote_rtp;
        let Some(format) = Format::of(&negotiated) else {
            return false;
        };
        self.line
            .connect(Stream::new(Instant::now(), format, stream_start()));
        true
    }

    fn send_due(&mut self) {
        let mut packet = [0; MAX_PACKET];
        while let Some(length) = self.line.poll_transmit(Instant::now(), &mut packet) {
            if let Some(media) = &self.media {
                media.send(&packet[..length]);
            }
        }
    }

    /// What came, and what the socket has besides.
    fn handle_packets(&mut self, first: io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let mut received = first;
        for _ in 0..BATCH {
            let Some(media) = &self.media else { return };
            // An error is an ICMP message for something sent earlier: the phone goes on.
            if let Ok((length, from)) = received
                && media.remote.is_some_and(|remote| remote.ip() == from.ip())
            {
                let mut reply = [0; MAX_PACKET];
                let packet = &buffer[..length];
                let replied = self.line.handle_rtp(Instant::now(), packet, &mut reply);
                if let Some(length) = replied {
                    media.send(&reply[..length]);
                }
            }
            received = match media.rtp.try_recv_from(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                received => received,
            };
        }
    }
}

impl Media {
    /// Sends to where the caller said; what the kernel has no room for is lost.
    fn send(&self, packet: &[u8]) {
        if let Some(remote) = self.remote {
            let _ = self.rtp.try_send_to(packet, remote);
        }
    }
}

async fn receive(media: Option<&Media>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match media {
        Some(media) => media.rtp.recv_from(buffer).await,
        None => std::future::pending().await,
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
async fn bind_pair(address: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
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
