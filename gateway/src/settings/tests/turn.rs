//! `[turn]`.

use super::*;

#[test]
fn a_relay_is_on_and_leads_to_the_gateway_alone() {
    let turn = load_file("").unwrap().turn;
    assert!(turn.enabled);
    assert_eq!((turn.port, turn.relay), (3478, RelayTo::Own));
}

#[test]
fn an_open_relay_has_its_ports_networks_and_bounds() {
    let turn = load_file(
        "[turn]\nrelay = \"open\"\nrelay_ports = \"40000-40999\"\nallow_peers = [\"10.0.0.0/8\"]\n\
         deny_peers = [\"198.51.100.7/32\"]\nsecret = \"0123456789abcdef\"\nmax_kbit = 200\n",
    )
    .unwrap()
    .turn;
    assert_eq!(turn.relay, RelayTo::Open);
    assert_eq!(turn.relay_ports, 40_000..=40_999);
    assert_eq!(turn.allow_peers, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(turn.deny_peers, ["198.51.100.7/32".parse().unwrap()]);
    assert_eq!(
        (turn.bandwidth, turn.bandwidth_per_user),
        (Some(25_000), None)
    );
    assert!(turn.secret.is_some());
}

#[test]
fn what_cannot_be_is_said_with_its_place() {
    for (text, words) in [
        ("port = 5060", "taken by sip.listen"),
        ("port = 7000", "taken by media.port"),
        ("realm = \"a \\\"b\\\"\"", "no realm"),
        ("realm = \"more than twenty letters\"", "1 to 20"),
        ("secret = \"short\"", "too short"),
        ("allow_peers = [\"10.0.0.0/8\"]", "means nothing"),
        ("relay_ports = \"40000-40999\"", "means nothing"),
        (
            "relay = \"open\"\nrelay_ports = \"29000-31000\"",
            "overlaps media.rtp_ports",
        ),
        (
            "name = \"https://phone.example.com\"",
            "neither a host name",
        ),
        ("credentials = \"1s\"", "credentials"),
    ] {
        let mistakes = load_file(&format!("[turn]\n{text}\n")).unwrap_err();
        let said = mistakes.to_string();
        assert!(
            said.contains(words) && said.contains("turn."),
            "{text}: {said}"
        );
    }
}

#[test]
fn the_server_that_knows_our_address_may_be_a_name() {
    let asked = |text: &str| {
        let file = format!("[media]\nstun_server = \"{text}\"\n");
        load_file(&file).map(|settings| settings.media.stun_server)
    };
    let named = |text: &str| asked(text).unwrap().unwrap();
    assert_eq!(named("stun.example.com"), "stun.example.com:3478");
    assert_eq!(named("stun.example.com:19302"), "stun.example.com:19302");
    assert_eq!(named("192.0.2.1"), "192.0.2.1:3478");
    assert_eq!(named("[2001:db8::1]:3478"), "[2001:db8::1]:3478");
    assert!(asked("stun:stun.example.com").is_err());
}
