//! A client for tests and benchmarks: it asks, signs, and reads answers.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use turn::message::{Algorithm, Class, IntegrityKey, Message, Method, Writer, attribute};
use turn::{
    Client, Config, Credentials, Handled, MAX_REPLY, Now, PasswordAlgorithm, RelayAddress,
    RelayPolicy, Secret, Server, Transport, Users,
};

/// The realm of [`config`].
pub const REALM: &str = "switchhook";
/// What the calendar says when a test begins.
pub const UNIX: u64 = 1_800_000_000;

/// The secret of [`config`].
pub fn secret() -> Secret {
    Secret::new("north")
}

/// Both clocks, so long after a test's start.
pub fn at(start: Instant, after: Duration) -> Now {
    Now {
        instant: start + after,
        unix: UNIX + after.as_secs(),
    }
}

/// Relays at 192.0.2.1 and 2001:db8::1.
pub fn config(policy: RelayPolicy) -> Config {
    let relay = |ip: &str| Some(RelayAddress::at(ip.parse().expect("an address")));
    Config {
        users: Users {
            secrets: vec![secret()],
            fixed: [("pbx".to_owned(), Secret::new("south"))].into(),
        },
        relay_v4: relay("192.0.2.1"),
        relay_v6: relay("2001:db8::1"),
        ..Config::new(REALM, policy)
    }
}

/// An answer, or an indication.
#[derive(Debug, Clone)]
pub struct Answer(pub Vec<u8>);

impl Answer {
    /// It, read.
    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.0).expect("what the server writes is well-formed")
    }

    /// The error code, 0 for a success.
    pub fn code(&self) -> u16 {
        match (self.message().class(), self.value(attribute::ERROR_CODE)) {
            (Class::Success, None) => 0,
            (Class::Error, Some([_, _, hundreds, rest, ..])) => {
                u16::from(*hundreds) * 100 + u16::from(*rest)
            }
            other => panic!("{other:?}"),
        }
    }

    /// An attribute's value.
    pub fn value(&self, kind: u16) -> Option<&[u8]> {
        self.message().value(kind)
    }

    /// All XOR-ed addresses of a kind.
    pub fn addresses(&self, kind: u16) -> Vec<SocketAddr> {
        let message = self.message();
        let found = message.attributes().filter(|found| found.kind == kind);
        found
            .map(|found| message.xor_address(found.value).expect("an address"))
            .collect()
    }

    /// The first relayed address.
    pub fn relayed(&self) -> SocketAddr {
        self.addresses(attribute::XOR_RELAYED_ADDRESS)[0]
    }

    /// LIFETIME.
    pub fn lifetime(&self) -> Option<u32> {
        let value = self.value(attribute::LIFETIME)?;
        Some(u32::from_be_bytes(value.try_into().expect("four bytes")))
    }
}

/// A client of one 5-tuple.
#[derive(Debug, Clone)]
pub struct TestClient {
    /// Its 5-tuple.
    pub at: Client,
    /// What it signs with.
    pub credentials: Credentials,
    /// As in the last challenge, unless a test writes another.
    pub realm: Option<String>,
    /// As in the last challenge.
    pub nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS of the last challenge, to be sent back.
    pub offered: Option<Vec<u8>>,
    /// Which it chooses of those; `None`: it knows none of it.
    pub password_algorithm: Option<PasswordAlgorithm>,
    /// Which integrity attribute it sends.
    pub algorithm: Algorithm,
    /// Whether it ends with FINGERPRINT.
    pub fingerprint: bool,
    transactions: u64,
}

impl TestClient {
    /// A client at 198.51.100.`host`, with credentials for ten minutes.
    pub fn new(host: u8, user: &str) -> Self {
        Self::at(
            Client {
                transport: Transport::Udp,
                server: ([192, 0, 2, 1], 3478).into(),
                address: ([198, 51, 100, host], 4000).into(),
            },
            user,
        )
    }

    /// A client of another 5-tuple.
    pub fn at(at: Client, user: &str) -> Self {
        Self {
            at,
            credentials: Credentials::time_limited(&secret(), user, UNIX + 600),
            realm: None,
            nonce: Vec::new(),
            offered: None,
            password_algorithm: None,
            algorithm: Algorithm::Sha1,
            fingerprint: false,
            transactions: 0,
        }
    }

    /// The next transaction.
    pub fn transaction(&mut self) -> [u8; 12] {
        self.transactions += 1;
        let mut transaction = [0x55; 12];
        transaction[4..].copy_from_slice(&self.transactions.to_be_bytes());
        transaction
    }

    /// The key of its messages.
    pub fn key(&self) -> IntegrityKey {
        let realm = self.realm.as_deref().unwrap_or_default();
        let algorithm = self.password_algorithm.filter(|_| self.offered.is_some());
        let Credentials { username, password } = &self.credentials;
        algorithm
            .unwrap_or(PasswordAlgorithm::Md5)
            .key(username, realm, password)
    }

    /// A request, signed once there was a challenge.
    pub fn request(&mut self, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = [0; 2048];
        let transaction = self.transaction();
        let mut writer = Writer::new(&mut out, Class::Request, method, transaction);
        fill(&mut writer);
        if let Some(realm) = &self.realm {
            writer.attribute(attribute::USERNAME, self.credentials.username.as_bytes());
            writer.attribute(attribute::REALM, realm.as_bytes());
            writer.attribute(attribute::NONCE, &self.nonce);
            if let (Some(offered), Some(chosen)) = (&self.offered, self.password_algorithm) {
                writer.attribute(attribute::PASSWORD_ALGORITHMS, offered);
                let number = match chosen {
                    PasswordAlgorithm::Md5 => 1,
                    PasswordAlgorithm::Sha256 => 2,
                };
                writer.attribute(attribute::PASSWORD_ALGORITHM, &[0, number, 0, 0]);
            }
            writer.integrity(&self.key(), self.algorithm);
        }
        if self.fingerprint {
            writer.fingerprint();
        }
        let len = writer.finish().expect("it fits");
        out[..len].to_vec()
    }

    /// Takes realm and nonce of a challenge.
    pub fn challenged(&mut self, answer: &Answer) {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("text");
        self.realm = answer.value(attribute::REALM).map(text);
        self.nonce = answer
            .value(attribute::NONCE)
            .map(<[u8]>::to_vec)
            .unwrap_or_default();
        let offered = answer.value(attribute::PASSWORD_ALGORITHMS);
        self.offered = offered.map(<[u8]>::to_vec);
    }

    /// Sends bytes; `None` if nothing comes back. Sockets are bound at once where they are wanted.
    pub fn send(&self, server: &mut Server, bytes: &[u8], now: Now) -> Option<Answer> {
        let mut reply = [0; MAX_REPLY];
        let mut handled = server.handle_client(self.at, bytes, now, &mut reply);
        if let Handled::Open(open) = handled {
            handled = server.relay_opened(&open, &[], now, &mut reply);
        }
        match handled {
            Handled::Reply(len) => Some(Answer(reply[..len].to_vec())),
            Handled::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// Asks, answers challenges, and gives the answer, whose integrity was looked at.
    pub fn ask(
        &mut self,
        server: &mut Server,
        now: Now,
        method: Method,
        fill: impl Fn(&mut Writer<'_>),
    ) -> Answer {
        for _ in 0..2 {
            let signed = self.realm.is_some();
            let request = self.request(method, &fill);
            let answer = self.send(server, &request, now).expect("an answer");
            match answer.code() {
                401 if signed => return answer,
                401 | 438 => self.challenged(&answer),
                _ => {
                    let holds = answer
                        .message()
                        .integrity_holds(&self.key(), self.algorithm);
                    let proves_nothing = answer.value(attribute::MESSAGE_INTEGRITY).is_none()
                        && answer.value(attribute::MESSAGE_INTEGRITY_SHA256).is_none();
                    assert!(
                        holds || (proves_nothing && answer.code() == 400),
                        "{answer:?}"
                    );
                    assert!(answer.message().fingerprint_holds());
                    return answer;
                }
            }
        }
        panic!("challenged again and again");
    }

    /// Allocates as browsers do.
    pub fn allocate(&mut self, server: &mut Server, now: Now) -> Answer {
        self.ask(server, now, Method::Allocate, udp)
    }

    /// Asks for permissions.
    pub fn permit(&mut self, server: &mut Server, now: Now, peers: &[SocketAddr]) -> u16 {
        let answer = self.ask(server, now, Method::CreatePermission, |writer| {
            for peer in peers {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, *peer);
            }
        });
        answer.code()
    }

    /// Binds a channel.
    pub fn bind(&mut self, server: &mut Server, now: Now, number: u16, peer: SocketAddr) -> u16 {
        let answer = self.ask(server, now, Method::ChannelBind, |writer| {
            writer.number(attribute::CHANNEL_NUMBER, u32::from(number) << 16);
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        answer.code()
    }

    /// Refreshes, or ends.
    pub fn refresh(&mut self, server: &mut Server, now: Now, lifetime: u32) -> Answer {
        self.ask(server, now, Method::Refresh, |writer| {
            writer.number(attribute::LIFETIME, lifetime);
        })
    }
}

/// REQUESTED-TRANSPORT: UDP.
pub fn udp(writer: &mut Writer<'_>) {
    writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
}

/// A Send indication.
pub fn send_indication(peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + 80];
    let mut writer = Writer::new(&mut out, Class::Indication, Method::Send, [3; 12]);
    writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    writer.attribute(attribute::DATA, payload);
    let len = writer.finish().expect("it fits");
    out.truncate(len);
    out
}

/// ChannelData as in a datagram.
pub fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// An address, for tables of them.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// An address and port.
pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address and port")
}
