use rtcp_types::{Compound, Packet, ReceiverReport, SenderReport};

use super::*;
use crate::rtcp::write;
use crate::rtcp::{ReportBlock, SenderInfo};

fn talk(call: &mut Call, seconds: u64) {
    let (mut caller, mut callee) = (Phone::new(Codec::Opus, 20), Phone::new(Codec::Pcmu, 20));
    for _ in 0..seconds * 50 {
        call.rtp(Leg::Browser, &caller.next());
        call.rtp(Leg::Trunk, &callee.next());
        call.run_ms(20);
    }
}

fn packets(bytes: &[u8]) -> Vec<Packet<'_>> {
    Compound::parse(bytes)
        .expect("a compound")
        .map(|packet| packet.expect("a packet"))
        .collect()
}

#[test]
fn both_legs_get_sender_reports_every_5_seconds_on_average() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    talk(&mut call, 60);
    for leg in [Leg::Browser, Leg::Trunk] {
        let reports: Vec<_> = call
            .reports
            .iter()
            .filter(|report| report.0 == leg)
            .collect();
        assert!((9..=17).contains(&reports.len()), "{}", reports.len());
        for pair in reports.windows(2) {
            let step = (pair[1].1 - pair[0].1).as_millis();
            assert!((2500..=7500).contains(&step), "{step}");
        }
        for (_, at, bytes) in &reports[1..] {
            let packets = packets(bytes);
            let Packet::Sr(report) = &packets[0] else {
                panic!("{packets:?}")
            };
            check_sender_report(leg, *at, report);
            let Packet::Sdes(description) = &packets[1] else {
                panic!("{packets:?}")
            };
            let chunk = description.chunks().next().expect("a chunk");
            let item = chunk.items().next().expect("an item");
            assert_eq!((item.type_(), item.value()), (1, &b"gateway"[..]));
        }
    }
}

fn check_sender_report(leg: Leg, at: Duration, report: &SenderReport<'_>) {
    let (start, rate) = match leg {
        Leg::Browser => (BROWSER_START, 48),
        Leg::Trunk => (TRUNK_START, 8),
    };
    assert_eq!(report.ssrc(), start.ssrc);
    // The moment, in both clocks.
    let ntp_ms = (u128::from(report.ntp_timestamp()) * 1000) >> 32;
    assert!(ntp_ms.abs_diff(at.as_millis()) <= 1);
    let media_ms = report.rtp_timestamp().wrapping_sub(start.timestamp) / rate;
    assert!(
        u128::from(media_ms).abs_diff(at.as_millis()) <= 21,
        "{media_ms} at {at:?}"
    );
    assert!(u128::from(report.packet_count()).abs_diff(at.as_millis() / 20) <= 1);
    let block = report.report_blocks().next().expect("a block");
    assert_eq!(
        (block.ssrc(), block.fraction_lost(), block.cumulative_lost()),
        (0x1111, 0, 0)
    );
    let highest = 65_500 + at.as_millis() as u32 / 20;
    assert!(block.extended_sequence_number().abs_diff(highest) <= 1);
}

#[test]
fn loss_and_jitter_are_reported() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 20);
    for index in 0..500_u64 {
        let packet = phone.next();
        call.run_to(Duration::from_millis(index * 20 + index % 2 * 10));
        if index % 10 != 9 {
            call.rtp(Leg::Trunk, &packet);
        }
    }
    call.run_ms(10_000);
    let reports = call.reports.iter().filter(|report| report.0 == Leg::Trunk);
    let mut seen = false;
    for (_, _, bytes) in reports {
        let packets = packets(bytes);
        let Packet::Rr(report) = &packets[0] else {
            panic!("nothing was sent to the trunk: {packets:?}")
        };
        let Some(block) = report.report_blocks().next() else {
            continue;
        };
        if block.cumulative_lost() == 49 {
            // After the packets end nothing more is lost.
            continue;
        }
        seen = true;
        assert!(
            (20..=30).contains(&block.fraction_lost()),
            "{}",
            block.fraction_lost()
        );
        assert!(
            (60..=90).contains(&block.interarrival_jitter()),
            "{}",
            block.interarrival_jitter()
        );
    }
    assert!(seen);
    let report = call.bridge.report().trunk;
    assert_eq!(report.lost, 49);
    assert!(
        (8.0..11.0).contains(&report.jitter_ms),
        "{}",
        report.jitter_ms
    );
}

#[test]
fn the_round_trip_is_measured_from_their_reports() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    talk(&mut call, 10);
    let (_, at, bytes) = call
        .reports
        .iter()
        .rfind(|report| report.0 == Leg::Browser)
        .expect("a report")
        .clone();
    let ours = packets(&bytes);
    let Packet::Sr(report) = &ours[0] else {
        panic!("{ours:?}")
    };
    let middle = (report.ntp_timestamp() >> 16) as u32;
    let block = ReportBlock {
        ssrc: BROWSER_START.ssrc,
        fraction_lost: 64,
        jitter: 480,
        last_sender_report: middle,
        delay: 65_536 / 2,
        ..ReportBlock::default()
    };
    // It took 70 ms there, half a second to be answered, and 50 ms back.
    call.now = at + Duration::from_millis(620);
    call.rtcp(Leg::Browser, &theirs(0x1111, None, Some(block)));
    let report = call.bridge.report().browser;
    assert!(
        (report.round_trip_ms.expect("measured") - 120.0).abs() < 1.0,
        "{report:?}"
    );
    assert_eq!((report.remote_loss, report.remote_jitter_ms), (0.25, 10.0));
}

#[test]
fn fec_is_spent_on_a_browser_that_loses_packets() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 20);
    phone.swells = true;
    let mut share = |call: &mut Call, fraction_lost: u8| {
        let block = ReportBlock {
            ssrc: BROWSER_START.ssrc,
            fraction_lost,
            ..ReportBlock::default()
        };
        call.rtcp(Leg::Browser, &theirs(0x1111, None, Some(block)));
        call.to_browser.clear();
        for _ in 0..100 {
            call.rtp(Leg::Trunk, &phone.next());
            call.run_ms(20);
        }
        call.to_browser
            .iter()
            .filter(|sent| codecs::opus::has_fec(&sent.payload))
            .count()
    };
    assert_eq!(share(&mut call, 0), 0, "no loss, no FEC");
    assert!(share(&mut call, 26) > 25, "10 % loss");
    assert!(share(&mut call, 0) > 0, "less only by and by");
    for _ in 0..6 {
        share(&mut call, 0);
    }
    assert!(share(&mut call, 0) <= 1, "none again");
}

#[test]
fn their_sender_report_is_answered_with_its_time_and_the_delay() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    talk(&mut call, 2);
    let info = SenderInfo {
        ntp: 0x0123_4567_89ab_cdef,
        rtp_timestamp: 0,
        packets: 1,
        octets: 1,
    };
    let heard = call.now;
    call.rtcp(Leg::Trunk, &theirs(0x1111, Some(info), None));
    call.reports.clear();
    call.run_ms(8000);
    let (_, at, bytes) = call
        .reports
        .iter()
        .find(|report| report.0 == Leg::Trunk)
        .expect("a report");
    let ours = packets(bytes);
    let Packet::Sr(report) = &ours[0] else {
        panic!("{ours:?}")
    };
    let block = report.report_blocks().next().expect("a block");
    assert_eq!(block.last_sender_report_timestamp(), 0x4567_89ab);
    let delay = block.delay_since_last_sender_report_timestamp() as f64 / 65.536;
    assert!(
        (delay - (*at - heard).as_millis() as f64).abs() < 1.0,
        "{delay}"
    );
}

#[test]
fn close_says_goodbye_to_both_legs_and_then_nothing() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    talk(&mut call, 1);
    call.reports.clear();
    call.bridge.close(call.instant());
    call.collect();
    assert_eq!(call.reports.len(), 2);
    for (_, _, bytes) in &call.reports {
        assert!(matches!(packets(bytes).last(), Some(Packet::Bye(_))));
    }
    let sent = call.to_trunk.len();
    talk(&mut call, 10);
    assert_eq!((call.reports.len(), call.to_trunk.len()), (2, sent));
    assert_eq!(call.bridge.poll_timeout(), None);
}

#[test]
fn a_listener_gets_a_receiver_report() {
    let bytes = theirs(
        5,
        None,
        Some(ReportBlock {
            cumulative_lost: -3,
            ..ReportBlock::default()
        }),
    );
    let parsed = packets(&bytes);
    let Packet::Rr(report) = &parsed[0] else {
        panic!("{parsed:?}")
    };
    assert_eq!(ReceiverReport::ssrc(report), 5);
    assert_eq!(
        report
            .report_blocks()
            .next()
            .expect("a block")
            .cumulative_lost(),
        0xff_fffd
    );
}

fn theirs(ssrc: u32, sender: Option<SenderInfo>, block: Option<ReportBlock>) -> Vec<u8> {
    let mut buffer = [0; 300];
    let compound = write::Compound {
        ssrc,
        sender,
        block,
        cname: "them",
        voip: None,
        goodbye: false,
    };
    let len = compound.write(&mut buffer).expect("room");
    buffer[..len].to_vec()
}

#[test]
fn we_read_what_another_parser_reads() {
    let info = SenderInfo {
        ntp: 0x0102_0304_0506_0708,
        rtp_timestamp: 9,
        packets: 10,
        octets: 11,
    };
    let block = ReportBlock {
        ssrc: 77,
        fraction_lost: 3,
        highest_sequence: 5,
        jitter: 6,
        ..ReportBlock::default()
    };
    let templates = [
        theirs(1, Some(info), Some(block)),
        theirs(1, None, Some(block)),
        theirs(1, None, None),
    ];
    let (mut random, mut agreed) = (1_u64, 0);
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    for _ in 0..50_000 {
        let mut bytes = templates[next() % 3].clone();
        for _ in 0..next() % 3 {
            let at = next() % bytes.len();
            bytes[at] = [next() as u8, bytes[at] ^ 1, bytes[at].wrapping_add(1)][next() % 3];
        }
        if next() % 4 == 0 {
            bytes.truncate(next() % (bytes.len() + 1));
        }
        let mut ours = Vec::new();
        let read = crate::rtcp::read::read(&bytes, |item| {
            if let crate::rtcp::read::Item::Block(block) = item {
                ours.push((
                    block.ssrc,
                    block.fraction_lost,
                    block.highest_sequence,
                    block.jitter,
                ));
            }
        });
        let Ok(compound) = Compound::parse(&bytes) else {
            continue;
        };
        let Ok(packets) = compound.collect::<Result<Vec<_>, _>>() else {
            continue;
        };
        assert!(read.is_ok(), "{bytes:x?}");
        agreed += 1;
        let mut theirs = Vec::new();
        for packet in &packets {
            let block = |block: rtcp_types::ReportBlock<'_>| {
                (
                    block.ssrc(),
                    block.fraction_lost(),
                    block.extended_sequence_number(),
                    block.interarrival_jitter(),
                )
            };
            match packet {
                Packet::Sr(report) => theirs.extend(report.report_blocks().map(block)),
                Packet::Rr(report) => theirs.extend(report.report_blocks().map(block)),
                _ => {}
            }
        }
        assert_eq!(ours, theirs, "{bytes:x?}");
    }
    assert!(agreed > 10_000, "{agreed}");
}
