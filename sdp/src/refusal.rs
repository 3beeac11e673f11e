//! Why a description was not accepted.

use std::fmt;

/// Where in the text: a line number from 1, where one line is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct At(pub Option<usize>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// A description that the gateway does not accept: what was wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than [`crate::limits::BYTES`].
    #[error("the description has {found} bytes; at most {limit} are read")]
    TooLong {
        /// Bytes received.
        found: usize,
        /// Bytes read at most.
        limit: usize,
    },
    /// More lines of a kind than [`crate::limits`] allows.
    #[error("more than {limit} {what}{at}; send fewer")]
    TooMany {
        /// The kind of line.
        what: &'static str,
        /// How many are read at most.
        limit: usize,
        /// The first one too many.
        at: At,
    },
    /// Not SDP (RFC 8866 §9).
    #[error("not a session description{at}: {detail}")]
    Syntax {
        /// What the parser stumbled on.
        detail: String,
        /// Where.
        at: At,
    },
    /// No `m=audio` at all.
    #[error("there is no m=audio line; a call needs audio")]
    NoAudio,
    /// Every `m=audio` has port 0 (RFC 3264 §5.1, §6).
    #[error("audio is rejected: every m=audio line has port 0{at}")]
    AudioRejected {
        /// The first such line.
        at: At,
    },
    /// Nothing in common with Opus, PCMU and PCMA.
    #[error("no codec in common{at}: they have {theirs}; the gateway has {ours}")]
    NoCommonCodec {
        /// What they listed.
        theirs: String,
        /// What was possible here.
        ours: String,
        /// Their `m=` line.
        at: At,
    },
    /// A transport this side cannot have.
    #[error("transport {found} cannot be used{at}; {wanted}")]
    Transport {
        /// The protocol field of the `m=` line.
        found: String,
        /// What would be right.
        wanted: &'static str,
        /// The `m=` line.
        at: At,
    },
    /// Keys in the signalling (RFC 4568) where DTLS is required (RFC 8827 §6.5).
    #[error(
        "only SDES keys (a=crypto) are offered{at}; a browser's media needs a DTLS fingerprint (RFC 8827 §6.5)"
    )]
    SdesOnly {
        /// The `a=crypto` line.
        at: At,
    },
    /// No `a=fingerprint` (RFC 5763 §5, RFC 8122).
    #[error("no a=fingerprint for the audio{at}; DTLS-SRTP needs one with sha-256 (RFC 8122 §5)")]
    NoFingerprint {
        /// The `m=` line.
        at: At,
    },
    /// A fingerprint, but none with SHA-256.
    #[error("the only fingerprint uses {hash}{at}; sha-256 is needed (RFC 8122 §5)")]
    FingerprintHash {
        /// The hash function named.
        hash: String,
        /// The `a=fingerprint` line.
        at: At,
    },
    /// Not 32 bytes of hexadecimal pairs with colons.
    #[error(
        "the sha-256 fingerprint is malformed{at}; 32 hexadecimal pairs with colons are needed"
    )]
    BadFingerprint {
        /// The `a=fingerprint` line.
        at: At,
    },
    /// No ICE user name or password (RFC 8839 §5.4).
    #[error("no {what} for the audio{at}; media to a browser needs ICE (RFC 8839 §5.4)")]
    NoIce {
        /// Which of the two attributes.
        what: &'static str,
        /// The `m=` line.
        at: At,
    },
    /// ICE user name or password of the wrong length or letters.
    #[error("{what} is malformed{at}; {wanted} (RFC 8839 §5.4)")]
    BadIce {
        /// Which attribute.
        what: &'static str,
        /// Its grammar in words.
        wanted: &'static str,
        /// The attribute's line.
        at: At,
    },
    /// The other side is ICE-lite too, so nobody would check (RFC 8445 §6.1.1).
    #[error("the offer is ICE-lite{at}, and so is the gateway: nobody would make checks")]
    IceLite {
        /// The `a=ice-lite` line.
        at: At,
    },
    /// A DTLS role that leaves none for the gateway, which is always the server.
    #[error("a=setup:{found} cannot be answered{at}; actpass or active is needed (RFC 8842 §5.2)")]
    Setup {
        /// The role they named.
        found: String,
        /// The `a=setup` line.
        at: At,
    },
    /// The SIP side's description has no keys that can be used, where it must (RFC 4568, RFC 5763).
    #[error("there is no key for SRTP{at}: {why}")]
    NoSrtp {
        /// What is wrong with it. No key is in it.
        why: &'static str,
        /// The line.
        at: At,
    },
    /// No `a=rtcp-mux` (RFC 9429 §5.3.1: browsers always have it).
    #[error(
        "no a=rtcp-mux for the audio{at}; the gateway has one port for RTP and RTCP (RFC 8858)"
    )]
    NoRtcpMux {
        /// The `m=` line.
        at: At,
    },
    /// One `a=mid` for two sections (RFC 5888 §4).
    #[error("a=mid:{mid} is used twice{at}")]
    DuplicateMid {
        /// The value.
        mid: String,
        /// The second one.
        at: At,
    },
    /// An `a=mid` that is not a token (RFC 5888 §4).
    #[error("a=mid is not a token of at most 64 letters{at}")]
    BadMid {
        /// The line.
        at: At,
    },
    /// The audio is bundle-only under a section that the gateway must reject (RFC 9143 §7.3.1).
    #[error(
        "the audio is bundle-only{at}, and the stream that has its transport is rejected; put the audio first"
    )]
    BundleOnly {
        /// The audio's `m=` line.
        at: At,
    },
    /// A name where an address is needed.
    #[error(
        "c= names the host {host:?}{at}; an IP address is needed, names are not looked up in SDP"
    )]
    Hostname {
        /// The name.
        host: String,
        /// The `c=` line.
        at: At,
    },
    /// No `c=` for the audio (RFC 8866 §5.7).
    #[error("no c= line for the audio{at}")]
    NoConnection {
        /// The `m=` line.
        at: At,
    },
    /// An address that no call can be sent to.
    #[error("c= address {address} cannot be used{at}: {why}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        why: &'static str,
        /// The `c=` line.
        at: At,
    },
    /// An answer with fewer or more `m=` lines than the offer (RFC 3264 §6).
    #[error("the answer has {found} m= lines, the offer had {offered} (RFC 3264 §6)")]
    MediaCount {
        /// Lines in the answer.
        found: usize,
        /// Lines in the offer.
        offered: usize,
    },
    /// The caller of this crate gave options that no right description can be made of.
    #[error("cannot write a description: {what}")]
    Options {
        /// Which option, and what it must be.
        what: &'static str,
    },
}

impl Refusal {
    /// The same at a line, where it names none.
    pub(crate) fn at(self, line: At) -> Self {
        match self {
            Self::NoSrtp { why, at: At(None) } => Self::NoSrtp { why, at: line },
            Self::Transport {
                found,
                wanted,
                at: At(None),
            } => Self::Transport {
                found,
                wanted,
                at: line,
            },
            other => other,
        }
    }

    /// A stable name for records, metrics and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::TooMany { .. } => "too_many",
            Self::Syntax { .. } => "syntax",
            Self::NoAudio => "no_audio",
            Self::AudioRejected { .. } => "audio_rejected",
            Self::NoCommonCodec { .. } => "no_common_codec",
            Self::Transport { .. } => "transport",
            Self::SdesOnly { .. } => "sdes_only",
            Self::NoFingerprint { .. } => "no_fingerprint",
            Self::FingerprintHash { .. } => "fingerprint_hash",
            Self::BadFingerprint { .. } => "bad_fingerprint",
            Self::NoIce { .. } => "no_ice",
            Self::BadIce { .. } => "bad_ice",
            Self::IceLite { .. } => "ice_lite",
            Self::Setup { .. } => "setup",
            Self::NoSrtp { .. } => "no_srtp",
            Self::NoRtcpMux { .. } => "no_rtcp_mux",
            Self::DuplicateMid { .. } => "duplicate_mid",
            Self::BadMid { .. } => "bad_mid",
            Self::BundleOnly { .. } => "bundle_only",
            Self::Hostname { .. } => "hostname",
            Self::NoConnection { .. } => "no_connection",
            Self::Address { .. } => "address",
            Self::MediaCount { .. } => "media_count",
            Self::Options { .. } => "options",
        }
    }

    /// The line to blame, from 1, where there is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::TooMany { at, .. }
            | Self::Syntax { at, .. }
            | Self::AudioRejected { at }
            | Self::NoCommonCodec { at, .. }
            | Self::Transport { at, .. }
            | Self::SdesOnly { at }
            | Self::NoFingerprint { at }
            | Self::FingerprintHash { at, .. }
            | Self::BadFingerprint { at }
            | Self::NoIce { at, .. }
            | Self::BadIce { at, .. }
            | Self::IceLite { at }
            | Self::Setup { at, .. }
            | Self::NoSrtp { at, .. }
            | Self::NoRtcpMux { at }
            | Self::DuplicateMid { at, .. }
            | Self::BadMid { at }
            | Self::BundleOnly { at }
            | Self::Hostname { at, .. }
            | Self::NoConnection { at }
            | Self::Address { at, .. } => at.0,
            Self::TooLong { .. }
            | Self::NoAudio
            | Self::MediaCount { .. }
            | Self::Options { .. } => None,
        }
    }

    /// The SIP status a request with such a body deserves: 400 for what cannot be read, 413 for what is too big,
    /// 500 for our own options, 488 for the rest (RFC 3261 §21.4).
    pub fn sip_status(&self) -> u16 {
        match self {
            Self::Syntax { .. } | Self::DuplicateMid { .. } | Self::BadMid { .. } => 400,
            Self::TooLong { .. } | Self::TooMany { .. } => 413,
            Self::Options { .. } => 500,
            _ => 488,
        }
    }
}
