//! Calls in the seeded virtual network: the gateway's cores and a simulated telephone, in virtual time.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};

use switchhook_tests::net::call::{Outcome, Sabotage, play};
use switchhook_tests::net::changing;
use switchhook_tests::net::media::{self, Heard};
use switchhook_tests::net::plan::Course;

const LOSS: f64 = 0.3;
const SEEDS_OF_MEDIA: u64 = 300;

/// The calls of these seeds, on every core.
fn play_all(seeds: u64, sabotage: Option<Sabotage>) -> Vec<Result<Outcome, String>> {
    let next = AtomicU64::new(0);
    let work = || {
        let seeds = std::iter::from_fn(|| {
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds)
        });
        seeds
            .map(|seed| play(seed, LOSS, sabotage))
            .collect::<Vec<_>>()
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results
            .flat_map(|result| result.expect("a call panicked"))
            .collect()
    })
}

fn complete(outcomes: &[Outcome]) -> (usize, usize) {
    let meant: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.plan.course == Course::Talk)
        .collect();
    let talked = meant.iter().filter(|outcome| outcome.talked).count();
    (talked, meant.len())
}

#[test]
fn a_thousand_calls_with_30_percent_loss_each_way_end_alike_on_both_legs_with_one_record_each() {
    let outcomes: Vec<Outcome> = play_all(1000, None)
        .into_iter()
        .map(|result| result.unwrap_or_else(|wrong| panic!("{wrong}")))
        .collect();
    let (talked, meant) = complete(&outcomes);
    let agreed = outcomes.iter().filter(|o| o.agreed_at_once).count();
    let mut causes = BTreeMap::new();
    for outcome in &outcomes {
        let code = format!("{:?}", outcome.record.cause.code);
        *causes.entry(code).or_insert(0) += 1;
    }
    println!("{causes:?}");
    println!(
        "{talked} of {meant} calls that were meant to talk did; {agreed} of 1000 legs agreed after 64*T1"
    );
    assert!(
        talked * 1000 >= meant * 995,
        "{talked} of {meant} calls that were meant to talk did"
    );
    assert_eq!(agreed, 1000, "legs that agreed after 64*T1");
}

/// Calls that change on the way, of these seeds, on every core.
fn change_all(
    seeds: u64,
    loss: f64,
    sabotage: Option<changing::Sabotage>,
) -> Vec<Result<changing::Outcome, String>> {
    let next = AtomicU64::new(0);
    let work = || {
        let seeds = std::iter::from_fn(|| {
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds)
        });
        let play = |seed| changing::play(seed, loss, sabotage);
        seeds.map(play).collect::<Vec<_>>()
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results
            .flat_map(|result| result.expect("a call panicked"))
            .collect()
    })
}

#[test]
fn ten_thousand_calls_that_are_held_moved_and_transferred_end_alike_on_all_legs_with_one_record() {
    let mut outcomes = Vec::new();
    for loss in [0.0, 0.1, 0.3] {
        outcomes.extend(change_all(3334, loss, None));
    }
    let wrong = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let wrong: Vec<&String> = wrong.collect();
    if let Some(first) = wrong.first() {
        for one in &wrong {
            println!("{}", one.lines().next().unwrap_or_default());
        }
        panic!(
            "{} of {} calls went wrong; {first}",
            wrong.len(),
            outcomes.len()
        );
    }
    let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    let count = |what: fn(&changing::Outcome) -> bool| outcomes.iter().filter(|o| what(o)).count();
    let (inbound, answered) = (count(|o| o.inbound), count(|o| o.answered));
    let (changed, joined) = (count(|o| o.changes > 0), count(|o| o.joined));
    let (transferred, done) = (count(|o| o.transfers.0 > 0), count(|o| o.transfers.1 > 0));
    println!(
        "of {} calls {inbound} were inbound, {answered} answered, {changed} changed; in {transferred} somebody was transferred, in {done} it came to that, in {joined} two telephones were joined",
        outcomes.len()
    );
    for (what, least) in [
        (inbound, 4000),
        (answered, 7000),
        (changed, 4000),
        (done, 800),
        (joined, 100),
    ] {
        assert!(what >= least, "{what} are too few to say anything");
    }
}

#[test]
fn the_check_notices_legs_that_are_left_up() {
    for sabotage in [
        changing::Sabotage::ByeOnce,
        changing::Sabotage::LeavesTheFirst,
    ] {
        let outcomes = change_all(400, 0.3, Some(sabotage));
        let wrong = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert!(wrong > 5, "{sabotage:?}: {wrong} of 400 were noticed");
    }
}

#[test]
fn the_check_notices_acks_that_are_not_repeated() {
    let outcomes: Vec<Outcome> = play_all(200, Some(Sabotage::AckOnce))
        .into_iter()
        .flatten()
        .collect();
    let (talked, meant) = complete(&outcomes);
    assert!(talked * 1000 < meant * 995, "{talked} of {meant}");
}

#[test]
fn the_check_notices_byes_that_are_lost() {
    for sabotage in [Sabotage::ByeOnce, Sabotage::TelephoneByeLost] {
        let wrong = play_all(200, Some(sabotage))
            .into_iter()
            .filter(Result::is_err)
            .count();
        assert!(wrong > 10, "{sabotage:?}: {wrong} of 200 were noticed");
    }
}

#[test]
fn media_stays_continuous_and_digits_come_once_over_networks_that_lose_repeat_and_reorder() {
    let mut wrong = Vec::new();
    for seed in 0..SEEDS_OF_MEDIA {
        let (legs, _) = media::play(seed, 0.15);
        for heard in &legs {
            if let Err(what) = media::check(heard) {
                wrong.push(format!("seed {seed}, towards {:?}: {what}", heard.leg));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_check_notices_media_that_jumps_bursts_or_repeats_itself() {
    let spoilt: [fn(&mut Heard); 7] = [
        |heard| heard.packets[50].ssrc ^= 1,
        |heard| drop(heard.packets.remove(50)),
        |heard| heard.packets.swap(20, 21),
        |heard| {
            heard.packets[100..]
                .iter_mut()
                .for_each(|packet| packet.timestamp = packet.timestamp.wrapping_add(48_000));
        },
        |heard| {
            let at = heard.packets[10].at;
            heard.packets[5..10]
                .iter_mut()
                .for_each(|packet| packet.at = at);
        },
        |heard| heard.keys.push('#'),
        |heard| heard.reported.truncate(1),
    ];
    for (number, spoil) in spoilt.into_iter().enumerate() {
        let ([mut heard, _], _) = media::play(1, 0.05);
        assert_eq!(media::check(&heard), Ok(()));
        spoil(&mut heard);
        assert!(media::check(&heard).is_err(), "{number}");
    }
}
