//! STUN messages (RFC 8489 §5, §14): read where they lie, written where they go.

mod integrity;
#[cfg(test)]
mod tests;
mod write;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use integrity::{Algorithm, IntegrityKey};
pub use write::Writer;

/// Bytes before the attributes.
pub const HEADER: usize = 20;
/// RFC 8489 §5.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// What XOR-ed addresses and FINGERPRINT begin from.
const COOKIE_BYTES: [u8; 4] = MAGIC_COOKIE.to_be_bytes();

/// The class of a message (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer that something was done.
    Success,
    /// The answer that it was not.
    Error,
}

/// What a message is about: RFC 8489 §18.2, RFC 8656 §17.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// RFC 8489 §3.
    Binding,
    /// RFC 8656 §7.
    Allocate,
    /// RFC 8656 §8.
    Refresh,
    /// RFC 8656 §11.
    Send,
    /// RFC 8656 §11.
    Data,
    /// RFC 8656 §10.
    CreatePermission,
    /// RFC 8656 §12.
    ChannelBind,
    /// Any other, twelve bits.
    Other(u16),
}

impl Method {
    fn from_bits(bits: u16) -> Self {
        match bits {
            0x001 => Self::Binding,
            0x003 => Self::Allocate,
            0x004 => Self::Refresh,
            0x006 => Self::Send,
            0x007 => Self::Data,
            0x008 => Self::CreatePermission,
            0x009 => Self::ChannelBind,
            other => Self::Other(other),
        }
    }

    fn bits(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
            Self::Other(bits) => bits & 0xfff,
        }
    }
}

/// The first two bytes: twelve bits of method with two of class between them (RFC 8489 §5).
fn message_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    let bits = method.bits();
    (bits & 0xf80) << 2 | (bits & 0x070) << 1 | bits & 0x00f | class
}

/// Attribute types, by the RFCs' names.
#[expect(missing_docs, reason = "the RFCs' names, in the RFCs' order")]
pub mod attribute {
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub const CHANNEL_NUMBER: u16 = 0x000c;
    pub const LIFETIME: u16 = 0x000d;
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub const DATA: u16 = 0x0013;
    pub const REALM: u16 = 0x0014;
    pub const NONCE: u16 = 0x0015;
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub const EVEN_PORT: u16 = 0x0018;
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub const DONT_FRAGMENT: u16 = 0x001a;
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub const PASSWORD_ALGORITHM: u16 = 0x001d;
    pub const USERHASH: u16 = 0x001e;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
    pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
    pub const SOFTWARE: u16 = 0x8022;
    pub const FINGERPRINT: u16 = 0x8028;
}

/// Whether who does not know an attribute must refuse the request (RFC 8489 §14).
pub fn comprehension_required(kind: u16) -> bool {
    kind < 0x8000
}

/// Whether an attribute belongs to the proof of who asks (RFC 8489 §9).
pub(crate) fn is_proof(kind: u16) -> bool {
    matches!(
        kind,
        attribute::USERNAME
            | attribute::MESSAGE_INTEGRITY
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::REALM
            | attribute::NONCE
            | attribute::PASSWORD_ALGORITHM
            | attribute::USERHASH
    )
}

/// A well-formed message that fills its bytes, not yet authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// See [`attribute`].
    pub kind: u16,
    /// Without padding.
    pub value: &'a [u8],
    /// Where the value begins in the message.
    pub offset: usize,
}

impl<'a> Message<'a> {
    /// `None` unless it is a STUN message with the magic cookie whose length and attributes fit its
    /// bytes exactly. FINGERPRINT is looked at by [`Message::fingerprint_holds`].
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if kind & 0xc000 != 0
            || header[4..8] != COOKIE_BYTES
            || !length.is_multiple_of(4)
            || bytes.len() != HEADER + length
        {
            return None;
        }
        let class = match kind & 0x0110 {
            0 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        };
        let method = kind >> 2 & 0xf80 | kind >> 1 & 0x070 | kind & 0x00f;
        let message = Self {
            bytes,
            class,
            method: Method::from_bits(method),
        };
        let mut all = Walk { bytes, at: HEADER };
        all.by_ref().for_each(drop);
        (all.at == bytes.len()).then_some(message)
    }

    /// Request, indication, success or error.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What it is about.
    pub fn method(&self) -> Method {
        self.method
    }

    /// All of it.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The transaction identifier.
    pub fn transaction(&self) -> [u8; 12] {
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&self.bytes[8..HEADER]);
        transaction
    }

    /// Its attributes, in order. Behind a MESSAGE-INTEGRITY stands nothing but another and
    /// FINGERPRINT: anybody could have written the rest, so it is left out (RFC 8489 §14.5, §14.6).
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        // 0: nothing seen, 1: MESSAGE-INTEGRITY, 2: MESSAGE-INTEGRITY-SHA256, 3: FINGERPRINT.
        let mut seen = 0_u8;
        let walk = Walk {
            bytes: self.bytes,
            at: HEADER,
        };
        walk.filter(move |found| {
            let rank = match found.kind {
                attribute::MESSAGE_INTEGRITY => 1,
                attribute::MESSAGE_INTEGRITY_SHA256 => 2,
                attribute::FINGERPRINT => 3,
                _ => 0,
            };
            let counts = if rank == 0 { seen == 0 } else { rank > seen };
            seen = seen.max(rank);
            counts
        })
    }

    /// The first attribute of that kind: further ones do not count (RFC 8489 §14).
    pub fn attribute(&self, kind: u16) -> Option<Attribute<'a>> {
        self.attributes().find(|found| found.kind == kind)
    }

    /// The value of the first attribute of that kind.
    pub fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.attribute(kind).map(|found| found.value)
    }

    /// Reads an XOR-ed address (RFC 8489 §14.2). `None` if it has another form.
    pub fn xor_address(&self, value: &[u8]) -> Option<SocketAddr> {
        let [_, family, high, low, address @ ..] = value else {
            return None;
        };
        let port = u16::from_be_bytes([*high, *low]) ^ (MAGIC_COOKIE >> 16) as u16;
        let ip: IpAddr = match family {
            1 => Ipv4Addr::from_bits(u32::from_be_bytes(address.try_into().ok()?) ^ MAGIC_COOKIE)
                .into(),
            2 => {
                let mask = u128::from_be_bytes(self.bytes[4..HEADER].try_into().ok()?);
                Ipv6Addr::from_bits(u128::from_be_bytes(address.try_into().ok()?) ^ mask).into()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Whether the attribute holds, where there is one (RFC 8489 §14.7).
    pub fn fingerprint_holds(&self) -> bool {
        let Some(found) = self.attribute(attribute::FINGERPRINT) else {
            return true;
        };
        let start = found.offset - 4;
        found.offset + 4 == self.bytes.len()
            && found.value == integrity::fingerprint(&self.bytes[..start]).to_be_bytes()
    }
}

/// All attributes until one does not fit.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let [a, b, c, d, value @ ..] = rest else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        // The padded value fits, since the whole is a multiple of four.
        let found = Attribute {
            kind: u16::from_be_bytes([*a, *b]),
            value: value.get(..length)?,
            offset: self.at + 4,
        };
        self.at += 4 + length.next_multiple_of(4);
        Some(found)
    }
}
