//! Hostile RTP, RTCP and Opus.

use super::*;

/// Plays a second of audio from the browser, in which `tamper` may do to each packet what it likes.
fn attacked(browser: Codec, mut tamper: impl FnMut(&mut Call, usize, Vec<u8>)) -> Call {
    let trunk = if browser == Codec::Opus {
        Codec::Pcmu
    } else {
        Codec::Opus
    };
    let mut call = Call::usual(browser, trunk);
    let mut phone = Phone::new(browser, 20);
    for index in 0..50 {
        let packet = phone.next();
        tamper(&mut call, index, packet);
        call.run_ms(20);
    }
    call.run_ms(200);
    call
}

/// The audio went on: a packet for each one, without a jump, and the tone is whole.
fn assert_unharmed(call: &Call) {
    let sent = call.audio_to(Leg::Trunk);
    assert_eq!(sent.len(), 50);
    assert_continuous(&sent, 160);
    let pcm = hear(&sent);
    let quietest = pcm[800..7200]
        .chunks_exact(80)
        .map(codecs::tone::level)
        .fold(f64::INFINITY, f64::min);
    assert!(quietest > -20.0, "{quietest}");
}

/// The packet with CSRCs, an extension or padding put in.
fn decorated(
    packet: &[u8],
    csrcs: u8,
    extension_words: Option<u16>,
    padding: Option<u8>,
) -> Vec<u8> {
    let mut out = packet[..12].to_vec();
    out[0] |= csrcs;
    out.extend(std::iter::repeat_n(0xcc, usize::from(csrcs) * 4));
    if let Some(words) = extension_words {
        out[0] |= 0x10;
        out.extend([0xbe, 0xde]);
        out.extend(words.to_be_bytes());
        out.extend(std::iter::repeat_n(0xee, usize::from(words) * 4));
    }
    out.extend(&packet[12..]);
    if let Some(padding) = padding {
        out[0] |= 0x20;
        out.extend(std::iter::repeat_n(0, usize::from(padding) - 1));
        out.push(padding);
    }
    out
}

#[test]
fn csrcs_extensions_and_padding_do_not_reach_the_decoder() {
    for codec in [Codec::Opus, Codec::Pcmu] {
        let call = attacked(codec, |call, index, packet| {
            let csrcs = (index % 16) as u8;
            let extension = (index % 3 > 0).then_some(index as u16 % 7);
            let padding = (index % 2 > 0).then_some(1 + index as u8);
            call.rtp(Leg::Browser, &decorated(&packet, csrcs, extension, padding));
        });
        assert_unharmed(&call);
        assert_eq!(call.bridge.report().browser.bad_packets, 0);
    }
}

#[test]
fn malformed_headers_are_dropped_and_counted() {
    let mut bad = 0;
    let call = attacked(Codec::Opus, |call, _, packet| {
        let mut versions = [packet.clone(), packet.clone(), packet.clone()];
        versions
            .iter_mut()
            .zip([0x00, 0x40, 0xc0])
            .for_each(|(packet, first)| packet[0] = first);
        let mut padded = packet[..20].to_vec();
        padded[0] |= 0x20;
        *padded.last_mut().expect("an octet") = 200;
        let mut unpadded = padded.clone();
        *unpadded.last_mut().expect("an octet") = 0;
        let mut extended = packet[..20].to_vec();
        extended[0] |= 0x10;
        extended[14..16].fill(0xff);
        let mut mixed = packet[..20].to_vec();
        mixed[0] |= 0x0f;
        let mut oversize = packet.clone();
        oversize.resize(1501, 0);
        let others = [
            padded,
            unpadded,
            extended,
            mixed,
            oversize,
            packet[..11].to_vec(),
            Vec::new(),
        ];
        for broken in versions.iter().chain(&others) {
            call.rtp(Leg::Browser, broken);
            bad += 1;
        }
        call.rtp(Leg::Browser, &packet);
    });
    assert_unharmed(&call);
    assert_eq!(call.bridge.report().browser.bad_packets, bad);
}

#[test]
fn a_stray_source_does_not_take_the_stream_over() {
    let call = attacked(Codec::Opus, |call, index, packet| {
        // Another source flaps in, each time with the next of its numbers, and a crowd of one-packet sources.
        let mut stray = packet.clone();
        stray[8..12].copy_from_slice(&[9, 9, 9, 9]);
        stray[2..4].copy_from_slice(&(index as u16).to_be_bytes());
        call.rtp(Leg::Browser, &stray);
        for source in 0..20 {
            stray[8..12].copy_from_slice(&[7, 7, index as u8, source]);
            call.rtp(Leg::Browser, &stray);
        }
        call.rtp(Leg::Browser, &packet);
    });
    assert_unharmed(&call);
    assert_eq!(call.bridge.report().browser.source_changes, 0);
    assert_eq!(call.bridge.report().browser.bad_packets, 50 * 21);
}

#[test]
fn a_new_source_is_followed_and_our_stream_does_not_jump() {
    for codec in [Codec::Opus, Codec::Pcmu] {
        let call = attacked(codec, |call, index, mut packet| {
            if index >= 25 {
                packet[8..12].copy_from_slice(&[9, 9, 9, 9]);
                packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                packet[4..8].copy_from_slice(
                    &(index as u32 * 160 * codec.units_per_sample()).to_be_bytes(),
                );
            }
            call.rtp(Leg::Browser, &packet);
        });
        let sent = call.audio_to(Leg::Trunk);
        assert!(
            sent.len() >= 49,
            "only its first packet waits for the second: {}",
            sent.len()
        );
        for pair in sent.windows(2) {
            let units = if pair[0].payload_type == 111 { 6 } else { 1 };
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) / units;
            assert!((160..=320).contains(&step), "{step}");
        }
        assert_eq!(call.bridge.report().browser.source_changes, 1);
        assert_eq!(call.bridge.report().browser.lost, 0);
    }
}

#[test]
fn sequence_and_timestamp_wraps_are_nothing_special() {
    let call = attacked(Codec::Opus, |call, _, packet| {
        call.rtp(Leg::Browser, &packet)
    });
    // The phone begins 36 numbers before the wrap, and so do our own streams shortly before theirs.
    assert_unharmed(&call);
    assert_eq!(call.bridge.report().browser.lost, 0);
}

#[test]
fn a_jump_of_the_sequence_is_believed_when_it_goes_on() {
    let call = attacked(Codec::Opus, |call, index, mut packet| {
        let jump = [0_u16, 20_000, 40_000][index / 20];
        let sequence = u16::from_be_bytes([packet[2], packet[3]]).wrapping_add(jump);
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        call.rtp(Leg::Browser, &packet);
    });
    let sent = call.audio_to(Leg::Trunk);
    assert_eq!(sent.len(), 48);
    assert_continuous(&sent, 160);
    let report = call.bridge.report().browser;
    assert_eq!((report.source_changes, report.bad_packets), (2, 2));
}

#[test]
fn single_packets_from_far_away_are_dropped() {
    let call = attacked(Codec::Opus, |call, index, packet| {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let mut stray = packet.clone();
        let far = 101 + (index as u16).wrapping_mul(1300) % 65_300;
        stray[2..4].copy_from_slice(&sequence.wrapping_add(far).to_be_bytes());
        call.rtp(Leg::Browser, &packet);
        call.rtp(Leg::Browser, &stray);
    });
    assert_unharmed(&call);
    assert_eq!(call.bridge.report().browser.bad_packets, 50);
}

#[test]
fn jumps_of_the_timestamp_do_not_become_ours() {
    for codec in [Codec::Opus, Codec::Pcmu] {
        for jump in [
            1 << 31,
            1 << 30,
            480_000,
            u32::MAX - 480_000,
            17,
            u32::MAX - 17,
        ] {
            let call = attacked(codec, |call, index, mut packet| {
                if index >= 25 {
                    let timestamp =
                        u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
                    packet[4..8].copy_from_slice(&timestamp.wrapping_add(jump).to_be_bytes());
                }
                call.rtp(Leg::Browser, &packet);
            });
            let sent = call.audio_to(Leg::Trunk);
            assert_eq!(sent.len(), 50, "{jump}");
            let units = if sent[0].payload_type == 111 { 6 } else { 1 };
            let whole = sent[49].timestamp.wrapping_sub(sent[0].timestamp) / units;
            assert!(whole.abs_diff(49 * 160) <= 160, "{jump}: {whole}");
        }
    }
}

#[test]
fn random_timestamps_are_played_in_real_time() {
    let call = attacked(Codec::Pcmu, |call, index, mut packet| {
        packet[4..8].copy_from_slice(&(index as u32).wrapping_mul(0x9e37_79b9).to_be_bytes());
        call.rtp(Leg::Browser, &packet);
    });
    let sent = call.audio_to(Leg::Trunk);
    assert_eq!(sent.len(), 50);
    let whole = sent[49].timestamp.wrapping_sub(sent[0].timestamp) / 6;
    assert!(whole < 2 * 50 * 160, "{whole}");
}

#[test]
fn opus_of_120_ms_is_played_without_a_burst() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    call.ptime[0] = Duration::from_millis(120);
    let mut phone = Phone::new(Codec::Opus, 120);
    for _ in 0..10 {
        call.rtp(Leg::Browser, &phone.next());
        call.run_ms(120);
    }
    call.run_ms(200);
    let sent = call.audio_to(Leg::Trunk);
    assert_eq!(sent.len(), 60);
    assert_continuous(&sent, 160);
    for pair in sent.windows(2) {
        assert_eq!(pair[1].at - pair[0].at, Duration::from_millis(20));
    }
    let level = codecs::tone::level(&hear(&sent)[1600..8000]);
    assert!((level + 16.0).abs() < 1.0, "{level}");
}

#[test]
fn any_timestamps_around_losses_of_long_packets_are_survived() {
    for ptime in [10, 20, 60, 120] {
        let mut random = ptime as u32;
        let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
        let mut phone = Phone::new(Codec::Opus, ptime);
        for _ in 0..1000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let packet = phone.next();
            // Up to a packet and a half too early or too late, in steps of no meaning.
            phone.header.timestamp = match random >> 28 {
                0..=3 => phone.header.timestamp.wrapping_add(random >> 8 & 0x1fff),
                4 => phone.header.timestamp.wrapping_sub(random >> 8 & 0x1fff),
                _ => phone.header.timestamp,
            };
            if random >> 20 & 3 > 0 {
                call.rtp(Leg::Browser, &packet);
            }
            call.run_ms(ptime as u64);
        }
        call.run_ms(200);
        let sent = call.audio_to(Leg::Trunk);
        assert_continuous(&sent, 160);
        assert!(sent.len() > 700 * ptime / 20, "{ptime}: {}", sent.len());
    }
}

#[test]
fn a_pause_of_days_is_a_pause() {
    let mut call = Call::usual(Codec::Pcmu, Codec::Opus);
    let mut phone = Phone::new(Codec::Pcmu, 20);
    call.rtp(Leg::Browser, &phone.next());
    for _ in 0..3 {
        call.now += Duration::from_secs(30 * 3600);
        call.rtp(Leg::Browser, &phone.next());
    }
    call.run_ms(200);
    assert_eq!(call.audio_to(Leg::Trunk).len(), 4);
}

#[test]
fn opus_said_to_be_stereo_of_any_size_is_decoded_or_concealed() {
    let call = attacked(Codec::Opus, |call, index, mut packet| {
        if index % 2 == 0 {
            packet[12] |= 4;
            packet.resize(12 + 1 + (index * 27) % 1275, index as u8);
        }
        call.rtp(Leg::Browser, &packet);
    });
    let sent = call.audio_to(Leg::Trunk);
    assert_eq!(sent.len(), 50);
    assert_continuous(&sent, 160);
}

#[test]
fn opus_of_510_kbit_s_in_stereo_and_120_ms_with_losses_and_reordering_is_bounded() {
    for ptime in [20, 60, 120] {
        let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
        call.ptime[0] = Duration::from_millis(ptime);
        let mut header = Phone::new(Codec::Opus, 20).header;
        let frames = ptime as usize / 20;
        for index in 0..300_u32 {
            // CELT fullband stereo of 20 ms, several in a packet of the largest size that is taken.
            let mut payload = vec![31 << 3 | 4 | 3, frames as u8];
            payload.resize(2 + (1275 / frames * frames), index as u8 ^ 0x5a);
            let mut packet = packet(header, &payload);
            if index % 10 == 5 {
                // The next one comes first.
                packet[2..4].copy_from_slice(&header.sequence.wrapping_add(1).to_be_bytes());
            }
            header.sequence = header.sequence.wrapping_add(1);
            header.timestamp = header.timestamp.wrapping_add(ptime as u32 * 48);
            if index % 7 != 3 {
                call.rtp(Leg::Browser, &packet);
            }
            call.run_ms(ptime);
        }
        let sent = call.audio_to(Leg::Trunk);
        assert_continuous(&sent, 160);
        let whole = 300 * frames;
        assert!((whole / 2..=whole).contains(&sent.len()), "{}", sent.len());
        for pair in sent.windows(2) {
            assert!(pair[1].at - pair[0].at >= Duration::from_millis(15));
        }
        for sent in &sent {
            let late = sent.at.as_millis() as i64
                - i64::from(sent.timestamp.wrapping_sub(TRUNK_START.timestamp) / 8);
            assert!(late <= 2 * ptime as i64 + 20, "{ptime}: {late}");
        }
    }
}

#[test]
fn opus_of_one_octet_and_comfort_noise_of_any_kind_are_survived() {
    let mut random = 1_u32;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 8
    };
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let (mut caller, mut callee) = (Phone::new(Codec::Opus, 20), Phone::new(Codec::Pcmu, 20));
    for _ in 0..3000 {
        let mut packets = [caller.next(), callee.next()];
        if next() % 3 == 0 {
            packets[0].truncate(HEADER);
            packets[0].push(next() as u8);
        }
        if next() % 3 == 0 {
            packets[1][1] = 13;
            packets[1].truncate(HEADER + next() as usize % 40);
            packets[1][HEADER..].fill(next() as u8);
        }
        for (leg, packet) in [Leg::Browser, Leg::Trunk].into_iter().zip(&packets) {
            if next() % 5 > 0 {
                call.rtp(leg, packet);
            }
        }
        call.run_ms(20);
    }
    for leg in [Leg::Browser, Leg::Trunk] {
        let sent = call.audio_to(leg);
        assert_continuous(&sent, 160);
        let media = sent[sent.len() - 1]
            .timestamp
            .wrapping_sub(sent[0].timestamp);
        let units = if leg == Leg::Browser { 48 } else { 8 };
        // An octet may claim 120 ms where its sender's clock has 20; no more than that is believed.
        let most = if leg == Leg::Browser { 500 } else { 10_000 };
        assert!((media / units).abs_diff(60_000) < most, "{}", media / units);
    }
}

#[test]
fn g711_of_no_octets_or_of_too_many_is_dropped() {
    let call = attacked(Codec::Pcmu, |call, index, packet| {
        let mut odd = packet[..12].to_vec();
        odd.resize(12 + [0, 961, 1488][index % 3], 0xff);
        // Their time is taken from the stream, so the audio around them stays whole.
        let (mut before, mut after) = (odd, packet);
        before[2..4].copy_from_slice(&(65_000_u16.wrapping_add(2 * index as u16)).to_be_bytes());
        after[2..4].copy_from_slice(&(65_001_u16.wrapping_add(2 * index as u16)).to_be_bytes());
        call.rtp(Leg::Browser, &before);
        call.rtp(Leg::Browser, &after);
    });
    assert_unharmed(&call);
    assert_eq!(call.bridge.report().browser.undecodable, 50);
}

#[test]
fn garbage_of_every_kind_never_panics_and_leaves_a_working_bridge() {
    let mut random = 1_u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let (mut caller, mut callee) = (Phone::new(Codec::Opus, 20), Phone::new(Codec::Pcmu, 20));
    for _ in 0..4000 {
        let mut packets = [caller.next(), callee.next()];
        for packet in &mut packets {
            for _ in 0..next() % 8 {
                let at = next() % packet.len();
                packet[at] = next() as u8;
            }
            // Often enough with a type that is looked into.
            if next() % 2 == 0 {
                packet[1] = [111, 110, 101, 0, 8, 13][next() % 6];
            }
            packet.truncate(next() % (packet.len() * 2));
        }
        call.rtp(Leg::Browser, &packets[0]);
        call.rtp(Leg::Trunk, &packets[1]);
        call.rtcp(Leg::Browser, &packets[1]);
        let mut report: Vec<u8> = (0..next() % 200).map(|_| next() as u8).collect();
        if report.len() > 8 {
            report[0] = 0x80 | report[0] & 0x3f;
            report[1] = 200 + report[1] % 8;
            report[2] = 0;
            report[3] = (report.len() / 4) as u8 - (next() % 2) as u8;
        }
        call.rtcp(Leg::Trunk, &report);
        call.run_ms(next() as u64 % 40);
    }
    // The digits that came up in it are sent, one after the other.
    call.run_ms(300_000);
    let before = (
        call.audio_to(Leg::Trunk).len(),
        call.audio_to(Leg::Browser).len(),
    );
    (caller, callee) = (Phone::new(Codec::Opus, 20), Phone::new(Codec::Pcmu, 20));
    (caller.header.ssrc, callee.header.ssrc) = (0x51, 0x52);
    for _ in 0..50 {
        call.rtp(Leg::Browser, &caller.next());
        call.rtp(Leg::Trunk, &callee.next());
        call.run_ms(20);
    }
    let after = (
        call.audio_to(Leg::Trunk).len(),
        call.audio_to(Leg::Browser).len(),
    );
    assert!(
        after.0 - before.0 >= 49 && after.1 - before.1 >= 49,
        "{before:?} {after:?}"
    );
}

#[test]
fn garbage_rtcp_is_counted_and_changes_nothing() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let garbage: [&[u8]; 9] = [
        &[],
        &[0x80],
        &[0x80, 200, 0, 6],
        // A sender report without a sender.
        &[0x80, 200, 0, 0],
        // More blocks than octets.
        &[0x9f, 201, 0, 1, 0, 0, 0, 1],
        // Version 1.
        &[0x40, 201, 0, 1, 0, 0, 0, 1],
        // Padding of nothing, and of more than there is.
        &[0xa0, 201, 0, 1, 0, 0, 0, 0],
        &[0xa0, 201, 0, 1, 0, 0, 0, 99],
        // The length of the second is wrong.
        &[0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 203, 0, 9],
    ];
    for bytes in garbage {
        call.rtcp(Leg::Trunk, bytes);
    }
    let report = call.bridge.report().trunk;
    assert_eq!(report.bad_packets, garbage.len() as u64);
    assert_eq!((report.round_trip_ms, report.remote_loss), (None, 0.0));
}

#[test]
fn a_forged_report_gives_no_absurd_round_trip() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    call.run_ms(1000);
    for last_sender_report in [1_u32, 0x8000_0000, u32::MAX] {
        let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
        report.extend(TRUNK_START.ssrc.to_be_bytes());
        report.extend([0; 12]);
        report.extend(last_sender_report.to_be_bytes());
        report.extend(0x7fff_0000_u32.to_be_bytes());
        call.rtcp(Leg::Trunk, &report);
        let round_trip = call.bridge.report().trunk.round_trip_ms.unwrap_or(0.0);
        assert!((0.0..=60_000.0).contains(&round_trip));
    }
}

#[test]
fn unfetched_packets_and_events_are_bounded() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Opus, 20);
    for _ in 0..1000 {
        call.now += Duration::from_millis(20);
        call.bridge
            .handle_rtp(call.instant(), Leg::Browser, &phone.next());
    }
    let dropped = call.bridge.report().trunk.overrun;
    call.collect();
    assert_eq!(call.to_trunk.len() as u64, 1000 - dropped);
    assert!(call.to_trunk.len() <= 40);
    // The latest are the ones that are kept.
    let last = call.to_trunk.last().expect("some");
    assert_eq!(last.sequence, TRUNK_START.sequence.wrapping_add(999));
}

#[test]
fn extended_reports_of_any_shape_are_read_or_passed_over() {
    use crate::rtcp::voip::VoipMetrics;
    let block = VoipMetrics {
        mos_lq: Some(3.0),
        ..VoipMetrics::default()
    }
    .to_bytes(TRUNK_START.ssrc);
    // A receiver report without blocks, then an extended report of so many octets of blocks.
    let compound = |blocks: &[u8]| {
        let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0x11, 0x11];
        let words = (1 + blocks.len() / 4) as u16;
        packet.extend([0x80, 207]);
        packet.extend(words.to_be_bytes());
        packet.extend([0, 0, 0x11, 0x11]);
        packet.extend(blocks);
        packet
    };
    for len in (0..=block.len()).step_by(4) {
        let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
        call.rtcp(Leg::Trunk, &compound(&block[..len]));
        let report = call.bridge.report().trunk;
        assert_eq!(report.bad_packets, 0, "{len}");
        let whole = (len == block.len()).then_some(3.0);
        assert_eq!(report.remote_mos, whole, "{len}");
    }
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    // Blocks that nobody knows, empty ones, one that says it is longer than the packet; then the one that counts.
    let strange = [[200, 0, 0, 1], [1, 2, 3, 4], [99, 0, 0, 0]].concat();
    call.rtcp(Leg::Trunk, &compound(&[&strange[..], &block].concat()));
    assert_eq!(call.bridge.report().trunk.remote_mos, Some(3.0));
    call.rtcp(
        Leg::Trunk,
        &compound(&[[4, 0, 0xff, 0xff], [0; 4]].concat()),
    );
    call.rtcp(Leg::Trunk, &[0x80, 207, 0, 0]);
    assert_eq!(call.bridge.report().trunk.bad_packets, 1);
}
