//! Header names: the ones we know, their canonical spelling and their compact forms.

/// A known header, or [`Name::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Name {
    Accept,
    AcceptContact,
    AcceptEncoding,
    AcceptLanguage,
    Allow,
    AllowEvents,
    Authorization,
    CSeq,
    CallId,
    Contact,
    ContentDisposition,
    ContentEncoding,
    ContentLanguage,
    ContentLength,
    ContentType,
    Date,
    Event,
    Expires,
    From,
    Identity,
    IdentityInfo,
    MaxForwards,
    MinExpires,
    MinSe,
    PAssertedIdentity,
    PPreferredIdentity,
    Path,
    Privacy,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyRequire,
    RAck,
    RSeq,
    Reason,
    RecordRoute,
    ReferTo,
    ReferredBy,
    RejectContact,
    Replaces,
    RequestDisposition,
    Require,
    RetryAfter,
    Route,
    Server,
    ServiceRoute,
    SessionExpires,
    Subject,
    SubscriptionState,
    Supported,
    Timestamp,
    To,
    Unsupported,
    UserAgent,
    Via,
    Warning,
    WwwAuthenticate,
    Other,
}

/// Sorted by length, so that a name is compared only with those as long as it (a test holds this).
static TABLE: [(&str, Name); 76] = [
    ("a", Name::AcceptContact),
    ("b", Name::ReferredBy),
    ("c", Name::ContentType),
    ("d", Name::RequestDisposition),
    ("e", Name::ContentEncoding),
    ("f", Name::From),
    ("i", Name::CallId),
    ("j", Name::RejectContact),
    ("k", Name::Supported),
    ("l", Name::ContentLength),
    ("m", Name::Contact),
    ("n", Name::IdentityInfo),
    ("o", Name::Event),
    ("r", Name::ReferTo),
    ("s", Name::Subject),
    ("t", Name::To),
    ("u", Name::AllowEvents),
    ("v", Name::Via),
    ("x", Name::SessionExpires),
    ("y", Name::Identity),
    ("To", Name::To),
    ("Via", Name::Via),
    ("From", Name::From),
    ("CSeq", Name::CSeq),
    ("Date", Name::Date),
    ("RAck", Name::RAck),
    ("RSeq", Name::RSeq),
    ("Path", Name::Path),
    ("Allow", Name::Allow),
    ("Event", Name::Event),
    ("Route", Name::Route),
    ("Accept", Name::Accept),
    ("Min-SE", Name::MinSe),
    ("Reason", Name::Reason),
    ("Server", Name::Server),
    ("Call-ID", Name::CallId),
    ("Contact", Name::Contact),
    ("Expires", Name::Expires),
    ("Privacy", Name::Privacy),
    ("Require", Name::Require),
    ("Subject", Name::Subject),
    ("Warning", Name::Warning),
    ("Identity", Name::Identity),
    ("Refer-To", Name::ReferTo),
    ("Replaces", Name::Replaces),
    ("Supported", Name::Supported),
    ("Timestamp", Name::Timestamp),
    ("User-Agent", Name::UserAgent),
    ("Min-Expires", Name::MinExpires),
    ("Referred-By", Name::ReferredBy),
    ("Retry-After", Name::RetryAfter),
    ("Unsupported", Name::Unsupported),
    ("Allow-Events", Name::AllowEvents),
    ("Content-Type", Name::ContentType),
    ("Max-Forwards", Name::MaxForwards),
    ("Record-Route", Name::RecordRoute),
    ("Authorization", Name::Authorization),
    ("Identity-Info", Name::IdentityInfo),
    ("Proxy-Require", Name::ProxyRequire),
    ("Service-Route", Name::ServiceRoute),
    ("Accept-Contact", Name::AcceptContact),
    ("Content-Length", Name::ContentLength),
    ("Reject-Contact", Name::RejectContact),
    ("Accept-Encoding", Name::AcceptEncoding),
    ("Accept-Language", Name::AcceptLanguage),
    ("Session-Expires", Name::SessionExpires),
    ("Content-Encoding", Name::ContentEncoding),
    ("Content-Language", Name::ContentLanguage),
    ("WWW-Authenticate", Name::WwwAuthenticate),
    ("Proxy-Authenticate", Name::ProxyAuthenticate),
    ("Subscription-State", Name::SubscriptionState),
    ("Content-Disposition", Name::ContentDisposition),
    ("P-Asserted-Identity", Name::PAssertedIdentity),
    ("Proxy-Authorization", Name::ProxyAuthorization),
    ("Request-Disposition", Name::RequestDisposition),
    ("P-Preferred-Identity", Name::PPreferredIdentity),
];

const LONGEST: usize = 20;

/// Where in [`TABLE`] the names of each length begin.
static STARTS: [u8; LONGEST + 2] = {
    let mut starts = [0u8; LONGEST + 2];
    let mut length = 0;
    while length < starts.len() {
        let mut at = 0;
        while at < TABLE.len() && TABLE[at].0.len() < length {
            at += 1;
        }
        starts[length] = at as u8;
        length += 1;
    }
    starts
};

/// The canonical spelling of each [`Name`], by its number.
static CANONICAL: [&str; Name::Other as usize] = {
    let mut names = [""; Name::Other as usize];
    let mut at = 0;
    while at < TABLE.len() {
        // The compact forms come first: the long form overwrites them.
        names[TABLE[at].1 as usize] = TABLE[at].0;
        at += 1;
    }
    names
};

impl Name {
    /// By its long or compact form, without case.
    pub(crate) fn of(text: &str) -> Name {
        if text.len() > LONGEST {
            return Name::Other;
        }
        let (Some(from), Some(to)) = (STARTS.get(text.len()), STARTS.get(text.len() + 1)) else {
            return Name::Other;
        };
        let candidates = TABLE
            .get(usize::from(*from)..usize::from(*to))
            .unwrap_or(&[]);
        let found = candidates
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(text));
        found.map_or(Name::Other, |(_, name)| *name)
    }

    /// The spelling we print; empty for [`Name::Other`].
    pub(crate) fn canonical(self) -> &'static str {
        CANONICAL.get(self as usize).copied().unwrap_or("")
    }

    /// Whether its values may share one line with commas between them, each standing for itself.
    /// These are kept as one entry a value.
    pub(crate) fn is_split(self) -> bool {
        matches!(
            self,
            Name::Via | Name::Contact | Name::Route | Name::RecordRoute
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_length_and_complete() {
        assert!(
            TABLE
                .windows(2)
                .all(|pair| pair[0].0.len() <= pair[1].0.len())
        );
        assert!(CANONICAL.iter().all(|name| name.len() > 1));
        assert_eq!(TABLE.last().map(|(name, _)| name.len()), Some(LONGEST));
    }

    #[test]
    fn every_spelling_finds_its_header() {
        for (text, name) in TABLE {
            assert_eq!(Name::of(text), name);
            assert_eq!(Name::of(&text.to_ascii_uppercase()), name);
            assert_eq!(Name::of(name.canonical()), name);
        }
        assert_eq!(Name::of("z"), Name::Other);
        assert_eq!(Name::of("X-Whatever"), Name::Other);
        assert_eq!(Name::of(""), Name::Other);
    }
}
