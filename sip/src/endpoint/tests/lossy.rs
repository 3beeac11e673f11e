//! Calls over a wire that loses a third of everything: both sides end in the same state, and nothing is left.

use super::help::{ANSWER, CALLEE, CALLER, assert_empty, invite, seconds};
use crate::{
    StatusCode,
    endpoint::{Event, Session, Transport},
    testing::{Conditions, Net},
};

/// What a call is meant to do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Plan {
    Talk,
    Reject,
    Cancel,
    /// Accept and cancel in the same moment.
    Race,
}

/// Plays one call; says whether it did what it was meant to.
fn play(seed: u64, plan: Plan) -> bool {
    let mut net = Net::pair(seed, Conditions::lossy(0.3));
    let now = net.now;
    let caller = net.endpoints[CALLER]
        .invite(now, invite(Transport::Udp))
        .unwrap();
    let callee = match net.run_to_event(CALLEE, seconds(40)) {
        Some(Event::Incoming { session, .. }) => session,
        // Every INVITE was lost, as two in ten thousand calls must expect: nobody is in a call.
        None => {
            assert!(
                matches!(net.events(CALLER)[..], [Event::Failed { .. }]),
                "seed {seed} {net:?}"
            );
            assert_empty(&mut net);
            return false;
        }
        other => panic!("{other:?} seed {seed} {net:?}"),
    };
    let now = net.now;
    net.endpoints[CALLEE].ring(now, callee, StatusCode::RINGING, None);
    net.run(seconds(2));
    let now = net.now;
    match plan {
        Plan::Talk => net.endpoints[CALLEE].accept(now, callee, ANSWER.to_vec()),
        Plan::Reject => {
            net.endpoints[CALLEE].reject(now, callee, StatusCode::BUSY_HERE, None);
        }
        Plan::Cancel => net.endpoints[CALLER].cancel(now, caller, None),
        Plan::Race => {
            net.endpoints[CALLEE].accept(now, callee, ANSWER.to_vec());
            net.endpoints[CALLER].cancel(now, caller, None);
        }
    }
    // 64·T1 for the answer, 64·T1 for the BYE of a callee who saw no ACK, and the way.
    net.run(seconds(66));
    let both = [(CALLER, caller), (CALLEE, callee)];
    let is_up = |net: &Net, (index, session): (usize, Session)| net.endpoints[index].is_up(session);
    let (a, b) = (is_up(&net, both[0]), is_up(&net, both[1]));
    assert_eq!(
        a, b,
        "one side up, one down: {plan:?}, seed {seed}\n{net:?}"
    );
    if a {
        let (index, session) = both[usize::try_from(seed % 2).unwrap()];
        let now = net.now;
        net.endpoints[index].bye(now, session, None);
        net.run(seconds(66));
    }
    for (index, session) in both {
        assert!(!is_up(&net, (index, session)), "seed {seed} {net:?}");
        let last: Vec<Event> = net.events(index);
        let over = last.iter().filter(|event| {
            matches!(
                event,
                Event::Ended { .. } | Event::Failed { .. } | Event::Cancelled { .. }
            )
        });
        let expected = usize::from(!(plan == Plan::Reject && index == CALLEE));
        assert_eq!(
            over.count(),
            expected,
            "{plan:?}, seed {seed}: {last:?}\n{net:?}"
        );
    }
    assert_empty(&mut net);
    a == (plan == Plan::Talk)
}

fn play_all(plan: Plan, seeds: u64) -> u64 {
    (0..seeds).filter(|seed| play(*seed, plan)).count() as u64
}

#[test]
fn calls_complete_and_end_alike_on_both_sides_with_30_percent_loss() {
    let complete = play_all(Plan::Talk, 400);
    assert!(complete >= 398, "{complete} of 400");
}

#[test]
fn rejections_end_alike_on_both_sides_with_30_percent_loss() {
    assert_eq!(play_all(Plan::Reject, 150), 150);
}

#[test]
fn cancelled_calls_end_alike_on_both_sides_with_30_percent_loss() {
    assert_eq!(play_all(Plan::Cancel, 150), 150);
}

#[test]
fn answers_that_cross_a_cancel_end_alike_on_both_sides_with_30_percent_loss() {
    play_all(Plan::Race, 300);
}
