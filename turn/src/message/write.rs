//! Writing a message into a buffer.

use std::net::{IpAddr, SocketAddr};

use super::{
    Algorithm, Class, HEADER, IntegrityKey, MAGIC_COOKIE, Message, Method, attribute, integrity,
    message_type,
};

/// Writes one message, attribute after attribute. What does not fit spoils it: [`Writer::finish`]
/// gives nothing then.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    overflown: bool,
}

impl<'a> Writer<'a> {
    /// Begins a message.
    pub fn new(out: &'a mut [u8], class: Class, method: Method, transaction: [u8; 12]) -> Self {
        let mut writer = Self {
            out,
            len: 0,
            overflown: false,
        };
        writer.append(&message_type(class, method).to_be_bytes());
        writer.append(&[0; 2]);
        writer.append(&MAGIC_COOKIE.to_be_bytes());
        writer.append(&transaction);
        writer
    }

    /// Begins the answer to a request.
    pub fn answer(out: &'a mut [u8], class: Class, request: &Message<'_>) -> Self {
        Self::new(out, class, request.method(), request.transaction())
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a message has a header.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn append(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overflown = true,
        }
    }

    fn head(&mut self, kind: u16, length: usize) {
        self.append(&kind.to_be_bytes());
        self.append(&(length as u16).to_be_bytes());
    }

    fn pad(&mut self) {
        let padding = self.len.next_multiple_of(4) - self.len;
        self.append(&[0; 3][..padding]);
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.head(kind, value.len());
        self.append(value);
        self.pad();
    }

    /// Appends an attribute of one number.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// Appends an XOR-ed address (RFC 8489 §14.2).
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) {
        let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
        let [high, low] = port.to_be_bytes();
        match address.ip() {
            IpAddr::V4(ip) => {
                self.head(kind, 8);
                self.append(&[0, 1, high, low]);
                self.append(&(ip.to_bits() ^ MAGIC_COOKIE).to_be_bytes());
            }
            IpAddr::V6(ip) => {
                let mut mask = [0; 16];
                if let Some(from) = self.out.get(4..HEADER) {
                    mask.copy_from_slice(from);
                }
                let bits = ip.to_bits() ^ u128::from_be_bytes(mask);
                self.head(kind, 20);
                self.append(&[0, 2, high, low]);
                self.append(&bits.to_be_bytes());
            }
        }
    }

    /// Appends ERROR-CODE (RFC 8489 §14.8). An empty reason saves bytes.
    pub fn error_code(&mut self, code: u16, reason: &str) {
        self.head(attribute::ERROR_CODE, 4 + reason.len());
        self.append(&[0, 0, (code / 100) as u8, (code % 100) as u8]);
        self.append(reason.as_bytes());
        self.pad();
    }

    /// Appends MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.5, §14.6).
    pub fn integrity(&mut self, key: &IntegrityKey, algorithm: Algorithm) {
        let size = algorithm.size();
        self.set_length(4 + size);
        let Some(covered) = self.out.get(..self.len) else {
            return;
        };
        let tag = key.sign(algorithm, &[covered]);
        let kind = algorithm.attribute();
        self.attribute(kind, tag.as_ref());
    }

    /// Appends FINGERPRINT, which ends the message (RFC 8489 §14.7).
    pub fn fingerprint(&mut self) {
        self.set_length(8);
        let value = integrity::fingerprint(self.out.get(..self.len).unwrap_or(&[]));
        self.number(attribute::FINGERPRINT, value);
    }

    fn set_length(&mut self, more: usize) {
        let length = (self.len + more).saturating_sub(HEADER);
        if let Some(place) = self.out.get_mut(2..4) {
            place.copy_from_slice(&(length as u16).to_be_bytes());
        }
    }

    /// The message's length; `None` if the buffer was too short for it.
    pub fn finish(mut self) -> Option<usize> {
        self.set_length(0);
        (!self.overflown).then_some(self.len)
    }
}
