//! Connections, in virtual time.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

const SLACK: Duration = Duration::from_millis(100);

/// The preface of HTTP/2, and empty SETTINGS.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn from(address: &str) -> Remote {
    Remote {
        address: address.parse().unwrap(),
        by_tls: false,
    }
}

/// The client's end of a connection that is served a page of one word, and what ends the gateway.
fn open(version: Version, room: usize) -> (DuplexStream, watch::Sender<bool>) {
    let router = Router::new().route("/", get(|| async { "hello" }));
    let (closing, closed) = watch::channel(false);
    let site = Site::of(router, room, closed);
    let (ours, theirs) = duplex(64 * 1024);
    let remote = from("192.0.2.1:9");
    tokio::spawn(async move { site.serve(theirs, remote, version).await });
    (ours, closing)
}

/// Reads until the connection is closed; how long that took.
async fn closed_after(client: &mut DuplexStream) -> Duration {
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_nothing_is_closed_whichever_http_it_carries() {
    for (version, sent) in [
        (Version::Http1, &b""[..]),
        (Version::Http1, b"GET / HT"),
        (Version::Http2, b""),
        (Version::Http2, HTTP2),
    ] {
        let (mut client, _closing) = open(version, 1);
        client.write_all(sent).await.unwrap();
        let after = closed_after(&mut client).await;
        let expected = HEAD - SLACK..=HEAD + LAST_ANSWER + SLACK;
        assert!(expected.contains(&after), "{version:?} {sent:?} {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_again_and_again_is_kept_for_a_while_and_not_for_ever() {
    let (client, _closing) = open(Version::Http1, 1);
    let (mut reader, mut writer) = tokio::io::split(client);
    let start = Instant::now();
    let asking = tokio::spawn(async move {
        for _ in 0..100 {
            let request = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n";
            let _ = writer.write_all(request).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let _ = writer.shutdown().await;
    });
    let mut answers = Vec::new();
    let _ = reader.read_to_end(&mut answers).await;
    let after = start.elapsed();
    let expected = LIFETIME - SLACK..=LIFETIME + LAST_ANSWER + SLACK;
    assert!(expected.contains(&after), "{after:?}");
    let answers = String::from_utf8_lossy(&answers);
    assert!(answers.matches("hello").count() >= 30, "{answers}");
    asking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_the_http_that_it_said_and_no_other() {
    for (version, sent) in [
        (Version::Http1, HTTP2),
        (Version::Http2, &b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"[..]),
    ] {
        let (mut client, _closing) = open(version, 1);
        client.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("hello"), "{version:?} {answer}");
        // SETTINGS is what a server of HTTP/2 says first.
        let is_http2 = answer.as_bytes().get(3) == Some(&4);
        assert_eq!(is_http2, version == Version::Http2, "{answer:?}");
    }
}

/// It has asked, and could stay for a minute.
#[tokio::test(start_paused = true)]
async fn who_holds_many_connections_keeps_nobody_out() {
    let router = Router::new().route("/", get(|| async { "hello" }));
    let (_closing, closed) = watch::channel(false);
    let site = Site::of(router, 2, closed);
    let connect = |address: &str| {
        let (ours, theirs) = duplex(64 * 1024);
        let (site, remote) = (site.clone(), from(address));
        tokio::spawn(async move { site.serve(theirs, remote, Version::Http2).await });
        ours
    };
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut client = connect("192.0.2.1:9");
        client.write_all(HTTP2).await.unwrap();
        client.read_exact(&mut [0; 9]).await.unwrap();
        silent.push(client);
    }
    let mut other = connect("192.0.2.2:9");
    let mut settings = [0; 9];
    other.read_exact(&mut settings).await.unwrap();
    assert_eq!(settings[3], 4, "it is served");
    assert!(closed_after(&mut silent[0]).await < LAST_ANSWER + SLACK);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_with_the_gateway() {
    let (mut client, closing) = open(Version::Http1, 1);
    let request = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    closing.send(true).unwrap();
    assert!(closed_after(&mut client).await < SLACK);
}
