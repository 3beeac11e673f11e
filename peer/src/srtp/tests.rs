use super::derive::{Derivation, Label, apply_key_stream, counter_mode};
use super::*;

const PROFILES: [Profile; 3] = [
    Profile::Aes128CmSha1_80,
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn context(profile: Profile) -> Context {
    let bytes: Vec<u8> = (0..46).collect();
    let key = &bytes[..profile.key_len()];
    Context::new(profile, key, &bytes[32..32 + profile.salt_len()]).unwrap()
}

fn pair(profile: Profile) -> (Context, Context) {
    (context(profile), context(profile))
}

fn rtp(ssrc: u32, sequence: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..payload).map(|i| i as u8));
    packet
}

fn protect(context: &mut Context, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_OVERHEAD, 0);
    let len = context.protect_rtp(&mut buffer, plain.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn protect_rtcp(context: &mut Context, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_OVERHEAD, 0);
    let len = context.protect_rtcp(&mut buffer, plain.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn unprotect(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut packet = packet.to_vec();
    let len = context.unprotect_rtp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn unprotect_rtcp(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut packet = packet.to_vec();
    let len = context.unprotect_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

/// A context whose session keys are given, as RFC 7714's examples have it.
fn gcm_with_session_keys(profile: Profile) -> Context {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    let salt = *b"Quid pro quo";
    Context {
        rtp: Cipher::gcm(profile, &key, salt).unwrap(),
        rtcp: Cipher::gcm(profile, &key, salt).unwrap(),
        ..context(profile)
    }
}

#[test]
fn rfc_3711_b2_key_stream() {
    let key = counter_mode(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let iv: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
    let mut stream = [0; 48];
    apply_key_stream(&key, iv, &mut stream).unwrap();
    let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
                    41E95B3BB0A2E8DD477901E4FCA894C0";
    assert_eq!(stream.to_vec(), hex(expected));
}

fn derived(derivation: &Derivation, label: Label, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    derivation.derive(label, &mut out).unwrap();
    out
}

#[test]
fn rfc_3711_b3_key_derivation() {
    let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    let derivation = Derivation::new(Profile::Aes128CmSha1_80, &key, &salt).unwrap();
    assert_eq!(
        derived(&derivation, Label::RtpEncryption, 16),
        hex("C61E7A93744F39EE10734AFE3FF7A087")
    );
    assert_eq!(
        derived(&derivation, Label::RtpSalt, 14),
        hex("30CBBC08863D8C85D49DB34A9AE1")
    );
    let expected = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
                    E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
                    6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2";
    assert_eq!(
        derived(&derivation, Label::RtpAuthentication, 94),
        hex(expected)
    );
}

#[test]
fn rfc_6188_7_2_key_derivation_with_256_bits() {
    let key = hex("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6");
    let salt: [u8; 14] = hex("3b04803de51ee7c96423ab5b78d2").try_into().unwrap();
    let derivation = Derivation::with_salt(&key, salt).unwrap();
    assert_eq!(
        derived(&derivation, Label::RtpEncryption, 32),
        hex("5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4")
    );
    assert_eq!(
        derived(&derivation, Label::RtpAuthentication, 20),
        hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05")
    );
    assert_eq!(
        derived(&derivation, Label::RtpSalt, 14),
        hex("fa31791685ca444a9e07c6c64e93")
    );
}

#[test]
fn rfc_7714_16_rtp_packets() {
    let plain = hex(
        "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
                     69736120 696e2070 61727465 73207472 6573",
    );
    let aes_128 = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
                   0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
    let aes_256 = "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
                   9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13";
    for (profile, sealed) in [
        (Profile::AeadAes128Gcm, aes_128),
        (Profile::AeadAes256Gcm, aes_256),
    ] {
        let mut sender = gcm_with_session_keys(profile);
        assert_eq!(protect(&mut sender, &plain), Ok(hex(sealed)));
        let mut receiver = gcm_with_session_keys(profile);
        assert_eq!(unprotect(&mut receiver, &hex(sealed)), Ok(plain.clone()));
    }
}

#[test]
fn rfc_7714_17_rtcp_packets() {
    let plain = hex(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                     deadbeef deadbeef deadbeef deadbeef deadbeef",
    );
    let aes_128 = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
                   c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
                   45d9eade 800005d4";
    let aes_256 = "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
                   a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
                   b26ac3be 800005d4";
    for (profile, sealed) in [
        (Profile::AeadAes128Gcm, aes_128),
        (Profile::AeadAes256Gcm, aes_256),
    ] {
        let mut sender = gcm_with_session_keys(profile);
        let slot = sender.rtcp_streams.find(0x4d61_7273).unwrap();
        sender.rtcp_streams.accept(slot, 0x4d61_7273, 0x5d3);
        assert_eq!(protect_rtcp(&mut sender, &plain), Ok(hex(sealed)));
        let mut receiver = gcm_with_session_keys(profile);
        assert_eq!(
            unprotect_rtcp(&mut receiver, &hex(sealed)),
            Ok(plain.clone())
        );
    }
}

/// The packets that libsrtp's own tests hold themselves to, under RFC 3711 B.3's master key.
#[test]
fn whole_packets_of_aes_cm_with_sha1_as_libsrtp_writes_them() {
    let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    let new = || Context::new(Profile::Aes128CmSha1_80, &key, &salt).unwrap();
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let sealed = hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402
                      b78d6acc99ea179b8dbb");
    assert_eq!(protect(&mut new(), &plain).as_ref(), Ok(&sealed));
    assert_eq!(unprotect(&mut new(), &sealed), Ok(plain));

    let plain = hex("81c8000bcafebabe abababababababababababababababab");
    let sealed = hex("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001
                      993e08cd54d6c1230798");
    assert_eq!(unprotect_rtcp(&mut new(), &sealed).as_ref(), Ok(&plain));
    let mut sender = new();
    protect_rtcp(&mut sender, &plain).unwrap();
    assert_eq!(protect_rtcp(&mut sender, &plain), Ok(sealed));
}

#[test]
fn every_length_and_header_passes_through_and_back() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for payload in 0..300 {
            let plain = rtp(7, payload as u16, payload);
            let sealed = protect(&mut sender, &plain).unwrap();
            assert_eq!(sealed.len(), plain.len() + profile.rtp_overhead());
            assert_eq!(sealed[..12], plain[..12]);
            assert_eq!(unprotect(&mut receiver, &sealed), Ok(plain));
        }
        // Two CSRCs and an extension of two words stay in the clear.
        let mut plain = rtp(7, 1000, 8 + 12);
        plain[0] |= 0x12;
        plain[20..24].copy_from_slice(&[0xbe, 0xde, 0, 2]);
        plain.extend(b"the payload");
        let sealed = protect(&mut sender, &plain).unwrap();
        assert_eq!(sealed[..32], plain[..32]);
        assert_ne!(sealed[32..43], plain[32..43]);
        assert_eq!(unprotect(&mut receiver, &sealed), Ok(plain));
    }
}

#[test]
fn a_sequence_that_wraps_carries_on_for_sender_and_receiver() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for step in 0..200_000u32 {
            // Every 50th pair of packets changes places on the way.
            let index = 65_000 + step;
            let plain = rtp(7, index as u16, 4);
            let sealed = protect(&mut sender, &plain).unwrap();
            if step % 50 == 0 {
                let next = rtp(7, (index + 1) as u16, 4);
                let mut twin = context(profile);
                twin.rtp_streams = Streams::new();
                let slot = twin.rtp_streams.find(7).unwrap();
                twin.rtp_streams.accept(slot, 7, u64::from(index));
                let early = protect(&mut twin, &next).unwrap();
                assert_eq!(unprotect(&mut receiver, &early), Ok(next));
                assert_eq!(unprotect(&mut receiver, &sealed), Ok(plain));
            } else if step % 50 != 1 {
                assert_eq!(unprotect(&mut receiver, &sealed), Ok(plain), "{step}");
            }
        }
        let slot = receiver.rtp_streams.find(7).unwrap();
        assert_eq!(receiver.rtp_streams.highest(slot), Some(264_999));
    }
}

#[test]
fn a_replayed_packet_is_refused_and_a_late_one_accepted_once() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let sealed: Vec<_> = (0..300)
            .map(|n| protect(&mut sender, &rtp(7, n, 20)).unwrap())
            .collect();
        for n in (0..300).filter(|n| *n != 250 && *n != 100) {
            unprotect(&mut receiver, &sealed[n]).unwrap();
        }
        assert_eq!(unprotect(&mut receiver, &sealed[299]), Err(Error::Replayed));
        assert!(unprotect(&mut receiver, &sealed[250]).is_ok());
        assert_eq!(unprotect(&mut receiver, &sealed[250]), Err(Error::Replayed));
        assert_eq!(unprotect(&mut receiver, &sealed[100]), Err(Error::TooOld));

        let report = hex("80c90001 00000007 01020304");
        let sealed: Vec<_> = (0..3)
            .map(|_| protect_rtcp(&mut sender, &report).unwrap())
            .collect();
        assert!(unprotect_rtcp(&mut receiver, &sealed[2]).is_ok());
        assert!(unprotect_rtcp(&mut receiver, &sealed[0]).is_ok());
        assert_eq!(
            unprotect_rtcp(&mut receiver, &sealed[0]),
            Err(Error::Replayed)
        );
        assert_eq!(
            unprotect_rtcp(&mut receiver, &sealed[2]),
            Err(Error::Replayed)
        );
        assert!(unprotect_rtcp(&mut receiver, &sealed[1]).is_ok());
    }
}

/// CVE-2021-41105: a forged packet must not move the window or the rollover counter.
#[test]
fn a_forged_packet_changes_nothing() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for n in 0..10 {
            let sealed = protect(&mut sender, &rtp(7, n, 20)).unwrap();
            unprotect(&mut receiver, &sealed).unwrap();
        }
        for sequence in [10u16, 138, 32_000, 40_000, 65_535] {
            let forged = [rtp(7, sequence, 20), vec![0x55; profile.rtp_overhead()]].concat();
            let result = unprotect(&mut receiver, &forged);
            assert!(matches!(result, Err(Error::Authentication | Error::TooOld)));
        }
        for ssrc in 0..1000 {
            let forged = [rtp(ssrc, 5, 20), vec![0x55; profile.rtp_overhead()]].concat();
            assert!(unprotect(&mut receiver, &forged).is_err());
        }
        let sealed = protect(&mut sender, &rtp(7, 10, 20)).unwrap();
        assert!(unprotect(&mut receiver, &sealed).is_ok());
        // And the streams that were forged left no trace.
        let sealed = protect(&mut sender, &rtp(999, 1, 20)).unwrap();
        assert!(unprotect(&mut receiver, &sealed).is_ok());
    }
}

#[test]
fn any_flipped_bit_is_noticed() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        let sealed = protect(&mut sender, &rtp(7, 1, 20)).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect(&mut context(profile), &forged).is_err(), "{bit}");
        }
        let sealed = protect_rtcp(&mut sender, &hex("80c90001 00000007 01020304")).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                unprotect_rtcp(&mut context(profile), &forged).is_err(),
                "{bit}"
            );
        }
    }
}

#[test]
fn short_and_malformed_packets_are_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for len in 0..60 {
            for first in [0x80u8, 0x8f, 0x90, 0x9f, 0x00, 0xff] {
                let packet = [vec![first], vec![0xff; len]].concat();
                assert!(unprotect(&mut receiver, &packet).is_err());
                assert!(unprotect_rtcp(&mut receiver, &packet).is_err());
            }
        }
        // An extension that claims more words than there are: `rtc-srtp` panics on these.
        let mut plain = rtp(7, 1, 9);
        plain[0] |= 0x10;
        assert_eq!(protect(&mut sender, &plain), Err(Error::Malformed));
        assert_eq!(protect(&mut sender, &plain[..11]), Err(Error::Malformed));
        assert_eq!(protect_rtcp(&mut sender, &[0x80; 7]), Err(Error::Malformed));
        let mut tight = rtp(7, 1, 20);
        tight.extend(vec![0; profile.rtp_overhead() - 1]);
        assert_eq!(
            sender.protect_rtp(&mut tight, 32),
            Err(Error::BufferTooSmall)
        );
        assert_eq!(sender.protect_rtp(&mut [], 32), Err(Error::BufferTooSmall));
    }
}

#[test]
fn a_sender_never_uses_an_index_twice() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        protect(&mut sender, &rtp(7, 5, 20)).unwrap();
        assert_eq!(protect(&mut sender, &rtp(7, 5, 20)), Err(Error::Replayed));
        assert!(protect(&mut sender, &rtp(8, 5, 20)).is_ok());
    }
}

#[test]
fn rtcp_without_encryption_is_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut sealed = protect_rtcp(&mut sender, &hex("80c90001 00000007 01020304")).unwrap();
        let after = if profile == Profile::Aes128CmSha1_80 {
            10
        } else {
            0
        };
        let at = sealed.len() - after - 4;
        sealed[at] &= 0x7f;
        assert_eq!(
            unprotect_rtcp(&mut receiver, &sealed),
            Err(Error::NotEncrypted)
        );
    }
}

#[test]
fn an_authenticated_peer_cannot_make_us_follow_unbounded_ssrcs() {
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    let mut other = context(Profile::AeadAes128Gcm);
    for ssrc in 0..MAX_STREAMS as u32 {
        let sealed = protect(&mut sender, &rtp(ssrc, 1, 20)).unwrap();
        unprotect(&mut receiver, &sealed).unwrap();
    }
    let sealed = protect(&mut other, &rtp(9999, 1, 20)).unwrap();
    assert_eq!(
        unprotect(&mut receiver, &sealed),
        Err(Error::TooManyStreams)
    );
    let sealed = protect(&mut sender, &rtp(3, 2, 20)).unwrap();
    assert!(unprotect(&mut receiver, &sealed).is_ok());
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    for profile in PROFILES {
        let new = |key: usize, salt: usize| {
            Context::new(profile, &vec![1; key], &vec![2; salt]).map(drop)
        };
        let (key, salt) = (profile.key_len(), profile.salt_len());
        assert_eq!(new(key, salt), Ok(()));
        assert_eq!(new(key - 1, salt), Err(Error::KeyLength));
        assert_eq!(new(key, salt + 1), Err(Error::KeyLength));
        assert_eq!(new(0, 0), Err(Error::KeyLength));
    }
}

#[test]
fn protecting_and_unprotecting_allocates_nothing() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let report = hex("80c90001 00000007 01020304");
        let mut buffer = [0; 256];
        let mut step = |sequence: u16| {
            let plain = [
                0x80,
                0,
                (sequence >> 8) as u8,
                sequence as u8,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                7,
            ];
            buffer[..12].copy_from_slice(&plain);
            let len = sender.protect_rtp(&mut buffer, 172).unwrap();
            receiver.unprotect_rtp(&mut buffer[..len]).unwrap();
            buffer[..12].copy_from_slice(&report);
            let len = sender.protect_rtcp(&mut buffer, 12).unwrap();
            receiver.unprotect_rtcp(&mut buffer[..len]).unwrap();
        };
        let counted = allocation_counter::measure(|| (0..1000).for_each(&mut step));
        assert_eq!(counted.count_total, 0, "{profile}");
    }
}

#[test]
fn a_stream_that_began_before_under_the_same_key_is_found_by_trial_and_goes_on() {
    for profile in PROFILES {
        let (mut sender, receiver) = pair(profile);
        let mut receiver = receiver.joining_late(2);
        // It has sent for 44 minutes already.
        let slot = sender.rtp_streams.find(7).unwrap();
        sender.rtp_streams.accept(slot, 7, 2 << 16 | 65_533);
        for sequence in [65_534, 65_535, 0, 1] {
            let plain = rtp(7, sequence, 40);
            let sealed = protect(&mut sender, &plain).unwrap();
            assert_eq!(unprotect(&mut receiver, &sealed), Ok(plain));
            assert_eq!(unprotect(&mut receiver, &sealed), Err(Error::Replayed));
        }
        // One that begins now does so at 0, and one that is beyond what is tried is not heard.
        let new = protect(&mut sender, &rtp(8, 5, 40)).unwrap();
        assert_eq!(unprotect(&mut receiver, &new), Ok(rtp(8, 5, 40)));
        let slot = sender.rtp_streams.find(9).unwrap();
        sender.rtp_streams.accept(slot, 9, 3 << 16 | 5);
        let mut late = protect(&mut sender, &rtp(9, 6, 40)).unwrap();
        let sealed = late.clone();
        assert!(receiver.unprotect_rtp(&mut late).is_err());
        assert_eq!(late, sealed, "it stays as it was");
    }
}

#[test]
fn without_being_told_no_stream_is_taken_for_one_that_began_before() {
    let (mut sender, mut receiver) = pair(Profile::Aes128CmSha1_80);
    let slot = sender.rtp_streams.find(7).unwrap();
    sender.rtp_streams.accept(slot, 7, 1 << 16);
    let sealed = protect(&mut sender, &rtp(7, 1, 40)).unwrap();
    assert_eq!(
        unprotect(&mut receiver, &sealed),
        Err(Error::Authentication)
    );
}
