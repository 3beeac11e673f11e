//! The limits of ITU-T Q.24, and lost audio.

use super::super::dtmf::{COLUMNS, ROWS};
use super::super::{DTMF_KEYS, DtmfTone, Sine};
use super::*;

/// A press: a key, its beginning and its length in samples.
type Press = (char, usize, usize);

fn random(state: &mut u64, bound: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % bound
}

fn hear(pcm: &[i16]) -> Vec<(char, u32)> {
    hear_lossy(pcm, |_| false)
}

/// What is heard of packets of 20 ms, some of them lost: keys and their lengths in samples.
fn hear_lossy(pcm: &[i16], mut is_lost: impl FnMut(usize) -> bool) -> Vec<(char, u32)> {
    let mut detector = DtmfDetector::new();
    let mut keys = Vec::new();
    let mut open = None;
    let mut note = |heard| match heard {
        DtmfHeard::Began { key, .. } => assert_eq!(open.replace(key), None),
        DtmfHeard::Ended { key, held } => {
            assert_eq!(open.take(), Some(key));
            keys.push((key, held));
        }
    };
    for (index, packet) in pcm.chunks(160).enumerate() {
        if is_lost(index) {
            detector.lose(160, &mut note);
        } else {
            detector.hear(packet, &mut note);
        }
    }
    detector.finish(&mut note);
    keys
}

/// Two tones in the middle of silence.
fn tones(row: f64, column: f64, dbm0: (f64, f64), begin: usize, len: usize) -> Vec<i16> {
    let mut pcm = vec![0_i16; begin + len + 1600];
    let (mut low, mut high) = (vec![0; len], vec![0; len]);
    Sine::new(row, dbm0.0).fill(&mut low);
    Sine::new(column, dbm0.1).fill(&mut high);
    for ((sample, low), high) in pcm[begin..].iter_mut().zip(low).zip(high) {
        *sample = low.saturating_add(high);
    }
    pcm
}

fn frequencies(key: char) -> (f64, f64) {
    let row = LAYOUT.iter().position(|keys| keys.contains(&key));
    let row = row.expect("a key");
    let column = LAYOUT[row].iter().position(|found| *found == key);
    (ROWS[row], COLUMNS[column.expect("a key")])
}

fn dialled(presses: &[Press]) -> Vec<i16> {
    let end = presses.last().map_or(0, |(_, begin, len)| begin + len);
    let mut pcm = vec![0; end + 3200];
    for (key, begin, len) in presses {
        let mut tone = DtmfTone::with_twist(*key, -10.0, 2.0).expect("a key");
        tone.fill(&mut pcm[*begin..begin + len]);
    }
    pcm
}

#[test]
fn a_tone_within_one_and_a_half_percent_of_its_frequency_is_heard_and_beyond_three_and_a_half_not()
{
    for key in DTMF_KEYS {
        let (row, column) = frequencies(key);
        for begin in (1600..1680).step_by(20) {
            for off in [-0.015, 0.0, 0.015] {
                for other in [-0.015, 0.015] {
                    let pcm = tones(
                        row * (1.0 + off),
                        column * (1.0 + other),
                        (-12.0, -12.0),
                        begin,
                        320,
                    );
                    assert_eq!(hear(&pcm).len(), 1, "{key} {off} {other} at {begin}");
                }
            }
            for off in [-0.035, 0.035] {
                for (low, high) in [(off, 0.0), (0.0, off), (off, off)] {
                    let pcm = tones(
                        row * (1.0 + low),
                        column * (1.0 + high),
                        (-12.0, -12.0),
                        begin,
                        800,
                    );
                    assert_eq!(hear(&pcm), [], "{key} {low} {high} at {begin}");
                }
            }
        }
    }
}

#[test]
fn tones_of_unequal_levels_are_heard_as_far_as_lines_make_them_so() {
    for key in DTMF_KEYS {
        let (row, column) = frequencies(key);
        for (low, high, times) in [
            (-8.0, -4.0, 1),
            (-4.0, -11.5, 1),
            (0.0, 0.0, 1),
            (-29.0, -29.0, 1),
            (-10.0, -20.0, 0),
            (-18.0, -10.0, 0),
            (-36.0, -36.0, 0),
        ] {
            let pcm = tones(row, column, (low, high), 1640, 400);
            assert_eq!(hear(&pcm).len(), times, "{key} {low} {high}");
        }
    }
}

#[test]
fn forty_milliseconds_are_a_press_and_twenty_are_none() {
    for key in DTMF_KEYS {
        for begin in 1600..1680 {
            assert_eq!(
                hear(&dialled(&[(key, begin, 320)])).len(),
                1,
                "{key} at {begin}"
            );
            assert_eq!(hear(&dialled(&[(key, begin, 160)])), [], "{key} at {begin}");
        }
    }
}

#[test]
fn a_pause_of_forty_milliseconds_parts_two_presses_and_a_hole_of_ten_does_not() {
    for begin in 1600..1680 {
        let twice = dialled(&[('7', begin, 480), ('7', begin + 800, 480)]);
        assert_eq!(hear(&twice).len(), 2, "at {begin}");
        let holed = dialled(&[('7', begin, 480), ('7', begin + 560, 480)]);
        assert_eq!(hear(&holed).len(), 1, "at {begin}");
    }
}

#[test]
fn lengths_are_right_within_ten_milliseconds() {
    let mut seed = 1;
    for _ in 0..500 {
        let key = DTMF_KEYS[random(&mut seed, 16)];
        let (begin, len) = (1600 + random(&mut seed, 200), 320 + random(&mut seed, 2000));
        let heard = hear(&dialled(&[(key, begin, len)]));
        let [(same, held)] = heard[..] else {
            panic!("{key} of {len}: {heard:?}")
        };
        assert_eq!(same, key);
        assert!(
            held.abs_diff(len as u32) <= 80,
            "{held} of {len} at {begin}"
        );
    }
}

#[test]
fn a_thousand_presses_with_every_fifth_packet_lost_are_each_heard_once() {
    let mut seed = 5;
    let mut at = 1600;
    let mut presses: Vec<Press> = Vec::new();
    for _ in 0..1000 {
        let (key, len) = (
            DTMF_KEYS[random(&mut seed, 16)],
            800 + random(&mut seed, 1200),
        );
        presses.push((key, at, len));
        at += len + 800 + random(&mut seed, 800);
    }
    let pcm = dialled(&presses);
    let lost: Vec<bool> = (0..pcm.len() / 160 + 1)
        .map(|_| random(&mut seed, 5) == 0)
        .collect();
    let heard = hear_lossy(&pcm, |index| lost[index]);
    let keys: String = heard.iter().map(|(key, _)| *key).collect();
    let pressed: String = presses.iter().map(|(key, _, _)| *key).collect();
    assert_eq!(keys, pressed);
    // Packets lost over an edge leave its place open: half of what they last, either way, is not known.
    let off = heard
        .iter()
        .zip(&presses)
        .map(|((_, held), (_, _, len))| (i64::from(*held) - *len as i64).unsigned_abs() / 8);
    let (mut outside, mut most) = (0, 0);
    for off in off {
        outside += usize::from(off > 20);
        most = most.max(off);
    }
    assert!(
        outside <= 35 && most <= 50,
        "{outside} of a thousand are more than 20 ms off, one by {most} ms"
    );
}
