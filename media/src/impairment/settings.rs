//! How bad a network is meant to be, and how a person writes it down.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// The longest delay and the longest jitter.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(2);

/// The most packets that a burst of losses may have in the mean.
const MAX_BURST: f64 = 100.0;

/// Bits a second: below this a packet of audio takes longer than a person waits.
const RATES: std::ops::RangeInclusive<u64> = 1_000..=10_000_000_000;

/// How bad a network is meant to be. The default does nothing to a packet.
///
/// It is written `loss=5,burst=3,delay=40ms,jitter=20ms,reorder=1,duplicate=1,rate=64k`: `loss`, `reorder` and
/// `duplicate` in percent, `burst` in packets, `delay` and `jitter` in `ms` or `s`, `rate` in bits a second, with `k`
/// or `M` behind it. What is not named is off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ImpairmentSettings {
    /// The share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// How many packets in a row are lost in the mean, at least 1. `None`: each for itself, with no memory.
    ///
    /// With it the way has two states (Gilbert's model): one where every packet gets through, one where none does.
    pub burst: Option<f64>,
    /// What every packet takes.
    pub delay: Duration,
    /// What it may take on top, anything up to this being as likely. Packets stay in order.
    pub jitter: Duration,
    /// The share of packets that are held back for 25 to 65 ms, so that one to three packets of 20 ms overtake them,
    /// 0 to 1.
    pub reorder: f64,
    /// The share of packets that come twice, 0 to 1.
    pub duplicate: f64,
    /// Bits a second that get through, counting 28 octets of IP and UDP header a packet. Up to 250 ms of them wait in
    /// a queue; what comes while it is full is lost.
    pub rate: Option<u64>,
}

/// Why a text is no [`ImpairmentSettings`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadImpairment {
    /// A part of it is not `name=value`.
    #[error("\"{0}\" is not name=value")]
    NotAPair(String),
    /// There is no such name.
    #[error(
        "no \"{0}\": an impairment has loss, burst, delay, jitter, reorder, duplicate and rate"
    )]
    UnknownName(String),
    /// A value has not the form that its name asks for, or is out of its range.
    #[error("{name}={value}: {expected}")]
    BadValue {
        /// What was set.
        name: &'static str,
        /// To what.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A name stands there twice.
    #[error("{0} is set twice")]
    Twice(String),
    /// Loss in bursts of this length cannot reach so high a share: there must be a packet between two bursts.
    #[error("bursts of that length cannot lose so much: at most burst / (burst + 1)")]
    BurstTooShort,
}

const PERCENT: &str = "percent, 0 to 100";
const TIME: &str = "a time of at most 2 s, like 20ms or 0.5s";

impl ImpairmentSettings {
    /// Whether it does anything to any packet.
    pub fn is_none(&self) -> bool {
        *self
            == Self {
                burst: self.burst,
                ..Self::default()
            }
    }

    /// Whether every value is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), BadImpairment> {
        let bad = |name, value: String, expected| {
            Err(BadImpairment::BadValue {
                name,
                value,
                expected,
            })
        };
        for (name, share) in [
            ("loss", self.loss),
            ("reorder", self.reorder),
            ("duplicate", self.duplicate),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return bad(name, (share * 100.0).to_string(), PERCENT);
            }
        }
        for (name, time) in [("delay", self.delay), ("jitter", self.jitter)] {
            if time > MAX_DELAY {
                return bad(name, format!("{time:?}"), TIME);
            }
        }
        if let Some(rate) = self.rate.filter(|rate| !RATES.contains(rate)) {
            return bad("rate", rate.to_string(), "1k to 10000M bits a second");
        }
        let Some(burst) = self.burst else {
            return Ok(());
        };
        if !(1.0..=MAX_BURST).contains(&burst) {
            return bad("burst", burst.to_string(), "1 to 100 packets");
        }
        // Written so that a loss of everything, which needs no burst, is allowed.
        if self.loss < 1.0 && self.loss > burst / (burst + 1.0) {
            return Err(BadImpairment::BurstTooShort);
        }
        Ok(())
    }
}

impl FromStr for ImpairmentSettings {
    type Err = BadImpairment;

    fn from_str(text: &str) -> Result<Self, BadImpairment> {
        let mut settings = Self::default();
        let mut seen = Vec::new();
        let parts = text.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty() && *part != "none") {
            let Some((name, value)) = part.split_once('=') else {
                return Err(BadImpairment::NotAPair(part.to_owned()));
            };
            let (name, value) = (name.trim(), value.trim());
            if seen.contains(&name) {
                return Err(BadImpairment::Twice(name.to_owned()));
            }
            settings.set(name, value)?;
            seen.push(name);
        }
        settings.check()?;
        Ok(settings)
    }
}

impl ImpairmentSettings {
    fn set(&mut self, name: &str, value: &str) -> Result<(), BadImpairment> {
        let bad = |name, expected| BadImpairment::BadValue {
            name,
            value: value.to_owned(),
            expected,
        };
        let percent = |name| {
            let share = number(value.strip_suffix('%').unwrap_or(value)).map(|value| value / 100.0);
            share.ok_or_else(|| bad(name, PERCENT))
        };
        match name {
            "loss" => self.loss = percent("loss")?,
            "reorder" => self.reorder = percent("reorder")?,
            "duplicate" => self.duplicate = percent("duplicate")?,
            "burst" => {
                let burst = number(value).ok_or_else(|| bad("burst", "1 to 100 packets"))?;
                self.burst = Some(burst);
            }
            "delay" => self.delay = time(value).ok_or_else(|| bad("delay", TIME))?,
            "jitter" => self.jitter = time(value).ok_or_else(|| bad("jitter", TIME))?,
            "rate" => {
                let bits = rate(value).ok_or_else(|| bad("rate", "bits a second, like 64k"))?;
                self.rate = Some(bits);
            }
            _ => return Err(BadImpairment::UnknownName(name.to_owned())),
        }
        Ok(())
    }
}

fn number(text: &str) -> Option<f64> {
    let number = text.trim().parse::<f64>().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

fn time(text: &str) -> Option<Duration> {
    let seconds = match text.strip_suffix("ms") {
        Some(text) => number(text)? / 1000.0,
        None => number(text.strip_suffix('s')?)?,
    };
    (seconds <= MAX_DELAY.as_secs_f64()).then(|| Duration::from_secs_f64(seconds))
}

fn rate(text: &str) -> Option<u64> {
    let bits = match (text.strip_suffix('k'), text.strip_suffix('M')) {
        (Some(text), _) => number(text)? * 1e3,
        (_, Some(text)) => number(text)? * 1e6,
        _ => number(text)?,
    };
    (bits <= 1e12).then_some(bits as u64)
}

/// As [`FromStr`] reads it; `none` where nothing is done.
impl fmt::Display for ImpairmentSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two decimals: a share is no binary fraction, and 7 % would show as 7.000000000000001.
        let percent = |share: f64| (share * 10_000.0).round() / 100.0;
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let parts = [
            (self.loss > 0.0).then(|| format!("loss={}", percent(self.loss))),
            self.burst.map(|burst| format!("burst={burst}")),
            (!self.delay.is_zero()).then(|| format!("delay={}ms", ms(self.delay))),
            (!self.jitter.is_zero()).then(|| format!("jitter={}ms", ms(self.jitter))),
            (self.reorder > 0.0).then(|| format!("reorder={}", percent(self.reorder))),
            (self.duplicate > 0.0).then(|| format!("duplicate={}", percent(self.duplicate))),
            self.rate.map(|rate| format!("rate={rate}")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&parts.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_with_its_units() {
        let read: ImpairmentSettings =
            "loss=5, burst=3,delay=0.1s,jitter=20ms,reorder=1%,duplicate=0.5,rate=64k"
                .parse()
                .unwrap();
        let expected = ImpairmentSettings {
            loss: 0.05,
            burst: Some(3.0),
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(20),
            reorder: 0.01,
            duplicate: 0.005,
            rate: Some(64_000),
        };
        assert_eq!(read, expected);
        assert_eq!(
            read.to_string(),
            "loss=5,burst=3,delay=100ms,jitter=20ms,reorder=1,duplicate=0.5,rate=64000"
        );
        assert_eq!(read.to_string().parse(), Ok(read));
    }

    #[test]
    fn nothing_written_is_nothing_done() {
        for text in ["", "none", " , "] {
            let read: ImpairmentSettings = text.parse().unwrap();
            assert!(read.is_none());
            assert_eq!(read.to_string(), "none");
        }
        assert!(
            "burst=3"
                .parse::<ImpairmentSettings>()
                .is_ok_and(|s| s.is_none())
        );
        assert!(
            !"rate=1M"
                .parse::<ImpairmentSettings>()
                .is_ok_and(|s| s.is_none())
        );
    }

    #[test]
    fn a_mistake_is_named_with_what_may_stand_there() {
        let cases = [
            ("loss", "\"loss\" is not name=value"),
            ("lose=3", "no \"lose\""),
            ("loss=101", "loss=101: percent, 0 to 100"),
            ("loss=-1", "percent"),
            ("loss=NaN", "percent"),
            ("jitter=20", "a time of at most 2 s"),
            ("delay=3s", "a time of at most 2 s"),
            ("delay=1e300s", "a time of at most 2 s"),
            ("rate=fast", "bits a second"),
            ("rate=10", "1k to"),
            ("burst=0.5", "1 to 100 packets"),
            ("loss=1,loss=2", "loss is set twice"),
            ("loss=80,burst=2", "bursts of that length"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<ImpairmentSettings>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
