//! Any SDP in, a verdict and its translation out: what `switchhook explain sdp` prints.

use serde::Serialize;

use crate::{Direction, Note, Refusal, browser, trunk};

/// Whether a description is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It can be answered and translated.
    Accept,
    /// It cannot; see the reason.
    Refuse,
}

/// Which of the two languages a description is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// DTLS-SRTP: a browser's.
    Browser,
    /// Plain RTP: a telephone's.
    Sip,
}

/// What became of a description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Accepted or refused.
    pub verdict: Verdict,
    /// A refusal's stable name.
    pub code: Option<&'static str>,
    /// A refusal in words.
    pub reason: Option<String>,
    /// The line to blame, from 1.
    pub line: Option<usize>,
    /// The language it is written in.
    pub dialect: Dialect,
    /// What was read, where it could be.
    pub understood: Option<Understood>,
    /// The description for the other side. Addresses, ports, names and keys in it are placeholders.
    pub translated: Option<String>,
    /// What was kept, dropped, changed, added, renumbered and rejected, and why.
    pub notes: Vec<Note>,
}

/// The audio of a description as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Understood {
    /// Every `m=` line with its fate.
    pub streams: Vec<browser::Section>,
    /// Place of the audio among them, from 0.
    pub audio: usize,
    /// Its formats, as `111 opus/48000/2`.
    pub formats: Vec<String>,
    /// What its writer does.
    pub direction: Direction,
    /// Packet length it prefers, in milliseconds.
    pub ptime: Option<u32>,
    /// Longest packet it takes, in milliseconds.
    pub maxptime: Option<u32>,
    /// A phone's RTP address.
    pub rtp: Option<std::net::SocketAddr>,
    /// A phone's RTCP address.
    pub rtcp: Option<std::net::SocketAddr>,
    /// A browser's BUNDLE group.
    pub bundle: Vec<String>,
    /// How many candidates a browser listed.
    pub candidates: usize,
}

/// What the SIP side would get for a description. One that is in that dialect already comes back in the gateway's words.
pub fn to_sip(text: &str) -> Explanation {
    let options = trunk::OfferOptions::placeholder();
    let dialect = dialect(text);
    let result = match dialect {
        Dialect::Browser => browser::read_offer(text).map(|offer| {
            let (text, notes) = trunk::offer(&offer, &options);
            (understood_browser(&offer), text, notes)
        }),
        Dialect::Sip => trunk::read_offer(text, &trunk::Keying::None).map(|offer| {
            let options = trunk::OfferOptions {
                direction: offer.audio.direction,
                ..options
            };
            let mut notes = offer.notes.clone();
            notes.push(already("SIP"));
            (understood_sip(&offer), trunk::offer_fresh(&options), notes)
        }),
    };
    explanation(dialect, result)
}

/// What a browser would get for a description. One that is in that dialect already comes back as the gateway's answer.
pub fn to_browser(text: &str) -> Explanation {
    let dialect = dialect(text);
    let options = browser::OfferOptions::placeholder();
    let result = match dialect {
        Dialect::Sip => trunk::read_offer(text, &trunk::Keying::None).and_then(|offer| {
            let (text, notes) = browser::offer(&offer, &options)?;
            Ok((understood_sip(&offer), text, notes))
        }),
        Dialect::Browser => browser::read_offer(text).and_then(|offer| {
            let answer = browser::answer(&offer, &browser::AnswerOptions::placeholder())?;
            let mut notes = answer.notes;
            notes.push(already("browser"));
            Ok((understood_browser(&offer), answer.text, notes))
        }),
    };
    explanation(dialect, result)
}

fn already(dialect: &str) -> Note {
    Note::new(
        crate::Action::Kept,
        "the dialect",
        format!("it is the {dialect} one already; shown is what the gateway itself would say"),
    )
}

fn explanation(
    dialect: Dialect,
    result: Result<(Understood, String, Vec<Note>), Refusal>,
) -> Explanation {
    match result {
        Ok((understood, translated, notes)) => Explanation {
            verdict: Verdict::Accept,
            code: None,
            reason: None,
            line: None,
            dialect,
            understood: Some(understood),
            translated: Some(translated),
            notes,
        },
        Err(refusal) => Explanation {
            verdict: Verdict::Refuse,
            code: Some(refusal.code()),
            reason: Some(refusal.to_string()),
            line: refusal.line(),
            dialect,
            understood: None,
            translated: None,
            notes: Vec::new(),
        },
    }
}

/// Told from the protocol of the media: a phone that writes ICE beside plain RTP is a phone still.
fn dialect(text: &str) -> Dialect {
    let lines = || text.lines().take(crate::limits::LINES);
    let keyed = lines().any(|line| line.starts_with("a=fingerprint"));
    let mut media = lines().filter(|line| line.starts_with("m="));
    let browser = media.any(|line| line.contains("TLS") || keyed && line.contains("RTP/SAVP"));
    if browser {
        Dialect::Browser
    } else {
        Dialect::Sip
    }
}

fn understood_browser(offer: &browser::Offer) -> Understood {
    let audio = &offer.audio;
    Understood {
        streams: offer.sections.clone(),
        audio: audio.index,
        formats: audio.formats.iter().map(crate::Format::rtpmap).collect(),
        direction: audio.direction,
        ptime: audio.ptime,
        maxptime: audio.maxptime,
        rtp: None,
        rtcp: None,
        bundle: offer.bundle.clone(),
        candidates: audio.candidates.len(),
    }
}

fn understood_sip(offer: &trunk::Offer) -> Understood {
    let audio = &offer.audio;
    Understood {
        streams: offer.sections.clone(),
        audio: audio.index,
        formats: audio.formats.iter().map(crate::Format::rtpmap).collect(),
        direction: audio.direction,
        ptime: audio.ptime,
        maxptime: audio.maxptime,
        rtp: audio.remote_rtp,
        rtcp: audio.remote_rtcp,
        bundle: Vec::new(),
        candidates: 0,
    }
}

#[cfg(test)]
mod tests;
