//! The messages of RFC 4475 and RFC 5118 with the verdicts those RFCs give them. They are not part of this tree:
//! `SIP_CORPUS` names the folder that holds `VERDICTS.tsv` and the files it lists. The same ideas in messages of our own
//! are tested beside the code.

use std::{fs, path::PathBuf};

use sip::{
    Message, parse_datagram,
    verdict::{Judgement, Verdict, judge},
};

struct Case {
    file: String,
    expected: String,
    bytes: Vec<u8>,
}

/// `None`, with a word about it, if the corpus is not here.
fn corpus() -> Option<Vec<Case>> {
    let Some(folder) = std::env::var_os("SIP_CORPUS").map(PathBuf::from) else {
        eprintln!("skipped: SIP_CORPUS does not name a folder");
        return None;
    };
    let Ok(table) = fs::read_to_string(folder.join("VERDICTS.tsv")) else {
        eprintln!("skipped: there is no VERDICTS.tsv in {}", folder.display());
        return None;
    };
    let read = |path: &str| {
        // The table names files from the corpus's parent.
        let inside = path.strip_prefix("sip/").unwrap_or(path);
        fs::read(folder.join(inside)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let rows = table.lines().skip(1).filter(|line| !line.is_empty());
    let cases = rows.map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [file, .., expected] = columns.as_slice() else {
            panic!("no row of the table: {line}")
        };
        Case {
            file: (*file).to_owned(),
            expected: (*expected).to_owned(),
            bytes: read(file),
        }
    });
    Some(cases.collect())
}

/// Whether a verdict is one of those a row allows.
fn allows(expected: &str, judgement: &Judgement) -> bool {
    let rejected = |codes: &[u16]| matches!(judgement.verdict, Verdict::Reject(status) if codes.contains(&status.code()));
    let accepted = judgement.verdict == Verdict::Accept;
    match expected {
        "accept" | "accept (RFC 2543 matching)" | "accept, ignore" | "accept, ignore Date" => {
            accepted
        }
        "400" => rejected(&[400]),
        "400 (lenient: accept)" | "400 or treat as RFC 2543" => accepted || rejected(&[400]),
        "400 or 501" => rejected(&[400, 501]),
        "401/403" => rejected(&[401, 403]),
        "406" => rejected(&[406]),
        "415" => rejected(&[415]),
        "416" => rejected(&[416]),
        "420 with Unsupported" => {
            rejected(&[420])
                && judgement
                    .answer_headers
                    .iter()
                    .any(|(name, _)| name == "Unsupported")
        }
        "483" => rejected(&[483]),
        "505" => rejected(&[505]),
        "drop (response)" => judgement.verdict == Verdict::Drop,
        other => panic!("a verdict this test does not know: {other}"),
    }
}

#[test]
fn every_message_of_rfc_4475_and_rfc_5118_gets_its_verdict() {
    let Some(cases) = corpus() else { return };
    let mut wrong = Vec::new();
    let (mut torture, mut ipv6) = (0, 0);
    for case in &cases {
        let judgement = judge(&case.bytes);
        if !allows(&case.expected, &judgement) {
            wrong.push(format!(
                "{}: expected {}, got {judgement:?}",
                case.file, case.expected
            ));
        } else if case.file.contains("rfc4475") {
            torture += 1;
        } else if case.file.contains("rfc5118") {
            ipv6 += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((torture, ipv6), (49, 12));
}

#[test]
fn what_the_corpus_prints_to_is_read_again_as_the_same() {
    let Some(cases) = corpus() else { return };
    for case in cases {
        let Ok(message) = parse_datagram(&case.bytes) else {
            continue;
        };
        let printed = message.to_bytes();
        let again =
            parse_datagram(&printed).unwrap_or_else(|error| panic!("{}: {error}", case.file));
        assert_eq!(again.to_bytes(), printed, "{}", case.file);
        assert_eq!(again.body(), message.body(), "{}", case.file);
    }
}

/// Whatever `rsip` reads and we accept, we read the same.
#[test]
fn rsip_reads_the_same_in_the_corpus() {
    use rsip::headers::UntypedHeader;
    use rsip::message::HeadersExt;
    let Some(cases) = corpus() else { return };
    let mut compared = 0;
    for case in cases
        .iter()
        .filter(|case| judge(&case.bytes).verdict == Verdict::Accept)
    {
        let Ok(Message::Request(ours)) = parse_datagram(&case.bytes) else {
            continue;
        };
        let Ok(theirs) = rsip::Request::try_from(case.bytes.as_slice()) else {
            continue;
        };
        assert_eq!(
            ours.method.as_str(),
            theirs.method.to_string(),
            "{}",
            case.file
        );
        if let Ok(call_id) = theirs.call_id_header() {
            assert_eq!(
                ours.headers.call_id(),
                Some(call_id.value()),
                "{}",
                case.file
            );
        }
        compared += 1;
    }
    assert!(compared > 5, "only {compared} were compared");
}
