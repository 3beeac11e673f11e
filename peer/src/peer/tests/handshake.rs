//! DTLS, seen from outside: loss, hostile datagrams, certificates, deadlines.

use super::browser::Check;
use super::network::{self, Dice, Network, address, ms};
use super::rtp;
use crate::peer::*;

const CONNECTED: PeerEvent = PeerEvent::Connected {
    profile: Profile::AeadAes256Gcm,
};

fn started(seed: u64) -> Network {
    let mut network = Network::new(seed);
    network.check(address(1), Check::default());
    network.take_events();
    network
}

/// A plaintext record with a whole handshake message in it.
fn record(content_type: u8, version: [u8; 2], body: &[u8]) -> Vec<u8> {
    let mut packet = vec![content_type, version[0], version[1]];
    packet.extend([0; 8]);
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend(body);
    packet
}

fn message(kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    let mut message = vec![kind];
    message.extend(&len[1..]);
    message.extend(sequence.to_be_bytes());
    message.extend([0; 3]);
    message.extend(&len[1..]);
    message.extend(body);
    message
}

/// The message type of a datagram's first record, if it is a plaintext handshake.
fn first_message(packet: &[u8]) -> Option<u8> {
    (packet[0] == 22 && packet[3..5] == [0, 0]).then(|| packet[13])
}

#[test]
fn handshakes_survive_loss_and_reordering() {
    for seed in 0..60 {
        let mut network = started(seed);
        network.loss_percent = seed % 4 * 10;
        network.jitter = ms(seed % 3 * 40);
        network.start_dtls(address(1));
        network.run(ms(25_000));
        assert_eq!(network.take_events(), [CONNECTED], "seed {seed}");
        assert!(
            network.browser.connected,
            "seed {seed}: {:?}",
            network.browser.failed
        );
        network.loss_percent = 0;
        let packet = network.protected(&rtp(1));
        assert!(network.inject(address(1), packet), "seed {seed}");
    }
}

/// CVE-2023-49786 and its kin: whoever has no ICE credentials cannot even begin a handshake.
#[test]
fn dtls_and_media_from_an_unvalidated_5_tuple_are_ignored() {
    let mut network = started(1);
    let hello = network.browser.handle_timeout(network.now);
    for packet in hello.clone() {
        network.inject(address(9), packet);
    }
    network.inject(address(9), rtp(1));
    assert_eq!(
        network.peer.statistics().unvalidated,
        hello.len() as u64 + 1
    );
    network.run(ms(30));
    assert!(network.browser.gateway_certificate.is_none());
    network.send_all(address(1), hello);
    network.run(ms(1000));
    assert_eq!(network.take_events(), [CONNECTED]);
    let packet = network.protected(&rtp(1));
    assert!(!network.inject(address(9), packet.clone()));
    assert!(
        network.inject(address(1), packet),
        "and did not touch the replay window"
    );
}

#[test]
fn a_handshake_may_begin_before_a_nomination() {
    let mut network = Network::new(1);
    network.check(
        address(1),
        Check {
            use_candidate: false,
            ..Check::default()
        },
    );
    network.start_dtls(address(1));
    network.run(ms(1000));
    assert_eq!(network.take_events(), [CONNECTED]);
    assert_eq!(network.peer.selected_path(), None);
}

#[test]
fn another_certificate_than_announced_ends_the_call_without_keys() {
    let mut network = Network::new(1);
    let other = Fingerprint([7; 32]);
    network.peer = Peer::new(network.now, network::config_for(other)).unwrap();
    network.check(address(1), Check::default());
    network.take_events();
    network.start_dtls(address(1));
    network.run(ms(5000));
    let failed = PeerEvent::Failed(PeerFailure::FingerprintMismatch);
    assert_eq!(network.take_events(), [failed]);
    assert!(!network.browser.connected, "our Finished never left");
    assert_eq!(
        network.peer.protect_rtp(&mut [0x80; 100], 50),
        Err(Error::NotConnected)
    );
    assert_eq!(network.peer.selected_path(), None);
    assert_eq!(network.peer.poll_timeout(), None);
}

#[test]
fn no_certificate_ends_the_call() {
    let mut network = started(1);
    network.tamper = Some(|packet| match first_message(&packet) {
        Some(11) => record(22, [0xfe, 0xfd], &message(11, 1, &[0, 0, 0])),
        _ => packet,
    });
    network.start_dtls(address(1));
    network.run(ms(2000));
    let failed = PeerEvent::Failed(PeerFailure::NoCertificate);
    assert_eq!(network.take_events(), [failed]);
    assert!(!network.peer.is_connected());
}

#[test]
fn dtls_1_0_is_refused() {
    let mut network = started(1);
    network.tamper = Some(|mut packet| {
        if first_message(&packet) == Some(1) {
            packet[25..27].copy_from_slice(&[0xfe, 0xff]);
        }
        packet
    });
    network.start_dtls(address(1));
    network.run(ms(8_000));
    let why = "DTLS version 1.0 is refused".to_owned();
    let failed = PeerEvent::Failed(PeerFailure::Handshake(why));
    assert_eq!(network.take_events(), [failed]);
    assert!(network.browser.gateway_certificate.is_none());
}

/// How many of the hostile datagrams are written by hand.
const UNGARBLED: usize = 11;

/// Datagrams that an attacker on a validated 5-tuple could write before the browser's own.
fn hostile(network: &mut Network) -> Vec<Vec<u8>> {
    let hello = network.browser.handle_timeout(network.now).remove(0);
    let mut old_version = hello.clone();
    old_version[25..27].copy_from_slice(&[0xfe, 0xff]);
    let mut no_suite = hello.clone();
    no_suite[61..64].copy_from_slice(&[0, 0, 2]);
    let mut packets = vec![
        old_version,
        no_suite,
        record(21, [0xfe, 0xfd], &[2, 40]),
        record(20, [0xfe, 0xfd], &[1]),
        record(22, [0xfe, 0xfd], &message(11, 0, &[0, 0, 0])),
        record(22, [0xfe, 0xfd], &message(1, 0, &[0xff; 60])),
        record(22, [0xfe, 0xfd], &[]),
        record(23, [0xfe, 0xfd], b"application data"),
        vec![22; 13],
        vec![22],
        vec![63; 1500],
    ];
    let mut dice = Dice(5);
    for _ in 0..300 {
        let mut garbled = hello.clone();
        for _ in 0..=dice.roll(8) {
            let at = dice.roll(garbled.len() as u64) as usize;
            garbled[at] = dice.roll(256) as u8;
        }
        garbled.truncate(1 + dice.roll(2 * garbled.len() as u64) as usize);
        packets.push(garbled);
    }
    packets
}

#[test]
fn a_bad_handshake_packet_does_not_end_the_call() {
    let packets = hostile(&mut started(1));
    for (n, packet) in packets.into_iter().enumerate() {
        let mut network = started(7);
        network.inject(address(1), packet);
        network.run(ms(120));
        assert_eq!(network.take_events(), [], "packet {n}");
        // What is garbled may be a good hello of somebody else's, which no server can tell.
        if n >= UNGARBLED {
            continue;
        }
        network.start_dtls(address(1));
        network.run(ms(10_000));
        assert_eq!(network.take_events(), [CONNECTED], "packet {n}");
    }
}

#[test]
fn an_alert_that_anyone_could_have_written_ends_nothing_while_the_handshake_goes_on() {
    let mut network = started(1);
    network.start_dtls(address(1));
    network.run(ms(15));
    network.inject(address(1), record(21, [0xfe, 0xfd], &[2, 40]));
    network.run(ms(10_000));
    assert_eq!(network.take_events(), [CONNECTED]);
}

#[test]
fn a_browser_that_gives_up_is_given_up_within_seconds() {
    let mut network = started(1);
    network.start_dtls(address(1));
    network.run(ms(15));
    network.lose_in_flight();
    // It says nothing more.
    network.tamper = Some(|_| Vec::new());
    network.inject(address(1), record(21, [0xfe, 0xfd], &[2, 42]));
    network.run(ms(5_100));
    let why = "TLS alert 42 was received".to_owned();
    let failed = PeerEvent::Failed(PeerFailure::Handshake(why));
    assert_eq!(network.take_events(), [failed]);
}

#[test]
fn a_browser_that_offers_dtls_1_3_as_well_gets_1_2() {
    let mut network = started(1);
    network
        .browser
        .offer_dtls_1_3(network.now, network::client());
    network.start_dtls(address(1));
    network.run(ms(10_000));
    assert_eq!(network.take_events(), [CONNECTED]);
}

#[test]
fn a_connected_peer_is_woken_for_consent_alone() {
    let network = Network::connected();
    let consent = *network::BEGINNING + ms(10) + CONSENT_TIMEOUT;
    assert_eq!(network.peer.poll_timeout(), Some(consent));
}

#[test]
fn hostile_packets_after_the_handshake_do_not_end_the_call() {
    let packets = hostile(&mut started(1));
    let mut network = Network::connected();
    for packet in packets {
        network.inject(address(1), packet.clone());
        let mut media = packet;
        media[0] = 0x80;
        network.inject(address(1), media);
    }
    network.run(ms(5000));
    assert_eq!(network.take_events(), []);
    let packet = network.protected(&rtp(1));
    assert!(network.inject(address(1), packet));
}

/// The DTLS library asserts that a certificate fits its caller's buffer.
#[test]
fn a_giant_certificate_does_not_panic() {
    let mut network = started(1);
    network.start_dtls(address(1));
    network.tamper = Some(|_| Vec::new());
    network.run(ms(30));
    let total = 55_000;
    let mut body = vec![0, 0, 0, 0, 0, 0];
    body[1..3].copy_from_slice(&((total - 3) as u16).to_be_bytes());
    body[4..6].copy_from_slice(&((total - 6) as u16).to_be_bytes());
    body.resize(total, 0x30);
    for (n, chunk) in body.chunks(1950).enumerate() {
        let mut fragment = message(11, 1, chunk);
        fragment[1..4].copy_from_slice(&(total as u32).to_be_bytes()[1..]);
        fragment[6..9].copy_from_slice(&((n * 1950) as u32).to_be_bytes()[1..]);
        network.inject(address(1), record(22, [0xfe, 0xfd], &fragment));
    }
    network.run(ms(1000));
    assert!(!network.peer.is_connected());
}

#[test]
fn the_finished_that_was_lost_is_sent_again() {
    let mut network = started(1);
    network.start_dtls(address(1));
    // Lose everything towards the browser from the moment the peer is done.
    while network.events.is_empty() {
        network.run(ms(1));
    }
    network.lose_in_flight();
    assert!(!network.browser.connected);
    // Noise in the meantime must not fill the library's queue.
    for n in 0..100 {
        let kind = 20 + n % 4;
        if kind != 22 {
            network.inject(address(1), record(kind, [0xfe, 0xfd], &[1]));
        }
    }
    network.run(ms(3000));
    assert!(network.browser.connected);
    assert_eq!(network.take_events(), [CONNECTED]);
}

#[test]
fn ice_and_dtls_have_a_deadline_and_say_which_was_late() {
    let mut network = Network::new(1);
    network.run(ms(31_000));
    assert_eq!(
        network.take_events(),
        [PeerEvent::Failed(PeerFailure::IceTimeout)]
    );
    let mut network = started(1);
    network.run(ms(31_000));
    let events = network.take_events();
    assert!(
        events.contains(&PeerEvent::Failed(PeerFailure::HandshakeTimeout)),
        "{events:?}"
    );
    assert_eq!(network.peer.poll_timeout(), None);
}

#[test]
fn a_browser_that_closes_is_noticed_at_once() {
    let mut network = Network::connected();
    let goodbye = network.browser.close();
    network.send_all(address(1), goodbye);
    network.run(ms(20));
    assert_eq!(network.take_events(), [PeerEvent::Closed]);
    assert_eq!(network.peer.selected_path(), None);
}

#[test]
fn closing_tells_the_browser_and_ends_everything() {
    let mut network = Network::connected();
    network.peer.close(network.now);
    let mut buffer = [0; 1500];
    let (len, to) = network.peer.poll_transmit(&mut buffer).unwrap();
    assert_eq!((buffer[0], to), (21, address(1)));
    assert!(len > 13);
    assert_eq!(network.peer.poll_transmit(&mut buffer), None);
    assert_eq!(
        network.peer.protect_rtp(&mut buffer, 100),
        Err(Error::NotConnected)
    );
    assert_eq!(network.peer.poll_timeout(), None);
}
