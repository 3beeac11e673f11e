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
password = "5ecret"
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
    assert!(!format!("{settings:?}").contains("5ecret"));
}

#[test]
fn a_preset_says_what_is_not_said_otherwise() {
    let file =
        "[trunk]\nuri = \"sip:sip.example\"\npreset = \"freeswitch\"\nprobe_interval = \"10s\"\n";
    let settings = load_file(file).expect("no mistakes");
    let trunk = &settings.trunks[0];
    assert_eq!(trunk.profile.codecs[0], sdp::Codec::Opus);
    assert_eq!(trunk.choice.probe_interval, Some(Duration::from_secs(10)));
    assert_eq!(trunk.dtmf, TrunkDtmf::Rfc4733);
    let unknown =
        load_file("[trunk]\nuri = \"sip:sip.example\"\npreset = \"frees\"\n").unwrap_err();
    assert!(unknown.0[0].problem.contains("frees") && unknown.0[0].advice.contains("freeswitch"));
}

#[test]
fn every_preset_is_right_changes_something_and_has_its_recipe() {
    let file = |preset: &str| format!("[trunks.one]\nuri = \"sip:sip.example\"\n{preset}");
    let plain = load_file(&file("")).expect("no mistakes").trunks.remove(0);
    for name in presets::names() {
        let preset = load_file(&file(&format!("preset = \"{name}\"\n")));
        let trunk = preset.expect(name).trunks.remove(0);
        assert_ne!(format!("{trunk:?}"), format!("{plain:?}"), "{name}");
        let recipe = format!("{}/../docs/trunks/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let recipe = std::fs::read_to_string(&recipe).expect(&recipe);
        assert!(recipe.contains(&format!("preset = \"{name}\"")), "{name}");
        assert!(
            recipe.contains("real thing"),
            "{name} does not say whether it was tried"
        );
        // The settings in it are right.
        let (_, rest) = recipe.split_once("```toml\n").expect("settings");
        let (settings, _) = rest.split_once("```").expect("their end");
        // Certificates are the reader's own.
        let mistakes = load_file(settings).err().map_or_else(Vec::new, |all| all.0);
        let wrong = mistakes
            .iter()
            .find(|one| !one.setting.starts_with("sip.tls_"));
        assert!(wrong.is_none(), "{name}: {wrong:?}");
    }
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
headers_from_browser = ["X-Fine", "Via", "x-switchhook-internal"]
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
        "trunks.one.headers_from_browser",
        "trunks.one.weight",
        "trunks.one.probe_interval",
        "trunks.two.numbers",
        "trunks.two.uri",
        "trunks.trunk",
        "trunks.trunk.password",
        "dial_plan.country_code",
        "dial_plan.blocked",
    ] {
        assert!(told.contains(&expected), "{expected}: {told:?}");
    }
    assert_eq!(told.len(), 11, "{told:?}");
    let advice = mistakes
        .0
        .iter()
        .find(|one| one.setting == "trunks.one.prority");
    assert!(advice.is_some_and(|one| one.advice.contains("priority")));
}

#[test]
fn signatures_are_asked_of_a_trunk_where_somebody_is_believed() {
    use crate::settings::TrunkStir;
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let root = params.self_signed(&key).unwrap().pem();
    let path = std::env::temp_dir().join(format!("switchhook-{:x}.pem", rand::random::<u64>()));
    std::fs::write(&path, root).unwrap();
    let trunk = "[trunks.one]\nuri = \"sip:192.0.2.1\"\nstir = \"require\"\n";
    let stir =
        |path: &str| format!("[stir]\nroots = {path:?}\nallow = [\"192.0.2.0/24\"]\n{trunk}");
    let settings = load_file(&stir(path.to_str().unwrap()));
    std::fs::remove_file(&path).unwrap();
    let settings = settings.expect("no mistakes");
    assert_eq!(settings.trunks[0].stir, TrunkStir::Require);
    assert!(settings.stir.roots.is_some() && settings.stir.allow.len() == 1);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (file, setting, told) in [
        (trunk.to_owned(), "trunks.one.stir", "means nothing"),
        (stir("/nowhere/x.pem"), "stir.roots", "cannot be read"),
        (stir(manifest), "stir.roots", "no certificate in PEM"),
        (
            trunk.replace("require", "required"),
            "trunks.one.stir",
            "choices",
        ),
    ] {
        let mistakes = load_file(&file).expect_err(&file).0;
        let found = mistakes
            .iter()
            .any(|one| one.setting == setting && one.problem.contains(told));
        assert!(found, "{file}: {mistakes:?}");
    }
}
