//! STUN alone: what address a client has (RFC 8489 §12, no authentication).

use std::{net::SocketAddr, time::Instant};

use super::{Handled, Server, answered, unknown_attributes};
use crate::{
    client::Client,
    message::{Class, Message, Writer, attribute as kind, comprehension_required, is_proof},
};

impl Server {
    /// Over UDP no more than 1.6 times the request's size leaves: 32 bytes for 20. The answer with
    /// an IPv6 address has 44, whatever is left out; where that is more, it counts among the
    /// answers that a source gets a second.
    pub(super) fn binding(
        &mut self,
        client: Client,
        request: &Message<'_>,
        now: Instant,
        reply: &mut [u8],
    ) -> Handled {
        // Whoever signs a Binding gets the same answer as everybody.
        let unknown = |kind| comprehension_required(kind) && !is_proof(kind);
        let budget = request.as_bytes().len() * 16 / 10;
        let len = if let Some(len) = unknown_attributes(request, unknown, None, reply) {
            len
        } else {
            let mut answer = Writer::answer(reply, Class::Success, request);
            answer.xor_address(kind::XOR_MAPPED_ADDRESS, canonical(client.address));
            let asked = request.value(kind::FINGERPRINT).is_some();
            if asked && (answer.len() + 8 <= budget || client.transport.is_stream()) {
                answer.fingerprint();
            }
            answer.finish().unwrap_or(0)
        };
        if len > budget && !self.gate.admits(client, now) {
            self.statistics.unanswered += 1;
            return Handled::Nothing;
        }
        answered(len)
    }
}

/// A socket of both families shows IPv4 addresses as IPv6 ones.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
