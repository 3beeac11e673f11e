//! A browser's side of a call's media on a UDP socket of its own: full ICE (RFC 8445) as the controlling agent, DTLS,
//! SRTP, the audio and its RTCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codecs::g711::Law;
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use media::{Participant, ParticipantConfig, rtp};
use peer::demux::{self, Kind};
use peer::srtp::MAX_OVERHEAD;
use tokio::net::UdpSocket;

use crate::call::{Figures, Shared};
use crate::dtls::{Client, Keys};
use crate::ear::Ear;
use crate::link::{Heard, Link};
use crate::recorder::Recorder;
use crate::sound::Sound;
use crate::wire::Wire;

const PACKET: Duration = Duration::from_millis(20);
/// Opus's clock (RFC 7587 §4.1), and 20 ms of it.
const OPUS_CLOCK: u32 = 48_000;

/// See the module's documentation.
pub(crate) struct Media {
    pub(crate) socket: UdpSocket,
    wire: Wire,
    ice: IceAgent,
    local: SocketAddr,
    remote: SocketAddr,
    /// A pair is nominated.
    path: bool,
    dtls: Client,
    fingerprint: String,
    keys: Option<Keys>,
    link: Arc<Link>,
    /// Whether the audio that comes was said by a telephone of ours, or is our own come back.
    phone_talks: bool,
    participant: Participant,
    ear: Ear,
    recorder: Option<Recorder>,
    /// The gateway reports that packets of ours are lost.
    loses: bool,
    /// Of the audio, from the moment it can be sent.
    next_packet: Option<Instant>,
    began: Option<Instant>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    buffer: Vec<u8>,
}

/// What the answer says of the gateway.
struct Answer {
    credentials: IceCreds,
    candidate: Candidate,
    fingerprint: String,
}

impl Answer {
    fn read(answer: &str) -> Result<Self, String> {
        let value = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
                .ok_or(format!("the answer has no {name}"))
        };
        let candidate = format!("candidate:{}", value("a=candidate:")?);
        Ok(Self {
            credentials: IceCreds {
                ufrag: value("a=ice-ufrag:")?,
                pass: value("a=ice-pwd:")?,
            },
            candidate: Candidate::from_sdp_string(&candidate)
                .map_err(|error| format!("{candidate}: {error}"))?,
            fingerprint: value("a=fingerprint:sha-256 ")?,
        })
    }
}

impl Media {
    pub(crate) async fn open(
        shared: &Shared,
        link: Arc<Link>,
        credentials: IceCreds,
        ssrc: u32,
        answer: &str,
    ) -> Result<Self, String> {
        let Answer {
            credentials: theirs,
            candidate,
            fingerprint,
        } = Answer::read(answer)?;
        if shared.sound.transcoded && !answer.contains(" opus/48000") {
            return Err("the gateway answered without Opus: --codec pcmu has what it takes".into());
        }
        let remote = candidate.addr();
        let any: SocketAddr = match remote.is_ipv4() {
            true => ([0, 0, 0, 0], 0).into(),
            false => ([0_u16; 8], 0).into(),
        };
        let open = async {
            let socket = UdpSocket::bind(any).await?;
            // Connected, it has the address that the way to the gateway begins with: our host candidate.
            socket.connect(remote).await?;
            // Before the runtime has heard of it, nothing can be sent without waiting.
            socket.writable().await?;
            let local = socket.local_addr()?;
            Ok::<_, std::io::Error>((socket, local))
        };
        let (socket, local) = open.await.map_err(|error| format!("{remote}: {error}"))?;
        let now = Instant::now();
        let mut ice = IceAgent::new(credentials);
        ice.set_controlling(true);
        let host = Candidate::host(local, "udp").map_err(|error| error.to_string())?;
        ice.add_local_candidate(host);
        ice.set_remote_credentials(theirs);
        ice.add_remote_candidate(candidate);
        ice.handle_timeout(now);
        let recorder = match (link.recorded, shared.sound.transcoded) {
            (false, _) => None,
            (true, true) => Some(Recorder::opus().map_err(|error| error.to_string())?),
            (true, false) => Some(Recorder::g711(Law::Mu)),
        };
        let units = shared.sound.units;
        let clock_rate = if shared.sound.transcoded {
            OPUS_CLOCK
        } else {
            8000
        };
        let mut media = Self {
            socket,
            wire: Wire::new(shared.impair_browser, u64::from(ssrc)),
            ice,
            local,
            remote,
            path: false,
            dtls: Client::new(now, shared.certificate.clone())?,
            fingerprint,
            keys: None,
            link,
            phone_talks: shared.phone_talks,
            participant: Participant::new(now, config(ssrc, clock_rate)),
            ear: Ear::new(units),
            recorder,
            loses: false,
            next_packet: None,
            began: None,
            ssrc,
            sequence: 0,
            timestamp: 0,
            buffer: vec![0; 2048],
        };
        media.after_ice(now)?;
        Ok(media)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.next_packet.is_some()
    }

    pub(crate) fn has_path(&self) -> bool {
        self.path
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Heard {
        Heard::of(&self.participant, &self.ear, self.recorder.as_ref())
    }

    pub(crate) fn due(&mut self) -> Option<Instant> {
        let rtcp = self.keys.as_ref().and(self.participant.poll_timeout());
        let dtls = self
            .dtls
            .poll_timeout()
            .filter(|_| self.path && self.keys.is_none());
        let others = [
            self.ice.poll_timeout(),
            self.next_packet,
            dtls,
            rtcp,
            self.wire.poll_timeout(),
        ];
        others.into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        sound: &Sound,
        figures: &mut Figures,
    ) -> Result<(), String> {
        if self.ice.poll_timeout().is_some_and(|at| at <= now) {
            self.ice.handle_timeout(now);
            self.after_ice(now)?;
        }
        if self.path && self.keys.is_none() && self.dtls.poll_timeout().is_some_and(|at| at <= now)
        {
            let packets = self.dtls.handle_timeout(now)?;
            self.send_dtls(now, packets)?;
        }
        // What a busy machine was late for goes at once: a load that sends less is no load.
        while let Some(due) = self.next_packet.filter(|at| *at <= now) {
            self.next_packet = Some(due + PACKET);
            self.send_audio(now, sound)?;
            self.began.get_or_insert(now);
        }
        self.send_report(now)?;
        while let Some((number, packet)) = self.wire.poll_out(now) {
            if let Some(number) = number {
                self.link.from_browser.sent_late(number, Instant::now());
            }
            // A full buffer, or a gateway that is gone for a moment, is a lost packet.
            let _ = self.socket.try_send(packet);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some((came, len)) = self.wire.poll_in(now, &mut buffer) {
            self.take(now, came, &mut buffer[..len], figures)?;
        }
        self.buffer = buffer;
        Ok(())
    }

    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        figures: &mut Figures,
    ) -> Result<(), String> {
        match self.wire.take_in(now, packet) {
            true => Ok(()),
            false => self.take(now, now, packet, figures),
        }
    }

    fn take(
        &mut self,
        now: Instant,
        came: Instant,
        packet: &mut [u8],
        figures: &mut Figures,
    ) -> Result<(), String> {
        match demux::classify(packet) {
            Kind::Stun => {
                let message = StunMessage::parse(packet).map_err(|error| error.to_string())?;
                self.ice.handle_packet(
                    now,
                    StunPacket {
                        proto: Protocol::Udp,
                        source: self.remote,
                        destination: self.local,
                        message,
                    },
                );
                // It nominates when it is told the time, and would do so only with its next check.
                self.ice.handle_timeout(now);
                self.after_ice(now)?;
            }
            Kind::Dtls => {
                let packets = self.dtls.handle_packet(now, packet)?;
                self.send_dtls(now, packets)?;
            }
            Kind::Rtp => {
                let Some(keys) = &mut self.keys else {
                    return Ok(());
                };
                // A repeated packet is refused as a replay: that is the network's doing.
                let Ok(len) = keys.receiver.unprotect_rtp(packet) else {
                    return Ok(());
                };
                let packet = rtp::read(&packet[..len]).map_err(|error| error.to_string())?;
                self.participant.received(now, &packet, true);
                let log = match self.phone_talks {
                    true => &self.link.from_phone,
                    false => &self.link.from_browser,
                };
                let place = self.ear.hear(came, &packet, log);
                if let Some(recorder) = &mut self.recorder {
                    recorder.hear(&packet, place);
                }
                if let Some(began) = self.began {
                    figures.heard.get_or_insert(now - began);
                }
            }
            Kind::Rtcp => {
                let Some(keys) = &mut self.keys else {
                    return Ok(());
                };
                if let Ok(len) = keys.receiver.unprotect_rtcp(packet) {
                    let read = self.participant.handle_rtcp(now, &packet[..len]);
                    read.map_err(|error| format!("RTCP: {error:?}"))?;
                    self.loses = self.participant.report().remote_loss > 0.0;
                }
            }
            Kind::Unknown => {}
        }
        Ok(())
    }

    /// Sends what the agent has to send, and begins DTLS when it has nominated a pair.
    fn after_ice(&mut self, now: Instant) -> Result<(), String> {
        while let Some(transmit) = self.ice.poll_transmit() {
            self.send(now, None, &transmit.contents);
        }
        while let Some(event) = self.ice.poll_event() {
            if let IceAgentEvent::NominatedSend { .. } = event
                && !self.path
            {
                self.path = true;
                let hello = self.dtls.handle_timeout(now)?;
                self.send_dtls(now, hello)?;
            }
        }
        Ok(())
    }

    fn send_dtls(&mut self, now: Instant, packets: Vec<Vec<u8>>) -> Result<(), String> {
        for packet in packets {
            self.send(now, None, &packet);
        }
        if self.keys.is_none() {
            self.keys = self.dtls.finish(&self.fingerprint)?;
            self.next_packet = self.keys.as_ref().map(|_| now);
        }
        Ok(())
    }

    fn send_audio(&mut self, now: Instant, sound: &Sound) -> Result<(), String> {
        let Some(keys) = &mut self.keys else {
            return Ok(());
        };
        let packets = match &sound.protected {
            Some(protected) if self.loses => protected,
            _ => &sound.packets,
        };
        let payload = &packets[usize::from(self.sequence) % packets.len()];
        let mut packet = [0; 2048];
        packet[..2]
            .copy_from_slice(&[0x80, sound.payload_type | u8::from(self.sequence == 0) << 7]);
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let len = 12 + payload.len();
        packet[12..len].copy_from_slice(payload);
        self.participant.sent(now, &packet[..len]);
        let len = keys
            .sender
            .protect_rtp(&mut packet[..len + MAX_OVERHEAD], len);
        let len = len.map_err(|error| error.to_string())?;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(sound.units);
        let number = self.link.from_browser.sent(Instant::now());
        self.send(now, Some(number), &packet[..len]);
        Ok(())
    }

    fn send_report(&mut self, now: Instant) -> Result<(), String> {
        let Some(keys) = &mut self.keys else {
            return Ok(());
        };
        let mut packet = [0; 1600];
        if let Some(len) = self.participant.poll_transmit(now, &mut packet[..1500]) {
            let len = keys.sender.protect_rtcp(&mut packet, len);
            let len = len.map_err(|error| error.to_string())?;
            self.send(now, None, &packet[..len]);
        }
        Ok(())
    }

    fn send(&mut self, now: Instant, number: Option<u64>, packet: &[u8]) {
        if !self.wire.take_out(now, number, packet) {
            let _ = self.socket.try_send(packet);
        }
    }
}

/// What makes a side's RTCP. A browser reports every second or so (RFC 4585 lets it), a telephone every five.
pub(crate) fn config(ssrc: u32, clock_rate: u32) -> ParticipantConfig {
    ParticipantConfig {
        ssrc,
        clock_rate,
        cname: format!("load-{ssrc:x}"),
        seed: u64::from(ssrc),
        ntp_start: 0,
        report_interval: Duration::from_secs(if clock_rate == OPUS_CLOCK { 1 } else { 5 }),
    }
}
