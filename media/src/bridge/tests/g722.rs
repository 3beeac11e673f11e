//! G.722 towards the telephone: wideband with Opus, narrowband with G.711.

use codecs::Bandwidth;
use codecs::g722;
use codecs::tone::DtmfDetector;

use super::*;
use crate::DtmfWay;

/// A peer with audio at 16 kHz.
struct WidePhone {
    header: Header,
    encoder: Wide,
    time: usize,
    hz: f64,
}

enum Wide {
    Opus(Box<Encoder>),
    G722(Box<g722::Encoder>),
}

impl WidePhone {
    fn new(codec: Codec, hz: f64) -> Self {
        let header = Phone::new(codec, 20).header;
        let encoder = match codec {
            Codec::Opus => Wide::Opus(Box::new(
                Encoder::new(EncoderSettings {
                    bandwidth: Bandwidth::Wide,
                    complexity: 5,
                    ..EncoderSettings::default()
                })
                .expect("an encoder"),
            )),
            _ => Wide::G722(Box::default()),
        };
        Self {
            header,
            encoder,
            time: 0,
            hz,
        }
    }

    fn next(&mut self) -> Vec<u8> {
        let pcm: Vec<i16> = (self.time..self.time + 320)
            .map(|time| {
                let seconds = time as f64 / 16_000.0;
                let swell = 0.6 + 0.4 * (seconds * 20.0).sin();
                (6_000.0 * swell * (std::f64::consts::TAU * self.hz * seconds).sin()) as i16
            })
            .collect();
        self.time += 320;
        let mut payload = vec![0; 1276];
        let (len, units) = match &mut self.encoder {
            Wide::Opus(encoder) => (encoder.encode(&pcm, &mut payload).expect("a frame"), 960),
            Wide::G722(encoder) => {
                encoder.encode(&pcm, &mut payload[..160]);
                (160, 160)
            }
        };
        let packet = packet(self.header, &payload[..len]);
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(units);
        packet
    }
}

/// The share of the power that is in a tone.
fn purity(pcm: &[i16], hz: f64, rate: f64) -> f64 {
    let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
    for (index, sample) in pcm.iter().enumerate() {
        let angle = std::f64::consts::TAU * hz * index as f64 / rate;
        let sample = f64::from(*sample);
        re += sample * angle.cos();
        im += sample * angle.sin();
        all += sample * sample;
    }
    2.0 * (re * re + im * im) / (pcm.len() as f64 * all)
}

fn heard_at_trunk(call: &Call) -> Vec<i16> {
    let mut decoder = g722::Decoder::new();
    let mut heard = Vec::new();
    for sent in call.audio_of(Leg::Trunk, 9) {
        let mut pcm = vec![0; sent.payload.len() * 2];
        decoder.decode(&sent.payload, &mut pcm);
        heard.extend(pcm);
    }
    heard
}

fn heard_at_browser(call: &Call) -> Vec<i16> {
    let mut decoder = Decoder::new(Bandwidth::Wide).expect("a decoder");
    let mut heard = Vec::new();
    for sent in call.audio_of(Leg::Browser, 111) {
        let mut pcm = [0; 1920];
        let len = decoder.decode(&sent.payload, &mut pcm).expect("our Opus");
        heard.extend_from_slice(&pcm[..len]);
    }
    heard
}

impl Call {
    fn audio_of(&self, to: Leg, payload_type: u8) -> Vec<Sent> {
        let audio = |sent: &&Sent| sent.payload_type == payload_type;
        self.sent(to).iter().filter(audio).cloned().collect()
    }
}

#[test]
fn what_is_above_4_khz_is_heard_both_ways_between_opus_and_g722() {
    let mut call = Call::usual(Codec::Opus, Codec::G722);
    let mut browser = WidePhone::new(Codec::Opus, 5_500.0);
    let mut phone = WidePhone::new(Codec::G722, 5_000.0);
    for _ in 0..100 {
        call.rtp(Leg::Browser, &browser.next());
        call.rtp(Leg::Trunk, &phone.next());
        call.run_ms(20);
    }
    assert_continuous(&call.audio_of(Leg::Trunk, 9), 160);
    let trunk = purity(&heard_at_trunk(&call)[6_400..], 5_500.0, 16_000.0);
    assert!(trunk > 0.8, "{trunk}");
    let browser = purity(&heard_at_browser(&call)[6_400..], 5_000.0, 16_000.0);
    assert!(browser > 0.8, "{browser}");
}

#[test]
fn g722_and_g711_meet_in_narrowband() {
    let mut call = Call::usual(Codec::Pcmu, Codec::G722);
    let mut browser = Phone::new(Codec::Pcmu, 20);
    let mut phone = WidePhone::new(Codec::G722, 1_000.0);
    for _ in 0..100 {
        call.rtp(Leg::Browser, &browser.next());
        call.rtp(Leg::Trunk, &phone.next());
        call.run_ms(20);
    }
    let trunk = purity(&heard_at_trunk(&call)[6_400..], 440.0, 16_000.0);
    assert!(trunk > 0.95, "{trunk}");
    let browser = hear(&call.audio_to(Leg::Browser));
    let browser = purity(&browser[3_200..], 1_000.0, 8_000.0);
    assert!(browser > 0.78, "{browser}");
}

#[test]
fn lost_g722_is_made_up_and_a_packet_leaves_every_20_ms() {
    let mut call = Call::usual(Codec::Opus, Codec::G722);
    let mut phone = WidePhone::new(Codec::G722, 400.0);
    for index in 0..200 {
        let packet = phone.next();
        if index % 10 != 9 {
            call.rtp(Leg::Trunk, &packet);
        }
        call.run_ms(20);
    }
    let sent = call.audio_of(Leg::Browser, 111);
    assert!(sent.len() >= 198, "{}", sent.len());
    assert_continuous(&sent, 160);
    assert_eq!(call.bridge.report().trunk.concealed.as_millis(), 19 * 20);
    let heard = purity(&heard_at_browser(&call)[6_400..56_000], 400.0, 16_000.0);
    assert!(heard > 0.75, "{heard}");
}

#[test]
fn keys_cross_as_tones_in_g722_both_ways() {
    let mut call = Call::usual(Codec::Opus, Codec::G722);
    call.bridge
        .set_dtmf(call.instant(), Leg::Trunk, DtmfWay::Tones);
    let mut browser = WidePhone::new(Codec::Opus, 0.0);
    for index in 0..100 {
        if index == 20 {
            let seven = Digit::try_from('7').expect("a key");
            let held = Duration::from_millis(120);
            call.bridge
                .send_dtmf(call.instant(), Leg::Trunk, seven, held)
                .expect("room");
        }
        call.rtp(Leg::Browser, &browser.next());
        call.run_ms(20);
    }
    let mut narrow = Vec::new();
    let mut decoder = g722::Decoder::new();
    for sent in call.audio_of(Leg::Trunk, 9) {
        let mut pcm = vec![0; sent.payload.len()];
        decoder.decode_narrow(&sent.payload, &mut pcm);
        narrow.extend(pcm);
    }
    let mut keys = Vec::new();
    let mut detector = DtmfDetector::new();
    detector.hear(&narrow, |heard| keys.push(heard));
    detector.finish(|heard| keys.push(heard));
    assert!(
        format!("{keys:?}").matches("Ended { key: '7'").count() == 1,
        "{keys:?}"
    );

    // The same audio comes back.
    let before = call.events.len();
    let mut header = Phone::new(Codec::G722, 20).header;
    for sent in call.audio_of(Leg::Trunk, 9) {
        call.rtp(Leg::Trunk, &packet(header, &sent.payload));
        header.sequence = header.sequence.wrapping_add(1);
        header.timestamp = header.timestamp.wrapping_add(160);
        call.run_ms(20);
    }
    let keys: Vec<_> = call.events[before..]
        .iter()
        .filter_map(|event| match event {
            BridgeEvent::Dtmf { from, digit, .. } => Some((*from, char::from(*digit))),
            _ => None,
        })
        .collect();
    assert_eq!(keys, [(Leg::Trunk, '7')]);
}
