//! What is read at most; beyond it a description is refused before anything is built from it.

/// Bytes in one description.
pub const BYTES: usize = 64 * 1024;
/// `m=` lines in one description.
pub const MEDIA: usize = 16;
/// `a=candidate` lines in one media section.
pub const CANDIDATES: usize = 64;
/// Lines in one description.
pub const LINES: usize = 4096;
/// Shortest packetisation time that the gateway sends, in milliseconds.
pub const PTIME_MIN_MS: u32 = 10;
/// Longest packetisation time that the gateway sends or takes, in milliseconds.
pub const PTIME_MAX_MS: u32 = 60;
