//! How the SIP side's media gets its keys: not at all, in the description (SDES), or by DTLS.

use sdp_types::{Attribute, Media};
use serde::Serialize;

use crate::crypto::{Crypto, KeySalt, Suite, Unusable};
use crate::description::Description;
use crate::write::value;
use crate::{Action, At, Note, Refusal, fingerprint};

/// What we offer the SIP side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Keying {
    /// Plain RTP.
    #[default]
    None,
    /// Plain RTP with keys beside it, in order of preference: who understands them encrypts (RFC 8643).
    Opportunistic(Vec<Crypto>),
    /// SRTP with keys in the description, or nothing (RFC 4568).
    Sdes(Vec<Crypto>),
    /// SRTP with keys of a DTLS handshake, or nothing (RFC 5763, RFC 5764).
    Dtls {
        /// Of our certificate, as `a=fingerprint` has it: `AB:CD:…`, SHA-256.
        fingerprint: String,
    },
}

/// What the two sides agreed on. Serialised, it is a name: no key is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Srtp {
    /// Plain RTP.
    #[default]
    Plain,
    /// Keys in the descriptions.
    Sdes {
        /// The suite, both ways.
        suite: Suite,
        /// What we encrypt with.
        ours: KeySalt,
        /// What they encrypt with.
        theirs: KeySalt,
    },
    /// Keys of a handshake that is to come.
    Dtls {
        /// SHA-256 of their certificate.
        fingerprint: [u8; 32],
        /// We begin the handshake (RFC 4145 §4).
        active: bool,
    },
}

impl Srtp {
    /// Its name for people and records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Sdes { suite, .. } => suite.name(),
            Self::Dtls { .. } => "DTLS-SRTP",
        }
    }
}

impl Serialize for Srtp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Keying {
    /// The protocol of our `m=` line.
    pub(super) fn proto(&self) -> &'static str {
        match self {
            Self::None | Self::Opportunistic(_) => "RTP/AVP",
            Self::Sdes(_) => "RTP/SAVP",
            Self::Dtls { .. } => "UDP/TLS/RTP/SAVP",
        }
    }

    /// RTP and RTCP share a port: each port would need a handshake of its own (RFC 5764 §4.1).
    pub(super) fn needs_mux(&self) -> bool {
        matches!(self, Self::Dtls { .. })
    }

    /// Whether an answer may have that protocol. Some answer an offer of RTP/AVP with keys by RTP/SAVP.
    pub(super) fn takes(&self, proto: &str) -> bool {
        let plain = matches!(proto, "RTP/AVP" | "RTP/AVPF");
        let sdes = matches!(proto, "RTP/SAVP" | "RTP/SAVPF");
        match self {
            Self::None => plain,
            Self::Opportunistic(_) => plain || sdes,
            Self::Sdes(_) => sdes,
            Self::Dtls { .. } => matches!(proto, "UDP/TLS/RTP/SAVP" | "UDP/TLS/RTP/SAVPF"),
        }
    }

    /// What was wanted of an answer that has another protocol.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Self::None => {
                "RTP/AVP was offered: SRTP is not, unless the trunk's srtp setting says so"
            }
            Self::Opportunistic(_) => "RTP/AVP was offered",
            Self::Sdes(_) => "RTP/SAVP was offered, and nothing less is taken (RFC 4568 §7.1.3)",
            Self::Dtls { .. } => {
                "UDP/TLS/RTP/SAVP was offered, and nothing less is taken (RFC 5763 §5)"
            }
        }
    }

    /// The lines that it adds to our section.
    pub(super) fn write(&self, media: &mut Media) {
        let crypto = |crypto: &Crypto| value("crypto", crypto.to_wire());
        let lines: Vec<Attribute> = match self {
            Self::None => return,
            Self::Opportunistic(offered) | Self::Sdes(offered) => {
                offered.iter().map(crypto).collect()
            }
            Self::Dtls { fingerprint } => vec![
                value("fingerprint", format!("sha-256 {fingerprint}")),
                value("setup", "actpass"),
            ],
        };
        media.attributes.extend(lines);
    }

    /// What an answer to it agrees to.
    pub(super) fn read_answer(
        &self,
        description: &Description<'_>,
        index: usize,
        notes: &mut Vec<Note>,
    ) -> Result<Srtp, Refusal> {
        let has_keys = description.has(index, "crypto");
        match self {
            Self::None => {
                if has_keys {
                    notes.push(Note::new(
                        Action::Dropped,
                        "a=crypto",
                        "no keys were offered; the stream is plain RTP (RFC 4568 §5.1.2)",
                    ));
                }
                Ok(Srtp::Plain)
            }
            Self::Opportunistic(_) if !has_keys && !is_savp(description, index) => {
                notes.push(Note::new(
                    Action::Dropped,
                    "a=crypto",
                    "the answer has none: the stream is plain RTP (RFC 8643 §3)",
                ));
                Ok(Srtp::Plain)
            }
            Self::Opportunistic(offered) | Self::Sdes(offered) => {
                read_crypto(offered, description, index)
            }
            Self::Dtls { .. } => read_dtls(description, index),
        }
    }
}

fn is_savp(description: &Description<'_>, index: usize) -> bool {
    let media = description.session.medias.get(index);
    media.is_some_and(|media| media.proto.starts_with("RTP/SAVP"))
}

/// The one of our keys that the answer takes, and theirs (RFC 4568 §5.1.3).
fn read_crypto(
    offered: &[Crypto],
    description: &Description<'_>,
    index: usize,
) -> Result<Srtp, Refusal> {
    let at = description.at(index, "a=crypto:");
    let refuse = |why| Err(Refusal::NoSrtp { why, at });
    let mut unusable = None;
    for line in description.values(index, "crypto") {
        let theirs = match Crypto::parse(line) {
            Ok(theirs) => theirs,
            Err(why) => {
                unusable = unusable.or(Some(why));
                continue;
            }
        };
        let Some(ours) = offered.iter().find(|ours| ours.tag == theirs.tag) else {
            return refuse("its tag is none of those that were offered");
        };
        if ours.suite != theirs.suite {
            return refuse("its suite is not the one that was offered under its tag");
        }
        if ours.key == theirs.key {
            return refuse("it has our own key: both ways would have the same key stream");
        }
        return Ok(Srtp::Sdes {
            suite: ours.suite,
            ours: ours.key.clone(),
            theirs: theirs.key,
        });
    }
    refuse(match unusable {
        None => "it is missing",
        Some(Unusable::Malformed) => "it is not of the form of RFC 4568 §9.1",
        Some(Unusable::Suite) => "its suite is not supported",
        Some(Unusable::Key) => "its key is not base64 of its suite's length",
        Some(Unusable::Lifetime) => "its lifetime is not from 1 to 2^48 packets",
        Some(Unusable::Mki | Unusable::SeveralKeys) => {
            "it has a master key identifier (MKI), which is not supported"
        }
        Some(Unusable::Parameter) => "a session parameter of it is not supported",
    })
}

fn read_dtls(description: &Description<'_>, index: usize) -> Result<Srtp, Refusal> {
    let at = description.at(index, "a=setup");
    let fingerprint = fingerprint::read(description, index)?;
    // Without the attribute who answers is active (RFC 4145 §4.1).
    match description.value(index, "setup").map(str::trim) {
        None | Some("active") => Ok(Srtp::Dtls {
            fingerprint,
            active: false,
        }),
        Some("passive") => Ok(Srtp::Dtls {
            fingerprint,
            active: true,
        }),
        Some(_) => Err(Refusal::NoSrtp {
            why: "a=setup must be active or passive in an answer to actpass (RFC 5763 §5)",
            at,
        }),
    }
}

/// An answer without the shared port that DTLS needs.
pub(super) fn no_mux(at: At) -> Refusal {
    Refusal::NoSrtp {
        why: "a=rtcp-mux was offered and is missing; DTLS has one port (RFC 5764 §4.1)",
        at,
    }
}
