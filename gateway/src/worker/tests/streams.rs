//! Browsers' connections, with a browser's end that the tests hold.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use mio::Poll;

use super::super::streams::{
    Carries, Filled, Incoming, MAX_MESSAGE, MAX_NEWCOMERS, MAX_OF_SOURCE, Streams,
};
use super::*;

/// One connection among a worker's, and its other end.
struct Scene {
    streams: Streams,
    poll: Poll,
    now: Instant,
    number: usize,
    ends: (SocketAddr, SocketAddr),
    browser: TcpStream,
}

impl Scene {
    fn new(carries: Carries, first_bytes: &[u8]) -> Self {
        let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
        let browser = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        browser.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, remote) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let incoming = Incoming {
            socket,
            tls: None,
            carries,
            local,
            remote,
            first_bytes: first_bytes.to_vec(),
            passed: 0,
        };
        let (mut streams, poll, now) = (Streams::default(), Poll::new().unwrap(), Instant::now());
        let number = streams.add(now, incoming, poll.registry(), 0).unwrap();
        Self {
            streams,
            poll,
            now,
            number,
            ends: (local, remote),
            browser,
        }
    }

    /// The next message, when it has come.
    fn message(&mut self) -> Vec<u8> {
        let mut message = [0; MAX_MESSAGE];
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(len) = self.streams.take(self.number, &mut message).unwrap() {
                return message[..len].to_vec();
            }
            assert!(Instant::now() < deadline, "no message");
            assert_ne!(self.streams.fill(self.number), Filled::Closed);
        }
    }
}

/// A packet with its length before it.
fn framed(packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    [&length[..], packet].concat()
}

#[test]
fn packets_come_whole_however_they_are_cut_and_begin_with_what_was_read_before() {
    let stream = [framed(b"first"), framed(b""), framed(&[7; 1400])].concat();
    let mut scene = Scene::new(Carries::Ice, &stream[..4]);
    scene.browser.set_nodelay(true).unwrap();
    for part in stream[4..].chunks(3) {
        scene.browser.write_all(part).unwrap();
    }
    assert_eq!(scene.message(), b"first");
    assert_eq!(scene.message(), b"");
    assert_eq!(scene.message(), [7; 1400]);
    let (local, remote) = scene.ends;
    scene.streams.send_packet(local, remote, b"an answer");
    let mut answer = [0; 11];
    scene.browser.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..], framed(b"an answer"));
}

#[test]
fn who_does_not_read_loses_packets_and_none_is_cut() {
    let mut scene = Scene::new(Carries::Ice, &[]);
    let (local, remote) = scene.ends;
    // Far more than the kernel and we keep for it.
    let sent = 20_000_u32;
    for number in 0..sent {
        let packet = [number.to_be_bytes().repeat(300)].concat();
        scene.streams.send_packet(local, remote, &packet);
    }
    scene.browser.set_nonblocking(true).unwrap();
    let (mut bytes, mut came, mut last) = (Vec::new(), 0, None);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut part = [0; 65_536];
        let _ = scene.streams.fill(scene.number);
        match scene.browser.read(&mut part) {
            Ok(len) => bytes.extend_from_slice(&part[..len]),
            Err(_) if came > 0 && bytes.is_empty() => break,
            Err(_) => assert!(Instant::now() < deadline, "{} are left", bytes.len()),
        }
        while bytes.len() >= 1202 {
            let packet: Vec<u8> = bytes.drain(..1202).collect();
            assert_eq!(packet[..2], 1200_u16.to_be_bytes());
            let number = u32::from_be_bytes(packet[2..6].try_into().unwrap());
            assert!(packet[2..].chunks(4).all(|four| four == &packet[2..6]));
            assert!(last < Some(number), "{last:?} {number}");
            (last, came) = (Some(number), came + 1);
        }
    }
    assert!((50..sent).contains(&came), "{came}");
}

#[test]
fn what_is_no_message_ends_it_and_so_does_the_end() {
    let mut scene = Scene::new(Carries::Turn, b"POST / HTTP/1.1\r\n");
    let taken = scene.streams.take(scene.number, &mut [0; MAX_MESSAGE]);
    assert!(taken.is_err());
    let mut scene = Scene::new(Carries::Turn, &[]);
    assert_eq!(scene.streams.fill(scene.number), Filled::Nothing);
    drop(scene.browser);
    let deadline = Instant::now() + PATIENCE;
    while scene.streams.fill(scene.number) != Filled::Closed {
        assert!(Instant::now() < deadline, "it is not noticed");
    }
    scene.streams.close(scene.number, scene.poll.registry());
    assert!(scene.streams.is_empty());
    let (local, remote) = scene.ends;
    assert_eq!(scene.streams.by_ends(local, remote), None);
}

#[test]
fn one_that_nobody_uses_is_found_after_a_while() {
    let mut scene = Scene::new(Carries::Ice, &[]);
    let after = |seconds| scene.now + Duration::from_secs(seconds);
    assert!(scene.streams.unused(after(29)).is_empty());
    scene.streams.use_it(scene.number);
    assert!(scene.streams.unused(after(30)).is_empty());
    assert!(scene.streams.unused(after(59)).is_empty());
    assert_eq!(scene.streams.unused(after(60)), [scene.number]);
}

#[test]
fn one_address_does_not_have_them_all() {
    let (mut streams, poll, now) = (Streams::default(), Poll::new().unwrap(), Instant::now());
    let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let mut browsers = Vec::new();
    let mut add = |streams: &mut Streams| {
        let browser = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, remote) = listener.accept().unwrap();
        let local = socket.local_addr().unwrap();
        browsers.push(browser);
        let incoming = Incoming {
            socket,
            tls: None,
            carries: Carries::Turn,
            local,
            remote,
            first_bytes: Vec::new(),
            passed: 0,
        };
        streams.add(now, incoming, poll.registry(), 0)
    };
    for number in 0..MAX_OF_SOURCE {
        assert_eq!(add(&mut streams).unwrap(), number);
    }
    // Who has said nothing goes, the oldest first; who is known to be somebody stays.
    streams.use_it(0);
    streams.prove(1);
    assert_eq!(add(&mut streams).unwrap(), 2);
    assert_eq!(add(&mut streams).unwrap(), 3);
    for number in 2..MAX_OF_SOURCE {
        streams.prove(number);
    }
    assert!(add(&mut streams).is_err(), "an address has that many");
    streams.close(7, poll.registry());
    assert_eq!(add(&mut streams).unwrap(), 7);
    assert!(streams.is_newcomer(7));
}

#[test]
fn many_strangers_of_many_addresses_keep_nobody_out() {
    let (mut streams, poll, now) = (Streams::default(), Poll::new().unwrap(), Instant::now());
    let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let mut connections = Vec::new();
    let mut add = |streams: &mut Streams, number: usize| {
        let browser = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, remote) = listener.accept().unwrap();
        connections.push(browser);
        let [.., high, low] = number.to_be_bytes();
        let incoming = Incoming {
            local: socket.local_addr().unwrap(),
            socket,
            tls: None,
            carries: Carries::Turn,
            remote: SocketAddr::new([10, 0, high, low].into(), remote.port()),
            first_bytes: Vec::new(),
            passed: 0,
        };
        streams.add(now, incoming, poll.registry(), 0).unwrap()
    };
    for number in 0..MAX_NEWCOMERS {
        add(&mut streams, number);
    }
    streams.prove(0);
    assert_eq!(add(&mut streams, 70_000), MAX_NEWCOMERS);
    // The oldest goes, and its number is free again.
    assert_eq!(add(&mut streams, 70_001), 1);
    assert!(!streams.is_newcomer(0) && streams.is_newcomer(1));
}
