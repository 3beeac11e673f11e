//! The gateway's bridge in virtual time, between one who speaks and one who hears.

use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use media::{Bridge, BridgeConfig, Codec, Leg, PacketKind, RtpFormat, StreamStart, rtp};

use crate::bare;
use crate::encode::{self, FRAME};
use crate::job::{Chain, Direction, Figures, Job, Played};

const TWENTY: Duration = Duration::from_millis(20);

/// A packet that left, and when.
struct Sent {
    at: Duration,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

/// Plays the speech through the bridge.
pub(crate) fn play(job: &Job, speech: &[i16]) -> Played {
    let mut played = Played::default();
    let (from, packets) = match job.direction {
        Direction::FromBrowser => (
            Leg::Browser,
            encode::opus(job.opus, speech, &mut played.figures),
        ),
        Direction::ToBrowser | Direction::FromTrunk => (Leg::Trunk, encode::pcmu(speech)),
    };
    let sent = run(job, from, &packets);
    count(&sent, from, &mut played.figures);
    played.heard = match from {
        Leg::Browser => lay(&sent),
        Leg::Trunk => {
            let lost =
                |n: usize| job.direction == Direction::ToBrowser && job.lost.contains(&(n as u32));
            bare::decode(&by_frame(&sent), Chain::Gateway, lost)
        }
    };
    played
}

/// Sends the packets that are not lost and collects what comes out on the other side.
fn run(job: &Job, from: Leg, packets: &[Vec<u8>]) -> Vec<Sent> {
    let start = Instant::now();
    let begin = |ssrc| StreamStart {
        ssrc,
        sequence: 0,
        timestamp: 0,
    };
    let (browser, trunk) = (RtpFormat::usual(Codec::Opus), RtpFormat::usual(Codec::Pcmu));
    let mut bridge = Bridge::new(
        start,
        BridgeConfig::new(browser, begin(1), begin(2), "quality", 7),
    );
    bridge.connect_trunk(start, trunk);
    let (payload_type, units) = match from {
        Leg::Browser => (browser.payload_type_in, 960),
        Leg::Trunk => (trunk.payload_type_in, 160),
    };
    let mut sent = Vec::new();
    let mut reporter = Reporter::default();
    let mut now = start;
    for n in 0..packets.len() as u32 + 10 {
        let arrival = start + TWENTY * n;
        while let Some(due) = bridge.poll_timeout().filter(|due| *due < arrival) {
            now = due.max(now);
            bridge.handle_timeout(now);
            collect(&mut bridge, start, now, from.other(), &mut sent);
        }
        now = arrival;
        if job.direction == Direction::ToBrowser && n > 0 && n.is_multiple_of(job.report_every) {
            let report = reporter.report(&sent, &job.lost, n);
            bridge.handle_rtcp(now, Leg::Browser, &report);
        }
        let lost = job.direction != Direction::ToBrowser && job.lost.contains(&n);
        let payload = packets.get(n as usize).filter(|payload| payload.len() > 1);
        if let Some(payload) = payload.filter(|_| !lost) {
            let header = rtp::Header {
                ssrc: 3,
                sequence: n as u16,
                timestamp: n * units,
                marker: n == 0,
                payload_type,
            };
            let packet = [&header.to_bytes()[..], payload].concat();
            bridge.handle_rtp(now, from, &packet);
        }
        collect(&mut bridge, start, now, from.other(), &mut sent);
    }
    sent
}

fn collect(bridge: &mut Bridge, start: Instant, now: Instant, to: Leg, sent: &mut Vec<Sent>) {
    let mut buffer = [0; 1500];
    while let Some(transmit) = bridge.poll_transmit(now, &mut buffer) {
        if transmit.leg != to || transmit.kind != PacketKind::Rtp {
            continue;
        }
        let packet = rtp::read(&buffer[..transmit.len]).expect("our own RTP");
        sent.push(Sent {
            at: now - start,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            payload: packet.payload.to_vec(),
        });
    }
}

fn count(sent: &[Sent], from: Leg, figures: &mut Figures) {
    let units = if from == Leg::Browser { 8.0 } else { 48.0 };
    let millis = |at: Duration| at.as_secs_f64() * 1000.0;
    let spacing = sent.windows(2).map(|pair| millis(pair[1].at - pair[0].at));
    let delay = sent
        .iter()
        .map(|one| millis(one.at) - f64::from(one.timestamp) / units);
    figures.packets = sent.len() as u32;
    figures.shortest_ms = spacing.clone().fold(f64::INFINITY, f64::min);
    figures.longest_ms = spacing.fold(0.0, f64::max);
    figures.delay_ms = delay.clone().fold(0.0, f64::max);
    figures.last_delay_ms = delay
        .skip(sent.len().saturating_sub(50))
        .fold(0.0, f64::max);
}

/// G.711 played by its timestamps.
fn lay(sent: &[Sent]) -> Vec<i16> {
    let end = sent
        .iter()
        .map(|one| one.timestamp as usize + one.payload.len());
    let mut heard = vec![0; end.max().unwrap_or(0)];
    for one in sent {
        let at = one.timestamp as usize;
        g711::decode_into(
            Law::Mu,
            &one.payload,
            &mut heard[at..at + one.payload.len()],
        );
    }
    heard
}

/// Opus by its timestamps: empty where DTX left frames out.
fn by_frame(sent: &[Sent]) -> Vec<Vec<u8>> {
    let frame = |one: &Sent| one.timestamp as usize / 48 * 8 / FRAME;
    let mut frames = vec![Vec::new(); sent.iter().map(frame).max().map_or(0, |last| last + 1)];
    for one in sent {
        frames[frame(one)].clone_from(&one.payload);
    }
    frames
}

/// The browser's receiver reports (RFC 3550 §6.4.2).
#[derive(Default)]
struct Reporter {
    reported: usize,
    lost: u32,
}

impl Reporter {
    fn report(&mut self, sent: &[Sent], lost: &[u32], now: u32) -> [u8; 32] {
        let new = &sent[self.reported.min(sent.len())..];
        self.reported = sent.len();
        let frame = |one: &&Sent| lost.contains(&(one.timestamp / 960));
        let missing = new.iter().filter(frame).count();
        self.lost += missing as u32;
        let fraction = (missing * 256).checked_div(new.len()).unwrap_or(0).min(255);
        let highest = sent.last().map_or(0, |one| one.sequence);
        let mut report = [0; 32];
        report[..4].copy_from_slice(&[0x81, 201, 0, 7]);
        report[4..8].copy_from_slice(&3_u32.to_be_bytes());
        report[8..12].copy_from_slice(&1_u32.to_be_bytes());
        report[12..16].copy_from_slice(&((fraction as u32) << 24 | self.lost).to_be_bytes());
        report[16..20].copy_from_slice(&u32::from(highest).to_be_bytes());
        report[20..24].copy_from_slice(&now.to_be_bytes());
        report
    }
}
