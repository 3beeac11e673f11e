//! Keys for the SIP side's media: what is offered, and which answers are taken.

use super::tests::{agreed, options, sdp};
use super::{Keying, OfferOptions, Srtp, offer_fresh, read_answer};
use crate::crypto::{Crypto, KeySalt, Suite};

/// An offer with two keys, the second with AES in counter mode.
fn keyed(keying: impl Fn(Vec<Crypto>) -> Keying) -> OfferOptions {
    let crypto = |(tag, suite): (u32, Suite)| {
        let bytes: Vec<u8> = (1..).take(suite.key_len() + suite.salt_len()).collect();
        let key = KeySalt::new(suite, &bytes).expect("as long as the suite's");
        Crypto { tag, suite, key }
    };
    let suites = [(1, Suite::AeadAes128Gcm), (2, Suite::AesCm128HmacSha1_80)];
    OfferOptions {
        keying: keying(suites.into_iter().map(crypto).collect()),
        ..options()
    }
}

const THEIR_KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn cm(tag: u32) -> String {
    format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{THEIR_KEY}")
}

#[test]
fn sdes_is_offered_as_savp_and_the_answers_key_is_taken() {
    let offered = keyed(Keying::Sdes);
    let text = offer_fresh(&offered);
    assert!(text.contains("m=audio 20000 RTP/SAVP 0 8 101"), "{text}");
    assert!(text.contains("a=crypto:1 AEAD_AES_128_GCM inline:AQIDBAUGBwgJ"));
    assert!(text.contains("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AQIDBAUGBwgJ"));
    let media = format!("m=audio 4000 RTP/SAVP 0\n{}", cm(2));
    let Srtp::Sdes {
        suite,
        ours,
        theirs,
    } = agreed(&media, &offered).srtp
    else {
        panic!("no keys")
    };
    assert_eq!(suite, Suite::AesCm128HmacSha1_80);
    assert_eq!(ours.key()[..3], [1, 2, 3]);
    assert_eq!(theirs.key()[..3], [0x77, 0x44, 0x66]);
}

#[test]
fn sdes_that_is_asked_for_is_never_less() {
    let offered = keyed(Keying::Sdes);
    for (media, code) in [
        ("m=audio 4000 RTP/AVP 0".to_owned(), "transport"),
        (format!("m=audio 4000 RTP/AVP 0\n{}", cm(2)), "transport"),
        ("m=audio 4000 RTP/SAVP 0".to_owned(), "no_srtp"),
        (format!("m=audio 4000 RTP/SAVP 0\n{}", cm(1)), "no_srtp"),
        (format!("m=audio 4000 RTP/SAVP 0\n{}", cm(3)), "no_srtp"),
        (
            format!("m=audio 4000 RTP/SAVP 0\n{} UNENCRYPTED_SRTP", cm(2)),
            "no_srtp",
        ),
        (format!("m=audio 4000 RTP/SAVP 0\n{}|1:4", cm(2)), "no_srtp"),
    ] {
        let refusal = read_answer(&sdp(&media), &offered).expect_err(&media);
        assert_eq!(refusal.code(), code, "{media}");
        assert!(!refusal.to_string().contains(THEIR_KEY), "{refusal}");
    }
}

#[test]
fn an_answer_that_echoes_our_key_is_refused() {
    let offered = keyed(Keying::Sdes);
    let text = offer_fresh(&offered);
    let ours = text
        .lines()
        .find(|line| line.starts_with("a=crypto:2"))
        .expect("a key");
    let media = format!("m=audio 4000 RTP/SAVP 0\n{ours}");
    let refusal = read_answer(&sdp(&media), &offered).expect_err("one key for both ways");
    assert_eq!(refusal.code(), "no_srtp");
}

#[test]
fn opportunistic_keys_are_used_where_they_are_taken() {
    let offered = keyed(Keying::Opportunistic);
    let text = offer_fresh(&offered);
    assert!(text.contains("RTP/AVP 0 8 101") && text.contains("a=crypto:1 "));
    assert_eq!(agreed("m=audio 4000 RTP/AVP 0", &offered).srtp, Srtp::Plain);
    for proto in ["RTP/AVP", "RTP/SAVP"] {
        let media = format!("m=audio 4000 {proto} 0\n{}", cm(2));
        let agreed = agreed(&media, &offered);
        assert_eq!(agreed.srtp.name(), "AES_CM_128_HMAC_SHA1_80");
    }
    let refusal = read_answer(&sdp("m=audio 4000 RTP/SAVP 0"), &offered);
    assert_eq!(refusal.expect_err("it wants keys").code(), "no_srtp");
}

#[test]
fn dtls_is_offered_with_a_shared_port_and_the_answer_chooses_the_role() {
    let print = "AB:".repeat(31) + "AB";
    let offered = OfferOptions {
        keying: Keying::Dtls {
            fingerprint: print.clone(),
        },
        ..options()
    };
    let text = offer_fresh(&offered);
    for line in [
        "m=audio 20000 UDP/TLS/RTP/SAVP 0 8 101",
        &format!("a=fingerprint:sha-256 {print}"),
        "a=setup:actpass",
        "a=rtcp-mux",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let answer = |setup: &str| {
        format!("m=audio 4000 UDP/TLS/RTP/SAVP 0\na=rtcp-mux\na=fingerprint:SHA-256 {print}{setup}")
    };
    for (setup, active) in [
        ("", false),
        ("\na=setup:active", false),
        ("\na=setup:passive", true),
    ] {
        let wanted = Srtp::Dtls {
            fingerprint: [0xab; 32],
            active,
        };
        assert_eq!(agreed(&answer(setup), &offered).srtp, wanted);
    }
    for media in [
        "m=audio 4000 RTP/AVP 0".to_owned(),
        answer("").replace("a=rtcp-mux\n", ""),
        answer("\na=setup:actpass"),
        "m=audio 4000 UDP/TLS/RTP/SAVP 0\na=rtcp-mux".to_owned(),
    ] {
        read_answer(&sdp(&media), &offered).expect_err(&media);
    }
}
