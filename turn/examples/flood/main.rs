//! Floods a TURN server, anybody's, and says what that cost its process. `scripts/relay-bench` puts two beside each other.
//!
//! It never sleeps while it sends, so that the server's sends wake nobody: a network card is not woken either.

mod client;
mod process;
mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use client::{FloodClient, Server};
use process::Process;
use traffic::{Load, Outcome};

/// Longer than any answer on one machine takes.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Parser)]
struct Options {
    /// The TURN server.
    #[arg(long)]
    server: SocketAddr,
    /// What its credentials are made with.
    #[arg(long)]
    secret: String,
    /// By TLS, trusting this certificate (PEM).
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// The server's process, whose CPU time counts.
    #[arg(long)]
    pid: u32,
    /// Clients, each with an allocation and an address of its own.
    #[arg(long, default_value_t = 100)]
    clients: u16,
    /// Packets a second of all clients together, evenly spread. 0: as fast as it goes.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Packets of each client on their way at once, where the rate is 0.
    #[arg(long, default_value_t = 4)]
    window: u32,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Bytes of a packet.
    #[arg(long, default_value_t = 170)]
    payload: usize,
    /// Send and Data indications, not ChannelData.
    #[arg(long)]
    indications: bool,
    /// Peers that answer nothing, of the clients in turn; without any, one here that sends everything back.
    #[arg(long)]
    peer: Vec<SocketAddr>,
    /// Straight to those peers, without the server.
    #[arg(long)]
    direct: bool,
    /// Allocates and ends the allocations, and relays nothing.
    #[arg(long)]
    allocations: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let told = if options.allocations {
        allocations(&options)?
    } else {
        packets(&options)?
    };
    println!("{told}");
    Ok(())
}

/// Clients at addresses of their own, since servers have limits for each.
fn clients(options: &Options) -> io::Result<Vec<FloodClient>> {
    let certificate = options.certificate.as_deref();
    let server = Server::new(options.server, &options.secret, certificate)?;
    let clients = (0..options.clients).map(|number| {
        let [high, low] = number.to_be_bytes();
        server.client(Ipv4Addr::new(127, 1, high, low), number)
    });
    clients.collect()
}

fn packets(options: &Options) -> io::Result<Value> {
    let mut clients = clients(options)?;
    let load = Load::new(&options.peer)?;
    for (number, client) in clients.iter_mut().enumerate() {
        let peer = load.peer_of(number);
        if options.direct {
            client.reach_directly(peer)?;
            continue;
        }
        client.allocate()?;
        client.permit(peer)?;
        if !options.indications {
            client.bind(peer)?;
        }
    }
    let process = Process(options.pid);
    let before = process.cpu()?;
    let outcome = load.run(&mut clients, options)?;
    let cpu = process.cpu()? - before;
    if !options.direct {
        // The next flood may have the same ports.
        clients.iter_mut().try_for_each(FloodClient::leave)?;
    }
    let Outcome {
        sent,
        returned,
        seconds,
        mut latency,
    } = outcome;
    latency.sort_unstable();
    let quantile = |share: f64| latency.get((latency.len() as f64 * share) as usize);
    // Each packet that came back was relayed twice.
    let relayed = sent + returned;
    Ok(json!({
        "sent": sent,
        "returned": returned,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "cpu_us_a_packet": cpu * 1e6 / relayed as f64,
        "packets_a_cpu_second": relayed as f64 / cpu,
        "round_trip_us": { "median": quantile(0.5), "p99": quantile(0.99) },
    }))
}

fn allocations(options: &Options) -> io::Result<Value> {
    let process = Process(options.pid);
    let mut clients = clients(options)?;
    let (memory, before) = (process.memory()?, process.cpu()?);
    for client in &mut clients {
        client.allocate()?;
    }
    let (grown, allocated) = (process.memory()?.saturating_sub(memory), process.cpu()?);
    for client in &mut clients {
        client.end()?;
    }
    let cpu = process.cpu()? - before;
    let count = clients.len() as f64;
    Ok(json!({
        "allocations": clients.len(),
        "bytes_an_allocation": grown as f64 / count,
        "cpu_us_to_allocate": (allocated - before) * 1e6 / count,
        "cpu_us_an_allocation": cpu * 1e6 / count,
        "allocations_a_cpu_second": count / cpu,
    }))
}
