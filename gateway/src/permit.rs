//! What a user may do: whom he calls, how many calls at once, and how long.

use std::time::{Duration, SystemTime};

use crate::call::route::{is_number, plain_number};

/// What is not bounded here, the gateway's own settings bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// Whom he may call, as the dial plan reads numbers; with none, everybody. The lab's numbers and other users cost
    /// nothing, and help may be needed by everyone: they are not asked about.
    pub dial: Option<Vec<Pattern>>,
    /// Calls at once, of all his devices, in and out.
    pub max_calls: Option<usize>,
    /// The longest call.
    pub max_call_duration: Option<Duration>,
    /// Until when; calls that are up then go on.
    pub until: Option<SystemTime>,
}

/// A number, or all that begin like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    beginning: String,
    open: bool,
}

impl Pattern {
    /// `+4930123`, or `+49*` for all that begin so; `*` for all.
    pub fn parse(text: &str) -> Option<Self> {
        let (beginning, open) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        let beginning = plain_number(beginning);
        (is_number(&beginning) || open && beginning.is_empty()).then_some(Self { beginning, open })
    }

    /// Whether that number is one of these.
    pub fn matches(&self, number: &str) -> bool {
        match self.open {
            true => number.starts_with(&self.beginning),
            false => number == self.beginning,
        }
    }
}

impl Permit {
    /// Whether that number may be called.
    pub fn allows(&self, number: &str) -> bool {
        let matches = |patterns: &Vec<Pattern>| patterns.iter().any(|one| one.matches(number));
        self.dial.as_ref().is_none_or(matches)
    }

    /// Whether calls may still begin.
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_permitted_whole_or_by_its_beginning() {
        let patterns = ["+49 (30) *", "100"].map(|text| Pattern::parse(text).unwrap());
        let permit = Permit {
            dial: Some(patterns.to_vec()),
            ..Permit::default()
        };
        for number in ["+4930", "+4930123", "100"] {
            assert!(permit.allows(number), "{number}");
        }
        for number in [
            "+49",
            "+4989",
            "1001",
            "10",
            "+4930".trim_start_matches('+'),
            "",
        ] {
            assert!(!permit.allows(number), "{number}");
        }
        let nobody = Permit {
            dial: Some(Vec::new()),
            ..Permit::default()
        };
        assert!(!nobody.allows("100") && Permit::default().allows("100"));
        let all = Pattern::parse("*").unwrap();
        assert!(all.matches("anything"));
        assert!(Pattern::parse("").is_none() && Pattern::parse("a b").is_none());
    }

    #[test]
    fn a_permit_ends_when_it_says() {
        let now = SystemTime::now();
        let permit = Permit {
            until: Some(now),
            ..Permit::default()
        };
        assert!(permit.is_over(now));
        assert!(!permit.is_over(now - Duration::from_secs(1)));
        assert!(!Permit::default().is_over(now));
    }
}
