//! The same packets by another implementation's hand: `rtc-srtp`, whose counter mode is not
//! `aws-lc-rs`'s.

use rtc_srtp::context::Context as Theirs;
use rtc_srtp::crypto;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::*;

fn both(profile: Profile) -> (Context, Theirs) {
    let theirs = match profile {
        Profile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let bytes: Vec<u8> = (0..46u8).map(|i| i.wrapping_mul(151)).collect();
    let key = &bytes[..profile.key_len()];
    let salt = &bytes[32..32 + profile.salt_len()];
    let provider = crypto::default_provider().unwrap();
    let theirs = Theirs::new(key, salt, theirs, None, None, provider.crypto()).unwrap();
    (Context::new(profile, key, salt).unwrap(), theirs)
}

fn packet(sequence: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0xe3];
    packet.extend(sequence.to_be_bytes());
    packet.extend([9, 8, 7, 6, 0xde, 0xad, 0xbe, 0xef]);
    if payload % 3 == 1 {
        packet[0] |= 0x11;
        packet.extend([1, 2, 3, 4, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
    }
    packet.extend((0..payload).map(|i| (i * 7) as u8));
    packet
}

#[test]
fn rtp_is_the_same_by_another_hand_over_a_rollover() {
    for profile in [
        Profile::Aes128CmSha1_80,
        Profile::AeadAes128Gcm,
        Profile::AeadAes256Gcm,
    ] {
        let (mut ours, mut theirs) = both(profile);
        let (mut receiver, mut their_receiver) = both(profile);
        for step in 0..400u16 {
            let plain = packet(65_400u16.wrapping_add(step), usize::from(step) + 1);
            let mut buffer = [0; 600];
            buffer[..plain.len()].copy_from_slice(&plain);
            let len = ours.protect_rtp(&mut buffer, plain.len()).unwrap();
            assert_eq!(
                buffer[..len],
                theirs.encrypt_rtp(&plain).unwrap()[..],
                "{step}"
            );
            let opened = their_receiver.decrypt_rtp(&buffer[..len]).unwrap();
            assert_eq!(opened, plain);
            let len = receiver.unprotect_rtp(&mut buffer[..len]).unwrap();
            assert_eq!(buffer[..len], plain);
        }
    }
}

#[test]
fn rtcp_is_understood_both_ways() {
    for profile in [
        Profile::Aes128CmSha1_80,
        Profile::AeadAes128Gcm,
        Profile::AeadAes256Gcm,
    ] {
        let (mut ours, mut theirs) = both(profile);
        let (mut receiver, mut their_receiver) = both(profile);
        for words in 1..60u8 {
            let mut plain = vec![0x81, 200, 0, words, 0xde, 0xad, 0xbe, 0xef];
            plain.extend((0..(usize::from(words) - 1) * 4).map(|i| i as u8));
            let mut buffer = [0; 600];
            buffer[..plain.len()].copy_from_slice(&plain);
            let len = ours.protect_rtcp(&mut buffer, plain.len()).unwrap();
            assert_eq!(their_receiver.decrypt_rtcp(&buffer[..len]).unwrap(), plain);
            let mut sealed = theirs.encrypt_rtcp(&plain).unwrap().to_vec();
            let len = receiver.unprotect_rtcp(&mut sealed).unwrap();
            assert_eq!(sealed[..len], plain);
        }
    }
}
