mod handshake;
mod network;
mod paths;

use browser::Answer;
use network::{Network, address};

use super::*;
use crate::testing as browser;

/// A plain RTP packet of 20 ms.
fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 160, 0x12, 0x34, 0x56, 0x78]);
    packet.extend((0..160).map(|i| i as u8));
    packet
}

#[test]
fn a_browser_connects_and_media_flows_both_ways() {
    let mut network = Network::connected();
    assert_eq!(network.peer.selected_path(), Some(address(1)));
    let (_, answer) = &network.answers[0];
    assert_eq!(
        network.browser.read_answer(answer),
        Answer::Success(address(1).remote)
    );
    let ours = network::config_for(network.browser.fingerprint).identity;
    assert_eq!(
        network.browser.gateway_certificate,
        Some(ours.fingerprint())
    );

    let (sender, receiver, profile) = network.browser.keys.as_mut().unwrap();
    assert_eq!(*profile, Profile::AeadAes256Gcm);
    let plain = rtp(1);
    let mut buffer = [0; 300];
    buffer[..plain.len()].copy_from_slice(&plain);
    let len = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
    match network
        .peer
        .handle_packet(network.now, address(1), &mut buffer[..len])
    {
        Received::Rtp(packet) => assert_eq!(packet, plain),
        other => panic!("{other:?}"),
    }
    let report = [0x80, 201, 0, 1, 0x12, 0x34, 0x56, 0x78];
    buffer[..8].copy_from_slice(&report);
    let len = sender.protect_rtcp(&mut buffer, 8).unwrap();
    match network
        .peer
        .handle_packet(network.now, address(1), &mut buffer[..len])
    {
        Received::Rtcp(packet) => assert_eq!(packet, report),
        other => panic!("{other:?}"),
    }

    buffer[..plain.len()].copy_from_slice(&plain);
    let len = network.peer.protect_rtp(&mut buffer, plain.len()).unwrap();
    let len = receiver.unprotect_rtp(&mut buffer[..len]).unwrap();
    assert_eq!(buffer[..len], plain);
    buffer[..8].copy_from_slice(&report);
    let len = network.peer.protect_rtcp(&mut buffer, 8).unwrap();
    let len = receiver.unprotect_rtcp(&mut buffer[..len]).unwrap();
    assert_eq!(buffer[..len], report);
}

#[test]
fn media_replayed_forged_or_early_is_dropped_and_counted() {
    let mut network = Network::new(1);
    network.check(address(1), browser::Check::default());
    assert!(!network.inject(address(1), rtp(1)));
    assert_eq!(network.peer.statistics().early, 1);

    let mut network = Network::connected();
    let packet = network.protected(&rtp(1));
    assert!(network.inject(address(1), packet.clone()));
    assert!(!network.inject(address(1), packet));
    assert!(!network.inject(address(1), rtp(2)), "plain RTP");
    assert!(!network.inject(address(1), vec![0x80; 5]));
    assert!(!network.inject(address(1), vec![0x80, 200, 0, 0, 1]));
    assert!(!network.inject(address(1), vec![0xff; 50]));
    assert!(!network.inject(address(1), Vec::new()));
    let statistics = network.peer.statistics();
    assert_eq!(
        (
            statistics.replayed,
            statistics.bad_media,
            statistics.unknown
        ),
        (1, 3, 2)
    );
    let packet = network.protected(&rtp(2));
    assert!(network.inject(address(1), packet));
}

#[test]
fn media_allocates_nothing() {
    let mut network = Network::connected();
    let check = browser::Check {
        priority: 1,
        ..Default::default()
    };
    network.check(address(2), check);
    let (sender, receiver, _) = network.browser.keys.as_mut().unwrap();
    let (peer, now) = (&mut network.peer, network.now);
    let plain = rtp(0);
    let mut buffer = [0; 256];
    let mut step = |sequence: u16| {
        buffer[..plain.len()].copy_from_slice(&plain);
        buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
        let len = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
        let received = peer.handle_packet(now, address(1), &mut buffer[..len]);
        assert!(matches!(received, Received::Rtp(_)));
        let len = peer.protect_rtp(&mut buffer, plain.len()).unwrap();
        assert_eq!(peer.selected_path(), Some(address(1)));
        receiver.unprotect_rtp(&mut buffer[..len]).unwrap();
        peer.handle_timeout(now);
        peer.poll_timeout().unwrap();
    };
    let counted = allocation_counter::measure(|| (0..1000).for_each(&mut step));
    assert_eq!(counted.count_total, 0);
}

/// 30 000 garbled datagrams of every kind: nothing panics, nothing grows, the call goes on.
#[test]
fn noise_harms_nothing() {
    let mut network = Network::connected();
    let mut dice = network::Dice(9);
    let seeds = [
        network.browser.check(browser::Check::default()),
        network.protected(&rtp(1)),
        rtp(2),
        (0..200).collect(),
    ];
    network.inject(address(1), seeds[0].clone());
    for _ in 0..30_000 {
        let mut packet = seeds[dice.roll(4) as usize].clone();
        for _ in 0..=dice.roll(6) {
            let at = dice.roll(packet.len() as u64) as usize;
            packet[at] = dice.roll(256) as u8;
        }
        if dice.roll(3) == 0 {
            packet.truncate(dice.roll(packet.len() as u64) as usize);
        }
        network.inject(address(1 + dice.roll(2) as u8), packet);
    }
    network.run(network::ms(1000));
    assert_eq!(network.take_events(), []);
    let packet = network.protected(&rtp(3));
    assert!(network.inject(address(1), packet));
}

#[test]
fn a_peer_may_move_to_its_worker() {
    fn is_send<T: Send>() {}
    is_send::<Peer>();
    is_send::<PeerConfig>();
    is_send::<PeerEvent>();
}

/// DESIGN's figure is 20 KiB a session. Counted is what Rust allocates; AWS-LC's own is not.
#[test]
fn a_connected_peer_is_small_and_a_handshake_is_bounded() {
    let mut network = Network::new(1);
    let (now, mut held, mut most) = (network.now, 0, 0);
    let mut inbound = vec![network.browser.check(browser::Check::default())];
    inbound.extend(network.browser.handle_timeout(now));
    while !inbound.is_empty() {
        let mut outbound = Vec::new();
        for mut packet in inbound.drain(..) {
            let mut buffer = [0; 1500];
            let counted = allocation_counter::measure(|| {
                network.peer.handle_packet(now, address(1), &mut packet);
            });
            held += counted.bytes_current;
            most = most.max(counted.bytes_max);
            while let Some((len, _)) = network.peer.poll_transmit(&mut buffer) {
                outbound.push(buffer[..len].to_vec());
            }
        }
        for packet in outbound.iter().filter(|packet| packet[0] >= 20) {
            inbound.extend(network.browser.handle_dtls(now, packet));
        }
    }
    assert!(network.peer.is_connected());
    let held = held + size_of::<Peer>() as i64;
    println!("a connected peer holds {held} bytes; a handshake's packet allocates up to {most}");
    assert!(held < 40 * 1024, "{held}");
    assert!(most < 100 * 1024, "{most}");
}
