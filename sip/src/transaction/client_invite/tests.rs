use super::*;
use crate::transaction::samples::{ms, request, response, start};
use Reliability::{Reliable, Unreliable};

fn begin(transport: Reliability) -> (Instant, ClientInvite) {
    let now = start();
    let (machine, step) =
        ClientInvite::new(now, request(Method::Invite), transport, Timers::default());
    assert_eq!(step, Step::send(request(Method::Invite).to_bytes()));
    (now, machine)
}

fn answer(machine: &mut ClientInvite, now: Instant, status: u16) -> Step {
    let response = response(&request(Method::Invite), status);
    machine.handle_response(now, &response)
}

/// Fires every timer up to `until`; says when something was sent.
fn sends(machine: &mut ClientInvite, begun: Instant, until: Duration) -> Vec<u128> {
    let mut sent = Vec::new();
    while let Some(at) = machine.poll_timeout().filter(|at| *at <= begun + until) {
        if machine.handle_timeout(at).send.is_some() {
            sent.push((at - begun).as_millis());
        }
    }
    sent
}

#[test]
fn calling_repeats_the_invite_at_doubling_intervals_over_udp() {
    let (now, mut machine) = begin(Unreliable);
    let sent = sends(&mut machine, now, ms(31_999));
    assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500]);
}

#[test]
fn calling_never_repeats_over_tcp_but_times_out() {
    let (now, mut machine) = begin(Reliable);
    assert_eq!(machine.poll_timeout(), Some(now + ms(32_000)));
    assert_eq!(machine.handle_timeout(now + ms(31_999)), Step::nothing());
    let step = machine.handle_timeout(now + ms(32_000));
    assert_eq!(step, Step::inform(Inform::Timeout));
    assert!(machine.is_terminated());
}

#[test]
fn timer_b_ends_calling_over_udp() {
    let (now, mut machine) = begin(Unreliable);
    sends(&mut machine, now, ms(31_999));
    let step = machine.handle_timeout(now + ms(32_000));
    assert_eq!(step, Step::inform(Inform::Timeout));
    assert!(machine.is_terminated());
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn a_late_wake_up_sends_once() {
    let (now, mut machine) = begin(Unreliable);
    assert!(machine.handle_timeout(now + ms(10_000)).send.is_some());
    assert_eq!(machine.handle_timeout(now + ms(10_000)), Step::nothing());
}

#[test]
fn a_transport_error_ends_calling() {
    let (_, mut machine) = begin(Unreliable);
    let step = machine.handle_transport_error();
    assert_eq!(step, Step::inform(Inform::TransportError));
    assert!(machine.is_terminated());
}

#[test]
fn a_provisional_response_stops_the_timers_and_goes_up() {
    let (now, mut machine) = begin(Unreliable);
    assert_eq!(
        answer(&mut machine, now, 100),
        Step::inform(Inform::Message)
    );
    assert!(matches!(machine.state(), State::Proceeding { .. }));
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(
        answer(&mut machine, now, 180),
        Step::inform(Inform::Message)
    );
    assert_eq!(machine.handle_timeout(now + ms(60_000)), Step::nothing());
}

#[test]
fn a_failure_is_acked_goes_up_once_and_each_repetition_is_acked_again() {
    for provisional in [None, Some(180)] {
        let (now, mut machine) = begin(Unreliable);
        if let Some(status) = provisional {
            answer(&mut machine, now, status);
        }
        let step = answer(&mut machine, now, 486);
        assert_eq!(step.inform, Some(Inform::Message));
        let ack = step.send.unwrap();
        assert!(ack.starts_with(b"ACK sip:bob@192.0.2.2 SIP/2.0\r\n"));
        let again = answer(&mut machine, now + ms(500), 486);
        assert_eq!(again, Step::send(ack));
        assert_eq!(answer(&mut machine, now, 180), Step::nothing());
        assert_eq!(answer(&mut machine, now, 200), Step::nothing());
    }
}

#[test]
fn the_ack_of_a_failure_belongs_to_the_invite() {
    let invite = request(Method::Invite);
    let ack = ack_for_failure(&invite, &response(&invite, 404));
    assert_eq!(ack.uri, invite.uri);
    assert_eq!(ack.headers.get("Via"), invite.headers.get("Via"));
    assert_eq!(ack.headers.get_all("Via").count(), 1);
    assert_eq!(ack.headers.get("CSeq"), Some("7 ACK"));
    assert_eq!(ack.headers.to().unwrap().tag(), Some("bob"));
    assert_eq!(ack.headers.from().unwrap().tag(), Some("alice"));
    assert_eq!(ack.headers.call_id(), Some("call"));
    assert_eq!(ack.headers.get("Route"), Some("<sip:192.0.2.9;lr>"));
    assert!(ack.body.is_empty());
}

#[test]
fn timer_d_ends_completed_after_32_s_over_udp_and_at_once_over_tcp() {
    for (transport, wait) in [(Unreliable, ms(32_000)), (Reliable, ms(0))] {
        let (now, mut machine) = begin(transport);
        answer(&mut machine, now, 503);
        assert_eq!(machine.poll_timeout(), Some(now + wait));
        assert_eq!(machine.handle_timeout(now + wait), Step::nothing());
        assert!(machine.is_terminated());
    }
}

#[test]
fn a_transport_error_while_acking_goes_up_and_ends_it() {
    let (now, mut machine) = begin(Unreliable);
    answer(&mut machine, now, 486);
    let step = machine.handle_transport_error();
    assert_eq!(step, Step::inform(Inform::TransportError));
    assert!(machine.is_terminated());
}

#[test]
fn every_2xx_goes_up_until_timer_m() {
    for transport in [Unreliable, Reliable] {
        for provisional in [None, Some(183)] {
            let (now, mut machine) = begin(transport);
            if let Some(status) = provisional {
                answer(&mut machine, now, status);
            }
            for later in [0, 500, 31_000] {
                let step = answer(&mut machine, now + ms(later), 200);
                assert_eq!(step, Step::inform(Inform::Message));
            }
            assert_eq!(answer(&mut machine, now, 180), Step::nothing());
            assert_eq!(answer(&mut machine, now, 486), Step::nothing());
            assert_eq!(machine.poll_timeout(), Some(now + ms(32_000)));
            assert_eq!(machine.handle_timeout(now + ms(32_000)), Step::nothing());
            assert!(machine.is_terminated());
        }
    }
}

#[test]
fn accepted_outlives_a_transport_error() {
    let (now, mut machine) = begin(Reliable);
    answer(&mut machine, now, 200);
    assert_eq!(machine.handle_transport_error(), Step::nothing());
    assert!(!machine.is_terminated());
}

#[test]
fn a_terminated_transaction_does_nothing() {
    let (now, mut machine) = begin(Unreliable);
    machine.handle_transport_error();
    assert_eq!(answer(&mut machine, now, 200), Step::nothing());
    assert_eq!(machine.handle_transport_error(), Step::nothing());
    assert_eq!(machine.handle_timeout(now + ms(99_000)), Step::nothing());
}
