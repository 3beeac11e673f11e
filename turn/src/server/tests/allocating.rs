//! Allocate and Refresh.

use super::*;
use crate::{PortRange, Reservations};

/// `Allocate` with more than REQUESTED-TRANSPORT.
fn wish(bench: &mut Bench, client: &mut TestClient, more: impl Fn(&mut Writer<'_>)) -> Answer {
    bench.ask(client, Method::Allocate, |writer| {
        udp(writer);
        more(writer);
    })
}

#[test]
fn an_allocation_says_where_it_is_and_for_how_long() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let answer = bench.allocate(&mut client);
    assert_eq!(answer.code(), 0);
    assert_eq!(answer.relayed().ip(), ip("192.0.2.1"));
    assert!(answer.relayed().port() >= 49152);
    assert_eq!(answer.lifetime(), Some(600));
    assert_eq!(
        answer.addresses(kind::XOR_MAPPED_ADDRESS),
        [client.at.address]
    );
    assert_eq!(bench.server.client_of(answer.relayed()), Some(client.at));
    let other = bench.allocate(&mut TestClient::new(2, "bob"));
    assert_ne!(other.relayed(), answer.relayed());
    assert_eq!(bench.server.allocations(), 2);
}

#[test]
fn a_lifetime_is_ten_minutes_to_an_hour() {
    let mut bench = Bench::own();
    for (host, asked, granted) in [
        (1, 0, 600),
        (2, 60, 600),
        (3, 1200, 1200),
        (4, 99_999, 3600),
    ] {
        let mut client = TestClient::new(host, "alice");
        let answer = wish(&mut bench, &mut client, |w| w.number(kind::LIFETIME, asked));
        assert_eq!(answer.lifetime(), Some(granted), "{asked}");
    }
}

#[test]
fn the_same_request_again_gets_the_same_answer_and_another_437() {
    for mut bench in [Bench::own(), Bench::open()] {
        let mut client = bench.challenged(1);
        let request = client.request(Method::Allocate, udp);
        let first = bench.send(&client, &request).unwrap();
        let again = bench.send(&client, &request).unwrap();
        assert_eq!((first.code(), &first.0), (0, &again.0));
        assert_eq!(bench.allocate(&mut client).code(), 437);
        assert_eq!(bench.server.allocations(), 1);
        bench.refresh(&mut client, 0);
        assert_eq!(bench.events(), [first.relayed()]);
    }
}

#[test]
fn what_an_allocate_may_not_say_is_refused_with_the_rfcs_codes() {
    use kind::*;
    type Fill = fn(&mut Writer<'_>);
    let cases: [(u16, Fill); 16] = [
        (400, |_| {}),
        (442, |w| w.attribute(REQUESTED_TRANSPORT, &[6, 0, 0, 0])),
        (400, |w| w.attribute(REQUESTED_TRANSPORT, &[17])),
        (400, |w| {
            udp(w);
            w.attribute(LIFETIME, &[0, 1]);
        }),
        (440, |w| {
            udp(w);
            w.attribute(REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0]);
        }),
        (400, |w| {
            udp(w);
            w.attribute(REQUESTED_ADDRESS_FAMILY, &[1]);
        }),
        // Both of them, and the additional one IPv4.
        (400, |w| {
            udp(w);
            w.attribute(REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]);
            w.attribute(ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
        }),
        (400, |w| {
            udp(w);
            w.attribute(ADDITIONAL_ADDRESS_FAMILY, &[1, 0, 0, 0]);
        }),
        (400, |w| {
            udp(w);
            w.attribute(ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
            w.attribute(EVEN_PORT, &[0x80]);
        }),
        (400, |w| {
            udp(w);
            w.attribute(EVEN_PORT, &[]);
        }),
        // A token with anything else that says where; one of the wrong size; one that nobody has.
        (400, |w| {
            udp(w);
            w.attribute(RESERVATION_TOKEN, &[0; 8]);
            w.attribute(EVEN_PORT, &[0]);
        }),
        (400, |w| {
            udp(w);
            w.attribute(RESERVATION_TOKEN, &[0; 8]);
            w.attribute(REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]);
        }),
        (400, |w| {
            udp(w);
            w.attribute(RESERVATION_TOKEN, &[0; 7]);
        }),
        (508, |w| {
            udp(w);
            w.attribute(RESERVATION_TOKEN, &[0; 8]);
        }),
        (420, |w| {
            udp(w);
            w.attribute(0x7fff, &[]);
        }),
        (420, |w| {
            w.attribute(0x0026, &[1, 2, 3]);
        }),
    ];
    let mut bench = Bench::own();
    for (index, (code, fill)) in cases.into_iter().enumerate() {
        let mut client = bench.challenged(index as u8);
        let answer = bench.ask(&mut client, Method::Allocate, fill);
        assert_eq!(answer.code(), code, "case {index}");
        if code == 420 {
            let unknown: &[u8] = [&[0x7f, 0xff], &[0, 0x26]][index % 2];
            assert_eq!(answer.value(kind::UNKNOWN_ATTRIBUTES), Some(unknown));
        }
    }
    bench.assert_empty();
}

#[test]
fn dont_fragment_is_unknown_where_datagrams_leave_and_kept_where_none_do() {
    let ask = |mut bench: Bench| {
        let mut client = TestClient::new(1, "alice");
        let dont_fragment = |w: &mut Writer<'_>| w.attribute(kind::DONT_FRAGMENT, &[]);
        let answer = wish(&mut bench, &mut client, dont_fragment);
        let unknown = answer.value(kind::UNKNOWN_ATTRIBUTES).map(<[u8]>::to_vec);
        (answer.code(), unknown)
    };
    assert_eq!(ask(Bench::own()), (0, None));
    assert_eq!(ask(Bench::open()), (420, Some(vec![0, 0x1a])));
}

#[test]
fn relays_are_of_the_family_that_is_asked_for() {
    let mut bench = Bench::own();
    let family = |number| {
        move |w: &mut Writer<'_>| w.attribute(kind::REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0])
    };
    let mut four = TestClient::new(1, "alice");
    assert!(wish(&mut bench, &mut four, family(1)).relayed().is_ipv4());
    assert_eq!(bench.permit(&mut four, &[OTHER_MEDIA]), 443);
    assert_eq!(bench.bind(&mut four, 0x4000, OTHER_MEDIA), 443);
    let mut six = TestClient::new(2, "alice");
    assert!(wish(&mut bench, &mut six, family(2)).relayed().is_ipv6());
    assert_eq!(bench.permit(&mut six, &[MEDIA]), 443);
    assert_eq!(bench.permit(&mut six, &[OTHER_MEDIA, MEDIA]), 443);
    assert_eq!(bench.bind(&mut six, 0x4000, OTHER_MEDIA), 0);

    let mut bench = Bench::new(Config {
        relay_v6: None,
        ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
    });
    assert_eq!(wish(&mut bench, &mut six, family(2)).code(), 440);
    bench.assert_empty();
}

/// Asks for both.
fn both(w: &mut Writer<'_>) {
    w.attribute(kind::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
}

#[test]
fn one_allocation_has_both_families_and_each_ends_by_itself() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let answer = wish(&mut bench, &mut client, both);
    let relayed = answer.addresses(kind::XOR_RELAYED_ADDRESS);
    assert!(relayed[0].is_ipv4() && relayed[1].is_ipv6() && relayed.len() == 2);
    assert_eq!(bench.permit(&mut client, &[MEDIA, OTHER_MEDIA]), 0);

    let end = |family| {
        move |w: &mut Writer<'_>| {
            w.number(kind::LIFETIME, 0);
            w.attribute(kind::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0]);
        }
    };
    assert_eq!(bench.ask(&mut client, Method::Refresh, end(3)).code(), 443);
    assert_eq!(
        bench.ask(&mut client, Method::Refresh, end(1)).lifetime(),
        Some(0)
    );
    assert_eq!(bench.events(), [relayed[0]]);
    assert_eq!(bench.ask(&mut client, Method::Refresh, end(1)).code(), 443);
    assert_eq!(
        bench.data(&client, &send_indication(addr(MEDIA), b"x")),
        None
    );
    assert!(
        bench
            .data(&client, &send_indication(addr(OTHER_MEDIA), b"x"))
            .is_some()
    );
    assert_eq!(bench.refresh(&mut client, 0).lifetime(), Some(0));
    assert_eq!(bench.events(), [relayed[1]]);
    bench.assert_empty();
}

#[test]
fn one_of_two_families_is_enough_and_the_answer_names_the_other() {
    let mut bench = Bench::new(Config {
        relay_v6: None,
        ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
    });
    let answer = wish(&mut bench, &mut TestClient::new(1, "alice"), both);
    assert_eq!((answer.code(), answer.relayed().is_ipv4()), (0, true));
    assert_eq!(
        answer.value(kind::ADDRESS_ERROR_CODE),
        Some(&[2, 0, 4, 40][..])
    );
}

#[test]
fn an_even_port_and_the_next_one_which_who_has_the_token_gets() {
    let mut bench = Bench::own();
    let (mut first, mut second) = (TestClient::new(1, "alice"), TestClient::new(2, "alice"));
    let answer = wish(&mut bench, &mut first, |w| {
        w.attribute(kind::EVEN_PORT, &[0x80])
    });
    assert!(answer.relayed().port().is_multiple_of(2));
    let token = answer.value(kind::RESERVATION_TOKEN).unwrap().to_vec();
    let with_token = |w: &mut Writer<'_>| w.attribute(kind::RESERVATION_TOKEN, &token);
    bench.pass(29);
    let next = wish(&mut bench, &mut second, with_token);
    assert_eq!(next.relayed().port(), answer.relayed().port() + 1);
    let again = wish(&mut bench, &mut TestClient::new(3, "alice"), with_token);
    assert_eq!(again.code(), 508);

    let mut third = TestClient::new(4, "alice");
    let answer = wish(&mut bench, &mut third, |w| {
        w.attribute(kind::EVEN_PORT, &[0])
    });
    assert!(answer.relayed().port().is_multiple_of(2));
    assert_eq!(answer.value(kind::RESERVATION_TOKEN), None);
    for client in [&mut first, &mut second, &mut third] {
        bench.refresh(client, 0);
    }
    bench.assert_empty();
}

#[test]
fn a_token_is_understood_by_every_server_of_the_process() {
    let shared = Reservations::new(&[9; 32], Instant::now());
    let of = |first, last| {
        let mut config = config(RelayPolicy::Open(PeerRules::default()));
        config.reservations = Some(shared.clone());
        config.ports = PortRange { first, last };
        Bench::new(config)
    };
    let (mut one, mut other) = (of(50_000, 50_099), of(50_100, 50_199));
    let answer = wish(&mut one, &mut TestClient::new(1, "alice"), |w| {
        w.attribute(kind::EVEN_PORT, &[0x80])
    });
    let token = answer.value(kind::RESERVATION_TOKEN).unwrap().to_vec();
    let mut client = TestClient::new(2, "alice");
    let next = wish(&mut other, &mut client, |w| {
        w.attribute(kind::RESERVATION_TOKEN, &token)
    });
    assert_eq!(next.relayed().port(), answer.relayed().port() + 1);
    other.refresh(&mut client, 0);
    other.assert_empty();
    one.pass(31);
}

#[test]
fn a_reservation_is_over_after_thirty_seconds_and_with_its_allocation() {
    let mut bench = Bench::new(Config {
        ports: crate::PortRange {
            first: 50_000,
            last: 50_001,
        },
        ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
    });
    let mut client = TestClient::new(1, "alice");
    let even = |w: &mut Writer<'_>| w.attribute(kind::EVEN_PORT, &[0x80]);
    for _ in 0..2 {
        let answer = wish(&mut bench, &mut client, even);
        let token = answer.value(kind::RESERVATION_TOKEN).unwrap().to_vec();
        let mut other = TestClient::new(2, "alice");
        assert_eq!(
            bench.allocate(&mut other).code(),
            508,
            "the next port is kept"
        );
        bench.refresh(&mut client, 0);
        let with_token = |w: &mut Writer<'_>| w.attribute(kind::RESERVATION_TOKEN, &token);
        assert_eq!(wish(&mut bench, &mut other, with_token).code(), 508);
        bench.assert_empty();
    }
    assert_eq!(wish(&mut bench, &mut client, even).code(), 0);
    bench.pass(30);
    assert_eq!(bench.allocate(&mut TestClient::new(2, "alice")).code(), 0);
}

#[test]
fn an_allocation_ends_when_it_is_not_refreshed() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    client.credentials = crate::Credentials::time_limited(&secret(), "alice", UNIX + 6000);
    let relayed = bench.allocate(&mut client).relayed();
    bench.pass(599);
    assert_eq!(bench.refresh(&mut client, 700).lifetime(), Some(700));
    bench.pass(699);
    assert!(bench.events().is_empty());
    assert_eq!(
        bench.server.poll_timeout(),
        Some(bench.now.instant + Duration::from_secs(1))
    );
    bench.pass(1);
    assert_eq!(bench.events(), [relayed]);
    bench.assert_empty();
    assert_eq!(bench.refresh(&mut client, 600).code(), 437);
}

#[test]
fn a_refresh_of_zero_ends_it_at_once() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let relayed = bench.allocate(&mut client).relayed();
    assert_eq!(bench.refresh(&mut client, 0).lifetime(), Some(0));
    assert_eq!(bench.events(), [relayed]);
    bench.assert_empty();
    assert_eq!(bench.refresh(&mut client, 0).code(), 437);
    assert_eq!(bench.allocate(&mut client).code(), 0);
    bench.server.client_closed(client.at);
    bench.assert_empty();
}

#[test]
fn another_user_may_not_touch_an_allocation() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    bench.allocate(&mut client);
    let mut eve = client.clone();
    eve.credentials = crate::Credentials::time_limited(&secret(), "eve", UNIX + 600);
    assert_eq!(bench.refresh(&mut eve, 0).code(), 441);
    assert_eq!(bench.permit(&mut eve, &[MEDIA]), 441);
    assert_eq!(bench.bind(&mut eve, 0x4000, MEDIA), 441);
    assert_eq!(bench.allocate(&mut eve).code(), 437);
    assert_eq!(bench.server.allocations(), 1);
}

#[test]
fn without_an_allocation_everything_else_is_437() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    assert_eq!(bench.refresh(&mut client, 600).code(), 437);
    assert_eq!(bench.permit(&mut client, &[MEDIA]), 437);
    assert_eq!(bench.bind(&mut client, 0x4000, MEDIA), 437);
}

#[test]
fn where_there_is_ipv6_alone_a_virtual_relay_is_of_ipv6_unless_the_other_is_asked_for() {
    let mut bench = Bench::new(Config {
        relay_v4: None,
        ..config(RelayPolicy::Own(vec![addr("[2001:db8::2]:7000")]))
    });
    let mut client = TestClient::new(1, "alice");
    let relayed = bench.allocate(&mut client).relayed();
    assert_eq!(relayed.ip(), ip("2001:db8::1"));
    assert_eq!(bench.permit(&mut client, &["[2001:db8::2]:7000"]), 0);
    let mut open = Bench::new(Config {
        relay_v4: None,
        ..config(RelayPolicy::Open(Default::default()))
    });
    assert_eq!(open.allocate(&mut TestClient::new(1, "alice")).code(), 440);
}

#[test]
fn a_quota_is_of_all_servers_that_share_it() {
    let quotas = crate::Quotas::new(&[7; 16]);
    let shared = || Config {
        limits: crate::Limits {
            allocations_per_user: 2,
            ..Default::default()
        },
        quotas: Some(quotas.clone()),
        ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
    };
    let (mut one, mut other) = (Bench::new(shared()), Bench::new(shared()));
    let code = |bench: &mut Bench, host| bench.allocate(&mut TestClient::new(host, "alice")).code();
    assert_eq!((code(&mut one, 1), code(&mut other, 2)), (0, 0));
    assert_eq!((code(&mut one, 3), code(&mut other, 4)), (486, 486));
    drop(other);
    assert_eq!((code(&mut one, 5), code(&mut one, 6)), (0, 486));
}

#[test]
fn quotas_count_users_addresses_and_all() {
    let mut bench = Bench::new(Config {
        limits: crate::Limits {
            allocations: 6,
            allocations_per_user: 2,
            allocations_per_address: 3,
            ..Default::default()
        },
        ..config(RelayPolicy::Own(vec![addr(MEDIA)]))
    });
    let mut made = Vec::new();
    let mut code = |bench: &mut Bench, host, port, user| {
        let mut client = TestClient::new(host, user);
        client.at.address.set_port(port);
        let code = bench.allocate(&mut client).code();
        made.push(client);
        code
    };
    assert_eq!(code(&mut bench, 1, 1, "alice"), 0);
    assert_eq!(code(&mut bench, 2, 1, "alice"), 0);
    assert_eq!(code(&mut bench, 3, 1, "alice"), 486, "a user has two");
    assert_eq!(code(&mut bench, 1, 2, "bob"), 0);
    assert_eq!(code(&mut bench, 1, 3, "carol"), 0);
    assert_eq!(code(&mut bench, 1, 4, "dave"), 486, "an address has three");
    assert_eq!(code(&mut bench, 4, 1, "dave"), 0);
    assert_eq!(code(&mut bench, 5, 1, "erin"), 0);
    assert_eq!(code(&mut bench, 6, 1, "frank"), 508, "all have six");
    assert_eq!(bench.server.statistics().refused_quota, 2);
    for client in &mut made {
        bench.refresh(client, 0);
    }
    bench.assert_empty();
    // Other credentials of a user count for the user.
    for (host, end, code) in [(1, 700, 0), (2, 701, 0), (3, 702, 486)] {
        let mut client = TestClient::new(host, "alice");
        client.credentials = crate::Credentials::time_limited(&secret(), "alice", UNIX + end);
        assert_eq!(bench.allocate(&mut client).code(), code);
    }
}

#[test]
fn sockets_that_cannot_be_bound_are_tried_elsewhere_three_times() {
    let mut bench = Bench::open();
    let mut client = bench.challenged(1);
    let mut reply = [0; MAX_REPLY];
    for fails in 1..=3 {
        let request = client.request(Method::Allocate, |w| {
            udp(w);
            both(w);
        });
        let mut open = bench.opens(&client, &request);
        // Meanwhile the request comes again.
        assert!(bench.send(&client, &request).is_none());
        let mut seen = Vec::new();
        let answer = loop {
            let addresses: Vec<_> = open.addresses().collect();
            assert_eq!(addresses.len(), 2);
            seen.push(addresses[0]);
            let failed = if seen.len() <= fails {
                addresses
            } else {
                Vec::new()
            };
            match bench
                .server
                .relay_opened(&open, &failed, bench.now, &mut reply)
            {
                Handled::Open(other) => open = other,
                Handled::Reply(len) => break Answer(reply[..len].to_vec()),
                other => panic!("{other:?}"),
            }
        };
        seen.dedup();
        let (tries, code) = if fails < 3 { (fails + 1, 0) } else { (3, 508) };
        assert_eq!((seen.len(), answer.code()), (tries, code));
        assert!(bench.events().is_empty());
        if code == 0 {
            bench.refresh(&mut client, 0);
            assert_eq!(bench.events().len(), 2);
        }
    }
    bench.assert_empty();
}

#[test]
fn a_family_that_cannot_be_bound_is_left_out() {
    let mut bench = Bench::open();
    let mut client = bench.challenged(1);
    let request = client.request(Method::Allocate, |w| {
        udp(w);
        both(w);
    });
    let mut reply = [0; MAX_REPLY];
    let mut handled = bench
        .server
        .handle_client(client.at, &request, bench.now, &mut reply);
    let mut bound = Vec::new();
    let len = loop {
        match handled {
            Handled::Open(open) => {
                let (four, six): (Vec<_>, Vec<_>) = open.addresses().partition(|a| a.is_ipv4());
                bound.extend(four);
                handled = bench
                    .server
                    .relay_opened(&open, &six, bench.now, &mut reply);
            }
            Handled::Reply(len) => break len,
            other => panic!("{other:?}"),
        }
    };
    let answer = Answer(reply[..len].to_vec());
    assert_eq!(
        answer.value(kind::ADDRESS_ERROR_CODE),
        Some(&[2, 0, 5, 8][..])
    );
    assert_eq!(answer.addresses(kind::XOR_RELAYED_ADDRESS), [bound[2]]);
    assert_eq!(bench.events(), bound[..2], "those of the tries before");
    bench.refresh(&mut client, 0);
    assert_eq!(bench.events(), bound[2..]);
    bench.assert_empty();
}

#[test]
fn sockets_that_come_too_late_are_closed() {
    let mut bench = Bench::open();
    let mut client = bench.challenged(1);
    let request = client.request(Method::Allocate, udp);
    let mut reply = [0; MAX_REPLY];
    let open = bench.opens(&client, &request);
    bench.pass(10);
    bench.assert_empty();
    bench.events();
    let late = bench.server.relay_opened(&open, &[], bench.now, &mut reply);
    assert_eq!(late, Handled::Nothing);
    assert_eq!(bench.events(), open.addresses().collect::<Vec<_>>());
}

#[test]
fn behind_a_nat_clients_are_told_the_outer_address() {
    let relay = crate::RelayAddress {
        local: ip("10.0.0.5"),
        advertised: ip("192.0.2.99"),
    };
    let mut bench = Bench::new(Config {
        relay_v4: Some(relay),
        ..config(RelayPolicy::Open(PeerRules::default()))
    });
    let mut client = TestClient::new(1, "alice");
    let told = bench.allocate(&mut client).relayed();
    assert_eq!(told.ip(), relay.advertised);
    let local = SocketAddr::new(relay.local, told.port());
    assert_eq!(bench.server.client_of(local), Some(client.at));
    assert_eq!(bench.bind(&mut client, 0x4000, "8.8.8.8:53"), 0);
    assert!(bench.arrives(local, "8.8.8.8:53", b"x").is_some());
}

#[test]
fn when_no_other_port_is_left_the_client_is_told() {
    let mut bench = Bench::new(Config {
        ports: crate::PortRange {
            first: 50_000,
            last: 50_000,
        },
        ..config(RelayPolicy::Open(PeerRules::default()))
    });
    let mut client = bench.challenged(1);
    let request = client.request(Method::Allocate, udp);
    let mut reply = [0; MAX_REPLY];
    let open = bench.opens(&client, &request);
    let failed: Vec<_> = open.addresses().collect();
    let answer = bench
        .server
        .relay_opened(&open, &failed, bench.now, &mut reply);
    let Handled::Reply(len) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(Answer(reply[..len].to_vec()).code(), 508);
    bench.assert_empty();
    assert_eq!(bench.allocate(&mut client).code(), 0);
}
