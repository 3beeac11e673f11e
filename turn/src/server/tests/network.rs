//! Clients and a server over a network that loses, repeats and delays, from a seed; and messages
//! changed on the way.

use rand_chacha::{ChaCha8Rng, rand_core::RngCore};

use super::*;

struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u8) -> Self {
        Self(ChaCha8Rng::from_seed([seed; 32]))
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound
    }
}

/// What a client wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Allocate,
    Bind,
    Talk,
    End,
    Done,
}

/// A client that asks again until it is answered (RFC 8489 §6.2.1).
struct Caller {
    client: TestClient,
    step: Step,
    /// The request that is out, and when it goes again.
    waiting: Option<(Vec<u8>, u64, u64)>,
    relayed: Option<SocketAddr>,
    talked: u32,
    heard: u32,
}

impl Caller {
    fn new(host: u8) -> Self {
        Self {
            client: TestClient::new(host, "alice"),
            step: Step::Allocate,
            waiting: None,
            relayed: None,
            talked: 0,
            heard: 0,
        }
    }

    fn ask(&mut self, millis: u64) {
        let client = &mut self.client;
        let request = match self.step {
            Step::Allocate => client.request(Method::Allocate, udp),
            Step::Bind => client.request(Method::ChannelBind, |w| {
                w.number(kind::CHANNEL_NUMBER, 0x4000_0000);
                w.xor_address(kind::XOR_PEER_ADDRESS, addr(MEDIA));
            }),
            Step::End => client.request(Method::Refresh, |w| w.number(kind::LIFETIME, 0)),
            Step::Talk | Step::Done => return,
        };
        self.waiting = Some((request, millis, 200));
    }

    /// What goes out at this time.
    fn poll(&mut self, millis: u64) -> Option<Vec<u8>> {
        if self.step == Step::Talk {
            if self.talked == 50 {
                self.step = Step::End;
            } else {
                self.talked += 1;
                return Some(channel_data(0x4000, &self.talked.to_be_bytes()));
            }
        }
        if self.waiting.is_none() {
            self.ask(millis);
        }
        let (request, at, wait) = self.waiting.as_mut()?;
        if millis < *at {
            return None;
        }
        *at = millis + *wait;
        *wait = (*wait * 2).min(2000);
        Some(request.clone())
    }

    fn hear(&mut self, bytes: &[u8], millis: u64) {
        if bytes[0] == 0x40 {
            self.heard += 1;
            return;
        }
        let answer = Answer(bytes.to_vec());
        let transaction = answer.message().transaction();
        let Some((request, ..)) = &self.waiting else {
            return;
        };
        if request[8..20] != transaction {
            return;
        }
        match (answer.code(), self.step) {
            (401 | 438, _) => {
                self.client.challenged(&answer);
                return self.ask(millis);
            }
            (0, Step::Allocate) => {
                self.relayed = Some(answer.relayed());
                self.step = Step::Bind;
            }
            (0, Step::Bind) => self.step = Step::Talk,
            // Its success was lost, and the request came again.
            (0 | 437, Step::End) => self.step = Step::Done,
            other => panic!("{other:?}"),
        }
        self.waiting = None;
    }
}

/// Loses a fifth, repeats a tenth, and takes up to 80 ms.
fn carry<T: Clone>(dice: &mut Dice, out: &mut Vec<(u64, T)>, millis: u64, packet: T) {
    for _ in 0..1 + u32::from(dice.below(10) == 0) {
        if dice.below(5) > 0 {
            out.push((millis + 1 + u64::from(dice.below(80)), packet.clone()));
        }
    }
}

#[test]
fn twenty_clients_get_through_a_bad_network_and_leave_nothing_behind() {
    for seed in 0..10 {
        let (mut dice, mut bench) = (Dice::new(seed), Bench::own());
        let mut callers: Vec<_> = (0..20).map(Caller::new).collect();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let mut reached = 0;
        for millis in (0..200_000).step_by(20) {
            bench.now = at(bench.start, Duration::from_millis(millis));
            bench.server.handle_timeout(bench.now.instant);
            for (index, caller) in callers.iter_mut().enumerate() {
                if let Some(bytes) = caller.poll(millis) {
                    carry(&mut dice, &mut up, millis, (index, bytes));
                }
            }
            for (_, (index, bytes)) in up.extract_if(.., |(at, _)| *at <= millis) {
                let mut reply = [0; MAX_REPLY];
                let client = callers[index].client.at;
                match bench
                    .server
                    .handle_client(client, &bytes, bench.now, &mut reply)
                {
                    Handled::Reply(len) => {
                        carry(&mut dice, &mut down, millis, (index, reply[..len].to_vec()))
                    }
                    Handled::ToPeer {
                        relayed,
                        peer,
                        data,
                    } => {
                        reached += 1;
                        assert_eq!(peer, addr(MEDIA));
                        // The peer says it back.
                        let echo = bytes[data].to_vec();
                        let back = bench.arrives(relayed, MEDIA, &echo).unwrap();
                        carry(&mut dice, &mut down, millis, (index, back));
                    }
                    Handled::Nothing => {}
                    other => panic!("{other:?}"),
                }
            }
            for (_, (index, bytes)) in down.extract_if(.., |(at, _)| *at <= millis) {
                callers[index].hear(&bytes, millis);
            }
        }
        for caller in &callers {
            assert_eq!(
                (caller.step, caller.talked),
                (Step::Done, 50),
                "seed {seed}"
            );
            assert!(
                caller.heard > 15 && caller.relayed.is_some(),
                "{}",
                caller.heard
            );
        }
        assert!(reached > 700, "{reached}");
        // A repeated Allocate may have come after the end; it ends by itself.
        bench.pass(700);
        bench.assert_empty();
    }
}

/// A hundred thousand messages of clients with credentials, most of them changed: nothing panics,
/// nothing goes where it may not, and in the end nothing is left.
#[test]
fn changed_messages_lead_nowhere_they_may_not() {
    let mut dice = Dice::new(99);
    for mut bench in [Bench::own(), Bench::open()] {
        let mut clients: Vec<_> = (0..4).map(|host| bench.challenged(host)).collect();
        let mut reply = [0; MAX_REPLY];
        let mut counts = [0_u32; 4];
        for _ in 0..50_000 {
            let index = dice.below(4) as usize;
            let client = &mut clients[index];
            let mut bytes = message(client, &mut dice);
            for _ in 0..dice.below(3) {
                let at = dice.below(bytes.len() as u32) as usize;
                bytes[at] = dice.below(256) as u8;
            }
            let handled = bench
                .server
                .handle_client(client.at, &bytes, bench.now, &mut reply);
            match handled {
                Handled::Nothing => counts[0] += 1,
                Handled::Reply(len) => {
                    counts[1] += 1;
                    let answer = Answer(reply[..len].to_vec());
                    if matches!(answer.code(), 401 | 438) {
                        client.challenged(&answer);
                    }
                }
                Handled::ToPeer { peer, data, .. } => {
                    counts[2] += 1;
                    assert!(bench.server.config.policy.allow(peer) && data.end <= bytes.len());
                }
                Handled::Open(open) => {
                    counts[3] += 1;
                    let failed: Vec<_> = open.addresses().filter(|_| dice.below(4) == 0).collect();
                    bench
                        .server
                        .relay_opened(&open, &failed, bench.now, &mut reply);
                }
            }
            if dice.below(50) == 0 {
                bench.pass(u64::from(dice.below(100)));
                bench.now.unix = UNIX;
                bench.events();
            }
        }
        assert!(counts[..3].iter().all(|count| *count > 500), "{counts:?}");
        let open = matches!(bench.server.config.policy, RelayPolicy::Open(_));
        assert_eq!(counts[3] > 50, open, "{counts:?}");
        bench.pass(4000);
        bench.assert_empty();
        let free = |ports: &Option<Ports>| ports.as_ref().is_some_and(Ports::is_all_free);
        assert!(bench.server.ports.iter().all(free));
    }
}

fn message(client: &mut TestClient, dice: &mut Dice) -> Vec<u8> {
    let peers = [
        MEDIA,
        "8.8.8.8:53",
        "127.0.0.1:1",
        OTHER_MEDIA,
        "[2606:4700::1]:53",
    ];
    let peer = addr(peers[dice.below(5) as usize]);
    let number = 0x4000 + dice.below(4) as u16;
    let choice = dice.below(8);
    let lifetime = dice.below(3) * 700;
    match dice.below(6) {
        0 => client.request(Method::Allocate, |w| {
            udp(w);
            match choice {
                0 => w.attribute(kind::EVEN_PORT, &[0x80]),
                1 => w.attribute(kind::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]),
                2 => w.attribute(kind::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]),
                _ => {}
            }
        }),
        1 => client.request(Method::Refresh, |w| w.number(kind::LIFETIME, lifetime)),
        2 => client.request(Method::CreatePermission, |w| {
            w.xor_address(kind::XOR_PEER_ADDRESS, peer);
        }),
        3 => client.request(Method::ChannelBind, |w| {
            w.number(kind::CHANNEL_NUMBER, u32::from(number) << 16);
            w.xor_address(kind::XOR_PEER_ADDRESS, peer);
        }),
        4 => send_indication(peer, &vec![1; choice as usize * 50]),
        _ => channel_data(number, &vec![1; choice as usize * 50]),
    }
}
