//! DTX and comfort noise (RFC 3389), both ways.

use codecs::comfort_noise::Noise;

use super::*;

/// Noise of a room, in packets of a browser.
fn browser_noise(packets: usize, loudness: f32) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(EncoderSettings::default()).expect("an encoder");
    let mut random = 1_u32;
    let mut packet = || {
        let mut pcm = [0; 160];
        for sample in &mut pcm {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = (((random >> 8) as f32 / (1 << 23) as f32 - 1.0) * loudness) as i16;
        }
        let mut payload = vec![0; 1276];
        let len = encoder.encode(&pcm, &mut payload).expect("a frame");
        payload.truncate(len);
        payload
    };
    (0..packets).map(|_| packet()).collect()
}

/// Half a second of noise, then three seconds of Opus DTX, as libwebrtc does it, then noise again.
fn pausing_browser(call: &mut Call) {
    let noise = browser_noise(70, 200.0);
    let mut header = Phone::new(Codec::Opus, 20).header;
    for index in 0..200 {
        let into = (25..175).contains(&index).then(|| (index - 25) % 20);
        let payload = match into {
            None => Some(noise[index % 70].clone()),
            Some(0) => Some(vec![0x08]),
            Some(19) => Some(noise[index % 70].clone()),
            Some(_) => None,
        };
        if let Some(payload) = payload {
            call.rtp(Leg::Browser, &packet(header, &payload));
            header.sequence = header.sequence.wrapping_add(1);
            header.marker = false;
        }
        header.timestamp = header.timestamp.wrapping_add(960);
        call.run_ms(20);
    }
}

#[test]
fn a_pause_of_the_browser_is_filled_with_its_background_and_the_telephone_hears_no_dead_air() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    pausing_browser(&mut call);
    let sent = call.audio_to(Leg::Trunk);
    assert_continuous(&sent, 160);
    assert_eq!(sent.len(), 200);
    assert!(sent[1..].iter().all(|sent| !sent.marker));
    for pair in sent.windows(2) {
        let step = (pair[1].at - pair[0].at).as_millis();
        assert!((15..=25).contains(&step), "{step}");
    }
    let pcm = hear(&sent);
    let before = codecs::tone::level(&pcm[1600..4000]);
    for frame in pcm[4160..28_000].chunks_exact(800) {
        let level = codecs::tone::level(frame);
        assert!((level - before).abs() < 4.0, "{level}, before {before}");
    }
    let report = call.bridge.report().browser;
    assert_eq!(
        (report.concealed, report.lost, report.late),
        (Duration::ZERO, 0, 0)
    );
}

#[test]
fn a_pause_of_a_browser_that_is_gone_is_filled_no_longer() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Opus, 20);
    for _ in 0..10 {
        call.rtp(Leg::Browser, &phone.next());
        call.run_ms(20);
    }
    call.rtp(Leg::Browser, &packet(phone.header, &[0x08]));
    call.run_ms(60_000);
    let last = call.to_trunk.last().expect("packets");
    assert!(last.at > Duration::from_millis(2000), "{:?}", last.at);
    assert!(last.at < Duration::from_millis(2300), "{:?}", last.at);
}

#[test]
fn where_comfort_noise_was_agreed_on_a_pause_of_the_browser_is_told_of() {
    let mut trunk = RtpFormat::usual(Codec::Pcma);
    trunk.comfort_noise = Some(13);
    let mut call = Call::new(RtpFormat::usual(Codec::Opus), trunk);
    pausing_browser(&mut call);
    let is_noise = |sent: &&Sent| sent.payload_type == 13;
    let noises: Vec<Sent> = call.to_trunk.iter().filter(is_noise).cloned().collect();
    assert!((8..=16).contains(&noises.len()), "{}", noises.len());
    let audio = call.audio_to(Leg::Trunk);
    let level = f64::from(Noise::of(&hear(&audio)[1600..4000]).level());
    for sent in &noises {
        let noise = Noise::read(&sent.payload).expect("a level");
        assert!((f64::from(noise.level()) - level).abs() < 4.0, "{level}");
        assert!(!sent.marker);
    }
    // A talkspurt begins after it, at the right time.
    let last = call.to_trunk.last().expect("audio");
    assert_eq!(
        last.timestamp.wrapping_sub(call.to_trunk[0].timestamp),
        199 * 160
    );
    for pair in call.to_trunk.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    assert!(audio.len() < 80, "{}", audio.len());
}

#[test]
fn comfort_noise_of_the_telephone_is_heard_in_the_browser_and_costs_few_packets() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 20);
    for _ in 0..25 {
        call.rtp(Leg::Trunk, &phone.next());
        call.run_ms(20);
    }
    let noise = Header {
        payload_type: 13,
        ..phone.header
    };
    call.rtp(Leg::Trunk, &packet(noise, &[50]));
    phone.header.sequence = phone.header.sequence.wrapping_add(1);
    phone.pause(24_000);
    call.run_ms(3000);
    for _ in 0..25 {
        call.rtp(Leg::Trunk, &phone.next());
        call.run_ms(20);
    }
    let sent = call.audio_to(Leg::Browser);
    // 200 ms of noise, then a packet and the word that no more comes, each 400 ms.
    assert!((70..=80).contains(&sent.len()), "{}", sent.len());
    assert!(sent.iter().any(|sent| sent.payload.len() == 1));
    let last = sent.last().expect("audio");
    assert_eq!(last.timestamp.wrapping_sub(sent[0].timestamp), 199 * 960);
    let pcm = hear(&sent);
    let level = codecs::tone::level(&pcm[4000 + 480..4000 + 1440]);
    // -50 dBov are -44 dBm0.
    assert!((level + 44.0).abs() < 4.0, "{level}");
    let report = call.bridge.report().trunk;
    assert_eq!((report.concealed, report.bad_packets), (Duration::ZERO, 0));
}

#[test]
fn silence_of_the_telephone_is_left_out_towards_the_browser_and_tones_are_not() {
    let mut call = Call::usual(Codec::Opus, Codec::Pcmu);
    let mut phone = Phone::new(Codec::Pcmu, 20);
    for index in 0..400 {
        let mut packet = phone.next();
        if (100..300).contains(&index) {
            packet[HEADER..].fill(0xff);
        }
        call.rtp(Leg::Trunk, &packet);
        call.run_ms(20);
    }
    let sent = call.audio_to(Leg::Browser);
    // 200 packets of the tone, 10 before the pause, 20 in it.
    assert!((228..=232).contains(&sent.len()), "{}", sent.len());
    let pcm = hear(&sent);
    assert!(codecs::tone::level(&pcm[8000..15_000]) > -18.0);
    assert!(codecs::tone::level(&pcm[20_000..44_000]) < -60.0);
    assert!(codecs::tone::level(&pcm[50_000..62_000]) > -18.0);
    let last = sent.last().expect("audio");
    assert_eq!(last.timestamp.wrapping_sub(sent[0].timestamp), 399 * 960);
}
