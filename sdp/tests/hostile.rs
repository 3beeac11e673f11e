//! What a hostile peer may write: bombs, floods of lines, and descriptions broken at random.

mod common;

use std::time::Duration;

use common::samples;
use sdp::{Refusal, browser, explain, limits, trunk};

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

fn both(text: &str) -> (Refusal, Refusal) {
    (
        browser::read_offer(text).expect_err("a refusal"),
        trunk::read_offer(text, &trunk::Keying::None).expect_err("a refusal"),
    )
}

#[test]
fn ten_thousand_streams_are_refused() {
    let bomb = format!("{HEAD}{}", "m=a 9 R 0\r\n".repeat(5_000));
    let (browser, trunk) = both(&bomb);
    assert_eq!(browser.code(), "too_many");
    assert_eq!(browser, trunk);
    assert_eq!(browser.sip_status(), 413);
    assert_eq!(
        both(&format!(
            "{HEAD}{}",
            "m=audio 9 RTP/AVP 0\r\n".repeat(10_000)
        ))
        .0
        .code(),
        "too_long"
    );
}

#[test]
fn sixteen_streams_are_read() {
    let text = format!(
        "{HEAD}{}",
        "m=audio 4000 RTP/AVP 0\r\n".repeat(limits::MEDIA)
    );
    let offer = trunk::read_offer(&text, &trunk::Keying::None).expect("an offer");
    assert_eq!(offer.sections.len(), limits::MEDIA);
    let one_more = format!("{text}m=audio 4000 RTP/AVP 0\r\n");
    assert_eq!(both(&one_more).1.code(), "too_many");
}

#[test]
fn candidates_are_counted_by_section() {
    let (_, chromium) = samples("browser")
        .into_iter()
        .find(|(name, _)| name == "chromium-audio_trickled.sdp")
        .expect("the sample");
    let line = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    let with = |count: usize| format!("{chromium}{}", line.repeat(count));
    let offer = browser::read_offer(&with(limits::CANDIDATES)).expect("an offer");
    assert_eq!(offer.audio.candidates.len(), limits::CANDIDATES);
    let refusal = browser::read_offer(&with(limits::CANDIDATES + 1)).expect_err("a refusal");
    assert_eq!(refusal.code(), "too_many");
    assert!(browser::read_offer(&with(1_400)).is_err());
}

#[test]
fn the_largest_description_is_read_quickly_and_explained_briefly() {
    let mut text = format!("{HEAD}m=audio 4000 RTP/AVP 0");
    for number in 0..8_000 {
        text.push_str(&format!(" {}", number % 999));
    }
    text.push_str("\r\n");
    let mut number = 0;
    while text.len() + 40 < limits::BYTES {
        number += 1;
        text.push_str(&format!("a=x{number}:y\r\n"));
        if number >= limits::LINES - 10 {
            break;
        }
    }
    let started = std::time::Instant::now();
    for explained in [explain::to_sip(&text), explain::to_browser(&text)] {
        assert!(
            explained.notes.len() < 256,
            "{} notes",
            explained.notes.len()
        );
    }
    // Far above what it takes, far below what a flood would need.
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn too_many_lines_are_refused_before_they_are_parsed() {
    let text = format!("{HEAD}{}", "a=x\r\n".repeat(limits::LINES));
    assert_eq!(both(&text).0.code(), "too_many");
}

#[test]
fn nothing_of_the_offer_breaks_out_of_its_line() {
    let offer =
        format!("{HEAD}m=audio 4000 RTP/AVP 0\r\nm=video\u{b} 1 RTP/AVP 31\u{85}a=evil\r\n");
    if let Ok(offer) = trunk::read_offer(&offer, &trunk::Keying::None) {
        let options = trunk::OfferOptions::placeholder();
        let (answer, ..) = trunk::answer(&offer, &options).expect("an answer");
        let lines = answer.split("\r\n").filter(|line| !line.is_empty());
        assert!(
            lines
                .clone()
                .all(|line| line.as_bytes().get(1) == Some(&b'='))
        );
        assert!(!answer.split('\n').any(|line| line.starts_with("a=evil")));
    }
}

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Cuts, repeats, swaps and overwrites, a few times over.
fn mutate(text: &str, other: &str, random: &mut Random) -> String {
    let tokens = [
        "a=mid:0",
        "m=audio 0",
        "a=bundle-only",
        "65536",
        "-1",
        "0.0.0.0",
        "::",
        "a=rtcp:",
        "a=setup:",
        "a=group:BUNDLE 0 0 9",
        "a=fingerprint:sha-256",
        "99999999999999999999",
        "\u{fffd}",
        "\0",
        "=",
        " ",
        "a=rtpmap:111",
        "a=rtpmap:0 opus/48000/2",
        "a=fmtp:",
        "a=ptime:0",
        "c=IN IP4 h",
        "\r",
        "v=0\r\n",
    ];
    let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    for _ in 0..=random.below(4) {
        let at = random.below(lines.len());
        let donor: Vec<&str> = other.split("\r\n").collect();
        match random.below(7) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[random.below(lines.len())].clone()),
            2 => lines.insert(at, donor[random.below(donor.len())].to_owned()),
            3 => lines.insert(at, tokens[random.below(tokens.len())].to_owned()),
            4 => {
                let cut = random.below(lines[at].len() + 1);
                if lines[at].is_char_boundary(cut) {
                    let token = tokens[random.below(tokens.len())];
                    lines[at].insert_str(cut, token);
                }
            }
            5 => {
                let cut = random.below(lines[at].len() + 1);
                if lines[at].is_char_boundary(cut) {
                    lines[at].truncate(cut);
                }
            }
            _ => {
                let with = random.below(lines.len());
                lines.swap(at, with);
            }
        }
        if lines.is_empty() {
            lines.push(String::new());
        }
    }
    lines.join("\r\n")
}

#[test]
fn descriptions_broken_at_random_get_a_verdict_and_our_words_stay_right() {
    let mut samples: Vec<String> = Vec::new();
    for folder in ["browser", "sip"] {
        samples.extend(common::samples(folder).into_iter().map(|(_, text)| text));
    }
    let mut random = Random(0x5eed_0001);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..rounds() {
        let text = &samples[random.below(samples.len())];
        let other = &samples[random.below(samples.len())];
        let text = mutate(text, other, &mut random);
        for explained in [explain::to_sip(&text), explain::to_browser(&text)] {
            match explained.translated {
                Some(translated) => {
                    accepted += 1;
                    sdp_types::Session::parse(translated.as_bytes()).expect("our own words");
                }
                None => refused += 1,
            }
        }
        check_browser(&text);
        check_trunk(&text);
    }
    let few = rounds() / 5;
    assert!(
        accepted > few && refused > few,
        "{accepted} accepted, {refused} refused"
    );
}

/// `SDP_MUTATIONS=1000000 cargo test --release -p switchhook-sdp --test hostile` for a long run.
fn rounds() -> usize {
    let wanted = std::env::var("SDP_MUTATIONS").ok();
    wanted
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(3_000)
}

fn check_browser(text: &str) {
    let Ok(offer) = browser::read_offer(text) else {
        return;
    };
    let answer =
        browser::answer(&offer, &browser::AnswerOptions::placeholder()).expect("an answer");
    let ours = sdp_types::Session::parse(answer.text.as_bytes()).expect("our own words");
    assert_eq!(ours.medias.len(), offer.sections.len());
    assert!(answer.text.matches(" telephone-event/").count() <= 1);
}

fn check_trunk(text: &str) {
    let options = trunk::OfferOptions::placeholder();
    if let Ok(agreed) = trunk::read_answer(text, &options) {
        assert!((10..=60).contains(&agreed.ptime_ms));
        assert!(agreed.payload_type_out < 128);
    }
    let Ok(offer) = trunk::read_offer(text, &trunk::Keying::None) else {
        return;
    };
    if let Ok((answer, agreed, _)) = trunk::answer(&offer, &options) {
        let ours = sdp_types::Session::parse(answer.as_bytes()).expect("our own words");
        assert_eq!(ours.medias.len(), offer.sections.len());
        assert!(agreed.remote_rtp.is_none_or(|rtp| rtp.port() != 0));
    }
}
