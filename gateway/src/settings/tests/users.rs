//! `[users.NAME]` and `[trunk] addresses`.

use super::*;

#[test]
fn users_are_read_whole_and_their_passwords_shown_nowhere() {
    let file = "[users.bob]\npassword = \"b0b\"\n\n[users.alice]\npassword = \"se#cret\"\ndisplay_name = \"Alice L.\"\nnumbers = [\"+49 (30) 123\", \"alice\"]\n";
    let settings = load_file(file).expect("no mistakes");
    let [alice, bob] = settings.users.as_slice() else {
        panic!("{:?}", settings.users);
    };
    assert_eq!((alice.name.as_str(), bob.name.as_str()), ("alice", "bob"));
    assert_eq!(alice.numbers, ["+4930123", "alice"]);
    assert_eq!(
        (alice.display_name.as_str(), bob.display_name.as_str()),
        ("Alice L.", "bob")
    );
    assert!(alice.password.matches("se#cret") && !alice.password.matches("b0b"));
    let shown = format!("{settings:?} {}", settings.summary());
    assert!(!shown.contains("se#cret"), "{shown}");
    assert!(shown.contains("alice (+4930123, alice), bob"), "{shown}");
}

#[test]
fn what_a_user_may_do_is_bounded() {
    let file = "[users.alice]\npassword = \"x\"\ndial = [\"+49*\", \"100\"]\nmax_calls = 2\nmax_call_duration = \"10m\"\n";
    let settings = load_file(file).expect("no mistakes");
    let permit = &settings.users[0].permit;
    assert!(permit.allows("+4930") && permit.allows("100") && !permit.allows("+1"));
    assert_eq!(permit.max_calls, Some(2));
    assert_eq!(permit.max_call_duration, Some(Duration::from_secs(600)));
}

#[test]
fn a_users_password_may_come_from_the_environment_in_any_case_of_his_name() {
    let settings = load(
        "[users.Alice]\nnumbers = [\"100\"]\n",
        &[("SWITCHHOOK__USERS__ALICE__PASSWORD", "one")],
        Overrides::default(),
    )
    .expect("no mistakes");
    let [alice] = settings.users.as_slice() else {
        panic!("{:?}", settings.users);
    };
    assert!(alice.name == "Alice" && alice.password.matches("one"));
}

#[test]
fn every_mistake_about_users_is_told_where_it_is() {
    for (file, expected) in [
        ("[users]\nalice = \"x\"", "2:9 users.alice"),
        ("[users.alice]", "1:1 users.alice.password"),
        ("[users.\"a b\"]\npassword = \"x\"", "1:1 users.a b"),
        (
            "[users.alice]\npassword = \"x\"\nnumber = [\"1\"]",
            "3:1 users.alice.number",
        ),
        (
            "[users.alice]\npassword = \"x\"\nnumbers = \"1\"",
            "3:1 users.alice.numbers",
        ),
        (
            "[users.alice]\npassword = \"x\"\nnumbers = [\"1\", \"a@b\"]",
            "3:17 users.alice.numbers",
        ),
        (
            "[users.alice]\npassword = \"x\"\nnumbers = [\"1\", \"1\"]",
            "3:17 users.alice.numbers",
        ),
        (
            "[users.1]\npassword = \"x\"\n[users.2]\npassword = \"x\"\nnumbers = [\"1\"]",
            "5:12 users.2.numbers",
        ),
        (
            "[users.alice]\npassword = \"x\"\npassword_file = \"/nowhere/x\"",
            "3:1 users.alice.password_file",
        ),
        (
            "[users.alice]\npassword = \"x\"\ndial = [\"+49*\", \"a@b\"]",
            "3:17 users.alice.dial",
        ),
        (
            "[users.alice]\npassword = \"x\"\nmax_calls = 0",
            "3:1 users.alice.max_calls",
        ),
        (
            "[trunk]\naddresses = [\"192.0.2.0/33\"]",
            "2:14 trunk.addresses",
        ),
    ] {
        let mistakes = load_file(file).expect_err(file);
        let found: Vec<String> = mistakes
            .0
            .iter()
            .map(|mistake| {
                let place = mistake.place.to_string();
                let place = place.rsplitn(3, ':').collect::<Vec<_>>();
                format!("{}:{} {}", place[1], place[0], mistake.setting)
            })
            .collect();
        assert!(found.iter().any(|one| one == expected), "{file}: {found:?}");
    }
}

#[test]
fn a_users_calls_may_go_on_to_another_number() {
    let file = "[users.alice]\npassword = \"x\"\nforward_busy = \"+49 77\"\nforward_no_answer = \"100\"\n\
        ring_time = \"12s\"\n[users.bob]\npassword = \"x\"\nforward_always = \"a b\"\nring_time = \"0s\"\n";
    let mistakes = load_file(file).unwrap_err().0;
    let told: Vec<_> = mistakes.iter().map(|one| one.setting.as_str()).collect();
    assert_eq!(told, ["users.bob.forward_always", "users.bob.ring_time"]);
    let (right, _) = file.split_once("[users.bob]").unwrap();
    let alice = load_file(right).expect("no mistakes").users.remove(0);
    assert_eq!(alice.forward.busy.as_deref(), Some("+4977"));
    assert_eq!(alice.forward.no_answer.as_deref(), Some("100"));
    assert_eq!(alice.ring_time, Duration::from_secs(12));
    assert_eq!(alice.forward.always, None);
}

#[test]
fn a_trunks_calls_may_come_from_networks() {
    let file =
        "[trunk]\nuri = \"sip:192.0.2.1\"\naddresses = [\"198.51.100.0/24\", \"2001:db8::7\"]\n";
    let addresses = load_file(file)
        .expect("no mistakes")
        .trunks
        .remove(0)
        .addresses;
    let inside = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        addresses.iter().any(|network| network.contains(&address))
    };
    assert!(inside("198.51.100.77") && inside("2001:db8::7"));
    assert!(!inside("198.51.101.1") && !inside("2001:db8::8"));
}

#[test]
fn keys_for_tokens_come_from_one_place() {
    let address = "jwks_url = \"https://login.example/keys\"";
    let file = format!("[sign_in]\n{address}\ntoken_audience = \"here\"\n");
    let tokens = load_file(&file).expect("no mistakes").tokens.unwrap();
    assert!(tokens.jwks().is_some() && !tokens.is_for_anybody());
    let secret = format!("token_secret = \"{}\"", "x".repeat(32));
    for (file, setting, told) in [
        (
            format!("[sign_in]\n{secret}\n{address}"),
            "sign_in.jwks_url",
            "sign_in.token_secret is set too",
        ),
        (
            "[sign_in]\njwks_url = \"http://login.example/keys\"".to_owned(),
            "sign_in.jwks_url",
            "does not begin with https://",
        ),
        (
            "[sign_in]\ntoken_audience = \"here\"".to_owned(),
            "sign_in.token_audience",
            "means nothing",
        ),
    ] {
        let mistakes = load_file(&file).expect_err(&file).0;
        let [mistake] = mistakes.as_slice() else {
            panic!("{file}: {mistakes:?}");
        };
        assert_eq!(mistake.setting, setting);
        assert!(mistake.problem.contains(told), "{mistake:?}");
    }
}

#[test]
fn an_empty_password_is_a_mistake_and_no_way_in() {
    let mistakes = load_file("[users.alice]\npassword = \"\"\n").unwrap_err();
    assert!(
        mistakes.to_string().contains("has no password"),
        "{mistakes}"
    );
}
