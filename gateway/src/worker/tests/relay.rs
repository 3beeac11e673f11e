//! Calls whose browser reaches them through a worker's TURN server.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use peer::testing::{self, Browser, Check};
use turn::message::{Method, attribute};
use turn::testing::{Answer, TestClient, send_indication, udp};
use turn::{Client, Credentials, Limits, Secret};

use super::super::relay::{OpenRelay, RelaySettings};
use super::super::streams::{Carries, Incoming, MAX_OF_SOURCE};
use super::*;

/// A TURN client on a socket of its own.
struct Relayed {
    socket: Socket,
    client: TestClient,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Socket {
    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(bytes).unwrap()),
            Self::Tcp(socket) => socket.write_all(bytes).unwrap(),
        }
    }

    fn hears(&mut self) -> std::io::Result<Answer> {
        let mut bytes = vec![0; 2048];
        let len = match self {
            Self::Udp(socket) => socket.recv(&mut bytes)?,
            Self::Tcp(socket) => {
                let (head, rest) = bytes.split_at_mut(20);
                socket.read_exact(head)?;
                let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
                socket.read_exact(&mut rest[..len])?;
                20 + len
            }
        };
        bytes.truncate(len);
        Ok(Answer(bytes))
    }
}

impl Socket {
    /// Waits until it is, or until nothing comes for long.
    fn is_closed(&mut self) -> bool {
        let error = self.hears().expect_err("nothing else is said");
        let gone = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        gone.contains(&error.kind())
    }
}

/// The listener of a gateway's TCP port, and the connections that it hands to a worker.
struct Door(TcpListener);

impl Door {
    fn connect(&self, workers: &Workers, carries: Carries) -> TcpStream {
        let (ours, incoming) = self.opened(carries);
        workers.take_stream(incoming).unwrap();
        ours
    }

    fn opened(&self, carries: Carries) -> (TcpStream, Incoming) {
        let ours = TcpStream::connect(self.0.local_addr().unwrap()).unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, remote) = self.0.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let incoming = Incoming {
            local: socket.local_addr().unwrap(),
            socket,
            tls: None,
            carries,
            remote,
            first_bytes: Vec::new(),
            passed: 0,
        };
        (ours, incoming)
    }
}

impl Relayed {
    fn new(server: SocketAddr, secret: &Secret) -> Self {
        let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let at = Client {
            transport: turn::Transport::Udp,
            server,
            address: socket.local_addr().unwrap(),
        };
        Self::at(at, Socket::Udp(socket), secret)
    }

    fn by_tcp(socket: TcpStream, secret: &Secret) -> Self {
        let at = Client {
            transport: turn::Transport::Tcp,
            server: socket.peer_addr().unwrap(),
            address: socket.local_addr().unwrap(),
        };
        Self::at(at, Socket::Tcp(socket), secret)
    }

    fn at(at: Client, socket: Socket, secret: &Secret) -> Self {
        let mut client = TestClient::at(at, "alice");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        client.credentials = Credentials::time_limited(secret, "alice", now.as_secs() + 600);
        Self { socket, client }
    }

    fn hears(&mut self) -> Answer {
        self.socket.hears().unwrap()
    }

    fn ends(&mut self) {
        let request = self.client.request(Method::Refresh, |writer| {
            writer.number(attribute::LIFETIME, 0);
        });
        self.socket.send(&request);
        assert_eq!(self.hears().lifetime(), Some(0));
    }

    fn asks(&mut self, method: Method, peer: Option<SocketAddr>) -> Answer {
        for _ in 0..2 {
            let request = self.client.request(method, |writer| match peer {
                None => udp(writer),
                Some(peer) => writer.xor_address(attribute::XOR_PEER_ADDRESS, peer),
            });
            self.socket.send(&request);
            let answer = self.hears();
            if answer.code() != 401 {
                return answer;
            }
            self.client.challenged(&answer);
        }
        panic!("it is challenged again and again")
    }
}

fn started(workers: usize, secret: &Secret) -> Workers {
    started_with(workers, secret, None)
}

fn started_with(workers: usize, secret: &Secret, open: Option<OpenRelay>) -> Workers {
    started_within(workers, secret, open, Limits::default())
}

fn started_within(
    workers: usize,
    secret: &Secret,
    open: Option<OpenRelay>,
    limits: Limits,
) -> Workers {
    let relay = RelaySettings {
        port: 0,
        realm: "switchhook".into(),
        secret: secret.clone(),
        open,
        limits,
    };
    let settings = WorkerSettings {
        workers,
        relay: Some(relay),
        ..settings(22_000..=22_099, PATIENCE)
    };
    Workers::start(&settings).unwrap()
}

#[test]
fn a_check_through_the_relay_reaches_its_call_on_whichever_worker_and_is_answered() {
    let secret = Secret::new("north");
    let workers = started(2, &secret);
    let server = SocketAddr::new(LOCALHOST, workers.relay_port().unwrap());
    let worker = workers.least_loaded().unwrap();
    let mut events = open(&worker, 1);
    assert!(matches!(next(&mut events), MediaEvent::Opened { .. }));
    let media = worker.candidates()[0];
    let ours = IceCredentials::from_random(&[1; 32]);
    let theirs = IceCredentials::from_random(&[101; 32]);
    let mut browser = Browser::new(
        Instant::now(),
        testing::config(1),
        testing::certificate(),
        theirs,
        ours,
    );
    // The kernel shares clients out between the two workers: some are with that of the call, some are not.
    // More than ten a second would not be challenged.
    for _ in 0..8 {
        let mut one = Relayed::new(server, &secret);
        let relayed = one.asks(Method::Allocate, None).relayed();
        assert_eq!(one.asks(Method::CreatePermission, Some(media)).code(), 0);
        let check = browser.check(Check::default());
        one.socket.send(&send_indication(media, &check));
        let data = one.hears();
        assert_eq!(data.addresses(attribute::XOR_PEER_ADDRESS), [media]);
        let answer = browser.read_answer(data.value(attribute::DATA).unwrap());
        // It is seen at its relayed address.
        assert_eq!(answer, testing::Answer::Success(relayed));
    }
    workers.stop();
}

/// The kernel shares clients out between the two: each worker alone would have let in what is allowed.
#[test]
fn a_user_has_his_quota_of_all_workers_together() {
    let secret = Secret::new("north");
    let limits = Limits {
        allocations_per_user: 2,
        ..Limits::default()
    };
    let workers = started_within(2, &secret, None, limits);
    let server = SocketAddr::new(LOCALHOST, workers.relay_port().unwrap());
    // Each is challenged once: that is fewer than a source may be in a second.
    let codes: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Relayed::new(server, &secret);
            client.asks(Method::Allocate, None).code()
        })
        .collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 2);
    assert_eq!(codes.iter().filter(|code| **code == 486).count(), 6);
    workers.stop();
}

#[test]
fn a_relay_leads_to_the_workers_media_and_nowhere_else() {
    let secret = Secret::new("north");
    let workers = started(1, &secret);
    let server = SocketAddr::new(LOCALHOST, workers.relay_port().unwrap());
    let media = workers.local_addresses()[0];
    let mut one = Relayed::new(server, &secret);
    assert_eq!(one.asks(Method::Allocate, None).code(), 0);
    let elsewhere: SocketAddr = "192.0.2.1:7000".parse().unwrap();
    assert_eq!(
        one.asks(Method::CreatePermission, Some(elsewhere)).code(),
        403
    );
    assert_eq!(one.asks(Method::CreatePermission, Some(media)).code(), 0);
    workers.stop();
}

#[test]
fn an_open_relay_leads_to_strangers_and_not_to_what_else_the_gateway_has() {
    let secret = Secret::new("north");
    let stranger = UdpSocket::bind("127.0.0.3:0").unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = stranger.local_addr().unwrap();
    let open = OpenRelay {
        ports: 22_100..=22_199,
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        deny: Vec::new(),
        external: Vec::new(),
        own: vec!["127.0.0.2".parse().unwrap()],
    };
    let workers = started_with(1, &secret, Some(open));
    let server = SocketAddr::new(LOCALHOST, workers.relay_port().unwrap());
    let media = workers.local_addresses()[0];
    let mut one = Relayed::new(server, &secret);
    let relayed = one.asks(Method::Allocate, None).relayed();
    let sip = "127.0.0.2:5060".parse().unwrap();
    assert_eq!(one.asks(Method::CreatePermission, Some(sip)).code(), 403);
    for peer in [to, media] {
        assert_eq!(one.asks(Method::CreatePermission, Some(peer)).code(), 0);
    }
    // What is beside the media on its address is not reached.
    let beside = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let address = beside.local_addr().unwrap();
    one.socket.send(&send_indication(address, b"x"));
    one.socket.send(&send_indication(to, b"hello"));
    let mut packet = [0; 64];
    let (len, from) = stranger.recv_from(&mut packet).unwrap();
    assert_eq!((&packet[..len], from), (&b"hello"[..], relayed));
    beside.set_nonblocking(true).unwrap();
    assert!(beside.recv(&mut packet).is_err());
    // What is longer than can be told from what was cut is lost; none comes cut.
    stranger.send_to(&[1; 3000], relayed).unwrap();
    stranger.send_to(&[2; 1200], relayed).unwrap();
    assert_eq!(one.hears().value(attribute::DATA), Some(&[2; 1200][..]));
    workers.stop();
}

#[test]
fn the_end_of_a_datagram_client_is_not_that_of_a_connection_from_the_same_port() {
    let secret = Secret::new("north");
    let workers = started(1, &secret);
    let server = SocketAddr::new(LOCALHOST, workers.relay_port().unwrap());
    let mut by_udp = Relayed::new(server, &secret);
    let at = by_udp.client.at;
    let door = Door(TcpListener::bind((LOCALHOST, 0)).unwrap());
    let (ours, incoming) = door.opened(Carries::Turn);
    let mut by_tcp = Relayed::by_tcp(ours, &secret);
    by_tcp.client.at = Client {
        transport: turn::Transport::Tcp,
        ..at
    };
    workers
        .take_stream(Incoming {
            local: at.server,
            remote: at.address,
            ..incoming
        })
        .unwrap();
    for client in [&mut by_tcp, &mut by_udp] {
        assert_eq!(client.asks(Method::Allocate, None).code(), 0);
    }
    by_udp.ends();
    let media = workers.local_addresses()[0];
    let permitted = by_tcp.asks(Method::CreatePermission, Some(media));
    assert_eq!(permitted.code(), 0);
    workers.stop();
}

/// The client broke the one before, and what tells of that is read later.
#[test]
fn a_connection_takes_the_place_of_one_with_the_same_ends() {
    let secret = Secret::new("north");
    let workers = started(1, &secret);
    let door = Door(TcpListener::bind((LOCALHOST, 0)).unwrap());
    let mut before = Relayed::by_tcp(door.connect(&workers, Carries::Turn), &secret);
    assert_eq!(before.asks(Method::Allocate, None).code(), 0);
    let (ours, incoming) = door.opened(Carries::Turn);
    let mut after = Relayed::by_tcp(ours, &secret);
    workers
        .take_stream(Incoming {
            remote: before.client.at.address,
            ..incoming
        })
        .unwrap();
    after.client.at = before.client.at;
    assert!(before.socket.is_closed());
    assert_eq!(after.asks(Method::Allocate, None).code(), 0);
    workers.stop();
}

#[test]
fn strangers_take_no_place_of_who_has_an_allocation() {
    let secret = Secret::new("north");
    let workers = started(1, &secret);
    let door = Door(TcpListener::bind((LOCALHOST, 0)).unwrap());
    let mut stranger = Socket::Tcp(door.connect(&workers, Carries::Turn));
    let mut one = Relayed::by_tcp(door.connect(&workers, Carries::Turn), &secret);
    assert_eq!(one.asks(Method::Allocate, None).code(), 0);
    let more = 0..MAX_OF_SOURCE;
    let _more: Vec<_> = more
        .map(|_| door.connect(&workers, Carries::Turn))
        .collect();
    assert!(stranger.is_closed(), "the first to come has to go");
    let media = workers.local_addresses()[0];
    assert_eq!(one.asks(Method::CreatePermission, Some(media)).code(), 0);
    workers.stop();
}

#[test]
fn a_connection_finds_its_call_past_a_worker_that_died() {
    let workers = started(3, &Secret::new("north"));
    let mut calls: Vec<_> = (1..=3)
        .map(|id| {
            let worker = workers.least_loaded().unwrap();
            (Call::open(&worker, id), worker)
        })
        .collect();
    // The first has no call, the second is dead, and the third has the call.
    calls[1].1.send(MediaCommand::SabotageWorker).unwrap();
    calls[0].0.events.close();
    let deadline = Instant::now() + PATIENCE;
    while workers.workers[1].is_alive() || calls[0].1.calls.load(Ordering::Relaxed) > 0 {
        assert!(Instant::now() < deadline, "they are as they were");
        std::thread::yield_now();
    }
    let mut browser = Browser::new(
        Instant::now(),
        testing::config(1),
        testing::certificate(),
        IceCredentials::from_random(&[103; 32]),
        IceCredentials::from_random(&[3; 32]),
    );
    let check = browser.check(Check::default());
    let length = u16::try_from(check.len()).unwrap().to_be_bytes();
    let door = Door(TcpListener::bind((LOCALHOST, 0)).unwrap());
    let (mut ours, incoming) = door.opened(Carries::Ice);
    let own_address = ours.local_addr().unwrap();
    let incoming = Incoming {
        first_bytes: [&length[..], &check].concat(),
        ..incoming
    };
    workers.take_stream(incoming).unwrap();
    let mut length = [0; 2];
    ours.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    ours.read_exact(&mut answer).unwrap();
    let answer = browser.read_answer(&answer);
    assert_eq!(answer, testing::Answer::Success(own_address));
    workers.stop();
}
