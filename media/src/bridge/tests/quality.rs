//! What each side hears of the other, in the record and in RTCP XR.

use super::*;
use crate::Rating;
use crate::rtcp::read::{self, Item};
use crate::rtcp::voip::VoipMetrics;
use crate::rtcp::{ReportBlock, write};

/// Both talk for ten seconds; of one side's packets those are lost that `lost` says.
fn talk(call: &mut Call, from: Leg, lost: impl Fn(u32) -> bool) {
    let mut phones = [Phone::new(Codec::Opus, 20), Phone::new(Codec::Pcmu, 20)];
    for phone in &mut phones {
        phone.swells = true;
    }
    for index in 0..500 {
        for (leg, phone) in [Leg::Browser, Leg::Trunk].into_iter().zip(&mut phones) {
            let packet = phone.next();
            if leg != from || !lost(index) {
                call.rtp(leg, &packet);
            }
        }
        call.run_ms(20);
    }
}

fn told_to(call: &Call, leg: Leg) -> Option<VoipMetrics> {
    let mut told = None;
    for (_, _, bytes) in call.reports.iter().filter(|report| report.0 == leg) {
        read::read(bytes, |item| {
            if let Item::Voip { ssrc, metrics } = item {
                assert_eq!(ssrc, 0x1111, "the stream that came");
                told = Some(metrics);
            }
        })
        .expect("our own RTCP");
    }
    told
}

fn mos(hearing: Option<crate::Hearing>) -> f64 {
    Rating::of(hearing.expect("they spoke")).mos()
}

#[test]
fn the_trunk_is_told_how_its_voice_arrives_and_the_browser_is_not() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    // Three in a row out of each fifty.
    talk(&mut call, Leg::Trunk, |index| index % 50 >= 47);
    call.bridge.close(call.instant());
    call.collect();
    let told = told_to(&call, Leg::Trunk).expect("an extended report");
    assert!((told.loss - 27.0 / 497.0).abs() < 0.005, "{told:?}");
    assert_eq!(
        told.pattern.burst_packets, 60.0,
        "in milliseconds: {told:?}"
    );
    assert!(told.pattern.burst_density > 0.99 && told.pattern.gap_density < 0.01);
    assert!(
        (930.0..=950.0).contains(&told.pattern.gap_packets),
        "{told:?}"
    );
    let level = told.signal_level.expect("a voice");
    assert!((-24.0..=-16.0).contains(&level), "{level}");
    let score = told.mos_lq.expect("a score");
    assert!((3.0..=3.9).contains(&score), "{score}");
    assert!(told.mos_cq < told.mos_lq);
    assert_eq!(told_to(&call, Leg::Browser), None);
}

#[test]
fn a_trunk_that_wants_none_gets_no_extended_report() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    call.bridge.config.voip_metrics = false;
    talk(&mut call, Leg::Trunk, |_| false);
    assert_eq!(told_to(&call, Leg::Trunk), None);
}

#[test]
fn each_direction_has_its_own_score() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    talk(&mut call, Leg::Trunk, |index| index % 10 == 9);
    let report = call.bridge.report();
    assert!(mos(report.to_trunk) > 4.2, "{:?}", report.to_trunk);
    let heard = report.to_browser.expect("it spoke");
    assert!((0.09..=0.11).contains(&heard.loss), "{heard:?}");
    assert!(mos(report.to_browser) < 3.6, "{heard:?}");
}

#[test]
fn what_fec_gave_back_was_heard() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    talk(&mut call, Leg::Browser, |index| index % 10 == 9);
    let report = call.bridge.report();
    assert_eq!(report.browser.lost, 49);
    let heard = report.to_trunk.expect("it spoke");
    assert!(heard.loss < 0.02, "{heard:?}");
    assert!(mos(report.to_trunk) > 4.2);
}

#[test]
fn what_they_report_lost_was_not_heard() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    talk(&mut call, Leg::Trunk, |_| false);
    let sent = call.bridge.report().trunk.packets_out;
    let block = ReportBlock {
        ssrc: TRUNK_START.ssrc,
        cumulative_lost: (sent / 10) as i32,
        ..ReportBlock::default()
    };
    let report = write::Compound {
        ssrc: 0x1111,
        sender: None,
        block: Some(block),
        cname: "phone",
        voip: Some(VoipMetrics {
            mos_lq: Some(3.1),
            ..VoipMetrics::default()
        }),
        goodbye: false,
    };
    let mut bytes = [0; 200];
    let len = report.write(&mut bytes).expect("it fits");
    call.rtcp(Leg::Trunk, &bytes[..len]);
    let report = call.bridge.report();
    let heard = report.to_trunk.expect("it spoke");
    assert!((0.09..=0.11).contains(&heard.loss), "{heard:?}");
    assert_eq!(report.trunk.remote_mos, Some(3.1));
}

#[test]
fn who_says_nothing_is_not_scored_and_silence_is_no_voice() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut header = Phone::new(Codec::Pcmu, 20).header;
    for _ in 0..50 {
        call.rtp(Leg::Trunk, &packet(header, &[0xff; 160]));
        header.sequence = header.sequence.wrapping_add(1);
        header.timestamp = header.timestamp.wrapping_add(160);
        call.run_ms(20);
    }
    let report = call.bridge.report();
    assert_eq!(report.to_trunk, None);
    assert_eq!((report.trunk.voiced, report.trunk.level_dbm0), (0, None));
    assert!(mos(report.to_browser) > 4.2);
}
