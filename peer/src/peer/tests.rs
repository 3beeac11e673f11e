pub(crate) mod browser;
mod network;

use browser::{Answer, Check};
use network::{Network, address, credentials, ms};

use super::*;

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
    assert_eq!(network.peer.remote_address(), Some(address(1)));
    let (_, answer) = &network.answers[0];
    assert_eq!(
        network.browser.read_answer(answer),
        Answer::Success(address(1))
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
