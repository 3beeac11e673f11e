//! The RTP side of a telephone whose SIP side is a SIPp scenario: hears, counts, speaks.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use codecs::tone::{DtmfTone, Sine};
use peer::srtp::MAX_OVERHEAD;
use peer::{DtlsSession, Identity, demux};

use crate::scene::{lock, wait_until};
use crate::sound::usual_level_at;

const PCMU: u8 = 0;
const PCMA: u8 = 8;
/// The payload type of telephone-events in the scenarios' SDP.
const TELEPHONE_EVENT: u8 = 101;
const PTIME: Duration = Duration::from_millis(20);
const SAMPLES: usize = 160;

/// What a telephone got by RTP.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The audio, decoded.
    pub audio: Vec<i16>,
    /// Payload type of the last audio packet.
    pub payload_type: Option<u8>,
    /// Telephone-events by their RTP timestamp: the key, the longest duration told, whether its end came.
    pub events: BTreeMap<u32, (char, u16, bool)>,
}

impl Received {
    /// The keys that were pressed, by the distinct events.
    pub fn digits(&self) -> String {
        self.events.values().map(|(key, ..)| *key).collect()
    }
}

/// See the module's documentation. It speaks as soon as it has been spoken to.
#[derive(Debug)]
pub struct RtpPhone {
    port: u16,
    received: Arc<Mutex<Received>>,
    keys: Arc<Mutex<VecDeque<Vec<u8>>>>,
    peer: Arc<Mutex<Option<SocketAddr>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    protocol: &'static str,
    attributes: String,
}

impl RtpPhone {
    /// One that plays a tone of this frequency, 10 dB under the loudest, as PCMU.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start(hz: f64) -> Self {
        Self::with(hz, "RTP/AVP", String::new(), None)
    }

    /// One with DTLS-SRTP, which answers this offer in the active or the passive role (RFC 5763 §5).
    ///
    /// # Panics
    /// The offer has no fingerprint.
    pub fn start_dtls(hz: f64, offer: &str, active: bool) -> Self {
        let identity = Arc::new(Identity::generate().expect("a certificate"));
        let theirs = offer
            .split("a=fingerprint:sha-256 ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.trim().parse().ok())
            .expect("a fingerprint in the offer");
        let role = if active { "active" } else { "passive" };
        let attributes = format!(
            "a=rtcp-mux\r\na=setup:{role}\r\na=fingerprint:sha-256 {}\r\n",
            identity.fingerprint()
        );
        let session = DtlsSession::new(Instant::now(), identity, theirs, active);
        Self::with(hz, "UDP/TLS/RTP/SAVP", attributes, Some(session))
    }

    fn with(
        hz: f64,
        protocol: &'static str,
        attributes: String,
        dtls: Option<DtlsSession>,
    ) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket
            .set_read_timeout(Some(Duration::from_millis(2)))
            .expect("a time-out can be set");
        let port = socket.local_addr().expect("a bound socket").port();
        let received = Arc::new(Mutex::new(Received::default()));
        let keys = Arc::new(Mutex::new(VecDeque::new()));
        let peer = Arc::new(Mutex::new(None));
        let stop = Arc::new(AtomicBool::new(false));
        let line = Line {
            socket,
            received: Arc::clone(&received),
            keys: Arc::clone(&keys),
            tone: Sine::new(hz, -10.0),
            peer: Arc::clone(&peer),
            ssrc: 0x5349_0000 | u32::from(port),
            sequence: 7000,
            timestamp: 90_000,
            dtls,
        };
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || line.run(&stopped));
        Self {
            port,
            received,
            keys,
            peer,
            stop,
            thread: Some(thread),
            protocol,
            attributes,
        }
    }

    /// Where it hears.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its `m=` line's protocol, and the lines that its keys need.
    pub fn security(&self) -> (&'static str, &str) {
        (self.protocol, &self.attributes)
    }

    /// Whom it speaks to.
    pub fn peer(&self) -> Option<SocketAddr> {
        *lock(&self.peer)
    }

    /// Speaks to somebody who has not spoken to it.
    pub fn speak_to(&self, peer: SocketAddr) {
        *lock(&self.peer) = Some(peer);
    }

    /// Speaks to where that SDP has its audio, on this machine.
    ///
    /// # Panics
    /// It has none.
    #[track_caller]
    pub fn speak_as_told(&self, sdp: &[u8]) {
        let sdp = String::from_utf8_lossy(sdp);
        let media = sdp.split("m=audio ").nth(1);
        let port = media.and_then(|media| media.split(' ').next()?.parse().ok());
        let port: u16 = port.expect("a port for audio");
        self.speak_to((Ipv4Addr::LOCALHOST, port).into());
    }

    /// What it has got so far.
    pub fn received(&self) -> Received {
        lock(&self.received).clone()
    }

    /// Asserts that it hears that tone, so loud, for a whole second, soon. A machine that is busy with other tests may make
    /// one second late, and so quieter.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    pub fn assert_hears(&self, hz: f64, dbfs: f64, soon: Duration) {
        let deadline = Instant::now() + soon;
        loop {
            self.forget();
            let heard = wait_until("second of audio at the phone", soon, || {
                Some(self.received().audio).filter(|audio| audio.len() >= 8000)
            });
            let level = usual_level_at(&heard, hz, 8000);
            if (level - dbfs).abs() < 3.0 {
                return;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "the phone hears {hz} Hz at {level} dBFS");
        }
    }

    /// Forgets what it has got.
    pub fn forget(&self) {
        *lock(&self.received) = Received::default();
    }

    /// Presses a key for 100 ms, RFC 4733 §2.5: five updates and an end told three times.
    pub fn press(&self, digit: char) {
        let event =
            u8::try_from("0123456789*#ABCD".find(digit).expect("a key")).expect("sixteen keys");
        let durations = [
            (160u16, false),
            (320, false),
            (480, false),
            (640, false),
            (800, false),
            (800, true),
            (800, true),
            (800, true),
        ];
        let packets = durations.map(|(duration, end)| {
            let [high, low] = duration.to_be_bytes();
            vec![event, if end { 0x8a } else { 0x0a }, high, low]
        });
        let mut keys = lock(&self.keys);
        keys.extend(packets);
        // Audio for 60 ms, so that the next press is another one.
        keys.extend([const { Vec::new() }; 3]);
    }
}

impl RtpPhone {
    /// Presses a key for 100 ms, as tones in the audio.
    pub fn sound(&self, digit: char) {
        let mut tone = DtmfTone::with_twist(digit, -9.0, 2.0).expect("a key");
        let mut keys = lock(&self.keys);
        for sounds in [true, true, true, true, true, false, false, false] {
            let mut pcm = [0; SAMPLES];
            if sounds {
                tone.fill(&mut pcm);
            }
            let mut payload = vec![0; SAMPLES];
            g711::encode_into(Law::Mu, &pcm, &mut payload);
            keys.push_back(payload);
        }
    }
}

impl Drop for RtpPhone {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Line {
    socket: UdpSocket,
    received: Arc<Mutex<Received>>,
    keys: Arc<Mutex<VecDeque<Vec<u8>>>>,
    tone: Sine,
    peer: Arc<Mutex<Option<SocketAddr>>>,
    /// Two telephones of one call are two sources.
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    dtls: Option<DtlsSession>,
}

impl Line {
    fn run(mut self, stop: &AtomicBool) {
        let mut packet = [0; 2048];
        let mut due = Instant::now();
        let mut pressed_at = None;
        while !stop.load(Ordering::Relaxed) {
            if let Ok((len, from)) = self.socket.recv_from(&mut packet) {
                self.take(&mut packet[..len], from);
            }
            self.shake_hands();
            let Some(peer) = *lock(&self.peer) else {
                due = Instant::now();
                continue;
            };
            while due <= Instant::now() {
                due += PTIME;
                let key = lock(&self.keys).pop_front();
                let mut packet = match key {
                    Some(audio) if audio.len() == SAMPLES => {
                        pressed_at = None;
                        self.packet(PCMU, false, self.timestamp, &audio)
                    }
                    Some(key) if !key.is_empty() => {
                        let first = pressed_at.is_none();
                        let start = *pressed_at.get_or_insert(self.timestamp);
                        self.packet(TELEPHONE_EVENT, first, start, &key)
                    }
                    _ => {
                        pressed_at = None;
                        let mut pcm = [0; SAMPLES];
                        self.tone.fill(&mut pcm);
                        let mut payload = [0; SAMPLES];
                        g711::encode_into(Law::Mu, &pcm, &mut payload);
                        self.packet(PCMU, false, self.timestamp, &payload)
                    }
                };
                if self.protect(&mut packet) {
                    let _ = self.socket.send_to(&packet, peer);
                }
                self.timestamp = self.timestamp.wrapping_add(160);
            }
        }
    }

    fn packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    /// Takes what comes, decrypted where there are keys.
    fn take(&mut self, packet: &mut [u8], from: SocketAddr) {
        let len = packet.len();
        let len = match &mut self.dtls {
            None => len,
            Some(dtls) if demux::classify(packet) == demux::Kind::Dtls => {
                lock(&self.peer).get_or_insert(from);
                let _ = dtls.handle_datagram(Instant::now(), packet);
                return;
            }
            Some(dtls) => match dtls
                .keys()
                .map(|(inbound, _)| inbound.unprotect_rtp(packet))
            {
                Some(Ok(len)) => len,
                _ => return,
            },
        };
        self.hear(&packet[..len], from);
    }

    fn shake_hands(&mut self) {
        let Some(dtls) = &mut self.dtls else { return };
        if dtls.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            let _ = dtls.handle_timeout(Instant::now());
        }
        let Some(peer) = *lock(&self.peer) else {
            return;
        };
        while let Some(datagram) = dtls.poll_transmit() {
            let _ = self.socket.send_to(&datagram, peer);
        }
    }

    /// Encrypts a packet; false where that must be done and cannot be yet.
    fn protect(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(dtls) = &mut self.dtls else {
            return true;
        };
        let Some((_, outbound)) = dtls.keys() else {
            return false;
        };
        let len = packet.len();
        packet.resize(len + MAX_OVERHEAD, 0);
        let protected = outbound.protect_rtp(packet, len);
        packet.truncate(protected.unwrap_or(0));
        protected.is_ok()
    }

    fn hear(&mut self, packet: &[u8], from: SocketAddr) {
        let (Some(header), Some(payload)) = (packet.first_chunk::<12>(), packet.get(12..)) else {
            return;
        };
        if header[0] != 0x80 {
            return;
        }
        lock(&self.peer).get_or_insert(from);
        let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut received = lock(&self.received);
        match header[1] & 0x7f {
            payload_type @ (PCMU | PCMA) => {
                let law = if payload_type == PCMU {
                    Law::Mu
                } else {
                    Law::A
                };
                received.payload_type = Some(payload_type);
                received
                    .audio
                    .extend(payload.iter().map(|byte| g711::decode(law, *byte)));
            }
            TELEPHONE_EVENT => {
                let Some([event, flags, high, low]) = payload.first_chunk::<4>() else {
                    return;
                };
                let key = "0123456789*#ABCD"
                    .chars()
                    .nth(usize::from(*event))
                    .unwrap_or('?');
                let entry = received.events.entry(timestamp).or_insert((key, 0, false));
                entry.1 = entry.1.max(u16::from_be_bytes([*high, *low]));
                entry.2 |= flags & 0x80 != 0;
            }
            _ => {}
        }
    }
}
