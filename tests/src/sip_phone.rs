//! A telephone's SIP side, message by message, for what SIPp's scenarios cannot do.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use sip::{Message, Method, Request, StatusCode};

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
            let port = rtp.port();
            let (protocol, attributes) = rtp.security();
            response.body = format!(
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} {protocol} 0 101\r\n\
                 a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n{attributes}"
            )
            .into_bytes();
        }
        self.socket
            .send_to(&Message::Response(response).to_bytes(), to)
            .expect("the answer can be sent");
    }
}
