//! Kamailio as the carrier before the telephone: registrar and authenticating proxy (`tests/kamailio/carrier.cfg`).

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::scene::{Scene, free_port, is_bound, terminate, tool, wait_for_exit, wait_until};

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    child: Child,
    port: u16,
}

impl Kamailio {
    /// One that challenges with this algorithm, and sends calls on to the telephone at that port. Its user is 4930 with the
    /// password `secret`, its realm `carrier`.
    #[track_caller]
    pub fn start(scene: &Scene, algorithm: &str, phone: u16) -> Self {
        let port = free_port();
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("kamailio/carrier.cfg");
        let text = std::fs::read_to_string(template)
            .expect("the configuration can be read")
            .replace("@PORT@", &port.to_string())
            .replace("@PHONE@", &phone.to_string())
            .replace("@ALGORITHM@", algorithm);
        let file = scene.file("kamailio.cfg");
        std::fs::write(&file, text).expect("the configuration can be written");
        let log = File::create(scene.file("kamailio.log")).expect("its log can be made");
        let also = log.try_clone().expect("its log can be shared");
        let child = tool("kamailio", "kamailio")
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
            .arg(&file)
            .arg("-P")
            .arg(scene.file("kamailio.pid"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .expect("Kamailio can be started");
        let mut kamailio = Self { child, port };
        wait_until("Kamailio at its port", Duration::from_secs(20), || {
            let status = kamailio.child.try_wait().ok().flatten();
            assert!(
                status.is_none(),
                "Kamailio ended with {status:?}; see {}",
                scene.file("kamailio.log").display()
            );
            is_bound("udp", port).then_some(())
        });
        kamailio
    }

    /// The trunk setting, as TOML, that leads to it.
    pub fn trunk(&self) -> String {
        format!("\"sip:127.0.0.1:{}\"", self.port)
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        terminate(&self.child);
        let _ = wait_for_exit(&mut self.child, Duration::from_secs(5));
    }
}
