//! The telephones of a load: a SIP user agent in this very process that takes every call and talks in it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use codecs::g711::Law;
use media::{ImpairmentSettings, Participant, rtp};
use sdp::Negotiated;
use sip::StatusCode;
use sip::endpoint::{Endpoint, EndpointConfig, Event, Flow, Session, Transport};
use tokio::net::UdpSocket;

use crate::browser::config;
use crate::ear::Ear;
use crate::link::{Heard, Link, Links};
use crate::recorder::Recorder;
use crate::sound::Sound;
use crate::wire::Wire;

const PACKET: Duration = Duration::from_millis(20);
/// 20 ms at 8 kHz.
const UNITS: u32 = 160;

/// Begins to answer calls at `listen`, by UDP, and to say `speech` in each. It ends with the program.
///
/// It has a thread of its own, so that an INVITE need not wait until a browser here has done its cryptography.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn spawn(
    listen: SocketAddr,
    seed: [u8; 32],
    speech: &[i16],
    impairment: ImpairmentSettings,
    links: Links,
) -> std::io::Result<()> {
    let socket = bind(listen)?;
    let local = socket.local_addr()?;
    let media = bind(SocketAddr::new(local.ip(), 0))?;
    let config = EndpointConfig {
        user_agent: "switchhook-load".into(),
        ..EndpointConfig::new(local, seed)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (socket, media) = {
        let _entered = runtime.enter();
        (UdpSocket::from_std(socket)?, UdpSocket::from_std(media)?)
    };
    let phones = Phones {
        endpoint: Endpoint::new(config),
        socket,
        address: media.local_addr()?,
        media,
        links,
        impairment,
        sounds: [Sound::g711(Law::Mu, speech), Sound::g711(Law::A, speech)],
        calls: HashMap::new(),
        sessions: HashMap::new(),
        rtcp: HashMap::new(),
        schedule: BinaryHeap::new(),
        count: 0,
    };
    std::thread::spawn(move || runtime.block_on(phones.run()));
    Ok(())
}

fn bind(address: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // Every call's audio comes here, some of it at the same moment.
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &(4 << 20))?;
    Ok(socket)
}

struct Phones {
    endpoint: Endpoint,
    socket: UdpSocket,
    media: UdpSocket,
    address: SocketAddr,
    links: Links,
    impairment: ImpairmentSettings,
    /// PCMU and PCMA.
    sounds: [Sound; 2],
    /// By where their RTP comes from.
    calls: HashMap<SocketAddr, Call>,
    sessions: HashMap<Session, SocketAddr>,
    /// From where RTCP comes to where that call's RTP does.
    rtcp: HashMap<SocketAddr, SocketAddr>,
    schedule: BinaryHeap<Reverse<(Instant, SocketAddr)>>,
    count: u32,
}

struct Call {
    link: Arc<Link>,
    rtp: SocketAddr,
    rtcp: Option<SocketAddr>,
    law: usize,
    payload_type: u8,
    wire: Wire,
    participant: Participant,
    ear: Ear,
    recorder: Option<Recorder>,
    next_packet: Instant,
    /// In the schedule.
    scheduled: Option<Instant>,
    ssrc: u32,
    sent: u32,
}

impl Phones {
    async fn run(mut self) {
        let (mut datagram, mut packet) = (vec![0; 65_535], vec![0; 2048]);
        loop {
            let media = self.schedule.peek().map(|Reverse((at, _))| *at);
            let deadline = [self.endpoint.poll_timeout(), media]
                .into_iter()
                .flatten()
                .min();
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.socket.recv_from(&mut datagram) => if let Ok((len, remote)) = received {
                    let flow = Flow { transport: Transport::Udp, remote };
                    self.endpoint.handle_packet(Instant::now(), flow, &datagram[..len]);
                },
                received = self.media.recv_from(&mut packet) => if let Ok((len, from)) = received {
                    self.handle_media(Instant::now(), from, &packet[..len]);
                },
                () = timer => self.endpoint.handle_timeout(Instant::now()),
            }
            while let Ok((len, from)) = self.media.try_recv_from(&mut packet) {
                self.handle_media(Instant::now(), from, &packet[..len]);
            }
            self.handle_schedule(Instant::now(), &mut packet);
            self.flush();
        }
    }

    fn handle_media(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) {
        let from = self.rtcp.get(&from).copied().unwrap_or(from);
        let Some(call) = self.calls.get_mut(&from) else {
            return;
        };
        if !call.wire.take_in(now, packet) {
            call.take(now, now, packet);
        }
        reschedule(&mut self.schedule, call);
    }

    fn handle_schedule(&mut self, now: Instant, buffer: &mut [u8]) {
        while let Some(Reverse((at, of))) =
            self.schedule.peek().copied().filter(|next| next.0.0 <= now)
        {
            self.schedule.pop();
            // An entry that was overtaken by an earlier one, or whose call is over, is nobody's.
            let call = self
                .calls
                .get_mut(&of)
                .filter(|call| call.scheduled == Some(at));
            if let Some(call) = call {
                call.scheduled = None;
                call.handle_timeout(now, &self.media, &self.sounds[call.law], buffer);
                reschedule(&mut self.schedule, call);
            }
        }
    }

    fn flush(&mut self) {
        loop {
            while let Some(transmit) = self.endpoint.poll_transmit() {
                // TCP has no connection here; a full buffer is a lost packet, and SIP sends it again.
                if transmit.flow.transport == Transport::Udp {
                    let _ = self
                        .socket
                        .try_send_to(&transmit.bytes, transmit.flow.remote);
                }
            }
            match self.endpoint.poll_event() {
                None => return,
                Some(Event::Incoming {
                    session, request, ..
                }) => {
                    let now = Instant::now();
                    let number = request.uri.user.clone().unwrap_or_default();
                    self.endpoint.ring(now, session, StatusCode::RINGING, None);
                    match self.answer(now, session, &number, &request.body) {
                        Some(answer) => self.endpoint.accept(now, session, answer),
                        None => self.endpoint.reject(
                            now,
                            session,
                            StatusCode::NOT_ACCEPTABLE_HERE,
                            None,
                        ),
                    }
                }
                Some(
                    Event::Ended { session, .. }
                    | Event::Cancelled { session, .. }
                    | Event::Failed { session, .. },
                ) => {
                    if let Some(call) = self
                        .sessions
                        .remove(&session)
                        .and_then(|rtp| self.calls.remove(&rtp))
                    {
                        let heard = Heard::of(&call.participant, &call.ear, call.recorder.as_ref());
                        call.link.set_heard(heard);
                        self.rtcp.retain(|_, rtp| *rtp != call.rtp);
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn answer(
        &mut self,
        now: Instant,
        session: Session,
        number: &str,
        offer: &[u8],
    ) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(offer).ok()?;
        let offer = sdp::trunk::read_offer(text, &sdp::trunk::Keying::None).ok()?;
        let options = sdp::trunk::OfferOptions {
            rtcp_port: Some(self.address.port()),
            ..sdp::trunk::OfferOptions::new(self.address.ip(), self.address.port())
        };
        let (answer, negotiated, _) = sdp::trunk::answer(&offer, &options).ok()?;
        let Negotiated {
            remote_rtp: Some(rtp),
            remote_rtcp,
            ..
        } = negotiated
        else {
            return None;
        };
        let link = {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            // A stranger's call is answered too; nobody asks for its figures.
            Arc::clone(links.entry(number.to_owned()).or_default())
        };
        link.invite(now);
        let law = match negotiated.codec {
            sdp::Codec::Pcma => Law::A,
            _ => Law::Mu,
        };
        let recorder = link.recorded.then(|| Recorder::g711(law));
        self.count += 1;
        let ssrc = 0x2000_0000 + self.count;
        let mut call = Call {
            link,
            rtp,
            rtcp: remote_rtcp,
            law: usize::from(negotiated.codec == sdp::Codec::Pcma),
            payload_type: negotiated.payload_type_out,
            wire: Wire::new(self.impairment, u64::from(ssrc)),
            participant: Participant::new(now, config(ssrc, 8000)),
            ear: Ear::new(UNITS),
            recorder,
            next_packet: now,
            scheduled: None,
            ssrc,
            sent: 0,
        };
        reschedule(&mut self.schedule, &mut call);
        if let Some(rtcp) = remote_rtcp.filter(|rtcp| *rtcp != rtp) {
            self.rtcp.insert(rtcp, rtp);
        }
        self.sessions.insert(session, rtp);
        self.calls.insert(rtp, call);
        Some(answer.into_bytes())
    }
}

fn reschedule(schedule: &mut BinaryHeap<Reverse<(Instant, SocketAddr)>>, call: &mut Call) {
    let dues = [
        Some(call.next_packet),
        call.wire.poll_timeout(),
        call.participant.poll_timeout(),
    ];
    let due = dues.into_iter().flatten().min();
    if let Some(due) = due.filter(|due| call.scheduled.is_none_or(|scheduled| *due < scheduled)) {
        call.scheduled = Some(due);
        schedule.push(Reverse((due, call.rtp)));
    }
}

impl Call {
    fn handle_timeout(
        &mut self,
        now: Instant,
        socket: &UdpSocket,
        sound: &Sound,
        buffer: &mut [u8],
    ) {
        while self.next_packet <= now {
            self.next_packet += PACKET;
            self.send_audio(now, socket, sound);
        }
        if let Some(len) = self.participant.poll_transmit(now, &mut buffer[..1500])
            && let Some(rtcp) = self.rtcp
        {
            // Reports take no part in the impairment: they have an address of their own.
            let _ = socket.try_send_to(&buffer[..len], rtcp);
        }
        while let Some((number, packet)) = self.wire.poll_out(now) {
            if let Some(number) = number {
                self.link.from_phone.sent_late(number, Instant::now());
            }
            let _ = socket.try_send_to(packet, self.rtp);
        }
        while let Some((came, len)) = self.wire.poll_in(now, buffer) {
            self.take(now, came, &buffer[..len]);
        }
    }

    fn send_audio(&mut self, now: Instant, socket: &UdpSocket, sound: &Sound) {
        let payload = &sound.packets[self.sent as usize % sound.packets.len()];
        let mut packet = [0; 12 + UNITS as usize];
        packet[..2].copy_from_slice(&[0x80, self.payload_type | u8::from(self.sent == 0) << 7]);
        packet[2..4].copy_from_slice(&(self.sent as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&self.sent.wrapping_mul(UNITS).to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[12..].copy_from_slice(payload);
        self.participant.sent(now, &packet);
        self.sent = self.sent.wrapping_add(1);
        let number = self.link.from_phone.sent(Instant::now());
        if !self.wire.take_out(now, Some(number), &packet) {
            // A full buffer, or a gateway that is gone for a moment, is a lost packet.
            let _ = socket.try_send_to(&packet, self.rtp);
        }
    }

    fn take(&mut self, now: Instant, came: Instant, packet: &[u8]) {
        // RTP and RTCP both have version 2; RTCP's types are 192 to 223 (RFC 5761 §4).
        if packet.get(1).is_some_and(|kind| (192..=223).contains(kind)) {
            let _ = self.participant.handle_rtcp(now, packet);
            return;
        }
        let Ok(packet) = rtp::read(packet) else {
            return;
        };
        // Telephone-events keep their first timestamp (RFC 4733 §2.2.1): they say nothing of time.
        let is_audio = packet.payload_type == self.payload_type || packet.payload_type == 13;
        self.participant.received(now, &packet, is_audio);
        if is_audio {
            let place = self.ear.hear(came, &packet, &self.link.from_browser);
            if let Some(recorder) = self.recorder.as_mut().filter(|_| packet.payload_type != 13) {
                recorder.hear(&packet, place);
            }
        }
    }
}
