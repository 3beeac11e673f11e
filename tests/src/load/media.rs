//! A browser's side of a call's media: ICE, DTLS, SRTP and the audio, on a UDP socket of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::IceCredentials;
use peer::demux::{self, Kind};
use peer::srtp::MAX_OVERHEAD;
use peer::testing::{self, Browser, Check};
use tokio::net::UdpSocket;

use super::call::{Figures, Shared};
use super::sound::Sound;

/// The time between checks: while there is no path yet, and then to renew consent (RFC 7675 §5.1).
const CHECK_AGAIN: Duration = Duration::from_millis(50);
const CONSENT: Duration = Duration::from_secs(5);

const PACKET: Duration = Duration::from_millis(20);

/// See the module's documentation.
pub(super) struct Media {
    pub(super) socket: UdpSocket,
    browser: Browser,
    fingerprint: String,
    path: bool,
    next_check: Instant,
    /// Of the audio, from the moment it can be sent.
    next_packet: Option<Instant>,
    began: Option<Instant>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    stream: Stream,
}

impl Media {
    pub(super) async fn open(
        shared: &Shared,
        credentials: IceCredentials,
        ssrc: u32,
        answer: &str,
    ) -> Result<Self, String> {
        let value = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
                .ok_or(format!("the answer has no {name}"))
        };
        let gateway = IceCredentials {
            ufrag: value("a=ice-ufrag:")?,
            pwd: value("a=ice-pwd:")?,
        };
        let candidate = value("a=candidate:")?;
        let mut fields = candidate.split(' ').skip(4);
        let (Some(ip), Some(port)) = (fields.next(), fields.next()) else {
            return Err(format!("not a candidate: {candidate}"));
        };
        let remote: SocketAddr = match (ip.parse(), port.parse()) {
            (Ok(ip), Ok(port)) => SocketAddr::new(ip, port),
            _ => return Err(format!("not a candidate: {candidate}")),
        };
        let any: SocketAddr = if remote.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        let open = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(remote).await?;
            Ok::<_, std::io::Error>(socket)
        };
        let now = Instant::now();
        let config = testing::config(u64::from(ssrc));
        let certificate = shared.certificate.clone();
        Ok(Self {
            socket: open.await.map_err(|error| format!("{remote}: {error}"))?,
            browser: Browser::new(now, Arc::clone(&config), certificate, credentials, gateway),
            fingerprint: value("a=fingerprint:sha-256 ")?,
            path: false,
            next_check: now,
            next_packet: None,
            began: None,
            ssrc,
            sequence: 0,
            timestamp: 0,
            stream: Stream::default(),
        })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.next_packet.is_some()
    }

    /// How many packets of the audio never came.
    pub(super) fn lost(&self) -> u64 {
        self.stream.lost()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        [
            Some(self.next_check),
            self.next_packet,
            self.browser.timeout,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        sound: &Sound,
        figures: &mut Figures,
    ) -> Result<(), String> {
        if self.next_check <= now {
            self.next_check = now + if self.path { CONSENT } else { CHECK_AGAIN };
            let check = self.browser.check(Check::default());
            self.send(&check);
        }
        if self.browser.timeout.is_some_and(|at| at <= now) {
            let packets = self.browser.handle_timeout(now);
            self.send_dtls(now, packets)?;
        }
        // What a busy machine was late for goes at once: a load that sends less is no load.
        while let Some(due) = self.next_packet.filter(|at| *at <= now) {
            self.next_packet = Some(due + PACKET);
            self.send_audio(sound)?;
            self.began.get_or_insert(now);
            figures.sent += 1;
        }
        Ok(())
    }

    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        figures: &mut Figures,
    ) -> Result<(), String> {
        match demux::classify(packet) {
            Kind::Stun if !self.path => {
                self.path = true;
                self.next_check = now + CONSENT;
                let hello = self.browser.handle_timeout(now);
                self.send_dtls(now, hello)?;
            }
            Kind::Dtls => {
                let packets = self.browser.handle_dtls(now, packet);
                self.send_dtls(now, packets)?;
            }
            Kind::Rtp => {
                let Some((_, receiver, _)) = &mut self.browser.keys else {
                    return Ok(());
                };
                let len = receiver
                    .unprotect_rtp(packet)
                    .map_err(|error| error.to_string())?;
                if let Some(&[_, _, high, low]) = packet.get(..len).and_then(<[u8]>::first_chunk) {
                    self.stream.count(u16::from_be_bytes([high, low]));
                }
                figures.received += 1;
                if let Some(began) = self.began {
                    figures.heard.get_or_insert(now - began);
                }
            }
            Kind::Rtcp => {
                let Some((_, receiver, _)) = &mut self.browser.keys else {
                    return Ok(());
                };
                receiver
                    .unprotect_rtcp(packet)
                    .map_err(|error| error.to_string())?;
            }
            Kind::Stun | Kind::Unknown => {}
        }
        Ok(())
    }

    fn send_dtls(&mut self, now: Instant, packets: Vec<Vec<u8>>) -> Result<(), String> {
        for packet in packets {
            self.send(&packet);
        }
        if let Some(why) = self.browser.failed.take() {
            return Err(format!("DTLS: {why}"));
        }
        if self.browser.keys.is_some() && self.browser.connected && self.next_packet.is_none() {
            let certificate = self
                .browser
                .gateway_certificate
                .map(|certificate| certificate.to_string());
            if certificate.as_ref() != Some(&self.fingerprint) {
                return Err(format!("the gateway's certificate is {certificate:?}"));
            }
            self.next_packet = Some(now);
        }
        Ok(())
    }

    fn send_audio(&mut self, sound: &Sound) -> Result<(), String> {
        let Some((sender, _, _)) = &mut self.browser.keys else {
            return Ok(());
        };
        let payload = &sound.packets[usize::from(self.sequence) % sound.packets.len()];
        let mut packet = Vec::with_capacity(12 + payload.len() + MAX_OVERHEAD);
        packet.extend([0x80, sound.payload_type | u8::from(self.sequence == 0) << 7]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        let len = packet.len();
        packet.resize(len + MAX_OVERHEAD, 0);
        let len = sender
            .protect_rtp(&mut packet, len)
            .map_err(|error| error.to_string())?;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(sound.units);
        self.send(&packet[..len]);
        Ok(())
    }

    /// A full buffer, or a gateway that is gone for a moment, is a lost packet.
    fn send(&self, packet: &[u8]) {
        let _ = self.socket.try_send(packet);
    }
}

/// Counts the packets of a stream by their sequence numbers.
#[derive(Debug, Default)]
struct Stream {
    first: Option<u16>,
    /// The furthest from the first, on over the wraps.
    furthest: u64,
    received: u64,
}

impl Stream {
    fn count(&mut self, sequence: u16) {
        let first = *self.first.get_or_insert(sequence);
        let here = first.wrapping_add(self.furthest as u16);
        let ahead = sequence.wrapping_sub(here);
        if ahead < 0x8000 {
            self.furthest += u64::from(ahead);
        }
        self.received += 1;
    }

    fn lost(&self) -> u64 {
        let sent = self.first.map_or(0, |_| self.furthest + 1);
        sent.saturating_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_between_the_first_and_the_furthest_is_lost() {
        let mut stream = Stream::default();
        assert_eq!(stream.lost(), 0);
        for sequence in [65_534, 65_535, 1, 0, 4] {
            stream.count(sequence);
        }
        assert_eq!(stream.lost(), 2);
        (5..=u16::MAX)
            .chain(0..10)
            .for_each(|sequence| stream.count(sequence));
        assert_eq!(stream.lost(), 2);
    }
}
