//! A telephone's SIP side, message by message, for what SIPp's scenarios cannot do.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sip::{Message, Method, Request, Response, StatusCode, Uri};

use crate::rtp::RtpPhone;

/// A UDP socket that speaks SIP.
#[derive(Debug)]
pub struct SipPhone {
    socket: UdpSocket,
    port: u16,
}

impl SipPhone {
    /// One on a free port.
    ///
    /// # Panics
    /// There is none.
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = socket.local_addr().expect("a bound socket").port();
        Self { socket, port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The trunk setting, as TOML, that leads to it.
    pub fn trunk(&self) -> String {
        format!("\"sip:127.0.0.1:{}\"", self.port)
    }

    /// The next request of this method; others are passed over.
    ///
    /// # Panics
    /// There is none within `patience`.
    #[track_caller]
    pub fn expect(&self, method: &Method, patience: Duration) -> (Request, SocketAddr) {
        let deadline = Instant::now() + patience;
        let mut packet = [0; 65_535];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no {} within {patience:?}",
                method.as_str()
            );
            self.socket
                .set_read_timeout(Some(left))
                .expect("a time-out can be set");
            let Ok((len, from)) = self.socket.recv_from(&mut packet) else {
                continue;
            };
            if let Ok(Message::Request(request)) = sip::parse_datagram(&packet[..len])
                && request.method == *method
            {
                return (request, from);
            }
        }
    }

    /// Waits for a BYE, as long as for any other request, and takes it.
    #[track_caller]
    pub fn expect_bye(&self, patience: Duration) -> Request {
        let (bye, from) = self.expect(&Method::Bye, patience);
        self.answer(&bye, from, 200, None);
        bye
    }

    /// Answers a request, with an SDP that names the RTP port of `rtp` where one is given.
    ///
    /// # Panics
    /// The answer cannot be made or sent.
    pub fn answer(&self, request: &Request, to: SocketAddr, status: u16, rtp: Option<&RtpPhone>) {
        let mut response = request.response(StatusCode::new(status).expect("a status"));
        if response
            .headers
            .get("To")
            .is_some_and(|to| !to.contains("tag="))
        {
            let to = format!(
                "{};tag=the-phone",
                response.headers.get("To").unwrap_or_default()
            );
            response.headers.set("To", to).expect("a To");
        }
        response
            .headers
            .set("Contact", format!("<sip:phone@127.0.0.1:{}>", self.port))
            .expect("a Contact");
        if let Some(rtp) = rtp {
            response
                .headers
                .set("Content-Type", "application/sdp")
                .expect("a Content-Type");
            response.body = sdp(rtp);
        }
        self.socket
            .send_to(&Message::Response(response).to_bytes(), to)
            .expect("the answer can be sent");
    }

    /// Answers an INVITE with 302, which leads to that Contact.
    ///
    /// # Panics
    /// The answer cannot be made or sent.
    pub fn redirect(&self, request: &Request, to: SocketAddr, contact: &str) {
        let mut response = request.response(StatusCode::new(302).expect("a status"));
        let tagged = format!(
            "{};tag=the-phone",
            response.headers.get("To").unwrap_or_default()
        );
        response.headers.set("To", tagged).expect("a To");
        response.headers.set("Contact", contact).expect("a Contact");
        self.socket
            .send_to(&Message::Response(response).to_bytes(), to)
            .expect("the answer can be sent");
    }

    /// Sends a request inside the dialog that an INVITE of the gateway's made, and gives the status of its answer.
    ///
    /// # Panics
    /// It is not answered.
    #[track_caller]
    pub fn in_dialog(
        &self,
        invite: &Request,
        gateway: SocketAddr,
        method: &str,
        headers: &str,
    ) -> u16 {
        self.in_dialog_with(invite, gateway, method, headers, "")
    }

    /// The same with a body.
    ///
    /// # Panics
    /// It is not answered.
    #[track_caller]
    pub fn in_dialog_with(
        &self,
        invite: &Request,
        gateway: SocketAddr,
        method: &str,
        headers: &str,
        body: &str,
    ) -> u16 {
        static NUMBER: AtomicU32 = AtomicU32::new(100);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let header = |name: &str| invite.headers.get(name).unwrap_or_default();
        let mut from = header("To").to_owned();
        if !from.contains("tag=") {
            from += ";tag=the-phone";
        }
        let port = self.port;
        let text = format!(
            "{method} sip:{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKin{number}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:phone@127.0.0.1:{port}>\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            header("From"),
            header("Call-ID"),
            body.len()
        );
        self.socket
            .send_to(text.as_bytes(), gateway)
            .expect("the request can be sent");
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut packet = [0; 65_535];
        let cseq = format!("{number} {method}");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the {method} is not answered");
            self.socket
                .set_read_timeout(Some(left))
                .expect("a time-out can be set");
            let Ok((len, _)) = self.socket.recv_from(&mut packet) else {
                continue;
            };
            if let Ok(Message::Response(response)) = sip::parse_datagram(&packet[..len])
                && response.headers.get("CSeq") == Some(cseq.as_str())
                && response.status.is_final()
            {
                return response.status.code();
            }
        }
    }

    /// Hangs up a call that the gateway placed.
    ///
    /// # Panics
    /// The BYE is not answered.
    #[track_caller]
    pub fn hang_up_dialog(&self, invite: &Request, gateway: SocketAddr) {
        assert_eq!(self.in_dialog(invite, gateway, "BYE", ""), 200);
    }

    /// Calls a number of the gateway there: sends an INVITE with these headers too, and an SDP that names the RTP port
    /// of `rtp` where one is given.
    ///
    /// # Panics
    /// The INVITE cannot be made or sent.
    pub fn call(
        &self,
        gateway: SocketAddr,
        number: &str,
        headers: &[(&str, &str)],
        rtp: Option<&RtpPhone>,
    ) -> Dialled<'_> {
        static CALLS: AtomicU32 = AtomicU32::new(1);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let port = self.port;
        let uri: Uri = format!("sip:{number}@{gateway}").parse().expect("a URI");
        let mut invite = Request::new(Method::Invite, uri.clone());
        let own = [
            (
                "Via",
                format!("SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKcall{call}"),
            ),
            ("Max-Forwards", "70".into()),
            ("To", format!("<{uri}>")),
            ("Call-ID", format!("call-{call}-{port}")),
            ("CSeq", "1 INVITE".into()),
            ("Contact", format!("<sip:phone@127.0.0.1:{port}>")),
        ];
        for (name, value) in own {
            invite.headers.push(name, value).expect("a header");
        }
        for (name, value) in headers {
            invite.headers.push(name, value).expect("a header");
        }
        if !invite.headers.contains("From") {
            let from = format!("\"The Phone\" <sip:+4930@127.0.0.1:{port}>;tag=the-phone");
            invite.headers.push("From", from).expect("a From");
        }
        if let Some(rtp) = rtp {
            let kind = "application/sdp";
            invite
                .headers
                .push("Content-Type", kind)
                .expect("a Content-Type");
            invite.body = sdp(rtp);
        }
        let dialled = Dialled {
            phone: self,
            gateway,
            invite,
        };
        dialled.send(&dialled.invite);
        dialled
    }
}

/// A call that a phone has placed.
#[derive(Debug)]
pub struct Dialled<'a> {
    phone: &'a SipPhone,
    gateway: SocketAddr,
    invite: Request,
}

impl Dialled<'_> {
    /// The next response to it of this status; provisional ones before it are passed over. A refusal is acknowledged.
    ///
    /// # Panics
    /// Another final one comes, or none within `patience`.
    #[track_caller]
    pub fn expect(&self, status: u16, patience: Duration) -> Response {
        self.response(status, &self.invite, patience)
    }

    #[track_caller]
    fn response(&self, status: u16, request: &Request, patience: Duration) -> Response {
        let deadline = Instant::now() + patience;
        let mut packet = [0; 65_535];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {status} within {patience:?}");
            self.phone
                .socket
                .set_read_timeout(Some(left))
                .expect("a time-out can be set");
            let Ok((len, _)) = self.phone.socket.recv_from(&mut packet) else {
                continue;
            };
            let Ok(Message::Response(response)) = sip::parse_datagram(&packet[..len]) else {
                continue;
            };
            let of_this = ["Call-ID", "CSeq"]
                .iter()
                .all(|name| response.headers.get(name) == request.headers.get(name));
            if !of_this {
                continue;
            }
            let code = response.status.code();
            if code >= 300 {
                let mut ack = self.request(Method::Ack, &response);
                let via = self.invite.headers.get("Via").unwrap_or_default();
                ack.headers.set("Via", via).expect("a Via");
                self.send(&ack);
            }
            if code == status {
                return response;
            }
            assert!(code < 200, "{code} {}, not {status}", response.reason);
        }
    }

    /// Acknowledges its 200.
    pub fn acknowledge(&self, answer: &Response) {
        self.send(&self.request(Method::Ack, answer));
    }

    /// Acknowledges its 200 and answers the offer in it.
    pub fn acknowledge_with(&self, answer: &Response, rtp: &RtpPhone) {
        let mut ack = self.request(Method::Ack, answer);
        ack.headers
            .set("Content-Type", "application/sdp")
            .expect("a Content-Type");
        ack.body = sdp(rtp);
        self.send(&ack);
    }

    /// Offers another session inside the call, by INVITE or UPDATE, and gives the answer to it. `change` makes the new
    /// SDP out of the first.
    ///
    /// # Panics
    /// It is not answered with 200.
    #[track_caller]
    pub fn offer(
        &self,
        answer: &Response,
        (method, number): (Method, u32),
        rtp: &RtpPhone,
        change: impl FnOnce(String) -> String,
    ) -> String {
        let sequence = format!("{number} {}", method.as_str());
        let invites = method == Method::Invite;
        let mut request = self.request(method, answer);
        let via = request.headers.get("Via").unwrap_or_default();
        let via = format!("{via}-{number}");
        let own = [
            ("Via", via.as_str()),
            ("CSeq", &sequence),
            (
                "Contact",
                &format!("<sip:phone@127.0.0.1:{}>", self.phone.port),
            ),
            ("Content-Type", "application/sdp"),
        ];
        for (name, value) in own {
            request.headers.set(name, value).expect("a header");
        }
        let body = String::from_utf8(sdp(rtp)).expect("text");
        let version = format!("o=- 1 {number}");
        request.body = change(body.replace("o=- 1 1", &version)).into_bytes();
        self.send(&request);
        let response = self.response(200, &request, Duration::from_secs(5));
        if invites {
            let mut ack = self.request(Method::Ack, answer);
            let number = format!("{number} ACK");
            ack.headers.set("CSeq", number).expect("a CSeq");
            ack.headers.set("Via", format!("{via}a")).expect("a Via");
            self.send(&ack);
        }
        String::from_utf8_lossy(&response.body).into_owned()
    }

    /// Hangs up.
    pub fn hang_up(&self, answer: &Response) {
        let mut bye = self.request(Method::Bye, answer);
        bye.headers.set("CSeq", "100 BYE").expect("a CSeq");
        self.send(&bye);
    }

    /// Gives up while it rings.
    pub fn cancel(&self) {
        let mut cancel = Request::new(Method::Cancel, self.invite.uri.clone());
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
            let value = self.invite.headers.get(name).unwrap_or_default();
            cancel.headers.push(name, value).expect("a header");
        }
        cancel.headers.push("CSeq", "1 CANCEL").expect("a CSeq");
        self.send(&cancel);
    }

    /// A request of its dialog.
    fn request(&self, method: Method, answer: &Response) -> Request {
        let contact = answer.headers.get("Contact").unwrap_or_default();
        let target = contact.trim_matches(['<', '>']).parse();
        let uri = target.unwrap_or_else(|_| self.invite.uri.clone());
        let number = format!("1 {}", method.as_str());
        let branch = format!("{}-{}", method.as_str(), self.phone.port);
        let mut request = Request::new(method, uri);
        let via = format!(
            "SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bK{branch}{}",
            self.phone.port,
            self.invite.headers.get("Call-ID").unwrap_or_default()
        );
        request.headers.push("Via", via).expect("a Via");
        for name in ["Max-Forwards", "From", "Call-ID"] {
            let value = self.invite.headers.get(name).unwrap_or_default();
            request.headers.push(name, value).expect("a header");
        }
        let to = answer.headers.get("To").unwrap_or_default();
        request.headers.push("To", to).expect("a To");
        request.headers.push("CSeq", number).expect("a CSeq");
        request
    }

    fn send(&self, request: &Request) {
        let bytes = Message::Request(request.clone()).to_bytes();
        self.phone
            .socket
            .send_to(&bytes, self.gateway)
            .expect("the request can be sent");
    }
}

fn sdp(rtp: &RtpPhone) -> Vec<u8> {
    let port = rtp.port();
    let (protocol, attributes) = rtp.security();
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} {protocol} 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n{attributes}"
    )
    .into_bytes()
}
