//! Call records for spreadsheets: one row a call (RFC 4180). The timeline and the counts of media are in the JSON alone.

use super::record::CallRecord;

/// The names of the columns.
const COLUMNS: [&str; 25] = [
    "id",
    "direction",
    "session",
    "user",
    "from",
    "to",
    "target",
    "start",
    "ringing_ms",
    "answered_ms",
    "ended_ms",
    "talk_ms",
    "cause",
    "cause_text",
    "sip",
    "q850",
    "ended_by",
    "browser_codec",
    "phone_codec",
    "mos_to_phone",
    "mos_to_browser",
    "trunk",
    "stir",
    "attestation",
    "path",
];

/// The first line of a file.
pub(super) fn header() -> Vec<u8> {
    line(COLUMNS.map(str::to_owned))
}

/// A record's line.
pub(super) fn row(record: &CallRecord) -> Vec<u8> {
    let text = |text: &Option<String>| harmless(text.as_deref().unwrap_or_default());
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    // The names that the JSON has for them.
    let name = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    };
    let mos = |score: Option<f64>| score.map_or_else(String::new, |mos| format!("{mos:.2}"));
    let media = record.media.as_ref();
    let stir = record.stir.as_ref();
    line([
        record.id.clone(),
        name(serde_json::to_value(record.direction)),
        harmless(&record.session),
        text(&record.user),
        text(&record.from),
        harmless(&record.to),
        text(&record.target),
        record.start.clone(),
        number(record.ringing_ms),
        number(record.answered_ms),
        record.ended_ms.to_string(),
        record.talk_ms.to_string(),
        name(serde_json::to_value(record.cause.code)),
        harmless(&record.cause.text),
        number(record.cause.sip.map(u64::from)),
        number(record.cause.q850.map(u64::from)),
        name(serde_json::to_value(record.ended_by)),
        text(&record.browser_codec),
        text(&record.phone_codec),
        mos(media
            .and_then(|media| media.to_phone.as_ref())
            .map(|score| score.mos)),
        mos(media
            .and_then(|media| media.to_browser.as_ref())
            .map(|score| score.mos)),
        text(&record.trunk),
        name(serde_json::to_value(stir.map(|stir| stir.result))),
        name(serde_json::to_value(stir.and_then(|stir| stir.attestation))),
        name(serde_json::to_value(record.path)),
    ])
}

fn line<const N: usize>(fields: [String; N]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Into memory: there is nothing that could fail.
    let _ = writer.write_record(fields);
    writer.into_inner().unwrap_or_default()
}

/// A caller chooses his own name and number: spreadsheets must not take them for a formula.
fn harmless(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::call::CallId;
    use crate::call::cause::CauseCode;
    use crate::call::record::{Direction, Parties};
    use crate::signaling::message::Via;

    #[test]
    fn a_record_is_a_row_with_a_field_for_each_column_and_no_formula() {
        let parties = Parties {
            direction: Direction::Inbound,
            session: String::new(),
            user: Some("alice".into()),
            from: Some("=cmd|' /C calc'!A0".into()),
            to: "+49,30".into(),
        };
        let cause = CauseCode::Busy.because("\"quoted\"");
        let start = SystemTime::UNIX_EPOCH;
        let record = CallRecord {
            path: Some(Via::IceTcp),
            ..CallRecord::without_a_call(CallId(7), parties, start, cause)
        };
        let file = [header(), row(&record)].concat();
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let names: Vec<String> = reader
            .headers()
            .unwrap()
            .iter()
            .map(str::to_owned)
            .collect();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1);
        let field = |name: &str| {
            let at = names.iter().position(|one| one == name).unwrap();
            rows[0].get(at).unwrap()
        };
        assert_eq!(field("id"), "0000000000000007");
        assert_eq!(field("direction"), "inbound");
        assert_eq!(field("from"), "'=cmd|' /C calc'!A0");
        assert_eq!(field("to"), "+49,30");
        assert_eq!(field("cause"), "busy");
        assert_eq!(field("cause_text"), "The number is busy: \"quoted\"");
        assert_eq!(field("q850"), "17");
        assert_eq!(field("ended_by"), "gateway");
        assert_eq!(field("mos_to_phone"), "");
        assert_eq!(field("path"), "ice_tcp");
    }
}
