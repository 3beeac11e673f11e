//! What each side hears of the other, reckoned from what was counted on both legs.

use std::time::Duration;

use crate::config::Limits;
use crate::e_model::{Hearing, Rating};
use crate::format::Codec;
use crate::pipe::Pipe;
use crate::rtcp::voip::VoipMetrics;
use crate::side::Side;

/// What a browser or a telephone delays audio for its jitter buffer, its sound card and its own network, where nobody
/// tells us: the delay that a good softphone has.
const ELSEWHERE: Duration = Duration::from_millis(60);
/// Opus' look-ahead (RFC 6716 §2).
const OPUS_DELAY: Duration = Duration::from_micros(6_500);

/// What the side `to` hears of `from`, whose audio `pipe` carries. Nothing where nothing was said.
pub(crate) fn hearing(from: &Side, to: &Side, pipe: Option<&Pipe>) -> Option<Hearing> {
    let came = loss_on_the_way_in(from, pipe)?;
    let went = loss_on_the_way_out(to, pipe);
    let round_trips = [from, to].map(|side| side.reporter.round_trip_ms.unwrap_or(0.0));
    let network = Duration::from_secs_f64(round_trips.iter().sum::<f64>() / 2000.0);
    Some(Hearing {
        loss: 1.0 - (1.0 - came) * (1.0 - went),
        burst_ratio: from.receiver.losses.burst_ratio(),
        delay: network + our_delay(from) + codec_delay(to) + ELSEWHERE,
    })
}

/// The report on the trunk's audio, for the trunk: as it arrives here, rated by itself (RFC 3611 §4.7.5). `browser` is
/// what lies behind us.
pub(crate) fn voip_metrics(
    trunk: &Side,
    browser: &Side,
    pipe: Option<&Pipe>,
    limits: &Limits,
) -> Option<VoipMetrics> {
    let receiver = &trunk.receiver;
    let (received, lost) = receiver.of_source();
    let expected = (received + lost).max(1) as f64;
    let hearing = Hearing {
        loss: loss_on_the_way_in(trunk, pipe)?,
        burst_ratio: receiver.losses.burst_ratio(),
        delay: Duration::ZERO,
    };
    let round_trip = trunk.reporter.round_trip_ms.unwrap_or(0.0);
    let behind_us = browser.reporter.round_trip_ms.unwrap_or(0.0);
    let end_system_delay =
        our_delay(trunk) + codec_delay(browser) + ELSEWHERE + milliseconds(behind_us);
    let there_and_back = Hearing {
        delay: milliseconds(round_trip / 2.0) + end_system_delay,
        ..hearing
    };
    let (signal_level, noise_level) = pipe.map_or((None, None), |pipe| pipe.figures.level.dbm0());
    let rating = Rating::of(hearing);
    Some(VoipMetrics {
        loss: lost as f64 / expected,
        discard: receiver.figures.late as f64 / expected,
        pattern: receiver.losses.pattern(),
        packet_time: receiver.packet_time(),
        round_trip: milliseconds(round_trip),
        end_system_delay,
        signal_level,
        noise_level,
        r: Some(rating.r()),
        mos_lq: Some(rating.mos()),
        mos_cq: Some(Rating::of(there_and_back).mos()),
        buffer: receiver.delay(),
        buffer_max: limits.delay,
    })
}

/// The share of a side's audio that was neither received in time nor rebuilt.
fn loss_on_the_way_in(from: &Side, pipe: Option<&Pipe>) -> Option<f64> {
    let receiver = &from.receiver;
    let (packets, lost) = (receiver.figures.packets, receiver.lost());
    if packets == 0 {
        return None;
    }
    let missed = (lost + receiver.figures.late) as f64;
    let recovered = pipe.map_or(0, |pipe| pipe.figures.recovered);
    let packet = receiver.packet_time().as_secs_f64() * f64::from(codecs::SAMPLE_RATE);
    let rebuilt = recovered as f64 / packet.max(1.0);
    Some((missed - rebuilt).max(0.0) / (packets + lost) as f64)
}

/// The share of our stream that they report lost. What we protect by FEC is heard all the same, unless the packet
/// that could rebuild it is lost too.
fn loss_on_the_way_out(to: &Side, pipe: Option<&Pipe>) -> f64 {
    if to.out.packets == 0 {
        return 0.0;
    }
    let lost = (to.reporter.remote_lost as f64 / to.out.packets as f64).min(1.0);
    match pipe.is_some_and(Pipe::has_fec) {
        true => lost * lost,
        false => lost,
    }
}

/// A packet has to be spoken before it is sent, and may wait here.
fn our_delay(from: &Side) -> Duration {
    from.receiver.packet_time() + from.receiver.delay() + codec_delay(from)
}

fn codec_delay(side: &Side) -> Duration {
    match side.format.map(|format| format.codec) {
        Some(Codec::Opus) => OPUS_DELAY,
        _ => Duration::ZERO,
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.clamp(0.0, 65_535.0) / 1000.0)
}
