//! The packet path allocates nothing once a call is connected.

use std::time::{Duration, Instant};

use media::{Bridge, BridgeConfig, Codec, Digit, Leg, RtpFormat, StreamStart};

/// What the allocator saw while four seconds of a lossy, reordered call with digits and reports went by.
fn allocations(browser: Codec, trunk: Codec) -> (u64, u64) {
    let start = Instant::now();
    let begin = |ssrc| StreamStart {
        ssrc,
        sequence: 65_500,
        timestamp: 7,
    };
    let config = BridgeConfig::new(RtpFormat::usual(browser), begin(1), begin(2), "gateway", 3);
    let mut bridge = Bridge::new(start, config);
    bridge.connect_trunk(start, RtpFormat::usual(trunk));
    let streams = [
        (Leg::Browser, packets(browser)),
        (Leg::Trunk, packets(trunk)),
    ];
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let mut sent = 0;
    let info = allocation_counter::measure(|| {
        let mut buffer = [0; 1500];
        for index in 0..200_usize {
            let now = start + Duration::from_millis(index as u64 * 20);
            for (leg, packets) in &streams {
                // One of ten is lost, one comes behind the next, one twice.
                let arrivals: &[usize] = match index % 10 {
                    3 => &[],
                    6 => &[1],
                    7 => &[0, 1][..1],
                    8 => &[0, 0],
                    _ => &[0],
                };
                for ahead in arrivals {
                    if let Some(packet) = packets.get(index + ahead) {
                        bridge.handle_rtp(now, *leg, packet);
                    }
                }
                bridge.handle_rtcp(now, *leg, &report);
                if index % 50 == 0 {
                    let digit = Digit::from_event(5).expect("a digit");
                    bridge
                        .send_dtmf(now, *leg, digit, Duration::from_millis(100))
                        .expect("room");
                }
            }
            for step in 0..4 {
                let now = now + Duration::from_millis(step * 5);
                bridge.handle_timeout(now);
                while bridge.poll_transmit(now, &mut buffer).is_some() {
                    sent += 1;
                }
                while bridge.poll_event().is_some() {}
            }
        }
    });
    (info.count_total, sent)
}

fn packets(codec: Codec) -> Vec<Vec<u8>> {
    let mut encoder = codecs::opus::Encoder::new(codecs::opus::EncoderSettings {
        expected_loss: 10,
        ..Default::default()
    })
    .expect("an encoder");
    let mut tone = codecs::tone::Sine::test_tone();
    let payload_type = RtpFormat::usual(codec).payload_type_in;
    let packet = |index: u32| {
        let mut pcm = [0; 160];
        tone.fill(&mut pcm);
        let mut payload = [0; 1276];
        let len = match codec.law() {
            Some(law) => {
                codecs::g711::encode_into(law, &pcm, &mut payload);
                160
            }
            None => encoder.encode(&pcm, &mut payload).expect("a frame"),
        };
        let mut packet = vec![0x80, payload_type];
        packet.extend((index as u16).to_be_bytes());
        packet.extend((index * codec.clock_rate() / 50).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend(&payload[..len]);
        packet
    };
    (0..200).map(packet).collect()
}

#[test]
fn no_packet_of_a_call_allocates() {
    let codecs = [Codec::Opus, Codec::Pcmu, Codec::Pcma];
    for browser in codecs {
        for trunk in codecs {
            let (count, sent) = allocations(browser, trunk);
            assert_eq!(count, 0, "{browser:?} to {trunk:?}");
            assert!(sent > 340, "{sent}");
        }
    }
}

#[test]
fn pauses_do_not_allocate_either() {
    let start = Instant::now();
    let begin = |ssrc| StreamStart {
        ssrc,
        sequence: 0,
        timestamp: 0,
    };
    for comfort_noise in [None, Some(13)] {
        let (browser, mut trunk) = (RtpFormat::usual(Codec::Opus), RtpFormat::usual(Codec::Pcmu));
        trunk.comfort_noise = comfort_noise;
        let config = BridgeConfig::new(browser, begin(1), begin(2), "gateway", 3);
        let mut bridge = Bridge::new(start, config);
        bridge.connect_trunk(start, trunk);
        let mut dtx = packets(Codec::Opus)[0].clone();
        dtx.truncate(13);
        let mut noise = packets(Codec::Pcmu)[0].clone();
        noise.truncate(15);
        noise[1] = 13;
        let speech = [packets(Codec::Opus), packets(Codec::Pcmu)];
        let mut sent = 0;
        let info = allocation_counter::measure(|| {
            let mut buffer = [0; 1500];
            for step in 0..1000_u64 {
                let now = start + Duration::from_millis(step * 5);
                match step {
                    0 => {
                        bridge.handle_rtp(now, Leg::Browser, &speech[0][0]);
                        bridge.handle_rtp(now, Leg::Trunk, &speech[1][0]);
                    }
                    4 => {
                        for packet in [&mut dtx, &mut noise] {
                            packet[3] = 1;
                        }
                        dtx[4..8].copy_from_slice(&960_u32.to_be_bytes());
                        noise[4..8].copy_from_slice(&160_u32.to_be_bytes());
                        bridge.handle_rtp(now, Leg::Browser, &dtx);
                        bridge.handle_rtp(now, Leg::Trunk, &noise);
                    }
                    _ => bridge.handle_timeout(now),
                }
                while bridge.poll_transmit(now, &mut buffer).is_some() {
                    sent += 1;
                }
                while bridge.poll_event().is_some() {}
            }
        });
        assert_eq!(info.count_total, 0, "{comfort_noise:?}");
        assert!(sent > 30, "{sent}");
    }
}

#[test]
fn a_call_takes_less_than_100_kib() {
    let start = Instant::now();
    let begin = |ssrc| StreamStart {
        ssrc,
        sequence: 0,
        timestamp: 0,
    };
    let (browser, trunk) = (RtpFormat::usual(Codec::Opus), RtpFormat::usual(Codec::Pcmu));
    let mut kept = None;
    let info = allocation_counter::measure(|| {
        let config = BridgeConfig::new(browser, begin(1), begin(2), "gateway", 3);
        let mut bridge = Box::new(Bridge::new(start, config));
        bridge.connect_trunk(start, trunk);
        kept = Some(bridge);
    });
    println!(
        "{} octets in {} pieces",
        info.bytes_current, info.count_current
    );
    assert!(info.bytes_current < 100 * 1024, "{}", info.bytes_current);
}
