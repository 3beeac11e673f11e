//! A name server whose every name is a SIP service on this machine.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// A running name server; it ends with the process.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
}

impl NameServer {
    /// One that answers to each question for SIP over UDP with these priorities and ports, and to each for an address with
    /// 127.0.0.1.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start(services: &[(u16, u16)]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        let services = services.to_vec();
        thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut packet) {
                if let Some(answer) = answer(&packet[..len], &services) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address }
    }

    /// Where it is.
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

fn answer(query: &[u8], services: &[(u16, u16)]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let asked = query.queries.first()?.clone();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_available = true;
    response.add_query(asked.clone());
    let name = asked.name().clone();
    let mut add = |data| {
        response.add_answer(Record::from_rdata(name.clone(), 60, data));
    };
    match asked.query_type() {
        RecordType::SRV if name.to_string().starts_with("_sip._udp.") => {
            for (priority, port) in services {
                let target = Name::from_ascii("phones.example.").ok()?;
                add(RData::SRV(SRV::new(*priority, 1, *port, target)));
            }
        }
        RecordType::A => add(RData::A(A(Ipv4Addr::LOCALHOST))),
        _ => {}
    }
    response.to_vec().ok()
}
