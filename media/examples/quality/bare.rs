//! The codecs by themselves: what there is to be had without a gateway between.

use codecs::opus::Decoder;

use crate::encode::{self, FRAME};
use crate::job::{Chain, Direction, Job, Played};

/// Plays the speech through the bare chain.
pub(crate) fn play(job: &Job, speech: &[i16]) -> Played {
    let mut played = Played::default();
    let lost = |n: usize| job.lost.contains(&(n as u32));
    played.heard = match job.direction {
        Direction::FromBrowser => {
            let packets = encode::opus(job.opus, speech, &mut played.figures);
            encode::through_pcmu(&decode(&packets, job.chain, lost))
        }
        Direction::ToBrowser => {
            let heard = encode::through_pcmu(speech);
            let packets = encode::opus(job.opus, &heard, &mut played.figures);
            decode(&packets, job.chain, lost)
        }
        Direction::FromTrunk => {
            let heard = repeat(&encode::through_pcmu(speech), job.chain, lost);
            let packets = encode::opus(job.opus, &heard, &mut played.figures);
            decode(&packets, job.chain, |_| false)
        }
    };
    played
}

/// Decodes a stream of Opus as a browser does: a lost frame is taken from the packet after it, if that has it.
pub(crate) fn decode(packets: &[Vec<u8>], chain: Chain, lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut decoder = Decoder::new(codecs::Bandwidth::Narrow).expect("memory");
    let mut heard = Vec::with_capacity(packets.len() * FRAME);
    for (n, packet) in packets.iter().enumerate() {
        let mut pcm = [0; FRAME];
        let next = packets.get(n + 1).filter(|_| !lost(n + 1));
        let made = match (lost(n) || packet.is_empty(), chain, next) {
            (false, _, _) => decoder.decode(packet, &mut pcm),
            (true, Chain::Fec | Chain::Gateway, Some(next)) if !next.is_empty() => {
                decoder.decode_fec(next, &mut pcm)
            }
            (true, Chain::Silence, _) => Ok(FRAME),
            (true, _, _) => decoder.conceal(FRAME, &mut pcm),
        };
        made.expect("a frame of 20 ms");
        heard.extend(pcm);
    }
    heard
}

/// G.711 with the last frame once more for each that was lost.
fn repeat(pcm: &[i16], chain: Chain, lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut last = [0; FRAME];
    let mut heard = Vec::with_capacity(pcm.len());
    for (n, frame) in pcm.chunks_exact(FRAME).enumerate() {
        match (lost(n), chain) {
            (false, _) => last.copy_from_slice(frame),
            (true, Chain::Silence) => last.fill(0),
            (true, _) => {}
        }
        heard.extend(last);
    }
    heard
}
