//! Against a name server of the test's own.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, Record};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;

use super::*;

type Zone = Vec<(&'static str, RData)>;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(192, 0, 2, last)))
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(target)))
}

fn naptr(order: u16, service: &str, replacement: &str) -> RData {
    RData::NAPTR(NAPTR::new(
        order,
        10,
        b"s".to_vec().into_boxed_slice(),
        service.as_bytes().to_vec().into_boxed_slice(),
        Vec::new().into_boxed_slice(),
        name(replacement),
    ))
}

/// Names that a server of ours knows; of others there are none.
async fn dns(zone: Zone) -> Dns {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = socket.local_addr().unwrap();
    let zone = Arc::new(zone);
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            let query = Message::from_vec(&packet[..len]).unwrap();
            let asked = query.queries[0].clone();
            let mut response = Message::response(query.metadata.id, query.metadata.op_code);
            response.metadata.recursion_desired = true;
            response.metadata.recursion_available = true;
            response.add_query(asked.clone());
            let known: Vec<_> = zone
                .iter()
                .filter(|(owner, _)| name(owner) == *asked.name())
                .collect();
            if known.is_empty() {
                response.metadata.response_code = ResponseCode::NXDomain;
            }
            for (owner, data) in known {
                if data.record_type() == asked.query_type() {
                    response.add_answer(Record::from_rdata(name(owner), 60, data.clone()));
                }
            }
            let _ = socket.send_to(&response.to_vec().unwrap(), from).await;
        }
    });
    Dns::new(&[server]).unwrap()
}

async fn leads_to(dns: &Dns, uri: &str) -> Vec<String> {
    let flows = dns.resolve(&uri.parse().unwrap()).await.unwrap();
    let shown = |flow: &Flow| format!("{:?} {}", flow.transport, flow.remote);
    flows.iter().map(shown).collect()
}

#[tokio::test]
async fn naptr_names_the_transport_and_srv_the_places_in_order() {
    let dns = dns(vec![
        (
            "example.com.",
            naptr(20, "SIP+D2U", "_sip._udp.example.com."),
        ),
        (
            "example.com.",
            naptr(10, "SIP+D2T", "_sip._tcp.example.com."),
        ),
        ("example.com.", naptr(5, "E2U+email", "_other.example.com.")),
        ("_sip._tcp.example.com.", srv(2, 0, 5070, "b.example.com.")),
        ("_sip._tcp.example.com.", srv(1, 0, 5071, "a.example.com.")),
        ("_sip._udp.example.com.", srv(1, 0, 5072, "a.example.com.")),
        ("a.example.com.", a(1)),
        ("b.example.com.", a(2)),
        ("b.example.com.", a(3)),
    ])
    .await;
    let flows = leads_to(&dns, "sip:example.com").await;
    assert_eq!(flows[0], "Tcp 192.0.2.1:5071");
    assert_eq!(flows.len(), 4);
    assert_eq!(flows[3], "Udp 192.0.2.1:5072");
    // The URI's own transport outranks NAPTR.
    let flows = leads_to(&dns, "sip:example.com;transport=udp").await;
    assert_eq!(flows, ["Udp 192.0.2.1:5072"]);
}

#[tokio::test]
async fn without_naptr_srv_says_and_without_srv_the_name_itself() {
    let dns = dns(vec![
        ("_sip._tcp.only-tcp.example.", srv(1, 0, 5080, "a.example.")),
        ("_sips._tcp.secure.example.", srv(1, 0, 5081, "a.example.")),
        ("_sip._udp.closed.example.", srv(1, 0, 0, ".")),
        ("closed.example.", a(4)),
        ("plain.example.", a(5)),
        ("a.example.", a(1)),
    ])
    .await;
    assert_eq!(
        leads_to(&dns, "sip:only-tcp.example").await,
        ["Tcp 192.0.2.1:5080"]
    );
    assert_eq!(
        leads_to(&dns, "sips:secure.example").await,
        ["Tls 192.0.2.1:5081"]
    );
    assert_eq!(
        leads_to(&dns, "sip:plain.example").await,
        ["Udp 192.0.2.5:5060"]
    );
    let by_tls = leads_to(&dns, "sip:plain.example;transport=tls").await;
    assert_eq!(by_tls, ["Tls 192.0.2.5:5061"]);
    assert_eq!(
        leads_to(&dns, "sip:closed.example").await,
        ["Udp 192.0.2.4:5060"]
    );
    // Who names a port, or an address, wants just that.
    let flows = leads_to(&dns, "sip:a.example:5090;transport=tcp").await;
    assert_eq!(flows, ["Tcp 192.0.2.1:5090"]);
    assert_eq!(
        leads_to(&dns, "sip:192.0.2.9").await,
        ["Udp 192.0.2.9:5060"]
    );
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_said_to() {
    let dns = dns(vec![(
        "_sip._udp.broken.example.",
        srv(1, 0, 5060, "gone.example."),
    )])
    .await;
    for (uri, said) in [
        ("sip:nobody.example", "nobody.example cannot be resolved"),
        ("sip:broken.example", "gone.example cannot be resolved"),
        ("sip:nobody.example;transport=sctp", "not spoken"),
    ] {
        let error = dns.resolve(&uri.parse().unwrap()).await.unwrap_err();
        assert!(error.contains(said), "{uri}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_not_waited_for_long() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dns = Dns::new(&[silent.local_addr().unwrap()]).unwrap();
    let before = Instant::now();
    assert!(
        dns.resolve(&"sip:example.com".parse().unwrap())
            .await
            .is_err()
    );
    assert!(before.elapsed() < Duration::from_secs(10));
}

#[test]
fn srv_records_of_one_priority_share_by_weight() {
    let target = |priority, weight| Target {
        priority,
        weight,
        port: weight,
        host: String::new(),
    };
    let records = vec![target(2, 1), target(1, 30), target(1, 10), target(1, 0)];
    let mut rng = StdRng::from_seed([3; 32]);
    let mut first = std::collections::HashMap::new();
    for _ in 0..4000 {
        let order = in_order(records.clone(), &mut rng);
        assert_eq!((order.len(), order[3].priority), (4, 2));
        *first.entry(order[0].weight).or_insert(0) += 1;
    }
    assert!((2800..3150).contains(&first[&30]), "{first:?}");
    assert!((1..250).contains(&first[&0]), "{first:?}");
}
