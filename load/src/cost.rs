//! What the gateway costs.

use std::time::{Duration, Instant};

/// A process's clock ticks a second: 100 on every Linux that we run on (`getconf CLK_TCK`).
const TICKS: u64 = 100;

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// When it was looked at.
    pub at: Instant,
    /// CPU time of all its threads, in user space and in the kernel.
    pub cpu: Duration,
    /// Its resident memory (VmRSS), in bytes.
    pub memory: u64,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// There is no such process, or its figures cannot be read.
    pub fn of(pid: u32) -> std::io::Result<Self> {
        let missing = |what: &str| std::io::Error::other(format!("/proc/{pid}: no {what}"));
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field, the name, may hold spaces and parentheses: count from behind it.
        let after_name = stat.rsplit_once(") ").ok_or_else(|| missing("name"))?.1;
        let mut fields = after_name.split(' ').skip(11).map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) else {
            return Err(missing("utime and stime"));
        };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            at: Instant::now(),
            cpu: Duration::from_millis((user + system) * 1000 / TICKS),
            memory: kilobytes.ok_or_else(|| missing("VmRSS"))? * 1024,
        })
    }
}
