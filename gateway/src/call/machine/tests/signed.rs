//! Calls that somebody signed (RFC 8224), or nobody.

use super::dialing::trunks;
use super::forwarding::{arrival, called_by};
use super::*;
use crate::settings::CallerIdentity;
use crate::stir::{Attestation, Failure as StirFailure, Finding, Verdict};

const IDENTITIES: [&str; 2] = [
    "a.b.c;info=<https://a.example/>",
    "d.e.f;info=<https://d.example/>",
];

fn signed(finding: Option<Finding>) -> Signed {
    Signed {
        headers: IDENTITIES.map(str::to_owned).to_vec(),
        finding,
    }
}

fn called(finding: Option<Finding>) -> Story {
    let arrival = Arrival {
        signed: signed(finding),
        ..arrival(1, Forward::default(), Permit::default(), 0)
    };
    called_by(trunks(&["pbx.example"]), arrival)
}

#[test]
fn the_user_and_the_record_are_told_what_a_signature_comes_to() {
    let verified = Finding::Verified {
        attestation: Some(Attestation::B),
        origid: Some("x".to_owned()),
    };
    let failed = Finding::Failed(StirFailure::Stale(70));
    for (finding, verdict, attestation, told) in [
        (
            verified,
            Verdict::Verified,
            Some(Attestation::B),
            "is verified (B)",
        ),
        (failed, Verdict::Failed, None, "signed 70 s ago"),
        (Finding::Absent, Verdict::Absent, None, "not signed"),
    ] {
        let mut story = called(Some(finding.clone()));
        let [ServerMessage::Incoming { verification, .. }] = story.browser.as_slice() else {
            panic!("{:?}", story.browser);
        };
        let verification = verification.expect("somebody looked");
        assert_eq!(
            (verification.result, verification.attestation),
            (verdict, attestation)
        );
        story.hangs_up();
        let record = story.record();
        assert_eq!(record.stir, Some(finding.record()));
        let noted = serde_json::to_string(&record.timeline).unwrap();
        assert!(noted.contains(told), "{noted}");
    }
    let mut story = called(None);
    let [ServerMessage::Incoming { verification, .. }] = story.browser.as_slice() else {
        panic!("{:?}", story.browser);
    };
    assert_eq!(*verification, None, "nobody looked");
    story.hangs_up();
    assert_eq!(story.record().stir, None);
}

#[test]
fn signatures_go_on_as_they_are_with_a_call_that_does_where_our_word_is_taken() {
    for identity in [
        CallerIdentity::Asserted,
        CallerIdentity::Preferred,
        CallerIdentity::From,
    ] {
        let forward = Forward {
            always: Some("+4977".to_owned()),
            ..Forward::default()
        };
        let arrival = Arrival {
            signed: signed(Some(Finding::Absent)),
            ..arrival(1, forward, Permit::default(), 0)
        };
        let mut trunks = trunks(&["pbx.example"]);
        trunks[0].identity = identity;
        let story = called_by(trunks, arrival);
        let headers = story.dialed.last().expect("it goes on").headers.iter();
        let passed: Vec<_> = headers
            .filter(|(name, _)| name == "Identity")
            .map(|(_, value)| value.as_str())
            .collect();
        match identity {
            CallerIdentity::Asserted => assert_eq!(passed, IDENTITIES),
            _ => assert!(passed.is_empty(), "{identity:?}: {passed:?}"),
        }
    }
}
