//! Keys for the SIP side's media: what is offered, and which answers are taken.

use super::tests::{agreed, options, sdp};
use super::{Keying, OfferOptions, Srtp, answer, offer_fresh, read_answer, read_offer};
use crate::Refusal;
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
            active: None,
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

/// Answers an offer of the SIP side: what was agreed, and the answer's text.
fn answered(media: &str, options: &OfferOptions) -> Result<(Srtp, String), Refusal> {
    let offer = read_offer(&sdp(media), &options.keying)?;
    let (text, agreed, _) = answer(&offer, options)?;
    Ok((agreed.srtp, text))
}

#[test]
fn their_first_key_of_a_suite_that_we_have_is_answered_under_its_tag() {
    let ours = keyed(Keying::Sdes);
    let media = format!(
        "m=audio 4000 RTP/SAVP 0\na=crypto:7 F8_128_HMAC_SHA1_80 inline:{THEIR_KEY}\n{}",
        cm(9)
    );
    let (srtp, text) = answered(&media, &ours).expect("an answer");
    let Srtp::Sdes {
        suite,
        ours: key,
        theirs,
    } = srtp
    else {
        panic!("{srtp:?}");
    };
    assert_eq!(suite, Suite::AesCm128HmacSha1_80);
    assert_ne!(key, theirs);
    assert!(text.contains("m=audio 20000 RTP/SAVP 0"), "{text}");
    assert!(text.contains("a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:"));
    for media in [
        "m=audio 4000 RTP/AVP 0".to_owned(),
        "m=audio 4000 RTP/SAVP 0".to_owned(),
        "m=audio 4000 RTP/SAVP 0\na=crypto:1 F8_128_HMAC_SHA1_80 inline:AA".to_owned(),
        format!(
            "m=audio 4000 UDP/TLS/RTP/SAVP 0\na=rtcp-mux\na=fingerprint:SHA-256 {}AB",
            "AB:".repeat(31)
        ),
    ] {
        let refusal = answered(&media, &ours).expect_err(&media);
        assert_eq!(refusal.code(), "no_srtp", "{media}");
    }
}

#[test]
fn keys_are_taken_where_they_may_be_and_plain_audio_where_it_may() {
    let may = keyed(Keying::Opportunistic);
    for proto in ["RTP/AVP", "RTP/SAVP"] {
        let media = format!("m=audio 4000 {proto} 0\n{}", cm(3));
        let (srtp, text) = answered(&media, &may).expect("an answer");
        assert_eq!(srtp.name(), "AES_CM_128_HMAC_SHA1_80");
        assert!(text.contains(&format!("{proto} 0")) && text.contains("a=crypto:3 "));
    }
    let (srtp, text) = answered("m=audio 4000 RTP/AVP 0", &may).expect("an answer");
    assert_eq!(srtp, Srtp::Plain);
    assert!(!text.contains("a=crypto"));

    let plain = format!("m=audio 4000 RTP/AVP 0\n{}", cm(3));
    let (srtp, text) = answered(&plain, &options()).expect("an answer");
    assert!(srtp == Srtp::Plain && !text.contains("a=crypto"));
    let keyed = format!("m=audio 4000 RTP/SAVP 0\n{}", cm(3));
    let refusal = answered(&keyed, &options()).expect_err("SRTP is off");
    assert_eq!(refusal.code(), "transport");
}

#[test]
fn a_dtls_offer_is_answered_with_a_role_that_later_ones_keep() {
    let print = "AB:".repeat(31) + "AB";
    let with = |active| OfferOptions {
        keying: Keying::Dtls {
            fingerprint: print.clone(),
            active,
        },
        ..options()
    };
    let offer = |setup: &str| {
        format!("m=audio 4000 UDP/TLS/RTP/SAVP 0\na=rtcp-mux\na=fingerprint:SHA-256 {print}{setup}")
    };
    for (setup, kept, role) in [
        ("\na=setup:actpass", None, "active"),
        ("\na=setup:actpass", Some(false), "passive"),
        ("\na=setup:active", None, "passive"),
        ("\na=setup:passive", None, "active"),
    ] {
        let (srtp, text) = answered(&offer(setup), &with(kept)).expect("an answer");
        let wanted = Srtp::Dtls {
            fingerprint: [0xab; 32],
            active: role == "active",
        };
        assert_eq!(srtp, wanted, "{setup}");
        assert!(text.contains(&format!("a=setup:{role}\r\n")), "{text}");
        assert!(text.contains("a=rtcp-mux") && text.contains("a=fingerprint:sha-256"));
    }
    for media in [
        "m=audio 4000 RTP/AVP 0".to_owned(),
        offer("\na=setup:holdconn"),
        offer("").replace("a=rtcp-mux\n", ""),
    ] {
        answered(&media, &with(None)).expect_err(&media);
    }
}
