//! A seeded network in virtual time between one browser and one peer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use crate::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::super::*;
use super::browser::{self, Browser, Check};

pub(super) static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
static IDENTITY: LazyLock<Arc<Identity>> =
    LazyLock::new(|| Arc::new(Identity::generate().unwrap()));
static CERTIFICATE: LazyLock<dimpl::DtlsCertificate> = LazyLock::new(browser::certificate);

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The path from there to our one address.
pub(super) fn path(remote: SocketAddr) -> Path {
    let local = SocketAddr::from(([203, 0, 113, 1], 7000));
    Path::udp(local, remote)
}

pub(super) fn address(n: u8) -> Path {
    path(SocketAddr::from(([198, 51, 100, n], 40_000 + u16::from(n))))
}

pub(super) fn credentials(n: u8) -> IceCredentials {
    IceCredentials::from_random(&[n; 32])
}

/// SplitMix64: enough to choose packets with.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % sides
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    number: u64,
    to_peer: bool,
    address: Path,
    bytes: Vec<u8>,
}

pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) peer: Peer,
    pub(super) browser: Browser,
    pub(super) events: Vec<PeerEvent>,
    /// STUN answers that reached the browser, and where it was then.
    pub(super) answers: Vec<(Path, Vec<u8>)>,
    pub(super) loss_percent: u64,
    /// A datagram takes 10 ms and up to this much more.
    pub(super) jitter: Duration,
    /// What happens to the browser's datagrams before they leave.
    pub(super) tamper: Option<fn(Vec<u8>) -> Vec<u8>>,
    dice: Dice,
    flights: BinaryHeap<Reverse<Flight>>,
    count: u64,
}

/// The browsers' certificate.
pub(super) fn client() -> dimpl::DtlsCertificate {
    CERTIFICATE.clone()
}

pub(super) fn config_for(fingerprint: Fingerprint) -> PeerConfig {
    PeerConfig {
        identity: IDENTITY.clone(),
        local: credentials(1),
        remote: credentials(2),
        fingerprint,
        consent_timeout: CONSENT_TIMEOUT,
        handshake_timeout: HANDSHAKE_TIMEOUT,
    }
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let now = *BEGINNING;
        let config = browser::config(seed);
        let browser = Browser::new(
            now,
            config,
            CERTIFICATE.clone(),
            credentials(2),
            credentials(1),
        );
        Self {
            now,
            peer: Peer::new(now, config_for(browser.fingerprint)).unwrap(),
            browser,
            events: Vec::new(),
            answers: Vec::new(),
            loss_percent: 0,
            jitter: Duration::ZERO,
            tamper: None,
            dice: Dice(seed),
            flights: BinaryHeap::new(),
            count: 0,
        }
    }

    /// A network whose browser is connected from `address(1)`.
    pub(super) fn connected() -> Self {
        let mut network = Self::new(1);
        network.check(address(1), Check::default());
        network.start_dtls(address(1));
        network.run(ms(2000));
        let connected = PeerEvent::Connected {
            profile: Profile::AeadAes256Gcm,
        };
        assert_eq!(
            network.take_events(),
            [PeerEvent::PathSelected(address(1)), connected]
        );
        network
    }

    fn send(&mut self, to_peer: bool, address: Path, bytes: Vec<u8>) {
        if self.dice.roll(100) < self.loss_percent {
            return;
        }
        let jitter = self.dice.roll(self.jitter.as_micros() as u64 + 1);
        self.count += 1;
        self.flights.push(Reverse(Flight {
            at: self.now + ms(10) + Duration::from_micros(jitter),
            number: self.count,
            to_peer,
            address,
            bytes,
        }));
    }

    pub(super) fn send_all(&mut self, from: Path, packets: Vec<Vec<u8>>) {
        for packet in packets {
            let packet = match self.tamper {
                Some(tamper) => tamper(packet),
                None => packet,
            };
            self.send(true, from, packet);
        }
    }

    /// Sends a check and delivers it and its answer.
    pub(super) fn check(&mut self, from: Path, check: Check) {
        let packet = self.browser.check(check);
        self.send(true, from, packet);
        self.run(ms(30));
    }

    pub(super) fn start_dtls(&mut self, from: Path) {
        let packets = self.browser.handle_timeout(self.now);
        self.send_all(from, packets);
    }

    /// Hands the peer a datagram at once.
    pub(super) fn inject(&mut self, from: Path, mut packet: Vec<u8>) -> bool {
        let received = self.peer.handle_packet(self.now, from, &mut packet);
        let something = received != Received::Nothing;
        self.flush();
        something
    }

    /// The browser's SRTP of a plain packet.
    pub(super) fn protected(&mut self, plain: &[u8]) -> Vec<u8> {
        let (sender, _, _) = self.browser.keys.as_mut().unwrap();
        let mut buffer = plain.to_vec();
        buffer.resize(plain.len() + srtp::MAX_OVERHEAD, 0);
        let len = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
        buffer.truncate(len);
        buffer
    }

    pub(super) fn lose_in_flight(&mut self) {
        self.flights.clear();
    }

    pub(super) fn take_events(&mut self) -> Vec<PeerEvent> {
        std::mem::take(&mut self.events)
    }

    /// Lets time pass, delivering and waking as due.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.flush();
            let flight = self.flights.peek().map(|f| f.0.at);
            let due = [flight, self.peer.poll_timeout(), self.browser.timeout];
            let Some(next) = due.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if flight == Some(next) {
                let Some(Reverse(flight)) = self.flights.pop() else {
                    break;
                };
                self.deliver(flight);
            } else {
                self.peer.handle_timeout(self.now);
                if self.browser.timeout.is_some_and(|at| at <= self.now) {
                    let packets = self.browser.handle_timeout(self.now);
                    self.send_all(address(1), packets);
                }
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, flight: Flight) {
        let Flight {
            address, mut bytes, ..
        } = flight;
        if flight.to_peer {
            self.peer.handle_packet(self.now, address, &mut bytes);
        } else if demux::classify(&bytes) == Kind::Stun {
            self.answers.push((address, bytes));
        } else {
            let packets = self.browser.handle_dtls(self.now, &bytes);
            self.send_all(address, packets);
        }
    }

    fn flush(&mut self) {
        let mut buffer = [0; 1500];
        while let Some((len, to)) = self.peer.poll_transmit(&mut buffer) {
            self.send(false, to, buffer[..len].to_vec());
        }
        while let Some(event) = self.peer.poll_event() {
            self.events.push(event);
        }
    }
}
