//! A packet capture of a test, for the one that fails. Without the permission to capture the tests
//! run all the same.

use std::fs::File;
use std::ops::RangeInclusive;
use std::process::{Child, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use crate::scene::{Scene, terminate, tool, wait_for_exit};

/// A running capture of the loopback interface, in `packets.pcapng`.
#[derive(Debug)]
pub struct Capture {
    child: Child,
}

impl Capture {
    /// Captures what goes to and from these ports; none where that is not permitted.
    pub fn start(scene: &Scene, ports: &[u16], range: RangeInclusive<u16>) -> Option<Self> {
        let ports: Vec<String> = ports.iter().map(|port| format!("port {port}")).collect();
        let filter = format!(
            "icmp or {} or udp portrange {}-{}",
            ports.join(" or "),
            range.start(),
            range.end()
        );
        let said = scene.file("dumpcap.log");
        let mut command = tool("dumpcap", "tshark");
        command
            .args(["-q", "-i", "lo", "-f", &filter, "-w"])
            .arg(scene.file("packets.pcapng"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said).ok()?);
        let mut child = command.spawn().ok()?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if std::fs::read_to_string(&said).is_ok_and(|said| said.contains("File: ")) {
                return Some(Self { child });
            }
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            eprintln!(
                "tests that fail will leave no packet capture: dumpcap may not capture here\n{said}"
            );
        });
        let _ = child.kill();
        let _ = child.wait();
        None
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        terminate(&self.child);
        let _ = wait_for_exit(&mut self.child, Duration::from_secs(3));
    }
}
