//! Connections over loopback, with short deadlines: each test waits for what must happen.

use tokio::net::TcpListener;

use super::*;
use crate::settings::SipTls;
use crate::sip_driver::tls::Names;

/// Longer than anything here takes, on the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(20);

const OPTIONS: &str = "OPTIONS sip:gateway@127.0.0.1 SIP/2.0\r\n\
    Via: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\n\
    To: <sip:gateway@127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\
    Content-Length: 0\r\n\r\n";

struct Server {
    connections: Connections,
    reports: mpsc::Receiver<FromConnection>,
    listener: TcpListener,
}

impl Server {
    async fn start() -> Self {
        let deadlines = Deadlines {
            message: Duration::from_millis(200),
            ..Deadlines::default()
        };
        let (connections, reports) = Connections::new(
            deadlines,
            Tls::new(&SipTls::default(), Names::default()).unwrap(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            connections,
            reports,
            listener,
        }
    }

    /// A peer's connection, taken.
    async fn connect(&mut self) -> TcpStream {
        let address = self.listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), self.listener.accept());
        let (stream, remote) = accepted.unwrap();
        let transport = Transport::Tcp;
        self.connections.accept(stream, Flow { transport, remote });
        peer.unwrap()
    }

    async fn next(&mut self) -> FromConnection {
        timeout(PATIENCE, self.reports.recv())
            .await
            .expect("a report")
            .unwrap()
    }

    async fn message(&mut self) -> Box<Message> {
        match self.next().await {
            FromConnection::Message(_, message) => message,
            FromConnection::Ended(..) => panic!("the connection ended"),
        }
    }
}

/// Everything the peer is sent until the connection is closed.
async fn rest(mut peer: TcpStream) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, peer.read_to_end(&mut text))
        .await
        .expect("a close")
        .unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_and_others_are_served() {
    let mut server = Server::start().await;
    let silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(OPTIONS.as_bytes()).await.unwrap();
    server.message().await;
    assert_eq!(rest(silent).await, "");
    assert!(matches!(server.next().await, FromConnection::Ended(..)));
    busy.write_all(OPTIONS.as_bytes()).await.unwrap();
    server.message().await;
}

#[tokio::test]
async fn a_message_that_dribbles_does_not_hold_its_connection() {
    let mut server = Server::start().await;
    let mut peer = server.connect().await;
    peer.write_all(OPTIONS.as_bytes()).await.unwrap();
    server.message().await;
    // A byte now and then never lets the deadline pass, if it were counted from the last byte.
    let dribble = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for byte in OPTIONS.as_bytes() {
            pace.tick().await;
            if peer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    let ended = async {
        match server.next().await {
            FromConnection::Ended(..) => {}
            FromConnection::Message(..) => panic!("the whole message was awaited"),
        }
    };
    tokio::select! {
        () = ended => {}
        () = async { dribble.await; std::future::pending::<()>().await } => {}
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    let mut server = Server::start().await;
    let mut peer = server.connect().await;
    let endless = OPTIONS.replace("Content-Length: 0", "Content-Length: 99999999999");
    peer.write_all(endless.as_bytes()).await.unwrap();
    let answer = rest(peer).await;
    assert!(answer.starts_with("SIP/2.0 4"), "{answer:?}");
}

#[tokio::test]
async fn a_keep_alive_gets_its_pong() {
    let mut server = Server::start().await;
    let mut peer = server.connect().await;
    peer.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(PATIENCE, peer.read_exact(&mut pong))
        .await
        .expect("a pong")
        .unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn an_answer_to_a_connection_that_is_gone_is_dropped_and_opens_none() {
    let mut server = Server::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = nobody.local_addr().unwrap();
    let transport = Transport::Tcp;
    let flow = Flow { transport, remote };
    server
        .connections
        .send(flow, b"answer".to_vec(), false)
        .unwrap();
    assert!(server.connections.by_flow.is_empty());
    server
        .connections
        .send(flow, b"request".to_vec(), true)
        .unwrap();
    assert!(
        timeout(PATIENCE, nobody.accept()).await.is_ok(),
        "a request opens one"
    );
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let mut server = Server::start().await;
    let mut held = Vec::new();
    for _ in 0..MAX_FROM_ADDRESS {
        held.push(server.connect().await);
    }
    let beyond = server.connect().await;
    assert_eq!(server.connections.by_flow.len(), MAX_FROM_ADDRESS);
    assert_eq!(rest(beyond).await, "");
    drop(held);
    for _ in 0..MAX_FROM_ADDRESS {
        let FromConnection::Ended(remote, serial, _) = server.next().await else {
            panic!("nothing was said")
        };
        assert!(server.connections.forget(remote, serial));
    }
    assert!(server.connections.by_address.is_empty());
}

#[tokio::test]
async fn a_peer_that_has_answered_pings_and_stops_is_given_up() {
    let mut server = Server::start().await;
    let silent = server.connect().await;
    let mut peer = server.connect().await;
    let flow = |stream: &TcpStream| Flow {
        transport: Transport::Tcp,
        remote: stream.local_addr().unwrap(),
    };
    let (silent, answering) = (flow(&silent), flow(&peer));
    let mut now = std::time::Instant::now();
    for flow in [silent, answering] {
        assert_eq!(server.connections.keep_alive(now, flow), Kept::Alive);
    }
    let mut ping = [0; 4];
    peer.read_exact(&mut ping).await.unwrap();
    assert_eq!(ping, PING);
    peer.write_all(PONG).await.unwrap();
    let signs = Arc::clone(&server.connections.by_flow[&answering].signs);
    timeout(PATIENCE, async {
        while !signs.pongs.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the pong is noticed");
    // It may be one that answers none, or answer once, and no more.
    now += Duration::from_secs(25);
    for flow in [silent, answering] {
        assert_eq!(server.connections.keep_alive(now, flow), Kept::Alive);
    }
    // Another account asks at the same moment: the answer is still on its way.
    now += Duration::from_millis(1);
    assert_eq!(server.connections.keep_alive(now, answering), Kept::Alive);
    now += Duration::from_secs(25);
    assert_eq!(server.connections.keep_alive(now, silent), Kept::Alive);
    assert_eq!(server.connections.keep_alive(now, answering), Kept::Dead);
    assert_eq!(server.connections.keep_alive(now, answering), Kept::Gone);
    timeout(PATIENCE, peer.read_to_end(&mut Vec::new()))
        .await
        .expect("it is closed")
        .unwrap();
}
