//! One call's media: a [`Bridge`] between a simulated browser and a simulated telephone, over wires that lose, repeat
//! and reorder. Both sides send a tone and press keys; [`check`] holds what the bridge sends to what RTP promises.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use codecs::opus::{Encoder, EncoderSettings};
use codecs::tone::{DTMF_KEYS, Sine};
use media::{
    Bridge, BridgeConfig, BridgeEvent, BridgeReport, Codec, Leg, PacketKind, RtpFormat, StreamStart,
};
use sip::testing::{Conditions, Wire};

use super::Dice;

/// How long both sides talk, in milliseconds, and how long each packet of theirs is.
const TALK_MS: u64 = 4000;
const PACKET_MS: u64 = 20;

/// In any time of this length, so many packets of 20 ms at most: before the first loss the stream leaves as it comes,
/// jitter and all; afterwards on its schedule.
const PACES: [(Duration, usize); 3] = [
    (Duration::from_millis(5), 2),
    (Duration::from_millis(20), 3),
    (Duration::from_millis(100), 7),
];

/// What a bridge sent towards one leg, and what had been sent to it from the other.
#[derive(Debug)]
pub struct Heard {
    /// The leg.
    pub leg: Leg,
    /// Its format.
    pub format: RtpFormat,
    /// Where the stream towards it began.
    pub start: StreamStart,
    /// The RTP packets, in order.
    pub packets: Vec<Packet>,
    /// The keys that were pressed on the other leg.
    pub keys: Vec<char>,
    /// The keys that the bridge reported of the other leg.
    pub reported: Vec<char>,
    /// How late a packet to the bridge can be behind another.
    pub jitter: Duration,
}

/// An RTP packet that the bridge sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// When, since the beginning.
    pub at: Duration,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its marker bit.
    pub marker: bool,
    /// Its payload type.
    pub payload_type: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Plays the call of a seed, with this much loss each way at most; what each leg heard, and the bridge's own figures.
pub fn play(seed: u64, most_loss: f64) -> ([Heard; 2], BridgeReport) {
    Call::new(seed, most_loss).play()
}

struct Call {
    start: Instant,
    now: Instant,
    bridge: Bridge,
    /// The browser, then the telephone.
    sides: [Side; 2],
}

/// One side of the call, and its wire to the bridge.
struct Side {
    leg: Leg,
    format: RtpFormat,
    begins: StreamStart,
    script: VecDeque<(Duration, Vec<u8>)>,
    keys: Vec<char>,
    wire: Wire<Vec<u8>>,
    conditions: Conditions,
    heard: Vec<Packet>,
    reported: Vec<char>,
}

impl Side {
    fn new(seed: u64, leg: Leg, codec: Codec, most_loss: f64) -> Self {
        let stream = leg as u64;
        let mut dice = Dice::new(seed, 10 + stream);
        let conditions = Conditions {
            loss: dice.share(most_loss),
            duplication: dice.share(0.2),
            delay: dice.ms(1, 50),
            jitter: dice.ms(0, 50),
        };
        let format = RtpFormat::usual(codec);
        let begins = start(&mut dice);
        let (script, keys) = Speaker::new(&mut dice, format).speak(&mut dice);
        Self {
            leg,
            format,
            begins,
            script,
            keys,
            wire: Wire::new(seed * 2 + stream, conditions),
            conditions,
            heard: Vec::new(),
            reported: Vec::new(),
        }
    }
}

impl Call {
    fn new(seed: u64, most_loss: f64) -> Self {
        let trunk = [Codec::Pcmu, Codec::Pcma][(seed % 2) as usize];
        let browser = Side::new(seed, Leg::Browser, Codec::Opus, most_loss);
        let trunk = Side::new(seed, Leg::Trunk, trunk, most_loss);
        let now = Instant::now();
        let config = BridgeConfig::new(browser.format, browser.begins, trunk.begins, "net", seed);
        let mut bridge = Bridge::new(now, config);
        bridge.connect_trunk(now, trunk.format);
        Self {
            start: now,
            now,
            bridge,
            sides: [browser, trunk],
        }
    }

    fn play(mut self) -> ([Heard; 2], BridgeReport) {
        let end = self.start + Duration::from_millis(TALK_MS + 1000);
        while self.step(end) {}
        let report = self.bridge.report();
        let [browser, trunk] = self.sides;
        let (browser_keys, trunk_keys) = (browser.keys.clone(), trunk.keys.clone());
        let (browser_reported, trunk_reported) = (browser.reported.clone(), trunk.reported.clone());
        let jitters = (browser.conditions.jitter, trunk.conditions.jitter);
        let heard = |side: Side, keys, reported, jitter| Heard {
            leg: side.leg,
            format: side.format,
            start: side.begins,
            packets: side.heard,
            keys,
            reported,
            jitter,
        };
        let browser = heard(browser, trunk_keys, trunk_reported, jitters.1);
        let trunk = heard(trunk, browser_keys, browser_reported, jitters.0);
        ([browser, trunk], report)
    }

    fn step(&mut self, end: Instant) -> bool {
        let scripts = self.sides.iter().filter_map(|side| side.script.front());
        let scripts = scripts.map(|(at, _)| self.start + *at);
        let wires = self
            .sides
            .iter()
            .filter_map(|side| side.wire.next_arrival());
        let next = scripts.chain(wires).chain(self.bridge.poll_timeout()).min();
        let Some(next) = next.filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        let now = self.now;
        if self.bridge.poll_timeout().is_some_and(|at| at <= now) {
            self.bridge.handle_timeout(now);
            self.collect();
        }
        for index in 0..self.sides.len() {
            let side = &mut self.sides[index];
            while side
                .script
                .front()
                .is_some_and(|(at, _)| self.start + *at <= now)
            {
                if let Some((_, packet)) = side.script.pop_front() {
                    side.wire.send(now, packet);
                }
            }
            let leg = side.leg;
            while let Some(packet) = self.sides[index].wire.receive(now) {
                self.bridge.handle_rtp(now, leg, &packet);
                self.collect();
            }
        }
        true
    }

    fn collect(&mut self) {
        let mut buffer = [0; 1500];
        while let Some(sent) = self.bridge.poll_transmit(self.now, &mut buffer) {
            if sent.kind == PacketKind::Rtp {
                let at = self.now - self.start;
                let packet = read(at, &buffer[..sent.len]);
                self.sides[sent.leg as usize].heard.push(packet);
            }
        }
        while let Some(event) = self.bridge.poll_event() {
            if let BridgeEvent::Dtmf { from, digit, .. } = event {
                self.sides[from as usize].reported.push(digit.into());
            }
        }
    }
}

/// Writes one side's RTP.
struct Speaker {
    format: RtpFormat,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
}

impl Speaker {
    fn new(dice: &mut Dice, format: RtpFormat) -> Self {
        let StreamStart {
            ssrc,
            sequence,
            timestamp,
        } = start(dice);
        Self {
            format,
            ssrc,
            sequence,
            timestamp,
            marker: true,
        }
    }

    /// All that it will send, each with its time; and the keys it presses.
    fn speak(mut self, dice: &mut Dice) -> (VecDeque<(Duration, Vec<u8>)>, Vec<char>) {
        let (mut script, mut keys) = (VecDeque::new(), Vec::new());
        let mut next_key = 400 + dice.roll(600);
        let mut at = 0;
        while at < TALK_MS {
            if at < next_key || at + 500 > TALK_MS {
                let payload = tone(self.format.codec, at / PACKET_MS);
                let audio = self.packet(self.format.payload_type_out, payload);
                script.push_back((Duration::from_millis(at), audio));
                self.pass(PACKET_MS);
                at += PACKET_MS;
                continue;
            }
            let event = dice.roll(16) as u8;
            keys.push(DTMF_KEYS[usize::from(event)]);
            let held = 100 + PACKET_MS * dice.roll(8);
            self.marker = true;
            for step in 1..=held / PACKET_MS + 2 {
                let packet = self.event(
                    event,
                    (step * PACKET_MS).min(held),
                    step * PACKET_MS >= held,
                );
                script.push_back((Duration::from_millis(at + step * PACKET_MS), packet));
            }
            let busy = held + 3 * PACKET_MS;
            self.pass(busy);
            self.marker = true;
            at += busy;
            next_key = at + 200 + dice.roll(800);
        }
        (script, keys)
    }

    fn event(&mut self, event: u8, held_ms: u64, end: bool) -> Vec<u8> {
        let units = held_ms as u32 * self.format.telephone_event_clock_rate / 1000;
        let [high, low] = (units as u16).to_be_bytes();
        let payload_type = self.format.telephone_event_in.unwrap_or_default();
        self.packet(payload_type, &[event, u8::from(end) << 7 | 10, high, low])
    }

    fn packet(&mut self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let marker = u8::from(std::mem::take(&mut self.marker)) << 7;
        let mut packet = vec![0x80, marker | payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    fn pass(&mut self, ms: u64) {
        let units = ms as u32 * (self.format.codec.clock_rate() / 1000);
        self.timestamp = self.timestamp.wrapping_add(units);
    }
}

/// Random, and often soon to wrap.
fn start(dice: &mut Dice) -> StreamStart {
    StreamStart {
        ssrc: dice.roll(u64::from(u32::MAX)) as u32,
        sequence: (65_000 + dice.roll(1000)) as u16,
        timestamp: u32::MAX - dice.roll(100_000) as u32,
    }
}

/// A packet of the test tone. Encoded once: encoding is not what is tested.
fn tone(codec: Codec, index: u64) -> &'static [u8] {
    static PCM: LazyLock<Vec<Vec<i16>>> = LazyLock::new(|| {
        let mut sine = Sine::test_tone();
        let packet = |_| {
            let mut pcm = vec![0; 160];
            sine.fill(&mut pcm);
            pcm
        };
        (0..TALK_MS / PACKET_MS).map(packet).collect()
    });
    fn law(law: Law) -> Vec<Vec<u8>> {
        let encode = |pcm: &Vec<i16>| pcm.iter().map(|s| g711::encode(law, *s)).collect();
        PCM.iter().map(encode).collect()
    }
    static OPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let mut encoder = Encoder::new(EncoderSettings {
            expected_loss: 10,
            ..EncoderSettings::default()
        })
        .expect("an encoder");
        let encode = |pcm: &Vec<i16>| {
            let mut packet = vec![0; 500];
            let len = encoder.encode(pcm, &mut packet).expect("a packet");
            packet.truncate(len);
            packet
        };
        PCM.iter().map(encode).collect()
    });
    static MU: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| law(Law::Mu));
    static A: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| law(Law::A));
    let packets = match codec {
        Codec::Opus => &OPUS,
        Codec::Pcmu => &MU,
        Codec::Pcma => &A,
        Codec::G722 => unreachable!("no call of these has it"),
    };
    &packets[index as usize]
}

fn read(at: Duration, packet: &[u8]) -> Packet {
    let half = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
    assert_eq!(packet[0], 0x80, "no padding, extension or CSRC");
    Packet {
        at,
        marker: packet[1] & 0x80 != 0,
        payload_type: packet[1] & 0x7f,
        sequence: half(2),
        timestamp: word(4),
        ssrc: word(8),
        payload: packet[12..].to_vec(),
    }
}

/// Holds what a leg heard to what RTP promises.
///
/// # Errors
/// What was wrong.
pub fn check(heard: &Heard) -> Result<(), String> {
    let Some(first) = heard.packets.first() else {
        return Err("nothing was heard".into());
    };
    if first.sequence != heard.start.sequence || first.timestamp != heard.start.timestamp {
        return Err(format!("the stream began at {first:?}"));
    }
    for (number, packet) in heard.packets.iter().enumerate() {
        if packet.ssrc != heard.start.ssrc {
            return Err(format!("packet {number} has another SSRC"));
        }
        if packet.sequence != heard.start.sequence.wrapping_add(number as u16) {
            return Err(format!("packet {number}: sequence {}", packet.sequence));
        }
    }
    check_audio(heard)?;
    check_keys(heard)
}

fn check_audio(heard: &Heard) -> Result<(), String> {
    let payload_type = heard.format.payload_type_out;
    let is_audio = |packet: &&Packet| packet.payload_type == payload_type;
    let audio: Vec<&Packet> = heard.packets.iter().filter(is_audio).collect();
    let rate = heard.format.codec.clock_rate() / 1000;
    let step = PACKET_MS as u32 * rate;
    for pair in audio.windows(2) {
        let moved = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        let in_order = moved >= step && moved < 2000 * rate;
        if !in_order || (!pair[1].marker && moved != step) {
            return Err(format!("timestamps move by {moved} at {:?}", pair[1].at));
        }
    }
    let Some(first) = audio.first() else {
        return Err("no audio".into());
    };
    for packet in &audio {
        let stream = u64::from(packet.timestamp.wrapping_sub(first.timestamp) / rate);
        let clock = (packet.at - first.at).as_millis() as u64;
        // Jitter on both packets' ways, and the wait for what is missing.
        if stream.abs_diff(clock) > heard.jitter.as_millis() as u64 + 100 {
            return Err(format!("the stream is at {stream} ms after {clock} ms"));
        }
    }
    for (window, most) in PACES {
        for (number, packet) in audio.iter().enumerate() {
            let near = audio[number..]
                .iter()
                .take_while(|other| other.at < packet.at + window);
            let near = near.count();
            if near > most {
                return Err(format!("a burst of {near} packets at {:?}", packet.at));
            }
        }
    }
    let spoken = heard.keys.len() as u64 * 300;
    let least = (TALK_MS - spoken) / PACKET_MS * 8 / 10;
    if (audio.len() as u64) < least {
        return Err(format!("{} packets of audio, not {least}", audio.len()));
    }
    Ok(())
}

/// Every key exactly once, in order, as RFC 4733 has it.
fn check_keys(heard: &Heard) -> Result<(), String> {
    if heard.reported != heard.keys {
        return Err(format!(
            "pressed {:?}, reported {:?}",
            heard.keys, heard.reported
        ));
    }
    let is_event = |packet: &&Packet| Some(packet.payload_type) == heard.format.telephone_event_out;
    let mut keys = Vec::new();
    let mut last: Option<(u32, u16, bool)> = None;
    for packet in heard.packets.iter().filter(is_event) {
        let [event, flags, high, low] = packet.payload[..] else {
            return Err(format!("no telephone-event: {packet:?}"));
        };
        let (duration, end) = (u16::from_be_bytes([high, low]), flags & 0x80 != 0);
        match last {
            Some((timestamp, before, ended)) if timestamp == packet.timestamp => {
                if duration < before || (ended && !end) || packet.marker {
                    return Err(format!("an event went back: {packet:?}"));
                }
            }
            Some((_, _, false)) => return Err(format!("no end before {packet:?}")),
            _ if !packet.marker => return Err(format!("no marker: {packet:?}")),
            _ => keys.push(*DTMF_KEYS.get(usize::from(event)).ok_or("no key")?),
        }
        last = Some((packet.timestamp, duration, end));
    }
    if keys != heard.keys || last.is_some_and(|(_, _, ended)| !ended) {
        return Err(format!("pressed {:?}, relayed {keys:?}", heard.keys));
    }
    Ok(())
}
