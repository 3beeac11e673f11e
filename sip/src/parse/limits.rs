//! The most a message may have. Whatever is over is refused before it costs more than reading it once.

/// Bytes of a message, body included.
pub const MESSAGE: usize = 64 * 1024;
/// Bytes of a line; of a folded header, its lines together.
pub const LINE: usize = 8 * 1024;
/// Header fields, each value of a combined Via, Contact, Route or Record-Route counted.
pub const HEADERS: usize = 256;
/// Via values.
pub const VIAS: usize = 70;
/// Bytes by which the body of a datagram may be shorter than its Content-Length, if it looks whole.
pub const MISCOUNT: usize = 32;
