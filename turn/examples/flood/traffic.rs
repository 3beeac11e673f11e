//! The packets: sent by the clients, and sent back by a peer.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use turn::message::{Message, attribute};

use crate::Options;
use crate::client::FloodClient;

const PEER: Token = Token(usize::MAX);
/// Of what is late, so many packets are sent before it is looked what came back.
const BURST: u64 = 16;
/// A window is refilled when nothing came for that long: something was lost.
const LOST: Duration = Duration::from_millis(50);
/// What is on its way at the end is waited for that long.
const LAST: Duration = Duration::from_millis(100);
/// The time at which it was sent stands at the begin of a payload.
const STAMP: usize = 8;

/// Where packets go.
pub(crate) struct Load {
    peers: Vec<SocketAddr>,
    echo: Option<UdpSocket>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) returned: u64,
    pub(crate) seconds: f64,
    /// Of each packet that came back, microseconds since it was sent.
    pub(crate) latency: Vec<u32>,
}

/// A packet of one client, ready but for its stamp.
struct Packet {
    bytes: Vec<u8>,
    payload: usize,
}

impl Load {
    /// To these peers, or to one here that sends everything back.
    pub(crate) fn new(peers: &[SocketAddr]) -> io::Result<Self> {
        if !peers.is_empty() {
            return Ok(Self {
                peers: peers.to_vec(),
                echo: None,
            });
        }
        let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self {
            peers: vec![echo.local_addr()?],
            echo: Some(echo),
        })
    }

    pub(crate) fn peer_of(&self, client: usize) -> SocketAddr {
        self.peers[client % self.peers.len()]
    }

    pub(crate) fn run(
        mut self,
        clients: &mut [FloodClient],
        options: &Options,
    ) -> io::Result<Outcome> {
        let mut poll = Poll::new()?;
        if let Some(echo) = &mut self.echo {
            poll.registry().register(echo, PEER, Interest::READABLE)?;
        }
        let payload = vec![0x5a; options.payload.max(STAMP)];
        let mut packets = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            client.relay(poll.registry(), Token(number))?;
            let (bytes, payload) = client.packet(&payload, options.indications, options.direct);
            packets.push(Packet { bytes, payload });
        }
        let began = Instant::now();
        let end = began + Duration::from_secs(options.seconds);
        let mut flood = Flood {
            clients,
            packets,
            began,
            outcome: Outcome::default(),
        };
        let mut events = Events::with_capacity(1024);
        let (mut heard, mut returned) = (began, 0);
        loop {
            let now = Instant::now();
            if now >= end + LAST {
                break;
            }
            if now < end && options.rate > 0 {
                let due = (now - began).as_secs_f64() * f64::from(options.rate);
                flood.catch_up(due as u64)?;
            } else if now < end && (now - heard > LOST || flood.outcome.sent == 0) {
                for number in 0..flood.clients.len() {
                    for _ in 0..options.window {
                        flood.send(number)?;
                    }
                }
                heard = now;
            }
            poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                match event.token() {
                    PEER => self.send_back()?,
                    Token(number) => flood.take(number, options.rate == 0 && now < end)?,
                }
            }
            if flood.outcome.returned > returned {
                (heard, returned) = (now, flood.outcome.returned);
            }
        }
        flood.outcome.seconds = options.seconds as f64;
        Ok(flood.outcome)
    }

    fn send_back(&self) -> io::Result<()> {
        let Some(echo) = &self.echo else {
            return Ok(());
        };
        let mut buffer = [0; 2048];
        loop {
            match echo.recv_from(&mut buffer) {
                Ok((len, from)) => drop(echo.send_to(&buffer[..len], from)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

struct Flood<'a> {
    clients: &'a mut [FloodClient],
    packets: Vec<Packet>,
    began: Instant,
    outcome: Outcome,
}

impl Flood<'_> {
    /// Sends until so many are out, of one client after the other.
    fn catch_up(&mut self, due: u64) -> io::Result<()> {
        let due = due.min(self.outcome.sent + BURST);
        while self.outcome.sent < due {
            self.send(self.outcome.sent as usize % self.clients.len())?;
        }
        Ok(())
    }

    fn send(&mut self, number: usize) -> io::Result<()> {
        let Packet { bytes, payload } = &mut self.packets[number];
        let stamp = self.began.elapsed().as_nanos() as u64;
        bytes[*payload..*payload + STAMP].copy_from_slice(&stamp.to_be_bytes());
        self.outcome.sent += 1;
        self.clients[number].send(bytes).map(drop)
    }

    /// Takes all that came for a client, and sends as many where it `refills`.
    fn take(&mut self, number: usize, refills: bool) -> io::Result<()> {
        let now = self.began.elapsed().as_nanos() as u64;
        let (mut returned, latency) = (0, &mut self.outcome.latency);
        let client = &mut self.clients[number];
        let mut count = |message: &[u8]| {
            if let Some(stamp) = payload_of(message).and_then(<[u8]>::first_chunk) {
                let since = now.saturating_sub(u64::from_be_bytes(*stamp)) / 1000;
                latency.push(u32::try_from(since).unwrap_or(u32::MAX));
                returned += 1;
            }
        };
        loop {
            match client.receive(&mut count) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.outcome.returned += returned;
        if refills {
            for _ in 0..returned {
                self.send(number)?;
            }
        }
        Ok(())
    }
}

/// What is inside ChannelData, or a Data indication.
fn payload_of(message: &[u8]) -> Option<&[u8]> {
    match message.first()? {
        0x40.. => message.get(4..),
        _ => Message::parse(message)?.value(attribute::DATA),
    }
}
