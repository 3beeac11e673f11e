//! A registrar on loopback.

use sip::endpoint::AccountConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::settings::SipTls;
use crate::sip_driver::spawn;

/// Longer than anything here takes, on the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(20);

const PING: &[u8] = b"\r\n\r\n";

/// An account that is kept registered there, with pings in quick succession.
async fn registered_at(registrar: &str) -> Registration {
    let listen = "127.0.0.1:0".parse().unwrap();
    let (sip, _calls) = spawn(listen, None, &SipTls::default(), |config| config)
        .await
        .unwrap();
    let registrar: Uri = registrar.parse().unwrap();
    let identity = registrar.to_string().replace("sip:", "sip:4930@");
    let config = AccountConfig {
        identity: identity.parse().unwrap(),
        credentials: None,
    };
    let account = sip.add_account(config).await.unwrap();
    let registering = Registering {
        account,
        next_hop: registrar.clone(),
        registrar,
        expires: Duration::from_secs(300),
        keep_alive: Some(Duration::from_millis(20)),
    };
    Registration::spawn(sip, registering)
}

/// Says yes to a REGISTER.
fn ok(register: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(register);
    assert!(text.starts_with("REGISTER "), "{text}");
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"];
    let lines = text
        .lines()
        .filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let lines: String = lines.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 200 OK\r\n{lines}Expires: 300\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

async fn read(stream: &mut TcpStream, until: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let whole = async {
        while !until(&bytes) {
            assert!(
                stream.read_buf(&mut bytes).await.unwrap() > 0,
                "it is closed"
            );
        }
    };
    timeout(PATIENCE, whole).await.expect("what is waited for");
    bytes
}

#[tokio::test]
async fn where_the_connection_is_gone_it_registers_anew_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let registration = registered_at(&format!("sip:127.0.0.1:{port};transport=tcp")).await;
    for _ in 0..3 {
        let accepted = timeout(PATIENCE, listener.accept()).await;
        let (mut stream, _) = accepted.expect("a connection").unwrap();
        let register = read(&mut stream, |bytes| bytes.ends_with(PING)).await;
        stream.write_all(&ok(&register)).await.unwrap();
        // The way is kept open, until it is cut off.
        read(&mut stream, |bytes| bytes.starts_with(PING)).await;
    }
    drop(registration);
}

#[tokio::test]
async fn by_udp_something_goes_there_between_two_registers() {
    let registrar = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = registrar.local_addr().unwrap().port();
    let registration = registered_at(&format!("sip:127.0.0.1:{port}")).await;
    let mut datagram = [0; 2048];
    let receive = registrar.recv_from(&mut datagram);
    let (len, from) = timeout(PATIENCE, receive).await.unwrap().unwrap();
    let answer = ok(&datagram[..len]);
    registrar.send_to(&answer, from).await.unwrap();
    for _ in 0..2 {
        let receive = registrar.recv_from(&mut datagram);
        let (len, again) = timeout(PATIENCE, receive).await.unwrap().unwrap();
        assert_eq!((&datagram[..len], again), (PING, from));
    }
    drop(registration);
}
