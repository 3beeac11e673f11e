use std::net::SocketAddr;

use stun_types::{
    attribute::{ErrorCode, XorMappedAddress},
    message::{
        BINDING, IntegrityAlgorithm, Message as Theirs, MessageWrite, MessageWriteExt,
        MessageWriteVec, ShortTermCredentials,
    },
};

use super::*;
use crate::PasswordAlgorithm;

/// RFC 5769 §2.1 to §2.4.
const VECTORS: [&str; 4] = [
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf",
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96",
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c",
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666",
];
/// The password of the first three.
const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

fn vector(index: usize) -> Vec<u8> {
    let digits = VECTORS[index].as_bytes().chunks(2);
    digits
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn rfc_5769_sample_request() {
    let bytes = vector(0);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Request, Method::Binding)
    );
    assert_eq!(message.value(attribute::USERNAME), Some(&b"evtj:h6vY"[..]));
    assert_eq!(
        message.value(attribute::SOFTWARE),
        Some(&b"STUN test client"[..])
    );
    assert_eq!(message.integrity(), Some(Algorithm::Sha1));
    assert!(message.integrity_holds(&IntegrityKey::new(PASSWORD), Algorithm::Sha1));
    assert!(!message.integrity_holds(&IntegrityKey::new(b"other"), Algorithm::Sha1));
    assert!(message.fingerprint_holds());
}

#[test]
fn rfc_5769_sample_responses() {
    let expected: [SocketAddr; 2] = [
        "192.0.2.1:32853".parse().unwrap(),
        "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
            .parse()
            .unwrap(),
    ];
    for (index, expected) in [(1, expected[0]), (2, expected[1])] {
        let bytes = vector(index);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            (message.class(), message.method()),
            (Class::Success, Method::Binding)
        );
        let value = message.value(attribute::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(message.xor_address(value), Some(expected));
        assert!(message.integrity_holds(&IntegrityKey::new(PASSWORD), Algorithm::Sha1));
        assert!(message.fingerprint_holds());
        let mut out = [0; 64];
        let mut writer = Writer::new(
            &mut out,
            Class::Success,
            Method::Binding,
            message.transaction(),
        );
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, expected);
        let len = writer.finish().unwrap();
        let written = Message::parse(&out[..len]).unwrap();
        assert_eq!(written.value(attribute::XOR_MAPPED_ADDRESS), Some(value));
    }
}

#[test]
fn rfc_5769_long_term_credentials() {
    let bytes = vector(3);
    let message = Message::parse(&bytes).unwrap();
    let name = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    assert_eq!(message.value(attribute::USERNAME), Some(name.as_bytes()));
    assert_eq!(message.value(attribute::REALM), Some(&b"example.org"[..]));
    // The password as SASLprep has it.
    let key = PasswordAlgorithm::Md5.key(name, "example.org", "TheMatrIX");
    assert!(message.integrity_holds(&key, Algorithm::Sha1));
    let key = PasswordAlgorithm::Sha256.key(name, "example.org", "TheMatrIX");
    assert!(!message.integrity_holds(&key, Algorithm::Sha1));
}

#[test]
fn every_type_is_written_and_read_alike() {
    let classes = [
        Class::Request,
        Class::Indication,
        Class::Success,
        Class::Error,
    ];
    for bits in 0..0x1000 {
        for class in classes {
            let mut out = [0; HEADER];
            let writer = Writer::new(&mut out, class, Method::from_bits(bits), [1; 12]);
            assert_eq!(writer.finish(), Some(HEADER));
            let read = Message::parse(&out).unwrap();
            assert_eq!((read.class(), read.method().bits()), (class, bits));
        }
    }
}

#[test]
fn what_we_write_is_what_stun_types_reads_and_the_reverse() {
    let key = ShortTermCredentials::new("secret".to_owned()).make_key();
    let ours = IntegrityKey::new(b"secret");
    for (algorithm, theirs) in [
        (Algorithm::Sha1, IntegrityAlgorithm::Sha1),
        (Algorithm::Sha256, IntegrityAlgorithm::Sha256),
    ] {
        let address: SocketAddr = "[2001:db8::1]:3478".parse().unwrap();
        let mut out = [0; 200];
        let mut writer = Writer::new(&mut out, Class::Error, Method::Binding, [9; 12]);
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, address);
        writer.error_code(438, "Stale Nonce");
        writer.integrity(&ours, algorithm);
        writer.fingerprint();
        let len = writer.finish().unwrap();
        let read = Theirs::from_bytes(&out[..len]).unwrap();
        assert_eq!(read.validate_integrity_with_key(&key).ok(), Some(theirs));
        let mapped = read.attribute::<XorMappedAddress>().unwrap();
        assert_eq!(mapped.addr(read.transaction_id()), address);
        assert_eq!(read.attribute::<ErrorCode>().unwrap().code(), 438);

        let mut request = Theirs::builder_request(BINDING, MessageWriteVec::new());
        let mapped = XorMappedAddress::new(address, request.transaction_id());
        request.add_attribute(&mapped).unwrap();
        request
            .add_message_integrity_with_key(&key, theirs)
            .unwrap();
        request.add_fingerprint().unwrap();
        let bytes = request.finish();
        let read = Message::parse(&bytes).unwrap();
        assert!(read.integrity_holds(&ours, algorithm) && read.fingerprint_holds());
        let value = read.value(attribute::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(read.xor_address(value), Some(address));
    }
}

#[test]
fn attributes_behind_the_integrity_do_not_count() {
    let mut out = [0; 300];
    let key = IntegrityKey::new(b"secret");
    let mut writer = Writer::new(&mut out, Class::Request, Method::Refresh, [9; 12]);
    writer.number(attribute::LIFETIME, 600);
    writer.integrity(&key, Algorithm::Sha1);
    writer.number(attribute::LIFETIME, 0);
    writer.number(attribute::CHANNEL_NUMBER, 0);
    writer.integrity(&key, Algorithm::Sha256);
    writer.attribute(attribute::USERNAME, b"eve");
    writer.fingerprint();
    let len = writer.finish().unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    let kinds: Vec<_> = message.attributes().map(|found| found.kind).collect();
    assert_eq!(
        kinds,
        [
            attribute::LIFETIME,
            attribute::MESSAGE_INTEGRITY,
            attribute::MESSAGE_INTEGRITY_SHA256,
            attribute::FINGERPRINT
        ]
    );
    assert_eq!(
        message.value(attribute::LIFETIME),
        Some(&600_u32.to_be_bytes()[..])
    );
    assert_eq!(message.integrity(), Some(Algorithm::Sha256));
}

#[test]
fn a_message_that_does_not_fit_is_not_finished() {
    for size in 0..HEADER + 12 {
        let mut out = vec![0; size];
        let mut writer = Writer::new(&mut out, Class::Request, Method::Binding, [9; 12]);
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, ([192, 0, 2, 1], 1).into());
        assert_eq!(writer.finish(), None, "{size}");
        let mut out = vec![0; size];
        let mut writer = Writer::new(&mut out, Class::Request, Method::Binding, [9; 12]);
        writer.integrity(&IntegrityKey::new(b"x"), Algorithm::Sha1);
        writer.fingerprint();
        assert_eq!(writer.finish(), None, "{size}");
    }
}

#[test]
fn broken_messages_are_not_read() {
    let good = vector(0);
    let broken = |index: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[index] = byte;
        Message::parse(&bytes).is_none()
    };
    assert!(broken(0, 0x80), "not STUN");
    assert!(broken(4, 0x22), "no magic cookie");
    assert!(
        broken(3, 0x54) && broken(3, 0x5c) && broken(3, 0x59),
        "another length"
    );
    assert!(broken(23, 0xff), "an attribute beyond the end");
    assert!(Message::parse(&good[..good.len() - 4]).is_none());
    assert!(Message::parse(&good[..19]).is_none() && Message::parse(&[]).is_none());
    let mut longer = good.clone();
    longer.extend([0; 4]);
    assert!(Message::parse(&longer).is_none());
    let mut forged = good.clone();
    forged[30] ^= 1;
    let message = Message::parse(&forged).unwrap();
    assert!(!message.fingerprint_holds());
    assert!(!message.integrity_holds(&IntegrityKey::new(PASSWORD), Algorithm::Sha1));
}

/// A hundred thousand mutations of four messages: read if they are well-formed, and then as
/// `stun-types` reads them.
#[test]
fn mutated_messages_are_read_or_refused() {
    let mut random = 7_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let (mut read, mut both) = (0, 0);
    for _ in 0..100_000 {
        let mut bytes = vector(next() % 4);
        for _ in 0..next() % 4 {
            let index = next() % bytes.len();
            bytes[index] = next() as u8;
        }
        if next().is_multiple_of(8) {
            bytes.truncate(next() % bytes.len());
        }
        let ours = Message::parse(&bytes);
        if let Some(message) = &ours {
            read += 1;
            let _ = (message.integrity(), message.fingerprint_holds());
            for found in message.attributes() {
                let end = found.offset + found.value.len();
                assert_eq!(&bytes[found.offset..end], found.value);
                let _ = message.xor_address(found.value);
            }
        }
        if let (Some(ours), Ok(theirs)) = (ours, Theirs::from_bytes(&bytes)) {
            let transaction = u128::from(theirs.transaction_id()).to_be_bytes();
            assert_eq!(ours.transaction(), transaction[4..]);
            both += 1;
        }
    }
    assert!(read > 20_000 && both > 20_000, "{read} {both}");
}
