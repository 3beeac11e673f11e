use super::*;

const OPTIONS: &str = "OPTIONS sip:b@example.org SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
    To: <sip:b@example.org>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_plain_message_is_accepted_without_a_remark() {
    let judgement = judge(OPTIONS.as_bytes());
    assert_eq!(judgement.verdict, Verdict::Accept);
    assert!(judgement.reasons.is_empty(), "{:?}", judgement.reasons);
    assert_eq!(
        judgement.understood.uri.as_deref(),
        Some("sip:b@example.org")
    );
}

#[test]
fn what_is_passed_over_is_said() {
    let text = OPTIONS
        .replace("z9hG4bK1", "x")
        .replace("Max-Forwards: 70", "Date: today")
        .replace("\r\n\r\n", "\r\n\r\nmore");
    let judgement = judge(text.as_bytes());
    assert_eq!(judgement.verdict, Verdict::Accept);
    for word in ["RFC 2543", "Max-Forwards", "Date", "4 bytes"] {
        assert!(
            judgement.reasons.iter().any(|reason| reason.contains(word)),
            "{word}: {:?}",
            judgement.reasons
        );
    }
}

#[test]
fn our_own_user_agent_is_stricter_about_methods() {
    let text = OPTIONS.replace("OPTIONS", "PUBLISH");
    let judgement = judge(text.as_bytes());
    assert_eq!(judgement.verdict, Verdict::Accept);
    assert!(
        judgement.reasons[0].contains("405"),
        "{:?}",
        judgement.reasons
    );
    let judgement = judge_with(text.as_bytes(), &Supported::USER_AGENT);
    assert_eq!(
        judgement.verdict,
        Verdict::Reject(StatusCode::METHOD_NOT_ALLOWED)
    );
}
