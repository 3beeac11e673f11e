//! Real calls: the real program, headless Chromium or aiortc on one side, the lab phone, SIPp or
//! baresip on the other. Each test is one scene; two play at once. What a failing one leaves is in
//! `tests/output/<test>`: the settings, the gateway's log, the call records with their timelines,
//! the telephone's logs and a packet capture.

mod accounts;
mod aiortc;
mod baresip;
mod ends;
mod failover;
mod figures;
mod hold;
mod https;
mod inbound;
mod keys;
mod lab;
mod media;
mod relay;
mod ringing;
mod sessions;
mod signed;
mod sipp;
mod tls;
mod transfer;
mod trunk;
mod turn_clients;

use std::time::Duration;

use serde_json::Value;
use switchhook_tests::browser::{Heard, Page};
use switchhook_tests::sound::{MICROPHONE_DBFS, MICROPHONE_HZ};

/// How long a call may take to come to its next state, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(10);

/// How long an end may take to reach the other side.
const A_SECOND: Duration = Duration::from_secs(1);

/// How long we listen.
const LISTEN: Duration = Duration::from_millis(1500);

/// Dials and waits until it is answered.
#[track_caller]
fn talk(page: &Page, number: &str) -> Value {
    page.dial(number);
    page.wait_for("in_call", SOON)
}

/// Asserts that the page hears its own microphone, at its level.
#[track_caller]
fn assert_hears_itself(page: &Page) -> Heard {
    // The first packets after the answer meet a jitter buffer that still grows: listen to what follows.
    page.listen(Duration::from_millis(400), &[]);
    let heard = page.listen(LISTEN, &[MICROPHONE_HZ]);
    heard.assert_tone(MICROPHONE_HZ, MICROPHONE_DBFS, 3.0);
    heard
}
