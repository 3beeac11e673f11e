//! A worker's own loop, driven by hand: a call with a whole browser (ICE, DTLS, SRTP) over real sockets.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use codecs::opus::{Encoder, EncoderSettings};
use media::{Codec, Leg, RtpFormat, StreamStart};
use peer::demux::{self, Kind};
use peer::srtp::MAX_OVERHEAD;
use peer::testing::{self, Browser, Check};
use peer::{Fingerprint, IceCredentials, Path};
use tokio::sync::mpsc::{self, Receiver};

use super::thread::{Turns, WorkerThread};
use super::*;
use crate::call::CallId;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longer than a handshake takes on the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(20);

const CALL: CallId = CallId(1);

struct Scene {
    worker: WorkerThread,
    turns: Turns,
    commands: SyncSender<MediaCommand>,
    events: Receiver<Box<MediaEvent>>,
    browser: Browser,
    socket: UdpSocket,
    gateway: SocketAddr,
    phone: UdpSocket,
    rtp: SocketAddr,
    sequence: u16,
}

impl Scene {
    /// A call whose browser is connected.
    fn connected() -> Self {
        let settings = WorkerSettings {
            workers: 1,
            listen: vec![LOCALHOST],
            port: 0,
            external_addresses: Vec::new(),
            rtp_address: LOCALHOST,
            rtp_external: None,
            rtp_ports: 21500..=21599,
            port_rest: Duration::from_secs(30),
            timeout: PATIENCE,
            consent_timeout: Duration::from_secs(30),
            opus: EncoderSettings::default(),
            dtx: true,
            max_complexity: 0,
            identity: Arc::new(Identity::generate().unwrap()),
            relay: None,
        };
        let (commands, inbox) = sync_channel(COMMAND_QUEUE);
        let mut worker = WorkerThread::bind(&settings, 0, inbox, Arc::default()).unwrap();
        let gateway = worker.local_addresses()[0];
        let mut turns = worker.turns();
        let certificate = testing::certificate();
        let (ours, theirs) = (ice(1), ice(2));
        let (sender, mut events) = mpsc::channel(EVENT_QUEUE);
        let open = OpenCall {
            call: CALL,
            browser: Some(OpenBrowser {
                local: ours.clone(),
                remote: theirs.clone(),
                fingerprint: Fingerprint::of(&certificate.certificate),
                format: RtpFormat::usual(Codec::Opus),
            }),
            browser_start: start(1),
            trunk_start: start(2),
            cname: "test".into(),
            seed: 1,
            ntp_start: 0,
            impairments: Default::default(),
        };
        let command = MediaCommand::Open(Box::new(open), sender);
        commands.send(command).unwrap();
        worker.waker().wake().unwrap();
        worker.turn(&mut turns).unwrap();
        let MediaEvent::Opened { rtp, .. } = *events.try_recv().unwrap() else {
            panic!("not opened")
        };
        let phone = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        let media = TrunkMedia::usual(phone.local_addr().unwrap(), Codec::Pcmu);
        commands
            .send(MediaCommand::Bridge(
                CALL,
                media::Leg::Trunk,
                Box::new(media),
            ))
            .unwrap();
        worker.waker().wake().unwrap();
        let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        phone.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let browser = Browser::new(now, testing::config(1), certificate, theirs, ours);
        let mut scene = Self {
            worker,
            turns,
            commands,
            events,
            browser,
            socket,
            gateway,
            phone,
            rtp,
            sequence: 0,
        };
        scene.connect();
        scene
    }

    fn connect(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.check();
        let hello = self.browser.handle_timeout(Instant::now());
        self.send_all(hello);
        while !self.browser.connected {
            assert!(Instant::now() < deadline, "no DTLS");
            self.turn();
            let mut packet = [0; 2048];
            while let Ok((len, _)) = self.socket.recv_from(&mut packet) {
                if demux::classify(&packet[..len]) == Kind::Dtls {
                    let answer = self.browser.handle_dtls(Instant::now(), &packet[..len]);
                    self.send_all(answer);
                }
            }
            let again = self.browser.handle_timeout(Instant::now());
            self.send_all(again);
        }
    }

    fn check(&mut self) {
        let check = self.browser.check(Check::default());
        self.socket.send_to(&check, self.gateway).unwrap();
    }

    fn send_all(&self, packets: Vec<Vec<u8>>) {
        for packet in packets {
            self.socket.send_to(&packet, self.gateway).unwrap();
        }
    }

    /// One turn of the worker, which never waits for long here.
    fn turn(&mut self) {
        self.worker.waker().wake().unwrap();
        self.worker.turn(&mut self.turns).unwrap();
    }

    fn command(&mut self, command: MediaCommand) {
        self.commands.send(command).unwrap();
        self.turn();
    }

    /// 20 ms of a call: a packet each way; what the worker allocated for them, and how many came out of it.
    fn packets(&mut self, opus: &[u8]) -> (u64, u64) {
        self.sequence += 1;
        let mut packet = vec![0; 2048];
        let len = rtp(&mut packet, 111, self.sequence, 960, opus);
        let (outbound, inbound, _) = self.browser.keys.as_mut().unwrap();
        let len = outbound.protect_rtp(&mut packet[..len + MAX_OVERHEAD], len);
        let sent = self.socket.send_to(&packet[..len.unwrap()], self.gateway);
        sent.unwrap();
        let len = rtp(&mut packet, 0, self.sequence, 160, &[0xd5; 160]);
        self.phone.send_to(&packet[..len], self.rtp).unwrap();
        let (worker, turns) = (&mut self.worker, &mut self.turns);
        worker.waker().wake().unwrap();
        let info = allocation_counter::measure(|| {
            worker.turn(turns).unwrap();
        });
        let mut came = 0;
        while let Ok((len, _)) = self.socket.recv_from(&mut packet) {
            if demux::classify(&packet[..len]) == Kind::Rtp {
                inbound.unprotect_rtp(&mut packet[..len]).unwrap();
                came += 1;
            }
        }
        while let Ok((len, _)) = self.phone.recv_from(&mut packet) {
            came += u64::from(demux::classify(&packet[..len]) == Kind::Rtp);
        }
        (info.count_total, came)
    }

    /// The browser's 5-tuple.
    fn path(&self) -> Path {
        Path::udp(self.gateway, self.socket.local_addr().unwrap())
    }

    fn ways(&self) -> (usize, usize, usize) {
        self.worker.calls().ways()
    }
}

fn ice(seed: u8) -> IceCredentials {
    IceCredentials::from_random(&[seed; 32])
}

fn start(ssrc: u32) -> StreamStart {
    StreamStart {
        ssrc,
        sequence: 1,
        timestamp: 1,
    }
}

/// An RTP packet; its length.
fn rtp(packet: &mut [u8], payload_type: u8, sequence: u16, units: u32, payload: &[u8]) -> usize {
    packet[..2].copy_from_slice(&[0x80, payload_type]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(sequence) * units).to_be_bytes());
    packet[8..12].copy_from_slice(&[0, 0, 0, payload_type]);
    packet[12..12 + payload.len()].copy_from_slice(payload);
    12 + payload.len()
}

#[test]
fn the_loop_of_a_worker_allocates_nothing_for_media() {
    let mut scene = Scene::connected();
    let mut encoder = Encoder::new(EncoderSettings::default()).unwrap();
    let mut opus = [0; 1276];
    let pcm: Vec<i16> = (0..160).map(|n| (n * 97 % 400 * 20) as i16).collect();
    let mut packets = |scene: &mut Scene| {
        let len = encoder.encode(&pcm, &mut opus).unwrap();
        scene.packets(&opus[..len])
    };
    // The first ones open the latch and tell the call's task.
    for _ in 0..10 {
        packets(&mut scene);
    }
    let (mut allocated, mut came) = (0, 0);
    for _ in 0..100 {
        let (more, out) = packets(&mut scene);
        allocated += more;
        came += out;
    }
    assert!(came > 150, "{came} of 200");
    assert_eq!(allocated, 0);
    let first =
        |leg: Box<MediaEvent>| matches!(*leg, MediaEvent::FirstPacket(Leg::Browser | Leg::Trunk));
    let mut events = std::iter::from_fn(|| scene.events.try_recv().ok());
    assert_eq!(
        events.by_ref().filter(|event| first(event.clone())).count(),
        2
    );
}

#[test]
fn every_way_to_a_call_goes_with_it_and_restarts_leave_none_behind() {
    let mut scene = Scene::connected();
    assert_eq!(scene.ways(), (1, 1, 1));
    for seed in 10..20 {
        let (local, remote) = (ice(seed), ice(seed + 100));
        scene.command(MediaCommand::RestartIce(CALL, local, remote));
    }
    assert_eq!(scene.ways(), (1, 1, 2));
    // With a pair nominated in the new session, the one of the old is no way to the call any more.
    let before = scene.path();
    scene.browser.gateway = ice(19);
    scene.browser.credentials = ice(119);
    scene.socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    scene.check();
    let deadline = Instant::now() + PATIENCE;
    while scene.worker.calls().by_path(&scene.path()).is_none() {
        assert!(Instant::now() < deadline, "{:?}", scene.ways());
        scene.turn();
    }
    assert_eq!(scene.worker.calls().by_path(&before), None);
    assert_eq!(scene.ways(), (1, 1, 2));
    scene.command(MediaCommand::Close(CALL));
    assert_eq!(scene.ways(), (0, 0, 0));
}

/// It may be another call's in between: one user has two, and one address.
#[test]
fn a_path_that_is_learnt_again_is_kept_once() {
    let mut scene = Scene::connected();
    let path = scene.path();
    let slot = scene.worker.calls().by_path(&path).unwrap();
    for _ in 0..100 {
        scene.worker.calls.learn_path(path, slot);
    }
    assert_eq!(scene.worker.calls().paths(slot), 1);
}
