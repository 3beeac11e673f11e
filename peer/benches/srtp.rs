//! What protecting a packet costs next to the bare primitive, and what a handshake costs.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use criterion::{Criterion, Throughput};
use peer::srtp::{self, Context, Profile};
use peer::{
    CONSENT_TIMEOUT, Fingerprint, HANDSHAKE_TIMEOUT, IceCredentials, Identity, Path, Peer,
    PeerConfig,
};

#[allow(dead_code, unreachable_pub)]
#[path = "../src/testing.rs"]
mod browser;

const PROFILES: [Profile; 3] = [
    Profile::Aes128CmSha1_80,
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
];
const HEADER: usize = 12;
/// 20 ms of G.711.
const PACKET: usize = HEADER + 160;

fn context(profile: Profile) -> Context {
    let bytes = [7; 46];
    let (key, salt) = (&bytes[..profile.key_len()], &bytes[..profile.salt_len()]);
    Context::new(profile, key, salt).unwrap()
}

fn packet(sequence: u16) -> [u8; PACKET + srtp::MAX_OVERHEAD] {
    let mut packet = [0; PACKET + srtp::MAX_OVERHEAD];
    packet[0] = 0x80;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[11] = 7;
    packet
}

/// Protects one packet a call, with running sequence numbers.
fn protector(profile: Profile) -> impl FnMut() {
    let (mut context, mut sequence) = (context(profile), 0u16);
    move || {
        sequence = sequence.wrapping_add(1);
        let mut packet = packet(sequence);
        black_box(context.protect_rtp(&mut packet, PACKET)).unwrap();
    }
}

/// Unprotects one packet a call; the packets were protected before.
fn unprotector(profile: Profile) -> impl FnMut() {
    let mut sender = context(profile);
    let sealed: Vec<_> = (0..=u16::MAX)
        .map(|sequence| {
            let mut packet = packet(sequence);
            let len = sender.protect_rtp(&mut packet, PACKET).unwrap();
            (packet, len)
        })
        .collect();
    let (mut receiver, mut next) = (context(profile), 0);
    move || {
        if next == sealed.len() {
            receiver = context(profile);
            next = 0;
        }
        let (mut packet, len) = sealed[next];
        next += 1;
        black_box(receiver.unprotect_rtp(&mut packet[..len])).unwrap();
    }
}

/// The cryptography alone, on the same bytes.
fn primitive(profile: Profile) -> Box<dyn FnMut()> {
    let algorithm = match profile {
        Profile::Aes128CmSha1_80 => {
            let key = UnboundCipherKey::new(&AES_128, &[7; 16]).unwrap();
            let key = EncryptingKey::ctr(key).unwrap();
            let tag_key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[7; 20]);
            return Box::new(move || {
                let mut packet = packet(1);
                let iv = EncryptionContext::Iv128(FixedLength::from([9; 16]));
                let body = &mut packet[HEADER..PACKET];
                key.less_safe_encrypt(body, iv).unwrap();
                black_box(hmac::sign(&tag_key, &packet[..PACKET + 4]));
            });
        }
        Profile::AeadAes128Gcm => &aead::AES_128_GCM,
        Profile::AeadAes256Gcm => &aead::AES_256_GCM,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[7; 32][..profile.key_len()]).unwrap());
    Box::new(move || {
        let mut packet = packet(1);
        let (header, body) = packet.split_at_mut(HEADER);
        let nonce = Nonce::assume_unique_for_key([9; 12]);
        let body = &mut body[..PACKET - HEADER];
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(header), body);
        let _ = black_box(tag.unwrap());
    })
}

/// Nanoseconds a call: the median of several rounds.
fn nanoseconds(mut step: impl FnMut()) -> f64 {
    const CALLS: u32 = 20_000;
    let mut rounds: Vec<_> = (0..15)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| step());
            start.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn print_ratios() {
    println!("\n160 bytes of payload, ns a packet, and times the bare primitive");
    for profile in PROFILES {
        let bare = nanoseconds(primitive(profile));
        let protect = nanoseconds(protector(profile));
        let unprotect = nanoseconds(unprotector(profile));
        println!(
            "{:<28} bare {bare:6.0}  protect {protect:6.0} ({:.2})  unprotect {unprotect:6.0} ({:.2})",
            profile.name(),
            protect / bare,
            unprotect / bare,
        );
    }
}

/// One whole set-up, ICE check to SRTP keys; returns the peer's own share of the time.
fn handshake(
    identity: &Arc<Identity>,
    config: &Arc<dimpl::Config>,
    client: &dimpl::DtlsCertificate,
) -> Duration {
    let (local, remote): (SocketAddr, SocketAddr) =
        (([192, 0, 2, 2], 7000).into(), ([192, 0, 2, 1], 5000).into());
    let from = Path::udp(local, remote);
    let (local, remote) = (
        IceCredentials::from_random(&[1; 32]),
        IceCredentials::from_random(&[2; 32]),
    );
    let now = Instant::now();
    let mut browser = browser::Browser::new(
        now,
        config.clone(),
        client.clone(),
        remote.clone(),
        local.clone(),
    );
    let mut share = Duration::ZERO;
    let start = Instant::now();
    let peer_config = PeerConfig {
        identity: identity.clone(),
        local,
        remote,
        fingerprint: browser.fingerprint,
        consent_timeout: CONSENT_TIMEOUT,
        handshake_timeout: HANDSHAKE_TIMEOUT,
    };
    let mut peer = Peer::new(now, peer_config).unwrap();
    share += start.elapsed();
    let mut inbound = vec![browser.check(browser::Check::default())];
    inbound.extend(browser.handle_timeout(now));
    let mut buffer = [0; 1500];
    while !inbound.is_empty() {
        let mut outbound = Vec::new();
        let start = Instant::now();
        for mut packet in inbound.drain(..) {
            peer.handle_packet(now, from, &mut packet);
            while let Some((len, _)) = peer.poll_transmit(&mut buffer) {
                outbound.push(buffer[..len].to_vec());
            }
        }
        share += start.elapsed();
        for packet in outbound.iter().filter(|packet| packet[0] >= 20) {
            inbound.extend(browser.handle_dtls(now, packet));
        }
    }
    assert!(peer.is_connected() && browser.connected);
    share
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("srtp");
    group.throughput(Throughput::Bytes(PACKET as u64));
    for profile in PROFILES {
        let name = profile.name();
        let mut bare = primitive(profile);
        group.bench_function(format!("bare/{name}"), |b| b.iter(&mut bare));
        group.bench_function(format!("protect/{name}"), |b| b.iter(protector(profile)));
        group.bench_function(format!("unprotect/{name}"), |b| {
            b.iter(unprotector(profile))
        });
    }
    group.finish();
    let identity = Arc::new(Identity::generate().unwrap());
    let (config, client) = (browser::config(1), browser::certificate());
    criterion.bench_function("handshake/both sides", |b| {
        b.iter(|| handshake(&identity, &config, &client))
    });
    criterion.final_summary();

    print_ratios();
    let mut shares: Vec<_> = (0..100)
        .map(|_| handshake(&identity, &config, &client))
        .collect();
    shares.sort();
    println!(
        "handshake, the peer's share: {:?} (median of 100)",
        shares[50]
    );
}
