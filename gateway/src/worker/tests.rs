//! Workers over real sockets: waits are for events, with deadlines.

mod relay;
mod streams;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use media::{Codec, Digit, Leg, RtpFormat, StreamStart};
use peer::{Fingerprint, IceCredentials};
use tokio::sync::mpsc::{self, Receiver};

use super::*;
use crate::call::CallId;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longer than anything here takes, on the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(20);

fn workers(rtp_ports: RangeInclusive<u16>, timeout: Duration) -> Workers {
    Workers::start(&settings(rtp_ports, timeout)).unwrap()
}

fn settings(rtp_ports: RangeInclusive<u16>, timeout: Duration) -> WorkerSettings {
    WorkerSettings {
        workers: 1,
        listen: vec![LOCALHOST],
        port: 0,
        external_addresses: Vec::new(),
        rtp_address: LOCALHOST,
        rtp_external: None,
        rtp_ports,
        port_rest: Duration::from_secs(30),
        timeout,
        consent_timeout: Duration::from_secs(30),
        opus: codecs::opus::EncoderSettings::default(),
        dtx: true,
        max_complexity: 5,
        identity: Arc::new(Identity::generate().unwrap()),
        relay: None,
    }
}

/// How a telephone with that socket is reached.
fn telephone(socket: &UdpSocket, codec: Codec) -> TrunkMedia {
    TrunkMedia::usual(socket.local_addr().unwrap(), codec)
}

/// A call on a worker and the telephone it talks to.
struct Call {
    id: CallId,
    worker: WorkerHandle,
    events: Receiver<Box<MediaEvent>>,
    phone: UdpSocket,
    rtp: SocketAddr,
    sequence: u16,
}

fn start(ssrc: u32) -> StreamStart {
    StreamStart {
        ssrc,
        sequence: 1,
        timestamp: 1,
    }
}

fn open(worker: &WorkerHandle, id: u64) -> Receiver<Box<MediaEvent>> {
    open_with(worker, id, EVENT_QUEUE)
}

/// One whose task may be so many events behind.
fn open_with(worker: &WorkerHandle, id: u64, queue: usize) -> Receiver<Box<MediaEvent>> {
    let open = OpenCall {
        call: CallId(id),
        browser: Some(OpenBrowser {
            local: IceCredentials::from_random(&[id as u8; 32]),
            remote: IceCredentials::from_random(&[id as u8 + 100; 32]),
            fingerprint: Fingerprint([0; 32]),
            format: RtpFormat::usual(Codec::Opus),
        }),
        browser_start: start(1),
        trunk_start: start(2),
        cname: "test".into(),
        seed: id,
        ntp_start: 0,
        impairments: Default::default(),
    };
    let (sender, events) = mpsc::channel(queue);
    worker
        .send(MediaCommand::Open(Box::new(open), sender))
        .unwrap();
    events
}

fn next(events: &mut Receiver<Box<MediaEvent>>) -> MediaEvent {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match events.try_recv() {
            Ok(event) => return *event,
            Err(mpsc::error::TryRecvError::Empty) if Instant::now() < deadline => {
                std::thread::yield_now();
            }
            Err(error) => panic!("no event: {error}"),
        }
    }
}

impl Call {
    fn open(worker: &WorkerHandle, id: u64) -> Self {
        let mut events = open(worker, id);
        let MediaEvent::Opened { rtp, .. } = next(&mut events) else {
            panic!("not opened")
        };
        let phone = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        phone.set_read_timeout(Some(PATIENCE)).unwrap();
        let media = Box::new(telephone(&phone, Codec::Pcmu));
        let bridge = MediaCommand::Bridge(CallId(id), Leg::Trunk, media);
        worker.send(bridge).unwrap();
        let worker = worker.clone();
        Self {
            id: CallId(id),
            worker,
            events,
            phone,
            rtp,
            sequence: 0,
        }
    }

    fn send(&self, command: MediaCommand) {
        self.worker.send(command).unwrap();
    }

    /// The telephone sends 20 ms of PCMU.
    fn speak(&mut self) {
        self.sequence += 1;
        self.send_rtp(0, self.sequence, &[0xff; 160]);
    }

    /// The telephone presses a key, and the call hears of it: by then it has taken every packet
    /// that was sent before.
    fn presses_a_key(&mut self) {
        self.sequence += 1;
        let [high, low] = 800_u16.to_be_bytes();
        self.send_rtp(101, self.sequence, &[5, 0x80, high, low]);
        while !matches!(next(&mut self.events), MediaEvent::Dtmf(..)) {}
    }

    fn send_rtp(&self, payload_type: u8, time: u16, payload: &[u8]) {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(time) * 160).to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend(payload);
        self.phone.send_to(&packet, self.rtp).unwrap();
    }

    /// The gateway sends a digit, and the telephone waits for its first packet.
    fn hears_a_digit(&self) {
        let digit = Digit::try_from('5').unwrap();
        self.send(MediaCommand::Dtmf(
            self.id,
            media::Leg::Trunk,
            digit,
            Duration::from_millis(100),
        ));
        let mut packet = [0; 1500];
        loop {
            let (len, from) = self.phone.recv_from(&mut packet).unwrap();
            assert_eq!(from, self.rtp);
            if packet[1] & 0x7f == 101 {
                assert_eq!((len, packet[12]), (16, 5));
                return;
            }
        }
    }

    fn closes(&mut self) -> MediaReport {
        self.send(MediaCommand::Close(self.id));
        loop {
            match next(&mut self.events) {
                MediaEvent::Closed(report) => return *report,
                MediaEvent::FirstPacket(_) => {}
                other => panic!("not closed: {other:?}"),
            }
        }
    }
}

#[test]
fn a_panic_in_one_call_ends_that_call_and_leaves_the_others_untouched() {
    let workers = workers(21000..=21099, PATIENCE);
    let worker = workers.least_loaded().unwrap();
    let mut doomed = Call::open(&worker, 1);
    let mut other = Call::open(&worker, 2);
    (0..20).for_each(|_| other.speak());
    doomed.send(MediaCommand::Sabotage(doomed.id));
    doomed.speak();
    (0..20).for_each(|_| other.speak());
    loop {
        match next(&mut doomed.events) {
            MediaEvent::Panicked => break,
            MediaEvent::FirstPacket(_) => {}
            event => panic!("not ended: {event:?}"),
        }
    }
    (0..20).for_each(|_| other.speak());
    other.hears_a_digit();
    other.presses_a_key();
    let report = other.closes();
    assert_eq!((report.phone.packets_in, report.phone.lost), (61, 0));
    // The worker goes on to take new calls.
    Call::open(&worker, 3).hears_a_digit();
    workers.stop();
}

#[test]
fn a_call_without_a_free_port_is_refused_and_the_port_of_an_ended_call_rests() {
    let workers = workers(21100..=21101, PATIENCE);
    let worker = workers.least_loaded().unwrap();
    let mut only = Call::open(&worker, 1);
    let refused = |id| {
        matches!(
            next(&mut open(&worker, id)),
            MediaEvent::Refused(OpenError::NoPort(_))
        )
    };
    assert!(refused(2));
    only.closes();
    assert!(refused(3), "the port rests");
    workers.stop();
}

#[test]
fn another_telephone_takes_the_browsers_place_on_ports_of_its_own() {
    let workers = workers(21800..=21803, Duration::from_millis(500));
    let worker = workers.least_loaded().unwrap();
    let mut call = Call::open(&worker, 1);
    call.send(MediaCommand::Answered(call.id));
    call.presses_a_key();
    call.send(MediaCommand::AddTelephone(call.id, start(77)));
    let MediaEvent::Added { rtp, rtcp } = next(&mut call.events) else {
        panic!("not added")
    };
    assert!(rtp != call.rtp && rtcp.port() == rtp.port() + 1);
    let other = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    let id = call.id;
    let media = |media: TrunkMedia| MediaCommand::Bridge(id, Leg::Browser, Box::new(media));
    call.send(media(telephone(&other, Codec::Pcma)));
    let MediaEvent::BrowserLeft(report) = next(&mut call.events) else {
        panic!("the browser is there still")
    };
    assert_eq!(report.phone.packets_in, 1);
    // What one says the other hears, in its own codec; each from its own port.
    let mut packet = [0; 1500];
    call.speak();
    let (len, from) = other.recv_from(&mut packet).unwrap();
    assert_eq!((len, from, packet[1] & 0x7f), (172, rtp, 8));
    let says = |payload_type: u8, sequence: u8, payload: &[u8]| {
        let header = [
            0x80,
            payload_type,
            0,
            sequence,
            0,
            0,
            sequence,
            0,
            0,
            0,
            0,
            9,
        ];
        let packet = [&header[..], payload].concat();
        other.send_to(&packet, rtp).unwrap();
    };
    says(8, 1, &[0xd5; 160]);
    let (len, from) = call.phone.recv_from(&mut packet).unwrap();
    assert_eq!((len, from, packet[1] & 0x7f), (172, call.rtp, 0));
    // A key of either is told: it may come by INFO, too.
    says(101, 2, &[5, 0x80, 3, 32]);
    while !matches!(next(&mut call.events), MediaEvent::Dtmf(Leg::Browser, _, _)) {}
    // Who falls silent ends it, whichever of the two that is; who is on hold is silent by right.
    let held = TrunkMedia {
        receive: false,
        ..telephone(&other, Codec::Pcma)
    };
    call.send(media(held));
    loop {
        match next(&mut call.events) {
            MediaEvent::FirstPacket(_) => {}
            MediaEvent::Silent(..) => break,
            event => panic!("not silent: {event:?}"),
        }
    }
    call.closes();
    assert!(
        matches!(
            next(&mut open(&worker, 2)),
            MediaEvent::Refused(OpenError::NoPort(_))
        ),
        "both of its ports rest"
    );
    workers.stop();
}

#[test]
fn what_a_call_waits_for_is_told_though_its_task_is_behind() {
    let workers = workers(21900..=21903, PATIENCE);
    let worker = workers.least_loaded().unwrap();
    let mut events = open_with(&worker, 1, 1);
    let id = CallId(1);
    let add = || MediaCommand::AddTelephone(id, start(77));
    worker.send(add()).unwrap();
    worker.send(add()).unwrap();
    // Its turn has come when another call's media is open.
    next(&mut open(&worker, 2));
    let told = [(); 3].map(|()| next(&mut events));
    assert!(
        matches!(
            told,
            [
                MediaEvent::Opened { .. },
                MediaEvent::Added { .. },
                MediaEvent::Added { .. }
            ]
        ),
        "{told:?}"
    );
    workers.stop();
}

#[test]
fn a_stranger_on_the_phones_port_is_not_heard() {
    let workers = workers(21200..=21299, PATIENCE);
    let worker = workers.least_loaded().unwrap();
    let mut call = Call::open(&worker, 1);
    call.speak();
    let stranger = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let phone = std::mem::replace(&mut call.phone, stranger);
    (0..10).for_each(|_| call.speak());
    call.phone = phone;
    call.sequence = 1;
    call.presses_a_key();
    let report = call.closes();
    assert_eq!((report.phone.packets_in, report.phone.bad), (2, 10));
    workers.stop();
}

#[test]
fn a_phone_that_comes_back_from_another_port_is_heard_and_sent_to_there() {
    let workers = workers(21700..=21799, PATIENCE);
    let worker = workers.least_loaded().unwrap();
    let mut call = Call::open(&worker, 1);
    call.presses_a_key();
    let moved = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    // As long as a packet lasts: it listens for ours, and there are none before it is believed.
    moved
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let before = std::mem::replace(&mut call.phone, moved);
    let to = call.phone.local_addr().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "its new port is not taken");
        call.speak();
        match call.events.try_recv().map(|event| *event) {
            Ok(MediaEvent::Moved { from, to: now, .. }) => {
                assert_eq!((from, now), (before.local_addr().unwrap(), to));
                break;
            }
            Ok(_) => {}
            Err(_) => drop(call.phone.recv_from(&mut [0; 1500])),
        }
    }
    call.phone.set_read_timeout(Some(PATIENCE)).unwrap();
    call.hears_a_digit();
    workers.stop();
}

#[test]
fn a_phone_that_falls_silent_after_the_answer_is_reported_once() {
    let workers = workers(21300..=21399, Duration::from_millis(300));
    let worker = workers.least_loaded().unwrap();
    let mut call = Call::open(&worker, 1);
    call.send(MediaCommand::Answered(call.id));
    call.speak();
    assert!(matches!(
        next(&mut call.events),
        MediaEvent::FirstPacket(media::Leg::Trunk)
    ));
    assert!(
        matches!(next(&mut call.events), MediaEvent::Silent(Leg::Trunk, silence) if silence == Duration::from_millis(300))
    );
    call.closes();
    workers.stop();
}

#[test]
fn a_call_that_nobody_owns_any_more_is_closed() {
    let workers = workers(21400..=21499, PATIENCE);
    let worker = workers.least_loaded().unwrap();
    let mut call = Call::open(&worker, 1);
    call.events.close();
    let deadline = Instant::now() + PATIENCE;
    while worker.calls.load(Ordering::Relaxed) > 0 {
        assert!(Instant::now() < deadline, "the call is still there");
        std::thread::yield_now();
    }
    workers.stop();
}

#[test]
fn a_worker_that_died_is_passed_over_and_its_calls_hear_of_it() {
    let settings = WorkerSettings {
        workers: 2,
        ..settings(21_600..=21_699, PATIENCE)
    };
    let workers = Workers::start(&settings).unwrap();
    let doomed = workers.least_loaded().unwrap();
    let mut call = Call::open(&doomed, 1);
    doomed.send(MediaCommand::SabotageWorker).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !matches!(
        call.events.try_recv(),
        Err(mpsc::error::TryRecvError::Disconnected)
    ) {
        assert!(Instant::now() < deadline, "the call was told nothing");
        std::thread::yield_now();
    }
    while workers
        .workers
        .iter()
        .filter(|worker| worker.is_alive())
        .count()
        > 1
    {
        assert!(Instant::now() < deadline, "the worker lives");
        std::thread::yield_now();
    }
    let other = workers.least_loaded().unwrap();
    assert_ne!(other.candidates(), doomed.candidates());
    Call::open(&other, 2).hears_a_digit();
    other.send(MediaCommand::SabotageWorker).unwrap();
    while workers.least_loaded().is_some() {
        assert!(Instant::now() < deadline, "the other worker lives");
        std::thread::yield_now();
    }
    workers.stop();
}

#[test]
fn relayed_datagrams_leave_room_for_commands_and_sockets() {
    let settings = settings(22_200..=22_299, PATIENCE);
    let Bound { handle, mut thread } = Bound::new(&settings, 0).unwrap();
    let path = peer::Path::udp(handle.candidates()[0], handle.candidates()[0]);
    for _ in 0..2 * COMMAND_QUEUE {
        handle.relay(MediaCommand::FromRelay(path, Box::new([0; 4])));
    }
    let waiting = || handle.datagrams.load(Ordering::Relaxed);
    assert_eq!(waiting(), DATAGRAM_QUEUE);
    let mut events = open(&handle, 1);
    let mut turns = thread.turns();
    let mut count = 0;
    while waiting() > 0 {
        let before = waiting();
        thread.turn(&mut turns).unwrap();
        assert!(waiting() < before && before - waiting() <= 256);
        count += 1;
    }
    assert_eq!(count, DATAGRAM_QUEUE / 256);
    thread.turn(&mut turns).unwrap();
    assert!(matches!(next(&mut events), MediaEvent::Opened { .. }));
}

#[test]
fn every_worker_gets_its_own_even_ports() {
    let share = |index| share_of_ports(&(20_001..=20_020), 3, index);
    assert_eq!(
        [share(0), share(1), share(2)],
        [(20_002, 3), (20_008, 3), (20_014, 3)]
    );
    assert_eq!(share_of_ports(&(65_534..=65_535), 1, 0), (65_534, 1));
}

#[test]
fn behind_nat_browsers_are_told_the_external_address() {
    let local: SocketAddr = "10.0.0.1:7000".parse().unwrap();
    let external = "203.0.113.5".parse().unwrap();
    assert_eq!(
        *candidates(&[local], &[external]),
        ["203.0.113.5:7000".parse().unwrap()]
    );
    assert_eq!(*candidates(&[local], &[]), [local]);
    // What is said of one family says nothing of the other.
    let other: SocketAddr = "[2001:db8::1]:7000".parse().unwrap();
    assert_eq!(
        *candidates(&[local, other], &[external]),
        ["203.0.113.5:7000".parse().unwrap(), other]
    );
}
