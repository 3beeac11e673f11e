//! What the targets share: reading choices out of the fuzzer's bytes, and the limit of time an input may take.

#[cfg(feature = "media")]
pub mod call;

use std::time::{Duration, Instant};

/// No input may take longer than this.
const LIMIT: Duration = Duration::from_millis(100);

/// Runs `check` and fails if it takes more than 100 ms of CPU time. A slow run is repeated, so that a busy machine is
/// not taken for a slow parser.
pub fn within_limit(check: impl Fn()) {
    let started = Instant::now();
    check();
    if started.elapsed() < LIMIT {
        return;
    }
    let before = cpu_time();
    check();
    let used = cpu_time().saturating_sub(before);
    assert!(used < LIMIT, "{used:?} for one input");
}

/// The CPU time of this thread so far (Linux).
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Takes choices and pieces off the front of an input. When it is used up, zeros follow.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether anything is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next two bytes as a number.
    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// One of these.
    pub fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }
}

/// A printed SIP message has a head of CR LF lines, one for each header and two more, whatever its values hold.
pub fn assert_clean_head(bytes: &[u8], headers: usize) {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a printed head ends");
    let head = &bytes[..end];
    let count = |byte: u8| head.iter().filter(|other| **other == byte).count();
    let pairs = head.windows(2).filter(|window| window == b"\r\n").count();
    assert_eq!(
        (count(b'\r'), count(b'\n')),
        (pairs, pairs),
        "a stray line end"
    );
    // The start line ends without being counted; Content-Length is printed from the body.
    assert!(pairs <= headers + 1, "{pairs} lines for {headers} headers");
}
