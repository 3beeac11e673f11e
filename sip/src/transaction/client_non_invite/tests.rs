use std::time::Duration;

use super::*;
use crate::{
    method::Method,
    transaction::samples::{ms, request, response, start},
};
use Reliability::{Reliable, Unreliable};

fn begin(transport: Reliability) -> (Instant, ClientNonInvite) {
    let now = start();
    let bye = request(Method::Bye);
    let (machine, step) = ClientNonInvite::new(now, &bye, transport, Timers::default());
    assert_eq!(step, Step::send(bye.to_bytes()));
    (now, machine)
}

fn answer(machine: &mut ClientNonInvite, now: Instant, status: u16) -> Step {
    machine.handle_response(now, &response(&request(Method::Bye), status))
}

fn sends(machine: &mut ClientNonInvite, begun: Instant, until: Duration) -> Vec<u128> {
    let mut sent = Vec::new();
    while let Some(at) = machine.poll_timeout().filter(|at| *at <= begun + until) {
        if machine.handle_timeout(at).send.is_some() {
            sent.push((at - begun).as_millis());
        }
    }
    sent
}

#[test]
fn trying_repeats_at_doubling_intervals_up_to_t2_over_udp() {
    let (now, mut machine) = begin(Unreliable);
    let sent = sends(&mut machine, now, ms(20_000));
    assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500]);
}

#[test]
fn timer_f_ends_trying_and_proceeding_on_both_transports() {
    for transport in [Unreliable, Reliable] {
        for provisional in [false, true] {
            let (now, mut machine) = begin(transport);
            if provisional {
                answer(&mut machine, now, 100);
            }
            sends(&mut machine, now, ms(31_999));
            let step = machine.handle_timeout(now + ms(32_000));
            assert_eq!(step, Step::inform(Inform::Timeout));
            assert!(machine.is_terminated());
        }
    }
}

#[test]
fn nothing_is_repeated_over_tcp() {
    let (now, mut machine) = begin(Reliable);
    assert_eq!(sends(&mut machine, now, ms(31_999)), []);
    answer(&mut machine, now, 100);
    assert_eq!(sends(&mut machine, now, ms(31_999)), []);
}

#[test]
fn a_transport_error_ends_trying_and_proceeding() {
    for provisional in [false, true] {
        let (now, mut machine) = begin(Unreliable);
        if provisional {
            answer(&mut machine, now, 100);
        }
        let step = machine.handle_transport_error();
        assert_eq!(step, Step::inform(Inform::TransportError));
        assert!(machine.is_terminated());
    }
}

#[test]
fn proceeding_repeats_every_t2() {
    let (now, mut machine) = begin(Unreliable);
    assert_eq!(
        answer(&mut machine, now, 100),
        Step::inform(Inform::Message)
    );
    assert!(matches!(machine.state(), State::Proceeding { .. }));
    assert_eq!(
        sends(&mut machine, now, ms(13_000)),
        [500, 4500, 8500, 12_500]
    );
    assert_eq!(
        answer(&mut machine, now, 100),
        Step::inform(Inform::Message)
    );
}

#[test]
fn a_final_response_goes_up_once() {
    for provisional in [false, true] {
        for status in [200, 301, 481, 500, 603] {
            let (now, mut machine) = begin(Unreliable);
            if provisional {
                answer(&mut machine, now, 100);
            }
            assert_eq!(
                answer(&mut machine, now, status),
                Step::inform(Inform::Message)
            );
            assert_eq!(answer(&mut machine, now, status), Step::nothing());
            assert_eq!(machine.handle_transport_error(), Step::nothing());
            assert!(!machine.is_terminated());
        }
    }
}

#[test]
fn timer_k_ends_completed_after_t4_over_udp_and_at_once_over_tcp() {
    for (transport, wait) in [(Unreliable, ms(5000)), (Reliable, ms(0))] {
        let (now, mut machine) = begin(transport);
        answer(&mut machine, now, 200);
        assert_eq!(machine.poll_timeout(), Some(now + wait));
        assert_eq!(machine.handle_timeout(now + wait), Step::nothing());
        assert!(machine.is_terminated());
        assert_eq!(answer(&mut machine, now, 200), Step::nothing());
    }
}
