//! Whom a relay does not lead to, at all four places.

use std::net::IpAddr;

use super::*;

/// Addresses of every special-purpose range of IPv4, and what carries them into IPv6.
fn forbidden() -> Vec<IpAddr> {
    let plain = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "168.63.129.16",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.254",
        "255.255.255.255",
    ];
    let six = [
        "::",
        "::1",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002::1",
        "3fff::1",
        "5f00::1",
        "64:ff9b:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ];
    let mut all: Vec<_> = plain.iter().chain(&six).map(|text| ip(text)).collect();
    for text in plain {
        let IpAddr::V4(v4) = ip(text) else {
            unreachable!()
        };
        let [a, b, c, d] = v4.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let forms = [
            // Compatible, mapped, translated.
            format!("::{high:x}:{low:x}"),
            format!("::ffff:{high:x}:{low:x}"),
            format!("::ffff:0:{high:x}:{low:x}"),
            // NAT64: well-known, and local by two layouts.
            format!("64:ff9b::{high:x}:{low:x}"),
            format!("64:ff9b:1::{high:x}:{low:x}"),
            format!(
                "64:ff9b:1:{high:x}:{:x}:{:x}::",
                u16::from(c),
                u16::from(d) << 8
            ),
            // 6to4, Teredo (as server and as client), ISATAP of a public network.
            format!("2002:{high:x}:{low:x}::1"),
            format!("2001:0:{high:x}:{low:x}::1"),
            format!("2001:0:808:808::{:x}:{:x}", !high, !low),
            format!("2606:4700::5efe:{high:x}:{low:x}"),
            format!("2606:4700::200:5efe:{high:x}:{low:x}"),
        ];
        all.extend(forms.iter().map(|form| ip(form)));
    }
    // Some forms of some addresses are the same.
    all.sort_unstable();
    all.dedup();
    all
}

/// Both families, so that none is refused for its family alone.
fn both(client: &mut TestClient, bench: &mut Bench) -> Vec<SocketAddr> {
    let answer = bench.ask(client, Method::Allocate, |w| {
        udp(w);
        w.attribute(kind::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    });
    answer.addresses(kind::XOR_RELAYED_ADDRESS)
}

fn of_family(relayed: &[SocketAddr], ip: IpAddr) -> SocketAddr {
    relayed[usize::from(ip.is_ipv6())]
}

#[test]
fn forbidden_peers_get_no_permission_and_no_channel() {
    let peers = forbidden();
    assert!(peers.len() > 350);
    for mut bench in [Bench::own(), Bench::open()] {
        let mut client = TestClient::new(1, "alice");
        both(&mut client, &mut bench);
        for ip in &peers {
            let peer = SocketAddr::new(*ip, 5000).to_string();
            assert_eq!(bench.permit(&mut client, &[&peer]), 403, "{peer}");
            assert_eq!(bench.bind(&mut client, 0x4000, &peer), 403, "{peer}");
            // Not beside an allowed one either, and that one not with it.
            let allowed = match bench.server.config.policy {
                RelayPolicy::Own(_) => MEDIA,
                RelayPolicy::Open(_) => "8.8.8.8:53",
            };
            assert_eq!(bench.permit(&mut client, &[allowed, &peer]), 403, "{peer}");
            let indication = send_indication(addr(allowed), b"x");
            assert_eq!(bench.data(&client, &indication), None);
        }
        assert_eq!(
            bench.server.statistics().refused_forbidden,
            3 * peers.len() as u64
        );
    }
}

#[test]
fn forbidden_peers_get_no_data_and_none_from_them_arrives_whatever_was_permitted_before() {
    let peers = forbidden();
    // First everybody is allowed, so that there are permissions and channels.
    let anybody = PeerRules {
        allow: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        ..PeerRules::default()
    };
    let mut bench = Bench::open();
    let mut clients = Vec::new();
    for (number, some) in peers.chunks(50).enumerate() {
        bench.server.set_policy(RelayPolicy::Open(anybody.clone()));
        let mut client = TestClient::new(number as u8, "alice");
        let relayed = both(&mut client, &mut bench);
        for (channel, ip) in (0x4000..).zip(some) {
            let peer = SocketAddr::new(*ip, 5000).to_string();
            assert_eq!(bench.bind(&mut client, channel, &peer), 0, "{peer}");
        }
        clients.push((client, relayed, some));
    }
    let mut passed = |policy: RelayPolicy| {
        bench.server.set_policy(policy);
        let mut passed = [0; 3];
        for (client, relayed, some) in &clients {
            for (channel, ip) in (0x4000..).zip(*some) {
                let peer = SocketAddr::new(*ip, 5000);
                let from = of_family(relayed, *ip);
                let arrived = bench.arrives(from, &peer.to_string(), b"x");
                passed[0] += u32::from(bench.data(client, &send_indication(peer, b"x")).is_some());
                passed[1] += u32::from(bench.data(client, &channel_data(channel, b"x")).is_some());
                passed[2] += u32::from(arrived.is_some());
            }
        }
        passed
    };
    let all = peers.len() as u32;
    assert_eq!(passed(RelayPolicy::Open(anybody)), [all; 3]);
    assert_eq!(passed(RelayPolicy::Open(PeerRules::default())), [0; 3]);
    assert_eq!(passed(RelayPolicy::Own(vec![addr(MEDIA)])), [0; 3]);
    assert_eq!(
        bench.server.statistics().dropped_forbidden,
        6 * u64::from(all)
    );
}

#[test]
fn an_own_relay_leads_to_the_media_addresses_and_to_no_other_port_of_theirs() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    let relayed = bench.allocate(&mut client).relayed();
    assert_eq!(bench.permit(&mut client, &["8.8.8.8:5000"]), 403);
    // A permission is for an address, so this one's port does not matter.
    assert_eq!(bench.permit(&mut client, &["203.0.113.7:1"]), 0);
    assert_eq!(bench.bind(&mut client, 0x4000, "203.0.113.7:5001"), 403);
    assert!(
        bench
            .data(&client, &send_indication(addr(MEDIA), b"x"))
            .is_some()
    );
    let elsewhere = send_indication(addr("203.0.113.7:5001"), b"x");
    assert_eq!(bench.data(&client, &elsewhere), None);
    assert!(bench.arrives(relayed, MEDIA, b"x").is_some());
    assert_eq!(bench.arrives(relayed, "203.0.113.7:5001", b"x"), None);
    assert_eq!(bench.server.statistics().dropped_forbidden, 2);
}

#[test]
fn a_laboratory_may_open_loopback() {
    let rules = PeerRules {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..PeerRules::default()
    };
    let mut bench = Bench::new(config(RelayPolicy::Open(rules)));
    let mut client = TestClient::new(1, "alice");
    let relayed = both(&mut client, &mut bench);
    assert_eq!(bench.bind(&mut client, 0x4000, "127.0.0.1:5000"), 0);
    assert!(bench.data(&client, &channel_data(0x4000, b"x")).is_some());
    assert!(bench.arrives(relayed[0], "127.0.0.1:5000", b"x").is_some());
    assert_eq!(bench.permit(&mut client, &["[::ffff:127.0.0.1]:5000"]), 403);
    assert_eq!(bench.permit(&mut client, &["10.0.0.1:5000"]), 403);
}
