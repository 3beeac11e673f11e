mod allocating;
mod data;
mod network;
mod peers;
mod proof;
mod strangers;

use std::time::{Duration, Instant};

use super::*;
use crate::{PeerRules, testing::*};

/// The gateway's media, at an address of documentation.
const MEDIA: &str = "203.0.113.7:5000";
const OTHER_MEDIA: &str = "[2001:db8::7]:5000";

/// A server and its time.
struct Bench {
    server: Server,
    start: Instant,
    now: Now,
}

impl Bench {
    fn new(config: Config) -> Self {
        let start = Instant::now();
        Self {
            server: Server::new(config, [7; 32], start).unwrap(),
            start,
            now: at(start, Duration::ZERO),
        }
    }

    /// Relays to media alone.
    fn own() -> Self {
        Self::new(config(RelayPolicy::Own(vec![
            addr(MEDIA),
            addr(OTHER_MEDIA),
        ])))
    }

    /// Relays to anybody on the public internet.
    fn open() -> Self {
        Self::new(config(RelayPolicy::Open(PeerRules::default())))
    }

    fn pass(&mut self, seconds: u64) {
        let after = self.now.instant - self.start + Duration::from_secs(seconds);
        self.now = at(self.start, after);
        self.server.handle_timeout(self.now.instant);
    }

    fn send(&mut self, client: &TestClient, bytes: &[u8]) -> Option<Answer> {
        client.send(&mut self.server, bytes, self.now)
    }

    /// Sends a request that relays are to be opened for.
    fn opens(&mut self, client: &TestClient, request: &[u8]) -> Box<Open> {
        let mut reply = [0; MAX_REPLY];
        let handled = self
            .server
            .handle_client(client.at, request, self.now, &mut reply);
        match handled {
            Handled::Open(open) => open,
            other => panic!("{other:?}"),
        }
    }

    /// A client with a nonce, that has asked for nothing yet.
    fn challenged(&mut self, host: u8) -> TestClient {
        let mut client = TestClient::new(host, "alice");
        let request = client.request(Method::Allocate, udp);
        let challenge = self.send(&client, &request).unwrap();
        client.challenged(&challenge);
        client
    }

    fn allocate(&mut self, client: &mut TestClient) -> Answer {
        client.allocate(&mut self.server, self.now)
    }

    fn ask(
        &mut self,
        client: &mut TestClient,
        method: Method,
        fill: impl Fn(&mut Writer<'_>),
    ) -> Answer {
        client.ask(&mut self.server, self.now, method, fill)
    }

    fn permit(&mut self, client: &mut TestClient, peers: &[&str]) -> u16 {
        let peers: Vec<_> = peers.iter().map(|peer| addr(peer)).collect();
        client.permit(&mut self.server, self.now, &peers)
    }

    fn bind(&mut self, client: &mut TestClient, number: u16, peer: &str) -> u16 {
        client.bind(&mut self.server, self.now, number, addr(peer))
    }

    fn refresh(&mut self, client: &mut TestClient, lifetime: u32) -> Answer {
        client.refresh(&mut self.server, self.now, lifetime)
    }

    /// What becomes of a message of data: to whom, and what.
    fn data(&mut self, client: &TestClient, bytes: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let mut reply = [0; MAX_REPLY];
        match self
            .server
            .handle_client(client.at, bytes, self.now, &mut reply)
        {
            Handled::ToPeer { peer, data, .. } => Some((peer, bytes[data].to_vec())),
            Handled::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// What becomes of a peer's datagram.
    fn arrives(&mut self, relayed: SocketAddr, peer: &str, payload: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = vec![0xee; HEADROOM + payload.len() + TAILROOM];
        buffer[HEADROOM..HEADROOM + payload.len()].copy_from_slice(payload);
        let len = payload.len();
        let now = self.now.instant;
        let sent = self
            .server
            .handle_peer(relayed, addr(peer), &mut buffer, len, now)?;
        Some(buffer[sent.bytes].to_vec())
    }

    fn events(&mut self) -> Vec<SocketAddr> {
        let events = std::iter::from_fn(|| self.server.poll_event());
        events
            .map(|Event::Closed { relayed, .. }| relayed)
            .collect()
    }

    /// Nothing is left of anybody.
    fn assert_empty(&self) {
        let server = &self.server;
        assert_eq!((server.allocations(), server.quota.sizes()), (0, (0, 0)));
        assert!(server.clients.is_empty() && server.relays.is_empty());
        assert!(server.reservations.is_empty() && server.deadlines.is_empty());
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = config(RelayPolicy::Own(Vec::new()));
        change(&mut config);
        Server::new(config, [1; 32], Instant::now()).err()
    };
    assert_eq!(with(&|_| {}), None);
    for realm in ["", "a realm of more bytes", "quoted \"so\"", "über"] {
        let expected = Some(ConfigError::Realm(realm.into()));
        assert_eq!(with(&|config| config.realm = realm.into()), expected);
    }
    let ports = crate::PortRange { first: 5, last: 4 };
    assert_eq!(
        with(&|config| config.ports = ports),
        Some(ConfigError::Ports(ports))
    );
    let family = with(&|config| config.relay_v4 = config.relay_v6);
    assert_eq!(family, Some(ConfigError::Family));
}
