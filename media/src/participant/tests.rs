use rtcp_types::{Compound, Packet as Report};

use super::*;
use crate::rtp::{Header, MAX_PACKET};

const DELAY: Duration = Duration::from_millis(30);

/// Two telephones, and the network between them.
struct Session {
    start: Instant,
    now: Instant,
    sides: [Side; 2],
    /// What is on its way: to whom, when it arrives, whether it is RTCP.
    flying: Vec<(usize, Instant, bool, Vec<u8>)>,
    /// Every nth packet of the first is lost.
    loses: u64,
}

struct Side {
    participant: Participant,
    header: Header,
    reports: Vec<(Duration, Vec<u8>)>,
}

fn participant(now: Instant, ssrc: u32) -> Participant {
    let config = ParticipantConfig {
        ssrc,
        clock_rate: 8000,
        cname: format!("phone-{ssrc}"),
        seed: u64::from(ssrc),
        ntp_start: 77 << 32,
        report_interval: Duration::from_secs(5),
    };
    Participant::new(now, config)
}

impl Session {
    fn new() -> Self {
        let now = Instant::now();
        let side = |ssrc| Side {
            participant: participant(now, ssrc),
            header: Header {
                ssrc,
                sequence: 65_500,
                timestamp: u32::MAX - 1000,
                marker: false,
                payload_type: 0,
            },
            reports: Vec::new(),
        };
        Session {
            start: now,
            now,
            sides: [side(1), side(2)],
            flying: Vec::new(),
            loses: u64::MAX,
        }
    }

    /// Both talk, 20 ms to a packet; time goes by in steps of 10 ms.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut step = 0_u64;
        while self.now < end {
            if step.is_multiple_of(2) {
                self.talk(step / 2);
            }
            self.report();
            self.arrive();
            self.now += Duration::from_millis(10);
            step += 1;
        }
    }

    fn talk(&mut self, count: u64) {
        for (index, side) in self.sides.iter_mut().enumerate() {
            let mut buffer = [0; MAX_PACKET];
            let len = side
                .header
                .write(&[0xff; 160], &mut buffer)
                .expect("it fits");
            side.header.sequence = side.header.sequence.wrapping_add(1);
            side.header.timestamp = side.header.timestamp.wrapping_add(160);
            side.participant.sent(self.now, &buffer[..len]);
            if index == 1 || count % self.loses != self.loses - 1 {
                let packet = buffer[..len].to_vec();
                self.flying
                    .push((1 - index, self.now + DELAY, false, packet));
            }
        }
    }

    fn report(&mut self) {
        for (index, side) in self.sides.iter_mut().enumerate() {
            let mut buffer = [0; MAX_PACKET];
            while let Some(len) = side.participant.poll_transmit(self.now, &mut buffer) {
                let report = buffer[..len].to_vec();
                side.reports.push((self.now - self.start, report.clone()));
                self.flying
                    .push((1 - index, self.now + DELAY, true, report));
            }
        }
    }

    fn arrive(&mut self) {
        let now = self.now;
        for (to, _, is_rtcp, bytes) in self.flying.extract_if(.., |(_, at, _, _)| *at <= now) {
            let participant = &mut self.sides[to].participant;
            if is_rtcp {
                participant.handle_rtcp(now, &bytes).expect("RTCP");
            } else {
                participant.received(now, &rtp::read(&bytes).expect("RTP"), true);
            }
        }
    }
}

#[test]
fn two_participants_learn_the_round_trip_within_10_seconds() {
    let mut session = Session::new();
    session.run(Duration::from_secs(11));
    for side in &session.sides {
        let round_trip = side.participant.report().round_trip_ms.expect("measured");
        assert!((round_trip - 60.0).abs() < 1.0, "{round_trip}");
        assert!(side.reports[0].0 <= Duration::from_millis(2510));
    }
}

#[test]
fn reports_say_what_was_sent_and_what_was_lost() {
    let mut session = Session::new();
    session.loses = 4;
    session.run(Duration::from_secs(30));
    let (at, bytes) = session.sides[1].reports.last().expect("a report");
    let mut packets = Compound::parse(bytes).expect("a compound");
    let Some(Ok(Report::Sr(report))) = packets.next() else {
        panic!("no sender report")
    };
    assert_eq!(report.ssrc(), 2);
    let ntp_ms = (u128::from(report.ntp_timestamp() - (77 << 32)) * 1000) >> 32;
    assert!(ntp_ms.abs_diff(at.as_millis()) <= 1);
    let timestamp = (u32::MAX - 1000).wrapping_add(at.as_millis() as u32 * 8);
    assert_eq!(report.rtp_timestamp(), timestamp);
    let sent = u128::from(report.packet_count());
    assert!(sent.abs_diff(at.as_millis() / 20) <= 1, "{sent}");
    assert_eq!(report.octet_count(), report.packet_count() * 160);
    let block = report.report_blocks().next().expect("a block");
    assert_eq!(block.ssrc(), 1);
    assert!((60..=68).contains(&block.fraction_lost()));
    let Some(Ok(Report::Sdes(description))) = packets.next() else {
        panic!("no description")
    };
    let chunk = description.chunks().next().expect("a chunk");
    let item = chunk.items().next().expect("an item");
    assert_eq!((item.type_(), item.value()), (1, &b"phone-2"[..]));
    let heard = session.sides[1].participant.report();
    assert!((370..=375).contains(&heard.lost), "{}", heard.lost);
    let told = session.sides[0].participant.report();
    assert!((told.remote_loss - 0.25).abs() < 0.02);
}

#[test]
fn a_goodbye_is_the_last_word_and_silence_says_none() {
    let mut session = Session::new();
    session.run(Duration::from_secs(1));
    let now = session.now;
    let speaker = &mut session.sides[0].participant;
    let mut buffer = [0; MAX_PACKET];
    speaker.close(now);
    let len = speaker
        .poll_transmit(now, &mut buffer)
        .expect("due at once");
    let packets: Vec<_> = Compound::parse(&buffer[..len])
        .expect("a compound")
        .map(|packet| packet.expect("a packet"))
        .collect();
    assert!(matches!(packets.last(), Some(Report::Bye(_))));
    assert_eq!(speaker.poll_timeout(), None);
    let later = now + Duration::from_secs(60);
    assert_eq!(speaker.poll_transmit(later, &mut buffer), None);

    let mut silent = participant(now, 9);
    silent.close(now);
    assert_eq!(silent.poll_transmit(now, &mut buffer), None);
    assert_eq!(silent.poll_timeout(), None);
}

#[test]
fn what_is_no_rtcp_is_refused_and_counted() {
    let mut alone = participant(Instant::now(), 9);
    let now = Instant::now();
    for bytes in [&b""[..], b"nonsense", &[0x80, 200, 0, 6, 1]] {
        assert!(alone.handle_rtcp(now, bytes).is_err());
    }
    assert_eq!(alone.report().bad_packets, 3);
    assert_eq!(alone.report().round_trip_ms, None);
}
