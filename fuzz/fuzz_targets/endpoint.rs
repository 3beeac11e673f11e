//! A user agent under a sequence of datagrams, messages of the right shape, and choices of its application, in virtual
//! time: what it holds stays within its limits, it is woken only with something to do, and when all calls have been
//! ended and time has passed it holds nothing.

#![no_main]

use std::{
    net::SocketAddr,
    sync::OnceLock,
    time::{Duration, Instant},
};

use fuzz::{Input, within_limit};
use libfuzzer_sys::fuzz_target;
use sip::{
    Message, Request, StatusCode, Uri,
    endpoint::{
        Endpoint, EndpointConfig, Event, Flow, Invite, Limits, Load, Session, Transmit, Transport,
        TransportError,
    },
    parse_datagram,
};

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

fn limits() -> Limits {
    Limits {
        server_transactions: 16,
        client_transactions: 16,
        sessions: 8,
        early_dialogs: 2,
        refusals_per_second: 50,
        ..Limits::default()
    }
}

const BODY: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

fn check(data: &[u8]) {
    let mut phone = Phone::new();
    let mut input = Input(data);
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        phone.step(&mut input);
        phone.collect();
    }
    phone.end();
}

struct Phone {
    endpoint: Endpoint,
    now: Instant,
    sessions: Vec<Session>,
    /// What it sent last, newest last.
    requests: Vec<(Flow, Request)>,
    /// The To tag of its last answer.
    tag: Option<String>,
    sent: usize,
    given: usize,
}

impl Phone {
    fn new() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let local = SocketAddr::from(([192, 0, 2, 2], 5060));
        let config = EndpointConfig {
            limits: limits(),
            ..EndpointConfig::new(local, [7; 32])
        };
        Self {
            endpoint: Endpoint::new(config),
            now: *START.get_or_init(Instant::now),
            sessions: Vec::new(),
            requests: Vec::new(),
            tag: None,
            sent: 0,
            given: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        self.given += 1;
        match input.byte() % 16 {
            0 => {
                let flow = flow(input.byte());
                let len = usize::from(input.word() % 1500);
                self.endpoint.handle_packet(self.now, flow, input.take(len));
            }
            1..=5 => {
                let (flow, bytes) = self.request(input);
                self.endpoint.handle_packet(self.now, flow, &bytes);
            }
            6..=8 => {
                if let Some((flow, bytes)) = self.response(input) {
                    self.endpoint.handle_packet(self.now, flow, &bytes);
                }
            }
            9 => self.pass(Duration::from_millis(u64::from(input.word()))),
            10 => self.call(input),
            11..=13 => self.decide(input),
            14 => {
                let error = input.choose(&[
                    TransportError::ConnectFailed,
                    TransportError::Closed,
                    TransportError::Unreachable,
                ]);
                let flow = flow(input.byte());
                self.endpoint.handle_transport_error(self.now, flow, error);
            }
            _ => self.endpoint.set_accepting(input.byte() & 1 == 0),
        }
    }

    /// A request that is well-formed but for its first lines' choices.
    fn request(&self, input: &mut Input<'_>) -> (Flow, Vec<u8>) {
        let method = input.choose(&[
            "INVITE", "INVITE", "INVITE", "ACK", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "NEW",
        ]);
        let (names, numbers) = (input.byte(), input.byte());
        let to = match (names & 3, &self.tag) {
            (0, _) => String::new(),
            (1, _) => ";tag=unknown".to_owned(),
            (_, Some(tag)) => format!(";tag={tag}"),
            (_, None) => String::new(),
        };
        let cseq = match numbers & 3 {
            3 => u32::MAX >> 1,
            number => u32::from(number),
        };
        let extra = input.choose(&[
            "",
            "",
            "",
            "Require: 100rel\r\n",
            "Max-Forwards: 0\r\n",
            "Reason: Q.850;cause=16\r\n",
            "Record-Route: <sip:192.0.2.77;lr>, <sip:[2001:db8::7]:5070;transport=tcp>\r\n",
        ]);
        let body = if names & 16 == 0 { "" } else { BODY };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let text = format!(
            "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{};rport\r\n\
             From: <sip:ann@192.0.2.1>;tag=f{}\r\nTo: <sip:bob@192.0.2.2>{to}\r\nCall-ID: c{}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:ann@192.0.2.{}>\r\n{extra}{kind}Content-Length: {}\r\n\r\n{body}",
            numbers >> 2 & 7,
            names >> 2 & 1,
            names >> 5,
            numbers >> 5,
            body.len(),
        );
        (flow(names >> 3 & 1), text.into_bytes())
    }

    /// A response to something the endpoint sent.
    fn response(&self, input: &mut Input<'_>) -> Option<(Flow, Vec<u8>)> {
        let back = usize::from(input.byte() % 4);
        let at = self.requests.len().checked_sub(back + 1)?;
        let (flow, request) = self.requests.get(at)?;
        let status = input.choose(&[
            100, 180, 183, 200, 200, 200, 302, 404, 408, 481, 486, 503, 600,
        ]);
        let choices = input.byte();
        let mut response = request.response(StatusCode::new(status)?);
        if choices & 1 == 0
            && let Ok(to) = response.headers.to()
            && to.tag().is_none()
        {
            let to = to.with_tag(["a", "b", "c", "d"][usize::from(choices >> 1 & 3)]);
            response.headers.set("To", to).ok()?;
        }
        if choices & 8 == 0 {
            let contact = [
                "<sip:far@192.0.2.1:5060>",
                "<sip:far@192.0.2.3;transport=tcp>",
            ];
            response
                .headers
                .push("Contact", contact[usize::from(choices >> 4 & 1)])
                .ok()?;
        }
        if choices & 32 != 0 {
            response
                .headers
                .push("Record-Route", "<sip:192.0.2.77;lr>")
                .ok()?;
        }
        if choices & 64 != 0 {
            response
                .headers
                .push("Content-Type", "application/sdp")
                .ok()?;
            response.body = BODY.as_bytes().to_vec();
        }
        Some((*flow, response.to_bytes()))
    }

    fn call(&mut self, input: &mut Input<'_>) {
        let choices = input.byte();
        let invite = Invite {
            to: Uri::sip(
                Some("far"),
                SocketAddr::from(([192, 0, 2, 1], 5060)).ip(),
                None,
            ),
            target: flow(choices & 1),
            account: None,
            from_user: "desk".to_owned(),
            from_display: None,
            // A long one goes by TCP first.
            body: BODY
                .repeat(if choices & 2 == 0 { 1 } else { 20 })
                .into_bytes(),
            replaces: None,
            headers: Vec::new(),
            ring_timeout: Duration::from_secs(u64::from(choices)),
        };
        if let Ok(session) = self.endpoint.invite(self.now, invite) {
            self.sessions.push(session);
        }
    }

    fn decide(&mut self, input: &mut Input<'_>) {
        let (what, which) = (input.byte(), usize::from(input.byte()));
        let Some(session) = self
            .sessions
            .get(which % self.sessions.len().max(1))
            .copied()
        else {
            return;
        };
        let (endpoint, now) = (&mut self.endpoint, self.now);
        let body = || BODY.as_bytes().to_vec();
        match what % 8 {
            0 => endpoint.ring(now, session, StatusCode::new(180).expect("a status"), None),
            1 => endpoint.ring(
                now,
                session,
                StatusCode::new(183).expect("a status"),
                Some(body()),
            ),
            2..=4 => endpoint.accept(now, session, body()),
            5 => endpoint.reject(now, session, StatusCode::new(486).expect("a status"), None),
            6 => endpoint.cancel(now, session, None),
            _ => endpoint.bye(now, session, None),
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            self.collect();
            wakes += 1;
            assert!(wakes < 100_000, "woken for nothing");
            if let Some(next) = self.endpoint.poll_timeout() {
                assert!(next > self.now, "woken, and due still");
            }
        }
        self.now = end;
        self.endpoint.handle_timeout(self.now);
    }

    fn collect(&mut self) {
        while let Some(Transmit { flow, bytes, .. }) = self.endpoint.poll_transmit() {
            self.sent += 1;
            match parse_datagram(&bytes) {
                Ok(Message::Request(request)) => {
                    if self.requests.len() == 8 {
                        self.requests.remove(0);
                    }
                    self.requests.push((flow, request));
                }
                Ok(Message::Response(response)) => {
                    if let Ok(to) = response.headers.to() {
                        let tagged = to.tag().is_some() || response.status == StatusCode::TRYING;
                        assert!(tagged, "{}", String::from_utf8_lossy(&bytes));
                        self.tag = to.tag().map(str::to_owned);
                    }
                }
                // An answer repeats what it can of a request that was broken.
                Err(_) => assert!(
                    bytes.starts_with(b"SIP/2.0 "),
                    "{}",
                    String::from_utf8_lossy(&bytes)
                ),
            }
        }
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Incoming { session, .. } => self.sessions.push(session),
                Event::Failed { session, .. }
                | Event::Ended { session, .. }
                | Event::Cancelled { session, .. } => {
                    assert!(
                        self.sessions.contains(&session),
                        "an end without a beginning"
                    );
                    self.sessions.retain(|other| *other != session);
                }
                other => assert!(self.sessions.contains(&other.session()), "{other:?}"),
            }
        }
        let (load, limits) = (self.endpoint.load(), limits());
        assert!(load.sessions <= limits.sessions, "{load:?}");
        assert!(
            load.client_transactions <= 2 * limits.client_transactions,
            "{load:?}"
        );
        assert!(
            load.server_transactions <= limits.server_transactions * 11 / 10 + 1,
            "{load:?}"
        );
    }

    /// All calls are ended, and nobody answers any more.
    fn end(mut self) {
        for session in self.sessions.clone() {
            self.endpoint.bye(self.now, session, None);
            self.collect();
        }
        self.pass(Duration::from_secs(400));
        self.collect();
        assert_eq!(self.endpoint.load(), Load::default());
        assert_eq!(self.endpoint.poll_timeout(), None);
        // Timers A to K repeat a message a dozen times at most; a ringing call's 180 goes out every minute.
        assert!(
            self.sent <= 40 * (self.given + 1),
            "{} sent for {}",
            self.sent,
            self.given
        );
    }
}

fn flow(choice: u8) -> Flow {
    let transport = if choice & 1 == 0 {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    let remote = SocketAddr::from(([192, 0, 2, 1 + (choice >> 1 & 1)], 5060));
    Flow { transport, remote }
}
