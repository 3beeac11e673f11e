//! Where a next hop is.

use std::net::SocketAddr;
use std::time::Duration;

use sip::endpoint::{Flow, Transport};
use sip::{Host, Uri};

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// The transport that a URI names, the port it names or 5060, the first of its addresses.
pub(crate) async fn resolve(next_hop: &Uri) -> Result<Flow, String> {
    let transport = match next_hop.params.get("transport") {
        Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        _ => Transport::Udp,
    };
    let addresses = resolve_all(next_hop).await?;
    let remote = addresses
        .first()
        .copied()
        .ok_or_else(|| format!("{} has no address", next_hop.host))?;
    Ok(Flow { transport, remote })
}

/// All addresses of a URI, with the port it names or 5060.
pub(crate) async fn resolve_all(uri: &Uri) -> Result<Vec<SocketAddr>, String> {
    let port = uri.port.unwrap_or(5060);
    let name = match &uri.host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        Host::Name(name) => name.as_str(),
    };
    match tokio::time::timeout(RESOLVE, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(format!("{name} cannot be resolved: {error}")),
        Err(_) => Err(format!(
            "{name} was not resolved within {} s",
            RESOLVE.as_secs()
        )),
    }
}
