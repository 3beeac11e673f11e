use super::*;

const PACKET: Duration = Duration::from_millis(20);

/// What arrives of `count` packets of 160 octets, one every 20 ms: its number, and how long it was under way.
fn send(way: &mut Impairment<u64>, count: u64) -> Vec<(u64, Duration)> {
    let start = Instant::now();
    let mut arrived = Vec::new();
    let mut number = 0;
    loop {
        let next = start + PACKET * number as u32;
        let due = way.poll_timeout();
        if number < count && due.is_none_or(|due| next <= due) {
            way.handle(next, number, &[number as u8; 160]);
            number += 1;
            continue;
        }
        let Some(now) = due else {
            return arrived;
        };
        while let Some((which, packet)) = way.poll_transmit(now) {
            assert_eq!(packet, [which as u8; 160]);
            arrived.push((which, now - (start + PACKET * which as u32)));
        }
    }
}

fn way(settings: &str, seed: u64) -> Impairment<u64> {
    Impairment::new(settings.parse().unwrap(), seed)
}

/// How often packets in a row were missing, and how many were.
fn gaps(arrived: &[(u64, Duration)]) -> (u64, u64) {
    let gaps = arrived.windows(2).map(|pair| pair[1].0 - pair[0].0 - 1);
    gaps.filter(|gap| *gap > 0)
        .fold((0, 0), |(count, sum), gap| (count + 1, sum + gap))
}

#[test]
fn a_good_network_passes_everything_at_once_and_in_order() {
    let mut way = way("none", 1);
    let arrived = send(&mut way, 1000);
    assert!(
        (0..1000)
            .map(|number| (number, Duration::ZERO))
            .eq(arrived.iter().copied())
    );
    let report = ImpairmentReport {
        packets: 1000,
        ..ImpairmentReport::default()
    };
    assert_eq!(way.report(), report);
}

#[test]
fn the_same_seed_is_the_same_fate_and_another_is_another() {
    let bad = "loss=10,burst=3,jitter=50ms,reorder=5,duplicate=5";
    let fate = |seed| send(&mut way(bad, seed), 2000);
    assert_eq!(fate(7), fate(7));
    assert_ne!(fate(7), fate(8));
}

#[test]
fn random_loss_takes_its_share_without_memory() {
    for (percent, seed) in [(1.0, 1), (5.0, 2), (20.0, 3), (50.0, 4)] {
        let mut way = way(&format!("loss={percent}"), seed);
        let arrived = send(&mut way, 100_000);
        let lost = 100_000 - arrived.len() as u64;
        assert_eq!(way.report().lost, lost);
        // Four standard deviations.
        let p = percent / 100.0;
        let share = lost as f64 / 100_000.0;
        assert!(
            (share - p).abs() < 4.0 * (p * (1.0 - p) / 100_000.0_f64).sqrt(),
            "{share}"
        );
        let (count, sum) = gaps(&arrived);
        let mean = sum as f64 / count as f64;
        assert!((mean - 1.0 / (1.0 - p)).abs() < 0.05, "{percent} %: {mean}");
    }
}

#[test]
fn bursts_of_loss_have_their_share_and_their_mean_length() {
    for (percent, burst) in [(5.0, 3.0), (10.0, 3.0), (20.0, 5.0), (10.0, 1.0)] {
        let mut way = way(&format!("loss={percent},burst={burst}"), 11);
        let arrived = send(&mut way, 200_000);
        let share = 1.0 - arrived.len() as f64 / 200_000.0;
        assert!((share * 100.0 - percent).abs() < 0.07 * percent, "{share}");
        let (count, sum) = gaps(&arrived);
        let mean = sum as f64 / count as f64;
        assert!((mean - burst).abs() < 0.05 * burst, "{burst}: {mean}");
    }
}

#[test]
fn a_network_that_loses_everything_loses_everything_in_bursts_too() {
    for settings in ["loss=100", "loss=100,burst=3"] {
        assert!(send(&mut way(settings, 1), 1000).is_empty());
    }
}

#[test]
fn delay_and_jitter_add_up_and_keep_the_order() {
    let arrived = send(&mut way("delay=40ms,jitter=60ms", 5), 20_000);
    assert_eq!(arrived.len(), 20_000);
    assert!(arrived.is_sorted_by_key(|(number, _)| *number));
    let times = arrived.iter().map(|(_, took)| took.as_secs_f64() * 1000.0);
    assert!(times.clone().all(|ms| (40.0..=100.0).contains(&ms)));
    assert!(times.clone().fold(0.0, f64::max) > 99.0);
    assert!(times.fold(1000.0, f64::min) < 42.0);
}

#[test]
fn jitter_below_the_packet_time_is_uniform() {
    let arrived = send(&mut way("jitter=20ms", 6), 20_000);
    let ms: f64 = arrived
        .iter()
        .map(|(_, took)| took.as_secs_f64() * 1000.0)
        .sum();
    assert!((ms / 20_000.0 - 10.0).abs() < 0.2, "{}", ms / 20_000.0);
}

#[test]
fn what_is_held_back_is_overtaken_by_one_to_three() {
    let mut way = way("reorder=2", 9);
    let arrived = send(&mut way, 50_000);
    assert_eq!(arrived.len(), 50_000);
    let late = arrived.iter().filter(|(_, took)| !took.is_zero());
    assert!(
        late.clone()
            .all(|(_, took)| HELD_BACK[0] <= *took && *took <= HELD_BACK[1])
    );
    let late = late.count() as u64;
    assert_eq!(late, way.report().reordered);
    assert!((900..1100).contains(&late), "{late}");
    let mut furthest = 0;
    let behind = arrived.iter().filter(|(number, _)| {
        let behind = *number < furthest;
        furthest = furthest.max(*number);
        behind
    });
    // Nearly all of them: two in a row may both be held back.
    assert!(behind.count() as u64 > late * 9 / 10);
}

#[test]
fn duplicates_come_twice() {
    let mut way = way("duplicate=10", 3);
    let arrived = send(&mut way, 10_000);
    let more = arrived.len() as u64 - 10_000;
    assert_eq!(way.report().duplicated, more);
    assert!((850..1150).contains(&more), "{more}");
    let mut numbers: Vec<_> = arrived.iter().map(|(number, _)| *number).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 10_000);
}

#[test]
fn a_limited_rate_lets_so_many_bits_through_after_a_bounded_queue() {
    // 188 octets at 50 a second are 75.2 kbit/s; two thirds of them fit.
    let mut way = way("rate=50k", 1);
    let arrived = send(&mut way, 5000);
    let share = arrived.len() as f64 / 5000.0;
    assert!((share - 50.0 / 75.2).abs() < 0.01, "{share}");
    assert_eq!(way.report().overflowed, 5000 - arrived.len() as u64);
    let longest = arrived.iter().map(|(_, took)| *took).max().unwrap();
    let one = Duration::from_secs_f64(188.0 * 8.0 / 50_000.0);
    assert!(QUEUE < longest && longest <= QUEUE + one, "{longest:?}");
    assert!(arrived.is_sorted_by_key(|(number, _)| *number));
    // What fits is only as late as it takes to send it.
    let arrived = send(&mut self::way("rate=80k", 1), 500);
    assert!(arrived.iter().all(|(_, took)| *took < PACKET));
    assert_eq!(arrived.len(), 500);
}

#[test]
fn a_flood_is_bounded_in_packets_and_in_their_length() {
    let now = Instant::now();
    let mut way = way("delay=2s", 1);
    for number in 0..10_000 {
        way.handle(now, number, &[0; LONGEST]);
    }
    way.handle(now, 0, &[0; LONGEST + 1]);
    assert_eq!(way.slots.len(), MOST_UNDER_WAY);
    assert_eq!(way.report().overflowed, 10_001 - MOST_UNDER_WAY as u64);
    assert!(
        way.poll_transmit(now + Duration::from_millis(1999))
            .is_none()
    );
    let mut arrived = 0;
    while let Some((number, packet)) = way.poll_transmit(now + Duration::from_secs(2)) {
        assert_eq!((number, packet.len()), (arrived, LONGEST));
        arrived += 1;
    }
    assert_eq!(arrived, MOST_UNDER_WAY as u64);
    assert_eq!(way.poll_timeout(), None);
}

#[test]
fn buffers_are_used_again() {
    let bad = "loss=5,burst=2,delay=100ms,jitter=50ms,reorder=5,duplicate=5";
    let mut way = way(bad, 4);
    let mut now = Instant::now();
    let mut send = |count| {
        for number in 0..count {
            now += PACKET;
            way.handle(now, number, &[0; 160]);
            while way.poll_transmit(now).is_some() {}
        }
    };
    send(20_000);
    let allocations = allocation_counter::measure(|| send(1000));
    assert_eq!(allocations.count_total, 0);
}
