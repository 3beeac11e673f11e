//! One end-to-end test's surroundings: its folder, its turn, its free ports.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many tests run at once: each has a browser and a telephone, and times that it measures.
const AT_ONCE: usize = 2;

/// How many lines of each log a failing test shows: its folder may be gone when it is read.
const LAST_LINES: usize = 25;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A running test. What it leaves in its folder is removed when it succeeds and kept when it fails.
#[derive(Debug)]
pub struct Scene {
    name: String,
    folder: PathBuf,
}

impl Scene {
    /// Waits for this test's turn and makes its folder, `tests/output/<test>`.
    ///
    /// # Panics
    /// The folder cannot be made.
    pub fn begin() -> Self {
        let mut running = lock(&RUNNING);
        while *running >= AT_ONCE {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        drop(running);
        let (name, folder) = this_test();
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Self { name, folder }
    }

    /// The test's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A file in the test's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "{}: what is left to look at is in {}",
                self.name,
                self.folder.display()
            );
            for log in ["gateway.log", "baresip.log"] {
                let text = std::fs::read(self.file(log)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<_> = text.lines().collect();
                let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
                for line in last {
                    eprintln!("{log}: {line}");
                }
            }
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        *lock(&RUNNING) -= 1;
        ENDED.notify_all();
    }
}

/// The name of the test that this thread runs, and its folder.
pub fn this_test() -> (String, PathBuf) {
    // The test harness names each test's thread after the test.
    let name = thread::current()
        .name()
        .unwrap_or("test")
        .replace("::", ".");
    let folder = output().join(&name);
    (name, folder)
}

/// Where tests put their files.
pub fn output() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("output")
}

/// Locks, whatever happened to another test that held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port of 127.0.0.1 that is free by UDP and TCP now, and that the system gives to nobody who
/// asks for any.
///
/// # Panics
/// There is none.
pub fn free_port() -> u16 {
    let free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    (0..100)
        .map(|_| port_range(2))
        .find(free)
        .expect("a free port on 127.0.0.1")
}

/// The first of `count` ports below the range that the system gives out, no two calls' the same.
pub fn port_range(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let runs_apart = u16::try_from(std::process::id() % 50).unwrap_or(0) * 40;
    10_000 + (runs_apart + NEXT.fetch_add(count, Ordering::Relaxed)) % 20_000
}

/// Polls until `ready` gives something.
///
/// # Panics
/// It does not within `patience`; the message says what was awaited.
#[track_caller]
pub fn wait_until<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {patience:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A command that ends with the thread that started it, so that an interrupted run leaves nothing behind.
///
/// # Panics
/// The program is not there; the message says which package has it.
#[track_caller]
pub fn tool(program: &str, package: &str) -> Command {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    assert!(
        found || Path::new(program).is_file(),
        "{program} is missing: install it with `apt-get install {package}`"
    );
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Asks a process of ours to end (SIGTERM).
pub fn terminate(child: &Child) {
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", child.id())])
        .status();
}

/// Waits for a process of ours; one that takes longer than `patience` is killed.
pub fn wait_for_exit(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Whether something on this machine listens on 127.0.0.1 (or any address) at this UDP or TCP port.
pub fn is_bound(protocol: &str, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    let listening = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().is_some_and(|local| local.ends_with(&wanted));
        // TCP's 0A is LISTEN; UDP's 07 is all it has.
        local
            && columns
                .nth(1)
                .is_some_and(|state| state == if protocol == "tcp" { "0A" } else { "07" })
    };
    ["", "6"].iter().any(|version| {
        let table =
            std::fs::read_to_string(format!("/proc/net/{protocol}{version}")).unwrap_or_default();
        table.lines().any(listening)
    })
}
