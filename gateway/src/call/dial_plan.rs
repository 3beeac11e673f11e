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
        let country = &self.country_code;
        if country.is_empty() {
            return number.to_owned();
        }
        match after(&self.national_prefix) {
            Some(rest) => format!("+{country}{rest}"),
            None if self.national_length == Some(number.len()) => format!("+{country}{number}"),
            None => number.to_owned(),
        }
    }

    /// Whether that is a number for help.
    pub fn is_emergency(&self, number: &str) -> bool {
        self.emergency.iter().any(|one| one == number)
    }

    /// Whether nobody may call it, in whichever of these spellings it is blocked.
    pub fn is_blocked(&self, spellings: [&str; 2]) -> bool {
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
    fn a_blocked_number_is_blocked_in_every_spelling() {
        let plan = germany();
        for dialled in ["+49900123", "0900123", "0049900123"] {
            let number = plan.normalize(dialled);
            assert!(plan.is_blocked([&number, dialled]), "{dialled}");
        }
        assert!(!plan.is_blocked(["+4989", "089"]));
    }
}
