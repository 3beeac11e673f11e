use super::*;
use crate::tone::{Sine, level, power_at, power_level};

/// A voice: harmonics of a gliding pitch that swell four times a second. A steady tone would be taken for noise.
fn voice(len: usize) -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |n: usize| {
        let time = n as f64 / 8000.0;
        phase += std::f64::consts::TAU * (120.0 + 15.0 * (time * 3.0).sin()) / 8000.0;
        let swell = 0.6 + 0.4 * (time * 25.0).sin();
        let harmonics = (1..14).map(|k: u8| (phase * f64::from(k)).sin() / f64::from(k));
        (harmonics.sum::<f64>() * swell * 5000.0) as i16
    };
    (0..len).map(sample).collect()
}

fn encode(settings: EncoderSettings, pcm: &[i16], samples: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(settings).expect("an encoder");
    let frame = |pcm: &[i16]| {
        let mut packet = vec![0; 1276];
        let len = encoder.encode(pcm, &mut packet).expect("a frame");
        packet.truncate(len);
        packet
    };
    pcm.chunks_exact(samples).map(frame).collect()
}

fn decode(packets: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = Decoder::new(crate::Bandwidth::Narrow).expect("a decoder");
    let mut heard = Vec::new();
    for packet in packets {
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let len = decoder.decode(packet, &mut pcm).expect("audio");
        heard.extend_from_slice(&pcm[..len]);
    }
    heard
}

fn ratio(a: &[i16], b: &[i16]) -> f64 {
    let signal: f64 = a.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let noise: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum();
    10.0 * (signal / noise).log10()
}

#[test]
fn a_sine_keeps_its_frequency_and_its_energy() {
    for frequency in [300.0, 440.0, 1004.0, 2000.0, 3000.0] {
        for samples in [80, 160, 320, 480] {
            let mut pcm = vec![0; 9600];
            Sine::new(frequency, -16.0).fill(&mut pcm);
            let packets = encode(EncoderSettings::default(), &pcm, samples);
            assert!(
                packets
                    .iter()
                    .all(|packet| packet_samples(packet) == Some(samples))
            );
            let heard = decode(&packets);
            assert_eq!(heard.len(), pcm.len());
            let heard = &heard[1600..];
            assert!(
                (level(heard) + 16.0).abs() < 1.0,
                "{frequency} Hz, {samples}: {}",
                level(heard)
            );
            let share = power_level(power_at(heard, frequency)) - level(heard);
            assert!(share > -0.6, "{frequency} Hz, {samples}: {share} dB");
        }
    }
}

#[test]
fn the_bit_rate_is_a_ceiling_that_is_used() {
    for bitrate in [16_000, 24_000, 32_000] {
        let settings = EncoderSettings {
            bitrate,
            fec: false,
            expected_loss: 10,
            ..EncoderSettings::default()
        };
        let octets: usize = encode(settings, &voice(80_000), 160)
            .iter()
            .map(Vec::len)
            .sum();
        let share = octets as f64 * 8.0 / 10.0 / f64::from(bitrate);
        assert!((0.6..1.1).contains(&share), "{bitrate}: {share}");
    }
}

#[test]
fn a_lost_packet_comes_back_from_the_next_one_and_better_than_by_concealment() {
    let settings = EncoderSettings {
        expected_loss: 10,
        ..EncoderSettings::default()
    };
    let packets = encode(settings, &voice(16_000), 160);
    let whole = decode(&packets);
    let (mut recovered, mut concealed, mut count) = (0.0, 0.0, 0.0);
    for lost in (20..90).step_by(7) {
        let next = &packets[lost + 1];
        if !has_fec(next) {
            continue;
        }
        let original = &whole[lost * 160..][..160];
        for fec in [true, false] {
            let mut decoder = Decoder::new(crate::Bandwidth::Narrow).expect("a decoder");
            let mut pcm = [0; MAX_PACKET_SAMPLES];
            packets[..lost]
                .iter()
                .for_each(|packet| assert_eq!(decoder.decode(packet, &mut pcm), Ok(160)));
            if fec {
                assert_eq!(decoder.decode_fec(next, &mut pcm[..160]), Ok(160));
                recovered += ratio(original, &pcm[..160]);
            } else {
                assert_eq!(decoder.conceal(160, &mut pcm), Ok(160));
                concealed += ratio(original, &pcm[..160]);
            }
        }
        count += 1.0;
    }
    assert!(count >= 5.0, "{count} packets with FEC");
    let (recovered, concealed) = (recovered / count, concealed / count);
    assert!(
        recovered > concealed + 3.0 && recovered > 6.0,
        "{recovered} dB, concealed {concealed} dB"
    );
}

#[test]
fn fec_is_spent_only_where_loss_is_expected() {
    let count = |fec, expected_loss| {
        let settings = EncoderSettings {
            fec,
            expected_loss,
            ..EncoderSettings::default()
        };
        encode(settings, &voice(16_000), 160)
            .iter()
            .filter(|packet| has_fec(packet))
            .count()
    };
    assert_eq!((count(false, 10), count(true, 0)), (0, 0));
    assert!(count(true, 10) > 50, "{}", count(true, 10));
    let mut encoder = Encoder::new(EncoderSettings {
        expected_loss: 0,
        ..EncoderSettings::default()
    })
    .expect("an encoder");
    encoder.set_expected_loss(20).expect("a percentage");
    let mut packet = [0; 1276];
    let voice = voice(16_000);
    let with_fec = voice.chunks(160).filter(|pcm| {
        let len = encoder.encode(pcm, &mut packet).expect("a frame");
        has_fec(&packet[..len])
    });
    assert!(with_fec.count() > 50);
}

#[test]
fn dtx_leaves_silence_out() {
    let settings = EncoderSettings {
        dtx: true,
        ..EncoderSettings::default()
    };
    let packets = encode(settings, &[0; 16_000], 160);
    let sent = packets.iter().filter(|packet| packet.len() > 2).count();
    assert!(sent < 30, "{sent} of {}", packets.len());
}

#[test]
fn stereo_of_120_ms_at_the_highest_rate_is_decoded_to_mono() {
    use opusic_c::{Application, Bitrate, Channels, SampleRate};
    let mut encoder =
        opusic_c::Encoder::new(Channels::Stereo, SampleRate::Hz48000, Application::Audio)
            .expect("one");
    encoder.set_bitrate(Bitrate::Max).expect("a rate");
    let mut decoder = Decoder::new(crate::Bandwidth::Narrow).expect("a decoder");
    let mut heard = Vec::new();
    for index in 0..5 {
        let sample =
            |n: usize| (((index * 5760 + n / 2) as f64 * 0.0576).sin() * 4000.0) as i16 as u16;
        let pcm: Vec<u16> = (0..5760 * 2).map(sample).collect();
        let mut packet = vec![0; 8000];
        let len = encoder
            .encode_to_slice(&pcm, &mut packet)
            .expect("a packet");
        assert!(len > 6000, "510 kbit/s: {len}");
        assert_eq!(packet_samples(&packet[..len]), Some(960));
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        assert_eq!(decoder.decode(&packet[..len], &mut pcm), Ok(960));
        heard.extend(pcm);
    }
    let expected = power_level(4000.0 * 4000.0 / 2.0);
    assert!(
        (level(&heard[960..]) - expected).abs() < 0.5,
        "{}",
        level(&heard[960..])
    );
}

#[test]
fn what_is_not_opus_is_refused() {
    let mut decoder = Decoder::new(crate::Bandwidth::Narrow).expect("a decoder");
    let mut pcm = [0; MAX_PACKET_SAMPLES];
    // RFC 6716 §3.4: nothing, no frame count, more than 120 ms, lengths past the end, odd halves.
    let broken: [&[u8]; 6] = [
        &[],
        &[0x0b],
        &[0x1b, 0x07, 0],
        &[0x0a, 200, 1],
        &[0x09, 1, 2, 3],
        &[0x0b, 0x00],
    ];
    for packet in broken {
        assert_eq!(
            packet_samples(packet)
                .map(|_| decoder.decode(packet, &mut pcm))
                .unwrap_or(Err(Error::InvalidPacket)),
            Err(Error::InvalidPacket),
            "{packet:x?}"
        );
        assert!(decoder.decode_fec(packet, &mut pcm[..160]).is_err());
        has_fec(packet);
    }
}

#[test]
fn buffers_and_durations_that_do_not_fit_are_refused() {
    let mut decoder = Decoder::new(crate::Bandwidth::Narrow).expect("a decoder");
    let mut encoder = Encoder::new(EncoderSettings::default()).expect("an encoder");
    let mut packet = [0; 1276];
    let len = encoder.encode(&[0; 160], &mut packet).expect("a frame");
    let mut pcm = [0; 1000];
    assert_eq!(
        decoder.decode(&packet[..len], &mut pcm[..159]),
        Err(Error::BufferTooSmall(159))
    );
    for samples in [0, 1, 30, 161, 980] {
        assert_eq!(
            decoder.conceal(samples, &mut pcm),
            Err(Error::InvalidDuration(samples))
        );
        assert_eq!(
            decoder.decode_fec(&packet[..len], &mut pcm[..samples]),
            Err(Error::InvalidDuration(samples))
        );
        assert_eq!(
            encoder.encode(&pcm[..samples], &mut packet[..]),
            Err(Error::InvalidDuration(samples))
        );
    }
    assert!(encoder.encode(&[0; 160], &mut []).is_err());
    assert!(
        Encoder::new(EncoderSettings {
            complexity: 11,
            ..EncoderSettings::default()
        })
        .is_err()
    );
}

#[test]
fn random_packets_never_do_harm() {
    let mut decoder = Decoder::new(crate::Bandwidth::Narrow).expect("a decoder");
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..3000 {
        let packet: Vec<u8> = (0..next() % 100).map(|_| next() as u8).collect();
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        if let Ok(samples) = decoder.decode(&packet, &mut pcm) {
            assert_eq!(Some(samples), packet_samples(&packet));
        }
        let _ = decoder.decode_fec(&packet, &mut pcm[..160 * (1 + next() % 6)]);
    }
}
