//! What a call's SDP costs: the browser's offer read, answered and translated, and the phone's answer read;
//! each beside a bare `sdp-types` parse and write of the same text, as a ratio.

use std::{
    hint::black_box,
    net::IpAddr,
    time::{Duration, Instant},
};

use criterion::Criterion;
use sdp::{browser, trunk};

const CHROMIUM: &str = include_str!("../testdata/browser/chromium-audio.sdp");
const EVERYTHING: &str = include_str!("../testdata/browser/chromium-audio_video_data.sdp");
const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.50\r\ns=-\r\nc=IN IP4 192.0.2.50\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

fn bare(text: &str) {
    let session = sdp_types::Session::parse(text.as_bytes()).expect("SDP");
    let mut written = Vec::with_capacity(text.len());
    session.write(&mut written).expect("a Vec takes it");
    black_box(written);
}

struct Options {
    browser: browser::AnswerOptions,
    trunk: trunk::OfferOptions,
}

fn set_up(text: &str, options: &Options) {
    let offer = browser::read_offer(text).expect("an offer");
    black_box(browser::answer(&offer, &options.browser).expect("an answer"));
    black_box(trunk::offer(&offer, &options.trunk));
}

/// Best of several batches, in nanoseconds for one run.
fn cost(mut run: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let started = Instant::now();
        for _ in 0..200 {
            run();
        }
        best = best.min(started.elapsed());
    }
    best.as_secs_f64() * 1e9 / 200.0
}

fn main() {
    let options = Options {
        browser: browser::AnswerOptions::placeholder(),
        trunk: trunk::OfferOptions::new(IpAddr::from([192, 0, 2, 1]), 20_000),
    };
    let mut criterion = Criterion::default().configure_from_args();
    for (name, text) in [("audio", CHROMIUM), ("audio_video_data", EVERYTHING)] {
        criterion.bench_function(&format!("sdp/{name}/bare"), |b| b.iter(|| bare(text)));
        criterion.bench_function(&format!("sdp/{name}/read"), |b| {
            b.iter(|| browser::read_offer(black_box(text)))
        });
        criterion.bench_function(&format!("sdp/{name}/read_answer_translate"), |b| {
            b.iter(|| set_up(black_box(text), &options));
        });
    }
    criterion.bench_function("sdp/phone_answer/read", |b| {
        b.iter(|| trunk::read_answer(black_box(ANSWER), &options.trunk))
    });
    criterion.final_summary();

    println!("cost against a bare sdp-types parse and write of the same text:");
    for (name, text) in [("audio", CHROMIUM), ("audio+video+data", EVERYTHING)] {
        let base = cost(|| bare(text));
        let read = cost(|| drop(black_box(browser::read_offer(text))));
        let all = cost(|| set_up(text, &options));
        println!(
            "{name:<18} bare {:>6.1} us   read {:>6.1} us ({:.2}x)   read+answer+translate {:>6.1} us ({:.2}x)",
            base / 1e3,
            read / 1e3,
            read / base,
            all / 1e3,
            all / base
        );
    }
    let base = cost(|| bare(ANSWER));
    let read = cost(|| drop(black_box(trunk::read_answer(ANSWER, &options.trunk))));
    println!(
        "{:<18} bare {:>6.1} us   read {:>6.1} us ({:.2}x)",
        "phone's answer",
        base / 1e3,
        read / 1e3,
        read / base
    );
}
