//! How numbers are read and written: E.164 from what people dial, and what trunks want made of it (RFC 3966 §5.1.4,
//! §5.1.5).

use crate::permit::Pattern;

/// How numbers are read. What it says of a number holds whichever way the number came: from a page, from a token, from a
/// trunk that redirects (RFC 3261 §8.1.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialPlan {
    /// Of the country we are in, without `+`; empty: national numbers stay as they are.
    pub country_code: String,
    /// What is dialled instead of `+`.
    pub international_prefix: String,
    /// What is dialled before a number of the country.
    pub national_prefix: String,
    /// So many digits, with nothing before them, are a number of the country.
    pub national_length: Option<usize>,
    /// Numbers that everybody may call, whatever else holds.
    pub emergency: Vec<String>,
    /// Numbers that nobody may call.
    pub blocked: Vec<Pattern>,
}

impl Default for DialPlan {
    fn default() -> Self {
        Self {
            country_code: String::new(),
            international_prefix: "00".to_owned(),
            national_prefix: "0".to_owned(),
            national_length: None,
            emergency: Vec::new(),
            blocked: Vec::new(),
        }
    }
}

/// How a number is written to a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// As it was dialled.
    #[default]
    AsDialled,
    /// `+493012345`.
    E164,
    /// `493012345`.
    Digits,
    /// `03012345`, and `0044...` abroad.
    National,
}

impl DialPlan {
    /// The number as E.164 has it, with `+`; one that is none (an extension, a name, an emergency number) as it is.
    pub fn normalize(&self, number: &str) -> String {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let country = &self.country_code;
        if let (Some(rest), false) = (number.strip_prefix('+'), country.is_empty()) {
            // "+49 (0) 30": the prefix has no place there.
            let prefix = self.national_prefix.as_str();
            let home = rest.strip_prefix(country.as_str());
            if let Some(mut home) = home.filter(|home| !prefix.is_empty() && digits(home)) {
                while let Some(rest) = home.strip_prefix(prefix) {
                    home = rest;
                }
                return format!("+{country}{home}");
            }
        }
        if !digits(number) || self.is_emergency(number) {
            return number.to_owned();
        }
        let after = |prefix: &str| match prefix {
            "" => None,
            prefix => number.strip_prefix(prefix).filter(|rest| digits(rest)),
        };
        if let Some(rest) = after(&self.international_prefix) {
            return format!("+{rest}");
        }
        if country.is_empty() {
            return number.to_owned();
        }
        match after(&self.national_prefix) {
            Some(rest) => format!("+{country}{rest}"),
            None if self.national_length == Some(number.len()) => format!("+{country}{number}"),
            None => number.to_owned(),
        }
    }

    /// What permits and blocks are asked about: the number that is called in the end, without the service codes that a
    /// network may take before it (`*31#`, `*21*`) and without what ends it (`#`).
    pub fn called(&self, dialled: &str) -> String {
        let mut number = dialled.trim_end_matches(['#', '*']);
        while number.starts_with(['*', '#']) {
            let code = number.trim_start_matches(['*', '#']);
            match code.find(['*', '#']) {
                Some(end) => number = &code[end + 1..],
                None => break,
            }
        }
        match number {
            "" => dialled.to_owned(),
            number => self.normalize(number),
        }
    }

    /// Whether a number that begins with `+` is one (E.164): digits, the first of them no 0, 15 at most.
    pub fn is_e164(number: &str) -> bool {
        number.strip_prefix('+').is_none_or(|digits| {
            (1..=15).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !digits.starts_with('0')
        })
    }

    /// Whether that is a number for help.
    pub fn is_emergency(&self, number: &str) -> bool {
        self.emergency.iter().any(|one| one == number)
    }

    /// Whether nobody may call it, in whichever of these spellings it is blocked.
    pub fn is_blocked(&self, spellings: &[&str]) -> bool {
        let blocked = |number: &&str| self.blocked.iter().any(|one| one.matches(number));
        spellings.iter().any(blocked)
    }

    /// The number as a trunk wants it. What is not E.164 is `dialled`, always.
    pub fn write(&self, number: &str, dialled: &str, format: NumberFormat) -> String {
        let Some(digits) = number.strip_prefix('+') else {
            return dialled.to_owned();
        };
        match format {
            NumberFormat::AsDialled => dialled.to_owned(),
            NumberFormat::E164 => number.to_owned(),
            NumberFormat::Digits => digits.to_owned(),
            NumberFormat::National => {
                let home = match self.country_code.as_str() {
                    "" => None,
                    country => digits.strip_prefix(country),
                };
                match home {
                    Some(rest) => format!("{}{rest}", self.national_prefix),
                    None => format!("{}{digits}", self.international_prefix),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn germany() -> DialPlan {
        DialPlan {
            country_code: "49".into(),
            emergency: vec!["110".into(), "0112".into()],
            blocked: vec![Pattern::parse("+4990*").unwrap()],
            ..DialPlan::default()
        }
    }

    fn america() -> DialPlan {
        DialPlan {
            country_code: "1".into(),
            international_prefix: "011".into(),
            national_prefix: "1".into(),
            national_length: Some(10),
            ..DialPlan::default()
        }
    }

    #[test]
    fn what_people_dial_is_read_as_e164_and_extensions_stay() {
        for (dialled, number) in [
            ("03012345", "+493012345"),
            ("00442079460000", "+442079460000"),
            ("+493012345", "+493012345"),
            ("100", "100"),
            ("110", "110"),
            ("0112", "0112"),
            ("0", "0"),
            ("00", "+490"),
            ("echo", "echo"),
            ("*21#", "*21#"),
        ] {
            assert_eq!(germany().normalize(dialled), number, "{dialled}");
        }
        for (dialled, number) in [
            ("2125550100", "+12125550100"),
            ("12125550100", "+12125550100"),
            ("011442079460000", "+442079460000"),
            ("411", "411"),
        ] {
            assert_eq!(america().normalize(dialled), number, "{dialled}");
        }
        assert_eq!(DialPlan::default().normalize("0301"), "0301");
        assert_eq!(DialPlan::default().normalize("0049301"), "+49301");
    }

    #[test]
    fn a_trunk_is_written_to_as_it_wants() {
        use NumberFormat::{AsDialled, Digits, E164, National};
        for (dialled, format, written) in [
            ("03012345", AsDialled, "03012345"),
            ("03012345", E164, "+493012345"),
            ("03012345", Digits, "493012345"),
            ("+493012345", National, "03012345"),
            ("+442079460000", National, "00442079460000"),
            ("100", E164, "100"),
            ("110", National, "110"),
        ] {
            let plan = germany();
            let number = plan.normalize(dialled);
            assert_eq!(plan.write(&number, dialled, format), written, "{dialled}");
        }
        let plan = america();
        let number = plan.normalize("2125550100");
        assert_eq!(plan.write(&number, "", National), "12125550100");
    }

    #[test]
    fn a_number_is_one_number_however_it_is_disguised() {
        let plan = germany();
        for (dialled, called) in [
            ("+490301", "+49301"),
            ("+490442079460000", "+49442079460000"),
            ("+49000442079460000", "+49442079460000"),
            ("0900123#", "+49900123"),
            ("*31#0900123", "+49900123"),
            ("*21*0900123#", "+49900123"),
            ("*#31#*21*0900123#", "+49900123"),
            ("*21#", "*21"),
            ("#", "#"),
        ] {
            assert_eq!(plan.called(dialled), called, "{dialled}");
        }
        // Nothing that is written to a trunk leads abroad by a prefix that was hidden in it.
        let number = plan.normalize("+490442079460000");
        let written = plan.write(&number, "+490442079460000", NumberFormat::National);
        assert_eq!(written, "0442079460000");
        for wrong in ["+", "++49", "+0049", "+49x", "+1234567890123456"] {
            assert!(!DialPlan::is_e164(wrong), "{wrong}");
        }
        assert!(DialPlan::is_e164("+4930") && DialPlan::is_e164("100"));
    }

    #[test]
    fn a_blocked_number_is_blocked_in_every_spelling() {
        let plan = germany();
        for dialled in ["+49900123", "0900123", "0049900123"] {
            let number = plan.normalize(dialled);
            assert!(plan.is_blocked(&[&number, dialled]), "{dialled}");
        }
        assert!(!plan.is_blocked(&["+4989", "089"]));
    }
}
