//! Chromium where not everything gets through: TURN over UDP, TCP and TLS, and ICE-TCP.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;

use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::Scene;

use crate::{SOON, assert_hears_itself, talk};

/// Of the servers that the page is told of, its calls use only those with that in their address.
#[track_caller]
fn use_only(page: &Page, part: &str) {
    page.eval(&format!(
        "(() => {{ const Own = window.plainPeerConnection ??= RTCPeerConnection; \
         window.RTCPeerConnection = class extends Own {{ constructor(config) {{ \
           const only = (config.iceServers ?? []).map((server) => ({{ ...server, \
             urls: [server.urls].flat().filter((url) => url.includes({part:?})) }})); \
           super({{ ...config, iceServers: only.filter((server) => server.urls.length) }}); }} }}; }})()"
    ));
}

/// A call to the echo: it goes that way, and the browser hears itself.
#[track_caller]
fn assert_echo(page: &Page, via: &str, words: &str) {
    talk(page, "echo");
    let (found, said) = page.wait_for_path(SOON);
    assert_eq!(found, via);
    assert!(said.contains(words), "{said}");
    assert_hears_itself(page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
}

#[test]
fn a_call_goes_through_the_relay_by_udp() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open_relayed(&gateway);
    use_only(&page, "transport=udp");
    assert_echo(&page, "turn_udp", "relay (TURN), by UDP");
    let record = gateway.only_record();
    record.assert_ended("normal", "browser");
    assert_eq!(record.text("/path"), "turn_udp");
}

#[test]
fn a_call_goes_through_the_relay_by_tcp() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open_relayed(&gateway);
    use_only(&page, "transport=tcp");
    assert_echo(&page, "turn_tcp", "relay (TURN), by TCP");
}

#[test]
fn a_call_goes_through_the_relay_by_tls_on_the_pages_own_port() {
    let scene = Scene::begin();
    let folder = format!("{:?}", scene.file("tls").to_string_lossy());
    let any = ("https.listen", "\"127.0.0.1:0\"");
    let gateway = Gateway::start(&scene, &[any, ("https.folder", &folder)]);
    let page = Page::open_relayed_by_tls(&gateway);
    use_only(&page, "turns:");
    assert_echo(&page, "turn_tls", "relay (TURN), by TLS");
}

#[test]
fn a_relay_that_is_another_workers_leads_to_the_call_too() {
    let scene = Scene::begin();
    // The kernel gives the page's address to one of them, the call goes to another: of so many calls, not all are alike.
    let gateway = Gateway::start(&scene, &[("media.workers", "4")]);
    let page = Page::open_relayed(&gateway);
    for via in ["udp", "tcp", "udp", "tcp"] {
        use_only(&page, &format!("transport={via}"));
        assert_echo(&page, &format!("turn_{via}"), "relay (TURN)");
    }
}

/// An HTTP proxy that does nothing but CONNECT (RFC 9110 §9.3.6), and tells to where.
fn connect_proxy() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (told, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let told = told.clone();
            std::thread::spawn(move || pass_on(client, &told));
        }
    });
    (address, asked)
}

/// One connection through the proxy.
fn pass_on(mut client: TcpStream, told: &mpsc::Sender<String>) -> Option<()> {
    let mut head = BufReader::new(client.try_clone().ok()?);
    let mut line = String::new();
    head.read_line(&mut line).ok()?;
    let to = line.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    while head.read_line(&mut line).ok()? > 2 {}
    let mut server = TcpStream::connect(&to).ok()?;
    told.send(to).ok()?;
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .ok()?;
    let mut back = (server.try_clone().ok()?, client.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
    std::io::copy(&mut head, &mut server).ok()?;
    server.shutdown(Shutdown::Both).ok()
}

#[test]
fn a_call_goes_through_an_http_proxy_to_the_relay() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let (proxy, asked) = connect_proxy();
    let page = Page::open_relayed_by_proxy(&gateway, proxy);
    use_only(&page, "transport=tcp");
    assert_echo(&page, "turn_tcp", "relay (TURN), by TCP");
    let relay = format!("127.0.0.1:{}", gateway.turn.expect("it serves TURN"));
    let asked: Vec<_> = asked.try_iter().collect();
    assert!(asked.contains(&relay), "{asked:?}");
}

/// Where the test runs: the environment variable that is set in a network of its own.
const APART: &str = "SWITCHHOOK_TEST_APART";

/// Runs this test again in a network of its own, where nftables drops every UDP datagram between browsers and the gateway;
/// false where it runs there already.
#[track_caller]
fn in_a_network_without_udp(test: &str) -> bool {
    if std::env::var_os(APART).is_some() {
        return false;
    }
    let program = std::env::current_exe().expect("this program");
    let script = format!(
        "ip link set lo up && ip link add outside type veth peer name inside && ip link set inside up && ip address add 192.0.2.2/24 dev outside && \
         ip link set outside up && ip route add default via 192.0.2.1 && \
         nft 'table inet t {{ chain c {{ type filter hook output priority 0; \
         udp dport {{ 3478, 7000-7009 }} drop; udp sport {{ 3478, 7000-7009 }} drop; }}; }}' && \
         exec \"$0\" --exact {test} --nocapture"
    );
    let out = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "sh",
            "-c",
            &script,
        ])
        .arg(program)
        .env(APART, "1")
        .output()
        .expect("unshare (util-linux) runs");
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // No test by that name would be a success, too.
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// A gateway on the ports that the network drops.
fn at_known_ports(scene: &Scene) -> Gateway {
    Gateway::start(scene, &[("media.port", "7000"), ("turn.port", "3478")])
}

#[test]
fn where_udp_is_dropped_a_call_goes_by_ice_tcp() {
    if in_a_network_without_udp("relay::where_udp_is_dropped_a_call_goes_by_ice_tcp") {
        return;
    }
    let scene = Scene::begin();
    let gateway = at_known_ports(&scene);
    let page = Page::open(&gateway);
    use_only(&page, "nothing at all");
    assert_echo(&page, "ice_tcp", "TCP");
    assert_eq!(gateway.only_record().text("/path"), "ice_tcp");
}

#[test]
fn where_udp_is_dropped_a_relayed_call_goes_by_tcp() {
    if in_a_network_without_udp("relay::where_udp_is_dropped_a_relayed_call_goes_by_tcp") {
        return;
    }
    let scene = Scene::begin();
    let gateway = at_known_ports(&scene);
    let page = Page::open_relayed(&gateway);
    assert_echo(&page, "turn_tcp", "relay (TURN), by TCP");
}

/// With all that the gateway tells a page, and nothing forced.
#[test]
fn where_udp_is_dropped_a_call_finds_a_way_by_itself() {
    if in_a_network_without_udp("relay::where_udp_is_dropped_a_call_finds_a_way_by_itself") {
        return;
    }
    let scene = Scene::begin();
    let gateway = at_known_ports(&scene);
    let page = Page::open(&gateway);
    talk(&page, "echo");
    assert_hears_itself(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    let record = gateway.only_record();
    let path = record.text("/path");
    assert!(["ice_tcp", "turn_tcp"].contains(&path), "{path}");
}
