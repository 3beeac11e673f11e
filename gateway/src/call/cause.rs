//! Why calls end: one table between SIP statuses (RFC 3261 §21), Q.850 causes (RFC 3326, mapped as
//! RFC 4497 §8.4 has it) and what the browser is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sip::{ReasonHeader, StatusCode};

/// Why a call ended, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseCode {
    /// One side hung up.
    Normal,
    /// The caller gave up while it rang.
    Cancelled,
    /// The telephone is in another call.
    Busy,
    /// The telephone declined.
    Rejected,
    /// It rang, and nobody answered.
    NoAnswer,
    /// The one at the other end speaks with somebody else now.
    Transferred,
    /// Another of the called user's devices took the call.
    AnsweredElsewhere,
    /// No such number.
    NotFound,
    /// The number exists, but cannot be reached now.
    Unavailable,
    /// The trunk gave no sign of life.
    Unreachable,
    /// The two sides share no way to talk.
    NotAcceptable,
    /// The caller may not dial this number.
    Forbidden,
    /// Too many calls at once.
    Overloaded,
    /// A side's audio stopped coming.
    MediaTimeout,
    /// The browser's media path could not be set up, or broke.
    MediaFailed,
    /// The gateway is going down.
    ShuttingDown,
    /// The browser went away.
    BrowserGone,
    /// The call lasted as long as a call may.
    TooLong,
    /// The offer or the number could not be understood.
    BadRequest,
    /// The call is not signed (STIR), where it has to be.
    IdentityMissing,
    /// Its signature is not of now.
    IdentityStale,
    /// The certificate of its signature cannot be had.
    IdentityInfo,
    /// The certificate of its signature is not trusted.
    IdentityCredential,
    /// Its signature is not right, or not for this call.
    IdentityInvalid,
    /// A fault in the trunk or beyond it.
    TrunkError,
    /// A fault of the gateway's own.
    Internal,
}

/// Why a call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// For programs.
    pub code: CauseCode,
    /// For people.
    pub text: String,
    /// The SIP status behind it, where there was one.
    pub sip: Option<u16>,
    /// The Q.850 cause behind it (RFC 3326), where there was one.
    pub q850: Option<u8>,
}

/// One row: the code, the words, the SIP status it is answered with, and its Q.850 cause.
struct Row(CauseCode, &'static str, u16, u8);

const TABLE: &[Row] = &[
    Row(CauseCode::Normal, "The call has ended.", 200, 16),
    Row(
        CauseCode::Cancelled,
        "The call was cancelled before it was answered.",
        487,
        16,
    ),
    Row(CauseCode::Busy, "The number is busy.", 486, 17),
    Row(CauseCode::Rejected, "The call was declined.", 603, 21),
    Row(CauseCode::NoAnswer, "Nobody answered.", 480, 19),
    Row(
        CauseCode::AnsweredElsewhere,
        "The call was answered elsewhere.",
        487,
        26,
    ),
    Row(CauseCode::Transferred, "The call was transferred.", 200, 16),
    Row(CauseCode::NotFound, "This number does not exist.", 404, 1),
    Row(
        CauseCode::Unavailable,
        "The number cannot be reached at the moment.",
        480,
        20,
    ),
    Row(
        CauseCode::Unreachable,
        "The telephone network did not respond.",
        408,
        18,
    ),
    Row(
        CauseCode::NotAcceptable,
        "The two sides have no audio format in common.",
        488,
        65,
    ),
    Row(
        CauseCode::Forbidden,
        "This number may not be called from here.",
        403,
        57,
    ),
    Row(
        CauseCode::Overloaded,
        "Too many calls at the moment; please try again shortly.",
        503,
        42,
    ),
    Row(
        CauseCode::MediaTimeout,
        "The call was ended because no audio arrived from the other side.",
        408,
        102,
    ),
    Row(
        CauseCode::MediaFailed,
        "The audio connection to the browser could not be set up.",
        488,
        47,
    ),
    Row(
        CauseCode::ShuttingDown,
        "The gateway is shutting down.",
        503,
        41,
    ),
    Row(CauseCode::BrowserGone, "The browser went away.", 480, 27),
    Row(
        CauseCode::TooLong,
        "The call reached its greatest permitted length.",
        200,
        16,
    ),
    Row(
        CauseCode::BadRequest,
        "The call could not be understood.",
        400,
        95,
    ),
    // RFC 8224 §6.2.2; Q.850 has no word for them.
    Row(
        CauseCode::IdentityMissing,
        "The call is not signed, and has to be.",
        428,
        127,
    ),
    Row(
        CauseCode::IdentityStale,
        "The call's signature is not of now.",
        403,
        127,
    ),
    Row(
        CauseCode::IdentityInfo,
        "The certificate of the call's signature cannot be had.",
        436,
        127,
    ),
    Row(
        CauseCode::IdentityCredential,
        "The certificate of the call's signature is not trusted.",
        437,
        127,
    ),
    Row(
        CauseCode::IdentityInvalid,
        "The call's signature is not right.",
        438,
        127,
    ),
    Row(
        CauseCode::TrunkError,
        "The telephone network reported a fault.",
        500,
        38,
    ),
    Row(
        CauseCode::Internal,
        "The gateway had a fault of its own.",
        500,
        41,
    ),
];

impl CauseCode {
    fn row(self) -> &'static Row {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .unwrap_or(&TABLE[TABLE.len() - 1])
    }

    /// The cause as the browser is told it, with the table's own words.
    pub fn cause(self) -> Cause {
        let Row(code, text, _, q850) = *self.row();
        Cause {
            code,
            text: text.to_owned(),
            sip: None,
            q850: Some(q850),
        }
    }

    /// The cause with particulars after the table's words.
    pub fn because(self, particulars: impl std::fmt::Display) -> Cause {
        let cause = self.cause();
        let text = format!("{}: {particulars}", cause.text.trim_end_matches('.'));
        Cause { text, ..cause }
    }

    /// The status that refuses an INVITE for this cause.
    pub fn status(self) -> u16 {
        self.row().2
    }

    /// The Reason header (RFC 3326) that goes with a CANCEL or BYE for this cause.
    pub fn reason(self) -> ReasonHeader {
        let Row(_, text, _, q850) = *self.row();
        ReasonHeader::q850(u16::from(q850), text)
    }
}

/// The cause behind a final response: a Q.850 Reason says more than the status it came with.
pub fn from_status(status: StatusCode, reason: Option<&ReasonHeader>) -> Cause {
    let q850 = reason.and_then(q850);
    let code = q850
        .and_then(code_of_q850)
        .unwrap_or_else(|| code_of_status(status.code()));
    let cause = code.cause();
    Cause {
        sip: Some(status.code()),
        q850: q850.or(cause.q850),
        ..cause
    }
}

/// The cause behind a CANCEL of theirs: one of the phones that rang with ours took the call (RFC 3326 §2), or the caller
/// gave up.
pub fn from_cancel(reason: Option<&ReasonHeader>) -> Cause {
    let taken = reason.is_some_and(|reason| {
        reason.protocol.eq_ignore_ascii_case("SIP") && reason.cause == Some(200)
    });
    match taken || reason.and_then(q850) == Some(26) {
        true => CauseCode::AnsweredElsewhere.cause(),
        false => CauseCode::Cancelled.cause(),
    }
}

/// The cause behind a BYE: its Reason where it has one, else a normal end.
pub fn from_bye(reason: Option<&ReasonHeader>) -> Cause {
    let q850 = reason.and_then(q850);
    let cause = q850
        .and_then(code_of_q850)
        .unwrap_or(CauseCode::Normal)
        .cause();
    Cause {
        q850: q850.or(cause.q850),
        ..cause
    }
}

fn q850(reason: &ReasonHeader) -> Option<u8> {
    let cause = reason
        .cause
        .filter(|_| reason.protocol.eq_ignore_ascii_case("Q.850"))?;
    u8::try_from(cause)
        .ok()
        .filter(|cause| (1..=127).contains(cause))
}

fn code_of_status(status: u16) -> CauseCode {
    match status {
        401 | 403 | 407 => CauseCode::Forbidden,
        404 | 410 | 484 | 485 | 604 => CauseCode::NotFound,
        408 | 504 => CauseCode::Unreachable,
        415 | 488 | 606 => CauseCode::NotAcceptable,
        480 | 483 | 502 => CauseCode::Unavailable,
        486 | 600 => CauseCode::Busy,
        487 => CauseCode::Cancelled,
        503 => CauseCode::Overloaded,
        603 | 607 | 608 => CauseCode::Rejected,
        400 | 414 | 416 | 420 => CauseCode::BadRequest,
        428 => CauseCode::IdentityMissing,
        436 => CauseCode::IdentityInfo,
        437 => CauseCode::IdentityCredential,
        438 => CauseCode::IdentityInvalid,
        _ => CauseCode::TrunkError,
    }
}

/// RFC 4497 §8.4.1 read backwards; a cause that says no more than its status is left to that.
fn code_of_q850(cause: u8) -> Option<CauseCode> {
    Some(match cause {
        1 | 2 | 3 | 22 | 28 => CauseCode::NotFound,
        16 | 31 => return None,
        17 => CauseCode::Busy,
        18 | 19 => CauseCode::NoAnswer,
        20 | 27 => CauseCode::Unavailable,
        21 => CauseCode::Rejected,
        34 | 42 | 44 => CauseCode::Overloaded,
        55 | 57 | 87 => CauseCode::Forbidden,
        65 | 70 | 79 | 88 => CauseCode::NotAcceptable,
        102 => CauseCode::Unreachable,
        38 | 41 | 47 | 58 => CauseCode::TrunkError,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(protocol: &str, cause: u16) -> ReasonHeader {
        ReasonHeader {
            protocol: protocol.into(),
            cause: Some(cause),
            text: None,
        }
    }

    fn status(code: u16) -> StatusCode {
        StatusCode::new(code).unwrap()
    }

    #[test]
    fn every_code_has_one_row_and_words_of_its_own() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(
                TABLE[i + 1..]
                    .iter()
                    .all(|other| other.0 != row.0 && other.1 != row.1),
                "{:?}",
                row.0
            );
        }
        let last = CauseCode::Internal as usize;
        assert_eq!(TABLE.len(), last + 1, "a code without a row");
    }

    #[test]
    fn a_status_becomes_what_a_person_would_say() {
        let told = |code| from_status(status(code), None).code;
        assert_eq!(told(486), CauseCode::Busy);
        assert_eq!(told(603), CauseCode::Rejected);
        assert_eq!(told(480), CauseCode::Unavailable);
        assert_eq!(told(404), CauseCode::NotFound);
        assert_eq!(told(408), CauseCode::Unreachable);
        assert_eq!(told(488), CauseCode::NotAcceptable);
        assert_eq!(told(428), CauseCode::IdentityMissing);
        assert_eq!(told(438), CauseCode::IdentityInvalid);
        assert_eq!(told(403), CauseCode::Forbidden, "which it mostly is");
        assert_eq!(told(599), CauseCode::TrunkError);
    }

    #[test]
    fn a_q850_reason_is_more_exact_than_the_status_it_came_with() {
        let cause = from_status(status(500), Some(&reason("Q.850", 17)));
        assert_eq!(
            (cause.code, cause.sip, cause.q850),
            (CauseCode::Busy, Some(500), Some(17))
        );
        let normal = from_status(status(603), Some(&reason("Q.850", 16)));
        assert_eq!(normal.code, CauseCode::Rejected);
        let foreign = from_status(status(486), Some(&reason("SIP", 21)));
        assert_eq!(foreign.code, CauseCode::Busy);
    }

    #[test]
    fn a_cancel_says_whether_another_phone_took_the_call() {
        let elsewhere = [reason("SIP", 200), reason("Q.850", 26)];
        for header in &elsewhere {
            assert_eq!(from_cancel(Some(header)).code, CauseCode::AnsweredElsewhere);
        }
        let given_up = [None, Some(reason("SIP", 487)), Some(reason("Q.850", 16))];
        for header in &given_up {
            assert_eq!(from_cancel(header.as_ref()).code, CauseCode::Cancelled);
        }
    }

    #[test]
    fn a_bye_is_a_normal_end_unless_it_says_otherwise() {
        assert_eq!(from_bye(None).code, CauseCode::Normal);
        assert_eq!(from_bye(Some(&reason("Q.850", 16))).code, CauseCode::Normal);
        assert_eq!(
            from_bye(Some(&reason("Q.850", 38))).code,
            CauseCode::TrunkError
        );
        assert_eq!(from_bye(Some(&reason("Q.850", 999))).q850, Some(16));
    }
}
