//! Messages and times for the tests of this crate.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    endpoint::{Flow, Transport},
    message::{Message, Request, Response},
    method::{Method, StatusCode},
    parse_datagram,
};

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn udp(address: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        remote: address.parse::<SocketAddr>().unwrap(),
    }
}

pub(crate) fn tcp(address: &str) -> Flow {
    Flow {
        transport: Transport::Tcp,
        ..udp(address)
    }
}

/// Lines become a message; the lines are joined with CRLF and an empty line is put behind them.
pub(crate) fn parse(lines: &[&str]) -> Message {
    let text = format!("{}\r\n\r\n", lines.join("\r\n"));
    parse_datagram(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?} in {text}"))
}

pub(crate) fn parse_request(lines: &[&str]) -> Request {
    match parse(lines) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response"),
    }
}

pub(crate) fn parse_response(lines: &[&str]) -> Response {
    match parse(lines) {
        Message::Response(response) => response,
        Message::Request(_) => panic!("a request"),
    }
}

/// A request of this method with the branch `z9hG4bKbranch`.
pub(crate) fn request(method: Method) -> Request {
    request_with_branch(method, "z9hG4bKbranch")
}

pub(crate) fn request_with_branch(method: Method, branch: &str) -> Request {
    let name = method.as_str().to_owned();
    parse_request(&[
        &format!("{name} sip:bob@192.0.2.2 SIP/2.0"),
        &format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}"),
        "Max-Forwards: 70",
        "From: <sip:alice@192.0.2.1>;tag=alice",
        "To: <sip:bob@192.0.2.2>",
        "Call-ID: call",
        &format!("CSeq: 7 {name}"),
        "Contact: <sip:alice@192.0.2.1:5060>",
        "Route: <sip:192.0.2.9;lr>",
    ])
}

pub(crate) fn response(request: &Request, status: u16) -> Response {
    let mut response = request.response(StatusCode::new(status).unwrap());
    let to = response.headers.to().unwrap().with_tag("bob");
    response.headers.set("To", to).unwrap();
    response
}
