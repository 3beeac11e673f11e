//! Datagrams at a browser's port. Whoever does not know the password gets no answer and validates nothing, whatever
//! the datagram; one who does gets an answer hardly longer than the check. SRTP under a known key, too.

#![no_main]

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use fuzz::{Input, within_limit};
use libfuzzer_sys::fuzz_target;
use peer::{
    Fingerprint, IceCredentials, Identity, Path, Peer, PeerConfig, Received,
    demux::{self, Kind},
    srtp::{Context, MAX_OVERHEAD, Profile},
};

fuzz_target!(|data: &[u8]| within_limit(|| check(data)));

fn check(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() {
        255 => srtp(&mut input),
        _ => port(&mut input),
    }
}

fn credentials(number: u8) -> IceCredentials {
    IceCredentials::from_random(&[number; 32])
}

/// A sequence of datagrams, with time between.
fn port(input: &mut Input<'_>) {
    static SHARED: OnceLock<(Instant, Arc<Identity>)> = OnceLock::new();
    let (start, identity) = SHARED.get_or_init(|| {
        (
            Instant::now(),
            Arc::new(Identity::generate().expect("an identity")),
        )
    });
    let mut now = *start;
    let config = PeerConfig {
        identity: identity.clone(),
        local: credentials(1),
        remote: credentials(2),
        fingerprint: Fingerprint([9; 32]),
        consent_timeout: peer::CONSENT_TIMEOUT,
        handshake_timeout: peer::HANDSHAKE_TIMEOUT,
    };
    let mut peer = Peer::new(now, config).expect("the credentials are right");
    for _ in 0..40 {
        if input.is_empty() {
            break;
        }
        let op = input.byte();
        let local = SocketAddr::from(([192, 0, 2, 1 + (op >> 3 & 1)], 3000));
        let path = Path::udp(local, SocketAddr::from(([198, 51, 100, op >> 4], 4000)));
        let len = usize::from(input.byte()) * 2;
        let piece = input.take(len);
        match op & 7 {
            0 => {
                now += Duration::from_millis(u64::from(input.word()));
                peer.handle_timeout(now);
                drain(&mut peer);
            }
            1 => peer.restart_ice(now, credentials(3 + (op >> 4)), credentials(2)),
            // Signed: the attributes are the fuzzer's, the password is right.
            2..=4 => {
                let mut packet = signed(piece, op & 8 == 0);
                assert_eq!(
                    peer.handle_packet(now, path, &mut packet),
                    Received::Nothing
                );
                let (count, bytes) = drain(&mut peer);
                assert!(
                    count <= 1 && bytes <= packet.len() * 3 / 2 + 32,
                    "{bytes} for {}",
                    packet.len()
                );
            }
            _ => unsigned(&mut peer, now, path, piece),
        }
    }
}

fn unsigned(peer: &mut Peer, now: Instant, path: Path, piece: &[u8]) {
    let kind = demux::classify(piece);
    let _ = demux::local_ufrag(piece);
    let was_validated = peer.is_validated(path);
    let mut packet = piece.to_vec();
    assert_eq!(
        peer.handle_packet(now, path, &mut packet),
        Received::Nothing
    );
    let (_, bytes) = drain(peer);
    if kind != Kind::Dtls || !was_validated {
        assert_eq!(bytes, 0, "{kind:?} that proves nothing was answered");
        assert_eq!(peer.is_validated(path), was_validated);
    }
    assert!(!peer.is_connected());
}

fn drain(peer: &mut Peer) -> (usize, usize) {
    let mut buffer = [0; 1500];
    let (mut count, mut bytes) = (0, 0);
    while let Some((len, _)) = peer.poll_transmit(&mut buffer) {
        count += 1;
        bytes += len;
    }
    while peer.poll_event().is_some() {}
    let _ = (peer.poll_timeout(), peer.selected_path());
    (count, bytes)
}

/// A Binding request with our USERNAME, these attributes, MESSAGE-INTEGRITY and, perhaps, FINGERPRINT.
fn signed(attributes: &[u8], fingerprint: bool) -> Vec<u8> {
    let username = format!("{}:{}", credentials(1).ufrag, credentials(2).ufrag);
    let mut packet = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    let mut transaction = attributes.to_vec();
    transaction.resize(12, 5);
    packet.extend_from_slice(&transaction);
    attribute(&mut packet, 0x0006, username.as_bytes());
    packet.extend_from_slice(attributes);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let length = |packet: &mut Vec<u8>, more: usize| {
        let len = (packet.len() - 20 + more) as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
    };
    length(&mut packet, 24);
    let key = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        credentials(1).pwd.as_bytes(),
    );
    let tag = hmac::sign(&key, &packet);
    attribute(&mut packet, 0x0008, tag.as_ref());
    if fingerprint {
        length(&mut packet, 8);
        let check = crc32(&packet) ^ 0x5354_554e;
        attribute(&mut packet, 0x8028, &check.to_be_bytes());
    }
    packet
}

fn attribute(packet: &mut Vec<u8>, kind: u16, value: &[u8]) {
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&(value.len() as u16).to_be_bytes());
    packet.extend_from_slice(value);
    packet.resize(packet.len().next_multiple_of(4), 0);
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

/// What is protected is read back as it was, and what was not is refused.
fn srtp(input: &mut Input<'_>) {
    let profile = input.choose(&[
        Profile::Aes128CmSha1_80,
        Profile::AeadAes128Gcm,
        Profile::AeadAes256Gcm,
    ]);
    let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
    let context = || Context::new(profile, &key, &salt).expect("the lengths are right");
    let (mut sender, mut receiver) = (context(), context());
    for _ in 0..40 {
        if input.is_empty() {
            break;
        }
        let (op, len) = (input.byte(), usize::from(input.byte()));
        let piece = input.take(len);
        let mut packet = piece.to_vec();
        if op & 1 == 0 {
            let result = match op & 2 {
                0 => receiver.unprotect_rtp(&mut packet),
                _ => receiver.unprotect_rtcp(&mut packet),
            };
            assert!(result.is_err(), "a forgery was taken");
            continue;
        }
        packet.resize(piece.len() + MAX_OVERHEAD, 0);
        let protected = match op & 2 {
            0 => sender.protect_rtp(&mut packet, piece.len()),
            _ => sender.protect_rtcp(&mut packet, piece.len()),
        };
        let Ok(total) = protected else { continue };
        packet.truncate(total);
        let again = packet.clone();
        let opened = match op & 2 {
            0 => receiver.unprotect_rtp(&mut packet),
            _ => receiver.unprotect_rtcp(&mut packet),
        };
        assert_eq!(opened.map(|len| &packet[..len]), Ok(piece));
        let mut again = again;
        let repeated = match op & 2 {
            0 => receiver.unprotect_rtp(&mut again),
            _ => receiver.unprotect_rtcp(&mut again),
        };
        assert!(repeated.is_err(), "a replay was taken");
    }
}
