use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::layers::Layers;
use super::routes::Routes;
use super::*;

mod account;
mod https;
mod trunks;
mod turn;
mod users;

/// A machine with the address 10.0.0.5 on its default route and 10.8.0.2 towards 10.8.0.0/16.
struct Machine;

impl Routes for Machine {
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        let IpAddr::V4(destination) = destination else {
            return None;
        };
        Some(match destination.octets() {
            [127, ..] => Ipv4Addr::LOCALHOST.into(),
            [10, 8, ..] => Ipv4Addr::new(10, 8, 0, 2).into(),
            _ => Ipv4Addr::new(10, 0, 0, 5).into(),
        })
    }

    fn resolve(&self, host: &str) -> Option<IpAddr> {
        (host == "pbx.example.com").then_some(Ipv4Addr::new(10, 8, 0, 1).into())
    }
}

/// A machine with no network but loopback.
struct Island;

impl Routes for Island {
    fn source_for(&self, _: IpAddr) -> Option<IpAddr> {
        None
    }

    fn resolve(&self, _: &str) -> Option<IpAddr> {
        None
    }
}

/// A file that is gone at the end of the test.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(content: impl AsRef<[u8]>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = std::env::temp_dir().join(format!(
            "switchhook-settings-{}-{}.toml",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::write(&path, content).expect("a temporary file");
        TemporaryFile(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(content: &str, env: &[(&str, &str)], overrides: Overrides) -> Result<Settings, Mistakes> {
    let file = TemporaryFile::new(content);
    let sources = Sources {
        file: Some(file.0.clone()),
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        overrides,
    };
    assemble::assemble(&sources, &Machine)
}

fn load_file(content: &str) -> Result<Settings, Mistakes> {
    load(content, &[], Overrides::default())
}

/// `line:column setting`, of each mistake.
fn places(result: Result<Settings, Mistakes>) -> Vec<String> {
    let mistakes = result.expect_err("mistakes").0;
    mistakes
        .iter()
        .map(|mistake| match &mistake.place {
            Place::File { line, column, .. } => format!("{line}:{column} {}", mistake.setting),
            other => format!("{other} {}", mistake.setting),
        })
        .collect()
}

fn only(result: Result<Settings, Mistakes>) -> Mistake {
    let mut mistakes = result.expect_err("a mistake").0;
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    mistakes.remove(0)
}

/// A setting that another needs may be wrong itself: that is one mistake.
#[test]
fn what_is_set_and_wrong_is_not_missed_by_others() {
    let trunk = "[trunk]\nuri = \"sip:192.0.2.1\"\n";
    let no_file = "\"/nowhere/file.pem\"";
    for (text, told) in [
        (
            format!(
                "[sip]\ntls_listen = \"127.0.0.1:5061\"\ntls_certificate = {no_file}\ntls_key = {no_file}\n"
            ),
            vec!["sip.tls_certificate", "sip.tls_key"],
        ),
        (
            format!(
                "[https]\nlisten = \"127.0.0.1:443\"\ncertificate = {no_file}\nkey = {no_file}\n"
            ),
            vec!["https.certificate", "https.key"],
        ),
        (
            format!("[stir]\nroots = {no_file}\n{trunk}stir = \"verify\"\n"),
            vec!["stir.roots"],
        ),
        (
            format!("{trunk}username = \"a\"\npassword_file = {no_file}\n"),
            vec!["trunk.password_file"],
        ),
        (
            format!("{trunk}username = \"a b\"\npassword = \"x\"\nregister = true\n"),
            vec!["trunk.username"],
        ),
        (
            format!("[sign_in]\ntoken_key_file = {no_file}\ntoken_issuer = \"me\"\n"),
            vec!["sign_in.token_key_file"],
        ),
        (
            "[turn]\nrelay = \"opn\"\nallow_peers = [\"10.0.0.0/8\"]\n".to_owned(),
            vec!["turn.relay"],
        ),
        (
            "[dial_plan]\ncountry_code = \"+49\"\nnational_length = 10\n".to_owned(),
            vec!["dial_plan.country_code"],
        ),
    ] {
        let mistakes = load_file(&text).expect_err(&text).0;
        let found: Vec<_> = mistakes.iter().map(|one| one.setting.as_str()).collect();
        assert_eq!(found, told, "{text}: {mistakes:#?}");
    }
}

#[test]
fn what_means_nothing_alone_is_said() {
    for (text, setting, other) in [
        (
            "[sip]\ntls_listen = \"127.0.0.1:5061\"",
            "sip.tls_listen",
            "sip.tls_certificate",
        ),
        (
            "[https]\nnames = [\"phone.example.com\"]",
            "https.names",
            "https.listen",
        ),
        ("[trunk]\npreset = \"twilio\"", "trunk.preset", "trunk.uri"),
        (
            "[trunk]\naddresses = [\"192.0.2.0/24\"]",
            "trunk.addresses",
            "trunk.uri",
        ),
        (
            "[trunk]\nuri = \"sip:192.0.2.1\"\nrealm = \"r\"",
            "trunk.realm",
            "trunk.username",
        ),
        (
            "[trunk]\nuri = \"sip:192.0.2.1\"\nregister = true",
            "trunk.register",
            "trunk.username",
        ),
        (
            "[trunks.a]\nuri = \"sip:192.0.2.1\"\nrealm = \"r\"",
            "trunks.a.realm",
            "trunks.a.username",
        ),
        (
            "[dial_plan]\nnational_length = 10",
            "dial_plan.national_length",
            "dial_plan.country_code",
        ),
    ] {
        let mistake = only(load_file(text));
        assert_eq!(mistake.setting, setting);
        assert_eq!(mistake.problem, format!("means nothing without {other}"));
        assert_eq!(mistake.advice, format!("set {other} too"));
    }
}

/// Somebody has left out the quotation marks.
#[test]
fn a_secret_is_not_printed_whatever_is_wrong_with_it() {
    let digits = "1234567890123456";
    for setting in [
        "[turn]\nsecret",
        "[sign_in]\ntoken_secret",
        "[trunk]\nuri = \"sip:192.0.2.1\"\nusername = \"a\"\npassword",
    ] {
        let mistake = only(load_file(&format!("{setting} = {digits}\n")));
        assert_eq!(mistake.problem, "is not text");
        assert!(!mistake.to_string().contains(digits));
    }
}

fn example() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../switchhook.example.toml"
    ))
}

#[test]
fn the_example_file_is_the_defaults() {
    let from_example = Sources {
        file: Some(example()),
        ..Sources::default()
    };
    let example = assemble::assemble(&from_example, &Machine).expect("no mistakes");
    let nothing = assemble::assemble(&Sources::default(), &Machine).expect("no mistakes");
    assert_eq!(format!("{example:#?}"), format!("{nothing:#?}"));
}

#[test]
fn the_example_file_names_every_setting() {
    let sources = Sources {
        file: Some(example()),
        ..Sources::default()
    };
    let written: Vec<String> = Layers::collect(&sources)
        .values
        .keys()
        .map(|(section, key)| format!("{section}.{key}"))
        .collect();
    assert_eq!(written, assemble::every_setting());
}

#[test]
fn nothing_configured_gives_the_defaults_plus_the_default_route() {
    let loaded = assemble::assemble(&Sources::default(), &Machine).expect("no mistakes");
    let mut expected = Settings::defaults();
    expected.media.listen.push("10.0.0.5".parse().unwrap());
    assert_eq!(format!("{loaded:#?}"), format!("{expected:#?}"));

    let alone = assemble::assemble(&Sources::default(), &Island).expect("no mistakes");
    assert_eq!(
        format!("{alone:#?}"),
        format!("{:#?}", Settings::defaults())
    );
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let file = "\
[http]
listen = \"localhost\"
max_session = 5

[sips]
listen = \"auto\"

[calls]
ring_timeout = 30
  max = 0

[media]
listen = [\"auto\", \"here\", \"192.0.2.300\"]
prefer = \"opsu\"
";
    assert_eq!(
        places(load_file(file)),
        [
            "2:10 http.listen",
            "3:15 http.max_session",
            "5:2 sips",
            "9:16 calls.ring_timeout",
            "10:9 calls.max",
            "13:19 media.listen",
            "13:27 media.listen",
            "14:10 media.prefer",
        ]
    );
}

#[test]
fn unknown_names_suggest_the_nearest_known_one() {
    for (file, advice) in [
        ("[http]\nlisen = \"\"", "did you mean listen?"),
        ("[media]\nptime = 20", "did you mean ptime_ms?"),
        ("[recrods]\nfile = \"\"", "did you mean [records]?"),
        ("[log]\nlevel = \"inof\"", "did you mean \"info\"?"),
        ("[media]\nprefer = \"G711\"", "did you mean \"g711\"?"),
        (
            "[lab]\nxyzzy = 1",
            "[lab] has enabled, listen, impair_browser, impair_phone",
        ),
    ] {
        assert_eq!(only(load_file(file)).advice, advice, "{file}");
    }
    let mistake = only(load(
        "",
        &[("SWITCHHOOK__HTTP__LISTN", "127.0.0.1:1")],
        Overrides::default(),
    ));
    assert_eq!(
        mistake.place,
        Place::Environment("SWITCHHOOK__HTTP__LISTN".to_owned())
    );
    assert_eq!(mistake.advice, "did you mean SWITCHHOOK__HTTP__LISTEN?");
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let file =
        "[http]\nlisten = \"127.0.0.1:1111\"\n[sip]\nlisten = \"127.0.0.1:1112\"\n[calls]\nmax = 7";
    let env = [
        ("SWITCHHOOK__HTTP__LISTEN", "127.0.0.1:2221"),
        ("SWITCHHOOK__SIP__LISTEN", "127.0.0.1:2222"),
        ("PATH", "/bin"),
    ];
    let overrides = Overrides {
        http: Some("127.0.0.1:3331".to_owned()),
        ..Overrides::default()
    };
    let settings = load(file, &env, overrides).expect("no mistakes");
    assert_eq!(settings.http.listen.port(), 3331);
    assert_eq!(settings.sip.listen.port(), 2222);
    assert_eq!(settings.calls.max, 7);
}

#[test]
fn environment_values_take_every_shape() {
    let env = [
        ("SWITCHHOOK__CALLS__MAX", "12"),
        ("SWITCHHOOK__OPUS__FEC", "always"),
        ("SWITCHHOOK__OPUS__DTX", "false"),
        ("SWITCHHOOK__MEDIA__LISTEN", "192.0.2.7, 2001:db8::7"),
        ("SWITCHHOOK__MEDIA__TIMEOUT", "1m 30s"),
        ("SWITCHHOOK__HTTP__ALLOWED_ORIGINS", ""),
    ];
    let settings = load("", &env, Overrides::default()).expect("no mistakes");
    assert_eq!(settings.calls.max, 12);
    assert_eq!(settings.opus.fec, OpusFec::Always);
    assert!(!settings.opus.dtx);
    assert_eq!(
        settings.media.listen,
        [
            "192.0.2.7".parse::<IpAddr>().unwrap(),
            "2001:db8::7".parse().unwrap()
        ]
    );
    assert_eq!(settings.media.timeout, Duration::from_secs(90));
    assert!(settings.http.allowed_origins.is_empty());
}

#[test]
fn an_environment_variable_that_names_no_setting_is_a_mistake() {
    let env = [("SWITCHHOOK__LISTEN", "x")];
    let mistake = only(load("", &env, Overrides::default()));
    assert_eq!(mistake.problem, "names no setting");
}

#[test]
fn sip_listens_on_the_address_that_reaches_the_trunk() {
    for (uri, address) in [
        ("sip:127.0.0.1:5080", "127.0.0.1:5060"),
        ("sip:10.8.3.3", "10.8.0.2:5060"),
        ("sip:pbx.example.com;transport=tcp", "10.8.0.2:5060"),
        ("sip:198.51.100.1", "10.0.0.5:5060"),
        ("sip:nowhere.example", "10.0.0.5:5060"),
    ] {
        let overrides = Overrides {
            trunk: Some(uri.to_owned()),
            ..Overrides::default()
        };
        let settings = load("", &[], overrides).expect("no mistakes");
        assert_eq!(settings.sip.listen.to_string(), address, "{uri}");
        let lab = settings.lab.listen.expect("a lab phone");
        assert_eq!((lab.ip(), lab.port()), (settings.sip.listen.ip(), 5070));
    }
}

#[test]
fn the_lab_takes_any_port_when_sip_does() {
    let settings = load_file("[sip]\nlisten = \"127.0.0.1:0\"").expect("no mistakes");
    assert_eq!(settings.lab.listen, Some("127.0.0.1:0".parse().unwrap()));
}

#[test]
fn an_empty_trunk_on_the_command_line_takes_the_files_trunk_away() {
    let overrides = Overrides {
        trunk: Some(String::new()),
        ..Overrides::default()
    };
    let settings = load("[trunk]\nuri = \"sip:192.0.2.1\"", &[], overrides).expect("fine");
    assert!(settings.trunks.is_empty());
}

#[test]
fn a_trunk_that_cannot_be_reached_is_a_mistake() {
    for uri in [
        "192.0.2.1",
        "sip:",
        "tel:+15550100",
        "sip:192.0.2.1;transport=sctp",
        "sips:192.0.2.1;transport=udp",
        "http://192.0.2.1",
    ] {
        let overrides = Overrides {
            trunk: Some(uri.to_owned()),
            ..Overrides::default()
        };
        let mistake = only(load("", &[], overrides));
        assert_eq!(mistake.place, Place::Option("--trunk"), "{uri}");
        assert!(!mistake.advice.is_empty());
    }
}

#[test]
fn half_of_a_tls_setting_is_a_mistake() {
    let file = example();
    let file = file.display();
    for (settings, place) in [
        (
            format!("tls_certificate = \"{file}\""),
            "2:19 sip.tls_certificate",
        ),
        (format!("tls_key = \"{file}\""), "2:11 sip.tls_key"),
        (
            "tls_listen = \"192.0.2.1:5061\"".to_owned(),
            "2:14 sip.tls_listen",
        ),
        (
            format!("tls_client_ca = \"{file}\""),
            "2:17 sip.tls_client_ca",
        ),
        ("tls_ca = \"/nowhere/ca.pem\"".to_owned(), "2:10 sip.tls_ca"),
    ] {
        let found = places(load_file(&format!("[sip]\n{settings}\n")));
        assert_eq!(found, [place], "{settings}");
    }
    let whole = format!(
        "[sip]\ntls_listen = \"192.0.2.1:5061\"\ntls_certificate = \"{file}\"\ntls_key = \"{file}\"\n"
    );
    let tls = load_file(&whole).expect("no mistakes").sip.tls;
    assert!(tls.listen.is_some() && tls.identity.is_some());
}

#[test]
fn a_trunks_quirks_are_read_one_by_one() {
    let quirks = "ptime_ms = 30, codecs = [\"pcma\"], rtcp = \"always\"";
    let in_line = format!("[trunk]\nuri = \"sip:192.0.2.1\"\nprofile = {{ {quirks} }}");
    let as_section = format!(
        "[trunk]\nuri = \"sip:192.0.2.1\"\n[trunk.profile]\n{}",
        quirks.replace("0, ", "0\n").replace("], ", "]\n")
    );
    let env = format!("{{ {quirks} }}");
    let env = [
        ("SWITCHHOOK__TRUNK__URI", "sip:192.0.2.1"),
        ("SWITCHHOOK__TRUNK__PROFILE", env.as_str()),
    ];
    let expected = sdp::trunk::Profile {
        ptime_ms: Some(30),
        codecs: vec![sdp::Codec::Pcma],
        rtcp: sdp::trunk::RtcpAttribute::Always,
        ..sdp::trunk::Profile::default()
    };
    for settings in [
        load_file(&in_line),
        load_file(&as_section),
        load("", &env, Overrides::default()),
    ] {
        let trunk = settings.expect("no mistakes").trunks.remove(0);
        assert_eq!(trunk.profile, expected);
    }
}

#[test]
fn every_wrong_quirk_is_told_with_its_place() {
    let file = "\
[trunk.profile]
ptime_ms = 25
opus_payload_typ = 111
telephone_event = \"no\"
codecs = [\"g729\"]
connection = 2001-01-01
";
    let mut reported = places(load_file(file));
    reported.sort();
    assert_eq!(
        reported,
        [
            "2:1 trunk.profile.ptime_ms",
            "3:1 trunk.profile.opus_payload_typ",
            "4:1 trunk.profile.telephone_event",
            "5:1 trunk.profile.codecs",
            "6:1 trunk.profile.connection",
        ]
    );
}

#[test]
fn the_examples_quirks_are_right() {
    let example = std::fs::read_to_string(example()).expect("the example");
    let (_, quirks) = example.split_once("# profile = {").expect("quirks in it");
    let quirks = quirks.lines().next().expect("a line");
    load_file(&format!("[trunk]\nprofile = {{{quirks}")).expect("no mistakes");
}

#[test]
fn media_is_offered_on_loopback_only_while_the_page_is() {
    let listen = |http: &str| {
        let overrides = Overrides {
            http: Some(http.to_owned()),
            ..Overrides::default()
        };
        load("", &[], overrides).expect("fine").media.listen
    };
    let addresses = |texts: &[&str]| -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    assert_eq!(
        listen("127.0.0.1:80"),
        addresses(&["127.0.0.1", "10.0.0.5"])
    );
    assert_eq!(listen("0.0.0.0:80"), addresses(&["10.0.0.5"]));
    assert_eq!(listen("10.0.0.5:80"), addresses(&["10.0.0.5"]));
}

#[test]
fn an_address_nobody_can_answer_to_is_a_mistake() {
    for (file, setting) in [
        ("[sip]\nlisten = \"0.0.0.0:5060\"", "sip.listen"),
        ("[lab]\nlisten = \"[::]:5070\"", "lab.listen"),
        ("[media]\nlisten = [\"0.0.0.0\"]", "media.listen"),
        ("[media]\nlisten = []", "media.listen"),
        (
            "[media]\nexternal_addresses = [\"224.0.0.1\"]",
            "media.external_addresses",
        ),
    ] {
        assert_eq!(only(load_file(file)).setting, setting, "{file}");
    }
    let told = "[sip]\nlisten = \"0.0.0.0:5060\"\nexternal_address = \"203.0.113.9\"";
    let settings = load_file(told).expect("no mistakes");
    assert_eq!(
        settings.sip.external_address,
        Some("203.0.113.9".parse().unwrap())
    );
}

#[test]
fn ports_that_collide_are_mistakes() {
    for (file, setting) in [
        ("[sip]\nlisten = \"127.0.0.1:8080\"", "sip.listen"),
        ("[lab]\nlisten = \"127.0.0.1:5060\"", "lab.listen"),
        ("[media]\nport = 20000", "media.port"),
        ("[media]\nport = 65535\nworkers = 2", "media.port"),
        (
            "[media]\nrtp_ports = \"6990-7100\"\n[calls]\nmax = 50",
            "media.rtp_ports",
        ),
        ("[calls]\nmax = 6000", "calls.max"),
        ("[media]\nrtp_ports = \"20000-20999\"", "media.rtp_ports"),
    ] {
        assert_eq!(only(load_file(file)).setting, setting, "{file}");
    }
    let any = "[http]\nlisten = \"127.0.0.1:0\"\n[sip]\nlisten = \"127.0.0.1:0\"\n\
               [lab]\nlisten = \"127.0.0.1:0\"\n[media]\nport = 0";
    load_file(any).expect("port 0 never collides");
}

#[test]
fn wrong_values_of_every_kind_say_what_to_write() {
    for file in [
        "[http]\nlisten = 8080",
        "[http]\nallowed_origins = \"https://example.com\"",
        "[http]\nallowed_origins = [\"https://example.com/page\"]",
        "[http]\nallowed_origins = [\"*\"]",
        "[http]\nmax_sessions = -1",
        "[http]\nmax_sessions = 99999999999999999999",
        "[http]\nmax_sessions = 1.5",
        "[sip]\nuser_agent = \"a\\r\\nVia: b\"",
        "[sip]\ncaller = \"a@b\"",
        "[calls]\nring_timeout = \"10\"",
        "[calls]\nring_timeout = \"10 parsecs\"",
        "[calls]\nring_timeout = \"0s\"",
        "[calls]\nring_timeout = \"99999999999999999999h\"",
        "[calls]\nmax_duration = \"18446744073709551615d\"",
        "[media]\nrtp_ports = \"30000-20000\"",
        "[media]\nrtp_ports = 20000",
        "[media]\nptime_ms = 25",
        "[media]\nptime_ms = 70",
        "[media]\nconsent_timeout = \"60s\"",
        "[opus]\ncomplexity = 11",
        "[opus]\nmax_complexity = -1",
        "[opus]\nfec = \"yes\"",
        "[lab]\nenabled = 1",
        "[lab]\nimpair_browser = \"loss=much\"",
        "[lab]\nimpair_phone = 5",
        "[records]\nfile = \"/nowhere/at/all/calls.jsonl\"",
        "[records]\nfile = \"/\"",
        "[log]\nlevel = \"loud\"",
        "[log]\nlevel = \"info,gateway=loud\"",
        "[log]\nformat = \"xml\"",
        "[trunk]\nprofile = \"strange\"",
        "[trunk]\nprofile = 3",
        "[trunk]\nsrtp = \"yes\"",
        "[trunk]\nprofile = { comfort_noise = 1 }",
        "[opus]\ndtx = 1",
        "listen = \"127.0.0.1:8080\"",
    ] {
        let mistake = only(load_file(file));
        assert!(!mistake.advice.is_empty(), "{file}: {mistake}");
    }
}

#[test]
fn records_go_to_standard_output_or_a_file() {
    let destination = |file: &str| {
        let content = format!("[records]\nfile = \"{file}\"");
        load_file(&content).expect("fine").records.destination
    };
    assert_eq!(destination("-"), Some(RecordDestination::Stdout));
    assert_eq!(
        destination("calls.jsonl"),
        Some(RecordDestination::File(PathBuf::from("calls.jsonl")))
    );
}

#[test]
fn broken_toml_is_reported_beside_the_other_mistakes() {
    let file = "[http\nlisten = \"127.0.0.1:8080\"\n[calls]\nmax = \n[log]\nlevel = \"loud\"\n";
    let reported = places(load_file(file));
    assert!(
        reported.iter().any(|place| place.starts_with("1:")),
        "{reported:?}"
    );
    assert!(
        reported.iter().any(|place| place.starts_with("4:")),
        "{reported:?}"
    );
    assert!(
        reported.contains(&"6:9 log.level".to_owned()),
        "{reported:?}"
    );
}

#[test]
fn a_key_given_twice_is_a_mistake() {
    let reported = places(load_file("[calls]\nmax = 5\nmax = 6\n"));
    assert!(reported[0].starts_with("3:"), "{reported:?}");
}

#[test]
fn columns_count_characters() {
    let file = "[sip]\ncaller = \"a\" # ä\n\"ключ\" = 1\n";
    assert_eq!(places(load_file(file)), ["3:10 sip.ключ"]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let sources = |file: PathBuf| Sources {
        file: Some(file),
        ..Sources::default()
    };
    let missing = assemble::assemble(
        &sources(PathBuf::from("/nowhere/switchhook.toml")),
        &Machine,
    );
    assert!(only(missing).problem.starts_with("cannot be read"));

    let binary = TemporaryFile::new([b'[', 0xff, 0xfe]);
    let binary = assemble::assemble(&sources(binary.0.clone()), &Machine);
    assert!(only(binary).problem.contains("UTF-8"));
}

#[test]
fn a_huge_or_deep_file_is_refused_and_ends_soon() {
    let huge = "#".repeat(2 * 1024 * 1024);
    assert!(only(load_file(&huge)).problem.contains("bytes long"));

    let deep = format!("[http]\nlisten = {}", "[".repeat(100_000));
    assert!(load_file(&deep).is_err());
}

#[test]
fn a_mistake_reads_place_setting_problem_advice() {
    let mistake = Mistake {
        place: Place::File {
            path: PathBuf::from("switchhook.toml"),
            line: 3,
            column: 10,
        },
        setting: "http.listen".to_owned(),
        problem: "\"x\" is not an address and a port".to_owned(),
        advice: "write them like \"127.0.0.1:8080\"".to_owned(),
    };
    assert_eq!(
        mistake.to_string(),
        "switchhook.toml:3:10: http.listen: \"x\" is not an address and a port; \
         write them like \"127.0.0.1:8080\""
    );
}

#[test]
fn the_cheapest_codec_is_the_one_that_passes_through_to_the_trunk() {
    use sdp::{Codec, Preference};
    let trunk = |codecs: &str| {
        let file = format!("[trunk]\nuri = \"sip:192.0.2.1\"\nprofile = {{ codecs = [{codecs}] }}");
        load_file(&file)
            .expect("no mistakes")
            .trunks
            .into_iter()
            .next()
    };
    assert_eq!(
        trunk("\"opus\", \"pcma\"").expect("a trunk").profile.codecs,
        [Codec::Opus, Codec::Pcma]
    );
    for (codecs, cheapest) in [
        ("", Preference::G711),
        ("\"pcma\", \"opus\"", Preference::G711),
        ("\"opus\", \"pcma\"", Preference::Opus),
        ("\"g722\", \"pcma\"", Preference::Opus),
    ] {
        let trunk = trunk(codecs);
        let trunk = trunk.as_ref();
        assert_eq!(Prefer::Cheapest.towards(trunk), cheapest, "{codecs}");
        assert_eq!(Prefer::Opus.towards(trunk), Preference::Opus);
        assert_eq!(Prefer::G711.towards(trunk), Preference::G711);
    }
    assert_eq!(Prefer::Cheapest.towards(None), Preference::G711);
}
