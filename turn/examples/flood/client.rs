//! One client of a TURN server: it asks and waits for answers until it relays, and never waits from then on.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mio::{Interest, Registry, Token};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore};
use turn::framing::{Framing, StreamReader};
use turn::message::{Class, Method, Writer, attribute};
use turn::testing::{Answer, TestClient, udp};
use turn::{Client, Credentials, Secret, Transport};

use crate::PATIENCE;

const CHANNEL: u16 = 0x4000;
const MAX_MESSAGE: usize = 2048;

/// A TURN server, as its clients know it.
pub(crate) struct Server {
    address: SocketAddr,
    secret: Secret,
    tls: Option<Arc<ClientConfig>>,
}

impl Server {
    pub(crate) fn new(
        address: SocketAddr,
        secret: &str,
        certificate: Option<&Path>,
    ) -> io::Result<Self> {
        Ok(Self {
            address,
            secret: Secret::new(secret),
            tls: certificate.map(tls).transpose()?,
        })
    }

    /// A client at that address.
    pub(crate) fn client(&self, from: Ipv4Addr, number: u16) -> io::Result<FloodClient> {
        let server = self.address;
        let (wire, transport, address) = match &self.tls {
            None => {
                let socket = UdpSocket::bind((from, 0))?;
                socket.connect(server)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                let address = socket.local_addr()?;
                (Wire::Udp(socket), Transport::Udp, address)
            }
            Some(config) => {
                let mut socket = TcpStream::connect(server)?;
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                let name = ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into());
                let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(other)?;
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket)?;
                }
                let reader = StreamReader::new(Framing::Turn, MAX_MESSAGE);
                let address = socket.local_addr()?;
                let stream = Stream {
                    socket,
                    tls,
                    reader,
                };
                (Wire::Tls(Box::new(stream)), Transport::Tls, address)
            }
        };
        let at = Client {
            transport,
            server,
            address,
        };
        let mut client = TestClient::at(at, "");
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let end = since.map_err(other)?.as_secs() + 3600;
        client.credentials =
            Credentials::time_limited(&self.secret, &format!("flood{number}"), end);
        Ok(FloodClient {
            wire,
            client,
            peer: None,
            registered: None,
        })
    }
}

/// That certificate alone is trusted. One version and cipher, which all servers know, so that they have the same work:
/// Debian's coturn refuses TLS 1.3.
fn tls(certificate: &Path) -> io::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(certificate).map_err(other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(other)?;
    let mut provider: CryptoProvider = aws_lc_rs::default_provider();
    let aes = |suite| suite == CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    provider.cipher_suites.retain(|suite| aes(suite.suite()));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS12])
        .map_err(other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

enum Wire {
    Udp(UdpSocket),
    Tls(Box<Stream>),
}

struct Stream {
    socket: TcpStream,
    tls: ClientConnection,
    reader: StreamReader,
}

/// The socket, as it is watched.
enum Registered {
    Udp(#[expect(dead_code, reason = "it is watched while it is kept")] mio::net::UdpSocket),
    Tcp(#[expect(dead_code, reason = "it is watched while it is kept")] mio::net::TcpStream),
}

/// See the module's documentation.
pub(crate) struct FloodClient {
    wire: Wire,
    client: TestClient,
    peer: Option<SocketAddr>,
    registered: Option<Registered>,
}

impl FloodClient {
    pub(crate) fn allocate(&mut self) -> io::Result<()> {
        self.ask(Method::Allocate, udp)
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) -> io::Result<()> {
        self.peer = Some(peer);
        self.ask(Method::CreatePermission, |writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    pub(crate) fn bind(&mut self, peer: SocketAddr) -> io::Result<()> {
        self.ask(Method::ChannelBind, |writer| {
            writer.number(attribute::CHANNEL_NUMBER, u32::from(CHANNEL) << 16);
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    /// Ends the allocation.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.ask(Method::Refresh, |writer| {
            writer.number(attribute::LIFETIME, 0);
        })
    }

    /// Ends the allocation without waiting for the answer.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        let request = self.client.request(Method::Refresh, |writer| {
            writer.number(attribute::LIFETIME, 0);
        });
        self.send(&request).map(drop)
    }

    /// Sends to a peer without the server.
    pub(crate) fn reach_directly(&mut self, peer: SocketAddr) -> io::Result<()> {
        match &self.wire {
            Wire::Udp(socket) => socket.connect(peer),
            Wire::Tls(_) => Err(io::Error::other("directly is by UDP")),
        }
    }

    /// Asks until it is done; it is challenged once, and a datagram may be lost.
    fn ask(&mut self, method: Method, fill: impl Fn(&mut Writer<'_>)) -> io::Result<()> {
        let mut told = String::new();
        for _ in 0..4 {
            let request = self.client.request(method, &fill);
            self.send(&request)?;
            match self.answer() {
                Ok(answer) => match answer.code() {
                    0 => return Ok(()),
                    401 | 438 => self.client.challenged(&answer),
                    code => return Err(io::Error::other(format!("{method:?}: {code}"))),
                },
                Err(error) => told = error.to_string(),
            }
        }
        Err(io::Error::other(format!(
            "{method:?} again and again: {told}"
        )))
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut found = None;
        while found.is_none() {
            self.receive(&mut |message| {
                if matches!(message.first(), Some(0..=3)) {
                    found = Some(Answer(message.to_vec()));
                }
            })?;
        }
        found
            .filter(|answer| answer.message().class() != Class::Indication)
            .ok_or_else(|| io::Error::other("an indication"))
    }

    /// Never waits from now on; readable under that token.
    pub(crate) fn relay(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE;
        self.registered = Some(match &self.wire {
            Wire::Udp(socket) => {
                socket.set_nonblocking(true)?;
                let mut socket = mio::net::UdpSocket::from_std(socket.try_clone()?);
                registry.register(&mut socket, token, interest)?;
                Registered::Udp(socket)
            }
            Wire::Tls(stream) => {
                stream.socket.set_nonblocking(true)?;
                let mut socket = mio::net::TcpStream::from_std(stream.socket.try_clone()?);
                registry.register(&mut socket, token, interest)?;
                Registered::Tcp(socket)
            }
        });
        Ok(())
    }

    /// A packet as it goes to the server, and where in it the payload begins.
    pub(crate) fn packet(
        &self,
        payload: &[u8],
        indications: bool,
        direct: bool,
    ) -> (Vec<u8>, usize) {
        if direct {
            return (payload.to_vec(), 0);
        }
        let padding = payload.len().next_multiple_of(4) - payload.len();
        match self.peer.filter(|_| indications) {
            Some(peer) => {
                let bytes = turn::testing::send_indication(peer, payload);
                let at = bytes.len() - padding - payload.len();
                (bytes, at)
            }
            None => {
                let mut bytes = turn::testing::channel_data(CHANNEL, payload);
                if let Wire::Tls(_) = self.wire {
                    bytes.resize(bytes.len() + padding, 0);
                }
                (bytes, 4)
            }
        }
    }

    /// True when it is out.
    pub(crate) fn send(&mut self, packet: &[u8]) -> io::Result<bool> {
        let sent = match &mut self.wire {
            Wire::Udp(socket) => socket.send(packet).map(drop),
            Wire::Tls(stream) => {
                let Stream { socket, tls, .. } = &mut **stream;
                tls.writer().write_all(packet)?;
                let mut sent = Ok(());
                while tls.wants_write() && sent.is_ok() {
                    sent = tls.write_tls(socket).map(drop);
                }
                sent
            }
        };
        match sent {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives out the messages of one read.
    pub(crate) fn receive(&mut self, message: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        match &mut self.wire {
            Wire::Udp(socket) => {
                let mut buffer = [0; MAX_MESSAGE];
                let len = socket.recv(&mut buffer)?;
                message(&buffer[..len]);
            }
            Wire::Tls(stream) => {
                let Stream {
                    socket,
                    tls,
                    reader,
                } = &mut **stream;
                if tls.read_tls(socket)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                tls.process_new_packets().map_err(other)?;
                while let Ok(len @ 1..) = tls.reader().read(reader.space()) {
                    reader.filled(len);
                    while let Some(one) = reader.next().map_err(other)? {
                        message(one);
                    }
                }
            }
        }
        Ok(())
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
