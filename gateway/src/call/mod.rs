//! A call: its machine (sans-IO), the task that runs it, the registry that finds it, and what it
//! leaves behind.

pub mod cause;
mod csv;
pub mod dial_plan;
pub mod diverted;
pub mod inbound;
pub mod machine;
mod negotiation;
pub mod record;
pub mod registry;
pub mod route;
mod task;
pub mod timeline;

use std::fmt;

/// A call's name inside the gateway, and in logs and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
