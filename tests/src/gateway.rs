//! The real `switchhook` program, with settings of the test's own on free ports.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::record::Record;
use crate::scene::{Scene, port_range, terminate, tool, wait_for_exit, wait_until};

/// How long it may take to say that it is ready, on a machine that builds something else besides.
const START: Duration = Duration::from_secs(20);

/// How long it may take to end.
const END: Duration = Duration::from_secs(15);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where the page and the signalling are.
    pub http: SocketAddr,
    /// Where they are by TLS, if they are.
    pub https: Option<SocketAddr>,
    /// Where it sends SIP from.
    pub sip: SocketAddr,
    /// Where it hears SIP by TLS, if it does.
    pub sip_tls: Option<SocketAddr>,
    /// Where it hears TURN and ICE-TCP, if it does.
    pub turn: Option<u16>,
    records: PathBuf,
    ended: bool,
    _capture: Option<Capture>,
}

impl Gateway {
    /// Starts one with these settings, each `("section.key", "TOML value")`, on top of free ports
    /// and loopback addresses; a packet capture of it runs from here on.
    ///
    /// # Panics
    /// It is not built, or does not start.
    #[track_caller]
    pub fn start(scene: &Scene, settings: &[(&str, &str)]) -> Self {
        let records = scene.file("records.jsonl");
        let rtp = port_range(40);
        let file = scene.file("switchhook.toml");
        std::fs::write(&file, toml(&records, rtp, settings)).expect("the settings can be written");
        let log = File::create(scene.file("gateway.log")).expect("the log can be made");
        let program = program();
        let mut command = tool(&program.to_string_lossy(), "");
        std::env::vars()
            .filter(|(name, _)| name.starts_with("SWITCHHOOK__"))
            .for_each(|(name, _)| {
                command.env_remove(name);
            });
        command
            .arg("--settings")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the gateway can be started");
        let lines = read_lines(&mut child);
        let mut said = String::new();
        let deadline = Instant::now() + START;
        while !said.contains("Switchhook is ready") {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said += &(line + "\n"),
                Err(_) => {
                    let _ = child.kill();
                    let log =
                        std::fs::read_to_string(scene.file("gateway.log")).unwrap_or_default();
                    panic!("the gateway did not start:\n{said}{log}");
                }
            }
        }
        let http = address_after(&said, "http://");
        let https = said
            .contains("https://")
            .then(|| address_after(&said, "https://"));
        let sip = address_after(&said, "UDP and TCP ");
        let telephones = line_with(&said, "telephones' SIP");
        let sip_tls = telephones
            .contains(", TLS ")
            .then(|| address_after(telephones, ", TLS "));
        let relay = line_with(&said, "relay ");
        let turn = relay.split("port ").nth(1).and_then(|rest| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits?.parse().ok()
        });
        let mut ports: Vec<u16> = addresses(line_with(&said, "browsers' media"))
            .iter()
            .map(SocketAddr::port)
            .collect();
        ports.extend([http.port(), sip.port()]);
        ports.extend(https.map(|address| address.port()));
        ports.extend(turn);
        let capture = Capture::start(scene, &ports, rtp..=rtp + 39);
        Self {
            child,
            http,
            https,
            sip,
            sip_tls,
            turn,
            records,
            ended: false,
            _capture: capture,
        }
    }

    /// The page's address.
    pub fn url(&self) -> String {
        format!("http://{}/", self.http)
    }

    /// The page's address by TLS.
    ///
    /// # Panics
    /// It has none.
    pub fn url_by_tls(&self) -> String {
        let address = self.https.expect("the gateway listens for TLS");
        format!("https://{address}/")
    }

    /// The signalling's address.
    pub fn signaling(&self) -> String {
        format!("ws://{}/v1/signaling", self.http)
    }

    /// The call records so far.
    pub fn records(&self) -> Vec<Record> {
        let text = std::fs::read_to_string(&self.records).unwrap_or_default();
        // A line that is still being written has no end yet.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(Record::read).collect()
    }

    /// Waits until there are `count` records.
    #[track_caller]
    pub fn wait_for_records(&self, count: usize) -> Vec<Record> {
        wait_until(
            &format!("{count}th call record"),
            Duration::from_secs(3),
            || Some(self.records()).filter(|records| records.len() >= count),
        )
    }

    /// Waits for the record of the one call there was, then ends the gateway: it must exit with
    /// status 0 and leave no second record.
    #[track_caller]
    pub fn only_record(mut self) -> Record {
        self.wait_for_records(1);
        let status = self.stop();
        assert!(
            status.is_some_and(|status| status.success()),
            "the gateway ended with {status:?}"
        );
        let mut records = self.records();
        assert_eq!(records.len(), 1, "one call leaves one record");
        records.remove(0)
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        terminate(&self.child);
    }

    /// Sends it SIGTERM and waits until it has ended.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.terminate();
        self.wait_for_exit()
    }

    /// Waits until it has ended; none when it had to be killed.
    pub fn wait_for_exit(&mut self) -> Option<ExitStatus> {
        self.ended = true;
        wait_for_exit(&mut self.child, END)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !self.ended {
            // A failing test wants the record, so the gateway may write it.
            let _ = self.stop();
        }
    }
}

/// The program, built beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let folder = test.parent().and_then(Path::parent);
    let program = folder
        .expect("tests are built in target/<profile>/deps")
        .join("switchhook");
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build` first",
        program.display()
    );
    static ONCE: Once = Once::new();
    ONCE.call_once(|| warn_of_newer_sources(&program));
    program
}

/// `cargo test` alone does not build the program anew: says so where that counts.
fn warn_of_newer_sources(program: &Path) {
    let modified = |file: &Path| file.metadata().and_then(|file| file.modified()).ok();
    let sources = std::fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let newer = sources
        .split_whitespace()
        .skip(1)
        .find(|source| modified(Path::new(source)) > modified(program));
    if let Some(source) = newer {
        eprintln!(
            "{} is older than {source}: run `cargo build` first",
            program.display()
        );
    }
}

fn toml(records: &Path, rtp: u16, settings: &[(&str, &str)]) -> String {
    let rtp = format!("\"{rtp}-{}\"", rtp + 39);
    let records = format!("{:?}", records.to_string_lossy());
    let ours = [
        ("http.listen", "\"127.0.0.1:0\""),
        ("sip.listen", "\"127.0.0.1:0\""),
        ("lab.listen", "\"127.0.0.1:0\""),
        ("media.listen", "[\"127.0.0.1\"]"),
        ("media.port", "0"),
        ("turn.port", "0"),
        ("media.rtp_ports", &rtp),
        ("calls.max", "10"),
        ("records.file", &records),
        ("log.level", "\"info,gateway=debug\""),
    ];
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (name, value) in ours.iter().chain(settings) {
        let (section, key) = name
            .split_once('.')
            .expect("settings are named section.key");
        sections.entry(section).or_default().insert(key, value);
    }
    let line = |(key, value): (&&str, &&str)| format!("{key} = {value}\n");
    sections
        .iter()
        .map(|(section, keys)| {
            format!("[{section}]\n{}", keys.iter().map(line).collect::<String>())
        })
        .collect()
}

fn read_lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (lines, received) = mpsc::channel();
    let out = child.stdout.take().expect("the output is piped");
    thread::spawn(move || {
        BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| lines.send(line))
    });
    received
}

fn line_with<'a>(text: &'a str, what: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(what))
        .unwrap_or_else(|| panic!("the gateway did not say {what:?}:\n{text}"))
}

fn addresses(line: &str) -> Vec<SocketAddr> {
    line.split([' ', ',', '/'])
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn address_after(text: &str, what: &str) -> SocketAddr {
    let line = line_with(text, what);
    let rest = line.split_once(what).map_or("", |(_, rest)| rest);
    addresses(rest)
        .first()
        .copied()
        .unwrap_or_else(|| panic!("no address in {line:?}"))
}
