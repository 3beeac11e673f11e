//! A call's media in figures, for its record.

use media::BridgeReport;

use super::command::{LegReport, MediaReport, Score};

/// What was counted on both legs. `strangers` are packets on the telephone's ports that were not its own.
pub(super) fn media_report(report: &BridgeReport, strangers: u64) -> MediaReport {
    let phone = LegReport {
        bad: report.trunk.bad_packets + strangers,
        ..leg_report(&report.trunk)
    };
    MediaReport {
        browser: leg_report(&report.browser),
        phone,
        to_phone: report.to_trunk.map(score),
        to_browser: report.to_browser.map(score),
    }
}

fn leg_report(leg: &media::LegReport) -> LegReport {
    LegReport {
        packets_in: leg.packets_in,
        packets_out: leg.packets_out,
        lost: leg.lost,
        duplicates: leg.duplicates,
        reordered: leg.reordered,
        bad: leg.bad_packets,
        jitter_ms: leg.jitter_ms,
        round_trip_ms: leg.round_trip_ms,
        concealed_ms: u64::try_from(leg.concealed.as_millis()).unwrap_or(u64::MAX),
        level_dbm0: leg.level_dbm0.map(tenths),
        reported_loss_percent: tenths(leg.remote_loss * 100.0),
        reported_mos: leg.remote_mos,
    }
}

fn score(hearing: media::Hearing) -> Score {
    let rating = media::Rating::of(hearing);
    Score {
        mos: hundredths(rating.mos()),
        r: tenths(rating.r()),
        lost_percent: hundredths(hearing.loss * 100.0),
        burst_ratio: hundredths(hearing.burst_ratio),
        delay_ms: u64::try_from(hearing.delay.as_millis()).unwrap_or(u64::MAX),
    }
}

fn tenths(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

fn hundredths(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}
