//! Where a next hop is.

use std::net::SocketAddr;
use std::time::Duration;

use sip::endpoint::{Flow, Transport};
use sip::{Host, Uri};

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// The transport that a URI names, at the port it names or the transport's own, and all of its addresses.
pub(super) async fn resolve(next_hop: &Uri) -> Result<Vec<Flow>, String> {
    let transport = Transport::of_uri(next_hop)
        .ok_or_else(|| format!("{next_hop} names a transport that is not spoken"))?;
    let addresses = resolve_all(next_hop).await?;
    if addresses.is_empty() {
        return Err(format!("{} has no address", next_hop.host));
    }
    let flow = |remote| Flow { transport, remote };
    Ok(addresses.into_iter().map(flow).collect())
}

/// All addresses of a URI, with the port it names or its transport's.
pub(crate) async fn resolve_all(uri: &Uri) -> Result<Vec<SocketAddr>, String> {
    let transport = Transport::of_uri(uri).unwrap_or(Transport::Udp);
    let port = uri.port.unwrap_or(transport.default_port());
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
