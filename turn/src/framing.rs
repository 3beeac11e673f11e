//! Messages in a stream: STUN and ChannelData over TCP and TLS (RFC 8489 §6.2.2, RFC 8656 §12.5),
//! and packets with their length before them (RFC 4571), as ICE-TCP has them.

#[cfg(test)]
mod tests;

use std::ops::Range;

use thiserror::Error;

use crate::message::{HEADER, MAGIC_COOKIE};

/// Bytes that [`StreamReader::space`] offers at least.
const SPACE: usize = 2048;

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// STUN messages and ChannelData, which are told apart by their first byte.
    Turn,
    /// A length of two bytes before every packet.
    Rfc4571,
}

/// A stream that cannot be cut any further: the connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Neither STUN nor ChannelData begins so.
    #[error("a byte {0:#04x} begins neither a STUN message nor ChannelData")]
    Unknown(u8),
    /// A STUN message without the magic cookie, or whose length is no multiple of four.
    #[error("a broken STUN header")]
    Broken,
    /// Longer than anybody may send.
    #[error("a message of {length} bytes, of which {most} are allowed")]
    TooLong {
        /// Header included.
        length: usize,
        /// The bound.
        most: usize,
    },
}

/// How many bytes the message at the front has, and how many of the stream it takes with its
/// padding. `None`: its header is not there yet.
fn measure(bytes: &[u8], framing: Framing) -> Result<Option<(Range<usize>, usize)>, FramingError> {
    let [first, rest @ ..] = bytes else {
        return Ok(None);
    };
    if framing == Framing::Turn && !matches!(first, 0..=3 | 0x40..=0x7f) {
        return Err(FramingError::Unknown(*first));
    }
    let number = |at: usize| match (bytes.get(at), bytes.get(at + 1)) {
        (Some(high), Some(low)) => Some(usize::from(*high) << 8 | usize::from(*low)),
        _ => None,
    };
    match (framing, first) {
        (Framing::Rfc4571, _) => Ok(number(0).map(|length| (2..2 + length, 2 + length))),
        (Framing::Turn, 0x40..) => Ok(number(2).map(|length| {
            let length = 4 + length;
            (0..length, length.next_multiple_of(4))
        })),
        (Framing::Turn, _) => {
            let Some(length) = number(2) else {
                return Ok(None);
            };
            let cookie = MAGIC_COOKIE.to_be_bytes();
            let said = rest.get(3..).unwrap_or(&[]);
            let is_cookie = said.iter().zip(cookie).all(|(a, b)| *a == b);
            if !length.is_multiple_of(4) || !is_cookie {
                return Err(FramingError::Broken);
            }
            Ok(Some((0..HEADER + length, HEADER + length)))
        }
    }
}

/// Cuts one stream. It keeps no more than one message and what came with it.
#[derive(Debug)]
pub struct StreamReader {
    framing: Framing,
    most: usize,
    buffer: Vec<u8>,
    /// What was read and is not yet given out.
    filled: Range<usize>,
}

impl StreamReader {
    /// A reader of messages of `most` bytes, header and padding included.
    pub fn new(framing: Framing, most: usize) -> Self {
        Self {
            framing,
            most,
            buffer: Vec::new(),
            filled: 0..0,
        }
    }

    /// Where the next bytes of the stream go; never empty. Call [`StreamReader::filled`] then.
    pub fn space(&mut self) -> &mut [u8] {
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let end = self.filled.end;
        if self.buffer.len() < end + SPACE {
            self.buffer.resize(end + SPACE, 0);
        }
        self.buffer.get_mut(end..).unwrap_or_default()
    }

    /// So many bytes were read into [`StreamReader::space`]. All messages in them are to be taken
    /// before more is read.
    pub fn filled(&mut self, count: usize) {
        self.filled.end = (self.filled.end + count).min(self.buffer.len());
    }

    /// The next message: STUN, ChannelData with its header and without its padding, or the packet
    /// behind a length, which may be empty. `None`: more bytes are needed.
    #[expect(clippy::should_implement_trait, reason = "it lends what is its own")]
    pub fn next(&mut self) -> Result<Option<&mut [u8]>, FramingError> {
        let bytes = self.buffer.get(self.filled.clone()).unwrap_or(&[]);
        let Some((message, length)) = measure(bytes, self.framing)? else {
            return Ok(None);
        };
        if length > self.most {
            let most = self.most;
            return Err(FramingError::TooLong { length, most });
        }
        if bytes.len() < length {
            return Ok(None);
        }
        let start = self.filled.start;
        self.filled.start += length;
        Ok(self
            .buffer
            .get_mut(start + message.start..start + message.end))
    }
}

/// What stands before a packet in an RFC 4571 stream; `None` if it is too long for one.
pub fn rfc4571_head(packet: &[u8]) -> Option<[u8; 2]> {
    u16::try_from(packet.len()).ok().map(u16::to_be_bytes)
}
