//! `[trunks.NAME]` and `[dial_plan]`.

use super::*;
use crate::call::dial_plan::NumberFormat;

#[test]
fn several_trunks_are_read_with_all_that_one_has() {
    let file = r#"
[trunk]
uri = "sip:192.0.2.1"
[trunks.carrier]
uri = "sip:carrier.example;transport=tcp"
username = "4930"
password = "secret"
register = true
numbers = ["+49 30*", "110"]
priority = 5
weight = 3
max_calls = 30
max_calls_per_second = 2
probe_interval = "30s"
number_format = "e164"
emergency = true
profile = { codecs = ["pcma"] }
"#;
    let settings = load_file(file).expect("no mistakes");
    let [first, second] = settings.trunks.as_slice() else {
        panic!("{:?}", settings.trunks);
    };
    assert_eq!(
        (first.name.as_str(), second.name.as_str()),
        ("trunk", "carrier")
    );
    assert!(
        second
            .account
            .as_ref()
            .is_some_and(|own| own.register.is_some())
    );
    assert_eq!(second.profile.codecs, [sdp::Codec::Pcma]);
    let choice = &second.choice;
    assert_eq!(
        (choice.priority, choice.weight, choice.emergency),
        (5, 3, true)
    );
    assert_eq!(
        (choice.max_calls, choice.max_calls_per_second),
        (Some(30), Some(2))
    );
    assert_eq!(choice.probe_interval, Some(Duration::from_secs(30)));
    assert_eq!(choice.number_format, NumberFormat::E164);
    assert!(choice.numbers.iter().any(|one| one.matches("+493012")));
    let summary = settings.summary();
    assert!(
        summary.contains("sip:192.0.2.1; sip:carrier.example"),
        "{summary}"
    );
    assert!(!format!("{settings:?}").contains("secret"));
}

#[test]
fn a_trunks_password_may_come_from_the_environment() {
    let file = "[trunks.carrier]\nuri = \"sip:carrier.example\"\nusername = \"4930\"\n";
    let password = [("SWITCHHOOK__TRUNKS__CARRIER__PASSWORD", "secret")];
    let settings = load(file, &password, Overrides::default()).expect("no mistakes");
    assert!(settings.trunks[0].account.is_some());
}

#[test]
fn every_mistake_of_every_trunk_is_told_under_its_name() {
    let file = r#"
[trunks.one]
uri = "sip:one.example"
prority = 3
weight = 0
probe_interval = "1s"
[trunks.two]
numbers = ["a b"]
[trunks.trunk]
uri = "sip:three.example"
password = "x"
[dial_plan]
country_code = "+49"
national_length = 10
blocked = [""]
"#;
    let mistakes = load_file(file).unwrap_err();
    let told: Vec<_> = mistakes.0.iter().map(|one| one.setting.as_str()).collect();
    for expected in [
        "trunks.one.prority",
        "trunks.one.weight",
        "trunks.one.probe_interval",
        "trunks.two.numbers",
        "trunks.two.uri",
        "trunks.trunk",
        "trunks.trunk.password",
        "dial_plan.country_code",
        "dial_plan.national_length",
        "dial_plan.blocked",
    ] {
        assert!(told.contains(&expected), "{expected}: {told:?}");
    }
    assert_eq!(told.len(), 10, "{told:?}");
    let advice = mistakes
        .0
        .iter()
        .find(|one| one.setting == "trunks.one.prority");
    assert!(advice.is_some_and(|one| one.advice.contains("priority")));
}
