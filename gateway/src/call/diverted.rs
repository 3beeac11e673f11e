//! By whom a call was sent on before, and what it was for first: Diversion (RFC 5806) and History-Info (RFC 7044).

use sip::Request;

/// The most headers of either kind that are looked at, and passed on.
pub const MAX_HEADERS: usize = 8;

/// Why a call goes on (RFC 5806 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// All of that user's calls do.
    Always,
    /// He is busy.
    Busy,
    /// He does not answer.
    NoAnswer,
    /// He is signed in nowhere.
    Unavailable,
}

impl Why {
    /// The word for it in Diversion.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Always => "unconditional",
            Self::Busy => "user-busy",
            Self::NoAnswer => "no-answer",
            Self::Unavailable => "unavailable",
        }
    }

    /// Its number in a URI (RFC 4458 §2.1).
    fn cause(self) -> u16 {
        match self {
            Self::Always => 302,
            Self::Busy => 486,
            Self::NoAnswer => 408,
            Self::Unavailable => 404,
        }
    }
}

/// What is said of a call's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diverted {
    /// By whom it was sent on (RFC 5806), the last first.
    by: Vec<String>,
    /// Whom it was for (RFC 7044), the first first.
    history: Vec<String>,
    /// Why the last of these does not have it.
    last: Option<Why>,
}

impl Diverted {
    /// What an INVITE says; of a long list, the beginning.
    pub fn of(request: &Request) -> Self {
        let values = |name| {
            let values = request.headers.get_all(name).flat_map(elements);
            values.take(MAX_HEADERS).map(str::to_owned).collect()
        };
        Self {
            by: values("Diversion"),
            history: values("History-Info"),
            last: None,
        }
    }

    /// How often it was.
    pub fn times(&self) -> usize {
        self.by.len()
    }

    /// It goes on from that URI.
    pub fn goes_on(&mut self, from: &str, why: Why) {
        self.by
            .insert(0, format!("<{from}>;reason={}", why.reason()));
        if self.history.is_empty() {
            self.history.push(format!("<{from}>;index=1"));
        }
        self.last = Some(why);
    }

    /// The Diversion headers.
    pub fn diversions(&self) -> &[String] {
        &self.by
    }

    /// The History-Info headers of a request to that URI; none where it has not been sent on here.
    pub fn history(&self, to: &str) -> Vec<String> {
        let Some(why) = self.last else {
            return Vec::new();
        };
        let last = self.history.last().and_then(|entry| index(entry));
        // One whose place is not known cannot be continued (RFC 7044 §10.3).
        let Some(last) = last else {
            return Vec::new();
        };
        let entry = format!("<{to};cause={}>;index={last}.1;mp={last}", why.cause());
        self.history.iter().cloned().chain([entry]).collect()
    }
}

/// The place of the last entry of a header, like `1.2`: digits and dots.
fn index(header: &str) -> Option<&str> {
    let (_, rest) = header.rsplit_once("index=")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    let index = rest.get(..end.unwrap_or(rest.len()))?;
    (index.starts_with(|c: char| c.is_ascii_digit())
        && index.ends_with(|c: char| c.is_ascii_digit()))
    .then_some(index)
}

/// What a list in one header is made of: its commas are those outside of quotes and brackets.
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    let parts = list.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' => return !quoted && !bracketed,
            _ => {}
        }
        false
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_goes_on_says_whom_it_was_for_and_why_he_does_not_have_it() {
        let mut diverted = Diverted::default();
        assert!(diverted.history("sip:+4977@b.example").is_empty());
        diverted.goes_on("sip:100@a.example", Why::Busy);
        assert_eq!(
            diverted.diversions(),
            ["<sip:100@a.example>;reason=user-busy"]
        );
        assert_eq!(
            diverted.history("sip:+4977@b.example"),
            [
                "<sip:100@a.example>;index=1",
                "<sip:+4977@b.example;cause=486>;index=1.1;mp=1"
            ]
        );
    }

    #[test]
    fn what_was_said_before_is_continued() {
        let before = "<sip:1@c.example>;index=1, <sip:100@a.example;cause=302>;index=1.2;mp=1";
        let mut diverted = Diverted {
            by: vec!["<sip:1@c.example>;reason=unconditional".into()],
            history: vec![before.into()],
            last: None,
        };
        diverted.goes_on("sip:100@a.example", Why::NoAnswer);
        assert_eq!(diverted.times(), 2);
        assert_eq!(
            diverted.history("sip:+4977@b.example"),
            [before, "<sip:+4977@b.example;cause=408>;index=1.2.1;mp=1.2"]
        );
        for broken in [
            "<sip:1@c.example>",
            "<sip:1@c>;index=",
            "<sip:1@c>;index=1.",
        ] {
            diverted.history = vec![broken.into()];
            assert!(diverted.history("sip:2@b.example").is_empty(), "{broken}");
        }
    }

    #[test]
    fn a_list_in_one_header_is_as_many_as_headers() {
        let mut request = Request::new(sip::Method::Invite, "sip:1@a.example".parse().unwrap());
        let list = r#""One, \"and\" more" <sip:1@a.example;x=1,2>;reason=no-answer, <sip:2@a.example>,,sip:3@a.example"#;
        request.headers.push("Diversion", list).unwrap();
        request
            .headers
            .push("Diversion", "<sip:4@a.example>")
            .unwrap();
        let diverted = Diverted::of(&request);
        assert_eq!(diverted.times(), 4, "{diverted:?}");
        assert_eq!(
            diverted.diversions()[1..3],
            ["<sip:2@a.example>", "sip:3@a.example"]
        );
        assert!(diverted.diversions()[0].ends_with("2>;reason=no-answer"));
    }
}
