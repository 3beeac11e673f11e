//! Who is to be called instead (Refer-To, RFC 3515 §2.1), and which call is to be replaced (Replaces, RFC 3891 §6.1).

use std::{fmt, str::FromStr};

use super::{NameAddr, typed::HeaderError};
use crate::{
    parse::chars,
    uri::{Scheme, Uri},
};

/// A Replaces header: the dialog that a call takes the place of, as the one who is called knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: String,
    /// The tag of the one who is called.
    pub to_tag: String,
    /// The tag of the one he talks to.
    pub from_tag: String,
    /// Only if it has not been answered.
    pub early_only: bool,
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call_id,
            to_tag,
            from_tag,
            early_only,
        } = self;
        write!(f, "{call_id};to-tag={to_tag};from-tag={from_tag}")?;
        match early_only {
            true => f.write_str(";early-only"),
            false => Ok(()),
        }
    }
}

impl FromStr for Replaces {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let wrong = || HeaderError::unusable("Replaces");
        let mut parts = text.split(';').map(str::trim);
        let word = |text: &str| {
            let good = |b: u8| b.is_ascii_graphic() && !b"<>,;".contains(&b);
            !text.is_empty() && text.bytes().all(good)
        };
        let call_id = parts.next().filter(|id| word(id)).ok_or_else(wrong)?;
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "to-tag" if to_tag.is_none() && word(&value) => to_tag = Some(value),
                "from-tag" if from_tag.is_none() && word(&value) => from_tag = Some(value),
                "to-tag" | "from-tag" => return Err(wrong()),
                "early-only" => early_only = true,
                _ => {}
            }
        }
        Ok(Self {
            call_id: call_id.to_owned(),
            to_tag: to_tag.ok_or_else(wrong)?,
            from_tag: from_tag.ok_or_else(wrong)?,
            early_only,
        })
    }
}

/// A Refer-To header.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferTo {
    /// Who is to be called.
    pub uri: Uri,
    /// Which of his calls that is to replace.
    pub replaces: Option<Replaces>,
}

impl fmt::Display for ReferTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut uri = self.uri.clone();
        if let Some(replaces) = &self.replaces {
            uri.headers = vec![("Replaces".to_owned(), escaped(&replaces.to_string()))];
        }
        write!(f, "<{uri}>")
    }
}

impl FromStr for ReferTo {
    type Err = HeaderError;

    /// What the URI asks of the request besides Replaces (other headers, a method) is left out.
    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let mut uri = text.parse::<NameAddr>()?.uri;
        let by_invite = uri
            .params
            .get("method")
            .is_none_or(|method| method == "INVITE");
        if !by_invite || !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
            return Err(HeaderError::unusable("Refer-To"));
        }
        uri.params.remove("method");
        let mut replaces = None;
        for (name, value) in std::mem::take(&mut uri.headers) {
            if name.eq_ignore_ascii_case("Replaces") {
                let value = String::from_utf8(chars::unescape(&value))
                    .map_err(|_| HeaderError::unusable("Replaces"))?;
                replaces = Some(value.parse()?);
            }
        }
        Ok(Self { uri, replaces })
    }
}

/// As it stands in a header of a URI (RFC 3261 §25.1 `hvalue`).
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(&b) => {
                text.push(char::from(b));
            }
            b => text.push_str(&format!("%{b:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_says_whom_to_call_and_which_call_to_replace() {
        let text = "\"Bob\" <sip:bob@192.0.2.1:5070;transport=tcp?Replaces=a84b4c76e%40pc33%3Bto-tag%3D7743%3Bfrom-tag%3D6472&Require=replaces>";
        let refer: ReferTo = text.parse().unwrap();
        assert_eq!(
            refer.uri.to_string(),
            "sip:bob@192.0.2.1:5070;transport=tcp"
        );
        let replaces = refer.replaces.clone().unwrap();
        assert_eq!(
            replaces.to_string(),
            "a84b4c76e@pc33;to-tag=7743;from-tag=6472"
        );
        let again: ReferTo = refer.to_string().parse().unwrap();
        assert_eq!(again, refer);
        let blind: ReferTo = "sip:+4930@example.com".parse().unwrap();
        assert_eq!(
            (blind.uri.user.as_deref(), blind.replaces),
            (Some("+4930"), None)
        );
        let by_tel: ReferTo = "<tel:+49-30>".parse().unwrap();
        assert_eq!(by_tel.uri.user_unescaped().as_deref(), Some("+49-30"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "<http://example.com/>",
            "<sip:a@b;method=SUBSCRIBE>",
            "<sip:a@b?Replaces=x>",
            "<sip:a@b?Replaces=x%3Bto-tag%3D1>",
            "<sip:a@b?Replaces=%FF%3Bto-tag%3D1%3Bfrom-tag%3D2>",
            "<sip:a@b?Replaces=x%0D%0Ay%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        ] {
            assert!(text.parse::<ReferTo>().is_err(), "{text}");
        }
        for text in [
            "",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;to-tag=1;to-tag=2;from-tag=3",
        ] {
            assert!(text.parse::<Replaces>().is_err(), "{text}");
        }
        let early: Replaces = "a@b ; from-tag=2 ;early-only;to-tag=1".parse().unwrap();
        assert!(early.early_only && early.to_tag == "1");
    }
}
