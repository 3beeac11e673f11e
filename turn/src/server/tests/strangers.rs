//! What those get who have proven nothing: little, and nothing is kept of them.

use super::*;
use crate::Transport;

/// Requests with attributes of those sizes, unsigned.
fn bare(method: Method, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = [0; 400];
    let mut w = Writer::new(&mut out, Class::Request, method, [9; 12]);
    attributes
        .iter()
        .for_each(|(kind, value)| w.attribute(*kind, value));
    let len = w.finish().unwrap();
    out[..len].to_vec()
}

const TRANSPORT: (u16, &[u8]) = (kind::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

#[test]
fn a_binding_gets_its_address_for_no_more_than_one_and_six_tenths() {
    let mut bench = Bench::own();
    let client = TestClient::new(1, "alice");
    let request = bare(Method::Binding, &[]);
    let answer = bench.send(&client, &request).unwrap();
    assert_eq!(
        answer.addresses(kind::XOR_MAPPED_ADDRESS),
        [client.at.address]
    );
    assert_eq!((request.len(), answer.0.len()), (20, 32));

    let mut asks = TestClient::new(1, "alice");
    asks.fingerprint = true;
    let request = asks.request(Method::Binding, |_| {});
    let answer = bench.send(&client, &request).unwrap();
    assert!(answer.value(kind::FINGERPRINT).is_some() && answer.message().fingerprint_holds());
    assert_eq!((request.len(), answer.0.len()), (28, 40));

    for unknown in 1..20 {
        let attributes: Vec<_> = (0..unknown).map(|n| (0x7000 + n, &[][..])).collect();
        let request = bare(Method::Binding, &attributes);
        let answer = bench.send(&client, &request).unwrap();
        assert_eq!(answer.code(), 420);
        assert!(answer.0.len() * 10 <= request.len() * 16, "{unknown}");
    }
}

#[test]
fn a_mapped_source_is_told_as_ipv4_and_a_long_answer_to_ipv6_is_counted() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    client.at.address = addr("[::ffff:198.51.100.1]:4000");
    let request = bare(Method::Binding, &[]);
    let answer = bench.send(&client, &request).unwrap();
    assert_eq!(
        answer.addresses(kind::XOR_MAPPED_ADDRESS),
        [addr("198.51.100.1:4000")]
    );

    client.at.address = addr("[2001:db8::1]:4000");
    let answered = (0..100)
        .filter(|_| bench.send(&client, &request).is_some())
        .count();
    assert_eq!(answered, 10);
    // Eight bytes more, and the answer is no amplification.
    let request = bare(Method::Binding, &[(kind::SOFTWARE, b"test")]);
    let answer = bench.send(&client, &request).unwrap();
    assert!(answer.0.len() * 10 <= request.len() * 16);
}

#[test]
fn an_allocate_without_attributes_gets_one_and_four_tenths() {
    let mut bench = Bench::own();
    let client = TestClient::new(1, "alice");
    for method in [
        Method::Allocate,
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
    ] {
        let request = bare(method, &[]);
        let answer = bench.send(&client, &request).unwrap();
        assert_eq!(
            (request.len(), answer.0.len(), answer.code()),
            (20, 28, 400)
        );
    }
}

/// The first Allocate of Chromium (REQUESTED-TRANSPORT), pion (with FINGERPRINT), coturn's client
/// (with LIFETIME, or more), as their sources have it.
#[test]
fn every_clients_first_allocate_is_challenged_within_two_and_six_tenths() {
    for realm in [REALM, "a", "twenty.example.co.uk"] {
        let mut bench = Bench::new(Config {
            realm: realm.into(),
            ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
        });
        let lifetime: (u16, &[u8]) = (kind::LIFETIME, &[0, 0, 3, 9]);
        let family: (u16, &[u8]) = (kind::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]);
        let software: (u16, &[u8]) = (kind::SOFTWARE, b"some client");
        let mut fingerprint = TestClient::new(9, "alice");
        fingerprint.fingerprint = true;
        let first = [
            bare(Method::Allocate, &[TRANSPORT]),
            fingerprint.request(Method::Allocate, udp),
            bare(Method::Allocate, &[TRANSPORT, lifetime]),
            bare(Method::Allocate, &[TRANSPORT, lifetime, family]),
            bare(Method::Allocate, &[TRANSPORT, software]),
        ];
        for (index, request) in first.into_iter().enumerate() {
            let client = TestClient::new(index as u8, "alice");
            let answer = bench.send(&client, &request).unwrap();
            assert_eq!(answer.code(), 401);
            assert_eq!(answer.value(kind::REALM), Some(realm.as_bytes()));
            let (size, asked) = (answer.0.len(), request.len());
            assert!(size * 10 <= asked * 26, "{size} for {asked}");
            let nonce = answer.value(kind::NONCE).unwrap();
            let offered = answer.value(kind::PASSWORD_ALGORITHMS).is_some();
            assert_eq!(nonce.starts_with(b"obMatJos2gAAA"), offered);
            if realm == REALM {
                assert_eq!(offered, index > 0);
            }
            assert!(answer.message().fingerprint_holds());
        }
    }
}

#[test]
fn whatever_a_stranger_sends_over_udp_comes_back_only_little_larger() {
    let mut bench = Bench::own();
    let mut random = 5_u64;
    for size in 0..200 {
        for method in [
            Method::Allocate,
            Method::Refresh,
            Method::CreatePermission,
            Method::ChannelBind,
        ] {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let mut client = TestClient::new((random >> 40) as u8, "alice");
            client
                .at
                .address
                .set_ip(std::net::Ipv4Addr::from_bits((random >> 20) as u32).into());
            let value = vec![0; size];
            let request = bare(
                method,
                &[(kind::NONCE, &value), (kind::MESSAGE_INTEGRITY, &[0; 20])],
            );
            for request in [request, bare(method, &[(kind::SOFTWARE, &value)])] {
                if let Some(answer) = bench.send(&client, &request) {
                    let most = if answer.code() == 400 { 14 } else { 26 };
                    assert!(answer.0.len() * 10 <= request.len() * most);
                }
            }
        }
    }
}

#[test]
fn a_source_is_challenged_ten_times_a_second_over_udp() {
    let mut bench = Bench::own();
    let request = bare(Method::Allocate, &[TRANSPORT]);
    let mut client = TestClient::new(1, "alice");
    let mut answered = 0;
    for port in 0..1000 {
        // Another port is not another source.
        client.at.address.set_port(port);
        answered += u32::from(bench.send(&client, &request).is_some());
    }
    assert_eq!((answered, bench.server.statistics().unanswered), (10, 990));
    assert!(bench.send(&TestClient::new(2, "bob"), &request).is_some());
    bench.pass(2);
    assert!(bench.send(&client, &request).is_some());
    // Over a stream nobody is somebody else.
    client.at.transport = Transport::Tcp;
    assert!((0..100).all(|_| bench.send(&client, &request).is_some()));
}

#[test]
fn a_source_is_the_same_to_all_servers_that_share_their_limiter() {
    let limiter = crate::Limiter::new(&[7; 16], Bench::own().now.instant);
    let shared = || {
        Bench::new(Config {
            limiter: Some(limiter.clone()),
            ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
        })
    };
    let mut benches = [shared(), shared()];
    let request = bare(Method::Allocate, &[TRANSPORT]);
    let client = TestClient::new(1, "alice");
    let answered = (0..100).filter(|n| benches[n % 2].send(&client, &request).is_some());
    assert_eq!(answered.count(), 10);
}

#[test]
fn a_hundred_thousand_strangers_leave_nothing_behind() {
    let mut bench = Bench::own();
    let requests = [
        bare(Method::Allocate, &[TRANSPORT]),
        bare(Method::Binding, &[]),
        bare(
            Method::Refresh,
            &[
                (kind::NONCE, b"obMatJos2gAAAaaaaaaaaaaaaaaaa"),
                (kind::USERNAME, b"1800000600:alice"),
                (kind::REALM, b"switchhook"),
                (kind::MESSAGE_INTEGRITY, &[0; 20]),
            ],
        ),
        channel_data(0x4000, b"hello"),
        send_indication(addr(MEDIA), b"hello"),
    ];
    let mut reply = [0; MAX_REPLY];
    let mut answered = 0;
    let info = allocation_counter::measure(|| {
        for source in 0..100_000_u32 {
            let client = Client {
                transport: Transport::Udp,
                server: ([192, 0, 2, 1], 3478).into(),
                address: (
                    std::net::Ipv4Addr::from_bits(0x0100_0000 + source * 7919),
                    source as u16,
                )
                    .into(),
            };
            for request in &requests {
                let handled = bench
                    .server
                    .handle_client(client, request, bench.now, &mut reply);
                answered += u32::from(matches!(handled, Handled::Reply(_)));
            }
        }
    });
    assert!(answered > 200_000, "{answered}");
    assert_eq!((info.count_total, info.bytes_current), (0, 0));
    bench.assert_empty();
}

#[test]
fn what_is_not_for_a_server_gets_no_answer() {
    let mut bench = Bench::own();
    let client = TestClient::new(1, "alice");
    let mut out = [0; 20];
    for class in [Class::Success, Class::Error, Class::Indication] {
        let w = Writer::new(&mut out, class, Method::Binding, [1; 12]);
        w.finish().unwrap();
        assert!(bench.send(&client, &out).is_none());
    }
    for method in [
        Method::Send,
        Method::Data,
        Method::Other(0x00a),
        Method::Other(0x777),
    ] {
        assert!(bench.send(&client, &bare(method, &[])).is_none());
    }
    // A wrong FINGERPRINT, and a request longer than any.
    let wrong = bare(Method::Binding, &[(kind::FINGERPRINT, &[0; 4])]);
    assert!(bench.send(&client, &wrong).is_none());
    let mut long = vec![0; 4000];
    let mut w = Writer::new(&mut long, Class::Request, Method::Binding, [1; 12]);
    w.attribute(kind::SOFTWARE, &[0; 3000]);
    let len = w.finish().unwrap();
    assert!(bench.send(&client, &long[..len]).is_none());
    for junk in [
        &b""[..],
        b"\x00",
        b"\x40",
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        assert!(bench.send(&client, junk).is_none());
    }
}
