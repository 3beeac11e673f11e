//! TLS: certificates in files, and the one port for everything that browsers reach by it.

pub(crate) mod files;
mod own;
pub mod port;
mod rewound;
mod self_signed;
#[cfg(test)]
mod testing;
mod told_apart;
pub(crate) mod waiting;
