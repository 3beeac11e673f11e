//! `[trunk] username` and what belongs to it.

use super::*;

const ACCOUNT: &str =
    "[trunk]\nuri = \"sip:carrier.example\"\nusername = \"4930\"\npassword = \" se#cret \"\n";

#[test]
fn a_trunk_account_is_read_whole_and_its_password_shown_nowhere() {
    let more = "realm = \"carrier\"\nauth_behind_proxy = true\nregister = true\nregister_expires = \"10m\"\noutbound_proxy = \"sip:192.0.2.8\"\n";
    let settings = load_file(&format!("{ACCOUNT}{more}")).expect("no mistakes");
    let trunk = settings.trunks.first().expect("a trunk");
    let account = trunk.account.clone().expect("an account");
    assert_eq!(account.credentials.username, "4930");
    assert_eq!(
        account.credentials.password,
        sip::digest::Password::new(" se#cret ")
    );
    assert_eq!(account.credentials.realm.as_deref(), Some("carrier"));
    assert!(account.credentials.behind_proxy);
    assert_eq!(account.register, Some(Duration::from_secs(600)));
    assert_eq!(trunk.next_hop().to_string(), "sip:192.0.2.8");
    let shown = format!("{settings:?} {}", settings.summary());
    assert!(!shown.contains("se#cret"), "{shown}");
    assert!(shown.contains("as \"4930\", registered for 10m at a time"));

    let mut quiet = load_file(ACCOUNT).expect("no mistakes");
    let account = quiet.trunks.remove(0).account.expect("one");
    assert_eq!(account.register, None);
    assert!(!account.credentials.behind_proxy);
}

#[test]
fn a_password_may_stand_in_a_file_or_in_the_environment() {
    let folder = std::env::temp_dir().join(format!("switchhook-{:x}", rand::random::<u64>()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("password");
    std::fs::write(&path, "pass word\n").unwrap();
    let start = "[trunk]\nuri = \"sip:carrier.example\"\nusername = \"4930\"\n";
    let by_file = load_file(&format!("{start}password_file = {path:?}\n"));
    let by_variable = load(
        start,
        &[("SWITCHHOOK__TRUNK__PASSWORD", "pass word")],
        Overrides::default(),
    );
    for loaded in [by_file, by_variable] {
        let account = loaded.unwrap().trunks.remove(0).account.expect("one");
        let expected = sip::digest::Password::new("pass word");
        assert_eq!(account.credentials.password, expected);
    }
    std::fs::write(&path, "two\nlines\n").unwrap();
    let mistake = load_file(&format!("{start}password_file = {path:?}\n")).unwrap_err();
    assert!(mistake.to_string().contains("more than one line"));
    assert!(!mistake.to_string().contains("two\n"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn half_an_account_is_a_mistake() {
    for (file, place) in [
        ("username = \"a\"", "3:12 trunk.username"),
        ("username = \"a\"\npassword = \"\"", "3:12 trunk.username"),
        ("password = \"x\"", "3:12 trunk.password"),
        ("register = true", "3:12 trunk.register"),
        ("auth_behind_proxy = true", "3:21 trunk.auth_behind_proxy"),
        ("username = \"a\"\npassword = 12", "4:12 trunk.password"),
        (
            "username = \"a b\"\npassword = \"x\"",
            "3:12 trunk.username",
        ),
        ("register_expires = \"5s\"", "3:20 trunk.register_expires"),
        ("keep_alive = \"1s\"", "3:14 trunk.keep_alive"),
    ] {
        let file = format!("[trunk]\nuri = \"sip:carrier.example\"\n{file}\n");
        let places = places(load_file(&file));
        assert!(
            places.iter().any(|found| found == place),
            "{file}: {places:?}"
        );
    }
    let user = ACCOUNT.replace("sip:carrier", "sip:bob@carrier");
    assert_eq!(places(load_file(&user)), ["2:7 trunk.uri"]);
    let both = format!("{ACCOUNT}password_file = \"/dev/null\"\n");
    assert_eq!(places(load_file(&both)), ["5:17 trunk.password_file"]);
}
