//! coturn's clients at the open relay: UDP, TCP, TLS and IPv6, channels and Send/Data.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};

use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::{Scene, tool};

const SECRET: &str = "what nobody else knows";

/// A peer that sends back what it gets, on two ports: the second is for RTCP. Its first port.
fn echo(ip: &str) -> SocketAddr {
    let bind = |port| UdpSocket::bind((ip, port)).ok();
    let pair = (0..100).find_map(|_| {
        let first = bind(0)?;
        let next = first.local_addr().ok()?.port().checked_add(1)?;
        Some((first, bind(next)?))
    });
    let (first, second) = pair.expect("two ports beside each other");
    let address = first.local_addr().expect("an address");
    for socket in [first, second] {
        std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut packet) {
                let _ = socket.send_to(&packet[..len], from);
            }
        });
    }
    address
}

fn open_relay(scene: &Scene, more: &[(&str, &str)]) -> Gateway {
    let folder = format!("{:?}", scene.file("tls").to_string_lossy());
    let secret = format!("{SECRET:?}");
    let ours = [
        ("turn.relay", "\"open\""),
        ("turn.secret", secret.as_str()),
        ("turn.allow_peers", "[\"127.0.0.1/32\", \"::1/128\"]"),
        ("https.listen", "\"127.0.0.1:0\""),
        ("https.folder", folder.as_str()),
    ];
    let settings: Vec<_> = ours.iter().chain(more).copied().collect();
    Gateway::start(scene, &settings)
}

fn finish(mut client: Child) -> String {
    let out = client.stdout.take().expect("its output is piped");
    let said = std::io::read_to_string(out).expect("it is text");
    let _ = client.wait();
    said
}

/// `turnutils_uclient` with these options: 50 messages of each of 4 clients; by TLS of one, see below.
fn uclient(options: &[&str], server: SocketAddr, peer: SocketAddr) -> String {
    let mut command = tool("timeout", "coreutils");
    command
        .args(["60", "turnutils_uclient", "-u", "alice", "-W", SECRET])
        .args(["-n", "50", "-m", if by_tls(options) { "1" } else { "4" }])
        .args(["-l", "170", "-z", "5"])
        .args(["-p", &server.port().to_string()])
        .args(["-e", &peer.ip().to_string(), "-r", &peer.port().to_string()])
        .args(options)
        .arg(server.ip().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    finish(command.spawn().expect("turnutils_uclient (coturn) runs"))
}

fn by_tls(options: &[&str]) -> bool {
    options.contains(&"-S")
}

#[track_caller]
fn assert_nothing_is_lost(options: &[&str], server: SocketAddr, peer: SocketAddr) {
    // Each client of coturn's takes a version of TLS by chance: two of three are old, and refused.
    let refused = |said: &String| by_tls(options) && said.contains("alert");
    let said = (0..30)
        .map(|_| uclient(options, server, peer))
        .find(|said| !refused(said))
        .expect("a version of TLS that is not refused");
    let count = |what: &str| {
        let last = said.rsplit(what).next().unwrap_or_default();
        last.split(',')
            .next()?
            .trim()
            .split('\n')
            .next()?
            .parse::<u32>()
            .ok()
    };
    let (sent, received) = (count("tot_send_msgs="), count("tot_recv_msgs="));
    assert!(
        sent == received && sent >= Some(50),
        "{options:?}: {sent:?} of {received:?}: {said}"
    );
    assert!(
        said.contains("Total lost packets 0 (0.000000%)"),
        "{options:?}: {said}"
    );
}

#[test]
fn coturns_clients_lose_nothing_by_udp_tcp_and_tls() {
    let scene = Scene::begin();
    let gateway = open_relay(&scene, &[("media.workers", "2")]);
    let peer = echo("127.0.0.1");
    let port = gateway.turn.expect("it serves TURN");
    let plain = SocketAddr::new(gateway.http.ip(), port);
    let tls = gateway.https.expect("it serves TLS");
    for (options, server) in [
        (&[][..], plain),
        (&["-s"], plain),
        (&["-t"], plain),
        (&["-t", "-s"], plain),
        (&["-t", "-S", "-c"], tls),
        (&["-t", "-S", "-s", "-c"], tls),
    ] {
        assert_nothing_is_lost(options, server, peer);
    }
}

#[test]
fn coturns_clients_lose_nothing_by_ipv6() {
    let scene = Scene::begin();
    let listen = ("media.listen", "[\"127.0.0.1\", \"::1\"]");
    let gateway = open_relay(&scene, &[listen]);
    let peer = echo("::1");
    let port = gateway.turn.expect("it serves TURN");
    let server = SocketAddr::new("::1".parse().expect("an address"), port);
    for options in [&["-x"][..], &["-x", "-s"], &["-x", "-t"]] {
        assert_nothing_is_lost(options, server, peer);
    }
}

#[test]
fn a_stun_client_learns_its_address() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let port = gateway.turn.expect("it serves STUN").to_string();
    let mut command = tool("turnutils_stunclient", "coturn");
    command
        .args(["-p", &port, "127.0.0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let said = finish(command.spawn().expect("turnutils_stunclient runs"));
    assert!(said.contains("reflexive addr: 127.0.0.1:"), "{said}");
}

#[test]
fn a_relay_leads_to_nobody_but_the_gateway_unless_it_is_opened() {
    let scene = Scene::begin();
    let secret = format!("{SECRET:?}");
    let gateway = Gateway::start(&scene, &[("turn.secret", &secret)]);
    let peer = echo("127.0.0.1");
    peer_is_refused(&gateway, peer);
    // Opened, it leads to public addresses: none of this machine is one.
    let scene = Scene::begin();
    let open = ("turn.relay", "\"open\"");
    let gateway = Gateway::start(&scene, &[("turn.secret", &secret), open]);
    peer_is_refused(&gateway, peer);
}

#[track_caller]
fn peer_is_refused(gateway: &Gateway, peer: SocketAddr) {
    let port = gateway.turn.expect("it serves TURN");
    let server = SocketAddr::new(gateway.http.ip(), port);
    let said = uclient(&["-c"], server, peer);
    assert!(said.contains("error 403"), "{said}");
}
