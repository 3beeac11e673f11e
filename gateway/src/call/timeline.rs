//! A call's timeline: every decision leaves a trace here, and logs, records and error reports all
//! read this one thing.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;

/// How many entries one call may leave; a longer story is cut, and says so.
const MAX_ENTRIES: usize = 256;

/// How much SDP one call may leave, in bytes; of later ones only the step is kept.
const MAX_SDPS: usize = 64 * 1024;

/// How much of one SDP is kept, in bytes.
const MAX_SDP: usize = 8 * 1024;

/// Which part of the gateway an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Messages from and to the browser.
    Signaling,
    /// Session descriptions and their translation.
    Sdp,
    /// The SIP leg.
    Sip,
    /// The media path: ICE, DTLS, RTP.
    Media,
    /// The call as a whole.
    Call,
}

/// One step of a call.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Milliseconds since the call began.
    pub ms: u64,
    /// What it is about.
    pub topic: Topic,
    /// What happened, in words.
    pub text: String,
    /// Particulars, where there are any: written already, for a tree of values would take ten times the memory for as
    /// long as the call lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

/// The steps of one call, in order.
#[derive(Debug)]
pub struct Timeline {
    call: String,
    start: Instant,
    entries: Vec<Entry>,
    sdp_bytes: usize,
}

impl Timeline {
    /// An empty timeline for the call of that name in logs.
    pub fn new(call: String, start: Instant) -> Self {
        Self {
            call,
            start,
            entries: Vec::new(),
            sdp_bytes: 0,
        }
    }

    /// Notes a step.
    pub fn note(&mut self, now: Instant, topic: Topic, text: impl Into<String>) {
        self.push(now, topic, text.into(), None);
    }

    /// Notes a session description and why it looks as it does.
    pub fn note_sdp(
        &mut self,
        now: Instant,
        text: impl Into<String>,
        sdp: &str,
        notes: &[sdp::Note],
    ) {
        let shown = redact(sdp);
        self.sdp_bytes += shown.len();
        let data = Reading {
            sdp: Some(&shown),
            notes,
        };
        let data = (self.sdp_bytes <= MAX_SDPS).then(|| data.to_json());
        self.push(now, Topic::Sdp, text.into(), data.flatten());
    }

    /// Notes what was ignored, repaired or chosen while a session description was read.
    pub fn note_reading(&mut self, now: Instant, text: impl Into<String>, notes: &[sdp::Note]) {
        if !notes.is_empty() {
            let data = Reading { sdp: None, notes };
            self.push(now, Topic::Sdp, text.into(), data.to_json());
        }
    }

    fn push(&mut self, now: Instant, topic: Topic, text: String, data: Option<Box<RawValue>>) {
        let at = now.saturating_duration_since(self.start);
        tracing::debug!(call = self.call, ms = millis(at), ?topic, "{text}");
        match self.entries.len() {
            n if n < MAX_ENTRIES => self.entries.push(Entry {
                ms: millis(at),
                topic,
                text,
                data,
            }),
            MAX_ENTRIES => self.entries.push(Entry {
                ms: millis(at),
                topic: Topic::Call,
                text: format!("more than {MAX_ENTRIES} steps: the rest is left out"),
                data: None,
            }),
            _ => {}
        }
    }

    /// The steps so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// When the call began.
    pub fn start(&self) -> Instant {
        self.start
    }
}

/// The particulars of a session description.
#[derive(Serialize)]
struct Reading<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sdp: Option<&'a str>,
    notes: &'a [sdp::Note],
}

impl Reading<'_> {
    fn to_json(&self) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(self).ok()
    }
}

fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

/// What stands before a secret: ICE passwords, SDES keys (RFC 4568), MIKEY (RFC 4567), keys of RFC 4566 §5.12.
const SECRETS: [&str; 4] = ["a=ice-pwd:", "a=crypto:", "a=key-mgmt:", "k="];

/// The description without its secrets, however their names are written.
fn redact(sdp: &str) -> String {
    let secret = |line: &str| {
        SECRETS.into_iter().find(|prefix| {
            let start = line.trim_start().as_bytes().get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        })
    };
    let mut out = String::with_capacity(sdp.len().min(MAX_SDP));
    // A bare CR ends a line for some parsers: no key may hide behind one.
    for line in sdp.split(['\r', '\n']).filter(|line| !line.is_empty()) {
        if out.len() + line.len() > MAX_SDP {
            out.push_str("(cut)");
            break;
        }
        match secret(line) {
            Some(prefix) => {
                out.push_str(prefix);
                out.push_str("(redacted)");
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_redacted_and_the_rest_is_kept() {
        let shown =
            redact("v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\na=crypto:1 AES inline:key\r\n");
        assert!(shown.contains("a=ice-ufrag:abcd") && shown.contains("a=ice-pwd:(redacted)"));
        assert!(!shown.contains("secret") && !shown.contains("inline:key"));
    }

    #[test]
    fn keys_are_redacted_however_their_lines_are_written() {
        for line in [
            "A=Crypto:1 AES inline:key",
            " a=crypto:1 AES inline:key",
            "s=-\ra=crypto:1 AES inline:key",
            "a=key-mgmt:mikey inline:key",
            "k=clear:inline:key",
        ] {
            let shown = redact(&format!("v=0\r\n{line}\r\na=sendrecv\r\n"));
            assert!(shown.contains("(redacted)") && !shown.contains("inline:key"));
            assert!(shown.contains("v=0\n") && shown.contains("a=sendrecv\n"));
        }
    }

    #[test]
    fn a_browser_that_offers_without_end_leaves_a_bounded_trace() {
        let start = Instant::now();
        let mut timeline = Timeline::new("c".into(), start);
        let sdp = "a=x\n".repeat(16 * 1024);
        (0..100).for_each(|_| timeline.note_sdp(start, "an offer", &sdp, &[]));
        let bytes = serde_json::to_string(timeline.entries()).unwrap().len();
        assert!(bytes < 2 * MAX_SDPS, "{bytes}");
    }

    #[test]
    fn a_long_story_is_cut_and_says_so() {
        let start = Instant::now();
        let mut timeline = Timeline::new("c".into(), start);
        (0..2 * MAX_ENTRIES).for_each(|n| timeline.note(start, Topic::Call, n.to_string()));
        assert_eq!(timeline.entries().len(), MAX_ENTRIES + 1);
        assert!(timeline.entries().last().unwrap().text.contains("left out"));
    }
}
