//! The port, over loopback; what takes time, over a pipe in virtual time.

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncWriteExt, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::client;
use tokio_rustls::rustls::version;

use super::super::files::is_for;
use super::super::testing::{Folder, connect, shown};
use super::*;
use crate::signaling::http::Remote;

/// Longer than anything here takes, on the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(20);

const BINDING: &[u8; 20] = b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n";

/// A running port whose page says who asks for it.
struct Running {
    folder: Folder,
    address: SocketAddr,
    own: Arc<Own>,
    handed: mpsc::Receiver<Handed>,
    closing: watch::Sender<bool>,
    run: JoinHandle<()>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let folder = Folder::new();
        folder.issue("one.example.com");
        let port = TlsPort::bind(&folder.issued(), Vec::new()).await.unwrap();
        let port = TlsPort {
            limits,
            ..port.unwrap()
        };
        let (address, own) = (port.local_addr(), Arc::clone(&port.own));
        let who = |Extension(remote): Extension<Remote>| async move {
            assert!(remote.by_tls);
            remote.address.to_string()
        };
        let (closing, closed) = watch::channel(false);
        let site = Site::of(Router::new().route("/", get(who)), 100, closed);
        // One waits; a second finds no place.
        let (sender, handed) = mpsc::channel(1);
        Self {
            folder,
            address,
            own,
            handed,
            closing,
            run: tokio::spawn(port.run(site, sender)),
        }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect(&self, protocols: &[&[u8]]) -> client::TlsStream<TcpStream> {
        connect(self.tcp().await, protocols, &[&TLS13, &TLS12])
            .await
            .unwrap()
    }

    async fn handed(&mut self) -> Handed {
        let one = timeout(PATIENCE, self.handed.recv()).await;
        one.expect("in time").expect("a connection")
    }
}

/// Asks for the page by HTTP/1.1, and reads until the address in it.
async fn ask(stream: &mut client::TlsStream<TcpStream>) {
    let local = stream.get_ref().0.local_addr().unwrap().to_string();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with(&local) {
        let mut some = [0; 512];
        let len = timeout(PATIENCE, stream.read(&mut some)).await;
        let len = len.expect("in time").unwrap();
        assert_ne!(len, 0, "{answer}");
        answer += std::str::from_utf8(&some[..len]).unwrap();
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

async fn assert_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await;
    let read = read.expect("the end in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn the_page_is_served_by_http_1_with_and_without_alpn_and_knows_who_asks() {
    let running = Running::start(Limits::default()).await;
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let mut stream = running.connect(protocols).await;
        let negotiated = stream.get_ref().1.alpn_protocol();
        assert_eq!(negotiated, protocols.first().copied());
        ask(&mut stream).await;
        ask(&mut stream).await;
    }
}

#[tokio::test]
async fn the_page_is_served_by_http_2_with_and_without_alpn_and_knows_who_asks() {
    let running = Running::start(Limits::default()).await;
    for protocols in [&[&b"http/1.1"[..], b"h2"][..], &[]] {
        let stream = running.connect(protocols).await;
        let local = stream.get_ref().0.local_addr().unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = Request::get("https://gw/").body(Empty::<Bytes>::new());
        let answer = timeout(PATIENCE, sender.send_request(request.unwrap())).await;
        let answer = answer.expect("in time").unwrap();
        assert_eq!(answer.version(), hyper::Version::HTTP_2);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, local.to_string());
    }
}

#[tokio::test]
async fn turn_is_handed_over_by_alpn_with_nothing_read() {
    let mut running = Running::start(Limits::default()).await;
    for protocol in [&b"stun.turn"[..], b"stun.nat-discovery"] {
        let mut client = running.connect(&[protocol]).await;
        let mut handed = running.handed().await;
        assert_eq!(handed.first_bytes, b"");
        assert_eq!(handed.peer, client.get_ref().0.local_addr().unwrap());
        assert_eq!(handed.local, running.address);
        assert_eq!(handed.transport, Transport::Tls);
        client.write_all(BINDING).await.unwrap();
        let mut read = [0; 20];
        handed.stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, BINDING);
        handed.stream.write_all(b"success").await.unwrap();
        handed.stream.flush().await.unwrap();
        let mut answer = [0; 7];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"success");
    }
}

#[tokio::test]
async fn turn_is_handed_over_by_its_first_bytes_which_are_not_lost() {
    let mut running = Running::start(Limits::default()).await;
    let mut client = running.connect(&[]).await;
    // It comes in pieces, as it may.
    for piece in BINDING.chunks(3) {
        client.write_all(piece).await.unwrap();
        client.flush().await.unwrap();
    }
    let mut handed = running.handed().await;
    let mut read = std::mem::take(&mut handed.first_bytes);
    assert!(!read.is_empty() && read.len() <= ENOUGH);
    let mut rest = vec![0; BINDING.len() - read.len()];
    handed.stream.read_exact(&mut rest).await.unwrap();
    read.extend(rest);
    assert_eq!(read, BINDING);
}

#[tokio::test]
async fn what_is_neither_http_nor_stun_is_closed_at_once() {
    let running = Running::start(Limits::default()).await;
    let mut client = running.connect(&[]).await;
    client.write_all(b"\x16\x03\x01\0").await.unwrap();
    client.write_all(b"\0\0\0\0").await.unwrap();
    assert_closed(&mut client).await;
    let unknown = connect(running.tcp().await, &[b"imap"], &[&TLS13]).await;
    assert!(unknown.is_err(), "a protocol that is not spoken here");
}

#[tokio::test]
async fn more_turn_than_its_server_takes_is_closed_and_the_page_is_served_on() {
    let mut running = Running::start(Limits::default()).await;
    let first = running.connect(&[b"stun.turn"]).await;
    let mut second = running.connect(&[b"stun.turn"]).await;
    let mut both = [first, second];
    // Whichever comes second.
    let closed = {
        let [first, second] = &mut both;
        tokio::select! {
            () = assert_closed(first) => 0,
            () = assert_closed(second) => 1,
        }
    };
    let kept = both[1 - closed].get_ref().0.local_addr().unwrap();
    assert_eq!(running.handed().await.peer, kept);
    second = running.connect(&[b"http/1.1"]).await;
    ask(&mut second).await;
}

#[tokio::test]
async fn while_nobody_serves_turn_its_connections_are_closed() {
    let handed = nobody();
    let mut running = Running::start(Limits::default()).await;
    let mut client = running.connect(&[b"stun.turn"]).await;
    handed.send(running.handed().await).await.unwrap();
    assert_closed(&mut client).await;
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let running = Running::start(Limits::default()).await;
    for version in [&version::TLS12, &version::TLS13] {
        let client = connect(running.tcp().await, &[b"http/1.1"], &[version]).await;
        let mut client = client.unwrap();
        let spoken = client.get_ref().1.protocol_version();
        assert_eq!(spoken, Some(version.version));
        ask(&mut client).await;
    }
}

#[tokio::test]
async fn those_who_say_nothing_keep_nobody_out() {
    let limits = Limits {
        most: 4,
        most_of_source: 4,
        handshake: PATIENCE * 10,
        first_bytes: PATIENCE * 10,
    };
    let running = Running::start(limits).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(running.tcp().await);
        // As slow after its handshake as before.
        silent.push(running.connect(&[]).await.into_inner().0);
    }
    let mut client = running.connect(&[b"http/1.1"]).await;
    ask(&mut client).await;
    for one in &mut silent[..2] {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, one.read_to_end(&mut rest)).await;
        let _ = read.expect("the end in time");
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_seen_by_new_connections_and_the_old_ones_live_on() {
    let running = Running::start(Limits::default()).await;
    let mut old = running.connect(&[b"http/1.1"]).await;
    assert!(is_for(&shown(&old), "one.example.com"));
    ask(&mut old).await;
    running.folder.issue("two.example.com");
    while running.own.look() != super::super::own::Look::Taken {}
    let new = running.connect(&[b"http/1.1"]).await;
    assert!(is_for(&shown(&new), "two.example.com"));
    ask(&mut old).await;
}

#[tokio::test]
async fn the_port_ends_with_the_gateway_and_so_do_those_who_wait() {
    let running = Running::start(Limits::default()).await;
    let mut waiting = running.connect(&[]).await;
    running.closing.send(true).unwrap();
    assert_closed(&mut waiting).await;
    timeout(PATIENCE, running.run).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = Folder::new();
    folder.issue("one.example.com");
    let address = taken.local_addr().unwrap();
    let settings = Https {
        listen: Some(address),
        ..folder.issued()
    };
    let error = TlsPort::bind(&settings, Vec::new()).await.unwrap_err();
    let start = format!("[https] listen: {address}: ");
    assert!(error.to_string().starts_with(&start), "{error}");
}

/// What becomes of a connection over a pipe, and when.
async fn let_in_a(
    client: impl AsyncFnOnce(tokio::io::DuplexStream),
) -> (Result<Kind, Refused>, Duration) {
    let folder = Folder::new();
    folder.issue("one.example.com");
    let own = Arc::new(Own::load(&folder.issued(), Vec::new()).unwrap());
    let (ours, theirs) = duplex(64 * 1024);
    let start = Instant::now();
    let mut place = Waiting::new(1, 1).enter("192.0.2.1".parse().unwrap());
    let acceptor = acceptor(&own);
    let told = async {
        let told = let_in(&acceptor, theirs, Limits::default(), &mut place).await;
        (told.map(|told| told.kind), start.elapsed())
    };
    tokio::select! {
        told = told => told,
        () = client(ours) => panic!("the client was quicker"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_takes_too_long_is_cut_off() {
    let dribble = async |mut stream: tokio::io::DuplexStream| {
        // The beginning of a ClientHello that never ends, one byte a second.
        stream.write_all(b"\x16\x03\x01\x02\0\x01").await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stream.write_all(b"\0").await.unwrap();
        }
    };
    let (told, after) = let_in_a(dribble).await;
    assert!(matches!(told, Err(Refused::Slow)), "{told:?}");
    assert_eq!(after.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_after_the_handshake_is_cut_off() {
    let dribble = async |stream: tokio::io::DuplexStream| {
        let mut stream = connect(stream, &[], &[&TLS13]).await.unwrap();
        // The beginning of a STUN message.
        for byte in &BINDING[..7] {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending().await
    };
    let (told, after) = let_in_a(dribble).await;
    assert!(matches!(told, Err(Refused::Silent)), "{told:?}");
    assert_eq!(after.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_but_says_what_it_is_in_time_is_let_in() {
    let slow = async |stream: tokio::io::DuplexStream| {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let mut stream = connect(stream, &[], &[&TLS13]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(9)).await;
        stream.write_all(b"GET").await.unwrap();
        std::future::pending().await
    };
    let (told, after) = let_in_a(slow).await;
    assert_eq!(told.unwrap(), Kind::Http1);
    assert_eq!(after.as_secs(), 13);
}
