//! What a process costs, as Linux tells it.

use std::{fs, io};

/// A process of this machine.
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Seconds that its threads were on a CPU, to the nanosecond; /proc/PID/stat counts in hundredths of a second.
    pub(crate) fn cpu(&self) -> io::Result<f64> {
        let mut nanoseconds = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0))? {
            // A thread may end meanwhile.
            let told = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let running = told.split_whitespace().next();
            nanoseconds += running.and_then(|text| text.parse().ok()).unwrap_or(0.0);
        }
        Ok(nanoseconds / 1e9)
    }

    /// Bytes of memory that it holds.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .ok_or_else(|| io::Error::other("no VmRSS"))
    }
}
