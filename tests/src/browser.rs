//! Headless Chromium at the real phone page, by way of `tests/browser/driver.mjs`.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::scene::{lock, output, this_test, wait_for_exit, wait_until};
use crate::sound::{MICROPHONE_HZ, sine, write_wav};

/// How long the driver may take beyond the time that a command takes by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// The windows in which levels are taken.
const WINDOW_MS: u64 = 100;

/// What has the page send its calls through the relay, behind its address.
const RELAYED: &str = "?relay=1";

type Waiting = Arc<Mutex<HashMap<u64, mpsc::Sender<Value>>>>;

/// Browsers that no test uses at the moment; they end with the test binary, whose end closes their
/// standard input.
static IDLE: Mutex<Vec<Driver>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Driver {
    child: Child,
    stdin: Mutex<Option<ChildStdin>>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Driver {
    /// One that is idle, or a new one, with a microphone that hears a sine.
    #[track_caller]
    fn get() -> Self {
        if let Some(driver) = lock(&IDLE).pop() {
            return driver;
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        assert!(
            folder.join("node_modules/playwright-core").is_dir(),
            "playwright-core is missing: run `npm ci` in {}",
            folder.display()
        );
        let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
        assert!(
            Path::new(&chromium).is_file(),
            "{chromium} is missing: install it with `apt-get install chromium`"
        );
        std::fs::create_dir_all(output()).expect("the output folder can be made");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(output().join("driver.log"))
            .expect("the driver's log can be made");
        let started = Command::new("node")
            .arg("driver.mjs")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let mut child = started.unwrap_or_else(|error| {
            panic!("node: {error}; install it with `apt-get install nodejs`")
        });
        let waiting = Waiting::default();
        let out = child.stdout.take().expect("the output is piped");
        let replies = Arc::clone(&waiting);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let Ok(reply) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                let id = reply["id"].as_u64().unwrap_or_default();
                if let Some(waiting) = lock(&replies).remove(&id) {
                    let _ = waiting.send(reply);
                }
            }
            // Whoever still waits learns that no reply comes.
            lock(&replies).clear();
        });
        let stdin = Mutex::new(child.stdin.take());
        let driver = Self {
            child,
            stdin,
            waiting,
            next: AtomicU64::new(1),
        };
        static MICROPHONE: OnceLock<PathBuf> = OnceLock::new();
        let microphone = MICROPHONE.get_or_init(|| {
            let file = output().join("microphone.wav");
            write_wav(&file, &sine(MICROPHONE_HZ, 0.25, 48_000, 2), 48_000);
            file
        });
        driver.request("launch", json!({ "fake_audio_file": microphone }), PATIENCE);
        driver
    }

    #[track_caller]
    fn request(&self, command: &str, fields: Value, patience: Duration) -> Value {
        let reply = self.send(command, fields);
        match reply.recv_timeout(patience) {
            Ok(reply) if reply["ok"] == true => reply,
            Ok(reply) => panic!("{command}: {}", reply["error"].as_str().unwrap_or_default()),
            Err(error) => panic!("{command}: the driver gave no reply: {error}"),
        }
    }
}

impl Driver {
    /// Sends a command; its reply comes by the receiver.
    fn send(&self, command: &str, fields: Value) -> mpsc::Receiver<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = fields;
        message["id"] = id.into();
        message["command"] = command.into();
        let (sender, reply) = mpsc::channel();
        lock(&self.waiting).insert(id, sender);
        if let Some(stdin) = lock(&self.stdin).as_mut() {
            let _ = writeln!(stdin, "{message}");
        }
        reply
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        lock(&self.stdin).take();
        let _ = wait_for_exit(&mut self.child, Duration::from_secs(5));
    }
}

/// A page in a browser that no other test uses meanwhile.
#[derive(Debug)]
pub struct Page {
    driver: Option<Arc<Driver>>,
    name: String,
}

impl Page {
    /// Opens the phone page of that gateway and waits until it is connected.
    #[track_caller]
    pub fn open(gateway: &Gateway) -> Self {
        Self::open_in(Arc::new(Driver::get()), &gateway.url())
    }

    /// The same by TLS; whoever has signed the gateway's certificate is believed.
    #[track_caller]
    pub fn open_by_tls(gateway: &Gateway) -> Self {
        Self::open_in(Arc::new(Driver::get()), &gateway.url_by_tls())
    }

    /// A page whose calls go through the gateway's relay (TURN) and no other way.
    #[track_caller]
    pub fn open_relayed(gateway: &Gateway) -> Self {
        let url = gateway.url() + RELAYED;
        Self::open_in(Arc::new(Driver::get()), &url)
    }

    /// The same by TLS.
    #[track_caller]
    pub fn open_relayed_by_tls(gateway: &Gateway) -> Self {
        let url = gateway.url_by_tls() + RELAYED;
        Self::open_in(Arc::new(Driver::get()), &url)
    }

    /// A page whose calls go through the gateway's relay (TURN), and whose connections to that go through an HTTP proxy.
    #[track_caller]
    pub fn open_relayed_by_proxy(gateway: &Gateway, proxy: SocketAddr) -> Self {
        let url = gateway.url() + RELAYED;
        let proxy = Some(format!("http://{proxy}"));
        Self::open_with(Arc::new(Driver::get()), &url, proxy)
    }

    /// A second page in the same browser.
    #[track_caller]
    pub fn another(&self, gateway: &Gateway) -> Self {
        Self::open_in(Arc::clone(self.driver()), &gateway.url())
    }

    #[track_caller]
    fn open_in(driver: Arc<Driver>, url: &str) -> Self {
        Self::open_with(driver, url, None)
    }

    #[track_caller]
    fn open_with(driver: Arc<Driver>, url: &str, proxy: Option<String>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("page{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let page = Self {
            driver: Some(driver),
            name,
        };
        page.ask("open", json!({ "url": url, "proxy": proxy }));
        page
    }

    /// Sends the driver a command for this page and gives its reply.
    ///
    /// # Panics
    /// The driver says that it failed, or does not reply.
    #[track_caller]
    pub fn ask(&self, command: &str, mut fields: Value) -> Value {
        let own = fields
            .get("timeout_ms")
            .or_else(|| fields.get("ms"))
            .and_then(Value::as_u64)
            .unwrap_or(0);
        fields["page"] = self.name.as_str().into();
        self.driver()
            .request(command, fields, PATIENCE + Duration::from_millis(own))
    }

    /// Types a number and presses Call.
    #[track_caller]
    pub fn dial(&self, number: &str) {
        self.ask("dial", json!({ "number": number }));
    }

    /// Signs in and waits until that is done.
    #[track_caller]
    pub fn sign_in(&self, user: &str, password: &str) {
        self.eval(&format!(
            "(() => {{ document.querySelector('#user').value = {user:?}; document.querySelector('#password').value = {password:?}; \
             document.querySelector('#sign-in').requestSubmit(); }})()"
        ));
        wait_until("sign-in", PATIENCE, || {
            let signed_in = self.eval("switchhook.client.user?.user ?? null");
            (signed_in == user).then_some(())
        });
    }

    /// Presses Answer.
    #[track_caller]
    pub fn answer(&self) {
        self.eval("document.querySelector('#answer').click()");
    }

    /// Presses Hang up.
    #[track_caller]
    pub fn hang_up(&self) {
        self.ask("hangup", json!({}));
    }

    /// Waits until the call is in that state.
    #[track_caller]
    pub fn wait_for(&self, state: &str, patience: Duration) -> Value {
        self.ask(
            "wait_for_state",
            json!({ "state": state, "timeout_ms": millis(patience) }),
        )
    }

    /// Waits until the call has passed that mark.
    #[track_caller]
    pub fn wait_for_mark(&self, mark: &str, patience: Duration) -> Value {
        self.ask(
            "wait_for_mark",
            json!({ "mark": mark, "timeout_ms": millis(patience) }),
        )
    }

    /// Waits until the page says which way the call goes: `udp`, `ice_tcp`, `turn_udp`, `turn_tcp` or `turn_tls`, and the
    /// words that it shows.
    #[track_caller]
    pub fn wait_for_path(&self, patience: Duration) -> (String, String) {
        wait_until("path", patience, || {
            let state = self.ask("state", json!({}));
            let of = |field: &str| state[field].as_str().map(str::to_owned);
            Some((
                of("path")?,
                of("path_text").filter(|text| !text.is_empty())?,
            ))
        })
    }

    /// Records what the page hears for so long; the levels of these frequencies are in the reply.
    #[track_caller]
    pub fn listen(&self, duration: Duration, frequencies: &[f64]) -> Heard {
        Heard(self.ask(
            "listen",
            json!({ "ms": millis(duration), "frequencies": frequencies, "window_ms": WINDOW_MS }),
        ))
    }

    /// Runs JavaScript in the page.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        self.ask("eval", json!({ "expression": expression }))["value"].clone()
    }

    /// Waits until the call has ended and asserts what the page says of it: the code, and words
    /// that begin with the cause's; particulars may follow.
    #[track_caller]
    pub fn assert_ended(&self, code: &str, words: &str, patience: Duration) -> Value {
        let state = self.wait_for("ended", patience);
        assert_eq!(state["cause"]["code"], code, "{state}");
        let text = state["text"].as_str().unwrap_or_default();
        assert!(
            text.starts_with(words.trim_end_matches('.')),
            "the page says {text:?}, not {words:?}"
        );
        state
    }

    /// Crashes the browser.
    #[track_caller]
    pub fn kill(self) {
        self.ask("kill", json!({}));
    }

    /// Writes what the page shows and has logged to the folder of the test, which fails.
    fn leave_what_it_shows(&self) {
        let replies = ["state", "log"]
            .map(|command| self.driver().send(command, json!({ "page": self.name })));
        let file = this_test().1.join(format!("{}.json", self.name));
        let said = replies.map(|reply| {
            reply
                .recv_timeout(Duration::from_secs(3))
                .unwrap_or_default()
        });
        let _ = std::fs::write(
            file,
            format!("{:#}\n", json!({ "state": said[0], "log": said[1] })),
        );
    }

    fn driver(&self) -> &Arc<Driver> {
        self.driver
            .as_ref()
            .expect("the driver is there until the page is dropped")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A browser whose test failed, or that was killed, is not used again.
        if thread::panicking() {
            self.leave_what_it_shows();
            return;
        }
        let Some(driver) = self.driver.take() else {
            return;
        };
        let reply = driver.send("close_page", json!({ "page": self.name }));
        let closed = reply
            .recv_timeout(PATIENCE)
            .is_ok_and(|reply| reply["ok"] == true);
        if let (true, Some(driver)) = (closed, Arc::into_inner(driver)) {
            lock(&IDLE).push(driver);
        }
    }
}

/// What a page heard.
#[derive(Clone, Debug)]
pub struct Heard(pub Value);

impl Heard {
    /// RMS of it all in dB below full scale.
    pub fn level(&self) -> f64 {
        self.0["rms_dbfs"].as_f64().unwrap_or(f64::NEG_INFINITY)
    }

    /// Asserts that the strongest frequency is this one, at this level (RMS, dB below full scale).
    #[track_caller]
    pub fn assert_tone(&self, hz: f64, dbfs: f64, tolerance_db: f64) {
        if let Err(why) = self.is_tone(hz, dbfs, tolerance_db) {
            panic!("{why}: {}", self.0);
        }
    }

    /// Whether the strongest frequency is this one, at this level. That is the median of short windows: a drop-out, which a
    /// busy machine's browser may have, does not count as a lower level.
    ///
    /// # Errors
    /// What was heard instead.
    pub fn is_tone(&self, hz: f64, dbfs: f64, tolerance_db: f64) -> Result<(), String> {
        let heard = self.0["dominant_hz"]
            .as_f64()
            .ok_or_else(|| format!("silence instead of {hz} Hz"))?;
        if (heard - hz).abs() >= 3.0 {
            return Err(format!("{heard} Hz instead of {hz} Hz"));
        }
        let windows = self.0["windows"].as_array().into_iter().flatten();
        let mut levels: Vec<f64> = windows
            .filter_map(|window| window["rms_dbfs"].as_f64())
            .collect();
        levels.sort_by(f64::total_cmp);
        let level = levels
            .get(levels.len() / 2)
            .copied()
            .unwrap_or(f64::NEG_INFINITY);
        match (level - dbfs).abs() <= tolerance_db {
            true => Ok(()),
            false => Err(format!(
                "{hz} Hz at {level} dBFS instead of {dbfs} ± {tolerance_db}"
            )),
        }
    }

    /// The keys in it.
    pub fn digits(&self) -> String {
        self.0["dtmf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|key| key["digit"].as_str())
            .collect()
    }
}

/// Milliseconds for JSON.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
