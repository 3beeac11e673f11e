//! ICE-lite, seen from outside: validation, nomination, consent, restart.

use super::browser::{Answer, Check};
use super::network::{Network, address, credentials, ms, path};
use super::rtp;
use crate::peer::*;

const PLAIN: Check = Check {
    priority: 1000,
    use_candidate: false,
    controlled: false,
    extra: None,
};

fn nominating(priority: u32) -> Check {
    Check {
        priority,
        use_candidate: true,
        ..PLAIN
    }
}

impl Network {
    fn last_answer(&self) -> Answer {
        let (to, answer) = self.answers.last().unwrap();
        let answer = self.browser.read_answer(answer);
        if let Answer::Success(mapped) = answer {
            assert_eq!(mapped, to.remote);
        }
        answer
    }

    fn selected(&self) -> Option<Path> {
        self.peer.selected_path()
    }
}

#[test]
fn an_authenticated_check_is_answered_and_validates_its_source() {
    let mut network = Network::new(1);
    assert!(!network.peer.is_validated(address(1)));
    network.check(address(1), PLAIN);
    assert_eq!(network.last_answer(), Answer::Success(address(1).remote));
    assert!(network.peer.is_validated(address(1)));
    assert!(!network.peer.is_validated(address(2)));
    assert_eq!(network.selected(), None, "nothing is nominated yet");
    network.check(address(1), nominating(1));
    assert_eq!(network.selected(), Some(address(1)));
    assert_eq!(network.take_events(), [PeerEvent::PathSelected(address(1))]);
}

#[test]
fn media_leaves_by_the_address_that_the_nominated_pair_uses() {
    let mut network = Network::new(1);
    let here = address(1);
    let there = Path {
        local: "192.0.2.7:7000".parse().unwrap(),
        ..here
    };
    network.check(here, PLAIN);
    network.check(there, nominating(1));
    network.check(here, PLAIN);
    assert_eq!(network.selected(), Some(there));
    network.check(here, nominating(2));
    assert_eq!(network.selected(), Some(here));
}

#[test]
fn an_ipv6_browser_and_one_mapped_into_ipv6_learn_their_address() {
    let mut network = Network::new(1);
    let v6 = path("[2001:db8::7]:5000".parse().unwrap());
    network.check(v6, PLAIN);
    assert_eq!(network.last_answer(), Answer::Success(v6.remote));
    let mapped = path("[::ffff:198.51.100.9]:5000".parse().unwrap());
    network.check(mapped, PLAIN);
    let (_, answer) = network.answers.last().unwrap();
    let plain = "198.51.100.9:5000".parse().unwrap();
    assert_eq!(network.browser.read_answer(answer), Answer::Success(plain));
}

#[test]
fn a_check_that_is_not_authenticated_gets_no_answer_and_leaves_no_trace() {
    let mut network = Network::new(1);
    let good = network.browser.check(nominating(1));
    let mut bad = Vec::new();
    for at in [0, 1, 3, 4, 9, 21, 26, good.len() - 30, good.len() - 1] {
        let mut packet = good.clone();
        packet[at] ^= 0x01;
        bad.push(packet);
    }
    for len in 1..good.len() {
        bad.push(good[..len].to_vec());
    }
    bad.push([&good[..], &[0; 4]].concat());
    let ours = network.browser.gateway.clone();
    network.browser.gateway.pwd = "x".repeat(32);
    bad.push(network.browser.check(nominating(1)));
    network.browser.gateway = IceCredentials {
        ufrag: "else".to_owned(),
        ..ours.clone()
    };
    bad.push(network.browser.check(nominating(1)));
    network.browser.gateway = ours;
    network.browser.credentials.ufrag = "other".to_owned();
    bad.push(network.browser.check(nominating(1)));
    let count = bad.len() as u64;
    for packet in bad {
        network.inject(address(1), packet);
    }
    network.run(ms(100));
    assert!(network.answers.is_empty());
    assert!(!network.peer.is_validated(address(1)));
    let statistics = network.peer.statistics();
    assert_eq!(statistics.bad_checks + statistics.unknown, count);
}

#[test]
fn an_answer_is_never_longer_than_its_check() {
    let mut network = Network::new(1);
    for extra in [None, Some(0x8123), Some(0x7123)] {
        for controlled in [false, true] {
            let check = Check {
                extra,
                controlled,
                ..PLAIN
            };
            let len = network.browser.check(check).len();
            network.check(address(1), check);
            let (_, answer) = network.answers.last().unwrap();
            // 1.6 times is the most that a Binding may answer; ours has been authenticated.
            assert!(answer.len() * 10 <= len * 16, "{} of {len}", answer.len());
        }
    }
}

#[test]
fn a_browser_that_claims_to_be_controlled_is_told_of_the_conflict() {
    let mut network = Network::new(1);
    network.check(
        address(1),
        Check {
            controlled: true,
            ..nominating(1)
        },
    );
    assert_eq!(network.last_answer(), Answer::Error(487));
    assert!(!network.peer.is_validated(address(1)));
    assert_eq!(network.selected(), None);
}

#[test]
fn an_attribute_that_must_be_understood_is_refused_and_another_ignored() {
    let mut network = Network::new(1);
    network.check(
        address(1),
        Check {
            extra: Some(0x7123),
            ..nominating(1)
        },
    );
    assert_eq!(network.last_answer(), Answer::Error(420));
    assert!(!network.peer.is_validated(address(1)));
    network.check(
        address(1),
        Check {
            extra: Some(0xc057),
            ..nominating(1)
        },
    );
    assert_eq!(network.last_answer(), Answer::Success(address(1).remote));
}

#[test]
fn of_several_nominated_at_once_the_highest_priority_is_selected_and_stays() {
    let mut network = Network::new(1);
    network.check(address(1), nominating(100));
    network.check(address(2), nominating(300));
    network.check(address(3), nominating(200));
    network.check(address(1), nominating(100));
    assert_eq!(network.selected(), Some(address(2)));
    let expected = [
        PeerEvent::PathSelected(address(1)),
        PeerEvent::PathChanged(address(2)),
    ];
    assert_eq!(network.take_events(), expected);
}

#[test]
fn a_browser_moves_to_a_lower_priority_when_its_old_path_falls_silent() {
    let mut network = Network::connected();
    network.check(address(2), nominating(10));
    assert_eq!(
        network.selected(),
        Some(address(1)),
        "the old path was just heard"
    );
    network.run(ms(4000));
    network.check(address(2), nominating(10));
    assert_eq!(network.selected(), Some(address(2)));
    assert_eq!(network.take_events(), [PeerEvent::PathChanged(address(2))]);
}

#[test]
fn a_browser_moves_when_it_no_longer_nominates_its_old_path() {
    let mut network = Network::connected();
    network.check(address(2), PLAIN);
    network.check(address(1), PLAIN);
    assert_eq!(
        network.selected(),
        Some(address(1)),
        "nominated once is nominated"
    );
    network.check(address(2), nominating(10));
    assert_eq!(network.selected(), Some(address(2)));
}

#[test]
fn an_overheard_check_sent_again_from_elsewhere_moves_nothing() {
    let mut network = Network::connected();
    let overheard = network.browser.check(nominating(1000));
    network.inject(address(1), overheard.clone());
    network.inject(address(9), overheard.clone());
    assert!(!network.peer.is_validated(address(9)));
    assert_eq!(network.selected(), Some(address(1)));
    network.answers.clear();
    network.inject(address(1), overheard);
    network.run(ms(100));
    assert_eq!(network.answers.len(), 1 + 1, "a retransmission is answered");
}

#[test]
fn a_nat_that_rebinds_is_followed_at_once() {
    let mut network = Network::connected();
    network.check(address(7), Check::default());
    assert_eq!(network.selected(), Some(address(7)));
}

#[test]
fn media_on_a_nominated_path_moves_the_selection() {
    let mut network = Network::connected();
    network.check(address(2), nominating(10));
    assert_eq!(network.selected(), Some(address(1)));
    for sequence in 0..5 {
        let packet = network.protected(&rtp(sequence));
        assert!(network.inject(address(2), packet));
    }
    assert_eq!(network.selected(), Some(address(2)));
    // One that strays from the old path now and then is not the one in use.
    network.check(address(4), nominating(10));
    for sequence in 100..120 {
        let packet = network.protected(&rtp(sequence));
        let from = if sequence % 4 == 0 {
            address(2)
        } else {
            address(4)
        };
        assert!(network.inject(from, packet));
    }
    assert_eq!(network.selected(), Some(address(2)));
    // A path that was validated but never nominated carries media in and draws none.
    network.check(address(3), PLAIN);
    for sequence in 200..220 {
        let packet = network.protected(&rtp(sequence));
        assert!(network.inject(address(3), packet));
    }
    assert_eq!(network.selected(), Some(address(2)));
}

#[test]
fn without_consent_nothing_is_sent_after_thirty_seconds() {
    let mut network = Network::connected();
    network.run(ms(27_000));
    network.check(address(1), PLAIN);
    network.run(ms(29_900));
    assert_eq!(network.selected(), Some(address(1)));
    assert_eq!(network.take_events(), []);
    network.run(ms(200));
    assert_eq!(network.selected(), None);
    assert!(!network.peer.is_validated(address(1)));
    assert_eq!(network.take_events(), [PeerEvent::ConsentLost]);
    let packet = network.protected(&rtp(1));
    assert!(!network.inject(address(1), packet));
}

#[test]
fn when_the_selected_path_loses_consent_a_nominated_one_takes_over() {
    let mut network = Network::connected();
    network.check(address(2), nominating(10));
    network.check(address(3), PLAIN);
    assert_eq!(network.selected(), Some(address(1)));
    network.run(ms(28_200));
    assert_eq!(network.selected(), Some(address(2)));
    assert_eq!(network.take_events(), [PeerEvent::PathChanged(address(2))]);
    network.run(ms(2_500));
    assert_eq!(network.selected(), None);
    assert_eq!(network.take_events(), [PeerEvent::ConsentLost]);
}

#[test]
fn the_number_of_validated_paths_is_bounded_and_the_selected_one_stays() {
    let mut network = Network::connected();
    for n in 2..100 {
        network.check(address(n), PLAIN);
    }
    let validated = (0..=255).filter(|n| network.peer.is_validated(address(*n)));
    assert_eq!(validated.count(), crate::ice::MAX_PATHS);
    assert_eq!(network.selected(), Some(address(1)));
    assert!(network.peer.is_validated(address(1)));
    assert!(network.peer.is_validated(address(99)));
}

#[test]
fn an_ice_restart_keeps_the_old_path_until_the_new_one_is_nominated() {
    let mut network = Network::connected();
    let (old_remote, old_local) = (
        network.browser.credentials.clone(),
        network.browser.gateway.clone(),
    );
    network
        .peer
        .restart_ice(network.now, credentials(3), credentials(4));
    network.run(ms(1000));
    network.check(address(1), nominating(1000));
    assert_eq!(
        network.last_answer(),
        Answer::Success(address(1).remote),
        "old credentials serve"
    );
    assert_eq!(network.selected(), Some(address(1)));

    network.browser.gateway = credentials(3);
    network.browser.credentials = credentials(4);
    network.check(address(2), PLAIN);
    assert_eq!(network.last_answer(), Answer::Success(address(2).remote));
    assert_eq!(
        network.selected(),
        Some(address(1)),
        "validated, not nominated"
    );
    let packet = network.protected(&rtp(1));
    assert!(
        network.inject(address(1), packet),
        "media flows on the old path"
    );
    network.browser.gateway = old_local.clone();
    network.browser.credentials = old_remote.clone();
    network.check(address(2), nominating(9000));
    assert_eq!(network.selected(), Some(address(1)), "a late old check");
    network.browser.gateway = credentials(3);
    network.browser.credentials = credentials(4);

    network.check(address(2), nominating(1));
    assert_eq!(
        network.selected(),
        Some(address(2)),
        "whatever its priority"
    );
    assert_eq!(network.take_events(), [PeerEvent::PathChanged(address(2))]);
    assert!(
        !network.peer.is_validated(address(1)),
        "the old session is over"
    );
    let packet = network.protected(&rtp(2));
    assert!(network.inject(address(2), packet), "DTLS and SRTP live on");

    network.answers.clear();
    (network.browser.credentials, network.browser.gateway) = (old_remote, old_local);
    network.check(address(1), nominating(9000));
    assert!(network.answers.is_empty());
    assert_eq!(network.selected(), Some(address(2)));
}

#[test]
fn an_ice_restart_on_the_same_5_tuple_changes_no_path() {
    let mut network = Network::connected();
    network
        .peer
        .restart_ice(network.now, credentials(3), credentials(4));
    network
        .peer
        .restart_ice(network.now, credentials(5), credentials(6));
    network.check(address(1), PLAIN);
    assert_eq!(
        network.last_answer(),
        Answer::Success(address(1).remote),
        "restarted twice"
    );
    network.browser.gateway = credentials(5);
    network.browser.credentials = credentials(6);
    network.check(address(1), nominating(1));
    assert_eq!(network.selected(), Some(address(1)));
    assert_eq!(network.take_events(), []);
}
