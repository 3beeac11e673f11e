use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use codecs::tone::{self, DtmfDetector, DtmfHeard, DtmfTone, power_at};
use media::rtp::{self, Header, MAX_PACKET, Packet};
use media::{PacketKind, Participant, ParticipantConfig, StreamStart};
use sdp::trunk::{self, OfferOptions};

use super::line::{Identity, Line, SILENCE};
use super::number::{End, NUMBERS, Number, Step};
use super::stream::{Format, Stream};

const EVENT: u8 = 101;

/// A call in virtual time.
struct Call {
    now: Instant,
    line: Line,
    steps: Vec<(Duration, Step)>,
    /// What the phone sent, as bytes.
    sent: Vec<(Duration, Vec<u8>)>,
    /// Its RTCP.
    reports: Vec<(Duration, Vec<u8>)>,
    start: Instant,
}

/// The caller's packets.
struct Caller {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Caller {
    fn new() -> Self {
        Caller {
            ssrc: 7,
            sequence: 65_530,
            timestamp: u32::MAX - 1000,
        }
    }

    fn packet(&mut self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: false,
            payload_type,
        };
        let mut bytes = [0; MAX_PACKET];
        let length = header.write(payload, &mut bytes).expect("it fits");
        let bytes = bytes[..length].to_vec();
        self.sequence = self.sequence.wrapping_add(1);
        bytes
    }

    fn audio(&mut self, pcm: &[i16]) -> Vec<u8> {
        let mut payload = vec![0; pcm.len()];
        g711::encode_into(Law::Mu, pcm, &mut payload);
        let bytes = self.packet(0, &payload);
        self.timestamp = self.timestamp.wrapping_add(pcm.len() as u32);
        bytes
    }

    /// One key as RFC 4733 sends it: the start, more, the end three times.
    fn key(&mut self, code: u8) -> Vec<Vec<u8>> {
        let packets = [(0, 160), (0, 320), (0x80, 480), (0x80, 480), (0x80, 480)];
        let packets = packets.map(|(flags, duration): (u8, u16)| {
            let [high, low] = duration.to_be_bytes();
            self.packet(EVENT, &[code, flags | 10, high, low])
        });
        self.timestamp = self.timestamp.wrapping_add(480);
        packets.into()
    }
}

fn read(bytes: &[u8]) -> Packet<'_> {
    rtp::read(bytes).expect("RTP")
}

fn identity() -> Identity {
    Identity {
        cname: "lab".to_owned(),
        seed: 4,
    }
}

fn format(law: &str, direction: &str) -> Format {
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP {law} {EVENT}\r\na=rtpmap:{EVENT} telephone-event/8000\r\n\
         a={direction}\r\n"
    );
    let offer = trunk::read_offer(&offer, &trunk::Keying::None).expect("an offer");
    let options = OfferOptions::new([127, 0, 0, 1].into(), 5000);
    let (_, negotiated, _) = trunk::answer(&offer, &options).expect("an answer");
    Format::of(&negotiated).expect("G.711")
}

impl Call {
    fn new(number: &str) -> Self {
        Self::with_law(number, "0")
    }

    fn with_law(number: &str, law: &str) -> Self {
        Self::with_offer(number, law, "sendrecv")
    }

    fn with_offer(number: &str, law: &str, direction: &str) -> Self {
        let now = Instant::now();
        let number = Number::named(number).expect("a number");
        let mut line = Line::new(number, identity());
        let start = StreamStart {
            ssrc: 99,
            sequence: 65_534,
            timestamp: u32::MAX - 500,
        };
        line.connect(now, Stream::new(now, format(law, direction), start));
        let mut call = Call {
            now,
            line,
            steps: Vec::new(),
            sent: Vec::new(),
            reports: Vec::new(),
            start: now,
        };
        call.poll();
        call
    }

    fn poll(&mut self) {
        let at = self.now - self.start;
        while let Some(step) = self.line.poll_step(self.now) {
            self.steps.push((at, step));
        }
        let mut packet = [0; MAX_PACKET];
        while let Some((kind, length)) = self.line.poll_transmit(self.now, &mut packet) {
            let packets = match kind {
                PacketKind::Rtp => &mut self.sent,
                PacketKind::Rtcp => &mut self.reports,
            };
            packets.push((at, packet[..length].to_vec()));
        }
    }

    /// Lets time pass, from deadline to deadline.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.line.poll_timeout().filter(|at| *at <= end) {
            assert!(at > self.now, "a deadline that does not move");
            self.now = at;
            self.poll();
        }
        self.now = end;
        self.poll();
    }

    fn receive(&mut self, packet: &[u8]) {
        let mut reply = [0; MAX_PACKET];
        if let Some(length) = self.line.handle_rtp(self.now, packet, &mut reply) {
            self.sent
                .push((self.now - self.start, reply[..length].to_vec()));
        }
        self.poll();
    }

    /// Receives audio at its own pace.
    fn receive_audio(&mut self, caller: &mut Caller, pcm: &[i16]) {
        for frame in pcm.chunks(160) {
            let packet = caller.audio(frame);
            self.receive(&packet);
            self.run(Duration::from_millis(20));
        }
    }

    fn sent_pcm(&self) -> Vec<i16> {
        let mut all = Vec::new();
        for (_, bytes) in &self.sent {
            let packet = read(bytes);
            let law = if packet.payload_type == 8 {
                Law::A
            } else {
                Law::Mu
            };
            all.extend(packet.payload.iter().map(|octet| g711::decode(law, *octet)));
        }
        all
    }

    fn clear(&mut self) {
        self.sent.clear();
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn keys_in(pcm: &[i16]) -> String {
    let mut keys = String::new();
    DtmfDetector::new().hear(pcm, |heard| {
        if let DtmfHeard::Began { key, .. } = heard {
            keys.push(key);
        }
    });
    keys
}

fn key_tone(key: char, milliseconds: usize) -> Vec<i16> {
    let mut pcm = vec![0; milliseconds * 8];
    DtmfTone::new(key, -8.0).expect("a key").fill(&mut pcm);
    pcm
}

#[test]
fn every_number_is_known_by_its_name_in_any_case() {
    for (name, description) in NUMBERS {
        assert!(Number::named(name).is_some(), "{name}");
        assert!(Number::named(&name.to_uppercase()).is_some(), "{name}");
        assert!(!description.is_empty());
    }
    assert_eq!(NUMBERS.len(), 9);
    assert_eq!(Number::named("pizza"), None);
    assert_eq!(Number::named(""), None);
}

#[test]
fn each_number_rings_answers_and_ends_when_it_should() {
    let zero = Duration::ZERO;
    let answer = (zero, Step::Answer);
    let silence = |at| (seconds(at), Step::HangUp(End::Silence));
    for (number, steps) in [
        ("echo", vec![answer, silence(60)]),
        ("tone", vec![answer, silence(60)]),
        ("dtmf", vec![answer, silence(60)]),
        (
            "hangup",
            vec![answer, (seconds(5), Step::HangUp(End::Done))],
        ),
        (
            "early",
            vec![
                (zero, Step::Progress),
                (seconds(5), Step::Answer),
                silence(65),
            ],
        ),
        (
            "late",
            vec![(zero, Step::Ring), (seconds(10), Step::Answer), silence(70)],
        ),
        ("busy", vec![(zero, Step::Refuse(486))]),
        ("reject", vec![(zero, Step::Refuse(603))]),
        ("noanswer", vec![(zero, Step::Ring)]),
    ] {
        let mut call = Call::new(number);
        call.run(seconds(600));
        assert_eq!(call.steps, steps, "{number}");
        assert_eq!(call.line.poll_timeout(), None, "{number}");
    }
}

#[test]
fn the_tone_is_1004_hz_at_16_below() {
    for law in ["0", "8"] {
        let mut call = Call::with_law("tone", law);
        call.run(seconds(2));
        let pcm = call.sent_pcm();
        assert!(
            (tone::level(&pcm) + 16.0).abs() < 0.2,
            "{}",
            tone::level(&pcm)
        );
        let at_1004 = tone::power_level(power_at(&pcm, 1004.0));
        assert!((at_1004 + 16.0).abs() < 0.2, "{at_1004}");
    }
}

#[test]
fn packets_leave_every_20_ms_numbered_without_a_gap() {
    let mut call = Call::new("tone");
    call.run(Duration::from_millis(999));
    assert_eq!(call.sent.len(), 50);
    let mut expected = (65_534u16, u32::MAX - 500);
    for (i, (at, bytes)) in call.sent.iter().enumerate() {
        let packet = read(bytes);
        assert_eq!(*at, Duration::from_millis(20 * i as u64));
        assert_eq!((packet.sequence, packet.timestamp), expected);
        assert_eq!(
            (packet.ssrc, packet.payload_type, packet.payload.len()),
            (99, 0, 160)
        );
        assert_eq!(packet.marker, i == 0);
        expected = (expected.0.wrapping_add(1), expected.1.wrapping_add(160));
    }
}

#[test]
fn a_machine_that_slept_does_not_send_a_burst() {
    let mut call = Call::new("tone");
    call.now += seconds(10);
    call.poll();
    assert!(call.sent.len() <= 2, "{}", call.sent.len());
}

#[test]
fn early_plays_ringback_before_the_answer_and_the_tone_after_it() {
    let mut call = Call::new("early");
    call.run(Duration::from_millis(1900));
    let ringback = call.sent_pcm();
    assert!(tone::power_level(power_at(&ringback, 440.0)) > -20.0);
    assert!(tone::power_level(power_at(&ringback, 1004.0)) < -50.0);
    call.run(Duration::from_millis(3110));
    call.clear();
    call.run(seconds(1));
    let after = call.sent_pcm();
    assert!(tone::power_level(power_at(&after, 1004.0)) > -17.0);
    assert!(tone::power_level(power_at(&after, 440.0)) < -50.0);
}

#[test]
fn nothing_sounds_while_it_only_rings() {
    for number in ["late", "noanswer", "busy"] {
        let mut call = Call::new(number);
        call.run(Duration::from_millis(9_999));
        assert!(call.sent.is_empty(), "{number}");
    }
}

#[test]
fn echo_sends_back_every_packet_at_once_in_its_own_numbering() {
    let mut call = Call::new("echo");
    let mut caller = Caller::new();
    let mut packets: Vec<_> = (0..10).map(|i| caller.audio(&[i * 100; 160])).collect();
    packets.swap(3, 4);
    packets.remove(6);
    for packet in &packets {
        call.receive(packet);
    }
    let numbers = |bytes: &Vec<u8>| {
        let packet = read(bytes);
        (packet.sequence, packet.timestamp)
    };
    let (first_in, first_out) = (numbers(&packets[0]), numbers(&call.sent[0].1));
    assert_eq!(first_out, (65_534, u32::MAX - 500));
    assert_eq!(call.sent.len(), packets.len());
    for (packet, (at, sent)) in packets.iter().zip(&call.sent) {
        assert_eq!(*at, Duration::ZERO);
        assert_eq!(
            numbers(packet).0.wrapping_sub(first_in.0),
            numbers(sent).0.wrapping_sub(first_out.0)
        );
        assert_eq!(
            numbers(packet).1.wrapping_sub(first_in.1),
            numbers(sent).1.wrapping_sub(first_out.1)
        );
        let (packet, sent) = (read(packet), read(sent));
        assert_eq!(packet.payload, sent.payload);
        assert_eq!(sent.ssrc, 99);
    }
}

#[test]
fn echo_goes_on_without_a_jump_when_the_source_changes() {
    let mut call = Call::new("echo");
    let mut caller = Caller::new();
    for _ in 0..5 {
        let packet = caller.audio(&[0; 160]);
        call.receive(&packet);
    }
    let mut other = Caller {
        ssrc: 8,
        sequence: 20,
        timestamp: 4_000_000,
    };
    let packet = other.audio(&[0; 160]);
    call.receive(&packet);
    other.sequence = 40_000;
    let packet = other.audio(&[0; 160]);
    call.receive(&packet);
    let numbers: Vec<_> = call
        .sent
        .iter()
        .map(|(_, bytes)| read(bytes))
        .map(|packet| (packet.sequence, packet.timestamp))
        .collect();
    for pair in numbers.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
        assert_eq!(pair[1].1, pair[0].1.wrapping_add(160));
    }
}

#[test]
fn echo_sends_digits_back_as_digits() {
    let mut call = Call::new("echo");
    let mut caller = Caller::new();
    let key = caller.key(5);
    for packet in &key {
        call.receive(packet);
    }
    assert_eq!(call.sent.len(), key.len());
    for (packet, (_, sent)) in key.iter().zip(&call.sent) {
        let (packet, sent) = (read(packet), read(sent));
        assert_eq!((sent.payload_type, sent.payload), (EVENT, packet.payload));
        assert_eq!(sent.timestamp, read(&call.sent[0].1).timestamp);
    }
}

#[test]
fn echo_understands_the_other_law_and_answers_in_the_agreed_one() {
    let mut call = Call::with_law("echo", "8");
    let mut caller = Caller::new();
    let mut pcm = [0; 160];
    tone::Sine::test_tone().fill(&mut pcm);
    let packet = caller.audio(&pcm);
    call.receive(&packet);
    let sent = read(&call.sent[0].1);
    assert_eq!(sent.payload_type, 8);
    assert!((tone::level(&call.sent_pcm()) + 16.0).abs() < 0.5);
}

#[test]
fn digits_come_back_once_each_after_the_pause() {
    let mut call = Call::new("dtmf");
    let mut caller = Caller::new();
    for code in [4, 2, 2, 11] {
        for packet in caller.key(code) {
            call.receive(&packet);
            call.run(Duration::from_millis(20));
        }
        call.run(Duration::from_millis(200));
    }
    assert_eq!(keys_in(&call.sent_pcm()), "");
    call.clear();
    call.run(seconds(4));
    assert_eq!(keys_in(&call.sent_pcm()), "422#");
    call.clear();
    call.run(seconds(10));
    assert_eq!(keys_in(&call.sent_pcm()), "");
    let silent = call.sent_pcm().iter().all(|sample| sample.abs() < 16);
    assert!(silent && call.sent.len() > 400, "silence is sent between");
}

#[test]
fn tones_in_the_audio_are_digits_too() {
    let mut call = Call::new("dtmf");
    let mut caller = Caller::new();
    for key in ['1', '9'] {
        call.receive_audio(&mut caller, &key_tone(key, 120));
        call.receive_audio(&mut caller, &[0; 800]);
    }
    call.clear();
    call.run(seconds(4));
    assert_eq!(keys_in(&call.sent_pcm()), "19");
}

#[test]
fn a_digit_that_comes_both_ways_is_one_digit() {
    let mut call = Call::new("dtmf");
    let mut caller = Caller::new();
    call.receive_audio(&mut caller, &key_tone('7', 80));
    for packet in caller.key(7) {
        call.receive(&packet);
    }
    call.receive_audio(&mut caller, &key_tone('7', 80));
    call.clear();
    call.run(seconds(4));
    assert_eq!(keys_in(&call.sent_pcm()), "7");
}

#[test]
fn the_phone_does_not_answer_its_own_tones() {
    let mut call = Call::new("dtmf");
    let mut caller = Caller::new();
    call.receive_audio(&mut caller, &key_tone('3', 120));
    // The caller's loudspeaker sounds into its microphone, 100 ms later.
    let mut all = String::new();
    for _ in 0..600 {
        call.clear();
        call.run(Duration::from_millis(20));
        let pcm = call.sent_pcm();
        let packet = caller.audio(&pcm);
        call.receive(&packet);
        if pcm.iter().any(|sample| sample.abs() > 1000) {
            all.push('3');
        } else if all.ends_with('3') {
            all.push(' ');
        }
    }
    assert_eq!(all.split_whitespace().count(), 1, "{all}");
}

#[test]
fn digits_without_end_are_bounded() {
    let mut call = Call::new("dtmf");
    let mut caller = Caller::new();
    for _ in 0..10_000 {
        let packet = caller.key(1).remove(0);
        call.receive(&packet);
    }
    call.clear();
    call.run(seconds(40));
    assert_eq!(keys_in(&call.sent_pcm()).len(), 64);
}

#[test]
fn rtp_keeps_the_call_up_and_noise_does_not() {
    let mut call = Call::new("tone");
    let mut caller = Caller::new();
    call.run(seconds(50));
    let packet = caller.audio(&[0; 160]);
    call.receive(&packet);
    call.run(seconds(50));
    assert_eq!(call.steps.len(), 1);
    call.receive(b"not RTP at all, but long enough to look at");
    call.receive(&caller.packet(77, b"an unknown payload type"));
    call.run(SILENCE);
    let (at, step) = call.steps[1];
    assert_eq!((at, step), (seconds(110), Step::HangUp(End::Silence)));
}

#[test]
fn hostile_packets_are_dropped() {
    let mut call = Call::new("echo");
    let good = Caller::new().audio(&[5; 160]);
    for length in 0..good.len() {
        for first in [0x80u8, 0x90, 0xa0, 0x8f, 0xbf, 0x00, 0xc0] {
            let mut bytes = good[..length].to_vec();
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            call.receive(&bytes);
        }
    }
    let mut longest = Caller::new();
    let huge = longest.packet(0, &[0xff; MAX_PACKET - 12]);
    call.receive(&huge);
    let mut padded = good.clone();
    padded[0] |= 0x20;
    *padded.last_mut().expect("a byte") = 0xff;
    call.clear();
    call.receive(&padded);
    assert!(call.sent.is_empty(), "more padding than payload");
}

/// A caller with RTCP, 40 ms away and back, for as long as it takes.
fn converse(call: &mut Call, duration: Duration) -> Participant {
    let config = ParticipantConfig {
        ssrc: 7,
        clock_rate: 8000,
        cname: "caller".to_owned(),
        seed: 5,
        ntp_start: 0,
        report_interval: seconds(5),
    };
    let mut them = Participant::new(call.now, config);
    let mut caller = Caller::new();
    let (mut heard, mut reported) = (call.sent.len(), call.reports.len());
    for _ in 0..duration.as_millis() / 20 {
        let packet = caller.audio(&[0; 160]);
        them.sent(call.now, &packet);
        let mut report = [0; MAX_PACKET];
        let report_length = them.poll_transmit(call.now, &mut report);
        call.run(Duration::from_millis(20));
        call.receive(&packet);
        if let Some(length) = report_length {
            call.line.handle_rtcp(call.now, &report[..length]);
        }
        for (at, packet) in &call.sent[heard..] {
            let arrival = call.start + *at + Duration::from_millis(20);
            them.received(arrival, &read(packet), true);
        }
        heard = call.sent.len();
        for (at, report) in &call.reports[reported..] {
            let arrival = call.start + *at + Duration::from_millis(20);
            them.handle_rtcp(arrival, report).expect("RTCP");
        }
        reported = call.reports.len();
    }
    them
}

#[test]
fn both_ends_learn_the_round_trip_within_10_seconds() {
    for number in ["tone", "echo", "dtmf"] {
        let mut call = Call::new(number);
        let them = converse(&mut call, seconds(11));
        let round_trip = them.report().round_trip_ms.expect("measured");
        assert!((round_trip - 40.0).abs() < 1.0, "{number}: {round_trip}");
        let ours = call.line.report().expect("reports");
        let round_trip = ours.round_trip_ms.expect("measured");
        assert!((round_trip - 40.0).abs() < 1.0, "{number}: {round_trip}");
        assert_eq!((ours.lost, ours.packets_in), (0, 550), "{number}");
    }
}

#[test]
fn reports_begin_with_the_sound_and_end_with_a_goodbye() {
    let mut call = Call::new("late");
    call.run(Duration::from_millis(9_999));
    assert!(call.reports.is_empty(), "it only rings");
    call.run(seconds(50));
    assert!((7..=14).contains(&call.reports.len()));
    let first = call.reports[0].0;
    assert!(first > seconds(10) && first <= Duration::from_millis(12_500));
    for (at, report) in &call.reports {
        // A sender report for 99, then more (RFC 3550 §6.4.1).
        assert_eq!((report[0] >> 6, report[1]), (2, 200), "{at:?}");
        assert_eq!(report[4..8], 99u32.to_be_bytes(), "{at:?}");
        assert!(report.windows(5).any(|octets| octets == b"\x01\x03lab"));
    }
    call.run(seconds(100));
    let (at, last) = call.reports.last().expect("a goodbye");
    assert_eq!(*at, seconds(70));
    // One source leaves: 99 (RFC 3550 §6.6).
    assert_eq!(last[last.len() - 8..], [0x81, 203, 0, 1, 0, 0, 0, 99]);
    assert_eq!(call.line.poll_timeout(), None);
}

#[test]
fn a_call_without_sound_has_no_reports() {
    for number in ["busy", "noanswer"] {
        let mut call = Call::new(number);
        call.run(seconds(60));
        call.line.end(call.now);
        call.poll();
        assert!(call.reports.is_empty(), "{number}");
    }
}

#[test]
fn hostile_reports_are_dropped() {
    let mut call = Call::new("tone");
    converse(&mut call, seconds(11));
    let (_, report) = call.reports.last().expect("a report").clone();
    for length in 0..report.len() {
        call.line.handle_rtcp(call.now, &report[..length]);
        call.line
            .handle_rtcp(call.now, &[0xff; 64][..length.min(64)]);
    }
    assert!(call.line.report().expect("reports").bad_packets > 0);
    assert_eq!(call.steps, [(Duration::ZERO, Step::Answer)]);
}

#[test]
fn a_caller_that_holds_us_from_the_start_hears_nothing() {
    for number in ["tone", "echo", "dtmf"] {
        for (direction, heard) in [("sendonly", false), ("inactive", false), ("recvonly", true)] {
            let mut call = Call::with_offer(number, "0", direction);
            converse(&mut call, seconds(5));
            assert_eq!(!call.sent.is_empty(), heard, "{number} {direction}");
            assert!(!call.reports.is_empty(), "RTCP goes on (RFC 3264 §5.1)");
            // The time of a call that is held goes on too.
            call.run(SILENCE);
            assert!(
                call.steps
                    .contains(&(seconds(65), Step::HangUp(End::Silence)))
            );
        }
    }
}
