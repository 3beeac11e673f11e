//! The telephone of a load: a SIP user agent in this very process that takes every call and sends its audio back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sip::StatusCode;
use sip::endpoint::{Endpoint, EndpointConfig, Event, Flow, Transport};
use tokio::net::UdpSocket;

/// When the INVITE for each number came.
pub type Invites = Arc<Mutex<HashMap<String, Instant>>>;

/// Begins to answer calls at `listen`, by UDP. It ends with the program.
///
/// It has a thread of its own, so that an INVITE need not wait until a browser here has done its cryptography.
///
/// # Errors
/// The address cannot be bound.
pub fn spawn(listen: SocketAddr, seed: [u8; 32]) -> std::io::Result<Invites> {
    let socket = bind(listen)?;
    let local = socket.local_addr()?;
    let media = bind(SocketAddr::new(local.ip(), 0))?;
    let config = EndpointConfig {
        user_agent: "switchhook-load".into(),
        ..EndpointConfig::new(local, seed)
    };
    let invites = Invites::default();
    let shared = Arc::clone(&invites);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let sockets = {
        let _entered = runtime.enter();
        (UdpSocket::from_std(socket)?, UdpSocket::from_std(media)?)
    };
    let answerer = Answerer {
        endpoint: Endpoint::new(config),
        media: sockets.1.local_addr()?,
        socket: sockets.0,
        invites: shared,
    };
    std::thread::spawn(move || {
        runtime.block_on(async { tokio::join!(answerer.run(), echo(sockets.1)) });
    });
    Ok(invites)
}

fn bind(address: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends each packet back where it came from, as a stream of its own.
async fn echo(socket: UdpSocket) {
    let mut packet = [0; 2048];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        // RTP and RTCP both have version 2; RTCP's types are 192 to 223 (RFC 5761 §4).
        if len >= 12 && packet[0] >> 6 == 2 && !(192..=223).contains(&packet[1]) {
            packet[8] ^= 0x55;
            let _ = socket.try_send_to(&packet[..len], from);
        }
    }
}

struct Answerer {
    endpoint: Endpoint,
    socket: UdpSocket,
    media: SocketAddr,
    invites: Invites,
}

impl Answerer {
    async fn run(mut self) {
        let mut datagram = vec![0; 65_535];
        loop {
            let deadline = self.endpoint.poll_timeout();
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.socket.recv_from(&mut datagram) => if let Ok((len, remote)) = received {
                    let flow = Flow { transport: Transport::Udp, remote };
                    self.endpoint.handle_packet(Instant::now(), flow, &datagram[..len]);
                },
                () = timer => self.endpoint.handle_timeout(Instant::now()),
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        loop {
            while let Some(transmit) = self.endpoint.poll_transmit() {
                // TCP has no connection here; a full buffer is a lost packet, and SIP sends it again.
                if transmit.flow.transport == Transport::Udp {
                    let _ = self
                        .socket
                        .try_send_to(&transmit.bytes, transmit.flow.remote);
                }
            }
            let Some(event) = self.endpoint.poll_event() else {
                return;
            };
            if let Event::Incoming {
                session, request, ..
            } = event
            {
                let now = Instant::now();
                if let Some(number) = &request.uri.user {
                    let mut invites = self.invites.lock().unwrap_or_else(PoisonError::into_inner);
                    invites.entry(number.clone()).or_insert(now);
                }
                self.endpoint.ring(now, session, StatusCode::RINGING, None);
                match self.answer(&request.body) {
                    Some(answer) => self.endpoint.accept(now, session, answer),
                    None => {
                        self.endpoint
                            .reject(now, session, StatusCode::NOT_ACCEPTABLE_HERE, None)
                    }
                }
            }
        }
    }

    fn answer(&self, offer: &[u8]) -> Option<Vec<u8>> {
        let offer = sdp::trunk::read_offer(std::str::from_utf8(offer).ok()?).ok()?;
        let options = sdp::trunk::OfferOptions {
            rtcp_port: Some(self.media.port()),
            ..sdp::trunk::OfferOptions::new(self.media.ip(), self.media.port())
        };
        let (answer, _, _) = sdp::trunk::answer(&offer, &options).ok()?;
        Some(answer.into_bytes())
    }
}
