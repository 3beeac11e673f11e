use super::*;
use crate::call::cause::CauseCode;
use crate::stir::{Attestation, Verdict};

fn bad(text: &str) -> BadMessage {
    ClientMessage::read(text).expect_err("should be refused")
}

#[test]
fn a_call_is_read() {
    let message =
        ClientMessage::read(r#"{"type":"call","call":"c1","to":"echo","sdp":"v=0"}"#).unwrap();
    assert_eq!(
        message,
        ClientMessage::Call(PlaceCall {
            call: CallName("c1".into()),
            to: "echo".into(),
            sdp: "v=0".into(),
            headers: BTreeMap::new(),
        })
    );
}

#[test]
fn an_error_names_the_field_that_is_wrong() {
    let cases = [
        (r#"{"type":"call","call":"c1","sdp":"v=0"}"#, "to"),
        (
            r#"{"type":"call","call":"c1","to":"1","sdp":"v=0","headers":{"X-A":"a\r\nX-B: b"}}"#,
            "headers",
        ),
        (r#"{"type":"transfer","call":"c1"}"#, "to"),
        (
            r#"{"type":"transfer","call":"c1","to":"1","with":"c2"}"#,
            "to",
        ),
        (r#"{"type":"call","call":"c1","to":5,"sdp":"v=0"}"#, "to"),
        (
            r#"{"type":"call","call":"c1","to":"echo","sdp":"v=0","extra":1}"#,
            "extra",
        ),
        (
            r#"{"type":"call","call":"not a name","to":"echo","sdp":"v=0"}"#,
            "call",
        ),
        (r#"{"type":"call","call":"c1","to":"","sdp":"v=0"}"#, "to"),
        (
            r#"{"type":"call","call":"c1","to":"a\r\nb","sdp":"v=0"}"#,
            "to",
        ),
        (r#"{"type":"dtmf","call":"c1","digits":"12x"}"#, "digits"),
        (
            r#"{"type":"dtmf","call":"c1","digits":"12","duration_ms":1}"#,
            "duration_ms",
        ),
    ];
    for (text, field) in cases {
        let bad = bad(text);
        assert_eq!(
            (bad.code, bad.field.as_deref()),
            (ErrorCode::BadField, Some(field)),
            "{text}: {}",
            bad.text
        );
    }
}

#[test]
fn an_error_names_the_call_it_was_about() {
    assert_eq!(
        bad(r#"{"type":"call","call":"c7","to":"echo"}"#)
            .call
            .unwrap()
            .as_str(),
        "c7"
    );
}

#[test]
fn what_is_not_an_object_with_a_known_type_is_refused() {
    assert_eq!(bad("nonsense").code, ErrorCode::BadJson);
    assert_eq!(bad("[1]").code, ErrorCode::BadJson);
    assert_eq!(bad("{}").code, ErrorCode::BadJson);
    assert_eq!(bad(r#"{"type":"fly"}"#).code, ErrorCode::UnknownType);
}

#[test]
fn an_sdp_beyond_64_kib_is_refused() {
    let sdp = "a".repeat(MAX_SDP + 1);
    let bad = bad(&format!(r#"{{"type":"offer","call":"c1","sdp":"{sdp}"}}"#));
    assert_eq!(bad.field.as_deref(), Some("sdp"));
}

#[test]
fn the_names_of_calls_that_come_in_are_the_gateways() {
    let bad = bad(r#"{"type":"call","call":"in-1","to":"echo","sdp":"v=0"}"#);
    assert_eq!(bad.field.as_deref(), Some("call"));
    assert!(CallName::incoming(CallId(7)).is_incoming());
}

#[test]
fn who_signs_in_has_a_token_or_a_password() {
    for text in [
        r#"{"type":"authenticate"}"#,
        r#"{"type":"authenticate","user":"alice"}"#,
        r#"{"type":"authenticate","user":"alice","password":5}"#,
        r#"{"type":"authenticate","token":"t","extra":1}"#,
    ] {
        let bad = bad(text);
        assert!(bad.text.contains("either"), "{text}: {bad:?}");
    }
    let long = format!(
        r#"{{"type":"authenticate","user":"{}","password":"p"}}"#,
        "a".repeat(65)
    );
    assert_eq!(bad(&long).field.as_deref(), Some("user"));
    let token = ClientMessage::read(r#"{"type":"authenticate","token":"secret"}"#).unwrap();
    assert!(!format!("{token:?}").contains("secret"));
}

#[test]
fn digits_and_passwords_stay_out_of_logs() {
    let dtmf = ClientMessage::read(r#"{"type":"dtmf","call":"c1","digits":"4711"}"#).unwrap();
    assert!(!format!("{dtmf:?}").contains("4711"));
    let sign_in =
        ClientMessage::read(r#"{"type":"authenticate","user":"alice","password":"secret"}"#)
            .unwrap();
    assert!(!format!("{sign_in:?}").contains("secret"));
    let key = ServerMessage::Dtmf {
        call: CallName("c1".into()),
        digit: '7',
        duration_ms: 100,
    };
    assert!(!format!("{key:?}").contains('7'));
}

/// The schema file is what client authors read: it must say what the enums say.
#[test]
fn the_schema_in_the_tree_is_that_of_the_enums() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../web/signaling.v1.schema.json"
    );
    let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &current).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == current,
        "{path} is out of date: run this test with UPDATE_SCHEMA=1"
    );
}

#[test]
fn what_the_enums_read_and_write_the_schema_accepts() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let from_browser = [
        r#"{"type":"authenticate","user":"alice","password":"p"}"#,
        r#"{"type":"authenticate","token":"t"}"#,
        r#"{"type":"call","call":"c1","to":"echo","sdp":"v=0"}"#,
        r#"{"type":"candidate","call":"c1","candidate":"candidate:1 1 udp 1 a.local 9 typ host","mid":"0"}"#,
        r#"{"type":"end_of_candidates","call":"c1"}"#,
        r#"{"type":"offer","call":"c1","sdp":"v=0"}"#,
        r#"{"type":"dtmf","call":"c1","digits":"1","duration_ms":100}"#,
        r#"{"type":"accept","call":"in-1","sdp":"v=0"}"#,
        r#"{"type":"hold","call":"c1","held":true}"#,
        r#"{"type":"reject","call":"in-1"}"#,
        r#"{"type":"reject","call":"in-1","reason":"busy"}"#,
        r#"{"type":"hangup","call":"c1"}"#,
    ];
    for text in from_browser {
        let read = ClientMessage::read(text).unwrap();
        assert!(
            validator.is_valid(&serde_json::from_str(text).unwrap()),
            "{text}"
        );
        assert!(
            validator.is_valid(&serde_json::to_value(&read).unwrap()),
            "{text}"
        );
    }
    let call = CallName("c1".into());
    let from_gateway = [
        ServerMessage::Welcome {
            session: "s".into(),
            version: 1,
            ice_servers: vec![],
            lab: vec![],
            trunk: true,
            sign_in: true,
        },
        ServerMessage::Authenticated {
            user: "alice".into(),
            display_name: "Alice".into(),
            numbers: vec!["100".into()],
            ice_servers: vec![],
        },
        ServerMessage::IceServers {
            ice_servers: vec![IceServer {
                urls: vec!["turns:gw.example:443?transport=tcp".into()],
                username: Some("1800000000:alice".into()),
                credential: Some("c".into()),
            }],
        },
        ServerMessage::Incoming {
            call: CallName::incoming(CallId(1)),
            from: None,
            name: Some("Bob".into()),
            to: "100".into(),
            headers: BTreeMap::from([("X-Queue".to_owned(), "sales".to_owned())]),
            verification: Some(Verification {
                result: Verdict::Verified,
                attestation: Some(Attestation::A),
            }),
        },
        ServerMessage::Answer {
            call: call.clone(),
            sdp: "v=0".into(),
            provisional: true,
        },
        ServerMessage::Hangup {
            call: call.clone(),
            cause: CauseCode::Busy.cause(),
        },
        ServerMessage::Hold {
            call: call.clone(),
            here: true,
            there: false,
        },
        ServerMessage::Audio {
            call: call.clone(),
            trouble: Some(OneWay::PhoneSendsNothing),
            text: OneWay::PhoneSendsNothing.text().into(),
        },
        ServerMessage::Audio {
            call: call.clone(),
            trouble: None,
            text: "x".into(),
        },
        ServerMessage::Path {
            call: call.clone(),
            via: Via::TurnTls,
            text: Via::TurnTls.text().into(),
        },
        BadMessage::new(ErrorCode::BadField, Some("to"), "x").into(),
    ];
    for message in from_gateway {
        assert!(
            validator.is_valid(&serde_json::to_value(&message).unwrap()),
            "{message:?}"
        );
    }
    for refused in [
        r#"{"type":"call","call":"c1","to":"echo"}"#,
        r#"{"type":"dtmf","call":"c1","digits":"x"}"#,
        r#"{"type":"fly"}"#,
        r#"{"type":"hangup","call":"c1","extra":1}"#,
        r#"{"type":"hangup","call":"not a name"}"#,
    ] {
        assert!(
            !validator.is_valid(&serde_json::from_str(refused).unwrap()),
            "{refused}"
        );
    }
}
