use super::*;
use crate::message::{Class, Method, Writer, attribute};

const MOST: usize = 1500;

fn stun(payload: usize) -> Vec<u8> {
    let mut out = [0; 4096];
    let mut writer = Writer::new(&mut out, Class::Indication, Method::Send, [7; 12]);
    writer.attribute(attribute::DATA, &vec![1; payload]);
    let len = writer.finish().unwrap();
    out[..len].to_vec()
}

fn channel(payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x40, 0, 0, payload as u8];
    bytes.extend(vec![2; payload]);
    bytes
}

/// Feeds a stream in pieces of the given sizes, round and round.
fn cut(framing: Framing, stream: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Option<FramingError>) {
    let mut reader = StreamReader::new(framing, MOST);
    let mut cut = Vec::new();
    let (mut rest, mut sizes) = (stream, sizes.iter().cycle());
    while !rest.is_empty() {
        let space = reader.space();
        let size = sizes
            .next()
            .unwrap()
            .min(&rest.len())
            .min(&space.len())
            .to_owned();
        space[..size].copy_from_slice(&rest[..size]);
        rest = &rest[size..];
        reader.filled(size);
        loop {
            match reader.next() {
                Ok(Some(message)) => cut.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (cut, Some(error)),
            }
        }
        assert!(reader.buffer.len() <= MOST + 2 * SPACE);
    }
    (cut, None)
}

#[test]
fn messages_are_cut_however_the_stream_dribbles() {
    let messages = [
        stun(5),
        channel(0),
        channel(1),
        stun(0),
        channel(4),
        channel(7),
        stun(1000),
    ];
    let mut stream = Vec::new();
    for message in &messages {
        stream.extend(message);
        stream.resize(stream.len().next_multiple_of(4), 0xee);
    }
    for sizes in [&[1][..], &[2, 3], &[19, 1, 21], &[4096], &[7, 1000]] {
        let (found, error) = cut(Framing::Turn, &stream, sizes);
        assert_eq!(error, None);
        assert_eq!(found, messages, "{sizes:?}");
    }
}

#[test]
fn lengths_before_packets_are_read_however_the_stream_dribbles() {
    let packets = [vec![1; 5], vec![], vec![3; 1498], vec![0x80]];
    let mut stream = Vec::new();
    for packet in &packets {
        stream.extend(rfc4571_head(packet).unwrap());
        stream.extend(packet);
    }
    for sizes in [&[1][..], &[2, 3], &[1499, 1], &[4096]] {
        let (found, error) = cut(Framing::Rfc4571, &stream, sizes);
        assert_eq!((found, error), (packets.to_vec(), None), "{sizes:?}");
    }
    assert_eq!(rfc4571_head(&vec![0; 65536]), None);
}

#[test]
fn what_would_have_to_be_kept_for_long_is_refused_at_its_header() {
    let refused = |framing, head: &[u8]| cut(framing, head, &[1]).1;
    let too_long = |length| {
        let most = MOST;
        Some(FramingError::TooLong { length, most })
    };
    assert_eq!(
        refused(Framing::Turn, &[0x40, 0, 0xff, 0xff]),
        too_long(65540)
    );
    assert_eq!(refused(Framing::Turn, &[0, 1, 0xff, 0xfc]), too_long(65552));
    assert_eq!(refused(Framing::Rfc4571, &[0xff, 0xff]), too_long(65537));
    assert_eq!(refused(Framing::Rfc4571, &[0x05, 0xda]), None);
    assert_eq!(refused(Framing::Rfc4571, &[0x05, 0xdb]), too_long(1501));
}

#[test]
fn what_is_neither_stun_nor_channel_data_ends_the_stream() {
    for first in [0x04, 0x16, 0x3f, 0x80, 0xff] {
        let (found, error) = cut(Framing::Turn, &[first, 0, 0, 0], &[1]);
        assert_eq!(
            (found.len(), error),
            (0, Some(FramingError::Unknown(first)))
        );
    }
    let broken = Some(FramingError::Broken);
    assert_eq!(cut(Framing::Turn, &[0, 1, 0, 3], &[1]).1, broken);
    assert_eq!(
        cut(Framing::Turn, &[0, 1, 0, 4, 0x21, 0x13], &[1]).1,
        broken
    );
    let mut stream = stun(4);
    stream.extend([0x16, 3, 1, 2]);
    let (found, error) = cut(Framing::Turn, &stream, &[3]);
    assert_eq!((found.len(), error), (1, Some(FramingError::Unknown(0x16))));
}
