//! Permissions, channels, and what flows through them.

use super::*;
use crate::Transport;

#[test]
fn data_flows_both_ways_with_a_permission_and_not_without() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let relayed = bench.allocate(&mut client).relayed();
    let hello = send_indication(addr(MEDIA), b"hello");
    assert_eq!(bench.data(&client, &hello), None);
    assert_eq!(bench.arrives(relayed, MEDIA, b"answer"), None);
    assert_eq!(bench.permit(&mut client, &[MEDIA]), 0);
    assert_eq!(
        bench.data(&client, &hello),
        Some((addr(MEDIA), b"hello".to_vec()))
    );
    let arrived = Answer(bench.arrives(relayed, MEDIA, b"answer").unwrap());
    let message = arrived.message();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Indication, Method::Data)
    );
    assert_eq!(arrived.addresses(kind::XOR_PEER_ADDRESS), [addr(MEDIA)]);
    assert_eq!(arrived.value(kind::DATA), Some(&b"answer"[..]));
    // Nobody else's 5-tuple, and no relay that is not there.
    assert_eq!(bench.data(&TestClient::new(2, "alice"), &hello), None);
    assert_eq!(bench.arrives(addr("192.0.2.1:1"), MEDIA, b"x"), None);
    let statistics = bench.server.statistics();
    assert_eq!(
        (statistics.packets_to_peers, statistics.bytes_to_peers),
        (1, 5)
    );
    assert_eq!(
        (statistics.packets_to_clients, statistics.bytes_to_clients),
        (1, 6)
    );
    assert_eq!(statistics.dropped_no_permission, 2);
}

#[test]
fn an_empty_payload_and_every_length_pass_unchanged() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let answer = bench.ask(&mut client, Method::Allocate, |w| {
        udp(w);
        w.attribute(kind::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    });
    let relayed = answer.addresses(kind::XOR_RELAYED_ADDRESS);
    assert_eq!(bench.permit(&mut client, &[MEDIA, OTHER_MEDIA]), 0);
    for length in [0, 1, 2, 3, 4, 5, 1200, 1201, 60_000] {
        let payload = vec![0x5a; length];
        for (peer, relayed) in [(MEDIA, relayed[0]), (OTHER_MEDIA, relayed[1])] {
            let sent = bench.data(&client, &send_indication(addr(peer), &payload));
            assert_eq!(sent, Some((addr(peer), payload.clone())));
            let arrived = Answer(bench.arrives(relayed, peer, &payload).unwrap());
            assert_eq!(arrived.addresses(kind::XOR_PEER_ADDRESS), [addr(peer)]);
            assert_eq!(arrived.value(kind::DATA), Some(&payload[..]));
        }
    }
    assert_eq!(
        bench.arrives(relayed[0], MEDIA, &vec![0; 65_500]),
        None,
        "no STUN message"
    );
    let mut short = [0; HEADROOM + TAILROOM];
    let now = bench.now.instant;
    assert_eq!(
        bench
            .server
            .handle_peer(relayed[0], addr(MEDIA), &mut short, 1, now),
        None
    );
}

#[test]
fn a_channel_is_a_shorter_way_to_one_peer() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let relayed = bench.allocate(&mut client).relayed();
    assert_eq!(bench.data(&client, &channel_data(0x4000, b"x")), None);
    assert_eq!(bench.bind(&mut client, 0x4000, MEDIA), 0);
    let sent = bench.data(&client, &channel_data(0x4000, b"hello"));
    assert_eq!(sent, Some((addr(MEDIA), b"hello".to_vec())));
    let arrived = bench.arrives(relayed, MEDIA, b"answer");
    assert_eq!(arrived, Some(channel_data(0x4000, b"answer")));
    // It is a permission, too.
    assert!(
        bench
            .data(&client, &send_indication(addr(MEDIA), b"x"))
            .is_some()
    );
    // Padding may follow in a datagram, but nothing may be missing.
    let mut padded = channel_data(0x4000, b"hello");
    padded.extend([0; 3]);
    assert_eq!(bench.data(&client, &padded), sent_of(b"hello"));
    padded[3] = 9;
    assert_eq!(bench.data(&client, &padded), None);
    assert_eq!(
        bench.data(&client, &channel_data(0x4000, b"")),
        sent_of(b"")
    );
    assert_eq!(bench.data(&client, &channel_data(0x4001, b"x")), None);
}

fn sent_of(payload: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
    Some((addr(MEDIA), payload.to_vec()))
}

#[test]
fn over_a_stream_channel_data_is_padded() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    client.at.transport = Transport::Tls;
    let relayed = bench.allocate(&mut client).relayed();
    assert_eq!(bench.bind(&mut client, 0x4fff, MEDIA), 0);
    for length in 0..9 {
        let payload = vec![1; length];
        let mut expected = channel_data(0x4fff, &payload);
        expected.resize(expected.len().next_multiple_of(4), 0);
        assert_eq!(bench.arrives(relayed, MEDIA, &payload), Some(expected));
    }
}

#[test]
fn a_channel_number_and_a_peer_belong_together() {
    let mut bench = Bench::open();
    let mut client = TestClient::new(1, "alice");
    bench.allocate(&mut client);
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(
            bench.bind(&mut client, number, "8.8.8.8:1"),
            400,
            "{number:#x}"
        );
    }
    assert_eq!(bench.bind(&mut client, 0x4000, "8.8.8.8:1"), 0);
    assert_eq!(bench.bind(&mut client, 0x4fff, "8.8.8.8:2"), 0);
    assert_eq!(bench.bind(&mut client, 0x4000, "8.8.8.8:1"), 0, "refreshed");
    assert_eq!(
        bench.bind(&mut client, 0x4000, "8.8.8.8:3"),
        400,
        "another peer"
    );
    assert_eq!(
        bench.bind(&mut client, 0x4001, "8.8.8.8:1"),
        400,
        "another number"
    );
    assert_eq!(
        bench.bind(&mut client, 0x4000, "8.8.8.8:2"),
        400,
        "both taken"
    );
    let parts: [fn(&mut Writer<'_>); 4] = [
        |w| w.number(kind::CHANNEL_NUMBER, 0x4002_0000),
        |w| w.xor_address(kind::XOR_PEER_ADDRESS, addr("8.8.8.8:9")),
        |w| {
            w.attribute(kind::CHANNEL_NUMBER, &[0x40, 2]);
            w.xor_address(kind::XOR_PEER_ADDRESS, addr("8.8.8.8:9"));
        },
        |w| {
            w.number(kind::CHANNEL_NUMBER, 0x4002_0000);
            w.attribute(kind::XOR_PEER_ADDRESS, &[0, 1, 0, 1]);
        },
    ];
    for part in parts {
        assert_eq!(
            bench.ask(&mut client, Method::ChannelBind, part).code(),
            400
        );
    }
    // When it has run out, it may be another's.
    bench.pass(599);
    bench.refresh(&mut client, 600);
    assert_eq!(bench.bind(&mut client, 0x4000, "8.8.8.8:3"), 400);
    bench.pass(1);
    assert_eq!(bench.bind(&mut client, 0x4000, "8.8.8.8:3"), 0);
}

#[test]
fn a_permission_lasts_five_minutes_and_a_channel_ten() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let relayed = bench.allocate(&mut client).relayed();
    let by_channel = channel_data(0x4000, b"x");
    let by_indication = send_indication(addr(MEDIA), b"x");
    assert_eq!(bench.bind(&mut client, 0x4000, MEDIA), 0);
    bench.pass(299);
    assert!(bench.data(&client, &by_channel).is_some());
    assert!(bench.data(&client, &by_indication).is_some());
    assert!(bench.arrives(relayed, MEDIA, b"x").is_some());
    bench.pass(1);
    assert_eq!(bench.data(&client, &by_channel), None);
    assert_eq!(bench.data(&client, &by_indication), None);
    assert_eq!(bench.arrives(relayed, MEDIA, b"x"), None);
    // The permission comes back, and the channel is still there, until it is not.
    assert_eq!(bench.permit(&mut client, &[MEDIA]), 0);
    assert!(bench.data(&client, &by_channel).is_some());
    bench.refresh(&mut client, 600);
    bench.pass(299);
    assert!(bench.data(&client, &by_channel).is_some());
    assert_eq!(bench.permit(&mut client, &[MEDIA]), 0);
    bench.pass(1);
    assert_eq!(bench.data(&client, &by_channel), None);
    let arrived = Answer(bench.arrives(relayed, MEDIA, b"x").unwrap());
    assert_eq!(
        arrived.message().method(),
        Method::Data,
        "no channel any more"
    );
}

#[test]
fn one_request_makes_several_permissions_or_none() {
    let mut bench = Bench::new(Config {
        limits: crate::Limits {
            permissions: 3,
            ..Default::default()
        },
        ..config(RelayPolicy::Open(PeerRules::default()))
    });
    let mut client = TestClient::new(1, "alice");
    bench.allocate(&mut client);
    assert_eq!(bench.permit(&mut client, &[]), 400);
    assert_eq!(
        bench.permit(&mut client, &["8.8.8.1:1", "8.8.8.2:1", "8.8.8.1:2"]),
        0
    );
    assert_eq!(bench.permit(&mut client, &["8.8.8.3:1", "8.8.8.4:1"]), 508);
    for (peer, passes) in [
        ("8.8.8.1:9", true),
        ("8.8.8.2:9", true),
        ("8.8.8.3:9", false),
    ] {
        let sent = bench.data(&client, &send_indication(addr(peer), b"x"));
        assert_eq!(sent.is_some(), passes, "{peer}");
    }
    assert_eq!(bench.permit(&mut client, &["8.8.8.3:1"]), 0);
    assert_eq!(bench.bind(&mut client, 0x4000, "8.8.8.4:1"), 508);
    assert_eq!(bench.permit(&mut client, &["8.8.8.1:1"]), 0, "refreshed");
    bench.pass(300);
    assert_eq!(
        bench.permit(&mut client, &["8.8.8.4:1", "8.8.8.5:1", "8.8.8.6:1"]),
        0
    );
    let broken = |w: &mut Writer<'_>| {
        w.xor_address(kind::XOR_PEER_ADDRESS, addr("8.8.8.4:1"));
        w.attribute(kind::XOR_PEER_ADDRESS, &[0, 7, 1, 2, 3, 4, 5, 6]);
    };
    assert_eq!(
        bench
            .ask(&mut client, Method::CreatePermission, broken)
            .code(),
        400
    );
}

#[test]
fn indications_that_are_not_whole_or_ask_too_much_are_dropped() {
    let mut bench = Bench::open();
    let mut client = TestClient::new(1, "alice");
    bench.allocate(&mut client);
    bench.permit(&mut client, &["8.8.8.8:1"]);
    let mut sent = |fill: &dyn Fn(&mut Writer<'_>)| {
        let mut out = [0; 200];
        let mut w = Writer::new(&mut out, Class::Indication, Method::Send, [1; 12]);
        fill(&mut w);
        let len = w.finish().unwrap();
        bench.data(&client, &out[..len]).map(|(_, payload)| payload)
    };
    let peer = |w: &mut Writer<'_>| w.xor_address(kind::XOR_PEER_ADDRESS, addr("8.8.8.8:1"));
    let data = |w: &mut Writer<'_>| w.attribute(kind::DATA, b"one");
    assert_eq!(sent(&peer), None);
    assert_eq!(sent(&data), None);
    for unknown in [kind::DONT_FRAGMENT, 0x7001] {
        assert_eq!(
            sent(&|w| {
                peer(w);
                data(w);
                w.attribute(unknown, &[]);
            }),
            None
        );
    }
    let twice = sent(&|w| {
        w.attribute(0x8099, b"ignored");
        data(w);
        peer(w);
        w.attribute(kind::DATA, b"two");
    });
    assert_eq!(twice, Some(b"one".to_vec()), "the first counts");
}

#[test]
fn what_is_beyond_the_bandwidth_is_dropped_and_counted() {
    let limits = |own, user| crate::Limits {
        bandwidth_per_allocation: own,
        bandwidth_per_user: user,
        ..Default::default()
    };
    // One allocation, then two of one user: what passes in ten seconds of a megabyte a second.
    let cases = [
        (limits(Some(100_000), None), 1, 1_100_000),
        (limits(Some(100_000), None), 2, 2_200_000),
        (limits(None, Some(100_000)), 2, 1_100_000),
        (limits(Some(100_000), Some(150_000)), 2, 1_650_000),
    ];
    for (limits, count, expected) in cases {
        let mut bench = Bench::new(Config {
            limits,
            ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
        });
        let mut clients = Vec::new();
        for host in 1..=count {
            let mut client = TestClient::new(host, "alice");
            let relayed = bench.allocate(&mut client).relayed();
            bench.bind(&mut client, 0x4000, MEDIA);
            clients.push((client, relayed));
        }
        let packet = channel_data(0x4000, &[1; 500]);
        let (mut passed, mut offered) = (0, 0);
        for millis in 0..10_000 {
            bench.now = at(bench.start, Duration::from_millis(millis));
            for (client, relayed) in &clients {
                let sent = bench.data(client, &packet).is_some();
                let arrived = bench.arrives(*relayed, MEDIA, &[2; 500]).is_some();
                passed += 500 * (u64::from(sent) + u64::from(arrived));
                offered += 2;
            }
        }
        assert!(
            passed.abs_diff(expected) < expected / 50,
            "{passed} of {expected}"
        );
        let statistics = bench.server.statistics();
        assert_eq!(statistics.dropped_bandwidth, offered - passed / 500);
        assert_eq!(
            statistics.bytes_to_peers + statistics.bytes_to_clients,
            passed
        );
    }
}

#[test]
fn data_allocates_nothing_either_way() {
    let mut bench = Bench::new(Config {
        limits: crate::Limits {
            bandwidth_per_allocation: Some(1 << 40),
            bandwidth_per_user: Some(1 << 40),
            ..Default::default()
        },
        ..config(RelayPolicy::Open(PeerRules {
            deny: vec!["9.9.9.0/24".parse().unwrap()],
            ..Default::default()
        }))
    });
    let mut client = TestClient::new(1, "alice");
    let relayed = bench.allocate(&mut client).relayed();
    assert_eq!(bench.bind(&mut client, 0x4000, "8.8.8.8:1"), 0);
    assert_eq!(bench.permit(&mut client, &["8.8.4.4:1"]), 0);
    let by_channel = channel_data(0x4000, &[1; 160]);
    let by_indication = send_indication(addr("8.8.4.4:1"), &[1; 160]);
    let denied = send_indication(addr("9.9.9.9:1"), &[1; 160]);
    let (peers, now) = (
        [addr("8.8.8.8:1"), addr("8.8.4.4:1"), addr("1.1.1.1:1")],
        bench.now,
    );
    let mut buffer = [0; HEADROOM + 160 + TAILROOM];
    let mut reply = [0; MAX_REPLY];
    let mut passed = [0; 2];
    let info = allocation_counter::measure(|| {
        for _ in 0..1000 {
            for message in [&by_channel, &by_indication, &denied] {
                let handled = bench
                    .server
                    .handle_client(client.at, message, now, &mut reply);
                passed[0] += u32::from(matches!(handled, Handled::ToPeer { .. }));
            }
            for peer in peers {
                let sent = bench
                    .server
                    .handle_peer(relayed, peer, &mut buffer, 160, now.instant);
                passed[1] += u32::from(sent.is_some());
            }
        }
    });
    assert_eq!((info.count_total, passed), (0, [2000; 2]));
}
