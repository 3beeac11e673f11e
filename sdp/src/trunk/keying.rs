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
        /// Whether we began the handshake that is up, which a later description must not change (RFC 8842 §5.5).
        active: Option<bool>,
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
            Self::Dtls { fingerprint, .. } => vec![
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

/// What an offer has for keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OfferedKeys {
    /// Of `a=crypto`: those that can be used, in their order, and why the first of the others cannot.
    crypto: Vec<Crypto>,
    unusable: Option<Unusable>,
    /// SHA-256 of their certificate, and their role.
    dtls: Option<([u8; 32], Role)>,
}

/// `a=setup` of an offer (RFC 4145 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Either,
    Active,
    Passive,
}

impl OfferedKeys {
    pub(super) fn read(description: &Description<'_>, index: usize) -> Result<Self, Refusal> {
        let mut keys = Self::default();
        for line in description.values(index, "crypto") {
            match Crypto::parse(line) {
                Ok(crypto) => keys.crypto.push(crypto),
                Err(why) => keys.unusable = keys.unusable.or(Some(why)),
            }
        }
        let media = description.session.medias.get(index);
        if media.is_some_and(|media| media.proto.starts_with("UDP/TLS/")) {
            let fingerprint = fingerprint::read(description, index)?;
            let role = match description.value(index, "setup").map(str::trim) {
                Some("actpass") => Role::Either,
                Some("active") | None => Role::Active,
                Some("passive") => Role::Passive,
                Some(_) => {
                    return Err(Refusal::NoSrtp {
                        why: "a=setup must be actpass, active or passive (RFC 5763 §5)",
                        at: description.at(index, "a=setup"),
                    });
                }
            };
            keys.dtls = Some((fingerprint, role));
        }
        Ok(keys)
    }
}

impl Keying {
    /// What we agree to of an offer with that protocol and those keys, and the lines that say so.
    pub(super) fn answer(
        &self,
        proto: &str,
        keys: &OfferedKeys,
        rtcp_mux: bool,
        notes: &mut Vec<Note>,
    ) -> Result<(Srtp, Vec<Attribute>), Refusal> {
        let plain = matches!(proto, "RTP/AVP" | "RTP/AVPF");
        let tls = proto.starts_with("UDP/TLS/");
        let refuse = |why| Err(Refusal::NoSrtp { why, at: At(None) });
        match self {
            Self::None | Self::Opportunistic(_) if plain && !self.takes_keys(keys) => {
                if !keys.crypto.is_empty() {
                    notes.push(Note::new(
                        Action::Dropped,
                        "a=crypto",
                        "keys without RTP/SAVP are not used; the stream is plain RTP (RFC 4568 §7)",
                    ));
                }
                Ok((Srtp::Plain, Vec::new()))
            }
            Self::None => Err(Refusal::Transport {
                found: crate::note::shortened(proto.to_owned()),
                wanted: "RTP/AVP: SRTP is not taken, unless the trunk's srtp setting says so",
                at: At(None),
            }),
            Self::Opportunistic(ours) | Self::Sdes(ours) if !tls => {
                if plain && keys.crypto.is_empty() {
                    return refuse("it is of plain RTP, and nothing less than SRTP is taken");
                }
                take_crypto(ours, keys)
            }
            Self::Opportunistic(_) | Self::Sdes(_) => {
                refuse("it is of DTLS, and the trunk's keys are those in the description")
            }
            Self::Dtls {
                fingerprint,
                active,
            } => {
                let Some((theirs, role)) = keys.dtls else {
                    return refuse(
                        "it is not of DTLS (UDP/TLS/RTP/SAVP), and nothing less is taken",
                    );
                };
                if !rtcp_mux {
                    return refuse("a=rtcp-mux is missing; DTLS has one port (RFC 5764 §4.1)");
                }
                // Who may choose begins, so that the first packet is not lost on a side that does not listen yet.
                let active = match (role, active) {
                    (Role::Either, kept) => kept.unwrap_or(true),
                    (Role::Active, _) => false,
                    (Role::Passive, _) => true,
                };
                let setup = if active { "active" } else { "passive" };
                let lines = vec![
                    value("fingerprint", format!("sha-256 {fingerprint}")),
                    value("setup", setup),
                ];
                let fingerprint = theirs;
                Ok((
                    Srtp::Dtls {
                        fingerprint,
                        active,
                    },
                    lines,
                ))
            }
        }
    }

    /// Plain RTP with keys beside it is encrypted where we may (RFC 8643 §3).
    fn takes_keys(&self, keys: &OfferedKeys) -> bool {
        matches!(self, Self::Opportunistic(ours) if take_crypto(ours, keys).is_ok())
    }
}

/// Their first key of a suite that we have (RFC 4568 §5.1.2); ours goes back under its tag.
fn take_crypto(ours: &[Crypto], keys: &OfferedKeys) -> Result<(Srtp, Vec<Attribute>), Refusal> {
    let same = |theirs: &Crypto| ours.iter().find(|ours| ours.suite == theirs.suite);
    let found = keys
        .crypto
        .iter()
        .find_map(|theirs| Some((theirs, same(theirs)?)));
    let refuse = |why| Err(Refusal::NoSrtp { why, at: At(None) });
    let Some((theirs, ours)) = found else {
        return refuse(match keys.unusable {
            Some(why) => why_unusable(why),
            None if keys.crypto.is_empty() => "a=crypto is missing",
            None => "none of its suites is taken",
        });
    };
    if ours.key == theirs.key {
        return refuse("it has our own key: both ways would have the same key stream");
    }
    let answer = Crypto {
        tag: theirs.tag,
        ..ours.clone()
    };
    let srtp = Srtp::Sdes {
        suite: ours.suite,
        ours: ours.key.clone(),
        theirs: theirs.key.clone(),
    };
    Ok((srtp, vec![value("crypto", answer.to_wire())]))
}

fn why_unusable(why: Unusable) -> &'static str {
    match why {
        Unusable::Malformed => "it is not of the form of RFC 4568 §9.1",
        Unusable::Suite => "its suite is not supported",
        Unusable::Key => "its key is not base64 of its suite's length",
        Unusable::Lifetime => "its lifetime is not from 1 to 2^48 packets",
        Unusable::Mki | Unusable::SeveralKeys => {
            "it has a master key identifier (MKI), which is not supported"
        }
        Unusable::Parameter => "a session parameter of it is not supported",
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
    refuse(unusable.map_or("it is missing", why_unusable))
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
