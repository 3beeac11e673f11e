//! What an Opus packet says of itself before it is decoded: its table-of-contents octet (RFC 6716 §3.1).

use opusic_c::{SampleRate, utils};

use super::MAX_PACKET_SAMPLES;

/// Samples at 8 kHz that the packet decodes to: 20 to 960. `None` for a packet that is not valid Opus.
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    if packet.is_empty() {
        return None;
    }
    let samples = utils::get_nb_samples(packet, SampleRate::Hz8000).ok()?;
    (samples > 0 && samples <= MAX_PACKET_SAMPLES).then_some(samples)
}

/// Whether the packet carries the audio of the packet before it once more, at a lower rate (LBRR, RFC 6716 §4.2.5).
/// Packets whose frames differ in length or have padding (codes 2 and 3) are said not to.
pub fn has_fec(packet: &[u8]) -> bool {
    let [toc, first, ..] = *packet else {
        return false;
    };
    let config = toc >> 3;
    let silk_frames = match config {
        // SILK-only: 10, 20, 40, 60 ms (RFC 6716 table 2).
        0..=11 => match config & 3 {
            0 | 1 => 1,
            more => u32::from(more),
        },
        // Hybrid: 10, 20 ms.
        12..=15 => 1,
        _ => return false,
    };
    if toc & 3 > 1 {
        return false;
    }
    // The frame begins with one voice-activity bit for each SILK frame, then the LBRR flag (RFC 6716 §4.2.3).
    let mid = first >> (7 - silk_frames) & 1 == 1;
    let stereo = toc & 4 != 0;
    let side = stereo && silk_frames <= 3 && first >> (6 - 2 * silk_frames) & 1 == 1;
    mid || side
}
