//! What this machine's address is to others, as a STUN server sees it (RFC 8489): for who is behind 1:1 NAT and has not
//! written it down.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;
use turn::message::{Class, Message, Method, Writer, attribute};

/// How long each of the requests is given; RFC 8489 §6.2.1 begins with half a second, too.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
    Duration::from_millis(2000),
];

/// How long its name may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);

/// The address that the server at `host:port` sees of what is sent from `own`.
///
/// # Errors
/// It has no address of that family, cannot be reached from there, or does not answer.
pub async fn ask(server: &str, own: IpAddr) -> io::Result<IpAddr> {
    let unknown = |why: String| io::Error::new(io::ErrorKind::NotFound, why);
    let looked_up = timeout(LOOK_UP, lookup_host(server)).await;
    let addresses = looked_up.map_err(|_| unknown(format!("{server} is not looked up in time")))?;
    let family = if own.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut last = unknown(format!("{server} has no {family} address"));
    for address in addresses?.filter(|address| address.is_ipv4() == own.is_ipv4()) {
        match ask_at(address, own).await {
            Ok(seen) => return Ok(seen),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_at(server: SocketAddr, own: IpAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((own, 0)).await?;
    // What comes from anywhere else is not heard.
    socket.connect(server).await?;
    let transaction: [u8; 12] = rand::random();
    let mut request = [0; 64];
    let writer = Writer::new(&mut request, Class::Request, Method::Binding, transaction);
    let len = writer.finish().unwrap_or(0);
    let mut answer = [0; 1500];
    for patience in PATIENCE {
        socket.send(&request[..len]).await?;
        let seen = timeout(patience, async {
            loop {
                let len = socket.recv(&mut answer).await?;
                if let Some(seen) = read(&answer[..len], transaction) {
                    return Ok(seen);
                }
            }
        });
        match seen.await {
            Ok(seen) => return seen,
            Err(_) => continue,
        }
    }
    let why = format!("the STUN server {server} does not answer");
    Err(io::Error::new(io::ErrorKind::TimedOut, why))
}

/// The address in a Binding success that answers that request.
fn read(answer: &[u8], transaction: [u8; 12]) -> Option<IpAddr> {
    let message = Message::parse(answer)?;
    let ours = (Class::Success, Method::Binding, transaction);
    if (message.class(), message.method(), message.transaction()) != ours {
        return None;
    }
    let value = message.value(attribute::XOR_MAPPED_ADDRESS)?;
    Some(message.xor_address(value)?.ip().to_canonical())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// A server that answers the request number `answered`, after one answer to nobody's.
    pub(crate) async fn server(answered: usize, seen: SocketAddr) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            for number in 0.. {
                let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
                if number < answered {
                    continue;
                }
                let request = Message::parse(&buffer[..len]).unwrap();
                for transaction in [[7; 12], request.transaction()] {
                    let mut answer = [0; 64];
                    let class = Class::Success;
                    let mut writer = Writer::new(&mut answer, class, Method::Binding, transaction);
                    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, seen);
                    let len = writer.finish().unwrap();
                    socket.send_to(&answer[..len], from).await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_server_says_what_it_sees_when_it_is_asked_often_enough() {
        for (answered, seen) in [(0, "203.0.113.9:4000"), (1, "[2001:db8::9]:4000")] {
            let seen: SocketAddr = seen.parse().unwrap();
            let server = server(answered, seen).await;
            let own = Ipv4Addr::LOCALHOST.into();
            let answer = ask(&server.to_string(), own).await;
            assert_eq!(answer.unwrap(), seen.ip());
        }
    }

    /// What a server sees of one address says nothing of another.
    #[tokio::test]
    async fn a_server_is_not_asked_from_another_address_than_the_one_in_question() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap().to_string();
        let error = ask(&server, Ipv6Addr::LOCALHOST.into()).await.unwrap_err();
        assert!(error.to_string().contains("no IPv6 address"), "{error}");
        let own = "127.0.0.2".parse().unwrap();
        let asked = tokio::spawn(async move { ask(&server, own).await });
        let (_, from) = socket.recv_from(&mut [0; 64]).await.unwrap();
        assert_eq!(from.ip(), own);
        asked.abort();
    }

    #[test]
    fn what_answers_nothing_of_ours_is_left_out() {
        let mut answer = [0; 64];
        let mut writer = Writer::new(&mut answer, Class::Error, Method::Binding, [1; 12]);
        writer.xor_address(
            attribute::XOR_MAPPED_ADDRESS,
            "192.0.2.1:1".parse().unwrap(),
        );
        let len = writer.finish().unwrap();
        assert_eq!(read(&answer[..len], [1; 12]), None);
        assert_eq!(read(&[], [1; 12]), None);
    }
}
