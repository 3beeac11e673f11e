use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn rules(allow: &[&str], deny: &[&str], own: &[&str]) -> PeerRules {
    let nets = |all: &[&str]| {
        all.iter()
            .map(|net| net.parse().expect("a network"))
            .collect()
    };
    PeerRules {
        media: vec!["10.0.0.5:5000".parse().expect("an address")],
        own: own.iter().map(|own| ip(own)).collect(),
        deny: nets(deny),
        allow: nets(allow),
    }
}

#[test]
fn the_public_internet_is_allowed_and_nothing_beside_it() {
    let rules = PeerRules::default();
    for public in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::1",
        "2001:200::1",
        "2606:4700::1111",
        "2a00:1450::1",
        "64:ff9b::8.8.8.8",
    ] {
        assert!(rules.allow_ip(ip(public)), "{public}");
    }
    for hidden in [
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "4000::1",
        "1::1",
        "2001:1ff:ffff::1",
        "3fff:fff::1",
        "3ffe::1",
        "fbff::1",
        "2620:4f:8000::1",
    ] {
        assert!(!rules.allow_ip(ip(hidden)), "{hidden}");
    }
    assert!(!rules.allow("8.8.8.8:0".parse().unwrap()));
}

#[test]
fn own_and_denied_addresses_are_found_in_every_form() {
    let rules = rules(
        &[],
        &["9.9.9.0/24", "2a00:1450::/32"],
        &["8.8.4.4", "2a02::5"],
    );
    for denied in [
        "9.9.9.9",
        "2a00:1450::8",
        "8.8.4.4",
        "2a02::5",
        "64:ff9b::9.9.9.9",
        "64:ff9b::8.8.4.4",
        // ISATAP, of another network.
        "2a03::5efe:8.8.4.4",
        "2a03::200:5efe:9.9.9.9",
        "2a03::5efe:10.0.0.1",
    ] {
        assert!(!rules.allow_ip(ip(denied)), "{denied}");
    }
    assert!(rules.allow_ip(ip("9.9.8.9")) && rules.allow_ip(ip("2a03::5efe:8.8.8.8")));
}

#[test]
fn a_list_opens_what_is_not_public_and_the_gateway_only_by_its_very_address() {
    let wide = rules(
        &["10.0.0.0/8", "127.0.0.0/8", "::1/128"],
        &["10.9.0.0/16"],
        &["10.0.0.5"],
    );
    for open in ["10.1.2.3", "127.0.0.1", "::1"] {
        assert!(wide.allow_ip(ip(open)), "{open}");
    }
    for closed in [
        "10.0.0.5",
        "10.9.1.1",
        "192.168.1.1",
        "::ffff:10.1.2.3",
        "::2",
        "::",
    ] {
        assert!(!wide.allow_ip(ip(closed)), "{closed}");
    }
    // Its media port is open, by that port alone.
    assert!(wide.allow("10.0.0.5:5000".parse().unwrap()));
    assert!(!wide.allow("10.0.0.5:5001".parse().unwrap()));
    assert!(RelayPolicy::Open(wide.clone()).allow_ip(ip("10.0.0.5")));
    let narrow = rules(&["10.0.0.5/32"], &[], &["10.0.0.5"]);
    assert!(narrow.allow_ip(ip("10.0.0.5")));
    // A form that carries the address is opened only by both.
    let mapped = rules(&["10.0.0.0/8", "::ffff:0:0/96"], &[], &[]);
    assert!(mapped.allow_ip(ip("::ffff:10.1.2.3")));
    assert!(!mapped.allow_ip(ip("::ffff:127.0.0.1")));
}

#[test]
fn the_own_relay_knows_its_addresses_and_nothing_else() {
    let media: SocketAddr = "127.0.0.1:5000".parse().unwrap();
    let policy = RelayPolicy::Own(vec![media]);
    assert!(policy.allow(media) && policy.allow_ip(media.ip()));
    for other in [
        "127.0.0.1:5001",
        "127.0.0.2:5000",
        "8.8.8.8:53",
        "[::ffff:127.0.0.1]:5000",
    ] {
        assert!(!policy.allow(other.parse().unwrap()), "{other}");
    }
    assert!(!policy.allow_ip(ip("::ffff:127.0.0.1")) && !policy.allow_ip(ip("8.8.8.8")));
}
