//! What a message costs: an INVITE with SDP read by us and by `rsip` in the same run, printed, and the worst message
//! that fits the limits. The last lines are the figures to quote.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group};
use sip::{Message, parse_datagram, verdict::judge};

#[path = "../tests/common/mod.rs"]
mod common;

fn invite() -> Vec<u8> {
    common::wire(common::INVITE)
}

/// As many headers as may be, each as costly as can be, folded, up to 64 KiB.
fn hostile() -> Vec<u8> {
    let mut text = String::from(
        "INVITE sip:a@b SIP/2.0\r\nf: <sip:a@b>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\nCSeq: 1 INVITE\r\nVia: SIP/2.0/UDP h",
    );
    while text.len() < 8_000 {
        text.push_str(";a=\"\\\"\\\\\"");
    }
    text.push_str("\r\n");
    while text.len() < 40_000 {
        text.push_str("m: \"");
        let end = text.len() + 7_000;
        while text.len() < end {
            text.push_str("\\\"\r\n ");
        }
        text.push_str("\"<sip:a@b>\r\n");
    }
    let mut names = 0;
    while names < 180 && text.len() < 64_000 {
        text.push_str("Route: <sip:a:%41@[::1];x=y?a=b>, sip:a@b;c=d\r\n");
        names += 2;
    }
    while text.len() < 65_400 {
        text.push_str("z: z\r\n");
        let end = (text.len() + 8_000).min(65_400);
        while text.len() < end {
            text.push_str(" z\r\n");
        }
    }
    text.push_str("\r\n");
    assert!(text.len() <= 64 * 1024, "{}", text.len());
    text.into_bytes()
}

fn benchmarks(criterion: &mut Criterion) {
    let bytes = invite();
    let mut group = criterion.benchmark_group("invite");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("parse", |bench| {
        bench.iter(|| parse_datagram(black_box(&bytes)))
    });
    group.bench_function("parse with rsip", |bench| {
        bench.iter(|| rsip::Request::try_from(black_box(bytes.as_slice())));
    });
    let message = parse_datagram(&bytes).expect("it is a good INVITE");
    group.bench_function("print", |bench| {
        bench.iter(|| black_box(&message).to_bytes())
    });
    group.bench_function("judge", |bench| bench.iter(|| judge(black_box(&bytes))));
    group.finish();
    let bytes = hostile();
    let mut group = criterion.benchmark_group("hostile");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("parse", |bench| {
        bench.iter(|| parse_datagram(black_box(&bytes)))
    });
    group.finish();
}

/// The best of several rounds: what the work costs when nothing else runs.
fn best<T>(mut work: impl FnMut() -> T) -> Duration {
    let round = |work: &mut dyn FnMut() -> T| {
        let start = Instant::now();
        for _ in 0..500 {
            black_box(work());
        }
        start.elapsed() / 500
    };
    (0..40).map(|_| round(&mut work)).min().unwrap_or_default()
}

fn figures() {
    use rsip::prelude::*;
    let bytes = invite();
    let ours = best(|| parse_datagram(&bytes));
    let theirs = best(|| rsip::Request::try_from(bytes.as_slice()));
    let ours_typed = best(|| match parse_datagram(&bytes) {
        Ok(Message::Request(request)) => {
            let headers = &request.headers;
            Some((
                headers.top_via().ok()?,
                headers.from().ok()?,
                headers.to().ok()?,
                headers.cseq().ok()?,
            ))
        }
        _ => None,
    });
    let theirs_typed = best(|| {
        let request = rsip::Request::try_from(bytes.as_slice()).ok()?;
        let via = request.via_header().ok()?.typed().ok()?;
        let from = request.from_header().ok()?.typed().ok()?;
        let to = request.to_header().ok()?.typed().ok()?;
        let cseq = request.cseq_header().ok()?.typed().ok()?;
        Some((via, from, to, cseq))
    });
    assert!(theirs_typed > Duration::ZERO);
    let message = parse_datagram(&bytes).expect("it is a good INVITE");
    let print = best(|| message.to_bytes());
    let worst_bytes = hostile();
    let start = Instant::now();
    let worst_result = parse_datagram(&worst_bytes);
    let worst = start.elapsed().min(best(|| parse_datagram(&worst_bytes)));
    let ratio = |theirs: Duration, ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "ratio: rsip / ours, INVITE with SDP ({} bytes): {:.2} ({theirs:?} / {ours:?})",
        bytes.len(),
        ratio(theirs, ours)
    );
    println!(
        "ratio: rsip / ours, the same with Via, From, To, CSeq typed: {:.2} ({theirs_typed:?} / {ours_typed:?})",
        ratio(theirs_typed, ours_typed)
    );
    println!("print: {print:?}");
    println!(
        "largest hostile message ({} bytes, {}): {worst:?} of 5 ms",
        worst_bytes.len(),
        if worst_result.is_ok() {
            "accepted"
        } else {
            "refused"
        }
    );
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(30);
    targets = benchmarks
}

fn main() {
    all();
    figures();
}
