//! `switchhook explain`: what Switchhook makes of a SIP message or a session description, as one
//! line of JSON that names its file.

use serde::Serialize;

/// Which way a session description is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A browser's, for a telephone.
    ToSip,
    /// A telephone's, for a browser.
    ToBrowser,
}

#[derive(Serialize)]
struct Line<'a, T> {
    file: &'a str,
    #[serde(flatten)]
    explanation: T,
}

/// What a SIP user agent of ours does with this message, and why. Any bytes get a verdict.
pub fn sip(file: &str, message: &[u8]) -> String {
    line(file, sip::verdict::judge(message))
}

/// How this session description is understood and translated, and why. Any bytes get a verdict.
pub fn sdp(direction: Direction, file: &str, description: &[u8]) -> String {
    // RFC 8866 §5: text is UTF-8. Where it is not, the replacement characters stand in the
    // explanation for what could not be read.
    let text = String::from_utf8_lossy(description);
    match direction {
        Direction::ToSip => line(file, sdp::explain::to_sip(&text)),
        Direction::ToBrowser => line(file, sdp::explain::to_browser(&text)),
    }
}

fn line(file: &str, explanation: impl Serialize) -> String {
    serde_json::to_string(&Line { file, explanation }).unwrap_or_else(|error| {
        let problem = serde_json::json!({ "file": file, "error": error.to_string() });
        problem.to_string()
    })
}
