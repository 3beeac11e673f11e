//! What a relayed packet costs next to copying its payload, and an allocation next to one HMAC.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use criterion::{Criterion, Throughput};
use turn::message::{Method, Writer};
use turn::{
    Client, Config, HEADROOM, Handled, Limits, MAX_REPLY, PeerRules, RelayPolicy, Server, TAILROOM,
};

#[allow(dead_code, unreachable_pub)]
#[path = "../src/testing.rs"]
mod testing;

use testing::{TestClient, addr, at, channel_data, config, send_indication, udp};

/// 20 ms of Opus at 32 kbit/s, with SRTP.
const PAYLOAD: usize = 120;
const PEER: &str = "8.8.8.8:5000";
/// A busy hour.
const CLIENTS: u32 = 1000;

fn settings(policy: RelayPolicy) -> Config {
    Config {
        limits: Limits {
            allocations_per_user: usize::MAX,
            allocations_per_address: usize::MAX,
            ..Limits::default()
        },
        ..config(policy)
    }
}

fn client(number: u32) -> TestClient {
    let mut client = TestClient::new(1, "alice");
    let ip = Ipv4Addr::from_bits(0xc633_0000 + number);
    client.at.address = SocketAddr::new(ip.into(), 4000);
    client
}

/// A server with many clients that have a channel each, or a permission alone.
struct Busy {
    server: Server,
    start: Instant,
    clients: Vec<(Client, SocketAddr)>,
}

impl Busy {
    fn new(policy: RelayPolicy, channels: bool) -> Self {
        Self::of(CLIENTS, policy, channels)
    }

    fn of(count: u32, policy: RelayPolicy, channels: bool) -> Self {
        let start = Instant::now();
        let now = at(start, Duration::ZERO);
        let mut server = Server::new(settings(policy), [1; 32], start).expect("good settings");
        let clients = (0..count).map(|number| {
            let mut client = client(number);
            let relayed = client.allocate(&mut server, now).relayed();
            match channels {
                true => assert_eq!(client.bind(&mut server, now, 0x4000, addr(PEER)), 0),
                false => assert_eq!(client.permit(&mut server, now, &[addr(PEER)]), 0),
            }
            (client.at, relayed)
        });
        let clients = clients.collect();
        Self {
            server,
            start,
            clients,
        }
    }

    /// One packet of one client after the other.
    fn send_to_peers(mut self, message: Vec<u8>) -> impl FnMut() {
        let now = at(self.start, Duration::ZERO);
        let mut next = 0;
        let mut reply = [0; MAX_REPLY];
        move || {
            next = (next + 7) % self.clients.len();
            let client = self.clients[next].0;
            let handled = self.server.handle_client(client, &message, now, &mut reply);
            assert!(matches!(black_box(handled), Handled::ToPeer { .. }));
        }
    }

    fn send_to_clients(mut self) -> impl FnMut() {
        let mut next = 0;
        let mut buffer = [0; HEADROOM + PAYLOAD + TAILROOM];
        let peer = addr(PEER);
        move || {
            next = (next + 7) % self.clients.len();
            let relayed = self.clients[next].1;
            let sent = self
                .server
                .handle_peer(relayed, peer, &mut buffer, PAYLOAD, self.start);
            assert!(black_box(sent).is_some());
        }
    }
}

fn memcpy() -> impl FnMut() {
    let (from, mut to) = (vec![1_u8; PAYLOAD], vec![0_u8; PAYLOAD]);
    move || {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
}

/// One HMAC-SHA1 over an Allocate, with the key as it comes: the least that a request costs.
fn one_hmac() -> impl FnMut() {
    let request = vec![7; 140];
    move || {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, black_box(&[1; 16]));
        black_box(hmac::sign(&key, &request));
    }
}

/// An Allocate with proof, and the Refresh that ends it.
fn allocate_and_end() -> impl FnMut() {
    let start = Instant::now();
    let now = at(start, Duration::ZERO);
    let policy = RelayPolicy::Own(vec![addr(PEER)]);
    let mut server = Server::new(settings(policy), [1; 32], start).expect("good settings");
    let mut client = client(1);
    client.allocate(&mut server, now);
    client.refresh(&mut server, now, 0);
    let allocate = client.request(Method::Allocate, udp);
    let end = client.request(Method::Refresh, |w: &mut Writer<'_>| {
        w.number(turn::message::attribute::LIFETIME, 0);
    });
    let mut reply = [0; MAX_REPLY];
    move || {
        for request in [&allocate, &end] {
            let handled = server.handle_client(client.at, request, now, &mut reply);
            assert!(matches!(black_box(handled), Handled::Reply(_)));
        }
        while server.poll_event().is_some() {}
    }
}

/// The challenge of a stranger.
fn challenge() -> impl FnMut() {
    let start = Instant::now();
    let now = at(start, Duration::ZERO);
    let mut server =
        Server::new(settings(RelayPolicy::Own(Vec::new())), [1; 32], start).expect("good settings");
    let mut stranger = client(1);
    // Streams are not limited.
    stranger.at.transport = turn::Transport::Tcp;
    let request = stranger.request(Method::Allocate, udp);
    let mut reply = [0; MAX_REPLY];
    move || {
        let handled = server.handle_client(stranger.at, &request, now, &mut reply);
        assert!(matches!(black_box(handled), Handled::Reply(_)));
    }
}

/// Nanoseconds a call, the least of several runs: other programs run, too.
fn cost(mut run: impl FnMut()) -> f64 {
    const ROUNDS: u32 = 20_000;
    let once = |run: &mut dyn FnMut()| {
        let begin = Instant::now();
        (0..ROUNDS).for_each(|_| run());
        begin.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    (0..15).map(|_| once(&mut run)).fold(f64::MAX, f64::min)
}

fn ratios() {
    let open = || RelayPolicy::Open(PeerRules::default());
    let own = || RelayPolicy::Own(vec![addr(PEER)]);
    let channel = || channel_data(0x4000, &[1; PAYLOAD]);
    let indication = || send_indication(addr(PEER), &[1; PAYLOAD]);
    let floor = cost(memcpy());
    println!("{PAYLOAD} bytes, {CLIENTS} clients; a copy of the payload takes {floor:.1} ns");
    let one = || Busy::of(1, own(), true);
    let lines: [(&str, f64); 8] = [
        (
            "one client, channel, to the peer",
            cost(one().send_to_peers(channel())),
        ),
        (
            "one client, channel, to the client",
            cost(one().send_to_clients()),
        ),
        (
            "own relay, channel, to the peer",
            cost(Busy::new(own(), true).send_to_peers(channel())),
        ),
        (
            "own relay, channel, to the client",
            cost(Busy::new(own(), true).send_to_clients()),
        ),
        (
            "open relay, channel, to the peer",
            cost(Busy::new(open(), true).send_to_peers(channel())),
        ),
        (
            "open relay, channel, to the client",
            cost(Busy::new(open(), true).send_to_clients()),
        ),
        (
            "open relay, Send, to the peer",
            cost(Busy::new(open(), false).send_to_peers(indication())),
        ),
        (
            "open relay, Data, to the client",
            cost(Busy::new(open(), false).send_to_clients()),
        ),
    ];
    for (name, nanos) in lines {
        println!("{name:36} {nanos:7.1} ns, {:5.1} copies", nanos / floor);
    }
    let floor = cost(one_hmac());
    println!("one HMAC-SHA1 of a request takes {floor:.0} ns");
    for (name, nanos) in [
        ("an allocation and its end", cost(allocate_and_end())),
        ("a challenge", cost(challenge())),
    ] {
        let second = 1e9 / nanos;
        println!(
            "{name:36} {nanos:7.0} ns, {:5.1} HMACs, {second:.0} a second",
            nanos / floor
        );
    }
    memory();
}

fn memory() {
    let mut kept = None;
    let policy = || RelayPolicy::Own(vec![addr(PEER)]);
    let busy = allocation_counter::measure(|| kept = Some(Busy::new(policy(), true)));
    let busy_bytes = busy.bytes_current;
    let mut server = None;
    let empty = allocation_counter::measure(|| {
        server = Server::new(settings(policy()), [1; 32], Instant::now()).ok();
    });
    black_box((kept, server));
    let each = (busy_bytes - empty.bytes_current) as f64 / f64::from(CLIENTS);
    let kib = empty.bytes_current as f64 / 1024.0;
    println!(
        "an allocation with a channel takes {each:.0} bytes, a server without any {kib:.0} KiB"
    );
}

fn criterion() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("relay");
    group.throughput(Throughput::Elements(1));
    let own = || RelayPolicy::Own(vec![addr(PEER)]);
    group.bench_function("copy of the payload", |b| b.iter(memcpy()));
    group.bench_function("channel to peer", |b| {
        let mut run = Busy::new(own(), true).send_to_peers(channel_data(0x4000, &[1; PAYLOAD]));
        b.iter(&mut run);
    });
    group.bench_function("channel to client", |b| {
        let mut run = Busy::new(own(), true).send_to_clients();
        b.iter(&mut run);
    });
    group.bench_function("allocate and end", |b| {
        let mut run = allocate_and_end();
        b.iter(&mut run);
    });
    group.finish();
    criterion.final_summary();
}

fn main() {
    ratios();
    if !std::env::args().any(|arg| arg == "--ratios") {
        criterion();
    }
}
