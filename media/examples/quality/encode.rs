//! Speech to packets, as the side that speaks sends them.

use std::time::Duration;

use codecs::g711::{self, Law};
use codecs::opus::{Encoder, EncoderSettings};

use nix::time::{ClockId, clock_gettime};

use crate::job::{Figures, Opus};

/// Samples in a packet: 20 ms.
pub(crate) const FRAME: usize = 160;

/// Opus packets of 20 ms, empty where DTX leaves one out; their size and cost go into `figures`.
pub(crate) fn opus(settings: Opus, pcm: &[i16], figures: &mut Figures) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(EncoderSettings {
        bitrate: settings.bitrate,
        complexity: settings.complexity,
        fec: settings.expected_loss > 0,
        dtx: settings.dtx,
        expected_loss: settings.expected_loss,
        bandwidth: codecs::Bandwidth::Narrow,
    })
    .expect("the job's settings are libopus'");
    let mut packet = [0; 1276];
    let start = cpu_time();
    let packets: Vec<Vec<u8>> = pcm
        .chunks_exact(FRAME)
        .map(|frame| {
            let len = encoder
                .encode(frame, &mut packet)
                .expect("20 ms is a frame");
            packet[..len].to_vec()
        })
        .collect();
    let frames = packets.len().max(1) as f64;
    figures.encode_us = (cpu_time() - start).as_secs_f64() * 1e6 / frames;
    figures.octets = packets.iter().map(Vec::len).sum::<usize>() as f64 / frames;
    packets
}

/// The CPU time of this thread: what others on the machine do is not in it.
fn cpu_time() -> Duration {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// PCMU packets of 20 ms.
pub(crate) fn pcmu(pcm: &[i16]) -> Vec<Vec<u8>> {
    let encode = |frame: &[i16]| {
        let mut octets = vec![0; FRAME];
        g711::encode_into(Law::Mu, frame, &mut octets);
        octets
    };
    pcm.chunks_exact(FRAME).map(encode).collect()
}

/// What PCMU makes of the audio.
pub(crate) fn through_pcmu(pcm: &[i16]) -> Vec<i16> {
    let mut heard = vec![0; FRAME];
    let decode = |octets: Vec<u8>| {
        g711::decode_into(Law::Mu, &octets, &mut heard);
        heard.clone()
    };
    pcmu(pcm).into_iter().flat_map(decode).collect()
}
