//! What a load has measured, in words.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Options;
use super::call::Figures;
use super::cost::Usage;
use super::floor::Floor;

/// One look at the gateway's process.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What it has used.
    pub usage: Usage,
    /// How many calls were accepted and not over.
    pub talking: usize,
}

/// A load that is over.
#[derive(Debug)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// Each call.
    pub outcomes: Vec<(Figures, Result<(), String>)>,
    /// From each offer to its INVITE, where the calls came here.
    pub invited: Vec<Duration>,
    /// The gateway before the first call.
    pub before: Option<Usage>,
    /// While there were calls.
    pub samples: Vec<Sample>,
    /// After the last.
    pub after: Option<Usage>,
    /// What the primitives of a call take.
    pub floor: Floor,
}

impl Report {
    /// How many calls failed.
    pub fn failed(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|(_, result)| result.is_err())
            .count()
    }

    /// The gateway's CPU time per second of one call while as many calls were up as ever, without set-up.
    pub fn steady(&self) -> Option<(usize, Duration)> {
        let most = self
            .samples
            .iter()
            .map(|sample| sample.talking)
            .max()
            .filter(|most| *most > 0)?;
        let (mut cpu, mut call_seconds) = (Duration::ZERO, 0.0);
        for pair in self.samples.windows(2) {
            if pair[0].talking == most && pair[1].talking == most {
                cpu += pair[1].usage.cpu.saturating_sub(pair[0].usage.cpu);
                call_seconds += (pair[1].usage.at - pair[0].usage.at).as_secs_f64() * most as f64;
            }
        }
        (call_seconds > 0.0).then(|| (most, cpu.div_f64(call_seconds)))
    }

    /// The gateway's CPU time per second of one call over the whole run, set-up and end included.
    pub fn overall(&self) -> Option<Duration> {
        let cpu = self.after?.cpu.saturating_sub(self.before?.cpu);
        let good = self.outcomes.len() - self.failed();
        let call_seconds = good as f64 * self.options.seconds;
        (call_seconds > 0.0).then(|| cpu.div_f64(call_seconds))
    }

    fn times(&self, of: fn(&Figures) -> Option<Duration>) -> Vec<Duration> {
        self.outcomes
            .iter()
            .filter_map(|(figures, _)| of(figures))
            .collect()
    }

    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.times(|figures| figures.answered).len();
        let accepted = self.times(|figures| figures.accepted).len();
        let failed = self.failed();
        writeln!(
            f,
            "calls: {} placed, {answered} answered, {accepted} accepted, {failed} failed",
            self.outcomes.len()
        )?;
        let mut reasons = BTreeMap::new();
        for (_, result) in &self.outcomes {
            if let Err(why) = result {
                *reasons.entry(why).or_insert(0) += 1;
            }
        }
        reasons
            .iter()
            .try_for_each(|(why, count)| writeln!(f, "  {count} x {why}"))
    }

    fn write_packets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&Figures) -> u64| {
            self.outcomes
                .iter()
                .map(|(figures, _)| of(figures))
                .sum::<u64>()
        };
        let (sent, received, lost) = (sum(|f| f.sent), sum(|f| f.received), sum(|f| f.lost));
        let share = lost as f64 * 100.0 / (received + lost).max(1) as f64;
        writeln!(
            f,
            "packets: {sent} sent, {received} received, {lost} lost ({share:.2} %)"
        )
    }

    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = self.floor.total();
        writeln!(
            f,
            "floor: {} CPU-ms per call-second (decoding {}, encoding {}, SRTP {}, UDP {})",
            ms(floor),
            ms(self.floor.decode),
            ms(self.floor.encode),
            ms(self.floor.srtp),
            ms(self.floor.udp)
        )?;
        let ratio = |cost: Duration| cost.as_secs_f64() / floor.as_secs_f64().max(1e-9);
        if let Some((most, steady)) = self.steady() {
            writeln!(
                f,
                "gateway, {most} calls up: {} CPU-ms per call-second, {:.2} x the floor",
                ms(steady),
                ratio(steady)
            )?;
        }
        if let Some(overall) = self.overall() {
            writeln!(
                f,
                "gateway, set-up and end included: {} CPU-ms per call-second, {:.2} x the floor",
                ms(overall),
                ratio(overall)
            )?;
        }
        Ok(())
    }

    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self
            .samples
            .iter()
            .max_by_key(|sample| (sample.talking, sample.usage.memory));
        let (Some(before), Some(most), Some(after)) = (self.before, most, self.after) else {
            return writeln!(f, "gateway: not looked at; --pid names its process");
        };
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let more = most.usage.memory.saturating_sub(before.memory) / (most.talking.max(1) as u64);
        writeln!(
            f,
            "memory: {:.1} MiB before, {:.1} MiB with {} calls ({:.1} KiB a call), {:.1} MiB after",
            mib(before.memory),
            mib(most.usage.memory),
            most.talking,
            more as f64 / 1024.0,
            mib(after.memory)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_calls(f)?;
        writeln!(f, "set-up in ms (min / median / p99):")?;
        let rows = [
            ("offer to answer", self.times(|figures| figures.answered)),
            ("offer to INVITE", self.invited.clone()),
            ("offer to accepted", self.times(|figures| figures.accepted)),
            ("offer to DTLS up", self.times(|figures| figures.connected)),
            ("first audio and back", self.times(|figures| figures.heard)),
        ];
        for (name, times) in rows {
            if let Some([least, median, p99]) = spread(times) {
                writeln!(
                    f,
                    "  {name:21}{:>9} /{:>9} /{:>9}",
                    ms(least),
                    ms(median),
                    ms(p99)
                )?;
            }
        }
        self.write_packets(f)?;
        self.write_cost(f)?;
        self.write_memory(f)
    }
}

/// The least, the median and the 99th percentile.
fn spread(mut times: Vec<Duration>) -> Option<[Duration; 3]> {
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get((times.len() * share).div_ceil(100).saturating_sub(1))
            .copied()
    };
    Some([at(0)?, at(50)?, at(99)?])
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use codecs::opus::EncoderSettings;

    use super::*;
    use crate::load::Codec;

    fn report(samples: Vec<Sample>) -> Report {
        let floor = Floor {
            decode: Duration::from_micros(400),
            encode: Duration::from_micros(1000),
            srtp: Duration::from_micros(40),
            udp: Duration::from_micros(60),
        };
        Report {
            options: Options {
                url: String::new(),
                to: "echo".into(),
                calls: 2,
                rate: 1.0,
                seconds: 10.0,
                pid: Some(1),
                answer: None,
                codec: Codec::Opus,
                opus: EncoderSettings::default(),
            },
            outcomes: vec![
                (Figures::default(), Ok(())),
                (Figures::default(), Err("busy".into())),
            ],
            invited: Vec::new(),
            before: samples.first().map(|sample| sample.usage),
            after: samples.last().map(|sample| sample.usage),
            samples,
            floor,
        }
    }

    /// After so many seconds it has used so many milliseconds and MiB, and so many calls are up.
    fn sample(start: Instant, [seconds, cpu, memory, talking]: [u64; 4]) -> Sample {
        let usage = Usage {
            at: start + Duration::from_secs(seconds),
            cpu: Duration::from_millis(cpu),
            memory: memory << 20,
        };
        let talking = talking as usize;
        Sample { usage, talking }
    }

    #[test]
    fn the_cost_of_a_call_second_is_that_of_the_time_when_all_calls_were_up() {
        let start = Instant::now();
        let seconds = [
            [0, 100, 10, 0],
            [1, 150, 11, 1],
            [2, 160, 12, 2],
            [3, 168, 12, 2],
            [4, 176, 12, 2],
            [5, 276, 12, 0],
        ];
        let report = report(seconds.map(|second| sample(start, second)).into());
        // 16 ms in 2 s of 2 calls.
        assert_eq!(report.steady(), Some((2, Duration::from_millis(4))));
        // 176 ms for the one call of 10 s that went well.
        assert_eq!(report.overall(), Some(Duration::from_micros(17_600)));
        let text = report.to_string();
        assert!(
            text.contains("2 calls up: 4.00 CPU-ms per call-second, 2.67 x the floor"),
            "{text}"
        );
        assert!(
            text.contains("1 failed") && text.contains("1 x busy"),
            "{text}"
        );
        assert!(text.contains("(1024.0 KiB a call)"), "{text}");
    }

    #[test]
    fn the_spread_of_times_is_their_least_their_median_and_their_99th_percentile() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(
            spread(times),
            Some([1, 100, 198].map(Duration::from_millis))
        );
        assert_eq!(
            spread(vec![Duration::from_millis(7)]),
            Some([7, 7, 7].map(Duration::from_millis))
        );
        assert_eq!(spread(Vec::new()), None);
    }
}
