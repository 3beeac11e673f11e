use std::time::Duration;

use super::*;
use crate::{
    method::Method,
    transaction::samples::{ms, request, response, start},
};
use Reliability::{Reliable, Unreliable};

fn answer(status: u16) -> Response {
    response(&request(Method::Invite), status)
}

fn begin(transport: Reliability) -> (Instant, ServerInvite) {
    let (machine, step) = ServerInvite::new(&answer(100), transport, Timers::default());
    assert_eq!(step, Step::send(answer(100).to_bytes()));
    (start(), machine)
}

fn sends(machine: &mut ServerInvite, begun: Instant, until: Duration) -> Vec<u128> {
    let mut sent = Vec::new();
    while let Some(at) = machine.poll_timeout().filter(|at| *at <= begun + until) {
        if machine.handle_timeout(at).send.is_some() {
            sent.push((at - begun).as_millis());
        }
    }
    sent
}

#[test]
fn trying_is_sent_at_once_and_for_each_repeated_invite() {
    let (_, mut machine) = begin(Unreliable);
    assert_eq!(
        machine.handle_retransmission(),
        Step::send(answer(100).to_bytes())
    );
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn the_last_provisional_response_is_repeated_for_a_repeated_invite() {
    let (now, mut machine) = begin(Unreliable);
    for status in [180, 183] {
        let bytes = answer(status).to_bytes();
        assert_eq!(
            machine.respond(now, &answer(status)),
            Step::send(bytes.clone())
        );
        assert_eq!(machine.handle_retransmission(), Step::send(bytes));
    }
}

#[test]
fn proceeding_ignores_an_ack_and_survives_a_transport_error() {
    let (now, mut machine) = begin(Unreliable);
    assert_eq!(machine.handle_ack(now), Step::nothing());
    assert_eq!(
        machine.handle_transport_error(),
        Step::inform(Inform::TransportError)
    );
    assert!(matches!(machine.state(), State::Proceeding { .. }));
}

#[test]
fn a_failure_is_repeated_by_timer_g_over_udp_until_timer_h() {
    let (now, mut machine) = begin(Unreliable);
    let step = machine.respond(now, &answer(486));
    assert_eq!(step, Step::send(answer(486).to_bytes()));
    let sent = sends(&mut machine, now, ms(31_999));
    assert_eq!(
        sent,
        [
            500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    let step = machine.handle_timeout(now + ms(32_000));
    assert_eq!(step, Step::inform(Inform::Timeout));
    assert!(machine.is_terminated());
}

#[test]
fn a_failure_is_not_repeated_by_itself_over_tcp_but_timer_h_ends_it() {
    let (now, mut machine) = begin(Reliable);
    machine.respond(now, &answer(486));
    assert_eq!(machine.poll_timeout(), Some(now + ms(32_000)));
    let step = machine.handle_timeout(now + ms(32_000));
    assert_eq!(step, Step::inform(Inform::Timeout));
    assert!(machine.is_terminated());
}

#[test]
fn a_repeated_invite_gets_the_failure_again() {
    let (now, mut machine) = begin(Reliable);
    machine.respond(now, &answer(486));
    let again = machine.handle_retransmission();
    assert_eq!(again, Step::send(answer(486).to_bytes()));
}

#[test]
fn completed_survives_a_transport_error_and_ignores_other_answers() {
    let (now, mut machine) = begin(Unreliable);
    machine.respond(now, &answer(486));
    assert_eq!(
        machine.handle_transport_error(),
        Step::inform(Inform::TransportError)
    );
    assert_eq!(machine.respond(now, &answer(200)), Step::nothing());
    assert_eq!(machine.respond(now, &answer(404)), Step::nothing());
    assert!(matches!(machine.state(), State::Completed { .. }));
}

#[test]
fn an_ack_stops_the_failure_and_timer_i_ends_it() {
    for (transport, wait) in [(Unreliable, ms(5000)), (Reliable, ms(0))] {
        let (now, mut machine) = begin(transport);
        machine.respond(now, &answer(486));
        assert_eq!(machine.handle_ack(now), Step::nothing());
        assert_eq!(
            machine.state(),
            &State::Confirmed {
                timer_i: now + wait
            }
        );
        assert_eq!(machine.handle_ack(now), Step::nothing());
        assert_eq!(machine.handle_retransmission(), Step::nothing());
        assert_eq!(machine.handle_transport_error(), Step::nothing());
        assert_eq!(machine.poll_timeout(), Some(now + wait));
        assert_eq!(machine.handle_timeout(now + wait), Step::nothing());
        assert!(machine.is_terminated());
    }
}

#[test]
fn after_a_2xx_repeated_invites_are_absorbed_until_timer_l() {
    for transport in [Unreliable, Reliable] {
        let (now, mut machine) = begin(transport);
        let ok = answer(200).to_bytes();
        assert_eq!(machine.respond(now, &answer(200)), Step::send(ok.clone()));
        assert_eq!(machine.handle_retransmission(), Step::nothing());
        // The core repeats it through the transaction.
        assert_eq!(machine.respond(now, &answer(200)), Step::send(ok));
        assert_eq!(machine.respond(now, &answer(486)), Step::nothing());
        assert_eq!(
            machine.handle_transport_error(),
            Step::inform(Inform::TransportError)
        );
        assert_eq!(machine.poll_timeout(), Some(now + ms(32_000)));
        assert_eq!(machine.handle_timeout(now + ms(32_000)), Step::nothing());
        assert!(machine.is_terminated());
    }
}

#[test]
fn an_ack_after_a_2xx_goes_up() {
    let (now, mut machine) = begin(Unreliable);
    machine.respond(now, &answer(200));
    assert_eq!(machine.handle_ack(now), Step::inform(Inform::Message));
    assert!(matches!(machine.state(), State::Accepted { .. }));
}

#[test]
fn a_terminated_transaction_does_nothing() {
    let (now, mut machine) = begin(Reliable);
    machine.respond(now, &answer(200));
    machine.handle_timeout(now + ms(32_000));
    assert_eq!(machine.respond(now, &answer(200)), Step::nothing());
    assert_eq!(machine.handle_retransmission(), Step::nothing());
    assert_eq!(machine.handle_ack(now), Step::nothing());
    assert_eq!(machine.poll_timeout(), None);
}
