//! aiortc, a browser's WebRTC in Python by other people, with `tests/aiortc/call.py` for signalling.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::gateway::Gateway;
use crate::scene::Scene;

/// Calls a number by aiortc and gives what the script reports: `messages` from the gateway in
/// their order, the `answer`, the `cause`, and what was `heard`.
///
/// # Panics
/// The script fails, or aiortc is not installed; the message says how to install it.
#[track_caller]
pub fn call(scene: &Scene, gateway: &Gateway, number: &str, options: &[&str]) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let log = File::create(scene.file("aiortc.log")).expect("its log can be made");
    let mut command = Command::new(python(folder));
    command
        .arg(folder.join("aiortc/call.py"))
        .args([&gateway.signaling(), number])
        .args(options);
    command.stdin(Stdio::null()).stderr(log);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("python: {error}; {}", how_to_install(folder)));
    let said = String::from_utf8_lossy(&output.stdout);
    let log = std::fs::read_to_string(scene.file("aiortc.log")).unwrap_or_default();
    assert!(
        !log.contains("ModuleNotFoundError"),
        "{log}\n{}",
        how_to_install(folder)
    );
    assert!(
        output.status.success(),
        "call.py: {}\n{said}{log}",
        output.status
    );
    serde_json::from_str(said.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("call.py said {said:?}: {error}"))
}

/// The interpreter that has aiortc: `SWITCHHOOK_TEST_PYTHON`, else that of `tests/.venv`.
fn python(folder: &Path) -> PathBuf {
    std::env::var_os("SWITCHHOOK_TEST_PYTHON")
        .map_or_else(|| folder.join(".venv/bin/python"), PathBuf::from)
}

fn how_to_install(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "install aiortc: python3 -m venv {folder}/.venv && {folder}/.venv/bin/pip install -r {folder}/aiortc/requirements.txt"
    )
}
