//! A TURN server under sequences of messages, of clients with credentials and of strangers, in virtual time: data goes
//! only where it may, strangers get little and leave nothing, and when time has passed nothing is left of anybody.

#![no_main]

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use fuzz::{Input, within_limit};
use libfuzzer_sys::fuzz_target;
use turn::{
    Event, HEADROOM, Handled, Limits, MAX_REPLY, Now, PeerRules, PortRange, RelayPolicy, Server,
    TAILROOM, Transport,
    message::{Method, attribute},
    testing::{Answer, TestClient, UNIX, addr, at, channel_data, config, send_indication},
};

const PEERS: [&str; 6] = [
    "203.0.113.7:5000",
    "[2001:db8::7]:5000",
    "8.8.8.8:53",
    "[2606:4700::1]:53",
    "127.0.0.1:1",
    "[::ffff:127.0.0.1]:1",
];

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

fn check(data: &[u8]) {
    let mut input = Input(data);
    let mut scene = Scene::new(input.byte());
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        scene.step(&mut input);
    }
    scene.end();
}

struct Scene {
    server: Server,
    policy: RelayPolicy,
    start: Instant,
    now: Now,
    clients: Vec<TestClient>,
    relayed: Vec<std::net::SocketAddr>,
}

impl Scene {
    fn new(choice: u8) -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        let media = vec![addr(PEERS[0]), addr(PEERS[1])];
        let policy = match choice & 1 {
            0 => RelayPolicy::Own(media),
            _ => RelayPolicy::Open(PeerRules {
                media,
                ..PeerRules::default()
            }),
        };
        let mut config = config(policy.clone());
        config.ports = PortRange {
            first: 50_000,
            last: 50_006,
        };
        config.limits = Limits {
            allocations: 4,
            permissions: 3,
            bandwidth_per_user: Some(10_000),
            ..Limits::default()
        };
        let clients = (0..4).map(|host| {
            let mut client = TestClient::new(host, ["alice", "bob"][usize::from(host & 1)]);
            client.at.transport = [Transport::Udp, Transport::Tls][usize::from(host >> 1)];
            client
        });
        Self {
            server: Server::new(config, [choice; 32], start).expect("good settings"),
            policy,
            start,
            now: at(start, Duration::ZERO),
            clients: clients.collect(),
            relayed: Vec::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.byte();
        let index = usize::from(op >> 4 & 3);
        let peer = addr(PEERS[usize::from(op >> 4) % PEERS.len()]);
        match op & 15 {
            0 => self.pass(Duration::from_millis(u64::from(input.word()) * 16)),
            1 => {
                let len = usize::from(input.byte()) * 2;
                self.handle(index, input.take(len), false);
            }
            2 => self.server.client_closed(self.clients[index].at),
            // Signed: the attributes are the fuzzer's, the credentials are right.
            3..=9 => {
                let method = input.choose(&[
                    Method::Allocate,
                    Method::Refresh,
                    Method::CreatePermission,
                    Method::ChannelBind,
                    Method::Binding,
                ]);
                let shape = input.byte();
                let mut attributes = Vec::new();
                for _ in 0..shape >> 6 {
                    let kind = input.choose(&[
                        attribute::LIFETIME,
                        attribute::EVEN_PORT,
                        attribute::RESERVATION_TOKEN,
                        attribute::REQUESTED_ADDRESS_FAMILY,
                        attribute::ADDITIONAL_ADDRESS_FAMILY,
                        attribute::CHANNEL_NUMBER,
                        attribute::XOR_PEER_ADDRESS,
                        attribute::DONT_FRAGMENT,
                        attribute::SOFTWARE,
                    ]);
                    let len = usize::from(input.byte() & 15);
                    attributes.push((kind, input.take(len)));
                }
                let request = self.clients[index].request(method, |w| {
                    if shape & 1 == 0 {
                        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
                    }
                    if shape & 2 == 0 {
                        w.xor_address(attribute::XOR_PEER_ADDRESS, peer);
                    }
                    if shape & 4 == 0 {
                        w.number(
                            attribute::CHANNEL_NUMBER,
                            0x4000_0000 + (u32::from(shape) << 16),
                        );
                    }
                    attributes
                        .iter()
                        .for_each(|(kind, value)| w.attribute(*kind, value));
                });
                self.handle(index, &request, shape & 8 == 0);
            }
            10..=12 => {
                let len = usize::from(input.byte());
                let payload = input.take(len);
                let bytes = match op & 1 {
                    0 => send_indication(peer, payload),
                    _ => channel_data(0x4000 + u16::from(op >> 4), payload),
                };
                self.handle(index, &bytes, false);
            }
            _ => self.arrive(peer, input),
        }
    }

    fn handle(&mut self, index: usize, bytes: &[u8], fails: bool) {
        let client = self.clients[index].at;
        let before = self.server.allocations();
        let mut reply = [0; MAX_REPLY];
        let mut handled = self
            .server
            .handle_client(client, bytes, self.now, &mut reply);
        while let Handled::Open(open) = handled {
            let failed: Vec<_> = open.addresses().filter(|_| fails).collect();
            handled = self
                .server
                .relay_opened(&open, &failed, self.now, &mut reply);
        }
        match handled {
            Handled::Reply(len) => {
                let answer = Answer(reply[..len].to_vec());
                let code = answer.code();
                if !client.transport.is_stream() && matches!(code, 401 | 438) {
                    assert!(len * 10 <= bytes.len() * 26);
                }
                if matches!(code, 401 | 438) {
                    assert_eq!(self.server.allocations(), before);
                    self.clients[index].challenged(&answer);
                }
                let relayed = answer.addresses(attribute::XOR_RELAYED_ADDRESS);
                self.relayed.extend(relayed);
            }
            Handled::ToPeer {
                relayed,
                peer,
                data,
            } => {
                assert!(data.end <= bytes.len() && self.policy.allow(peer));
                assert_eq!(self.server.client_of(relayed), Some(client));
            }
            Handled::Nothing | Handled::Open(_) => {}
        }
        self.collect();
    }

    /// A datagram of a peer.
    fn arrive(&mut self, peer: std::net::SocketAddr, input: &mut Input<'_>) {
        let Some(relayed) = self.relayed.get(usize::from(input.byte() & 7)).copied() else {
            return;
        };
        let len = usize::from(input.byte());
        let mut buffer = vec![0x5a; HEADROOM + len + TAILROOM];
        let sent = self
            .server
            .handle_peer(relayed, peer, &mut buffer, len, self.now.instant);
        let Some(sent) = sent else {
            return;
        };
        assert!(self.policy.allow(peer));
        let bytes = &buffer[sent.bytes];
        assert!(bytes.len() >= len + 4 && bytes.len() <= len + HEADROOM + TAILROOM);
        if bytes[0] & 0xc0 == 0 {
            let answer = Answer(bytes.to_vec());
            assert_eq!(answer.value(attribute::DATA), Some(&vec![0x5a; len][..]));
            assert_eq!(answer.addresses(attribute::XOR_PEER_ADDRESS), [peer]);
        }
    }

    fn pass(&mut self, time: Duration) {
        let after = self.now.instant - self.start + time;
        self.now = at(self.start, after);
        // Credentials last for ever here.
        self.now.unix = UNIX;
        self.server.handle_timeout(self.now.instant);
        let next = self.server.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now.instant));
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(Event::Closed { relayed, .. }) = self.server.poll_event() {
            self.relayed.retain(|other| *other != relayed);
        }
        assert!(self.server.allocations() <= 4);
    }

    fn end(mut self) {
        self.pass(Duration::from_secs(4000));
        assert_eq!(self.server.allocations(), 0);
        assert_eq!(self.server.poll_timeout(), None);
        assert!(self.relayed.is_empty(), "{:?}", self.relayed);
    }
}
