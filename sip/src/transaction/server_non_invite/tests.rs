use super::*;
use crate::{
    method::Method,
    transaction::samples::{ms, request, response, start},
};
use Reliability::{Reliable, Unreliable};

fn answer(status: u16) -> Response {
    response(&request(Method::Bye), status)
}

fn begin(transport: Reliability) -> (Instant, ServerNonInvite) {
    (start(), ServerNonInvite::new(transport, Timers::default()))
}

#[test]
fn trying_absorbs_repeated_requests() {
    let (now, mut machine) = begin(Unreliable);
    assert_eq!(machine.handle_retransmission(), Step::nothing());
    assert_eq!(machine.handle_transport_error(), Step::nothing());
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(machine.handle_timeout(now), Step::nothing());
    assert_eq!(machine.state(), &State::Trying);
}

#[test]
fn a_provisional_answer_is_repeated_for_a_repeated_request() {
    let (now, mut machine) = begin(Unreliable);
    for status in [100, 183] {
        let bytes = answer(status).to_bytes();
        assert_eq!(
            machine.respond(now, &answer(status)),
            Step::send(bytes.clone())
        );
        assert_eq!(machine.handle_retransmission(), Step::send(bytes));
    }
}

#[test]
fn a_final_answer_is_repeated_and_no_other_is_sent() {
    for provisional in [false, true] {
        let (now, mut machine) = begin(Unreliable);
        if provisional {
            machine.respond(now, &answer(100));
        }
        let bytes = answer(200).to_bytes();
        assert_eq!(
            machine.respond(now, &answer(200)),
            Step::send(bytes.clone())
        );
        assert_eq!(machine.respond(now, &answer(500)), Step::nothing());
        assert_eq!(machine.handle_retransmission(), Step::send(bytes));
    }
}

#[test]
fn timer_j_ends_completed_after_32_s_over_udp_and_at_once_over_tcp() {
    for (transport, wait) in [(Unreliable, ms(32_000)), (Reliable, ms(0))] {
        let (now, mut machine) = begin(transport);
        machine.respond(now, &answer(200));
        assert_eq!(machine.poll_timeout(), Some(now + wait));
        assert_eq!(machine.handle_timeout(now + wait), Step::nothing());
        assert!(machine.is_terminated());
        assert_eq!(machine.handle_retransmission(), Step::nothing());
        assert_eq!(machine.respond(now, &answer(200)), Step::nothing());
    }
}

#[test]
fn a_transport_error_ends_proceeding_and_completed() {
    for status in [100, 200] {
        let (now, mut machine) = begin(Unreliable);
        machine.respond(now, &answer(status));
        let step = machine.handle_transport_error();
        assert_eq!(step, Step::inform(Inform::TransportError));
        assert!(machine.is_terminated());
    }
}
