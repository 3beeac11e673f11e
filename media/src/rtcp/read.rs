//! A compound packet, read in place. Every step goes forward by at least one header, so it ends.

use super::voip::VoipMetrics;
use super::{EXTENDED_REPORT, GOODBYE, RECEIVER_REPORT, ReportBlock, SENDER_REPORT, SenderInfo};

/// What a compound packet says that matters to us.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Item {
    /// A sender describes its stream.
    Sender { ssrc: u32, info: SenderInfo },
    /// Someone describes how a stream reaches them.
    Block(ReportBlock),
    /// Someone describes how a stream of voice reaches them (RFC 3611 §4.7).
    Voip { ssrc: u32, metrics: VoipMetrics },
    /// A source leaves.
    Goodbye { ssrc: u32 },
}

/// The datagram is no RTCP compound packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not RTCP")]
pub struct Malformed;

/// Reads a datagram and calls `found` for each item, in order. All lengths are checked before the first call.
pub(crate) fn read(datagram: &[u8], mut found: impl FnMut(Item)) -> Result<(), Malformed> {
    if datagram.is_empty() || datagram.len() > crate::rtp::MAX_PACKET {
        return Err(Malformed);
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        rest = split(rest)?.1;
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        let (packet, later) = split(rest)?;
        report(&packet, &mut found);
        rest = later;
    }
    Ok(())
}

/// One packet of the compound.
struct Packet<'a> {
    count: usize,
    kind: u8,
    body: &'a [u8],
}

fn split(octets: &[u8]) -> Result<(Packet<'_>, &[u8]), Malformed> {
    let (header, rest) = octets.split_first_chunk::<4>().ok_or(Malformed)?;
    let [first, kind, high, low] = *header;
    let len = usize::from(u16::from_be_bytes([high, low])) * 4;
    if first >> 6 != 2 || rest.len() < len {
        return Err(Malformed);
    }
    let (mut body, later) = rest.split_at(len);
    if first & 0x20 != 0 {
        // Padding: only the last one may have it (RFC 3550 §6.4.1); its length includes itself.
        let padding = usize::from(*body.last().ok_or(Malformed)?);
        if !later.is_empty() || padding == 0 || padding > body.len() {
            return Err(Malformed);
        }
        body = &body[..body.len() - padding];
    }
    let count = usize::from(first & 0x1f);
    let least = match kind {
        SENDER_REPORT => 24 + count * 24,
        RECEIVER_REPORT => 4 + count * 24,
        GOODBYE => count * 4,
        EXTENDED_REPORT => 4,
        _ => 0,
    };
    if body.len() < least {
        return Err(Malformed);
    }
    Ok((Packet { count, kind, body }, later))
}

fn report(packet: &Packet<'_>, found: &mut impl FnMut(Item)) {
    let body = packet.body;
    let blocks = match packet.kind {
        SENDER_REPORT => {
            let info = SenderInfo {
                ntp: u64::from(word(body, 4)) << 32 | u64::from(word(body, 8)),
                rtp_timestamp: word(body, 12),
                packets: word(body, 16),
                octets: word(body, 20),
            };
            found(Item::Sender {
                ssrc: word(body, 0),
                info,
            });
            body.get(24..).unwrap_or_default()
        }
        RECEIVER_REPORT => body.get(4..).unwrap_or_default(),
        GOODBYE => {
            for source in body.chunks_exact(4).take(packet.count) {
                found(Item::Goodbye {
                    ssrc: word(source, 0),
                });
            }
            return;
        }
        EXTENDED_REPORT => return extended(body.get(4..).unwrap_or_default(), found),
        _ => return,
    };
    for block in blocks.chunks_exact(24).take(packet.count) {
        let lost = word(block, 4);
        found(Item::Block(ReportBlock {
            ssrc: word(block, 0),
            fraction_lost: (lost >> 24) as u8,
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence: word(block, 8),
            jitter: word(block, 12),
            last_sender_report: word(block, 16),
            delay: word(block, 20),
        }));
    }
}

/// The blocks of an extended report (RFC 3611 §3); one that is cut off, and what is behind it, is passed over.
fn extended(mut blocks: &[u8], found: &mut impl FnMut(Item)) {
    while let Some((header, rest)) = blocks.split_first_chunk::<4>() {
        let words = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let Some((block, later)) = rest.split_at_checked(words * 4) else {
            return;
        };
        if let Some((ssrc, metrics)) = VoipMetrics::read(header[0], block) {
            found(Item::Voip { ssrc, metrics });
        }
        blocks = later;
    }
}

/// A big-endian word; 0 past the end, which the checks before rule out.
fn word(octets: &[u8], at: usize) -> u32 {
    let bytes = octets
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}
