//! SIPp as the telephone behind the trunk: its built-in scenarios, and ours in `tests/sipp/`.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::rtp::RtpPhone;
use crate::scene::{
    Scene, free_port, is_bound, port_range, terminate, tool, wait_for_exit, wait_until,
};

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    child: Child,
    port: u16,
    messages: PathBuf,
    errors: PathBuf,
}

impl Sipp {
    /// Its `uas` scenario: answers, and returns the RTP that it gets when `echo`.
    #[track_caller]
    pub fn uas(scene: &Scene, echo: bool) -> Self {
        let media = media_port().to_string();
        let mut options = vec!["-m", "1", "-sn", "uas", "-mp", &media];
        if echo {
            options.push("-rtp_echo");
        }
        Self::start(scene, "udp", &options)
    }

    /// A scenario of `tests/sipp/`; its SDP names the RTP port of `rtp`.
    #[track_caller]
    pub fn scenario(scene: &Scene, name: &str, rtp: &RtpPhone) -> Self {
        Self::scenario_with(scene, name, rtp, 1, &[])
    }

    /// The same for so many calls; each of these keywords, `[name]` in the scenario, stands for its text.
    #[track_caller]
    pub fn scenario_with(
        scene: &Scene,
        name: &str,
        rtp: &RtpPhone,
        calls: u8,
        keywords: &[(&str, &str)],
    ) -> Self {
        let calls = calls.to_string();
        let mut options = file_and_keywords(name, rtp, keywords);
        options.extend(["-m".to_owned(), calls]);
        Self::start(scene, "udp", &options)
    }

    /// A scenario of `tests/sipp/` that calls a user of the gateway there; its SDP names the RTP port of `rtp`.
    #[track_caller]
    pub fn calls(
        scene: &Scene,
        name: &str,
        user: &str,
        gateway: SocketAddr,
        rtp: &RtpPhone,
    ) -> Self {
        Self::calls_with(scene, name, user, gateway, rtp, &[])
    }

    /// The same with keywords.
    #[track_caller]
    pub fn calls_with(
        scene: &Scene,
        name: &str,
        user: &str,
        gateway: SocketAddr,
        rtp: &RtpPhone,
        keywords: &[(&str, &str)],
    ) -> Self {
        let mut options = file_and_keywords(name, rtp, keywords);
        let rest = ["-m", "1", "-s", user, &gateway.to_string()];
        options.extend(rest.map(str::to_owned));
        Self::start(scene, "udp", &options)
    }

    /// Its `uas` scenario by TCP alone.
    #[track_caller]
    pub fn uas_by_tcp(scene: &Scene) -> Self {
        Self::start(
            scene,
            "tcp",
            &[
                "-m",
                "1",
                "-sn",
                "uas",
                "-rtp_echo",
                "-mp",
                &media_port().to_string(),
                "-t",
                "t1",
            ],
        )
    }

    #[track_caller]
    fn start(scene: &Scene, protocol: &str, options: &[impl AsRef<OsStr>]) -> Self {
        let port = free_port();
        let log = |what: &str| scene.file(&format!("sipp-{port}-{what}.log"));
        let (messages, errors) = (log("messages"), log("errors"));
        let mut command = tool("sipp", "sip-tester");
        command.args(options).args([
            "-i",
            "127.0.0.1",
            "-mi",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ]);
        command
            .args([
                "-nostdin",
                "-timeout",
                "120s",
                "-timeout_error",
                "-trace_msg",
                "-message_file",
            ])
            .arg(&messages);
        command
            .args(["-trace_err", "-error_file"])
            .arg(&errors)
            .env("TERM", "dumb");
        let out = File::create(log("screen")).expect("SIPp's log can be made");
        let also = out.try_clone().expect("SIPp's log can be shared");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(also)
            .spawn()
            .expect("SIPp can be started");
        let mut sipp = Self {
            child,
            port,
            messages,
            errors,
        };
        wait_until("SIPp at its port", Duration::from_secs(10), || {
            let status = sipp.child.try_wait().ok().flatten();
            assert!(
                status.is_none(),
                "SIPp ended with {status:?}; see {}",
                log("screen").display()
            );
            is_bound(protocol, port).then_some(())
        });
        sipp
    }

    /// Its SIP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The trunk setting, as TOML, that leads to it.
    pub fn trunk(&self) -> String {
        format!("\"sip:127.0.0.1:{}\"", self.port)
    }

    /// The same, by TCP.
    pub fn trunk_by_tcp(&self) -> String {
        format!("\"sip:127.0.0.1:{};transport=tcp\"", self.port)
    }

    /// Asserts that the call went as its scenario has it, to its end, within `patience`.
    #[track_caller]
    pub fn assert_done(&mut self, patience: Duration) {
        let status = wait_for_exit(&mut self.child, patience);
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        assert!(
            status.is_some_and(|status| status.success()),
            "SIPp: {status:?} within {patience:?}\n{errors}\n{}",
            self.messages()
        );
    }

    /// Every SIP message, as SIPp's log has it.
    pub fn messages(&self) -> String {
        std::fs::read_to_string(&self.messages).unwrap_or_default()
    }
}

/// The options that name a scenario of `tests/sipp/`, the RTP port in its SDP, and its keywords.
fn file_and_keywords(name: &str, rtp: &RtpPhone, keywords: &[(&str, &str)]) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sipp")
        .join(format!("{name}.xml"));
    let mut options = vec!["-sf".to_owned(), file.to_string_lossy().into_owned()];
    let port = rtp.port().to_string();
    for (keyword, text) in [("rtp_port", port.as_str())].iter().chain(keywords) {
        options.extend(["-key", keyword, text].map(str::to_owned));
    }
    options
}

/// SIPp binds the media port that it is given, and the second one after it for video.
fn media_port() -> u16 {
    port_range(4)
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            terminate(&self.child);
            let _ = wait_for_exit(&mut self.child, Duration::from_secs(3));
        }
    }
}
