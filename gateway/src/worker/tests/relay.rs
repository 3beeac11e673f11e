//! Calls whose browser reaches them through a worker's TURN server.

use std::time::{SystemTime, UNIX_EPOCH};

use peer::testing::{self, Browser, Check};
use turn::message::{Method, attribute};
use turn::testing::{Answer, TestClient, send_indication, udp};
use turn::{Client, Credentials, Limits, Secret};

use super::super::relay::RelaySettings;
use super::*;

/// A TURN client on a socket of its own.
struct Relayed {
    socket: UdpSocket,
    client: TestClient,
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
        let mut client = TestClient::at(at, "alice");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        client.credentials = Credentials::time_limited(secret, "alice", now.as_secs() + 600);
        Self { socket, client }
    }

    fn hears(&self) -> Answer {
        let mut packet = [0; 2048];
        let len = self.socket.recv(&mut packet).unwrap();
        Answer(packet[..len].to_vec())
    }

    fn asks(&mut self, method: Method, peer: Option<SocketAddr>) -> Answer {
        for _ in 0..2 {
            let request = self.client.request(method, |writer| match peer {
                None => udp(writer),
                Some(peer) => writer.xor_address(attribute::XOR_PEER_ADDRESS, peer),
            });
            self.socket.send(&request).unwrap();
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
    let relay = RelaySettings {
        port: 0,
        realm: "switchhook".into(),
        secret: secret.clone(),
        open: None,
        limits: Limits::default(),
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
        one.socket.send(&send_indication(media, &check)).unwrap();
        let data = one.hears();
        assert_eq!(data.addresses(attribute::XOR_PEER_ADDRESS), [media]);
        let answer = browser.read_answer(data.value(attribute::DATA).unwrap());
        // It is seen at its relayed address.
        assert_eq!(answer, testing::Answer::Success(relayed));
    }
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
    // What is beside it on the same address is not reached: a socket there hears nothing, and the server goes on.
    let beside = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let address = beside.local_addr().unwrap();
    one.socket.send(&send_indication(address, b"x")).unwrap();
    assert_eq!(one.asks(Method::CreatePermission, Some(media)).code(), 0);
    beside.set_nonblocking(true).unwrap();
    assert!(beside.recv(&mut [0; 64]).is_err());
    workers.stop();
}
