//! baresip, a softphone of other people's making: answers by itself, plays a tone, records.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::certificates::Certificates;
use crate::scene::{
    Scene, free_port, is_bound, port_range, terminate, tool, wait_for_exit, wait_until,
};
use crate::sound::{read_wav, sine, write_wav};

/// Debian's baresip-core.
const MODULES: &str = "/usr/lib/baresip/modules";
/// What its microphone hears, in its folder.
const MICROPHONE: &str = "microphone.wav";

/// A running baresip that answers calls to `phone`.
#[derive(Debug)]
pub struct Baresip {
    child: Child,
    port: u16,
    folder: PathBuf,
    rate: u32,
    /// The port where it takes commands.
    control: Option<u16>,
}

impl Baresip {
    /// One whose microphone hears a sine of this frequency at -15 dBFS.
    #[track_caller]
    pub fn start(scene: &Scene, hz: f64) -> Self {
        Self::with(scene, hz, 8000, "", &[])
    }

    /// One that calls there by itself, with these account parameters and modules too.
    #[track_caller]
    pub fn calling(scene: &Scene, hz: f64, uri: &str, account: &str, modules: &[&str]) -> Self {
        let modules: Vec<_> = modules.iter().copied().chain(["menu.so"]).collect();
        let dial = format!("/dial {uri}");
        Self::run(scene, hz, 8000, account, &modules, &["-e", &dial], "")
    }

    /// One that calls there by itself, and then does as it is told ([`Baresip::tell`]).
    #[track_caller]
    pub fn commanded(scene: &Scene, hz: f64, uri: &str) -> Self {
        let control = free_port();
        let settings = format!("ctrl_tcp_listen 127.0.0.1:{control}\n");
        let dial = format!("/dial {uri}");
        let modules = ["menu.so", "ctrl_tcp.so"];
        let mut phone = Self::run(scene, hz, 8000, "", &modules, &["-e", &dial], &settings);
        phone.control = Some(control);
        phone
    }

    /// A command of its menu, like `transfer`.
    ///
    /// # Panics
    /// It does not take commands.
    #[track_caller]
    pub fn tell(&self, command: &str, params: &str) {
        let port = self.control.expect("a baresip that takes commands");
        let mut control =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("its control port");
        let text = format!("{{\"command\":{command:?},\"params\":{params:?}}}");
        // A netstring.
        write!(control, "{}:{text},", text.len()).expect("the command can be sent");
        control
            .set_read_timeout(Some(Duration::from_secs(2)))
            .expect("a time-out can be set");
        let mut answer = [0; 1024];
        let _ = control.read(&mut answer);
    }

    /// One that is called, or calls there, by TLS.
    #[track_caller]
    pub fn by_tls(scene: &Scene, hz: f64, certificates: &Certificates, uri: Option<&str>) -> Self {
        let settings = format!(
            "sip_certificate {}\nsip_cafile {}\n",
            certificates.both.display(),
            certificates.ca.display()
        );
        let dial = uri.map(|uri| format!("/dial {uri}"));
        let options: Vec<&str> = dial.iter().flat_map(|dial| ["-e", dial.as_str()]).collect();
        let account = ";transport=tls";
        Self::run(scene, hz, 8000, account, &["menu.so"], &options, &settings)
    }

    /// The trunk setting, as TOML, that leads to it by TLS: baresip takes the next port for that.
    pub fn trunk_by_tls(&self) -> String {
        format!("\"sip:localhost:{};transport=tls\"", self.port + 1)
    }

    /// One whose account has these parameters too, that has loaded these modules too, and whose codec has this rate.
    #[track_caller]
    pub fn with(scene: &Scene, hz: f64, rate: u32, account: &str, modules: &[&str]) -> Self {
        Self::run(scene, hz, rate, account, modules, &[], "")
    }

    #[track_caller]
    fn run(
        scene: &Scene,
        hz: f64,
        rate: u32,
        account: &str,
        modules: &[&str],
        options: &[&str],
        settings: &str,
    ) -> Self {
        let modules: String = modules
            .iter()
            .map(|module| format!("module {module}\n"))
            .collect();
        let folder = scene.file("baresip");
        std::fs::create_dir_all(&folder).expect("its folder can be made");
        let (port, rtp) = (free_port(), port_range(20));
        write_wav(&folder.join(MICROPHONE), &sine(hz, 0.25, rate, 60), rate);
        // No player: what it hears is dumped by the filter, which gets every decoded frame.
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\nrtp_ports {rtp}-{}\n\
             module_path {MODULES}\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\n{modules}module_app account.so\n\
             rtcp_mux yes\nopus_stereo no\nopus_sprop_stereo no\naudio_source aufile,{MICROPHONE}\nsnd_path .\n{settings}",
            rtp + 19,
        );
        std::fs::write(folder.join("config"), config).expect("its settings can be written");
        std::fs::write(
            folder.join("accounts"),
            format!("<sip:phone@127.0.0.1>;regint=0;answermode=auto{account}\n"),
        )
        .expect("its account can be written");
        std::fs::write(folder.join("contacts"), "").expect("its contacts can be written");
        let out = File::create(scene.file("baresip.log")).expect("its log can be made");
        let also = out.try_clone().expect("its log can be shared");
        let mut command = tool("baresip", "baresip-core");
        command
            .arg("-f")
            .arg(&folder)
            .args(options)
            // It cuts paths off: its recorder's silently, the name of its microphone after 127 characters, and then it
            // hangs up on the call it has just made.
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(also);
        let child = command.spawn().expect("baresip can be started");
        let phone = Self {
            child,
            port,
            folder,
            rate,
            control: None,
        };
        wait_until("baresip at its port", Duration::from_secs(10), || {
            is_bound("udp", port).then_some(())
        });
        phone
    }

    /// The trunk setting, as TOML, that leads to it.
    pub fn trunk(&self) -> String {
        format!("\"sip:127.0.0.1:{}\"", self.port)
    }

    /// The rate of what it hears, in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Ends it, and gives what it heard, at its codec's rate.
    pub fn heard(&mut self) -> Vec<i16> {
        terminate(&self.child);
        let _ = wait_for_exit(&mut self.child, Duration::from_secs(5));
        let files = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let decoded = |path: &PathBuf| path.to_string_lossy().ends_with("-dec.wav");
        files
            .filter(decoded)
            .max()
            .map(|path| read_wav(&path))
            .unwrap_or_default()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
