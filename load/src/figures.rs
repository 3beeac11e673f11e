//! What a load has measured, in words.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use media::{Hearing, Rating};
use serde_json::{Value, json};

use crate::Options;
use crate::call::Figures;
use crate::cost::Usage;
use crate::floor::Floor;
use crate::link::Heard;
use crate::pesq::Scores;

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
    /// The gateway before the first call.
    pub before: Option<Usage>,
    /// While there were calls.
    pub samples: Vec<Sample>,
    /// After the last.
    pub after: Option<Usage>,
    /// What the primitives of a call take.
    pub floor: Floor,
    /// PESQ of each direction, where it was asked for.
    pub pesq: Option<Vec<Scores>>,
    /// This program's own CPU time, and the time in which it was used.
    pub own: Option<(Duration, Duration)>,
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

    fn set_up(&self) -> [(&'static str, Vec<Duration>); 7] {
        [
            ("offer to answer", self.times(|figures| figures.answered)),
            ("offer to INVITE", self.times(|figures| figures.invited)),
            ("offer to accepted", self.times(|figures| figures.accepted)),
            ("ICE", self.times(|figures| figures.path)),
            ("DTLS", self.times(|figures| figures.dtls)),
            ("offer to media up", self.times(|figures| figures.connected)),
            ("first audio heard", self.times(|figures| figures.heard)),
        ]
    }

    /// What the calls' sides heard, by direction.
    fn directions(&self) -> Vec<Direction> {
        let heard =
            |name, of: fn(&Figures) -> Option<&Heard>, sent: fn(&Figures) -> Option<&Heard>| {
                let calls = self.outcomes.iter().map(|(figures, _)| figures);
                let sides: Vec<_> = calls.clone().filter_map(of).collect();
                let sent = calls.filter_map(sent).map(|heard| heard.sent).sum();
                Direction::of(name, &sides, sent)
            };
        let browser: fn(&Figures) -> Option<&Heard> = |figures| Some(&figures.browser);
        let phone: fn(&Figures) -> Option<&Heard> = |figures| figures.phone.as_ref();
        match self.options.answer {
            Some(_) => vec![
                heard("browser to phone", phone, browser),
                heard("phone to browser", browser, phone),
            ],
            None => vec![heard("there and back", browser, browser)],
        }
    }

    fn write_directions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            impair_browser,
            impair_phone,
            ..
        } = &self.options;
        if !impair_browser.is_none() || !impair_phone.is_none() {
            writeln!(
                f,
                "impairment: browsers {impair_browser}, phones {impair_phone}"
            )?;
        }
        writeln!(
            f,
            "audio                     sent  received  lost %  reord.  dup.  jitter ms  gateway ms: median    p99    MOS (worst)"
        )?;
        for direction in self.directions() {
            let latency = |time: Option<Duration>| time.map_or("-".into(), ms);
            writeln!(
                f,
                "  {:18}{:>10}{:>10}{:>8.2}{:>8}{:>6}{:>11.2}{:>20}{:>7}{:>7.2} ({:.2})",
                direction.name,
                direction.sent,
                direction.received,
                direction.loss * 100.0,
                direction.reordered,
                direction.duplicates,
                direction.jitter_ms,
                latency(direction.median),
                latency(direction.p99),
                direction.mos,
                direction.worst_mos
            )?;
        }
        Ok(())
    }

    /// The directions of PESQ's scores.
    fn pesq_names(&self) -> &'static [&'static str] {
        match self.options.answer {
            Some(_) => &["browser to phone", "phone to browser"],
            None => &["there and back"],
        }
    }

    fn write_pesq(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, scores) in self.pesq_names().iter().zip(self.pesq.iter().flatten()) {
            match (scores.mean(), scores.least()) {
                (Some(mean), Some(least)) => writeln!(
                    f,
                    "PESQ, {name}: {mean:.2}, the least {least:.2}, of {} pieces of 8 s",
                    scores.0.len()
                )?,
                _ => writeln!(f, "PESQ, {name}: calls of 10 s at least are needed")?,
            }
        }
        Ok(())
    }

    /// Everything, for programs. Times are in ms, memory in octets, shares from 0 to 1.
    pub fn json(&self) -> Value {
        let number = |time: Duration| time.as_secs_f64() * 1000.0;
        let set_up = self.set_up().into_iter().filter_map(|(name, times)| {
            let [least, median, p99] = spread(times)?;
            let times =
                json!({ "min": number(least), "median": number(median), "p99": number(p99) });
            Some((name.replace(' ', "_").to_lowercase(), times))
        });
        let directions = self.directions().into_iter().map(|direction| {
            let figures = json!({
                "sent": direction.sent,
                "received": direction.received,
                "lost": direction.lost,
                "loss": direction.loss,
                "reordered": direction.reordered,
                "duplicates": direction.duplicates,
                "jitter_ms": direction.jitter_ms,
                "gateway_ms": { "median": direction.median.map(number), "p99": direction.p99.map(number) },
                "mos": direction.mos,
                "worst_mos": direction.worst_mos,
            });
            (direction.name.replace(' ', "_"), figures)
        });
        let mut failures = BTreeMap::new();
        for why in self
            .outcomes
            .iter()
            .filter_map(|(_, result)| result.as_ref().err())
        {
            *failures.entry(why.as_str()).or_insert(0) += 1;
        }
        let floor = self.floor.total();
        let cost = |cost: Duration| {
            json!({ "cpu_ms_per_call_second": number(cost),
                    "ratio_to_floor": cost.as_secs_f64() / floor.as_secs_f64().max(1e-9) })
        };
        let most = self.samples.iter().map(|sample| sample.usage.memory).max();
        json!({
            "calls": { "placed": self.outcomes.len(), "failed": self.failed(), "failures": failures },
            "impairment": {
                "browser": self.options.impair_browser.to_string(),
                "phone": self.options.impair_phone.to_string(),
            },
            "set_up_ms": set_up.collect::<serde_json::Map<_, _>>(),
            "audio": directions.collect::<serde_json::Map<_, _>>(),
            "pesq": self.pesq.as_ref().map(|scores| {
                let names = self.pesq_names().iter().map(|name| name.replace(' ', "_"));
                let scores = scores.iter().map(|scores| {
                    json!({ "mean": scores.mean(), "least": scores.least(), "pieces": scores.0.len() })
                });
                names.zip(scores).collect::<serde_json::Map<_, _>>()
            }),
            "floor": { "cpu_ms_per_call_second": number(floor) },
            "gateway": {
                "calls_up": self.steady().map(|(most, _)| most),
                "steady": self.steady().map(|(_, steady)| cost(steady)),
                "overall": self.overall().map(cost),
                "memory_before": self.before.map(|usage| usage.memory),
                "memory_most": most,
                "memory_after": self.after.map(|usage| usage.memory),
            },
            "load_caller": self.own.map(|(cpu, time)| json!({ "cpu_ms": number(cpu), "ms": number(time) })),
        })
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
        for (name, times) in self.set_up() {
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
        self.write_directions(f)?;
        self.write_pesq(f)?;
        self.write_cost(f)?;
        self.write_memory(f)?;
        if let Some((cpu, time)) = self.own {
            let share = cpu.as_secs_f64() / time.as_secs_f64().max(1e-9) * 100.0;
            writeln!(
                f,
                "load caller: {share:.0} % of one core, the floor's measurement included"
            )?;
        }
        Ok(())
    }
}

/// What all calls' sides heard in one direction.
struct Direction {
    name: &'static str,
    sent: u64,
    received: u64,
    lost: u64,
    loss: f64,
    reordered: u64,
    duplicates: u64,
    jitter_ms: f64,
    median: Option<Duration>,
    p99: Option<Duration>,
    mos: f64,
    worst_mos: f64,
}

/// What a codec (Opus looks 6.5 ms ahead), a packet of 20 ms and a receiver's buffer of 40 ms add to the gateway's
/// delay, for the MOS.
const DELAY_ELSEWHERE: Duration = Duration::from_micros(66_500);

impl Direction {
    fn of(name: &'static str, sides: &[&Heard], sent: u64) -> Self {
        let sum = |of: fn(&Heard) -> u64| sides.iter().map(|heard| of(heard)).sum::<u64>();
        let (received, lost) = (sum(|heard| heard.received), sum(|heard| heard.lost));
        let mut times: Vec<u32> = sides
            .iter()
            .flat_map(|heard| &heard.times)
            .copied()
            .collect();
        times.sort_unstable();
        let at = |share: usize| {
            let place = (times.len() * share).div_ceil(100).saturating_sub(1);
            times
                .get(place)
                .map(|micros| Duration::from_micros(u64::from(*micros)))
        };
        let (median, p99) = (at(50), at(99));
        let delay = median.unwrap_or_default() + DELAY_ELSEWHERE;
        let scores = sides.iter().map(|heard| {
            let hearing = Hearing {
                loss: heard.loss(),
                burst_ratio: 1.0,
                delay,
            };
            Rating::of(hearing).mos()
        });
        let count = sides.len().max(1) as f64;
        Self {
            name,
            sent,
            received,
            lost,
            loss: lost as f64 / (received + lost).max(1) as f64,
            reordered: sum(|heard| heard.reordered),
            duplicates: sum(|heard| heard.duplicates),
            jitter_ms: sides.iter().map(|heard| heard.jitter_ms).sum::<f64>() / count,
            median,
            p99,
            mos: scores.clone().sum::<f64>() / count,
            worst_mos: scores.fold(4.5, f64::min),
        }
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
    use crate::Codec;

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
                speech: Vec::new(),
                impair_browser: Default::default(),
                impair_phone: Default::default(),
                progress: false,
                opus: EncoderSettings::default(),
                pesq: None,
            },
            pesq: None,
            outcomes: vec![
                (Figures::default(), Ok(())),
                (Figures::default(), Err("busy".into())),
            ],
            own: None,
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
        let json = report.json();
        assert_eq!(json["calls"]["failures"]["busy"], 1);
        assert_eq!(json["gateway"]["calls_up"], 2);
        let ratio = json["gateway"]["steady"]["ratio_to_floor"].as_f64();
        assert!(
            ratio.is_some_and(|ratio| (ratio - 4.0 / 1.5).abs() < 0.01),
            "{json}"
        );
        assert!(json["audio"]["there_and_back"].is_object() && json["pesq"].is_null());
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
